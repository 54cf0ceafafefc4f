"""H.264 and H.265 out of RTP packets: whole pictures, each with the moment the camera says it is of. Pure.

RFC 3550 (header), RFC 6184 (single units, STAP-A, FU-A), RFC 7798 (single units, AP, FU), and the header extension of an ONVIF
replay (ONVIF Streaming Specification, "RTP header extension"): 64 bits of NTP time in the first packet of each picture.
What a packet says that is none of this is left out; nothing a peer sends raises.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

H264, H265 = "h264", "hevc"  # as ffmpeg calls them
MARK: Final = b"\0\0\0\1"  # in front of every unit of an Annex B stream
REPLAY_EXTENSIONS: Final = (0xABAC, 0xABAD)  # the second one has more behind it
NTP_TO_UNIX_S: Final = 2_208_988_800
_HEADER_BYTES: Final = 12


@dataclass(slots=True)
class Picture:
    """One picture as it came. `at_ns`: when it was, by the camera's clock, ns since 1970 UTC; None if it does not say."""

    units: list[bytes] = field(default_factory=list)
    at_ns: int | None = None
    is_key: bool = False  # it can be seen without any before it

    def annex_b(self) -> bytes:
        """Its bytes in a stream."""
        return b"".join(MARK + unit for unit in self.units)


@dataclass(frozen=True, slots=True)
class _Packet:
    marker: bool
    sequence: int
    timestamp: int
    at_ns: int | None
    payload: bytes


def _packet(data: bytes) -> _Packet | None:
    if len(data) < _HEADER_BYTES or data[0] >> 6 != 2:
        return None
    start = _HEADER_BYTES + 4 * (data[0] & 15)
    at_ns = None
    if data[0] & 0x10:
        profile, words = (
            int.from_bytes(data[start : start + 2], "big"),
            int.from_bytes(data[start + 2 : start + 4], "big"),
        )
        if profile in REPLAY_EXTENSIONS and words >= 2 and len(data) >= start + 12:
            at_ns = ntp_ns(data[start + 4 : start + 12])
        start += 4 + 4 * words
    end = len(data) - (data[-1] if data[0] & 0x20 else 0)
    sequence, timestamp = int.from_bytes(data[2:4], "big"), int.from_bytes(data[4:8], "big")
    return _Packet(bool(data[1] & 0x80), sequence, timestamp, at_ns, data[start:end]) if start < end else None


def ntp_ns(stamp: bytes) -> int:
    """Eight bytes of NTP time as ns since 1970 UTC. Small seconds are those of the era that begins in 2036."""
    seconds, fraction = int.from_bytes(stamp[:4], "big"), int.from_bytes(stamp[4:], "big")
    seconds += 0 if seconds >= NTP_TO_UNIX_S else 1 << 32
    return (seconds - NTP_TO_UNIX_S) * 10**9 + (fraction * 10**9 + (1 << 31) >> 32)


class Depacketizer:
    """Packets of one stream in, whole pictures out. Holds one picture; how large it may get is the caller's to bound."""

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._picture = Picture()
        self._piece = bytearray()  # of a unit that came in pieces
        self._timestamp: int | None = None
        self._sequence: int | None = None

    def feed(self, data: bytes) -> list[Picture]:
        """The pictures this packet ended."""
        packet = _packet(data)
        if packet is None:
            return []
        done = self.end() if self._timestamp is not None and packet.timestamp != self._timestamp else []
        if self._sequence is not None and packet.sequence != (self._sequence + 1) & 0xFFFF:
            self._piece.clear()  # part of it is lost
        self._timestamp, self._sequence = packet.timestamp, packet.sequence
        if packet.at_ns is not None and self._picture.at_ns is None:
            self._picture.at_ns = packet.at_ns
        for unit in self._units(packet.payload):
            self._picture.units.append(unit)
            self._picture.is_key |= self._is_key(unit)
        return [*done, *(self.end() if packet.marker else [])]

    def end(self) -> list[Picture]:
        """What there is of the last picture."""
        picture, self._picture, self._timestamp = self._picture, Picture(), None
        self._piece.clear()
        return [picture] if picture.units else []

    def _is_key(self, unit: bytes) -> bool:
        return unit[0] & 31 == 5 if self._codec == H264 else 16 <= unit[0] >> 1 & 63 <= 23

    def _units(self, payload: bytes) -> Iterator[bytes]:
        if self._codec == H264:
            kind, head = payload[0] & 31, 1
            several, pieces = kind == 24, kind == 28
            whole = 1 <= kind <= 23
        else:
            kind, head = payload[0] >> 1 & 63, 2
            several, pieces = kind == 48, kind == 49
            whole = kind < 48 and len(payload) > head
        if several:
            yield from _aggregated(payload[head:])
        elif pieces and len(payload) > head + 1:
            yield from self._fragment(payload, head)
        elif whole:
            yield payload

    def _fragment(self, payload: bytes, head: int) -> Iterator[bytes]:
        """The unit this piece ends. Its own header is put together from the packet's and the piece's."""
        flags = payload[head]
        if flags & 0x80:
            first = payload[0] & 0xE0 | flags & 31 if head == 1 else payload[0] & 0x81 | (flags & 63) << 1
            self._piece[:] = bytes((first,)) + payload[1:head]
        elif not self._piece:
            return  # its beginning was lost
        self._piece += payload[head + 1 :]
        if flags & 0x40:
            yield bytes(self._piece)
            self._piece.clear()


def _aggregated(rest: bytes) -> Iterator[bytes]:
    while len(rest) > 2:
        size = int.from_bytes(rest[:2], "big")
        if not 0 < size <= len(rest) - 2:
            return
        yield rest[2 : 2 + size]
        rest = rest[2 + size :]
