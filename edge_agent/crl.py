"""Lists of certificates a CA has taken back (CRL, RFC 5280) and the few fields of a certificate that are held against them. Pure.

Only what is needed is read, and no signature is checked: that is OpenSSL's to do (edge_agent/uplink/trust.py).
"""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

BYTES_MAX: Final = 4 * 1024 * 1024  # of a file of lists: about 100 000 certificates
SEQUENCE, INTEGER, UTC_TIME, GENERALIZED_TIME = 0x30, 0x02, 0x17, 0x18
_FORMATS: Final = {UTC_TIME: "%y%m%d%H%M%SZ", GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Crl:
    """One list."""

    issuer: bytes  # the CA's name, in DER
    this_update: datetime
    next_update: datetime | None  # from then on it is outdated
    serials: frozenset[int]

    def lists(self, certificate: "Certificate") -> bool:
        """Whether its CA has taken this certificate back."""
        return certificate.serial in self.serials and certificate.issuer == self.issuer


@dataclass(frozen=True, slots=True)
class Certificate:
    """What of a certificate is held against a list."""

    serial: int
    issuer: bytes  # names in DER
    subject: bytes


def read_crls(pem: bytes) -> list[Crl]:
    """The lists of a PEM file. Raise ValueError unless it holds at least one, and nothing else: OpenSSL would trust a CA in it."""
    blocks = list(_blocks(pem))
    if not blocks or any(kind != b"X509 CRL" for kind, _ in blocks):
        raise ValueError("a file of X509 CRL blocks, and of nothing else, is wanted")
    return [_crl(der) for _, der in blocks]


def read_certificates(pem: bytes) -> list[Certificate]:
    """The certificates of a PEM file. Raise ValueError if one is damaged."""
    return [read_certificate(der) for kind, der in _blocks(pem) if kind.endswith(b"CERTIFICATE")]


def read_certificate(der: bytes) -> Certificate:
    """One certificate. Raise ValueError."""
    fields = _signed(der)
    if fields[0].tag == 0xA0:  # the version, left out of the first one
        del fields[0]
    serial, _, issuer, _, subject, *_ = fields
    return Certificate(_integer(serial), issuer.whole, subject.whole)


def _crl(der: bytes) -> Crl:
    fields = _signed(der)
    if fields[0].tag == INTEGER:
        del fields[0]
    _, issuer, this_update, *rest = fields
    next_update = _time(rest.pop(0)) if rest and rest[0].tag in _FORMATS else None
    revoked = _children(rest[0]) if rest and rest[0].tag == SEQUENCE else iter(())
    serials = frozenset(_integer(_inside(entry)[0]) for entry in revoked)
    return Crl(issuer.whole, _time(this_update), next_update, serials)


def _signed(der: bytes) -> "list[_Part]":
    """The fields of what is signed, in a list or a certificate."""
    whole = _inside(_Part(0, der))[0]
    return _inside(_inside(whole)[0])


# --- DER -------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    tag: int
    content: bytes
    whole: bytes = b""


def _inside(part: _Part) -> list[_Part]:
    """What a part consists of; at least one. Raise ValueError."""
    found = list(_children(part))
    if not found:
        raise ValueError("an empty part")
    return found


def _children(part: _Part) -> Iterator[_Part]:
    data, at = part.content, 0
    while at < len(data):
        if len(data) - at < 2:
            raise ValueError("a part is cut off")
        tag, length, start = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise ValueError("a length that is none of DER's")
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        if start + length > len(data):
            raise ValueError("a part is cut off")
        yield _Part(tag, data[start : start + length], data[at : start + length])
        at = start + length


def _integer(part: _Part) -> int:
    if part.tag != INTEGER:
        raise ValueError("no number where one belongs")
    return int.from_bytes(part.content, "big", signed=True)


def _time(part: _Part) -> datetime:
    if part.tag not in _FORMATS:
        raise ValueError("no time where one belongs")
    return datetime.strptime(part.content.decode("ascii"), _FORMATS[part.tag]).replace(tzinfo=UTC)


def _blocks(pem: bytes) -> Iterator[tuple[bytes, bytes]]:
    for kind, text in _BLOCK.findall(pem):
        try:
            yield kind, base64.b64decode(b"".join(text.split()), validate=True)
        except binascii.Error as fault:
            raise ValueError(str(fault)) from fault
