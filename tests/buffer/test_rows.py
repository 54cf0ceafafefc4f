import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buffer import rows
from buffer.faults import Damaged

BODIES = st.lists(st.binary(max_size=200), min_size=1, max_size=60)


@given(BODIES)
def test_a_block_unpacks_to_what_was_packed(bodies: list[bytes]) -> None:
    coding, packed = rows.pack(bodies)
    offsets, got = rows.unpack(len(bodies), 0, coding, packed)
    assert (list(offsets), got) == (list(range(len(bodies))), bodies)


@given(BODIES, st.randoms())
def test_a_thinned_block_keeps_the_offsets_of_what_is_left(bodies: list[bytes], chance: object) -> None:
    offsets = sorted(chance.sample(range(500), len(bodies)))  # type: ignore[attr-defined]
    coding, packed = rows.pack(bodies, offsets)
    got_offsets, got = rows.unpack(len(bodies), 2, coding, packed)
    assert (list(got_offsets), got) == (offsets, bodies)


@settings(max_examples=200)
@given(st.binary(max_size=300), st.integers(0, 600), st.integers(0, 3), st.integers(0, 1))
def test_garbage_never_raises_anything_but_damaged(packed: bytes, count: int, level: int, coding: int) -> None:
    try:
        offsets, bodies = rows.unpack(count, level, coding, packed)
    except Damaged:
        return
    assert len(offsets) == len(bodies) == count


def test_a_block_that_would_fill_the_memory_is_refused() -> None:
    with pytest.raises(Damaged):
        rows.unpack(1, 0, rows.ZLIB, zlib.compress(b"\0" * (rows.UNPACKED_BYTES_MAX + 1)))


def test_thinning_spares_no_point_that_reports_in_turn() -> None:
    for points in (2, 3, 4, 10, 16):
        left = [n for n in range(1, 4001) if rows.survives(n, 1)]
        assert 0.4 < len(left) / 4000 < 0.6
        assert {n % points for n in left} == set(range(points))
    assert all(rows.survives(n, 1) for n in range(1000) if rows.survives(n, 2))


@given(st.binary(max_size=300), st.integers(0, 300 * 8))
def test_one_flipped_bit_changes_the_checksum(body: bytes, bit: int) -> None:
    seed = rows.seed("v-1", 0)
    flipped = bytearray(body + b".")
    flipped[bit // 8 % len(flipped)] ^= 1 << bit % 8
    assert rows.checksum(seed, 1, 2, body + b".") != rows.checksum(seed, 1, 2, bytes(flipped))
    assert rows.checksum(seed, 1, 2, body) != rows.checksum(seed, 1 ^ 1 << bit % 40, 2, body)
    assert rows.checksum(seed, 1, 2, body) != rows.checksum(seed, 1, 2 ^ 1 << bit % 60, body)


def test_blocks_are_bounded_in_records_and_bytes() -> None:
    assert [len(block) for block in rows.blocks([b"x"] * 1201)] == [500, 500, 201]
    big = [b"x" * 60_000] * 5
    assert [len(block) for block in rows.blocks(big)] == [2, 2, 1]
