"""Contact ID as the automation port of an alarm receiver puts it out on a serial line: one message a line.

Two forms: the message itself (SIA DC-05, with or without its check digit), ended by CR or LF, or by a pause where a receiver
prints neither, which is listened to; and the one
of Sur-Gard style receivers, ended by 14H, whose every line and heartbeat wants 06H, or is sent again. The second is from memory:
prove it on site.
"""

import re
from typing import Final

from drivers.codecs import contact_id
from drivers.codecs.base import Refused
from drivers.receivers.dc09 import contact_told, fires_in
from drivers.receivers.desk import Heard, Message, Say

LINE_BYTES_MAX: Final = 128
ACK, NAK, DC4 = b"\x06", b"\x15", 0x14
PAUSE_NS: Final = 2_000_000_000  # a message takes half a second at 300 baud
_END: Final = re.compile(rb"[\r\n\x14]")


class ContactLineTalk:
    """One line."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._heard_ns = 0

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        self._buffer += data
        self._heard_ns = at_ns
        out: list[Heard] = []
        while (found := _END.search(self._buffer)) is not None:
            line, end = bytes(self._buffer[: found.start()]), self._buffer[found.start()]
            del self._buffer[: found.end()]
            out += self._line(line, at_ns, wants_answer=end == DC4)
        if len(self._buffer) > LINE_BYTES_MAX:
            out += self.end(at_ns)
        return out

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk. A pause settles what is whole; what is not goes on waiting for its rest."""
        paused = at_ns - self._heard_ns >= PAUSE_NS
        if not paused or not all(map(contact_id.parse, contact_id.parts(self._buffer.decode("ascii", "replace")))):
            return []
        return self.end(at_ns)

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        left = bytes(self._buffer)
        self._buffer.clear()
        out: list[Heard] = []
        for part in contact_id.parts(left.decode("ascii", "replace")):
            found, raw = contact_id.parse(part), part.encode()
            if found is None:
                out.append(Refused("truncated", raw, at_ns))
            elif found["checksum_ok"] is None:  # the check digit, or more, may have been cut off
                who = str(found["account"])
                fires = fires_in(contact_told(found, {"account": who}) or [], "truncated")
                out += [Refused("truncated", raw, at_ns), *([Message(who=who, raw=raw, told=fires)] if fires else [])]
            else:
                out += self._one(raw, at_ns)
        return out

    @classmethod
    def _line(cls, raw: bytes, at_ns: int, *, wants_answer: bool) -> list[Heard]:
        if wants_answer and raw.strip():
            return cls._one(raw, at_ns, wants_answer=True)  # such a line is one message, and has one answer
        pieces = contact_id.parts(raw.decode("ascii", "replace"))
        if len(pieces) == 1:
            return cls._one(raw, at_ns)
        return [heard for piece in pieces for heard in cls._one(piece.encode(), at_ns)]

    @staticmethod
    def _one(raw: bytes, at_ns: int, *, wants_answer: bool = False) -> list[Heard]:
        yes, no = (ACK, NAK) if wants_answer else (b"", b"")
        found = contact_id.parse_line(raw.decode("ascii", "replace"))
        if found is None:
            return [Refused("no_message", raw, at_ns), Say(no)]
        if found.get("alive"):
            return [Message(who="", raw=raw, yes=yes)]
        who = str(found["account"])
        told = contact_told(found, {"account": who}) or []
        if found["checksum_ok"] is False:
            fires = fires_in(told, "checksum")
            return [
                Refused("checksum", raw, at_ns),
                Say(no),
                *([Message(who=who, raw=raw, told=fires)] if fires else []),
            ]
        return [Message(who=who, raw=raw, key=raw, told=told, yes=yes, no=no)]
