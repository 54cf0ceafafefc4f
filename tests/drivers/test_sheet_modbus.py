"""Registers at the ends of their ranges, written from the sheets: every code and bit, word orders, sentinels, exception answers."""

import itertools
import math
import struct

import pytest

from drivers.codecs.registry import PROTOCOLS
from drivers.modbus_map import compile_profile
from tests.drivers.test_modbus_patterns import RESET, Unit, shipped, values


def told(unit: Unit, function: int, address: int, word: int) -> list[str]:
    """What this word at this address says, of a point that was well before; it is well again afterwards."""
    unit.words[function, address] = word
    found = [event for _, event in unit.events()]
    unit.words[function, address] = 0
    unit.events()
    return found


# --- A: the last event, one register a device ---------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [0, 99, 100, 199, 200, 241])
def test_gst_card_every_code_of_devices_at_the_ends_of_its_pieces(address: int) -> None:
    codes = {1: "fire", 2: "fault", 3: "feedback", 5: "start", 6: "stop", 7: "isolate", 8: "isolate_restore"}
    codes |= {9: "fault_restore", 4: "fault", 10: "fault", 0xFFFF: "fault", 0x0100: "fault"}  # what no sheet names
    card = Unit("gst-modbus-card")
    card.events()
    for code, event in codes.items():
        assert told(card, 3, address, code) == [event], code
    for code in (1, 3, 5, 6, 2, 7, 8, 9):  # a fire stays one under every later word, until all is 0
        card.put(3, **{f"a{address}": code})
        assert RESET not in card.events()
    card.put(3, **{f"a{address}": 0})
    assert card.events()[-1] == RESET


def test_gst_card_supplies_do_not_hold_a_reset_back() -> None:
    card = Unit("gst-modbus-card")
    card.events()
    card.put(3, a242=2, a243=2, a244=2, a0=1)
    assert sorted(card.events()) == [
        ("001", "fire"),
        ("battery", "battery_fault"),
        ("bus", "fault"),
        ("mains", "mains_fault"),
    ]
    card.put(3, a242=9, a243=9, a244=9, a0=0)
    restored = [RESET, ("battery", "battery_ok"), ("bus", "fault_restore"), ("mains", "mains_ok")]
    assert sorted(card.events()) == restored


# --- B: loop * 256 + point ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "point"), [(257, "1-001"), (508, "1-252"), (513, "2-001"), (553, "2-041"), (764, "2-252")]
)
def test_jade_bird_places(address: int, point: str) -> None:
    panel = Unit("jade-bird-modbus")
    panel.events()
    for word in (1, 0x80, 0xFFFF):
        panel.put(3, **{f"a{address}": 0})
        panel.events()
        panel.put(3, **{f"a{address}": word})
        assert panel.events() == [(point, "unknown")]


# --- C: flags in the upper byte, what active means in the lower ---------------------------------------------------------------

ACTIVE, ENABLED = 1 << 11, 1 << 10
CLASSES = {
    0x10: "fire", 0x11: "burglar", 0x14: "gas_alarm", 0x52: "isolate",
    **dict.fromkeys((0x05, 0x12, 0x13, 0x15, 0x20, 0x21, 0x25, 0x30, 0x40, 0x45), "supervisory"),
    **dict.fromkeys((0x55, 0x71, 0x72), "start"),
    **dict.fromkeys(range(0xEA, 0xEF), "gas_alarm"),
}  # fmt: skip


@pytest.mark.parametrize("address", [0, 158])
def test_notifier_every_lower_byte_while_active_and_while_not(address: int) -> None:
    panel = Unit("notifier-modbus-gw")
    panel.events()
    for low in range(0xFF):
        wanted = CLASSES.get(low, "unknown")  # active, and nobody says what: an alarm all the same
        assert told(panel, 3, address, ACTIVE | ENABLED | low) == [wanted], hex(low)
        assert told(panel, 3, address, ENABLED | 1 << 12 | low) == [], hex(low)
    assert told(panel, 3, address, 0xFFFF) == ["fault"]  # it was there, and is not any more


def test_notifier_every_bit_of_the_upper_byte_alone_and_together() -> None:
    panel = Unit("notifier-modbus-gw")
    panel.events()
    bits = {15: [], 14: ["prealarm"], 13: ["fault"], 12: [], 10: [], 9: ["isolate"], 8: []}
    for bit, wanted in bits.items():
        assert told(panel, 3, 5, 1 << bit) == wanted, bit
    assert told(panel, 3, 5, 0xFF10) == ["fire", "fault", "isolate", "prealarm"]


# --- D: two bits a device -----------------------------------------------------------------------------------------------------


def test_t8b_every_device_in_every_state_is_itself_and_nobody_else() -> None:
    panel = Unit("gst-t8b-modbus")
    panel.events()
    for n, (code, event) in itertools.product((1, 2, 6, 7, 14, 15, 126), ((1, "fire"), (2, "fault"), (3, "isolate"))):
        # device 1 stands in bits 11-10 of 40031, device 7 in bits 15-14 of 40032
        register, bit = 30 + (n + 1) // 8, 14 - (n + 1) % 8 * 2
        panel.put(3, **{f"a{register}": code << bit})
        assert (f"1-{n:03d}", event) in (seen := panel.events()) and all(
            point in ("", f"1-{n:03d}") for point, _ in seen
        )
        panel.put(3, **{f"a{register}": 0})
        panel.events()


