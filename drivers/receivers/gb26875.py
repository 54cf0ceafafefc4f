"""GB/T 26875.3-2011 spoken to us by a panel or another transmission device: we are the centre it uploads to (clauses 6.5, 8).

Nothing is ordered, and asked only what `gb26875_ask` has: uploads are confirmed, all else is denied. A frame that fails a check
is denied if its marks fit (then its serial number can be trusted), so that the device sends it again. What the bits of a status
say is told as a state each time; the points know what is news. Source: clauses 6.5 and 8, and what devices of the field do.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, TypeVar

from drivers.codecs.base import Refused
from drivers.codecs.gb26875 import (
    Adu,
    Command,
    Dialect,
    Frame,
    FrameReader,
    Rejected,
    decode_adu,
    read_text,
    read_time,
    show_device,
    split_component,
    write_time,
)
from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.adu import EMPTY
from drivers.codecs.gb26875.events import ended_by, events_of, smells_of_fire
from drivers.codecs.gb26875.objects import InformationObject
from drivers.panel_clock import Timed
from drivers.receivers.desk import Heard, Message, Say, Told, Value
from drivers.receivers.gb26875_ask import Questions, Standing, rank_of

CHINA: Final = timezone(timedelta(hours=8))
STATES_MAX: Final = 4096
DEVICES_MAX: Final = 256
_FIRE_BIT: Final = 0b10
_FIRES: Final = ("fire", "fire_manual", "unknown", "gas", "electrical")  # kinds the fire bit stands for
HANDSHAKE, HANDSHAKE_BACK = b"\x16", b"\x17"  # a one-byte keep-alive, and what its peers are answered
_ANSWERS: Final = frozenset({Command.CONFIRM, Command.RESPONSE, Command.DENY})
_UNREADABLE: Final = ("short", "reserved_type", "size", "direction")
_OF_SYSTEMS: Final = (kinds.SystemStatus, kinds.ComponentStatus, kinds.AnalogueValue, kinds.FacilityOperation)
_FOREVER_NS: Final = 1 << 62

Clock = Callable[[], datetime | None]  # UTC, None while it is not known
_V = TypeVar("_V")


class States:
    """What devices said last, over all their connections. Bounded, the oldest forgotten.

    The fire bit of a device or a system sums up what its components say. It is an alarm while none of them has spoken, and gives
    way to the first that does: one fire must not confirm itself as two.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._burning: OrderedDict[str, dict[str, tuple[int, bool]]] = OrderedDict()  # device: point: rank, told
        self._clocks: OrderedDict[str, Timed] = OrderedDict()
        self._versions: OrderedDict[str, str] = OrderedDict()

    def fire(self, who: str, where: str, rank: int, burning: bool) -> tuple[bool, list[str]]:
        """Whether a fire at a point of `rank` (0 device, 1 system, 2 component) is told, and the points that give way to it."""
        points = self._burning.setdefault(who, {})
        self._burning.move_to_end(who)
        if len(self._burning) > DEVICES_MAX:
            self._burning.popitem(last=False)
        if not burning:
            points.pop(where, None)
            return False, []
        if where in points:
            return points[where][1], []
        give_way = [point for point, (other, told) in points.items() if told and other < rank]
        points |= {point: (points[point][0], False) for point in give_way}
        told = all(other <= rank for other, _ in points.values())
        if len(points) < STATES_MAX:
            points[where] = rank, told
        return told, give_way

    def about(self, who: str) -> tuple[Sequence[Timed], str]:
        """What the device's clock said last, and the version of its software, "" if it never told."""
        clock = self._clocks.get(who)
        return [clock] if clock is not None else [], self._versions.get(who, "")

    def clock(self, who: str, time: datetime, at_ns: int) -> None:
        """The device's clock is this."""
        _put(self._clocks, who, (at_ns, {"time": time.isoformat()}))

    def version(self, who: str, major: int, minor: int) -> None:
        """The device's software is this."""
        _put(self._versions, who, f"{major}.{minor}")

    def burns(self, who: str, where: str) -> None:
        """A fire that was told before the restart."""
        self._burning.setdefault(who, {})[where] = rank_of(where), True

    def reset(self, who: str) -> None:
        """Nothing of the device burns any more."""
        self._burning.pop(who, None)

    def is_news(self, who: str, what: str, now: bytes) -> bool:
        """Whether `what` of device `who` is not as it was."""
        before = self._last.pop((who, what), None)
        self._last[who, what] = now
        if len(self._last) > STATES_MAX:
            self._last.popitem(last=False)
        return before != now


