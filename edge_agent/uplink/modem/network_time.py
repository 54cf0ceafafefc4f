"""What time the network says it is, as UTC, in spite of firmware that calls local time UTC or the other way round. Pure."""

import calendar
import re
from typing import Final

from drivers.codecs.at.fields import Reading

_ISO: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)")
NEAR_NS: Final = 2 * 3600 * 10**9  # half of what the two readings of one answer differ by in China is 4 h


def utc_ns(told: Reading | None, says_utc: bool | None, believed_ns: int | None) -> int | None:
    """UTC in ns of a CCLK or QLTS answer; None if it is unset, or ambiguous and we have no idea of our own.

    `says_utc`: what the family means; None where firmware differs: the reading nearer to `believed_ns` then, if it is near.
    """
    if told is None or told.fields.get("unset"):
        return None
    found = _ISO.match(told.text("iso"))
    if found is None:
        return None
    written_ns = calendar.timegm((*(int(part) for part in found.groups()), 0, 0, 0)) * 10**9
    offset_min = told.number("offset_min")
    if says_utc or offset_min == 0:
        return written_ns
    if offset_min is None:
        return None  # no zone: never set by NITZ
    as_local_ns = written_ns - int(offset_min) * 60 * 10**9
    if says_utc is False:
        return as_local_ns
    if believed_ns is None:
        return None
    nearer = min((written_ns, as_local_ns), key=lambda ns: abs(ns - believed_ns))
    return nearer if abs(nearer - believed_ns) < NEAR_NS else None
