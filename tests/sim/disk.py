"""A disk that forgets, tears, fills up, fails and stalls, under the real SQLite and the journal's real files.

The files are real, in memory (tmpfs): what is in them is what the operating system holds. Beside them stands what a power cut
may take away again. The model, per file, is harsher than ext4 with data=ordered and barriers:

- what was written before the last completed sync of that file stays;
- each later write stays, vanishes or is torn at 512 bytes, each for itself, so later ones may stay while earlier ones vanish;
- making, renaming and removing files stays once any file or the directory was synced after it (one journal, as ext4); of the
  younger ones a prefix stays, in order;
- a -shm is never synced: it may be as it was, gone or zeros.

Not modelled: a disk that lies about syncs, bits that rot (tests/power, tests/proof), two writes of one sector mixed.
"""

import errno
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buffer.disk import Disk, quoted
from tests.sim import vfs

SECTOR = 512
SYNC_S = 0.003
CAPACITY = 64 << 20


@dataclass(slots=True)
class Change:
    """One unsynced change of a file's content. `data` None: a new length."""

    offset: int
    data: bytes | None
    before: bytes  # what stood there
    length_before: int


@dataclass(slots=True)
class Inode:
    path: str
    length: int = 0
    pending: list[Change] = field(default_factory=list)
    fd: int = -1


@dataclass(slots=True)
class Fault:
    """Operations fail from number `first` on (counted by the disk), `count` of them."""

    code: int  # errno
    first: int
    count: int


