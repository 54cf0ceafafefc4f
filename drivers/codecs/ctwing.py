"""LiAn smoke and gas detectors by the CTWing platform: LwM2M JSON. Pure. Source: springcloud_alibaba lian (M).

Alarm_Status: 1 alarm, 2 silence, 4 low battery, 5 fault, 6 bad data, 7 normal, 8 and 9 mute received, 10 tamper, 11 tamper off,
12 online, 13 abnormal, 14 simulated. RSRP comes as a positive number. Not every code that is not "normal" is an alarm.
"""

import json
from typing import Final

from drivers.codecs.wanlin_nb import whole

JSON_BYTES_MAX: Final = 16 * 1024
_STATUS: Final = {
    1: "fire",
    2: "silence",
    4: "low_battery",
    5: "fault",
    6: "fault",
    7: None,
    8: "silence",
    9: "silence",
    10: "tamper",
    11: "tamper_restore",
    12: "online",
    13: "fault",
    14: "test",
}
_SMOKE_VALUES: Final = (
    ("TData", "temp_C", 1),
    ("RSRP", "rsrp_dBm", -1),
    ("CSQ", "csq", 1),
    ("SNR", "snr_dB", 1),
    ("Battery_Level", "battery_pct", 1),
)
_GAS_CODES: Final = {1001: "gas_alarm", 1002: "fault", 1003: "low_battery", -1: None}


def decode(data: bytes) -> list[dict[str, object]]:
    """One object a message, for `edge-agent decode` and the receivers."""
    try:
        message = json.loads(data[:JSON_BYTES_MAX])
    except (ValueError, RecursionError):
        message = None
    payload = message.get("payload") if isinstance(message, dict) else None
    if not isinstance(payload, dict):
        return [{"reject": True, "why": "no_message", "event": None, "raw": data[:512].hex()}]
    inner = payload.get("serviceData")
    values = inner if isinstance(inner, dict) else payload
    fields = _smoke(values) if "Alarm_Status" in values else _gas(values) if "gas_sensor_state" in values else None
    if fields is None:
        return [{"reject": True, "why": "unknown_payload", "event": None, "raw": data[:512].hex()}]
    if isinstance(message, dict) and "IMEI" in message:
        fields["imei"] = str(message["IMEI"])[:20]
    return [{**fields, "raw": data.hex()}]


def _smoke(values: dict[str, object]) -> dict[str, object]:
    said = values["Alarm_Status"]
    status = whole(said)
    event = f"status_{said}" if status is None else _STATUS.get(status, f"status_{said}")
    fields: dict[str, object] = {"event": event, "alarm_status": said if status is None else status}
    for key, name, sign in _SMOKE_VALUES:
        value = values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            fields[name] = sign * abs(value) if sign < 0 else value
    return fields


def _gas(values: dict[str, object]) -> dict[str, object]:
    said, code = values["gas_sensor_state"], whole(values.get("error_code"))
    state = whole(said)
    event = "gas_alarm" if state == 1 else _GAS_CODES.get(code, f"error_{code}") if code else None
    if event is None and state != 0:  # neither gas nor well: no document says what
        event = f"gas_state_{str(said)[:16]}"
    fields: dict[str, object] = {"event": event, "gas_sensor_state": state}
    for key in ("gas_value", "battery_value", "temperature"):
        if isinstance(values.get(key), int | float):
            fields[key] = values[key]
    for key, name in (("valve_state", "valve_open"), ("fan_state", "fan_on")):
        if values.get(key) in (1, 2):
            fields[name] = values[key] == 1
    return fields
