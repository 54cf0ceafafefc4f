"""HTTP Digest authentication of a client (RFC 7616; RFC 2069 where a camera offers no qop). Pure but for the caller's nonce."""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_PAIR: Final = re.compile(r'([A-Za-z][A-Za-z0-9_-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME: Final = re.compile(r"(?:^|,)\s*(Digest|Basic)(?=\s|$|,)", re.IGNORECASE)
_HASHES: Final[Mapping[str, Callable[[bytes], str]]] = {  # strongest first
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),  # what nearly every camera has
}
HEADER_MAX: Final = 2048


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a camera. Its repr, and so a log, has no password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, ***)"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants: `scheme` is digest or basic."""

    scheme: str
    realm: str = ""
    nonce: str = ""
    opaque: str | None = None
    algorithm: str = "MD5"
    session: bool = False  # MD5-sess and the like
    qop: str = ""
    stale: bool = False  # right password, old nonce


def challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges of WWW-Authenticate headers that we can answer, strongest first. What makes no sense is left out."""
    found = [one for header in headers for one in _read(header[:HEADER_MAX])]
    strength = {"SHA-256": 0, "MD5": 1}
    return sorted(found, key=lambda one: (one.scheme == "basic", strength[one.algorithm]))


def _read(header: str) -> list[Challenge]:
    marks = list(_SCHEME.finditer(header))
    found = []
    for number, mark in enumerate(marks, 1):
        rest = header[mark.end() : marks[number].start() if number < len(marks) else len(header)]
        fields = {
            m[1].lower(): re.sub(r"\\(.)", r"\1", m[2]) if m[2] is not None else m[3] for m in _PAIR.finditer(rest)
        }
        if mark[1].lower() == "basic":
            found.append(Challenge("basic", fields.get("realm", "")))
            continue
        algorithm = fields.get("algorithm", "MD5").upper()
        plain = algorithm.removesuffix("-SESS")
        qops = {qop.strip().lower() for qop in fields.get("qop", "").split(",")} - {""}
        if plain not in _HASHES or "nonce" not in fields or (qops and "auth" not in qops):
            continue
        found.append(
            Challenge(
                "digest",
                fields.get("realm", ""),
                fields["nonce"],
                fields.get("opaque"),
                plain,
                algorithm != plain,
                "auth" if qops else "",
                fields.get("stale", "").lower() == "true",
            )
        )
    return found


def authorization(challenge: Challenge, who: Credentials, method: str, uri: str, *, cnonce: str, count: int = 1) -> str:
    """The Authorization header. `count` is how often this nonce has been used, this time included."""
    if challenge.scheme == "basic":
        return "Basic " + base64.b64encode(f"{who.user}:{who.password}".encode()).decode()
    digest = _HASHES[challenge.algorithm]
    first = digest(f"{who.user}:{challenge.realm}:{who.password}".encode())
    if challenge.session:
        first = digest(f"{first}:{challenge.nonce}:{cnonce}".encode())
    second = digest(f"{method}:{uri}".encode())
    middle = f"{challenge.nonce}:{count:08x}:{cnonce}:{challenge.qop}" if challenge.qop else challenge.nonce
    fields = {
        "username": who.user,
        "realm": challenge.realm,
        "nonce": challenge.nonce,
        "uri": uri,
        "response": digest(f"{first}:{middle}:{second}".encode()),
    }
    if challenge.opaque is not None:
        fields["opaque"] = challenge.opaque
    if challenge.qop or challenge.session:
        fields["cnonce"] = cnonce
    quoted = [f'{name}="{_quoted(value)}"' for name, value in fields.items()]
    plain = [f"algorithm={challenge.algorithm}{'-sess' if challenge.session else ''}"]
    if challenge.qop:
        plain += [f"qop={challenge.qop}", f"nc={count:08x}"]
    return "Digest " + ", ".join(quoted + plain)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
