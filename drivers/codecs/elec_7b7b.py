"""Reports of 4G electrical-fire units: (01 len16) 7B 7B type len16 data CRC 7D 7D. Pure.

CRC-16/MODBUS from the type to the last data byte, low byte first. Data: YY MM DD hh mm ss, serial in ASCII, signal, flag words,
then floats low byte first; -200 degrees is no probe. Alarms come from the flags. Source: one captured report; fields M.
"""

import math
import struct
from typing import Final

from drivers.codecs.modbus import crc16

HEAD, TAIL = b"\x7b\x7b", b"\x7d\x7d"
DATA_BYTES_MIN: Final = 260
NO_PROBE_C: Final = -200.0
_FLAG_NAMES: Final = ("phase", "wiring", "alarm")  # at 36, 38, 40


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a report, for `edge-agent decode`."""
    shown: list[dict[str, object]] = []
    at = 0
    while (start := data.find(HEAD, at)) >= 0 and len(data) >= start + 5:
        size = data[start + 3] << 8 | data[start + 4]
        frame = data[start : start + 9 + size]
        if len(frame) < 9 + size or not frame.endswith(TAIL):
            shown.append({"reject": True, "why": "truncated", "event": None, "raw": frame.hex()})
            at = start + 1
            continue
        body = frame[5:-4]
        if crc16(frame[2:-4]).to_bytes(2, "little") != frame[-4:-2]:
            shown.append({"reject": True, "why": "crc", "crc_ok": False, "event": None, "raw": frame.hex()})
            at = start + 1
            continue
        fields = _report(body) if len(body) >= DATA_BYTES_MIN else {"reject": True, "why": "length", "event": None}
        shown.append({**fields, "crc_ok": True, "raw": frame.hex()})
        at = start + len(frame)
    return shown


def _report(body: bytes) -> dict[str, object]:
    year, month, day, hour, minute, second = body[:6]
    temperatures = [_float(body, 56 + 4 * n) for n in range(4)]
    flags = {f"flags_{name}": _word(body, 36 + 2 * n) for n, name in enumerate(_FLAG_NAMES)}
    alarm, wiring = flags["flags_alarm"], flags["flags_wiring"]
    event = "electrical_alarm" if alarm or _word(body, 44) or _word(body, 46) else "fault" if wiring else None
    return {
        "kind": "report",
        "event": event,
        "time": f"20{year:02d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}",
        "serial": body[6:20].decode("ascii", "replace").strip("\0 "),
        "signal": _word(body, 34),
        **flags,
        "flags_voltage": _word(body, 44),
        "flags_current": _word(body, 46),
        "residual_mA": _float(body, 52),
        "temps_C": temperatures,
        "temp_absent": NO_PROBE_C,
        "freq_Hz": _float(body, 92),
        "Ua_V": _float(body, 100),
        "Ub_V": _float(body, 104),
        "Uc_V": _float(body, 108),
        "Ia_A": _float(body, 164),
        "P_kW": _float(body, 208),
        "PF": _float(body, 256),
    }


def _word(body: bytes, at: int) -> int:
    return body[at] << 8 | body[at + 1]


def _float(body: bytes, at: int) -> float | None:
    value = float(struct.unpack_from("<f", body, at)[0])
    return round(value, 3) if math.isfinite(value) else None
