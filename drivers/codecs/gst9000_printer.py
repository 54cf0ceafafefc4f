"""Printer ports that print a record as lines: time, address, event word, location, device type, blank line.

Made for the GST9000 (海湾, ESC/P, GBK) and told what to read by its profile, so a like printer needs no code. Lines are
matched as text, never by column: the published rule "bytes 35-38 are the fire mark" loses every fire after the first.
Source: published article with three records (first fire, subsequent fire, system reset), bingoex.cn/news/119.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from drivers.codecs.base import Codec, Step
from drivers.codecs.text import Smell, decode_gbk, panel_time, strip_commands
from drivers.vocabulary import ENDS

LINE_BYTES_MAX: Final = 256
RECORD_BYTES_MAX: Final = 1536
RECORD_LINES_MAX: Final = 16
TEXTS_AFTER_EVENT: Final = 2  # location, device type
BLANKS_BEFORE_EVENT_MAX: Final = 2
PRINTABLE_SHARE: Final = 0.7  # below it, lines are noise rather than text
_BLANK: Final = re.compile(r"\s+")
_TAKES_BACK: Final = ("恢复", "撤销", "消除", "解除", "取消", "结束", "RESTORE", "CLEAR")
_TAKEN_BACK: Final = re.compile(r"已?(?:恢复|撤销|撤消|消除|解除|取消)|[:-]?(?:RESTORED?|CLEARED)")
# 手动报警按钮, 隔离器, 复位按钮: the line is the name of a device, not an event. With more behind it, it may be one.
_DEVICE: Final = re.compile(r"(?:按钮|开关|模块|装置|控制器|显示盘|电话|广播|器|盘|铃|阀|柜|箱)[\W\dA-Z_]*")
_FIRE_EVENTS: Final = frozenset({"fire", "fire_manual", "unknown"})  # loud already: more fire words add nothing


@dataclass(frozen=True, slots=True)
class Word:
    """What an event word means. `first_fire` None: the word says nothing of it."""

    event: str
    first_fire: bool | None = None


@dataclass(slots=True)
class _Record:
    lines: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # stripped, without blank lines
    good: bool = True
    time: str = ""
    at: str = ""  # the same as date and time
    address: dict[str, object] = field(default_factory=dict)
    blanks: int = 0
    event: Word | None = None
    event_text: str = ""
    before: list[str] = field(default_factory=list)  # lines ahead of the event word that nothing explains
    after: list[str] = field(default_factory=list)

    @property
    def raw(self) -> bytes:
        return b"".join(self.lines)

    def is_full(self, more_bytes: int) -> bool:
        return len(self.lines) >= RECORD_LINES_MAX or len(self.raw) + more_bytes > RECORD_BYTES_MAX


class LinePrinter(Codec):
    """`words`: event text -> meaning. `address`: field names and separators, "loop-point". `time`: like "MM/DD/YY HH:MM".

    `strip`: printer commands longer than two bytes. `idle_s`: a pause this long ends a record.
    """

    name: ClassVar[str] = "gst9000-printer"
    shown: ClassVar[tuple[str, ...]] = (
        "panel_time_text",
        "loop",
        "point",
        "event_text",
        "location_text",
        "device_type_text",
    )

    def __init__(
        self,
        *,
        words: Mapping[str, Word],
        address: str = "loop-point",
        time: str = "MM/DD/YY HH:MM",
        strip: Iterable[bytes] = (),
        fire_words: Iterable[str] = (),
        manual_texts: Sequence[str] = (),
        idle_s: float = 1.0,
    ) -> None:
        super().__init__()
        self.quiet_s = idle_s
        self._words = {_squeeze(text): word for text, word in words.items()}
        self._by_length = sorted(self._words, key=len, reverse=True)
        self._address = _address_pattern(address)
        self._time = _time_pattern(time)
        self._strip = tuple(strip)
        self._smell = Smell(fire_words)
        self._manual_texts = tuple(manual_texts)
        self._record = _Record()

    # -- lines ---------------------------------------------------------------------------------------------------
    def _next(self, final: bool) -> Step | None:
        end = self._buf.find(b"\n", 0, LINE_BYTES_MAX)
        if end < 0 and len(self._buf) < LINE_BYTES_MAX and not final:
            return None
        size = end + 1 if end >= 0 else min(len(self._buf), LINE_BYTES_MAX)
        raw = bytes(self._buf[:size])
        text, good = decode_gbk(strip_commands(raw, self._strip).rstrip(b"\r\n"))
        text = text.strip()
        record = self._record
        starts = self._time.fullmatch(text)
        if record.texts and (starts is not None or record.is_full(size) or self._begins_another(text)):
            return self._close()  # takes nothing: the line is looked at again with an empty record
        if not text:
            return self._blank(raw, size)
        self._record.lines.append(raw)
        self._record.texts.append(text)
        self._record.good &= good
        if starts is not None:
            record.time, record.at = text, panel_time(starts.groupdict())
        elif record.event is not None:
            record.after.append(text)
        elif not record.address and (found := self._address.fullmatch(text)):
            record.address = {name: int(value) for name, value in found.groupdict().items()}
        elif word := self._match(text, exact=bool(record.before)):
            record.event, record.event_text = word, text
        else:
            record.before.append(text)
        if len(record.after) >= TEXTS_AFTER_EVENT:
            return self._close(size)
        return Step(size=size, held=True)

    def _blank(self, raw: bytes, size: int) -> Step:
        record = self._record
        if not record.texts:
            return Step(size=size, held=True)  # paper feed
        record.lines.append(raw)
        record.blanks += 1
        # The address line of a panel's own event is blank, so one blank before the event word ends nothing.
        if record.event is not None or record.before or record.blanks > BLANKS_BEFORE_EVENT_MAX:
            return self._close(size)
        return Step(size=size, held=True)

    def _begins_another(self, text: str) -> bool:
        """Whether `text` cannot belong to the open record: its event is known, and here is an address or event again."""
        known = self._record.event is not None
        return known and (self._address.fullmatch(text) is not None or _squeeze(text) in self._words)

    def _match(self, text: str, *, exact: bool) -> Word | None:
        squeezed = _squeeze(text)
        if (word := self._words.get(squeezed)) is not None or exact:
            return word
        for start in self._by_length:
            if squeezed.startswith(start):
                word, rest = self._words[start], squeezed[len(start) :]
                # "故障火警", "火警恢复?", "屏蔽已解除": the start of the line does not say what the rest takes back or adds.
                if word.event in ENDS and _TAKEN_BACK.fullmatch(rest):
                    return Word(ENDS[word.event])  # 手动火警恢复
                back = any(back in rest for back in _TAKES_BACK) and not any(back in start for back in _TAKES_BACK)
                adds = word.event not in _FIRE_EVENTS and self._smell.of_text(rest)
                return None if back or adds or _DEVICE.fullmatch(rest) else word
        return None

    # -- records -------------------------------------------------------------------------------------------------
    def _finish(self) -> Iterable[Step]:
        if self._record.texts:
            yield self._close()

    def _close(self, size: int = 0) -> Step:
        record, self._record = self._record, _Record()
        fields: dict[str, object] = {}
        if record.time:
            fields["panel_time_text"] = record.time
            fields |= {"time": record.at} if record.at else {}
        fields |= record.address
        if not record.good:
            fields["text_raw"] = record.raw.hex()
        before = "\n".join(record.before)
        if record.event is None or (record.event.event not in _FIRE_EVENTS and self._smell.of_text(before)):
            return self._unparsed(record, fields, size)
        head: dict[str, object] = {"kind": "event", "event": record.event.event}
        if record.event.first_fire is not None:
            head["first_fire"] = record.event.first_fire
        fields["event_text"] = record.event_text
        for name, text in zip(("location_text", "device_type_text"), record.after, strict=False):
            fields[name] = text
        if record.event.event == "fire" and any(
            mark in text for mark in self._manual_texts for text in record.after[1:]
        ):
            fields["manual"] = True
        return Step(size=size, fields=head | fields, raw=record.raw)

    def _unparsed(self, record: _Record, fields: dict[str, object], size: int) -> Step:
        fields["text"] = "\n".join(record.texts)
        smells = self._smell.of(record.raw) or self._smell.of(strip_commands(record.raw, self._strip))
        if smells:
            return Step(size=size, fields={"kind": "unknown", "event": "unknown", **fields}, raw=record.raw)
        shown = [c for text in record.texts for c in text]
        readable = sum(c.isprintable() and c != "?" for c in shown) >= PRINTABLE_SHARE * len(shown)
        why = "unparsed" if readable else "noise"
        return Step(size=size, refused=why, fields=fields, sound=readable, raw=record.raw)

    def _held_more(self) -> int:
        return len(self._record.raw)


def _squeeze(text: str) -> str:
    return _BLANK.sub("", text).upper()


def _address_pattern(form: str) -> re.Pattern[str]:
    """A pattern for "loop-point" and the like: names become 1 to 5 digits, the rest stands for itself."""
    parts = re.split(r"([a-z_]+)", form)
    return re.compile("".join(rf"(?P<{p}>\d{{1,5}})" if i % 2 else re.escape(p) for i, p in enumerate(parts)))


def _time_pattern(form: str) -> re.Pattern[str]:
    """A pattern for "MM/DD/YY HH:MM": letters become that many digits, a blank any blanks, the rest stands for itself.

    Y, D, H and S name a group; M is the month, behind H the minute.
    """
    parts, named = [], set[str]()
    for part in re.split(r"([A-Za-z]+|\s+)", form):
        name = _TIME_LETTERS.get(part[:1].upper(), "") if part.isalpha() else ""
        if name == "month" and "hour" in named:
            name = "minute"
        if part.isalpha():
            digits = rf"\d{{{len(part)}}}"
            parts.append(f"(?P<{name}>{digits})" if name and name not in named else digits)
            named.add(name)
        else:
            parts.append(r"\s+" if part.isspace() else re.escape(part))
    return re.compile("".join(parts))


_TIME_LETTERS: Final = {"Y": "year", "M": "month", "D": "day", "H": "hour", "S": "second"}
