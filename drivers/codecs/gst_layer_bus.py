"""GST floor-display bus (海湾 层显): the panel talks only, every frame three times.

AA, kind, then by kind: 24 bytes for an event (user code BCD x3, device type, header sum of bytes 0-5, 00 nn and seven
characters, sum of bytes 0-22), 7 for reset and keepalive (sum of bytes 0-5), 7 without a sum for the echo after a fire,
4 for the short idle. The header has its own sum, so an event is told although its text is damaged.
Source: site captures in georgewzy/KS_old_gateway, doc/海湾GST5000 and FAC_10025; 8 event frames check.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, noise
from drivers.codecs.text import decode_quwei

START: Final = 0xAA
RESET_OR_IDLE, KEEPALIVE, AFTER_FIRE = 0x04, 0x08, 0x01
EVENT_BYTES, HEADER_BYTES, SHORT_BYTES, IDLE_BYTES = 24, 7, 7, 4
_IDLE: Final = b"\xaa\x04\x00\x00"
_RESET_PAYLOAD: Final = b"\x55\x55\x55\x55"
_TEXT: Final = slice(9, 23)  # seven characters; bytes 7 and 8 are 00 and 1 or 2, unknown


class GstLayerBus(Codec):
    """`kinds`: kind byte of the 24-byte frames -> event. `manual_types`: device types that are manual call points."""

    name: ClassVar[str] = "gst-layer-bus"
    quiet_s = 0.3  # 2400 baud: a character takes 4 ms

    def __init__(
        self,
        *,
        kinds: Mapping[int, str],
        device_types: Mapping[int, str],
        manual_types: frozenset[int] = frozenset(),
        dedupe_s: float = 1.0,
    ) -> None:
        super().__init__(dedupe_s=dedupe_s)
        self._kinds = kinds
        self._device_types = device_types
        self._manual_types = manual_types
        self._known_kinds = frozenset(kinds) | {RESET_OR_IDLE, KEEPALIVE, AFTER_FIRE}
        self._read: tuple[bytes, Step] | None = None  # the last sound event frame: two copies of it follow

    def _next(self, final: bool) -> Step | None:
        start = self._buf.find(START)
        if start:
            return noise(start if start > 0 else len(self._buf))
        if len(self._buf) < 2:
            return noise(1) if final else None
        kind = self._buf[1]
        if kind in self._kinds:
            return self._event(kind, final)
        if kind == RESET_OR_IDLE and self._buf.startswith(_IDLE):
            return Step(size=IDLE_BYTES, fields={"kind": "idle", "event": None})
        if kind not in self._known_kinds:
            return noise(1)
        if kind == RESET_OR_IDLE and len(self._buf) < IDLE_BYTES and not final:
            return None
        if len(self._buf) < SHORT_BYTES:
            return self._refuse("truncated", len(self._buf)) if final else None
        return self._short(kind)

    def _short(self, kind: int) -> Step:
        frame = bytes(self._buf[:SHORT_BYTES])
        if kind == AFTER_FIRE:
            if frame[4:] != b"\0\0\0":
                return self._refuse("after_fire_end", SHORT_BYTES)
            ends = f"{frame[2]:02x}__{frame[3]:02x}"
            return Step(size=SHORT_BYTES, fields={"kind": "after_fire", "event": None, "user_code_ends": ends})
        sum_ok = sum(frame[:-1]) & 0xFF == frame[-1]
        if not sum_ok:
            return self._refuse("sum", SHORT_BYTES, {"sum_ok": False})
        if kind == KEEPALIVE:
            fields = {"kind": "keepalive", "event": None, "bcd": frame[2:4].hex(), "sum_ok": True}
            return Step(size=SHORT_BYTES, fields=fields)
        if frame[2:6] != _RESET_PAYLOAD:
            return self._refuse("unknown_payload", SHORT_BYTES, {"sum_ok": True}, sound=True)
        return Step(size=SHORT_BYTES, fields={"kind": "reset", "event": "reset", "sum_ok": True})

    def _event(self, kind: int, final: bool) -> Step | None:
        if len(self._buf) < EVENT_BYTES and not final:
            return None
        frame = bytes(self._buf[:EVENT_BYTES])
        if self._read is not None and self._read[0] == frame:
            return self._read[1]
        header_ok = len(frame) >= HEADER_BYTES and sum(frame[:6]) & 0xFF == frame[6]
        sum_ok = len(frame) == EVENT_BYTES and sum(frame[:-1]) & 0xFF == frame[-1]
        event = self._kinds[kind]
        if not (header_ok or sum_ok):
            read: dict[str, object] = {"header_sum_ok": False, "sum_ok": False, "refused_event": event}
            whole = len(frame) == EVENT_BYTES
            return self._refuse("header_sum" if whole else "truncated", len(frame), read)
        fields: dict[str, object] = {"kind": "event", "event": event, "user_code": frame[2:5].hex()}
        fields["device_type"] = frame[5]
        if frame[5] in self._device_types:
            fields["device_type_text"] = self._device_types[frame[5]]
        text, good = decode_quwei(frame[_TEXT])
        fields["location_text"] = text
        if not good:
            fields["location_raw"] = frame[_TEXT].hex()
        fields |= {"header_sum_ok": header_ok, "sum_ok": sum_ok}
        if event == "fire" and frame[5] in self._manual_types:
            fields["manual"] = True
        # Bytes may be missing from a damaged text: the next frame is then inside this one.
        size = len(frame) if sum_ok else self._resync(HEADER_BYTES, len(frame))
        step = Step(size=size, length=len(frame), fields=fields)
        if sum_ok:
            self._read = frame, step
        return step

    def _refuse(
        self, why: str, length: int, fields: Mapping[str, object] | None = None, *, sound: bool = False
    ) -> Step:
        return Step(size=self._resync(1, length), length=length, refused=why, fields=fields, sound=sound)

    def _resync(self, first: int, length: int) -> int:
        """Where in the buffer, from `first` on, another frame may begin; `length` if nowhere before it."""
        at = first - 1
        while (at := self._buf.find(START, at + 1, length)) >= 0:
            if at + 1 >= len(self._buf) or self._buf[at + 1] in self._known_kinds:
                return at
        return length

    def _is_repeat(self, fields: Mapping[str, object], raw: bytes, now_ns: int) -> bool:
        if fields["event"] == "reset":
            return self._known((raw,), now_ns)
        header = raw[:6]
        whole, damaged, any_form = b"=" + raw, b"!" + header, b"?" + header
        if fields["sum_ok"]:
            return self._known((whole, damaged), now_ns, remember=(whole, any_form))
        # The text is not to be believed: the same header within a second is one of the three copies.
        return self._known((any_form,), now_ns, remember=(damaged, any_form))


def encode_event(kind: int, user_code: str, device_type: int, text: str = "") -> bytes:
    """The 24-byte frame of an event, for simulators and tests: `user_code` six hex digits, `text` up to seven characters."""
    body = bytes((START, kind)) + bytes.fromhex(user_code) + bytes((device_type,))
    body += bytes((sum(body) & 0xFF, 0, 1))
    for character in text.ljust(7)[:7]:
        if character.isascii():
            body += bytes((0, ord(character)))
        else:
            row, cell = (byte - 0xA0 for byte in character.encode("gb2312"))
            body += bytes((row // 10 * 16 + row % 10, cell // 10 * 16 + cell % 10))
    return body + bytes((sum(body) & 0xFF,))


def encode_short(kind: int, payload: bytes) -> bytes:
    """The 7-byte frame of a reset (04, 55 x4) or keepalive (08, BCD twice)."""
    body = bytes((START, kind)) + payload
    return body + bytes((sum(body) & 0xFF,))
