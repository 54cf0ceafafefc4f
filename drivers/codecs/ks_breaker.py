"""京硅 (KS) breaker bus: 68 L L 68 control address[6] function data sum 16. Pure.

L counts control to data, the sum is modulo 256; numbers are low byte first, addresses as printed. Functions: 8B login, 8D
heartbeat, 8C power down, 2A fault (to be acknowledged), 64 state or measure, 2D control, CA and CB settings.
What can be made here asks for states and measures and acknowledges what a breaker said: nothing switches or sets.
Source: voson-wang/jg-gw (protocol of 2020-07-07, extension of 2021-08-04), four captured frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

START, END = 0x68, 0x16
FRAME_BYTES_MAX: Final = 261
HELD_BYTES_MAX: Final = 1024
LOGIN, HEARTBEAT, POWER_DOWN, FAULT, STATE = 0x8B, 0x8D, 0x8C, 0x2A, 0x64
ASK, ACKNOWLEDGE = 0x0A, 0x03  # control bytes of the master
_MASTERS: Final = (ASK, ACKNOWLEDGE)
_KINDS: Final = {
    LOGIN: "login",
    HEARTBEAT: "heartbeat",
    POWER_DOWN: "power_down",
    FAULT: "fault",
    STATE: "state",
    0x2D: "control",
}
_POINTS: Final = (  # state and fault point numbers
    (range(7, 10), "overcurrent_trip"),
    (range(10, 13), "overload_trip"),
    (range(13, 16), "overvoltage_trip"),
    (range(16, 19), "undervoltage_trip"),
    (range(22, 26), "overtemperature_trip"),
    (range(26, 27), "leakage_trip"),
)
_STATE_HEAD: Final = bytes.fromhex("8007000000010020")
_MEASURE_HEAD: Final = bytes.fromhex("80070000000140")  # then 20 or 00
_ASK_STATE: Final = bytes.fromhex("8006000000010020")
_ASK_MEASURE: Final = bytes.fromhex("8006000000014020")
_FAULT_BYTES_MIN: Final = 20
_MEASURE_ID: Final = 0x4000  # of the measures beside a fault
_MEASURES: Final = {
    **{n: (f"voltage_{p}_v", 0.1) for n, p in zip((4, 5, 6), "abc", strict=True)},
    **{n: (f"current_{p}_a", 0.01) for n, p in zip((8, 9, 10), "abc", strict=True)},
    11: ("leakage_ma", 1),
    12: ("power_kw", 0.01),
    14: ("power_factor", 0.01),
    15: ("energy_kwh", 0.01),
    **{n: (f"temperature_{p}_c", 1) for n, p in zip((26, 27, 28, 29), "abcn", strict=True)},
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One sound frame. `node`: the address as printed, 12 hex digits."""

    control: int
    node: str
    function: int
    data: bytes
    raw: bytes

    @property
    def from_master(self) -> bool:
        """Whether it is a question or an acknowledgement, ours or another master's."""
        return self.control in _MASTERS


def encode(control: int, node: str, function: int, data: bytes) -> bytes:
    """A frame around `data`. ValueError for an address that is not 12 hex digits."""
    body = bytes((control,)) + bytes.fromhex(node) + bytes((function,)) + data
    if len(node) != 12 or len(body) > 255:
        raise ValueError(f"no frame: node {node}, {len(data)} bytes")
    return bytes((START, len(body), len(body), START)) + body + bytes((sum(body) & 0xFF, END))


def ask_state(node: str) -> bytes:
    """What is switched and tripped?"""
    return encode(ASK, node, STATE, _ASK_STATE)


def ask_measure(node: str) -> bytes:
    """What do you measure?"""
    return encode(ASK, node, STATE, _ASK_MEASURE)


def answer_to(frame: Frame) -> bytes:
    """What the protocol has a master say: a heartbeat comes back as it is, a fault is acknowledged; b"" for anything else."""
    if frame.function == HEARTBEAT and not frame.from_master:
        return frame.raw
    if frame.function == FAULT and not frame.from_master and len(frame.data) >= _FAULT_BYTES_MIN:
        head = frame.data[:2] + b"\x01" + frame.data[3:5]
        return encode(ACKNOWLEDGE, frame.node, FAULT, head + frame.data[5:17])
    return b""


def is_state(frame: Frame) -> bool:
    """Whether it answers `ask_state`."""
    return frame.function == STATE and not frame.from_master and frame.data.startswith(_STATE_HEAD)


def is_measure(frame: Frame) -> bool:
    """Whether it answers `ask_measure`."""
    return frame.function == STATE and not frame.from_master and frame.data.startswith(_MEASURE_HEAD)


def nodes_of(frame: Frame) -> list[str]:
    """The breakers a concentrator names in its heartbeat."""
    return [frame.data[n : n + 6].hex().upper() for n in range(6, len(frame.data) - 5, 6)]


def concentrator_of(frame: Frame) -> str:
    """Who speaks of itself (login, heartbeat, power down): its address is blank and its name stands in the data. "": nobody."""
    named = frame.node if frame.node.strip("0") else frame.data[:6].hex().upper() if len(frame.data) >= 6 else ""
    return named if named.strip("0") else ""


def points_of(frame: Frame) -> dict[int, int]:
    """State points by number: all of them in an answer, the one that changed in a fault."""
    if is_state(frame):
        return dict(enumerate(frame.data[len(_STATE_HEAD) :], 1))
    if frame.function == FAULT and len(frame.data) >= _FAULT_BYTES_MIN:
        return {frame.data[7] | frame.data[8] << 8: frame.data[9]}
    return {}


