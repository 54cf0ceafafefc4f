"""Reports of NB-IoT detectors and zones that no capture has, written from their descriptions with builders of their own."""

import base64
import json
from typing import Any

import pytest

from drivers.codecs.registry import PROTOCOLS
from drivers.messages import PanelEvent, PointFault
from drivers.receivers.desk import Listed
from drivers.receivers.nb import NbTalk
from tests.codecs.agrees import assert_agrees
from tests.receivers.bench import Bench

IMEI = "867724030012345"


def one(name: str, data: bytes) -> dict[str, Any]:
    [shown] = PROTOCOLS[name](data)
    return shown


def told(data: bytes, address: str = IMEI, *, states: bool = False) -> list[str]:
    bench = Bench(Listed(id="d", address=address, silence_s=0))
    bench.take(NbTalk().feed(data, 0))
    assert bench.bugs == []
    return [event for _, event in bench.events(states=states)]


# --- Huaqiang -----------------------------------------------------------------------------------------------------------------


def swapped(imei: str) -> bytes:
    digits = imei + "0"
    return bytes(int(digits[n + 1] + digits[n], 16) for n in range(0, 16, 2))


def report(
    device: int,
    alert: int = 0,
    fault: int = 0,
    mode: int = 0,
    *,
    battery: int = 303,
    degrees: int = 0,
    rsrp: int = 89,
    seconds: int = 0,
    cipher: int = 0,
    tail: bytes = b"\0" * 13,
) -> bytes:
    """50 55 len16, then as the description has it."""
    data = bytes((alert, fault, mode)) + battery.to_bytes(2, "big") + bytes((97, degrees + 100))
    data += (39154002).to_bytes(4, "big") + bytes((rsrp,)) + tail
    body = bytes((0x10, 1, 0x2F, device, 1, 0, 3)) + (cipher << 10 | len(data) + 2).to_bytes(2, "big")
    body += seconds.to_bytes(4, "big") + swapped(IMEI) + bytes((device, 0)) + data
    return b"PU" + len(body).to_bytes(2, "big") + body


def gauges(count: int, low: int = 70, high: int = 0) -> bytes:
    tail = bytes((1, 30, 2, 24)) + low.to_bytes(4, "big") + high.to_bytes(4, "big") + bytes(4) + bytes((count,))
    # newest first
    return tail + b"".join((90_000 - 1800 * n).to_bytes(4, "big") + (300 + n).to_bytes(4, "big") for n in range(count))


SMOKE, HYDRANT = 0x08, 0x06


@pytest.mark.parametrize("alert", range(256))
def test_huaqiang_alert_bits_of_both_devices(alert: int) -> None:
    fields = one("huaqiang-nb", report(SMOKE, alert))
    names = {0: "smoke_alarm", 2: "low_battery", 7: "fault"}
    assert_agrees(fields, {name: True if alert >> bit & 1 else "absent" for bit, name in names.items()})
    assert (fields["event"] == "fire") is bool(alert & 1)
    assert ("fire" in told(report(SMOKE, alert))) is bool(alert & 1)
    assert bool(told(report(SMOKE, alert))) is bool(alert)  # no bit is "normal"
    fields = one("huaqiang-nb", report(HYDRANT, alert, battery=3600, tail=gauges(1)))
    names = {0: "hydrant_low_pressure", 1: "hydrant_high_pressure", 5: "low_battery", 7: "fault"}
    assert_agrees(fields, {name: True if alert >> bit & 1 else "absent" for bit, name in names.items()})
    assert bool(told(report(HYDRANT, alert, battery=3600, tail=gauges(1)))) is bool(alert)


def test_huaqiang_numbers_at_their_ends_and_glued_reports() -> None:
    assert_agrees(
        one("huaqiang-nb", report(SMOKE, degrees=-40, rsrp=140, seconds=0xFFFFFFFF, battery=260)),
        {"temp_C": -40, "rsrp_dBm": -140, "epoch_utc": 0xFFFFFFFF + 1_536_508_800, "battery_V": 2.6, "imei": IMEI},
    )
    assert_agrees(
        one("huaqiang-nb", report(HYDRANT, degrees=85, battery=3600, tail=gauges(0))), {"temp_C": 85, "samples": 0}
    )
    assert told(report(SMOKE, battery=259)) == ["battery_fault"] and told(report(SMOKE, battery=260)) == []
    for count in (1, 47, 48):
        fields = one("huaqiang-nb", report(HYDRANT, battery=3600, tail=gauges(count)))
        assert_agrees(fields, {"samples": count, "low_kPa": 70, "high_kPa": 0, "last_sample_kPa": 299 + count})
        assert fields["first_sample"]["kPa"] == 300
    assert [shown["event"] for shown in PROTOCOLS["huaqiang-nb"](report(SMOKE, 1) + report(SMOKE))] == ["fire", None]
    assert one("huaqiang-nb", base64.b64encode(report(SMOKE, 1)))["event"] == "fire"
    assert_agrees(one("huaqiang-nb", report(SMOKE, 1, cipher=2)), {"reject": True, "why": "encrypted"})
    assert told(report(SMOKE, fault=1)) == ["fault"] and told(report(SMOKE, mode=0xFF)) == ["register"]


