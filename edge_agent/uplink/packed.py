"""Packed frames: alarms and faults in brief for a link that carries few bytes (docs/packed.md). Pure.

A frame is one datagram of at most 512 bytes. Nothing in it leans on an earlier one, so a centre that has just started reads
the first that comes. Anything damaged, foreign or forged raises ValueError.
"""

import enum
import hashlib
import hmac
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from buffer.records import Priority

VERSION: Final = 1
FRAME_BYTES_MAX: Final = 512
MAC_BYTES: Final = 8
MISSING_MAX: Final = 16  # ranges of one ACK; it speaks of no number beyond them
GROUPS_MAX: Final = 8  # of one summary
TEXT_BYTES_MAX: Final = 200
SPAN_MAX: Final = 1_000_000  # numbers one entry may stand for
N_MAX: Final = 2**53

_HEAD: Final = struct.Struct(">B4sI")  # version and type, gateway tag, sequence
HEAD_BYTES: Final = _HEAD.size
_CLOCK: Final = struct.Struct(">IH")  # seconds since 1970 (UTC), milliseconds
_STREAMS: Final = (Priority.ALARM, Priority.FAULT)
_REPLAY, _DUP, _HAS_CLOCK = 0x10, 0x20, 0x40
CLOCKS: Final = ("synced", "holdover", "unset")
WHYS: Final = ("other", "gone", "refused")

_GAP, _OPAQUE, _SUMMARY, _OTHER_KIND = 0, 1, 2, 127
KIND_CODES: Final = {
    "fire": 16, "fire_manual": 17, "unknown": 18, "prealarm": 19, "gas": 20, "electrical": 21, "supervisory": 22,
    "fault": 32, "disabled": 33, "mains_fault": 34, "battery_fault": 35, "tamper": 36, "link": 37, "store": 38, "worker": 39,
}  # fmt: skip
_KIND_NAMES: Final = {code: kind for kind, code in KIND_CODES.items()}

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789-_./"  # 40: three of them fit two bytes
_DIGITS: Final = {c: i for i, c in enumerate(_ALPHABET)}
_PLAIN, _FORTY, _TAGGED_HEX = 0, 1, 2  # how a text is written
_TAGGED: Final = re.compile(r"[a-z]-(?:[0-9a-f]{2}){1,12}")  # an epoch of the journal: v-3f2a91c07d4e
_EVENT_ID: Final = re.compile(r"([0-9a-f]{12})-([1-9a-f][0-9a-f]{0,12}|0)-([1-9a-f][0-9a-f]{0,12}|0)")
_ID_NONE, _ID_WHOLE, _ID_SAME, _ID_TEXT = range(4)


class Type(enum.IntEnum):
    """What a frame is."""

    BRIEF = 1  # gateway: records in brief
    ACK = 2  # centre: what it has of a stream, in answer to the BRIEF of the same sequence
    ECHO = 3  # gateway: are you there?
    ECHO_REPLY = 4  # centre: yes, and what time it is


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefEvent:
    """One event as a person on duty needs it."""

    n: int
    kind: str
    active: bool
    grade: int  # 0-3
    wall_s: int  # UTC since 1970, 32 bits
    clock: str  # synced | holdover | unset
    event_id: str  # "" if it has none
    point: str


@dataclass(frozen=True, slots=True)
class Group:
    """So many events of one kind from one source, inside a summary."""

    kind: str
    active: bool
    source: str
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers first..last, counted instead of told one by one. The records themselves follow over another path."""

    first: int
    last: int
    wall_s: int  # of the last of them
    clock: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers that will never come."""

    first: int
    last: int
    why: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """Records that are no events: the journal's own word on what it lost."""

    first: int
    last: int


Entry = BriefEvent | Summary | Gap | Opaque


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """A BRIEF: consecutive numbers of one stream of one epoch."""

    epoch: str
    priority: Priority  # ALARM or FAULT
    first: int
    entries: tuple[Entry, ...]
    replay: bool = False
    dup: bool = False

    @property
    def last(self) -> int:
        """The last number it speaks of."""
        return _end(self.entries[-1]) if self.entries else self.first - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefAck:
    """An ACK: the centre has 1..through and through+1..high without `missing`, in brief or in full."""

    epoch: str
    priority: Priority
    through: int
    high: int
    missing: tuple[tuple[int, int], ...] = ()
    wall_ms: int | None = None  # the centre's clock


@dataclass(frozen=True, slots=True)
class Echo:
    """An ECHO, or with the centre's clock its reply."""

    reply: bool = False
    wall_ms: int | None = None


