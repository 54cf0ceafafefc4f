"""delivery.db: what each destination has confirmed, and what it refused. Only the uplink writes it.

Losing this file costs duplicates, which a centre drops, and never a record: so it is committed in groups without a sync of
its own (WAL, NORMAL), and a file that cannot be read is set aside.
"""

import json
import logging
import sqlite3
import threading
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from buffer.disk import Disk
from buffer.records import Name, Priority
from buffer.runner import StartRunner, ThreadRunner
from edge_agent.uplink.intervals import Intervals, Range

log = logging.getLogger("edge.ledger")

VERSION: Final = 3  # 2: told, traffic; 3: crc
LINGER_S: Final = 0.1  # confirms of this long share a commit
READINGS_LINGER_S: Final = (
    3600.0  # those of readings alone: each commit wears the card, a kill costs duplicates the centre drops
)
RETRY_S: Final = 5.0  # a medium that took nothing is tried again after this
REST_RANGES_MAX: Final = 1000  # confirmed out of order and remembered; what is above is sent again after a restart
IDLE_NS: Final = 3600 * 10**9  # whoever notes something wakes the writer
MET: Final = (
    ""  # the epoch of rows that only say that a destination is known; with a 1 through: but gets no such stream
)
REFUSED_MAX: Final = 2000  # rows a destination; the oldest give way
REFUSED_BODY_MAX: Final = 16 * 1024

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS confirmed (
  destination TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,
  through INTEGER NOT NULL,         -- every n up to here is confirmed
  rest TEXT NOT NULL DEFAULT '[]',  -- [[first, last], ...] confirmed beyond it
  crc INTEGER NOT NULL DEFAULT 0,   -- of all before it: a flipped bit could let an alarm go that no centre has
  PRIMARY KEY (destination, epoch, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (        -- confirmed in brief over packed frames; still due in full
  destination TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,
  ranges TEXT NOT NULL,             -- [[first, last], ...]
  PRIMARY KEY (destination, epoch, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS traffic (     -- bytes over a link in a month of China time, "2026-11"
  link TEXT NOT NULL, month TEXT NOT NULL, stream TEXT NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY (link, month, stream)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (
  destination TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, n INTEGER NOT NULL,
  why TEXT NOT NULL, body BLOB NOT NULL, wall_ns INTEGER NOT NULL,
  PRIMARY KEY (destination, epoch, stream, n)
);
"""

Key = tuple[str, str, Priority]  # destination, epoch, priority


@dataclass(frozen=True, slots=True)
class Refused:
    """A record a destination will never take, and why (ASCII where we say it, the centre's own words otherwise)."""

    destination: str
    name: Name
    why: str
    body: bytes  # at most REFUSED_BODY_MAX
    wall_ns: int


@dataclass(slots=True)
class _Notes:
    """What waits to be committed. Of everything but refusals the latest counts."""

    confirmed: dict[Key, Intervals] = field(default_factory=dict)
    told: dict[Key, Intervals] = field(default_factory=dict)
    traffic: dict[tuple[str, str, str], int] = field(default_factory=dict)  # link, month, stream
    refused: list[Refused] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.confirmed or self.told or self.traffic or self.refused)

    @property
    def readings_only(self) -> bool:
        """Whether nothing but confirmed readings is in it."""
        others = self.told or self.traffic or self.refused
        return not others and all(priority is Priority.TELEMETRY for _, _, priority in self.confirmed)

    def add(self, newer: "_Notes") -> None:
        self.confirmed.update(newer.confirmed)
        self.told.update(newer.told)
        self.traffic.update(newer.traffic)
        self.refused += newer.refused


class Ledger:
    """Open one with `Ledger.open`. `note` and `refuse` return at once; one thread writes."""

    def __init__(self, path: Path, report: Callable[[str, str], None], disk: Disk, runner: StartRunner) -> None:
        self.path, self._report, self._disk = path, report, disk
        self.set_aside: Path | None = None  # where the unreadable predecessor went
        self.commits = 0
        self._notes = _Notes()
        self._owed = _Notes()  # what the writer has in hand
        self._changed = threading.Condition()
        self._closing = False
        self._idle = True
        self._lingers = False
        self._rests = False  # readings wait for company
        self._hurried = False
        self._failing = False
        self._database: sqlite3.Connection | None = None
        self._start = _Notes()
        try:
            self._start = self._open()
        except (OSError, sqlite3.Error) as fault:
            self._fails(fault)  # alarms from memory must travel all the same: what is confirmed meanwhile is held here
        self._runner = runner("ledger", self._turn)
        self._runner.start()

    @classmethod
    def open(
        cls,
        path: Path,
        report: Callable[[str, str], None] = lambda code, detail: None,
        *,
        disk: Disk | None = None,
        runner: StartRunner = ThreadRunner,
    ) -> "Ledger":
        """Open or create. `report(code, detail)` hears of set_aside, failing and recovered, perhaps in the writer thread.

        A medium that takes nothing is `failing`, tried again with every commit: until then this process remembers by itself.
        """
        return cls(path, report, disk or Disk(), runner)

    def load(self, destination: str) -> dict[tuple[str, Priority], Intervals]:
        """What the destination had confirmed (refused records count) when the ledger was opened, by epoch and priority."""
        return _of(self._start.confirmed, destination)

    def load_told(self, destination: str) -> dict[tuple[str, Priority], Intervals]:
        """What the destination had been told in brief and not confirmed in full."""
        return _of(self._start.told, destination)

    def load_traffic(self, link: str) -> dict[tuple[str, str], int]:
        """Bytes over a link by month and stream, when the ledger was opened."""
        return {(month, stream): count for (name, month, stream), count in self._start.traffic.items() if name == link}

    def is_new(self, destination: str) -> bool:
        """Whether this ledger served others before and this destination never. One that was lost or is empty knows nobody, so
        that it cannot tell: then everybody is owed everything.
        """
        return bool(self._start.confirmed) and all(name != destination for name, _, _ in self._start.confirmed)

    def left_out(self, destination: str) -> frozenset[Priority]:
        """The streams the destination did not get when it was served last; none that it may have got."""
        return frozenset(
            priority
            for (name, epoch, priority), done in self._start.confirmed.items()
            if name == destination and epoch == MET and done.through
        )

    def meet(self, destination: str, takes: Collection[Priority]) -> None:
        """The destination is served from now on, and gets these streams."""
        for priority in Priority:
            met = Intervals([] if priority in takes else [(1, 1)])
            if self._start.confirmed.get((destination, MET, priority)) != met:
                self.note(destination, MET, priority, met)

    def note(self, destination: str, epoch: str, priority: Priority, done: Intervals) -> None:
        """Remember `done`. The latest call for a stream wins; a commit follows within LINGER_S, READINGS_LINGER_S for readings."""
        self._add(_Notes(confirmed={(destination, epoch, priority): done.copy()}))

    def note_told(self, destination: str, epoch: str, priority: Priority, told: Intervals) -> None:
        """Remember what was told in brief; as `note`."""
        self._add(_Notes(told={(destination, epoch, priority): told.copy()}))

    def note_traffic(self, link: str, month: str, stream: str, count: int) -> None:
        """Remember how many bytes went over a link in a month; as `note`."""
        self._add(_Notes(traffic={(link, month, stream): count}))

    def refuse(self, refused: Refused) -> None:
        """Move one record aside."""
        self._add(_Notes(refused=[refused]))

    def _add(self, notes: _Notes) -> None:
        with self._changed:
            self._notes.add(notes)
            if self._idle or (self._rests and not notes.readings_only):  # else the writer knows, and lets more come
                self._idle = False
                self._runner.wake()

    def refused(self, destination: str) -> list[Refused]:
        """What the destination refused, oldest first; nothing while the file cannot be had. Not on a loop that matters."""
        if self._database is None:
            return []
        reader = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5.0)
        try:
            rows = reader.execute(
                "SELECT epoch, stream, n, why, body, wall_ns FROM refused WHERE destination = ? ORDER BY rowid",
                (destination,),
            ).fetchall()
        finally:
            reader.close()
        return [
            Refused(destination, Name(epoch, Priority[stream.upper()], n), why, body, wall_ns)
            for epoch, stream, n, why, body, wall_ns in rows
        ]

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until all that was noted is committed. False if it is not within `timeout_s`."""
        with self._changed:
            self._hurried = True
            self._runner.wake()
            return self._changed.wait_for(lambda: self._idle, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what is noted and stop the writer."""
        self._closing = True
        self._runner.wake()
        self._runner.join(timeout_s)

    # --- the file ---------------------------------------------------------------------------------------------------------

    def _connect(self) -> sqlite3.Connection:
        database = self._disk.connect(self.path, mode="rwc", timeout_s=5.0)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA journal_size_limit = 1048576")
            found = database.execute("PRAGMA user_version").fetchone()[0]
            if found > VERSION:
                raise sqlite3.DatabaseError(f"made by a later version ({found})")
            if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("quick_check failed")
            database.executescript(_SCHEMA)
            if found in {1, 2}:
                database.create_function("row_crc", 5, _row_crc)
                database.execute("ALTER TABLE confirmed ADD COLUMN crc INTEGER NOT NULL DEFAULT 0")
                database.execute("UPDATE confirmed SET crc = row_crc(destination, epoch, stream, through, rest)")
            database.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _open(self) -> _Notes:
        """Connect, and set a damaged file aside; return what it holds. Raise OSError or sqlite3.Error if the medium is to blame."""
        self._disk.make_directory(self.path.parent)
        try:
            self._database = self._connect()
            return self._read(self._database)
        except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as fault:
            if self._database is not None:
                self._database.close()
                self._database = None
            if not _is_damage(fault):
                raise
            self._put_aside(fault)
        self._database = self._connect()
        return _Notes()

    def _put_aside(self, fault: Exception) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.bad-{number}")).exists():
            number += 1
        self._disk.rename(self.path, aside)
        for suffix in ("-wal", "-shm"):
            side = self.path.with_name(self.path.name + suffix)
            if side.exists():
                self._disk.rename(side, aside.with_name(aside.name + suffix))
        self.set_aside = aside
        log.error("ledger set_aside=%s fault=%s", aside.name, fault)
        self._report("set_aside", aside.name)

    @staticmethod
    def _read(database: sqlite3.Connection) -> _Notes:
        found = _Notes()
        for destination, epoch, stream, through, rest, crc in database.execute(
            "SELECT destination, epoch, stream, through, rest, crc FROM confirmed"
        ):
            if crc != _row_crc(destination, epoch, stream, through, rest):
                raise ValueError(f"checksum of {destination}/{epoch}/{stream}")
            done = Intervals((int(first), int(last)) for first, last in json.loads(rest))
            done.add(1, int(through))
            found.confirmed[destination, epoch, Priority[stream.upper()]] = done
        for destination, epoch, stream, ranges in database.execute("SELECT * FROM told"):
            told = Intervals((int(first), int(last)) for first, last in json.loads(ranges))
            found.told[destination, epoch, Priority[stream.upper()]] = told
        for link, month, stream, count in database.execute("SELECT * FROM traffic"):
            found.traffic[link, month, stream] = int(count)
        return found

    # --- the writer thread ------------------------------------------------------------------------------------------------

    def _turn(self) -> int | None:
        """Let notes gather for `LINGER_S`, readings alone for `READINGS_LINGER_S`, then commit them."""
        owed = self._owed
        with self._changed:
            if not owed and not self._notes:
                self._idle, self._hurried = True, False
                self._changed.notify_all()
                if not self._closing:
                    return IDLE_NS
                self._close_file()
                return None
            rested, self._rests = self._rests or self._lingers, False
            if not rested and not owed and self._notes.readings_only and not self._hurried and not self._closing:
                self._rests = True
                return int(READINGS_LINGER_S * 1e9)
            if not self._lingers and not self._closing:
                self._lingers = True
                return int((RETRY_S if self._failing else LINGER_S) * 1e9)
            self._lingers = False
            owed.add(self._notes)  # after a failed commit the older notes are still here
            self._notes = _Notes()
        if self._commit(owed):
            self._owed = _Notes()
        elif self._closing:
            self._close_file()  # duplicates after the restart, nothing worse
            return None
        return 0

    def _close_file(self) -> None:
        if self._database is not None:
            self._database.close()

    def _commit(self, notes: _Notes) -> bool:
        rows = []
        for (destination, epoch, priority), done in notes.confirmed.items():
            rest = [pair for pair in done if pair[0] > 1]
            row = (destination, epoch, priority.stream, done.through, _ranges(rest))
            rows.append((*row, _row_crc(*row)))
        database = self._database
        try:
            if database is None:
                self._open()  # what it holds is older than what we remember
                database = self._database
                assert database is not None
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR REPLACE INTO confirmed VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.executemany(
                "INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?)",
                [(dest, epoch, priority.stream, _ranges(told)) for (dest, epoch, priority), told in notes.told.items()],
            )
            database.executemany(
                "INSERT OR REPLACE INTO traffic VALUES (?, ?, ?, ?)",
                [(*key, count) for key, count in notes.traffic.items()],
            )
            database.executemany(
                "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        r.destination,
                        r.name.epoch,
                        r.name.priority.stream,
                        r.name.n,
                        r.why[:500],
                        r.body[:REFUSED_BODY_MAX],
                        r.wall_ns,
                    )
                    for r in notes.refused
                ],
            )
            for destination in {r.destination for r in notes.refused}:
                database.execute(
                    "DELETE FROM refused WHERE destination = ?1 AND rowid NOT IN"
                    " (SELECT rowid FROM refused WHERE destination = ?1 ORDER BY rowid DESC LIMIT ?2)",
                    (destination, REFUSED_MAX),
                )
            database.execute("COMMIT")
        except (OSError, sqlite3.Error) as fault:
            if database is not None and database.in_transaction:
                database.rollback()
            self._fails(fault)
            return False
        self.commits += 1
        if self._failing:
            self._failing = False
            log.info("ledger recovered")
            self._report("recovered", "")
        return True

    def _fails(self, fault: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.error("ledger failing fault=%s", fault)
            self._report("failing", str(fault))


def _of(notes: dict[Key, Intervals], destination: str) -> dict[tuple[str, Priority], Intervals]:
    return {
        (epoch, priority): kept.copy()
        for (name, epoch, priority), kept in notes.items()
        if name == destination and epoch != MET
    }


def _ranges(kept: Iterable[Range]) -> str:
    return json.dumps(list(kept)[:REST_RANGES_MAX], separators=(",", ":"))


def _row_crc(destination: str, epoch: str, stream: str, through: int, rest: str) -> int:
    return zlib.crc32(f"{destination}/{epoch}/{stream}/{through}/{rest}".encode())


def _is_damage(fault: Exception) -> bool:
    """Whether the file is to blame, and not the medium or a tool that holds it: a full or read-only card spoils no ledger."""
    code = getattr(
        fault, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT
    )  # ours, and what the content made us raise, has none
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
