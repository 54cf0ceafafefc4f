"""Intervals against a plain set of numbers."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.intervals import Intervals

RANGES = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1] - 1))
STEPS = st.lists(st.tuples(st.booleans(), RANGES), max_size=30)


def numbers(intervals: Intervals) -> set[int]:
    return {n for first, last in intervals for n in range(first, last + 1)}


@given(STEPS)
def test_intervals_hold_the_same_numbers_as_a_set(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    plain: set[int] = set()
    intervals = Intervals()
    for put, (first, last) in steps:
        if put:
            intervals.add(first, last)
            plain |= set(range(first, last + 1))
        else:
            intervals.discard(first, last)
            plain -= set(range(first, last + 1))
        assert numbers(intervals) == plain
        ranges = list(intervals)
        assert all(a <= b for a, b in ranges)
        assert all(b + 1 < c for (_, b), (c, _) in itertools.pairwise(ranges)), "ranges touch"
        assert intervals.count() == len(plain)
        assert intervals.high == max(plain, default=0)
        through = 0
        while through + 1 in plain:
            through += 1
        assert intervals.through == through


@given(STEPS, RANGES)
def test_the_first_missing_run_is_the_lowest_run_of_numbers_not_in_the_set(
    steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    intervals = Intervals(pair for put, pair in steps if put)
    plain = numbers(intervals)
    wanted = [n for n in range(asked[0], asked[1] + 1) if n not in plain]
    found = intervals.first_missing(*asked)
    if not wanted:
        assert found is None
        return
    assert found is not None
    assert found[0] == wanted[0]
    assert set(range(found[0], found[1] + 1)).isdisjoint(plain)
    assert found[1] == asked[1] or found[1] + 1 in plain
    assert intervals.covers(*asked) == (not wanted)


@given(STEPS, RANGES)
def test_overlap_is_the_part_of_a_range_that_is_in_the_set(
    steps: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    intervals = Intervals(pair for put, pair in steps if put)
    inside = {n for first, last in intervals.overlap(*asked) for n in range(first, last + 1)}
    assert inside == numbers(intervals) & set(range(asked[0], asked[1] + 1))
