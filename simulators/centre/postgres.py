"""The centre's records in PostgreSQL: for a city, stored by any number of consumers at once.

Any consumer may take any batch. In READ COMMITTED each transaction first locks the `streams` rows it adds to, in the order of
their ids; what it reads there was committed by everybody before it, and nobody adds to it before this one ends. So the values of
`settled` form a chain of ever larger sets, each ack is one of them, and it is sent only after its transaction was committed.
Whatever order acks arrive in, none claims what is not stored; the gateway adds them up (docs/contract.md section 5).

Everything waits in memory until `commit` puts it into one transaction: locks are held for the time of a few statements and one
flush. Where a transaction was lost, or its end never heard of, the same messages are taken again: every insert is idempotent.
"""

import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

import psycopg
from psycopg import errors

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

VERSION: Final = 1  # of the schema; each is a file
ATTEMPTS: Final = 5  # at a transaction that others got in the way of
KNOWN_MAX: Final = 100_000  # streams whose id is remembered
LOCKS: Final = (
    0x7A67  # our advisory locks in the database: 0 leads, 1 makes the schema; the slots of the counters are apart
)
SLOTS: Final = LOCKS + 1
SEPARATOR: Final = "\x1e"  # in no JSON text and no printable one
SESSION: Final = (
    "SET lock_timeout = '10s'; SET statement_timeout = '60s';"
    # a consumer that froze in a transaction must not hold up the others' streams
    " SET idle_in_transaction_session_timeout = '5s'; SET default_transaction_isolation = 'read committed'"
)

_FIND_STREAM: Final = "SELECT stream_id FROM streams WHERE gateway = %s AND epoch = %s AND stream = %s"
_MAKE_STREAM: Final = (
    "INSERT INTO streams (gateway, epoch, stream) SELECT %s, %s, %s"
    " WHERE (SELECT count(*) FROM streams WHERE gateway = %s) < %s ON CONFLICT DO NOTHING"
)
_LOCK: Final = (
    "SELECT stream_id, settled::text FROM streams WHERE stream_id = ANY(%s::bigint[]) ORDER BY stream_id FOR UPDATE"
)
_PUT: Final = (
    "INSERT INTO records (stream_id, n, received_ns, brief, body)"
    " SELECT s, n, %s, {brief}, body FROM unnest(%s::bigint[], %s::bigint[], string_to_array(%s, chr(30))) AS t (s, n, body)"
    " ON CONFLICT (stream_id, n) DO "
)
_PUT_FULL: Final = _PUT.format(brief="false") + (
    "UPDATE SET received_ns = excluded.received_ns, body = excluded.body, brief = false WHERE records.brief"
)
_RESTAMP: Final = (
    "UPDATE records SET body = %s WHERE stream_id = %s AND n = %s AND NOT brief AND position(%s::text in body) = 0"
)
_PUT_BRIEF: Final = _PUT.format(brief="true") + "NOTHING"
_PUT_EVENTS: Final = (
    "INSERT INTO events (gateway, id, stream_id, n, received_ns) SELECT g, i, s, n, %s FROM unnest("
    "string_to_array(%s, chr(30)), string_to_array(%s, chr(30)), %s::bigint[], %s::bigint[]) AS t (g, i, s, n)"
    " ON CONFLICT DO NOTHING"
)
_READINGS: Final = "SELECT body::json ->> 'id' FROM records WHERE stream_id = %s AND n > %s"
_SETTLE: Final = (
    "UPDATE streams SET settled = t.settled::int8multirange"
    " FROM unnest(%s::bigint[], string_to_array(%s, ';')) AS t (stream_id, settled) WHERE streams.stream_id = t.stream_id"
)
_COUNT: Final = (
    "INSERT INTO counters SELECT %s, name, value FROM unnest(string_to_array(%s, ','), %s::bigint[]) AS t (name, value)"
    " ON CONFLICT (slot, name) DO UPDATE SET value = counters.value + excluded.value"
)
_STATE: Final = (
    "INSERT INTO gateways VALUES (%s, %s, %s, %s) ON CONFLICT (gateway)"
    " DO UPDATE SET online = excluded.online, seen_ns = excluded.seen_ns, state = excluded.state"
)


