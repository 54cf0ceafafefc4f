"""Rules over several points: what is true when all its terms are. The result is a point of its own, with delays. Pure.

An input that cannot be read is unknown. One false term is enough for false; without one, one unknown term makes the result
unknown: it keeps its state and nothing settles, for a missing value is never compared with anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from drivers.messages import PointSpec
from edge_agent.points.questions import Rate
from edge_agent.points.units import factor


class Inputs(Protocol):
    """What a rule may ask."""

    @property
    def fire(self) -> bool:
        """Whether any fire, gas or electrical alarm of the site is there now."""
        ...

    def value(self, point: str) -> float | bool | None:
        """The last value of a point, None while it cannot be read."""
        ...

    def unit(self, point: str) -> str:
        """Its unit, "" if it has none or is not known."""
        ...


Test = Callable[[Inputs, int], bool | None]


class Term(Protocol):
    """One part of a rule. `point` is what it looks at, "" for the site."""

    @property
    def point(self) -> str:
        """What it looks at."""
        ...

    def bind(self, inputs: Inputs) -> Test:
        """Make it ready to be asked. Raise ValueError if the point's unit measures something else."""
        ...


def _times(inputs: Inputs, point: str, unit: str) -> float:
    return factor(inputs.unit(point) or unit, unit)


@dataclass(frozen=True, slots=True)
class Above:
    """At least `limit` of `unit`. `zero`: so far away from it, to either side."""

    point: str
    limit: float
    unit: str
    zero: float | None = None

    def bind(self, inputs: Inputs) -> Test:
        """See Term."""
        times = _times(inputs, self.point, self.unit)

        def test(inputs: Inputs, at_ns: int) -> bool | None:
            value = inputs.value(self.point)
            if value is None:
                return None
            return (value * times if self.zero is None else abs(value * times - self.zero)) >= self.limit

        return test


@dataclass(frozen=True, slots=True)
class Below:
    """Under `limit` of `unit`."""

    point: str
    limit: float
    unit: str

    def bind(self, inputs: Inputs) -> Test:
        """See Term."""
        times = _times(inputs, self.point, self.unit)

        def test(inputs: Inputs, at_ns: int) -> bool | None:
            value = inputs.value(self.point)
            return None if value is None else value * times < self.limit

        return test


@dataclass(frozen=True, slots=True)
class Rising:
    """It rose by `by` of `unit` within `window_s`."""

    point: str
    by: float
    unit: str
    window_s: float

    def bind(self, inputs: Inputs) -> Test:
        """See Term."""
        times = _times(inputs, self.point, self.unit)
        rate = Rate(per_min=self.by * 60 / self.window_s, window_s=self.window_s, hysteresis=0.0)

        def test(inputs: Inputs, at_ns: int) -> bool | None:
            value = inputs.value(self.point)
            return None if value is None else rate.over(value * times, at_ns, was=False)

        return test


@dataclass(frozen=True, slots=True)
class Is:
    """A switch that is on, or off."""

    point: str
    on: bool = True

    def bind(self, inputs: Inputs) -> Test:
        """See Term."""

        def test(inputs: Inputs, at_ns: int) -> bool | None:
            value = inputs.value(self.point)
            return None if value is None else bool(value) is self.on

        return test


@dataclass(frozen=True, slots=True)
class Fire:
    """There is a fire on the site, or there is none."""

    on: bool = True
    point = ""

    def bind(self, inputs: Inputs) -> Test:
        """See Term."""
        return lambda inputs, at_ns: inputs.fire is self.on


@dataclass(frozen=True, slots=True)
class Either:
    """One of them is enough."""

    terms: tuple[Term, ...]
    point = ""

    def bind(self, inputs: Inputs) -> Test:
        """See Term."""
        tests = [term.bind(inputs) for term in self.terms]

        def test(inputs: Inputs, at_ns: int) -> bool | None:
            answers = [test(inputs, at_ns) for test in tests]
            return True if True in answers else None if None in answers else False

        return test


@dataclass(frozen=True, slots=True)
class Derived:
    """`spec` is the point that is true while all `terms` are."""

    spec: PointSpec
    terms: tuple[Term, ...]

    def looks_at(self) -> set[str]:
        """The points that move it; "" if the fires of the site do."""
        found: set[str] = set()
        left: list[Term] = list(self.terms)
        while left:
            term = left.pop()
            if isinstance(term, Either):
                left += term.terms
            else:
                found.add(term.point)
        return found


class Bound:
    """A rule with its inputs at hand."""

    __slots__ = ("_tests", "point")

    def __init__(self, rule: Derived, inputs: Inputs) -> None:
        self.point = rule.spec.id
        self._tests: Sequence[Test] = [term.bind(inputs) for term in rule.terms]

    def judge(self, inputs: Inputs, at_ns: int) -> bool | None:
        """True, false, or unknown. Every term is asked each time: a rate must see every value."""
        answers = [test(inputs, at_ns) for test in self._tests]
        return False if False in answers else None if None in answers else True