# --- G: FAAST -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["faast-modbus", "faast-xt-modbus"])
def test_faast_every_bit_of_both_low_bytes_and_nothing_of_the_high_ones(name: str) -> None:
    unit = Unit(name)
    unit.events()
    level = {0: "prealarm", 1: "prealarm", 2: "prealarm", 3: "fire", 4: "fire"}
    relays = {3: "fire", 4: "fire", 5: "fault", 6: "fault", 7: "isolate"}
    for address, bits in ((12, level), (7, relays)):
        for bit in range(16):
            wanted = [bits[bit]] if bit in bits else []
            assert told(unit, 3, address, 1 << bit) == wanted, (address, bit)


# --- numbers: word orders, ends, sentinels ------------------------------------------------------------------------------------


def one_value(kind: str, order: str, words: tuple[int, ...], more: str = "") -> object:
    text = {"name": "v", "address": 0, "type": kind, "word_order": order, "missing": [65535, -32768] if more else []}
    memory = compile_profile({"value": [text]}).memory("d")
    return values(memory.feed(0, words, 0))["v"]


ENDS = {
    "u16": ("H", (0, 1, 0x8000, 0xFFFF)),
    "s16": ("h", (-0x8000, -1, 0, 0x7FFF)),
    "u32": ("I", (0, 1, 0x10000, 0xFFFFFFFF)),
    "s32": ("i", (-0x80000000, -1, 0x7FFFFFFF)),
    "u64": ("Q", (0, 1, 1 << 63, (1 << 64) - 1)),
    "s64": ("q", (-(1 << 63), -1, (1 << 63) - 1)),
    "f32": ("f", (0.0, -0.5, 100.0, 3.0e38)),
}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
def test_numbers_at_both_ends_in_every_word_order(kind: str, order: str) -> None:
    letter, numbers = ENDS[kind]
    for number in numbers:
        data = struct.pack(f">{letter}", number)
        words = [data[n : n + 2] for n in range(0, len(data), 2)]
        words = words[::-1] if order in ("CDAB", "DCBA") else words
        words = [word[::-1] for word in words] if order in ("BADC", "DCBA") else words
        raw = tuple(int.from_bytes(word, "big") for word in words)
        assert one_value(kind, order, raw) == pytest.approx(number, rel=1e-6), (number, raw)


def test_what_stands_for_no_value_is_none() -> None:
    assert one_value("u16", "ABCD", (65535,), "missing") == "absent"
    assert one_value("s16", "ABCD", (0x8000,), "missing") == "absent"
    for number, reason in ((math.nan, "absent"), (math.inf, "overrange"), (-math.inf, "overrange")):
        assert one_value("f32", "ABCD", struct.unpack(">HH", struct.pack(">f", number))) == reason
    assert one_value("f32", "ABCD", (0xFFFF, 0xFFFF)) == "absent"


def test_abb_says_in_every_width_that_nothing_is_measured() -> None:
    places = {
        "voltage_a_v": (0x5B00, 2),
        "current_a_a": (0x5B0C, 2),
        "power_w": (0x5B14, 2),
        "power_factor": (0x5B3A, 1),
    }
    places |= {"frequency_hz": (0x5B2C, 1), "energy_import_kwh": (0x5000, 4), "energy_export_kwh": (0x5004, 4)}
    for first in (0xFFFF, 0x7FFF):
        meter = Unit("abb-b23")
        for address, width in places.values():
            meter.words |= {(3, address + n): 0xFFFF if n else first for n in range(width)}
        seen = values(meter.round())
        assert [seen[name] for name in places] == ["absent"] * len(places), hex(first)


def test_aim_r100_sentinels_and_status_bits_of_every_loop() -> None:
    profile = shipped("acrel-aim-r100")
    for n in range(1, 13):
        for raw, reason in ((0xE5E5, "short"), (0xFAFA, "open"), (5000, 5000)):
            unit = Unit(profile)
            unit.words |= {(3, 0x4A + loop): 10 for loop in range(12)}
            unit.words[3, 0x49 + n] = raw
            seen = values(unit.round())
            assert seen.get(f"residual_{n}_ma") == reason
            assert {seen.get(f"residual_{loop}_ma", 10) for loop in range(1, 13) if loop != n} == {10}


# --- answers as frames --------------------------------------------------------------------------------------------------------


def crc(data: bytes) -> bytes:
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


@pytest.mark.parametrize("slave", [1, 247])
@pytest.mark.parametrize("code", [1, 2, 3])
def test_exceptions_with_the_functions_bit_and_with_80_alone(slave: int, code: int) -> None:
    for function in (0x80, 0x81, 0x83, 0x84, 0x90):
        frame = bytes((slave, function, code))
        [shown] = PROTOCOLS["modbus-afd-xy16"](frame + crc(frame))
        assert (shown["unit"], shown["exception"], shown["crc_ok"]) == (slave, code, True), shown
        assert PROTOCOLS["modbus-afd-xy16"](frame + b"\0\0")[0].get("crc_ok") is not True
