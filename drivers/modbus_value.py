"""Numbers and switches of a Modbus device: [[value]] tables compiled into what reads them out of an answer. Pure."""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.messages import LIMIT_KEYS, PointSpec
from drivers.profile_toml import (
    ProfileFault,
    codes_of,
    combinations,
    evaluated,
    filled,
    integer,
    known,
    name_of,
    number,
    scale_of,
    table_of,
)

WIDTH: Final = {"bool": 1, "u16": 1, "s16": 1, "u32": 2, "s32": 2, "f32": 2, "u64": 4, "s64": 4}
_FORMAT: Final = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "f32": "f", "u64": "Q", "s64": "q"}
_ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
_KEYS: Final = frozenset(
    (
        *("name", "zh", "en", "fc", "address", "type", "word_order", "scale", "unit", "kind", "limits", "missing"),
        *("faults", "period_ms", "from", "mask", "shift", "true_at", "guard", "must_move_s", "offset"),
    )
)
_GUARD_KEYS: Final = frozenset(("fc", "address", "mask", "shift", "faults", "off"))

Decode = Callable[[Sequence[int], int], float | bool]


@dataclass(frozen=True, slots=True)
class Place:
    """Where registers lie: function, first address, how many; `block` names the [[block]] that reads them, "" is any."""

    function: int
    address: int
    width: int
    block: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """A register by which the device says that the value beside it is none: an open sensor beats any number. `off`: what it
    holds while the switch beside it is off whatever stands there, as the cause of a trip stays written after the reclosing.
    """

    place: Place
    mask: int
    shift: int
    faults: Mapping[int, str]
    off: frozenset[int]

    def field(self, word: int) -> int:
        """What the register says, out of the whole word."""
        return word >> self.shift & self.mask


@dataclass(frozen=True, slots=True)
class Value:
    """A number or switch: where it lies, how it is read, and what it means."""

    name: str
    place: Place
    period_s: float
    type: str
    decode: Decode
    scale: float
    offset: float  # in the unit, added after scaling
    missing: frozenset[float]
    faults: Mapping[int, str]  # raw values by which the device says that its sensor is broken
    guard: Guard | None
    must_move_s: float  # unchanged for so long: whatever answers is frozen; 0: may stand still
    spec: PointSpec

    def read(self, words: Sequence[int], offset: int, beside: int | None) -> float | bool | str:
        """The value, or the ASCII reason why there is none. `beside`: the guard's word, None if it was never read."""
        if self.guard is not None and beside is not None:
            says = self.guard.field(beside)
            if says in self.guard.faults:
                return self.guard.faults[says]
            if says in self.guard.off:
                return False
        if self.faults and words[offset] in self.faults:
            return self.faults[words[offset]]
        raw = self.decode(words, offset)
        if raw in self.missing:
            return "absent"
        if self.type == "bool":
            return raw
        if self.type == "f32" and not math.isfinite(raw):
            return "absent" if math.isnan(raw) else "overrange"  # NaN is how floats say "no such thing here"
        return raw * self.scale + self.offset


def compile_values(tables: Sequence[Mapping[str, object]], starts: Mapping[str, int], period_ms: int) -> list[Value]:
    """Every value of every [[value]] table. `starts`: first address of each named block. Raise ProfileFault."""
    values = [
        value
        for index, table in enumerate(tables, 1)
        for numbers in combinations(table, _KEYS, f"value {table.get('name', index)}")
        for value in [_value(table, numbers, f"value {table.get('name', index)}", starts, period_ms)]
    ]
    if len({value.name for value in values}) != len(values):
        raise ProfileFault("duplicate_value", "value")
    return values


