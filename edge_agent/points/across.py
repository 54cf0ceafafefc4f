"""The rules over several points of one gateway, and what they may ask of the others."""

from collections.abc import Mapping, Sequence

from edge_agent.model import Event, Kind
from edge_agent.points.derived import Bound, Derived
from edge_agent.points.point import PointState

FIRES = frozenset((Kind.FIRE, Kind.FIRE_MANUAL, Kind.UNKNOWN))


class Across:
    """`points` is the table's own mapping: a point that is adopted later is seen too."""

    def __init__(self, points: Mapping[str, PointState]) -> None:
        self._points = points
        self._made: set[str] = set()
        self._feeds: dict[str, list[Bound]] = {}
        self._fires: set[tuple[str, Kind]] = set()

    @property
    def fire(self) -> bool:
        """Whether a fire of the site is there now."""
        return bool(self._fires)

    def value(self, point: str) -> float | bool | None:
        """The last value, None while it cannot be read."""
        state = self._points.get(point)
        return None if state is None or state.outage is not None else state.value

    def unit(self, point: str) -> str:
        """The unit of a point."""
        state = self._points.get(point)
        return "" if state is None else state.unit

    def add(self, rule: Derived) -> None:
        """Once its own point is in the table. Raise ValueError: an input in another unit, or one that is a rule's result."""
        inputs = rule.looks_at()
        if circular := inputs & (self._made | {rule.spec.id}):
            raise ValueError(f"{rule.spec.id} looks at the rule {min(circular)}")
        bound = Bound(rule, self)
        self._made.add(rule.spec.id)
        for name in inputs:
            self._feeds.setdefault(name, []).append(bound)
            if (state := self._points.get(name)) is not None:
                state.feeds = self._feeds[name]

    def of(self, point: str) -> list[Bound]:
        """The rules that look at a point."""
        return self._feeds.get(point, [])

    def note(self, event: Event) -> Sequence[Bound]:
        """Take notice of an event; return the rules to ask again because a fire began or the last one ended."""
        if event.kind not in FIRES:
            return ()
        was = self.fire
        self.note_fire(event.point, event.kind, active=event.active)
        return self._feeds.get("", ()) if was is not self.fire else ()

    def note_fire(self, point: str, kind: Kind, *, active: bool) -> None:
        """As `note`, of what was there before a restart."""
        if kind in FIRES:
            (self._fires.add if active else self._fires.discard)((point, kind))
