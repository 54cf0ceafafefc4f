"""The application data unit (clause 8.3): a type, a number of objects, the objects. Decoding never raises and loses no byte."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from drivers.codecs.gb26875.dialect import ADU_BYTES_MAX, STANDARD, Dialect
from drivers.codecs.gb26875.layouts import LAYOUTS, Layout
from drivers.codecs.gb26875.objects import AnalogueValue, ComponentStatus, InformationObject, Opaque
from drivers.codecs.gb26875.times import read_bcd, read_binary

EMPTY: Final = -1  # the type of a unit of no bytes (registration and keep-alive of some peers)
DOWNLINK: Final = range(61, 128)
USER_TYPES: Final = range(128, 255)


class Adu(NamedTuple):
    """One data unit. `raw` is all of it. `problems` are ASCII codes; with any of the first three `objects` is one `Opaque`.

    short: the unit ends before its number of objects. reserved_type: a type the standard keeps for itself. size: number and
    length do not add up. count: no object, or more than the standard allows. direction: the type belongs to the other side.
    time: a tag that is no time. trailing_time: a time behind objects that have none. range: a value outside table 6.
    """

    type: int
    objects: tuple[InformationObject, ...]
    raw: bytes
    problems: tuple[str, ...] = ()


def decode_adu(adu: bytes, dialect: Dialect = STANDARD, *, uplink: bool | None = None) -> Adu:
    """What a unit says. `uplink`: whether the device sent it (None: unknown). A user type comes as one `Opaque`: no problem."""
    if len(adu) < 2:
        return Adu(adu[0], (Opaque(None, b""),), adu, ("short",)) if adu else Adu(EMPTY, (), adu)
    kind, count, body = adu[0], adu[1], adu[2:]
    layouts = layouts_of(kind, dialect)
    if layouts is None:
        return Adu(kind, (Opaque(count, body),), adu, () if kind in USER_TYPES else ("reserved_type",))
    read_time = read_bcd if dialect.time == "bcd" else read_binary
    for layout in layouts:
        objects = layout.read(body, count, read_time)
        if objects is not None:
            return Adu(kind, tuple(objects), adu, tuple(_problems(kind, layout, objects, dialect, uplink)))
    return Adu(kind, (Opaque(count, body),), adu, ("size",))


def encode_adu(
    kind: int, objects: Sequence[InformationObject], dialect: Dialect = STANDARD, *, as_received: bool = False
) -> bytes:
    """The unit of these objects. Raise ValueError for what does not fit the type, the dialect or the ranges of table 6.

    `as_received` writes back what a peer sent, whatever the limits: as many objects, and values out of range.
    """
    if kind == EMPTY and not objects:
        return b""
    if not 0 <= kind <= 255 or len(objects) > 255:
        raise ValueError(f"type {kind} with {len(objects)} objects does not fit a unit")
    layouts = layouts_of(kind, dialect)
    if len(objects) == 1 and isinstance(objects[0], Opaque) and (layouts is None or as_received):
        return _encode_opaque(kind, objects[0], dialect, as_received)
    if layouts is None:
        raise ValueError(f"type {kind} is no type of the standard: its body goes as one Opaque")
    layout = _layout_of(layouts, objects) or layouts[0]
    raw = b"".join((bytes((kind, len(objects))), *(layout.write(item, bcd=dialect.bcd) for item in objects)))
    if not as_received:
        if not 1 <= len(objects) <= layout.count_max:
            raise ValueError(f"type {kind} takes 1 to {layout.count_max} objects, not {len(objects)}")
        if layout is not layouts[0] and dialect.description:
            raise ValueError("component status has a description in this dialect")
        if out := _out_of_range(objects, dialect):
            raise ValueError(f"raw value {out.raw} is outside the range of analogue type {out.quantity}")
    return _checked(raw, dialect, as_received)


def layouts_of(kind: int, dialect: Dialect) -> tuple[Layout, ...] | None:
    """How the objects of a type lie, None for one that is reserved or that only its users know."""
    found = LAYOUTS.get(kind)
    if found is None and (base := dialect.recovery_of(kind)) is not None:
        return LAYOUTS[base]
    return found


def room_for(kind: int, dialect: Dialect = STANDARD) -> int:
    """How many objects of a fixed-size type one unit takes in this dialect; 1 where the size is not fixed."""
    layouts = layouts_of(kind, dialect)
    if layouts is None or layouts[0].counted:
        return 1
    layout = layouts[0] if dialect.description else layouts[-1]
    return min(layout.count_max, (dialect.adu_max - 2) // layout.size)


def fitting(
    kind: int, objects: Sequence[InformationObject], dialect: Dialect = STANDARD
) -> Sequence[InformationObject]:
    """The first of these objects that one unit takes in this dialect. Raise ValueError for one that does not fit the type."""
    layout = _layout_of(layouts_of(kind, dialect) or (), objects)
    if layout is None:
        return objects[:1]
    size, count = 2, 0
    for item in objects[: layout.count_max]:
        size += len(layout.write(item, bcd=dialect.bcd))
        if size > dialect.adu_max:
            break
        count += 1
    return objects[:count]


def _layout_of(layouts: Sequence[Layout], objects: Sequence[InformationObject]) -> Layout | None:
    """Component status has a layout of its own without descriptions."""
    if not layouts:
        return None
    bare = bool(objects) and isinstance(objects[0], ComponentStatus) and not objects[0].description
    return layouts[-1] if bare else layouts[0]


def _encode_opaque(kind: int, item: Opaque, dialect: Dialect, as_received: bool) -> bytes:
    if item.count is None:
        if item.body:
            raise ValueError("a body without a number of objects")
        return bytes((kind,))
    if not 0 <= item.count <= 255:
        raise ValueError(f"the number of objects is one byte, not {item.count}")
    return _checked(bytes((kind, item.count)) + item.body, dialect, as_received)


def _checked(raw: bytes, dialect: Dialect, as_received: bool) -> bytes:
    if len(raw) > (ADU_BYTES_MAX if as_received else dialect.adu_max):
        raise ValueError(f"a unit of {len(raw)} bytes; this centre takes {dialect.adu_max}")
    return raw


def _out_of_range(objects: Sequence[InformationObject], dialect: Dialect) -> AnalogueValue | None:
    for item in objects:
        if isinstance(item, AnalogueValue):
            quantity = dialect.quantity(item.quantity)
            if quantity is not None and quantity.value_of(item.raw) is None:
                return item
    return None


def _problems(
    kind: int, layout: Layout, objects: list[InformationObject], dialect: Dialect, uplink: bool | None
) -> list[str]:
    found = []
    if not 1 <= len(objects) <= layout.count_max:
        found.append("count")
    if uplink is not None and (kind in DOWNLINK) == uplink:
        found.append("direction")
    if layout.has_odd_time(objects):
        found.append("time")
    if layout.tail and any(getattr(item, "trailing", None) is not None for item in objects):
        found.append("trailing_time")
    if kind == 3 and _out_of_range(objects, dialect):
        found.append("range")
    return found
