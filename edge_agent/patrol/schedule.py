"""When a round is due: times of the day in China time, counted since 1970. Pure; no time zone data, no C library.

China has had no daylight saving since 1992, so a day always has its 24 hours, and nothing here ends in 2038.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS
CHINA_NS = 8 * 60 * MINUTE_NS


def minutes_of(time: str) -> int:
    """ "22:30" as minutes of the day. Raise ValueError."""
    hour, minute = time.split(":")
    return int(hour) * 60 + int(minute)


@dataclass(frozen=True, slots=True)
class Daily:
    """Moments that come each day, numbered since 1970: `moments` are minutes of the day, ascending, at least one."""

    moments: tuple[int, ...]

    @classmethod
    def of(cls, times: Iterable[str]) -> "Daily":
        """Of "22:30" and the like; twice the same is one."""
        return cls(tuple(sorted({minutes_of(time) for time in times})))

    def count(self, wall_ns: int) -> int:
        """How many of them there were up to this moment (UTC)."""
        day, of_day = divmod(wall_ns + CHINA_NS, DAY_NS)
        return day * len(self.moments) + bisect_right(self.moments, of_day // MINUTE_NS)

    def moment_ns(self, number: int) -> int:
        """When the one came that made it so many."""
        day, index = divmod(number - 1, len(self.moments))
        return day * DAY_NS + self.moments[index] * MINUTE_NS - CHINA_NS

    @property
    def gap_ns(self) -> int:
        """The shortest time between two of them."""
        later = (*self.moments[1:], self.moments[0] + 1440)
        return min(b - a for a, b in zip(self.moments, later, strict=True)) * MINUTE_NS
