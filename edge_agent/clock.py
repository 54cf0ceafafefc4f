"""The one place that asks what time it is."""

import time
from pathlib import Path
from typing import Protocol

from edge_agent.model import Clock, Instant


class TimeSource(Protocol):
    """Live on a gateway, scripted in tests and in the simulation."""

    def now(self) -> Instant:
        """The present moment."""
        ...

    def at(self, mono_ns: int) -> Instant:
        """The moment of an earlier monotonic reading of this boot, with the wall time we believe it had."""
        ...


class SystemClock:
    """Kernel clocks. Wall time is `holdover` until the kernel says it is synchronised, and `unset` before the build year."""

    # systemd-timesyncd and chrony touch this when they have set the clock; it lives in /run, so a reboot forgets it
    _SYNCED = Path("/run/systemd/timesync/synchronized")
    _PLAUSIBLE_NS = 1_767_225_600 * 1_000_000_000  # 2026-01-01: this program did not exist earlier

    def __init__(self) -> None:
        self.boot_id = read_boot_id()
        self._state_until_ns = 0
        self._state = Clock.UNSET

    def now(self) -> Instant:
        """The present moment."""
        return self.at(time.monotonic_ns())

    def at(self, mono_ns: int) -> Instant:
        """The moment `mono_ns` of this boot."""
        present_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        if present_ns >= self._state_until_ns:  # a stat() each 10 s, not one an event
            self._state = Clock.SYNCED if self._SYNCED.exists() else Clock.HOLDOVER
            self._state_until_ns = present_ns + 10_000_000_000
        state = self._state if wall_ns >= self._PLAUSIBLE_NS else Clock.UNSET
        return Instant(self.boot_id, mono_ns, wall_ns - (present_ns - mono_ns), state)


def read_boot_id() -> str:
    """The kernel's name for this boot, shortened to 12 hex digits."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", "")[:12]
