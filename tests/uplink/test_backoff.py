"""Bounds of the waits between attempts, and what a county of gateways does with them."""

import heapq
import random

import pytest

from edge_agent.uplink.backoff import ALARM_CEILING_S, CEILING_S, FLOOR_S, SETTLED_S, Backoff
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


def test_an_alarm_that_waits_is_tried_within_8_seconds_at_any_time_of_an_outage() -> None:
    backoff = Backoff(random.Random(7))
    waits = [backoff.next_s(alarm=True) for _ in range(1000)]
    assert max(waits) <= ALARM_CEILING_S
    assert waits[0] <= 1.0
    assert waits[1] <= 2.0
    assert waits[2] <= 4.0


def test_only_a_connection_that_lasted_forgets_the_failures_before_it() -> None:
    backoff = Backoff(random.Random(7))
    for _ in range(12):
        backoff.next_s()
    backoff.lasted(SETTLED_S - 1)
    assert max(backoff.next_s() for _ in range(20)) > 10
    backoff.lasted(SETTLED_S)
    assert backoff.next_s() <= FLOOR_S + 1


@pytest.mark.parametrize("seed", range(5))
def test_two_thousand_gateways_are_back_within_two_minutes_of_a_county_outage(seed: int) -> None:
    """A broker that takes 50 connections a second, gone for 120 s (reliability.md, herd)."""
    rng = random.Random(seed)
    outage_s, rate = 120.0, 50.0
    gateways = [Backoff(random.Random(rng.getrandbits(64))) for _ in range(2000)]
    due = [(rng.random() * 0.5, i) for i in range(len(gateways))]
    heapq.heapify(due)
    tokens, last_s, done_s, attempts = rate, outage_s, 0.0, dict[int, int]()
    while due:
        now_s, i = heapq.heappop(due)
        if now_s >= outage_s:
            attempts[int(now_s)] = attempts.get(int(now_s), 0) + 1
            tokens, last_s = min(rate, tokens + (now_s - last_s) * rate), now_s
            if tokens >= 1:
                tokens -= 1
                done_s = now_s
                continue
        heapq.heappush(due, (now_s + gateways[i].next_s(), i))
    assert done_s - outage_s <= 120, f"seed {seed}"
    assert max(attempts.values()) <= 2 * rate, f"seed {seed}"


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
