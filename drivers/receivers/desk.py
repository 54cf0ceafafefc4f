"""Where every receiver brings what its peers said: whose message it is, whether it was said before, what may go back and when.

A message that tells something is confirmed only once that is on flash. A copy of it is confirmed again and told no more. What
a listed device says is heard at once, confirmed or not. Everything a peer can fill is bounded.
"""

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from drivers.codecs.base import Refused
from drivers.messages import LinkState, Observation, PanelEvent, PointFault, Reading, Sink, WhenKept
from drivers.vocabulary import EVENTS

REFUSED_KEPT: Final = 64
REFUSED_BYTES_KEPT: Final = 256  # of each
COPIES_MAX: Final = 64  # messages of one device remembered against copies
WAITING_MAX: Final = (
    512  # messages that wait for the flash; what comes beyond is heard, and said again by a peer nobody confirmed
)
STRANGERS_MAX: Final = 16  # of a receiver, with a point each; more of them share one
CARRIERS_MAX: Final = 64  # of a receiver, with a point each; more of them share one
COMPLAINT_S: Final = 600.0
WHERE_CHARS_MAX: Final = 64
COMPLAINTS: Final = ("peer", "refused", "unlisted")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._/-]+")
_FIRE_KINDS: Final = ("fire", "fire_manual", "unknown", "gas", "electrical")
_FIRE_OVER: Final = ("fire_restore", "fire_cancel", "gas_restore", "electrical_restore", "reset")

Reply = Callable[[bytes], None]  # to the peer that spoke; does nothing once it has gone


@dataclass(frozen=True, slots=True)
class Told:
    """One thing a message tells of the point `where` of its device. `is_state`: see `drivers.messages.PanelEvent`."""

    where: str
    event: str
    fields: Mapping[str, object] = field(default_factory=dict)
    is_state: bool = False


