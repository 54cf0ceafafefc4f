"""Whether a slot is still what was put into it: a list of sums in the slot, and a look at every file of it on the medium itself.

A card forgets what nobody reads. A slot that is gone back to after a year has to be known to be whole before it is started.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.sealed import read_sealed, seal, sync, write_whole

SUMS: Final = "slot.sums"  # in the slot
_PIECE: Final = 1 << 18


def write_sums(slot: Path) -> None:
    """List what is in a slot now, durably. Raise OSError."""
    said = {name: _sum(slot / name) for name in _names(slot)}
    write_whole(slot / SUMS, seal({"sums": said}), 0o644)
    sync(slot)


def has_sums(slot: Path) -> bool:
    """Whether there is a list, sound or not: a slot that was filled by hand has none."""
    return os.path.lexists(slot / SUMS)


def damaged(slot: Path) -> str:
    """The first thing in a slot that is not what the list says, or the list itself; "" if all of it is, or there is no list.

    Reads some 40 MB past the page cache, which would tell of what was written and not of what the card has.
    """
    if not has_sums(slot):
        return ""
    said = (read_sealed(slot / SUMS) or {}).get("sums")
    if not isinstance(said, dict):
        return SUMS
    for name, wanted in said.items():
        try:
            if _sum(slot / name) != wanted:
                return str(name)
        except OSError:  # it is gone, or the card cannot read it
            return str(name)
    return ""


def _names(slot: Path) -> Iterator[str]:
    for directory, directories, files in os.walk(slot):
        for name in sorted((*files, *(one for one in directories if (Path(directory) / one).is_symlink()))):
            where = str((Path(directory) / name).relative_to(slot))
            if where != SUMS:
                yield where


def _sum(file: Path) -> str:
    """Of a file its SHA-256, of a link where it leads, of anything else its kind."""
    mode = file.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"-> {file.readlink()}"
    if not stat.S_ISREG(mode):
        return f"mode {stat.S_IFMT(mode):o}"
    sum_ = hashlib.sha256()
    fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := os.read(fd, _PIECE):
            sum_.update(piece)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # nobody else needs it: the memory is the alarms'
    finally:
        os.close(fd)
    return sum_.hexdigest()
