"""Every point as people and centres see it."""

from collections.abc import Iterable, Iterator, Mapping

from edge_agent.model import Kind
from edge_agent.points.panel import PanelPoints, source_of
from edge_agent.points.point import PointState

_GRAVEST = {kind: rank for rank, kind in enumerate(Kind)}


def rows(points: Mapping[str, PointState], panels: PanelPoints) -> Iterator[dict[str, object]]:
    """`{id, name, kind, value, unit, active, also?, fault, untold?, at_ns, source}` of each; `active` is a kind or None, `also` are
    the others where there are several, `untold` is true of a fault that no event has told.

    One by one, each as it is when its turn comes: 5 000 at once would hold up an alarm.
    """
    every: dict[str, list[Kind]] = {}
    for name, kind, _, _ in panels.active():
        every.setdefault(name, []).append(kind)
    said = {name: min(kinds, key=_GRAVEST.__getitem__) for name, kinds in every.items()}
    told: dict[str, tuple[Kind, str, int]] = {}
    for name, kind, _, words, at_ns in panels.known():
        if name not in points and (name not in told or said.get(name) is kind):
            told[name] = kind, words, at_ns
    for point in list(points.values()):
        kinds = [channel.kind for channel in point.channels if channel.active]
        active = kinds[0] if kinds else said.get(point.id)
        yield {
            "id": point.id,
            "name": point.name,
            "kind": point.kind,
            "value": point.value if point.outage is None else None,
            "unit": point.unit,
            "active": active.value if active is not None else None,
            **_also(active, [*kinds, *every.get(point.id, ())]),
            "fault": point.faulty,
            **({"untold": True} if point.untold else {}),
            "at_ns": point.at_ns or None,
            "source": point.source,
        }
    for name, (kind, words, at_ns) in told.items():
        shown = said.get(name)
        yield {
            "id": name,
            "name": words,
            "kind": kind.value,
            "value": None,
            "unit": "",
            "active": shown.value if shown is not None else None,
            **_also(shown, every.get(name, ())),
            "fault": None,
            "at_ns": at_ns or None,
            "source": source_of(name),
        }


def _also(shown: Kind | None, kinds: Iterable[Kind]) -> dict[str, object]:
    rest = [kind.value for kind in dict.fromkeys(kinds) if kind is not shown]
    return {"also": rest} if rest else {}


def counts(points: Mapping[str, PointState], panels: PanelPoints) -> dict[str, int]:
    """`{total, active, faulty}`: how many points there are, are active, cannot be read or believed."""
    active = {point.id for point in points.values() if any(channel.active for channel in point.channels)}
    active.update(point for point, _, _, _ in panels.active())
    known = {point for point, _, _, _, _ in panels.known()}
    return {
        "total": len(points.keys() | known),
        "active": len(active),
        "faulty": sum(point.faulty is not None for point in points.values()),
    }