@dataclass(slots=True)
class _Taken:
    """What waits for `commit`."""

    batches: list[tuple[int, Batch, Rows]] = field(default_factory=list)
    unnumbered: list[tuple[int, Key, list[Object]]] = field(default_factory=list)
    states: dict[str, Object] = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Work:
    """One transaction: the streams it has locked, and the rows that go in."""

    now_ns: int
    settled: dict[int, Intervals]
    before: dict[int, str]
    counted: dict[str, int]
    full: dict[tuple[int, int], str] = field(default_factory=dict)
    brief: dict[tuple[int, int], str] = field(default_factory=dict)
    events: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    numbered: set[tuple[int, str]] = field(default_factory=set)  # stream and id of what was given its number here
    gaps: list[tuple[int, int, int, str, int]] = field(default_factory=list)

    def count(self, name: str, by: int) -> None:
        if by:
            self.counted[name] = self.counted.get(name, 0) + by


class PostgresStore:
    """One connection, made again after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        self._leading, self._term = False, 0
        self._slot = 0
        self._known: dict[Key, int] = {}
        self._taken = _Taken()
        with self._faults():
            self._connected()

    def take_batch(self, batch: Batch) -> None:
        """As Store says."""
        stream_id = self._stream_id((batch.gateway, batch.epoch, batch.stream))
        self._taken.batches.append((stream_id, batch, rows_of(batch)))

    def take_unnumbered(self, gateway: str, epoch: str, stream: str, events: list[Object]) -> None:
        """As Store says."""
        key = gateway, epoch, stream
        self._taken.unnumbered.append((self._stream_id(key), key, events))

    def take_state(self, gateway: str, state: Object) -> None:
        """As Store says."""
        self._taken.states[gateway] = state

    def count(self, name: str, by: int = 1) -> None:
        """As Store says."""
        if by:
            self._taken.counted[name] = self._taken.counted.get(name, 0) + by

    def commit(self) -> dict[str, Answer]:
        """As Store says."""
        try:
            for left in reversed(range(ATTEMPTS)):
                try:
                    with self._faults():
                        answers = self._transact(self._connected())
                    break
                except _InTheWay:
                    if not left:
                        raise
        finally:
            self._taken = _Taken()
        return answers

    def known(self, gateway: str, epoch: str, stream: str) -> Intervals:
        """As Store says."""
        stream_id = self._stream_id((gateway, epoch, stream))
        with self._faults():
            connection = self._connected()
            row = connection.execute("SELECT settled::text FROM streams WHERE stream_id = %s", (stream_id,)).fetchone()
            settled = intervals(row[0]) if row is not None else Intervals()
            briefs = connection.execute(
                "SELECT n, body FROM records WHERE stream_id = %s AND n > %s AND brief", (stream_id, settled.through)
            ).fetchall()
        return with_briefs(settled, briefs)

    def rollback(self) -> None:
        """As Store says."""
        self._taken = _Taken()

    def lead(self) -> int:
        """As Store says. The lock lives as long as the connection that our commits go through."""
        with self._faults():
            connection = self._connected()
            if self._leading:
                connection.execute("SELECT 1")  # a server that is gone is told of now, not at the next message
            elif _try_lock(connection, LOCKS, 0):
                self._leading = True
                self._term += 1
        return self._term if self._leading else 0

    def prove(self) -> None:
        """As Store says."""
        with self._faults():
            connection = self._connected()
            connection.execute(_COUNT, (self._slot, "messages", _ints((0,))))

    def abandon(self) -> None:
        """As Store says. A connection that is being made ends by itself."""
        connection = self._connection
        if connection is not None:
            with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)  # libpq, which waits for it in another thread, sees the connection end

    def close(self) -> None:
        """As Store says."""
        self._drop()

    # --- the connection -----------------------------------------------------------------------------------------------------

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=10, fallback_application_name="edge-centre"
            )
            try:
                self._prepare(self._connection)
            except (psycopg.Error, StoreFault):
                self._drop()
                raise
        return self._connection

    def _prepare(self, connection: psycopg.Connection) -> None:
        """An ack is a promise: a server that does not flush, or not before it answers, is no place to keep one."""
        connection.execute(SESSION)
        if _setting(connection, "fsync") != "on":
            raise StoreFault("the server runs with fsync = off")
        if _setting(connection, "synchronous_commit") == "off":
            connection.execute("SET synchronous_commit = on")
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s, 1)", (LOCKS,))
            _make(connection)
        self._slot = next(slot for slot in range(1 << 16) if _try_lock(connection, SLOTS, slot))

    def _drop(self) -> None:
        connection, self._connection, self._leading = self._connection, None, False
        self._known.clear()  # a server that was restored, or failed over, may give these numbers to other streams
        if connection is not None:
            connection.close()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable) as fault:
            raise _InTheWay(f"{type(fault).__name__}: {str(fault).strip()}") from fault
        except psycopg.DataError as fault:
            raise StoreFault(f"{type(fault).__name__}: {str(fault).strip()}", data=True) from fault
        except psycopg.Error as fault:
            self._drop()
            raise StoreFault(f"{type(fault).__name__}: {str(fault).strip()}") from fault

    def _stream_id(self, key: Key) -> int:
        """The stream's id, made if it is new: at once and by itself, so that no two transactions wait for each other's streams."""
        if (known := self._known.get(key)) is not None:
            return known
        with self._faults():
            connection = self._connected()
            row = connection.execute(
                _FIND_STREAM, key
            ).fetchone()  # by itself: a new consumer meets a city of known streams
            if row is None:
                with connection.transaction():
                    connection.execute(
                        "SET LOCAL synchronous_commit = off"
                    )  # the commit that needs the row flushes it too
                    connection.execute(_MAKE_STREAM, (*key, key[0], STREAMS_MAX))
                    row = connection.execute(_FIND_STREAM, key).fetchone()
        if row is None:
            raise Rejected(f"too many streams: {STREAMS_MAX}")
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[key] = row[0]
        return int(row[0])

    # --- one transaction ------------------------------------------------------------------------------------------------------

    def _transact(self, connection: psycopg.Connection) -> dict[str, Answer]:
        taken = self._taken
        touched = sorted({stream_id for stream_id, *_ in (*taken.batches, *taken.unnumbered)})
        keys = {stream_id: (b.gateway, b.epoch, b.stream) for stream_id, b, _ in taken.batches}
        keys |= {stream_id: key for stream_id, key, _ in taken.unnumbered}
        with _transaction(connection) as pipeline:
            rows = connection.execute(_LOCK, (touched,)).fetchall() if touched else []
            if len(rows) != len(touched):
                self._known.clear()
                raise StoreFault("a stream is gone")  # its row was deleted under us: look it up again
            work = _Work(
                time.time_ns(), {i: intervals(text) for i, text in rows}, dict(rows), counted=dict(taken.counted)
            )
            for stream_id, key, events in taken.unnumbered:
                batch = _numbered(connection, stream_id, key, events, work)
                _collect(work, stream_id, batch, rows_of(batch))
            for stream_id, batch, found in taken.batches:
                _collect(work, stream_id, batch, found)
            put = _store(connection, work)
            pipeline.sync()
            put.count(work)
            refused = _refuse(connection, work, taken.batches)
            for gateway in sorted(taken.states):
                state = taken.states[gateway]
                connection.execute(_STATE, (gateway, state["online"], work.now_ns, encode(state)))
            if work.counted:
                connection.execute(_COUNT, (self._slot, ",".join(work.counted), _ints(work.counted.values())))
            told = _of_gateways(connection, [g for g, state in taken.states.items() if state["online"]])
        told |= {keys[stream_id]: settled for stream_id, settled in work.settled.items()}
        answers: dict[str, Answer] = {}
        for (gateway, epoch, stream), settled in sorted(told.items(), key=lambda item: item[0]):
            entry = {"epoch": epoch, "stream": stream, **standing(settled)}
            answers.setdefault(gateway, Answer()).acks.append(entry)
        for gateway, entries in refused.items():
            answers.setdefault(gateway, Answer()).refused += entries
        return answers


@contextmanager
def _transaction(connection: psycopg.Connection) -> Iterator[psycopg.Pipeline]:
    """One transaction whose statements wait for an answer only where one is needed: the server may be a city away.

    psycopg's own `transaction()` waits for its BEGIN and for what goes before its COMMIT.
    """
    try:
        with connection.pipeline() as pipeline:
            connection.execute("BEGIN")
            yield pipeline
            connection.execute("COMMIT")
    except BaseException:
        with suppress(psycopg.Error):
            connection.rollback()
        raise


class _InTheWay(StoreFault):
    """Others were faster: the same again may do."""


def _collect(work: _Work, stream_id: int, batch: Batch, rows: Rows) -> None:
    """Add one batch to a transaction that has its stream's lock."""
    into = work.brief if batch.brief else work.full
    for n, body, event_id in rows.records:
        if (stream_id, n) in into:
            work.count("duplicates", 1)
            if is_restamped(body):
                into[stream_id, n] = body
            continue
        into[stream_id, n] = body
        if event_id is not None:
            work.events.setdefault((batch.gateway, event_id), (stream_id, n))
    settled = work.settled[stream_id]
    if not batch.brief:
        for first, last in runs(n for n, *_ in rows.records):
            settled.add(first, last)
    for first, last, why in settle_gaps(settled, batch):
        work.gaps.append((stream_id, first, last, why, work.now_ns))
        work.count("lost", last - first + 1)


