"""Several taps on one panel are one source of truth: two ports, or a printer and the panel's relays. Pure; docs/taps.md for people.

Each tap asserts what it says, and takes it back by its own restore or reset. A fire is there as long as one tap asserts it: so
either tap alone raises it, the second is evidence, and no tap can take away what another says now. What a tap leaves out although
the other speaks is a fault of that tap.
"""

import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from drivers.messages import PanelEvent
from edge_agent.model import Event, Kind, NewEvent
from edge_agent.points.across import FIRES
from edge_agent.points.deadlines import Deadlines
from edge_agent.points.panel import PanelPoints, grade_of, source_of
from edge_agent.points.point import CONTACTS
from edge_agent.points.state import Latches, read_piece
from edge_agent.points.vocabulary import Effect, Meaning, meaning_of

KEY: Final = "pt:"
TAP_HOLD_S: Final = 30.0
WAITS_MAX: Final = 1000  # taps that may be waited for at once, of all fires
OF_THE_TAP: Final = frozenset(("unparsed", "bug", "card_wedged", "time"))  # what the driver says of what it heard
ECHO_NS: Final = 900_000_000_000  # a printer with a long queue prints a reset so much later
RESETS_MAX: Final = 16
_NUMBERS: Final = re.compile(r"\d{1,6}(?:-\d{1,6})+")

Key = tuple[str, Kind]  # the point as the panel's, and the kind it was raised as
Address = tuple[object, ...]


class Naming(Enum):
    """What the numbers of a point mean to a tap."""

    PANEL = "panel"  # the panel's own: 1-27
    SYSTEM = "system"  # a transmission device's: system, its address, and then the panel's own; without those it is the system
    ZONES = "zones"  # a communicator's: group and zone, as its installer numbered them


@dataclass(frozen=True, slots=True, kw_only=True)
class Tapped:
    """One panel with several taps. `ports` are ids of what speaks for it, its own first; `contacts` its relays and their kinds.

    `naming`: of the ports that do not name points as panels do.
    """

    ports: tuple[str, ...]
    contacts: Mapping[str, Kind] = field(default_factory=dict)
    naming: Mapping[str, Naming] = field(default_factory=dict)
    hold_s: float = TAP_HOLD_S  # how much later the slower tap may say the same

    @property
    def panel(self) -> str:
        """The id its points go by."""
        return self.ports[0]


@dataclass(slots=True)
class _Held:
    """One thing that is wrong, and who says so. Each reset or restore begins a new life of it; taps count theirs alike."""

    began_ns: int
    taps: dict[str, int]  # who asserts it, and since when
    addresses: set[Address]  # what the taps call it
    lives: dict[str, int] = field(default_factory=dict)  # how often each tap has taken it back
    life: int = 0  # the one that was told last
    since_ns: int | None = None  # when the first tap took the last one back, while the others may still follow
    fields: Mapping[str, object] = field(default_factory=dict)  # of the end, when it comes


class _Group:
    def __init__(self, tapped: Tapped) -> None:
        self.panel, self.ports, self.contacts = tapped.panel, tapped.ports, dict(tapped.contacts)
        self.naming = tapped.naming
        self.hold_ns = round(tapped.hold_s * 1e9)
        self.held: dict[Key, _Held] = {}
        self.closed: dict[str, int] = {}  # contacts that are active, and since when
        self.alone: set[str] = set()  # those that are told as alarms of their own
        self.echoes: dict[str, deque[int]] = {port: deque(maxlen=RESETS_MAX) for port in self.ports}
        self.moments: dict[str, tuple[int, set[str]]] = {}

    def address(self, said: PanelEvent, tap: str, kind: Kind) -> Address:
        """What a tap calls a point."""
        return _address(said, tap, kind, self.naming.get(tap, Naming.PANEL))

    def covered(self, kind: Kind) -> Key | None:
        """The gravest reason not to tell a relay by itself: a detailed event of the same class."""
        return next((key for key in self.held if _class(key[1]) == _class(kind)), None)


