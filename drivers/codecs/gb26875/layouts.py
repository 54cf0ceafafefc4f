"""How the objects of each type lie on the wire, and how many fit a unit (fact sheet 5.1 and 5.2)."""

import dataclasses
import struct
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Final

from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.objects import InformationObject
from drivers.codecs.gb26875.texts import TEXT_BYTES_MAX
from drivers.codecs.gb26875.times import TAG_BYTES, Time, write_time

ReadTime = Callable[[bytes], Time]


class Layout:
    """The objects of one type.

    `code` packs the fields of `kind` in their order (as `struct` has it), the last one a time tag if `timed`. `counted`: a length
    byte and so much text come behind them. `count_max`: objects in one unit. `tail`: a trailing time is tolerated. `without`: a
    field of `kind` that is not on the wire, and empty.
    """

    def __init__(
        self,
        kind: type[Any],
        code: str,
        count_max: int,
        *,
        timed: bool = False,
        counted: bool = False,
        tail: bool = False,
        without: str = "",
    ) -> None:
        names = [field.name for field in dataclasses.fields(kind)]
        left_out = {"trailing", without, "text" if counted else ""}
        self.kind = kind
        self._build: Callable[..., InformationObject] = kind if not without else self._with_hole(names.index(without))
        self._names = [name for name in names if name not in left_out]
        self._time_of = attrgetter(self._names[-1]) if timed else None
        self._without = without
        self._struct = struct.Struct("<" + code)
        self.count_max, self.counted, self.tail = count_max, counted, tail
        self.size = self._struct.size  # of one object, without counted text

    def has_odd_time(self, items: list[InformationObject]) -> bool:
        """Whether an object's time tag is none."""
        return self._time_of is not None and bytes in map(type, map(self._time_of, items))

    def read(self, body: bytes, count: int, read_time: ReadTime) -> list[InformationObject] | None:
        """The `count` objects that `body` is, None where it does not add up."""
        if self.counted:
            plain = self._read_counted(body, count, read_time, tailed=False)
            return self._read_counted(body, count, read_time, tailed=True) if plain is None else plain
        if len(body) == count * self._struct.size:
            build = self._build  # a local and a comprehension: this is where the decoder spends its time
            if self._time_of is None:
                return [build(*values) for values in self._struct.iter_unpack(body)]
            return [build(*values, read_time(tag)) for *values, tag in self._struct.iter_unpack(body)]
        step = self._struct.size + TAG_BYTES
        if not self.tail or len(body) != count * step:
            return None
        found: list[InformationObject] = []
        for at in range(0, len(body), step):
            values = list(self._struct.unpack_from(body, at))
            if self._time_of is not None:
                values[-1] = read_time(values[-1])
            found.append(self._build(*values, trailing=read_time(body[at + step - TAG_BYTES : at + step])))
        return found

    def write(self, item: InformationObject, *, bcd: bool) -> bytes:
        """The bytes of one object. Raise ValueError for a field that does not fit."""
        if type(item) is not self.kind:
            raise ValueError(f"{type(item).__name__} is no object of this type")
        if self._without and getattr(item, self._without):
            raise ValueError(f"{self._without} of one object and none of another")
        values: list[Any] = [getattr(item, name) for name in self._names]
        if self._time_of is not None:
            values[-1] = write_time(values[-1], bcd=bcd)
        try:
            raw = self._struct.pack(*values)
        except struct.error as fault:
            raise ValueError(f"{type(item).__name__}: {fault}") from None
        for name, value, packed in zip(self._names, values, self._struct.unpack(raw), strict=True):
            if value != packed:  # struct cuts and fills bytes to size without a word
                raise ValueError(f"{name} has {len(packed)} bytes, not {len(value)}")
        if self.counted:
            text: bytes = getattr(item, "text", b"")
            if len(text) > TEXT_BYTES_MAX:
                raise ValueError(f"text has at most {TEXT_BYTES_MAX} bytes, not {len(text)}")
            raw += bytes((len(text),)) + text
        trailing: Time | None = getattr(item, "trailing", None)
        return raw if trailing is None else raw + write_time(trailing, bcd=bcd)

    def _with_hole(self, at: int) -> Callable[..., InformationObject]:
        """The class of the objects, called without the field that is not on the wire."""
        return lambda *values: self.kind(*values[:at], b"", *values[at:])

    def _read_counted(
        self, body: bytes, count: int, read_time: ReadTime, *, tailed: bool
    ) -> list[InformationObject] | None:
        found: list[InformationObject] = []
        at, head = 0, self._struct.size
        for _ in range(count):
            text_at = at + head + 1
            if text_at > len(body):
                return None
            end = text_at + body[text_at - 1]
            rest = (read_time(body[end : end + TAG_BYTES]),) if tailed and end + TAG_BYTES <= len(body) else ()
            found.append(self.kind(*self._struct.unpack_from(body, at), body[text_at:end], *rest))
            at = end + TAG_BYTES * tailed
        return found if at == len(body) else None


