"""Reads rows out of a damaged SQLite file without SQLite: page by page, believing only rows whose checksum is good.

Formats: sqlite.org/fileformat2.html ("B-tree Pages", "Record Format", "WAL File Format"). Pages are 4096 bytes, nothing reserved.
"""

import os
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from buffer import rows
from buffer.dbfile import PAGE_BYTES, Found, side_files, wal_index
from buffer.records import Priority

_LEAF, _INTERIOR = 0x0D, 0x05
_PAYLOAD_MAX = 32 * 1024 * 1024
_LOCAL_MAX, _LOCAL_MIN = PAGE_BYTES - 35, (PAGE_BYTES - 12) * 32 // 255 - 23
_INT_BYTES = (0, 1, 2, 3, 4, 6, 8)
_FRAME_HEAD = 24
_WAL_HEAD = 32

Value = int | float | str | bytes | None


class Image:
    """A database file as its -wal leaves it; what cannot be read is None. `close` when done."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path.exists() else -1
        wal = side_files(path)[0]
        self._wal_fd = os.open(wal, os.O_RDONLY | os.O_CLOEXEC) if wal.exists() else -1
        size = os.fstat(self._fd).st_size if self._fd >= 0 else 0
        self._frames: dict[int, int] = {}  # page -> offset of its newest committed copy in the -wal
        self.salts, self.sound_frames = b"", 0  # of the -wal; how many frames from its beginning are whole
        self.loose: list[int] = []  # offsets of copies past a break in the -wal: never committed, or cut off by damage
        if self._wal_fd >= 0:
            self._read_wal()
        self.pages = max(-(-size // PAGE_BYTES), max(self._frames, default=0))

    def page(self, number: int) -> bytes | None:
        """Page `number` from 1, or None if it cannot be read whole."""
        if number in self._frames:
            return self._read(self._wal_fd, self._frames[number])
        return self._read(self._fd, (number - 1) * PAGE_BYTES)

    def loose_page(self, offset: int) -> bytes | None:
        """A page image at an offset of `loose`."""
        return self._read(self._wal_fd, offset)

    def _read(self, fd: int, offset: int, size: int = PAGE_BYTES) -> bytes | None:
        if fd < 0 or offset < 0:
            return None
        try:
            data = os.pread(fd, size, offset)
        except OSError:
            return None
        return data if len(data) == size else None

    def _read_wal(self) -> None:
        head = self._read(self._wal_fd, 0, _WAL_HEAD)
        size = os.fstat(self._wal_fd).st_size
        frames = range(_WAL_HEAD, size - _FRAME_HEAD - PAGE_BYTES + 1, _FRAME_HEAD + PAGE_BYTES)
        magic = struct.unpack_from(">I", head)[0] if head else 0
        if head is None or magic not in (0x377F0682, 0x377F0683):
            self.loose = [offset + _FRAME_HEAD for offset in frames]
            return
        self.salts = head[16:24]
        words = ">" if magic & 1 else "<"
        sums = _wal_sum(words, head[:24], (0, 0))
        chained = sums == struct.unpack_from(">2I", head, 24)
        waiting: dict[int, int] = {}
        for offset in frames:
            frame = self._read(self._wal_fd, offset, _FRAME_HEAD + PAGE_BYTES)
            if frame is None:
                continue
            if frame[8:16] != head[16:24] and chained:
                chained = False  # left over from an earlier turn of the log
            if chained:
                sums = _wal_sum(words, frame[:8] + frame[_FRAME_HEAD:], sums)
                chained = sums == struct.unpack_from(">2I", frame, 16)
            if not chained:
                if frame[8:16] == head[16:24]:
                    self.loose.append(offset + _FRAME_HEAD)
                continue
            self.sound_frames += 1
            number, commit = struct.unpack_from(">2I", frame)
            waiting[number] = offset + _FRAME_HEAD
            if commit:
                self._frames.update(waiting)
                waiting.clear()
        self.loose += waiting.values()

    def close(self) -> None:
        """Let go of the files."""
        for fd in (self._fd, self._wal_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._wal_fd = -1


def wal_is_broken(path: Path) -> bool:
    """Whether the -shm left behind knows of more frames, not yet in the file, than the -wal has whole ones.

    SQLite ends a -wal at the first frame that is not sound, says nothing, and throws the rest away when it closes. A mere power
    cut never looks so: a frame is in the -shm only once it is durable.
    """
    index = wal_index(path)
    if index is None or index.moved >= index.frames:
        return False
    image = Image(path)
    try:
        return image.salts == index.salts and image.sound_frames < index.frames
    finally:
        image.close()


def _wal_sum(words: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    values = struct.unpack(f"{words}{len(data) // 4}I", data)
    for i in range(0, len(values), 2):
        first = (first + values[i] + second) & 0xFFFFFFFF
        second = (second + values[i + 1] + first) & 0xFFFFFFFF
    return first, second


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        byte = data[at + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + i + 1
    return value << 8 | data[at + 8], at + 9


def leaf_rows(page: bytes, number: int, read: Callable[[int], bytes | None]) -> Iterator[tuple[int, list[Value]]]:
    """(row id, columns) of every cell of a table leaf that can be read; nothing if the page is no leaf."""
    start = 100 if number == 1 else 0
    if page[start] != _LEAF:
        return
    count = int.from_bytes(page[start + 3 : start + 5], "big")
    for i in range(min(count, (PAGE_BYTES - start - 8) // 2)):
        place = start + 8 + 2 * i
        at = int.from_bytes(page[place : place + 2], "big")
        try:
            size, at = _varint(page, at)
            row_id, at = _varint(page, at)
            payload = _payload(page, at, size, read)
            if payload is not None:
                yield row_id, _columns(payload)
        except (IndexError, struct.error, UnicodeDecodeError, ValueError):
            continue  # a damaged cell; its neighbours may be sound


def _payload(page: bytes, at: int, size: int, read: Callable[[int], bytes | None]) -> bytes | None:
    if size > _PAYLOAD_MAX:
        return None
    if size <= _LOCAL_MAX:
        return page[at : at + size]
    local = _LOCAL_MIN + (size - _LOCAL_MIN) % (PAGE_BYTES - 4)
    if local > _LOCAL_MAX:
        local = _LOCAL_MIN
    parts = [page[at : at + local]]
    left = size - local
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while left > 0 and following:
        more = read(following)
        if more is None:
            return None
        parts.append(more[4 : 4 + left])
        left -= len(parts[-1])
        following = int.from_bytes(more[:4], "big")
    return b"".join(parts) if left <= 0 else None


def _columns(payload: bytes) -> list[Value]:
    end, at = _varint(payload, 0)
    kinds = []
    while at < end:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    at = end
    for kind in kinds:
        if kind >= 12:
            size = (kind - 12) // 2
            if at + size > len(payload):
                raise ValueError("column past the end")
            part = payload[at : at + size]
            values.append(part.decode() if kind & 1 else part)
        elif kind == 0:
            values.append(None)
            size = 0
        elif kind in (8, 9):
            values.append(kind - 8)
            size = 0
        elif kind == 7:
            size = 8
            values.append(struct.unpack_from(">d", payload, at)[0])
        elif kind <= 6:
            size = _INT_BYTES[kind]
            values.append(int.from_bytes(payload[at : at + size], "big", signed=True))
        else:
            raise ValueError("reserved serial type")
        at += size
    return values


def table_rows(image: Image, root: int) -> Iterator[tuple[int, list[Value]]]:
    """The rows of one table, walked from its root page; a damaged page costs the rows below it."""
    todo, seen = [root], set[int]()
    while todo:
        number = todo.pop()
        page = image.page(number)
        if page is None or number in seen or number < 2:
            continue
        seen.add(number)
        if page[0] == _INTERIOR:
            count = int.from_bytes(page[3:5], "big")
            todo.append(int.from_bytes(page[8:12], "big"))
            for i in range(min(count, (PAGE_BYTES - 12) // 2)):
                at = int.from_bytes(page[12 + 2 * i : 14 + 2 * i], "big")
                todo.append(int.from_bytes(page[at : at + 4], "big"))
        else:
            yield from leaf_rows(page, number, image.page)


def found_rows(page: bytes, number: int, image: Image, streams: Sequence[Priority]) -> Iterator[Found]:
    """The records on one page whose checksums are good, whatever table it belonged to."""
    for row_id, values in leaf_rows(page, number, image.page):
        record = _believe(row_id, values, streams)
        if record is not None:
            yield record


def _believe(row_id: int, values: list[Value], streams: Sequence[Priority]) -> Found | None:
    n, ordinal = row_id & rows.N_MASK, row_id >> rows.N_BITS
    epoch = values[1] if len(values) > 1 else None
    if not isinstance(epoch, str) or not n or not ordinal:
        return None
    kept = tuple(values[2:])
    if len(values) == 5:
        at_ns, crc, body = kept
        for stream in streams:
            if stream is not Priority.TELEMETRY and rows.is_good(rows.seed(epoch, stream), n, at_ns, crc, body):  # type: ignore[arg-type]  # told by it
                return Found(stream, epoch, ordinal, n, 1, kept)
    elif len(values) == 9 and Priority.TELEMETRY in streams:
        at_ns, crc, *described, body = kept
        if rows.is_good_block(rows.seed(epoch, Priority.TELEMETRY), n, crc, (at_ns, *described), body):  # type: ignore[arg-type]  # told by it
            return Found(Priority.TELEMETRY, epoch, ordinal, n, int(str(described[0])), kept)
    return None