Body = Brief | BriefAck | Echo


def tag_of(gateway: str) -> bytes:
    """The 4 bytes a gateway is known by on this wire. Two may share them: the key decides."""
    return hashlib.sha256(gateway.encode()).digest()[:4]


def read_key(text: str) -> bytes:
    """The key in a key file. Raise ValueError, without showing it."""
    if not re.fullmatch(r"\s*[0-9A-Fa-f]{64}\s*", text):
        raise ValueError("not 64 hex digits")
    return bytes.fromhex(text.strip())


def seal(key: bytes, tag: bytes, sequence: int, body: Body) -> bytes:
    """The datagram. It is for the caller to see that it is not longer than FRAME_BYTES_MAX: nobody takes it then."""
    kind, payload = _encode(body)
    frame = _HEAD.pack(VERSION << 4 | kind, tag, sequence) + payload
    return frame + hmac.digest(key, frame, "sha256")[:MAC_BYTES]


def tag_in(frame: bytes) -> bytes:
    """Whose frame it says it is. Raise ValueError."""
    if not HEAD_BYTES + MAC_BYTES <= len(frame) <= FRAME_BYTES_MAX:
        raise ValueError("no frame by its length")
    return frame[1:5]


def unseal(key: bytes, frame: bytes) -> tuple[int, Body]:
    """Sequence and content of a frame of the key's owner. Raise ValueError unless it is sound and was made with this key."""
    tag_in(frame)
    signed, mac = frame[:-MAC_BYTES], frame[-MAC_BYTES:]
    if not hmac.compare_digest(hmac.digest(key, signed, "sha256")[:MAC_BYTES], mac):
        raise ValueError("not made with this key")
    first, _, sequence = _HEAD.unpack_from(signed)
    if first >> 4 != VERSION:
        raise ValueError(f"version {first >> 4}")
    return sequence, _decode(first & 0x0F, _Reader(signed[HEAD_BYTES:]))


# --- bodies -----------------------------------------------------------------------------------------------------------------


def _encode(body: Body) -> tuple[Type, bytes]:
    out = bytearray()
    if isinstance(body, Brief):
        out.append(_STREAMS.index(body.priority) | _REPLAY * body.replay | _DUP * body.dup)
        _put_text(out, body.epoch)
        _put(out, body.first)
        _put_entries(out, body.first, body.entries)
        return Type.BRIEF, bytes(out)
    if isinstance(body, BriefAck):
        out.append(_STREAMS.index(body.priority) | _HAS_CLOCK * (body.wall_ms is not None))
        _put_text(out, body.epoch)
        _put(out, body.through)
        _put(out, body.high - body.through)
        _put(out, len(body.missing))
        previous = body.through
        for first, last in body.missing:
            _put(out, first - previous)
            _put(out, last - first)
            previous = last
        _put_clock(out, body.wall_ms)
        return Type.ACK, bytes(out)
    _put_clock(out, body.wall_ms)
    return Type.ECHO_REPLY if body.reply else Type.ECHO, bytes(out)


def _decode(kind: int, rest: "_Reader") -> Body:
    body: Body
    if kind == Type.BRIEF:
        flags = rest.byte()
        epoch, first = rest.text(), rest.number(N_MAX)
        if not 0 < len(epoch) <= 64 or not epoch.isascii() or first < 1:
            raise ValueError("epoch or first")
        entries = tuple(_entries(rest, first))
        if not entries:
            raise ValueError("no records")
        body = Brief(
            epoch=epoch,
            priority=_stream(flags),
            first=first,
            entries=entries,
            replay=bool(flags & _REPLAY),
            dup=bool(flags & _DUP),
        )
    elif kind == Type.ACK:
        flags = rest.byte()
        epoch, through = rest.text(), rest.number(N_MAX)
        high = through + rest.number(N_MAX)
        missing, previous = [], through
        for _ in range(rest.number(MISSING_MAX)):
            first = previous + rest.number(N_MAX)
            last = first + rest.number(N_MAX)
            if first == previous or last > high:
                raise ValueError("missing ranges are not in order below high")
            missing.append((first, last))
            previous = last
        wall_ms = rest.clock() if flags & _HAS_CLOCK else None
        body = BriefAck(
            epoch=epoch, priority=_stream(flags), through=through, high=high, missing=tuple(missing), wall_ms=wall_ms
        )
    elif kind in (Type.ECHO, Type.ECHO_REPLY):
        body = Echo(kind == Type.ECHO_REPLY, rest.clock() if rest.left else None)
    else:
        raise ValueError(f"type {kind}")
    if rest.left:
        raise ValueError("bytes too many")
    return body


