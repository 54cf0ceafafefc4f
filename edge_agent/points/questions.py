"""What is asked of a value: is it past a limit, moving too fast, or unlike itself? Each answer comes without a delay. Pure.

A question is never told why it is asked and never sees a value that could not be read. Times are monotonic ns.
"""

import collections
import math
from collections.abc import Mapping
from typing import Final, Protocol

from edge_agent.points.filters import beyond

BUCKETS: Final = 15  # of one window of a rate
GAP_S: Final = 300.0  # what one value may teach at most: it says nothing of the hours in which nothing was read
TAU_S: Final = 7 * 86_400.0  # a week of its own past is what a circuit is compared with
BACK: Final = 0.75  # a value is like itself again once it is back by a quarter of the way to the mean


class Question(Protocol):
    """`rule` names it in the event; "" is a contact, whose value is the answer."""

    rule: str

    def over(self, value: float | bool, at_ns: int, *, was: bool) -> bool:
        """The raw answer to one value; `was` is the one before."""
        ...

    def fields(self) -> dict[str, object]:
        """What the decision stood on, for the event."""
        ...

    def forget(self) -> None:
        """The sensor was broken: what it said before is no past of what it says next."""
        ...


class Asserted:
    """A contact: closed, or whatever its normal position is not."""

    __slots__ = ()
    rule = ""

    def over(self, value: float | bool, at_ns: int, *, was: bool) -> bool:
        """The value itself."""
        return bool(value)

    def fields(self) -> dict[str, object]:
        """Nothing more to say."""
        return {}

    def forget(self) -> None:
        """It has no past."""


class Level:
    """At or past a limit, left by `hysteresis`."""

    __slots__ = ("high", "hysteresis", "low", "rule")

    def __init__(self, rule: str, *, high: float | None, low: float | None, hysteresis: float) -> None:
        self.rule, self.high, self.low, self.hysteresis = rule, high, low, hysteresis

    def over(self, value: float | bool, at_ns: int, *, was: bool) -> bool:
        """See `beyond`."""
        return beyond(value, high=self.high, low=self.low, hysteresis=self.hysteresis, was=was)

    def fields(self) -> dict[str, object]:
        """The limits."""
        limits = {"high": self.high, "low": self.low}
        return {"rule": self.rule} | {name: limit for name, limit in limits.items() if limit is not None}

    def forget(self) -> None:
        """It has no past."""


class Rate:
    """It rose (`fall`: fell) by `per_min` times the window within the window, however much sooner.

    The window is remembered as at most 15 extremes, so that one dip of a noisy sensor is no rise: of each fifteenth of the
    window the highest value stands for it (`fall`: the lowest).
    """

    __slots__ = ("_amount", "_fall", "_hysteresis", "_moved", "_past", "_window_ns", "per_min", "rule")

    def __init__(self, *, per_min: float, window_s: float, hysteresis: float, fall: bool = False) -> None:
        self.rule = "fall" if fall else "rise"
        self.per_min = per_min
        self._window_ns = round(window_s * 1e9)
        self._amount = per_min * window_s / 60
        self._hysteresis = hysteresis
        self._fall = fall
        self._past: collections.deque[tuple[int, int, float]] = collections.deque()  # fifteenth, when, extreme
        self._moved = 0.0

    def over(self, value: float | bool, at_ns: int, *, was: bool) -> bool:
        """Whether it has moved so far by now."""
        value = -float(value) if self._fall else float(value)
        past = self._past
        while past and at_ns - past[0][1] > self._window_ns:
            past.popleft()
        number = at_ns * BUCKETS // self._window_ns
        if past and number <= past[-1][0]:  # the same fifteenth, or a value that came late
            if value >= past[-1][2]:
                past[-1] = (past[-1][0], at_ns, value)
        else:
            past.append((number, at_ns, value))
        self._moved = value - min(extreme for _, _, extreme in past)
        return self._moved >= self._amount or (was and self._moved > self._amount - self._hysteresis)

    def fields(self) -> dict[str, object]:
        """How far it moved, and within what."""
        return {
            "rule": self.rule,
            "per_min": self.per_min,
            "window_s": self._window_ns / 1e9,
            "moved": round(self._moved, 6),
        }

    def forget(self) -> None:
        """Begin anew."""
        self._past.clear()


class Baseline:
    """Unlike itself: above the learned mean by `k` learned deviations, and by `least` in any case.

    It is silent until it has learned for `learn_s`. The mean is of all that was learned at first, then of about a week. Three
    numbers are all its memory, and the same values in the same order always give the same numbers.
    """

    __slots__ = ("_at_ns", "_k", "_learn_s", "_least", "_round", "learned_s", "mean", "variance")
    rule = "baseline"

    def __init__(self, *, k: float, least: float, learn_s: float, round_: int) -> None:
        self._k, self._least, self._learn_s, self._round = k, least, learn_s, round_
        self.learned_s = self.mean = self.variance = 0.0
        self._at_ns: int | None = None

    @property
    def limit(self) -> float:
        """What it must not reach."""
        return self.mean + max(self._k * math.sqrt(self.variance), self._least)

    @property
    def ready(self) -> bool:
        """Whether it has learned long enough to judge."""
        return self.learned_s >= self._learn_s

    def over(self, value: float | bool, at_ns: int, *, was: bool) -> bool:
        """Whether the value is unlike what was learned."""
        if not self.ready:
            return False
        limit = self.limit
        return value >= limit or (was and value > self.mean + BACK * (limit - self.mean))

    def learn(self, value: float, at_ns: int) -> None:
        """Take a value as normal. The caller knows that nothing is wrong with the point."""
        before_ns, self._at_ns = self._at_ns, at_ns
        passed_s = 0.0 if before_ns is None else min((at_ns - before_ns) / 1e9, GAP_S)
        if passed_s <= 0:
            return
        share = max(passed_s / (self.learned_s + passed_s), -math.expm1(-passed_s / TAU_S))
        away = value - self.mean
        self.mean += share * away
        self.variance = (1 - share) * (self.variance + share * away * away)
        self.learned_s += passed_s

    def pause(self) -> None:
        """What passes now is not learned, nor does it count as time."""
        self._at_ns = None

    def fields(self) -> dict[str, object]:
        """What it was compared with."""
        deviation = math.sqrt(self.variance)
        return {
            "rule": self.rule,
            "mean": _short(self.mean),
            "deviation": _short(deviation),
            "high": _short(self.limit),
        }

    def forget(self) -> None:
        """A week of past outlives a loose wire."""
        self.pause()

    def piece(self) -> dict[str, object]:
        """Its memory."""
        return {
            "round": self._round,
            "learned_s": round(self.learned_s),
            "mean": _short(self.mean),
            "variance": _short(self.variance),
        }

    def restore(self, piece: Mapping[str, object]) -> None:
        """Take the memory back, unless the site wants it learned anew."""
        names = ("learned_s", "mean", "variance")
        numbers = [value for name in names if isinstance(value := piece.get(name), int | float) and abs(value) < 1e300]
        if piece.get("round") == self._round and len(numbers) == len(names) and numbers[0] >= 0 and numbers[2] >= 0:
            self.learned_s, self.mean, self.variance = map(float, numbers)


def _short(value: float) -> float:
    return float(f"{value:.9g}")
