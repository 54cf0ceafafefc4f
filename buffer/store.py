# ruff: noqa: S608 - table names are constants of this package
"""The two files as stores of records. Synchronous; a simulation may run them inline."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from buffer import rows
from buffer.dbfile import Confirmed, DbFile
from buffer.faults import Damaged
from buffer.records import Priority
from buffer.waiting import Ticket

Note = tuple[Priority, bytes]  # a record of the journal's own: a gap
Delete = tuple[Priority, Sequence[int]]  # rows of a stream by id


def gap_body(why: str, *, epoch: str = "", first: int = 0, last: int | None = None, count: int = 0) -> bytes:
    """The body of a gap record (docs/journal.md): what of first..last has not arrived before this record will not come.

    `last` None: to the end of that epoch, wherever that was. Without `epoch` the records were lost before they had names.
    """
    gap: dict[str, object] = {"epoch": epoch, "from": first, "to": last} if epoch else {}
    if count:
        gap["count"] = count
    return json.dumps({"gap": {**gap, "why": why}}, separators=(",", ":")).encode()


def is_gap(body: bytes) -> bool:
    """Whether a body is a gap record of the journal's own."""
    return body.startswith(b'{"gap":')


def merged_gaps(bodies: Iterable[bytes], epoch: str) -> list[bytes]:
    """What gap records that are about to be dropped say of other epochs than `epoch`, in as few as can say it."""
    ranges: dict[str, tuple[int, int | None, str]] = {}
    unnamed: dict[str, int] = {}
    for body in bodies:
        gap = json.loads(body)["gap"]
        about, why = gap.get("epoch", ""), gap["why"]
        if not about:
            unnamed[why] = unnamed.get(why, 0) + gap.get("count", 0)
        elif about != epoch:
            first, last, _ = ranges.get(about, (gap["from"], gap["to"], why))
            last = None if last is None or gap["to"] is None else max(last, gap["to"])
            ranges[about] = (min(first, gap["from"]), last, why)
    return [gap_body(why, count=count) for why, count in unnamed.items()] + [
        gap_body(why, epoch=about, first=first, last=last) for about, (first, last, why) in ranges.items()
    ]


