"""Modbus frames: captured bytes, every function, glued and damaged input, and the reader of a shared line."""

import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from drivers.codecs.modbus import (
    Answer,
    LineReader,
    ReadRequest,
    crc16,
    decode_eastron_frames,
    decode_frames,
    match_pdu,
    rtu_frame,
    take_tcp,
    tcp_frame,
)

CAPTURES = Path(__file__).parent.parent / "captures"
DECODERS = {"modbus-afd-xy16": decode_frames, "modbus-eastron": decode_eastron_frames}
VECTORS = [vector for name in DECODERS for vector in json.loads((CAPTURES / f"{name}.json").read_text())]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_each_captured_frame_decodes_to_its_meaning(vector: dict) -> None:
    meaning = {key: value for key, value in vector["meaning"].items() if key != "note"}
    (frame,) = DECODERS[vector["protocol"]](bytes.fromhex(vector["data"]))
    assert meaning.items() <= frame.items()


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_captured_frame_with_any_bit_wrong_is_rejected(vector: dict) -> None:
    raw = bytes.fromhex(vector["data"])
    for bit in range(8 * len(raw)):
        spoiled = bytearray(raw)
        spoiled[bit // 8] ^= 1 << bit % 8
        first = DECODERS[vector["protocol"]](bytes(spoiled))[0]
        assert first.get("reject")  # behind it a shorter frame may check by chance, one time in 65536
        assert first.get("crc_ok", False) is False


def test_all_captures_of_a_file_glued_together_are_all_found() -> None:
    vectors = [vector for vector in VECTORS if vector["protocol"] == "modbus-afd-xy16"]
    frames = decode_frames(b"".join(bytes.fromhex(vector["data"]) for vector in vectors))
    assert [frame["function"] for frame in frames] == [vector["meaning"]["function"] for vector in vectors]
    assert [frame["direction"] for frame in frames] == [vector["meaning"]["direction"] for vector in vectors]


def test_damage_between_two_frames_is_one_reject_and_hides_neither() -> None:
    good = rtu_frame(1, bytes.fromhex("0302002a"))
    frames = decode_frames(good + good[:-1] + b"\x00" + good)
    assert [frame.get("reject", False) for frame in frames] == [False, True, False]
    assert frames[0]["values"] == frames[2]["values"] == [42]
    refused = {"reject": True, "why": "crc", "crc_ok": False, "event": None, "raw": (good[:-1] + b"\x00").hex()}
    assert refused.items() <= frames[1].items()


def test_a_damaged_frame_of_the_right_length_shows_what_could_be_read() -> None:
    (frame,) = decode_frames(bytes.fromhex("0103000000010000"))
    asked = {"unit": 1, "function": 3, "direction": "request", "start": 0, "count": 1, "crc_ok": False}
    assert ({"reject": True, "event": None} | asked).items() <= frame.items()
    (meter,) = decode_eastron_frames(bytes.fromhex("01030442C800006FB6"))
    assert (meter["reject"], meter["value"], meter["crc_ok"]) == (True, 100.0, False)
    (torn,) = decode_frames(bytes.fromhex("010300000001"))
    assert torn == {"reject": True, "why": "crc", "event": None, "crc_ok": False, "raw": "010300000001"}


@pytest.mark.parametrize(
    ("pdu", "fields"),
    [
        ("01000a0010", {"direction": "request", "start": 10, "count": 16}),
        ("0102cd01", {"direction": "response", "values": [1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]}),
        ("0200000008", {"direction": "request", "start": 0, "count": 8}),
        ("020105", {"direction": "response", "values": [1, 0, 1, 0, 0, 0, 0, 0]}),
        ("0300060001", {"direction": "request", "start": 6, "count": 1}),
        ("0304000a0102", {"direction": "response", "values": [10, 258]}),
        ("0402ffff", {"direction": "response", "values": [65535]}),
        ("0500acff00", {"direction": "request", "start": 172, "count": 1, "values": [1]}),
        ("0600010003", {"direction": "request", "start": 1, "count": 1, "values": [3]}),
        (
            "0f0013000a02cd01",
            {"direction": "request", "start": 19, "count": 10, "values": [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]},
        ),
        ("0f0013000a", {"direction": "response", "start": 19, "count": 10}),
        ("100001000204000a0102", {"direction": "request", "start": 1, "count": 2, "values": [10, 258]}),
        ("1000010002", {"direction": "response", "start": 1, "count": 2}),
        ("8302", {"direction": "response", "function": 131, "exception": 2}),
        ("8004", {"direction": "response", "function": 128, "exception": 4}),
    ],
)
def test_each_function_is_read_in_both_directions(pdu: str, fields: dict) -> None:
    (frame,) = decode_frames(rtu_frame(17, bytes.fromhex(pdu)))
    assert {"unit": 17, "crc_ok": True, **fields}.items() <= frame.items()


def test_a_frame_whose_length_fits_both_directions_is_told_by_the_question_before_it() -> None:
    question = rtu_frame(1, struct.pack(">BHH", 1, 0x10, 20))  # 20 coils: three bytes, so the answer has 8 bytes too
    answer = rtu_frame(1, bytes.fromhex("0103010001"))
    assert [frame["direction"] for frame in decode_frames(question + answer)] == ["request", "response"]
    assert decode_frames(answer)[0]["direction"] == "request"
    write = rtu_frame(1, bytes.fromhex("0600010003"))
    assert [frame["direction"] for frame in decode_frames(write * 2)] == ["request", "response"]


def test_eastron_pairs_are_floats_and_nan_is_absent() -> None:
    data = struct.pack(">3f", 230.5, -1.25, math.nan)
    (frame,) = decode_eastron_frames(rtu_frame(1, bytes((4, 12)) + data))
    assert (frame["values"], frame["type"]) == ([230.5, -1.25, None], "float32_be")


def test_a_float_shows_the_digits_it_has_and_keeps_its_bytes() -> None:
    raw = bytes.fromhex("01040443663334" + "1B38")
    (frame,) = decode_eastron_frames(raw)
    assert (frame["value"], frame["byte_count"], frame["raw"]) == (230.2, 4, raw.hex())


@given(st.binary(max_size=300))
def test_any_bytes_decode_to_something_and_nothing_is_raised(data: bytes) -> None:
    assert decode_frames(data) and decode_eastron_frames(data)


@given(st.integers(1, 247), st.integers(0, 65000), st.lists(st.integers(0, 65535), min_size=1, max_size=125))
def test_our_frames_are_those_of_pymodbus(unit: int, start: int, words: list[int]) -> None:
    request = ReadRequest(unit, 3, start, len(words))
    framer = FramerRTU(DecodePDU(False))
    assert framer.encode(request.pdu, unit, 0) == rtu_frame(unit, request.pdu)
    pdu = struct.pack(f">BB{len(words)}H", 3, 2 * len(words), *words)
    assert FramerRTU(DecodePDU(False)).encode(pdu, unit, 0) == rtu_frame(unit, pdu)
    assert match_pdu(request, pdu) == Answer(tuple(words))


# -- the reader of a shared line ---------------------------------------------------------------------------------------

ASKED = ReadRequest(7, 3, 0, 4)
WIRE = rtu_frame(7, ASKED.pdu)
WORDS = (1, 2, 3, 4)
REPLY = rtu_frame(7, bytes((3, 8)) + struct.pack(">4H", *WORDS))
OTHERS = st.one_of(
    st.builds(
        lambda unit, words: rtu_frame(unit, bytes((3, 8)) + words),
        st.integers(8, 20),
        st.binary(min_size=8, max_size=8),
    ),
    st.builds(lambda words: rtu_frame(7, bytes((3, 6)) + words), st.binary(min_size=6, max_size=6)),
    st.builds(lambda words: rtu_frame(7, bytes((4, 8)) + words), st.binary(min_size=8, max_size=8)),
    st.builds(
        lambda head: rtu_frame(9, bytes((3, 2 * len(head) // 2 * 2)) + head[: len(head) // 2 * 2]),
        st.binary(min_size=2, max_size=40),
    ),
    st.builds(lambda start: rtu_frame(3, struct.pack(">BHH", 3, start, 10)), st.integers(0, 0xFFF)),
)
NOISE = st.binary(min_size=1, max_size=12).filter(lambda data: 7 not in data)


def _reader() -> LineReader:
    reader = LineReader()
    reader.expect(ASKED)
    return reader


def _hear(reader: LineReader, stream: bytes, cuts: list[int]) -> Answer | None:
    """Feed a stream in pieces, then let the line fall silent."""
    at, answer = 0, None
    for cut in [*sorted({cut % (len(stream) + 1) for cut in cuts}), len(stream)]:
        answer = answer or reader.feed(stream[at:cut])
        at = cut
    return answer or reader.settle()


@given(st.lists(st.one_of(NOISE, OTHERS, st.just(WIRE)), max_size=5), st.lists(st.integers(0, 400), max_size=8))
def test_noise_echo_and_frames_of_others_are_never_an_answer(pieces: list[bytes], cuts: list[int]) -> None:
    assert _hear(_reader(), b"".join(pieces), cuts) is None


@given(NOISE | st.just(b""), st.booleans(), st.lists(OTHERS, max_size=2), st.lists(st.integers(0, 400), max_size=8))
def test_the_answer_is_found_behind_noise_echo_and_frames_of_others(
    noise: bytes, echo: bool, others: list[bytes], cuts: list[int]
) -> None:
    stream = (WIRE if echo else b"") + b"".join(others) + noise + REPLY
    assert _hear(_reader(), stream, cuts) == Answer(WORDS)


@given(st.integers(1, len(REPLY) - 1), st.integers(0, 8 * len(REPLY) - 1))
def test_a_torn_or_damaged_answer_is_none(length: int, bit: int) -> None:
    assert _hear(_reader(), REPLY[:length], []) is None
    spoiled = bytearray(REPLY)
    spoiled[bit // 8] ^= 1 << bit % 8
    assert _hear(_reader(), bytes(spoiled), []) is None


def test_a_whole_answer_after_a_torn_one_is_found() -> None:
    assert _hear(_reader(), REPLY[:6] + REPLY, []) == Answer(WORDS)


def test_an_answer_inside_the_data_of_a_foreign_frame_is_not_ours() -> None:
    inside = REPLY + b"\0" * (len(REPLY) % 2)
    foreign = rtu_frame(9, bytes((3, len(inside))) + inside)
    reader = _reader()
    assert reader.feed(foreign[:20]) is None  # the embedded frame is complete here, the foreign one is not
    assert reader.feed(foreign[20:]) is None
    assert reader.settle() is None
    assert [frame.unit for frame in reader.strangers] == [9]


def test_an_echo_that_looks_like_an_answer_is_dropped() -> None:
    request = ReadRequest(1, 1, 0x0310, 20)  # its bytes are also an answer of three bytes
    wire = rtu_frame(1, request.pdu)
    reader = LineReader()
    reader.expect(request)
    assert reader.feed(wire) is None
    assert reader.settle() is None
    assert reader.echoes == 1


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20))
def test_a_reader_holds_a_bounded_number_of_bytes(chunks: list[bytes]) -> None:
    reader = _reader()
    for chunk in chunks:
        reader.feed(chunk)
        assert len(reader._buffer) <= 1024


def test_both_kinds_of_exception_answer_the_question() -> None:
    for function in (0x83, 0x80):
        assert _reader().feed(rtu_frame(7, bytes((function, 2)))) == Answer((), 2)
    assert _reader().feed(rtu_frame(7, b"\x84\x02")) is None


@pytest.mark.parametrize("request_", [(1, 3, 0, 126), (1, 3, 0, 0), (1, 3, 65535, 2), (1, 5, 0, 1), (256, 3, 0, 1)])
def test_a_question_that_cannot_be_asked_is_refused(request_: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no read request"):
        ReadRequest(*request_)


@given(st.lists(st.tuples(st.integers(0, 65535), st.binary(min_size=2, max_size=200)), max_size=4), st.integers(1, 50))
def test_any_slicing_of_a_tcp_stream_gives_the_same_frames(frames: list[tuple[int, bytes]], size: int) -> None:
    stream = b"".join(tcp_frame(number, 1, pdu) for number, pdu in frames)
    buffer, found = bytearray(), []
    for at in range(0, len(stream), size):
        buffer += stream[at : at + size]
        found += take_tcp(buffer)
    assert [(frame.transaction, frame.pdu) for frame in found] == frames
    assert not buffer


def test_a_stream_that_is_no_modbus_tcp_is_refused() -> None:
    with pytest.raises(ValueError, match="protocol"):
        take_tcp(bytearray(b"HTTP/1.1 400 Bad Request"))


def test_the_crc_is_that_of_the_standard() -> None:
    assert crc16(bytes.fromhex("0207")) == 0x1241  # Modbus over Serial Line 1.02, appendix B: 41 12 on the line


def test_a_sound_crc_around_a_frame_of_a_wrong_length_is_refused_whatever_its_function() -> None:
    for function in range(256):
        for length in range(1, 14):
            frame = rtu_frame(7, bytes((function,)) + bytes(range(1, length)))
            for before in (b"", rtu_frame(7, b"\x03\0\0\0\1")):
                for one in decode_frames(before + frame):
                    assert one.get("crc_ok") is not None or one["why"] in ("short", "crc")
    # Found by the coverage-guided fuzzer: an exception without its code.
    assert [one["why"] for one in decode_frames(rtu_frame(7, b"\x83"))] == ["length"]
