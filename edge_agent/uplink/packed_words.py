"""Numbers, times, kinds and texts as packed frames write them (docs/packed.md). Pure."""

import re
import struct
from typing import Final

TEXT_BYTES_MAX: Final = 200

_CLOCK: Final = struct.Struct(">IH")  # seconds since 1970 (UTC), milliseconds
_OTHER_KIND = 127
KIND_CODES: Final = {
    "fire": 16, "fire_manual": 17, "unknown": 18, "prealarm": 19, "gas": 20, "electrical": 21, "supervisory": 22,
    "fault": 32, "disabled": 33, "mains_fault": 34, "battery_fault": 35, "tamper": 36, "link": 37, "store": 38, "worker": 39,
}  # fmt: skip
_KIND_NAMES: Final = {code: kind for kind, code in KIND_CODES.items()}

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789-_./"  # 40: three of them fit two bytes
_DIGITS: Final = {c: i for i, c in enumerate(_ALPHABET)}
_PLAIN, _FORTY, _TAGGED_HEX = 0, 1, 2  # how a text is written
_TAGGED: Final = re.compile(r"[a-z]-(?:[0-9a-f]{2}){1,12}")  # an epoch of the journal: v-3f2a91c07d4e


class Before:
    """What the entry before said: times, points and ids of one frame look alike."""

    __slots__ = ("id_head", "point", "wall_s")

    def __init__(self) -> None:
        self.wall_s: int | None = None
        self.point = ""
        self.id_head: tuple[str, int] | None = None


def put(out: bytearray, value: int) -> None:
    """A whole number, seven bits a byte, low ones first."""
    if value < 0:
        raise ValueError("negative")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_time(out: bytearray, wall_s: int, before: Before) -> None:
    """Seconds since 1970: whole at first, then the difference to the entry before."""
    wall_s = min(max(wall_s, 0), 2**32 - 1)
    if before.wall_s is None:
        out += wall_s.to_bytes(4, "big")
    else:
        delta = wall_s - before.wall_s
        put(out, delta << 1 if delta >= 0 else -delta * 2 - 1)
    before.wall_s = wall_s


def put_clock(out: bytearray, wall_ms: int | None) -> None:
    """A moment to the millisecond; nothing for None."""
    if wall_ms is not None:
        out += _CLOCK.pack(min(wall_ms // 1000, 2**32 - 1), wall_ms % 1000)


def put_kind(out: bytearray, kind: str) -> None:
    """A kind of event: its code, or its name."""
    code = KIND_CODES.get(kind, _OTHER_KIND)
    out.append(code)
    if code == _OTHER_KIND:
        put_text(out, kind)


def put_text(out: bytearray, text: str) -> None:
    """A text in the shortest of three ways; what is longer than TEXT_BYTES_MAX is cut."""
    if _TAGGED.fullmatch(text):
        raw = bytes.fromhex(text[2:])
        put(out, len(raw) << 2 | _TAGGED_HEX)
        out.append(ord(text[0]))
        out += raw
        return
    if len(text) <= TEXT_BYTES_MAX and all(c in _DIGITS for c in text):
        put(out, len(text) << 2 | _FORTY)
        out += _forty(text)
        return
    raw = text.encode("utf-8", "replace")[:TEXT_BYTES_MAX].decode("utf-8", "ignore").encode()
    put(out, len(raw) << 2 | _PLAIN)
    out += raw


def _forty(text: str) -> bytes:
    out = bytearray()
    for at in range(0, len(text), 3):
        part = text[at : at + 3]
        value = 0
        for c in part:
            value = value * 40 + _DIGITS[c]
        out += value.to_bytes(1 if len(part) == 1 else 2, "big")
    return bytes(out)


class Reader:
    """Takes bytes off a body. Every method raises ValueError at its end."""

    __slots__ = ("_at", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._raw) - self._at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise ValueError("cut short")
        self._at += count
        return self._raw[self._at - count : self._at]

    def byte(self) -> int:
        """The next one."""
        return self.take(1)[0]

    def number(self, high: int) -> int:
        """A whole number of at most `high`."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if value > high or shift > 56:
                raise ValueError("a number is too high")
            if byte < 0x80:
                return value
            shift += 7

    def time(self, before: Before) -> int:
        """Seconds since 1970; `before` remembers them."""
        if before.wall_s is None:
            wall_s = int.from_bytes(self.take(4), "big")
        else:
            coded = self.number(2**34)
            wall_s = before.wall_s + (-(coded + 1 >> 1) if coded & 1 else coded >> 1)
            if not 0 <= wall_s < 2**32:
                raise ValueError("time")
        before.wall_s = wall_s
        return wall_s

    def clock(self) -> int:
        """Milliseconds since 1970."""
        seconds, ms = _CLOCK.unpack(self.take(_CLOCK.size))
        if ms > 999:
            raise ValueError("milliseconds")
        return int(seconds) * 1000 + int(ms)

    def kind(self, code: int) -> str:
        """The kind of this code, or the name that follows."""
        if code == _OTHER_KIND:
            return self.text()
        if code not in _KIND_NAMES:
            raise ValueError(f"kind {code}")
        return _KIND_NAMES[code]

    def text(self) -> str:
        """What `put_text` wrote."""
        head = self.number(TEXT_BYTES_MAX << 2 | 3)
        length, coding = head >> 2, head & 3
        if coding == _PLAIN:
            return self.take(length).decode("utf-8")  # UnicodeDecodeError is a ValueError
        if coding == _TAGGED_HEX:
            letter = chr(self.byte())
            return f"{letter}-{self.take(length).hex()}"
        if coding == _FORTY:
            return "".join(self._three(min(3, length - at)) for at in range(0, length, 3))
        raise ValueError("coding of a text")

    def _three(self, count: int) -> str:
        value = int.from_bytes(self.take(1 if count == 1 else 2), "big")
        if value >= 40**count:
            raise ValueError("no letters")
        return "".join(_ALPHABET[value // 40**place % 40] for place in reversed(range(count)))
