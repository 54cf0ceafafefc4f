"""Aorina (奥瑞那) OZH4800 by its OXX20 converter: "@", three letters, X, digits, CRC, "#", all ASCII.

X is one random digit, and each digit of the fields travels as the character digit + X - 9 (27H..39H). Fields: machine 2, loop 3,
point 3, YYMMDDhhmm; a patrol has the machine only. The CRC is CRC-16/GENIBUS over everything before it, as two decimals of
three digits, high and low, not shifted. Patrols never stop: their absence is a fault of the line.
Source: KS_old_gateway FAC_10019, protocol V1.0; 48 unique frames check.
"""

import binascii
from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, noise

START, END = 0x40, 0x23
CRC_CHARS: Final = 6
FRAME_BYTES_MAX: Final = 48
PATROL: Final = "XJ1"
_PATROL_DIGITS, _EVENT_DIGITS = 2, 18


class AorinaOxx20(Codec):
    """`tags`: the three letters -> event."""

    name: ClassVar[str] = "aorina-oxx20"
    quiet_s = 0.3

    def __init__(self, *, tags: Mapping[str, str]) -> None:
        super().__init__()
        self._tags = tags

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = buf.find(START)
        if start:
            return noise(start if start > 0 else len(buf))
        end = buf.find(END, 1, FRAME_BYTES_MAX)
        if end < 0:
            if len(buf) >= FRAME_BYTES_MAX:
                return self._refuse("too_long", FRAME_BYTES_MAX)
            return self._refuse("truncated", len(buf)) if final else None
        inner = buf.rfind(START, 1, end)
        if inner > 0:  # one was broken off, another begins
            return Step(size=inner, refused="broken_off", length=inner)
        return self._message(bytes(buf[: end + 1]), end + 1)

    def _message(self, frame: bytes, size: int) -> Step:
        if len(frame) < 1 + 3 + 1 + _PATROL_DIGITS + CRC_CHARS + 1:
            return self._refuse("too_short", size)
        body, crc, code = frame[:-7], frame[-7:-1], frame[1:4].decode("latin-1")
        if not code.isascii() or not chr(frame[4]).isdecimal():
            return self._refuse("no_digit_for_x", size)
        shift = frame[4] - 0x30
        fields: dict[str, object] = {"code": code, "shift": shift}
        fields["crc_ok"] = crc == crc_chars(body)
        if not fields["crc_ok"]:
            return self._refuse("crc", size, fields)
        digits = "".join(str(byte - 0x30 - shift + 9) for byte in frame[5:-7])
        if len(digits) != len(frame) - 12 or not digits.isdecimal():
            return self._refuse("not_digits", size, fields)
        if code == PATROL and len(digits) == _PATROL_DIGITS:
            return Step(size=size, fields={"event": None, **fields, "kind": "patrol", "panel": int(digits)})
        if len(digits) != _EVENT_DIGITS:
            return Step(size=size, refused="digit_count", fields=fields, sound=True)
        when = digits[8:]
        fields |= {
            "panel": int(digits[:2]),
            "loop": int(digits[2:5]),
            "point": int(digits[5:8]),
            "time": f"20{when[:2]}-{when[2:4]}-{when[4:6]} {when[6:8]}:{when[8:]}",
        }
        event = self._tags.get(code)
        if event is None:
            return Step(size=size, refused=f"unknown_code {code}", fields=fields, sound=True)
        return Step(size=size, fields={"event": event, **fields})

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        inner = self._buf.find(START, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why, fields=fields)


def crc_chars(body: bytes) -> bytes:
    """CRC-16/GENIBUS of `body` (poly 1021, init FFFF, inverted), as the converter writes it."""
    crc = binascii.crc_hqx(body, 0xFFFF) ^ 0xFFFF
    return b"%03d%03d" % (crc >> 8, crc & 0xFF)


def encode(code: str, panel: int, loop: int | None = None, point: int | None = None, *, shift: int = 5) -> bytes:
    """One frame, for simulators and tests; without a loop it is a patrol."""
    digits = f"{panel:02d}" if loop is None else f"{panel:02d}{loop:03d}{point or 0:03d}2601010000"
    shown = bytes(0x30 + int(digit) + shift - 9 for digit in digits)
    body = b"@" + code.encode() + bytes((0x30 + shift,)) + shown
    return body + crc_chars(body) + b"#"
