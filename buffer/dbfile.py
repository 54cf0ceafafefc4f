# ruff: noqa: S608 - table names are constants of this package
"""One SQLite file of the journal: made whole or not at all, opened without a scan, its pragmas asserted.

Synchronous, one thread, no waiting, no clock of its own.
"""

import contextlib
import re
import sqlite3
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from buffer import rows
from buffer.disk import Disk
from buffer.faults import Damaged, JournalError
from buffer.records import Priority

SCHEMA = 1
APPLICATION_ID = 0x5A473139  # "ZG19"
PAGE_BYTES = 4096
MAGIC = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class Found:
    """A row of an older file whose checksum is good. `values`: its columns after id and epoch."""

    stream: Priority
    epoch: str
    ordinal: int  # of the epoch in that file
    n: int
    span: int
    values: tuple[object, ...]


Confirmed = Mapping[tuple[str, str, Priority], int]  # destination, epoch, stream -> through


class DbFile:
    """What vital.db and bulk.db have in common: epochs, heads and marks.

    `heads` is the last n of the newest epoch by stream. `epochs` maps every epoch's name to its ordinal, oldest first.
    """

    STREAMS: ClassVar[tuple[Priority, ...]]
    SCHEMA_SQL: ClassVar[str]
    CACHE_KIB: ClassVar[int]
    WAL_PAGES: ClassVar[int] = (
        200  # recycled: 17 KiB and 1.4 flushes an alarm; 29 and 2.0 with SQLite's own 1000 (reliability.md 2.2)
    )

    def __init__(self, path: Path, *, budget_bytes: int, disk: Disk) -> None:
        """Open an existing file. Raise Damaged, JournalError("newer_schema"), sqlite3.Error or OSError."""
        self.path = path
        self.budget_pages = max(64, budget_bytes // PAGE_BYTES)
        with path.open("rb") as file:
            head = file.read(100)
        if len(head) < 100 or not head.startswith(MAGIC):
            raise Damaged("header", f"{len(head)} bytes {head[:16].hex()}")
        self.db = disk.connect(path)
        try:
            self._pragmas()
            self._check_schema()
            self._load()
        except BaseException:  # whatever it is: an open connection would hold the file's lock
            self.db.close()
            raise

    @classmethod
    def make(
        cls,
        path: Path,
        *,
        epoch: str,
        ordinal: int,
        wall_ns: int,
        fill: Callable[[sqlite3.Connection], None] = lambda db: None,
        disk: Disk,
    ) -> None:
        """Make a new file with its first epoch. It appears under `path` whole or not at all; nothing may be there yet."""
        new = path.with_name(path.name + ".new")
        for leftover in (new, *side_files(new)):
            disk.unlink(leftover)
        disk.make_empty(new)
        db = disk.connect(new)
        try:
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            for statement in _statements(cls.SCHEMA_SQL):
                db.execute(statement)
            _put_epoch(db, ordinal, epoch, wall_ns)
            fill(db)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA}")
            db.execute("COMMIT")
        finally:
            db.close()  # checkpoints and removes the -wal
        disk.sync(new)
        if any(side.exists() for side in side_files(path)):
            raise Damaged("side_file", "a -wal of another file would be taken for ours")
        disk.rename(new, path)
        disk.sync_directory(path.parent)

    @classmethod
    def filler(cls, state: Mapping[str, bytes], marks: Confirmed) -> Callable[[sqlite3.Connection], None]:
        """What a file that takes another's place has from its first transaction on."""

        def fill(db: sqlite3.Connection) -> None:
            for number, (name, through) in enumerate(marks.items(), 1):
                put_mark(db, number, name, through)

        return fill

    def _pragmas(self) -> None:
        db = self.db
        db.execute(f"PRAGMA cache_size = -{self.CACHE_KIB}")
        for name, value in (
            ("synchronous", 2),
            ("wal_autocheckpoint", self.WAL_PAGES),
            ("journal_size_limit", (self.WAL_PAGES + 100) * (PAGE_BYTES + 24)),
            ("temp_store", 2),
            ("secure_delete", 0),  # Debian's default is to overwrite what is deleted: wear for nothing
            ("cell_size_check", 1),
            ("trusted_schema", 0),
            ("foreign_keys", 0),
            ("mmap_size", 0),
        ):
            db.execute(f"PRAGMA {name} = {value}").close()
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        got = {
            name: db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("synchronous", "wal_autocheckpoint", "secure_delete")
        }
        if mode != "wal" or got != {"synchronous": 2, "wal_autocheckpoint": self.WAL_PAGES, "secure_delete": 0}:
            raise JournalError("pragma_refused", self.path.name, mode=mode, **got)
        self.set_budget(self.budget_pages)

    def _check_schema(self) -> None:
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise JournalError("newer_schema", self.path.name, found=version, known=SCHEMA)
        application = self.db.execute("PRAGMA application_id").fetchone()[0]
        page_bytes = self.db.execute("PRAGMA page_size").fetchone()[0]
        tables = {row[0] for row in self.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        wanted = set(re.findall(r"CREATE TABLE (\w+)", self.SCHEMA_SQL))
        if version != SCHEMA or application != APPLICATION_ID or page_bytes != PAGE_BYTES or not wanted <= tables:
            raise Damaged(
                "schema", f"version={version} application={application:x} page={page_bytes} tables={sorted(tables)}"
            )

    def _load(self) -> None:
        self.epochs: dict[str, int] = {}
        for ordinal, name, _, crc in self.rising("SELECT * FROM epoch"):
            if crc != rows.epoch_checksum(ordinal, name):
                raise Damaged("epoch", f"row {ordinal}")
            self.epochs[name] = ordinal
        if not self.epochs:
            raise Damaged("epoch", "the table is empty")
        self._take_epoch()
        self.heads: dict[Priority, int] = {stream: self.head(self.epoch, stream) for stream in self.STREAMS}
        self.marks: dict[tuple[str, str, Priority], int] = {}
        self._mark_ids: dict[tuple[str, str, Priority], int] = {}
        for number, destination, epoch, stream, through, crc in self.rising("SELECT * FROM mark"):
            if crc != rows.mark_checksum(destination, epoch, stream, through):
                raise Damaged("mark", f"row {number}")
            name = (destination, epoch, Priority(stream))
            self.marks[name], self._mark_ids[name] = through, number
        self._mark_next = max(self._mark_ids.values(), default=0) + 1

    def rising(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Rows of a whole small table. Raise Damaged if the row ids do not rise: a bent page pointer can make a ring."""
        last = -1
        for row in self.db.execute(query):
            if row[0] <= last:
                raise Damaged("malformed", "row ids do not rise")
            last = row[0]
            yield row

    def _take_epoch(self) -> None:
        self.epoch, self.ordinal = max(self.epochs.items(), key=lambda item: item[1])
        self.base = rows.key(self.ordinal, 0)
        self._seeds = {stream: rows.seed(self.epoch, stream) for stream in self.STREAMS}

    def bounds(self, epoch: str) -> tuple[int, int]:
        """First and last possible row id of an epoch."""
        ordinal = self.epochs[epoch]
        return rows.key(ordinal, 0), rows.key(ordinal, rows.N_MASK)

    def head(self, epoch: str, stream: Priority) -> int:
        """The last n of a stream as its table says, 0 if there is none."""
        low, high = self.bounds(epoch)
        span = "span" if stream is Priority.TELEMETRY else "1"
        row = self.db.execute(
            f"SELECT id, {span} FROM {stream.stream} WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1", (low, high)
        ).fetchone()
        return 0 if row is None else (row[0] & rows.N_MASK) + row[1] - 1

    def rotate(self, epoch: str, wall_ns: int) -> None:
        """Begin a new epoch in the same file: names that may have been lost are not given again."""
        ordinal = self.ordinal + 1
        _put_epoch(self.db, ordinal, epoch, wall_ns)
        self.epochs[epoch] = ordinal
        self._take_epoch()
        self.heads = dict.fromkeys(self.STREAMS, 0)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction; rolled back when it raises."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
            self.db.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself: that is what was wanted
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")

    def put_marks(self, marks: Confirmed) -> None:
        """Remember what destinations have; a mark never goes back."""
        with self.transaction() as db:
            self._write_marks(db, marks)
        self._marks_written(marks)

    def _write_marks(self, db: sqlite3.Connection, marks: Confirmed) -> None:
        for name, through in marks.items():
            if name not in self._mark_ids:
                self._mark_ids[name] = self._mark_next  # an id that a rollback leaves unused harms nothing
                self._mark_next += 1
            put_mark(db, self._mark_ids[name], name, max(through, self.marks.get(name, 0)))

    def _marks_written(self, marks: Confirmed) -> None:
        for name, through in marks.items():
            self.marks[name] = max(through, self.marks.get(name, 0))

    def drop_mark(self, name: tuple[str, str, Priority]) -> None:
        """Forget one mark."""
        self.db.execute("DELETE FROM mark WHERE id = ?", (self._mark_ids[name],))
        del self.marks[name], self._mark_ids[name]

    def confirmed(self, mandatory: Iterable[str], epoch: str, stream: Priority) -> int | None:
        """How far every mandatory destination has a stream; None if nobody is mandatory."""
        return min((self.marks.get((name, epoch, stream), 0) for name in mandatory), default=None)

    def delete_rows(self, db: sqlite3.Connection, stream: Priority, ids: Iterable[int]) -> None:
        """Delete rows by id, inside a transaction."""
        db.executemany(f"DELETE FROM {stream.stream} WHERE id = ?", ((number,) for number in ids))

    def drop_epoch(self, epoch: str) -> None:
        """Forget an older epoch of which no row is left."""
        with self.transaction() as db:
            db.execute("DELETE FROM epoch WHERE ord = ?", (self.epochs[epoch],))
            db.execute("DELETE FROM mark WHERE epoch = ?", (epoch,))
        del self.epochs[epoch]
        for name in [name for name in self.marks if name[1] == epoch]:
            del self.marks[name], self._mark_ids[name]

    def adopt(self, found: Iterable[Found], wall_ns: int) -> None:
        """Keep salvaged rows under their old names, those that are not here yet."""
        epochs = dict(self.epochs)
        try:
            with self.transaction() as db:
                for row in found:
                    here = self._adopt_epoch(db, row.epoch, row.ordinal, wall_ns)
                    values = (rows.key(here, row.n), row.epoch, *row.values)
                    marks = ", ?" * (len(values) - 1)
                    db.execute(f"INSERT OR IGNORE INTO {row.stream.stream} VALUES (?{marks})", values)
        except BaseException:  # rolled back, and so is what we remember of it
            self.epochs = epochs
            raise

    def _adopt_epoch(self, db: sqlite3.Connection, epoch: str, ordinal: int, wall_ns: int) -> int:
        """The ordinal under which an older file's epoch is kept here; its old one if that is free."""
        if epoch not in self.epochs:
            taken = set(self.epochs.values())
            below = (n for n in range(min(ordinal, self.ordinal - 1), 0, -1) if n not in taken)
            ordinal = next(below, 0) or next(n for n in range(self.ordinal - 1, 0, -1) if n not in taken)
            _put_epoch(db, ordinal, epoch, wall_ns)
            self.epochs = dict(sorted([*self.epochs.items(), (epoch, ordinal)], key=lambda item: item[1]))
        return self.epochs[epoch]

    def pages(self) -> tuple[int, int]:
        """Pages of the file, and how many of them are free."""
        count: int = self.db.execute("PRAGMA page_count").fetchone()[0]
        free: int = self.db.execute("PRAGMA freelist_count").fetchone()[0]
        return count, free

    def set_budget(self, pages: int) -> None:
        """Bound the file. SQLite keeps a file that is already longer as it is."""
        self.db.execute(f"PRAGMA max_page_count = {pages}").close()
        self.bound_pages = pages

    def probe(self) -> None:
        """Write one page: does the medium take it?"""
        self.db.execute("UPDATE epoch SET made_ns = made_ns WHERE ord = ?", (self.ordinal,))

    def vacuum(self, pages: int) -> None:
        """Give up to `pages` free pages back to the file system (at the next checkpoint)."""
        self.db.executescript(f"PRAGMA incremental_vacuum({pages})")  # execute() would step it once: one page

    def checkpoint(self, *, truncate: bool = False) -> bool:
        """Bring the -wal into the file as far as readers let us; never waits for them. True if they let us do all of it."""
        self.db.execute("PRAGMA busy_timeout = 0").close()
        try:
            how = "TRUNCATE" if truncate else "PASSIVE"
            busy, frames, moved = self.db.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
        finally:
            self.db.execute("PRAGMA busy_timeout = 1000").close()
        return not busy and frames == moved

    def close(self) -> None:
        """Close; the last one out checkpoints and removes the -wal."""
        self.db.close()


def put_mark(db: sqlite3.Connection, number: int, name: tuple[str, str, Priority], through: int) -> None:
    """Write one mark, inside a transaction."""
    db.execute(
        "INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?, ?, ?)",
        (number, *name, through, rows.mark_checksum(*name, through)),
    )


def _put_epoch(db: sqlite3.Connection, ordinal: int, name: str, wall_ns: int) -> None:
    db.execute("INSERT INTO epoch VALUES (?, ?, ?, ?)", (ordinal, name, wall_ns, rows.epoch_checksum(ordinal, name)))


def _statements(schema: str) -> Iterable[str]:
    bare = re.sub(r"--[^\n]*", "", schema)
    return (statement for statement in map(str.strip, bare.split(";")) if statement)


def side_files(path: Path) -> tuple[Path, Path]:
    """The -wal and -shm of a database file."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


WAL_MAGIC = b"\x37\x7f\x06"  # then 82 or 83, by the order of bytes in its checksums
_WAL_HEADER = struct.Struct(">8I")


@dataclass(frozen=True, slots=True)
class WalIndex:
    """What a -shm says of its -wal. Never synced, but never ahead either: a frame is in it once it is durable."""

    salts: bytes
    frames: int
    moved: int  # of them into the file


def wal_index(path: Path) -> WalIndex | None:
    """Read it; None if there is none that SQLite would believe. Layout: sqlite.org/walformat.html, "WAL-Index Format"."""
    try:
        with side_files(path)[1].open("rb") as file:
            index = file.read(100)
    except OSError:
        return None
    if len(index) < 100 or not index[12] or index[:48] != index[48:96]:  # SQLite, too, believes only two equal copies
        return None
    frames, moved = (int.from_bytes(index[at : at + 4], sys.byteorder) for at in (16, 96))
    return WalIndex(index[32:40], frames, moved)


def wal_is_short(path: Path) -> bool:
    """Whether the -shm that was left behind knows of more frames than the -wal has room for."""
    wal, index = side_files(path)[0], wal_index(path)
    try:
        size = wal.stat().st_size
        with wal.open("rb") as file:
            head = file.read(_WAL_HEADER.size)
    except OSError:
        return False
    if index is None:
        return False
    if len(head) < _WAL_HEADER.size:
        return index.frames > 0
    if not head.startswith(WAL_MAGIC):
        return index.frames > index.moved
    # both store the salts as the WAL has them, byte for byte
    return index.salts == head[16:24] and size < _WAL_HEADER.size + index.frames * (PAGE_BYTES + 24)
