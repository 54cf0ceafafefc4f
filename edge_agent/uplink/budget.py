"""How many bytes a metered link may carry, and for whom. Pure. Alarms are counted and never held back."""

import calendar
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from buffer.records import Priority
from edge_agent.china_time import CHINA
from edge_agent.model import Clock, Instant

OTHER: Final = "other"  # connections, keep-alive, probes
WARN_AT: Final = (80, 100)  # percent of the month

# What a stream may take of a month, and how full the month may be for it to go at all. A share opens evenly over the
# month, after a head start: so a storm of faults on the 1st leaves faults for the 30th.
SHARES: Final[Mapping[Priority, float]] = {
    Priority.FAULT: 0.3,
    Priority.STATUS: 0.2,
    Priority.TELEMETRY: 0.5,
    Priority.MEDIA: 0.3,
}
CEILINGS: Final[Mapping[Priority, float]] = {
    Priority.FAULT: 1.0,
    Priority.STATUS: 0.9,
    Priority.TELEMETRY: 0.8,
    Priority.MEDIA: 0.6,
}
HEAD_START: Final = 0.1


def month_of(now: Instant, last: str) -> str:
    """The month of China time bytes are counted in, "2026-11". `last` is where they were counted until now, "" at first.

    A synchronised clock is believed in both directions, one in holdover only forwards, one that was never set not at all: a
    box that boots in 1970 goes on in the month it was in.
    """
    if now.clock is Clock.UNSET:
        return last
    month = _china(now).strftime("%Y-%m")
    return month if now.clock is Clock.SYNCED else max(month, last)


def elapsed(now: Instant) -> float:
    """How much of the month is over, 0 to 1; half of it while the clock is not set."""
    if now.clock is Clock.UNSET:
        return 0.5
    at = _china(now)
    days = calendar.monthrange(at.year, at.month)[1]
    return (at.day - 1 + (at.hour * 60 + at.minute) / 1440) / days


def _china(now: Instant) -> datetime:
    return datetime.fromtimestamp(min(max(now.wall_ns, 0) // 1_000_000_000, 2**33), CHINA)


class Meter:
    """The bytes of one link, by month and stream. One month is kept: the ledger has the others."""

    def __init__(self, monthly_bytes: int, counted: Mapping[tuple[str, str], int]) -> None:
        """`counted`: what the ledger has, by month and stream."""
        self._monthly_bytes = monthly_bytes
        self._ledger = dict(counted)
        self.month = max((month for month, _ in counted), default="")
        self.used: Counter[str] = self._of(self.month)
        self._warned = 0

    def count(self, stream: str, size: int, now: Instant) -> None:
        """So many bytes went over it."""
        month = month_of(now, self.month)
        if month != self.month:
            if self.month:
                self._ledger.update({(self.month, name): count for name, count in self.used.items()})
                self.used, self._warned = self._of(month), 0
            self.month = month  # what was counted before the first clock belongs to it
        self.used[stream] += size

    def withheld(self, now: Instant) -> frozenset[Priority]:
        """Streams that must not go over it now."""
        if not self._monthly_bytes:
            return frozenset()
        total, open_share = self.used.total(), HEAD_START + (1 - HEAD_START) * elapsed(now)
        return frozenset(
            priority
            for priority, share in SHARES.items()
            if total >= CEILINGS[priority] * self._monthly_bytes
            or self.used[priority.stream] >= share * open_share * self._monthly_bytes
        )

    def warning(self) -> int:
        """The highest of WARN_AT that was reached since the last call in this month, or 0."""
        if not self._monthly_bytes:
            return 0
        reached = max((at for at in WARN_AT if self.used.total() * 100 >= at * self._monthly_bytes), default=0)
        if reached <= self._warned:
            return 0
        self._warned = reached
        return reached

    def _of(self, month: str) -> Counter[str]:
        return Counter({name: count for (of, name), count in self._ledger.items() if of == month})


class Burst:
    """Messages on a link that costs: so many at once, then one in `every_s`, with all that has come meanwhile in it."""

    def __init__(self, messages: int, every_s: float) -> None:
        self._most, self._every_s = float(messages), every_s
        self._left = float(messages)
        self._at_s = 0.0

    def ready(self, now_s: float) -> bool:
        """Whether one may go now."""
        self._left = min(self._most, self._left + (now_s - self._at_s) / self._every_s)
        self._at_s = now_s
        return self._left >= 1.0

    def take(self) -> None:
        """One goes."""
        self._left -= 1.0
