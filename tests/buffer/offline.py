"""Three days without a centre at TIMES a site's rate, on simulated clocks: the real journal, one seed, told as JSON.

    python -m tests.buffer.offline DIRECTORY SEED POINTS TIMES [PLANTED]

Ten times: each source of 20 points tells its readings every 6 s, a fault comes or goes every 30 s, something changes every 18 s,
and ten alarms an hour come alone or in storms. Room is for a third of the readings. Nothing is ever confirmed. In a process of its
own, because its memory is measured. PLANTED breaks the journal: `no-gaps` lets go without a word, `alarms-go` lets go of alarms
too, `never-thin` lets nothing of bulk.db go.
"""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from buffer import retention, store
from buffer.faults import StoreFault
from buffer.journal import Journal, JournalSettings
from buffer.reader import JournalReader
from buffer.records import Priority
from buffer.waiting import Ticket

S: Final = 10**9
HOURS: Final = 72
STEP_S: Final = 1800
POINTS_OF_A_SOURCE: Final = 20
READINGS_MADE: Final = 2000  # to choose from: more than what compression of a block remembers
VITAL_BYTES: Final = 200 << 10  # both a time of the rate
BULK_BYTES_A_SOURCE: Final = 256 << 10


class Clock:
    """Both clocks of a box: its nanoseconds since the start, and a wall clock that goes with them."""

    now_ns = 0

    def mono_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return 1_800_000_000 * S + self.now_ns


