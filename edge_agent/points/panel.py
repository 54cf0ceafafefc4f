"""What the panels said: points that hold their state until the panel takes it back or is reset."""

import zlib
from collections.abc import Iterable, Mapping, Set

from drivers.messages import PanelEvent
from edge_agent.model import KINDS, Event, Kind, NewEvent, Sound
from edge_agent.points.state import Latches, kind_of, read_piece
from edge_agent.points.vocabulary import MEANINGS, Effect, Meaning, meaning_of

MAX_ENTRIES = 20_000  # a panel can name any number of points; the oldest quiet ones are forgotten first
MAX_WORDS = 64  # different things said of one point while it is active
KEY = "pp:"


def source_of(point: str) -> str:
    """The panel or device a point belongs to: what stands before the first slash."""
    return point.partition("/")[0]


def grade_of(kind: Kind, active: bool) -> int:
    """1 for a fire-class alarm of a single point; the alarm machine raises it."""
    return 1 if active and KINDS[kind].sound is Sound.FIRE else 0


class _Entry:
    __slots__ = ("active", "at_ns", "count", "name", "words")

    def __init__(self) -> None:
        self.active = False
        self.count = 0
        self.words: dict[str, None] = {}  # what raised an event while active, oldest first
        self.name = ""
        self.at_ns = 0


