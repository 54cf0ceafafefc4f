"""Fosaier (福赛尔) V3818, V6851 electrical-fire host on its CRT port: 66 F0, address, command, loop, point, three data bytes, FD.

99 heartbeat (11 s), 25 sync, 20 reset, 12 and 13 mains and battery (loop byte 1: fault), the rest are events with hour, minute and
second in the low six bits. 10 is a live value and 17 the value at an alarm: two bytes big-endian, then 0 for mA and 1 for degrees.
On residual-current hosts the top three bits of the loop are the channel. There is no checksum: ten bytes with the right ends.
Source: KS_old_gateway doc/福赛尔电气火灾V3818.
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, noise

HEAD: Final = b"\x66\xf0"
END: Final = 0xFD
FRAME_BYTES: Final = 10
HEARTBEAT, SYNC, LIVE, AT_ALARM, RESET, MAINS, BATTERY = 0x99, 0x25, 0x10, 0x17, 0x20, 0x12, 0x13
_QUANTITIES: Final = {0: ("residual_current", "mA"), 1: ("temperature", "degC")}


class FseV3818(Codec):
    """`commands`: command byte -> event."""

    name: ClassVar[str] = "fse-v3818"
    quiet_s = 0.2

    def __init__(self, *, commands: Mapping[int, str]) -> None:
        super().__init__()
        self._commands = commands

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = buf.find(HEAD)
        if start < 0:
            if final:
                return noise(len(buf))
            return (
                noise(len(buf) - 1)
                if buf[-1] == HEAD[0] and len(buf) > 1
                else None
                if buf[-1] == HEAD[0]
                else noise(len(buf))
            )
        if start:
            return noise(start)
        if len(buf) < FRAME_BYTES:
            return self._refuse("truncated", len(buf)) if final else None
        frame = bytes(buf[:FRAME_BYTES])
        if frame[-1] != END:
            return self._refuse("end", FRAME_BYTES)
        return self._frame(frame)

    def _frame(self, frame: bytes) -> Step:
        address, command, loop, point = frame[2:6]
        d1, d2, d3 = frame[6:9]
        if command in (HEARTBEAT, SYNC):
            return Step(size=FRAME_BYTES, fields={"kind": "heartbeat", "event": None, "panel": address})
        if command == RESET:
            return Step(size=FRAME_BYTES, fields={"kind": "reset", "event": "reset", "panel": address})
        if command in (MAINS, BATTERY):
            word = "mains" if command == MAINS else "battery"
            return Step(
                size=FRAME_BYTES,
                fields={"kind": "event", "event": f"{word}_{'fault' if loop else 'ok'}", "panel": address},
            )
        fields: dict[str, object] = {"panel": address, "loop": loop & 0x1F, "channel": loop >> 5, "point": point}
        if command in (LIVE, AT_ALARM):
            if d3 not in _QUANTITIES:
                return Step(size=FRAME_BYTES, refused=f"unknown_quantity {d3:02X}", fields=fields, sound=True)
            quantity, unit = _QUANTITIES[d3]
            kind = "live_value" if command == LIVE else "alarm_value"
            fields |= {"quantity": quantity, "value": d1 << 8 | d2, "unit": unit}
            return Step(size=FRAME_BYTES, fields={"kind": kind, "event": None, **fields})
        fields["time"] = f"{d1 & 0x3F:02d}:{d2 & 0x3F:02d}:{d3 & 0x3F:02d}"
        known = self._commands.get(command)
        if known is None:
            return Step(size=FRAME_BYTES, refused=f"unknown_command {command:02X}", fields=fields, sound=True)
        return Step(size=FRAME_BYTES, fields={"kind": "event", "event": known, **fields})

    def _refuse(self, why: str, length: int) -> Step:
        inner = self._buf.find(HEAD, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why)


def encode(command: int, loop: int = 0, point: int = 0, data: bytes = bytes(3)) -> bytes:
    """One frame, for simulators and tests."""
    return HEAD + bytes((0, command, loop, point)) + data + bytes((END,))
