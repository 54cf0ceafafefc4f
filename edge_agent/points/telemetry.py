"""Readings worth keeping: all of a source in one journal body, when its period is over or when one of them moved."""

import json
from collections.abc import Callable, Iterator

from edge_agent.model import Instant, encode_instant

MIN_GAP_NS = 1_000_000_000  # between two bodies of one source: a value that shivers must not write the card full


class Kept:
    """One reading's part in telemetry."""

    __slots__ = ("at_ns", "band", "deadband", "fresh", "kept", "name", "pack", "peak", "value")

    def __init__(self, name: str, pack: "Pack", deadband: float) -> None:
        self.name, self.pack, self.deadband = name, pack, deadband
        self.value: float | bool = 0.0
        self.at_ns = 0
        self.fresh = False  # read since it was last kept
        self.kept: float | bool = 0.0
        self.band = -1.0  # below zero: nothing was kept yet, so the first reading is a change
        self.peak = 0.0

    def feed(self, value: float | bool, at_ns: int) -> None:
        """Note one reading."""
        self.value, self.at_ns, self.fresh = value, at_ns, True
        if value - self.kept > self.band or self.kept - value > self.band:
            self.pack.changed[self] = None

    def keep(self) -> float | bool:
        """The value goes into a body now."""
        value = self.value
        self.kept, self.fresh = value, False
        size = abs(value)
        self.peak = max(self.peak, size)
        # near zero a fraction of the value is nothing, so the band never falls below that of a tenth of the largest kept
        self.band = self.deadband * max(size, self.peak / 10)
        return value


class Pack:
    """The readings of one source that are kept at one period."""

    __slots__ = ("changed", "due_ns", "kept_ns", "members", "period_ns", "source")

    def __init__(self, source: str, period_ns: int) -> None:
        self.source, self.period_ns = source, period_ns
        self.members: list[Kept] = []
        self.changed: dict[Kept, None] = {}  # in the order they changed
        self.due_ns: int | None = None
        self.kept_ns = -MIN_GAP_NS

    def take(self, now_ns: int) -> list[Kept]:
        """The readings due at `now_ns`: every fresh one when the period is over, else those that moved."""
        if self.due_ns is None or now_ns >= self.due_ns:
            due = [member for member in self.members if member.fresh]
            if not due:
                return []
            # Not `now + period`: sources that were first heard at different moments share a commit, and the card is written once.
            self.due_ns = (now_ns // self.period_ns + 1) * self.period_ns
        elif self.changed and now_ns - self.kept_ns >= MIN_GAP_NS:
            due = [member for member in self.changed if member.fresh]
        else:
            return []
        self.changed.clear()
        if due:
            self.kept_ns = now_ns
        return due


class Telemetry:
    """All packs of the gateway."""

    def __init__(self, instant: Callable[[int], Instant]) -> None:
        self._instant = instant
        self._packs: dict[tuple[str, int], Pack] = {}

    def join(self, source: str, name: str, *, telemetry_s: float, deadband: float) -> Kept:
        """A place for one reading. `name` is its key in the body."""
        period_ns = round(telemetry_s * 1e9)
        pack = self._packs.setdefault((source, period_ns), Pack(source, period_ns))
        member = Kept(name, pack, deadband)
        pack.members.append(member)
        return member

    def take(self, now_ns: int) -> Iterator[bytes]:
        """The journal bodies due now, one by one. `at` is the moment of the newest reading in each."""
        for pack in list(self._packs.values()):
            if due := pack.take(now_ns):
                at = self._instant(max(member.at_ns for member in due))
                values = {member.name: _short(member.keep()) for member in due}
                body = {"at": encode_instant(at), "source": pack.source, "values": values}
                yield json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _short(value: float | bool) -> float | bool:
    """Nine significant digits: no sensor has more, and 229.10000000000002 is not worth its bytes."""
    return float(f"{value:.9g}") if type(value) is float else value
