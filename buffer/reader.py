# ruff: noqa: S608 - table names are constants of this package
"""Reads the journal from any process, while its writer lives or after; never writes, never holds a transaction open.

Each call is one short look: a file that was replaced meanwhile (another inode) is opened anew. Record bodies are believed only
with a good checksum; a bad one is left out and reported.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from buffer import rows
from buffer.dbfile import SCHEMA, side_files
from buffer.disk import Disk
from buffer.faults import Damaged, JournalError, StoreFault, classify, describe
from buffer.records import Name, Priority, Record
from buffer.rows import BULK, VITAL

Report = Callable[[StoreFault], None]
FILES = ("vital.db", "bulk.db")
SCAN_ROWS = 2000
STATS_S = 30.0
EPOCHS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What `verify` found. `ok`: every page and every checksum is good. `missing` is what gap records should tell of."""

    ok: bool
    records: Mapping[str, int]
    bad: Sequence[Mapping[str, object]] = field(default_factory=list)  # file, what: one for each finding
    missing: Sequence[Mapping[str, object]] = field(default_factory=list)  # epoch, stream, from, to


class _File:
    """One database file, opened when first asked, and again when it was replaced."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path, self._disk = path, disk
        self.db: sqlite3.Connection | None = None
        self._inode = (0, 0)
        self._frozen = False
        self.epochs: dict[str, int] = {}

    def open(self) -> sqlite3.Connection | None:
        """A connection to what is there now; None if nothing is."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - on every call: pathlib costs ten times as much
        except (FileNotFoundError, NotADirectoryError):
            self.close()
            return None
        inode = (status.st_dev, status.st_ino)
        if self.db is not None and inode == self._inode and not (self._frozen and side_files(self.path)[0].exists()):
            return self.db
        self.close()
        self._inode = inode
        self.db, self._frozen = self._connect(), False
        try:
            version = self._version(self.db)
        except sqlite3.OperationalError as fault:
            # Closed in order there is no -wal, and a reader that may not make one needs to be told that none will come.
            if classify(fault) not in ("cantopen", "readonly") or side_files(self.path)[0].exists():
                self.close()
                raise
            self.close()
            self.db, self._frozen = self._connect("ro&immutable=1"), True
            version = self._version(self.db)
        if version > SCHEMA:
            self.close()
            raise JournalError("newer_schema", self.path.name, found=version, known=SCHEMA)
        return self.db

    def _connect(self, mode: str = "ro") -> sqlite3.Connection:
        return self._disk.connect(self.path, mode=mode, timeout_s=2.0)

    @staticmethod
    def _version(db: sqlite3.Connection) -> int:
        db.execute("PRAGMA cache_size = -256").close()
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the first real look: needs the -wal
        return version

    def load_epochs(self) -> dict[str, int]:
        """Name -> ordinal, oldest first."""
        db = self.open()
        self.epochs = {}
        if db is not None:
            for ordinal, name, crc in db.execute(
                "SELECT ord, name, crc FROM epoch ORDER BY ord LIMIT ?", (EPOCHS_MAX,)
            ).fetchall():
                if crc != rows.epoch_checksum(ordinal, name):
                    self.epochs = {}
                    raise sqlite3.DatabaseError(f"{self.path.name}: epoch row {ordinal} is damaged")
                self.epochs[name] = ordinal
        return self.epochs

    def ordinal(self, epoch: str) -> int | None:
        """The ordinal of an epoch, asked again if it is not known yet."""
        inode = self._inode
        if self.open() is None:
            return None
        if inode != self._inode or epoch not in self.epochs:
            self.load_epochs()
        return self.epochs.get(epoch)

    def close(self) -> None:
        if self.db is not None:
            self.db.close()
            self.db = None
        self.epochs = {}


