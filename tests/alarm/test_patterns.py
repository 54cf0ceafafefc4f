"""What buzzer and lamps do over time."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.alarm.patterns import FAULT_SOUND, FIRE_SOUND, LINK_SOUND, OFF, PAST, SENDING, STEADY, Pattern

MS = 1_000_000


def beeps(pattern: Pattern, until_ms: int) -> list[tuple[int, bool]]:
    changes, at_ns, level = [], 0, pattern.level(0)
    if level:
        changes.append((0, True))
    while (next_ns := pattern.next_change_ns(at_ns)) is not None and next_ns < until_ms * MS:
        at_ns = next_ns
        changes.append((at_ns // MS, pattern.level(at_ns)))
    return changes


def test_a_fault_sounds_half_a_second_each_five() -> None:
    assert beeps(FAULT_SOUND, 6000) == [(0, True), (500, False), (5000, True), (5500, False)]


def test_a_link_fault_sounds_two_short_beeps_each_five_seconds() -> None:
    assert beeps(LINK_SOUND, 5100) == [(0, True), (150, False), (300, True), (450, False), (5000, True)]


def test_a_fire_sounds_fast_and_without_pause_and_is_not_temporal_3() -> None:
    changes = [at for at, _ in beeps(FIRE_SOUND, 10_000)]
    gaps = [later - sooner for sooner, later in itertools.pairwise(changes)]
    assert max(gaps) <= 200


def test_off_and_steady_never_change() -> None:
    assert (OFF.level(10**15), STEADY.level(10**15)) == (False, True)
    assert OFF.next_change_ns(0) is None and STEADY.next_change_ns(0) is None


@given(st.sampled_from([FIRE_SOUND, FAULT_SOUND, LINK_SOUND, SENDING, PAST]), st.integers(0, 10**12))
def test_a_level_holds_exactly_until_the_next_change(pattern: Pattern, elapsed_ns: int) -> None:
    next_ns = pattern.next_change_ns(elapsed_ns)
    assert next_ns is not None and next_ns > elapsed_ns
    assert pattern.level(next_ns - 1) == pattern.level(elapsed_ns) != pattern.level(next_ns)


@pytest.mark.parametrize("steps", [(1,), (1, 0), (1, -1)])
def test_steps_that_do_not_last_are_refused(steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        Pattern(steps)
