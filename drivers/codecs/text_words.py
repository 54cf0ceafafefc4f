"""What single lines of text say: full-width letters, lines that deny or count to none, words that are taken back, places. Pure."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.vocabulary import ENDS, PANEL_EVENTS

# Whole bytes of UTF-8 Chinese: a GBK line is never that, unless every character of it begins with E2..EF, the rarest rows.
_UTF8: Final = re.compile(rb"(?:[\x00-\x7f]|[\xe2-\xef][\x80-\xbf]{2})*")
_HALF_WIDTH: Final = {0x3000: " ", **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)}}
_NOT_A_COUNT: Final = r"(?!\s?[\d:\-/#回号楼层区路栋])"  # 火警:001-002 and 火警:0号楼 are places
# Status lines. Never a word with something behind it that could be a place: louder is right.
_CALM: Final = re.compile(
    r"(?:^|[:;,.] ?)NO (?:FIRE ALARMS?|FIRES?|ALARMS?)(?![A-Z])"
    r"|(?:无|没有|未发生)\s?(?:火警|火灾报警|火灾|报警)"
    r"|(?:火警|火灾报警|报警|FIRES?|FIRE ALARMS?|ALARMS?)\s?(?:总数|数量|个数|数|COUNT)?\s?[:=]\s?0+"
    + _NOT_A_COUNT
    + r"|火警(?:总数|数量|个数|数)\s?0+"
    + _NOT_A_COUNT
    + r"|FIRE ALARM CONTROL(?:LER| PANEL| UNIT)(?! ROOM)",  # the title of every printout
    re.MULTILINE,
)
_NOT_A_ROOM: Final = (
    r"(?!室|科|病|区|间|站|处|库|房|中心|大厅|楼)"  # 火警 恢复室: a fire in the recovery room of a hospital
)
_TAKEN_BACK: Final = re.compile(
    r"\s{0,2}(?:信号|状态|报警)?\s{0,2}(?:已|被|全部){0,2}(?:恢复|撤销|撤消|消除|解除|取消|结束|排除|清除)"
    + _NOT_A_ROOM
    + r"|[ :-]{1,2}(?:IS |HAS BEEN |SELF[ -])?(?:RESTORED?|CLEARED|CLR|RST)(?![A-Z])"
)
# The ways panels write where something is, tried in this order on text no pattern fits.
_ADDRESSES: Final = (
    re.compile(r"N(?P<panel>\d{1,3})L(?P<loop>\d{1,3})[DM](?P<point>\d{1,3})"),
    re.compile(r"(?<![\dA-Z])L(?P<loop>\d{1,3})\s?[DM](?P<point>\d{1,3})"),
    re.compile(r"(?<![\dA-Z])(?P<loop>\d{2})[DM](?P<point>\d{3})(?![\dA-Z])"),
    re.compile(r"(?P<loop>\d{1,3})\s*(?:回路|回路号)\D{0,4}(?P<point>\d{1,4})\s*(?:号|点|编码|地址)"),
    re.compile(r"回路\s*[:号]?\s*(?P<loop>\d{1,3})\D{1,8}?(?P<point>\d{1,4})"),
    # not a date: 11-26 10:00
    re.compile(r"(?<![\d:/.-])(?P<loop>\d{1,3})-(?P<point>\d{1,4})(?![\d:/.-])(?!\s+\d{1,2}:\d\d)"),
    re.compile(r"(?:(?<![A-Z])ZONE|分区|区域)\s?[:#]?\s?(?P<zone>\d{1,4})"),
)
_LOUD: Final = frozenset({"fire", "fire_manual", "unknown", "gas_alarm", "electrical_alarm"})


@dataclass(frozen=True, slots=True)
class Said:
    """A word found in a line: what it means, and what the line says besides."""

    event: str
    rest: str


def either_encoding(raw: bytes) -> str:
    """Text of a line that is UTF-8 or GB 18030, nobody has said which."""
    encoding = "utf-8" if not raw.isascii() and _UTF8.fullmatch(raw) else "gb18030"
    return raw.decode(encoding, "replace")


def plain(text: str) -> str:
    """`text` for searching: capitals, full-width letters and digits made half-width."""
    return text.translate(_HALF_WIDTH).upper()


def alarming(text: str) -> str:
    """Plain `text` without what says that there is no fire: 无火警, 火警:0, NO FIRE ALARM, and the title of the panel."""
    return _CALM.sub(" ", text)


def taken_back(event: str, text: str, at: int) -> str:
    """What `event`, a word that ends at `at` of plain `text`, comes to with what is behind it: "火警已解除" ends a fire."""
    return ENDS[event] if event in ENDS and _TAKEN_BACK.match(text, at) is not None else event


def address(text: str) -> dict[str, object]:
    """Panel, loop and point of plain `text` in the first of the usual notations; empty where there is none."""
    for form in _ADDRESSES:
        if (found := form.search(text)) is not None:
            return {name: int(value) for name, value in found.groupdict().items() if value is not None}
    return {}


class Words:
    """`events`: word -> event. The longest word of a line counts; of two as long, the first."""

    def __init__(self, events: Mapping[str, str]) -> None:
        self._found = [
            (_sign(word), word, event) for word, event in sorted(events.items(), key=lambda one: -len(one[0]))
        ]

    def of(self, line: str) -> Said | None:
        """What a plain line says. "火警已解除" and "FAULT CLEARED" end what their word began."""
        for sign, word, event in self._found:
            if sign in line and (found := _finder(word, event in ENDS).search(line)) is not None:
                back = _TAKEN_BACK.match(line, found.end()) if event in ENDS else None
                rest = f"{line[: found.start()]} {line[back.end() if back else found.end() :]}"
                return Said(ENDS[event] if back else event, rest)
        return None

    def pieces(self, lines: Sequence[str]) -> list[tuple[int, int, Said]]:
        """The plain lines of one record by what they tell of: (first, end, said) for each, the first takes what nobody else does.

        Panels print line after line without a blank between them: a line whose word has a place of its own is an event
        of its own. A word alone behind one is more about the same (首次火警, its place, 手动报警), but one that can only be about
        the whole panel (SYSTEM RESET behind a fault): that is an event of its own, unless an alarm stands in the record, for a
        footer that speaks of 复位 must not end it.
        """
        hits = [(number, said) for number, line in enumerate(lines) if (said := self.of(line)) is not None]
        if any(said.event != "unknown" for _, said in hits):  # 报警 may be what a device is called
            hits = [(n, said) for n, said in hits if said.event != "unknown" or address(lines[n])]
        if not hits:
            return []
        first = hits[0][0]
        above = bool(address("\n".join(lines[:first]))) and not address(lines[first])
        if above:  # each place stands over its word
            ends = [number + 1 for number, _ in hits[:-1]] + [len(lines)]
            starts = [0, *ends[:-1]]
        else:
            starts = [0] + [number for number, _ in hits[1:]]
            ends = [*starts[1:], len(lines)]
        cut = [(start, end, said) for start, end, (_, said) in zip(starts, ends, hits, strict=True)]
        told = [cut[0]]
        seen = [(cut[0][2].event, address("\n".join(lines[: cut[0][1]])))]
        for start, end, said in cut[1:]:
            key = (said.event, address("\n".join(lines[start:end])))
            of_the_panel = said.event in PANEL_EVENTS and not any(one.event in _LOUD for _, one in hits)
            if (key[1] or of_the_panel) and key not in seen:
                told.append((start, end, said))
                seen.append(key)
        return told if len(told) > 1 else [(0, len(lines), cut[0][2])]


def _sign(word: str) -> str:
    """What stands in every plain line that has `word`: to look for it is a tenth of the work of looking for the word."""
    return word.upper() if word.isascii() else word.upper().lstrip()[:1]


@functools.cache
def _finder(word: str, begins: bool) -> re.Pattern[str]:
    """Finds a word in a plain line: not inside another word, not denied, not in the name of a thing. Most are never needed."""
    if word.isascii():
        return re.compile(r"(?<![A-Z])(?<!NO )(?<!NON-)" + re.escape(word.upper()) + r"(?![A-Z])")
    room = "" if begins else _NOT_A_ROOM
    body = r"\s*".join(re.escape(c) for c in word.upper() if not c.isspace())
    return re.compile(
        r"(?<![无非未])(?<!声光)"
        + body
        + r"(?!按钮|控制器|系统|装置|探测器|显示盘|灯|键|器|主机|阀|铃|记录|历史)"
        + room
    )
