"""What a recorded file system was asked to do, in order. A file is known by a serial number: names move, files do not."""

import pickle
from dataclasses import dataclass
from pathlib import Path

WRITE, TRUNCATE, SYNC, CREATE, RENAME, UNLINK, SYNC_DIRECTORY, MARK = (
    "write",
    "truncate",
    "sync",
    "create",
    "rename",
    "unlink",
    "sync_directory",
    "mark",
)


@dataclass(frozen=True, slots=True)
class Op:
    """One operation that succeeded. A `mark` is no operation: somebody wrote down what had been promised by then."""

    kind: str
    file: int = -1
    path: str = ""
    offset: int = 0
    data: bytes = b""
    size: int = 0  # of a truncate: the new length
    to: str = ""  # of a rename
    at_ns: int = 0  # wall clock


def load(path: Path) -> list[Op]:
    """Read what the recorder wrote."""
    return [Op(*fields) for fields in pickle.loads(path.read_bytes())]
