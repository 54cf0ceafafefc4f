"""Any printer or terminal port that speaks in text: records told by the profile's patterns, or by its vocabulary alone.

A record is what the profile says: lines up to a blank one, a fixed number of lines behind a start, a terminator, or what comes
before a pause. `patterns` give fields by named groups; the text of the group `event` is looked up in `words`. Where no pattern
fits, each line is searched for a word of the vocabulary, longest first, so that fire, fault, disable and reset are caught from a
panel nobody has seen before; its lines are kept as they came. What still says nothing is refused as unparsed text, and
text that smells of fire is an alarm of kind unknown.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step
from drivers.codecs.text import Smell, panel_time, strip_commands
from drivers.codecs.text_words import Said, Words, address, alarming, either_encoding, plain, taken_back

LINE_BYTES_MAX: Final = 256
RECORD_BYTES_MAX: Final = 1536
RECORD_LINES_MAX: Final = 16
POINT_CHARS_MAX: Final = 48
PRINTABLE_SHARE: Final = 0.7
AUTO_ENCODING: Final = "auto"  # UTF-8 where it can be nothing else, GB 18030
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BLANK: Final = re.compile(r"\s+")
_FIRE_EVENTS: Final = frozenset({"fire", "fire_manual", "unknown"})


@dataclass(frozen=True, slots=True)
class Pattern:
    """One layout: groups become fields. `fixed`: fields it has anyway; `whole`: groups that are numbers."""

    regex: re.Pattern[str]
    fixed: Mapping[str, object] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How records are cut. `terminator` ends one; `start` begins one; `lines` is how many it has; a blank line ends one.

    `rule`: lines that only stand between records, of dashes or stars.
    """

    encoding: str = "gb18030"
    terminator: str = ""
    start: re.Pattern[str] | None = None
    rule: re.Pattern[str] | None = None
    lines: int = 1
    idle_s: float = 1.0
    strip: tuple[bytes, ...] = ()


