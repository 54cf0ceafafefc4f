"""Who speaks on a broker and is in no configuration, and what nobody can read. Pure; everything a peer can fill is bounded."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.codecs.base import Refused
from drivers.codecs.text import Smell
from drivers.messages import Observation, PanelEvent
from drivers.mqtt_profile import MqttProfile, Topic

UNLISTED_MAX: Final = 64
REFUSED_KEPT: Final = 64
BYTES_SHOWN: Final = 256
# What a message may call an alarm that its profile does not read.
_ALARM_FIELDS: Final = frozenset(("smoke", "fire", "gas", "carbon_monoxide", "co", "heat", "smoke_alarm", "gas_alarm"))
_ON: Final = frozenset(("on", "true", "alarm", "1"))


@dataclass(slots=True)
class Unlisted:
    """A device that speaks on the broker and is in no configuration."""

    device: str
    topic: str
    profiles: tuple[str, ...]
    first_ns: int
    last_ns: int = 0
    count: int = 0
    alarm: bool = False
    sample: bytes = b""


class Strangers:
    """Those of one driver. `profiles` are the ones whose topics are listened to."""

    def __init__(self, source: str, profiles: Sequence[MqttProfile]) -> None:
        self._source, self._profiles = source, profiles
        self.unlisted: dict[str, Unlisted] = {}  # by name, the oldest first
        self.refused: deque[Refused] = deque(maxlen=REFUSED_KEPT)
        self.smell = Smell()
        self.counts: Counter[str] = Counter()

    def take(self, topic: str, payload: bytes, retained: bool, now_ns: int) -> list[Observation]:
        """A message on a topic of no configured device."""
        for profile in self._profiles:
            for shape in profile.topics:
                if shape.bridge or not shape.values or (match := shape.anyone.fullmatch(topic)) is None:
                    continue
                name = match.groupdict().get("device", "")
                if name in profile.ignore:
                    return []
                try:
                    body = shape.parse(payload)
                except ValueError as fault:
                    self.refuse(str(fault), topic, payload, now_ns)
                    return self.alarm_of_nobody(topic, payload, name or "message", retained, now_ns)
                seen: list[Observation] = []
                for device, table in shape.tables(body) if shape.devices else ((name, body),):
                    seen += self.notice(device, topic, table, payload, retained, now_ns)
                return seen
        return []

    def notice(  # noqa: PLR0917 - one message is all of these
        self, name: str, topic: str, body: object, payload: bytes, retained: bool, now_ns: int
    ) -> list[Observation]:
        """A device nobody configured: listed for whoever looks, and an alarm if it speaks of one now."""
        self.counts["unlisted"] += 1
        found = self.unlisted.get(name)
        if found is None:
            if len(self.unlisted) >= UNLISTED_MAX:
                quiet = next((key for key, one in self.unlisted.items() if not one.alarm), next(iter(self.unlisted)))
                del self.unlisted[quiet]
                self.counts["forgotten"] += 1
            found = self.unlisted[name] = Unlisted(name, topic, self._candidates(topic), now_ns)
        found.last_ns, found.count, found.sample = now_ns, found.count + 1, payload[:BYTES_SHOWN]
        was_alarm = found.alarm
        alarm = bool(alarms_in(body)) or self._loud_in(topic, body)
        where = f"{self._source}/{_ascii(name)}"
        if alarm and not retained:
            found.alarm = True  # told once, though each message of it reads a little different
            return [] if was_alarm else [unknown_alarm(where, "unlisted_device", topic, payload, now_ns)]
        if found.alarm and not alarm and not retained:
            found.alarm = False
            return [PanelEvent(where, "readable", now_ns)]
        return []

    def _loud_in(self, topic: str, body: object) -> bool:
        return any(value.read(body) is True for shape in self._shapes(topic) for value in shape.values if value.loud)

    def _candidates(self, topic: str) -> tuple[str, ...]:
        return tuple(
            profile.name
            for profile in self._profiles
            if any(shape.values and shape.anyone.fullmatch(topic) for shape in profile.topics)
        )

    def _shapes(self, topic: str) -> Iterator[Topic]:
        for profile in self._profiles:
            yield from (shape for shape in profile.topics if shape.anyone.fullmatch(topic))

    def alarm_of_nobody(self, topic: str, payload: bytes, name: str, retained: bool, now_ns: int) -> list[Observation]:
        """A message nobody can read and nobody is known to have sent."""
        torn = any(shape.torn_alarms(payload) for shape in self._shapes(topic))
        if retained or not (torn or self.smell.of(payload)):
            return []
        return [unknown_alarm(f"{self._source}/{_ascii(name)}", "unreadable", topic, payload, now_ns)]

    def refuse(self, why: str, topic: str, payload: bytes, now_ns: int) -> None:
        """A message that cannot be read, whoever sent it: counted and kept."""
        self.counts["refused"] += 1
        raw = topic.encode()[:BYTES_SHOWN] + b" " + payload[:BYTES_SHOWN]
        self.refused.append(Refused(why, raw, now_ns, {"topic": _ascii(topic)[:200]}))


def unknown_alarm(where: str, reason: str, topic: str, payload: bytes, now_ns: int) -> PanelEvent:
    """An alarm of which no more is known than that somebody speaks of one."""
    fields = {"reason": reason, "topic": _ascii(topic)[:200]}
    return PanelEvent(where, "unknown", now_ns, fields, payload[:BYTES_SHOWN])


def alarms_in(body: object) -> list[str]:
    """Fields of a message that are named like an alarm and are on."""
    if not isinstance(body, dict):
        return []
    return [
        str(name)
        for name, value in body.items()
        if str(name).lower() in _ALARM_FIELDS and (value is True or (isinstance(value, str) and value.lower() in _ON))
    ]


def _ascii(text: str) -> str:
    """A name from the wire as part of a point's id: printable, no blanks, bounded."""
    return "".join(c if c.isprintable() and not c.isspace() and c != "*" else "_" for c in text)[:64]
