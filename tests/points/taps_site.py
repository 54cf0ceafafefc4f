"""A table with the alarm machine behind it, for tests of several taps on one panel."""

from collections.abc import Callable, Sequence

from drivers.messages import Observation, PanelEvent, Reading
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.model import Event, Kind
from edge_agent.points.table import PointTable
from tests.points.table_bench import S

HOLD = 30


class Site:
    """A table with the alarm machine behind it: what a person would see."""

    def __init__(self, table: PointTable, new_event: Callable[..., Event] | None = None) -> None:
        self.table = table
        self.machine = AlarmMachine(new_event=new_event or table._new_event)
        self.events: list[Event] = []

    def run(self, now_s: float) -> "Site":
        """Every deadline until then is met on time."""
        now_ns = round(now_s * S)
        while (due_ns := self.table.next_deadline_ns()) is not None and due_ns <= now_ns:
            self._take(self.table.tick(due_ns))
        return self

    def feed(self, at_s: float, *seen: Observation) -> list[Event]:
        self.run(at_s)
        return self._take(self.table.feed(seen, round(at_s * S)))

    def say(self, at_s: float, point: str, word: str = "fire", raw: bytes = b"", **fields: object) -> list[Event]:
        return self.feed(at_s, PanelEvent(point, word, round(at_s * S), fields, raw))

    def relay(self, at_s: float, closed: bool) -> list[Event]:
        return self.feed(at_s, Reading("relay1", closed, round(at_s * S)))

    def _take(self, events: Sequence[Event]) -> list[Event]:
        for event in events:
            self.machine.feed(event, event.at.mono_ns)
        self.events += events
        return list(events)

    @property
    def fires(self) -> list[str]:
        """What stands in the list of alarms with its condition there."""
        return sorted(
            a.point for a in self.machine.alarms() if a.kind in (Kind.FIRE, Kind.FIRE_MANUAL, Kind.UNKNOWN) and a.active
        )

    @property
    def raised(self) -> list[str]:
        """Every fire that was told, in order."""
        return [event.point for event in self.events if event.active and event.grade == 1]

    @property
    def faults(self) -> list[tuple[str, bool]]:
        return [(event.point, event.active) for event in self.events if event.kind is Kind.FAULT]
