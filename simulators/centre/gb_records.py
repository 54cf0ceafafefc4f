"""What a device said over GB/T 26875.3, as events and telemetry of the centre's database. Pure."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from drivers.codecs.gb26875 import Adu, Dialect, Frame, show_device
from drivers.codecs.gb26875.events import events_of, gravest
from drivers.codecs.gb26875.meaning import object_fields
from drivers.codecs.gb26875.objects import AnalogueValue, InformationObject
from drivers.codecs.gb26875.tables import TYPE_NAMES
from drivers.codecs.gb26875.times import Time
from drivers.vocabulary import EVENTS
from edge_agent.model import KINDS, Kind
from simulators.centre.check import Object

EPOCH: Final = "gb26875"  # the protocol has no epochs of its own
_CHINA: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Record:
    """One information object as the database takes it."""

    stream: str
    body: Object


def gateway_name(source: bytes, dialect: Dialect) -> str:
    """What the database calls a device."""
    return f"gb-{show_device(source, dialect.device_address)}"


def records_of(frame: Frame, unit: Adu, dialect: Dialect, received_ns: int) -> Iterator[Record]:
    """Every object of an upload, the packet itself with the first.

    The `id` of an object is its content, so one that is sent under two serial numbers is one event. One without a time of its own
    is known by when it came: a device whose clock is dead may well report the same fire twice.
    """
    recovered = dialect.recovery_of(unit.type) is not None
    raw = frame.encode().hex()
    for item in unit.objects:
        said = object_fields(item, dialect)
        body: Object = {
            "id": _id(unit, item, received_ns),
            "point": _point(said),
            "at": _instant(getattr(item, "time", None), received_ns),
            "gb26875": {"type": unit.type, "serial": frame.serial, "source_hex": frame.source.hex().upper(), **said},
        }
        if item is unit.objects[0]:
            body["raw"] = raw
        if unit.problems:
            body["problems"] = list(unit.problems)
        if isinstance(item, AnalogueValue):
            yield Record("telemetry", body | {"source": body["point"], "values": _values(said)})
            continue
        event = gravest(events_of(item, recovered=recovered))
        meaning = EVENTS[event] if event else None
        kind = meaning.kind if meaning else TYPE_NAMES.get(unit.type, "user_type")
        stream = KINDS[Kind(meaning.kind)].priority.name.lower() if meaning else "status"
        yield Record(stream, body | {"kind": kind, "active": meaning is not None and meaning.active})


def _id(unit: Adu, item: InformationObject, received_ns: int) -> str:
    # Of the object alone, not of the unit: what came with others the first time may come alone the second.
    came = "" if isinstance(getattr(item, "time", None), datetime) else received_ns
    return hashlib.sha256(f"{unit.type}/{item!r}/{came}".encode()).hexdigest()[:32]


def _point(said: Object) -> str:
    if "system_type" not in said:
        return "device"
    system = f"{said['system_type']}-{said['system_address']}"
    return f"{system}/{said['component_address_hex']}" if "component_address_hex" in said else system


def _values(said: Object) -> Object:
    name = f"type_{said['analog_type']}"
    return {name: said["value"] if said.get("value") is not None else said["analog_raw"]}


def _instant(at: Time | None, received_ns: int) -> Object:
    """The object's own time, or when it came where it has none that can be read."""
    known = isinstance(at, datetime)
    wall_ns = round(at.replace(tzinfo=_CHINA).timestamp()) * 10**9 if isinstance(at, datetime) else received_ns
    return {"boot": EPOCH, "mono_ns": 0, "wall_ns": wall_ns, "clock": "synced" if known else "unset"}
