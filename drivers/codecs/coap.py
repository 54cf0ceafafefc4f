"""CoAP (RFC 7252) as far as a receiver of reports needs it: one request in a datagram, one answer. Pure, bounded, never raises.

POST and PUT carry a report, whatever the path. A confirmable request is acknowledged with the answer in the same datagram;
a copy has the same message id. Observe, blocks of several pieces and proxies are not for reports of 512 bytes: refused with the
code RFC 7252 has for it.
"""

from dataclasses import dataclass
from typing import Final

CON, NON, ACK, RST = 0, 1, 2, 3
EMPTY, GET, POST, PUT = 0x00, 0x01, 0x02, 0x03
CHANGED, BAD_REQUEST, BAD_OPTION, FORBIDDEN = 0x44, 0x80, 0x82, 0x83  # 2.04, 4.00, 4.02, 4.03
NOT_ALLOWED, TOO_LARGE = 0x85, 0x8D  # 4.05, 4.13
_BLOCK1: Final = 27
_URI_PATH: Final = 11
_KNOWN: Final = frozenset(
    {3, 7, 11, 12, 15, 17, 27}
)  # Uri-Host, -Port, -Path, Content-Format, Uri-Query, Accept, Block1
_OPTIONS_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Request:
    """One message. `refused`: the code it must be answered with, 0 for a sound report; `path` without its first slash."""

    type: int
    code: int
    message_id: int
    token: bytes
    path: str
    payload: bytes
    refused: int = 0

    def answer(self, code: int) -> bytes:
        """What goes back: with the acknowledgement of a confirmable request, nothing to one that asks for none."""
        if self.code == EMPTY:  # "CoAP ping", and anything else that is empty
            return bytes((0x40 | RST << 4, EMPTY)) + self.message_id.to_bytes(2, "big") if self.type == CON else b""
        if self.type != CON:
            return b""
        head = bytes((0x40 | ACK << 4 | len(self.token), code))
        return head + self.message_id.to_bytes(2, "big") + self.token


def parse(data: bytes) -> Request | None:
    """The message in a datagram, None if it is none (then nothing can be answered)."""
    if len(data) < 4 or data[0] >> 6 != 1:
        return None
    kind, token_bytes, code = data[0] >> 4 & 0x03, data[0] & 0x0F, data[1]
    message_id = int.from_bytes(data[2:4], "big")
    if token_bytes > 8 or len(data) < 4 + token_bytes:
        return None
    token, rest = data[4 : 4 + token_bytes], data[4 + token_bytes :]
    if code == EMPTY:
        return Request(kind, code, message_id, b"", "", b"") if not rest and not token else None
    if code >> 5:  # an answer of somebody, or a reserved class
        return None
    found = _options(rest)
    if found is None:
        return Request(kind, code, message_id, token, "", b"", BAD_REQUEST)
    options, payload = found
    path = "/".join(value.decode("utf-8", "replace") for number, value in options if number == _URI_PATH)
    return Request(kind, code, message_id, token, path, payload, _refusal(code, options))


def _refusal(code: int, options: list[tuple[int, bytes]]) -> int:
    if any(number & 1 and number not in _KNOWN for number, _ in options):  # odd numbers are critical
        return BAD_OPTION
    if code not in (POST, PUT):
        return NOT_ALLOWED
    block = next((int.from_bytes(value, "big") for number, value in options if number == _BLOCK1), 0)
    return TOO_LARGE if block >> 3 else 0  # a piece number, or more to follow


def _options(rest: bytes) -> tuple[list[tuple[int, bytes]], bytes] | None:
    """Options and payload; None where they do not add up."""
    options: list[tuple[int, bytes]] = []
    number, at = 0, 0
    while at < len(rest):
        if rest[at] == 0xFF:
            return (options, rest[at + 1 :]) if at + 1 < len(rest) else None  # a mark without a payload is an error
        delta, length, at = rest[at] >> 4, rest[at] & 0x0F, at + 1
        for name in ("delta", "length"):
            value = delta if name == "delta" else length
            if value == 15:
                return None
            extended = max(0, value - 12)  # 13: one more byte, 14: two
            if at + extended > len(rest):
                return None
            value = value if not extended else int.from_bytes(rest[at : at + extended], "big") + (13, 269)[extended - 1]
            at += extended
            delta, length = (value, length) if name == "delta" else (delta, value)
        if at + length > len(rest) or len(options) >= _OPTIONS_MAX:
            return None
        number += delta
        options.append((number, rest[at : at + length]))
        at += length
    return options, b""


def encode(request: Request) -> bytes:
    """A request, for simulators and tests: path and payload."""
    out = bytearray((0x40 | request.type << 4 | len(request.token), request.code))
    out += request.message_id.to_bytes(2, "big") + request.token
    number = 0
    for part in request.path.split("/") if request.path else ():
        value = part.encode()[:12]
        out += bytes(((_URI_PATH - number) << 4 | len(value),)) + value
        number = _URI_PATH
    return bytes(out) + (b"\xff" + request.payload if request.payload else b"")
