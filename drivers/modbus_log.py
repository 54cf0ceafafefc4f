"""The event log of a panel behind Modbus: a window of entries with a time and a code. Pure.

The registers of a state say what is true now; the log says what came and went between two reads, or while the line was down.
So the first whole reading of the log is history and tells nothing, and later a new entry is told only if no state register has
told it already: it waits until the states were read once more, at most until the log is read again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.profile_toml import ProfileFault, codes_of, evaluated, filled, integer, known, table_of
from drivers.vocabulary import EVENTS

_WIDTHS: Final = {"u16": 1, "u32": 2}
_KEYS: Final = frozenset(("from", "id", "address", "count", "entry", "events", "ignored"))
ENTRIES_MAX: Final = 60  # what one question can hold of the shortest useful entry


@dataclass(frozen=True, slots=True)
class Entry:
    """One new entry: which point it is of, the event, and what else stands in it."""

    point: str
    event: str
    fields: Mapping[str, object]
    raw: bytes


@dataclass(frozen=True, slots=True)
class EventLog:
    """Where a log lies and what its codes mean; `layout`: (name, offset in the entry, registers)."""

    block: str
    address: int
    count: int
    width: int
    layout: tuple[tuple[str, int, int], ...]
    id: str
    events: Mapping[int, str]
    ignored: frozenset[int]

    def split(self, words: Sequence[int], offset: int) -> list[tuple[int, ...]]:
        """The entries in the window, empty ones left out."""
        found = []
        for at in range(offset, offset + self.count * self.width, self.width):
            raw = tuple(words[at : at + self.width])
            if any(raw) and any(word != 0xFFFF for word in raw):
                found.append(raw)
        return found

    def read(self, raw: Sequence[int], *, gap: bool) -> Entry | None:
        """What an entry says; None for a code that raises nothing. `gap`: entries before it were lost."""
        numbers = {name: _big(raw[at : at + width]) for name, at, width in self.layout}
        code = numbers["code"]
        if code in self.ignored:
            return None
        fields: dict[str, object] = {"from": "log", **numbers}
        if code not in self.events:
            fields["undefined"] = True  # kept and shown: a code nobody defined is not "normal"
        if gap:
            fields["gap"] = True
        data = b"".join(word.to_bytes(2, "big") for word in raw)
        return Entry(filled(self.id, numbers, "log"), self.events.get(code, "fault"), fields, data)


class LogMemory:
    """What the log of one device held last, and the new entries that wait for the states to be read."""

    def __init__(self, log: EventLog, states: frozenset[int]) -> None:
        self._log, self._states = log, states
        self._held: Counter[tuple[int, ...]] | None = None
        self._waiting: list[Entry] = []
        self._missing: set[int] = set()

    def feed(self, words: Sequence[int], offset: int) -> list[Entry]:
        """A good reading of the log: the entries that waited since the last one, or the new ones if nothing tells states."""
        due, self._waiting = self._waiting, []
        rows = self._log.split(words, offset)
        held, self._held = self._held, Counter(rows)
        if held is not None:
            gap = bool(held) and not (held & self._held)
            new = []
            for raw in rows:
                if held[raw]:
                    held[raw] -= 1
                else:
                    new.append(raw)
            entries = [entry for raw in sorted(new) if (entry := self._log.read(raw, gap=gap)) is not None]
            if not self._states:
                return due + entries
            self._waiting, self._missing = entries, set(self._states)
        return due

    def state_read(self, question: int) -> list[Entry]:
        """A good reading of states: the waiting entries, once all states were read since they came."""
        self._missing.discard(question)
        if self._missing or not self._waiting:
            return []
        due, self._waiting = self._waiting, []
        return due


def compile_log(table: Mapping[str, object], index: int, starts: Mapping[str, int]) -> EventLog:
    """Raise ProfileFault unless `table` is a [[log]]."""
    where = f"log {index}"
    known(table, _KEYS, where)
    block = str(table.get("from", ""))
    if block not in starts:
        raise ProfileFault("unknown_block", where, block)
    layout, width = [], 0
    for part in str(table.get("entry", "time:u32 code:u16")).split():
        name, _, kind = part.partition(":")
        if not name.isidentifier() or kind not in _WIDTHS:
            raise ProfileFault("bad_entry", where, part)
        layout.append((name, width, _WIDTHS[kind]))
        width += _WIDTHS[kind]
    if "code" not in {name for name, _, _ in layout}:
        raise ProfileFault("bad_entry", where, table.get("entry"))
    events = codes_of(table_of(table, "events"), f"{where}.events")
    for event in events.values():
        if event not in EVENTS:
            raise ProfileFault("unknown_event", where, event)
    ignored = table.get("ignored", [])
    if not isinstance(ignored, list) or not all(type(code) is int for code in ignored):
        raise ProfileFault("bad_number", f"{where}.ignored", ignored)
    template = str(table.get("id", "log"))
    filled(template, dict.fromkeys((name for name, _, _ in layout), 0), where)
    return EventLog(
        block=block,
        address=evaluated(table.get("address", starts[block]), {"start": starts[block]}, f"{where}.address"),
        count=integer(table, "count", where, 0, 1, ENTRIES_MAX),
        width=width,
        layout=tuple(layout),
        id=template,
        events=events,
        ignored=frozenset(ignored),
    )


def _big(words: Sequence[int]) -> int:
    number = 0
    for word in words:
        number = number << 16 | word
    return number