@dataclass(frozen=True, slots=True)
class _Put:
    """What was sent; how much of it was new is known once the pipeline is in step."""

    briefs: psycopg.Cursor | None
    records: psycopg.Cursor | None
    events: psycopg.Cursor | None

    def count(self, work: _Work) -> None:
        for name, held, done in (("briefs", work.brief, self.briefs), ("records", work.full, self.records)):
            if done is not None:
                work.count(name, done.rowcount)
                work.count("duplicates", len(held) - done.rowcount)
        if self.events is not None:
            work.count("events", self.events.rowcount)


def _store(connection: psycopg.Connection, work: _Work) -> _Put:
    put = _Put(
        briefs=_put(connection, _PUT_BRIEF, work.brief, work.now_ns),
        records=_put(connection, _PUT_FULL, work.full, work.now_ns),
        events=_put_events(connection, work),
    )
    for gap in work.gaps:
        connection.execute(
            "INSERT INTO gaps VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (stream_id, first) DO UPDATE SET last = excluded.last, why = excluded.why",
            gap,
        )
    changed = {i: text for i, s in work.settled.items() if (text := multirange(s)) != work.before[i]}
    if changed:
        connection.execute(_SETTLE, (_ints(changed), ";".join(changed.values())))
    return put


def _put(
    connection: psycopg.Connection, statement: str, held: Mapping[tuple[int, int], str], now_ns: int
) -> psycopg.Cursor | None:
    if not held:
        return None
    rows = sorted(held)
    bodies = SEPARATOR.join(held[row] for row in rows)
    done = connection.execute(statement, (now_ns, _ints(s for s, _ in rows), _ints(n for _, n in rows), bodies))
    right = [(held[row], *row, RESTAMPED) for row in rows if is_restamped(held[row])]
    if right:
        connection.cursor().executemany(_RESTAMP, right)
    return done