class SimDisk(Disk):
    """The disk of one machine. `directory` is its mount point; everything below is on it."""

    def __init__(self, directory: Path, rng: random.Random) -> None:
        vfs.install()
        self.directory, self._rng = directory, rng
        self.now_s: Callable[[], float] = lambda: 0.0
        self.on_stall: Callable[[float], None] = lambda until_s: None  # a loop of its own called us: it hangs so long
        self.process: Callable[[], Any] = lambda: None
        self.inodes: dict[str, Inode] = {}
        self.meta: list[tuple[str, str, Any]] = []  # unsynced: made, renamed, removed
        self.operations = self.syncs = self.written = 0
        self.fault: Fault | None = None
        self.failed = 0  # operations it has spoilt
        self.foreign = 0  # bytes others hold
        self.sync_s: Callable[[], float] = lambda: SYNC_S
        self.free_at_s = 0.0  # what is asked before then has to wait
        self._took_s: float | None = None  # of the turn that runs; None: no thread is at work
        self.stop_at: int | None = None  # the operation at which `on_stop` is called and this process's doings are void
        self.on_stop: Callable[[], None] = lambda: None
        self.void = False
        self._connections: dict[Any, list[sqlite3.Connection]] = {}
        self._locks: dict[Path, Any] = {}
        self._lock_names: dict[int, Path] = {}
        self._descriptor = 1000
        self._listener = _Listener(self)

    # -- time --------------------------------------------------------------------------------------------------------
    def begin(self) -> float | None:
        """A thread begins a turn; what it says is heard as late as the disk lets it."""
        outer, self._took_s = self._took_s, max(0.0, self.free_at_s - self.now_s())
        return outer

    def end(self, outer: float | None = None) -> float:
        took_s = self._took_s or 0.0
        self._took_s = outer
        if took_s:
            self.free_at_s = max(self.free_at_s, self.now_s() + took_s)
        return took_s

    def took_s(self) -> float:
        """How long the turn that runs has been held up so far."""
        return self._took_s or 0.0

    def _spend(self, seconds: float) -> None:
        if self._took_s is not None:
            self._took_s += seconds
        else:
            self.on_stall(seconds)

    # -- every operation ---------------------------------------------------------------------------------------------
    def operation(self) -> int:
        """Count it; the errno it fails with, or 0."""
        if self.void:
            return errno.EIO
        self.operations += 1
        if self.stop_at is not None and self.operations >= self.stop_at:
            self.stop_at, self.void = None, True
            self.on_stop()
            return errno.EIO
        fault = self.fault
        if fault is not None and self.operations >= fault.first:
            if fault.count <= 0:
                self.fault = None
                return 0
            fault.count -= 1
            self.failed += 1
            return fault.code
        return 0

    def _check(self, path: Path) -> None:
        if code := self.operation():
            raise OSError(code, os.strerror(code), str(path))

    def _inode(self, path: str) -> Inode:
        inode = self.inodes.get(path)
        if inode is None:
            length = os.stat(path).st_size if os.path.exists(path) else 0
            inode = self.inodes[path] = Inode(path, length)
        return inode

    def used(self) -> int:
        return sum(inode.length for inode in self.inodes.values())

    def room(self) -> int:
        return CAPACITY - self.foreign - self.used()

    def note(self, path: str, offset: int, data: bytes) -> int:
        """A write is about to happen."""
        inode = self._inode(path)
        grows = offset + len(data) - inode.length
        if grows > 0 and grows > self.room():
            return errno.ENOSPC
        before = b""
        if offset < inode.length:
            if inode.fd < 0:
                inode.fd = os.open(path, os.O_RDONLY)
            before = os.pread(inode.fd, len(data), offset)
        inode.pending.append(Change(offset, data, before, inode.length))
        inode.length = max(inode.length, offset + len(data))
        self.written += len(data)
        return 0

    def cut(self, path: str, size: int) -> None:
        """A file is about to get another length."""
        inode = self._inode(path)
        before = b""
        if size < inode.length:
            with open(path, "rb") as file:
                file.seek(size)
                before = file.read()
        inode.pending.append(Change(size, None, before, inode.length))
        inode.length = size

    def removing(self, path: str) -> None:
        """A file is about to go."""
        inode = self._inode(path)
        self.meta.append(("removed", path, (Path(path).read_bytes(), inode)))
        self._forget(path)

    def synced(self, path: str) -> None:
        self._inode(path).pending.clear()
        self.meta.clear()
        self.syncs += 1
        self._spend(self.sync_s())

    def made(self, path: str) -> None:
        self._forget(path)
        self.inodes[path] = Inode(path)
        self.meta.append(("made", path, None))

    def _forget(self, path: str) -> None:
        inode = self.inodes.pop(path, None)
        if inode is not None and inode.fd >= 0:
            os.close(inode.fd)
            inode.fd = -1

    # -- buffer.disk.Disk --------------------------------------------------------------------------------------------
    def connect(self, path: Path, *, mode: str = "rw", timeout_s: float = 1.0) -> sqlite3.Connection:
        vfs.listener = self._listener
        made = sqlite3.connect(
            f"file:{quoted(path)}?mode={mode}&vfs={vfs.NAME}",
            uri=True,
            isolation_level=None,
            timeout=timeout_s,
            check_same_thread=False,
            cached_statements=64,
        )
        self._connections.setdefault(self.process(), []).append(made)
        return made

    def lock(self, path: Path) -> int:
        self._check(path)
        holder = self._locks.get(path)
        if holder is not None and not holder.dead:
            raise BlockingIOError(errno.EAGAIN, "locked", str(path))
        self._locks[path] = self.process()
        self._descriptor += 1
        self._lock_names[self._descriptor] = path
        return self._descriptor

    def unlock(self, fd: int) -> None:
        if not self.void:
            self._locks.pop(self._lock_names.pop(fd), None)

    def make_directory(self, path: Path) -> None:
        self._check(path)
        path.mkdir(parents=True, exist_ok=True)

    def make_empty(self, path: Path) -> None:
        self._check(path)
        path.touch(exist_ok=False)
        self.made(str(path))

    def write(self, path: Path, data: bytes) -> None:
        self._check(path)
        name = str(path)
        if not path.exists():
            path.touch()
            self.made(name)
        if self._inode(name).length:
            self.cut(name, 0)
            os.truncate(path, 0)
        if code := self.note(name, 0, data):
            raise OSError(code, os.strerror(code), name)
        with path.open("r+b") as file:
            file.write(data)
        self._check(path)
        self.synced(name)

    def sync(self, path: Path) -> None:
        self._check(path)
        self.synced(str(path))

    def sync_directory(self, path: Path) -> None:
        self._check(path)
        self.meta.clear()
        self._spend(self.sync_s())

    def rename(self, old: Path, new: Path) -> None:
        if not old.exists():
            raise FileNotFoundError(errno.ENOENT, "no such file", str(old))
        self._check(old)
        if new.exists():
            self.removing(str(new))
        old.rename(new)
        inode = self._inode_of_renamed(str(old), str(new))
        self.meta.append(("renamed", str(old), (str(new), inode)))

    def _inode_of_renamed(self, old: str, new: str) -> Inode:
        inode = self.inodes.pop(old, None) or Inode(new, os.stat(new).st_size)
        inode.path = new
        self.inodes[new] = inode
        return inode

    def unlink(self, path: Path) -> None:
        if path.exists():
            self._check(path)
            self.removing(str(path))
            path.unlink()

    def allocate(self, path: Path, size: int) -> None:
        self._check(path)
        name = str(path)
        if not path.exists():
            path.touch()
            self.made(name)
        inode = self._inode(name)
        if inode.length < size:
            if size - inode.length > self.room():
                raise OSError(errno.ENOSPC, "no space", name)
            os.truncate(path, size)
            inode.length = size
            self.synced(name)

    def release(self, path: Path) -> None:
        self._check(path)
        os.truncate(path, 0)
        self._inode(str(path)).length = 0
        self.synced(str(path))

    def free_bytes(self, directory: Path) -> int:
        return max(0, self.room())

    # -- the end of a process, and of the power ----------------------------------------------------------------------
    def drop(self, process: Any) -> None:
        """A process is gone: its connections, without a goodbye, and its locks."""
        self.void, void = True, self.void
        try:
            for connection in self._connections.pop(process, ()):
                connection.close()
        finally:
            self.void = void
        for path in [path for path, holder in self._locks.items() if holder is process]:
            del self._locks[path]

    def cut_power(self, mode: str) -> None:
        """What is on the medium when the power is back. Nobody may have a file open. `mode`: keep, lose or random."""
        rng = self._rng
        for path in sorted(self.inodes):
            self._settle(self.inodes[path], mode)
        keep = {"keep": len(self.meta), "lose": 0}.get(mode)
        if keep is None:
            keep = rng.randint(0, len(self.meta))
        for kind, path, more in reversed(self.meta[keep:]):
            self._undo(kind, path, more)
        self.meta.clear()
        for shm in sorted(self.directory.rglob("*-shm")):
            fate = rng.randrange(3)
            if fate == 0:
                shm.unlink()
            elif fate == 1:
                shm.write_bytes(bytes(shm.stat().st_size))
        for inode in self.inodes.values():
            if inode.fd >= 0:
                os.close(inode.fd)
        self.inodes = {
            str(path): Inode(str(path), path.stat().st_size)
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and not path.name.endswith("-shm")
        }
        self._locks.clear()
        self._lock_names.clear()
        self.void, self.stop_at, self.free_at_s = False, None, 0.0

    def _settle(self, inode: Inode, mode: str) -> None:
        if not inode.pending or not os.path.exists(inode.path):
            return
        rng, changes = self._rng, inode.pending
        with open(inode.path, "r+b") as file:
            for change in reversed(changes):
                if change.before:
                    file.seek(change.offset)
                    file.write(change.before)
                file.truncate(change.length_before)
            for change in changes:
                if mode == "lose":
                    break
                fate = 1.0 if mode == "keep" else rng.random()
                if change.data is None:
                    if fate >= 0.5:
                        file.truncate(change.offset)
                elif fate >= 0.5:
                    file.seek(change.offset)
                    file.write(change.data)
                elif fate < 0.2:
                    for at, piece in _torn(change, rng):
                        file.seek(at)
                        file.write(piece)
                elif fate < 0.3:  # the length made it, the bytes did not
                    file.seek(0, os.SEEK_END)
                    if file.tell() < change.offset + len(change.data):
                        file.truncate(change.offset + len(change.data))
        inode.pending = []

    def _undo(self, kind: str, path: str, more: Any) -> None:
        if kind == "made":
            Path(path).unlink(missing_ok=True)
        elif kind == "renamed":
            new, _ = more
            if os.path.exists(new):
                os.rename(new, path)
        else:
            content, inode = more
            Path(path).write_bytes(content)
            inode.path = path
            self._settle(inode, "lose")

    def remove(self) -> None:
        """The end of the run."""
        for process in list(self._connections):
            self.drop(process)
        for inode in self.inodes.values():
            if inode.fd >= 0:
                os.close(inode.fd)
        shutil.rmtree(self.directory, ignore_errors=True)


