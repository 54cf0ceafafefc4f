"""DL/T 645 frames of both editions that no capture has, from the published tables, with builders of our own."""

from pathlib import Path
from typing import Any

import pytest

from drivers.codecs.registry import PROTOCOLS
from drivers.profile import load_file, try_capture

PROFILES = Path(__file__).parents[2] / "drivers/profiles"
METER = "112233445566"


def frame(control: int, data: str = "", *, address: str = METER, off: int = 0, end: int = 0x16) -> bytes:
    """68 A0..A5 68 C L data+33 CS 16; `data` in the order of the wire."""
    body = bytes.fromhex("68" + "".join(address[at : at + 2] for at in range(10, -2, -2)) + "68")
    plain = bytes.fromhex(data)
    body += bytes((control, len(plain), *((byte + 0x33) % 256 for byte in plain)))
    return body + bytes(((sum(body) + off) % 256, end))


def flipped(di: str) -> str:
    return bytes.fromhex(di)[::-1].hex()


def answer(di: str, payload: str, *, control: int = 0) -> dict[str, Any]:
    """What an answer says; `payload` with spaces, in the order of the wire."""
    old = len(di) == 4
    (one,) = PROTOCOLS["dlt645-1997" if old else "dlt645-2007"](
        frame(control or (0x81 if old else 0x91), flipped(di) + payload.replace(" ", ""))
    )
    assert one["di"] == di.upper()
    return one


