"""ESPA 4.4.4 spoken to us: the panel's pager port becomes a source of alarms, read from the text it would show.

    panel, control station         we, a pager (station "2")
    "1" 05 "2" 05   select      -> 06  ready
    01 .. 03 BCC    call        -> 06  once it is kept, 15 if its check fails
    04              end
    "2" 05          poll        -> 04  nothing to say

    we, control station "1"        panel, a station ("2") that may speak only when it is polled
    "2" 05          poll        -> 04  nothing to say, or "1" 05: it has a call for us
    06  ready                   -> 01 .. 03 BCC
    06  once it is kept         -> 04  the line is ours again

What the text means, a panel profile of kind text-lines says (the generic one unless the site names another). A call of type 1
takes back an earlier one of the same text. A text nobody understands is a fault, and an alarm of kind unknown if the panel sent
it as one.
Sources: fact sheet 1.21; the text of the standard's chapter 3 as published at gscott.me.uk (polling, selecting, termination).
"""

import zlib
from collections.abc import Mapping
from typing import Final

from drivers.codecs import espa444
from drivers.codecs.base import Codec, Frame, Refused
from drivers.codecs.espa444 import ACK, ENQ, EOT, ETX, NAK, SOH
from drivers.receivers.desk import Heard, Message, Say, Told
from drivers.vocabulary import ENDS

BLOCK_NS: Final = 2_500_000_000  # a block that is not whole after so long is given up
NOISE_BYTES_MAX: Final = 256
RESET_CALL, ALARM_PRIORITY = "1", "1"
POLL_NS: Final = 1_000_000_000  # how long the line rests between polls, at least
ANSWER_NS: Final = 2_500_000_000  # a station that does not answer a poll has nothing to say, or is not there
TRAFFIC_NS: Final = 15_000_000_000  # one that was given the line and says no more has lost it
_FIRES: Final = ("fire", "fire_manual")
_FOREVER_NS: Final = 1 << 61


class EspaTalk:
    """One line. `station`: our own address on it; `codec`: what reads the texts."""

    def __init__(self, station: str, codec: Codec) -> None:
        self._station, self._codec = ord(station), codec
        self._block = bytearray()  # from 01 on
        self._block_ns = 0
        self._noise = bytearray()
        self._before = 0  # the byte before this one
        self._polled = 0  # whom the line was given to, 0 when nobody
        self._is_others = False  # whoever has the line has selected somebody else

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        out: list[Heard] = []
        for byte in data:
            out += self._byte(byte, at_ns)
        return out

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        return self.end(at_ns) if self._block and at_ns - self._block_ns >= BLOCK_NS else []

    def end(self, at_ns: int) -> list[Heard]:
        """See Talk."""
        out: list[Heard] = []
        for why, left in (("truncated", self._block), ("noise", self._noise)):
            if left:
                out.append(Refused(why, bytes(left), at_ns))
                left.clear()
        return out

    def _byte(self, byte: int, at_ns: int) -> list[Heard]:
        if self._block:
            self._block.append(byte)
            if len(self._block) > 2 and self._block[-2] == ETX:
                block = bytes(self._block)
                self._block.clear()
                return self._called(block, at_ns)
            return self.end(at_ns) if len(self._block) >= espa444.BLOCK_BYTES_MAX else []
        before, self._before = self._before, byte
        if byte == SOH:
            self._block += bytes((byte,))
            self._block_ns = at_ns
        elif byte == EOT:
            return self._ended()
        elif byte == ENQ and before > 0x20:
            return self._enquired(before)
        elif byte not in (ACK, NAK) and before not in (0, ENQ, EOT, ACK, NAK, ETX):
            self._noise.append(before)  # no address: nothing asked behind it
            return self.end(at_ns) if len(self._noise) >= NOISE_BYTES_MAX else []
        return []

    def _ended(self) -> list[Heard]:
        """04: whoever had the line gives it back."""
        self._polled, self._is_others = 0, False
        return []

    def _enquired(self, address: int) -> list[Heard]:
        """05 behind an address: first whom the line is given to, then whom that one selects."""
        polled, self._polled = self._polled, address
        self._is_others = bool(polled) and address != self._station
        if address != self._station:
            return []
        self._polled = 0
        return [self._alive(address, ENQ), Say(bytes((ACK if polled else EOT,)))]

    def _alive(self, *raw: int) -> Message:
        return Message(who="", raw=bytes(raw))

    def _called(self, block: bytes, at_ns: int) -> list[Heard]:
        fields = espa444.transaction(block)
        if self._is_others:  # not ours to answer; what is on fire there is on fire all the same
            text = "" if fields.get("reject") else str(fields.get("display_text", "")).strip()
            told = [one for one in (self._told(text, fields, at_ns) if text else []) if one.event in _FIRES]
            return [Message(who="", raw=block, told=told)] if told else []
        if fields.get("reject"):
            return [Refused(str(fields["why"]), block, at_ns), Say(bytes((NAK,)))]
        text = str(fields.get("display_text", "")).strip()
        told = self._told(text, fields, at_ns) if text else []
        return [Message(who="", raw=block, key=block, told=told, yes=bytes((ACK,)), no=bytes((NAK,)))]

    def _told(self, text: str, fields: Mapping[str, object], at_ns: int) -> list[Told]:
        codec = self._codec
        found = codec.feed(text.encode("latin-1", "replace") + b"\n", at_ns) + codec.tick(at_ns + _FOREVER_NS)
        shown = {name: value for name, value in fields.items() if name not in ("bcc", "bcc_ok", "event", "header")}
        told: list[Told] = []
        for item in found:
            more = {**shown, **item.fields}
            if isinstance(item, Frame) and item.event is not None:
                event = "fire_manual" if item.event == "fire" and item.fields.get("manual") else item.event
                told.append(Told(_where(item.fields, text), event, more))
        if not told:
            alarm = fields.get("priority") == ALARM_PRIORITY
            told = [Told(_where({}, text), "unknown" if alarm else "fault", {**shown, "reason": "unparsed"})]
        if fields.get("call_type") != RESET_CALL:
            return told
        return [Told(one.where, ENDS.get(one.event, one.event), one.fields) for one in told]


