"""Simplex, Tyco 4100 computer port (CPI): 1C, sequence, kind, text, 17, two check characters.

Check: sum of all bytes from the sequence to before 17, modulo 4096, its 12 bits inverted; upper and lower six bits, each + 40H.
Kind 05 is the enquiry (every 30 s, again after 4 s): 06, then 1C seq 02 17 check. Kind 1E is a point: "hhmmss-wDDMMYY point
status", w the weekday, status a letter (F fire, P priority 2, T trouble, S supervisory, U utility, C control), 0 or 1,
* unacknowledged or -. Each message is answered with 06 or comes again every 4 s. After a warm start the clock is no date:
the event counts, ours is the time. Source: KS_old_gateway doc/兰州万达主机泰科, 西安万达.
"""

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Frame, Step, noise
from drivers.codecs.text import Smell

START, END, ACK = 0x1C, 0x17, 0x06
ENQUIRY, REPLY, POINT = 0x05, 0x02, 0x1E
BLOCK_BYTES_MAX: Final = 200
_POINT: Final = re.compile(r"(\S{1,12})-(\S{1,12}) +(\S.{0,40}?) +([FPTSUC])([01])([*-]) *\r?\n?", re.DOTALL)
_START: Final = re.compile(r"[A-Z]: (?:WARM|COLD) START\s*")
_CLOCK: Final = re.compile(r"(\d\d)(\d\d)(\d\d)-(\d)(\d\d)(\d\d)(\d\d)")
_ADDRESS: Final = re.compile(r"(\d{1,3}):M(\d{1,3})-(\d{1,3})-(\d{1,3})")
_EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "F": ("fire", "fire_restore"),
    "P": ("supervisory", "supervisory_restore"),
    "T": ("fault", "fault_restore"),
    "S": ("supervisory", "supervisory_restore"),
    "U": ("feedback", "feedback_restore"),
    "C": ("start", "stop"),
}


class SimplexCpi(Codec):
    """`types`: status letter -> event, over the built-in ones."""

    name: ClassVar[str] = "simplex-4100-cpi"
    quiet_s = 0.5

    def __init__(self, *, types: Mapping[str, str] | None = None, dedupe_s: float = 10.0) -> None:
        super().__init__(dedupe_s=dedupe_s)
        self._types = dict(types or {})
        self._smell = Smell()

    def reply(self, frame: Frame) -> bytes:
        """06 to every message; the enquiry wants a message of its own behind it."""
        kind, sequence = frame.fields.get("kind"), frame.raw[1] if len(frame.raw) > 1 else 0x30
        return bytes((ACK,)) + (encode(sequence, REPLY) if kind == "poll" else b"") if kind != "reply" else b""

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = buf.find(START)
        if start:
            return noise(start if start > 0 else len(buf))
        end = buf.find(END, 2, BLOCK_BYTES_MAX)
        if end < 0:
            if len(buf) >= BLOCK_BYTES_MAX:
                return self._refuse("too_long", BLOCK_BYTES_MAX)
            return self._refuse("truncated", len(buf)) if final else None
        if len(buf) < end + 3:
            return self._refuse("truncated", len(buf)) if final else None
        block = bytes(buf[: end + 3])
        if block[-2:] != _check(block[1:end]):
            return self._refuse("sum", len(block), {"sum_ok": False})
        return self._block(block)

    def _block(self, block: bytes) -> Step:
        kind, size = block[2], len(block)
        fields: dict[str, object] = {"sum_ok": True}
        if kind == ENQUIRY:
            fields["reply_hex"] = "06 then 1C <seq> 02 17 <ck>"
            return Step(size=size, fields={"kind": "poll", "event": None, **fields})
        if kind == REPLY:
            return Step(size=size, fields={"kind": "reply", "event": None, "direction": "host_to_panel", **fields})
        text = block[3:-3].decode("ascii", "replace")
        found = _POINT.fullmatch(text)  # of any kind: the sheet names none
        if found is None and _START.fullmatch(text):
            return Step(size=size, fields={"kind": "start", "event": "power_on", **fields, "text": text.strip()})
        if found is None and self._smell.of_text(text):
            return Step(size=size, fields={"kind": "unknown", "event": "unknown", **fields, "text": text})
        if found is None:
            return Step(size=size, refused=f"unknown_message {kind:02X}", fields={**fields, "text": text}, sound=True)
        clock, date, point, letter, set_, mark = found.groups()
        active = set_ == "1"
        told, restored = _EVENTS[letter]
        if letter in self._types:
            told = self._types[letter]
        fields |= {
            "kind": "point",
            "event": told if active else restored,
            "point_name": point,
            "abnormal": active,
            "needs_ack": mark == "*",
            "time": _time(clock, date),
            "point_id": point.replace(" ", "_"),
        }
        if (address := _ADDRESS.fullmatch(point)) is not None:
            fields |= dict(zip(("panel", "loop", "point", "sub"), map(int, address.groups()), strict=True))
        return Step(size=size, fields=fields)

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        inner = self._buf.find(START, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why, fields=fields)


def _time(clock: str, date: str) -> str | None:
    found = _CLOCK.fullmatch(f"{clock}-{date}")
    if found is None:
        return None
    hour, minute, second, weekday, day, month, year = found.groups()
    if not (
        1 <= int(weekday) <= 7 and 1 <= int(day) <= 31 and 1 <= int(month) <= 12 and int(hour) < 24 and int(minute) < 60
    ):
        return None
    return f"20{year}-{month}-{day} {hour}:{minute}:{second}"


def _check(body: bytes) -> bytes:
    inverted = ~sum(body) & 0xFFF
    return bytes(((inverted >> 6) + 0x40, (inverted & 0x3F) + 0x40))


def encode(sequence: int, kind: int, text: str = "") -> bytes:
    """One message, for answers, simulators and tests."""
    body = bytes((sequence, kind)) + text.encode("ascii")
    return bytes((START,)) + body + bytes((END,)) + _check(body)