def _put(kept: OrderedDict[str, _V], who: str, value: _V) -> None:
    kept[who] = value
    kept.move_to_end(who)
    if len(kept) > DEVICES_MAX:
        kept.popitem(last=False)


class GbTalk:
    """One connection, line or datagram. `states` and `questions` outlive it; `now` gives the wall time for answers, `standing`
    what is taken for active of a device.
    """

    def __init__(
        self, dialect: Dialect, states: States, now: Clock, questions: Questions, standing: Standing = lambda who: ()
    ) -> None:
        self._dialect, self._states, self._now = dialect, states, now
        self._questions, self._standing = questions, standing
        self._reader = FrameReader(extra_commands=dialect.extra_commands)
        self._peers: dict[str, None] = {}  # who speaks here; on a bus there may be several

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        return self._heard(self._reader.feed(data, at_ns), at_ns)

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        out = self._heard(self._reader.tick(at_ns), at_ns)
        for who in self._peers:
            out += self._question(who, None, at_ns)
        return out

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        left = self._reader.tick(_FOREVER_NS)
        return [Refused(item.reason, item.raw, at_ns) for item in left if isinstance(item, Rejected)]

    def _heard(self, items: Iterable[Frame | Rejected], at_ns: int) -> list[Heard]:
        out: list[Heard] = []
        for item in items:
            if isinstance(item, Frame):
                who = show_device(item.source, self._dialect.device_address)
                self._meet(who, at_ns)
                if isinstance(sent := read_time(item.sent, bcd=self._dialect.bcd), datetime):
                    self._states.clock(who, sent, at_ns)
                out.append(self._frame(item, who))
                out += self._question(who, item if item.command == Command.SEND else None, at_ns)
                continue
            out.append(Refused(item.reason, item.raw, at_ns))
            frame = item.frame
            if frame is not None and item.reason in ("checksum", "command") and frame.command not in _ANSWERS:
                out.append(Say(self._answer(frame, Command.DENY)))
        return out

    def _meet(self, who: str, at_ns: int) -> None:
        """A device that was away, or that we have not heard since our own start, is asked how things stand."""
        if len(self._peers) < DEVICES_MAX:
            self._peers[who] = None
        if not self._questions.is_back(who, at_ns):
            return
        standing = list(self._standing(who))
        for where, kind in standing:
            if kind in _FIRES:
                self._states.burns(who, where)
        # Where a bit at 0 says nothing, an answer could end nothing.
        self._questions.ask(who, (where for where, _ in standing) if self._dialect.recovery == "bit" else ())

    def _question(self, who: str, upload: Frame | None, at_ns: int) -> list[Heard]:
        due = self._questions.due(who, upload, self._sent, at_ns)
        return [Say(due.encode())] if due is not None else []

    def _frame(self, frame: Frame, who: str) -> Message:
        raw = frame.encode()
        deny = self._answer(frame, Command.DENY)
        if frame.command in _ANSWERS:  # never answered: answering an answer would never end
            told, values = self._unit(who, frame.adu) if self._questions.answers(who, frame) else ([], [])
            return Message(who=who, raw=raw, told=told, values=values)
        if frame.command in self._dialect.extra_commands:  # registration and keep-alive of its own kind
            return Message(who=who, raw=raw, yes=self._answer(frame, Command.CONFIRM), no=deny)
        if frame.command != Command.SEND:
            return Message(who=who, raw=raw, yes=deny, no=deny)
        back = HANDSHAKE_BACK if frame.adu == HANDSHAKE else b""
        told, values = self._unit(who, frame.adu) if frame.adu != HANDSHAKE else ([], [])
        return Message(
            who=who,
            raw=raw,
            key=frame.serial.to_bytes(2, "little") + frame.adu,
            told=told,
            values=values,
            yes=self._answer(frame, Command.CONFIRM, back),
            no=deny,
        )

    def _answer(self, frame: Frame, command: Command, adu: bytes = b"") -> bytes:
        return frame.answer(command, self._sent(frame), adu).encode()

    def _sent(self, frame: Frame) -> bytes:
        """The time tag of what we say: our time, the device's own while we have none."""
        now = self._now()
        if now is None:
            return frame.sent
        return write_time(now.astimezone(CHINA).replace(tzinfo=None, microsecond=0), bcd=self._dialect.bcd)

    # -- meaning -----------------------------------------------------------------------------------------------------
    def _unit(self, who: str, adu: bytes) -> tuple[list[Told], list[Value]]:
        unit = decode_adu(adu, self._dialect, uplink=True)
        if unit.type == EMPTY:
            return [], []
        if any(problem in _UNREADABLE for problem in unit.problems):
            fields = {"reason": "unparsed", "type": unit.type, "why": ", ".join(unit.problems), "adu": adu.hex()}
            return [Told("device", "unknown" if smells_of_fire(unit) else "fault", fields)], []
        told: list[Told] = []
        values: list[Value] = []
        recovered = self._dialect.recovery_of(unit.type) is not None
        for item in unit.objects:
            if isinstance(item, kinds.AnalogueValue):
                values.append(self._value(item))
            elif isinstance(item, kinds.Opaque):  # a user type nobody agreed on: kept, once for each content
                if self._states.is_news(who, f"type {unit.type}", item.body):
                    told.append(Told("device", "status", {"type": unit.type, "body": item.body.hex()}))
            else:
                told += self._object(who, item, unit, recovered)
        return told, values

    def _object(self, who: str, item: InformationObject, unit: Adu, recovered: bool) -> list[Told]:
        where, fields = self._where(item), self._fields(item, unit)
        stands = list(dict.fromkeys(events_of(item, recovered=recovered)))
        if isinstance(item, kinds.FacilityOperation | kinds.DeviceOperation):
            if "reset" in stands:
                self._states.reset(who)
            return [Told(where, event, fields) for event in stands]
        if isinstance(item, kinds.FacilityVersion | kinds.DeviceVersion):
            self._states.version(who, item.major, item.minor)
        if not isinstance(item, kinds.SystemStatus | kinds.ComponentStatus | kinds.DeviceStatus):
            return []  # versions, configurations, clocks
        rank = 2 if isinstance(item, kinds.ComponentStatus) else 1 if isinstance(item, kinds.SystemStatus) else 0
        fire_bit = bool(item.status & _FIRE_BIT)
        if recovered:
            self._states.fire(who, where, rank, burning=False)
            return [Told(where, event, fields) for event in stands]
        news = self._states.is_news(who, where, b"reset" if "reset" in stands else b"")
        told = []
        if "reset" in stands and news:  # a state that lasts on the wire, yet resets once
            self._states.reset(who)
            told.append(Told(where, "reset", fields))
        heard, give_way = self._states.fire(who, where, rank, fire_bit)
        told += [Told(point, "fire_restore", {"by": where}) for point in give_way]
        summed_up = fire_bit and not heard
        told += [
            Told(where, event, fields) for event in stands if event != "reset" and not (summed_up and event == "fire")
        ]
        if self._dialect.recovery == "bit":
            told += [Told(where, event, fields, is_state=True) for event in ended_by(item, stands)]
        return told

    def _value(self, item: kinds.AnalogueValue) -> Value:
        quantity = self._dialect.quantity(item.quantity)
        name = quantity.name if quantity is not None else f"analogue_{item.quantity}"
        where = f"{self._where(item)}/{name}"
        if quantity is None:
            return Value(where, item.raw)
        value = quantity.value_of(item.raw)
        return Value(where, value, "" if value is not None else "overrange")

    def _where(self, item: InformationObject) -> str:
        """The point: system type and address, then the component as its style splits it."""
        if not isinstance(item, _OF_SYSTEMS):
            return "device"
        system = f"{item.system_type}-{item.system_address}"
        if not isinstance(item, kinds.ComponentStatus | kinds.AnalogueValue):
            return system
        split = split_component(item.address, self._dialect.component_address)
        if split.number is not None:
            return f"{system}-{split.number}"
        if split.loop is not None:
            return f"{system}-{split.loop}-{split.point}"
        return f"{system}-{item.address.hex().upper()}"

    @staticmethod
    def _fields(item: InformationObject, unit: Adu) -> Mapping[str, object]:
        fields: dict[str, object] = {"type": unit.type}
        for name in ("system_type", "system_address", "component_type", "status", "flags", "operator"):
            if hasattr(item, name):
                fields[name] = getattr(item, name)
        if isinstance(item, kinds.ComponentStatus):
            fields["address"] = item.address.hex().upper()
            if text := read_text(item.description):
                fields["location_text"] = text
        at = getattr(item, "time", None)
        if at is not None:  # the device's own clock, in China time: shown, never ordered by
            fields["time"] = at.isoformat() if isinstance(at, datetime) else at.hex()
        return fields


def dialect(base: Dialect, component_address: str) -> Dialect:
    """A named dialect with the site's own component coding; "" leaves it. Raise ValueError for one that is none."""
    if not component_address:
        return base
    return dataclasses.replace(base, component_address=component_address)  # type: ignore[arg-type]  # checked by Dialect