class TappedPanels:
    """Stands before `PanelPoints` for the panels that have several taps."""

    def __init__(
        self,
        tapped: Iterable[Tapped],
        panels: PanelPoints,
        *,
        new_event: NewEvent,
        latches: Latches,
        is_up: Callable[[str], bool],
        names: Mapping[str, str],
    ) -> None:
        self._panels, self._new_event, self._latches, self._is_up = panels, new_event, latches, is_up
        self._names = names
        groups = [_Group(one) for one in tapped]
        self._of_port = {port: group for group in groups for port in group.ports}
        self._of_contact = {contact: group for group in groups for contact in group.contacts}
        self._faults: dict[str, None] = {}  # taps told as silent
        # (tap, key) it has to say; (None, key) the end of one; (contact, None) a relay that nothing covers any more
        self._deadlines: Deadlines[tuple[str | None, Key | None]] = Deadlines()
        self.counters = {"evidence": 0, "echoes": 0}

    def owns(self, source: str) -> bool:
        """Whether `source` is a port of such a panel."""
        return source in self._of_port

    def owns_contact(self, contact: str) -> bool:
        """Whether `contact` is a relay of such a panel."""
        return contact in self._of_contact

    # --- what the ports say ---------------------------------------------------------------------------------------------

    def feed(self, said: PanelEvent) -> list[Event]:
        """The events of one thing a tap said."""
        tap = source_of(said.point)
        group, meaning = self._of_port[tap], meaning_of(said.event, said.fields)
        if tap != group.panel:
            said = replace(said, fields={**said.fields, "tap": tap})
        if said.fields.get("reason") in OF_THE_TAP:  # of this port, not of the panel behind it
            return self._panels.feed(said)
        if meaning.effect is Effect.SET:
            return self._set(group, tap, said, meaning.kind)
        if meaning.effect is Effect.CLEAR:
            return self._clear(group, tap, said, meaning)
        if meaning.effect is Effect.RESET:
            return self._reset(group, tap, said)
        at_ns, taps = group.moments.get(said.event, (said.at_ns, set()))
        if tap not in taps and taps and said.at_ns - at_ns <= group.hold_ns:
            taps.add(tap)
            self.counters["echoes"] += 1
            return []
        group.moments[said.event] = said.at_ns, {tap}
        return self._panels.feed(_renamed(said, group))

    def _set(self, group: _Group, tap: str, said: PanelEvent, kind: Kind) -> list[Event]:
        address = group.address(said, tap, kind)
        key = self._match(group, tap, address, kind, said.at_ns)
        if key is not None and not self._panels.is_active(*key):  # forgotten there: far too many points
            del group.held[key]
            key = None
        if key is None:
            return self._raise(group, tap, _renamed(said, group), kind, address)
        held = group.held[key]
        life = held.lives.get(tap, 0)
        if (
            life > held.life
        ):  # again, after a reset: it sounds anew. What the slower taps have yet to say is the old tale
            held.began_ns, held.life = said.at_ns, life
            self._end_at(key, held, None)
            self._panels.forget_words(*key)
            return self._raise(group, tap, replace(said, point=key[0]), kind, address)
        if tap in held.taps:
            held.taps[tap] = said.at_ns
            if kind is not key[1] or life < held.life or held.since_ns is not None:
                return []  # its evidence again, or the old tale
            return self._panels.feed(replace(said, point=key[0]))
        held.taps[tap] = said.at_ns
        held.addresses.add(address)
        return [self._evidence(group, tap, key, said), *self._spoke(tap, key, said.at_ns)]

    def _raise(self, group: _Group, tap: str, said: PanelEvent, kind: Kind, address: Address) -> list[Event]:
        """News: nobody else asserts it. Relays that sounded alone give way to it, in the same turn."""
        key = said.point, kind
        covered = {"by": "tap", "same_as": said.point}
        events = [
            self._tell_contact(group, contact, False, said.at_ns, covered)
            for contact, its_kind in group.contacts.items()
            if contact in group.alone and _class(its_kind) == _class(kind)
        ]
        events += self._panels.feed(said)
        if (held := group.held.get(key)) is None:
            held = group.held[key] = _Held(said.at_ns, {}, set())
        held.taps[tap] = said.at_ns
        held.addresses.add(address)
        self._expect(group, key, said.at_ns)
        return [*events, *self._spoke(tap, key, said.at_ns)]

    def _match(self, group: _Group, tap: str, address: Address, kind: Kind, at_ns: int) -> Key | None:
        """What this is another word for: the same address; else, where the taps name points in ways that cannot be compared, the
        oldest of that class that this tap has not said yet. What can be compared and differs is another fire.
        """
        alike = [key for key in group.held if _alike(key[1], kind)]
        for key in alike:
            if _is_one_of(address, group.held[key].addresses):
                return key
        for key in alike:
            held = group.held[key]
            unsaid = tap not in held.taps and held.lives.get(tap, 0) <= held.life
            if (
                unsaid
                and at_ns - held.began_ns <= group.hold_ns
                and all(_form(other) != _form(address) for other in held.addresses)
            ):
                return key
        return None

    def _clear(self, group: _Group, tap: str, said: PanelEvent, meaning: Meaning) -> list[Event]:
        found = [
            key
            for key, held in group.held.items()
            if key[1] in meaning.clears and _is_one_of(group.address(said, tap, key[1]), held.addresses)
        ]
        if not found:
            return self._panels.feed(_renamed(said, group))
        if said.is_state:  # "all is well there", of a tap that never said otherwise, takes nothing back
            found = [key for key in found if tap in group.held[key].taps]
        fields = {**said.fields, "word": said.event}
        gives_way = (
            group.naming.get(tap) is Naming.SYSTEM and "by" in said.fields
        )  # the tap's own word for the whole, now that it names the point
        return [
            event
            for key in found
            for event in (
                self._give_way(group, tap, key, said)
                if gives_way
                else self._release(group, tap, key, said.at_ns, said.at_ns, fields)
            )
        ]

    def _give_way(self, group: _Group, tap: str, key: Key, said: PanelEvent) -> list[Event]:
        held = group.held[key]
        held.taps.pop(tap, None)
        held.addresses.discard(group.address(said, tap, key[1]))
        return [] if held.taps else self._end(group, key, said.at_ns, said.fields)

    def _reset(self, group: _Group, tap: str, said: PanelEvent) -> list[Event]:
        """The second tap's word for a reset only takes back what that tap said itself: the panel may be in fire again by then."""
        for key in self._panels.active_of(group.panel):  # what was restored, or said before there were taps
            group.held.setdefault(key, _restored(group, key))
        echoes = group.echoes[tap]
        while echoes and said.at_ns - echoes[0] > ECHO_NS:
            echoes.popleft()
        is_echo = bool(echoes)
        since_ns = echoes.popleft() if is_echo else said.at_ns
        if is_echo:
            self.counters["echoes"] += 1
        else:
            for other in group.ports:
                if other != tap and self._is_up(other):
                    group.echoes[other].append(said.at_ns)
        ends: list[Event] = []
        for own in self._panels.active_of(tap) if tap != group.panel else ():
            ends += self._panels.end(*own, said.at_ns, {"by": "reset"})
        for key, held in list(group.held.items()):
            if key[1] is not Kind.DISABLED and (not is_echo or tap in held.taps or held.since_ns == since_ns):
                ends += self._release(group, tap, key, said.at_ns, since_ns, {"by": "reset"})
        if is_echo:
            return ends
        fields = dict(said.fields)
        if any(held.since_ns is not None for held in group.held.values()):
            fields["waits"] = [other for other in group.ports if other != tap and self._is_up(other)]
        event = self._new_event(
            Kind.RESET, f"{group.panel}/panel", True, said.at_ns, source=group.panel, fields=fields, raw=said.raw
        )
        return [event, *ends]

    def _release(  # noqa: PLR0917 - who takes back what, when it was seen, since when it holds, and how it will be told
        self, group: _Group, tap: str, key: Key, at_ns: int, since_ns: int, fields: Mapping[str, object]
    ) -> list[Event]:
        """A tap takes something back. It ends once no tap asserts it; the others have `hold_s` to say that they agree."""
        held = group.held[key]
        before = max(held.lives.values(), default=0)
        held.taps.pop(tap, None)
        held.lives[tap] = held.lives.get(tap, 0) + 1
        latest = max(held.lives.values())
        young = at_ns - held.began_ns <= group.hold_ns
        waits = any(
            self._is_up(other) and (other in held.taps or (young and held.lives.get(other, 0) < latest))
            for other in group.ports
        )
        if not waits and not any(asserted_ns > since_ns for asserted_ns in held.taps.values()):
            return self._end(group, key, at_ns, fields)
        if latest > before:
            held.since_ns, held.fields = since_ns, fields
            self._panels.forget_words(*key)
            self._end_at(key, held, at_ns + group.hold_ns)
        return []

    def _end(self, group: _Group, key: Key, at_ns: int, fields: Mapping[str, object]) -> list[Event]:
        self._deadlines.set((None, key), None)
        del group.held[key]
        for contact, kind in group.contacts.items():
            if contact in group.closed and group.covered(kind) is None:
                self._deadlines.set((contact, None), at_ns + group.hold_ns)
        return self._panels.end(*key, at_ns, dict(fields))

    def _end_at(self, key: Key, held: _Held, at_ns: int | None) -> None:
        if at_ns is None:
            held.since_ns, held.fields = None, {}
        self._deadlines.set((None, key), at_ns)

    # --- the relays -----------------------------------------------------------------------------------------------------

    def contact(self, contact: str, active: bool, at_ns: int, fields: Mapping[str, object]) -> list[Event]:
        """A relay has settled. It is told as an alarm of its own unless the panel's own words say the same already."""
        group = self._of_contact[contact]
        kind = group.contacts[contact]
        self._deadlines.set((contact, None), None)
        if not active:
            group.closed.pop(contact, None)
            return [self._tell_contact(group, contact, False, at_ns, fields)] if contact in group.alone else []
        group.closed[contact] = at_ns
        if (key := group.covered(kind)) is None:
            self._expect(group, (contact, kind), at_ns)
            return [self._tell_contact(group, contact, True, at_ns, fields)]
        said = PanelEvent(key[0], kind.value, at_ns, fields)
        spoke = [event for other in group.held for event in self._spoke(contact, other, at_ns)]
        return [self._evidence(group, contact, key, said), *spoke]

    def _tell_contact(
        self, group: _Group, contact: str, active: bool, at_ns: int, fields: Mapping[str, object]
    ) -> Event:
        (group.alone.add if active else group.alone.discard)(contact)
        self._latches.put(f"{KEY}{contact}", {"alone": True} if active else None)
        kind = group.contacts[contact]
        name, grade = self._names.get(contact, ""), grade_of(kind, active)
        return self._new_event(kind, contact, active, at_ns, source=CONTACTS, name=name, fields=fields, grade=grade)

    # --- taps that leave something out ----------------------------------------------------------------------------------

    def _expect(self, group: _Group, key: Key, at_ns: int) -> None:
        """Every other tap has to say it too, or to be closed: only of fires can that be asked of any tap."""
        if key[1] not in FIRES:
            return
        by_contact = key[0] in group.contacts
        held = group.held.get(key)
        ports = [port for port in group.ports if held is None or port not in held.taps]
        relays = [name for name, kind in group.contacts.items() if kind in FIRES and name not in group.closed]
        for tap in (*ports, *(() if by_contact else relays)):
            if len(self._deadlines) < WAITS_MAX:
                self._deadlines.set((tap, key), at_ns + group.hold_ns)

    def _spoke(self, tap: str, key: Key, at_ns: int) -> list[Event]:
        """A tap has said what it had to: it is heard of again."""
        self._deadlines.set((tap, key), None)
        group = self._of_port.get(tap) or self._of_contact[tap]
        for contact in group.contacts:  # a relay that closed first waits for any word of the panel
            self._deadlines.set((tap, (contact, group.contacts[contact])), None)
        if tap not in self._faults or key[1] not in FIRES:
            return []
        del self._faults[tap]
        return [self._fault(tap, False, at_ns, {})]

    def _fault(self, tap: str, active: bool, at_ns: int, fields: Mapping[str, object]) -> Event:
        self._latches.put(f"{KEY}{tap}/tap", {} if active else None)
        source = tap if tap in self._of_port else CONTACTS
        told = {"reason": "tap_silent", **fields}
        return self._new_event(Kind.FAULT, f"{tap}/tap", active, at_ns, source=source, fields=told)

    def _evidence(self, group: _Group, tap: str, key: Key, said: PanelEvent) -> Event:
        self.counters["evidence"] += 1
        fields = {**said.fields, "tap": tap, "of": key[1].value, "word": said.event}
        return self._new_event(Kind.EVIDENCE, key[0], True, said.at_ns, source=group.panel, fields=fields, raw=said.raw)

    # --- time and power -------------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> list[Event]:
        """What follows because time has passed."""
        events: list[Event] = []
        for tap, key in self._deadlines.take_due(now_ns):
            if key is None:
                events += self._uncovered(str(tap), now_ns)
            elif tap is None:
                events += self._lapse(key, now_ns)
            elif tap not in self._faults and self._is_up(tap if tap in self._of_port else CONTACTS):
                self._faults[tap] = None
                events.append(self._fault(tap, True, now_ns, {"of": key[0]}))
        return events

    def _lapse(self, key: Key, now_ns: int) -> list[Event]:
        """The others had their time: what they said before the reset is over, what they said after it is not."""
        group = self._of_port[source_of(key[0])]
        held = group.held[key]
        held.taps = {tap: at_ns for tap, at_ns in held.taps.items() if at_ns > (held.since_ns or 0)}
        if not held.taps:
            return self._end(group, key, now_ns, held.fields)
        self._end_at(key, held, None)
        return []

    def _uncovered(self, contact: str, now_ns: int) -> list[Event]:
        """The panel says that all is well and its relay says fire: the relay is believed, and the difference told."""
        group = self._of_contact[contact]
        kind = group.contacts[contact]
        if contact not in group.closed or contact in group.alone or group.covered(kind) is not None:
            return []
        self._expect(group, (contact, kind), now_ns)
        return [self._tell_contact(group, contact, True, now_ns, {"why": "tap_alone"})]

    def next_deadline_ns(self) -> int | None:
        """When `tick()` must be called next."""
        return self._deadlines.next_ns()

    def restore(self, state: Mapping[str, bytes], closed: Iterable[str]) -> None:
        """Take back what was told before the restart; `closed` are the contacts that were active then."""
        for contact in closed:
            if (group := self._of_contact.get(contact)) is not None:
                group.closed[contact] = 0
        for group in {id(group): group for group in self._of_port.values()}.values():
            group.held = {key: _restored(group, key) for key in self._panels.active_of(group.panel)}
        for key, body in state.items():
            name = key.removeprefix(KEY)
            if not key.startswith(KEY) or read_piece(body) is None:
                continue
            tap = name.removesuffix("/tap")
            if name.endswith("/tap") and (tap in self._of_port or tap in self._of_contact):
                self._faults[tap] = None
            elif name in self._of_contact:
                self._of_contact[name].alone.add(name)
        for contact, group in self._of_contact.items():
            if (
                contact in group.closed
                and contact not in group.alone
                and group.covered(group.contacts[contact]) is None
            ):
                self._deadlines.set((contact, None), 0)  # the power went between the panel's reset and its relay's


