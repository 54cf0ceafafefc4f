"""What a device on the site's own broker is: a profile compiled into topics and fields, and messages read by it. Pure.

The TOML (docs/drivers/mqtt.md says it in full): `[link] silence_s`, `[[topic]]` with where the device's name stands in the
topic, how the payload is written, whether it tells that the device is there, and `[[topic.value]]`: field -> point.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.messages import LIMIT_KEYS, PointSpec
from drivers.profile import ALARM_KINDS, Profile, ProfileFinding
from drivers.profile_examples import check_tables, compiled, differing, expected_of, not_readable, raised
from drivers.profile_toml import ProfileFault, known, number

PAYLOAD_BYTES_MAX: Final = 16 * 1024
TOPICS_MAX: Final = 32
VALUES_MAX: Final = 100
FORMATS: Final = ("json", "text", "any")  # any: JSON where it is, else the text itself
DEVICE: Final = "{device}"
LOUD_KINDS: Final = ALARM_KINDS | {"unknown"}
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "profile": frozenset(
        "schema kind evidence source brand product caveat link topic ignore example counter_example gb26875_point".split()  # noqa: SIM905 - a list of words
    ),
    "link": frozenset(("silence_s", "node")),
    "topic": frozenset(("topic", "format", "devices", "bridge", "reports", "value", "availability")),
    "availability": frozenset(("field", "online", "offline")),
    "value": frozenset("name zh en field on off bit scale offset unit kind limits test unless".split()),  # noqa: SIM905 - as above
}
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_NO_NAME: Final = re.compile(r"[\x00-\x1f+#]")


@dataclass(frozen=True, slots=True)
class Value:
    """One field of a payload. A flag has `on` or `bit`; a number is scaled. `path` () is the whole payload."""

    name: str
    path: tuple[str, ...]
    on: tuple[object, ...]
    off: tuple[object, ...]
    bit: int | None
    scale: float
    offset: float
    test: bool  # while it is on, alarms of the same message are a person's test
    unless: tuple[str, ...]  # fields that say that this is another sort of device, of which this says nothing
    spec: PointSpec

    @property
    def loud(self) -> bool:
        """Whether its being true is an alarm somebody may die of."""
        return self.spec.kind in LOUD_KINDS

    def read(self, body: object) -> float | bool | str | None:
        """The value; None where the message does not speak of it; else the ASCII reason why there is none: invalid."""
        found = _at(body, self.path)
        if found is None or (isinstance(body, dict) and any(name in body for name in self.unless)):
            return None
        if self.bit is not None:
            whole = _number(found)
            return "invalid" if whole is None or whole != whole // 1 or whole < 0 else bool(int(whole) >> self.bit & 1)
        if self.on:
            word = found.strip() if isinstance(found, str) else found
            return True if _among(word, self.on) else False if _among(word, self.off) else "invalid"
        number = _number(found)
        return "invalid" if number is None else number * self.scale + self.offset


@dataclass(frozen=True, slots=True)
class Availability:
    """What says whether the device, or the bridge of all of them, is connected."""

    path: tuple[str, ...]
    online: tuple[object, ...]
    offline: tuple[object, ...]

    def read(self, body: object) -> bool | None:
        """Whether it is there; None where this says neither."""
        found = _at(body, self.path)
        if found is None and not isinstance(body, dict):
            found = body  # older bridges send the bare word where newer ones send JSON
        return True if _among(found, self.online) else False if _among(found, self.offline) else None


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a device. `devices`: the path of a table that holds several devices by name, on a topic they share."""

    pattern: str
    format: str
    devices: tuple[str, ...]
    bridge: bool
    reports: bool
    values: tuple[Value, ...]
    availability: Availability | None
    anyone: re.Pattern[str]  # matches this topic of any device whose name has no slash

    def filter(self, device: str = "+") -> str:
        """The MQTT topic filter: of one device, or of every one."""
        return self.pattern.replace(DEVICE, device)

    def of(self, device: str) -> re.Pattern[str]:
        """Matches this topic of one device."""
        return re.compile(_expression(self.pattern, re.escape(device)))

    def parse(self, payload: bytes) -> object:
        """The payload as this topic writes it. Raise ValueError, saying why in ASCII."""
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise ValueError("too_long")
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("not_utf8") from None
        if self.format == "text":
            return text
        try:
            body: object = json.loads(text)
        except (ValueError, RecursionError):
            if self.format == "any":
                return text
            raise ValueError("not_json") from None
        if self.format == "json" and not isinstance(body, dict):
            raise ValueError("not_an_object")
        return body

    def tables(self, body: object) -> Iterator[tuple[str, object]]:
        """The devices a shared message speaks of: name, and what it says of each."""
        held = _at(body, self.devices)
        if isinstance(held, dict):
            yield from held.items()

    def torn_alarms(self, payload: bytes) -> list[Value]:
        """The loud flags that a payload nobody can parse says are on: a sensor that prints nan beside its fire."""
        return [value for value in self.values if value.loud and value.on and _torn(value).search(payload)]


