"""What a centre keeps, whatever keeps it: one interface, two stores (`sqlite_store.py`, `postgres.py`).

Whoever brings records (MQTT, GB/T 26875.3, packed frames) takes them in with `take_*`, ends with `commit`, and only then answers
its gateway. Several stores may be open on one database, in one process or in many: what is settled of a stream is read under a
lock in the transaction that adds to it, so an answer never speaks of more than was committed, by whomever.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeGuard

from edge_agent.uplink.intervals import Intervals
from simulators.centre.check import Batch, Object, encode, why_not_storable

MISSING_MAX: Final = 64  # ranges an ack lists; it speaks of no number beyond them
STREAMS_MAX: Final = 1000  # of one gateway: five streams of 200 epochs
RESTAMPED: Final = '"restamped":true'  # in a body as `encode` writes it
READINGS_BACK: Final = 256  # of a protocol without numbers: more than a device has on its way at once
REFUSED_MAX: Final = 1000  # refused records remembered of one stream
COUNTERS: Final = ("messages", "records", "briefs", "duplicates", "events", "refused", "rejected", "untaken", "lost")

Key = tuple[str, str, str]  # gateway, epoch, stream
Database = Path | str  # a SQLite file, or postgresql://…


class StoreFault(Exception):
    """Nothing since the last commit was stored, and nothing of it may be answered. The text is for the log.

    It may work later, unless `data`: then the store is well, and something of what was taken can never be stored in it.
    """

    def __init__(self, why: str, *, data: bool = False) -> None:
        super().__init__(why)
        self.data = data


@dataclass(slots=True)
class Answer:
    """What a commit lets us say to one gateway: the `acks` and `refused` entries of docs/contract.md."""

    acks: list[Object] = field(default_factory=list)
    refused: list[Object] = field(default_factory=list)


class Store(Protocol):
    """Owned by one thread. `take_*` and `count` belong to a transaction that `commit` ends.

    All but `close` and `abandon` raise StoreFault.
    """

    def take_batch(self, batch: Batch) -> None:
        """Store what is new of a batch. Raise Rejected if it can never be taken.

        A brief gives way to the full record of the same name and settles nothing; the first full record stays for ever.
        """
        ...

    def take_unnumbered(self, gateway: str, epoch: str, stream: str, events: list[Object]) -> None:
        """Events of a protocol that does not number them (GB/T 26875.3): each once by its `id`, under the epoch's next n.

        A reading is known by its `id` among the last READINGS_BACK of its stream only: no index is kept of them.
        """
        ...

    def take_state(self, gateway: str, state: Object) -> None:
        """Remember what a gateway said of itself. A gateway that is back hears what we have and lack of it."""
        ...

    def lead(self) -> int:
        """Not 0 if this store is the one, of all that are open on its database, that takes states: two would cross each other.

        Another number is another term: somebody else may have led between the two.
        """
        ...

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of COUNTERS; it is committed with the rest."""
        ...

    def commit(self) -> dict[str, Answer]:
        """Make it last. Return, for each gateway that was heard, what is true from now on."""
        ...

    def known(self, gateway: str, epoch: str, stream: str) -> Intervals:
        """What is committed of a stream, in full or in brief, or was declared lost."""
        ...

    def rollback(self) -> None:
        """Forget what was taken since the last commit."""
        ...

    def prove(self) -> None:
        """Write something that changes nothing, and make it last: whether the database stores again. Between transactions."""
        ...

    def abandon(self) -> None:
        """Any thread: end what waits for the database in the owner's, if it can be ended; it raises StoreFault there."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


def is_server(db: Database) -> TypeGuard[str]:
    """Whether it is a server that many consumers may share, and not a file."""
    return isinstance(db, str) and db.startswith(("postgresql://", "postgres://"))


def open_store(db: Database) -> Store:
    """Open or make the database. Raise StoreFault, or ImportError if the driver of PostgreSQL is not installed."""
    if is_server(db):
        from simulators.centre.postgres import PostgresStore

        return PostgresStore(db)
    from simulators.centre.sqlite_store import SqliteStore

    return SqliteStore(Path(db))


@dataclass(slots=True)
class Rows:
    """A batch as a database takes it. `records` are (n, body, id of the event or None); `refused` are (n, why)."""

    records: list[tuple[int, str, str | None]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


def rows_of(batch: Batch) -> Rows:
    """Encode a batch. What no database can take joins what was refused."""
    rows = Rows(refused=list(batch.refused))
    for n, record in batch.records:
        try:
            body = encode(record)
            body.encode()
        except (TypeError, ValueError, RecursionError):
            rows.refused.append((n, why_not_storable(record) or ""))
            continue
        named = batch.stream not in ("telemetry", "media") and not isinstance(record.get("gap"), dict)
        event_id = record.get("id") if named else None
        printable = isinstance(event_id, str) and event_id.isprintable()
        rows.records.append((n, body, str(event_id) if printable else None))
    return rows


def is_restamped(body: str) -> bool:
    """Whether a record's time was put right after the event: it then beats one that came before under the same name."""
    return RESTAMPED in body


def standing(settled: Intervals) -> Object:
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


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending numbers as closed ranges."""
    found: list[tuple[int, int]] = []
    first = last = 0
    for n in numbers:
        if n != last + 1 or not first:
            if first:
                found.append((first, last))
            first = n
        last = n
    return [*found, (first, last)] if first else found


def with_briefs(settled: Intervals, briefs: Iterable[tuple[int, str]]) -> Intervals:
    """Ranges with those of brief rows (n, body) added. A row that counts a storm covers more than its own number."""
    known = settled.copy()
    for n, body in briefs:
        covers = json.loads(body).get("covers")
        known.add(n, covers["last"] if isinstance(covers, dict) else n)
    return known


def settle_gaps(settled: Intervals, batch: Batch) -> list[tuple[int, int, str]]:
    """Settle what a batch declares lost, and return the parts of it that were not settled before: what is stored is not lost."""
    parts: list[tuple[int, int, str]] = []
    for first, last, why in batch.gaps:
        while (part := settled.first_missing(first, last)) is not None:
            settled.add(*part)
            parts.append((*part, why))
    return parts
