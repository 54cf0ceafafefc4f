"""A circuit that is unlike its own past: what is learned, and what is never learned."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.model import Limits, Point
from edge_agent.points.learned import AT_ONCE, EVERY_NS
from edge_agent.points.questions import Baseline
from tests.points.rules_bench import DAY, LEAK, Make, S, run, spec, told


def day_of(hour_ma: Callable[[int], float], days: int, every_s: int = 60) -> list[float]:
    """A value each minute."""
    return [hour_ma(second // 3600 % 24) for second in range(0, days * DAY, every_s)]


def busy(hour: int) -> float:
    """A workshop: more by day than by night."""
    return 45.0 if 8 <= hour < 18 else 30.0


LEARNING = {"baseline_k": 4.0, "baseline_least": 30.0, "baseline_learn_s": 3.0 * DAY}


def test_a_circuit_that_is_unlike_its_own_past_is_told_long_before_its_limit(table: Make) -> None:
    points = table([spec(alarm_high=300.0, **LEARNING)])
    assert run(points, day_of(busy, 4), every_s=60) == []
    events = run(points, [100.0] * 10, every_s=60, from_s=4 * DAY)
    assert told(events) == [("prealarm", True, "baseline")]
    fields = events[0].fields
    assert 30 < fields["mean"] < 45 and fields["mean"] + 30 <= fields["high"] < 100  # type: ignore[operator]


def test_it_does_not_judge_before_it_has_learned(table: Make) -> None:
    points = table([spec(**LEARNING)])
    run(points, day_of(busy, 2), every_s=60)
    assert run(points, [200.0] * 30, every_s=60, from_s=2 * DAY) == []


@pytest.mark.parametrize("abnormal_ma", [100.0, 350.0])
def test_an_alarm_is_never_learned_as_normal_however_long_it_lasts(table: Make, abnormal_ma: float) -> None:
    points = table([spec(alarm_high=300.0, **LEARNING)])
    run(points, day_of(busy, 4), every_s=60)
    before = points._points[LEAK].baseline.mean  # type: ignore[union-attr]
    events = run(points, [abnormal_ma] * (30 * 24), every_s=3600, from_s=4 * DAY)
    assert points._points[LEAK].baseline.mean == before  # type: ignore[union-attr]
    assert ("prealarm", True, "baseline") in told(events)
    assert ("prealarm", False, "baseline") not in told(events)


def test_what_is_over_a_limit_while_it_still_learns_is_not_learned(table: Make) -> None:
    points = table([spec(alarm_high=300.0, **LEARNING)])
    run(points, [40.0, 40.0, 40.0, 400.0] * 1500, every_s=60)
    baseline = points._points[LEAK].baseline
    assert (
        baseline is not None and baseline.learned_s == 3000 * 60 and baseline.mean == 40.0 and baseline.variance == 0.0
    )


def test_a_gap_of_days_teaches_no_more_than_five_minutes(table: Make) -> None:
    baseline = Baseline(k=4.0, least=10.0, learn_s=DAY, round_=0)
    baseline.learn(10.0, 0)
    baseline.learn(10.0, 60 * S)
    baseline.learn(500.0, 5 * DAY * S)
    assert baseline.learned_s == 360.0


@settings(max_examples=25)
@given(st.lists(st.floats(0, 299), min_size=1, max_size=50), st.integers(1, 49))
def test_a_restart_in_the_middle_changes_no_more_than_a_rounding(values: list[float], cut: int) -> None:
    def fresh() -> Baseline:
        return Baseline(k=4.0, least=10.0, learn_s=3600.0, round_=1)

    whole, first, second = fresh(), fresh(), fresh()
    for number, value in enumerate(values):
        whole.learn(value, number * 60 * S)
        (first if number < cut else second).learn(value, number * 60 * S)
        if number == cut - 1:
            second.restore(json.loads(json.dumps(first.piece())))
    if len(values) > cut:  # the first value after a restart teaches nothing: nobody knows how long it has been so
        assert 0 <= whole.learned_s - second.learned_s <= 61
        assert abs(whole.mean - second.mean) <= 300 * 61 / max(whole.learned_s, 61) + 1e-3


def test_the_memory_outlives_a_restart_and_another_round_forgets_it(table: Make) -> None:
    points = table([spec(**LEARNING)])
    run(points, day_of(busy, 4), every_s=60)
    points.learned.take(0)
    pieces, said = points.learned.take(EVERY_NS)
    assert said == {"ready": 1, "learning": 0}
    again = table([spec(**LEARNING)])
    again.restore(pieces)
    assert told(run(again, [100.0] * 10, every_s=60)) == [("prealarm", True, "baseline")]
    anew = table([spec(**LEARNING)], [Point(id=LEAK, limits=Limits(baseline_round=2))])
    anew.restore(pieces)
    assert run(anew, [100.0] * 10, every_s=60) == []


def test_the_memory_of_a_circuit_that_is_gone_goes(table: Make) -> None:
    points = table()
    points.restore({"pb:meter9/leak_ma": b'{"round":0,"learned_s":9,"mean":1,"variance":1}'})
    assert points.dump() == {"pb:meter9/leak_ma": None}


@pytest.mark.parametrize(
    "damaged",
    [b"{}", b'{"round":0,"learned_s":-1,"mean":1,"variance":1}', b'{"round":0,"learned_s":9,"mean":"x","variance":1}'],
)
def test_a_damaged_memory_is_learned_anew(table: Make, damaged: bytes) -> None:
    points = table([spec(**LEARNING)])
    points.restore({f"pb:{LEAK}": damaged})
    assert points._points[LEAK].baseline.learned_s == 0.0  # type: ignore[union-attr]


def test_many_baselines_are_kept_a_few_at_a_time(table: Make) -> None:
    points = table([spec(f"meter1/r{n}", **LEARNING) for n in range(2 * AT_ONCE + 1)])
    assert points.learned.take(0) == ({}, None)
    assert points.learned.take(EVERY_NS - 1) == ({}, None)
    turns = [points.learned.take(EVERY_NS + n) for n in range(4)]
    assert [len(pieces) for pieces, _ in turns] == [AT_ONCE, AT_ONCE, 1, 0]
    assert [said for _, said in turns] == [None, None, {"ready": 0, "learning": 2 * AT_ONCE + 1}, None]
