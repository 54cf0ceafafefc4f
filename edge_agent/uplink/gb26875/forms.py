"""What an event is in GB/T 26875.3-2011: which data unit carries it, and which bit it sets. Pure. The table of docs/uplinks.md.

A status there is the whole picture of a component, not one event: so each component keeps the set of what is active on it
(`Conditions`), and a record sends all of it. Records that are replayed tell of a past that may be over: the picture is put right
behind them.
"""

import enum
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from drivers.codecs.gb26875.tables import COMPONENT_BITS, DEVICE_BITS, DEVICE_FLAGS, FACILITY_FLAGS, SYSTEM_BITS

OWN: Final = "gateway"  # the source of what this gateway says of itself


class Form(enum.Enum):
    """The data unit an event travels in."""

    COMPONENT = 2
    SYSTEM = 1
    DEVICE = 21
    FACILITY_OPERATION = 4
    DEVICE_OPERATION = 24
    NONE = 0  # the standard has no place for it: settled without being sent, and counted


# kind -> bit of system and component status (figures 6 and 7). Gas and electrical alarms have no bit of their own: they are alarms
# of components of their type. A prealarm and a tamper ask a person to look: supervisory.
_STATUS: Final = {
    "fire": "fire_alarm",
    "fire_manual": "fire_alarm",
    "unknown": "fire_alarm",
    "gas": "fire_alarm",
    "electrical": "fire_alarm",
    "prealarm": "supervisory",
    "supervisory": "supervisory",
    "tamper": "supervisory",
    "fault": "fault",
    "disabled": "shielded",
    "start": "started",
    "feedback": "feedback",
    "delay": "delayed",
    "mains_fault": "main_power_fault",
    "battery_fault": "backup_power_fault",
}
QUIET: Final = 1  # a status in which nothing is active
FIRE_KINDS: Final = frozenset(kind for kind, bit in _STATUS.items() if bit == "fire_alarm")
_OWN: Final = {
    "link": "line_fault",
    "mains_fault": "main_power_fault",
    "battery_fault": "backup_power_fault",
    "fault": "fault",
    "store": "fault",
    "worker": "fault",
    "tamper": "fault",
}
# Whose silence is no line to a panel: a centre's, a link's, and that nobody confirms (edge_agent.alarm.machine.DELIVERY).
WAYS_UP: Final = ("uplink", "link", "delivery")
_OPERATIONS: Final = {"reset": "reset", "silence": "mute", "acknowledge": "confirm", "test": "test"}
_OWN_OPERATIONS: Final = {"reset": "reset", "silence": "mute", "test": "test", "duty_check": "inspection_reply"}
_ANSWERED: Final = ("answered", "late")


@dataclass(frozen=True, slots=True)
class Happened:
    """What of an event decides its form."""

    kind: str
    point: str
    source: str
    active: bool
    result: str = ""  # of a duty check

    @property
    def own(self) -> bool:
        """Whether it is about this gateway, its wires or its links, and not about the facility."""
        return self.kind in ("link", "store", "worker", "duty_check") or (
            self.source == OWN and self.kind != "acknowledge"
        )


def form_of(event: Happened, *, has_address: bool) -> Form:
    """The data unit of an event. `has_address`: the point is a component, not a panel as a whole."""
    kind = event.kind
    if event.own:
        if kind == "duty_check":
            return Form.DEVICE_OPERATION if event.result in _ANSWERED else Form.NONE
        if kind in _OWN_OPERATIONS:
            return Form.DEVICE_OPERATION if event.active else Form.NONE  # the end of a test is no second one
        return Form.DEVICE if kind in _OWN or kind == "boot" else Form.NONE
    if kind in _OPERATIONS:
        return Form.FACILITY_OPERATION if event.active else Form.NONE
    if kind == "boot":
        return Form.SYSTEM
    if kind not in _STATUS:
        return Form.NONE
    return Form.COMPONENT if has_address or kind in FIRE_KINDS else Form.SYSTEM


def operation_flags(event: Happened, form: Form) -> int:
    """The flags byte of types 4 and 24."""
    if form is Form.FACILITY_OPERATION:
        return 1 << FACILITY_FLAGS.index(_OPERATIONS[event.kind])
    return 1 << DEVICE_FLAGS.index(_OWN_OPERATIONS[event.kind])


