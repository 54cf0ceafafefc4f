"""Points that are spoken of must be there; limits must be in order."""

import itertools
from collections.abc import Mapping
from typing import Any, Final

from edge_agent.config.site import Item, Site, join, nearest

# of one point, as far as they are written
_ASCENDING: Final = (
    *("range_low", "alarm_low_low", "alarm_low", "prealarm_low"),
    *("prealarm_high", "alarm_high", "alarm_high_high", "range_high"),
)
_WATER_POINTS: Final = (
    *("pressure", "flow", "temperature", "tilt", "cap", "water", "level", "flushing"),
    *("pump", "pump_fault", "pump_auto", "pump_power"),
)
_KNOWN_SHOWN: Final = 8
_ALSO_TELL: Final = ("linkage", "patrol")  # what tells centres of points, and has no [[point]]s


def check_points(site: Site) -> None:
    """Every point that is named belongs to a source of the site; limits are used, and in order."""
    _check_names(site)
    _check_use(site)
    for limits in site.items("point.limits"):
        values = limits.values
        for low, high in disordered(values):
            site.error("order_of_limits", limits, low, low=low, high=high)
        if values.get("n", 1) > values.get("m", 1) and not {"n", "m"} & (site.table(limits).keys() - values.keys()):
            site.error("n_over_m", limits, "n", n=values.get("n", 1), m=values.get("m", 1))


def disordered(limits: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of limits that must ascend and do not."""
    written = [name for name in _ASCENDING if name in limits]
    return [(low, high) for low, high in itertools.combinations(written, 2) if limits[low] >= limits[high]]


class _Named:
    """The sources of the site, and a word where a point belongs to none of them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        sections = ("panel", "bus.device", "mqtt.device", "receiver", "receiver.device")
        self._sources = {item.id for name in sections for item in site.items(name)}
        self._contacts = {item.id for item in site.items("contact")}
        self._known = sorted(name for name in self._sources | self._contacts if name)

    def check(self, point: str, item: Item, key: str, *index: int) -> None:
        """Warn if `point`, the value of `key`, or the `index`th of its values, cannot be there."""
        if not point or self._exists(point) or self._site.is_broken:
            return
        near = nearest(point.partition("/")[0].rstrip("*"), self._known)
        at, known = self._site.origin((*item.path, key, *index)), ", ".join(self._known[:_KNOWN_SHOWN])
        label = join(item.label, key)
        self._site.findings.warning("unknown_point", at, label, value=point, nearest=near, known=known)

    def _exists(self, point: str) -> bool:
        head, slash, _ = point.removesuffix("*").partition("/")
        if slash:
            return head in self._sources
        if point.endswith("*"):
            return any(name.startswith(head) for name in self._known)
        return head in self._contacts


def _check_names(site: Site) -> None:
    named = _Named(site)
    others = {*_ALSO_TELL, *(water.id for water in site.items("water"))}
    for rule in site.items("gb26875_point"):
        for index, point in enumerate(rule.values.get("points", ())):
            if point.removesuffix("*").partition("/")[0] not in others:
                named.check(point, rule, "points", index)
    for item in site.items("point"):
        named.check(item.id, item, "id")
    for zone in site.items("zone"):
        for index, point in enumerate(zone.values.get("points", ())):
            named.check(point, zone, "points", index)
    for water in site.items("water"):
        for key in _WATER_POINTS:
            named.check(water.values.get(key, ""), water, key)
    for output in site.items("linkage.output"):
        for key in ("only_if", "never_if"):
            for point in output.values.get(key, ()):
                named.check(point, output, key)
        named.check(output.values.get("override", ""), output, "override")


def _check_use(site: Site) -> None:
    panels = {item.id for item in site.items("panel")}
    contacts = {item.id for item in site.items("contact")}
    for item in site.items("point"):
        for limits in item.children.get("point.limits", []):
            if item.id.partition("/")[0] in panels:  # a panel's point says words, not values
                site.warning("not_used", limits, "", name="[point.limits]", why="panel")
            for key in ("stuck_s", "missing_s"):
                if item.id in contacts and key in limits.values:
                    site.warning("not_used", limits, key, name=key, why="contact")