NUMBERS: list[tuple[str, str, list[float | None], str]] = [
    # energy: XXXXXX.XX, the combined kinds have a sign, of the phases too
    ("00000000", "34 12 00 80", [-12.34], "kWh"),
    ("00010000", "99 99 99 99", [999999.99], "kWh"),
    ("00020000", "01 00 00 00", [0.01], "kWh"),
    ("00030000", "00 01 00 80", [-1.0], "kvarh"),
    ("00040000", "00 01 00 80", [-1.0], "kvarh"),
    ("00050100", "00 01 00 80", [800001.0], "kvarh"),
    ("00080000", "00 01 00 00", [1.0], "kvarh"),
    ("00090000", "00 01 00 00", [1.0], "kVAh"),
    ("000A000C", "00 01 00 00", [1.0], "kVAh"),
    ("00150000", "00 01 00 00", [1.0], "kWh"),
    ("00160000", "00 01 00 00", [1.0], "kWh"),
    ("00170000", "00 01 00 80", [-1.0], "kvarh"),
    ("001C0000", "00 01 00 00", [1.0], "kvarh"),
    ("001D0000", "00 01 00 00", [1.0], "kVAh"),
    ("001E0000", "00 01 00 00", [1.0], "kVAh"),
    ("00290000", "00 01 00 00", [1.0], "kWh"),
    ("002C0000", "00 01 00 80", [-1.0], "kvarh"),
    ("00320000", "00 01 00 00", [1.0], "kVAh"),
    ("003D0000", "00 01 00 00", [1.0], "kWh"),
    ("003F0000", "00 01 00 80", [-1.0], "kvarh"),
    ("00460000", "00 01 00 00", [1.0], "kVAh"),
    ("00013F00", "00 01 00 00", [1.0], "kWh"),
    ("0001FF00", "01 00 00 00 FF FF FF FF 03 00 00 00", [0.01, None, 0.03], "kWh"),
    ("000100FF", "01 00 00 00 02 00 00 00", [0.01, 0.02], "kWh"),
    ("00900200", "50 12 00 00", [12.5], ""),
    # instantaneous
    ("02010100", "99 99", [999.9], "V"),
    ("02010300", "00 00", [0.0], "V"),
    ("0201FF00", "00 22 FF FF 01 22", [220.0, None, 220.1], "V"),
    ("02020200", "99 99 79", [799.999], "A"),
    ("02020300", "01 00 80", [-0.001], "A"),
    ("0202FF00", "01 00 80 FF FF FF 00 10 00", [-0.001, None, 1.0], "A"),
    ("02030000", "34 12 80", [-0.1234], "kW"),
    ("0203FF00", "34 12 00 34 12 80 FF FF FF 00 00 00", [0.1234, -0.1234, None, 0.0], "kW"),
    ("02040100", "00 00 81", [-1.0], "kvar"),
    ("02050000", "00 50 12", [12.5], "kVA"),
    ("02060000", "99 89", [-0.999], ""),
    ("0206FF00", "00 10 00 90", [1.0, -1.0], ""),
    ("02070100", "99 35", [359.9], "deg"),
    ("02080100", "50 99", [99.5], "%"),
    ("02090300", "05 00", [0.05], "%"),
    ("020A0115", "50 01", [1.5], "%"),
    ("020B0301", "00 99", [99.0], "%"),
    ("020A01FF", "50 01 60 01", [1.5, 1.6], "%"),
    ("02800001", "99 99 89", [-9.999 - 90], "A"),
    ("02800002", "98 49", [49.98], "Hz"),
    ("02800003", "00 00 81", [-1.0], "kW"),
    ("02800004", "00 00 81", [-1.0], "kW"),
    ("02800005", "00 00 81", [-1.0], "kvar"),
    ("02800006", "00 00 81", [-1.0], "kVA"),
    ("02800007", "05 82", [-20.5], "C"),
    ("02800008", "60 03", [3.6], "V"),
    ("02800009", "60 03", [3.6], "V"),
    ("0280000A", "99 99 99 99", [99999999], "min"),
    ("0280000B", "34 12 00 00", [0.1234], ""),
    ("04000409", "00 12 00", [1200], "imp/kWh"),
    ("0400040A", "00 12 00", [1200], "imp/kvarh"),
    # freeze, and breakers
    ("05060101", "01 00 00 00 02 00 00 00", [0.01, 0.02], "kWh"),
    ("02900100", "23 01", [123], "mA"),
    ("02910100", "00 03", [300], "mA"),
    ("02910200", "50 00", [50], "ms"),
    ("03810000", "99 99", [9999], ""),
    ("04000411", "50 00 00 01 00 03", [50, 100, 300], "mA"),
    # 1997
    ("9010", "99 99 99 99", [999999.99], "kWh"),
    ("9020", "01 00 00 00", [0.01], "kWh"),
    ("901E", "01 00 00 00", [0.01], "kWh"),
    ("901F", "01 00 00 00 02 00 00 00", [0.01, 0.02], "kWh"),
    ("9410", "01 00 00 00", [0.01], "kWh"),
    ("9810", "01 00 00 00", [0.01], "kWh"),
    ("9110", "01 00 00 00", [0.01], "kvarh"),
    ("A010", "34 12 00", [0.1234], "kW"),
    ("A01F", "34 12 00 00 00 01", [0.1234, 1.0], "kW"),
    ("B611", "23 02", [223], "V"),
    ("B61F", "23 02 FF FF 24 02", [223, None, 224], "V"),
    ("B623", "34 12", [12.34], "A"),
    ("B630", "34 12 80", [80.1234], "kW"),  # this edition has no sign
    ("B63F", "34 12 00 00 00 01", [0.1234, 1.0], "kW"),
    ("B634", "34 12", [12.34], "kW"),
    ("B635", "34 12", [12.34], "kW"),
    ("B640", "34 12", [12.34], "kvar"),
    ("B650", "99 09", [0.999], ""),
    ("B65F", "00 10 99 09", [1.0, 0.999], ""),
    ("C030", "00 12 00", [1200], ""),
]


@pytest.mark.parametrize(("di", "payload", "values", "unit"), NUMBERS, ids=[one[0] for one in NUMBERS])
def test_numbers_with_their_sign_decimals_and_unit(
    di: str, payload: str, values: list[float | None], unit: str
) -> None:
    one = answer(di, payload)
    assert (one["values"], one["unit"], one.get("invalid"), one.get("extra_hex")) == (values, unit, None, None)
    assert one["payload_hex"] == payload.replace(" ", "")


