"""Who is asked next on one bus. Pure: times are arguments, seconds; no chance, so the same slots come again.

- Each job has a grid of slots, one a period; a late turn does not move the grid.
- Fire before meters. A meter more than `LAG_S` late gets one turn between two fire turns.
- A device that failed `FAILURES` times in a row is dead: it is asked with growing pauses, and only where its silence
  moves nobody else's turn by more than `SLACK` of his period. On a bus with no such room it waits `STARVED_S` at most.
"""

import enum
import math
from dataclasses import dataclass, field
from typing import Final

FAILURES: Final = 3
LAG_S: Final = 1.0
SLACK: Final = 0.03
STARVED_S: Final = 60.0
PROBE_THINK_MIN_S: Final = 0.1  # room for less than this is no room: real slaves take 5-80 ms
BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = {0: 10.0, 1: 30.0}  # by rank: a fire panel's gateway is looked for more often
REFUSED_MAX_S: Final = 60.0


class Rank(enum.IntEnum):
    """Who goes first."""

    FIRE = 0
    METER = 1


@dataclass(slots=True)
class Job:
    """One question of one device, asked every `period_s`. `line_s`: what it costs beside the slave's thinking."""

    device: int
    question: int
    period_s: float
    rank: Rank
    line_s: float
    due_s: float = 0.0
    slot_s: float = 0.0  # the grid: the slot this turn belongs to
    failures: int = 0


@dataclass(slots=True)
class _Station:
    jobs: list[Job] = field(default_factory=list)
    failures: int = 0
    probes: int = 0
    dead: bool = False
    slow: bool = False  # dead, but answers came after their time: give it all the time there is
    ask_after_s: float = 0.0  # dead: the next look; alive: held by the master


@dataclass(frozen=True, slots=True)
class Turn:
    """Ask this now; the slave may think for `limit_s`."""

    job: Job
    limit_s: float
    probe: bool