@dataclass(frozen=True, slots=True)
class MqttProfile:
    """A compiled profile. `silence_s` 0: a device may be silent for ever. `node`: our own, which numbers what it says."""

    name: str
    silence_s: float
    node: bool
    topics: tuple[Topic, ...]
    values: tuple[Value, ...]  # each name once
    ignore: frozenset[str]  # names under its topics that are no devices

    def specs(self, device: str) -> list[PointSpec]:
        """The points a device has before it speaks; the last one says whether its messages can be read."""
        payload = PointSpec(id="payload", name_zh="报文不可解析", name_en="unreadable messages", kind="fault")
        return [
            PointSpec(
                id=f"{device}/{spec.id}",
                name_zh=spec.name_zh,
                name_en=spec.name_en,
                unit=spec.unit,
                kind=spec.kind,
                limits=spec.limits,
            )
            for spec in (*(value.spec for value in self.values), payload)
        ]


# -- compiling -----------------------------------------------------------------------------------------------------------------


def compile_profile(data: Mapping[str, object], *, name: str = "") -> MqttProfile:
    """Check and compile the TOML of a profile. Raise ProfileFault saying what is wrong where."""
    known(data, _KEYS["profile"], "profile")
    link = _table(data, "link", "link")
    known(link, _KEYS["link"], "link")
    tables = _tables(data, "topic", "topic", TOPICS_MAX)
    if not tables:
        raise ProfileFault("nothing_to_read", "topic")
    topics = tuple(_topic(table, f"topic {number}") for number, table in enumerate(tables, 1))
    values: dict[str, Value] = {}
    for value in (value for topic in topics for value in topic.values):
        if (other := values.setdefault(value.name, value)).spec != value.spec:
            raise ProfileFault("duplicate_value", f"value {value.name}", other.spec.unit or other.spec.kind)
    if not values:
        raise ProfileFault("nothing_to_read", "topic.value")
    if len(values) > VALUES_MAX or "payload" in values:
        raise ProfileFault("bad_name" if "payload" in values else "bad_number", "topic.value", len(values))
    ignore = data.get("ignore", [])
    if not isinstance(ignore, list):
        raise ProfileFault("bad_table", "ignore", ignore)
    silence_s = _float(link, "silence_s", "link", 90_000.0)
    if not 0 <= silence_s <= 30 * 86_400:
        raise ProfileFault("bad_number", "link.silence_s", silence_s)
    found = tuple(values.values())
    return MqttProfile(name, silence_s, bool(link.get("node", False)), topics, found, frozenset(map(str, ignore)))


def _topic(table: Mapping[str, object], where: str) -> Topic:
    known(table, _KEYS["topic"], where)
    pattern, devices = table.get("topic"), _path(table, "devices", where)
    bridge, shape = bool(table.get("bridge", False)), str(table.get("format", "json"))
    if not isinstance(pattern, str) or not pattern or _NO_NAME.search(pattern.replace("+", "")):
        raise ProfileFault("bad_topic", where, pattern)
    if any("+" in level and level != "+" for level in pattern.split("/")):
        raise ProfileFault("bad_topic", where, pattern)
    if pattern.count(DEVICE) + bool(devices) + bridge != 1:  # one way to know whose it is
        raise ProfileFault("bad_topic", where, pattern)
    if shape not in FORMATS or (devices and shape != "json"):
        raise ProfileFault("bad_format", where, shape)
    values = tuple(
        _value(one, f"{where} value {number}", shape)
        for number, one in enumerate(_tables(table, "value", where, VALUES_MAX), 1)
    )
    availability = _availability(table, where)
    if bridge and (values or availability is None):
        raise ProfileFault("bad_table", where, "bridge")
    if not values and availability is None:
        raise ProfileFault("nothing_to_read", where)
    reports = bool(table.get("reports", availability is None))
    anyone = re.compile(_expression(pattern, "(?P<device>[^/]+)"))
    return Topic(pattern, shape, devices, bridge, reports, values, availability, anyone)


