# ruff: noqa: S608 - table names are constants of this package
"""Brings what is readable of a file that was set aside into the one that took its place, a slice at a time."""

import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from buffer import rows
from buffer.carve import Image, found_rows, table_rows
from buffer.dbfile import Confirmed, Found, side_files
from buffer.faults import StoreFault
from buffer.records import Priority
from buffer.recovery import bad_files, done_path, write_done
from buffer.reserve import Space
from buffer.store import BulkStore, VitalStore, gap_body

PAGES_A_SLICE = 24  # 1-3 ms of reading, then one commit: what an alarm may wait behind
GAPS_MAX = 64  # holes told one by one in each stream; more become one
HOLE_ROWS = 1000
AGAIN_NS = 60 * 10**9  # a medium that failed is left alone for so long


@dataclass(slots=True)
class Salvaged:
    """What came out of one file."""

    file: str
    rows: int = 0  # of its epochs that are here now, whichever run brought them (a block of telemetry counts once)
    unreadable_pages: int = 0
    missing: list[dict[str, object]] = field(default_factory=list)  # epoch, stream, from, to (None: unknown)
    epochs: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a file that cannot be opened, from its own tables' pages or from memory."""

    epochs: Mapping[str, int] = field(default_factory=dict)
    heads: Mapping[Priority, int] | None = None  # of its newest epoch, if the process that wrote it is still this one
    state: Mapping[str, bytes] = field(default_factory=dict)
    marks: Confirmed = field(default_factory=dict)


def roots(schema: Mapping[str, int] | type[VitalStore] | type[BulkStore]) -> dict[str, int]:
    """The root page of each table. It never moves: the tables are made in one order, before any row."""
    if not isinstance(schema, type):
        return dict(schema)
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
        db.executescript(schema.SCHEMA_SQL)
        return dict(db.execute("SELECT name, rootpage FROM sqlite_schema WHERE type = 'table'").fetchall())
    finally:
        db.close()


def remember(bad: Path, kind: type[VitalStore] | type[BulkStore]) -> Remembered:
    """Epochs, marks and latched state of a damaged file: a few pages, walked from their known roots. Never raises on content."""
    if not bad.exists() and not side_files(bad)[0].exists():
        return Remembered()
    tables = roots(kind)
    image = Image(bad)
    try:
        epochs: dict[str, int] = {}
        for number, values in table_rows(image, tables["epoch"]):
            match values:
                case [_, str() as name, int(), int() as crc] if crc == rows.epoch_checksum(number, name):
                    epochs[name] = number
        marks: dict[tuple[str, str, Priority], int] = {}
        for _, values in table_rows(image, tables["mark"]):
            match values:
                case [_, str() as destination, str() as epoch, int() as stream, int() as through, int() as crc]:
                    if crc == rows.mark_checksum(destination, epoch, stream, through) and stream in tuple(Priority):
                        marks[destination, epoch, Priority(stream)] = through
        return Remembered(epochs, None, _state(image, tables["state"]) if "state" in tables else {}, marks)
    finally:
        image.close()


def _state(image: Image, root: int) -> dict[str, bytes]:
    by_row: dict[
        int, tuple[int, str, bytes | None]
    ] = {}  # a row is used again for another key once its own was taken back
    for number, values in table_rows(image, root):
        match values:
            case [_, str() as key, bytes() | None as value, int() as seq, int() as crc]:
                if crc == rows.state_checksum(key, value, seq) and seq > by_row.get(number, (0, "", None))[0]:
                    by_row[number] = (seq, key, value)
    newest: dict[str, bytes | None] = {}
    for _, key, value in sorted(by_row.values(), key=lambda row: row[0]):
        newest[key] = value
    return {key: value for key, value in newest.items() if value is not None}


def salvage(
    store: VitalStore | BulkStore, bad: Path, known: Remembered, wall_ns: int
) -> Generator[None, None, Salvaged]:
    """Copy every believable row of `bad` under its old name, then tell what is here and what is missing. Yields between slices.

    May be run again from the start: rows that are already here are left as they are, and the result is the same.
    Raises sqlite3.Error of `store`.
    """
    result = Salvaged(bad.name, epochs=set(known.epochs))
    image = Image(bad)
    try:
        for found in _slices(image, store, result):
            if found:
                store.adopt(found, wall_ns)
            result.epochs.update(row.epoch for row in found)
            yield
    finally:
        image.close()
    newest = max(known.epochs, key=lambda name: known.epochs[name], default="")
    for epoch in sorted(result.epochs - {store.epoch}):
        for stream in store.STREAMS:
            head = known.heads.get(stream) if known.heads is not None and epoch == newest else None
            yield from _look_through(store, epoch, stream, head, known, result)
    return result


