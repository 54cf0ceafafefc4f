"""What a profile says of its values that only the agent can judge: words, units, kinds of event, limits."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from drivers.profile import Profile, ProfileFinding
from drivers.profile_events import values_of
from edge_agent.config.check.points import disordered
from edge_agent.config.schema import BY_NAME
from edge_agent.points.units import KNOWN_UNITS

# How a name that says its unit ends; single letters are left out, for they are phases too.
_ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "ma": ("mA",),
    "kw": ("kW",),
    "kwh": ("kWh",),
    "hz": ("Hz",),
    "kpa": ("kPa",),
    "mpa": ("MPa",),
    "percent": ("%", "%LEL"),
    "ppm": ("ppm",),
    "rpm": ("r/min",),
    "dbm": ("dBm",),
}
_ENDING: Final = re.compile(r"_([a-z]+)$")


def check_values(profile: Profile) -> list[ProfileFinding]:
    """Everything wrong or doubtful about the [[value]] tables of a profile whose tables compile."""
    return [finding for table in values_of(profile.data) for finding in _check(table)]


def _check(table: Mapping[str, object]) -> Iterator[ProfileFinding]:
    where = f"value {table.get('name')}"
    for lang in ("zh", "en"):
        words = table.get(lang)
        if not words:
            yield ProfileFinding("missing_words", {"key": f"{where}.{lang}"}, "warning")
        elif not isinstance(words, str) or not words.isprintable():
            yield ProfileFinding("bad_words", {"key": f"{where}.{lang}", "value": ascii(words)[:60]})
    yield from _check_unit(table, where)
    kind, kinds = table.get("kind", ""), BY_NAME["point"].keys["kind"].choices
    if kind and kind not in kinds:
        yield ProfileFinding(
            "unknown_kind", {"key": f"{where}.kind", "value": kind, "known": ", ".join(map(str, kinds))}
        )
    yield from _check_limits(table.get("limits"), where)


def _check_unit(table: Mapping[str, object], where: str) -> Iterator[ProfileFinding]:
    unit = table.get("unit", "")
    told: dict[str, object] = {"key": f"{where}.unit", "value": unit}
    if not isinstance(unit, str) or (unit and not unit.isprintable()):
        yield ProfileFinding("bad_words", {**told, "value": ascii(unit)[:60]})
        return
    ending = _ENDING.search(str(table.get("name", "")))
    meant = _ENDINGS.get(ending[1], ()) if ending else ()
    if unit and meant and unit not in meant:
        yield ProfileFinding("unit_differs", {**told, "name": table.get("name"), "meant": ", ".join(meant)})
    elif unit and unit not in KNOWN_UNITS:
        yield ProfileFinding("unknown_unit", {**told, "known": ", ".join(sorted(KNOWN_UNITS))}, "warning")


def _check_limits(limits: object, where: str) -> Iterator[ProfileFinding]:
    if not isinstance(limits, Mapping):
        return
    rules = BY_NAME["point.limits"].keys
    for name, value in limits.items():
        rule = rules.get(name)
        if rule is None or not isinstance(value, int | float) or isinstance(value, bool):
            continue  # the tables of the profile do not compile with it
        if (rule.low is not None and value < rule.low) or (rule.high is not None and value > rule.high):
            span = f"{rule.low:.10g}-{rule.high:.10g}" if rule.low is not None and rule.high is not None else ""
            yield ProfileFinding("bad_limit", {"key": f"{where}.limits.{name}", "value": value, "expected": span})
    for low, high in disordered(limits):
        yield ProfileFinding("order_of_limits", {"key": f"{where}.limits", "low": low, "high": high})
