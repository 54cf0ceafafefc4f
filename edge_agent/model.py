"""The words of the house: kinds, priorities, instants and events.

One glossary for code, command line, console and docs; the zh and en forms are in `edge_agent.texts`.
"""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from buffer.records import Priority
from edge_agent.compact_json import compact_encoder, quoted


class Clock(enum.StrEnum):
    """How far the wall clock can be trusted."""

    SYNCED = "synced"
    HOLDOVER = "holdover"
    UNSET = "unset"


@dataclass(frozen=True, slots=True)
class Instant:
    """When: ordering and waiting use `mono_ns` within `boot_id`; `wall_ns` (UTC, since 1970) is for people."""

    boot_id: str
    mono_ns: int
    wall_ns: int
    clock: Clock
    restamped: bool = False  # wall_ns was filled in later, from boot id and monotonic time


class Kind(enum.StrEnum):
    """What an event is about; the set follows GB/T 26875.3-2011."""

    FIRE = "fire"
    FIRE_MANUAL = "fire_manual"  # a manual call point
    UNKNOWN = "unknown"  # smells of fire, does not parse: an alarm all the same
    PREALARM = "prealarm"
    GAS = "gas"
    ELECTRICAL = "electrical"
    SUPERVISORY = "supervisory"
    FAULT = "fault"
    DISABLED = "disabled"
    MAINS_FAULT = "mains_fault"
    BATTERY_FAULT = "battery_fault"
    TAMPER = "tamper"
    LINK = "link"  # a bus, device, panel or centre that went silent
    STORE = "store"  # the journal or its medium
    WORKER = "worker"  # a part of this agent that had to be restarted
    START = "start"
    FEEDBACK = "feedback"
    LINK_REQUEST = "link_request"
    DELAY = "delay"
    RESET = "reset"
    SILENCE = "silence"
    ACKNOWLEDGE = "acknowledge"
    BOOT = "boot"
    TEST = "test"
    COMMAND = "command"  # what a centre asked of us, and what came of it
    DUTY_CHECK = "duty_check"  # a centre asks whether anyone is there, and the answer
    PATROL = "patrol"  # a round that is due, done or missed; a tag held to a reader
    LINKAGE = "linkage"  # an output of this box acted, was released, or was not allowed to
    EVIDENCE = "evidence"  # a second tap of a panel says what the first has said
    CLOCK = "clock"  # what the wall clock is worth has changed, or it was put right


class Sound(enum.StrEnum):
    """Which annunciation a kind asks for while it is active."""

    FIRE = "fire"
    FAULT = "fault"
    LINK = "link"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class KindInfo:
    """How the house treats a kind: its stream, its annunciation, and whether it holds until a reset."""

    priority: Priority
    sound: Sound
    latched: bool


_ENCODE = compact_encoder(allow_nan=False)

