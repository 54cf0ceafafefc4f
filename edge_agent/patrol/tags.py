"""Which tag hangs at which patrol point: by configuration, or learned on site. Pure rules."""

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edge_agent.config.model import PatrolPoint
from edge_agent.points.state import Latches, read_piece

KEY = "pa:t:"
UNKNOWN_MAX = 64  # tags nobody knows, the newest kept
SHORT: Final = 6  # hex digits of a tag without its first byte


_PRINTED: Final = re.compile(r"(\d{1,3}),(\d{1,5})", re.ASCII)


def tag_of(written: str) -> str:
    """A tag as the readers give it: capital hex digits. Ten decimal digits are what is printed on a 125 kHz tag, "134,62532" is
    printed beside them and lacks the first byte of its four.
    """
    if (found := _PRINTED.fullmatch(written)) and int(found[1]) <= 0xFF and int(found[2]) <= 0xFFFF:
        return f"{int(found[1]):02X}{int(found[2]):04X}"
    if len(written) == 10 and written.isdecimal() and int(written) <= 0xFFFF_FFFF:
        return f"{int(written):08X}"
    return written.upper()


@dataclass(slots=True)
class Unknown:
    """A tag of no point: how often, last when and where."""

    count: int
    at_ns: int
    reader: str


class TagInUse(Exception):
    """The tag hangs elsewhere: `point`."""

    def __init__(self, point: str) -> None:
        super().__init__(point)
        self.point = point


def _named(known: Mapping[str, str], tag: str) -> str | None:
    """The point of a tag, also where one of the two forms lacks the first byte."""
    if tag in known:
        return known[tag]
    if len(tag) == SHORT:
        return next((point for other, point in known.items() if len(other) == SHORT + 2 and other.endswith(tag)), None)
    return known.get(tag[2:]) if len(tag) == SHORT + 2 else None


class Tags:
    """All tags of the site."""

    def __init__(self, points: Iterable[PatrolPoint], latches: Latches) -> None:
        self._latches = latches
        self.points = {point.id: point for point in points}
        self._fixed = {tag_of(point.tag): point.id for point in self.points.values() if point.tag}
        self._learned: dict[str, str] = {}  # tag -> point
        self.unknown: OrderedDict[str, Unknown] = OrderedDict()
        self.unknown_reads = 0

    def point_of(self, tag: str) -> str | None:
        """Where a tag hangs."""
        return _named(self._fixed, tag) or _named(self._learned, tag)

    def tag_at(self, point: str) -> tuple[str, bool]:
        """The tag of a point, "" if it has none, and whether it was learned."""
        for known, learned in ((self._fixed, False), (self._learned, True)):
            for tag, where in known.items():
                if where == point:
                    return tag, learned
        return "", False

    def is_fixed(self, point: str) -> bool:
        """Whether the configuration says which tag hangs there."""
        return point in self._fixed.values()

    def learn(self, point: str, tag: str) -> None:
        """This tag hangs there from now on, and what hung there before does not. Raise TagInUse."""
        if (other := self.point_of(tag)) is not None and other != point:
            raise TagInUse(other)
        self.forget(point)
        self._learned[tag] = point
        self.unknown.pop(tag, None)
        self._latches.put(KEY + point, {"tag": tag})

    def forget(self, point: str) -> bool:
        """Unlearn the tag of a point; return whether there was one."""
        known = [tag for tag, where in self._learned.items() if where == point]
        for tag in known:
            del self._learned[tag]
            self._latches.put(KEY + point, None)
        return bool(known)

    def saw_unknown(self, tag: str, reader: str, at_ns: int) -> bool:
        """A tag of no point was read; return whether it is a new one."""
        self.unknown_reads += 1
        known = self.unknown.pop(tag, None)
        self.unknown[tag] = Unknown((known.count if known else 0) + 1, at_ns, reader)
        if len(self.unknown) > UNKNOWN_MAX:
            self.unknown.popitem(last=False)
        return known is None

    def restore(self, state: Mapping[str, bytes], known: Collection[str]) -> None:
        """Take back what was learned; of points that are `known` no more it is forgotten."""
        for key, body in state.items():
            if not key.startswith(KEY):
                continue
            point, piece = key.removeprefix(KEY), read_piece(body) or {}
            tag = piece.get("tag")
            if point not in known or not isinstance(tag, str):
                self._latches.put(key, None)
            elif tag not in self._fixed and not self.is_fixed(point):  # the configuration has the last word
                self._learned[tag] = point