@dataclass(frozen=True, slots=True)
class Value:
    """One measured value of the point `where` of its device; None, with the reason, where it could not be read."""

    where: str
    value: float | bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One sound message. `who` names the device as the wire does; `key` is equal in two copies (empty: never a copy).

    `yes` goes back once all of it is kept; `no` where the device is not listed.
    """

    who: str
    raw: bytes
    key: bytes = b""
    told: Sequence[Told] = ()
    values: Sequence[Value] = ()
    yes: bytes = b""
    no: bytes = b""


@dataclass(frozen=True, slots=True)
class Say:
    """An answer that waits for nothing: a refusal, part of a handshake."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """What brings the devices' messages tells of itself (a concentrator's supply): at `told.where` and its name `who`."""

    who: str
    raw: bytes
    told: Told


Heard = Message | Carrier | Refused | Say


class Talk(Protocol):
    """One protocol on one connection: no I/O, bounded, never raises on what a peer sends."""

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """What these bytes settled, in order."""
        ...

    def tick(self, at_ns: int) -> list[Heard]:
        """What time alone settled. Called twice a second."""
        ...

    def end(self, at_ns: int) -> list[Heard]:
        """Nothing more will come: what is left is refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A device of the configuration. `address` as the wire names it, "" for whoever speaks; `silence_s` 0: for ever."""

    id: str
    address: str
    silence_s: float


class _Device:
    def __init__(self, listed: Listed) -> None:
        self.id = listed.id
        self.silence_ns = round(listed.silence_s * 1e9)
        self.up: bool | None = None
        self.heard_ns: int | None = None  # or since when it could have been heard
        self.copies: OrderedDict[bytes, _Copy] = OrderedDict()


class _Copy:
    """A message that may come again."""

    __slots__ = ("at_ns", "kept", "reply")

    def __init__(self, at_ns: int, reply: Reply) -> None:
        self.at_ns, self.reply, self.kept = at_ns, reply, False


class Desk:
    """One for each receiver. `resend_s`: within so long an equal message is a copy of one of the last `copies`.

    A peer that says one thing at a time (`copies` 1) repeats only what it said last: an equal message behind another one is news,
    even from a sender that numbers all of them alike.
    """

    def __init__(
        self,
        id: str,
        devices: Sequence[Listed],
        when_kept: WhenKept,
        *,
        resend_s: float = 60.0,
        copies: int = COPIES_MAX,
    ) -> None:
        self.id = id
        self.sink: Sink = _nowhere
        self.on_bug: Callable[[Exception], None] = lambda bug: None
        self._devices = {listed.address: _Device(listed) for listed in devices}
        self._when_kept = when_kept
        self._resend_ns = round(resend_s * 1e9)
        self._copies = copies
        self._waiting = 0
        self._strangers: set[str] = set()
        self._carriers: set[str] = set()
        self._complaints: dict[str, int] = {}  # when each last happened, while it may stand as a fault
        self._began = False
        self._complained: set[str] = set()
        self._refused: deque[Refused] = deque(maxlen=REFUSED_KEPT)
        self.counts = dict.fromkeys(
            ("ok", "event", "repeat", "confirmed", "unkept", "refused", "unlisted", "peer", "crowded"), 0
        )

    def refused(self) -> Sequence[Refused]:
        """The last refusals, oldest first."""
        return tuple(self._refused)

    # -- what comes --------------------------------------------------------------------------------------------------
    def hear(self, settle: Callable[[], Sequence[Heard]], raw: bytes, reply: Reply, at_ns: int) -> None:
        """Have a Talk work through `raw` bytes (none: look at the time), and take what it settled. Never raises, as `take`."""
        try:
            heard = settle()
        except Exception as bug:  # noqa: BLE001 - as in `take`
            self.on_bug(bug)
            self.sink([self._unhandled(Refused("bug", raw, at_ns), at_ns)])
            return
        self.take(heard, reply, at_ns)

    def take(self, heard: Sequence[Heard], reply: Reply, at_ns: int) -> None:
        """Tell on what a Talk settled, and answer. Never raises: a bug of ours is told, and costs the one item it met."""
        for item in heard:
            try:
                if isinstance(item, Say):
                    reply(item.data)
                elif isinstance(item, Refused):
                    self.refuse(item)
                elif isinstance(item, Carrier):
                    self._carrier(item, at_ns)
                else:
                    self._message(item, reply, at_ns)
            except Exception as bug:  # noqa: BLE001 - the driver's run() raises it; see on_bug
                self.on_bug(bug)
                if not isinstance(item, Say):
                    self.sink([self._unhandled(item, at_ns)])

    def refuse(self, refused: Refused) -> None:
        """Bytes that are no message, or one that must not be believed: counted, kept, a fault while it lasts."""
        self.counts["refused"] += 1
        self._keep(refused)
        self.complain("refused", refused.at_ns, {"why": refused.why})

    def complain(self, what: str, at_ns: int, fields: Mapping[str, object]) -> None:
        """Something a person has to look at: one of COMPLAINTS. Told once, and over when it has not happened for 10 min."""
        if what not in self._complained:
            self._complained.add(what)
            self.sink([PanelEvent(f"{self.id}/{what}", "fault", at_ns, {"reason": what, **fields})])
        self._complaints[what] = at_ns

    def _message(self, message: Message, reply: Reply, at_ns: int) -> None:
        self.counts["ok"] += 1
        device = self._device(message.who)
        if device is None:
            self._stranger(message, reply, at_ns)
            return
        device.heard_ns = at_ns
        if device.up is not True:
            device.up = True
            self.sink([LinkState(device.id, True, at_ns, "answering")])
        if (copy := self._copy_of(device, message.key, at_ns)) is not None:
            self.counts["repeat"] += 1
            copy.reply = reply  # it may have come over a new connection
            if copy.kept:
                self._answer(reply, message.yes)
            return
        self._tell(device.id, message, at_ns)
        if not message.told:
            self._answer(reply, message.yes)
            return
        self._confirm_later(device, message, reply, at_ns)

    def _tell(self, device: str, message: Message, at_ns: int) -> None:
        out: list[Observation] = []
        for told in message.told:
            self.counts["event"] += not told.is_state
            point = self._point(device, told.where)
            out.append(PanelEvent(point, told.event, at_ns, told.fields, message.raw, told.is_state))
        for value in message.values:
            point = self._point(device, value.where)
            if value.value is None:
                out.append(PointFault(point, value.reason, at_ns))
            else:
                out.append(Reading(point, value.value, at_ns))
        if out:
            self.sink(out)

    def _confirm_later(self, device: _Device, message: Message, reply: Reply, at_ns: int) -> None:
        if self._waiting >= WAITING_MAX:
            self.counts["unkept"] += 1
            return
        copy = _Copy(at_ns, reply)
        if message.key:
            while len(device.copies) >= self._copies:
                device.copies.popitem(last=False)
            device.copies[message.key] = copy
        self._waiting += 1

        def done(kept: bool) -> None:
            self._waiting -= 1
            copy.kept = kept
            if kept:
                self._answer(copy.reply, message.yes)
                return
            self.counts["unkept"] += 1
            if device.copies.get(message.key) is copy:  # it is told anew when it comes again
                del device.copies[message.key]

        self._when_kept(done)

    def _answer(self, reply: Reply, data: bytes) -> None:
        if data:
            self.counts["confirmed"] += 1
            reply(data)

    def _copy_of(self, device: _Device, key: bytes, at_ns: int) -> _Copy | None:
        copy = device.copies.get(key) if key else None
        if copy is not None and at_ns - copy.at_ns > self._resend_ns:
            del device.copies[key]
            return None
        return copy

    def _stranger(self, message: Message, reply: Reply, at_ns: int) -> None:
        """A device the configuration does not name: a fault, never confirmed. A fire is an alarm all the same, of kind unknown."""
        self.counts["unlisted"] += 1
        self._keep(Refused(f"unlisted {message.who}", message.raw, at_ns))
        self.complain("unlisted", at_ns, {"address": message.who})
        if len(self._strangers) < STRANGERS_MAX:
            self._strangers.add(message.who)
        who = message.who if message.who in self._strangers else "others"
        point, out = self._point(self.id, who), list[Observation]()
        for told in message.told:
            fields = {"reason": "unlisted", "said": told.event, "at": told.where, **told.fields}
            if not told.is_state and (known := EVENTS.get(told.event)) and known.active and known.kind in _FIRE_KINDS:
                out.append(PanelEvent(point, "unknown", at_ns, fields, message.raw))
            elif told.event in _FIRE_OVER:
                out.append(PanelEvent(point, "fire_restore", at_ns, fields, message.raw, is_state=True))
        if out:
            self.sink(out)
        if message.no:
            reply(message.no)

    def _carrier(self, item: Carrier, at_ns: int) -> None:
        if len(self._carriers) < CARRIERS_MAX:
            self._carriers.add(item.who)
        who, told = item.who if item.who in self._carriers else "others", item.told
        self.counts["event"] += not told.is_state
        point = self._point(self.id, f"{told.where}/{who}")
        self.sink([PanelEvent(point, told.event, at_ns, told.fields, item.raw, told.is_state)])

    def _unhandled(self, item: Message | Carrier | Refused, at_ns: int) -> PanelEvent:
        told = item.told if isinstance(item, Message) else ()
        fire = any((known := EVENTS.get(one.event)) and known.active and known.kind in _FIRE_KINDS for one in told)
        return PanelEvent(f"{self.id}/bug", "unknown" if fire else "fault", at_ns, {"reason": "bug"}, item.raw)

    # -- what does not come ------------------------------------------------------------------------------------------
    def opened(self, at_ns: int) -> None:
        """The way in is open: from now on a device can be heard."""
        if not self._began:  # one of before a restart ends as well, unless it comes again
            self._began = True
            self._complaints = dict.fromkeys(COMPLAINTS, at_ns)
        for device in self._devices.values():
            device.heard_ns = at_ns
        self.sink([LinkState(self.id, True, at_ns, "opened")])

    def closed(self, reason: str, detail: str, at_ns: int) -> None:
        """The way in is closed: that is one fault, not one of each device."""
        for device in self._devices.values():
            device.heard_ns = None
        self.sink([LinkState(self.id, False, at_ns, reason, detail)])

    def tick(self, at_ns: int) -> None:
        """Devices that have fallen silent, complaints that are over."""
        out: list[Observation] = []
        for device in self._devices.values():
            silent = device.heard_ns is not None and at_ns - device.heard_ns >= device.silence_ns > 0
            if silent and device.up is not False:
                device.up = False
                out.append(LinkState(device.id, False, at_ns, "silent"))
        for what, last_ns in list(self._complaints.items()):
            if at_ns - last_ns >= COMPLAINT_S * 1e9:
                del self._complaints[what]
                self._complained.discard(what)
                out.append(PanelEvent(f"{self.id}/{what}", "fault_restore", at_ns, {"reason": what}, is_state=True))
        if out:
            self.sink(out)

    # -- inside ------------------------------------------------------------------------------------------------------
    def _device(self, who: str) -> _Device | None:
        return self._devices.get(who) or self._devices.get("")

    def _keep(self, refused: Refused) -> None:
        self._refused.append(replace(refused, raw=refused.raw[:REFUSED_BYTES_KEPT]))

    @staticmethod
    def _point(source: str, where: str) -> str:
        safe = _UNSAFE.sub("_", where).strip("/")[:WHERE_CHARS_MAX]
        return f"{source}/{safe or 'device'}"


def now_ns() -> int:
    """The loop's clock, as every `at_ns`."""
    return round(asyncio.get_running_loop().time() * 1e9)


def _nowhere(observations: Sequence[Observation]) -> None:
    """Where observations go before run()."""