class JournalReader:
    """One for each thread. Every method may raise sqlite3.Error or OSError when the medium fails: try again later."""

    def __init__(self, directory: Path, report: Report, disk: Disk) -> None:
        self.directory = directory
        self._vital, self._bulk = (_File(directory / name, disk) for name in FILES)
        self._files = (self._vital, self._vital, self._vital, self._bulk, self._bulk)
        self._report = report

    @classmethod
    def open(cls, directory: Path, report: Report = lambda fault: None, *, disk: Disk | None = None) -> "JournalReader":
        """A reader of `directory`, which need not have a journal yet. `report` is told of records with bad checksums."""
        return cls(directory, report, disk or Disk())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *fault: object) -> None:
        self.close()

    def epochs(self, priority: Priority | None = None) -> list[str]:
        """Names of the epochs there are, oldest first: of one stream's file, or vital.db's and then bulk.db's."""
        files = (self._vital, self._bulk) if priority is None else (self._files[priority],)
        return [name for file in files for name in file.load_epochs()]

    def heads(self) -> dict[tuple[str, Priority], int]:
        """The last n of every stream that has a record, by epoch, oldest epoch first."""
        heads: dict[tuple[str, Priority], int] = {}
        for file, streams in ((self._vital, VITAL), (self._bulk, BULK)):
            db = file.open()
            if db is None:
                continue
            for epoch, ordinal in file.load_epochs().items():
                for stream in streams:
                    span = "span" if stream is Priority.TELEMETRY else "1"
                    row = db.execute(
                        f"SELECT id, {span} FROM {stream.stream} WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
                        (rows.key(ordinal, 0), rows.key(ordinal, rows.N_MASK)),
                    ).fetchone()
                    if row is not None:
                        heads[epoch, stream] = (row[0] & rows.N_MASK) + row[1] - 1
        return heads

    def read(
        self, priority: Priority, epoch: str, after_n: int = 0, limit: int = 500, max_bytes: int = 1 << 20
    ) -> list[Record]:
        """Records of a stream with n > `after_n` in order: at most `limit`, at most `max_bytes` of bodies, but at least one.

        An n that is not there was evicted or lost; a gap record further on says so (docs/journal.md).
        """
        file = self._files[priority]
        ordinal = file.ordinal(epoch)
        if ordinal is None or file.db is None:
            return []
        if priority is Priority.TELEMETRY:
            return self._read_blocks(file.db, epoch, ordinal, after_n, limit, max_bytes)
        seed, low = rows.seed(epoch, priority), rows.key(ordinal, 0)
        found: list[Record] = []
        size = 0
        cursor = file.db.execute(
            f"SELECT id, at_ns, crc, body FROM {priority.stream} WHERE id > ? AND id <= ? ORDER BY id",
            (low + after_n, rows.key(ordinal, rows.N_MASK)),
        )
        last = low
        try:
            for row_id, at_ns, crc, body in cursor:
                n = row_id - low
                if row_id <= last:  # a bent page pointer has made a ring: there is no end to come to
                    self._bad(priority, epoch, n, None)
                    break
                last = row_id
                if not rows.is_good(seed, n, at_ns, crc, body):
                    self._bad(priority, epoch, n, n)
                    continue
                size += len(body)
                if size > max_bytes and found:
                    break
                found.append(Record(Name(epoch, priority, n), body))
                if len(found) >= limit:
                    break
        finally:
            cursor.close()  # ends the read transaction
        return found

    def _read_blocks(  # noqa: PLR0917 - one caller
        self, db: sqlite3.Connection, epoch: str, ordinal: int, after_n: int, limit: int, max_bytes: int
    ) -> list[Record]:
        seed, low = rows.seed(epoch, Priority.TELEMETRY), rows.key(ordinal, 0)
        stream = Priority.TELEMETRY
        # the block that holds after_n + 1 may begin before it
        start = db.execute(
            "SELECT id FROM telemetry WHERE id > ? AND id <= ? ORDER BY id DESC LIMIT 1", (low, low + after_n + 1)
        ).fetchone()
        found: list[Record] = []
        size = 0
        cursor = db.execute(
            "SELECT id, at_ns, crc, span, count, level, coding, body FROM telemetry WHERE id >= ? AND id <= ? ORDER BY id",
            (start[0] if start else low, rows.key(ordinal, rows.N_MASK)),
        )
        last = low
        try:
            for row_id, at_ns, crc, span, count, level, coding, packed in cursor:
                first = row_id - low
                if row_id <= last:  # as above
                    self._bad(stream, epoch, first, None)
                    break
                last = row_id
                good = rows.is_good_block(seed, first, crc, (at_ns, span, count, level, coding), packed)
                if good and first + span <= after_n + 1:
                    continue
                try:
                    if not good:
                        raise Damaged("checksum")
                    offsets, bodies = rows.unpack(count, level, coding, packed)
                except Damaged:
                    self._bad(stream, epoch, first, None)
                    continue
                for offset, body in zip(offsets, bodies, strict=True):
                    n = first + offset
                    if n <= after_n:
                        continue
                    size += len(body)
                    if len(found) >= limit or (size > max_bytes and found):
                        return found
                    found.append(Record(Name(epoch, stream, n), body))
                if len(found) >= limit:
                    return found
        finally:
            cursor.close()
        return found

    def _bad(self, priority: Priority, epoch: str, first: int, last: int | None) -> None:
        params = {"epoch": epoch, "stream": priority.stream, "from": first, "to": last}
        self._report(StoreFault("bad_record", self._files[priority].path.name, params=params))

    def history(
        self,
        limit: int,
        priorities: Sequence[Priority] = VITAL,
        *,
        before: Mapping[Priority, tuple[str, int]] | None = None,
    ) -> list[Record]:
        """The newest events first, streams merged by the time of append. `before`: only older than this (epoch, n), by stream."""
        merged: list[tuple[tuple[int, int, int], Record]] = []
        file = self._vital
        db = file.open()
        if db is None:
            return []
        names = {ordinal: name for name, ordinal in file.load_epochs().items()}
        for stream in priorities:
            top = (1 << 62) if before is None or stream not in before else self._key(file, *before[stream])
            for row_id, at_ns, crc, body in db.execute(
                f"SELECT id, at_ns, crc, body FROM {stream.stream} WHERE id < ? ORDER BY id DESC LIMIT ?", (top, limit)
            ).fetchall():
                ordinal, n = row_id >> rows.N_BITS, row_id & rows.N_MASK
                epoch = names.get(ordinal, "")
                if not rows.is_good(rows.seed(epoch, stream), n, at_ns, crc, body):
                    self._bad(stream, epoch, n, n)
                    continue
                merged.append(((ordinal, at_ns, n), Record(Name(epoch, stream, n), body)))
        merged.sort(key=lambda item: item[0], reverse=True)
        return [record for _, record in merged[:limit]]

    def state(self, prefix: str) -> dict[str, bytes]:
        """The latched values whose keys begin with `prefix`, as of the last commit. A damaged one is left out."""
        db = self._vital.open()
        if db is None:
            return {}
        found = db.execute(
            "SELECT key, value, seq, crc FROM state WHERE value IS NOT NULL AND substr(key, 1, ?) = ?",
            (len(prefix), prefix),
        ).fetchall()
        return {key: value for key, value, seq, crc in found if crc == rows.state_checksum(key, value, seq)}

    @staticmethod
    def _key(file: _File, epoch: str, n: int) -> int:
        return rows.key(file.epochs.get(epoch, 0), n)

    def stats(self) -> dict[str, object]:
        """By file: present, bytes, wal_bytes, free_bytes, epochs, confirmed, streams {name: {records, first, last}}."""
        result: dict[str, object] = {"directory": str(self.directory)}
        for file, streams in ((self._vital, VITAL), (self._bulk, BULK)):
            result[file.path.stem] = self._file_stats(file, streams)
        reserve = self.directory / "reserve.bin"
        result["reserve_bytes"] = reserve.stat().st_blocks * 512 if reserve.exists() else 0
        result["set_aside"] = sorted(path.name for path in self.directory.glob("*.bad-*") if path.name[-1].isdigit())
        return result

    def _file_stats(self, file: _File, streams: Sequence[Priority]) -> dict[str, object]:
        db = file.open()
        if db is None:
            return {"present": False}
        wal = side_files(file.path)[0]
        until = time.monotonic() + STATS_S
        db.set_progress_handler(lambda: time.monotonic() > until, 100_000)  # counting a ring of pages would never end
        try:
            return self._counted(file, db, streams, wal)
        finally:
            db.set_progress_handler(None, 0)

    def _counted(
        self, file: _File, db: sqlite3.Connection, streams: Sequence[Priority], wal: Path
    ) -> dict[str, object]:
        epochs = file.load_epochs()
        shown: dict[str, object] = {}
        for stream in streams:
            what = (
                "count(*), min(id), max(id)"
                if stream is not Priority.TELEMETRY
                else "coalesce(sum(count), 0), min(id), max(id + span - 1)"
            )
            count, first, last = db.execute(f"SELECT {what} FROM {stream.stream}").fetchone()
            shown[stream.stream] = {
                "records": count,
                "first": None if first is None else self._named(epochs, first),
                "last": None if last is None else self._named(epochs, last),
            }
        marks = db.execute(
            "SELECT destination, epoch, stream, through FROM mark ORDER BY id LIMIT ?", (EPOCHS_MAX,)
        ).fetchall()
        return {
            "present": True,
            "bytes": file.path.stat().st_size,
            "wal_bytes": wal.stat().st_size if wal.exists() else 0,
            "free_bytes": db.execute("PRAGMA freelist_count").fetchone()[0] * 4096,
            "epochs": list(epochs),
            "streams": shown,
            "confirmed": [
                {"destination": d, "epoch": e, "stream": Priority(s).stream, "through": t} for d, e, s, t in marks
            ],
        }

    @staticmethod
    def _named(epochs: Mapping[str, int], row_id: int) -> dict[str, object]:
        names = {ordinal: name for name, ordinal in epochs.items()}
        return {"epoch": names.get(row_id >> rows.N_BITS, ""), "n": row_id & rows.N_MASK}

    def records(self, priorities: Sequence[Priority] = tuple(Priority)) -> Iterator[Record]:
        """Everything, stream by stream, oldest first, without holding the writer up."""
        for stream in priorities:
            for epoch in self.epochs(stream):
                after = 0
                while found := self.read(stream, epoch, after, SCAN_ROWS, 4 << 20):
                    yield from found
                    after = found[-1].name.n

    def verify(self) -> Verified:
        """Check every page and every record of both files. Takes as long as reading them; safe while the writer runs."""
        bad: list[Mapping[str, object]] = []
        missing: list[Mapping[str, object]] = []
        records: dict[str, int] = {}
        for file, streams in ((self._vital, VITAL), (self._bulk, BULK)):
            try:
                db = file.open()
                if db is None:
                    bad.append({"file": file.path.name, "what": "absent"})
                    continue
                found = [row[0] for row in db.execute("PRAGMA quick_check").fetchall()]
                bad += [{"file": file.path.name, "what": text} for text in found if text != "ok"]
                if found == ["ok"]:  # else a scan might go round in a ring for ever
                    self._verify_rest(file, db, bad)
                for stream in streams:
                    records[stream.stream] = 0
                    for epoch in file.load_epochs():
                        records[stream.stream] += self._verify_stream(stream, epoch, bad, missing)
            except (sqlite3.Error, OSError, UnicodeDecodeError) as fault:
                bad.append({"file": file.path.name, "what": describe(fault)})
        return Verified(ok=not bad, records=records, bad=bad, missing=missing)

    def _verify_rest(self, file: _File, db: sqlite3.Connection, bad: list[Mapping[str, object]]) -> None:
        """Marks, latched state, and rows under a name that is not their own."""
        name = file.path.name
        for number, *mark, crc in db.execute("SELECT * FROM mark").fetchall():
            if crc != rows.mark_checksum(*mark):
                bad.append({"file": name, "what": f"mark {number}"})
        known = set(file.load_epochs().items())
        if file is self._vital:
            for number, key, value, seq, crc in db.execute("SELECT * FROM state").fetchall():
                if crc != rows.state_checksum(key, value, seq):
                    bad.append({"file": name, "what": f"state {number}"})
        for stream in VITAL if file is self._vital else BULK:
            for ordinal, epoch in db.execute(
                f"SELECT DISTINCT id >> {rows.N_BITS}, epoch FROM {stream.stream}"
            ).fetchall():
                if (epoch, ordinal) not in known:
                    bad.append({"file": name, "what": f"{stream.stream}: rows of an unknown epoch"})

    def _verify_stream(
        self, stream: Priority, epoch: str, bad: list[Mapping[str, object]], missing: list[Mapping[str, object]]
    ) -> int:
        report, seen = self._report, list[StoreFault]()
        self._report = seen.append
        count, after, expected = 0, 0, 0
        try:
            while found := self.read(stream, epoch, after, SCAN_ROWS, 4 << 20):
                for record in found:
                    n = record.name.n
                    if expected and n > expected:
                        missing.append({"epoch": epoch, "stream": stream.stream, "from": expected, "to": n - 1})
                    expected = n + 1
                count += len(found)
                after = found[-1].name.n
        finally:
            self._report = report
        bad += [{"file": fault.file, "what": "checksum", **fault.params} for fault in seen]
        return count

    def close(self) -> None:
        """Close both files."""
        self._vital.close()
        self._bulk.close()
