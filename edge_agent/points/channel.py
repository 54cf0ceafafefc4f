"""One question asked of one point: is it in alarm? Of a contact, of a value over a limit; each answer keeps its samples."""

import collections
from collections.abc import Mapping, Sequence

from edge_agent.config.model import Limits
from edge_agent.model import Kind
from edge_agent.points.filters import Debounce, NofM, Settled, beyond

SAMPLES = 16  # of one decision
SAMPLES_OLD_NS = 60_000_000_000  # what came before a pause this long has nothing to do with the next decision

Sample = tuple[int, float | bool]


class Channel:
    """Pure: values in, settled levels out. `high` and `low` None: the value itself is the answer (a contact)."""

    __slots__ = ("_samples", "_votes", "debounce", "high", "hysteresis", "kind", "low", "over", "point")

    def __init__(self, point: str, kind: Kind, limits: Limits, *, high: float | None, low: float | None) -> None:
        self.point, self.kind = point, kind
        self.high, self.low, self.hysteresis = high, low, limits.hysteresis
        self.over = False
        self.debounce = Debounce(on_ns=round(limits.on_delay_s * 1e9), off_ns=round(limits.off_delay_s * 1e9))
        self._votes = NofM(limits.n, limits.m) if limits.m > 1 else None
        self._samples: collections.deque[Sample] | None = None

    @property
    def active(self) -> bool:
        """The settled answer."""
        return self.debounce.level

    def feed(self, value: float | bool, at_ns: int, before: Sample | None) -> Sequence[Settled]:
        """Take one value; `before` is the one before it, kept as the sample a decision started from."""
        if self.high is None and self.low is None:
            over = bool(value)
        else:
            over = beyond(value, high=self.high, low=self.low, hysteresis=self.hysteresis, was=self.over)
        self.over = over
        votes, debounce = self._votes, self.debounce
        level = over if votes is None else votes.feed(over)
        if over == debounce.level and level == debounce.level and debounce.deadline_ns is None:
            if self._samples is not None:
                self._samples.append((at_ns, value))
            return ()
        self._keep(value, at_ns, before)
        return debounce.feed(level, at_ns)

    def tick(self, now_ns: int) -> Sequence[Settled]:
        """What settled because nothing happened."""
        return self.debounce.tick(now_ns)

    def suspend(self) -> None:
        """The point cannot be read."""
        self.debounce.suspend()

    def latch(self) -> None:
        """It was active when the power went."""
        self.debounce.level = self.over = True
        if self._votes is not None:
            self._votes.level = True

    def take_samples(self, at_ns: int) -> list[list[object]]:
        """What the decision at `at_ns` stood on: `[[ms before or after it, value], ...]`, oldest first."""
        samples, self._samples = self._samples or (), None
        return [[round((sample_ns - at_ns) / 1e6, 3), value] for sample_ns, value in samples]

    def _keep(self, value: float | bool, at_ns: int, before: Sample | None) -> None:
        samples = self._samples
        if samples is None or at_ns - samples[-1][0] > SAMPLES_OLD_NS:
            samples = self._samples = collections.deque(maxlen=SAMPLES)
            if before is not None:
                samples.append(before)
        samples.append((at_ns, value))


def merge_limits(defaults: Mapping[str, float], site: Limits | None) -> Limits:
    """The profile's limits with those the site changed. Raise TypeError for a key that is no limit."""
    merged: dict[str, float | None] = dict(defaults)
    if site is not None:
        plain = Limits()
        for name in Limits.__slots__:
            if (value := getattr(site, name)) != getattr(plain, name):
                merged[name] = value
    for name in ("n", "m"):
        if (votes := merged.get(name)) is not None:
            merged[name] = int(votes)
    return Limits(**merged)  # type: ignore[arg-type]  # the values were floats of the same meaning


def channels_of(point: str, kind: Kind | None, limits: Limits, *, contact: bool) -> tuple[Channel, ...]:
    """The questions asked of a point: none (telemetry only), one, or alarm and prealarm."""
    found: list[Channel] = []
    if limits.alarm_high is not None or limits.alarm_low is not None:
        # limits without a kind: somebody wants to know, so it is not dropped
        found.append(Channel(point, kind or Kind.SUPERVISORY, limits, high=limits.alarm_high, low=limits.alarm_low))
    if limits.prealarm_high is not None:
        found.append(Channel(point, Kind.PREALARM, limits, high=limits.prealarm_high, low=None))
    if not found and contact and kind is not None:
        found.append(Channel(point, kind, limits, high=None, low=None))
    return tuple(found)