def _expression(pattern: str, device: str) -> str:
    parts = [re.escape(part) for part in pattern.replace("+", "\x00").split(DEVICE)]
    return device.join(parts).replace("\x00", "[^/]+").replace(re.escape("\x00"), "[^/]+")


def _availability(table: Mapping[str, object], where: str) -> Availability | None:
    if "availability" not in table:
        return None
    said = _table(table, "availability", where)
    known(said, _KEYS["availability"], f"{where} availability")
    online, offline = _words(said, "online", where), _words(said, "offline", where)
    if not online or not offline:
        raise ProfileFault("bad_table", f"{where} availability", "online, offline")
    return Availability(_path(said, "field", where), online, offline)


def _value(table: Mapping[str, object], where: str, shape: str) -> Value:
    known(table, _KEYS["value"], where)
    name = table.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ProfileFault("bad_name", where, name)
    where = f"value {name}"
    path = _path(table, "field", where)
    if bool(path) == (shape == "text"):  # a text is its payload, an object has fields
        raise ProfileFault("bad_field", where, ".".join(path))
    on, off = _words(table, "on", where), _words(table, "off", where)
    bit = table.get("bit")
    if bit is not None and (isinstance(bit, bool) or not isinstance(bit, int) or not 0 <= bit <= 63):
        raise ProfileFault("bad_number", f"{where}.bit", bit)
    if (bit is not None and on) or bool(on) != bool(off) or any(word in off for word in on):
        raise ProfileFault("bad_flag", where, f"on {list(on)} off {list(off)}")
    flag, kind, unit = bool(on) or bit is not None, str(table.get("kind", "")), str(table.get("unit", ""))
    limits = _table(table, "limits", where)
    if unknown := set(limits) - LIMIT_KEYS:
        raise ProfileFault("unknown_limit", where, min(unknown))
    if flag and (unit or limits.keys() - {"on_delay_s", "off_delay_s", "n", "m"}):
        raise ProfileFault("bad_flag", where, unit or min(limits))
    if kind and not flag and not limits:
        raise ProfileFault("unknown_limit", where, kind)  # a number without limits can never be that event
    if kind in LOUD_KINDS and limits.get("on_delay_s"):
        raise ProfileFault(
            "bad_number", f"{where}.limits.on_delay_s", limits["on_delay_s"]
        )  # the detector has waited already
    spec = PointSpec(
        id=name,
        name_zh=str(table.get("zh", name)),
        name_en=str(table.get("en", name)),
        unit=unit,
        kind=kind,
        limits={key: _float(limits, key, f"{where}.limits", 0.0) for key in limits},
    )
    scale, offset = _float(table, "scale", where, 1.0), _float(table, "offset", where, 0.0)
    unless = tuple(map(str, _words(table, "unless", where)))
    return Value(name, path, on, off, bit, scale, offset, bool(table.get("test", False)), unless, spec)


# -- checking and trying -------------------------------------------------------------------------------------------------------


def check(profile: Profile) -> Sequence[ProfileFinding]:
    """What is wrong with a profile of this kind, beyond its head: tables, then examples and counter-examples."""
    return check_tables(profile, compile_profile, _check_example)


def _check_example(profile: MqttProfile, key: str, number: int, table: object) -> list[ProfileFinding]:
    message = table.get("message") if isinstance(table, dict) else None
    if not isinstance(message, str):
        return not_readable(key, number)
    shown = decode(profile, message.encode())
    if key == "counter_example":
        return raised(number, next((name for one in shown for name in _raised(profile, one)), None))
    expected = expected_of(table)
    if not expected:
        return not_readable(key, number)
    if not shown or shown[0].get("reject"):
        return [ProfileFinding("example_refused", {"number": number, "why": shown[0]["why"] if shown else "no_frame"})]
    return differing(number, expected, shown[0])


def _raised(profile: MqttProfile, shown: Mapping[str, object]) -> list[str]:
    return [value.name for value in profile.values if value.spec.kind and shown.get(value.name) is True]


