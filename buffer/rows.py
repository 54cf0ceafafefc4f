"""How a record lies in a row: its key, its checksum, and how telemetry is packed many to a row. Pure.

A row names itself: its key holds the epoch's ordinal in this file and `n`, a column repeats the epoch's name, and the checksum
covers name, time and body. So a row can be believed, or not, wherever it is found: by a reader, by the slow scrub, and by
the salvage of a file whose tables can no longer be walked.
"""

import functools
import struct
import zlib
from collections.abc import Iterable, Sequence

from buffer.faults import Damaged
from buffer.records import Priority

N_BITS = 40
N_MASK = (1 << N_BITS) - 1

BLOCK_RECORDS_MAX = 500
BLOCK_BYTES_MAX = 128 * 1024  # before compression; one damaged block loses at most this

RAW, ZLIB = 0, 1  # column `coding`
UNPACKED_BYTES_MAX = 4 * 1024 * 1024  # a block that unpacks to more is not ours

_pack_name = struct.Struct(">QQ").pack
_pack_block = struct.Struct(">QQIIBB").pack


def key(ordinal: int, n: int) -> int:
    """The row id of record `n` of the epoch with this ordinal."""
    return ordinal << N_BITS | n


@functools.lru_cache(maxsize=256)
def seed(epoch: str, priority: int) -> int:
    """The checksum of the first part of a name; the rest is added to it."""
    return zlib.crc32(b"%s/%d/" % (epoch.encode(), priority))


def checksum(seed_crc: int, n: int, at_ns: int, body: bytes) -> int:
    """CRC-32 over epoch, stream, n, time of append (wall ns) and body."""
    return zlib.crc32(body, zlib.crc32(_pack_name(n, at_ns), seed_crc))


def block_checksum(  # noqa: PLR0917 - the columns of a row, in their order
    seed_crc: int, n: int, at_ns: int, span: int, count: int, level: int, coding: int, body: bytes
) -> int:
    """The same for a block: also over what describes it."""
    return zlib.crc32(body, zlib.crc32(_pack_block(n, at_ns, span, count, level, coding), seed_crc))


def is_good(seed_crc: int, n: int, at_ns: int, crc: int, body: bytes) -> bool:
    """Whether a row is what was written, whatever types damage has given its columns."""
    try:
        return zlib.crc32(body, zlib.crc32(_pack_name(n, at_ns), seed_crc)) == crc
    except (TypeError, struct.error):
        return False


def is_good_block(seed_crc: int, n: int, crc: int, described: Sequence[int], body: bytes) -> bool:
    """The same for a block; `described`: at_ns, span, count, level, coding."""
    try:
        return block_checksum(seed_crc, n, *described, body) == crc  # type: ignore[call-arg,arg-type]  # five of them
    except (TypeError, struct.error):
        return False


def state_checksum(key_: str, value: bytes | None, seq: int) -> int:
    """CRC-32 of one latched value; None is a value that was taken back."""
    return zlib.crc32(b"-" if value is None else b"+" + value, zlib.crc32(b"%d/%s/" % (seq, key_.encode())))


def epoch_checksum(ordinal: int, name: str) -> int:
    """CRC-32 of an epoch's row: under another name every record of it would look damaged."""
    return zlib.crc32(f"{ordinal}/{name}".encode())


def mark_checksum(destination: str, epoch: str, stream: int, through: int) -> int:
    """CRC-32 of a mark: a damaged one could let an alarm go that nobody has."""
    return zlib.crc32(f"{destination}/{epoch}/{stream}/{through}".encode())


def pack(bodies: Sequence[bytes], offsets: Sequence[int] | None = None) -> tuple[int, bytes]:
    """Pack bodies into one: lengths, then offsets of n if they are not 0, 1, 2 ..., then the bodies. Return (coding, packed)."""
    count = len(bodies)
    head = struct.pack(f"<{count}I", *map(len, bodies))
    if offsets is not None:
        head += struct.pack(f"<{count}I", *offsets)
    raw = head + b"".join(bodies)
    small = zlib.compress(raw, 1)  # readings look alike: 5 to 10 times less for the card
    return (ZLIB, small) if len(small) < len(raw) else (RAW, raw)


def unpack(count: int, level: int, coding: int, packed: bytes) -> tuple[Sequence[int], list[bytes]]:
    """Return (offsets of n from the block's first, bodies). Raise Damaged if it is not what `pack` made."""
    try:
        if coding == ZLIB:
            inflate = zlib.decompressobj()
            raw = inflate.decompress(packed, UNPACKED_BYTES_MAX)
            if not inflate.eof:
                raise Damaged("block", "cut short or too long")
        else:
            raw = packed
        lengths = struct.unpack_from(f"<{count}I", raw)
        start = 4 * count
        offsets: Sequence[int] = range(count)
        if level:
            offsets = struct.unpack_from(f"<{count}I", raw, start)
            start += 4 * count
    except (struct.error, zlib.error) as fault:
        raise Damaged("block", str(fault)) from fault
    if start + sum(lengths) != len(raw):
        raise Damaged("block", "lengths do not add up")
    bodies = []
    for length in lengths:
        end = start + length
        bodies.append(raw[start:end])
        start = end
    return offsets, bodies


def survives(n: int, level: int) -> bool:
    """Whether record `n` stays when telemetry is thinned to one in 2^level.

    A hash of n decides, not n itself: points report in turn, and every second record could be one and the same point.
    """
    return zlib.crc32(n.to_bytes(8, "big")) & ((1 << level) - 1) == 0


def blocks(bodies: Iterable[bytes]) -> Iterable[list[bytes]]:
    """Cut a run of bodies into what fits a block each."""
    block: list[bytes] = []
    size = 0
    for body in bodies:
        if block and (len(block) >= BLOCK_RECORDS_MAX or size + len(body) > BLOCK_BYTES_MAX):
            yield block
            block, size = [], 0
        block.append(body)
        size += len(body)
    if block:
        yield block


VITAL = (Priority.ALARM, Priority.FAULT, Priority.STATUS)
BULK = (Priority.TELEMETRY, Priority.MEDIA)
