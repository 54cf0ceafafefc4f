"""GST CRT500 port (海湾): the host polls with `addr 00` and a mark bit, the panel echoes, `0F`, one frame, `1F`.

Panel frames end in BB; events carry the sum of their payload (B5 is sent for BB). The first byte has F for its high digit
when the panel repeats a frame that got no 1F. Host commands exist (reset, silence) and are never sent.
Source: georgewzy/KS_old_gateway, 海湾232通讯协议.txt and the GSTCOM DH9000 note; 5 frames check.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, bcd, noise

END: Final = 0xBB
END_IN_SUM: Final = 0xB5  # sent when the sum itself would be BB
ASK, TAKEN = 0x0F, 0x1F
ADDRESS_MAX: Final = 0x7F
RESEND_NS: Final = 10 * 10**9  # a resent frame this close to its original tells nothing new


@dataclass(frozen=True, slots=True)
class _Shape:
    kind: str
    size: int
    resend: bool = False


def _shapes() -> dict[tuple[int, int], _Shape]:
    shapes = {(0xF0, 0xF0): _Shape("idle", 3), (0x0A, 0xAB): _Shape("silence", 3), (0xFA, 0xAB): _Shape("silence", 3)}
    twice = (
        (0x0D, 0xDD, "alarm", 9),
        (0x0E, 0xEE, "fault", 9),
        (0x09, 0x99, "residual", 10),
        (0x0A, 0xAA, "reset", 3),
        (0x0C, 0xCC, "test", 9),
        (0x0B, 0xBB, "power_lost", 9),
    )
    for first, second, kind, size in twice:
        shapes[first, second] = _Shape(kind, size)
        shapes[0xF0 | first, second] = _Shape(kind, size, resend=True)
    shapes[0xCB, 0xCB] = _Shape("state", 5)
    shapes[0xFB, 0xCB] = _Shape("state", 5, resend=True)
    return shapes


_SHAPES: Final = _shapes()
_FIRST: Final = frozenset(first for first, _ in _SHAPES)
_PAYLOAD_AT: Final = 2

# Alarm status by what the point is: (fire detector, supervisory device, acting device). 10, 20 and 30 take back the fault
# frames' 20, 30 and 40, not the alarm: a mended detector must not clear a fire.
_ALARM_STATUS: Final[Mapping[int, tuple[str, str, str]]] = {
    0x01: ("fire", "supervisory", "feedback"),
    0x00: ("fire_restore", "supervisory_restore", "stop"),
    0x02: ("start", "start", "start"),
    0x03: ("stop", "stop", "stop"),
    0x04: ("test", "test", "test"),
    0x40: ("test_restore", "test_restore", "test_restore"),
    0x05: ("fault", "fault", "fault"),
    0x10: ("fault_restore", "fault_restore", "fault_restore"),
    0x20: ("fault_restore", "fault_restore", "fault_restore"),
    0x30: ("fault_restore", "fault_restore", "fault_restore"),
    0x50: ("fault_restore", "fault_restore", "fault_restore"),
}
_ALARM_STATUS_UNKNOWN: Final = ("unknown", "supervisory", "fault")  # a fire detector with a status nobody wrote down
_ALARM_REASONS: Final = {0x05: "power_lost", 0x10: "damaged", 0x20: "power_lost", 0x30: "sensor", 0x50: "power_lost"}
_NORMAL: Final = 0x00  # of test, power-lost and residual-current frames; anything else is on
_FAULT_STATUS: Final[Mapping[int, tuple[str, str]]] = {
    0x00: ("fault", ""),
    0x01: ("isolate", ""),
    0x03: ("delay", ""),
    0x04: ("delay_restore", ""),
    0x05: ("test", ""),
    0x06: ("test_restore", ""),
    0x10: ("isolate_restore", ""),
    0x20: ("fault", "damaged"),
    0x30: ("fault", "power_lost"),
    0x40: ("fault", "sensor"),
}


class GstCrt500(Codec):
    """`supervisory_types`, `acting_above`: which device types are no fire detectors (status 01 then means something else)."""

    name: ClassVar[str] = "gst-crt500"
    quiet_s = 0.06  # 2400 baud, 11 bits: 4.6 ms a character, and an adapter may hold bytes for 16 ms

    def __init__(
        self,
        *,
        device_types: Mapping[int, str],
        supervisory_types: frozenset[int],
        acting_above: int,
        manual_types: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(dedupe_s=RESEND_NS / 1e9)
        self._device_types = device_types
        self._supervisory_types = supervisory_types
        self._acting_above = acting_above
        self._manual_types = manual_types
        self.expect_echo: int | None = None  # the address the host asked last

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        first = buf[0]
        if len(buf) < 2:
            return self._single(first) if final else None
        shape = _SHAPES.get((first, buf[1]))
        if shape is not None:
            if len(buf) < shape.size:
                return self._refuse("truncated", len(buf)) if final else None
            return self._frame(shape, bytes(buf[: shape.size]))
        if buf[1] == 0 and 0 < first <= ADDRESS_MAX:
            self.expect_echo = first
            fields = {"kind": "poll", "event": None, "direction": "host_to_panel", "address": first}
            return Step(size=2, fields=fields)
        return self._single(first)

    def _single(self, value: int) -> Step:
        if value == self.expect_echo:
            self.expect_echo = None
            return Step(size=1, fields={"kind": "echo", "event": None, "direction": "panel_to_host", "address": value})
        if value in (ASK, TAKEN):
            kind = "poll" if value == ASK else "ack"
            return Step(size=1, fields={"kind": kind, "event": None, "direction": "host_to_panel"})
        size = 1
        while size < len(self._buf) and self._is_noise(self._buf[size]):
            size += 1
        return noise(size)

    def _is_noise(self, value: int) -> bool:
        """Whether nothing known begins with this byte."""
        return value > ADDRESS_MAX and value not in _FIRST

    def _frame(self, shape: _Shape, frame: bytes) -> Step:
        if frame[-1] != END:
            return self._refuse("end", len(frame))
        fields: dict[str, object] = {"kind": shape.kind, "event": None}
        if shape.kind in ("reset", "silence"):
            fields["event"] = shape.kind
        if shape.size > 3:
            payload = frame[_PAYLOAD_AT:-2]
            fields |= self._payload(shape.kind, payload)
            # The residual frame has a sixth payload byte; whether the sum takes it in is not on file, so either counts.
            sums = {sum(payload) & 0xFF, sum(payload[:5]) & 0xFF}
            fields["sum_ok"] = frame[-2] in {END_IN_SUM if value == END else value for value in sums}
            if not fields["sum_ok"]:
                return self._refuse("sum", len(frame), {**fields, "event": None})
        if shape.resend:
            fields["resend"] = True
        return Step(size=len(frame), fields=fields)

    def _payload(self, kind: str, payload: bytes) -> dict[str, object]:
        if kind == "state":
            state = payload[0]
            bits = {"auto": bool(state & 0x80), "manual": bool(state & 0x40), "spray": bool(state & 0x20)}
            return {"status": state, "state_byte": state, **bits}
        device_type, status = bcd(payload[3]), payload[4]
        fields: dict[str, object] = {"event": None, "user_code": payload[:3].hex(), "device_type": device_type}
        if device_type is None:
            fields["device_type_raw"] = f"{payload[3]:02x}"
        elif device_type in self._device_types:
            fields["device_type_text"] = self._device_types[device_type]
        fields["status"] = status
        if kind == "alarm":
            fields |= self._alarm(device_type, status)
        elif kind == "fault":
            event, reason = _FAULT_STATUS.get(status, ("fault", "unknown_status"))
            fields["event"] = event
            if reason:
                fields["reason"] = reason
        elif kind == "residual":
            fields["event"] = "electrical_restore" if status == _NORMAL else "electrical_alarm"
            fields["residual_mA"] = payload[5]
        elif kind == "test":
            fields["event"] = "test_restore" if status == _NORMAL else "test"
        else:
            fields |= {"event": "fault_restore" if status == _NORMAL else "fault", "reason": "power_lost"}
        return fields

    def _alarm(self, device_type: int | None, status: int) -> dict[str, object]:
        what = 0  # also for a type that is no number: what may be a detector is one
        if device_type in self._supervisory_types:
            what = 1
        elif device_type is not None and device_type > self._acting_above:
            what = 2
        event = _ALARM_STATUS.get(status, _ALARM_STATUS_UNKNOWN)[what]
        fields: dict[str, object] = {"event": event}
        if status in _ALARM_REASONS:
            fields["reason"] = _ALARM_REASONS[status]
        elif status not in _ALARM_STATUS:
            fields["reason"] = "unknown_status"
        if event == "fire" and device_type in self._manual_types:
            fields["manual"] = True
        return fields

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        at = 1
        while at < length:
            last = at + 1 >= len(self._buf)
            if self._buf[at] in _FIRST and (last or (self._buf[at], self._buf[at + 1]) in _SHAPES):
                break
            at += 1
        return Step(size=at, length=length, refused=why, fields=fields)

    def _is_repeat(self, fields: Mapping[str, object], raw: bytes, now_ns: int) -> bool:
        # Only what the panel itself marks as sent again can be a copy; the same alarm sent anew is a new one.
        content = bytes((raw[0] & 0x0F,)) + raw[1:]
        if fields.get("resend"):
            return self._known((content,), now_ns)
        self._known((), now_ns, remember=(content,))
        return False


def encode_event(first: int, user_code: str, device_type: int, status: int, *, residual_ma: int | None = None) -> bytes:
    """An event frame, for simulators and tests: `first` 0D alarm, 0E fault, 09 residual; `device_type` decimal."""
    payload = bytes.fromhex(user_code) + bytes((device_type // 10 * 16 + device_type % 10, status))
    if residual_ma is not None:
        payload += bytes((residual_ma,))
    check = sum(payload) & 0xFF
    low = first & 0x0F
    return bytes((first, low << 4 | low)) + payload + bytes((END_IN_SUM if check == END else check, END))
