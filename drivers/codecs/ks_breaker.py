"""京硅 (KS) breaker bus: 68 L L 68 control address[6] function data sum 16. Pure; reads only.

L counts control to data, the sum is modulo 256. Functions: 8B login, 8D heartbeat, 8C power down, 2A fault (to be
acknowledged), 64 state or measure, 2D control, CA and CB settings.
Nothing here can make a control or setting frame. Source: voson-wang/jg-gw, two captured frames.
"""

from typing import Final

START, END = 0x68, 0x16
FRAME_BYTES_MAX: Final = 261
LOGIN, HEARTBEAT, POWER_DOWN, FAULT, STATE = 0x8B, 0x8D, 0x8C, 0x2A, 0x64
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
_MEASURE_HEAD: Final = bytes.fromhex("80070000000140")
_MEASURES: Final = {
    **{n: (f"voltage_{p}_v", 0.1) for n, p in zip((4, 5, 6), "abc", strict=True)},
    **{n: (f"current_{p}_a", 0.01) for n, p in zip((8, 9, 10), "abc", strict=True)},
    11: ("leakage_ma", 1),
    12: ("power_kw", 0.01),
    14: ("power_factor", 0.01),
    15: ("energy_kwh", 0.01),
    **{n: (f"temperature_{p}_c", 1) for n, p in zip((26, 27, 28, 29), "abcn", strict=True)},
}


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a frame, for `edge-agent decode`; what is none is refused."""
    shown: list[dict[str, object]] = []
    at = 0
    while at < len(data):
        start = data.find(START, at)
        if start < 0:
            break
        size = 6 + data[start + 1] if len(data) > start + 3 else 0
        frame = data[start : start + size]
        if len(frame) < 15 or frame[1] != frame[2] or frame[3] != START:
            at = start + 1
            continue
        fields = _frame(frame) if len(frame) == size else {"reject": True, "why": "truncated", "event": None}
        shown.append({**fields, "raw": frame.hex()})
        at = start + (1 if fields.get("reject") else size)
    return shown


def _frame(frame: bytes) -> dict[str, object]:
    if frame[-1] != END or sum(frame[4:-2]) & 0xFF != frame[-2]:
        return {"reject": True, "why": "sum", "sum_ok": False, "event": None}
    node, function, body = frame[5:11].hex(), frame[11], frame[12:-2]
    fields: dict[str, object] = {"kind": _KINDS.get(function, f"0x{function:02X}"), "event": None, "sum_ok": True}
    if function == LOGIN:
        # the address is blank; the gateway names itself in the data, then a sequence number
        fields |= {"gateway": body[:6].hex(), "sequence": body[6] if len(body) > 6 else None}
    else:
        fields["node"] = node
    if function == FAULT:
        fields |= _fault(body)
    elif function == STATE:
        fields |= _state(body)
    elif function == HEARTBEAT:
        fields["nodes"] = [body[n : n + 6].hex() for n in range(6, len(body) - 5, 6)]
    return fields


def _fault(body: bytes) -> dict[str, object]:
    """5 head, point count, type, point u16, value, 7 bytes of time, analogue count u16, type, then number and value u16 each."""
    if len(body) < 20:
        return {"reject": True, "why": "length of the fault"}
    point, value = body[7] | body[8] << 8, body[9]
    count = body[17] | body[18] << 8
    pairs = [body[20 + 4 * n : 24 + 4 * n] for n in range(min(count, 60))]
    name = next((name for points, name in _POINTS if point in points), f"point_{point}_trip")
    return {
        "event": name,
        "switch_point": point,
        "switch_value": value,
        "analog_count": count,
        "analogs": {f"0x{p[0] | p[1] << 8:04X}": p[2] | p[3] << 8 for p in pairs if len(p) == 4},
    }


def _state(body: bytes) -> dict[str, object]:
    if body.startswith(_STATE_HEAD):
        return {"points": list(body[len(_STATE_HEAD) :])}
    if body.startswith(_MEASURE_HEAD):
        words = body[len(_MEASURE_HEAD) + 1 :]
        found = {
            name: round((words[2 * n - 2] | words[2 * n - 1] << 8) * scale, 3)
            for n, (name, scale) in _MEASURES.items()
            if len(words) >= 2 * n
        }
        return {"values": found}
    return {}
