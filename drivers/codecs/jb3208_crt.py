"""Songjiang (松江) JB-3208 on its CRT port: FE, panel, code, length LE16, body, CRC-16/MODBUS low byte first, FF.

The CRC covers panel to body; the vendor's document says high byte first, seven captured frames say low. The body of an event is a
count LE16 and 32-byte records: panel, loop, point, zone LE16, type, status, year to minute (BCD), 20 bytes of row-and-cell text.
The panel polls with code 100, body 100, and wants 100/100 back within 0.5 s, for each event too. FE and FF stand in bodies: the
length decides. Source: KS_old_gateway doc/松江3208.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Frame, Step, bcd, noise
from drivers.codecs.modbus import crc16
from drivers.codecs.text import decode_quwei

START, END = 0xFE, 0xFF
POLL, RESET = 100, 0
HEAD_BYTES, RECORD_BYTES = 5, 32
BODY_BYTES_MAX: Final = 2 + RECORD_BYTES * 60
_EVENTS: Final[Mapping[int, str]] = {
    110: "fire",
    111: "fault",
    112: "start",
    113: "feedback",
    114: "supervisory",
    115: "isolate",
}
_LOOP_EVENTS: Final[Mapping[int, str]] = {74: "mains_fault", 76: "battery_fault"}  # of a fault frame


class Jb3208Crt(Codec):
    """`manual_types`: device types that are manual call points (5)."""

    name: ClassVar[str] = "jb3208-crt"
    quiet_s = 0.5

    def __init__(self, *, manual_types: frozenset[int] = frozenset({5}), dedupe_s: float = 5.0) -> None:
        super().__init__(dedupe_s=dedupe_s)
        self._manual_types = manual_types

    def reply(self, frame: Frame) -> bytes:
        """100/100 confirms polls and events alike; without it the panel repeats, then reports its computer missing."""
        panel = frame.fields.get("panel")
        return confirm(panel) if isinstance(panel, int) and frame.fields.get("direction") != "host_to_panel" else b""

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = buf.find(START)
        if start:
            return noise(start if start > 0 else len(buf))
        if len(buf) < HEAD_BYTES:
            return self._refuse("truncated", len(buf)) if final else None
        length = buf[3] | buf[4] << 8
        if length > BODY_BYTES_MAX:
            return noise(1)
        size = HEAD_BYTES + length + 3
        if len(buf) < size:
            return self._refuse("truncated", len(buf)) if final else None
        frame = bytes(buf[:size])
        if frame[-1] != END:
            return self._refuse("end", size)
        if crc16(frame[1:-1]):
            return self._refuse("crc", size, {"crc_ok": False})
        return self._message(frame, size)

    def _message(self, frame: bytes, size: int) -> Step:
        panel, code, body = frame[1], frame[2], frame[HEAD_BYTES:-3]
        fields: dict[str, object] = {"panel": panel, "code": code, "crc_ok": True}
        if code == POLL:
            return Step(size=size, fields={"kind": "poll", "event": None, **fields})
        if code == RESET:
            return Step(size=size, fields={"kind": "reset", "event": "reset", **fields})
        event = _EVENTS.get(code)
        if event is None:
            return Step(size=size, refused=f"unknown_code {code}", fields=fields, sound=True)
        count = body[0] | body[1] << 8 if len(body) >= 2 else 0
        if len(body) != 2 + count * RECORD_BYTES or not count:
            if event != "fire":
                return Step(size=size, refused="count", fields=fields, sound=True)
            fields["count_ok"] = False  # the CRC holds and the code says fire: a count must not hide it
            count = min(count, max(0, len(body) - 2) // RECORD_BYTES)
            if not count:
                return Step(size=size, fields={**fields, "event": event})
        pieces = [body[2 + n * RECORD_BYTES : 2 + (n + 1) * RECORD_BYTES] for n in range(count)]
        records = [_record(piece) for piece in pieces]
        told = [self._told(record, event) for record in records]
        return Step(size=size, fields={**fields, "event": event, "records": records, "events": told})

    def _told(self, record: Mapping[str, object], event: str) -> dict[str, object]:
        if event == "fault":
            event = _LOOP_EVENTS.get(int(str(record["loop"])), event)
        told = {**record, "event": event, "location_text": record["text"]}
        if event == "fire" and record["type"] in self._manual_types:
            told["manual"] = True
        return told

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        inner = self._buf.find(START, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why, fields=fields)


def _record(piece: bytes) -> dict[str, object]:
    year, month, day, hour, minute = (bcd(byte) for byte in piece[7:12])
    good = None not in (year, month, day, hour, minute)
    text, _ = decode_quwei(piece[12:32])
    return {
        "panel": piece[0],
        "loop": piece[1],
        "point": piece[2],
        "zone": piece[3] | piece[4] << 8,
        "type": piece[5],
        "status": piece[6],
        "time": f"20{year:02d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}" if good else None,
        "text": text or None,
    }


def confirm(panel: int) -> bytes:
    """The answer to everything: code 100, body 100."""
    return _frame(panel, POLL, bytes((POLL,)))


def encode_event(code: int, records: list[tuple[int, int, int, int]]) -> bytes:
    """An event frame of panel 1, for simulators and tests: records of loop, point, type, status."""
    body = len(records).to_bytes(2, "little")
    for loop, point, kind, status in records:
        body += bytes((1, loop, point, 0, 0, kind, status, 0x26, 0x01, 0x01, 0x00, 0x00)) + b"\xff" * 20
    return _frame(1, code, body)


def encode_reset() -> bytes:
    """The reset of panel 1, for simulators and tests."""
    return _frame(1, RESET, b"")


def _frame(panel: int, code: int, body: bytes) -> bytes:
    inner = bytes((panel, code)) + len(body).to_bytes(2, "little") + body
    return bytes((START,)) + inner + crc16(inner).to_bytes(2, "little") + bytes((END,))
