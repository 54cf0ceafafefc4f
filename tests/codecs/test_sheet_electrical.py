"""Frames of KS breakers and of 7B 7B units that no capture has, written from their descriptions with builders of their own."""

import struct
from typing import Any

import pytest

from drivers.codecs.ks_breaker import LineReader, nodes_of
from drivers.codecs.registry import PROTOCOLS
from drivers.ks_map import compile_profile
from drivers.messages import PanelEvent, Reading
from drivers.profile import load_profiles
from drivers.receivers.desk import Listed
from drivers.receivers.elec_7b7b import Elec7b7bTalk
from drivers.receivers.ks_breaker import Breaths, KsTalk
from tests.codecs.agrees import assert_agrees
from tests.receivers.bench import Bench

NODE = "681668166816"  # marks in the address


# --- KS 68 L L 68 -------------------------------------------------------------------------------------------------------------


def ks(control: int, function: int, data: bytes, node: str = NODE) -> bytes:
    body = bytes((control,)) + bytes.fromhex(node) + bytes((function,)) + data
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((sum(body) % 256, 0x16))


def fault(point: int, value: int, analogs: dict[int, int]) -> bytes:
    data = bytes.fromhex("0003000000") + bytes((1, 0)) + point.to_bytes(2, "little") + bytes((value,)) + bytes(7)
    data += len(analogs).to_bytes(2, "little") + b"\x04"
    for number, word in analogs.items():
        data += (0x4000 + number).to_bytes(2, "little") + word.to_bytes(2, "little")
    return ks(0x83, 0x2A, data)


def house() -> Bench:
    return Bench(Listed(id="b", address=NODE, silence_s=120))


def talk() -> KsTalk:
    return KsTalk(compile_profile(load_profiles([]).get("ks-breaker").data), Breaths([], list))


TRIPS = {
    **dict.fromkeys((7, 8, 9), "overcurrent_trip"),
    **dict.fromkeys((10, 11, 12), "overload_trip"),
    **dict.fromkeys((13, 14, 15), "overvoltage_trip"),
    **dict.fromkeys((16, 17, 18), "undervoltage_trip"),
    **dict.fromkeys((22, 23, 24, 25), "overtemperature_trip"),
    26: "leakage_trip",
}


@pytest.mark.parametrize(("point", "trip"), TRIPS.items())
def test_ks_every_trip_pushed_over_and_as_a_state(point: int, trip: str) -> None:
    grave = trip in ("leakage_trip", "overtemperature_trip")
    begin, end = ("electrical_alarm", "electrical_restore") if grave else ("fault", "fault_restore")
    pushed, over = fault(point, 1, {11: 65535}), fault(point, 0, {})
    [shown] = PROTOCOLS["ks-breaker-68"](pushed)
    assert_agrees(shown, {"kind": "fault", "event": trip, "switch_point": point, "switch_value": 1, "node": NODE})
    assert shown["analogs"] == {"0x400B": 65535}
    assert PROTOCOLS["ks-breaker-68"](over)[0]["event"] == end  # not a trip: it is over
    bench = house()
    bench.take(talk().feed(pushed, 0))
    assert [event for _, event in bench.events()] == [begin]
    assert bench.readings()["b/leakage_ma"] == 65535
    states = bytes(point - 1) + b"\x01" + bytes(26 - point)
    for answer, event in ((states, begin), (bytes(26), end)):
        bench = house()
        bench.take(talk().feed(ks(0x88, 0x64, bytes.fromhex("8007000000010020") + answer), 0))
        of_it = [
            (seen.event, seen.is_state) for seen in bench.seen if isinstance(seen, PanelEvent) and trip in seen.point
        ]
        assert (event, event == end) in of_it
        assert {told for told, is_state in of_it if not is_state} == ({begin} if event == begin else set())


def test_ks_measures_by_their_numbers_at_both_ends() -> None:
    scales = {4: 0.1, 5: 0.1, 6: 0.1, 8: 0.01, 9: 0.01, 10: 0.01, 11: 1, 12: 0.01, 14: 0.01, 15: 0.01}
    scales |= dict.fromkeys((26, 27, 28, 29), 1)
    for last in (0x20, 0x00):
        for word in (0, 1, 0x6816, 0xFFFF):
            words = {n: (word + n) % 65536 for n in range(1, 30)}
            data = bytes.fromhex("80070000000140") + bytes((last,))
            data += b"".join(one.to_bytes(2, "little") for one in words.values())
            shown: dict[str, Any] = PROTOCOLS["ks-breaker-68"](ks(0x88, 0x64, data))[0]
            assert shown["kind"] == "measure"
            assert list(shown["values"].values()) == pytest.approx([words[n] * scale for n, scale in scales.items()])


@pytest.mark.parametrize("nodes", [[], ["072110320044"], ["072110320044", "681616681668", "FFFFFFFFFFFF"]])
@pytest.mark.parametrize("tail", [b"", b"\x01"])
def test_ks_heartbeats_name_every_node_with_and_without_a_number_behind_them(nodes: list[str], tail: bytes) -> None:
    data = bytes.fromhex("111222333111" + "".join(nodes)) + tail
    [frame] = LineReader().feed(ks(0x80, 0x8D, data, "000000000000"))
    assert nodes_of(frame) == nodes
    [shown] = PROTOCOLS["ks-breaker-68"](frame.raw)
    assert_agrees(shown, {"kind": "heartbeat", "gateway": "111222333111", "nodes": [node.lower() for node in nodes]})


