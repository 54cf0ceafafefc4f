"""Setting a damaged file aside, and telling that a file which opens is not the whole truth. Nothing here deletes a record."""

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from buffer.carve import wal_is_broken
from buffer.dbfile import side_files, wal_is_short
from buffer.disk import Disk

EPOCH_STEP = 1000  # ordinals between the epochs of two files: room for rotations and for what is salvaged


def bad_files(path: Path) -> dict[int, Path]:
    """What was set aside of `path`, by number."""
    pattern = re.compile(re.escape(path.name) + r"\.bad-(\d+)(-wal)?$")
    found: dict[int, Path] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in path.parent.iterdir():
            if match := pattern.match(entry.name):
                found[int(match[1])] = path.with_name(f"{path.name}.bad-{match[1]}")
    return dict(sorted(found.items()))


def set_aside(path: Path, disk: Disk) -> Path:
    """Rename a file with its -wal and -shm out of the way. Return its new path. Raise OSError."""
    known = bad_files(path)
    number = max(known, default=0) + 1
    if not path.exists() and known and not side_files(known[number - 1])[0].exists():
        number -= 1  # a crash came between the renames below: this -wal belongs to the last one
    bad = path.with_name(f"{path.name}.bad-{number}")
    if path.exists():
        disk.rename(path, bad)
    for side, bad_side in zip(side_files(path), side_files(bad), strict=True):
        with contextlib.suppress(FileNotFoundError):
            disk.rename(side, bad_side)
    disk.sync_directory(path.parent)
    return bad


class OpenMark:
    """A small file that is there while the journal is open; it tells after a crash how the last run ended."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path, self._disk = path.with_name(path.name + ".open"), disk

    def set(self, boot_id: str) -> None:
        """Say that the file is open in this boot. Call once the -wal exists."""
        self._disk.write(self.path, boot_id.encode() + b"\n")
        self._disk.sync_directory(self.path.parent)

    def clear(self) -> None:
        """Say that it is being closed in order. Call before the -wal goes."""
        self._disk.unlink(self.path)
        self._disk.sync_directory(self.path.parent)

    def left_by(self) -> str | None:
        """The boot in which a run ended without closing; None if it closed."""
        try:
            return self.path.read_text("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return None


def suspicion(path: Path, mark: OpenMark) -> str:
    """Why the files as found are not what the last run left, "" if they may be: an ASCII code.

    missing: only side files are there. wal_missing, wal_short: committed records are gone, and pages may be half old.
    """
    wal = side_files(path)[0]
    if not path.exists():
        return "missing" if wal.exists() or mark.left_by() is not None else ""
    if mark.left_by() is not None and not wal.exists():
        return "wal_missing"
    return "wal_short" if wal_is_short(path) or wal_is_broken(path) else ""


def done_path(bad: Path) -> Path:
    """Present once everything readable of `bad` is in the new file."""
    return bad.with_name(bad.name + ".done")


def write_done(bad: Path, counts: Mapping[str, object], disk: Disk) -> None:
    """Remember that `bad` was salvaged, and with what result, for people."""
    disk.write(done_path(bad), json.dumps(dict(counts)).encode("ascii") + b"\n")
