"""The one place that asks what time it is."""

import ctypes
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from edge_agent.boot_times import BootTimes
from edge_agent.discipline import OFFERED, SANE_FROM_NS, SANE_TO_NS, Change, Discipline, Verdict
from edge_agent.model import Clock, Instant

VOUCHED_NS: Final = 30_000_000_000  # the uplink's word that the kernel is synchronised is good for this long
STATE_FRESH_NS: Final = 1_000_000_000  # the kernel is asked whether it is synchronised once a second, not once an event


class TimeSource(Protocol):
    """Live on a gateway, scripted in tests and in the simulation."""

    def now(self) -> Instant:
        """The present moment."""
        ...

    def at(self, mono_ns: int) -> Instant:
        """The moment of an earlier monotonic reading of this boot, with the wall time we believe it had."""
        ...


class SystemClock:
    """Kernel clocks. `synced` while the kernel says it is synchronised, `unset` outside of 2026..2100, else `holdover`."""

    # systemd-timesyncd touches this when it has set the clock; for where adjtimex() is not allowed
    _SYNCED = Path("/run/systemd/timesync/synchronized")

    def __init__(self) -> None:
        self.boot_id = read_boot_id()
        self._asked_until_ns = 0
        self._synced = False

    def now(self) -> Instant:
        """The present moment."""
        return self.at(time.monotonic_ns())

    def at(self, mono_ns: int) -> Instant:
        """The moment `mono_ns` of this boot."""
        present_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        if present_ns >= self._asked_until_ns:
            said = kernel_synced()
            self._synced = self._SYNCED.exists() if said is None else said
            self._asked_until_ns = present_ns + STATE_FRESH_NS
        state = Clock.UNSET
        if SANE_FROM_NS <= wall_ns <= SANE_TO_NS:
            state = Clock.SYNCED if self._synced else Clock.HOLDOVER
        return Instant(self.boot_id, mono_ns, wall_ns - (present_ns - mono_ns), state)


class LabelClock:
    """A TimeSource over another one, with an own idea of the wall time: what centres and networks say, within bounds."""

    def __init__(self, kernel: TimeSource) -> None:
        self._kernel = kernel
        self._discipline = Discipline()
        self._vouched_until_ns = 0
        self.boots = BootTimes()
        self.boot_id = self.now().boot_id

    def now(self) -> Instant:
        """The present moment."""
        return self._label(self._kernel.now())

    def at(self, mono_ns: int) -> Instant:
        """The moment of an earlier monotonic reading of this boot."""
        return self._label(self._kernel.at(mono_ns))

    def _label(self, said: Instant) -> Instant:
        synced = said.clock is Clock.SYNCED or said.mono_ns < self._vouched_until_ns
        self._discipline.kernel(said.mono_ns, said.wall_ns, synced=synced)
        wall_ns = said.mono_ns + self._discipline.offset_ns(said.mono_ns)
        state = self._discipline.state(said.mono_ns)
        if wall_ns == said.wall_ns and state is said.clock:
            return said
        return Instant(said.boot_id, said.mono_ns, wall_ns, state)

    def vouch(self) -> None:
        """Another process of this machine sees that the kernel's clock is synchronised: the core's hardened unit may not ask."""
        self._vouched_until_ns = self._kernel.now().mono_ns + VOUCHED_NS

    def offer(self, source: str, wall_ns: int, at_mono_ns: int, uncertainty_ns: int) -> Verdict:
        """A centre ("centre") or a network ("nitz") says what time it was at a monotonic moment. Never raises."""
        return self._discipline.offer(source, wall_ns, at_mono_ns, uncertainty_ns, self.now().mono_ns)

    def take_changes(self) -> list[Change]:
        """What has changed since the last call, each worth an event. The boot's time is learned from what is right."""
        changes = self._discipline.take_changes(self.now().mono_ns)
        for change in changes:
            if change.source != "kernel" and change.after is Clock.SYNCED:
                self.boots.learn(self.boot_id, change.offset_ns, change.at_ns, change.source)
        return changes

    def restore(self, state: Mapping[str, bytes]) -> None:
        """Take back what was learned of boots before the restart, of this one too."""
        self.boots.restore(state)
        known = self.boots.get(self.boot_id)
        if known is not None and known.source in OFFERED:
            self._discipline.resume(known.source, known.offset_ns, known.at_ns)

    def restamp(self, at: Instant) -> Instant:
        """The same moment with the wall time that is known by now, marked if that is another."""
        return self.boots.restamp(at)

    @property
    def source(self) -> str:
        """Which word the label stands on: kernel, nitz, centre, ntp."""
        return self._discipline.source


class _Timex(ctypes.Structure):
    """The beginning of struct timex (adjtimex(2)); the kernel fills the rest too."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_STA_UNSYNC: Final = 0x40
_adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)


def kernel_synced() -> bool | None:
    """Whether the kernel's clock is synchronised, whoever does it (timesyncd, chrony, ntpd). None: we may not ask."""
    asked = _Timex()  # modes 0: only read, which needs no privilege
    if _adjtimex is None or _adjtimex(ctypes.byref(asked)) < 0:
        return None
    return not asked.status & _STA_UNSYNC


def read_boot_id() -> str:
    """The kernel's name for this boot, shortened to 12 hex digits."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", "")[:12]
