"""One point and its rules."""

from collections.abc import Callable, Sequence

from drivers.messages import PointSpec, Reading
from edge_agent.model import Event
from edge_agent.points.table import PointTable

S = 1_000_000_000
DAY = 86_400
LEAK = "meter1/leak_ma"
Make = Callable[..., PointTable]


def spec(point: str = LEAK, unit: str = "mA", kind: str = "electrical", **limits: float) -> PointSpec:
    return PointSpec(id=point, name_zh="漏电", name_en="leakage", unit=unit, kind=kind, limits=limits)


def run(
    table: PointTable, values: Sequence[float], *, every_s: float = 1, from_s: float = 0, point: str = LEAK
) -> list[Event]:
    """One value after the other, every deadline met on time."""
    events: list[Event] = []
    for number, value in enumerate(values):
        now_ns = round((from_s + number * every_s) * S)
        while (due_ns := table.next_deadline_ns()) is not None and due_ns <= now_ns:
            events += table.tick(due_ns)
        events += table.feed([Reading(point, value, now_ns)], now_ns)
    return events


def told(events: Sequence[Event]) -> list[tuple[str, bool, object]]:
    return [(event.kind.value, event.active, event.fields.get("rule", event.fields.get("reason"))) for event in events]