@pytest.mark.parametrize(
    ("di", "payload", "says"),
    [
        ("01010000", "34 12 00 59 23 31 12 26", {"values": [0.1234], "times": ["2026-12-31T23:59"], "unit": "kW"}),
        ("01030000", "34 12 00 FF FF FF FF FF", {"values": [0.1234], "times": [None], "unit": "kvar"}),
        ("01090000", "FF FF FF 59 23 31 12 26", {"values": [None], "times": ["2026-12-31T23:59"], "unit": "kVA"}),
        (
            "0101FF00",
            "00 00 01 00 00 01 01 26 00 00 02 00 00 01 02 26",
            {"values": [1.0, 2.0], "times": ["2026-01-01T00:00", "2026-02-01T00:00"]},
        ),
        ("04000101", "00 29 02 24", {"date": "2024-02-29", "weekday": 0}),
        ("04000102", "59 59 23", {"time": "23:59:59"}),
        ("04000102", "FF FF FF", {"time": None}),
        ("04000401", "66 55 44 33 22 11", {"text": METER}),
        ("04000402", "66 55 44 33 22 11", {"text": METER}),
        ("04000403", "00" * 30 + "4142", {"text": "BA"}),
        ("04000404", "56 30 32 32 20 20", {"text": "220V"}),
        ("05060001", "00 00 01 12 26", {"time": "2026-12-01T00:00"}),
        ("02900000", "03", {"phase_raw": 3}),
        ("0290FF00", "01 00 03", {"phase_raw": 1, "residual_current_mA": 300}),
        ("0290FF00", "00 FF FF", {"phase_raw": 0, "residual_current_mA": None}),
        ("0290FF00", "01 0A 03", {"phase_raw": 1, "residual_current_mA": None, "invalid": True}),
        ("0291FF00", "00 03 50 00", {"values": [300, 50]}),
        ("B010", "59 23 31 12", {"time": "12-31T23:59"}),
        ("C010", "06 28 11 26", {"date": "2026-11-28", "weekday": 6}),
        ("C011", "01 02 03", {"time": "03:02:01"}),
        ("C032", "66 55 44 33 22 11", {"text": METER}),
        ("C034", "66 55 44 33 22 11", {"text": METER}),
    ],
)
def test_what_is_no_plain_number(di: str, payload: str, says: dict[str, object]) -> None:
    one = answer(di, payload)
    assert {key: one.get(key, "absent") for key in says} == says


@pytest.mark.parametrize("di", ["000B0000", "00140000", "001F0000", "00330000", "00470000", "02990000", "B660", "C0FF"])
def test_identifiers_nobody_agreed_on_keep_their_bytes_and_are_no_number(di: str) -> None:
    one = answer(di, "01 02 03 04")
    assert (one["payload_hex"], "values" in one) == ("01020304", False)


def test_a_block_keeps_what_is_sound_beside_what_is_no_number() -> None:
    one = answer("0201FF00", "00 22 0A 22 01 22")
    assert (one["values"], one["invalid"]) == ([220.0, None, 220.1], True)
    assert answer("02010100", "22")["invalid"] is True  # too short for one
    assert answer("02010100", "22 23 99")["extra_hex"] == "99"


# --- frames


@pytest.mark.parametrize(
    ("control", "address", "data", "says"),
    [
        (0x11, "AAAAAAAAAAAA", "00FF0102", {"di": "0201FF00", "direction": "from_master"}),
        (0x11, "AAAAAAAA5566", "00000100", {"address": "AAAAAAAA5566"}),
        (0x12, METER, "0000010001", {"di": "00010000", "seq": 1}),
        (0xB1, METER, "00FF0100" + "01000000", {"more_frames": True, "abnormal": False, "values": [0.01]}),
        (0xB2, METER, "00FF0100" + "01000000" + "01", {"more_frames": True, "seq": 1, "values": [0.01]}),
        (0x92, METER, "00FF0100" + "01000000" + "FF", {"more_frames": False, "seq": 255, "values": [0.01]}),
        (0x13, "AAAAAAAAAAAA", "", {"function": 0x13, "data_length": 0}),
        (0x93, METER, "665544332211", {"meter_address": METER, "direction": "from_meter"}),
        (0x08, "999999999999", "595923311299", {"time": "2099-12-31T23:59:59"}),
        (0x81, "AAAAAAAAAAAA", "1090" + "01000000", {"address": "AAAAAAAAAAAA", "values": [0.01]}),
        (0xA1, METER, "1F90" + "01000000", {"more_frames": True, "values": [0.01]}),
        (0x02, METER, "1F90", {"di": "901F", "function": 2}),
        (0x82, METER, "1F90" + "02000000", {"more_frames": False, "values": [0.02]}),
        (0x03, METER, "", {"function": 3}),
        (0x97, METER, "20", {"function": 0x17, "data_hex": "20"}),
    ],
)
def test_functions_of_both_editions(control: int, address: str, data: str, says: dict[str, object]) -> None:
    for wake in range(6):
        (one,) = PROTOCOLS["dlt645-2007"](b"\xfe" * wake + frame(control, data, address=address))
        assert {key: one.get(key, "absent") for key in says} == says
        assert (one["control"], one["wakeup_bytes"]) == (control, wake)


