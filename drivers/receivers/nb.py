"""NB-IoT detectors that report to the site: Huaqiang (binary or Base64), Wanlin (text or JSON), CTWing JSON; in UDP, CoAP or lines.

What it is shows in the report itself. Reports that carry states (Huaqiang's bits, "normal" of the others) end what stood. Muting,
self-tests and simulated alarms are no alarms.
Source: fact sheet 4.2 to 4.6.
"""

import base64
import binascii
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from drivers.codecs import coap, ctwing, huaqiang_nb, wanlin_nb
from drivers.codecs.base import Refused
from drivers.receivers.desk import Heard, Message, Say, Talk, Told, Value

_JSON_BYTES_MAX: Final = 4096
_LINES_MAX: Final = 64  # of one datagram; what is behind them is refused as one
_NUMBER_MAX: Final = 1e9
Fields = Mapping[str, object]

# Event of the codecs -> what it is to the house. "fault" with the word itself where nobody knows more.
_EVENTS: Final[Mapping[str, str]] = {
    "fire": "fire",
    "fire_restore": "fire_restore",
    "gas_alarm": "gas_alarm",
    "temp_high": "prealarm",
    "tamper": "tamper",
    "tamper_restore": "tamper_restore",
    "low_battery": "battery_fault",
    "fault": "fault",
    "silence": "silence",
    "selftest": "test",
    "test": "test",
    "online": "register",
    "supervisory": "supervisory",
}
_BATTERY_LOW_V: Final = {"smoke": 2.6, "hydrant": 3.3}  # a 3 V cell, a Li-SOCl2 cell of 3.6 V
_BATTERY_LOW_PERCENT: Final = 20
_PRESSURE_SENSOR: Final = 1  # a hydrant's fault code
# What a report without an event ends: it is the detector's "normal".
_NORMAL: Final = ("fire_restore", "prealarm_restore", "tamper_restore", "battery_ok", "fault_restore")
_GAS_NORMAL: Final = ("gas_restore", "battery_ok", "fault_restore")
_GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    f"{quantity}_{word}{end}": (f"{quantity}/{word}", "supervisory" + end)
    for quantity in ("pressure", "level", "value")
    for word in ("low", "high")
    for end in ("", "_restore")
}
_VALUES: Final[Mapping[str, str]] = {
    "battery_V": "battery_v",
    "battery_pct": "battery_percent",
    "battery": "battery_percent",
    "battery_value": "battery_percent",
    "temp_C": "temperature_c",
    "temperature": "temperature_c",
    "rsrp_dBm": "rsrp_dbm",
    "signal": "signal",
    "csq": "csq",
    "snr_dB": "snr_db",
    "smoke": "smoke",
    "gas_value": "gas",
    "value_MPa": "pressure_mpa",
    "value_m": "level_m",
}


class NbTalk:
    """One datagram, or one line of a file. `key`: what makes a copy of a report one, beside its content."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk. `data` is one datagram: a report, or several one behind the other."""
        if not data.strip():
            return []
        several = decode(data)
        out: list[Heard] = []
        for fields in several:
            raw = data if len(several) == 1 else bytes.fromhex(str(fields.get("raw", "")))
            if fields.get("reject"):
                out.append(Refused(str(fields["why"]), raw, at_ns))
                continue
            who = str(fields.get("imei") or fields.get("device_id") or "")
            told, values = meaning(fields)
            out.append(Message(who=who, raw=raw, key=self._key + raw, told=told, values=values))
        return out

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []


