"""What the wall clock is believed to be: an offset to the monotonic clock, and which word it stands on. Pure; time is an argument.

Only the label moves. Order, delays and deadlines are monotonic and never hear of it, and the kernel's clock is left to whoever has
the right to set it (docs/decisions/0010-time.md).
"""

from dataclasses import dataclass
from typing import Final

from edge_agent.model import Clock

SANE_FROM_NS: Final = 1_767_225_600 * 1_000_000_000  # 2026-01-01: this program did not exist earlier
SANE_TO_NS: Final = 4_102_444_800 * 1_000_000_000  # 2100-01-01
STEP_NS: Final = 60_000_000_000  # a correction by more than this needs two samples that agree
AGREE_NS: Final = 5_000_000_000  # GB 50440-2007: clocks within 5 s are the same clock
AGREE_WITHIN_NS: Final = 25 * 3600_000_000_000  # many centres say the time once a day
SLEW_NS: Final = 2_000_000_000  # a correction by at most this is spread out, so that the label never runs backwards
SLEW_DIVISOR: Final = 200  # 5 ms a second
FRESH_NS: Final = 86_400_000_000_000  # a sample is good for a day: a crystal of 50 ppm is off by 4 s by then
TOLD_NS: Final = 1_000_000_000  # a step of more than this is an event

RANKS: Final = {"kernel": 0, "nitz": 1, "centre": 2, "ntp": 3}
OFFERED: Final = ("nitz", "centre")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a sample. `code`: stepped, slewed, agrees; or out_of_range, differs_from_ntp, outranked, needs_second."""

    taken: bool
    code: str
    difference_ns: int  # sample minus label


@dataclass(frozen=True, slots=True)
class Change:
    """The clock's worth or its word is another, or the label was stepped. `offset_ns` is wall minus monotonic from now on."""

    before: Clock
    after: Clock
    source: str
    step_ns: int
    offset_ns: int
    at_ns: int


class Discipline:
    """Fed with what the kernel says at every look, and with what centres and networks offer."""

    def __init__(self) -> None:
        self.source = "kernel"
        self._state: Clock | None = None  # as last told
        self._offset_ns: int | None = None
        self._slew_from_ns = self._slew_start_ns = 0  # offset at the start of the slew, and when that was
        self._kernel_synced = False
        self._verified_ns = 0
        self._second: tuple[int, int] | None = (
            None  # a sample that waits for another: wall time and the moment it was that
        )
        self._changes: list[Change] = []

    def offset_ns(self, at_ns: int) -> int:
        """Wall minus monotonic at a monotonic moment."""
        target_ns = self._offset_ns or 0
        left_ns = target_ns - self._slew_from_ns
        moved_ns = max(0, at_ns - self._slew_start_ns) // SLEW_DIVISOR
        if abs(left_ns) <= moved_ns:
            return target_ns
        return self._slew_from_ns + (moved_ns if left_ns > 0 else -moved_ns)

    def state(self, at_ns: int) -> Clock:
        """How far the label can be trusted."""
        if self.source == "kernel":
            sane = SANE_FROM_NS <= at_ns + self.offset_ns(at_ns) <= SANE_TO_NS
            return Clock.HOLDOVER if sane else Clock.UNSET
        fresh = self._kernel_synced if self.source == "ntp" else at_ns - self._verified_ns <= FRESH_NS
        return Clock.SYNCED if fresh else Clock.HOLDOVER

    def kernel(self, mono_ns: int, wall_ns: int, *, synced: bool) -> None:
        """What the kernel's clock says now. It is believed while it is synchronised, or while nobody else has said anything."""
        offset_ns = wall_ns - mono_ns
        sane = SANE_FROM_NS <= wall_ns <= SANE_TO_NS
        self._kernel_synced = synced and sane
        if self._kernel_synced:
            self.source, self._verified_ns, self._second = "ntp", mono_ns, None
            self._set(offset_ns, mono_ns)
        elif self.source == "kernel":
            self._set(offset_ns, mono_ns)

    def resume(self, source: str, offset_ns: int, verified_ns: int) -> None:
        """Go on with what was known before a restart within this boot, unless the kernel knows better."""
        if self.source == "kernel":
            self.source, self._verified_ns = source, verified_ns
            self._offset_ns = self._slew_from_ns = offset_ns

    def offer(self, source: str, wall_ns: int, at_ns: int, uncertainty_ns: int, now_ns: int) -> Verdict:
        """A centre ("centre") or a network ("nitz") says that it was `wall_ns` at the monotonic moment `at_ns`."""
        offset_ns = wall_ns - at_ns
        difference_ns = offset_ns - self.offset_ns(now_ns)
        state = self.state(now_ns)
        if not SANE_FROM_NS <= wall_ns <= SANE_TO_NS:
            return Verdict(False, "out_of_range", difference_ns)
        within = abs(difference_ns) <= max(AGREE_NS, uncertainty_ns)
        if state is Clock.SYNCED and RANKS[self.source] > RANKS[source]:
            refused = "differs_from_ntp" if self.source == "ntp" else "outranked"
            return Verdict(within, "agrees" if within else refused, difference_ns)
        if abs(difference_ns) > STEP_NS and state is not Clock.UNSET and not self._is_second(wall_ns, at_ns):
            self._second = (wall_ns, at_ns)
            return Verdict(False, "needs_second", difference_ns)
        self._second = None
        if self.source != "kernel" and abs(difference_ns) <= uncertainty_ns:
            offset_ns, code = self.offset_ns(now_ns), "agrees"  # no better than what we have
        else:
            code = "slewed" if abs(difference_ns) <= SLEW_NS and state is not Clock.UNSET else "stepped"
        self.source, self._verified_ns = source, now_ns
        if code == "slewed":
            self._slew_from_ns, self._slew_start_ns = self.offset_ns(now_ns), now_ns
            self._offset_ns = offset_ns
        else:
            self._set(offset_ns, now_ns)
        self._look(now_ns)
        return Verdict(True, code, difference_ns)

    def take_changes(self, now_ns: int) -> list[Change]:
        """What has changed since the last call: each is worth an event."""
        self._look(now_ns)
        changes, self._changes = self._changes, []
        return changes

    def _is_second(self, wall_ns: int, at_ns: int) -> bool:
        """Whether it agrees with the one that waits, and is another: the same packet sent again says nothing more."""
        if self._second is None or self._second[0] == wall_ns:
            return False
        passed_ns = at_ns - self._second[1]
        return abs(wall_ns - self._second[0] - passed_ns) <= AGREE_NS and passed_ns <= AGREE_WITHIN_NS

    def _set(self, offset_ns: int, at_ns: int) -> None:
        """Step the label. What an NTP daemon slews is many steps too small to be told."""
        before = self._offset_ns
        step_ns = 0 if before is None else offset_ns - self.offset_ns(at_ns)
        self._offset_ns = self._slew_from_ns = offset_ns
        self._slew_start_ns = at_ns
        if abs(step_ns) > TOLD_NS:
            self._tell(step_ns, at_ns)

    def _look(self, at_ns: int) -> None:
        state = self.state(at_ns)
        if self._state is None and state is not Clock.SYNCED:
            self._state = state  # a start without a clock is no change of it
        elif state is not self._state:
            self._tell(0, at_ns)

    def _tell(self, step_ns: int, at_ns: int) -> None:
        before, self._state = self._state or Clock.UNSET, self.state(at_ns)
        self._changes.append(Change(before, self._state, self.source, step_ns, self._offset_ns or 0, at_ns))
        del self._changes[:-16]