def _put_entries(out: bytearray, first: int, entries: Iterable[Entry]) -> None:
    expected, before = first, _Before()
    for entry in entries:
        if _start(entry) != expected or _end(entry) < expected:
            raise ValueError(f"entry {_start(entry)} where {expected} is expected")  # a bug of the caller's
        _put_entry(out, entry, before)
        expected = _end(entry) + 1


class _Before:
    """What the entry before said: times, points and ids of one frame look alike."""

    __slots__ = ("id_head", "point", "wall_s")

    def __init__(self) -> None:
        self.wall_s: int | None = None
        self.point = ""
        self.id_head: tuple[str, int] | None = None


def _put_entry(out: bytearray, entry: Entry, before: _Before) -> None:
    if isinstance(entry, Gap):
        out.append(_GAP)
        _put(out, entry.last - entry.first + 1)
        out.append(WHYS.index(entry.why) if entry.why in WHYS else 0)
    elif isinstance(entry, Opaque):
        out.append(_OPAQUE)
        _put(out, entry.last - entry.first + 1)
    elif isinstance(entry, Summary):
        out.append(_SUMMARY)
        _put(out, entry.last - entry.first + 1)
        out.append(CLOCKS.index(entry.clock))
        _put_time(out, entry.wall_s, before)
        out.append(len(entry.groups))
        for group in entry.groups:
            _put_kind(out, group.kind)
            _put(out, group.count << 1 | group.active)
            _put_text(out, group.source)
    else:
        _put_event(out, entry, before)


def _put_event(out: bytearray, event: BriefEvent, before: _Before) -> None:
    _put_kind(out, event.kind)
    shared = 0
    while shared < min(len(event.point), len(before.point)) and event.point[shared] == before.point[shared]:
        shared += 1
    shared = shared if shared > 2 else 0
    found = _EVENT_ID.fullmatch(event.event_id)
    head = (found[1], int(found[2], 16)) if found else None
    form = (
        _ID_NONE
        if not event.event_id
        else _ID_TEXT
        if head is None
        else _ID_SAME
        if head == before.id_head
        else _ID_WHOLE
    )
    out.append(event.active | min(event.grade, 3) << 1 | CLOCKS.index(event.clock) << 3 | form << 5 | bool(shared) << 7)
    _put_time(out, event.wall_s, before)
    if form == _ID_WHOLE and found and head:
        out += bytes.fromhex(head[0])
        _put(out, head[1])
    if form in (_ID_WHOLE, _ID_SAME) and found:
        _put(out, int(found[3], 16))
    elif form == _ID_TEXT:
        _put_text(out, event.event_id)
    if shared:
        _put(out, shared)
    _put_text(out, event.point[shared:])
    before.point, before.id_head = event.point, head or before.id_head


def _entries(rest: "_Reader", n: int) -> Iterable[Entry]:
    before = _Before()
    while rest.left:
        code = rest.byte()
        if code in (_GAP, _OPAQUE, _SUMMARY):
            last = n + rest.number(SPAN_MAX) - 1
            if last < n:
                raise ValueError("an entry of nothing")
            if code == _GAP:
                why = rest.byte()
                yield Gap(n, last, WHYS[why] if why < len(WHYS) else WHYS[0])
            elif code == _OPAQUE:
                yield Opaque(n, last)
            else:
                yield _summary(rest, n, last, before)
        else:
            yield _event(rest, code, n, before)
            last = n
        n = last + 1
        if n > N_MAX:
            raise ValueError("numbers too high")


def _summary(rest: "_Reader", first: int, last: int, before: _Before) -> Summary:
    clock, wall_s = _clock(rest.byte()), rest.time(before)
    groups: list[Group] = []
    for _ in range(rest.byte()):
        if len(groups) == GROUPS_MAX:
            raise ValueError("too many groups")
        kind, counted = rest.kind(rest.byte()), rest.number(SPAN_MAX * 2)
        groups.append(Group(kind, bool(counted & 1), rest.text(), counted >> 1))
    return Summary(first, last, wall_s, clock, tuple(groups))