def system_status(kinds: Iterable[str]) -> int:
    """The status of type 1. Bit 0 is always set: its 0 would mean "test" to some centres and nothing to others."""
    return _bits(kinds, _STATUS, SYSTEM_BITS)


def component_status(kinds: Iterable[str]) -> int:
    """The status of type 2, which has one bit for any power fault (it stands where type 1 has the mains)."""
    return _bits((("mains_fault" if kind == "battery_fault" else kind) for kind in kinds), _STATUS, SYSTEM_BITS) & (
        (1 << len(COMPONENT_BITS)) - 1
    )


def device_status(own: Iterable[tuple[str, str]], *, fire: bool) -> int:
    """The status of type 21. `own` are (point, kind) of what is wrong with the gateway itself."""
    status = 1 | (fire << DEVICE_BITS.index("fire_alarm"))
    for point, kind in own:
        is_way_up = kind == "link" and point.partition("/")[0] in WAYS_UP
        bit = "channel_fault" if is_way_up else _OWN.get(kind, "")
        if bit:
            status |= 1 << DEVICE_BITS.index(bit)
    return status


def _bits(kinds: Iterable[str], table: dict[str, str], names: tuple[str, ...]) -> int:
    status = QUIET
    for kind in kinds:
        if kind in table:
            status |= 1 << names.index(table[kind])
    return status


MEMBERS_MAX: Final = 20_000  # what the core holds at most

Key = tuple[object, ...]
Member = tuple[str, str]  # point, kind
Stamp = tuple[
    str, int, int
]  # boot, its clock in ns, and n: not n alone, for what waited in memory gets its number late


class Conditions:
    """What is active, by component (or system, or device): each has a key, made by who asks."""

    def __init__(self) -> None:
        self._active: dict[Key, dict[Member, None]] = {}
        self._newest: dict[Member, Stamp] = {}
        self._complete = False  # a snapshot said all there is

    def snapshot(
        self, members: Iterable[tuple[Key, Member]], *, complete: bool, since: tuple[str, int] = ("", 0)
    ) -> None:
        """What the core says is active now. `complete`: and nothing else is; if not, what is known stays until a record ends it.

        Records from `since` on (boot, ns) are believed before it: they may have come while it was on its way.
        """
        boot, since_ns = since
        fresh = {member: stamp for member, stamp in self._newest.items() if stamp[0] == boot and stamp[1] >= since_ns}
        known = [
            (key, member) for key, here in self._active.items() for member in here if not complete or member in fresh
        ]
        self._active, self._complete = {}, complete
        if complete:
            self._newest = fresh
        for key, member in [*known, *((key, member) for key, member in members if member not in fresh)]:
            self._active.setdefault(key, {})[member] = None

    def unsure(self) -> None:
        """Nobody says what is so now: what is replayed may be newer than all that is known."""
        self._complete = False

    def now(self, key: Key) -> frozenset[Member]:
        """What is active on a component."""
        return frozenset(self._active.get(key, ()))

    def under(self, prefix: Key) -> list[str]:
        """The kinds active on anything whose key begins so: on a system and its components."""
        found = (members for key, members in self._active.items() if key[: len(prefix)] == prefix)
        return [kind for members in found for _, kind in members]

    def feed(self, key: Key, member: Member, active: bool, stamp: Stamp, *, replay: bool) -> frozenset[Member]:
        """What was active on the component when this record was made, as far as is known. A live record changes `now`, too.

        A replayed one changes it only where nothing newer is known.
        """
        newest = self._newest.get(member)
        older = (replay and self._complete) or (newest is not None and newest[0] == stamp[0] and newest[1:] > stamp[1:])
        here = self.now(key)
        then = here | {member} if active else here - {member}
        if not older:
            self._put(key, then)
            self._newest.pop(member, None)
            self._newest[member] = stamp
            while len(self._newest) > MEMBERS_MAX:
                del self._newest[next(iter(self._newest))]
        return then

    def any(self, kinds: Collection[str]) -> bool:
        """Whether anything of these kinds is active anywhere."""
        return any(kind in kinds for members in self._active.values() for _, kind in members)

    def _put(self, key: Key, members: frozenset[Member]) -> None:
        if members:
            self._active[key] = dict.fromkeys(members)
        else:
            self._active.pop(key, None)
        while len(self._active) > MEMBERS_MAX:
            del self._active[next(iter(self._active))]
