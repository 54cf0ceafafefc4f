"""Opens what a cut left with the journal's own code, as the next boot would, and says what of its promises does not hold."""

import itertools
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from buffer.faults import StoreFault
from buffer.owners import BulkOwner, VitalOwner
from buffer.reader import JournalReader
from buffer.records import Name, Priority
from buffer.reserve import Space
from buffer.store import BulkStore, VitalStore, is_gap
from buffer.waiting import Ticket
from tests.proof.checker import spread_s

BOOT = "after"
NEW = b"the first alarm after the cut"
STEPS_MAX = 2000
Heads = tuple[tuple[str, int, int], ...]  # epoch, stream, last n: which records of vital.db are there


@dataclass(slots=True)
class Promised:
    """What a cut must leave. `acked`: named and told by then. `known`: everything that was ever offered, under its name."""

    acked: dict[Name, bytes] = field(default_factory=dict)
    known: Mapping[Name, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Found:
    """What is wrong with one state; all empty is sound."""

    wrong: list[str] = field(default_factory=list)
    kept: int = 0
    doubtful: int = 0  # records nobody was told of, and that are there all the same
    state: dict[str, bytes] = field(default_factory=dict)
    heads: Heads = ()
    new: dict[Name, bytes] = field(default_factory=dict)  # what was written after the cut
    faults: list[str] = field(default_factory=list)  # codes the journal reported
    alarm_s: float | None = None  # from opening the files to a new alarm on flash


def write_out(files: Mapping[str, bytes | bytearray], directory: Path) -> None:
    """Lay a state out in an empty directory."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    for name, content in files.items():
        with (directory / name).open("wb") as file:
            if content.count(0) == len(content):
                file.truncate(len(content))
            else:
                file.write(content)


def judge(
    directory: Path, promised: Promised, *, boot: str = BOOT, on_durable: Callable[[], None] = lambda: None
) -> Found:
    """Open, recover, write one record to each file (then call `on_durable`), read all of it back, close."""
    found = Found()
    epochs = itertools.count()
    faults: list[StoreFault] = []
    space = Space(directory, 0)
    owners: list[VitalOwner | BulkOwner] = []
    for kind, store, name, prefix in (
        (VitalOwner, VitalStore, "vital.db", "v"),
        (BulkOwner, BulkStore, "bulk.db", "b"),
    ):
        owners.append(
            kind(
                store,  # type: ignore[arg-type]
                directory / name,
                budget_bytes=64 << 20,
                mandatory=("c", "county"),
                space=space,
                report=faults.append,
                new_epoch=lambda prefix=prefix: f"{prefix}-{boot}-{next(epochs)}",  # type: ignore[misc]
                boot_id=boot,
                wall_ns=lambda: 1_800_000_000 * 10**9,
            )
        )
    vital, bulk = owners
    new = {vital: Ticket(Priority.ALARM, NEW, 1, {"after": b"1"}), bulk: Ticket(Priority.TELEMETRY, NEW, 1)}
    before: dict[str, bytes] = {}
    try:
        now_ns, began_s = 1, time.perf_counter()
        for owner in owners:
            owner.open(now_ns)
        before = dict(vital.state())
        for owner, ticket in new.items():
            if not owner.commit([ticket], {}, now_ns):
                found.wrong.append(f"{owner.path.name} takes nothing: {ticket.error}")
            found.alarm_s = found.alarm_s or time.perf_counter() - began_s  # vital.db is first
        on_durable()
        found.new = {ticket.name: NEW for ticket in new.values() if ticket.name is not None}
        for owner in owners:
            for _ in range(STEPS_MAX):
                if not owner._salvages:
                    break
                owner.step(now_ns)
                now_ns += 1_000_000
            else:
                found.wrong.append(f"{owner.path.name} is still salvaging")
        found.state = dict(vital.state())
    finally:
        for owner in owners:
            owner.close()
    found.faults = [f"{fault.code} {fault.params.get('why', '')}".strip() for fault in faults]
    try:
        _read(directory, promised, found, list(new.values()), before)
    except (OSError, sqlite3.Error) as fault:
        found.wrong.append(f"unreadable: {fault!r}")
    return found


def _read(directory: Path, promised: Promised, found: Found, new: list[Ticket], before: Mapping[str, bytes]) -> None:
    with JournalReader.open(directory, lambda fault: found.wrong.append(f"reader: {fault.code}")) as reader:
        verified = reader.verify()
        if not verified.ok:
            found.wrong.append(f"not sound: {verified.bad}")
        there = {record.name: record.body for record in reader.records()}
    for name, body in promised.acked.items():
        if name not in there:
            found.wrong.append(f"lost {name}")
        elif there[name] != body:
            found.wrong.append(f"altered {name}")
    last: Counter[tuple[str, int]] = Counter()
    for name, body in there.items():
        if body == NEW or is_gap(body):
            continue
        if name.priority <= Priority.STATUS:
            last[name.epoch, int(name.priority)] = max(last[name.epoch, int(name.priority)], name.n)
        if promised.known.get(name) != body:
            found.wrong.append(f"ghost {name}: {body[:60]!r}")
        found.doubtful += name not in promised.acked
    bodies = Counter(body for body in there.values() if body != NEW and not is_gap(body))
    found.wrong += [f"twice there: {body[:60]!r}" for body, count in bodies.items() if count > 1]
    found.kept = len(there)
    found.heads = tuple(sorted((epoch, stream, n) for (epoch, stream), n in last.items()))
    for ticket in new:
        if ticket.name is None:
            continue
        if there.get(ticket.name) != NEW:
            found.wrong.append(f"the new record {ticket.name} is not there")
        if ticket.name in promised.acked:
            found.wrong.append(f"twice given: {ticket.name}")
    if found.state != {**before, "after": b"1"}:
        found.wrong.append(f"latched state changed by itself: {before} {found.state}")
    found.state.pop("after", None)


class Tally:
    """Counts what many states came to, and keeps the first few that were wrong."""

    def __init__(self) -> None:
        self.states = self.acked_max = 0
        self.lost = self.doubled = self.altered = self.ghosts = self.unsound = self.wrong_state = 0
        self.doubtful = 0
        self.reported: Counter[str] = Counter()
        self.examples: list[str] = []
        self.alarms_s: list[float] = []
        self._states_of: dict[Heads, frozenset[tuple[str, bytes]]] = {}

    def add(self, found: Found, label: str, promised: Promised) -> None:
        """Take one in. The latched state must be the same wherever the same records are there: it changes with them."""
        state = frozenset(found.state.items())
        if self._states_of.setdefault(found.heads, state) != state:
            found.wrong.append(f"state of other records: {found.state} at {found.heads}")
        self.states += 1
        self.acked_max = max(self.acked_max, len(promised.acked))
        self.doubtful += found.doubtful
        self.reported.update(found.faults)
        if found.alarm_s is not None:
            self.alarms_s.append(found.alarm_s)
        words = [text.split()[0] for text in found.wrong]
        self.lost += "lost" in words
        self.altered += "altered" in words
        self.ghosts += "ghost" in words
        self.doubled += "twice" in words
        self.wrong_state += any(text.startswith(("state of other", "latched state")) for text in found.wrong)
        self.unsound += any(word not in {"lost", "altered", "ghost", "twice", "state", "latched"} for word in words)
        if found.wrong and len(self.examples) < 5:
            self.examples.append(f"{label}: {found.wrong[:4]}")

    @property
    def bad(self) -> int:
        """States with anything wrong, counted once for each way."""
        return self.lost + self.doubled + self.altered + self.ghosts + self.unsound + self.wrong_state

    @property
    def set_aside(self) -> int:
        """Files the journal would rather not go on with. None after a mere cut."""
        return sum(count for code, count in self.reported.items() if code.startswith("set_aside"))

    def counts(self) -> dict[str, object]:
        """For the evidence."""
        return {
            "states": self.states,
            "records_acked": self.acked_max,
            "lost": self.lost,
            "doubled": self.doubled,
            "altered": self.altered,
            "invented": self.ghosts,
            "unsound": self.unsound,
            "state_neither_old_nor_new": self.wrong_state,
            "reported": dict(self.reported),
            "delay_s": spread_s(self.alarms_s, "opened to a new alarm on flash"),
        }


class Promises:
    """What had been promised by each cut of a log, from the marks in it."""

    def __init__(self, marks: Iterable[tuple[int, Name, bytes]], known: Mapping[Name, bytes]) -> None:
        """`marks`: from which cut on, which name, which body; rising."""
        self._marks = list(marks)
        self._next = 0
        self.now = Promised(known=known)

    def by(self, cut: int) -> Promised:
        """Those of `cut`, which must not go back."""
        while self._next < len(self._marks) and self._marks[self._next][0] <= cut:
            _, name, body = self._marks[self._next]
            self.now.acked[name] = body
            self._next += 1
        return self.now
