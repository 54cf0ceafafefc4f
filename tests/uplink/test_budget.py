"""Bytes of a month: counted in China time whatever the clock does, shared out, alarms exempt."""

from datetime import datetime

import pytest

from buffer.records import Priority
from edge_agent.china_time import CHINA
from edge_agent.model import Clock, Instant
from edge_agent.uplink.budget import HEAD_START, SHARES, Burst, Meter, elapsed, month_of

MB = 1_000_000


def at(text: str, clock: Clock = Clock.SYNCED) -> Instant:
    return Instant("b", 0, int(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp()) * 10**9, clock)


def test_the_month_is_that_of_china_time() -> None:
    last_evening_utc = Instant(
        "b", 0, int(datetime.fromisoformat("2026-11-30T16:30:00+00:00").timestamp()) * 10**9, Clock.SYNCED
    )
    assert month_of(last_evening_utc, "2026-11") == "2026-12"


@pytest.mark.parametrize(
    ("now", "last", "month"),
    [
        (at("1970-01-01T08:00", Clock.UNSET), "2026-11", "2026-11"),
        (at("1970-01-01T08:00", Clock.UNSET), "", ""),
        (at("2026-10-03T00:00", Clock.HOLDOVER), "2026-11", "2026-11"),
        (at("2026-12-01T00:00", Clock.HOLDOVER), "2026-11", "2026-12"),
        (at("2026-11-07T00:00", Clock.SYNCED), "2038-01", "2026-11"),
    ],
)
def test_a_clock_is_believed_as_far_as_it_can_be(now: Instant, last: str, month: str) -> None:
    assert month_of(now, last) == month


def test_a_wrong_clock_neither_forgets_nor_doubles_what_was_used() -> None:
    meter = Meter(10 * MB, {("2026-11", "fault"): 5})
    meter.count("fault", 1, at("1970-01-01T08:00", Clock.UNSET))
    meter.count("fault", 1, at("2038-01-19T00:00", Clock.HOLDOVER))
    meter.count("fault", 1, at("2026-11-20T00:00"))
    assert (meter.month, meter.used["fault"]) == ("2026-11", 7)
    meter.count("fault", 1, at("2026-12-01T00:00"))
    assert (meter.month, meter.used["fault"]) == ("2026-12", 1)


def test_an_alarm_is_never_held_back_and_the_rest_in_order_of_worth() -> None:
    now = at("2026-11-30T23:00")
    meter = Meter(10 * MB, {})
    meter.count("alarm", 5 * MB, now)
    assert meter.withheld(now) == frozenset()
    meter.count("alarm", 2 * MB, now)
    assert meter.withheld(now) == {Priority.MEDIA}
    meter.count("alarm", MB, now)
    assert meter.withheld(now) == {Priority.MEDIA, Priority.TELEMETRY}
    meter.count("alarm", MB, now)
    assert meter.withheld(now) == {Priority.MEDIA, Priority.TELEMETRY, Priority.STATUS}
    meter.count("alarm", 5 * MB, now)
    assert meter.withheld(now) == {Priority.MEDIA, Priority.TELEMETRY, Priority.STATUS, Priority.FAULT}


def test_a_storm_of_faults_on_the_first_leaves_faults_for_the_thirtieth() -> None:
    meter, sent, now = Meter(10 * MB, {}), 0, at("2026-11-01T00:10")
    while Priority.FAULT not in meter.withheld(now):
        meter.count("fault", 600, now)
        sent += 600
    assert sent == pytest.approx(SHARES[Priority.FAULT] * HEAD_START * 10 * MB, rel=0.02)
    assert Priority.FAULT not in meter.withheld(at("2026-11-02T12:00"))
    assert Priority.STATUS not in meter.withheld(now), "what others may use is theirs"


def test_people_hear_of_80_and_100_percent_once_a_month() -> None:
    meter, told = Meter(100, {}), []
    for _ in range(30):
        meter.count("alarm", 5, at("2026-11-05T00:00"))
        told.append(meter.warning())
    assert [one for one in told if one] == [80, 100]
    meter.count("alarm", 90, at("2026-12-05T00:00"))
    assert meter.warning() == 80


def test_no_budget_is_no_limit() -> None:
    meter = Meter(0, {})
    meter.count("telemetry", 10**12, at("2026-11-05T00:00"))
    assert meter.withheld(at("2026-11-05T00:00")) == frozenset()
    assert meter.warning() == 0


def test_how_far_the_month_is() -> None:
    assert elapsed(at("2026-11-16T00:00")) == 0.5
    assert elapsed(at("1970-01-01T08:00", Clock.UNSET)) == 0.5


def test_a_burst_goes_at_once_and_then_one_at_a_time() -> None:
    burst, sent = Burst(20, 2.0), list[float]()
    for tenth in range(1000):
        while burst.ready(tenth / 10):
            burst.take()
            sent.append(tenth / 10)
    assert sent[:20] == [0.0] * 20
    assert len(sent) == pytest.approx(20 + 100 / 2, abs=1)
