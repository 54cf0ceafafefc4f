"""A pass-through file system (FUSE) that writes down what programs do to it, and fails or stalls when told to.

    python -m tests.power.recorder BACKING MOUNT LOG

One operation at a time: while one stalls everything on it does, as with a card that cleans up. Commands come as JSON lines on
stdin, each is answered by a JSON line on stdout. When stdin ends, whoever started us is gone: everything mounted below the
directory of MOUNT is unmounted and we end. A write to MOUNT/.mark becomes a mark in the log.
"""

import errno
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import mfusepy

MARK_PATH = "/.mark"
_ATTRIBUTES = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino", "st_blocks", "st_blksize")
_SPACE = (
    "f_bavail",
    "f_bfree",
    "f_blocks",
    "f_bsize",
    "f_favail",
    "f_ffree",
    "f_files",
    "f_flag",
    "f_frsize",
    "f_namemax",
)


class Trouble:
    """What is to go wrong: from the `after`-th matching operation on, `times` of them (0: all)."""

    def __init__(
        self, *, ops: list[str], error: str = "", stall_s: float = 0.0, after: int = 1, times: int = 0
    ) -> None:
        self.ops, self.errno, self.stall_s = frozenset(ops), getattr(errno, error) if error else 0, stall_s
        self.after, self.times = after, times
        self.seen = self.hits = 0

    def meet(self, op: str) -> None:
        if op not in self.ops:
            return
        self.seen += 1
        if self.seen < self.after or (self.times and self.hits >= self.times):
            return
        self.hits += 1
        if self.stall_s:
            time.sleep(self.stall_s)
        if self.errno:
            raise mfusepy.FuseOSError(self.errno)


class Recorder(mfusepy.Operations):
    """The file system. Files are followed by handle, so that what was renamed or removed while open is still known."""

    use_ns = True

    def __init__(self, backing: str) -> None:
        self._root = os.path.realpath(backing)
        self._serials: dict[str, int] = {}
        self._handles: dict[int, int] = {}
        self.log: list[tuple[object, ...]] = []
        self.trouble: Trouble | None = None
        for serial, name in enumerate(below(self._root)):
            self._serials[name] = serial
        self._next = len(self._serials)

    def init_with_config(self, conn_info: object, config: Any) -> None:
        config.kernel_cache = 1  # as on a disk: what is in memory stays there when a file is opened again

    def _add(
        self, kind: str, file: int = -1, path: str = "", offset: int = 0, data: bytes = b"", size: int = 0, to: str = ""
    ) -> None:
        self.log.append((kind, file, path, offset, data, size, to, time.time_ns()))

    def _real(self, path: str) -> str:
        return self._root + path

    def _meet(self, op: str) -> None:
        if self.trouble is not None:
            self.trouble.meet(op)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == MARK_PATH:
            return {"st_mode": 0o100666, "st_nlink": 1, "st_size": 0, "st_ino": 2**40}
        found = os.lstat(self._real(path))
        times = {"st_mtime": found.st_mtime_ns, "st_ctime": found.st_ctime_ns, "st_atime": found.st_atime_ns}
        return {**{name: getattr(found, name) for name in _ATTRIBUTES}, **times}

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
        with os.scandir(self._real(path)) as entries:
            return [(entry.name, {"st_ino": entry.inode()}, 0) for entry in entries]  # number 0 would not be listed

    def open(self, path: str, flags: int) -> int:
        if path == MARK_PATH:
            return 0
        handle = os.open(self._real(path), flags & ~(os.O_APPEND | os.O_TRUNC))
        self._handles[handle] = self._serials[path[1:]]
        if flags & os.O_TRUNC:
            self.truncate(path, 0, handle)
        return handle

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._meet("create")
        handle = os.open(self._real(path), os.O_RDWR | os.O_CREAT, mode)
        if path[1:] not in self._serials:
            self._new("create", path)
        self._handles[handle] = self._serials[path[1:]]
        return handle

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._meet("read")
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        if path == MARK_PATH:
            self._add("mark", data=data)
            return len(data)
        self._meet("write")
        os.pwrite(fh, data, offset)
        self._add("write", self._handles[fh], offset=offset, data=data)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        if path == MARK_PATH:
            return
        self._meet("truncate")
        if fh is not None:
            os.ftruncate(fh, length)
            file = self._handles[fh]
        else:
            os.truncate(self._real(path), length)
            file = self._serials[path[1:]]
        self._add("truncate", file, size=length)

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> None:
        self._meet("write")
        if mode:
            raise mfusepy.FuseOSError(errno.EOPNOTSUPP)
        os.posix_fallocate(fh, offset, size)
        self._add("truncate", self._handles[fh], size=os.fstat(fh).st_size)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        if path == MARK_PATH:
            return
        self._meet("fsync")
        self._add("sync", self._handles[fh])

    def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
        self._meet("fsync")
        self._add("sync_directory", path=path[1:])

    def flush(self, path: str, fh: int) -> None:
        return

    def release(self, path: str, fh: int) -> None:
        if path != MARK_PATH:
            os.close(fh)
            del self._handles[fh]

    def unlink(self, path: str) -> None:
        self._meet("unlink")
        os.unlink(self._real(path))
        self._add("unlink", self._serials.pop(path[1:]), path[1:])

    def mkdir(self, path: str, mode: int) -> None:
        self._meet("create")
        os.mkdir(self._real(path), mode)
        self._new("mkdir", path)

    def rmdir(self, path: str) -> None:
        self._meet("unlink")
        os.rmdir(self._real(path))
        self._add("rmdir", self._serials.pop(path[1:]), path[1:])

    def symlink(self, path: str, to: str) -> None:
        self._meet("create")
        os.symlink(to, self._real(path))
        self._new("symlink", path, to)

    def readlink(self, path: str) -> str:
        return os.readlink(self._real(path))

    def _new(self, kind: str, path: str, to: str = "") -> None:
        self._serials[path[1:]] = self._next
        self._next += 1
        self._add(kind, self._serials[path[1:]], path[1:], to=to)

    def rename(self, old: str, new: str) -> None:
        self._meet("rename")
        assert not os.path.isdir(self._real(old)) or os.path.islink(self._real(old)), "the log follows no such move"
        os.rename(self._real(old), self._real(new))
        self._serials[new[1:]] = serial = self._serials.pop(old[1:])
        self._add("rename", serial, old[1:], to=new[1:])

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._real(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._real(path), uid, gid)

    def utimens(self, path: str, times: object = None) -> None:
        return

    def access(self, path: str, mode: int) -> None:
        return

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._root)
        return {name: getattr(found, name) for name in _SPACE}


