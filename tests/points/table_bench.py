"""What is said to a table of points, and what it tells."""

from collections.abc import Callable, Sequence

from drivers.messages import PanelEvent, PointSpec, Reading
from edge_agent.model import Event
from edge_agent.points.table import PointTable

MS, S = 1_000_000, 1_000_000_000
Make = Callable[..., PointTable]


def contact(kind: str = "fire", **limits: float) -> PointSpec:
    limits = limits or {"on_delay_s": 0.05, "off_delay_s": 0.5}
    return PointSpec(id="pump-room", name_zh="水泵房", name_en="pump room", kind=kind, limits=limits)


def value(point: str = "meter1/leak_ma", **limits: float) -> PointSpec:
    return PointSpec(id=point, name_zh="漏电", name_en="leakage", unit="mA", kind="electrical", limits=limits)


def told(events: Sequence[Event]) -> list[tuple[str, str, bool]]:
    return [(event.kind.value, event.point, event.active) for event in events]


def say(
    table: PointTable, word: str, point: str = "panel1/1-027", at_ns: int = 0, raw: bytes = b"", **fields: object
) -> list[Event]:
    return table.feed([PanelEvent(point, word, at_ns, fields, raw)], at_ns)


def replay(table: PointTable, edges: Sequence[tuple[int, bool]], end_ns: int, point: str = "pump-room") -> list[Event]:
    """Edges in order, every deadline met on time, until `end_ns`."""
    events: list[Event] = []

    def until(now_ns: int) -> None:
        while (due_ns := table.next_deadline_ns()) is not None and due_ns < now_ns:
            events.extend(table.tick(due_ns))

    for at_ns, level in edges:
        until(at_ns)
        events.extend(table.feed([Reading(point, level, at_ns)], at_ns))
    until(end_ns)
    return events