def _slices(image: Image, store: VitalStore | BulkStore, result: Salvaged) -> Iterator[list[Found]]:
    found: list[Found] = []
    for number in range(1, image.pages + 1):
        page = image.page(number)
        if page is None:
            result.unreadable_pages += 1
        else:
            found += found_rows(page, number, image, store.STREAMS)
        if number % PAGES_A_SLICE == 0:
            yield found
            found = []
    yield found
    for offset in image.loose:  # after the rest: where a name is there twice, the committed row counts
        page = image.loose_page(offset)
        yield list(found_rows(page, 0, image, store.STREAMS)) if page is not None else []


def _look_through(  # noqa: PLR0917 - one caller
    store: VitalStore | BulkStore, epoch: str, stream: Priority, head: int | None, known: Remembered, result: Salvaged
) -> Iterator[None]:
    """Count what is here of an old epoch, and put gap records for what is missing into the stream: no centre waits for it."""
    marks = [through for (_, name, rank), through in known.marks.items() if name == epoch and rank is stream]
    expected = max(marks, default=0) + 1
    holes: list[tuple[int, int | None]] = []
    if epoch in store.epochs:
        low, high = store.bounds(epoch)
        span = "span" if stream is Priority.TELEMETRY else "1"
        after = low
        expected = min(expected, _first(store, stream, low, high) or expected)
        while True:
            found = store.db.execute(
                f"SELECT id, {span} FROM {stream.stream} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                (after, high, HOLE_ROWS),
            ).fetchall()
            result.rows += len(found)
            for row_id, length in found:
                n = row_id & rows.N_MASK
                if n > expected:
                    holes.append((expected, n - 1))
                expected = max(expected, n + length)
            if len(found) < HOLE_ROWS:
                break
            after = found[-1][0]
            yield
    if head is None:
        holes.append((expected, None))  # nobody knows how far that epoch went
    elif head >= expected:
        holes.append((expected, head))
    if len(holes) > GAPS_MAX:
        holes = [(holes[0][0], holes[-1][1])]
    if holes:
        store.write((), notes=[(stream, gap_body("corrupt", epoch=epoch, first=a, last=b)) for a, b in holes])
        result.missing += [{"epoch": epoch, "stream": stream.stream, "from": a, "to": b} for a, b in holes]
    yield


def _first(store: VitalStore | BulkStore, stream: Priority, low: int, high: int) -> int | None:
    row = store.db.execute(
        f"SELECT id FROM {stream.stream} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", (low, high)
    ).fetchone()
    return None if row is None else row[0] & rows.N_MASK


class Salvages:
    """What was set aside of one file and is not salvaged yet, oldest first; one slice at a time."""

    def __init__(
        self,
        path: Path,
        kind: type[VitalStore] | type[BulkStore],
        space: Space,
        report: Callable[[StoreFault], None],
    ) -> None:
        self._path, self._kind, self._space, self._report = path, kind, space, report
        self._waiting: dict[Path, Remembered] = {}  # memory knows more of a file than its own pages say
        self._running: Generator[None, None, Salvaged] | None = None
        self._again_ns = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def look(self) -> None:
        """Find what waits beside the file, also from runs before this one. Raise OSError."""
        self._waiting = {
            bad: self._waiting.get(bad) or remember(bad, self._kind)
            for bad in bad_files(self._path).values()
            if not done_path(bad).exists()
        }

    def add(self, bad: Path, known: Remembered) -> None:
        """One more was set aside."""
        self._waiting.setdefault(bad, known)

    def stop(self) -> None:
        """The store it went into is gone. It begins anew with the next one; what is here already stays."""
        self._running = None

    def slice(self, store: VitalStore | BulkStore, now_ns: int, wall_ns: Callable[[], int]) -> bool:
        """Do one. False if there is nothing to do now. Raise sqlite3.Error or OSError of `store` and its disk."""
        bad, known = next(iter(self._waiting.items()), (None, Remembered()))
        if bad is None:
            return False
        if self._running is None:
            if now_ns < self._again_ns or self._space.starved:
                return False
            self._running = salvage(store, bad, known, wall_ns())
        try:
            next(self._running)
        except StopIteration as end:
            self._done(bad, end.value)
        except (sqlite3.Error, OSError):
            self._running, self._again_ns = None, now_ns + AGAIN_NS
            raise
        return True

    def _done(self, bad: Path, result: Salvaged) -> None:
        del self._waiting[bad]
        self._running = None
        params = {"rows": result.rows, "unreadable_pages": result.unreadable_pages, "missing": result.missing}
        write_done(bad, params, self._space.disk)
        self._report(StoreFault("salvaged", bad.name, params=params))
