"""What packets say, as plain objects with the field names of tests/captures/gb26875*.json: for `edge-agent decode` and the centre.

`event` is the gravest thing a packet tells, in the words of `drivers.vocabulary`. Nothing is left out for being odd: what does
not add up is shown as hex with `problems`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.adu import EMPTY, Adu, decode_adu
from drivers.codecs.gb26875.dialect import STANDARD, Dialect
from drivers.codecs.gb26875.events import event_of
from drivers.codecs.gb26875.frame import Frame, Rejected
from drivers.codecs.gb26875.objects import InformationObject
from drivers.codecs.gb26875.reader import FrameReader
from drivers.codecs.gb26875.tables import (
    COMMAND_NAMES,
    COMPONENT_BITS,
    DEVICE_BITS,
    DEVICE_FLAGS,
    FACILITY_FLAGS,
    SYSTEM_BITS,
    Command,
    bits_of,
)
from drivers.codecs.gb26875.texts import read_text
from drivers.codecs.gb26875.times import Time, read_bcd, read_time, write_time

Fields = dict[str, object]

_FOREVER_NS: Final = 1 << 62
_FROM_DEVICE: Final[Mapping[int, bool]] = {
    Command.CONTROL: False,
    Command.SEND: True,
    Command.REQUEST: False,
    Command.RESPONSE: True,
}
# The dialect of captures whose dialect is not known: everything any of them uses is taken.
ANY: Final = Dialect(recovery="user-type", extra_commands=frozenset(range(128)))


def decode_packets(data: bytes) -> list[Fields]:
    """One object for each packet or refusal in `data`, read as the standard has it."""
    return _decode(data, STANDARD)


def decode_dialects(data: bytes) -> list[Fields]:
    """The same for a peer that deviates: reserved commands and recovery types are taken, and times shown as BCD too."""
    return _decode(data, ANY)


def decode_units(data: bytes) -> list[Fields]:
    """One object for a data unit without its packet."""
    unit = decode_adu(data)
    reason = next((problem for problem in unit.problems if problem in ("short", "reserved_type", "size")), "")
    head: Fields = {"reject": True, "why": reason} if reason else {}
    return [head | {"event": event_of(unit)} | unit_fields(unit) | {"raw": data.hex()}]


def _decode(data: bytes, dialect: Dialect) -> list[Fields]:
    reader = FrameReader(extra_commands=dialect.extra_commands)
    shown: list[Fields] = []
    for item in reader.feed(data, 0) + reader.tick(_FOREVER_NS):
        if isinstance(item, Frame):
            unit = decode_adu(item.adu, dialect, uplink=_FROM_DEVICE.get(item.command))
            event = event_of(unit, recovered=dialect.recovery_of(unit.type) is not None)
            shown.append({"event": event, **frame_fields(item, dialect), "raw": item.encode().hex()})
        else:
            shown.append(_refused(item, dialect))
    return shown


def _refused(item: Rejected, dialect: Dialect) -> Fields:
    readable = {} if item.frame is None else frame_fields(item.frame, dialect) | {"checksum": item.raw[-3]}
    return {"reject": True, "why": item.reason, **readable, "event": None, "raw": item.raw.hex()}


def frame_fields(frame: Frame, dialect: Dialect = STANDARD) -> Fields:
    """All of a packet; `adu` is None where it is empty."""
    unit = decode_adu(frame.adu, dialect, uplink=_FROM_DEVICE.get(frame.command))
    fields: Fields = {
        "serial": frame.serial,
        "version_major": frame.version,
        "version_user": frame.user_version,
        **_time("time", read_time(frame.sent, bcd=dialect.bcd), dialect, bcd_name="frame_time_bcd"),
        "source_hex": frame.source.hex().upper(),
        "source": int.from_bytes(frame.source, "little"),
        "destination_hex": frame.target.hex().upper(),
        "destination": int.from_bytes(frame.target, "little"),
        "adu_length": len(frame.adu),
        "command": frame.command,
        "command_name": COMMAND_NAMES.get(frame.command, "user_defined" if frame.command >= 128 else "reserved"),
        "checksum": frame.encode()[-3],
    }
    return fields | {"adu": None if unit.type == EMPTY else unit_fields(unit, dialect)}


def unit_fields(unit: Adu, dialect: Dialect = STANDARD) -> Fields:
    """All of a data unit."""
    fields: Fields = {"type": unit.type, "object_count": unit.raw[1] if len(unit.raw) > 1 else 0}
    if len(unit.objects) == 1 and isinstance(unit.objects[0], kinds.Opaque):
        fields |= {"objects": [], "body_hex": unit.objects[0].body.hex().upper()}
    else:
        fields["objects"] = [object_fields(item, dialect) for item in unit.objects]
    return fields | ({"problems": list(unit.problems)} if unit.problems else {})


def object_fields(item: InformationObject, dialect: Dialect = STANDARD) -> Fields:
    """All of an object, under the names of the captures."""
    fields: Fields = {}
    for name, value in ((name, getattr(item, name)) for name in item.__slots__):
        if name == "address":
            fields |= _address(value)
        elif name == "status":
            fields |= _bits("status", value, _STATUS_BITS[type(item)])
        elif name == "flags":
            fields |= _bits(
                "operation", value, DEVICE_FLAGS if isinstance(item, kinds.DeviceOperation) else FACILITY_FLAGS
            )
        elif name == "description":
            fields |= {"description_hex": value.hex().upper(), "description": read_text(value)}
        elif name == "text":
            fields |= {"length": len(value), "text": read_text(value)}
        elif name in ("time", "start"):
            fields |= _time("start_time" if name == "start" else "time", value, dialect)
        elif name == "trailing":
            fields |= {} if value is None else _time("trailing_time", value, dialect)
        elif name == "quantity":
            fields["analog_type"] = value
        elif name == "raw":
            fields["analog_raw"] = value
        elif name == "body":
            fields["body_hex"] = value.hex().upper()
        elif name == "minor":
            fields["version"] = f"{fields.pop('major')}.{value}"
        else:
            fields[_RENAMED.get(name, name)] = value
    if isinstance(item, kinds.AnalogueValue) and (quantity := dialect.quantity(item.quantity)) is not None:
        fields |= {"value": quantity.value_of(item.raw), "unit": quantity.unit}
    return fields


_STATUS_BITS: Final[Mapping[type, tuple[str, ...]]] = {
    kinds.SystemStatus: SYSTEM_BITS,
    kinds.ComponentStatus: COMPONENT_BITS,
    kinds.DeviceStatus: DEVICE_BITS,
}
_RENAMED: Final[Mapping[str, str]] = {"count": "record_count", "minutes": "timeout_min"}


def _address(raw: bytes) -> Fields:
    return {
        "component_address_hex": raw.hex().upper(),
        "component_address_u32_le": int.from_bytes(raw, "little"),
        "address_low_u16": int.from_bytes(raw[:2], "little"),
        "address_high_u16": int.from_bytes(raw[2:], "little"),
    }


def _bits(name: str, value: int, names: tuple[str, ...]) -> Fields:
    known, reserved = bits_of(value, names)
    return {f"{name}_raw": value, f"{name}_bits": known} | ({"reserved_bits": reserved} if reserved else {})


def _time(name: str, at: Time, dialect: Dialect, bcd_name: str = "") -> Fields:
    """The time, None where the tag is none. Then, and beside it where no dialect is known, its reading as BCD if it has one."""
    fields: Fields = {name: at.isoformat() if isinstance(at, datetime) else None}
    if isinstance(at, datetime) and dialect is not ANY:
        return fields
    in_bcd = read_bcd(write_time(at, bcd=dialect.bcd))
    if isinstance(in_bcd, datetime):
        fields[bcd_name or f"{name}_bcd"] = in_bcd.isoformat()
    elif isinstance(at, bytes):
        fields[f"{name}_hex"] = at.hex().upper()
    return fields
