"""Wall time as people here read it: China time, with a mark where the clock could not be trusted. Stored time is UTC."""

from datetime import datetime, timedelta, timezone

CHINA = timezone(
    timedelta(hours=8)
)  # no daylight saving since 1992: a fixed offset is exact, and needs no time zone data
_MARKS = {"synced": "", "holdover": "~"}


def china_time(wall_ns: object, clock: object = "synced") -> str:
    """As "2026-11-23 17:20:31"; "~" after it when the clock was not synchronised, "?" when it had never been set."""
    if not isinstance(wall_ns, int):
        return "-"
    try:
        shown = datetime.fromtimestamp(wall_ns // 1_000_000_000, CHINA).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return "-"
    return shown + _MARKS.get(str(clock), "?")
