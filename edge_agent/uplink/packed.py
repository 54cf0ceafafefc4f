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
from edge_agent.uplink.packed_words import TEXT_BYTES_MAX, Before, Reader, put, put_clock, put_kind, put_text, put_time

VERSION: Final = 1
FRAME_BYTES_MAX: Final = 512
MAC_BYTES: Final = 8
MISSING_MAX: Final = 16  # ranges of one ACK; it speaks of no number beyond them
GROUPS_MAX: Final = 8  # of one summary
SPAN_MAX: Final = 1_000_000  # numbers one entry may stand for
N_MAX: Final = 2**53

_HEAD: Final = struct.Struct(">B4sI")  # version and type, gateway tag, sequence
HEAD_BYTES: Final = _HEAD.size
_STREAMS: Final = (Priority.ALARM, Priority.FAULT)
_REPLAY, _DUP, _HAS_CLOCK = 0x10, 0x20, 0x40
CLOCKS: Final = ("synced", "holdover", "unset")
WHYS: Final = ("other", "gone", "refused")

_GAP, _OPAQUE, _SUMMARY = 0, 1, 2  # beside the codes of kinds

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
    return sequence, _decode(first & 0x0F, Reader(signed[HEAD_BYTES:]))


# --- bodies -----------------------------------------------------------------------------------------------------------------


def _encode(body: Body) -> tuple[Type, bytes]:
    out = bytearray()
    if isinstance(body, Brief):
        out.append(_STREAMS.index(body.priority) | _REPLAY * body.replay | _DUP * body.dup)
        put_text(out, body.epoch)
        put(out, body.first)
        _put_entries(out, body.first, body.entries)
        return Type.BRIEF, bytes(out)
    if isinstance(body, BriefAck):
        out.append(_STREAMS.index(body.priority) | _HAS_CLOCK * (body.wall_ms is not None))
        put_text(out, body.epoch)
        put(out, body.through)
        put(out, body.high - body.through)
        put(out, len(body.missing))
        previous = body.through
        for first, last in body.missing:
            put(out, first - previous)
            put(out, last - first)
            previous = last
        put_clock(out, body.wall_ms)
        return Type.ACK, bytes(out)
    put_clock(out, body.wall_ms)
    return Type.ECHO_REPLY if body.reply else Type.ECHO, bytes(out)


def _decode(kind: int, rest: Reader) -> Body:
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
    expected, before = first, Before()
    for entry in entries:
        if _start(entry) != expected or _end(entry) < expected:
            raise ValueError(f"entry {_start(entry)} where {expected} is expected")  # a bug of the caller's
        _put_entry(out, entry, before)
        expected = _end(entry) + 1


def _put_entry(out: bytearray, entry: Entry, before: Before) -> None:
    if isinstance(entry, Gap):
        out.append(_GAP)
        put(out, entry.last - entry.first + 1)
        out.append(WHYS.index(entry.why) if entry.why in WHYS else 0)
    elif isinstance(entry, Opaque):
        out.append(_OPAQUE)
        put(out, entry.last - entry.first + 1)
    elif isinstance(entry, Summary):
        out.append(_SUMMARY)
        put(out, entry.last - entry.first + 1)
        out.append(CLOCKS.index(entry.clock))
        put_time(out, entry.wall_s, before)
        out.append(len(entry.groups))
        for group in entry.groups:
            put_kind(out, group.kind)
            put(out, group.count << 1 | group.active)
            put_text(out, group.source)
    else:
        _put_event(out, entry, before)


def _put_event(out: bytearray, event: BriefEvent, before: Before) -> None:
    put_kind(out, event.kind)
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
    put_time(out, event.wall_s, before)
    if form == _ID_WHOLE and found and head:
        out += bytes.fromhex(head[0])
        put(out, head[1])
    if form in (_ID_WHOLE, _ID_SAME) and found:
        put(out, int(found[3], 16))
    elif form == _ID_TEXT:
        put_text(out, event.event_id)
    if shared:
        put(out, shared)
    put_text(out, event.point[shared:])
    before.point, before.id_head = event.point, head or before.id_head


def _entries(rest: Reader, n: int) -> Iterable[Entry]:
    before = Before()
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


def _summary(rest: Reader, first: int, last: int, before: Before) -> Summary:
    clock, wall_s = _clock(rest.byte()), rest.time(before)
    groups: list[Group] = []
    for _ in range(rest.byte()):
        if len(groups) == GROUPS_MAX:
            raise ValueError("too many groups")
        kind, counted = rest.kind(rest.byte()), rest.number(SPAN_MAX * 2)
        groups.append(Group(kind, bool(counted & 1), rest.text(), counted >> 1))
    return Summary(first, last, wall_s, clock, tuple(groups))


def _event(rest: Reader, code: int, n: int, before: Before) -> BriefEvent:
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


def fits(entries: Sequence[Entry], epoch: str, first: int) -> int:
    """How many of these consecutive entries go into one BRIEF."""
    room = FRAME_BYTES_MAX - HEAD_BYTES - MAC_BYTES
    out, before = bytearray(1), Before()
    put_text(out, epoch)
    put(out, first)
    for count, entry in enumerate(entries):
        _put_entry(out, entry, before)
        if len(out) > room:
            return count
    return len(entries)
