"""What a recorded file system was asked to do, in order. A file is known by a serial number: names move, files do not."""

import pickle
from dataclasses import dataclass
from pathlib import Path

# write truncate sync create rename unlink sync_directory mark; of a tree also mkdir rmdir symlink


class Link(str):
    """What a symbolic link holds: where it leads."""


class Directory:
    """What a directory holds, as far as a log of names goes: nothing."""


@dataclass(frozen=True, slots=True)
class Op:
    """One operation that succeeded. A `mark` is no operation: somebody wrote down what had been promised by then."""

    kind: str
    file: int = -1
    path: str = ""
    offset: int = 0
    data: bytes = b""
    size: int = 0  # of a truncate: the new length
    to: str = ""  # of a rename; of a symlink: where it leads
    at_ns: int = 0  # wall clock


def load(path: Path) -> list[Op]:
    """Read what the recorder wrote."""
    return [Op(*fields) for fields in pickle.loads(path.read_bytes())]
