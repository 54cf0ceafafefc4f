"""GST100 micro-printer SP-W32PS-100 (海湾): records of canned words, one byte each, 1200 baud.

    2A x13..28 0D MM 8D DD 8E "   HH:MM" 0D 0A ev 0D ("1-027" | "-----") 0D 0A 20 dev 0D

Bytes dribble in every 0.85 s, a record takes some 5 s, and a piece in the middle of the time may be lost: the record is read by
its anchors (ev between 0A and 0D, address, 20 dev), never by offsets, and a fire is told though its time is damaged.
Source: KS_old_gateway doc/SP-W32PS-100, eight records.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, noise
from drivers.vocabulary import ENDS

STAR: Final = 0x2A
RECORD_BYTES_MAX: Final = 120
STANDING_MAX: Final = 512  # places whose events are remembered until they end
TITLE: Final = 0x1F  # "GST100 panel"
CALL_POINT: Final = 0x27
_FIRES: Final = ("fire", "fire_manual")
_RESTORED: Final = frozenset((*_FIRES, "prealarm", "supervisory", "fault", "dirty", "leak", "burglar"))
_STARS: Final = re.compile(rb"\x2a{8,}")
_EVENT: Final = re.compile(rb"\x0a([\x11-\x1f\x80-\x82])\x0d(?:(\d{1,2})-(\d{1,3})|(-{3,}))?", re.DOTALL)
_DEVICE: Final = re.compile(rb"\x0a\x20([\x20-\x7e])\x0d")
_DATE: Final = re.compile(rb"(\d\d)\x8d(\d\d)\x8e")
_TIME: Final = re.compile(rb"(\d\d):(\d\d)\x0d")
_ADDRESS: Final = re.compile(rb"(?<!\d)(\d{1,2})-(\d{3})(?!\d)")


class Gst100Printer(Codec):
    """`words`: event byte -> event; `devices`: device byte -> the maker's word; `supplies`: device byte -> what its fault is.

    The panel has one word for the end of everything: it ends what was told of that place, a fire last, and a fault if nothing was.
    """

    name: ClassVar[str] = "gst100-microprinter"
    quiet_s = 3.0  # pieces come every 0.85 s
    shown: ClassVar[tuple[str, ...]] = ("loop", "point")

    def __init__(self, *, words: Mapping[int, str], devices: Mapping[int, str], supplies: Mapping[int, str]) -> None:
        super().__init__()
        self._words, self._devices, self._supplies = words, devices, supplies
        self._standing: dict[tuple[object, ...], list[str]] = {}

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        found = _STARS.search(buf)
        if found is None:
            if final:
                return self._loose(len(buf))
            star = buf.find(STAR)
            if star < 0:
                return self._loose(len(buf)) if len(buf) > RECORD_BYTES_MAX else None
            rest = bytes(buf[star:])
            if rest.strip(b"*"):  # stars and then something else: too few of them
                return self._loose(star + len(rest) - len(rest.lstrip(b"*")))
            return self._loose(star) if star else None
        if found.start():
            return self._loose(found.start())
        after = _STARS.search(buf, found.end())
        body_end = after.start() if after else len(buf)
        device = _DEVICE.search(buf, found.end(), body_end)
        if device is not None:
            return self._record(device.end(), found.end())
        if after is None and not final and len(buf) < RECORD_BYTES_MAX:
            return None
        return self._record(body_end, found.end())

    def _record(self, end: int, begin: int) -> Step:
        body = bytes(self._buf[begin:end])
        event = _EVENT.search(body)
        fields: dict[str, object] = {"kind": "event"}
        if (date := _DATE.search(body)) is not None:
            fields |= {"month": int(date[1]), "day": int(date[2])}
        if (time := _TIME.search(body)) is not None:
            fields["time"] = f"{time[1].decode()}:{time[2].decode()}"
        if (device := _DEVICE.search(body)) is not None:
            fields["device_code"] = f"{device[1][0]:02X}"
            if device[1][0] in self._devices:
                fields["device_text"] = self._devices[device[1][0]]
        if event is None:
            return Step(size=end, refused="no_event", fields=fields, sound=True)
        where = event if event[2] is not None else _ADDRESS.search(body, event.end(1))
        if where is not None and event[4] is None:
            loop, point = (where[2], where[3]) if where is event else (where[1], where[2])
            fields |= {"loop": int(loop), "point": int(point)}
        word = self._words.get(event[1][0])
        if event[1][0] == TITLE:
            return Step(size=end, fields={**fields, "kind": "title", "event": None})
        if word is None:
            return Step(size=end, refused=f"unknown_word {event[1][0]:02X}", fields=fields, sound=True)
        told = self._meant(word, fields)
        if told == "fire" and device is not None and device[1][0] == CALL_POINT:
            fields["manual"] = True
        if told in ("fault", "fault_restore") and device is not None and "point" not in fields:
            fields["point_id"] = f"device-{fields['device_code']}"  # the end of the bus's fault is not that of the 24 V
        return Step(size=end, fields={**fields, "event": told})

    def _meant(self, word: str, fields: Mapping[str, object]) -> str:
        """`word`, as the device it stands with and what that place has told before make of it."""
        device = str(fields.get("device_code", ""))
        if word in ("fault", "fault_restore") and device and (supply := self._supplies.get(int(device, 16))):
            return supply if word == "fault" else ENDS[supply]
        if word == "reset":
            self._standing.clear()
        place = tuple(fields.get(name) for name in ("loop", "point"))
        if None in place:
            return word
        if place not in self._standing and len(self._standing) >= STANDING_MAX:
            del self._standing[next(iter(self._standing))]
        stands = self._standing.setdefault(place, [])
        if word == "fault_restore":
            over = next((one for one in reversed(stands) if one not in _FIRES), stands[-1] if stands else "fault")
            self._standing[place] = [one for one in stands if one != over]
            return ENDS[over]
        if word in _RESTORED and word not in stands:
            stands.append(word)
        return word

    def _loose(self, size: int) -> Step:
        """Bytes outside a record. An event byte between its anchors is told even without the stars before it."""
        event = _EVENT.search(self._buf, 0, size)
        if event is None or event[1][0] not in self._words or (event[2] is None and event[4] is None):
            return noise(size)
        return self._record(size, 0)


def encode_record(word: int, address: str, device: int, *, when: str = "1020 1444") -> bytes:
    """One record, for simulators and tests: `address` like "1-027" or "" for the panel, `when` MMDD HHMM."""
    day, hour = when.split()
    head = b"\x2a" * 15 + b"\x0d" + day[:2].encode() + b"\x8d" + day[2:].encode() + b"\x8e   "
    head += f"{hour[:2]}:{hour[2:]}".encode() + b"\x0d"
    return head + bytes((0x0A, word, 0x0D)) + (address or "-----").encode() + bytes((0x0D, 0x0A, 0x20, device, 0x0D))
