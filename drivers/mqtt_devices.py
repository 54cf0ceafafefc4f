"""The devices behind one broker: what their messages say, and who has fallen silent. Pure.

A message is a state, so a repeat changes nothing. A retained one is a state too, of unknown age: an alarm in it counts, "normal"
in it ends no alarm, and it never proves that a device lives.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs.base import Refused
from drivers.messages import LinkState, Observation, PanelEvent, PointFault, PointSpec, Reading
from drivers.mqtt_profile import DEVICE, MqttProfile, Topic
from drivers.mqtt_strangers import Strangers, Unlisted, alarms_in, unknown_alarm

TEST_NS: Final = 60_000_000_000  # a person's test withholds its own alarm for so long, whatever is said meanwhile
EPOCH_MAX: Final = 16
AGE_MAX_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class MqttDevice:
    """One device of the configuration: `name` stands for {device} in its profile's topics. `silence_s` None: the profile's."""

    id: str
    profile: MqttProfile
    name: str
    silence_s: float | None = None


@dataclass(slots=True)
class _Device:
    id: str
    profile: MqttProfile
    name: str
    silence_ns: int
    heard_ns: int
    up: bool | None = None
    reason: str = ""
    told: dict[str, str] = field(default_factory=dict)  # value -> why there is none
    torn: set[str] = field(default_factory=set)  # topics whose last message could not be read
    odd: set[str] = field(default_factory=set)  # topics on which an alarm was told that the profile does not read
    readable: bool = False  # the house was told so
    last: tuple[str, int, str] = ("", 0, "")  # of our own node: epoch and number of the newest record, and what it said
    at_ns: int = 0  # when that was
    lost: int = 0
    tested: dict[str, int] = field(default_factory=dict)  # loud flag withheld for a test -> until when
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Confirm:
    """A record of one of our nodes that has to be confirmed once it is kept."""

    device: str
    topic: str
    payload: bytes
    before: tuple[str, int, str] | None  # what its last record was before; None: this is a copy


class MqttDevices:
    """`source` is the driver's id. `watched` are profiles whose topics are listened to for devices nobody configured."""

    def __init__(self, source: str, devices: Sequence[MqttDevice], watched: Sequence[MqttProfile], now_ns: int) -> None:
        self._devices = [
            _Device(
                one.id,
                one.profile,
                one.name,
                round((one.profile.silence_s if one.silence_s is None else one.silence_s) * 1e9),
                now_ns,
            )
            for one in devices
        ]
        named = {one.profile.name: one.profile for one in devices}
        self._profiles = tuple({**named, **{profile.name: profile for profile in watched}}.values())
        self._exact: dict[str, list[tuple[_Device, Topic]]] = {}
        self._shared: dict[str, tuple[re.Pattern[str], list[tuple[_Device, Topic]]]] = {}
        for device in self._devices:
            for topic in device.profile.topics:
                if DEVICE in topic.pattern and "+" not in topic.pattern:
                    self._exact.setdefault(topic.filter(device.name), []).append((device, topic))
                elif not topic.bridge:
                    pattern = topic.of(device.name)
                    self._shared.setdefault(pattern.pattern, (pattern, []))[1].append((device, topic))
        self._bridges: dict[str, bool] = {}  # topic -> there
        self._strangers = Strangers(source, self._profiles)
        self.counts = self._strangers.counts
        self._confirms: list[Confirm] = []

    def filters(self) -> list[str]:
        """What to subscribe to: no two of them take the same message, or a broker may send it twice."""
        anyone = {topic.filter() for profile in self._profiles for topic in profile.topics}
        exact = {
            topic.filter(device.name)
            for device in self._devices
            for topic in device.profile.topics
            if "/" in device.name  # a wildcard takes one level
        }
        return sorted(anyone | exact)

    def specs(self) -> list[PointSpec]:
        """The points all devices have before they speak."""
        return [spec for device in self._devices for spec in device.profile.specs(device.id)]

    def counters(self) -> dict[str, int]:
        """Messages of the broker; `device.kind` of each device."""
        found = {kind: self.counts[kind] for kind in ("messages", "retained", "refused", "unlisted", "forgotten")}
        for device in self._devices:
            found |= {
                f"{device.id}.{kind}": device.counts[kind] for kind in ("ok", "refused", "invalid", "repeat", "test")
            }
        return found

    def refused(self) -> Sequence[Refused]:
        """The last messages nobody could read, oldest first."""
        return tuple(self._strangers.refused)

    def unlisted(self) -> list[Unlisted]:
        """Devices that speak and are in no configuration, the oldest first; at most UNLISTED_MAX."""
        return list(self._strangers.unlisted.values())

    # -- our own nodes ---------------------------------------------------------------------------------------------------

    def take_confirms(self) -> list[Confirm]:
        """What the last messages want confirmed, oldest first."""
        found, self._confirms = self._confirms, []
        return found

    def forget(self, confirm: Confirm) -> None:
        """It could not be kept: when it comes again it is news."""
        for device in self._devices:
            if device.id == confirm.device and confirm.before is not None:
                device.last = confirm.before

    def _is_new(self, device: _Device, topic: str, body: Mapping[str, object], now_ns: int) -> bool | None:
        """Whether a node's record is news; a copy is confirmed and told no more. None: it has no number, so it is no record."""
        epoch, n, age_s = body.get("e"), body.get("n"), body.get("age_s")
        if not isinstance(epoch, str) or len(epoch) > EPOCH_MAX or type(n) is not int or not 0 < n < 2**32:
            return None
        payload = json.dumps({"e": epoch, "n": n}).encode()
        said = json.dumps({key: value for key, value in body.items() if key != "age_s"}, sort_keys=True)
        # a flash that went bad may give its number to another record: what differs is news
        copy = epoch == device.last[0] and (n < device.last[1] or (n == device.last[1] and said == device.last[2]))
        confirm = Confirm(device.id, f"{topic.rpartition('/')[0]}/ack", payload, None if copy else device.last)
        self._confirms.append(confirm)
        if copy:
            device.counts["repeat"] += 1
            return False
        known = type(age_s) is int and 0 <= age_s <= AGE_MAX_S
        at_ns = now_ns - (int(str(age_s)) * 1_000_000_000 if known else 0)
        device.at_ns = min(now_ns, max(at_ns, device.at_ns))  # records come in order
        device.last = epoch, n, said
        return True

    # -- messages --------------------------------------------------------------------------------------------------------

    def take(self, topic: str, payload: bytes, *, retained: bool, now_ns: int) -> list[Observation]:
        """What one message says, alarms first."""
        self.counts["messages"] += 1
        self.counts["retained"] += retained
        seen: list[Observation] = []
        known = False
        for device, shape in self._exact.get(topic, ()):
            known = True
            seen += self._message(device, shape, topic, payload, retained, now_ns)
        for pattern, shared in self._shared.values():
            if pattern.fullmatch(topic):
                known = True
                seen += self._shared_message(shared, topic, payload, retained, now_ns)
        seen += self._bridge(topic, payload)
        if not known:
            seen += self._strangers.take(topic, payload, retained, now_ns)
        loud = [one for one in seen if isinstance(one, Reading) and one.value is True]
        return [*loud, *(one for one in seen if one not in loud)] if loud else seen

    def _message(  # noqa: PLR0917 - one message is all of these
        self, device: _Device, shape: Topic, topic: str, payload: bytes, retained: bool, now_ns: int
    ) -> list[Observation]:
        try:
            body = shape.parse(payload)
        except ValueError as fault:
            return self._unreadable(device, shape, topic, payload, str(fault), retained, now_ns)
        return self._said(device, shape, topic, body, payload, retained, now_ns)

    def _shared_message(
        self, shared: Sequence[tuple[_Device, Topic]], topic: str, payload: bytes, retained: bool, now_ns: int
    ) -> list[Observation]:
        """A message on a topic that several devices share: each hears what is said of it."""
        if not shared[0][1].devices:  # one device's own topic, with a level that may be anything
            return [
                one
                for device, shape in shared
                for one in self._message(device, shape, topic, payload, retained, now_ns)
            ]
        try:
            body = shared[0][1].parse(payload)
        except ValueError as fault:
            self._strangers.refuse(str(fault), topic, payload, now_ns)
            return self._strangers.alarm_of_nobody(topic, payload, "message", retained, now_ns)
        seen: list[Observation] = []
        strangers: dict[str, object] = {}
        for device, shape in shared:
            tables = dict(shape.tables(body))
            strangers |= tables
            if device.name in tables:
                seen += self._said(device, shape, topic, tables[device.name], payload, retained, now_ns)
        for name in strangers.keys() - {device.name for device, _ in shared}:
            seen += self._strangers.notice(name, topic, strangers[name], payload, retained, now_ns)
        return seen

    def _said(  # noqa: PLR0917 - as _message
        self, device: _Device, shape: Topic, topic: str, body: object, payload: bytes, retained: bool, now_ns: int
    ) -> list[Observation]:
        seen: list[Observation] = []
        if device.profile.node and isinstance(body, dict):
            if retained or (new := self._is_new(device, topic, body, now_ns)) is None:
                # it is of nobody knows when: an alarm in it counts, as in a retained message
                self._strangers.refuse("no_record", topic, payload, now_ns)
                return self._told(device, shape, topic, body, payload, True, now_ns, now_ns)
            if not new:
                return self._heard(device, now_ns)
            seen += self._lost_some(device, body, now_ns)
            return seen + self._told(device, shape, topic, body, payload, retained, now_ns, device.at_ns)
        return self._told(device, shape, topic, body, payload, retained, now_ns, now_ns)

    @staticmethod
    def _lost_some(device: _Device, body: Mapping[str, object], now_ns: int) -> list[Observation]:
        """Records that a node had to overwrite are gone: told once each time there are more."""
        lost = body.get("lost")
        if type(lost) is not int or lost <= device.lost:
            device.lost = lost if type(lost) is int else device.lost
            return []
        more, device.lost = lost - device.lost, lost
        where, fields = f"{device.id}/lost_records", {"reason": "records_lost", "count": more}
        return [
            PanelEvent(where, "fault", now_ns, fields),
            PanelEvent(where, "fault_restore", now_ns, fields, is_state=True),
        ]

    def _told(  # noqa: PLR0917 - as _message
        self,
        device: _Device,
        shape: Topic,
        topic: str,
        body: object,
        payload: bytes,
        retained: bool,
        now_ns: int,
        at_ns: int,
    ) -> list[Observation]:
        seen: list[Observation] = []
        if shape.availability is not None and (there := shape.availability.read(body)) is not None:
            if not there:
                seen += self._down(device, "offline", now_ns)
            elif not retained:
                seen += self._heard(device, now_ns)
        read = [(value, value.read(body)) for value in shape.values]
        testing = any(value.test and found is True for value, found in read)
        for value, found in read:
            if found is None or (retained and value.loud and found is False):
                continue
            if isinstance(found, str):
                device.counts["invalid"] += 1
                seen += self._no_value(device, value.name, found, now_ns)
                continue
            device.told.pop(value.name, None)
            if value.loud:
                if found is True and testing and value.name not in device.tested:  # told of this point, but as no alarm
                    seen.append(PanelEvent(f"{device.id}/{value.name}", "test", now_ns, {"said": value.spec.kind}))
                if self._withheld(device, value.name, found is True, testing, now_ns):
                    continue
            seen.append(Reading(f"{device.id}/{value.name}", found, at_ns))
        if not retained and shape.reports:
            device.counts["ok"] += 1
            seen += self._heard(device, now_ns)
        odd = any(value.loud and isinstance(found, str) for value, found in read)
        if (odd and self._strangers.smell.of(payload)) or _unread_alarm(shape, body):
            if topic not in device.odd:
                seen.append(unknown_alarm(f"{device.id}/payload", "unread_alarm", topic, payload, now_ns))
            device.odd.add(topic)
            device.torn.add(topic)  # until the device says something that is no such thing
        elif not retained:
            seen += self._sound(device, topic, now_ns)
        return seen

    def _unreadable(  # noqa: PLR0917 - as _message
        self, device: _Device, shape: Topic, topic: str, payload: bytes, why: str, retained: bool, now_ns: int
    ) -> list[Observation]:
        device.counts["refused"] += 1
        self._strangers.refuse(why, topic, payload, now_ns)
        if not payload and retained:
            return []  # how a retained message is taken back
        torn = shape.torn_alarms(payload)
        seen: list[Observation] = [Reading(f"{device.id}/{value.name}", True, now_ns) for value in torn]
        if not torn and self._strangers.smell.of(payload):
            seen.append(unknown_alarm(f"{device.id}/payload", why, topic, payload, now_ns))
        device.torn.add(topic)
        device.readable = False
        seen.append(Reading(f"{device.id}/payload", True, now_ns))
        if not retained:
            seen += self._heard(device, now_ns)
        return seen

    def _sound(self, device: _Device, topic: str, now_ns: int) -> list[Observation]:
        """A message that could be read: what was said of messages that could not is over, also from before a restart."""
        was_torn = topic in device.torn
        device.torn.discard(topic)
        device.odd.discard(topic)
        if device.torn or (device.readable and not was_torn):
            return []
        device.readable = True
        where = f"{device.id}/payload"
        return [Reading(where, False, now_ns), PanelEvent(where, "readable", now_ns)]

    def _withheld(self, device: _Device, value: str, on: bool, testing: bool, now_ns: int) -> bool:
        if not on or not testing:
            device.tested.pop(value, None)
            return False
        if value not in device.tested:
            device.counts["test"] += 1
            device.tested[value] = now_ns + TEST_NS
        return now_ns < device.tested[value]

    @staticmethod
    def _no_value(device: _Device, value: str, reason: str, now_ns: int) -> list[Observation]:
        if device.told.get(value) == reason:
            return []
        device.told[value] = reason
        return [PointFault(f"{device.id}/{value}", reason, now_ns)]

    # -- who is there ----------------------------------------------------------------------------------------------------

    def tick(self, now_ns: int, *, broker_up: bool) -> list[Observation]:
        """What time alone has settled: silence, and alarms that outlast a test."""
        seen: list[Observation] = []
        for device in self._devices:
            for value, due_ns in list(device.tested.items()):
                if due_ns and now_ns >= due_ns:
                    device.tested[value] = 0  # told; no test withholds it any more
                    seen.append(Reading(f"{device.id}/{value}", True, now_ns))
            if broker_up and device.silence_ns and now_ns - device.heard_ns >= device.silence_ns:
                seen += self._down(device, "unheard", now_ns)
        return seen

    def connected(self, now_ns: int) -> None:
        """The broker is back: nobody could be heard while it was away."""
        for device in self._devices:
            device.heard_ns = now_ns

    def bridge_lost(self) -> str:
        """The topic of a bridge that is not there, "" if all are: without it none of its devices is heard."""
        return next((topic for topic, there in self._bridges.items() if not there), "")

    def _heard(self, device: _Device, now_ns: int) -> list[Observation]:
        device.heard_ns = now_ns
        if device.up:
            return []
        device.up = True
        return [LinkState(device.id, True, now_ns, "answering")]

    def _down(self, device: _Device, reason: str, now_ns: int) -> list[Observation]:
        if device.up is False and device.reason == reason:
            return []
        detail = f"nothing heard for {(now_ns - device.heard_ns) / 1e9:.0f} s" if reason == "unheard" else ""
        seen: list[Observation] = (
            [LinkState(device.id, False, now_ns, reason, detail)] if device.up is not False else []
        )
        device.up, device.reason = False, reason
        for spec in device.profile.values:
            seen += self._no_value(device, spec.name, "silent", now_ns)
        return seen

    def _bridge(self, topic: str, payload: bytes) -> list[Observation]:
        for profile in self._profiles:
            for shape in profile.topics:
                if shape.bridge and shape.pattern == topic and shape.availability is not None:
                    try:
                        there = shape.availability.read(shape.parse(payload))
                    except ValueError:
                        there = None
                    if there is not None:
                        self._bridges[topic] = there
                    return []
        return []


def _unread_alarm(shape: Topic, body: object) -> bool:
    """Whether it speaks of an alarm in a field that the profile does not read: a gas head configured as a smoke head."""
    read = {value.path[0] for value in shape.values if value.path}
    return bool(shape.values) and any(name not in read for name in alarms_in(body))
