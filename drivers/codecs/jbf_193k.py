"""Jade Bird (北大青鸟) JBF-193K interface card: 82, each data byte as two characters (nibble + 30H, high first), 83.

D1 code, D2 panel, D3 loop, D4 point, D5 type, D6-D11 year to second (binary), D12 the sum of D1..D11. The documents' own fire
example sums D1..D5 only, and their heartbeat has sum 00: with either sum a frame is taken, with none an alarm is told too, marked.
Of boards, mains and battery (70-72) D3 is no loop: it says whether the fault begins (80) or is over (90). The
longer electrical form (code FC, D5 = FF) has D13 class, D14 channel, D15 D16 value and a CRC8 nobody could reproduce.
The host polls with twelve zero bytes once a second; without polls the card pushes by itself after minutes.
Source: KS_old_gateway, vendor documents v1.8 and v2.3 (layout H, codes M).
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step, noise

START, END = 0x82, 0x83
DATA_BYTES: Final = 12
DATA_BYTES_MAX: Final = 24
POLL: Final = b"\x82" + b"\x30" * 24 + b"\x83"
HEARTBEAT, VERSION, FIRE_DOOR, ELECTRICAL = 0x00, 0x09, 0xFB, 0xFC
_SUPPLY: Final[Mapping[int, tuple[str, str]]] = {
    0x70: ("fault", "fault_restore"),  # a board
    0x71: ("mains_fault", "mains_ok"),
    0x72: ("battery_fault", "battery_ok"),
}
_SUPPLY_FAULT, _SUPPLY_OK = 0x80, 0x90
_LOUD: Final = frozenset({"fire", "fire_manual", "unknown", "electrical_alarm"})
_DOOR: Final[Mapping[int, str]] = {1: "fault", 2: "fault_restore", 4: "start", 8: "feedback", 0xA: "isolate"}
_ELECTRICAL: Final[Mapping[int, str]] = {
    1: "electrical_alarm",
    2: "fault",
    3: "electrical_restore",
    4: "start",
    5: "start",
    6: "start",
    7: "start",
    8: "isolate",
    9: "isolate_restore",
}
_ELECTRICAL_KIND: Final = {2: "residual_current", 3: "temperature", 4: "arc", 5: "overcurrent", 6: "trip"}


class Jbf193k(Codec):
    """`codes`: code byte -> event. 98 and 97 (isolate and its undoing) were swapped in documents before v2.3: profile data."""

    name: ClassVar[str] = "jbf-193k"
    quiet_s = 0.3

    def __init__(self, *, codes: Mapping[int, str], dedupe_s: float = 0.0) -> None:
        super().__init__(dedupe_s=dedupe_s)
        self._codes = codes

    def _next(self, final: bool) -> Step | None:
        buf = self._buf
        start = buf.find(START)
        if start:
            return noise(start if start > 0 else len(buf))
        end = next((at for at in range(1, len(buf)) if not 0x30 <= buf[at] <= 0x3F), -1)
        if end < 0:
            if len(buf) > 2 * DATA_BYTES_MAX + 1:
                return self._refuse("too_long", len(buf))
            return self._refuse("truncated", len(buf)) if final else None
        if buf[end] != END:
            return Step(size=end, refused="broken_off", length=end) if end > 1 else noise(1)
        digits = bytes(byte & 0x0F for byte in buf[1:end])
        if len(digits) % 2 or len(digits) < 2 * DATA_BYTES:
            return self._refuse("length", end + 1)
        data = bytes(digits[at] << 4 | digits[at + 1] for at in range(0, len(digits), 2))
        return self._message(data, end + 1)

    def _message(self, data: bytes, size: int) -> Step:
        if not any(data[:DATA_BYTES]):
            fields: dict[str, object] = {"kind": "poll", "event": None, "direction": "host_to_card", "sum_ok": True}
            return Step(size=size, fields=fields)
        sum_ok, short_ok = sum(data[:11]) & 0xFF == data[11], sum(data[:5]) & 0xFF == data[11]
        year, month, day, hour, minute, second = data[5:11]
        fields = {
            "kind": "event",
            "code": f"{data[0]:02X}",
            "panel": data[1],
            "loop": data[2],
            "point": data[3],
            "device_type": data[4],
            "date": f"20{year:02d}-{month:02d}-{day:02d}",
            "time": f"{hour:02d}:{minute:02d}:{second:02d}",
            "sum_ok": sum_ok,
        }
        if not sum_ok and short_ok:
            fields["sum_d1_d5_ok"] = True
        if data[0] in (HEARTBEAT, VERSION):
            return Step(size=size, fields={"kind": "heartbeat", "event": None, "panel": data[1], "sum_ok": sum_ok})
        event = self._event(data, fields)
        trusted = sum_ok or short_ok
        if not trusted and event not in _LOUD:  # a weak sum may lower trust, it never hides an alarm
            return self._refuse("sum", size, fields | {"event": None, "refused_event": event or ""})
        if event is None:
            return Step(size=size, refused=f"unknown_code {data[0]:02X}", fields=fields, sound=True)
        if not trusted:
            fields["untrusted"] = True
        return Step(size=size, fields=fields | {"event": event})

    def _event(self, data: bytes, fields: dict[str, object]) -> str | None:
        code = data[0]
        if code in _SUPPLY:
            broken, good = _SUPPLY[code]
            del fields["loop"]
            fields["point_id"] = f"{data[1]}-board-{data[3]}"
            return {_SUPPLY_FAULT: broken, _SUPPLY_OK: good}.get(data[2])
        if code == FIRE_DOOR:
            fields["door_kind"] = data[4] & 0x0F
            return _DOOR.get(data[4] >> 4)
        if code == ELECTRICAL:
            kind = data[12] if data[4] == 0xFF and len(data) > DATA_BYTES else data[4]
            fields["electrical_kind"] = _ELECTRICAL_KIND.get(kind & 0x0F, f"0x{kind & 0x0F:X}")
            if len(data) >= DATA_BYTES + 4:
                fields["channel"] = data[13]
                fields |= _measured(kind & 0x0F, data[14] | data[15] << 8)
            return _ELECTRICAL.get(kind >> 4)
        return self._codes.get(code)

    def _refuse(self, why: str, length: int, fields: Mapping[str, object] | None = None) -> Step:
        inner = self._buf.find(START, 1, length)
        return Step(size=inner if inner > 0 else length, length=length, refused=why, fields=fields)


def _measured(kind: int, raw: int) -> dict[str, object]:
    """The value of the longer form: mA x 10, degrees x 10 with the top bit for below zero, A x 100."""
    if kind == 2:
        return {"residual_ma": raw / 10}
    if kind == 3:
        degrees = (raw & 0x7FFF) / 10
        return {"temperature_c": -degrees if raw & 0x8000 else degrees}
    return {"current_a": raw / 100} if kind == 5 else {}


def encode_event(code: int, loop: int, point: int, *, panel: int = 1, device_type: int = 3, when: bytes = b"") -> bytes:
    """One frame, for simulators and tests; `when` six bytes, year to second."""
    data = bytes((code, panel, loop, point, device_type)) + (when or bytes((26, 1, 1, 0, 0, 0)))
    data += bytes((sum(data) & 0xFF,))
    return bytes((START, *(0x30 + nibble for byte in data for nibble in (byte >> 4, byte & 0x0F)), END))
