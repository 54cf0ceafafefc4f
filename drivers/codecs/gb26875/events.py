"""What an object tells in the words of `drivers.vocabulary`: the gravest first.

Bit 0 (normal or test) says nothing by itself: devices in the field send fires and all-is-well with and without it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.adu import Adu
from drivers.codecs.gb26875.objects import InformationObject
from drivers.codecs.gb26875.tables import (
    COMPONENT_BITS,
    DEVICE_BITS,
    DEVICE_FLAGS,
    FACILITY_FLAGS,
    SYSTEM_BITS,
    bits_of,
)

_CALL_POINT: Final = 23
_GAS: Final = frozenset({10, 11, 12, 13})  # 74 is a fire detector that smells combustion
_ELECTRICAL: Final = frozenset({16, 17, 18})

# Bit -> event and the event that ends it, gravest first.
_STATUS: Final[Mapping[str, tuple[str, str]]] = {
    "fire_alarm": ("fire", "fire_restore"),
    "supervisory": ("supervisory", "supervisory_restore"),
    "fault": ("fault", "fault_restore"),
    "main_power_fault": ("mains_fault", "mains_ok"),
    "backup_power_fault": ("battery_fault", "battery_ok"),
    "power_fault": ("fault", "fault_restore"),
    "bus_fault": ("fault", "fault_restore"),
    "channel_fault": ("fault", "fault_restore"),
    "line_fault": ("fault", "fault_restore"),
    "shielded": ("isolate", "isolate_restore"),
    "started": ("start", "stop"),
    "feedback": ("feedback", "feedback_restore"),
    "delayed": ("delay", "delay_restore"),
    "reset": ("reset", "reset"),
}
_FLAGS: Final[Mapping[str, str]] = {
    "manual_alarm": "fire_manual",
    "alarm_cleared": "fire_cancel",
    "reset": "reset",
    "mute": "silence",
    "confirm": "acknowledge",
    "self_test": "test",
    "test": "test",
}
_ORDER: Final = (
    "fire_manual",
    "fire",
    "gas_alarm",
    "electrical_alarm",
    *(event for pair in _STATUS.values() for event in pair),
    *_FLAGS.values(),
    "gas_restore",
    "electrical_restore",
)


def event_of(unit: Adu, *, recovered: bool = False) -> str | None:
    """The gravest event of a unit, None if it tells none. `recovered`: its type says that what it names is over."""
    return gravest(event for item in unit.objects for event in events_of(item, recovered=recovered))


def gravest(events: Iterable[str]) -> str | None:
    """The gravest of what `events_of` gave, None if it gave nothing."""
    return min(events, key=_ORDER.index, default=None)


def events_of(item: InformationObject, *, recovered: bool = False) -> Iterator[str]:
    """Every event one object tells."""
    if isinstance(item, kinds.FacilityOperation | kinds.DeviceOperation):
        names = FACILITY_FLAGS if isinstance(item, kinds.FacilityOperation) else DEVICE_FLAGS
        yield from (_FLAGS[flag] for flag in bits_of(item.flags, names)[0] if flag in _FLAGS)
    elif isinstance(item, kinds.SystemStatus | kinds.ComponentStatus | kinds.DeviceStatus):
        for bit in bits_of(item.status, _bits_of_kind(item))[0]:
            if bit in _STATUS:
                event = _STATUS[bit][recovered]
                yield _alarm_of(item.component_type, event) if isinstance(item, kinds.ComponentStatus) else event


def ended_by(item: InformationObject, stands: Iterable[str]) -> Iterator[str]:
    """What a status says is not so, given what it says is (`events_of`): the other events' ends, each once."""
    if not isinstance(item, kinds.SystemStatus | kinds.ComponentStatus | kinds.DeviceStatus):
        return
    component = item.component_type if isinstance(item, kinds.ComponentStatus) else 0
    active, told = set(stands), set[str]()
    for bit in _bits_of_kind(item):
        begin, end = (_alarm_of(component, event) for event in _STATUS.get(bit, ("reset", "reset")))
        if begin not in active and end != "reset" and end not in told:
            told.add(end)
            yield end


# Where the status word stands in an object of types 1, 2 and 21, and how long one can be.
_STATUS_AT: Final[Mapping[int, tuple[int, tuple[int, ...]]]] = {1: (2, (10,)), 2: (7, (46, 15)), 21: (0, (7,))}
_FIRE_BIT: Final = 0b10


def smells_of_fire(unit: Adu) -> bool:
    """Whether a status unit whose number and length do not add up has the fire bit where its objects would have it.

    Some makers' objects are longer than the figure's (16 bytes), and a count may be wrong: that must not hide a fire.
    """
    if "size" not in unit.problems or unit.type not in _STATUS_AT:
        return False
    (at, sizes), count, body = _STATUS_AT[unit.type], unit.raw[1], unit.raw[2:]
    whole = [size for size in sizes if not len(body) % size]  # then the count is wrong, else the size
    if not whole and count and not len(body) % count and len(body) // count > at:
        whole = [len(body) // count]
    return any(low & _FIRE_BIT for low in body[at :: (whole or sizes)[0]])


def _bits_of_kind(item: InformationObject) -> tuple[str, ...]:
    if isinstance(item, kinds.ComponentStatus):
        return COMPONENT_BITS
    return SYSTEM_BITS if isinstance(item, kinds.SystemStatus) else DEVICE_BITS


def _alarm_of(component_type: int, event: str) -> str:
    """What "fire alarm" means for a component: the protocol has one bit for fire, gas and electrical alarms."""
    if event not in ("fire", "fire_restore"):
        return event
    if component_type in _GAS:
        return "gas_alarm" if event == "fire" else "gas_restore"
    if component_type in _ELECTRICAL:
        return "electrical_alarm" if event == "fire" else "electrical_restore"
    return "fire_manual" if event == "fire" and component_type == _CALL_POINT else event