def below(root: str) -> list[str]:
    """Everything in a tree by its name from the root, in the order of the serials it has when a log begins."""
    found = []
    for directory, directories, files in os.walk(root):
        found += [os.path.relpath(os.path.join(directory, name), root) for name in (*directories, *files)]
    return sorted(found)


def obey(recorder: Recorder, log: Path, below: str) -> None:
    """Commands until stdin ends."""
    for line in sys.stdin:
        command = json.loads(line)
        answer: dict[str, object] = {}
        do = command.pop("do")
        if do == "trouble":
            recorder.trouble = Trouble(**command) if command else None
        elif do == "hits":
            trouble = recorder.trouble
            answer = {"seen": trouble.seen, "hits": trouble.hits} if trouble else {"seen": 0, "hits": 0}
        elif do == "log":
            ops = recorder.log[:]
            del recorder.log[: len(ops)]  # what came meanwhile is behind them
            log.write_bytes(pickle.dumps(ops))
            answer = {"ops": len(ops)}
        print(json.dumps(answer), flush=True)
    recorder.trouble = None
    unmount_below(below)


def unmount_below(directory: str) -> None:
    """Whatever is mounted there, the last first. Lazily: who still has a file open keeps it until it ends."""
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed([place for place in mounts if place.startswith(directory + "/")]):
        subprocess.run(["umount", "-l", place], check=False, capture_output=True)


def main() -> None:
    backing, mount, log = sys.argv[1:4]
    recorder = Recorder(backing)
    below = os.path.dirname(os.path.realpath(mount))
    threading.Thread(target=obey, args=(recorder, Path(log), below), daemon=True).start()
    mfusepy.FUSE(recorder, mount, foreground=True, nothreads=True, use_ino=True, hard_remove=True, fsname="zg-recorder")


if __name__ == "__main__":
    main()