def measures_of(frame: Frame) -> dict[int, int]:
    """Measures by number, raw: all of them in an answer, those that stand beside a fault."""
    if is_measure(frame):
        words = frame.data[len(_MEASURE_HEAD) + 1 :]
        return {n // 2 + 1: words[n] | words[n + 1] << 8 for n in range(0, len(words) - 1, 2)}
    if frame.function == FAULT and len(frame.data) >= _FAULT_BYTES_MIN:
        return {number - _MEASURE_ID: word for number, word in _analogs(frame.data) if number > _MEASURE_ID}
    return {}


def _analogs(data: bytes) -> Iterator[tuple[int, int]]:
    count = min(data[17] | data[18] << 8, 60)
    for at in range(20, min(20 + 4 * count, len(data) - 3), 4):
        yield data[at] | data[at + 1] << 8, data[at + 2] | data[at + 3] << 8


class LineReader:
    """Finds frames in a stream in any slicing; what is none is counted. Holds at most HELD_BYTES_MAX bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.broken = 0  # frames whose sum or end is wrong
        self.noise_bytes = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes in the order they came."""
        buffer, found = self._buffer, []
        buffer += data
        while buffer:
            start = buffer.find(START)
            self._drop(len(buffer) if start < 0 else start)
            if len(buffer) < 4:
                break
            size = _size(buffer, 0)
            if not size:
                self._drop(1)
                continue
            if len(buffer) < size:
                break
            frame = _frame(bytes(buffer[:size]))
            if frame is None:
                self.broken += 1
                self._drop(1)
                continue
            del buffer[:size]
            found.append(frame)
        if len(buffer) > HELD_BYTES_MAX:
            self._drop(len(buffer) - HELD_BYTES_MAX)
        return found

    def clear(self) -> None:
        """The line was silent: what is held is a frame that will never be whole."""
        self._drop(len(self._buffer))

    def _drop(self, count: int) -> None:
        self.noise_bytes += count
        del self._buffer[:count]


def _size(data: bytes | bytearray, at: int) -> int:
    """The length of the frame that may begin at `at`; 0: none does."""
    if len(data) < at + 4 or data[at + 1] != data[at + 2] or data[at + 3] != START or data[at + 1] < 8:
        return 0
    return 6 + data[at + 1]


def _frame(raw: bytes) -> Frame | None:
    if raw[-1] != END or sum(raw[4:-2]) & 0xFF != raw[-2]:
        return None
    return Frame(raw[4], raw[5:11].hex().upper(), raw[11], raw[12:-2], raw)


# -- for people: edge-agent decode -------------------------------------------------------------------------------------


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a frame; what is none is refused."""
    shown: list[dict[str, object]] = []
    at = 0
    while (start := data.find(START, at)) >= 0:
        size = _size(data, start)
        raw = data[start : start + size]
        if not size:
            at = start + 1
            continue
        fields: dict[str, object]
        if len(raw) < size:
            fields = {"reject": True, "why": "truncated", "event": None}
        else:
            frame = _frame(raw)
            fields = _fields(frame) if frame else {"reject": True, "why": "sum", "sum_ok": False, "event": None}
        shown.append({**fields, "raw": raw.hex()})
        at = start + (1 if fields.get("reject") else size)
    return shown


def _fields(frame: Frame) -> dict[str, object]:
    fields: dict[str, object] = {
        "kind": _KINDS.get(frame.function, f"0x{frame.function:02X}"),
        "event": None,
        "sum_ok": True,
    }
    if frame.from_master:
        fields["direction"] = "host_to_panel"
    data = frame.data
    own = frame.function in (LOGIN, HEARTBEAT) or (frame.function == POWER_DOWN and not frame.node.strip("0"))
    if own:  # the address is blank; the gateway names itself in the data
        nodes = [node.lower() for node in nodes_of(frame)] if frame.function == HEARTBEAT else []
        after = 6 + 6 * len(nodes)
        fields |= {"gateway": data[:6].hex(), "sequence": data[after] if len(data) > after else None}
        return fields | ({"nodes": nodes} if frame.function == HEARTBEAT else {})
    fields["node"] = frame.node.lower()
    if frame.function == FAULT and not frame.from_master:
        return fields | _fault(data)
    if is_state(frame):
        return fields | {"points": list(points_of(frame).values())}
    if is_measure(frame):
        words = measures_of(frame)
        found = {name: round(words[n] * scale, 3) for n, (name, scale) in _MEASURES.items() if n in words}
        return fields | {"kind": "measure", "values": found}
    return fields


def _fault(data: bytes) -> dict[str, object]:
    """5 head, point count, type, point u16, value, 7 bytes of time, analogue count u16, type, then number and value u16 each."""
    if len(data) < _FAULT_BYTES_MIN:
        return {"reject": True, "why": "fault_length"}
    point = data[7] | data[8] << 8
    return {
        "event": trip_of(point) if data[9] else event_of(point, 0),
        "switch_point": point,
        "switch_value": data[9],
        "analog_count": data[17] | data[18] << 8,
        "analogs": {f"0x{number:04X}": word for number, word in _analogs(data)},
    }


def trip_of(point: int) -> str:
    """The word for a state point that tripped."""
    return next((name for points, name in _POINTS if point in points), f"point_{point}_trip")


def event_of(point: int, value: int) -> str:
    """What a trip nobody gave a name to is told as: leakage and heat are how cables burn, the others are faults."""
    if trip_of(point) in ("leakage_trip", "overtemperature_trip"):
        return "electrical_alarm" if value else "electrical_restore"
    return "fault" if value else "fault_restore"
