"""One packet of GB/T 26875.3-2011 (clause 8.2): encode, decode, and the answer to it. What is in the data unit: `adu.py`."""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from drivers.codecs.gb26875.dialect import ADU_BYTES_MAX
from drivers.codecs.gb26875.tables import COMMANDS

START: Final = b"@@"
END: Final = b"##"
HEAD_BYTES: Final = 27  # start mark to command byte
FRAME_BYTES_MIN: Final = 30

_HEAD: Final = struct.Struct("<HBB6s6s6sHB")  # bytes 2 to 26, low byte first


class Frame(NamedTuple):  # a frozen dataclass of eight fields takes as long as all the rest of reading a packet
    """One packet. `sent` is its raw time tag, `source` and `target` are the six wire bytes; `adu` may be empty.

    The serial number is the initiator's; an answer repeats it. Versions may be anything: only 1 is in the standard, but the field
    has 2.255 and 16.0.
    """

    serial: int
    sent: bytes
    source: bytes
    target: bytes
    command: int
    adu: bytes = b""
    version: int = 1
    user_version: int = 0

    def encode(self) -> bytes:
        """The bytes on the wire. Raise ValueError for a field that does not fit."""
        if len(self.sent) != 6 or len(self.source) != 6 or len(self.target) != 6:
            raise ValueError("time tag and addresses have 6 bytes each")
        if len(self.adu) > ADU_BYTES_MAX:
            raise ValueError(f"a data unit has at most {ADU_BYTES_MAX} bytes, not {len(self.adu)}")
        try:
            head = _HEAD.pack(
                self.serial,
                self.version,
                self.user_version,
                self.sent,
                self.source,
                self.target,
                len(self.adu),
                self.command,
            )
        except struct.error as fault:
            raise ValueError(f"serial number, version or command does not fit: {fault}") from None
        summed = head + self.adu
        return b"%b%b%c%b" % (START, summed, sum(summed) & 0xFF, END)

    @classmethod
    def decode(cls, raw: bytes, *, adu_max: int = ADU_BYTES_MAX, commands: frozenset[int] = COMMANDS) -> "Frame":
        """The one sound packet that `raw` is. Raise ValueError with the reason of `Rejected` if it is none."""
        if len(raw) < FRAME_BYTES_MIN:
            raise ValueError("partial")
        if raw[:2] != START:
            raise ValueError("start")
        adu_bytes = raw[24] | raw[25] << 8
        if adu_bytes > adu_max:
            raise ValueError("length")
        if len(raw) < FRAME_BYTES_MIN + adu_bytes:
            raise ValueError("partial")
        if len(raw) != FRAME_BYTES_MIN + adu_bytes or raw[-2:] != END:
            raise ValueError("end")
        if sum(raw[2:-3]) & 0xFF != raw[-3]:
            raise ValueError("checksum")
        frame = cls.read(raw)
        if frame.command not in commands:
            raise ValueError("command")
        return frame

    @classmethod
    def read(cls, raw: bytes) -> "Frame":
        """The fields of a packet whose marks and length fit; nothing else is checked."""
        serial, version, user_version, sent, source, target, _, command = _HEAD.unpack_from(raw, 2)
        return cls(
            serial=serial,
            version=version,
            user_version=user_version,
            sent=sent,
            source=source,
            target=target,
            command=command,
            adu=raw[HEAD_BYTES:-3],
        )

    def answer(self, command: int, sent: bytes, adu: bytes = b"") -> "Frame":
        """The packet that answers this one: same serial number and versions, addresses swapped (table 1)."""
        return Frame(
            serial=self.serial,
            version=self.version,
            user_version=self.user_version,
            sent=sent,
            source=self.target,
            target=self.source,
            command=command,
            adu=adu,
        )


@dataclass(frozen=True, slots=True)
class Rejected:
    """Bytes that are no sound packet. `reason`: noise, length, partial, end, checksum or command.

    `frame` is there when start mark, length and end mark fit: then the serial number can be trusted enough to answer DENY, and
    only then.
    """

    reason: str
    raw: bytes
    frame: Frame | None = None