def test_ks_frames_glued_split_repeated_and_without_data() -> None:
    frames = [fault(26, 1, {4: 0x1668}), ks(0x80, 0x8C, b""), ks(0x80, 0x8B, b"\x68\x16\x68\x16\x68\x16\x07")]
    stream = b"\x68\x68\x16" + b"".join(frames) + frames[0][:9] + frames[0] * 3
    reader, found = LineReader(), []
    for at in range(len(stream)):
        found += reader.feed(stream[at : at + 1])
    assert [frame.raw for frame in found] == [*frames, *frames[:1] * 3]
    kinds = [shown["kind"] for shown in PROTOCOLS["ks-breaker-68"](b"".join(frames))]
    assert kinds == ["fault", "power_down", "login"]


# --- 7B 7B --------------------------------------------------------------------------------------------------------------------


def crc(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


SERIAL = "7B7B7D7D{{}}01"


def unit(flags: dict[int, int] | None = None, floats: dict[int, float] | None = None, *, prefix: bool = True) -> bytes:
    data = bytearray(388)
    data[:20] = bytes((26, 12, 31, 23, 59, 59)) + SERIAL.encode()
    struct.pack_into(">H", data, 34, 31)
    for at in range(56, 72, 4):
        struct.pack_into("<f", data, at, -200.0)
    for at, word in (flags or {}).items():
        struct.pack_into(">H", data, at, word)
    for at, number in (floats or {}).items():
        struct.pack_into("<f", data, at, number)
    inner = b"\x92" + len(data).to_bytes(2, "big") + bytes(data)
    frame = b"\x7b\x7b" + inner + crc(inner) + b"\x7d\x7d"
    return (b"\x01" + len(frame).to_bytes(2, "big") if prefix else b"") + frame


CHANNELS = ("residual", "temperature_1", "temperature_2", "temperature_3", "temperature_4")
FLAGS: list[tuple[int, int, str, str]] = [
    *((40, 1 << bit, channel, "electrical_alarm") for bit, channel in enumerate(CHANNELS)),
    *((38, 1 << bit, channel, "fault") for bit, channel in enumerate(CHANNELS)),
    (36, 1, "phase", "fault"),
    (44, 1, "voltage/over", "electrical_alarm"),
    (44, 0x100, "voltage/under", "fault"),
    (46, 1, "current/over", "electrical_alarm"),
    (46, 0x8000, "flags", "fault"),
    (40, 0x20, "flags", "fault"),
]


@pytest.mark.parametrize(("at", "word", "where", "event"), FLAGS)
def test_7b7b_every_flag_alone(at: int, word: int, where: str, event: str) -> None:
    for prefix in (True, False):
        raw = unit({at: word}, prefix=prefix)
        [shown] = PROTOCOLS["elec-4g-7b7b"](raw)
        assert shown["event"] in (event, "electrical_alarm"), shown["event"]
        bench = Bench(Listed(id="u", address=SERIAL, silence_s=3600))
        bench.take(Elec7b7bTalk().feed(raw, 0))
        assert bench.events() == [(f"u/{where}", event)]


def test_7b7b_floats_at_their_places_no_probe_and_no_number() -> None:
    floats = {52: 30000.0, 56: -200.0, 60: -40.5, 64: 140.0, 92: 50.01, 100: 231.5, 104: 0.0, 108: 400.0, 164: 0.64}
    floats |= {168: 6.3, 172: float("nan"), 208: -1.5, 256: -0.98, 260: 123456.0}
    bench = Bench(Listed(id="u", address=SERIAL, silence_s=3600))
    bench.take(Elec7b7bTalk().feed(unit({}, floats), 0))
    found = {seen.point[2:]: seen.value for seen in bench.seen if isinstance(seen, Reading)}
    wanted = {"residual_ma": 30000, "temperature_2_c": -40.5, "temperature_3_c": 140, "voltage_a_v": 231.5}
    wanted |= {"voltage_b_v": 0, "voltage_c_v": 400, "current_b_a": 6.3, "power_kw": -1.5, "power_factor": -0.98}
    assert_agrees(
        found,
        {**wanted, "temperature_1_c": "absent", "current_c_a": "absent", "energy_import_kwh": 123456, "signal": 31},
    )
    [shown] = PROTOCOLS["elec-4g-7b7b"](unit({}, floats))
    assert_agrees(
        shown,
        {"event": None, "time": "2026-12-31 23:59:59", "serial": SERIAL, "temps_C": [-200.0, -40.5, 140.0, -200.0]},
    )


def test_7b7b_reports_glued_split_and_behind_half_of_one() -> None:
    stream = unit({40: 1})[:200] + unit({40: 1}) + b"\x7b" + unit({}, prefix=False)
    heard, desk = Elec7b7bTalk(), Bench(Listed(id="u", address=SERIAL, silence_s=3600))
    for at in range(0, len(stream), 7):
        desk.take(heard.feed(stream[at : at + 7], 0))
    assert desk.events() == [("net1/refused", "fault"), ("u/residual", "electrical_alarm")]  # the half is counted
    assert len([seen for seen in desk.seen if isinstance(seen, PanelEvent) and seen.point == "u/residual"]) >= 2
