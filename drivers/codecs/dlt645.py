"""DL/T 645-2007 and -1997 frames, both directions. Pure.

    68 A0..A5 68 C L data CS 16        address lowest pair first, each data byte + 33H, CS over the bytes as sent

Ended by length, never by a 16H, which may stand anywhere in data and checksum. FE wake-up bytes and noise before the first
68H are skipped. What the data mean is `drivers.codecs.dlt645_items`; who asks what, `drivers.dlt645_bus`.
"""

from dataclasses import dataclass
from typing import Final

START: Final = 0x68
END: Final = 0x16
WAKE: Final = b"\xfe" * 4
HEAD_BYTES: Final = 10  # to the length byte, included
TAIL_BYTES: Final = 2
DATA_BYTES_MAX: Final = 200  # of a read, clause 5.2.4; a longer length is no frame
WILDCARD: Final = "AAAAAAAAAAAA"
BROADCAST: Final = "999999999999"

FROM_METER: Final = 0x80
ABNORMAL: Final = 0x40
MORE: Final = 0x20
FUNCTION_MASK: Final = 0x1F

READ_1997, FOLLOWING_1997 = 0x01, 0x02
BROADCAST_TIME: Final = 0x08
READ_2007, FOLLOWING_2007, READ_ADDRESS = 0x11, 0x12, 0x13


@dataclass(frozen=True, slots=True)
class Frame:
    """One sound frame. `address`: 12 digits as printed on the meter (AA pairs are wildcards); `data` without the 33H."""

    address: str
    control: int
    data: bytes
    wakeup_bytes: int = 0
    raw: bytes = b""

    @property
    def function(self) -> int:
        """Bits 4-0 of the control code."""
        return self.control & FUNCTION_MASK

    @property
    def from_meter(self) -> bool:
        """Bit 7: an answer. Without it, it is a master's: our own echo, or somebody else's question."""
        return bool(self.control & FROM_METER)

    @property
    def abnormal(self) -> bool:
        """Bit 6: the meter says no; `data` is its error word."""
        return bool(self.control & ABNORMAL)

    @property
    def more(self) -> bool:
        """Bit 5: more frames follow."""
        return bool(self.control & MORE)


def encode(address: str, control: int, data: bytes = b"", *, wake: bool = True) -> bytes:
    """The wire bytes of a frame. Raise ValueError for an address that is not 12 digits (or A), or data over 200 bytes."""
    if len(address) != 12 or not all(c in "0123456789A" for c in address):
        raise ValueError("an address is 12 digits, AA pairs are wildcards")
    if len(data) > DATA_BYTES_MAX:
        raise ValueError(f"{len(data)} bytes of data are over {DATA_BYTES_MAX}")
    body = bytes((START, *bytes.fromhex(address)[::-1], START, control, len(data)))
    body += bytes((byte + 0x33) & 0xFF for byte in data)
    return (WAKE if wake else b"") + body + bytes((sum(body) & 0xFF, END))


def read_2007(address: str, di: str) -> bytes:
    """Ask for one data identifier, as printed: "02010100"."""
    return encode(address, READ_2007, bytes.fromhex(di)[::-1])


def following_2007(address: str, di: str, seq: int) -> bytes:
    """Ask for the frame `seq` (1, 2, ...) of an answer that did not fit into one."""
    return encode(address, FOLLOWING_2007, bytes((*bytes.fromhex(di)[::-1], seq)))


def read_1997(address: str, di: str) -> bytes:
    """Ask for one data identifier of the old edition: "9010"."""
    return encode(address, READ_1997, bytes.fromhex(di)[::-1])


def following_1997(address: str, di: str) -> bytes:
    """Ask for the next frame of an answer of the old edition, which counts none."""
    return encode(address, FOLLOWING_1997, bytes.fromhex(di)[::-1])


def ask_address() -> bytes:
    """Ask the one meter on the line for its address (2007 only)."""
    return encode(WILDCARD, READ_ADDRESS)


