"""Chinese text as panels send it: GBK on printer ports, row-and-cell numbers (区位码) on serial ones."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from drivers.codecs.base import bcd

# Words that make an alarm of text nobody can parse. Only what means fire: 报警 is in the names of call points and sounders.
FIRE_WORDS: Final = ("火警", "首警", "首次火", "火情", "着火", "起火", "发生火灾")
_ENCODINGS: Final = ("gb18030", "utf-8")
# 火灾报警 is an event on some panels and the name of a thing on all: 火灾报警控制器 stands in every title.
_NAMED_BY_FIRE: Final = ("控制器", "系统", "装置", "探测器", "按钮", "显示盘", "联动")
# In English the name of a thing is let off only with a word that calms, for "FIRE PUMP ROOM" may be a fire in a pump room.
_CALMED_THING: Final = (
    rb" (?:DOOR|DAMPER|SHUTTER|PUMP|HYDRANT|LIFT|BELL|VALVE)S?\b[^\n]*\b(?:NORMAL|CLOSED|READY|OK|RESTORED)\b"
)
_ENGLISH: Final = (
    rb"FIRE(?!MAN|FIGHT|PROOF| ALARM CONTROL(?:LER| PANEL| UNIT)(?! ROOM)|" + _CALMED_THING + rb")",
    rb"(?<!PRE)(?<!PRE[ -])(?<!NO )(?<!FIRE )ALARM(?!S? ?(?:SILENC|RESET|CLEARED|RESTORED)|" + _CALMED_THING + rb")",
)
# 火警 (BB F0 BE AF, E7 81 AB E8 AD A6) with a byte lost or spoilt, in the ways that make no other text: 主机警告 and
# 灭火动作 are near.
_TORN: Final = (
    rb"\xf0\xbe\xaf",
    rb"\xbb[\x00-\x3f\x50\xb0\xd0\xe0\xf1\xf2\xf4\xf8]\xbe\xaf",
    rb"\xbb\xf0[\x00-\x3f\x9e\xae\xfe]?\xaf",
    rb"\xbb\xf0\xbe(?![\x40-\xfe])",
    rb"\xe7\x81\xab\xe8\xad",
    rb"\x81\xab\xe8\xad\xa6",
)
_CONTROL: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_PRINTER_COMMAND: Final = re.compile(rb"[\x1b\x1c\x1d].", re.DOTALL)  # ESC, FS or GS and the letter of the command


def panel_time(groups: Mapping[str, str]) -> str:
    """A panel's own time out of year, month, day, hour, minute, second and half (A or P), as "2026-11-26 14:30:15"; "" without
    a whole date. A panel whose clock was never set says so too: it is told as it is.
    """
    try:
        year, month, day = int(groups["year"]), int(groups["month"]), int(groups["day"])
        hour, minute = int(groups["hour"]), int(groups["minute"])
    except (KeyError, ValueError):
        return ""
    if half := groups.get("half", "").upper()[:1]:
        hour = hour % 12 + (12 if half == "P" else 0)
    shown = f"{year + 2000 if year < 100 else year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}"
    return f"{shown}:{int(groups['second']):02d}" if groups.get("second", "").isdecimal() else shown


def decode_gbk(raw: bytes) -> tuple[str, bool]:
    """Text of `raw` as gb18030 without control characters, '?' for what is none; and whether every byte was good."""
    text = raw.decode("gb18030", "replace")
    clean = _CONTROL.sub("", text)
    return clean.replace("\ufffd", "?"), "\ufffd" not in clean


def strip_commands(raw: bytes, sequences: Iterable[bytes]) -> bytes:
    """`raw` without printer commands: the profile's whole `sequences` first, then any two-byte ESC, FS or GS command."""
    for sequence in sequences:
        raw = raw.replace(sequence, b"")
    return _PRINTER_COMMAND.sub(b"", raw)


class Smell:
    """Tells whether bytes speak of fire, in GBK, UTF-8 or ASCII of any case. `words` are those of the site besides ours."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        forms = {word.encode(encoding).upper() for word in (*FIRE_WORDS, *words) for encoding in _ENCODINGS}
        patterns = [*map(re.escape, sorted(forms)), *_TORN, *_ENGLISH]
        for encoding in _ENCODINGS:
            names = b"|".join(re.escape(name.encode(encoding).upper()) for name in _NAMED_BY_FIRE)
            patterns.append(re.escape("火灾报警".encode(encoding).upper()) + b"(?!" + names + b")")
        self._any = re.compile(b"|".join(patterns))

    def of(self, raw: bytes) -> bool:
        """Whether `raw` holds one of the words, or 火警 with a byte torn. Byte-wise, so a torn character before it hides none."""
        return self._any.search(raw.upper()) is not None  # the forms were raised alike

    def of_text(self, text: str) -> bool:
        """Whether `text` holds one of the words."""
        return self.of(text.encode("gb18030", "replace"))


@lru_cache(maxsize=64)  # the GST bus says every frame three times
def decode_quwei(raw: bytes) -> tuple[str, bool]:
    """Text of two-byte characters, each 00 and ASCII or row and cell in BCD; FF FF and 00 00 are blanks.

    '?' for what is none; the second value says whether every character was good. An odd last byte is not good.
    Source: GST floor display captures; GB 2312 byte = A0H + row, A0H + cell.
    """
    text, good = "", len(raw) % 2 == 0
    for at in range(0, len(raw) - 1, 2):
        high, low = raw[at], raw[at + 1]
        if (high, low) in ((0xFF, 0xFF), (0, 0)):
            text += " "
        elif high == 0 and 0x20 <= low < 0x7F:
            text += chr(low)
        elif (row := bcd(high)) and (cell := bcd(low)) and row <= 94 and cell <= 94:
            character = bytes((0xA0 + row, 0xA0 + cell)).decode("gb2312", "replace")
            good = good and character != "\ufffd"
            text += "?" if character == "\ufffd" else character
        else:
            text += "?"
            good = False
    return text.strip(), good