def _torn(change: Change, rng: random.Random) -> list[tuple[int, bytes]]:
    """What of a write reached the medium, cut at whole sectors of the file."""
    data, start = change.data or b"", change.offset
    pieces = []
    for sector in range(start // SECTOR, (start + len(data) - 1) // SECTOR + 1):
        if rng.random() < 0.5:
            first, last = max(start, sector * SECTOR), min(start + len(data), (sector + 1) * SECTOR)
            pieces.append((first, data[first - start : last - start]))
    return pieces


class _Listener:
    """The disk as SQLite's VFS asks it."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk
        self._makes = False

    def opened(self, path: str, flags: int) -> tuple[int, int]:
        if not path or not flags & (vfs.OPEN_READWRITE | vfs.OPEN_CREATE):
            return vfs.OK, flags
        there = os.path.exists(path)
        code = self._disk.operation()
        if code == errno.EROFS and there:
            return vfs.OK, flags & ~(vfs.OPEN_READWRITE | vfs.OPEN_CREATE) | vfs.OPEN_READONLY
        self._makes = not there
        return (vfs.CANTOPEN if code else vfs.OK), flags

    def made(self, path: str) -> None:
        if path and self._makes:
            self._disk.made(path)
        self._makes = False

    def write(self, path: str, offset: int, data: bytes) -> int:
        code = self._disk.operation() or self._disk.note(path, offset, data)
        return (vfs.FULL if code == errno.ENOSPC else vfs.IOERR_WRITE) if code else vfs.OK

    def truncate(self, path: str, size: int) -> int:
        if self._disk.operation():
            return vfs.IOERR_TRUNCATE
        self._disk.cut(path, size)
        return vfs.OK

    def sync(self, path: str) -> int:
        if self._disk.operation():
            return vfs.IOERR_FSYNC
        self._disk.synced(path)
        return vfs.OK

    def delete(self, path: str) -> tuple[int, bool]:
        if self._disk.operation():
            return vfs.IOERR_DELETE, False
        if os.path.exists(path):
            self._disk.removing(path)
        return vfs.OK, True

    def may_lock(self) -> bool:
        return not self._disk.void