class Site:
    """What a busy site tells in a step, and what became of it."""

    def __init__(self, journal: Journal, clock: Clock, seed: int, points: int, times: int) -> None:
        self.journal, self.clock, self.chance, self.times = journal, clock, random.Random(seed), times
        self.sources = points // POINTS_OF_A_SOURCE
        self.readings = [self._readings() for _ in range(READINGS_MADE)]
        self.alarms: list[Ticket] = []
        self.offered: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def _readings(self) -> str:
        return json.dumps({f"p{n}": round(20 + self.chance.random() * 5, 2) for n in range(POINTS_OF_A_SOURCE)})

    def tell(self, priority: Priority, rest: str) -> Ticket:
        """One record, at the present moment of both clocks."""
        mono_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        at = f'{{"boot": "offline", "mono_ns": {mono_ns}, "wall_ns": {wall_ns}, "clock": "synced"}}'
        self.offered[priority.stream] += 1
        return self.journal.append(priority, f'{{"at": {at}, {rest}}}'.encode(), None, self._settled)

    def _settled(self, ticket: Ticket) -> None:
        if ticket.error is not None:
            self.refused[f"{ticket.priority.stream} {ticket.error}"] += 1

    def step(self) -> None:
        """Half an hour."""
        began_ns, chance = self.clock.now_ns, self.chance
        for turn in range(STEP_S // 60 * self.times):
            self.clock.now_ns = began_ns + turn * 60 * S // self.times
            for source in range(self.sources):
                self.tell(Priority.TELEMETRY, f'"source": "meter{source}", "values": {chance.choice(self.readings)}')
            if turn % 5 == 0:
                self.event(Priority.FAULT, "fault", turn % 10 == 0)
            if turn % 3 == 0:
                self.event(Priority.STATUS, "status", True)
            if chance.random() < 1 / 60:  # one in fifty of them a storm
                for _ in range(50 if chance.random() < 0.02 else 1):
                    self.alarms.append(self.event(Priority.ALARM, "fire", True))
        self.clock.now_ns = began_ns + STEP_S * S

    def event(self, priority: Priority, kind: str, active: bool) -> Ticket:
        """An event of some point."""
        point = f"panel1/{self.chance.randrange(10**6):06d}"
        told = {"kind": kind, "point": point, "active": active, "text": f"{kind} of {point}"}
        return self.tell(priority, json.dumps(told)[1:-1])


def plant(bug: str) -> None:
    """Break the journal in one way."""
    if bug == "no-gaps":
        retention.gap_body = lambda *args, **kw: b"{}"  # type: ignore[assignment]
    elif bug == "alarms-go":
        shed = retention.shed_vital

        def also_alarms(of: store.VitalStore, mandatory: Iterable[str]) -> bool:
            of.db.execute("DELETE FROM alarm WHERE rowid IN (SELECT rowid FROM alarm ORDER BY rowid LIMIT 1)").close()
            return shed(of, tuple(mandatory))

        retention.shed_vital = also_alarms
    elif bug == "never-thin":
        retention.shed_bulk = lambda *args: False
    else:
        raise SystemExit(f"no such bug: {bug}")


def kept(directory: Path, priority: Priority) -> tuple[dict[int, bytes], list[dict[str, object]]]:
    """The records of a stream by their numbers, and its gap records."""
    with JournalReader.open(directory) as reader:
        found = {record.name.n: record.body for record in reader.records([priority])}
        assert reader.verify().ok
    return found, [json.loads(body)["gap"] for body in found.values() if body.startswith(b'{"gap"')]


def untold(numbers: Iterable[int], gaps: list[dict[str, object]]) -> int:
    """How many numbers below the highest are not there and in no gap record. What was lost in memory never had one."""
    there = set(numbers)
    told = bytearray(max(there) + 1)  # gaps repeat each other: thousands of ranges that begin at 1
    for gap in (gap for gap in gaps if "from" in gap):
        first, last = int(str(gap["from"])), min(int(str(gap["to"])), len(told) - 1)
        told[first : last + 1] = b"\1" * (last + 1 - first)
    return sum(not told[n] and n not in there for n in range(1, len(told)))


def run(directory: Path, seed: int, points: int, times: int) -> dict[str, object]:
    """Three days. All of what is to be judged."""
    clock, faults = Clock(), list[StoreFault]()
    budgets = {"vital": VITAL_BYTES * times, "bulk": BULK_BYTES_A_SOURCE * times * points // POINTS_OF_A_SOURCE}
    settings = JournalSettings(
        vital_bytes=budgets["vital"],
        bulk_bytes=budgets["bulk"],
        reserve_bytes=1 << 20,
        mandatory=("county",),
        background_check=False,
    )
    journal = Journal.open(directory, settings, faults.append, mono_ns=clock.mono_ns, wall_ns=clock.wall_ns)
    site, largest, rss_mb = Site(journal, clock, seed, points, times), dict.fromkeys(budgets, 0), list[float]()
    for step in range(HOURS * 3600 // STEP_S):
        site.step()
        assert journal.flush(300)
        for name in largest:
            files = [directory / f"{name}.db{end}" for end in ("", "-wal")]
            largest[name] = max(largest[name], sum(file.stat().st_size for file in files))
        if step * STEP_S % 3600 == 0:
            rss_mb.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
    journal.close()
    streams: dict[str, object] = {}
    for priority in (Priority.ALARM, Priority.FAULT, Priority.STATUS, Priority.TELEMETRY):
        found, gaps = kept(directory, priority)
        highest = max(found)
        newer = sum(n * 2 > highest for n in found)
        halves = [len(found) - newer, newer]
        streams[priority.stream] = {
            "offered": site.offered[priority.stream],
            "kept": len(found) - len(gaps),
            "kept_of_each_half": halves,
            "gaps": dict(Counter(str(gap["why"]) for gap in gaps)),
            "untold": untold(found, gaps),
        }
        if priority is Priority.ALARM:
            lost = [t for t in site.alarms if t.name is None or found.get(t.name.n) != t.body]
            numbers = [t.name.n for t in site.alarms if t.name]
            streams["alarms"] = {"lost": len(lost), "in_order": numbers == sorted(numbers)}
    return {
        "seed": seed,
        "streams": streams,
        "refused": dict(site.refused),
        "faults": sorted({fault.code for fault in faults}),
        "budgets": budgets,
        "largest": largest,
        "rss_mb": [round(value, 1) for value in rss_mb],
    }


if __name__ == "__main__":
    if len(sys.argv) > 5:
        plant(sys.argv[5])
    print(json.dumps(run(Path(sys.argv[1]), *map(int, sys.argv[2:5]))))
