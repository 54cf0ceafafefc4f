"""Any printer or terminal port that speaks in text: records told by the profile's patterns, or by its vocabulary alone.

A record is what the profile says: lines up to a blank one, a fixed number of lines behind a start, a terminator, or what comes
before a pause. `patterns` give fields by named groups; the text of the group `event` is looked up in `words`. Where no pattern
fits, each line is searched for a word of the vocabulary, longest first, so that fire, fault, disable and reset are caught from a
panel nobody has seen before; its lines are kept as they came. What still says nothing is refused as unparsed text, and
text that smells of fire is an alarm of kind unknown.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step
from drivers.codecs.text import Smell, panel_time, strip_commands

LINE_BYTES_MAX: Final = 256
RECORD_BYTES_MAX: Final = 1536
RECORD_LINES_MAX: Final = 16
POINT_CHARS_MAX: Final = 48
PRINTABLE_SHARE: Final = 0.7
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BLANK: Final = re.compile(r"\s+")
_FIRE_EVENTS: Final = frozenset({"fire", "fire_manual", "unknown"})
# The ways panels write where something is, tried in this order on text no pattern fits.
_ADDRESSES: Final = (
    re.compile(r"N(?P<panel>\d{1,3})L(?P<loop>\d{1,3})[DM](?P<point>\d{1,3})"),
    re.compile(r"(?<![\dA-Z])L(?P<loop>\d{1,3})[DM](?P<point>\d{1,3})"),
    re.compile(r"(?P<loop>\d{1,3})\s*(?:回路|回路号)\D{0,4}(?P<point>\d{1,4})\s*(?:号|点|编码|地址)"),
    re.compile(r"回路\s*[:号]?\s*(?P<loop>\d{1,3})\D{1,8}?(?P<point>\d{1,4})"),
    re.compile(r"(?<![\d:/.-])(?P<loop>\d{1,3})-(?P<point>\d{1,4})(?![\d:/.-])"),
)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One layout: groups become fields. `fixed`: fields it has anyway; `whole`: groups that are numbers."""

    regex: re.Pattern[str]
    fixed: Mapping[str, object] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How records are cut. `terminator` ends one; `start` begins one; `lines` is how many it has; a blank line ends one."""

    encoding: str = "gb18030"
    terminator: str = ""
    start: re.Pattern[str] | None = None
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
        self._in_text = [(_finder(word), word, event) for word, event in sorted(words.items(), key=_longest)]
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
        decoded = strip_commands(raw, self._layout.strip).decode(self._layout.encoding, "replace")
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
                    return self._event(event, fields, raw, size)
                break  # the layout without a known word: perhaps one stands in it, behind noise
        for line in text.split("\n"):
            if (known := self._word_in(line)) is not None:
                word, event = known
                fields = {"event_text": line, "text": text, "by": "vocabulary", **_address(text)}
                if event not in _FIRE_EVENTS and self._smell.of_text(_without(text, word)):
                    return self._unparsed(raw, fields, text, size)  # a fire stands beside it: louder is right
                return self._event(event, fields, raw, size)
        return self._unparsed(raw, {"text": text, **_address(text)}, text, size)

    def _meaning(self, said: str) -> str | None:
        squeezed = _squeeze(said)
        if (event := self._words.get(squeezed)) is not None:
            return event
        return next((self._words[word] for word in self._by_length if squeezed.startswith(word)), None)

    def _word_in(self, line: str) -> tuple[str, str] | None:
        upper = line.upper()
        return next(((word, event) for finder, word, event in self._in_text if finder.search(upper)), None)

    def _event(self, event: str, fields: dict[str, object], raw: bytes, size: int) -> Step:
        told: dict[str, object] = {"kind": "event", "event": event, **fields}
        if event == "fire" and any(mark in str(fields.get("event_text", "")) for mark in self._manual_texts):
            told["manual"] = True
        if self._point_id:
            with contextlib.suppress(KeyError, IndexError, ValueError):  # a layout without that field
                told["point_id"] = _slug(self._point_id.format(**fields))
        return Step(size=size, fields=told, raw=raw)

    def _unparsed(self, raw: bytes, fields: Mapping[str, object], text: str, size: int) -> Step:
        if self._smell.of(raw) or self._smell.of_text(text):
            return Step(size=size, fields={"kind": "unknown", "event": "unknown", **fields}, raw=raw)
        readable = sum(c.isprintable() and c != "?" for c in text) >= PRINTABLE_SHARE * len(text)
        return Step(size=size, refused="unparsed text" if readable else "noise", fields=fields, sound=readable, raw=raw)

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


def _address(text: str) -> dict[str, object]:
    for form in _ADDRESSES:
        if (found := form.search(text)) is not None:
            return {name: int(value) for name, value in found.groupdict().items() if value is not None}
    return {}


def _without(text: str, word: str) -> str:
    return text.upper().replace(word.upper(), " ")


def _longest(entry: tuple[str, str]) -> int:
    return -len(entry[0])


def _finder(word: str) -> re.Pattern[str]:
    """Finds a word of the vocabulary in an upper-case line: not inside another word, not denied, not in the name of a thing."""
    body = r"\s*".join(re.escape(c) for c in word.upper() if not c.isspace())
    if word.isascii():
        return re.compile(r"(?<![A-Z])(?<!NO )(?<!NON-)" + re.escape(word.upper()) + r"(?![A-Z])")
    return re.compile(r"(?<![无非未])" + body + r"(?!按钮|控制器|系统|装置|探测器|显示盘|灯|键)")


def _squeeze(text: str) -> str:
    return _BLANK.sub("", text).upper()


def _slug(text: str) -> str:
    return _BLANK.sub("_", text.strip()).replace("/", "_").replace("*", "_")[:POINT_CHARS_MAX]
