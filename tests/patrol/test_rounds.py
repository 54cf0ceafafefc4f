"""Rounds: due on time, done, missed, late; no step of the clock makes one twice, nobody misses what there was no time for."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from edge_agent.config.model import Patrol
from edge_agent.model import Clock, Event, Instant, Kind
from edge_agent.patrol.rounds import Rounds
from edge_agent.patrol.schedule import Daily
from edge_agent.points.state import Latches

S = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86400 * S
NIGHT = Patrol(id="night", points=("stair", "pump"), times=("22:00", "02:00"), grace_min=30, early_min=10)
HOURLY = Patrol(id="hourly", points=("stair",), every_min=60, grace_min=10)


def china(text: str) -> int:
    """Wall ns of a moment in China time."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC) - timedelta(hours=8)
    return round((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)) * S


class Day:
    """A clock that runs, and can be stepped; the rules look at it every second or so."""

    def __init__(self, patrol: Patrol, start: str, clock: Clock = Clock.SYNCED) -> None:
        self.patrol, self.clock, self.boot = patrol, clock, "b1"
        self.mono_ns, self.offset_ns = 100 * S, china(start) - 100 * S
        self.latches = Latches()
        self.state: dict[str, bytes] = {}
        self._numbers = itertools.count(1)
        self.rounds = self._make()
        self.told: list[tuple[str, str]] = []
        self.look()

    def _make(self) -> Rounds:
        return Rounds(self.patrol, new_event=self._event, latches=self.latches)

    def _event(self, kind: Kind, point: str, active: bool, at_ns: int, /, **more: Any) -> Event:
        assert kind is Kind.PATROL
        at = Instant(self.boot, at_ns, at_ns + self.offset_ns, self.clock)
        return Event(id=f"e{next(self._numbers)}", kind=kind, point=point, active=active, at=at, **more)

    @property
    def now(self) -> Instant:
        return Instant(self.boot, self.mono_ns, self.mono_ns + self.offset_ns, self.clock)

    def _note(self, events: list[Event]) -> list[Mapping[str, object]]:
        for event in events:
            shown = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=8, microseconds=event.at.wall_ns // 1000)
            self.told.append((shown.strftime("%d %H:%M"), str(event.fields["result"])))
        for key, value in self.latches.take().items():
            self.state.pop(key, None)
            if value is not None:
                self.state[key] = value
        return [event.fields for event in events]

    def look(self) -> list[Mapping[str, object]]:
        return self._note(self.rounds.look(self.now))

    def run(self, ns: int, step_ns: int = MINUTE) -> "Day":
        end_ns = self.mono_ns + ns
        while self.mono_ns < end_ns:
            self.mono_ns = min(end_ns, self.mono_ns + step_ns)
            self.look()
        return self

    def step(self, ns: int) -> "Day":
        """The wall clock jumps."""
        self.offset_ns += ns
        return self

    def see(self, *points: str) -> "Day":
        for point in points:
            self._note(self.rounds.read(point, self.mono_ns))
        return self

    def restart(self, *, off_ns: int | None = None) -> "Day":
        """The process anew; with `off_ns` the whole box, whose power was off for so long."""
        if off_ns is not None:
            wall_ns = self.now.wall_ns + off_ns
            self.boot += "+"
            self.mono_ns = 20 * S
            self.offset_ns = wall_ns - self.mono_ns
        self.rounds = self._make()
        self.rounds.restore(self.state, self.now)
        self.look()
        return self


def test_a_round_is_due_at_its_time_and_done_when_its_last_point_was_seen() -> None:
    day = Day(NIGHT, "2026-11-26 21:30").run(HOUR).see("pump").run(5 * MINUTE).see("stair").run(HOUR)
    assert day.told == [("26 22:00", "due"), ("26 22:30", "missed"), ("26 22:35", "late")]
    day = Day(NIGHT, "2026-11-26 21:30").run(40 * MINUTE).see("pump", "stair", "pump").run(6 * HOUR)
    assert day.told == [("26 22:00", "due"), ("26 22:10", "done"), ("27 02:00", "due"), ("27 02:30", "missed")]


def test_a_missed_round_says_which_points_nobody_saw() -> None:
    day = Day(NIGHT, "2026-11-26 21:59").run(5 * MINUTE).see("stair").run(25 * MINUTE)
    day.mono_ns += MINUTE
    [fields] = day.look()
    assert (fields["result"], fields["missing"]) == ("missed", ["pump"])
    assert day.rounds.as_dict(day.now)["missing"] == ["pump"]


def test_a_point_seen_a_little_before_counts_and_one_seen_long_before_does_not() -> None:
    early = Day(NIGHT, "2026-11-26 21:40").run(12 * MINUTE).see("stair", "pump").run(HOUR)
    assert early.told == [("26 22:00", "done")]
    too_early = Day(NIGHT, "2026-11-26 21:40").run(2 * MINUTE).see("stair").run(13 * MINUTE).see("pump").run(HOUR)
    assert too_early.told == [("26 22:00", "due"), ("26 22:30", "missed")]


def test_what_was_seen_on_the_last_round_does_not_count_for_the_next() -> None:
    day = Day(NIGHT, "2026-11-26 21:59").run(4 * HOUR - 5 * MINUTE).see("stair", "pump").run(20 * MINUTE)
    assert day.told == [("26 22:00", "due"), ("26 22:30", "missed"), ("27 01:54", "late"), ("27 02:00", "due")]


