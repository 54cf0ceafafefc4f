"""Huaqiang W308 smoke detector and W306 hydrant, NB-IoT "APPdata": 50 55, length16, then fields high byte first. Pure.

Times are seconds since 2018-09-10 00:00 Beijing. A hydrant brings up to 48 samples, newest first: a day of backlog after an
outage. They are history; only the newest is the state. The battery is in hundredths of a volt on the smoke detector, in
thousandths on the hydrant. Source: springcloud_alibaba device-message; two captured reports.
"""

import base64
import binascii
from typing import Final

HEAD: Final = b"PU"
EPOCH_S: Final = 1_536_508_800  # 2018-09-10 00:00 +08:00
FIXED_BYTES: Final = 39  # after length16
SAMPLES_MAX: Final = 48
_DEVICES: Final = {0x02: "tracker", 0x06: "hydrant", 0x08: "smoke", 0x09: "parking", 0x0C: "socket"}
_SMOKE_BITS: Final = ((0, "smoke_alarm"), (2, "low_battery"), (7, "fault"))
_HYDRANT_BITS: Final = ((0, "hydrant_low_pressure"), (1, "hydrant_high_pressure"), (5, "low_battery"), (7, "fault"))
NAMED_BITS: Final = {
    "smoke": sum(1 << bit for bit, _ in _SMOKE_BITS),
    "hydrant": sum(1 << bit for bit, _ in _HYDRANT_BITS),
}
_VOLTS: Final = {"smoke": 100, "hydrant": 1000}


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a report, of bytes or their Base64, for `edge-agent decode` and the receivers."""
    if not data.startswith(HEAD):
        try:
            data = base64.b64decode(data.strip(), validate=True)
        except (binascii.Error, ValueError):
            return [_refused("no_report", data)]
    if not data.startswith(HEAD):
        return [_refused("no_report", data)]
    shown: list[dict[str, object]] = []
    while data.startswith(HEAD):  # a back-log in one payload
        length = int.from_bytes(data[2:4], "big")
        if len(data) < 4 + length or length < FIXED_BYTES:
            return [*shown, _refused("length", data)]
        fields = _report(data[4 : 4 + length])
        shown.append({"magic": "PU", "length": length, **fields, "raw": data[: 4 + length].hex()})
        data = data[4 + length :]
    return shown


def _refused(why: str, data: bytes) -> dict[str, object]:
    return {"reject": True, "why": why, "event": None, "raw": data[:512].hex()}


def _report(body: bytes) -> dict[str, object]:
    attribute = int.from_bytes(body[7:9], "big")
    device = _DEVICES.get(body[3], f"0x{body[3]:02X}")
    raw_s = int.from_bytes(body[9:13], "big")
    digits = "".join(f"{byte & 0x0F:X}{byte >> 4:X}" for byte in body[13:21])
    alert = body[23]
    fields: dict[str, object] = {
        "type": body[0],
        "index": body[1],
        "version": body[2],
        "device": device,
        "maker": body[4],
        "packet": body[5],
        "operator": body[6],
        "data_len": attribute & 0x03FF,
        "encrypt": attribute >> 10 & 0x03,
        "time_raw": raw_s,
        "epoch_utc": raw_s + EPOCH_S,
        "imei": digits[:15],
        "cmd": body[21:23].hex().upper(),
        "alert": alert,
        "dev_code": body[24],
        "mode": body[25],
        "battery_V": int.from_bytes(body[26:28], "big") / _VOLTS.get(device, 1000),
        "battery_pct": body[28],
        "temp_C": body[29] - 100,
        "cell": int.from_bytes(body[30:34], "big"),
        "rsrp_dBm": -body[34],
    }
    if fields["encrypt"]:
        return {**fields, "event": None, "reject": True, "why": "encrypted"}
    tail = body[35:]
    if device == "smoke":
        fields |= {name: True for bit, name in _SMOKE_BITS if alert >> bit & 1}
        fields |= _smoke_tail(tail)
        fields["event"] = "fire" if alert & 1 else "fault" if alert & 0x84 or body[24] else None
    elif device == "hydrant":
        fields |= {name: True for bit, name in _HYDRANT_BITS if alert >> bit & 1}
        fields |= _hydrant_tail(tail)
        fields["event"] = "supervisory" if alert & 0x03 else "fault" if alert & 0xA0 or body[24] else None
    else:
        fields["event"] = None
    return fields


def _smoke_tail(tail: bytes) -> dict[str, object]:
    if len(tail) < 9:
        return {}
    times = {"smoke_time_raw": int.from_bytes(tail[:4], "big"), "selftest_time_raw": int.from_bytes(tail[4:8], "big")}
    return {**times, "selftest_result": tail[8]}


def _hydrant_tail(tail: bytes) -> dict[str, object]:
    if len(tail) < 17:
        return {}
    count = min(tail[16], SAMPLES_MAX, (len(tail) - 17) // 8)
    samples = [
        {
            "time_raw": int.from_bytes(tail[at : at + 4], "big"),
            "kPa": int.from_bytes(tail[at + 4 : at + 8], "big"),
        }
        for at in range(17, 17 + 8 * count, 8)
    ]
    fields: dict[str, object] = {
        "collect_unit": tail[0],
        "collect_value": tail[1],
        "upload_unit": tail[2],
        "upload_value": tail[3],
        "low_kPa": int.from_bytes(tail[4:8], "big"),
        "high_kPa": int.from_bytes(tail[8:12], "big"),
        "samples": count,
    }
    if samples:
        fields |= {"first_sample": samples[0], "last_sample_kPa": samples[-1]["kPa"], "history": samples}
    return fields
