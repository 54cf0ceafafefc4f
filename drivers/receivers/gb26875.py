"""GB/T 26875.3-2011 spoken to us by a panel or another transmission device: we are the centre it uploads to (clauses 6.5, 8).

Nothing is asked of the device and nothing is ordered: uploads are confirmed, all else is denied. A frame that fails a check is
denied if its marks fit (then its serial number can be trusted), so that the device sends it again. What the bits of a status
say is told as a state each time; the points know what is news. Source: fact sheet sections 4, 9, 10 and 12.
"""

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Final

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
    show_device,
    split_component,
    write_time,
)
from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.adu import EMPTY
from drivers.codecs.gb26875.events import ended_by, events_of
from drivers.codecs.gb26875.objects import InformationObject
from drivers.receivers.desk import Heard, Message, Say, Told, Value

CHINA: Final = timezone(timedelta(hours=8))
STATES_MAX: Final = 4096
DEVICES_MAX: Final = 256
_FIRE_BIT: Final = 0b10
HANDSHAKE, HANDSHAKE_BACK = b"\x16", b"\x17"  # a one-byte keep-alive, and what its peers are answered
_ANSWERS: Final = frozenset({Command.CONFIRM, Command.RESPONSE, Command.DENY})
_UNREADABLE: Final = ("short", "reserved_type", "size", "direction")
_OF_SYSTEMS: Final = (kinds.SystemStatus, kinds.ComponentStatus, kinds.AnalogueValue, kinds.FacilityOperation)
_FOREVER_NS: Final = 1 << 62

Clock = Callable[[], datetime | None]  # UTC, None while it is not known


class States:
    """What devices said last, over all their connections. Bounded, the oldest forgotten.

    The fire bit of a device or a system sums up what its components say. It is an alarm while none of them has spoken, and gives
    way to the first that does: one fire must not confirm itself as two.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._burning: OrderedDict[str, dict[str, tuple[int, bool]]] = OrderedDict()  # device: point: rank, told

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


class GbTalk:
    """One connection, line or datagram. `states` outlives it; `now` gives the wall time for answers."""

    def __init__(self, dialect: Dialect, states: States, now: Clock) -> None:
        self._dialect, self._states, self._now = dialect, states, now
        self._reader = FrameReader(extra_commands=dialect.extra_commands)

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        return self._heard(self._reader.feed(data, at_ns), at_ns)

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return self._heard(self._reader.tick(at_ns), at_ns)

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        left = self._reader.tick(_FOREVER_NS)
        return [Refused(item.reason, item.raw, at_ns) for item in left if isinstance(item, Rejected)]

    def _heard(self, items: Iterable[Frame | Rejected], at_ns: int) -> list[Heard]:
        out: list[Heard] = []
        for item in items:
            if isinstance(item, Frame):
                out.append(self._frame(item))
                continue
            out.append(Refused(item.reason, item.raw, at_ns))
            frame = item.frame
            if frame is not None and item.reason in ("checksum", "command") and frame.command not in _ANSWERS:
                out.append(Say(self._answer(frame, Command.DENY)))
        return out

    def _frame(self, frame: Frame) -> Message:
        who, raw = show_device(frame.source, self._dialect.device_address), frame.encode()
        deny = self._answer(frame, Command.DENY)
        if frame.command in _ANSWERS:  # we asked nothing; answering an answer would never end
            return Message(who=who, raw=raw)
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
        """The answer with our time in it, the device's own while we have none."""
        now = self._now()
        sent = frame.sent
        if now is not None:
            sent = write_time(now.astimezone(CHINA).replace(tzinfo=None, microsecond=0), bcd=self._dialect.bcd)
        return frame.answer(command, sent, adu).encode()

    # -- meaning -----------------------------------------------------------------------------------------------------
    def _unit(self, who: str, adu: bytes) -> tuple[list[Told], list[Value]]:
        unit = decode_adu(adu, self._dialect, uplink=True)
        if unit.type == EMPTY:
            return [], []
        if any(problem in _UNREADABLE for problem in unit.problems):
            fields = {"reason": "unparsed", "type": unit.type, "why": ", ".join(unit.problems), "adu": adu.hex()}
            return [Told("device", "fault", fields)], []
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
