"""A fire panel seen through Modbus: words of its devices turned into events of the common vocabulary. Pure.

Two ways of speaking (`[meaning] mode`):

- `last_event`: each register holds the latest event of a device, not its state. A fire overwritten by "action" is still a
  fire; only the whole panel at 0 is a reset (GST Modbus RTU card V1.0a).
- `state`: each register holds what is true now; a fact that is gone has ended (Notifier MODBUS-GW).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.messages import Observation, PanelEvent
from drivers.vocabulary import EVENTS

NONE: Final = "none"
_ABSENT: Final = "absent"
_ACTIVE: Final = "active"  # the flag whose meaning the class byte tells
_LATCHED: Final = frozenset(("fire", "fire_manual", "unknown", "gas_alarm", "electrical_alarm"))
_ENDS: Final[Mapping[str, str]] = {
    "fire": "fire_restore",
    "prealarm": "prealarm_restore",
    "supervisory": "supervisory_restore",
    "gas_alarm": "gas_restore",
    "electrical_alarm": "electrical_restore",
    "fault": "fault_restore",
    "isolate": "isolate_restore",
    "mains_fault": "mains_ok",
    "battery_fault": "battery_ok",
    "start": "stop",
    "feedback": "feedback_restore",
    "delay": "delay_restore",
    "test": "test_restore",
}
_BEGINS: Final = {end: begin for begin, end in _ENDS.items()}


class MeaningFault(ValueError):
    """A word of a profile that means nothing: `code` is ASCII, `value` what stands there."""

    def __init__(self, code: str, value: object) -> None:
        super().__init__(f"{code}: {value}")
        self.code, self.value = code, value


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a panel speaks; see the module."""

    last_event: bool

    @classmethod
    def compile(cls, table: Mapping[str, object]) -> "Spoken":
        """Raise MeaningFault unless `table` is a [meaning]."""
        mode = table.get("mode", "state")
        if mode not in ("state", "last_event"):
            raise MeaningFault("unknown_mode", mode)
        return cls(mode == "last_event")


@dataclass(frozen=True, slots=True)
class PanelPoint:
    """One device of the panel: where its word lies in an answer and what the word means."""

    id: str
    offset: int
    numbers: Mapping[str, int]  # loop, n, ... as the profile names them
    mask: int
    shift: int
    codes: Mapping[int, str] | None  # enum: field -> event
    flags: Mapping[int, str]  # bit -> event, or "active"
    classes: Mapping[int, str]  # low byte while active -> event
    counts_for_reset: bool

    @classmethod
    def compile(
        cls, point_id: str, offset: int, table: Mapping[str, object], numbers: Mapping[str, int], shift: int
    ) -> "PanelPoint":
        """Raise MeaningFault unless `table` is a [[point]]."""
        codes = _codes(table["enum"]) if "enum" in table else None
        flags = _codes(table.get("flags", {}))
        classes = _codes(table.get("class", {}))
        if (codes is None) == (not flags):
            raise MeaningFault("enum_or_flags", point_id)
        for word in (*(codes or {}).values(), *flags.values(), *classes.values()):
            if word not in EVENTS and word not in (NONE, _ABSENT, _ACTIVE):
                raise MeaningFault("unknown_event", word)
        mask = table.get("mask", 0xFFFF)
        if not isinstance(mask, int) or not 0 < mask <= 0xFFFF or not 0 <= shift < 16:
            raise MeaningFault("bad_mask", mask)
        return cls(
            point_id, offset, numbers, mask, shift, codes, flags, classes, bool(table.get("counts_for_reset", True))
        )

    def code(self, word: int) -> int:
        """The field of the word that is this point's."""
        return (word >> self.shift) & self.mask

    def facts(self, word: int) -> frozenset[str]:
        """What is true according to `word`; {"absent"} for a device that is not there."""
        code = self.code(word)
        if self.codes is not None:
            event = self.codes.get(code, "fault")  # a code nobody defined is not "normal"
            return frozenset() if event == NONE else frozenset((event,))
        low = code & 0xFF
        if self.classes.get(low) == _ABSENT:
            return frozenset((_ABSENT,))
        facts = {event for bit, event in self.flags.items() if code >> bit & 1}
        if _ACTIVE in facts:
            facts.remove(_ACTIVE)
            facts.add(self.classes.get(low, "unknown"))  # active, nobody says what: an alarm all the same
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
        self._quiet: bool | None = None  # nothing that a reset clears; None: not all read yet

    def feed(self, question: int, words: Sequence[int], at_ns: int) -> list[Observation]:
        """A good answer to `question`: what changed. The first answer gives what is active now."""
        events: list[Observation] = []
        before = self._codes[question]
        now = [point.code(words[point.offset]) for point in self._points[question]]
        self._codes[question] = now
        if before == now:
            return events
        for index, point in enumerate(self._points[question]):
            if before is not None and before[index] == now[index]:
                continue
            word = words[point.offset]
            turn = self._last_event if self._spoken.last_event else self._state
            for event in turn(point, word, before is None):
                fields: dict[str, object] = {**point.numbers, "code": now[index]}
                if point.codes is not None and now[index] not in point.codes:
                    fields["undefined"] = True
                events.append(PanelEvent(f"{self._device}/{point.id}", event, at_ns, fields, word.to_bytes(2, "big")))
        events += self._reset(at_ns)
        return events

    def _last_event(self, point: PanelPoint, word: int, first: bool) -> list[str]:
        said, held = point.facts(word), self._facts.get(point.id, frozenset())
        if not said:
            self._facts[point.id] = held & _LATCHED
            return [_ENDS[event] for event in sorted(held - _LATCHED) if event in _ENDS]
        (event,) = said
        if not EVENTS[event].active:
            self._facts[point.id] = held - {_BEGINS.get(event, "")}
            return [] if first else [event]
        self._facts[point.id] = held | said
        return [event]

    def _state(self, point: PanelPoint, word: int, first: bool) -> list[str]:
        facts, held = point.facts(word), self._facts.get(point.id, frozenset())
        if _ABSENT in facts:  # never there: nothing to say. Gone: a fault, and a fire it had is not over
            facts = frozenset() if first else held & _LATCHED | {"fault"}
        self._facts[point.id] = facts
        begun = sorted(facts - held, key=lambda event: (event not in _LATCHED, event))
        return begun + [_ENDS[event] for event in sorted(held - facts) if event in _ENDS]

    def _reset(self, at_ns: int) -> list[Observation]:
        """The panel was reset: everything a reset clears is gone. At the first whole read too, for those who remember."""
        if any(codes is None for codes, points in zip(self._codes, self._points, strict=True) if points):
            return []
        if self._spoken.last_event:
            quiet = not any(
                code and point.counts_for_reset
                for codes, points in zip(self._codes, self._points, strict=True)
                for code, point in zip(codes or (), points, strict=False)
            )
        else:
            quiet = not any(facts & _LATCHED for facts in self._facts.values())
        was, self._quiet = self._quiet, quiet
        if not quiet or was:
            return []
        for point_id, facts in self._facts.items():
            self._facts[point_id] = facts - _LATCHED
        return [PanelEvent(self._device, "reset", at_ns, {"first_read": True} if was is None else {})]


def _codes(table: object) -> dict[int, str]:
    if not isinstance(table, Mapping):
        raise MeaningFault("not_a_table", table)
    try:
        return {int(str(code), 0): str(event) for code, event in table.items()}
    except ValueError:
        raise MeaningFault("bad_number", min(table)) from None