class PanelPoints:
    """Every (point, kind) a panel has spoken of."""

    def __init__(self, new_event: NewEvent, names: Mapping[str, str], latches: Latches) -> None:
        self._new_event, self._names, self._latches = new_event, names, latches
        self._entries: dict[tuple[str, Kind], _Entry] = {}
        self._by_source: dict[str, dict[tuple[str, Kind], None]] = {}  # the active ones
        self.counters = {"repeated": 0, "restored_again": 0, "unlisted": 0, "forgotten": 0}

    def feed(self, said: PanelEvent) -> list[Event]:
        """The events of one thing a panel said."""
        meaning = meaning_of(said.event, said.fields)
        self.counters["unlisted"] += said.event not in MEANINGS
        if meaning.effect is Effect.SET:
            return self._set(said, meaning.kind)
        if meaning.effect is Effect.CLEAR:
            return self._clear(said, meaning)
        fields = dict(said.fields)
        still = fields.pop("still", ())  # (point, word) of what is there after the reset as before: it has not ended
        moment = self._event(said, meaning.kind, meaning.active, fields)
        if meaning.effect is Effect.RESET:
            pairs = still if isinstance(still, tuple) else ()
            return [moment, *self._reset(said, {(point, meaning_of(word, {}).kind) for point, word in pairs})]
        return [moment, *(self._clear(said, meaning) if meaning.clears else ())]

    def active(self) -> Iterable[tuple[str, Kind, str, int]]:
        """Point, kind, name, and when it began, of everything active; a point may appear more than once."""
        for keys in self._by_source.values():
            for point, kind in keys:
                entry = self._entries[point, kind]
                yield point, kind, entry.name, entry.at_ns

    def known(self) -> Iterable[tuple[str, Kind, bool, str, int]]:
        """Point, kind, active, name, moment of the last change, of every entry."""
        for (point, kind), entry in self._entries.items():
            yield point, kind, entry.active, entry.name, entry.at_ns

    def is_active(self, point: str, kind: Kind) -> bool:
        """Whether this is there now."""
        entry = self._entries.get((point, kind))
        return entry is not None and entry.active

    def active_of(self, source: str) -> list[tuple[str, Kind]]:
        """Everything of one panel that is active."""
        return list(self._by_source.get(source, ()))

    def end(self, point: str, kind: Kind, at_ns: int, fields: dict[str, object]) -> list[Event]:
        """End one thing of which no tap says any more that it is there."""
        entry = self._entries.get((point, kind))
        return (
            [self._end(PanelEvent(point, "", at_ns), kind, entry, fields)] if entry is not None and entry.active else []
        )

    def forget_words(self, point: str, kind: Kind) -> None:
        """What is said of it next is news, though it was said before."""
        if (entry := self._entries.get((point, kind))) is not None:
            entry.words.clear()

    def restore(self, state: Mapping[str, bytes], sources: Iterable[str] | None) -> list[tuple[str, Kind]]:
        """Take back what was active at the power cut; return what belongs to no configured source any more."""
        known = None if sources is None else set(sources)
        orphans: list[tuple[str, Kind]] = []
        for key, body in state.items():
            kind_name, _, point = key.removeprefix(KEY).partition(":")
            if not key.startswith(KEY) or (kind := kind_of(kind_name)) is None or (piece := read_piece(body)) is None:
                continue
            if known is not None and source_of(point) not in known:
                orphans.append((point, kind))
                self._latches.put(key, None)
                continue
            entry = self._entries.setdefault((point, kind), _Entry())
            words, name = piece.get("words"), piece.get("name")
            entry.words = dict.fromkeys(str(word) for word in words) if isinstance(words, list) else {}
            entry.name = name if isinstance(name, str) else ""
            entry.active, entry.count = True, 1
            self._by_source.setdefault(source_of(point), {})[point, kind] = None
        return orphans

    def _set(self, said: PanelEvent, kind: Kind) -> list[Event]:
        entry = self._entry(said.point, kind)
        word = said.event
        if kind is Kind.UNKNOWN:  # each text that does not parse may be another fire
            word = "unknown:" + f"{zlib.crc32(said.raw):08x}{zlib.adler32(said.raw):08x}"
        entry.count += 1
        if entry.active and word in entry.words:
            self.counters["repeated"] += 1
            return []
        if not entry.active:
            entry.active, entry.count = True, 1
            self._by_source.setdefault(source_of(said.point), {})[said.point, kind] = None
        if len(entry.words) >= MAX_WORDS:
            del entry.words[next(iter(entry.words))]
        entry.words[word] = None
        fields = dict(said.fields)
        if said.event != kind.value:
            fields["word"] = said.event
        event = self._event(said, kind, True, fields)
        entry.name, entry.at_ns = event.name, said.at_ns
        self._latches.put(_key(said.point, kind), {"words": list(entry.words), "name": entry.name})
        return [event]

    def _clear(self, said: PanelEvent, meaning: Meaning) -> list[Event]:
        events: list[Event] = []
        known = False
        for kind in meaning.clears:
            entry = self._entries.get((said.point, kind))
            if entry is None:
                continue
            known = True
            if entry.active:
                events.append(self._end(said, kind, entry, {**said.fields, "word": said.event}))
        if not events:
            if known or said.is_state or not meaning.tells_unknown or meaning.effect is not Effect.CLEAR:
                self.counters["restored_again"] += 1
                return []
            entry = self._entry(said.point, meaning.kind)
            events.append(self._end(said, meaning.kind, entry, {**said.fields, "word": said.event}))
        return events

    def _reset(self, said: PanelEvent, still: Set[tuple[str, Kind]]) -> list[Event]:
        """Everything of that panel ends, save what somebody disabled: a panel keeps that through a reset, and so do we."""
        events: list[Event] = []
        for point, kind in list(self._by_source.get(source_of(said.point), ())):
            if kind is not Kind.DISABLED and (point, kind) not in still:
                there = PanelEvent(point, said.event, said.at_ns)
                events.append(self._end(there, kind, self._entries[point, kind], {"by": "reset"}))
        return events

    def _end(self, said: PanelEvent, kind: Kind, entry: _Entry, fields: dict[str, object]) -> Event:
        if entry.count > 1:
            fields["count"] = entry.count
        entry.active, entry.count = False, 0
        entry.words.clear()
        self._by_source.get(source_of(said.point), {}).pop((said.point, kind), None)
        self._latches.put(_key(said.point, kind), None)
        event = self._event(said, kind, False, fields, known_as=entry.name)
        entry.name, entry.at_ns = event.name, said.at_ns
        return event

    def _event(
        self, said: PanelEvent, kind: Kind, active: bool, fields: dict[str, object], *, known_as: str = ""
    ) -> Event:
        text = said.fields.get("location_text")
        name = self._names.get(said.point) or known_as or (text if isinstance(text, str) else "")
        return self._new_event(
            kind,
            said.point,
            active,
            said.at_ns,
            source=source_of(said.point),
            name=name,
            fields=fields,
            raw=said.raw,
            grade=grade_of(kind, active),
        )

    def _entry(self, point: str, kind: Kind) -> _Entry:
        key = (point, kind)
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= MAX_ENTRIES:
                self._forget_one()
            entry = self._entries[key] = _Entry()
        return entry

    def _forget_one(self) -> None:
        """Forget the oldest quiet entry, else the oldest that is no alarm, else the oldest: then a repeat raises it again."""
        self.counters["forgotten"] += 1
        quiet = next((key for key, entry in self._entries.items() if not entry.active), None)
        if quiet is None:
            quiet = next((key for key in self._entries if not KINDS[key[1]].latched), next(iter(self._entries)))
        del self._entries[quiet]
        self._by_source.get(source_of(quiet[0]), {}).pop(quiet, None)
        self._latches.put(_key(*quiet), None)


def _key(point: str, kind: Kind) -> str:
    return f"{KEY}{kind.value}:{point}"
