"""GST user transmission device (海湾 用户信息传输装置) on RS-232: 31 bytes, one decimal or hexadecimal digit in each.

0D 0B 0C, five user digits, two bytes of event, eleven address digits (six higher ones, three zone, two point), time as month,
day, hour, minute, second in nine digits (the month is one: 0A is October), check: the low four bits of the sum of bytes 3-29.
Sent every 5 s until the centre answers 0A. A link test is 0A 0A, five user digits, sum: eight bytes; whether that sum is cut to
its low four bits the document does not say, either counts. A manual fire has the device type in the second address digit.
Source: KS_old_gateway, 海湾传输设备协议.docx; ten frames check.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Frame, Step, noise

HEAD: Final = b"\x0d\x0b\x0c"
TEST_HEAD: Final = b"\x0a\x0a"
FRAME_BYTES, TEST_BYTES = 31, 8
ANSWER: Final = b"\x0a"


class GstUtdDigit(Codec):
    """`events`: the two event bytes as one number -> event, 0x0001 fire. `manual_events`: those that bring a device type."""

    name: ClassVar[str] = "gst-utd-digit"
    quiet_s = 0.5

    def __init__(self, *, events: Mapping[int, str], dedupe_s: float = 30.0) -> None:
        super().__init__(dedupe_s=dedupe_s)
        self._events = events

    def reply(self, frame: Frame) -> bytes:
        """The panel repeats a frame every 5 s until it hears this."""
        return ANSWER if frame.fields.get("kind") in ("event", "link_test") else b""

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = min((at for head in (HEAD, TEST_HEAD) if (at := buf.find(head)) >= 0), default=-1)
        if start < 0:
            if final:
                return noise(len(buf))
            keep = 2 if buf.endswith(HEAD[:2]) else 1 if buf[-1] in (HEAD[0], TEST_HEAD[0]) else 0
            return noise(len(buf) - keep) if len(buf) > keep else None
        if start:
            return noise(start)
        size = FRAME_BYTES if buf.startswith(HEAD) else TEST_BYTES
        if len(buf) < size:
            return self._refuse("truncated", len(buf)) if final else None
        frame = bytes(buf[:size])
        if any(byte > 0x0F for byte in (frame[:-1] if size == TEST_BYTES else frame)):
            return self._refuse("not_digits", size)
        return self._link_test(frame) if size == TEST_BYTES else self._event(frame)

    def _link_test(self, frame: bytes) -> Step:
        total = sum(frame[2:7])
        if frame[7] not in (total, total & 0x0F):
            return self._refuse("sum", TEST_BYTES)
        fields = {"kind": "link_test", "event": None, "user_digits": _digits(frame[2:7]), "sum_ok": True}
        return Step(size=TEST_BYTES, fields=fields)

    def _event(self, frame: bytes) -> Step:
        sum_ok = sum(frame[3:30]) & 0x0F == frame[30]
        code = frame[8] << 8 | frame[9]
        fields: dict[str, object] = {
            "kind": "event",
            "code": frame[8:10].hex(" ").upper(),
            "user_digits": _digits(_user(frame)),
            "address_digits": _digits(frame[10:21]),
            "month": frame[21],
            "day": frame[22] * 10 + frame[23],
            "time": ":".join(f"{frame[at] * 10 + frame[at + 1]:02d}" for at in (24, 26, 28)),
            "sum_ok": sum_ok,
        }
        event = self._events.get(code)
        if event == "fire_manual":
            fields["device_type"] = frame[11]
        fields |= {"zone": _number(frame[16:19]), "point": _number(frame[19:21])}
        if not sum_ok:
            return self._refuse("sum", FRAME_BYTES, fields | {"event": None, "refused_event": event})
        if event is None:
            return Step(size=FRAME_BYTES, refused=f"unknown_event {code:04X}", fields=fields, sound=True)
        return Step(size=FRAME_BYTES, fields=fields | {"event": event})

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        inner = self._buf.find(HEAD, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why, fields=fields)


def _user(frame: bytes) -> bytes:
    return frame[3:8]


def _digits(data: bytes) -> str:
    return "".join(f"{byte:X}" for byte in data)


def _number(data: bytes) -> int:
    value = 0
    for digit in data:
        value = value * 10 + digit
    return value


def encode_event(code: int, zone: int, point: int, *, user: str = "51008") -> bytes:
    """The 31 bytes of an event, for simulators and tests."""
    body = [int(digit) for digit in user] + [code >> 8, code & 0xFF] + [0] * 6
    body += [int(digit) for digit in f"{zone:03d}{point:02d}"] + [10, 1, 7, 1, 1, 1, 7, 4, 1]
    return HEAD + bytes(body) + bytes((sum(body) & 0x0F,))


def encode_link_test(user: str = "51008") -> bytes:
    """The eight bytes of a link test, for simulators and tests."""
    digits = bytes(int(digit) for digit in user)
    return TEST_HEAD + digits + bytes((sum(digits) & 0x0F,))
