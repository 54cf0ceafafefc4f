"""Small files that are old or new after a power cut, never half of it, and that are known when the card has damaged them."""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

BYTES_MAX: Final = 16 << 20


def seal(said: Mapping[str, object]) -> bytes:
    """JSON, so that a person can read what is in it, and a checksum."""
    body = json.dumps(said, ensure_ascii=False, indent=1).encode("utf-8") + b"\n"
    return body + b"#%08x\n" % zlib.crc32(body)


def read_sealed(path: Path) -> dict[str, Any] | None:
    """What was sealed; None if there is no such file, or not a sound one."""
    try:
        with path.open("rb") as stream:
            body, _, mark = stream.read(BYTES_MAX).rpartition(b"#")
        if int(mark, 16) != zlib.crc32(body):
            return None
        said = json.loads(body)
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Put `data` in the place of the file, durably. Raise OSError."""
    new = path.with_name(f"{path.name}.new")
    fd = os.open(new, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, mode)
    with open(fd, "wb") as stream:  # noqa: PTH123 - a descriptor
        os.fchmod(fd, mode)  # what a power cut left of the last try may have had another
        stream.write(data)
        stream.flush()
        os.fsync(fd)
    new.replace(path)
    sync(path.parent)


def sync(place: Path) -> None:
    """Make what is in a file, or the names in a directory, durable. Raise OSError."""
    fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
