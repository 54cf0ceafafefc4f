"""Who is asked when, on a line made of numbers: no port, no waiting."""

import itertools
from collections import defaultdict

import pytest

from drivers.schedule import BACKOFF_MAX_S, FAILURES, STARVED_S, Job, Rank, Schedule

TIMEOUT_S = 0.3


class Line:
    """Plays a schedule: every question takes its line time, a dead slave the time it is given."""

    def __init__(self, jobs: list[Job], *, think_s: float = 0.005) -> None:
        self.schedule = Schedule(jobs, timeout_s=TIMEOUT_S)
        self.think_s = think_s
        self.now_s = 0.0
        self.dead: set[int] = set()
        self.asked: dict[int, list[float]] = defaultdict(list)
        self.order: list[int] = []
        self.limits: dict[int, list[float]] = defaultdict(list)
        self.schedule.start(0.0)

    def run(self, until_s: float) -> None:
        while self.now_s < until_s:
            turn = self.schedule.next(self.now_s)
            if turn is None:
                self.now_s += max(self.schedule.wait_s(self.now_s), 0.001)
                continue
            job = turn.job
            self.asked[job.device].append(self.now_s)
            self.limits[job.device].append(turn.limit_s)
            self.order.append(job.device)
            if job.device in self.dead:
                self.now_s += job.line_s + turn.limit_s
                self.schedule.failed(job, self.now_s)
            else:
                self.now_s += job.line_s + self.think_s
                self.schedule.answered(job, self.now_s)


def meters(count: int, *, period_s: float = 1.0, line_s: float = 0.07) -> list[Job]:
    return [Job(number, 0, period_s, Rank.METER, line_s) for number in range(count)]


def _gaps(times: list[float], after_s: float) -> list[float]:
    return [two - one for one, two in itertools.pairwise(time for time in times if time > after_s)]


@pytest.mark.parametrize("dead", [{0}, {4}, {9}, {1, 5, 8}, {0, 1, 2, 3, 4}], ids=str)
@pytest.mark.parametrize("line_s", [0.02, 0.05, 0.07, 0.085])
def test_no_interval_of_the_living_moves_by_a_twentieth_once_the_dead_are_in_back_off(
    dead: set[int], line_s: float
) -> None:
    line = Line(meters(10, line_s=line_s))
    line.dead = dead
    while not all(line.schedule.dead(device) for device in dead):
        line.run(line.now_s + 0.1)
    begun_s = line.now_s + 6.0  # a line that is 81 % full needs a while to catch up
    line.run(STARVED_S - 5)
    for device in set(range(10)) - dead:
        assert all(gap == pytest.approx(1.0, rel=0.05) for gap in _gaps(line.asked[device], begun_s))
    assert all(line.asked[device][-1] > begun_s for device in dead)  # they were looked for meanwhile


def test_the_pauses_of_the_dead_grow_to_a_bound_and_come_out_the_same_each_time() -> None:
    runs = []
    for _ in range(2):
        line = Line(meters(3))
        line.dead = {1}
        line.run(200)
        runs.append(line.asked)
    assert runs[0] == runs[1]
    gaps = _gaps(runs[0][1], 0.0)[FAILURES:]
    assert gaps[0] < 4 and gaps[-1] == pytest.approx(BACKOFF_MAX_S[Rank.METER], abs=1.1)


def test_a_fire_panel_is_looked_for_every_ten_seconds_at_least() -> None:
    line = Line([Job(0, 0, 0.2, Rank.FIRE, 0.05), Job(1, 0, 10.0, Rank.METER, 0.05)])
    line.dead = {0}
    line.run(120)
    assert max(_gaps(line.asked[0], 0.0)) < 11


def test_a_dead_slave_on_a_full_line_is_looked_for_all_the_same() -> None:
    line = Line(meters(10, line_s=0.2))  # the living alone need 1.8 s of each second
    line.dead = {3}
    line.run(3 * STARVED_S)
    assert len([time for time in line.asked[3] if time > 5]) >= 2


def test_a_returning_slave_takes_its_period_up_again() -> None:
    line = Line(meters(5))
    line.dead = {2}
    line.run(20)
    line.dead = set()
    line.run(80)
    assert all(gap == pytest.approx(1.0, rel=0.05) for gap in _gaps(line.asked[2], 52))
    assert line.schedule.overruns == 0


def test_fire_goes_first_and_a_meter_waits_two_seconds_at_most() -> None:
    line = Line([Job(0, 0, 0.02, Rank.FIRE, 0.05), Job(1, 0, 0.02, Rank.FIRE, 0.05), Job(2, 0, 3.0, Rank.METER, 0.05)])
    line.run(60)
    assert max(_gaps(line.asked[2], 0.0)) < 3 + 2
    assert all({one, two} != {2} for one, two in itertools.pairwise(line.order))
    assert min(len(line.asked[0]), len(line.asked[1])) > 400  # fire shares the rest evenly


def test_slots_a_slow_line_missed_are_counted_and_not_made_up_for() -> None:
    line = Line([Job(0, 0, 0.05, Rank.FIRE, 0.12)])
    line.run(10)
    assert line.schedule.overruns > 50
    assert len(line.asked[0]) < 90


def test_a_refusal_repeated_is_asked_less_and_less_often() -> None:
    jobs = [Job(0, 0, 0.2, Rank.FIRE, 0.01)]
    schedule = Schedule(jobs, timeout_s=TIMEOUT_S)
    schedule.start(0.0)
    asked, now_s = [], 0.0
    while now_s < 300:
        if schedule.next(now_s) is None:
            now_s += max(schedule.wait_s(now_s), 0.001)
            continue
        asked.append(now_s)
        schedule.answered(jobs[0], now_s, refused=True)
    assert len(asked) < 20
    schedule.answered(jobs[0], now_s)
    assert schedule.wait_s(now_s) <= 0.2


def test_a_dead_slave_that_was_heard_late_gets_all_the_time_there_is() -> None:
    line = Line(meters(10, line_s=0.08))  # leaves room for a short look only
    line.dead = {0}
    line.run(20)
    assert line.limits[0][-1] < TIMEOUT_S
    line.schedule.heard_late(0)
    line.limits.clear()
    line.run(60)
    assert TIMEOUT_S in line.limits[0]