def test_huaqiang_a_broken_pressure_sensor_beats_the_number_beside_it() -> None:
    for fault, read in ((0, True), (1, False)):
        bench = Bench(Listed(id="d", address=IMEI, silence_s=0))
        bench.take(NbTalk().feed(report(HYDRANT, fault=fault, battery=3600, tail=gauges(2)), 0))
        assert (bench.readings().get("d/pressure_kpa") == 300) is read
        assert any(isinstance(seen, PointFault) and seen.point == "d/pressure_kpa" for seen in bench.seen) is not read


# --- Wanlin, LiAn -------------------------------------------------------------------------------------------------------------

NB301 = f"N311V31I{IMEI}H898604F9091830020009X%sT%sU%sS%s"


@pytest.mark.parametrize(
    ("status", "event", "told_as"),
    [
        ("10", "selftest", ["test"]),
        ("01", "fire", ["fire"]),
        ("02", "low_battery", ["battery_fault"]),
        ("11", "fire_restore", ["fire_restore"]),
        ("1", "fire", ["fire"]),
        ("2", "temp_high", ["prealarm"]),
        ("3", "tamper", ["tamper"]),
        ("4", "low_battery", ["battery_fault"]),
        ("5", "selftest", ["test"]),
        ("f", "fire_restore", ["fire_restore"]),
        ("F", "fire_restore", ["fire_restore"]),
        ("09", "status_09", ["fault"]),
    ],
)
def test_wanlin_nb301_every_status(status: str, event: str, told_as: list[str]) -> None:
    text = (NB301 % (status, "00", "99", "31")).encode()
    assert_agrees(
        one("wanlin-nb-ascii", text), {"event": event, "temp_C": 0, "battery": 99, "signal": 31, "imei": IMEI}
    )
    assert told(text) == told_as
    assert told(text + b"\r\n" + text) == told_as  # a copy


def test_wanlin_gauges_of_both_models_in_every_code() -> None:
    words = {
        "10": "selftest",
        "02": "low_battery",
        "03": "low",
        "13": "low_restore",
        "04": "high",
        "14": "high_restore",
    }
    for model, quantity, unit in (("NB9001", "pressure", "MPa"), ("NB9003", "level", "m")):
        for code, word in words.items():
            for mark in ("903", "V10"):
                text = f"{model}{mark}{IMEI}{code}000099990123NC"
                assert len(text) == 40
                event = f"{quantity}_{word}" if word[:3] in ("low", "hig") and "bat" not in word else word
                wanted = {"event": event, f"low_{unit}": 0.0, f"high_{unit}": 99.99, f"value_{unit}": 1.23}
                assert_agrees(one("wanlin-nb-ascii", text.encode()), wanted)


def test_wanlin_nb306_every_state() -> None:
    events = [None, "fire", "temp_high", "tamper", "low_battery", "selftest"]
    told_as = [[], ["fire"], ["prealarm"], ["tamper"], ["battery_fault"], ["test"]]
    for state, event in enumerate(events):
        for said in (state, str(state)):
            message = {"devId": "10000000", "electricQuantity": 100, "devState": said, "temperature": -55, "signal": 31}
            data = json.dumps(message).encode()
            assert_agrees(one("wanlin-nb-json", data), {"event": event, "temp_C": -5.5, "battery_pct": 100})
            assert told(data, "10000000") == told_as[state]


def test_ctwing_smoke_every_status_and_its_positive_rsrp() -> None:
    events: dict[int, tuple[str | None, list[str]]] = {
        1: ("fire", ["fire"]),
        2: ("silence", ["silence"]),
        4: ("low_battery", ["battery_fault"]),
        5: ("fault", ["fault"]),
        6: ("fault", ["fault"]),
        7: (None, []),
        8: ("silence", ["silence"]),
        9: ("silence", ["silence"]),
        10: ("tamper", ["tamper"]),
        11: ("tamper_restore", ["tamper_restore"]),
        12: ("online", ["register"]),
        13: ("fault", ["fault"]),
        14: ("test", ["test"]),
        3: ("status_3", ["fault"]),
    }
    for status, (event, words) in events.items():
        data = {"Alarm_Status": status, "RSRP": 114, "TData": -10, "Battery_Level": 100, "CSQ": 0, "SNR": -3}
        message = {"IMEI": IMEI, "protocol": "lwm2m", "payload": {"serviceId": "n", "serviceData": data}}
        raw = json.dumps(message).encode()
        assert_agrees(one("ctwing-json", raw), {"event": event, "rsrp_dBm": -114, "temp_C": -10, "imei": IMEI})
        assert told(raw) == words