def di_of(frame: Frame) -> str:
    """The data identifier a read or its answer names, "" where the frame has none."""
    size = {READ_2007: 4, FOLLOWING_2007: 4, READ_1997: 2, FOLLOWING_1997: 2}.get(frame.function, 0)
    if frame.abnormal or not size or len(frame.data) < size:
        return ""
    return frame.data[:size][::-1].hex().upper()


def payload_of(frame: Frame) -> bytes:
    """What stands behind the identifier of an answer."""
    return frame.data[len(di_of(frame)) // 2 :]


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that look like the begin of a frame and are none. `why` is ASCII."""

    why: str
    raw: bytes


class LineReader:
    """Takes frames off a line in any slicing. Holds at most one frame's bytes and the noise before it."""

    def __init__(self) -> None:
        self._buf = bytearray()
        self.noise_bytes = 0  # skipped so far: neither frame nor wake-up byte

    def feed(self, data: bytes) -> list[Frame | Refused]:
        """Return what `data` completed, in order."""
        found: list[Frame | Refused] = []
        for at in range(0, len(data), 256):
            self._buf += data[at : at + 256]
            while self._step(found):
                pass
        return found

    def settle(self) -> list[Frame | Refused]:
        """The line is quiet: what was begun will not be finished. Look for a frame inside it."""
        found: list[Frame | Refused] = []
        while (start := self._buf.find(START)) >= 0:
            left = bytes(self._buf[start:])
            if left[7:8] == bytes((START,)) or len(left) < 8:
                found.append(Refused("truncated", left))
            self._skip(start + 1)
            while self._step(found):
                pass
        self._skip(len(self._buf))
        return found

    @property
    def missing(self) -> int:
        """Bytes the frame that is being read still wants, as far as known."""
        start = self._buf.find(START)
        if start < 0 or len(self._buf) - start < HEAD_BYTES:
            return HEAD_BYTES + TAIL_BYTES
        return max(0, start + HEAD_BYTES + self._buf[start + 9] + TAIL_BYTES - len(self._buf))

    def _step(self, found: list[Frame | Refused]) -> bool:
        buf = self._buf
        start = buf.find(START)
        if start < 0:
            keep = min(_trailing_wake(buf), len(WAKE))
            self._skip(len(buf) - keep)
            return False
        if len(buf) - start < HEAD_BYTES:
            if len(buf) - start > 7 and buf[start + 7] != START:
                self._skip(start + 1)
                return True
            return False
        length = buf[start + 9]
        if buf[start + 7] != START or length > DATA_BYTES_MAX:
            self._skip(start + 1)
            return True
        total = HEAD_BYTES + length + TAIL_BYTES
        if len(buf) - start < total:
            return False
        raw = bytes(buf[start : start + total])
        why = _wrong(raw)
        if why:
            found.append(Refused(why, raw))
            self._skip(start + 1)  # a damaged length cannot be trusted: look again one byte on
            return True
        wakeup = _trailing_wake(buf[:start])
        self.noise_bytes += start - wakeup
        data = bytes((byte - 0x33) & 0xFF for byte in raw[HEAD_BYTES:-TAIL_BYTES])
        found.append(
            Frame(raw[1:7][::-1].hex().upper(), raw[8], data, wakeup, bytes(buf[start - wakeup : start]) + raw)
        )
        del buf[: start + total]
        return True

    def _skip(self, count: int) -> None:
        self.noise_bytes += count - self._buf.count(0xFE, 0, count)
        del self._buf[:count]


def _wrong(raw: bytes) -> str:
    if raw[-1] != END:
        return "end"
    if sum(raw[:-2]) & 0xFF != raw[-2]:
        return "checksum"
    if any(nibble not in "0123456789a" for nibble in raw[1:7].hex()):
        return "address_not_bcd"
    return ""


def _trailing_wake(buf: bytes | bytearray) -> int:
    count = 0
    while count < len(buf) and buf[len(buf) - 1 - count] == 0xFE:
        count += 1
    return count