def _value(
    table: Mapping[str, object], numbers: Mapping[str, int], where: str, starts: Mapping[str, int], period_ms: int
) -> Value:
    name = filled(name_of(table, where), numbers, where)
    kind = str(table.get("type", "u16"))
    if kind not in WIDTH:
        raise ProfileFault("unknown_type", where, f"{kind}; {', '.join(WIDTH)}")
    block = str(table.get("from", ""))
    if "from" in table and block not in starts:
        raise ProfileFault("unknown_block", where, block)
    names = {**numbers, "start": starts[block]} if block else numbers
    function = integer(table, "fc", where, 3, 1, 4)
    place = Place(function, _address(table, names, where, WIDTH[kind]), WIDTH[kind], block)
    scale = scale_of(table, where)
    missing = table.get("missing", [])
    if not isinstance(missing, list) or not all(isinstance(one, int | float) for one in missing):
        raise ProfileFault("bad_number", f"{where}.missing", missing)
    limits = {key: float(number(value, f"{where}.limits.{key}")) for key, value in table_of(table, "limits").items()}
    if unknown := set(limits) - LIMIT_KEYS:
        raise ProfileFault("unknown_limit", where, min(unknown))
    return Value(
        name=name,
        place=place,
        period_s=integer(table, "period_ms", where, period_ms, 20, 86_400_000) / 1000,
        type=kind,
        decode=_decode(table, kind, numbers, where),
        scale=scale,
        offset=float(number(table.get("offset", 0.0), f"{where}.offset")),
        missing=frozenset(missing),
        faults=codes_of(table_of(table, "faults"), f"{where}.faults"),
        guard=_guard(table, kind, function, names, where),
        must_move_s=number(table.get("must_move_s", 0), f"{where}.must_move_s"),
        spec=PointSpec(
            id=name,
            name_zh=filled(table.get("zh", name), numbers, where),
            name_en=filled(table.get("en", name), numbers, where),
            unit=str(table.get("unit", "")),
            kind=str(table.get("kind", "")),
            limits=limits,
        ),
    )


def _address(table: Mapping[str, object], names: Mapping[str, int], where: str, width: int) -> int:
    address = evaluated(table.get("address", -1), names, f"{where}.address")
    if not 0 <= address <= 0x10000 - width:
        raise ProfileFault("bad_number", f"{where}.address", address)
    return address


def _guard(table: Mapping[str, object], kind: str, function: int, names: Mapping[str, int], where: str) -> Guard | None:
    if "guard" not in table:
        return None
    inner, where = table_of(table, "guard"), f"{where}.guard"
    known(inner, _GUARD_KEYS, where)
    faults = codes_of(table_of(inner, "faults"), f"{where}.faults")
    off = inner.get("off", [])
    if not isinstance(off, list) or not all(type(one) is int for one in off):
        raise ProfileFault("bad_number", f"{where}.off", off)
    if not faults and not off:
        raise ProfileFault("no_faults", where)
    if off and kind != "bool":
        raise ProfileFault("off_of_a_number", where, kind)
    mask, shift = _field(inner, names, where)
    place = Place(integer(inner, "fc", where, function, 1, 4), _address(inner, names, where, 1), 1)
    return Guard(place, mask, shift, faults, frozenset(off))


def _field(table: Mapping[str, object], numbers: Mapping[str, int], where: str) -> tuple[int, int]:
    """(mask, shift) of a field inside a register."""
    shift = evaluated(table.get("shift", 0), numbers, f"{where}.shift")
    if not 0 <= shift < 16:
        raise ProfileFault("bad_number", f"{where}.shift", shift)
    return integer(table, "mask", where, 0xFFFF, 1, 0xFFFF), shift


def _decode(table: Mapping[str, object], kind: str, numbers: Mapping[str, int], where: str) -> Decode:
    order = str(table.get("word_order", "ABCD"))
    if order not in _ORDERS:
        raise ProfileFault("unknown_word_order", where, order)
    mask, shift = _field(table, numbers, where)
    part = (mask, shift) != (0xFFFF, 0)
    true_at = table.get("true_at")
    if (part and kind not in ("bool", "u16")) or (true_at is not None and kind != "bool"):
        raise ProfileFault("field_of_wide_value", where, kind)
    if true_at is not None:
        if not isinstance(true_at, list) or not true_at or not all(type(one) is int for one in true_at):
            raise ProfileFault("bad_number", f"{where}.true_at", true_at)
        wanted = frozenset(true_at)
        return lambda words, at: words[at] >> shift & mask in wanted
    if kind == "bool":
        return lambda words, at: bool(words[at] >> shift & mask)
    swap_bytes = order in ("BADC", "DCBA")
    if kind == "u16" and not swap_bytes:
        if part:
            return lambda words, at: words[at] >> shift & mask
        return lambda words, at: words[at]
    if part:
        raise ProfileFault("field_of_wide_value", where, order)
    return _wide(kind, swap_bytes=swap_bytes, backwards=order in ("CDAB", "DCBA"))


def _wide(kind: str, *, swap_bytes: bool, backwards: bool) -> Decode:
    width = WIDTH[kind]
    into = struct.Struct(f"<{width}H" if swap_bytes else f">{width}H")
    out = struct.Struct(">" + _FORMAT[kind])

    def decode(words: Sequence[int], at: int) -> float:
        taken = words[at : at + width]
        value = out.unpack(into.pack(*(taken[::-1] if backwards else taken)))[0]
        assert isinstance(value, int | float)
        return value

    return decode