class Schedule:
    """The turns of one bus. `timeout_s`: how long a slave may think."""

    def __init__(self, jobs: list[Job], *, timeout_s: float) -> None:
        self._jobs = jobs
        self._timeout_s = timeout_s
        self._stations: dict[int, _Station] = {}
        for job in jobs:
            self._stations.setdefault(job.device, _Station()).jobs.append(job)
        self._meter_had_last = False
        self.overruns = 0  # slots skipped because the line was too slow for them

    def start(self, now_s: float) -> None:
        """The line is open: everybody is due, and the dead are looked for at once."""
        for station in self._stations.values():
            station.probes = 0
            station.ask_after_s = now_s
        for job in self._jobs:
            job.due_s = job.slot_s = now_s

    def dead(self, device: int) -> bool:
        """Whether the device is in its back-off."""
        return self._stations[device].dead

    def next(self, now_s: float) -> Turn | None:
        """The question to ask now, None if the line is to stay free."""
        for station in self._stations.values():
            if station.dead and now_s - station.ask_after_s > STARVED_S:  # a line this full has no room, ever
                return Turn(_shortest(station), self._timeout_s, probe=True)
        first: Job | None = None
        starved: Job | None = None
        for job in self._jobs:
            station = self._stations[job.device]
            if job.due_s > now_s or station.dead or station.ask_after_s > now_s:
                continue
            if first is None or (job.rank, job.due_s) < (first.rank, first.due_s):
                first = job
            late = job.rank is not Rank.FIRE and now_s - job.due_s > LAG_S
            if late and (starved is None or job.due_s < starved.due_s):
                starved = job
        if starved is not None and not self._meter_had_last:
            first = starved
        if first is not None:
            self._meter_had_last = first.rank is not Rank.FIRE
            return Turn(first, self._timeout_s, probe=False)
        return self._probe(now_s)

    def wait_s(self, now_s: float) -> float:
        """Seconds until `next` may have something. 0 or more."""
        times = [max(job.due_s, self._stations[job.device].ask_after_s) for job in self._alive()]
        times += [
            station.ask_after_s for station in self._stations.values() if station.dead and station.ask_after_s > now_s
        ]
        return max(0.0, min(times, default=now_s + 1.0) - now_s)

    def answered(self, job: Job, now_s: float, *, refused: bool = False) -> bool:
        """The device answered (or refused): True if it was dead until now."""
        station = self._stations[job.device]
        back = station.dead
        station.failures = station.probes = 0
        station.dead = station.slow = False
        job.failures = job.failures + 1 if refused else 0
        if back:
            for other in station.jobs:  # all its values are wanted now; the slots it was dead in are nobody's overrun
                if math.isinf(other.slot_s):
                    continue  # retired
                other.slot_s += max(0, math.floor((now_s - other.slot_s) / other.period_s)) * other.period_s
                other.due_s = min(other.slot_s, now_s)
        self._to_next_slot(job, now_s)
        if job.failures >= FAILURES:  # it will not be asked into consent; look again now and then
            doublings = min(job.failures - FAILURES + 1, 16)
            job.due_s = max(job.due_s, now_s + min(job.period_s * 2.0**doublings, REFUSED_MAX_S))
        return back

    def failed(self, job: Job, now_s: float) -> bool:
        """Nothing that could be credited came: True if the device is dead from now on."""
        station = self._stations[job.device]
        station.failures += 1
        died = not station.dead and station.failures >= FAILURES
        if died:
            station.dead, station.probes = True, 0
            self._shift(now_s)
        if station.dead:
            pause_s = min(BACKOFF_FIRST_S * 2.0 ** min(station.probes, 16), BACKOFF_MAX_S[job.rank])
            station.probes += 1
            station.ask_after_s = now_s + pause_s
        else:
            job.due_s = now_s  # again at once, behind all who are due already
        return died

    def heard_late(self, device: int) -> None:
        """It answered after its time was over."""
        self._stations[device].slow = self._stations[device].dead

    def again(self, job: Job, now_s: float) -> None:
        """The port went away in the middle of it: no fault of the device."""
        job.due_s = now_s

    def retire(self, job: Job) -> None:
        """The device has no answer to this question: it is not asked again before the line is opened anew."""
        job.due_s = job.slot_s = math.inf

    def hold(self, job: Job, now_s: float, wait_s: float) -> None:
        """Leave the device alone for `wait_s`: its line is being brought into step. Neither success nor failure."""
        self._stations[job.device].ask_after_s = now_s + wait_s

    # -- inside -------------------------------------------------------------------------------------------------------
    def _alive(self) -> list[Job]:
        return [job for job in self._jobs if not self._stations[job.device].dead]

    def _shift(self, now_s: float) -> None:
        """Time was lost to a slave that died: go on from here at the old pace instead of running after the old grid."""
        alive = self._alive()
        lost_s = now_s - min((job.due_s for job in alive), default=now_s)
        for job in alive:
            if lost_s > 0:
                job.due_s += lost_s
                job.slot_s += lost_s

    def _to_next_slot(self, job: Job, now_s: float) -> None:
        job.slot_s += job.period_s
        if job.slot_s + job.period_s <= now_s:
            skipped = math.floor((now_s - job.slot_s) / job.period_s)
            job.slot_s += skipped * job.period_s
            self.overruns += skipped
        job.due_s = job.slot_s

    def _probe(self, now_s: float) -> Turn | None:
        waiting = [s for s in self._stations.values() if s.dead and s.ask_after_s <= now_s]
        if not waiting:
            return None
        station = min(waiting, key=lambda s: s.ask_after_s)
        job = _shortest(station)
        room_s = min((other.due_s + SLACK * other.period_s for other in self._alive()), default=math.inf) - now_s
        limit_s = min(self._timeout_s, room_s - job.line_s)
        if station.slow:
            station.slow, limit_s = False, self._timeout_s
        elif limit_s < min(PROBE_THINK_MIN_S, self._timeout_s):
            return None
        return Turn(job, limit_s, probe=True)


def _shortest(station: _Station) -> Job:
    """Any answer shows that it lives."""
    return min(station.jobs, key=lambda job: (job.line_s, job.question))
