"""GB/T 26875.3-2011: any slicing of the stream, damage of every kind, what a reader holds and for how long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.gb26875 import (
    DIALECTS,
    Command,
    Frame,
    FrameReader,
    Rejected,
    write_time,
)
from drivers.codecs.gb26875.reader import NOISE_BYTES_MAX, PARTIAL_S
from drivers.codecs.gb26875.tables import COMMANDS
from drivers.codecs.gb26875.times import NO_CLOCK
from tests.codecs.gb_bench import FIRE, FOREVER_NS, NOON, frame, read
from tests.codecs.gb_objects import frames


@given(frames)
def test_any_packet_reads_back_the_same(sent: Frame) -> None:
    raw = sent.encode()
    assert Frame.decode(raw) == sent
    assert read(raw) == [sent]
    assert len(raw) == 30 + len(sent.adu)


@given(
    st.lists(
        st.one_of(frames.map(Frame.encode), st.binary(max_size=40), st.just(b"@@"), st.just(FIRE[:40])), max_size=5
    ),
    st.lists(st.integers(0, 4000), max_size=12),
)
def test_any_slicing_of_the_stream_gives_the_same_packets_and_refusals(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    reader, found, at = FrameReader(), list[Frame | Rejected](), 0
    for end in [*sorted({cut_ % (len(stream) + 1) for cut_ in cuts}), len(stream)]:
        found += reader.feed(stream[at:end], 0)
        at = end
        assert reader.held_bytes() < 1054 + NOISE_BYTES_MAX
    assert found + reader.tick(FOREVER_NS) == read(stream)
    assert reader.deadline_ns() is None


@given(st.lists(frames, min_size=1, max_size=4), st.binary(max_size=30).filter(lambda noise: b"@" not in noise))
def test_packets_glued_together_behind_noise_are_all_found(sent: list[Frame], noise: bytes) -> None:
    found = read(noise + b"".join(one.encode() for one in sent))
    assert [item for item in found if isinstance(item, Frame)] == sent
    assert [item.raw for item in found if isinstance(item, Rejected)] == ([noise] if noise else [])


def test_byte_by_byte_comes_to_the_same() -> None:
    reader, found = FrameReader(), list[Frame | Rejected]()
    for value in FIRE * 2:
        found += reader.feed(bytes((value,)), 0)
    assert found == [Frame.decode(FIRE)] * 2
    assert reader.held_bytes() == 0


def test_start_and_end_marks_inside_a_packet_split_nothing() -> None:
    inner = frame(adu=b"\x80\x01" + b"@@##" * 20 + b"#")
    assert read(inner.encode() * 2) == [inner, inner]


@pytest.mark.parametrize(
    ("spoil", "reason", "answerable"),
    [
        (lambda raw: raw[:-3] + bytes((raw[-3] ^ 1,)) + raw[-2:], "checksum", True),
        (lambda raw: raw[:-1] + b"!", "end", False),
        (lambda raw: raw[:24] + b"\x01\x04" + raw[26:], "length", False),
        (lambda raw: raw[:-1], "partial", False),
        (lambda raw: raw[:28], "partial", False),
        (lambda raw: b"!" + raw[1:], "noise", False),
    ],
)
def test_each_check_error_is_named_and_a_sound_packet_behind_it_is_found(
    spoil: Any, reason: str, answerable: bool
) -> None:
    spoiled = spoil(FIRE)
    alone = read(spoiled)
    assert [getattr(item, "reason", None) for item in alone[:1]] == [reason]
    assert not any(isinstance(item, Frame) for item in alone)
    behind = read(spoiled + FIRE)
    assert [item for item in behind if isinstance(item, Frame)] == [Frame.decode(FIRE)]
    (first,) = [item for item in alone if isinstance(item, Rejected)][:1]
    assert (first.frame is not None) == answerable
    if first.frame is not None:
        assert first.frame.answer(Command.DENY, NO_CLOCK).serial == Frame.decode(FIRE).serial


def test_a_reserved_command_is_a_check_error_unless_the_dialect_uses_it() -> None:
    for command in set(range(256)) - COMMANDS:
        sent = frame(command=command)
        assert read(sent.encode()) == [Rejected("command", sent.encode(), sent)]
        with pytest.raises(ValueError, match="command"):
            Frame.decode(sent.encode())
    keepalive = frame(command=7)
    assert read(keepalive.encode(), extra_commands=DIALECTS["dahua-1.03"].extra_commands) == [keepalive]


def test_a_sound_packet_inside_a_damaged_one_is_found() -> None:
    inner = frame(serial=9, adu=b"\x51\x01\x00")
    outer = frame(adu=b"\x80\x01" + inner.encode()).encode()
    assert [item for item in read(outer) if isinstance(item, Frame)] == [Frame.decode(outer)]
    damaged = outer[:-3] + bytes((outer[-3] ^ 0xFF,)) + outer[-2:]
    found = read(damaged)
    assert isinstance(found[0], Rejected)
    assert found[1:] == [inner]


def test_a_half_packet_is_dropped_after_ten_seconds_and_the_next_one_is_sound() -> None:
    reader = FrameReader()
    assert reader.feed(FIRE[:40], 0) == []
    assert reader.deadline_ns() == round(PARTIAL_S * 1e9) == 10_000_000_000
    assert reader.tick(9_999_999_999) == []
    assert reader.feed(FIRE[40:50], 9_999_999_999) == []  # a drop of bytes does not buy it more time
    assert reader.tick(10_000_000_000) == [Rejected("partial", FIRE[:50])]
    assert reader.deadline_ns() is None
    assert reader.feed(FIRE, 10_000_000_001) == [Frame.decode(FIRE)]


def test_a_whole_packet_caught_behind_a_half_one_comes_out_when_that_one_is_given_up() -> None:
    half = frame(adu=bytes(500)).encode()[:100]
    reader = FrameReader()
    assert reader.feed(half, 0) == []
    assert reader.feed(FIRE + FIRE[:20], 4_000_000_000) == []
    given_up = reader.tick(10_000_000_000)
    assert given_up == [Rejected("partial", half + FIRE + FIRE[:20]), Frame.decode(FIRE)]
    assert reader.deadline_ns() == 14_000_000_000  # the second half one came later and keeps its own time
    assert reader.feed(FIRE[20:], 13_000_000_000) == [Frame.decode(FIRE)]


def test_noise_is_told_in_pieces_and_never_kept_for_ever() -> None:
    reader = FrameReader()
    found = reader.feed(b"!" * 600, 0)
    assert [len(item.raw) for item in found if isinstance(item, Rejected)] == [256, 256]
    assert reader.deadline_ns() == 10_000_000_000
    assert reader.tick(10_000_000_000) == [Rejected("noise", b"!" * 88)]
    assert reader.held_bytes() == 0


def test_a_line_of_start_marks_is_refused_in_pieces_not_byte_by_byte() -> None:
    assert len(read(b"@" * 2700)) <= 2700 // 27 + 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"serial": 65536},
        {"serial": -1},
        {"command": 256},
        {"version": 256},
        {"sent": b""},
        {"source": bytes(5)},
        {"target": bytes(7)},
        {"adu": bytes(1025)},
    ],
)
def test_a_packet_that_does_not_fit_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        frame(**wrong).encode()


def test_an_answer_repeats_the_serial_number_and_swaps_the_addresses() -> None:
    sent = Frame.decode(FIRE)
    confirm = sent.answer(Command.CONFIRM, write_time(NOON, bcd=False))
    assert (confirm.serial, confirm.command, confirm.adu) == (sent.serial, 3, b"")
    assert (confirm.source, confirm.target) == (sent.target, sent.source)
