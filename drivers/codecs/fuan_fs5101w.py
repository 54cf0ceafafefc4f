"""Fuan (赋安) FS5101W on its CRT port, V1.1 for third parties.

F0, address, length, command, data, CRC-16/XMODEM high first. Length counts command and data; the CRC covers address to data.
A1 reset, A2 the panel's poll (answered within 100 ms, or the panel reports its computer missing and stops sending; the answer
can ask for all events again), A4 clock, A5 event. What happened is the event's `state`, not its attribute: restores come under
attribute C2. Source: KS_old_gateway doc/赋安.
"""

import binascii
from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Frame, Step, noise
from drivers.codecs.text import decode_quwei

START: Final = 0xF0
RESET, POLL, CLOCK, EVENT = 0xA1, 0xA2, 0xA4, 0xA5
RESEND_ALL: Final = 0xA1
HEAD_BYTES, LENGTH_MAX = 3, 64
EVENT_LENGTH, EVENT_TEXT_LENGTH = 20, 40
_ATTRIBUTES: Final = {0xC1: "start", 0xC2: "fault", 0xC3: "fire", 0xC5: "isolate", 0xC6: "other"}
_INFO_TYPES: Final = {
    1: "detector",
    2: "module",
    3: "loop",
    4: "mains",
    5: "battery",
    6: "computer",
    7: "display",
    8: "multi_line",
    9: "panel",
    0xA: "net",
    0xB: "charger",
    0xC: "board",
}
_SUPPLIES: Final[Mapping[str, str]] = {"mains": "mains", "battery": "battery"}


class FuanFs5101w(Codec):
    """`states`: state byte -> event. After our start the next answer asks for every event again."""

    name: ClassVar[str] = "fuan-fs5101w"
    quiet_s = 0.1

    def __init__(self, *, states: Mapping[int, str]) -> None:
        super().__init__()
        self._states = states
        self._ask_all = True

    def reply(self, frame: Frame) -> bytes:
        """A2 wants its answer within 100 ms."""
        address = frame.fields.get("address")
        if frame.fields.get("kind") != "poll" or not isinstance(address, int):
            return b""
        ask_all, self._ask_all = self._ask_all, False
        return answer(address, resend_all=ask_all)

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = buf.find(START)
        if start:
            return noise(start if start > 0 else len(buf))
        if len(buf) < HEAD_BYTES + 1:
            return self._refuse("truncated", len(buf)) if final else None
        length = buf[2]
        if not 1 <= length <= LENGTH_MAX or buf[3] not in (RESET, POLL, CLOCK, EVENT):
            return noise(1)
        size = HEAD_BYTES + length + 2
        if len(buf) < size:
            return self._refuse("truncated", len(buf)) if final else None
        frame = bytes(buf[:size])
        if binascii.crc_hqx(frame[1:], 0):  # of a sound frame, its own CRC included, it is 0
            return self._refuse("crc", size, {"crc_ok": False})
        return self._message(frame, size)

    def _message(self, frame: bytes, size: int) -> Step:
        command, data = frame[3], frame[4:-2]
        fields: dict[str, object] = {"crc_ok": True, "address": frame[1]}
        if command == RESET:
            return Step(size=size, fields={"kind": "reset", "event": "reset", **fields})
        if command == POLL:
            if len(data) == 2:
                fields |= {"kind": "poll_reply", "direction": "host_to_panel", "resend_all": data[0] == RESEND_ALL}
                return Step(size=size, fields={"event": None, **fields})
            return Step(size=size, fields={"kind": "poll", "event": None, **fields})
        if command == CLOCK:
            return Step(size=size, fields={"kind": "clock", "event": None, **fields})
        if len(data) not in (EVENT_LENGTH - 1, EVENT_TEXT_LENGTH - 1):
            if data[:1] == b"\xc3":  # a fire of another length: its CRC holds
                return Step(size=size, fields={**fields, "kind": "event", "event": "unknown", "attribute": "fire"})
            return Step(size=size, refused="event_length", fields=fields, sound=True)
        return self._event(data, fields, size)

    def _event(self, data: bytes, fields: dict[str, object], size: int) -> Step:
        attribute, info, state, net, panel = data[:5]
        year, month, day, hour, minute, second = data[5:11]
        loop, point, building, zone, floor = data[11:16]
        info_type = _INFO_TYPES.get(info, f"0x{info:02X}")
        event = self._states.get(state)
        if event in ("fault", "fault_restore") and info_type in _SUPPLIES and state in (0x09, 0x0A):
            told = f"{_SUPPLIES[info_type]}_{'fault' if event == 'fault' else 'ok'}"
        else:
            told = event or ""
        fields |= {
            "kind": "event",
            "attribute": _ATTRIBUTES.get(attribute, f"0x{attribute:02X}"),
            "info_type": info_type,
            "state": event or f"0x{state:02X}",
            "net": net,
            "panel": panel,
            "time": f"20{year:02d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}",
            "loop": loop,
            "point": point,
            "building": building,
            "zone": zone,
            "floor": floor,
            "number": data[16] | data[17] << 8,
            "device_type": data[18],
        }
        if (loop, point) == (0, 0) and event in ("fault", "fault_restore") and info in _INFO_TYPES:
            fields["point_id"] = f"{panel}-{info_type}"  # the end of the charger's fault is not that of the net
        if len(data) == EVENT_TEXT_LENGTH - 1:
            fields["location_text"], _ = decode_quwei(data[19:39])
        if event is None:
            if attribute == 0xC3:  # the panel calls it a fire: an unknown state must not hide it
                return Step(size=size, fields={**fields, "event": "fire", "state_known": False})
            return Step(size=size, refused=f"unknown_state {state:02X}", fields=fields, sound=True)
        several = [{**fields, "event": told}] if told != event else []
        return Step(size=size, fields={**fields, "event": event, **({"events": several} if several else {})})

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        inner = self._buf.find(START, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why, fields=fields)


def answer(address: int, *, resend_all: bool = False) -> bytes:
    """What the panel's poll wants to hear."""
    return _frame(address, bytes((POLL, RESEND_ALL if resend_all else 0, 0)))


def poll(address: int) -> bytes:
    """The panel's poll, for simulators and tests."""
    return _frame(address, bytes((POLL,)))


def encode_event(state: int, loop: int, point: int, *, attribute: int = 0xC3, info: int = 1) -> bytes:
    """An event, for simulators and tests."""
    when = bytes((26, 1, 1, 0, 0, 0))
    data = bytes((EVENT, attribute, info, state, 0, 1)) + when + bytes((loop, point, 1, 1, 1, 1, 0, 1))
    return _frame(0, data)


def encode_reset() -> bytes:
    """A reset, for simulators and tests."""
    return _frame(0, bytes((RESET,)))


def _frame(address: int, data: bytes) -> bytes:
    body = bytes((address, len(data))) + data
    return bytes((START,)) + body + binascii.crc_hqx(body, 0).to_bytes(2, "big")