class EspaControl(EspaTalk):
    """One line on which we are the control station: we poll the panel, `panel` is its address."""

    def __init__(self, station: str, panel: str, codec: Codec) -> None:
        super().__init__(station, codec)
        self._panel = ord(panel)
        self._asked_ns: int | None = None  # since when it has not answered our poll
        self._given_ns: int | None = None  # when who was given the line said something last
        self._free_ns = 0  # since when nobody has it
        self._is_free = False  # we have said so: a poll always follows a 04

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        """See Talk."""
        if self._given_ns is not None:
            self._given_ns = self._free_ns = at_ns
        elif self._asked_ns is not None:
            self._free_ns = at_ns
        return super().feed(data, at_ns)

    def tick(self, at_ns: int) -> list[Heard]:
        """See Talk: polls, and takes the line back from who says no more."""
        out = super().tick(at_ns)
        if self._given_ns is not None:
            if at_ns - self._given_ns >= TRAFFIC_NS:
                self._given_ns, self._is_free = None, False
        elif self._asked_ns is not None and at_ns - self._asked_ns >= ANSWER_NS:
            self._asked_ns, self._is_free = None, False
        if self._given_ns is not None or self._asked_ns is not None or at_ns - self._free_ns < POLL_NS:
            return out
        self._free_ns = at_ns
        if not self._is_free:  # by itself: its echo on the line must not be taken for the answer to a poll
            self._is_free = True
            return [*out, Say(bytes((EOT,)))]
        self._asked_ns = at_ns
        return [*out, Say(bytes((self._panel, ENQ)))]

    def _ended(self) -> list[Heard]:
        answered, self._asked_ns, self._given_ns = self._asked_ns is not None, None, None
        return [*super()._ended(), *([self._alive(EOT)] if answered else [])]

    def _enquired(self, address: int) -> list[Heard]:
        """The panel, given the line, selects somebody: us, or another pager whom we let it talk to."""
        if self._asked_ns is None:
            return super()._enquired(address)  # it polls us: a panel that is the control station after all
        if address == self._panel:
            return []  # the echo of our own poll
        self._given_ns, self._asked_ns = self._free_ns, None
        self._is_others = address != self._station
        return [self._alive(address, ENQ), *([] if self._is_others else [Say(bytes((ACK,)))])]


def _where(fields: Mapping[str, object], text: str) -> str:
    """The point a text speaks of: its address where it has one, else the text itself, so that two fires are never taken for one."""
    named = fields.get("point_id")
    if isinstance(named, str) and named:
        return named
    loop = fields.get("zone") if fields.get("loop") is None else fields["loop"]
    if loop is not None and fields.get("point") is not None:
        return f"{loop}-{fields['point']}"
    return text[:48].replace("/", "_") if text.isascii() else f"text-{zlib.crc32(text.encode()):08x}"
