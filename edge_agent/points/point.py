"""One point as the table knows it: its last value, what is asked of it, and why it cannot be believed or read."""

from drivers.messages import PointSpec
from edge_agent.model import Kind
from edge_agent.points.channel import Channel
from edge_agent.points.derived import Bound
from edge_agent.points.limits import PointLimits
from edge_agent.points.panel import source_of
from edge_agent.points.questions import Baseline
from edge_agent.points.telemetry import Kept

CONTACTS = "contacts"  # the source of points whose id names none
NUMBER_MAX = 1e300  # past it, as for what is no number at all, the device has no value


class Outage:
    """A point that cannot be read."""

    __slots__ = ("point", "reason", "told")

    def __init__(self, point: "PointState", reason: str) -> None:
        self.point, self.reason, self.told = point, reason, False


class Silence:
    """A point that must be heard of within `limit_ns`: the moment it is looked at next is in the table's deadlines."""

    __slots__ = ("limit_ns", "point")

    def __init__(self, point: "PointState", limit_ns: int) -> None:
        self.point, self.limit_ns = point, limit_ns


class PointState:
    """State and rules of one point; `PointTable` makes events of what they find."""

    __slots__ = (
        *(
            "at_ns",
            "baseline",
            "channels",
            "feeds",
            "high_end",
            "id",
            "kept",
            "kind",
            "low_end",
            "moved_ns",
            "name",
            "outage",
        ),
        *("silence", "source", "stuck", "stuck_ns", "unit", "value"),
    )

    def __init__(self, spec: PointSpec, name: str, channels: tuple[Channel, ...], limits: PointLimits) -> None:
        self.id, self.name, self.unit = spec.id, name, spec.unit
        self.source = source_of(spec.id) if "/" in spec.id else CONTACTS
        self.channels = channels
        self.kind = channels[0].kind.value if channels else ""
        self.value: float | bool | None = None
        self.at_ns = 0
        self.kept: Kept | None = None
        self.outage: Outage | None = None
        self.feeds: list[Bound] = []  # rules that look at it
        self.low_end, self.high_end = _range(limits)
        told_of_changes = (
            self.source == CONTACTS
        )  # a wire of the board is read again and again, and told when it changes
        self.stuck_ns = 0 if limits.stuck_s is None or told_of_changes else round(limits.stuck_s * 1e9)
        self.moved_ns = 0  # since when it has been the value it is
        self.stuck = False  # told
        must_speak = limits.missing_s is not None and not told_of_changes
        self.silence = Silence(self, round((limits.missing_s or 0) * 1e9)) if must_speak else None
        asked = (channel.question for channel in channels)
        self.baseline = next((question for question in asked if isinstance(question, Baseline)), None)

    def learn(self, value: float, at_ns: int) -> None:
        """Let the baseline have a value, unless anything of the point is over, or about to be, or just was."""
        if self.baseline is None:
            return
        if all(channel.quiet for channel in self.channels):
            self.baseline.learn(value, at_ns)
        else:
            self.baseline.pause()

    def moves(self, value: float | bool, at_ns: int) -> bool | None:
        """Watch for a frozen value: True when it is found stuck now, False when it has moved again, else None."""
        if value != self.value:
            self.moved_ns = at_ns
            if self.stuck:
                self.stuck = False
                return False
        elif not self.stuck and at_ns - self.moved_ns >= self.stuck_ns:
            self.stuck = True
            return True
        return None

    @property
    def faulty(self) -> str | None:
        """Why it cannot be read or believed."""
        return self.outage.reason if self.outage is not None else "frozen" if self.stuck else None

    @property
    def untold(self) -> bool:
        """Whether no event has said so: it is too short yet, or its source's silence says it for all its points."""
        return self.outage is not None and not self.outage.told and not self.stuck

    def rules_of(self, kind: Kind) -> list[str]:
        """Which of its questions hold an alarm of this kind."""
        return [channel.rule for channel in self.channels if channel.kind is kind and channel.active]


def _range(limits: PointLimits) -> tuple[float, float]:
    """Where a value is believed. An end that some limit lies beyond is none: that limit could never be reached."""
    low, high = limits.range_low, limits.range_high
    lows = (limits.prealarm_low, limits.alarm_low, limits.alarm_low_low)
    highs = (limits.prealarm_high, limits.alarm_high, limits.alarm_high_high)
    if low is None or any(limit <= low for limit in lows if limit is not None):
        low = -NUMBER_MAX
    if high is None or any(limit >= high for limit in highs if limit is not None):
        high = NUMBER_MAX
    return low, high