def _event(rest: "_Reader", code: int, n: int, before: _Before) -> BriefEvent:
    kind, flags = rest.kind(code), rest.byte()
    form = flags >> 5 & 3
    clock, wall_s = _clock(flags >> 3 & 3), rest.time(before)
    event_id = ""
    if form == _ID_WHOLE:
        before.id_head = (rest.take(6).hex(), rest.number(2**52))
    if form in (_ID_WHOLE, _ID_SAME):
        if before.id_head is None:
            raise ValueError("an id like the one before, and none before")
        event_id = f"{before.id_head[0]}-{before.id_head[1]:x}-{rest.number(2**52):x}"
    elif form == _ID_TEXT:
        event_id = rest.text()
    shared = rest.number(TEXT_BYTES_MAX) if flags & 0x80 else 0
    if shared > len(before.point):
        raise ValueError("more shared than there is")
    before.point = point = before.point[:shared] + rest.text()
    if len(point) > TEXT_BYTES_MAX:
        raise ValueError("point is too long")
    return BriefEvent(
        n=n,
        kind=kind,
        active=bool(flags & 1),
        grade=flags >> 1 & 3,
        wall_s=wall_s,
        clock=clock,
        event_id=event_id,
        point=point,
    )


def _start(entry: Entry) -> int:
    return entry.n if isinstance(entry, BriefEvent) else entry.first


def _end(entry: Entry) -> int:
    return entry.n if isinstance(entry, BriefEvent) else entry.last


def _stream(flags: int) -> Priority:
    if flags & 0x0F >= len(_STREAMS):
        raise ValueError("stream")
    return _STREAMS[flags & 0x0F]


def _clock(code: int) -> str:
    if code >= len(CLOCKS):
        raise ValueError("clock")
    return CLOCKS[code]


# --- numbers and texts ------------------------------------------------------------------------------------------------------


def _put(out: bytearray, value: int) -> None:
    """A whole number, seven bits a byte, low ones first."""
    if value < 0:
        raise ValueError("negative")
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_time(out: bytearray, wall_s: int, before: _Before) -> None:
    wall_s = min(max(wall_s, 0), 2**32 - 1)
    if before.wall_s is None:
        out += wall_s.to_bytes(4, "big")
    else:
        delta = wall_s - before.wall_s
        _put(out, delta << 1 if delta >= 0 else -delta * 2 - 1)
    before.wall_s = wall_s


def _put_clock(out: bytearray, wall_ms: int | None) -> None:
    if wall_ms is not None:
        out += _CLOCK.pack(min(wall_ms // 1000, 2**32 - 1), wall_ms % 1000)


def _put_kind(out: bytearray, kind: str) -> None:
    code = KIND_CODES.get(kind, _OTHER_KIND)
    out.append(code)
    if code == _OTHER_KIND:
        _put_text(out, kind)


def _put_text(out: bytearray, text: str) -> None:
    if _TAGGED.fullmatch(text):
        raw = bytes.fromhex(text[2:])
        _put(out, len(raw) << 2 | _TAGGED_HEX)
        out.append(ord(text[0]))
        out += raw
        return
    if len(text) <= TEXT_BYTES_MAX and all(c in _DIGITS for c in text):
        _put(out, len(text) << 2 | _FORTY)
        out += _forty(text)
        return
    raw = text.encode("utf-8", "replace")[:TEXT_BYTES_MAX].decode("utf-8", "ignore").encode()
    _put(out, len(raw) << 2 | _PLAIN)
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


class _Reader:
    """Takes bytes off a body. Every method raises ValueError at its end."""

    __slots__ = ("_at", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("cut short")
        self._at += count
        return self._raw[self._at - count : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, high: int) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if value > high or shift > 56:
                raise ValueError("a number is too high")
            if byte < 0x80:
                return value
            shift += 7

    def time(self, before: _Before) -> int:
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
        seconds, ms = _CLOCK.unpack(self.take(_CLOCK.size))
        if ms > 999:
            raise ValueError("milliseconds")
        return int(seconds) * 1000 + int(ms)

    def kind(self, code: int) -> str:
        if code == _OTHER_KIND:
            return self.text()
        if code not in _KIND_NAMES:
            raise ValueError(f"kind {code}")
        return _KIND_NAMES[code]

    def text(self) -> str:
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


def fits(entries: Sequence[Entry], epoch: str, first: int) -> int:
    """How many of these consecutive entries go into one BRIEF."""
    room = FRAME_BYTES_MAX - HEAD_BYTES - MAC_BYTES
    out, before = bytearray(1), _Before()
    _put_text(out, epoch)
    _put(out, first)
    for count, entry in enumerate(entries):
        _put_entry(out, entry, before)
        if len(out) > room:
            return count
    return len(entries)