KINDS: Mapping[Kind, KindInfo] = {
    Kind.FIRE: KindInfo(Priority.ALARM, Sound.FIRE, True),
    Kind.FIRE_MANUAL: KindInfo(Priority.ALARM, Sound.FIRE, True),
    Kind.UNKNOWN: KindInfo(Priority.ALARM, Sound.FIRE, True),
    Kind.GAS: KindInfo(Priority.ALARM, Sound.FIRE, True),
    Kind.ELECTRICAL: KindInfo(Priority.ALARM, Sound.FIRE, True),
    Kind.PREALARM: KindInfo(Priority.ALARM, Sound.FAULT, False),
    Kind.SUPERVISORY: KindInfo(Priority.ALARM, Sound.FAULT, False),
    Kind.FAULT: KindInfo(Priority.FAULT, Sound.FAULT, False),
    Kind.DISABLED: KindInfo(Priority.FAULT, Sound.NONE, False),
    Kind.MAINS_FAULT: KindInfo(Priority.FAULT, Sound.FAULT, False),
    Kind.BATTERY_FAULT: KindInfo(Priority.FAULT, Sound.FAULT, False),
    Kind.TAMPER: KindInfo(Priority.FAULT, Sound.FAULT, False),
    Kind.LINK: KindInfo(Priority.FAULT, Sound.LINK, False),
    Kind.STORE: KindInfo(Priority.FAULT, Sound.FAULT, False),
    Kind.WORKER: KindInfo(Priority.FAULT, Sound.FAULT, False),
    Kind.START: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.FEEDBACK: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.LINK_REQUEST: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.DELAY: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.RESET: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.SILENCE: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.ACKNOWLEDGE: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.BOOT: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.TEST: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.COMMAND: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.DUTY_CHECK: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.PATROL: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.LINKAGE: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.EVIDENCE: KindInfo(Priority.STATUS, Sound.NONE, False),
    Kind.CLOCK: KindInfo(Priority.STATUS, Sound.NONE, False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A change of state of one point. `id` names it for ever and everywhere; the journal adds where it is kept."""

    id: str  # boot id and a count, unique in the gateway's life
    kind: Kind
    point: str  # "panel1/1-027", "meter1/voltage_a_v", "pump-room"
    active: bool
    at: Instant  # when the input settled it
    grade: int = 0  # 0 no alarm, 1 single point: local, 2 confirmed: flagged upward
    source: str = ""  # id of the bus, device or part of the agent that told it
    name: str = ""  # the site's words for the point, or the panel's own text
    fields: Mapping[str, object] = field(default_factory=dict)  # decoded fields, samples the decision stood on
    raw: bytes = b""  # what the wire said, for dispute

    @property
    def priority(self) -> Priority:
        """The stream it travels in."""
        return KINDS[self.kind].priority


class NewEvent(Protocol):
    """Makes an event of this gateway: gives it an id and turns the monotonic `at_ns` into an Instant. The core has it."""

    def __call__(
        self,
        kind: Kind,
        point: str,
        active: bool,
        at_ns: int,
        /,
        *,
        source: str = "",
        name: str = "",
        fields: Mapping[str, object] | None = None,
        raw: bytes = b"",
        grade: int = 0,
    ) -> Event:
        """A new event."""
        ...


def encode_instant(at: Instant) -> dict[str, object]:
    """The `at` object of the contract (docs/contract.md)."""
    plain = {"boot": at.boot_id, "mono_ns": at.mono_ns, "wall_ns": at.wall_ns, "clock": at.clock.value}
    return {**plain, "restamped": True} if at.restamped else plain


def instant_text(at: Instant) -> str:
    """The same as compact JSON. Raise TypeError as the encoder would."""
    text = f'{{"boot":{quoted(at.boot_id)},"mono_ns":{at.mono_ns},"wall_ns":{at.wall_ns},"clock":"{at.clock}"'
    return text + (',"restamped":true}' if at.restamped else "}")


def read_instant(at: Mapping[str, object]) -> Instant:
    """The inverse of `encode_instant`. Raise KeyError or ValueError."""
    return Instant(
        str(at["boot"]),
        int(str(at["mono_ns"])),
        int(str(at["wall_ns"])),
        Clock(str(at["clock"])),
        at.get("restamped") is True,
    )


def encode_event(event: Event) -> bytes:
    """The journal body of an event: one compact JSON object in UTF-8. The record's own name is not in it. Never raises.

    What every event has is written as text: the encoder takes two thousand instructions for each of its items.
    """
    try:
        text = f'{{"id":{quoted(event.id)},"kind":"{event.kind}","point":{quoted(event.point)}'
        text += f',"active":{"true" if event.active else "false"},"at":{instant_text(event.at)}'
        if event.grade:
            text += f',"grade":{event.grade}'
        if event.source:
            text += f',"source":{quoted(event.source)}'
        if event.name:
            text += f',"name":{quoted(event.name)}'
        if event.fields:
            text += f',"fields":{_ENCODE(dict(event.fields))}'
        if event.raw:
            text += f',"raw":"{event.raw.hex()}"'
        return f"{text}}}".encode()
    except (
        TypeError,
        ValueError,
        RecursionError,
    ):  # fields JSON cannot hold, half a character: the alarm goes all the same
        return _encode_odd(event)


def _encode_odd(event: Event) -> bytes:
    """The body of an event that is no JSON as it is, in ASCII."""
    body: dict[str, object] = {"id": event.id, "kind": event.kind.value, "point": event.point, "active": event.active}
    body |= {"at": encode_instant(event.at), "grade": event.grade, "source": event.source, "name": event.name}
    body = {key: value for key, value in body.items() if value or key not in ("grade", "source", "name")}
    body["fields"] = {"unencodable": ascii(dict(event.fields))[:2000]}
    if event.raw:
        body["raw"] = event.raw.hex()
    return json.dumps(body, separators=(",", ":"), default=ascii).encode()


def event_id(body: bytes) -> str:
    """The id of an event body without parsing it: encode_event puts it first."""
    if body.startswith(b'{"id":"'):
        end = body.find(b'"', 7)
        return body[7:end].decode("utf-8", "replace") if end > 0 else ""
    return ""
