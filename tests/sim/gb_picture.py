"""What a GB/T 26875.3 centre believes of a site, and what is so there.

A status is the whole picture of what it is of (docs/uplinks.md), so the last one that was told of a component, a system or the
device is what its centre shows, whether it came as an upload or answered a question. The bits are those of the standard (figures
6, 7 and 13), written down here once more: the agent's own table is what is looked at. A recovery is a cleared bit; a dialect that
tells it by a type of its own would need more here.

A change is told of the component alone (type 2). So a system's own bits, of the panel as a whole, must stand in its type 1; those
of its components may stand there, as long as they are so. The device's fire bit may be as old as the keep-alive.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from drivers.codecs.gb26875.objects import ComponentStatus, DeviceStatus, InformationObject, SystemStatus
from edge_agent.core import Core

Component = tuple[int, int, bytes]  # system type and address, component
System = tuple[int, int]
Standing = tuple[str, str, str]  # point, kind, source

_Key = TypeVar("_Key", Component, System, tuple[()])

FIRE, FAULT = 1 << 1, 1 << 2
FIRES: Final = ("fire", "fire_manual", "unknown", "gas", "electrical")
_STATUS: Final = dict.fromkeys(FIRES, FIRE) | {
    "fault": FAULT,
    "disabled": 1 << 3,
    "prealarm": 1 << 4,
    "supervisory": 1 << 4,
    "tamper": 1 << 4,
    "start": 1 << 5,
    "feedback": 1 << 6,
    "delay": 1 << 7,
    "mains_fault": 1 << 8,
    "battery_fault": 1 << 9,  # of a component bit 8, which has one for both
}
_DEVICE: Final = dict.fromkeys(("fault", "store", "worker", "tamper"), FAULT) | {
    "mains_fault": 1 << 3,
    "battery_fault": 1 << 4,
}
CHANNEL, LINE = 1 << 5, 1 << 6
_OWN_KINDS: Final = ("link", "store", "worker")
_WAYS_UP: Final = ("uplink", "link", "delivery")
NORMAL: Final = 1  # bit 0: normal operation, which says nothing of what stands


def standing(core: Core) -> Iterator[Standing]:
    """What the gateway itself holds for there: what its points latch, and the alarms of its list that are not over."""
    for row in core.points.rows():
        also = row.get("also")
        faulty = row["fault"] and not row.get("untold")  # else its source's silence is the fault, which is the line's
        kinds = [row["active"], *(also if isinstance(also, list) else ()), "fault" if faulty else None]
        yield from ((str(row["id"]), str(kind), str(row["source"])) for kind in kinds if kind)
    for alarm in core.alarms.alarms():
        if alarm.active:
            yield alarm.point, alarm.kind.value, alarm.source


class Picture:
    """By the last word on each."""

    def __init__(self) -> None:
        self.components: dict[Component, int] = {}
        self.systems: dict[System, int] = {}
        self.device = NORMAL

    def told(self, objects: Iterable[InformationObject]) -> None:
        """Statuses, as uploads or answers; everything else moves no picture."""
        for item in objects:
            if isinstance(item, ComponentStatus):
                self.components[item.system_type, item.system_address, bytes(item.address)] = item.status
            elif isinstance(item, SystemStatus):
                self.systems[item.system_type, item.system_address] = item.status
            elif isinstance(item, DeviceStatus):
                self.device = item.status

    def wrong(self, now: Iterable[Standing], place: Callable[[str, str], tuple[Component, bool]]) -> tuple[str, str]:
        """The invariant that does not hold and what is wrong, "" for nothing.

        `place` gives a point's component for a kind, and whether it is a panel as a whole.
        """
        components, own, device = _sorted(now, place)
        systems = dict(own)
        for (system_type, address, _), status in components.items():
            systems[system_type, address] = systems.get((system_type, address), 0) | status
        looks = [
            *_compared("component", self.components, {key: _of_component(bits) for key, bits in components.items()}),
            *_compared("system", {key: told & ~systems.get(key, 0) for key, told in self.systems.items()}, {}),
            *_compared("system", {key: self.systems.get(key, 0) & bits for key, bits in own.items()}, own),
            *_compared("device", {(): self.device}, {(): device}),
        ]
        return next(iter(sorted(looks)), ("", ""))


def _sorted(
    now: Iterable[Standing], place: Callable[[str, str], tuple[Component, bool]]
) -> tuple[dict[Component, int], dict[System, int], int]:
    """The bits of components, of panels as a whole, and of the device."""
    components: dict[Component, int] = {}
    own: dict[System, int] = {}
    device = 0
    for point, kind, source in now:
        if kind in _OWN_KINDS or source == "gateway":
            way_up = kind == "link" and point.partition("/")[0] in _WAYS_UP
            device |= (CHANNEL if way_up else LINE) if kind == "link" else _DEVICE.get(kind, 0)
            continue
        bits = _STATUS.get(kind, 0)
        component, is_panel = place(point, kind)
        if is_panel and kind not in FIRES:
            own[component[:2]] = own.get(component[:2], 0) | bits
        else:
            components[component] = components.get(component, 0) | bits
        device |= bits & FIRE
    return components, own, device


def _of_component(bits: int) -> int:
    return bits & 0xFF | (1 << 8 if bits & 3 << 8 else 0)


def _compared(what: str, told: dict[_Key, int], so: dict[_Key, int]) -> Iterator[tuple[str, str]]:
    for key in told.keys() | so.keys():
        there, here = told.get(key, 0) & ~NORMAL, so.get(key, 0)
        name = "-".join(part.hex() if isinstance(part, bytes) else str(part) for part in key)
        if here & ~there:
            yield "I1", f"bits {here & ~there:b} of {what} {name} stand here, and the GB centre was last told {there:b}"
        if there & ~here:
            yield "I6", f"the GB centre believes bits {there & ~here:b} of {what} {name}, and here stand {here:b}"
