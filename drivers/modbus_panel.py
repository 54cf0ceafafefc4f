"""A fire panel seen through Modbus: words of its devices turned into events of the common vocabulary. Pure.

Two ways of speaking (`[meaning] mode`):

- `last_event`: each register holds the latest event of a device, not its state. A fire overwritten by "action" is still a
  fire; only the whole panel at 0 is a reset (GST Modbus RTU card V1.0a).
- `state`: each register holds what is true now; a fact that is gone has ended (Notifier MODBUS-GW). Several tables may speak
  of one point, each of some of its states (Siemens NK8237): what holds is what any of them says.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.messages import Observation, PanelEvent
from drivers.profile_toml import ProfileFault, codes_of, integer
from drivers.vocabulary import ENDS, EVENTS

NONE: Final = "none"
_ABSENT: Final = "absent"
ALONE_READINGS: Final = 3
_ACTIVE: Final = "active"  # the flag whose meaning the class byte tells
_LATCHED: Final = frozenset(("fire", "fire_manual", "unknown", "gas_alarm", "electrical_alarm"))
_BEGINS: Final = {end: begin for begin, end in reversed(list(ENDS.items()))}  # fire_restore is of a fire


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a panel speaks; see the module."""

    last_event: bool

    @classmethod
    def compile(cls, table: Mapping[str, object]) -> "Spoken":
        """Raise ProfileFault unless `table` is a [meaning]."""
        mode = table.get("mode", "state")
        if mode not in ("state", "last_event"):
            raise ProfileFault("unknown_mode", "meaning", mode)
        return cls(mode == "last_event")


@dataclass(frozen=True, slots=True)
class Rule:
    """What the words of one [[point]] table mean; its points share it."""

    mask: int
    codes: Mapping[int, str] | None  # enum: field -> event
    flags: Mapping[int, str]  # bit -> event, or "active"
    classes: Mapping[int, str]  # low byte while active -> event
    counts_for_reset: bool
    undefined: str  # what a code nobody defined is told as; never "normal"
    summary: bool  # of the whole panel: told only where no point of it says the same

    @classmethod
    def compile(cls, table: Mapping[str, object], where: str) -> "Rule":
        """Raise ProfileFault unless `table`, which people know as `where`, is a [[point]]."""
        codes = codes_of(table["enum"], f"{where}.enum") if "enum" in table else None
        flags = codes_of(table.get("flags", {}), f"{where}.flags")
        classes = codes_of(table.get("class", {}), f"{where}.class")
        if (codes is None) == (not flags):
            raise ProfileFault("enum_or_flags", where)
        for word in (*(codes or {}).values(), *flags.values(), *classes.values()):
            if word not in EVENTS and word not in (NONE, _ABSENT, _ACTIVE):
                raise ProfileFault("unknown_event", where, word)
        undefined = str(table.get("undefined", "fault"))
        if undefined not in EVENTS:
            raise ProfileFault("unknown_event", where, undefined)
        mask = integer(table, "mask", where, 0xFFFF, 1, 0xFFFF)
        counts, summary = bool(table.get("counts_for_reset", True)), bool(table.get("summary", False))
        return cls(mask, codes, flags, classes, counts, undefined, summary)

    def words(self) -> set[str]:
        """Everything such a point can be told to be."""
        return {*(self.codes or {}).values(), *self.flags.values(), *self.classes.values(), self.undefined}


@dataclass(frozen=True, slots=True)
class PanelPoint:
    """One device of the panel: where its word lies in an answer, and its place inside the word."""

    id: str
    offset: int
    numbers: Mapping[str, int]  # loop, n, ... as the profile names them
    shift: int
    rule: Rule

    def code(self, word: int) -> int:
        """The field of the word that is this point's."""
        return (word >> self.shift) & self.rule.mask

    def facts(self, word: int) -> frozenset[str]:
        """What is true according to `word`; {"absent"} for a device that is not there."""
        code, rule = self.code(word), self.rule
        if rule.codes is not None:
            event = rule.codes.get(code, rule.undefined)
            return frozenset() if event == NONE else frozenset((event,))
        low = code & 0xFF
        if rule.classes.get(low) == _ABSENT:
            return frozenset((_ABSENT,))
        facts = {event for bit, event in rule.flags.items() if code >> bit & 1}
        if _ACTIVE in facts:
            facts.remove(_ACTIVE)
            facts.add(rule.classes.get(low, "unknown"))  # active, nobody says what: an alarm all the same
            facts.discard(NONE)
        return frozenset(facts)


