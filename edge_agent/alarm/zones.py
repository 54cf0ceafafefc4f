"""Points that confirm each other: which zones a point is in, and who is in alarm there."""

from collections.abc import Iterable

from edge_agent.alarm.alarm import Key
from edge_agent.config.model import Zone


class Zones:
    """The zones of the site, with the fire-class alarms active in each."""

    def __init__(self, zones: Iterable[Zone], *, default_unacknowledged_s: float) -> None:
        self._default_ns = round(default_unacknowledged_s * 1e9)
        self._exact: dict[str, list[Zone]] = {}
        self._prefixes: list[tuple[str, Zone]] = []
        self._active: dict[str, dict[Key, None]] = {}
        self._single: dict[str, dict[Key, None]] = {}  # those still of grade 1
        for zone in zones:
            self._active[zone.id], self._single[zone.id] = {}, {}
            for pattern in zone.points:
                if pattern.endswith("*"):
                    self._prefixes.append((pattern[:-1], zone))
                else:
                    self._exact.setdefault(pattern, []).append(zone)

    def of(self, point: str) -> list[Zone]:
        """The zones a point is in."""
        found = {zone.id: zone for zone in self._exact.get(point, ())}
        found.update((zone.id, zone) for prefix, zone in self._prefixes if point.startswith(prefix))
        return list(found.values())

    def unacknowledged_ns(self, point: str) -> int | None:
        """How long an alarm of this point may stay unacknowledged; None is for ever."""
        zones = self.of(point)
        if not zones:
            return self._default_ns or None
        return min((round(zone.unacknowledged_s * 1e9) for zone in zones if zone.unacknowledged_s > 0), default=None)

    def note(self, key: Key, *, active: bool, grade: int) -> None:
        """A fire-class alarm is as it is now."""
        for zone in self.of(key[0]):
            for members, belongs in ((self._active, active), (self._single, active and grade < 2)):
                if belongs:
                    members[zone.id][key] = None
                else:
                    members[zone.id].pop(key, None)

    def confirmed_by(self, key: Key) -> tuple[str | None, list[Key]]:
        """Another point in alarm in a zone of this one, if any; and the alarms there that are still of grade 1."""
        other: str | None = None
        single: dict[Key, None] = {}
        for zone in self.of(key[0]):
            # at most a few kinds of the same point stand before another point
            found = next((member[0] for member in self._active[zone.id] if member[0] != key[0]), None)
            if found is not None:
                other = other or found
                single.update(self._single[zone.id])
        return other, list(single)