class TextLines(Codec):
    """`words`: event text -> event, exact or as a beginning.

    `point_id`: like "{panel}-{loop}-{device_id}", "" for loop and point. `manual_texts` make a fire a manual call point's.
    """

    name: ClassVar[str] = "text-lines"

    def __init__(
        self,
        *,
        words: Mapping[str, str],
        patterns: Sequence[Pattern] = (),
        layout: Layout | None = None,
        point_id: str = "",
        fire_words: Iterable[str] = (),
        manual_texts: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self._layout = layout or Layout()
        self.quiet_s = self._layout.idle_s
        self._words = {_squeeze(word): event for word, event in words.items()}
        self._by_length = sorted(self._words, key=len, reverse=True)
        self._spoken = Words(words)
        self._manual_texts = tuple(manual_texts)
        self._patterns = tuple(patterns)
        self._point_id = point_id
        self._smell = Smell(fire_words)
        self._end = self._layout.terminator.encode("ascii") or b"\n"
        self._lines: list[bytes] = []
        self._texts: list[str] = []

    # -- records -----------------------------------------------------------------------------------------------------
    def _next(self, final: bool) -> Step | None:
        most = RECORD_BYTES_MAX if self._layout.terminator else LINE_BYTES_MAX
        end = self._buf.find(self._end, 0, most)
        if end < 0 and len(self._buf) < most and not final:
            return None
        size = end + len(self._end) if end >= 0 else min(len(self._buf), most)
        raw = bytes(self._buf[:size])
        text = self._text_of(raw)
        if self._layout.terminator:
            return (
                self._told([raw], text.removesuffix(self._layout.terminator).strip(), size)
                if text
                else Step(size=size, held=True)
            )
        starts = self._layout.start is not None and self._layout.start.fullmatch(text) is not None
        full = len(self._lines) >= RECORD_LINES_MAX or sum(map(len, self._lines)) + size > RECORD_BYTES_MAX
        if self._texts and (starts or full):
            return self._close()  # takes nothing: the line is looked at again with an empty record
        if not text:
            return self._close(size, raw) if self._texts else Step(size=size, held=True)
        if self._layout.rule is not None and self._layout.rule.fullmatch(text) is not None:
            idle = {"kind": "idle", "event": None, "text": text}
            return self._close(size, raw) if self._texts else Step(size=size, fields=idle, raw=raw)
        self._lines.append(raw)
        self._texts.append(text)
        begun = self._layout.start is None or self._layout.start.fullmatch(self._texts[0]) is not None
        if len(self._texts) >= (self._layout.lines if begun else 1):
            return self._close(size)
        return Step(size=size, held=True)

    def _finish(self) -> Iterable[Step]:
        if self._texts:
            yield self._close()

    def _close(self, size: int = 0, last: bytes = b"") -> Step:
        lines, texts = [*self._lines, *([last] if last else [])], self._texts
        self._lines, self._texts = [], []
        return self._told(lines, "\n".join(texts), size)

    def _text_of(self, raw: bytes) -> str:
        raw = strip_commands(raw, self._layout.strip)
        auto = self._layout.encoding == AUTO_ENCODING
        decoded = either_encoding(raw) if auto else raw.decode(self._layout.encoding, "replace")
        return _CONTROL.sub("", decoded).replace("\ufffd", "?").strip("\r\n ")

    # -- meaning -----------------------------------------------------------------------------------------------------
    def _told(self, lines: Sequence[bytes], text: str, size: int) -> Step:
        raw = b"".join(lines)
        for pattern in self._patterns:
            if (found := pattern.regex.fullmatch(text)) is not None:
                fields = _fields(pattern, found)
                said = str(fields.get("event_text", ""))
                event = self._meaning(said)
                if event is not None:
                    return Step(size=size, fields=self._event_fields(event, fields), raw=raw)
                break  # the layout without a known word: perhaps one stands in it, behind noise
        return self._by_words(raw, text, size)

    def _by_words(self, raw: bytes, text: str, size: int) -> Step:
        """What the vocabulary finds, for a record no pattern fits."""
        lines, said = text.split("\n"), alarming(plain(text)).split("\n")
        pieces = self._spoken.pieces(said)
        if not pieces:
            return self._unparsed(raw, {"text": text, **address("\n".join(said))}, text, size)
        told = [self._piece(piece, "\n".join(lines[start:end]), said[start:end]) for start, end, piece in pieces]
        head = told[0] if len(told) == 1 else {**told[0], "events": told}
        return Step(size=size, fields=head, raw=raw)

    def _piece(self, piece: Said, text: str, said: Sequence[str]) -> dict[str, object]:
        line = next(n for n, one in enumerate(said) if self._spoken.of(one) == piece)
        fields = {"event_text": text.split("\n")[line], "text": text, "by": "vocabulary", **address("\n".join(said))}
        besides = "\n".join([*said[:line], piece.rest, *said[line + 1 :]])
        if piece.event not in _FIRE_EVENTS and self._smell.of_text(besides):
            return {"kind": "unknown", "event": "unknown", **fields}  # a fire stands beside it: louder is right
        return self._event_fields(piece.event, fields)

    def _meaning(self, said: str) -> str | None:
        if (event := self._words.get(_squeeze(said))) is not None:
            return event
        text = plain(said)
        for word in self._by_length:
            if text.startswith(word[:1]) and (found := _beginning(word).match(text)) is not None:
                return taken_back(self._words[word], text, found.end())
        spoken = self._spoken.of(alarming(text))  # 感烟火警: the word stands behind what it is about
        return None if spoken is None else spoken.event

    def _event_fields(self, event: str, fields: Mapping[str, object]) -> dict[str, object]:
        told: dict[str, object] = {"kind": "event", "event": event, **fields}
        if event == "fire" and any(mark in str(fields.get("event_text", "")) for mark in self._manual_texts):
            told["manual"] = True
        if self._point_id:
            with contextlib.suppress(KeyError, IndexError, ValueError):  # a layout without that field
                told["point_id"] = _slug(self._point_id.format(**fields))
        return told

    def _unparsed(self, raw: bytes, fields: Mapping[str, object], text: str, size: int) -> Step:
        searched = plain(text)
        calmed = alarming(searched)
        if self._smell.of_text(calmed) or (calmed == searched and self._smell.of(raw)):
            return Step(size=size, fields={"kind": "unknown", "event": "unknown", **fields}, raw=raw)
        readable = sum(c.isprintable() and c != "?" for c in text) >= PRINTABLE_SHARE * len(text)
        return Step(size=size, refused="unparsed" if readable else "noise", fields=fields, sound=readable, raw=raw)

    def _held_more(self) -> int:
        return sum(map(len, self._lines))


def _fields(pattern: Pattern, found: re.Match[str]) -> dict[str, object]:
    groups = {name: value.strip() for name, value in found.groupdict().items() if value is not None}
    fields: dict[str, object] = dict(pattern.fixed)
    when = panel_time(groups)
    if when:
        fields["time"] = when
    for name, value in groups.items():
        if name == "event":
            fields["event_text"] = value
        elif name in pattern.whole:
            fields[name] = int(value) if value.isdecimal() else value
        elif name not in _CLOCK:
            fields[name] = value
    return fields


_CLOCK: Final = ("year", "month", "day", "hour", "minute", "second", "half")


def _squeeze(text: str) -> str:
    return _BLANK.sub("", text).upper()


@functools.cache
def _beginning(squeezed: str) -> re.Pattern[str]:
    """A text that begins with a squeezed word, wherever it is blank."""
    return re.compile(r"\s*".join(map(re.escape, squeezed)))


def _slug(text: str) -> str:
    return _BLANK.sub("_", text.strip()).replace("/", "_").replace("*", "_")[:POINT_CHARS_MAX]
