"""What the journal asks of the operating system: SQLite's connections, and every change beside SQLite's own.

One object, so that the simulation can put a disk under the real code that forgets, tears, fills up and fails. What only looks
(exists, stat, reading) goes to the file system directly.
"""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path


def quoted(path: Path) -> str:
    """A path inside a SQLite URI."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class Disk:
    """The machine's own. Every method raises OSError, `connect` sqlite3.Error."""

    def connect(self, path: Path, *, mode: str = "rw", timeout_s: float = 1.0) -> sqlite3.Connection:
        """A connection that leaves transactions to us. `mode` as in SQLite's URIs: rw, rwc (may make the file), ro."""
        return sqlite3.connect(
            f"file:{quoted(path)}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=timeout_s,
            check_same_thread=False,
            cached_statements=64,
        )

    def lock(self, path: Path) -> int:
        """Be the only one; the descriptor to `unlock`. Raise BlockingIOError if another process is."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        return fd

    def unlock(self, fd: int) -> None:
        """Let another be it."""
        os.close(fd)

    def make_directory(self, path: Path) -> None:
        """Make it and its parents, unless they are there."""
        path.mkdir(parents=True, exist_ok=True)

    def make_empty(self, path: Path) -> None:
        """A new, empty file. Raise FileExistsError."""
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))

    def write(self, path: Path, data: bytes) -> None:
        """The whole of a small file, synced; its directory is not."""
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            os.write(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)

    def sync(self, path: Path) -> None:
        """Make the content of a file durable."""
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def sync_directory(self, path: Path) -> None:
        """Make what was made, renamed and removed in `path` durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()

    def allocate(self, path: Path, size: int) -> None:
        """Hold `size` bytes of real blocks in a file, or none of them."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(fd).st_blocks * 512 < size:
                try:
                    os.posix_fallocate(fd, 0, size)
                    os.fsync(fd)
                except OSError:
                    os.ftruncate(fd, 0)
                    raise
        finally:
            os.close(fd)

    def release(self, path: Path) -> None:
        """Give the blocks of a file back at once."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, 0)
            os.fsync(fd)  # ext4 hands freed blocks out again only after its own commit
        finally:
            os.close(fd)

    def free_bytes(self, directory: Path) -> int:
        """What an ordinary user may still write on the file system of `directory`."""
        space = os.statvfs(directory)
        return space.f_bavail * space.f_frsize
