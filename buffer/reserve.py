"""Disk space set aside for alarms: a file of real blocks that is emptied when the disk is full."""

import os
from pathlib import Path

from buffer.dbfile import sync_directory


class Reserve:
    """`reserve.bin` beside vital.db. `present` says whether its blocks are held."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self.present = False

    def take(self) -> None:
        """Hold the blocks. Raise OSError if the disk has not that many to spare, and hold none then."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(fd).st_blocks * 512 < self.size:
                try:
                    os.posix_fallocate(fd, 0, self.size)
                    os.fsync(fd)
                except OSError:
                    os.ftruncate(fd, 0)
                    raise
        finally:
            os.close(fd)
        sync_directory(self.path.parent)
        self.present = self.size > 0

    def give_up(self) -> bool:
        """Free the blocks at once. False if there were none."""
        if not self.present:
            return False
        self.present = False
        fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, 0)
            os.fsync(fd)  # ext4 hands freed blocks out again only after its own commit
        finally:
            os.close(fd)
        return True


class Space:
    """What the two files must agree on: whether the alarms' reserve is held."""

    def __init__(self, directory: Path, reserve_bytes: int) -> None:
        self.directory = directory
        self.reserve = Reserve(directory / "reserve.bin", reserve_bytes)

    @property
    def starved(self) -> bool:
        """The disk is full to the reserve: nothing but vital.db may take room."""
        return self.reserve.size > 0 and not self.reserve.present


def free_bytes(directory: Path) -> int:
    """What an ordinary user may still write on the file system of `directory`."""
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize
