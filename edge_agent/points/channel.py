"""One question asked of one point: is it in alarm? Of a contact, of a value over a limit; each answer keeps its samples."""

import collections
from collections.abc import Iterator, Sequence

from edge_agent.model import Kind
from edge_agent.points.filters import Debounce, NofM, Settled
from edge_agent.points.limits import PointLimits
from edge_agent.points.questions import Asserted, Baseline, Level, Question, Rate

SAMPLES = 16  # of one decision
SAMPLES_OLD_NS = 60_000_000_000  # what came before a pause this long has nothing to do with the next decision

Sample = tuple[int, float | bool]


class Channel:
    """Pure: values in, settled levels out. Several channels of a point may have the same kind."""

    __slots__ = ("_samples", "_votes", "debounce", "kind", "over", "point", "question")

    def __init__(self, point: str, kind: Kind, question: Question, limits: PointLimits, *, on_delay_s: float) -> None:
        self.point, self.kind, self.question = point, kind, question
        self.over = False
        self.debounce = Debounce(on_ns=round(on_delay_s * 1e9), off_ns=round(limits.off_delay_s * 1e9))
        self._votes = NofM(limits.n, limits.m) if limits.m > 1 else None
        self._samples: collections.deque[Sample] | None = None

    @property
    def active(self) -> bool:
        """The settled answer."""
        return self.debounce.level

    @property
    def rule(self) -> str:
        """The name of its question."""
        return self.question.rule

    @property
    def quiet(self) -> bool:
        """Nothing is wrong, nor about to be, nor just over."""
        return not self.over and not self.debounce.level and self.debounce.deadline_ns is None

    def feed(self, value: float | bool, at_ns: int, before: Sample | None) -> Sequence[Settled]:
        """Take one value; `before` is the one before it, kept as the sample a decision started from."""
        self.over = over = self.question.over(value, at_ns, was=self.over)
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


def channels_of(point: str, kind: Kind | None, limits: PointLimits, *, contact: bool) -> tuple[Channel, ...]:
    """The questions asked of a point: none (telemetry only), one, or many. The gravest kind comes first."""
    # limits without a kind: somebody wants to know, so it is not dropped
    found = [*_of_limits(point, kind or Kind.SUPERVISORY, limits, alarm=True)]
    found += _of_limits(point, Kind.PREALARM, limits, alarm=False)
    if not found and contact and kind is not None:
        found.append(Channel(point, kind, Asserted(), limits, on_delay_s=limits.on_delay_s))
    return tuple(found)


def _of_limits(point: str, kind: Kind, limits: PointLimits, *, alarm: bool) -> Iterator[Channel]:
    def channel(question: Question, on_delay_s: float = limits.on_delay_s) -> Channel:
        return Channel(point, kind, question, limits, on_delay_s=on_delay_s)

    def level(rule: str, high: float | None, low: float | None) -> Question | None:
        if high is None and low is None:
            return None
        return Level(rule, high=high, low=low, hysteresis=limits.hysteresis)

    def rate(per_min: float | None, *, fall: bool = False) -> Question | None:
        if per_min is None:
            return None
        return Rate(per_min=per_min, window_s=limits.rate_window_s, hysteresis=limits.hysteresis, fall=fall)

    if alarm:
        questions = [
            level("limit", limits.alarm_high, limits.alarm_low),
            rate(limits.alarm_rise_per_min),
            rate(limits.alarm_fall_per_min, fall=True),
        ]
        if (extreme := level("extreme", limits.alarm_high_high, limits.alarm_low_low)) is not None:
            yield channel(extreme, limits.extreme_on_delay_s)
    else:
        questions = [level("limit", limits.prealarm_high, limits.prealarm_low), rate(limits.prealarm_rise_per_min)]
    yield from (channel(question) for question in questions if question is not None)
    if not alarm and limits.baseline_k is not None:
        baseline = Baseline(
            k=limits.baseline_k,
            least=limits.baseline_least,
            learn_s=limits.baseline_learn_s,
            round_=limits.baseline_round,
        )
        yield channel(baseline, limits.baseline_on_delay_s)
