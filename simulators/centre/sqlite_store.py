"""The centre's records in a SQLite file: for one county, one machine."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from edge_agent.uplink.intervals import Intervals
from simulators.centre.check import Batch, Object, Rejected, encode
from simulators.centre.store import (
    READINGS_BACK,
    REFUSED_MAX,
    RESTAMPED,
    STREAMS_MAX,
    Answer,
    Key,
    Rows,
    StoreFault,
    is_restamped,
    rows_of,
    runs,
    settle_gaps,
    standing,
    with_briefs,
)

VERSION: Final = 2  # of the schema; each is a file
BUSY_S: Final = 10.0  # another store may be writing

_PUT: Final = (
    "INSERT INTO records (stream_id, n, received_ns, body, brief) VALUES (?, ?, ?, ?, ?) ON CONFLICT (stream_id, n) DO"
    " UPDATE SET received_ns = excluded.received_ns, body = excluded.body, brief = 0 WHERE brief AND NOT excluded.brief"
)

_RESTAMP: Final = "UPDATE records SET body = ? WHERE stream_id = ? AND n = ? AND NOT brief AND instr(body, ?) = 0"


@dataclass(slots=True)
class _Stream:
    stream_id: int
    settled: Intervals


class SqliteStore:
    """One connection. Each transaction holds the file's write lock from its first `take_*` to its end."""

    def __init__(self, path: Path) -> None:
        with _faults():
            self._database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")  # an ack is a promise
            self._make(path)
        self._streams: dict[Key, _Stream] = {}  # touched in this transaction
        self._answers: dict[str, Answer] = {}
        self._counted: dict[str, int] = {}

    def _make(self, path: Path) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= found <= VERSION:
            raise StoreFault(f"{path} has version {found}, this program knows {VERSION}")
        for version in range(found + 1, VERSION + 1):
            for statement in files(__package__).joinpath(f"schema_sqlite_v{version}.sql").read_text("utf-8").split(";"):
                self._database.execute(statement)
        self._database.execute(f"PRAGMA user_version = {VERSION}")
        self._database.execute("COMMIT")

    def take_batch(self, batch: Batch) -> None:
        """As Store says."""
        now_ns = time.time_ns()
        with _faults():
            stream = self._stream((batch.gateway, batch.epoch, batch.stream))
            rows = rows_of(batch)
            self._put(batch, rows, stream.stream_id, now_ns)
            if not batch.brief:
                for first, last in runs(n for n, *_ in rows.records):
                    stream.settled.add(first, last)
            for first, last, why in settle_gaps(stream.settled, batch):
                row = stream.stream_id, first, last, why, now_ns
                self._database.execute("INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?)", row)
                self.count("lost", last - first + 1)
            self._refuse(batch, rows, stream.stream_id, now_ns)

    def take_unnumbered(self, gateway: str, epoch: str, stream: str, events: list[Object]) -> None:
        """As Store says."""
        with _faults():
            held = self._stream((gateway, epoch, stream))
            high = held.settled.high
            readings = self._readings(held.stream_id, high) if stream == "telemetry" else frozenset()
            new: dict[object, Object] = {}
            for event in events:
                known = self._database.execute(
                    "SELECT 1 FROM events WHERE gateway = ? AND id = ?", (gateway, event["id"])
                ).fetchone()
                if known or event["id"] in new or event["id"] in readings:
                    self.count("duplicates")
                else:
                    new[event["id"]] = event
        self.take_batch(Batch(gateway, epoch, stream, list(enumerate(new.values(), high + 1)), [], []))

    def take_state(self, gateway: str, state: Object) -> None:
        """As Store says."""
        with _faults():
            self._begin()
            row = gateway, bool(state["online"]), time.time_ns(), encode(state)
            self._database.execute("INSERT OR REPLACE INTO gateways VALUES (?, ?, ?, ?)", row)
            if state["online"]:
                for epoch, stream in self._database.execute(
                    "SELECT epoch, stream FROM streams WHERE gateway = ?", (gateway,)
                ).fetchall():
                    self._stream((gateway, epoch, stream))

    def lead(self) -> int:
        """As Store says: the consumer of a file is the only one."""
        return 1

    def count(self, name: str, by: int = 1) -> None:
        """As Store says."""
        if by:
            self._counted[name] = self._counted.get(name, 0) + by

    def commit(self) -> dict[str, Answer]:
        """As Store says."""
        try:
            with _faults():
                self._begin()
                self._database.executemany(
                    "UPDATE streams SET settled = ? WHERE stream_id = ?",
                    [(json.dumps(list(s.settled), separators=(",", ":")), s.stream_id) for s in self._streams.values()],
                )
                self._database.executemany(
                    "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    list(self._counted.items()),
                )
                self._database.execute("COMMIT")
        except StoreFault:
            self.rollback()
            raise
        answers = self._answers
        for (gateway, epoch, stream), held in sorted(self._streams.items(), key=lambda item: item[0]):
            entry = {"epoch": epoch, "stream": stream, **standing(held.settled)}
            answers.setdefault(gateway, Answer()).acks.append(entry)
        self._forget()
        return answers

    def known(self, gateway: str, epoch: str, stream: str) -> Intervals:
        """As Store says."""
        with _faults():
            row = self._database.execute(
                "SELECT stream_id, settled FROM streams WHERE gateway = ? AND epoch = ? AND stream = ?",
                (gateway, epoch, stream),
            ).fetchone()
            if row is None:
                return Intervals()
            settled = Intervals(json.loads(row[1]))
            briefs = self._database.execute(
                "SELECT n, body FROM records WHERE stream_id = ? AND n > ? AND brief", (row[0], settled.through)
            ).fetchall()
        return with_briefs(settled, briefs)

    def rollback(self) -> None:
        """As Store says."""
        with _faults():
            if self._database.in_transaction:
                self._database.rollback()
        self._forget()

    def prove(self) -> None:
        """As Store says."""
        with _faults(), self._database:  # commits, or rolls back
            self._begin()
            found = self._database.execute("PRAGMA user_version").fetchone()[0]
            self._database.execute(f"PRAGMA user_version = {found}")  # a row that stays the same SQLite would not write

    def abandon(self) -> None:
        """As Store says; a disk that hangs cannot be ended."""
        with suppress(sqlite3.Error):
            self._database.interrupt()

    def close(self) -> None:
        """As Store says."""
        self._database.close()

    # --- inside a transaction -------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _forget(self) -> None:
        self._streams, self._answers, self._counted = {}, {}, {}

    def _stream(self, key: Key) -> _Stream:
        """The stream as it is under our write lock, made if it is new. Raise Rejected."""
        self._begin()
        if (held := self._streams.get(key)) is not None:
            return held
        find = "SELECT stream_id, settled FROM streams WHERE gateway = ? AND epoch = ? AND stream = ?"
        row = self._database.execute(find, key).fetchone()
        if row is None:
            count = self._database.execute("SELECT COUNT(*) FROM streams WHERE gateway = ?", key[:1]).fetchone()[0]
            if count >= STREAMS_MAX:
                raise Rejected(f"too many streams: {count}")
            made = self._database.execute(
                "INSERT INTO streams (gateway, epoch, stream, settled) VALUES (?, ?, ?, '[]')", key
            )
            row = made.lastrowid, "[]"
        held = self._streams[key] = _Stream(row[0], Intervals(json.loads(row[1])))
        return held

    def _readings(self, stream_id: int, high: int) -> frozenset[object]:
        """The ids of the last readings of a stream."""
        rows = self._database.execute(
            "SELECT json_extract(body, '$.id') FROM records WHERE stream_id = ? AND n > ?",
            (stream_id, high - READINGS_BACK),
        )
        return frozenset(row[0] for row in rows)

    def _put(self, batch: Batch, rows: Rows, stream_id: int, now_ns: int) -> None:
        run = self._database.executemany
        stored = run(_PUT, [(stream_id, n, now_ns, body, batch.brief) for n, body, _ in rows.records]).rowcount
        stored = max(0, stored)  # -1 when there was nothing to run
        right = [(body, stream_id, n, RESTAMPED) for n, body, _ in rows.records if is_restamped(body)]
        if right:
            run(_RESTAMP, right)
        self.count("briefs" if batch.brief else "records", stored)
        self.count("duplicates", len(rows.records) - stored)
        named = [(batch.gateway, event_id, stream_id, n) for n, _, event_id in rows.records if event_id is not None]
        if named and stored:
            self.count("events", run("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", named).rowcount)

    def _refuse(self, batch: Batch, rows: Rows, stream_id: int, now_ns: int) -> None:
        if not rows.refused:
            return
        kept = self._database.execute("SELECT COUNT(*) FROM refused WHERE stream_id = ?", (stream_id,)).fetchone()[0]
        room = rows.refused[: max(0, REFUSED_MAX - kept)]
        stored = self._database.executemany(
            "INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?)", [(stream_id, n, why, now_ns) for n, why in room]
        ).rowcount
        self.count("refused", max(0, stored))
        self._answers.setdefault(batch.gateway, Answer()).refused += [
            {"epoch": batch.epoch, "stream": batch.stream, "n": n, "why": why} for n, why in rows.refused
        ]


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as fault:
        raise StoreFault(f"{type(fault).__name__}: {fault}") from fault
