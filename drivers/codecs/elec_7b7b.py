"""Reports of 4G electrical-fire units: (01 len16) 7B 7B type len16 data CRC 7D 7D. Pure.

CRC-16/MODBUS from the type to the last data byte, low byte first. Data: YY MM DD hh mm ss, serial in ASCII, signal, flag words,
then floats low byte first; -200 degrees is no probe. Alarms come from the flags. Source: one captured report; fields M.
"""

import math
import struct
from typing import Final

from drivers.codecs.modbus import crc16

HEAD, TAIL = b"\x7b\x7b", b"\x7d\x7d"
TYPE: Final = 0x92
DATA_BYTES_MIN: Final = 260
DATA_BYTES_MAX: Final = 1024
HELD_BYTES_MAX: Final = 2048
NO_PROBE_C: Final = -200.0
_FLAG_NAMES: Final = ("phase", "wiring", "alarm")  # at 36, 38, 40
_OVER: Final = 1  # of the voltage and current flags
# Where a float stands, by the name of what it measures.
FLOATS: Final = {
    "residual_ma": 52,
    **{f"temperature_{n}_c": 52 + 4 * n for n in range(1, 5)},
    "frequency_hz": 92,
    **{f"voltage_{phase}_v": 100 + 4 * n for n, phase in enumerate("abc")},
    **{f"current_{phase}_a": 164 + 4 * n for n, phase in enumerate("abc")},
    "power_kw": 208,
    "power_factor": 256,
    "energy_import_kwh": 260,
}


def take(buffer: bytearray) -> list[bytes]:
    """Take every whole frame, head to tail, off `buffer`, sound or not; bytes between frames are dropped."""
    frames: list[bytes] = []
    while (start := buffer.find(HEAD)) >= 0:
        del buffer[:start]
        if len(buffer) < 5:
            return frames
        size = 9 + (buffer[3] << 8 | buffer[4])
        if size > 9 + DATA_BYTES_MAX:
            del buffer[:1]  # no head, or a damaged length
            continue
        if len(buffer) < size:
            return frames
        frame = bytes(buffer[:size])
        frames.append(frame)
        del buffer[: size if not why_refused(frame) else 1]
    del buffer[:-1]  # the next head may be cut in half
    return frames


def why_refused(frame: bytes) -> str:
    """Why a frame is none, "" for a sound one."""
    if not frame.endswith(TAIL) or len(frame) != 9 + (frame[3] << 8 | frame[4]):
        return "truncated"
    if crc16(frame[2:-4]).to_bytes(2, "little") != frame[-4:-2]:
        return "crc"
    return "" if len(frame) - 9 >= DATA_BYTES_MIN else "length"


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a report, for `edge-agent decode`."""
    shown: list[dict[str, object]] = []
    at = 0
    while (start := data.find(HEAD, at)) >= 0 and len(data) >= start + 5:
        frame = data[start : start + 9 + (data[start + 3] << 8 | data[start + 4])]
        if why := why_refused(frame):
            crc_ok = {} if why == "truncated" else {"crc_ok": why != "crc"}
            shown.append({"reject": True, "why": why, **crc_ok, "event": None, "raw": frame.hex()})
            at = start + (len(frame) if why == "length" else 1)
            continue
        shown.append({**report(frame), "crc_ok": True, "raw": frame.hex()})
        at = start + len(frame)
    return shown


def report(frame: bytes) -> dict[str, object]:
    """The fields of a sound report. A value that is no number, or a probe that is not there, is None where it is not listed."""
    body = frame[5:-4]
    year, month, day, hour, minute, second = body[:6]
    flags = {f"flags_{name}": _word(body, 36 + 2 * n) for n, name in enumerate(_FLAG_NAMES)}
    voltage, current = _word(body, 44), _word(body, 46)
    alarm = flags["flags_alarm"] or voltage & _OVER or current & _OVER
    fault = flags["flags_phase"] or flags["flags_wiring"] or voltage or current
    return {
        "kind": "report",
        "event": "electrical_alarm" if alarm else "fault" if fault else None,
        "time": f"20{year:02d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}",
        "serial": body[6:20].decode("ascii", "replace").strip("\0 "),
        "signal": _word(body, 34),
        **flags,
        "flags_voltage": voltage,
        "flags_current": current,
        "residual_mA": _float(body, 52),
        "temps_C": [_float(body, 56 + 4 * n) for n in range(4)],
        "temp_absent": NO_PROBE_C,
        "freq_Hz": _float(body, 92),
        "Ua_V": _float(body, 100),
        "Ub_V": _float(body, 104),
        "Uc_V": _float(body, 108),
        "Ia_A": _float(body, 164),
        "P_kW": _float(body, 208),
        "PF": _float(body, 256),
    }


def values(frame: bytes) -> dict[str, float | None]:
    """What a sound report measures, by the names of FLOATS; None where there is no probe or no number."""
    body = frame[5:-4]
    found = {name: _float(body, at) for name, at in FLOATS.items() if at + 4 <= len(body)}
    return {name: None if value == NO_PROBE_C and name.endswith("_c") else value for name, value in found.items()}


def encode(serial: str, stamp: bytes, *, flags: dict[int, int], numbers: dict[str, float]) -> bytes:
    """A report, for simulators and tests. `stamp`: YY MM DD hh mm ss; `flags`: offset in the data -> word."""
    body = bytearray(388)
    body[:6] = stamp
    body[6:20] = serial.encode("ascii").ljust(14, b"\0")[:14]
    for n in range(1, 5):
        struct.pack_into("<f", body, FLOATS[f"temperature_{n}_c"], NO_PROBE_C)
    for at, word in flags.items():
        struct.pack_into(">H", body, at, word)
    for name, value in numbers.items():
        struct.pack_into("<f", body, FLOATS[name], value)
    inner = bytes((TYPE,)) + len(body).to_bytes(2, "big") + bytes(body)
    framed = HEAD + inner + crc16(inner).to_bytes(2, "little") + TAIL
    return b"\x01" + len(framed).to_bytes(2, "big") + framed


def _word(body: bytes, at: int) -> int:
    return body[at] << 8 | body[at + 1]


def _float(body: bytes, at: int) -> float | None:
    value = float(struct.unpack_from("<f", body, at)[0])
    return round(value, 3) if math.isfinite(value) else None