def _put_events(connection: psycopg.Connection, work: _Work) -> psycopg.Cursor | None:
    if not work.events:
        return None
    ids = sorted(work.events)  # in one order for all, so that two consumers cannot wait for each other
    places = [work.events[key] for key in ids]
    texts = (SEPARATOR.join(gateway for gateway, _ in ids), SEPARATOR.join(event_id for _, event_id in ids))
    return connection.execute(
        _PUT_EVENTS, (work.now_ns, *texts, _ints(s for s, _ in places), _ints(n for _, n in places))
    )


def _refuse(
    connection: psycopg.Connection, work: _Work, batches: Iterable[tuple[int, Batch, Rows]]
) -> dict[str, list[Object]]:
    """Remember what was refused, and return it by gateway."""
    told: dict[str, list[Object]] = {}
    for stream_id, batch, rows in batches:
        if not rows.refused:
            continue
        row = connection.execute("SELECT count(*) FROM refused WHERE stream_id = %s", (stream_id,)).fetchone()
        room = REFUSED_MAX - (row[0] if row else 0)
        for n, why in rows.refused[: max(0, room)]:
            done = connection.execute(
                "INSERT INTO refused VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING", (stream_id, n, why, work.now_ns)
            )
            work.count("refused", done.rowcount)
        told.setdefault(batch.gateway, []).extend(
            {"epoch": batch.epoch, "stream": batch.stream, "n": n, "why": why} for n, why in rows.refused
        )
    return told


