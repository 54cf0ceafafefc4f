"""Modbus frames as bytes: RTU and TCP. No port, no clock.

Sources: Modbus Application Protocol 1.1b3, Modbus over Serial Line 1.02, Messaging on TCP/IP 1.0b; the exception answer
with function 0x80 is that of the Xiyu AFD-XY16 (its protocol sheet V1.1). Addresses are zero-based, as on the wire.
"""

import math
import struct
from dataclasses import dataclass, field
from typing import Final

MBAP_BYTES: Final = 7
REGISTERS_MAX: Final = 125
BITS_MAX: Final = 2000
LINE_BYTES_MAX: Final = 1024  # what a LineReader holds at most

_READS: Final = (1, 2, 3, 4)
_BIT_READS: Final = (1, 2)
_WRITES_ONE: Final = (5, 6)
_WRITES_MANY: Final = (15, 16)
_KNOWN: Final = (*_READS, *_WRITES_ONE, *_WRITES_MANY)
_BARE_EXCEPTION: Final = 0x80
_COIL_ON: Final = 0xFF00


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC: Final = _table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/MODBUS; it travels low byte first. Of a whole sound frame, its own CRC included, it is 0."""
    crc, table = 0xFFFF, _CRC
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return crc


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """An RTU frame around `pdu` (function and data)."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def tcp_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A TCP frame around `pdu`; `transaction` is 0-65535."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Ask `unit` for `count` registers (function 3, 4) or bits (1, 2) from `start`. ValueError if it cannot be asked.

    What follows from that is worked out once, for a bus asks the same few questions for ever.
    """

    unit: int
    function: int
    start: int
    count: int
    pdu: bytes = field(init=False, repr=False, compare=False)  # function and data
    wire: bytes = field(init=False, repr=False, compare=False)  # the RTU frame that asks it
    data_bytes: int = field(init=False, repr=False, compare=False)  # of data in the answer
    answer_bytes: int = field(init=False, repr=False, compare=False)  # of the whole RTU answer

    def __post_init__(self) -> None:
        limit = BITS_MAX if self.function in _BIT_READS else REGISTERS_MAX
        if self.function not in _READS or not 0 <= self.unit <= 255:
            raise ValueError(f"no read request: unit {self.unit}, function {self.function}")
        if not 1 <= self.count <= limit or not 0 <= self.start <= 0x10000 - self.count:
            raise ValueError(f"no read request: {self.count} from {self.start}")
        pdu = struct.pack(">BHH", self.function, self.start, self.count)
        data_bytes = (self.count + 7) // 8 if self.function in _BIT_READS else 2 * self.count
        for name, value in (
            ("pdu", pdu),
            ("wire", rtu_frame(self.unit, pdu)),
            ("data_bytes", data_bytes),
            ("answer_bytes", 5 + data_bytes),
        ):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a slave answered: the registers (bits as 0 and 1), or the exception code it refused with."""

    values: tuple[int, ...]
    exception: int = 0


