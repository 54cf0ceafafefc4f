"""DL/T 645 frames: every capture to its meaning, every slicing the same, nothing a peer sends gets out of hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs import dlt645
from drivers.codecs.dlt645 import Frame, LineReader, Refused, encode
from drivers.codecs.dlt645_items import NotBcd, bcd, decode_frames
from drivers.codecs.registry import PROTOCOLS

CAPTURES = Path(__file__).parents[1] / "captures"
VECTORS: list[dict[str, Any]] = [
    vector
    for name in ("dlt645_2007", "dlt645_1997", "dlt645_invalid")
    for vector in json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))
]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_capture_decodes_to_its_meaning(vector: dict[str, Any]) -> None:
    shown = PROTOCOLS[vector["protocol"]](bytes.fromhex(vector["hex"]))
    assert len(shown) == 1
    if not vector["meaning"]["valid"]:
        assert shown[0]["reject"]
        assert str(shown[0]["why"]).isascii()
        return
    wanted = vector["meaning"]["fields"]
    assert {key: shown[0].get(key, "absent") for key in wanted} == wanted


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["meaning"]["valid"]], ids=lambda v: v["name"])
def test_a_frame_encoded_again_is_the_same(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (frame,) = LineReader().feed(raw)
    assert isinstance(frame, Frame)
    assert b"\xfe" * frame.wakeup_bytes + encode(frame.address, frame.control, frame.data, wake=False) == raw


ADDRESSES = st.text("0123456789", min_size=12, max_size=12) | st.just(dlt645.WILDCARD)
FRAMES = st.builds(
    encode, ADDRESSES, st.integers(0, 255), st.binary(max_size=dlt645.DATA_BYTES_MAX), wake=st.booleans()
)


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(1, 60), max_size=40))
def test_any_slicing_gives_the_same_frames(frames: list[bytes], cuts: list[int]) -> None:
    stream, reader = b"".join(frames), LineReader()
    found, at = [], 0
    for size in [*cuts, len(stream)]:
        found += reader.feed(stream[at : at + size])
        at += size
    assert found == LineReader().feed(stream)
    assert [one.raw for one in found] == frames


@given(st.binary(max_size=600))
def test_noise_never_raises_and_never_piles_up(noise: bytes) -> None:
    reader = LineReader()
    good = encode("000000000001", 0x91, b"\x00\x01\x01\x02\x19\x23")
    found = [*reader.feed(noise), *reader.settle(), *reader.feed(good)]
    assert isinstance(found[-1], Frame)
    assert found[-1].raw.endswith(good[4:])
    assert all(isinstance(one, Frame | Refused) for one in found)
    reader.feed(noise * 20)
    assert len(reader._buf) <= dlt645.HEAD_BYTES + dlt645.DATA_BYTES_MAX + dlt645.TAIL_BYTES + 256


def test_a_frame_behind_a_false_start_is_found() -> None:
    good = encode("000000000001", 0x91, b"\x00\x01\x01\x02\x19\x23", wake=False)
    for false in (b"\x68", b"\x68\x00\x00\x00\x00\x00\x00\x68", b"\x68\x11\x22\x68\x68\x68\x68\x68\x91\x05"):
        found = LineReader()
        frames = [*found.feed(false + good), *found.settle()]
        assert [one.raw for one in frames if isinstance(one, Frame)] == [good], false


def test_a_flipped_bit_anywhere_makes_no_other_frame() -> None:
    good = encode("123456789012", 0x91, bytes.fromhex("0001010256341200"), wake=False)
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        reader = LineReader()
        assert not [one for one in (*reader.feed(bytes(bad)), *reader.settle()) if isinstance(one, Frame)], bit


@pytest.mark.parametrize(
    ("data", "decimals", "signed", "number"),
    [
        ("1923", 1, False, 231.9),
        ("994900", 3, True, 4.999),
        ("341280", 3, True, -1.234),  # the top bit of the highest byte is the sign
        ("341280", 3, False, 801.234),
        ("FFFF", 1, False, None),
        ("FFFFFF", 3, True, None),
        ("2301", 0, False, 123),
    ],
)
def test_bcd(data: str, decimals: int, signed: bool, number: float | None) -> None:
    assert bcd(bytes.fromhex(data), decimals, signed=signed) == number


@pytest.mark.parametrize("data", ["1A23", "FF23", "23FF", ""])
def test_what_is_no_number_is_said_to_be_none(data: str) -> None:
    with pytest.raises(NotBcd):
        bcd(bytes.fromhex(data), 1)
    if data:
        frame = encode("000000000001", 0x91, bytes.fromhex("00010102" + data))
        assert decode_frames(frame)[0]["invalid"] is True


def test_frames_of_one_answer_carry_their_number() -> None:
    shown = decode_frames(
        encode("000000000001", 0xB1, bytes.fromhex("00FF0000")[::-1] + b"\x01\x00\x00\x00")
        + encode("000000000001", 0x92, bytes.fromhex("00FF0000")[::-1] + b"\x02\x00\x00\x00\x01")
    )
    assert [(one["more_frames"], one.get("seq")) for one in shown] == [(True, None), (False, 1)]
    assert shown[1]["payload_hex"] == "0200000001"


@pytest.mark.parametrize(("address", "data"), [("123", b""), ("12345678901B", b""), ("123456789012", bytes(201))])
def test_what_cannot_be_sent_is_refused(address: str, data: bytes) -> None:
    with pytest.raises(ValueError):
        encode(address, 0x11, data)