@pytest.mark.parametrize("function", [0x01, 0x02, 0x03, 0x04, 0x10, 0x11, 0x12, 0x14, 0x17, 0x1C])
def test_every_word_of_an_error(function: int) -> None:
    for word in (0, *(1 << bit for bit in range(8)), 0xFF):
        (one,) = PROTOCOLS["dlt645-2007"](frame(0xC0 | function, f"{word:02X}"))
        assert (one["abnormal"], one["error_word"], one["function"], "di" in one) == (True, word, function, False)


def test_every_byte_behind_the_33_and_every_check() -> None:
    checks = set()
    for byte in range(256):
        raw = frame(0x91, f"00000100{byte:02X}680016FE")
        (one,) = PROTOCOLS["dlt645-2007"](raw)
        assert one["data_hex"] == f"00000100{byte:02X}680016FE"
        checks.add(raw[-2])
    assert checks == set(range(256))  # 16 and 68 too
    (longest,) = PROTOCOLS["dlt645-2007"](frame(0x91, "00FF0100" + "99" * 196))
    assert (longest["data_length"], longest["values"]) == (200, [999999.99] * 49)


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        (frame(0x91, "0001010256", off=1), ["checksum"]),
        (frame(0x91, "0001010256", off=-1), ["checksum"]),
        (frame(0x91, "0001010256", end=0x17), ["end"]),
        (frame(0x91, "0001010256", address="1122334455F6"), ["address_not_bcd"]),
        (b"\x16\x16\0\xff", []),
        (b"\x68\x16", []),
        (b"\xfe\xfe\xfe", []),
    ],
)
def test_what_is_refused_between_two_sound_frames(bad: bytes, reasons: list[str]) -> None:
    good, other = frame(0x91, "00010102" + "0022"), frame(0x91, "00010102" + "0122")
    found = PROTOCOLS["dlt645-2007"](good + bad + other)
    assert [one["values"] for one in found if not one.get("reject")] == [[220.0], [220.1]]
    assert [one["why"] for one in found if one.get("reject")] == reasons


# --- what a profile reads


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("0100", {"voltage_lost_a": True}),
        ("1000", {"overcurrent_a": True}),
        ("2000", {"overload_a": True}),
        ("8000", {"phase_broken_a": True}),
        ("0001", {}),
        ("0000", {}),
        ("FFFF", dict.fromkeys(("voltage_lost_a", "overcurrent_a", "overload_a", "phase_broken_a"), "absent")),
    ],
)
def test_the_bits_of_a_phases_word_and_of_a_word_the_meter_has_not(word: str, found: dict[str, object]) -> None:
    profile = load_file(PROFILES / "dlt645-2007-three-phase.toml")
    (one,) = try_capture(profile, frame(0x91, flipped("04000504") + word))
    bits = ("voltage_lost_a", "overcurrent_a", "overload_a", "phase_broken_a")
    assert {name: one[name] for name in bits} == dict.fromkeys(bits, False) | found


def test_a_breakers_current_has_one_decimal_and_its_leakage_may_be_missing() -> None:
    profile = load_file(PROFILES / "dlt645-residual-breaker.toml")
    raw = frame(0x91, flipped("02020100") + "341200") + frame(0x91, flipped("0290FF00") + "FFFFFF")
    current, leakage = try_capture(profile, raw)
    assert current["current_a_a"] == 123.4
    assert (leakage["residual_ma"], leakage["residual_phase"]) == ("absent", "absent")