class PanelMemory:
    """What the panel said of each of its devices. Feeds on answers, gives events."""

    def __init__(self, points: Sequence[Sequence[PanelPoint]], spoken: Spoken, device: str) -> None:
        self._points = points
        self._spoken = spoken
        self._device = device
        self._codes: list[list[int] | None] = [None] * len(points)
        self._facts: dict[str, frozenset[str]] = {}
        said = Counter(point.id for of_question in points for point in of_question)
        # of a point of which several tables speak: what each of them says
        self._parts: dict[str, dict[tuple[int, int], frozenset[str]]] = {
            id: {} for id, count in said.items() if count > 1
        }
        self._summaries = [[point for point in of_question if point.rule.summary] for of_question in points]
        self._overall: dict[str, frozenset[str]] = {}  # what summaries say, told or not: no reset while it is a fire
        self._alone: dict[str, int] = {}  # readings in a row in which a summary said what no point says
        self._quiet: bool | None = None  # nothing that a reset clears; None: not all read yet

    def holds(self, point_id: str, event: str) -> bool:
        """Whether the registers said `event` of this point and have not taken it back."""
        return event in self._facts.get(point_id, frozenset())

    def feed(self, question: int, words: Sequence[int], at_ns: int) -> list[Observation]:
        """A good answer to `question`: what changed. The first answer gives what is active now."""
        events: list[Observation] = []
        before = self._codes[question]
        now = [point.code(words[point.offset]) for point in self._points[question]]
        self._codes[question] = now
        if before == now and not self._summaries[question]:
            return events
        for index, point in enumerate(self._points[question]):
            if point.rule.summary or (before is not None and before[index] == now[index]):
                continue
            word = words[point.offset]
            if self._spoken.last_event:
                told = self._last_event(point, word, first=before is None)
            else:
                told = self._state(point, word, (question, index), first=before is None)
            for event in told:
                fields: dict[str, object] = {**point.numbers, "code": now[index]}
                if point.rule.codes is not None and now[index] not in point.rule.codes:
                    fields["undefined"] = True
                events.append(PanelEvent(f"{self._device}/{point.id}", event, at_ns, fields, word.to_bytes(2, "big")))
        for point in self._summaries[question]:
            word = words[point.offset]
            fields = {**point.numbers, "code": point.code(word), "summary": True}
            for event in self._summarized(point, word):
                events.append(PanelEvent(f"{self._device}/{point.id}", event, at_ns, fields, word.to_bytes(2, "big")))
        return events if before == now else events + self._reset(at_ns)

    def _summarized(self, point: PanelPoint, word: int) -> list[str]:
        """A fire of the panel is the fire of one of its zones, so it waits for them; of a zone nobody listed it is told."""
        said, held = point.facts(word), self._facts.get(point.id, frozenset())
        self._overall[point.id] = said
        begun: frozenset[str] = frozenset()
        if said - held:
            begun = said - held - frozenset().union(*(facts for id, facts in self._facts.items() if id != point.id))
        self._alone[point.id] = self._alone.get(point.id, 0) + 1 if begun else 0
        if self._alone[point.id] < ALONE_READINGS:
            begun = frozenset()
        self._facts[point.id] = held & said | begun
        return gravest_first(begun) + [ENDS[event] for event in sorted(held - said) if event in ENDS]

    def _last_event(self, point: PanelPoint, word: int, *, first: bool) -> list[str]:
        said, held = point.facts(word), self._facts.get(point.id, frozenset())
        if not said:
            self._facts[point.id] = held & _LATCHED
            return [ENDS[event] for event in sorted(held - _LATCHED) if event in ENDS]
        (event,) = said
        if not EVENTS[event].active:
            self._facts[point.id] = held - {_BEGINS.get(event, "")}
            return [] if first else [event]
        self._facts[point.id] = held | said
        return [event]

    def _state(self, point: PanelPoint, word: int, where: tuple[int, int], *, first: bool) -> list[str]:
        facts, held = point.facts(word), self._facts.get(point.id, frozenset())
        if _ABSENT in facts:  # never there: nothing to say. Gone: a fault, and a fire it had is not over
            facts = frozenset() if first else held & _LATCHED | {"fault"}
        if (parts := self._parts.get(point.id)) is not None:
            parts[where] = facts
            facts = frozenset().union(*parts.values())
        self._facts[point.id] = facts
        return gravest_first(facts - held) + [ENDS[event] for event in sorted(held - facts) if event in ENDS]

    def _reset(self, at_ns: int) -> list[Observation]:
        """The panel was reset: everything a reset clears is gone. At the first whole read too, for those who remember."""
        if any(codes is None for codes, points in zip(self._codes, self._points, strict=True) if points):
            return []
        if self._spoken.last_event:
            quiet = not any(
                code and point.rule.counts_for_reset
                for codes, points in zip(self._codes, self._points, strict=True)
                for code, point in zip(codes or (), points, strict=False)
            )
        else:
            quiet = not any(facts & _LATCHED for facts in (*self._facts.values(), *self._overall.values()))
        was, self._quiet = self._quiet, quiet
        if not quiet or was:
            return []
        still = []  # a panel that was reset still has its dead battery and its broken detector
        for point_id, facts in self._facts.items():
            self._facts[point_id] = kept = facts - _LATCHED
            still += [(f"{self._device}/{point_id}", event) for event in sorted(kept)]
        fields: dict[str, object] = {"still": tuple(still)} if still else {}
        return [PanelEvent(self._device, "reset", at_ns, fields | ({"first_read": True} if was is None else {}))]


def gravest_first(events: Iterable[str]) -> list[str]:
    """A fire is told before a fault of the same point."""
    return sorted(events, key=lambda event: (event not in _LATCHED, event))


def ends_of(event: str) -> str:
    """The event that ends `event`, "" for a moment."""
    return ENDS.get(event, "")