class CoapTalk:
    """The same in CoAP: 2.04 once it is kept, 4.00 to what is no report, 4.03 to a device nobody listed."""

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk. `data` is one datagram."""
        request = coap.parse(data)
        if request is None:
            return [Refused("not_coap", data, at_ns)]
        if request.code == coap.EMPTY:
            return [Say(request.answer(coap.EMPTY))]
        if request.refused:
            return [
                Refused(f"coap {request.refused >> 5}.{request.refused & 31:02d}", data, at_ns),
                Say(request.answer(request.refused)),
            ]
        out = NbTalk(request.message_id.to_bytes(2, "big") + request.token).feed(request.payload, at_ns)
        last = max((n for n, heard in enumerate(out) if isinstance(heard, Message)), default=-1)
        if last < 0:
            return [*out, Say(request.answer(coap.BAD_REQUEST))]
        told = out[last]
        assert isinstance(told, Message)
        # One answer to one request: the last is kept after those before it.
        out[last] = replace(told, yes=request.answer(coap.CHANGED), no=request.answer(coap.FORBIDDEN))
        return out

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []


class LinesTalk:
    """Reports one a line, each as text or as hex: of a file."""

    def __init__(self, make: Callable[[], Talk] = NbTalk) -> None:
        self._make, self._rest = make, b""

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        out = [heard for line in lines for heard in self._line(line, at_ns)]
        if len(self._rest) > _JSON_BYTES_MAX:
            out.append(Refused("too_long", self._rest, at_ns))
            self._rest = b""
        return out

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return []

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        rest, self._rest = self._rest, b""
        return self._line(rest, at_ns)

    def _line(self, line: bytes, at_ns: int) -> list[Heard]:
        text = line.strip()
        with contextlib.suppress(ValueError):  # not hex: the report itself
            text = bytes.fromhex(text.decode("ascii"))
        return self._make().feed(text, at_ns)


def decode(data: bytes) -> list[Fields]:
    """The fields of each report of a datagram, of whatever kind; `reject` and `why` if it is none. `raw`: its own bytes, hex."""
    text = data.strip()
    if text.startswith(huaqiang_nb.HEAD) or _is_base64(text):
        return _of(huaqiang_nb.decode(data if data.startswith(huaqiang_nb.HEAD) else text), "huaqiang")
    parts: list[tuple[object, bytes]] = []
    try:
        message = json.loads(text[:_JSON_BYTES_MAX]) if text.startswith((b"{", b"[")) else None
        parts = [(one, json.dumps(one).encode()) for one in message] if isinstance(message, list) else []
    except (ValueError, RecursionError):
        message = None
    if parts:
        return [fields for one, raw in parts for fields in _stated_in(one, raw)]
    if message is not None:
        return _stated_in(message, text)
    lines = [line.strip() for line in text.split(b"\n", _LINES_MAX) if line.strip()]
    if len(lines) > 1 and (not text.startswith(b"{") or all(line.startswith(b"{") for line in lines)):
        return [fields for line in lines for fields in decode(line)]
    if text.startswith((b"{", b"[")):
        return [{"reject": True, "why": "not_json", "raw": text.hex()}]
    return _of(wanlin_nb.decode_ascii(text), "wanlin")


def _of(reports: list[dict[str, object]], maker: str) -> list[Fields]:
    return [{**fields, "maker_kind": maker} for fields in reports]


def _stated_in(message: object, raw: bytes) -> list[Fields]:
    """One JSON report; `raw`: its text."""
    if not isinstance(message, dict):
        return [{"reject": True, "why": "no_report", "raw": raw.hex()}]
    if "devState" in message:
        return [
            {**fields, "device_id": fields.get("device", "")} for fields in _of(wanlin_nb.decode_json(raw), "wanlin")
        ]
    payload = message.get("payload")
    if isinstance(payload, dict) and isinstance(
        payload.get("APPdata"), str
    ):  # a platform's tunnel for a maker's own bytes
        return _of(huaqiang_nb.decode(payload["APPdata"].encode("ascii", "replace")), "huaqiang")
    named = {"device_id": str(message.get("deviceId") or message.get("IMEI") or "")[:32]}
    return [{**named, **fields} for fields in _of(ctwing.decode(raw), "ctwing")]


def _is_base64(text: bytes) -> bool:
    if not text.startswith(b"UFU"):  # "PU" and whatever follows
        return False
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def meaning(fields: Fields) -> tuple[list[Told], list[Value]]:
    """What a report tells, and what it measured."""
    shown = {name: value for name, value in fields.items() if name not in ("raw", "history") and value is not None}
    told = (_huaqiang if fields.get("maker_kind") == "huaqiang" else _stated)(fields, shown)
    values = [
        Value(name, float(value))
        for key, name in _VALUES.items()
        if isinstance(value := fields.get(key), int | float)
        and not isinstance(value, bool)
        and abs(value) < _NUMBER_MAX
    ]
    first = fields.get("first_sample")
    if isinstance(first, Mapping):  # the newest; the rest is history
        broken = fields.get("dev_code") == _PRESSURE_SENSOR  # a sensor that is broken beats the number beside it
        number = float(str(first["kPa"]))
        values.append(Value("pressure_kpa", None, "invalid") if broken else Value("pressure_kpa", number))
    return told, values


def _stated(fields: Fields, shown: Fields) -> list[Told]:
    event = fields.get("event")
    percent = fields.get("battery_pct", fields.get("battery", fields.get("battery_value")))
    low = [Told("device", "battery_fault", shown)] if _is_low(percent, _BATTERY_LOW_PERCENT) else []
    if event is None:
        ends = _GAS_NORMAL if "gas_sensor_state" in fields else _NORMAL
        return [*low, *(Told("device", end, shown, is_state=True) for end in ends if not low or end != "battery_ok")]
    word = str(event)
    if word in _GAUGES:
        where, told = _GAUGES[word]
        return [Told(where, told, shown), *low]
    if word in _EVENTS:
        return [Told("device", _EVENTS[word], shown), *low]
    return [Told("device", "fault", {**shown, "reason": "unparsed", "said": word}), *low]


def _huaqiang(fields: Fields, shown: Fields) -> list[Told]:
    """Its alert bits are states: set or not, in every report."""
    smoke = fields.get("device") == "smoke"
    told = []
    if smoke:
        told.append(_state("device", "fire", "fire_restore", fields.get("smoke_alarm"), shown))
    elif fields.get("device") == "hydrant":
        for name in ("low", "high"):
            on = fields.get(f"hydrant_{name}_pressure")
            told.append(_state(f"pressure/{name}", "supervisory", "supervisory_restore", on, shown))
    low = fields.get("low_battery") or _is_low(
        fields.get("battery_V"), _BATTERY_LOW_V.get(str(fields.get("device")), 0.0)
    )
    told.append(_state("device", "battery_fault", "battery_ok", low, shown))
    unnamed = int(str(fields["alert"])) & ~huaqiang_nb.NAMED_BITS.get(str(fields.get("device")), 0xFF)
    fault = fields.get("fault") or fields.get("dev_code") or unnamed  # a bit the document does not name is not "normal"
    told.append(_state("device", "fault", "fault_restore", fault, shown))
    if fields.get("mode") == 0xFF:
        told.append(Told("device", "register", shown))
    history = fields.get("history")
    if (
        isinstance(history, list) and len(history) > 1
    ):  # a day of backlog after an outage: kept, never taken for the state
        samples = [[one["time_raw"] + huaqiang_nb.EPOCH_S, one["kPa"]] for one in history]
        told.append(Told("pressure", "status", {"samples_utc_s_kpa": samples}))
    return told


def _is_low(value: object, limit: float) -> bool:
    return isinstance(value, int | float) and 0 < value < limit


def _state(where: str, begin: str, end: str, on: object, shown: Fields) -> Told:
    return Told(where, begin, shown) if on else Told(where, end, shown, is_state=True)