@pytest.mark.parametrize("back", [S, 10 * MINUTE, HOUR, 119 * MINUTE])
def test_a_clock_put_back_over_a_round_does_not_make_it_due_again(back: int) -> None:
    day = Day(NIGHT, "2026-11-26 21:59").run(MINUTE + 10 * S, S).see("stair", "pump")
    day.step(-back).run(3 * HOUR)
    assert [result for _, result in day.told] == ["due", "done"]
    day.run(4 * HOUR)
    assert [result for _, result in day.told] == ["due", "done", "due", "missed"], "and the next one comes"


def test_a_clock_that_was_a_day_or_a_century_ahead_does_not_silence_the_rounds() -> None:
    for ahead in (DAY, 36525 * DAY):
        day = Day(NIGHT, "2026-11-26 21:59").run(5 * MINUTE).see("stair", "pump")
        day.step(-ahead).run(DAY)
        assert [result for _, result in day.told].count("due") == 3, day.told


def test_a_clock_put_on_over_whole_rounds_skips_them_and_over_a_part_leaves_the_whole_grace() -> None:
    over = Day(NIGHT, "2026-11-26 21:00").step(30 * DAY).run(MINUTE)
    assert [result for _, result in over.told] == ["skipped"]
    assert over.rounds.counts["skipped"] == 60
    part = Day(NIGHT, "2026-11-26 21:50").step(25 * MINUTE).run(29 * MINUTE)
    assert part.told == [("26 22:16", "due")]
    assert part.run(2 * MINUTE).told[-1] == ("26 22:46", "missed"), "30 minutes after it was told, not after 22:00"


def test_nothing_is_due_while_the_clock_is_not_set_and_intervals_go_on() -> None:
    unset = Day(NIGHT, "1970-01-01 21:59", Clock.UNSET).run(DAY)
    assert unset.told == []
    unset.clock, unset.offset_ns = Clock.SYNCED, china("2026-11-26 21:59") - unset.mono_ns
    unset.look()
    assert unset.run(3 * MINUTE).told == [("26 22:00", "due")], (
        "the jump itself skips nothing: there was no time before it"
    )
    hourly = (
        Day(HOURLY, "1970-01-01 00:00", Clock.UNSET).run(65 * MINUTE).see("stair").step(50 * 365 * DAY).run(55 * MINUTE)
    )
    assert [result for _, result in hourly.told] == ["due", "done", "due"]


def test_holdover_is_good_enough_and_nothing_ends_in_2038() -> None:
    day = Day(NIGHT, "2038-01-19 21:59", Clock.HOLDOVER).run(2 * MINUTE)
    assert day.told == [("19 22:00", "due")]
    assert Day(NIGHT, "2100-02-28 21:59").run(2 * DAY, 10 * MINUTE).rounds.counts["due"] == 4


def test_a_day_has_its_rounds_each_once_whatever_the_summer_time_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    day = Day(NIGHT, "2026-03-07 12:00").run(3 * DAY, 5 * MINUTE)  # over a night of 23 hours there
    assert [when for when, result in day.told if result == "due"] == [
        "07 22:00", "08 02:00", "08 22:00", "09 02:00", "09 22:00", "10 02:00"]  # fmt: skip


def test_a_restart_keeps_the_round_its_points_and_its_end() -> None:
    day = Day(NIGHT, "2026-11-26 21:59").run(5 * MINUTE).see("stair").restart().see("pump").run(HOUR)
    assert day.told == [("26 22:00", "due"), ("26 22:04", "done")]
    again = Day(NIGHT, "2026-11-26 21:59").run(5 * MINUTE).restart().run(HOUR)
    assert again.told == [("26 22:00", "due"), ("26 22:30", "missed")]
    assert again.restart().run(HOUR).told == again.told, "what was missed is not missed again"


def test_a_power_cut_within_the_grace_keeps_it_by_the_wall_and_one_over_rounds_skips_them_once() -> None:
    day = Day(NIGHT, "2026-11-26 21:59").run(5 * MINUTE).restart(off_ns=10 * MINUTE).run(HOUR)
    assert day.told == [("26 22:00", "due"), ("26 22:30", "missed")]
    gone = Day(NIGHT, "2026-11-26 21:59").run(5 * MINUTE).see("stair", "pump").restart(off_ns=2 * DAY + HOUR)
    assert [result for _, result in gone.told] == ["due", "done", "skipped"]
    assert gone.rounds.counts["skipped"] == 4
    assert [result for _, result in gone.restart().restart(off_ns=0).told] == ["due", "done", "skipped"]
    unsynced = Day(NIGHT, "2026-11-26 21:59", Clock.HOLDOVER).run(20 * MINUTE).restart(off_ns=MINUTE).run(29 * MINUTE)
    assert [result for _, result in unsynced.told] == ["due"], "by a clock nobody vouches for the grace begins anew"


def test_damaged_state_is_as_good_as_none() -> None:
    day = Day(NIGHT, "2026-11-26 21:59").run(5 * MINUTE)
    for body in (
        b"",
        b"{",
        b"[]",
        b'{"round":{"told":{}}}',
        b'{"passed":"x","round":[1]}',
        b'{"round":{"told":1,"seen":2,"due":3}}',
    ):
        day.state = {"pa:r:night": body}
        day.restart()
        assert day.rounds.round is None


def test_the_moments_of_a_day_are_counted_without_a_hole() -> None:
    daily = Daily.of(["22:00", "02:00", "22:00"])
    assert (daily.gap_ns, Daily.of(["08:00"]).gap_ns) == (4 * HOUR, 24 * HOUR)
    for number in range(daily.count(china("1969-12-30 00:00")), daily.count(china("1970-01-05 00:00"))):
        at_ns = daily.moment_ns(number)
        assert (daily.count(at_ns - 1), daily.count(at_ns)) == (number - 1, number)
