"""The centre's database: every record once, by its name; every event once, by its id.

One writer. What is settled of a stream (stored, or declared lost by the gateway) is kept as ranges in the same transaction as the
records, so an acknowledgement never speaks of more than what was committed.
"""

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_agent.uplink.intervals import Intervals
from simulators.centre.check import Batch, Object, encode

VERSION: Final = 1
MISSING_MAX: Final = 64  # ranges an ack lists; it speaks of no number beyond them
STREAMS_MAX: Final = 100_000  # what foreign or broken gateways may open in all
REFUSED_MAX: Final = 100_000

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS gateways (          -- who has ever spoken
  gateway TEXT PRIMARY KEY, online INTEGER NOT NULL, seen_ns INTEGER NOT NULL, state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS streams (           -- what is settled, as of this transaction
  stream_id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL,
  settled TEXT NOT NULL,                       -- [[first, last], ...] stored or declared lost
  UNIQUE (gateway, epoch, stream)
);
CREATE TABLE IF NOT EXISTS records (           -- the name (gateway, epoch, stream, n) is the key: twice is impossible
  stream_id INTEGER NOT NULL, n INTEGER NOT NULL, received_ns INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (stream_id, n)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (            -- one event under two names is one event
  gateway TEXT NOT NULL, id TEXT NOT NULL, stream_id INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (gateway, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gaps (              -- numbers the gateway says will never come
  stream_id INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, why TEXT NOT NULL, received_ns INTEGER NOT NULL,
  PRIMARY KEY (stream_id, first)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refused (           -- records that break the contract
  stream_id INTEGER NOT NULL, n INTEGER NOT NULL, why TEXT NOT NULL, received_ns INTEGER NOT NULL,
  PRIMARY KEY (stream_id, n)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

Key = tuple[str, str, str]  # gateway, epoch, stream


@dataclass(slots=True)
class StoredStream:
    """One stream of one epoch of one gateway."""

    stream_id: int
    settled: Intervals
    refused: dict[int, str] = field(default_factory=dict)  # to be told in the next ack


class Store:
    """Owned by one thread. `take_*` belong to a transaction that `commit` ends."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")  # an ack is a promise
        found = self._database.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, VERSION):
            raise sqlite3.DatabaseError(f"{path} has version {found}, this program knows {VERSION}")
        self._database.executescript(_SCHEMA)
        self._database.execute(f"PRAGMA user_version = {VERSION}")
        self._streams: dict[Key, StoredStream] = {}
        self._counted: dict[str, int] = {}
        self._touched: set[Key] = set()
        self._refusing: set[Key] = set()
        self._load()

    def _load(self) -> None:
        self._streams = {
            (gateway, epoch, stream): StoredStream(stream_id, Intervals(json.loads(settled)))
            for stream_id, gateway, epoch, stream, settled in self._database.execute(
                "SELECT stream_id, gateway, epoch, stream, settled FROM streams"
            )
        }

    def take_batch(self, batch: Batch) -> None:
        """Store what is new of a batch."""
        now_ns = time.time_ns()
        self._begin()
        key = batch.gateway, batch.epoch, batch.stream
        stream = self._stream(key)
        stream_id, run = stream.stream_id, self._database.executemany
        rows = [(stream_id, n, now_ns, encode(record)) for n, record in batch.records]
        stored = run("INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?)", rows).rowcount if rows else 0
        self.count("records", stored)
        self.count("duplicates", len(rows) - stored)
        if batch.stream != "telemetry" and stored:
            named = [(batch.gateway, record["id"], stream_id, n) for n, record in batch.records if "id" in record]
            self.count("events", run("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?)", named).rowcount)
        for first, last in _runs(n for n, _ in batch.records):
            stream.settled.add(first, last)
        for first, last, why in batch.gaps:
            while (part := stream.settled.first_missing(first, last)) is not None:  # what is stored is not lost
                self._database.execute(
                    "INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?)", (stream_id, *part, why, now_ns)
                )
                stream.settled.add(*part)
                self.count("lost", part[1] - part[0] + 1)
        for n, why in batch.refused:
            stream.refused[n] = why
            self._refusing.add(key)
            if self._counted_total("refused") < REFUSED_MAX:
                changed = self._database.execute(
                    "INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?)", (stream_id, n, why, now_ns)
                )
                self.count("refused", changed.rowcount)
        self._touched.add(key)

    def take_state(self, gateway: str, state: Object) -> None:
        """Remember what a gateway said of itself. A gateway that is back hears what we have and lack of it."""
        self._begin()
        row = gateway, bool(state["online"]), time.time_ns(), encode(state)
        self._database.execute("INSERT OR REPLACE INTO gateways VALUES (?, ?, ?, ?)", row)
        if state["online"]:
            self._touched |= {key for key in self._streams if key[0] == gateway}

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter; it is committed with the rest."""
        if by:
            self._counted[name] = self._counted.get(name, 0) + by

    def commit(self) -> dict[str, list[Object]]:
        """Make it last. Return, for each gateway that was heard, the `acks` entries that are true from now on.

        Raise sqlite3.Error (disk full, I/O error); then nothing of it was stored, and nothing may be acknowledged.
        """
        self._begin()
        try:
            for key in self._touched:
                stream = self._streams[key]
                settled = json.dumps(list(stream.settled), separators=(",", ":"))
                self._database.execute(
                    "UPDATE streams SET settled = ? WHERE stream_id = ?", (settled, stream.stream_id)
                )
            self._database.executemany(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                list(self._counted.items()),
            )
            self._database.execute("COMMIT")
        except sqlite3.Error:
            self.rollback()
            raise
        acks: dict[str, list[Object]] = {}
        for gateway, epoch, stream_name in sorted(self._touched):
            stream = self._streams[gateway, epoch, stream_name]
            acks.setdefault(gateway, []).append({"epoch": epoch, "stream": stream_name, **_standing(stream.settled)})
        self._touched, self._counted = set(), {}
        return acks

    def take_refused(self, gateway: str) -> list[Object]:
        """The `refused` entries of the next ack to a gateway."""
        entries: list[Object] = []
        for key in [key for key in self._refusing if key[0] == gateway]:
            self._refusing.discard(key)
            stream = self._streams[key]
            entries += [{"epoch": key[1], "stream": key[2], "n": n, "why": why} for n, why in stream.refused.items()]
            stream.refused = {}
        return entries

    def rollback(self) -> None:
        """Forget what was taken since the last commit."""
        if self._database.in_transaction:
            self._database.rollback()
        self._touched, self._counted = set(), {}
        self._refusing.clear()
        self._load()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")

    def _stream(self, key: Key) -> StoredStream:
        if (stream := self._streams.get(key)) is not None:
            return stream
        if len(self._streams) >= STREAMS_MAX:
            raise sqlite3.DataError("too many streams")
        row = self._database.execute(
            "INSERT INTO streams (gateway, epoch, stream, settled) VALUES (?, ?, ?, '[]')", key
        )
        assert row.lastrowid is not None
        stream = self._streams[key] = StoredStream(row.lastrowid, Intervals())
        return stream

    def _counted_total(self, name: str) -> int:
        row = self._database.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return (row[0] if row else 0) + self._counted.get(name, 0)


def _standing(settled: Intervals) -> Object:
    """through, high and missing of an ack."""
    through = high = settled.through
    missing: list[list[int]] = []
    for first, last in settled:
        if first > high + 1:
            if len(missing) == MISSING_MAX:
                break  # the rest is spoken of when these are filled
            missing.append([high + 1, first - 1])
        high = last
    return {"through": through, "high": high, "missing": missing}


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as closed ranges."""
    runs: list[tuple[int, int]] = []
    first = last = 0
    for n in numbers:
        if n != last + 1 or not first:
            if first:
                runs.append((first, last))
            first = n
        last = n
    return [*runs, (first, last)] if first else runs
