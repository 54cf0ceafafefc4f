"""Modbus frames at the ends of what the specifications allow, with builders of our own: RTU, TCP, numbers in every order."""

import struct
from typing import Any

import pytest

from drivers.codecs.modbus import Answer, ReadRequest, match_pdu, take_tcp
from drivers.codecs.registry import PROTOCOLS
from drivers.modbus_value import compile_values


def rtu(text: str) -> bytes:
    """Unit and PDU as hex, then the CRC of the serial line specification, bit by bit, low byte first."""
    raw, value = bytes.fromhex(text), 0xFFFF
    for bit in (byte >> place & 1 for byte in raw for place in range(8)):
        value = value >> 1 ^ (0xA001 if (value ^ bit) & 1 else 0)
    return raw + struct.pack("<H", value)


def decoded(*frames: bytes, name: str = "modbus-afd-xy16") -> list[dict[str, Any]]:
    return PROTOCOLS[name](b"".join(frames))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("01 03 0000 0001", {"direction": "request", "start": 0, "count": 1}),
        ("F7 03 FFFF 0001", {"unit": 247, "start": 65535, "count": 1}),
        ("01 04 0200 007D", {"start": 512, "count": 125}),  # its third byte could be a byte count
        ("01 04 FA00 0001", {"direction": "request", "start": 0xFA00}),
        ("01 01 0000 07D0", {"start": 0, "count": 2000}),
        ("01 02 0300 0001", {"direction": "request", "start": 0x300, "count": 1}),
        ("01 03 02 8000", {"direction": "response", "byte_count": 2, "values": [32768]}),
        ("01 03 FA" + "FFFF" * 125, {"byte_count": 250, "values": [65535] * 125}),
        ("01 01 FA" + "FF" * 250, {"byte_count": 250, "values": [1] * 2000}),
        ("01 02 01 80", {"direction": "response", "values": [0] * 7 + [1]}),
        ("01 83 02", {"direction": "response", "function": 131, "exception": 2}),
        ("01 84 0B", {"function": 132, "exception": 11}),
        ("01 80 03", {"function": 128, "exception": 3, "note": "bare_exception"}),
        ("00 05 FFFF FF00", {"unit": 0, "start": 65535, "values": [1]}),
        ("01 05 0000 0000", {"values": [0]}),
        ("01 06 0000 FFFF", {"values": [65535]}),
        ("01 0F 0000 000A 02 FF03", {"direction": "request", "count": 10, "values": [1] * 10}),
        ("01 10 0000 007B F6" + "0001" * 123, {"direction": "request", "count": 123, "byte_count": 246}),
        ("01 10 0000 007B", {"direction": "response", "count": 123}),
        ("01 2B 0E 01 00", {"function": 0x2B, "data": "0e0100"}),  # unknown to us: kept
    ],
)
def test_frames_at_the_ends_of_their_fields(text: str, says: dict[str, object]) -> None:
    (one,) = decoded(rtu(text))
    assert {key: one.get(key, "absent") for key in says} == says
    assert one["crc_ok"] is True
    damaged = rtu(text)
    assert all(item.get("reject") for item in decoded(damaged[:-1] + bytes((damaged[-1] ^ 1,))))


def test_an_answer_that_looks_like_a_question_is_told_by_the_one_before_it() -> None:
    question, answer = rtu("01 01 0000 0018"), rtu("01 01 03 0100 80")
    assert [one["direction"] for one in decoded(question, answer)] == ["request", "response"]
    assert decoded(question, answer)[1]["values"] == [1] + [0] * 22 + [1]


def test_frames_glued_with_garbage_between_and_half_a_frame() -> None:
    found = decoded(b"\0\xff", rtu("01 03 02 0001"), b"\x01\x03", rtu("02 83 02"), rtu("01 03 04 00010002")[:-3])
    assert [one.get("exception", one.get("values")) for one in found if not one.get("reject")] == [[1], 2]
    assert len([one for one in found if one.get("reject")]) == 3


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("7F7FFFFF", 3.402823e38),
        ("C2C80000", -100.0),
        ("80000000", -0.0),
        ("00000001", 1.401298e-45),
        ("7FC00000", None),
    ],
)
def test_eastron_floats_to_their_ends(words: str, number: float | None) -> None:
    (one,) = decoded(rtu("01 04 04" + words), name="modbus-eastron")
    assert (one["value"], one["type"]) == (number, "float32_be")
    (infinite,) = decoded(rtu("01 04 08" + words + "7F800000"), name="modbus-eastron")
    assert infinite["values"] == [number, None]


@pytest.mark.parametrize(("function", "most"), [(1, 2000), (2, 2000), (3, 125), (4, 125)])
def test_an_answer_has_just_the_bytes_that_were_asked_for(function: int, most: int) -> None:
    for count in (1, 7, 8, 9, most):
        request = ReadRequest(1, function, 65536 - count, count)
        size = -(-count // 8) if function < 3 else 2 * count
        sound = bytes((function, size)) + b"\xff" * size
        assert match_pdu(request, sound) == Answer((1 if function < 3 else 65535,) * count)
        for wrong in (sound + b"\0", sound[:-1], bytes((function ^ 1, size)) + sound[2:], bytes((function, size - 1))):
            assert match_pdu(request, wrong) is None
        for exception in (1, 2, 3, 4, 5, 6, 8, 10, 11):
            assert match_pdu(request, bytes((function | 0x80, exception))) == Answer((), exception)
            assert match_pdu(request, bytes((0x80, exception))) == Answer((), exception)
    with pytest.raises(ValueError):
        ReadRequest(1, function, 0, most + 1)


@pytest.mark.parametrize(
    ("head", "sound"),
    [
        ("0000 0000 0003 01 83 02", True),
        ("FFFF 0000 0003 FF 83 02", True),
        ("0001 0000 00FE 01 03" + "00" * 252, True),
        ("0001 0000 0002 01 03", False),
        ("0001 0000 00FF 01 03" + "00" * 253, False),
        ("0001 0001 0003 01 83 02", False),
    ],
)
def test_tcp_heads_to_their_ends(head: str, sound: bool) -> None:
    raw = bytes.fromhex(head)
    if not sound:
        with pytest.raises(ValueError):
            take_tcp(bytearray(raw))
        return
    stream = bytearray(raw * 2 + raw[:-1])
    assert [(one.transaction, one.unit, one.pdu) for one in take_tcp(stream)] == [
        (int(head[:4], 16), raw[6], raw[7:])
    ] * 2
    assert bytes(stream) == raw[:-1]


@pytest.mark.parametrize(
    ("kind", "packed", "number"),
    [
        ("u16", ">H", 65535),
        ("s16", ">h", -32768),
        ("u32", ">I", 4294967295),
        ("s32", ">i", -2),
        ("s32", ">i", 0x01020304),
        ("f32", ">f", -1.5),
        ("u64", ">Q", 0x0102030405060708),
        ("s64", ">q", -3),
    ],
)
def test_numbers_in_every_order_of_their_bytes(kind: str, packed: str, number: float) -> None:
    raw = struct.pack(packed, number)
    pairs = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    orders = {
        "ABCD": pairs,
        "CDAB": pairs[::-1],
        "BADC": [pair[::-1] for pair in pairs],
        "DCBA": [pair[::-1] for pair in pairs[::-1]],
    }
    for order, wired in orders.items():
        table = {"name": "x", "address": 0, "type": kind, "word_order": order, "scale": 0.5}
        (value,) = compile_values([table], {}, 1000)
        words = [int.from_bytes(pair, "big") for pair in wired]
        assert value.read([7, *words], 1, None) == number * 0.5, order