def _schema(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


STATE_ORDERS_MAX = 4096  # far more changes than can wait in memory behind a newer one


class VitalStore(DbFile):
    """vital.db: ALARM, FAULT, STATUS and the latched state."""

    STREAMS = rows.VITAL
    SCHEMA_SQL: ClassVar[str] = _schema("schema_v1_vital.sql")
    CACHE_KIB = 512
    _INSERT: ClassVar[Mapping[Priority, str]] = {
        stream: f"INSERT INTO {stream.stream} VALUES (?, ?, ?, ?, ?)" for stream in rows.VITAL
    }

    def _load(self) -> None:
        super()._load()
        self.state: Mapping[str, bytes] = {}
        self._state_ids: dict[str, int] = {}
        self._state_free: list[int] = []  # rows of keys that were taken back, for the next new key
        self._state_rows = 0
        self._state_seq = 0
        self._state_newest: dict[
            str, int
        ] = {}  # order of the ticket that last changed a key, while older ones may wait
        state: dict[str, bytes] = {}
        for number, key, value, seq, crc in self.rising("SELECT * FROM state"):
            if crc != rows.state_checksum(key, value, seq):
                raise Damaged("state", f"row {number}")
            self._state_rows = max(self._state_rows, number)
            self._state_seq = max(self._state_seq, seq)
            if value is None:
                self._state_free.append(number)
            else:
                self._state_ids[key] = number
                state[key] = value
        self.state = state

    def write(
        self,
        tickets: Sequence[Ticket],
        *,
        notes: Iterable[Note] = (),
        marks: Confirmed | None = None,
        delete: Delete | None = None,
    ) -> None:
        """Make `tickets` and what changed with them durable in one transaction, and name them. Raise and change nothing."""
        heads, epoch, base, seeds = dict(self.heads), self.epoch, self.base, self._seeds
        values: list[tuple[Priority, tuple[object, ...]]] = []
        named: list[tuple[Ticket, int]] = []
        changed: dict[str, bytes | None] = {}
        orders: dict[str, int] = {}
        for ticket in tickets:
            stream, body, at_ns = ticket.priority, ticket.body, ticket.at_ns
            n = heads[stream] = heads[stream] + 1
            values.append((stream, (base + n, epoch, at_ns, rows.checksum(seeds[stream], n, at_ns, body), body)))
            named.append((ticket, n))
            for key, value in (ticket.state or {}).items():
                # ranks are committed out of turn: a change that waited behind a newer one of its key is void
                if ticket.order >= orders.get(key, self._state_newest.get(key, 0)):
                    changed[key], orders[key] = value, ticket.order
        for stream, body in notes:
            n = heads[stream] = heads[stream] + 1
            values.append((stream, (base + n, epoch, 0, rows.checksum(seeds[stream], n, 0, body), body)))
        db = self.db
        if len(values) == 1 and not changed and not marks and not delete:
            db.execute(self._INSERT[values[0][0]], values[0][1])  # a transaction of its own
        else:
            with self.transaction() as db:
                if delete:
                    self.delete_rows(db, *delete)  # first: it makes the room for the gap record
                for stream, row in values:
                    db.execute(self._INSERT[stream], row)
                if changed:
                    placed = self._write_state(db, changed)
                if marks:
                    self._write_marks(db, marks)
        self.heads = heads
        if changed:
            self._state_written(changed, orders, placed)
        if marks:
            self._marks_written(marks)
        for ticket, n in named:
            ticket.give(epoch, n)

    def _write_state(self, db: sqlite3.Connection, changed: Mapping[str, bytes | None]) -> dict[str, int]:
        """Write the changes; return the row of each key. Nothing of ours changes before the commit."""
        seq, free, fresh = self._state_seq + 1, list(self._state_free), self._state_rows
        placed: dict[str, int] = {}
        written: list[tuple[object, ...]] = []
        for key, value in changed.items():
            number = self._state_ids.get(key)
            if number is None:
                if value is None:
                    continue  # taken back before it was ever written
                if free:
                    number = free.pop()
                else:
                    number = fresh = fresh + 1
            placed[key] = number
            written.append((number, key, value, seq, rows.state_checksum(key, value, seq)))
        db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?, ?)", written)
        return placed

    def _state_written(
        self, changed: Mapping[str, bytes | None], orders: Mapping[str, int], placed: Mapping[str, int]
    ) -> None:
        self._state_seq += 1
        state = dict(self.state)
        free = set(self._state_free)
        for key, number in placed.items():
            self._state_rows = max(self._state_rows, number)
            if changed[key] is None:
                free.add(number)
                self._state_ids.pop(key, None)
                state.pop(key, None)
            else:
                free.discard(number)
                self._state_ids[key] = number
                state[key] = changed[key] or b""
        self._state_free = sorted(free, reverse=True)
        self.state = state  # replaced, not changed: other threads read it
        self._state_newest.update(orders)
        if len(self._state_newest) > STATE_ORDERS_MAX:
            newest = sorted(self._state_newest, key=self._state_newest.__getitem__)
            for key in newest[: STATE_ORDERS_MAX // 2]:
                del self._state_newest[key]

    @classmethod
    def filler(cls, state: Mapping[str, bytes], marks: Confirmed) -> Callable[[sqlite3.Connection], None]:
        """What a file that takes another's place has from its first transaction on."""
        fill_marks = super().filler({}, marks)

        def fill(db: sqlite3.Connection) -> None:
            for number, (key, value) in enumerate(state.items(), 1):
                crc = rows.state_checksum(key, value, 1)
                db.execute("INSERT INTO state VALUES (?, ?, ?, 1, ?)", (number, key, value, crc))
            fill_marks(db)

        return fill


class BulkStore(DbFile):
    """bulk.db: TELEMETRY in blocks, MEDIA one a row."""

    STREAMS = rows.BULK
    SCHEMA_SQL: ClassVar[str] = _schema("schema_v1_bulk.sql")
    CACHE_KIB = 512
    _BLOCK: ClassVar[str] = "INSERT INTO telemetry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    _MEDIA: ClassVar[str] = "INSERT INTO media VALUES (?, ?, ?, ?, ?)"

    def _load(self) -> None:
        super()._load()
        self.thinned = dict(self.rising("SELECT level, through FROM thinned"))

    def write(
        self,
        tickets: Sequence[Ticket],
        *,
        notes: Iterable[Note] = (),
        marks: Confirmed | None = None,
        delete: Delete | None = None,
    ) -> None:
        """As VitalStore.write. The time of a block is that of its first record."""
        telemetry = [ticket for ticket in tickets if ticket.priority is Priority.TELEMETRY]
        media = [ticket for ticket in tickets if ticket.priority is Priority.MEDIA]
        heads = dict(self.heads)
        first = heads[Priority.TELEMETRY] + 1
        with self.transaction() as db:
            if delete:
                self.delete_rows(db, *delete)
            at_ns = telemetry[0].at_ns if telemetry else 0
            for block in rows.blocks([ticket.body for ticket in telemetry]):
                self._write_block(db, heads, at_ns, block)
            for ticket in media:
                self._write_media(db, heads, ticket.at_ns, ticket.body)
            self._write_notes(db, heads, notes)
            if marks:
                self._write_marks(db, marks)
        media_first = self.heads[Priority.MEDIA] + 1
        self.heads = heads
        if marks:
            self._marks_written(marks)
        epoch = self.epoch
        for n, ticket in enumerate(telemetry, first):
            ticket.give(epoch, n)
        for n, ticket in enumerate(media, media_first):
            ticket.give(epoch, n)

    def _write_notes(self, db: sqlite3.Connection, heads: dict[Priority, int], notes: Iterable[Note]) -> None:
        notes = list(notes)
        if telemetry := [body for stream, body in notes if stream is Priority.TELEMETRY]:
            self._write_block(db, heads, 0, telemetry)
        for stream, body in notes:
            if stream is Priority.MEDIA:
                self._write_media(db, heads, 0, body)

    def _write_block(
        self, db: sqlite3.Connection, heads: dict[Priority, int], at_ns: int, bodies: Sequence[bytes]
    ) -> None:
        n, count = heads[Priority.TELEMETRY] + 1, len(bodies)
        coding, packed = rows.pack(bodies)
        crc = rows.block_checksum(self._seeds[Priority.TELEMETRY], n, at_ns, count, count, 0, coding, packed)
        db.execute(self._BLOCK, (self.base + n, self.epoch, at_ns, crc, count, count, 0, coding, packed))
        heads[Priority.TELEMETRY] += count

    def _write_media(self, db: sqlite3.Connection, heads: dict[Priority, int], at_ns: int, body: bytes) -> None:
        n = heads[Priority.MEDIA] = heads[Priority.MEDIA] + 1
        crc = rows.checksum(self._seeds[Priority.MEDIA], n, at_ns, body)
        db.execute(self._MEDIA, (self.base + n, self.epoch, at_ns, crc, body))

    def thin(self, blocks: Sequence[tuple[int, str, int, int, int, int, int, bytes]], level: int, first: int) -> None:
        """Thin blocks of one epoch to one record in 2^level, with a gap record from n = `first` on.

        A block: id, epoch, at_ns, span, count, level, coding, body.
        """
        heads, epoch = dict(self.heads), blocks[0][1]
        seed = rows.seed(epoch, Priority.TELEMETRY)
        gone = 0
        with self.transaction() as db:
            for number, _, at_ns, span, count, old_level, coding, packed in blocks:
                n = number & rows.N_MASK
                try:
                    offsets, bodies = rows.unpack(count, old_level, coding, packed)
                except Damaged:
                    continue  # the scrub or a reader will tell
                kept = [
                    (o, body)
                    for o, body in zip(offsets, bodies, strict=True)
                    if rows.survives(n + o, level) or is_gap(body)
                ]
                gone += count - len(kept)
                if not kept:
                    db.execute("DELETE FROM telemetry WHERE id = ?", (number,))
                    continue
                new_coding, smaller = rows.pack([body for _, body in kept], [o for o, _ in kept])
                crc = rows.block_checksum(seed, n, at_ns, span, len(kept), level, new_coding, smaller)
                db.execute(
                    "UPDATE telemetry SET crc = ?, count = ?, level = ?, coding = ?, body = ? WHERE id = ?",
                    (crc, len(kept), level, new_coding, smaller, number),
                )
            through = blocks[-1][0]
            db.execute("INSERT OR REPLACE INTO thinned VALUES (?, ?)", (level, through))
            if gone:
                last = (through + blocks[-1][3] - 1) & rows.N_MASK
                self._write_notes(
                    db,
                    heads,
                    [(Priority.TELEMETRY, gap_body("thinned", epoch=epoch, first=first, last=last, count=gone))],
                )
        self.heads = heads
        self.thinned[level] = through
