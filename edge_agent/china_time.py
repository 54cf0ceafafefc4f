"""Wall time as people here read it: China time, with a mark where the clock could not be trusted. Stored time is UTC."""

from datetime import UTC, datetime, timedelta, timezone

CHINA = timezone(
    timedelta(hours=8)
)  # no daylight saving since 1992: a fixed offset is exact, and needs no time zone data
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # counted from, not asked of the C library: 32-bit systems end in 2038
_MARKS = {"synced": "", "holdover": "~"}


def china_time(wall_ns: object, clock: object = "synced") -> str:
    """As "2026-11-23 17:20:31"; "~" after it when the clock was not synchronised, "?" when it had never been set."""
    if not isinstance(wall_ns, int):
        return "-"
    try:
        shown = (EPOCH + timedelta(seconds=wall_ns // 1_000_000_000)).astimezone(CHINA)
    except OverflowError:
        return "-"
    return shown.strftime("%Y-%m-%d %H:%M:%S") + _MARKS.get(str(clock), "?")
