"""The whole map of a site as a table, and what is doubtful about it. Pure: what the core says comes as an argument."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_agent.uplink.gb26875.places import Place
from edge_agent.uplink.gb26875.plan import Writer
from edge_agent.uplink.gb26875.survey import BadRule


@dataclass(frozen=True, slots=True)
class Line:
    """One point and its place."""

    point: str
    name: str
    place: Place
    address: str  # the four bytes, hex


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing to look at. `code` is a key of edge_agent.texts.gbmap; an error makes two points one for the centre."""

    severity: str  # error | warning
    code: str
    point: str
    params: Mapping[str, object] = field(default_factory=dict)


def review(
    writer: Writer, rows: Sequence[Mapping[str, object]] | None, bad: Iterable[BadRule] = ()
) -> tuple[list[Line], list[Doubt]]:
    """Every point that is configured or that the core knows (`rows` of its `points`; None: it does not run)."""
    named = {point.id: point.name for point in writer.places.known()}
    named = dict.fromkeys(writer.places.written_down(), "") | named
    named |= {str(row["id"]): str(row.get("name") or "") for row in rows or ()}
    kinds = {str(row["id"]): str(row.get("kind") or "") for row in rows or ()}
    lines = []
    for point, name in named.items():
        place = writer.places.of(point, kind=kinds.get(point, ""), name=name)
        lines.append(Line(point, name, place, writer.address(place).hex()))
    doubts = [
        Doubt("warning", "bad_rule", rule.profile, {"index": rule.index, "key": rule.key, "value": rule.value})
        for rule in bad
    ]
    return lines, [*doubts, *_collisions(lines), *_doubts(writer, lines, rows or ())]


def _collisions(lines: Sequence[Line]) -> list[Doubt]:
    first: dict[tuple[object, ...], str] = {}
    found = []
    for line in lines:
        if not line.place.send or line.place.is_panel or not line.place.addressed:
            continue
        other = first.setdefault((*line.place.system, line.address), line.point)
        if other != line.point:
            found.append(Doubt("error", "collision", line.point, {"other": other}))
    return found


def _doubts(writer: Writer, lines: Sequence[Line], rows: Sequence[Mapping[str, object]]) -> list[Doubt]:
    values = {str(row["id"]): row.get("value") for row in rows}
    units = {point.id: point.unit for point in writer.places.known()}
    found = []
    for line in lines:
        place = line.place
        if not place.send:
            continue
        if not place.addressed and not place.is_panel:
            found.append(Doubt("warning", "no_address", line.point))
        elif place.defaults:
            found.append(Doubt("warning", "defaults", line.point, {"keys": ", ".join(place.defaults)}))
        value = values.get(line.point)
        if place.quantity is None and units.get(line.point):
            found.append(Doubt("warning", "no_quantity", line.point, {"unit": units[line.point]}))
        elif place.quantity is not None and type(value) in (int, float):
            number = float(str(value))
            if writer.raw_of(place, number) is None:
                params = {"value": f"{number:g}", "quantity": place.quantity}
                found.append(Doubt("warning", "out_of_range", line.point, params))
    return found
