"""Frames told by a profile alone: a start mark, a length, perhaps an end mark and a checksum, fields at fixed places.

For panels and radio concentrators of which a line in a driver is all that is known, so that one more of them is a file. A frame
whose checksum is wrong is refused; one whose code the profile does not name is refused as unknown, and both are kept.
"""

import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, bcd, noise
from drivers.codecs.modbus import crc16
from drivers.vocabulary import ENDS

FRAME_BYTES_MAX: Final = 512
_CHECKS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "none": lambda body: b"",
    "unproven": lambda body: b"?",  # a byte stands there, and how it is made nobody has shown: any will do
    "sum8": lambda body: bytes((sum(body) & 0xFF,)),
    "xor8": lambda body: bytes((_xor(body),)),
    "crc16-modbus": lambda body: crc16(body).to_bytes(2, "little"),
    "crc16-xmodem": lambda body: binascii.crc_hqx(body, 0).to_bytes(2, "big"),
}
CHECKS: Final = tuple(_CHECKS)
EQUAL_PARTS: Final = -1
SHAPES: Final = ("byte", "bcd", "u16le", "u16be", "ascii", "digits", "hex")


@dataclass(frozen=True, slots=True)
class Field:
    """A field `size` bytes long at `at` (negative: from the end), read as one of SHAPES; `scale` makes a number of a raw one."""

    name: str
    at: int
    size: int = 1
    shape: str = "byte"
    scale: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The frame. `length` bytes, or the byte at `length_at` plus `length_plus`, or up to the end mark, `length_max` at most.

    `repeat` bytes behind the byte at `count_at` make a record, and that byte says how many there are: an event for each.
    EQUAL_PARTS: no document says how long a record is; they share what there is.
    """

    start: bytes
    end: bytes = b""
    length: int = 0
    length_at: int = -1
    length_plus: int = 0
    length_max: int = 64
    check: str = "none"
    check_from: int = 0
    repeat: int = 0
    count_at: int = -1


@dataclass(frozen=True, slots=True)
class Command:
    """The field that says what a frame is about: `records` (hex) has codes in it, those of `events` are events themselves."""

    field: Field
    records: str
    events: Mapping[str, str]


class FrameFields(Codec):
    """`code`: the field whose hex text is looked up in `events`; `ignored`: codes that raise nothing (heartbeats, polls).

    `bits` in the place of both: each bit of the code, lowest 0, is an event while it is 1, and its end while it is 0.
    `active`: a field that is 0 where the event of the code is over.
    """

    name: ClassVar[str] = "frame-fields"
    quiet_s = 0.3

    def __init__(  # noqa: PLR0917 - the parts of a profile
        self,
        shape: Shape,
        code: Field,
        fields: Sequence[Field],
        events: Mapping[str, str],
        ignored: frozenset[str],
        dedupe_s: float = 0.0,
        bits: Mapping[int, str] | None = None,
        *,
        command: Command | None = None,
        active: Field | None = None,
    ) -> None:
        super().__init__(dedupe_s=dedupe_s)
        self._bits = dict(sorted((bits or {}).items()))
        self._shape, self._code, self._fields = shape, code, tuple(fields)
        self._events, self._ignored = events, ignored
        self._command, self._active = command, active

    def _next(self, final: bool) -> Step | None:
        buf, shape = self._buf, self._shape
        start = buf.find(shape.start)
        if start < 0:
            if final:
                return noise(len(buf))
            keep = next((n for n in range(len(shape.start) - 1, 0, -1) if buf.endswith(shape.start[:n])), 0)
            return noise(len(buf) - keep) if len(buf) > keep else None
        if start:
            return noise(start)
        size = self._size()
        if (counted := self._counted_size()) is not None and not (final and len(buf) < counted):
            size = counted
        if size is None or len(buf) < size:
            return self._refuse("truncated", len(buf)) if final else None
        if size < 0:
            return self._refuse("length", len(shape.start))
        return self._frame(bytes(buf[:size]), size)

    def _size(self) -> int | None:
        """How long the frame at the front is; None: not known yet, -1: impossible."""
        buf, shape = self._buf, self._shape
        if shape.length:
            return shape.length
        if shape.length_at >= 0:
            if len(buf) <= shape.length_at:
                return None
            size = buf[shape.length_at] + shape.length_plus
            return size if len(shape.start) < size <= shape.length_max else -1
        end = buf.find(shape.end, len(shape.start), shape.length_max)
        if end < 0:
            return -1 if len(buf) >= shape.length_max else None
        return end + len(shape.end)

    def _counted_size(self) -> int | None:
        """How long a frame between marks is by its count of records; None where that is not said, or cannot be.

        Both marks may stand in a record: a point has any number.
        """
        buf, shape = self._buf, self._shape
        if shape.length or shape.length_at >= 0 or shape.repeat <= 0 or not 0 <= shape.count_at < len(buf):
            return None
        size = shape.count_at + 1 + buf[shape.count_at] * shape.repeat + len(_CHECKS[shape.check](b"")) + len(shape.end)
        if size > shape.length_max or (len(buf) >= size and not buf.endswith(shape.end, 0, size)):
            return None
        return size

    def _frame(self, frame: bytes, size: int) -> Step:
        shape = self._shape
        if shape.end and not frame.endswith(shape.end):
            return self._refuse("end", size)
        if (
            not shape.length and shape.length_at < 0 and self._counted_size() != size
        ):  # only marks tell frames apart: the last start before the end counts
            inner = frame.rfind(shape.start, 1, len(frame) - len(shape.end))
            if inner > 0:
                return Step(size=inner, refused="broken_off", length=inner)
        body = frame[shape.check_from : len(frame) - len(shape.end)]
        wide = len(_CHECKS[shape.check](b""))
        if wide and shape.check != "unproven" and _CHECKS[shape.check](body[:-wide]) != body[-wide:]:
            return self._refuse("checksum", size)
        if self._command is not None:
            said = _bytes(frame, self._command.field).hex().upper()
            if said != self._command.records:
                return self._commanded(frame, said, self._command.events.get(said))
        fields: dict[str, object] = {"kind": "event"}
        inside = len(frame) - len(shape.end) - wide  # a reset may name no place: the marks behind it are none
        for one in (self._code, *(one for one in self._fields if one.at + one.size <= inside)):
            value = _read(frame, one)
            if value is None and (one is self._code or len(_bytes(frame, one)) == one.size):
                return self._refuse(f"bad_field {one.name}", size)
            if value is not None:
                fields[one.name] = value
        if self._bits:
            return Step(
                size=size, fields=fields | self._states(int.from_bytes(_bytes(frame, self._code), "big"), fields)
            )
        code = _bytes(frame, self._code).hex().upper()
        if code in self._ignored:
            return Step(size=size, fields={**fields, "kind": "idle", "event": None})
        told = [fields | self._meaning(frame, 0), *self._more(frame, fields)]
        if code not in self._events and len(told) == 1:
            inner = self._buf.find(shape.start, 1, size)
            if inner > 0:  # a start mark of noise may have swallowed a frame
                return Step(size=inner, refused=f"unknown_code {code}", fields=fields, length=size)
            return Step(size=size, refused=f"unknown_code {code}", fields=fields, sound=True)
        return Step(size=size, fields=told[0] if len(told) == 1 else {**told[0], "events": told})

    def _commanded(self, frame: bytes, said: str, event: str | None) -> Step:
        """A frame whose command is all it says, beside the fields in front of the records."""
        head = {one.name: _read(frame, one) for one in self._fields if one.at <= self._shape.count_at}
        if event is None:
            return Step(size=len(frame), refused=f"unknown_code {said}", fields=head, sound=True)
        return Step(size=len(frame), fields={"kind": "event", **head, "event": event})

    def _meaning(self, frame: bytes, offset: int) -> dict[str, object]:
        """What the code says, `offset` bytes further on than in the first record."""
        code = _bytes(frame, replace(self._code, at=self._code.at + offset)).hex().upper()
        event = self._events.get(code)
        if event is None:
            return {"event": "fault", "reason": "unparsed", "why": f"unknown_code {code}"}
        over = self._active is not None and _read(frame, replace(self._active, at=self._active.at + offset)) == 0
        return {"event": ENDS.get(event, event) if over else event}

    def _more(self, frame: bytes, head: Mapping[str, object]) -> list[dict[str, object]]:
        """The records behind the first: the same fields, each as much further on, and the code if it stands in the record."""
        shape, more = self._shape, list[dict[str, object]]()
        in_record = [one for one in self._fields if one.at > shape.count_at]
        count = frame[shape.count_at] if len(frame) > shape.count_at else 0
        if not shape.repeat or not in_record or count <= 1:
            return more
        coded = self._code.at > shape.count_at
        repeat, left = shape.repeat, 0
        if repeat == EQUAL_PARTS:
            tail = len(shape.end) + len(_CHECKS[shape.check](b""))
            repeat, left = divmod(len(frame) - tail - shape.count_at - 1, count)
        needed = max(one.at + one.size for one in (*in_record, *([self._code] if coded else ()))) - shape.count_at - 1
        if left or repeat < needed:  # where the next one begins nobody knows: that there is more must be seen
            return [{"kind": "event", "event": "fault", "reason": "unparsed", "why": "length"}]
        for n in range(1, count):
            values = {one.name: _read(frame, replace(one, at=one.at + n * repeat)) for one in in_record}
            if None in values.values() or shape.count_at + (n + 1) * repeat >= len(frame) - len(shape.end):
                break
            more.append({**head, **values, **self._meaning(frame, n * repeat if coded else 0)})
        return more

    def _states(self, code: int, fields: Mapping[str, object]) -> dict[str, object]:
        """What every bit says, those that are set first; `event` is the first of them, None where none is."""
        stands = [event for bit, event in self._bits.items() if code >> bit & 1]
        over = dict.fromkeys(ENDS[event] for event in self._bits.values() if event in ENDS)
        ends = [end for end in over if end not in {ENDS.get(event) for event in stands}]
        events = [{**fields, "event": event} for event in stands]
        events += [{**fields, "event": end, "is_state": True} for end in ends]
        return {"event": stands[0] if stands else None, "events": events}

    def _refuse(self, why: str, length: int) -> Step:
        inner = self._buf.find(self._shape.start, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why)


def _bytes(frame: bytes, one: Field) -> bytes:
    at = one.at if one.at >= 0 else len(frame) + one.at
    return frame[at : at + one.size]


def _read(frame: bytes, one: Field) -> object | None:
    data = _bytes(frame, one)
    if len(data) != one.size:
        return None
    if one.shape in ("ascii", "digits"):
        text = data.decode("ascii", "replace").strip("\0 ")
        return text if one.shape == "ascii" else int(text) if text.isdecimal() else None
    if one.shape == "hex":
        return data.hex().upper()
    number: int | None
    if one.shape == "bcd":
        number = 0
        for byte in data:
            pair = bcd(byte)
            if pair is None:
                return None
            number = number * 100 + pair
    else:
        number = int.from_bytes(data, "little" if one.shape == "u16le" else "big")
    return number if one.scale == 1 else round(number * one.scale, 9)  # 0.1 has no exact form


def _xor(body: bytes) -> int:
    value = 0
    for byte in body:
        value ^= byte
    return value