def _numbered(connection: psycopg.Connection, stream_id: int, key: Key, events: list[Object], work: _Work) -> Batch:
    """The new ones of `events` under the next numbers; the stream's lock keeps others from doing the same."""
    high = work.settled[stream_id].high
    ids = [str(event["id"]) for event in events]
    rows = connection.execute("SELECT id FROM events WHERE gateway = %s AND id = ANY(%s)", (key[0], ids)).fetchall()
    if key[2] == "telemetry":
        rows += connection.execute(_READINGS, (stream_id, high - READINGS_BACK)).fetchall()
    known = {row[0] for row in rows}
    new: dict[str, Object] = {}
    for event_id, event in zip(ids, events, strict=True):
        if event_id not in known and (stream_id, event_id) not in work.numbered:
            new[event_id] = event
            work.numbered.add((stream_id, event_id))
    work.count("duplicates", len(events) - len(new))
    return Batch(*key, records=list(enumerate(new.values(), high + 1)), gaps=[], refused=[])


def _of_gateways(connection: psycopg.Connection, gateways: list[str]) -> dict[Key, Intervals]:
    if not gateways:
        return {}
    rows = connection.execute(
        "SELECT gateway, epoch, stream, settled::text FROM streams WHERE gateway = ANY(%s)", (gateways,)
    )
    return {(gateway, epoch, stream): intervals(text) for gateway, epoch, stream, text in rows}


def _try_lock(connection: psycopg.Connection, family: int, number: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (family, number)).fetchone()
    return row is not None and bool(row[0])


def _setting(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row else ""


def _make(connection: psycopg.Connection) -> None:
    """Bring the schema up to VERSION, or raise StoreFault if it is of a newer program."""
    connection.execute("CREATE TABLE IF NOT EXISTS schema_versions (version integer PRIMARY KEY)")
    row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_versions").fetchone()
    found = row[0] if row else 0
    if found > VERSION:
        raise StoreFault(f"the database has version {found}, this program knows {VERSION}")
    for version in range(found + 1, VERSION + 1):
        text = files(__package__).joinpath(f"schema_postgres_v{version}.sql").read_text("utf-8")
        connection.execute(text.encode())
        connection.execute("INSERT INTO schema_versions VALUES (%s)", (version,))


def intervals(text: str) -> Intervals:
    """PostgreSQL's {[1,6),[8,9)} as a set."""
    return Intervals((int(first), int(end) - 1) for first, end in re.findall(r"\[(\d+),(\d+)\)", text))


def multirange(settled: Intervals) -> str:
    """A set as PostgreSQL writes it."""
    return "{" + ",".join(f"[{first},{last + 1})" for first, last in settled) + "}"


def _ints(numbers: Iterable[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"
