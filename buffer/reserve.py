"""Disk space set aside for alarms: a file of real blocks that is emptied when the disk is full."""

from pathlib import Path

from buffer.disk import Disk


class Reserve:
    """`reserve.bin` beside vital.db. `present` says whether its blocks are held."""

    def __init__(self, path: Path, size: int, disk: Disk) -> None:
        self.path, self.size, self._disk = path, size, disk
        self.present = False

    def take(self) -> None:
        """Hold the blocks. Raise OSError if the disk has not that many to spare, and hold none then."""
        self._disk.allocate(self.path, self.size)
        self._disk.sync_directory(self.path.parent)
        self.present = self.size > 0

    def give_up(self) -> bool:
        """Free the blocks at once. False if there were none."""
        if not self.present:
            return False
        self.present = False
        self._disk.release(self.path)
        return True


class Space:
    """What the two files must agree on: the disk they are on, and whether the alarms' reserve is held."""

    def __init__(self, directory: Path, reserve_bytes: int, disk: Disk | None = None) -> None:
        self.directory, self.disk = directory, disk or Disk()
        self.reserve = Reserve(directory / "reserve.bin", reserve_bytes, self.disk)

    def free_bytes(self) -> int:
        """What may still be written there. Raise OSError."""
        return self.disk.free_bytes(self.directory)

    @property
    def starved(self) -> bool:
        """The disk is full to the reserve: nothing but vital.db may take room."""
        return self.reserve.size > 0 and not self.reserve.present