@pytest.mark.parametrize(
    ("more", "event", "words"),
    [
        ({"gas_sensor_state": 1}, "gas_alarm", ["gas_alarm"]),
        ({"gas_sensor_state": 0}, None, []),
        ({"gas_sensor_state": 0, "error_code": 0}, None, []),
        ({"gas_sensor_state": 0, "error_code": -1}, None, []),
        ({"gas_sensor_state": 0, "error_code": 1001}, "gas_alarm", ["gas_alarm"]),
        ({"gas_sensor_state": 0, "error_code": 1002}, "fault", ["fault"]),
        ({"gas_sensor_state": 0, "error_code": 1003}, "low_battery", ["battery_fault"]),
        ({"gas_sensor_state": 0, "error_code": 7}, "error_7", ["fault"]),  # not "well"
        ({"gas_sensor_state": 2}, "gas_state_2", ["fault"]),
        ({"gas_sensor_state": "?"}, "gas_state_?", ["fault"]),
    ],
)
def test_ctwing_gas_is_well_only_where_it_says_so(more: dict[str, Any], event: str | None, words: list[str]) -> None:
    payload = {"valve_state": 1, "fan_state": 2, "gas_value": 0, "battery_value": 100, **more}
    raw = json.dumps({"protocol": "LWM2M", "IMEI": IMEI, "payload": payload}).encode()
    assert_agrees(one("ctwing-json", raw), {"event": event, "valve_open": True, "fan_on": False, "battery_value": 100})
    assert told(raw) == words


# --- zones, tags --------------------------------------------------------------------------------------------------------------


def test_ias_zone_every_bit_alone_and_all_with_the_notification_behind_it() -> None:
    names = "alarm1 alarm2 tamper battery_low supervision restore_reports trouble ac_fault test battery_defect".split()  # noqa: SIM905
    for bit, name in enumerate(names):
        for more in (b"", b"\x00\xff\xff\xff"):
            fields = one("zigbee-ias-zone", (1 << bit).to_bytes(2, "little") + more)
            assert [key for key in names if fields[key]] == [name]
    assert_agrees(
        one("zigbee-ias-zone", b"\xff\x03\x00\x17\x05\x00"), {"zone": 0x17, "delay_s": 1.25, "zone_status": 0x3FF}
    )
    for size in (0, 1, 3, 5, 7):
        assert_agrees(one("zigbee-ias-zone", bytes(size)), {"reject": True, "why": "length"})


def read_125(tag: bytes) -> bytes:
    check = 0
    for byte in tag:
        check ^= byte
    return b"\x02" + (tag + bytes((check,))).hex().upper().encode() + b"\x03"


@pytest.mark.parametrize("tag", ["0000000000", "FFFFFFFFFF", "10203040AB", "7B00003972"])
def test_rdm6300_numbers_glued_and_behind_noise(tag: str) -> None:
    number = int(tag[2:], 16)
    wanted = {"tag_hex": tag[2:], "tag_decimal": f"{number:010d}", "version": int(tag[:2], 16)}
    frames = read_125(bytes.fromhex(tag)) + b"\x02" + read_125(bytes.fromhex(tag))
    shown = PROTOCOLS["rdm6300"](frames)
    assert len(shown) == 2
    for fields in shown:
        assert_agrees(fields, wanted)


def pn532(tfi: int, data: bytes) -> bytes:
    body = bytes((tfi,)) + data
    return b"\0\0\xff" + bytes((len(body), 0x100 - len(body))) + body + bytes((-sum(body) & 0xFF, 0))


@pytest.mark.parametrize("uid", ["04A1B2C3", "00000000", "0000FF00", "04A1B2C3D4E5F6", "040000FF0000FF"])
def test_pn532_tags_of_both_lengths_with_the_start_mark_inside(uid: str) -> None:
    number = bytes.fromhex(uid)
    answer = pn532(0xD5, bytes.fromhex("4B0101004400") + bytes((len(number),)) + number)
    shown = PROTOCOLS["pn532"](bytes.fromhex("5555000000") + bytes.fromhex("0000FF00FF00") + answer * 2)
    assert [fields.get("uid") for fields in shown] == [None, uid, uid]
    assert_agrees(shown[1], {"tags": 1, "atqa": "0044", "sak": 0, "dcs_ok": True})
    damaged = bytearray(answer)
    damaged[-2] ^= 1
    assert_agrees(PROTOCOLS["pn532"](bytes(damaged))[0], {"reject": True, "why": "dcs"})
    block = one("pn532", pn532(0xD5, b"\x41\x00" + bytes(range(16))))
    assert_agrees(block, {"status": 0, "data": bytes(range(16)).hex().upper()})


def test_a_normal_report_ends_the_display_of_a_fire_and_is_itself_none() -> None:
    assert "fire" not in told(report(SMOKE), states=True)
    bench = Bench(Listed(id="d", address=IMEI, silence_s=0))
    bench.take(NbTalk().feed(report(SMOKE), 0))
    ends = [seen.event for seen in bench.seen if isinstance(seen, PanelEvent)]
    assert "fire_restore" in ends and all(seen.is_state for seen in bench.seen if isinstance(seen, PanelEvent))
