"""Time tags: six bytes, second minute hour day month year, of naive China time (clause 8.2.2 names no zone).

The standard means plain binary; some centres and devices write BCD, which is a switch of the dialect. A tag that is no time is
carried as its six raw bytes, so that nothing is lost and the receiver can put its own time beside it.
"""

from datetime import datetime
from typing import Final

TAG_BYTES: Final = 6
NO_CLOCK: Final = bytes(TAG_BYTES)  # what devices without a clock send; no time in either coding

Time = datetime | bytes  # naive China time, or the raw tag where it is none

_FROM_BCD: Final = bytes(high * 10 + low if high < 10 and low < 10 else 0xFF for high in range(16) for low in range(16))


def read_binary(raw: bytes) -> Time:
    """The time of a six-byte binary tag, or `raw` where it is none."""
    second, minute, hour, day, month, year = raw
    if year > 99:
        return raw
    try:
        return datetime(2000 + year, month, day, hour, minute, second)
    except ValueError:
        return raw


def read_bcd(raw: bytes) -> Time:
    """The time of a six-byte BCD tag, or `raw` where it is none."""
    plain = raw.translate(_FROM_BCD)  # what is no digit becomes 255, which is no part of a time
    return at if isinstance(at := read_binary(plain), datetime) else raw


def read_time(raw: bytes, *, bcd: bool) -> Time:
    """The time of a six-byte tag in either coding, or `raw` where it is none."""
    return read_bcd(raw) if bcd else read_binary(raw)


def write_time(at: Time, *, bcd: bool) -> bytes:
    """The six bytes of a naive China time (2000-2099, whole seconds), or a raw tag as it is. Raise ValueError."""
    if isinstance(at, bytes):
        if len(at) != TAG_BYTES:
            raise ValueError(f"a time tag has 6 bytes, not {len(at)}")
        return at
    if at.tzinfo is not None:
        raise ValueError("a time tag is naive China time; this one has a zone")
    if not 2000 <= at.year <= 2099:
        raise ValueError(f"a time tag has two digits of the year: {at.year} does not fit")
    values = at.second, at.minute, at.hour, at.day, at.month, at.year - 2000
    return bytes(value // 10 * 16 + value % 10 for value in values) if bcd else bytes(values)