def _restored(group: _Group, key: Key) -> _Held:
    """Something that was there before: nobody knows any more who said it."""
    return _Held(0, {group.panel: 0}, {group.address(PanelEvent(key[0], "", 0), group.panel, key[1])})


def _class(kind: Kind) -> str:
    return "fire" if kind in FIRES else kind.value


def _alike(told: Kind, said: Kind) -> bool:
    """A tap that knows it for a manual call point says more than "fire": that is news."""
    return _class(told) == _class(said) and not (said is Kind.FIRE_MANUAL and told is Kind.FIRE)


def _address(said: PanelEvent, tap: str, kind: Kind, naming: Naming) -> Address:
    """What a tap calls a point, so that "1-027" and "1-27" are one. A text nobody can parse is itself."""
    if kind is Kind.UNKNOWN:
        return "text", zlib.crc32(said.raw), tap
    where = said.point.partition("/")[2]
    if _NUMBERS.fullmatch(where):
        numbers = tuple(map(int, where.split("-")))
        if naming is Naming.ZONES or (naming is Naming.SYSTEM and len(numbers) <= 2):
            return naming.value, *numbers
        return "numbers", *numbers
    if where.isascii() and where.isdecimal():
        return "code", int(where)
    return ("nowhere", tap) if where in ("", "panel", "card") else ("name", where)


def _form(address: Address) -> object:
    """What can be compared with what; addresses of no form with nothing."""
    return address[0] if address[0] in ("numbers", "system", "zones", "code", "name") else address


def _is_one_of(address: Address, others: Set[Address]) -> bool:
    """Whether it is another word for one of these. A tap that says more than the other ("1-1-1-27" for "1-27") says it in front."""
    if address in others or address[0] != "numbers":
        return address in others
    numbers = address[1:]
    if any(other[0] == "numbers" and len(other) == len(address) for other in others):
        return False  # said in as many numbers, and others
    tails = [other[1:] for other in others if other[0] == "numbers"]
    return any(
        max(numbers, tail, key=len)[-min(len(numbers), len(tail)) :] == min(numbers, tail, key=len) for tail in tails
    )


def _renamed(said: PanelEvent, group: _Group) -> PanelEvent:
    return replace(said, point=f"{group.panel}/{said.point.partition('/')[2]}")
