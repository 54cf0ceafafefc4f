"""What a panel's clock says now, from the times in what it told last. Pure.

A message carries the time of what it tells: that is the panel's clock at that moment, unless the panel repeats old events. So of
the last messages the one counts by which the clock is furthest on: an old event never is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

KEPT: Final = 8  # messages with a time; after so many a clock that was set back is believed
_TIME: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")

Timed = tuple[int, Mapping[str, object]]  # loop's ns, fields of a message


@dataclass(frozen=True, slots=True)
class About:
    """What a panel or a device said of itself: its last messages with a time, and its software's version, "" if it never told."""

    source: str
    timed: Sequence[Timed]
    version: str = ""


def has_time(fields: Mapping[str, object]) -> bool:
    """Whether a message carries a time."""
    return bool(fields.get("time"))


def present(timed: Sequence[Timed], now_ns: int, ours: datetime | None) -> datetime | None:
    """The panel's clock now; None if it never told. `ours` is our own time (China), which fills in a date or year the panel
    leaves out; None while it is not set.
    """
    return max(_said(timed, now_ns, ours), default=None)


def _said(timed: Iterable[Timed], now_ns: int, ours: datetime | None) -> Iterator[datetime]:
    for at_ns, fields in timed:
        passed = timedelta(microseconds=(now_ns - at_ns) // 1000)
        told = read(fields, ours - passed if ours is not None else None)
        if told is not None:
            yield told + passed


def read(fields: Mapping[str, object], near: datetime | None) -> datetime | None:
    """The time of one message: `time` with or without a date, `date`, `month` and `day`. `near` as `ours` of `present`."""
    day, _, clock = str(fields.get("time", "")).replace("T", " ").rpartition(" ")
    found = _TIME.fullmatch(clock)
    if found is None:
        return None
    hour, minute, second = (int(part or 0) for part in found.groups())
    date = day or str(fields.get("date", ""))
    try:
        if date:
            return datetime.fromisoformat(date).replace(hour=hour, minute=minute, second=second)
        if near is None:
            return None
        month, number = fields.get("month"), fields.get("day")
        if type(month) is int and type(number) is int:
            return _nearest(near, hour, minute, second, [(year, month, number) for year in _around(near.year)])
        days = [near.date() + timedelta(days=shift) for shift in (-1, 0, 1)]
        return _nearest(near, hour, minute, second, [(one.year, one.month, one.day) for one in days])
    except (ValueError, OverflowError):  # 31 February, hour 25: a panel's clock may be anything
        return None


def _around(year: int) -> tuple[int, int, int]:
    return year - 1, year, year + 1


def _nearest(
    near: datetime, hour: int, minute: int, second: int, days: Iterable[tuple[int, int, int]]
) -> datetime | None:
    found = []
    for day in days:
        try:
            found.append(datetime(*day, hour, minute, second))
        except ValueError:  # 29 February of another year
            continue
    return min(found, key=lambda one: abs(one - near), default=None)
