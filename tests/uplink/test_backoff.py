"""Bounds of the waits between attempts, and what a county of gateways does with them."""

import random

import pytest

from benchmarks import herd
from benchmarks.herd import NAIVE, OUTAGES, Outage, simulate
from edge_agent.uplink.backoff import ALARM_CEILING_S, ALARM_TRIES, CEILING_S, FLOOR_S, SETTLED_S, Backoff
from edge_agent.uplink.pace import FLOOR_BYTES, Pace


def test_waits_stay_between_the_floor_and_the_ceiling_however_long_the_outage() -> None:
    backoff = Backoff(random.Random(7))
    waits = [backoff.next_s() for _ in range(3000)]
    assert min(waits) >= FLOOR_S
    assert max(waits) <= CEILING_S
    assert max(waits[:3]) <= FLOOR_S + 4
    assert max(waits[20:]) > CEILING_S * 0.9
    late = sorted(waits[20:])
    assert late[len(late) // 10] < CEILING_S * 0.2, "full jitter reaches down to the floor"


def test_an_alarm_is_tried_within_8_seconds_for_its_first_minute_and_each_fresh_one_anew() -> None:
    backoff = Backoff(random.Random(7))
    for _ in range(50):
        backoff.next_s()  # a long outage
    for _ in range(3):
        backoff.fresh_alarm()
        waits = [backoff.next_s(alarm=True) for _ in range(ALARM_TRIES)]
        assert max(waits) <= ALARM_CEILING_S
        assert waits[0] <= 1.0
        assert waits[1] <= 2.0
        assert waits[2] <= 4.0
        assert 20 < sum(waits) < 70
    later = [backoff.next_s(alarm=True) for _ in range(200)]
    assert max(later) > CEILING_S * 0.9, "an old alarm comes back with the rest of the county"


def test_only_a_connection_that_lasted_forgets_the_alarms_that_were_tried_before_it() -> None:
    backoff = Backoff(random.Random(7))
    for _ in range(30):
        backoff.next_s(alarm=True)
    backoff.lasted(SETTLED_S - 1)
    assert max(backoff.next_s(alarm=True) for _ in range(20)) > 10
    backoff.lasted(SETTLED_S)
    assert backoff.next_s(alarm=True) <= 1.0


def test_the_way_back_from_a_good_connection_is_spread_for_the_whole_county_may_have_lost_it() -> None:
    waits = []
    for seed in range(300):
        backoff = Backoff(random.Random(seed))
        backoff.lasted(SETTLED_S)
        waits.append(backoff.next_s())
    assert max(waits) > CEILING_S * 0.9
    assert sum(wait < CEILING_S / 2 for wait in waits) in range(120, 180)


@pytest.mark.parametrize("outage", [o for o in OUTAGES if o.seconds <= 120], ids=lambda outage: outage.name)
def test_two_thousand_gateways_are_back_within_two_minutes_and_never_twice_what_the_broker_takes(
    outage: Outage,
) -> None:
    """Ten thousand, and outages of ten minutes: python -m benchmarks.herd."""
    runs = {seed: simulate(outage, seed, gateways=2000, rate=40.0) for seed in range(1, 6)}
    assert all(run.back_s <= 120 and run.peak_per_s <= 2 * 40 for run in runs.values()), runs


def test_who_goes_elsewhere_at_once_fails_the_same_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall at the centre forgets all connections; each gateway has another path that works."""
    monkeypatch.setattr(herd, "ELSEWHERE_S", 0.0)
    forgotten = next(outage for outage in OUTAGES if outage.silent)
    assert simulate(forgotten, 1, gateways=2000, rate=40.0).peak_per_s > 10 * 40


@pytest.mark.parametrize("name", NAIVE)
def test_a_naive_policy_fails_the_same_check(name: str) -> None:
    restart, outage = OUTAGES[0], next(o for o in OUTAGES if o.name == "120 s")
    results = [simulate(o, 1, gateways=1000, rate=20.0, naive=NAIVE[name]) for o in (restart, outage)]
    assert not all(result.holds(20.0) for result in results)


def test_the_budget_on_the_wire_grows_while_confirms_are_quick_and_gives_way_when_they_queue() -> None:
    pace = Pace(ceiling_bytes=512 * 1024, batch_bytes=64 * 1024)
    started = pace.budget_bytes
    for turn in range(40):
        pace.confirmed(0.02, turn * 0.02)
    assert pace.budget_bytes == 512 * 1024 > started
    assert pace.batch_bytes == 64 * 1024
    for turn in range(60):
        pace.confirmed(2.0, 10.0 + turn * 2.1)
        if pace.budget_bytes == FLOOR_BYTES:
            break
    assert pace.budget_bytes < 64 * 1024, "a link that takes seconds a batch gets little at once"