def match_pdu(request: ReadRequest, pdu: bytes) -> Answer | None:
    """The answer in `pdu` if it can be one to `request`: same function, exactly the bytes asked for. Else None."""
    if len(pdu) == 2 and pdu[0] in (request.function | 0x80, _BARE_EXCEPTION) and pdu[1]:
        return Answer((), pdu[1])
    size = request.data_bytes
    if len(pdu) != 2 + size or pdu[0] != request.function or pdu[1] != size:
        return None
    if request.function in _BIT_READS:
        return Answer(tuple(pdu[2 + n // 8] >> (n % 8) & 1 for n in range(request.count)))
    return Answer(struct.unpack_from(f">{request.count}H", pdu, 2))


# -- whole frames in a stream of bytes ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """One sound RTU frame of anybody's. `request` is what its length says; None where length cannot tell."""

    unit: int
    pdu: bytes
    request: bool | None


def _lengths(buffer: bytes | bytearray, at: int) -> tuple[tuple[int, bool | None], ...]:
    """The (length, is request) a frame at `at` may have, judged by its head."""
    left = len(buffer) - at
    if left < 5:
        return ()
    function, third = buffer[at + 1], buffer[at + 2]
    if function & 0x80:
        return ((5, False),) if third else ()
    if function in _READS:
        answer = third and (function in _BIT_READS or third % 2 == 0) and third <= 250
        if answer and 5 + third == 8:
            return ((8, None),)
        return ((8, True), (5 + third, False)) if answer else ((8, True),)
    if function in _WRITES_ONE:
        return ((8, None),)
    if function in _WRITES_MANY:
        return ((8, False), (9 + buffer[at + 6], True)) if left >= 9 and buffer[at + 6] else ((8, False),)
    return ()


def frame_at(buffer: bytes | bytearray, at: int) -> Frame | None:
    """The sound frame (functions 1-6, 15, 16, exceptions) that begins at `at`, or None."""
    for length, request in _lengths(buffer, at):
        if at + length <= len(buffer) and not crc16(buffer[at : at + length]):
            return Frame(buffer[at], bytes(buffer[at + 1 : at + length - 2]), request)
    return None


class LineReader:
    """Finds on a shared line the one frame that can answer the question asked last; all else is counted, never credited.

    `feed()` returns an answer at once only if it begins the reply (behind an echo of the question at most). With anything
    else before it the caller waits until the line is quiet and calls `settle()`, which first takes whole frames of others
    off the line, so that bytes inside a foreign frame are never taken for an answer.
    """

    __slots__ = ("_buffer", "_echo", "_request", "echoes", "garbage_bytes", "strangers")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: ReadRequest | None = None
        self._echo = b""
        self.echoes = 0
        self.garbage_bytes = 0  # bytes that belonged to no sound frame
        self.strangers: list[Frame] = []  # sound frames that do not answer; the caller takes them

    @property
    def held(self) -> int:
        """How many bytes are held that only more of them, or silence, can settle."""
        return len(self._buffer)

    @property
    def missing(self) -> int:
        """Bytes still to come at least, if what is held is the beginning of the answer; else 0."""
        buffer, request = self._buffer, self._request
        if request is None or not buffer or buffer[0] != request.unit:
            return 0
        if len(buffer) == 1:
            return 4
        if buffer[1] != request.function or (len(buffer) > 2 and buffer[2] != request.data_bytes):
            return 0
        return max(request.answer_bytes - len(buffer), 0)

    def expect(self, request: ReadRequest | None) -> None:
        """From now on look for the answer to `request`. What came before can answer nothing."""
        if request is not None:
            self.garbage_bytes += len(self._buffer)
            self._buffer.clear()
        self._request, self._echo = request, b"" if request is None else request.wire

    def feed(self, data: bytes) -> Answer | None:
        """Take bytes in the order they came."""
        buffer = self._buffer
        buffer += data
        if len(buffer) > LINE_BYTES_MAX:
            self.garbage_bytes += len(buffer) - LINE_BYTES_MAX
            del buffer[:-LINE_BYTES_MAX]
        if self._request is None:
            return None
        if self._echo and buffer.startswith(self._echo):
            self._take_echo(len(self._echo))
        return self._ours(0)

    def settle(self) -> Answer | None:
        """The line has been quiet for a frame gap: look through all that is held."""
        buffer, at = self._buffer, 0
        while at < len(buffer):
            if self._echo and buffer.startswith(self._echo, at):
                self.garbage_bytes += at
                self._take_echo(at + len(self._echo))
            elif (frame := frame_at(buffer, at)) is not None:
                if (answer := self._ours(at)) is not None:
                    return answer
                self.garbage_bytes += at
                self.strangers.append(frame)
                del buffer[: at + len(frame.pdu) + 3]
            else:
                at += 1
                continue
            at = 0
        return None

    def _take_echo(self, end: int) -> None:
        del self._buffer[:end]
        self._echo = b""
        self.echoes += 1

    def _ours(self, at: int) -> Answer | None:
        buffer, request = self._buffer, self._request
        if request is None or len(buffer) - at < 5 or buffer[at] != request.unit:
            return None
        length = 5 if buffer[at + 1] & 0x80 else request.answer_bytes
        if len(buffer) - at < length:
            return None
        answer = match_pdu(request, bytes(buffer[at + 1 : at + length - 2]))
        if answer is None or crc16(buffer[at : at + length]):
            return None
        self.garbage_bytes += at
        del buffer[: at + length]
        self._request, self._echo = None, b""
        return answer


@dataclass(frozen=True, slots=True)
class TcpFrame:
    """One Modbus/TCP frame."""

    transaction: int
    unit: int
    pdu: bytes


def take_tcp(buffer: bytearray) -> list[TcpFrame]:
    """Take every whole frame off `buffer`. ValueError when the stream is no Modbus/TCP: there is no way back in it."""
    frames = []
    while len(buffer) >= MBAP_BYTES:
        transaction, protocol, length, unit = struct.unpack_from(">HHHB", buffer)
        if protocol or not 3 <= length <= 254:
            raise ValueError(f"protocol {protocol}, length {length}")
        if len(buffer) < 6 + length:
            break
        frames.append(TcpFrame(transaction, unit, bytes(buffer[MBAP_BYTES : 6 + length])))
        del buffer[: 6 + length]
    return frames


# -- for people: edge-agent decode -------------------------------------------------------------------------------------


def decode_frames(data: bytes) -> list[dict[str, object]]:
    """Every RTU frame in `data`, one object each, in order; what is none is `{"reject": true, "why": ...}`.

    why: short (no frame has so few bytes), crc (no sound frame begins here) or length (its CRC holds, and no frame of its function
    is so long); a damaged frame of the right length shows what could be read. Fields: direction, unit, function, crc_ok,
    start, count, byte_count, values, exception, raw.
    Function is the byte on the wire, so an exception shows 131 or, on the XY16, 128.
    """
    return _decode(data, floats=False)


def decode_eastron_frames(data: bytes) -> list[dict[str, object]]:
    """As `decode_frames`; register pairs are float32, high word first (`type`), and a single one is also `value`.

    Numbers have seven digits, which is what a float32 holds: 230.2, not 230.20001220703125. The bytes are in `raw`.
    """
    return _decode(data, floats=True)


def _decode(data: bytes, *, floats: bool) -> list[dict[str, object]]:
    frames: list[dict[str, object]] = []
    at = lost = 0
    before: Frame | None = None
    while at < len(data):
        frame = frame_at(data, at)
        if frame is None and at == lost and _is_strange(data[at:]):
            frame = Frame(data[at], data[at + 1 : -2], None)  # a function unknown to us: only the whole rest can be it
        if frame is None:
            at += 1
            continue
        if lost < at:
            frames.append(_reject(data[lost:at], before, floats=floats))
        fields = {"event": None, **_fields(frame, before)}
        if floats:
            _floats(fields)
        end = at + len(frame.pdu) + 3
        frames.append({**fields, "raw": data[at:end].hex()})
        before = frame
        at = lost = end
    if lost < len(data) or not data:
        frames.append(_reject(data[lost:], before, floats=floats))
    return frames


def _is_strange(raw: bytes) -> bool:
    """Whether `raw` is one sound frame of a function unknown to us: of ours we know how long they are."""
    return len(raw) >= 4 and not raw[1] & 0x80 and raw[1] not in _KNOWN and not crc16(raw)


def _reject(raw: bytes, before: Frame | None, *, floats: bool) -> dict[str, object]:
    why = "short" if len(raw) < 4 else "crc" if crc16(raw) else "length"
    refused: dict[str, object] = {"reject": True, "why": why, "event": None}
    fields: dict[str, object] = {}
    for length, request in _lengths(raw, 0):
        if length == len(raw):
            fields = _fields(Frame(raw[0], raw[1:-2], request), before)
            if floats:
                _floats(fields)
    if len(raw) >= 4:
        fields["crc_ok"] = why == "length"
    return {**refused, **fields, "raw": raw.hex()}


def _fields(frame: Frame, before: Frame | None) -> dict[str, object]:
    pdu = frame.pdu
    function = pdu[0]
    request = _is_request(frame, before)
    fields: dict[str, object] = {
        "direction": "unknown" if request is None else "request" if request else "response",
        "unit": frame.unit,
        "function": function,
        "crc_ok": True,
    }
    if function & 0x80:
        fields["exception"] = pdu[1]
        if function == _BARE_EXCEPTION:
            fields["note"] = "bare_exception"
    elif function in _READS and request:
        fields["start"], fields["count"] = struct.unpack_from(">HH", pdu, 1)
    elif function in _READS:
        fields["byte_count"] = pdu[1]
        fields["values"] = _bits(pdu[2:]) if function in _BIT_READS else _words(pdu[2:])
    elif function in _WRITES_ONE:
        start, word = struct.unpack_from(">HH", pdu, 1)
        fields |= {"start": start, "count": 1, "values": [int(word == _COIL_ON) if function == 5 else word]}
    elif function in _WRITES_MANY:
        start, count = struct.unpack_from(">HH", pdu, 1)
        fields |= {"start": start, "count": count}
        if request:
            fields["byte_count"] = pdu[5]
            fields["values"] = _bits(pdu[6:])[:count] if function == 15 else _words(pdu[6:])
    else:
        fields["data"] = pdu[1:].hex()
    return fields


def _is_request(frame: Frame, before: Frame | None) -> bool | None:
    """Where length cannot tell, the frame before does: a question of the same kind makes this one its answer."""
    if frame.request is not None:
        return frame.request
    function = frame.pdu[0]
    asked = before is not None and before.unit == frame.unit and before.pdu[0] == function
    if function in _WRITES_ONE:
        return not (asked and before is not None and before.pdu == frame.pdu)
    if function in _BIT_READS:
        count = int.from_bytes(frame.pdu[3:5], "big")
        if asked and before is not None and 17 <= int.from_bytes(before.pdu[3:5], "big") <= 24:
            return False
        return 1 <= count <= BITS_MAX
    return None


def _floats(fields: dict[str, object]) -> None:
    words = fields.get("values")
    if not isinstance(words, list) or len(words) % 2 or not words or fields["function"] in (1, 2, 5, 6, 15):
        return
    numbers = struct.unpack(f">{len(words) // 2}f", struct.pack(f">{len(words)}H", *words))
    # JSON has no NaN; it means "absent".
    values = [float(f"{number:.7g}") if math.isfinite(number) else None for number in numbers]
    fields["values"], fields["type"] = values, "float32_be"
    if len(values) == 1:
        fields["value"] = values[0]


def _words(raw: bytes) -> list[int]:
    return list(struct.unpack(f">{len(raw) // 2}H", raw[: len(raw) // 2 * 2]))


def _bits(raw: bytes) -> list[int]:
    return [byte >> bit & 1 for byte in raw for bit in range(8)]
