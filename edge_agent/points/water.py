"""Hydrants, test points and pump rooms: what the points that watch one of them mean together. Limits by building are data.

Pressure alone is judged by the preset of its building (standing pressure); this file is about what only several points can tell.
Sources: GB 50974-2014 and GB 55036-2022 (clauses as noted, read in public transcriptions), and choices of ours for delays.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from drivers.messages import PointSpec
from edge_agent.config.model import Point, Water
from edge_agent.points.derived import Above, Below, Derived, Either, Fire, Is, Rising, Term
from edge_agent.points.presets import PRESETS
from edge_agent.texts import text


@dataclass(frozen=True, slots=True, kw_only=True)
class Building:
    """What one kind of building asks of its hydrants, in kPa. `standing`: the preset of the least favourable point at rest."""

    standing: str
    flowing_low_kpa: float  # at the outlet while a pump feeds it
    clause: str
    confidence: str


def _building(standing: str, flowing_low_kpa: float, clause: str = "GB 50974-2014 7.4.12") -> Building:
    clause = f"{clause}: {flowing_low_kpa / 1000:.2f} MPa"
    return Building(standing=standing, flowing_low_kpa=flowing_low_kpa, clause=clause, confidence="H")


BUILDINGS: Final[Mapping[str, Building]] = {
    "municipal": _building("hydrant-municipal", 100.0, "GB 50974-2014 7.2.8, GB 55036-2022 3.0.3"),
    "over-100m": _building("hydrant-over-100m", 350.0),
    "class-1-public": _building("hydrant-class-1-public", 350.0),
    "high-rise": _building("hydrant-high-rise", 350.0),
    "hall-over-8m": _building("hydrant-multi-storey", 350.0),
    "multi-storey": _building("hydrant-multi-storey", 250.0),
    "factory": _building("hydrant-factory", 350.0),
    "factory-small": _building("hydrant-factory-small", 350.0),
    "sprinkler": _building("sprinkler-end", 50.0, "GB 55036-2022 4.0.5 (3)"),
}
OVER_KPA: Final = 700.0  # GB 50974-2014 7.4.12: over 0.70 MPa at the outlet nobody can hold the hose
FROST_DEGC: Final = 2.0  # near enough to freezing if water stands in it, or if ice presses
ICE_DEGC: Final = 0.0
FROST_KPA, FROST_S = 50.0, 1800.0
HOLD_S: Final = 10.0  # of a tilt or an open cap: a person leans against it
WATER_S: Final = 5.0
MANUAL_S: Final = 300.0  # a pump is switched to manual for its monthly run


def water_rules(water: Water) -> list[Derived]:
    """The rules of one place, as far as it has the points for them."""
    return [*_hydrant(water), *_pump(water)]


def with_buildings(points: Iterable[Point], waters: Iterable[Water]) -> list[Point]:
    """The site's points; a pressure that has no preset of its own takes that of its building."""
    found = {point.id: point for point in points}
    for water in waters:
        if water.pressure and water.building:
            point = found.get(water.pressure, Point(id=water.pressure))
            found[point.id] = replace(point, preset=point.preset or BUILDINGS[water.building].standing)
    return list(found.values())


def _rule(water: Water, name: str, kind: str, on_delay_s: float, *terms: Term) -> Derived:
    limits = {"on_delay_s": on_delay_s, "off_delay_s": water.off_delay_s}
    zh, en = (text(f"water.{name}", lang) for lang in ("zh", "en"))
    return Derived(PointSpec(id=f"{water.id}/{name}", name_zh=zh, name_en=en, kind=kind, limits=limits), terms)


def _hydrant(water: Water) -> Iterator[Derived]:
    w = water
    idle: tuple[Term, ...] = (Fire(on=False), *((Is(w.flushing, on=False),) if w.flushing else ()))
    if w.flow:
        yield _rule(w, "leak", "supervisory", w.leak_s, Above(w.flow, w.leak_lps, "L/s"), *idle)
    if w.flow and w.pressure:
        flows = Above(w.flow, w.leak_lps, "L/s")
        yield _rule(w, "over_pressure", "supervisory", HOLD_S, flows, Above(w.pressure, OVER_KPA, "kPa"))
    if w.water:
        yield _rule(w, "in_use", "supervisory", WATER_S, Is(w.water), *idle)
    if w.cap:
        yield _rule(w, "cap_open", "tamper", HOLD_S, Is(w.cap), *idle)
    if w.tilt:
        yield _rule(w, "tilted", "supervisory", HOLD_S, Above(w.tilt, w.tilt_deg, "deg", zero=w.tilt_zero_deg))
    if w.temperature:
        yield _rule(w, "freezing", "supervisory", 60.0, *_ice(w))
    if w.level and w.level_low_m is not None:
        yield _rule(w, "level_low", "supervisory", 30.0, Below(w.level, w.level_low_m, "m"))


def _ice(w: Water) -> tuple[Term, ...]:
    """Near freezing with water in it or with a pressure that rises; where neither can be known, frost is enough."""
    signs: list[Term] = [Is(w.water)] if w.water else []
    if w.pressure:
        signs.append(Rising(w.pressure, FROST_KPA, "kPa", FROST_S))
    if not signs:
        return (Below(w.temperature, ICE_DEGC, "degC"),)
    return Below(w.temperature, FROST_DEGC, "degC"), Either(tuple(signs))


def _pump(water: Water) -> Iterator[Derived]:
    w = water
    if w.pump_fault:
        yield _rule(w, "pump_fault", "fault", WATER_S, Is(w.pump_fault))
    if w.pump_auto:
        yield _rule(w, "pump_manual", "supervisory", MANUAL_S, Is(w.pump_auto, on=False))
    if w.pump_power:
        yield _rule(w, "pump_power", "mains_fault", WATER_S, Is(w.pump_power, on=False))
    if not w.pump:
        return
    yield _rule(w, "pump_running", "start", 1.0, Is(w.pump))
    if w.pressure and w.building:
        building = BUILDINGS[w.building]
        flowing = Below(w.pressure, building.flowing_low_kpa, "kPa")
        yield _rule(w, "pump_no_pressure", "fault", w.pump_s, Is(w.pump), flowing)
        standing = PRESETS[building.standing].limits["alarm_low"]
        yield _rule(w, "pump_idle", "fault", w.pump_s, Is(w.pump, on=False), Below(w.pressure, standing, "kPa"))
    if w.level and w.level_low_m is not None:
        yield _rule(w, "dry_run", "fault", HOLD_S, Is(w.pump), Below(w.level, w.level_low_m, "m"))