def decode(profile: MqttProfile, data: bytes) -> list[dict[str, object]]:
    """What `profile` makes of lines as `mosquitto_sub -v` writes them, one object for each device a line speaks of."""
    shown: list[dict[str, object]] = []
    for line in data.splitlines():
        if line.strip():
            shown += _decode_line(profile, line)
    return shown


def _decode_line(profile: MqttProfile, line: bytes) -> list[dict[str, object]]:
    # a topic may hold blanks: the payload begins with its brace, or is the last word
    brace = line.find(b" {")
    head, _, payload = (line[:brace], b"", line[brace + 1 :]) if brace >= 0 else line.rpartition(b" ")
    text = head.decode("utf-8", "replace")
    raw = line.hex()
    # the longest pattern says most: `x/{device}/availability` before `x/{device}`, whose device might be called anything
    for topic in sorted(profile.topics, key=lambda one: -len(one.pattern)):
        match = re.fullmatch(_expression(topic.pattern, "(?P<device>.+)"), text)
        if match is None:
            continue
        name = match.groupdict().get("device", "")
        if name in profile.ignore:
            continue
        try:
            body = topic.parse(payload)
        except ValueError as fault:
            torn = {value.name: True for value in topic.torn_alarms(payload)}
            return [{"reject": True, "why": str(fault), "event": None, "device": name, **torn, "raw": raw}]
        return (
            [_shown(topic, name, body, raw)]
            if not topic.devices
            else [_shown(topic, device, table, raw) for device, table in topic.tables(body)]
        )
    return [{"reject": True, "why": "foreign_topic", "event": None, "raw": raw}]


def _shown(topic: Topic, device: str, body: object, raw: str) -> dict[str, object]:
    found: dict[str, object] = {"device": device} if device else {}
    if topic.availability is not None and (there := topic.availability.read(body)) is not None:
        found["online"] = there
    read = {value.name: value.read(body) for value in topic.values}
    found |= {name: value for name, value in read.items() if value is not None}
    event = next((v.spec.kind for v in topic.values if v.loud and read[v.name] is True), None)
    return {**found, "event": event, "raw": raw}


def try_capture(profile: Profile, data: bytes) -> list[dict[str, object]]:
    """See `decode`. Raise ProfileError (bad_table)."""
    return decode(compiled(profile, compile_profile), data)


# -- small things --------------------------------------------------------------------------------------------------------------


def _at(body: object, path: Sequence[str]) -> object:
    for key in path:
        if not isinstance(body, dict):
            return None
        body = body.get(key)
    return body


def _among(word: object, words: Sequence[object]) -> bool:
    """JSON tells true from 1 and so do we; a number is itself as 1 and as 1.0."""
    return any(type(word) is type(one) and word == one for one in words) or (
        isinstance(word, float) and not isinstance(word, bool) and any(word == one for one in words if type(one) is int)
    )


def _number(found: object) -> float | None:
    if isinstance(found, bool):
        return None
    try:
        number = float(found)  # type: ignore[arg-type]  # a number, or a text that is one
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _torn(value: Value) -> re.Pattern[bytes]:
    words = b"|".join(re.escape(json.dumps(word).encode()) for word in value.on)
    return (
        re.compile(rb'"%s"\s*:\s*(?:%s)(?![\w.])' % (re.escape(value.path[-1].encode()), words))
        if value.path
        else (re.compile(rb"(?!)"))
    )


def _table(data: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise ProfileFault("bad_table", where, key)
    return value


def _tables(data: Mapping[str, object], key: str, where: str, most: int) -> Sequence[Mapping[str, object]]:
    value = data.get(key, [])
    if not isinstance(value, list) or len(value) > most or not all(isinstance(one, dict) for one in value):
        raise ProfileFault("bad_table", where, key)
    return value


def _path(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, "")
    if not isinstance(value, str) or (value and not all(value.split("."))):
        raise ProfileFault("bad_field", where, value)
    return tuple(value.split(".")) if value else ()


def _words(table: Mapping[str, object], key: str, where: str) -> tuple[object, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(word, bool | int | str) for word in value):
        raise ProfileFault("bad_flag", where, value)
    return tuple(value)


def _float(table: Mapping[str, object], key: str, where: str, default: float) -> float:
    return float(number(table.get(key, default), f"{where}.{key}"))
