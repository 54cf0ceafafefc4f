"""Delays, votes and limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.points.deadlines import Deadlines
from edge_agent.points.filters import Debounce, NofM, beyond

MS = 1_000_000


def test_only_a_level_that_lasted_counts_even_if_the_caller_is_late() -> None:
    pulse, late = Debounce(on_ns=200 * MS), Debounce(on_ns=200 * MS)
    assert [*pulse.feed(True, 0), *pulse.feed(False, 100 * MS), *pulse.tick(9000 * MS)] == []
    assert [*late.feed(True, 0), *late.feed(False, 1000 * MS)] == [(True, 200 * MS), (False, 1000 * MS)]


def test_each_way_has_its_own_delay_and_the_moment_is_when_it_had_lasted() -> None:
    debounce = Debounce(on_ns=50 * MS, off_ns=500 * MS)
    assert list(debounce.feed(True, 0)) == [] and debounce.deadline_ns == 50 * MS
    assert list(debounce.tick(49 * MS)) == []
    assert list(debounce.tick(70 * MS)) == [(True, 50 * MS)]
    assert list(debounce.feed(False, 100 * MS)) == [] and debounce.deadline_ns == 600 * MS
    assert list(debounce.tick(600 * MS)) == [(False, 600 * MS)]


def test_without_a_delay_every_change_counts_at_once() -> None:
    debounce = Debounce()
    assert [*debounce.feed(True, 5), *debounce.feed(True, 6), *debounce.feed(False, 7)] == [(True, 5), (False, 7)]


def test_nothing_settles_while_the_point_cannot_be_read() -> None:
    gone, stayed = Debounce(on_ns=50 * MS), Debounce(on_ns=50 * MS)
    for debounce in (gone, stayed):
        debounce.feed(True, 0)
        debounce.suspend()
        assert list(debounce.tick(1000 * MS)) == []
    assert list(gone.feed(False, 2000 * MS)) == []
    assert list(stayed.feed(True, 2000 * MS)) == [(True, 2000 * MS)]


@given(st.lists(st.integers(1, 49), max_size=60), st.booleans())
def test_bounces_shorter_than_the_delay_never_make_a_change_and_the_final_level_makes_one(
    gaps_ms: list[int], ends_closed: bool
) -> None:
    debounce = Debounce(on_ns=50 * MS, off_ns=50 * MS)
    now_ns, raw, settled = 0, False, []
    for gap in gaps_ms:
        raw = not raw
        settled += debounce.feed(raw, now_ns)
        settled += debounce.tick(now_ns + gap * MS - 1)
        now_ns += gap * MS
    settled += debounce.feed(ends_closed, now_ns)
    settled += debounce.tick(now_ns + 1000 * MS)
    assert [level for level, _ in settled] == ([True] if ends_closed else [])


@pytest.mark.parametrize(
    ("n", "m", "polls", "levels"),
    [
        (2, 3, [1, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]),
        (1, 3, [1, 0, 0, 0], [1, 1, 1, 0]),
        (3, 3, [1, 1, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 1]),
        (1, 1, [1, 0], [1, 0]),
    ],
)
def test_n_of_the_last_m_polls_must_agree(n: int, m: int, polls: list[int], levels: list[int]) -> None:
    votes = NofM(n, m)
    assert [int(votes.feed(bool(poll))) for poll in polls] == levels


def test_votes_that_cannot_be_won_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        NofM(3, 2)


@pytest.mark.parametrize(
    ("value", "was", "over"),
    [(99.9, False, False), (100.0, False, True), (99.0, True, True), (95.1, True, True), (95.0, True, False)],
)
def test_a_high_limit_is_left_only_past_the_hysteresis(value: float, was: bool, over: bool) -> None:
    assert beyond(value, high=100.0, low=None, hysteresis=5.0, was=was) is over


@pytest.mark.parametrize(
    ("value", "was", "over"), [(10.0, False, True), (10.1, False, False), (14.9, True, True), (15.0, True, False)]
)
def test_a_low_limit_is_left_only_past_the_hysteresis(value: float, was: bool, over: bool) -> None:
    assert beyond(value, high=None, low=10.0, hysteresis=5.0, was=was) is over


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6))
def test_without_hysteresis_a_value_on_the_limit_is_over_whatever_it_was(value: float, limit: float) -> None:
    for was in (False, True):
        assert beyond(value, high=limit, low=None, hysteresis=0.0, was=was) is (value >= limit)


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 100)))))
def test_deadlines_are_those_last_set(moves: list[tuple[int, int | None]]) -> None:
    deadlines, truth = Deadlines[int](), dict[int, int]()
    for key, at in moves:
        deadlines.set(key, at)
        truth.pop(key, None) if at is None else truth.__setitem__(key, at)
        assert deadlines.next_ns() == min(truth.values(), default=None)
    due = deadlines.take_due(50)
    assert sorted(due) == sorted(key for key, at in truth.items() if at <= 50)
    assert [truth[key] for key in due] == sorted(truth[key] for key in due)
    assert deadlines.next_ns() == min((at for at in truth.values() if at > 50), default=None)


def test_a_deadline_moved_a_million_times_takes_no_more_room() -> None:
    deadlines = Deadlines[str]()
    for at in range(10_000):
        deadlines.set("chatter", at)
    assert len(deadlines._heap) < 100