_SYSTEM: Final = "BB"
_COMPONENT: Final = "BBB4s"
_QUERY: Final = "BB4s"

LAYOUTS: Final[Mapping[int, tuple[Layout, ...]]] = {
    1: (Layout(kinds.SystemStatus, _SYSTEM + "H6s", 102, timed=True),),
    2: (
        Layout(kinds.ComponentStatus, _COMPONENT + "H31s6s", 22, timed=True),
        Layout(kinds.ComponentStatus, _COMPONENT + "H6s", 68, timed=True, without="description"),
    ),
    3: (Layout(kinds.AnalogueValue, _COMPONENT + "Bh6s", 63, timed=True),),
    4: (Layout(kinds.FacilityOperation, _SYSTEM + "BB6s", 102, timed=True),),
    5: (Layout(kinds.FacilityVersion, _SYSTEM + "BB", 1, tail=True),),
    6: (Layout(kinds.SystemConfiguration, _SYSTEM, 3, counted=True, tail=True),),
    7: (Layout(kinds.ComponentConfiguration, _COMPONENT + "31s", 26, tail=True),),
    8: (Layout(kinds.FacilityTime, _SYSTEM + "6s", 1, timed=True, tail=True),),
    21: (Layout(kinds.DeviceStatus, "B6s", 1, timed=True, tail=True),),
    24: (Layout(kinds.DeviceOperation, "BB6s", 127, timed=True),),
    25: (Layout(kinds.DeviceVersion, "BB", 1, tail=True),),
    26: (Layout(kinds.DeviceConfiguration, "", 1, counted=True, tail=True),),
    28: (Layout(kinds.DeviceTime, "6s", 1, timed=True, tail=True),),
    61: (Layout(kinds.SystemQuery, _SYSTEM, 102),),
    62: (Layout(kinds.ComponentQuery, _QUERY, 22),),
    63: (Layout(kinds.ComponentQuery, _QUERY, 63),),
    64: (Layout(kinds.FacilityRecordQuery, _SYSTEM + "B6s", 1, timed=True),),
    65: (Layout(kinds.SystemQuery, _SYSTEM, 1),),
    66: (Layout(kinds.SystemQuery, _SYSTEM, 3),),
    67: (Layout(kinds.ComponentQuery, _QUERY, 26),),
    68: (Layout(kinds.SystemQuery, _SYSTEM, 1),),
    81: (Layout(kinds.DeviceQuery, "B", 1),),
    84: (Layout(kinds.DeviceRecordQuery, "B6s", 1, timed=True),),
    85: (Layout(kinds.DeviceQuery, "B", 1),),
    86: (Layout(kinds.DeviceQuery, "B", 1),),
    88: (Layout(kinds.DeviceQuery, "B", 1),),
    89: (Layout(kinds.DeviceQuery, "B", 1),),
    90: (Layout(kinds.ClockSetting, "6s", 1, timed=True),),
    91: (Layout(kinds.DutyInspection, "B", 1),),
}
