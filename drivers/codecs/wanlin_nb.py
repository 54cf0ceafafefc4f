"""Wanlin NB-IoT detectors: NB301 smoke (ASCII), NB306 smoke (JSON), NB900x gauges (40 ASCII characters). Pure.

Source: springcloud_alibaba wanlinnb301; three published reports (M).
"""

import json
import re
from typing import Final

TEXT_BYTES_MAX: Final = 4096
_NUMBER_MAX: Final = 1e9  # a number nothing here can mean; one past 1e308 could not even be divided
_NB301: Final = re.compile(
    r"(?P<model>N\d{3})V(?P<version>\w{1,4}?)I(?P<imei>\d{15})H(?P<iccid>[0-9A-F]{20})"
    r"X(?P<status>[0-9a-f]{1,2})T(?P<temp>-?\d{1,3})U(?P<battery>\d{1,3})S(?P<signal>\d{1,3})",
    re.IGNORECASE,
)
_NB900: Final = re.compile(
    r"(?P<model>NB\d{4})(?P<tag>[!-~]{3})(?P<imei>\d{15})(?P<code>\d\d)(?P<low>\d{4})(?P<high>\d{4})(?P<now>\d{4})NC"
)
_NB301_STATUS: Final = {
    "10": "selftest",
    "01": "fire",
    "1": "fire",
    "02": "low_battery",
    "2": "temp_high",
    "3": "tamper",
    "4": "low_battery",
    "5": "selftest",
    "11": "fire_restore",
    "f": "fire_restore",
}
_NB900_CODES: Final = {
    "10": "selftest",
    "02": "low_battery",
    "03": "low",
    "13": "low_restore",
    "04": "high",
    "14": "high_restore",
}
_QUANTITIES: Final = {"NB9001": ("pressure", "MPa"), "NB9003": ("level", "m")}
_NB306_STATES: Final = {0: None, 1: "fire", 2: "temp_high", 3: "tamper", 4: "low_battery", 5: "selftest"}


def whole(value: object) -> int | None:
    """A code out of JSON: 1, 1.0 and "1" are the same one, None for what is none."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,9}\s*", value):
        return int(value)
    return int(value) if isinstance(value, int | float) and value == value // 1 and abs(value) < _NUMBER_MAX else None


def decode_ascii(data: bytes) -> list[dict[str, object]]:
    """NB301 and NB900x, one object a report: a line each where there are several."""
    lines = [line for line in data[:TEXT_BYTES_MAX].splitlines() if line.strip()]
    return [_report(line) for line in lines] if len(lines) > 1 else [_report(data)]


def _report(data: bytes) -> dict[str, object]:
    text = data[:TEXT_BYTES_MAX].decode("ascii", "replace").strip()
    if (found := _NB301.fullmatch(text)) is not None:
        status = found["status"].lower()
        fields: dict[str, object] = {
            "model": found["model"],
            "version": found["version"],
            "imei": found["imei"],
            "iccid": found["iccid"],
            "status": status,
            "event": _NB301_STATUS.get(status, f"status_{status}"),
            "temp_C": int(found["temp"]),
            "battery": int(found["battery"]),
            "signal": int(found["signal"]),
        }
        return {**fields, "raw": data.hex()}
    if (found := _NB900.fullmatch(text)) is not None:
        quantity, unit = _QUANTITIES.get(found["model"], ("value", ""))
        code = found["code"]
        word = _NB900_CODES.get(code)
        event = f"{quantity}_{word}" if word in ("low", "high", "low_restore", "high_restore") else word
        suffix = f"_{unit}" if unit else ""
        fields = {
            "model": found["model"],
            "tag": found["tag"],
            "imei": found["imei"],
            "code": code,
            "event": event or f"code_{code}",
            f"low{suffix}": int(found["low"]) / 100,
            f"high{suffix}": int(found["high"]) / 100,
            f"value{suffix}": int(found["now"]) / 100,
        }
        return {**fields, "raw": data.hex()}
    return {"reject": True, "why": "no_report", "event": None, "raw": data[:512].hex()}


def decode_json(data: bytes) -> list[dict[str, object]]:
    """NB306, one object a report, of one or of a list."""
    try:
        message = json.loads(data[:TEXT_BYTES_MAX])
        if isinstance(message, list) and message:
            return [_stated(one, json.dumps(one).encode()) for one in message]
    except (ValueError, RecursionError):
        message = None
    return [_stated(message, data)]


def _stated(message: object, data: bytes) -> dict[str, object]:
    state = whole(message.get("devState")) if isinstance(message, dict) else None
    if state is None or not isinstance(message, dict):
        return {"reject": True, "why": "no_report", "event": None, "raw": data[:512].hex()}
    fields: dict[str, object] = {
        "device": str(message.get("devId", "")),
        "kind": "heartbeat" if state == 0 else "report",
        "event": _NB306_STATES.get(state, f"state_{state}"),
    }
    for key, name, scale in (
        ("electricQuantity", "battery_pct", 1),
        ("temperature", "temp_C", 10),
        ("signal", "signal", 1),
        ("smokescope", "smoke", 1),
    ):
        value = message.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _NUMBER_MAX:
            fields[name] = value / scale if scale != 1 else value
    return {**fields, "raw": data.hex()}
