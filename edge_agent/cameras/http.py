"""HTTP to a camera on the site's LAN, by somebody who trusts none of its bytes.

One request a connection; everything is bounded: the head, the body, redirects (none to another host), time (the caller's). A
compressed answer is refused, not unpacked. Chunked bodies are read, because cameras send them unasked.
"""

import asyncio
import contextlib
import os
import re
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urljoin, urlsplit

from edge_agent.cameras.digest import Credentials, authorization, challenges
from edge_agent.cameras.faults import CameraFault

HEAD_MAX: Final = 16 * 1024
REDIRECTS_MAX: Final = 2
_STATUS: Final = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: |$)")
_WITHOUT: Final = "identity"


@dataclass(frozen=True, slots=True)
class Where:
    """One camera's HTTP service. `context`: TLS."""

    host: str
    port: int
    context: ssl.SSLContext | None = None

    @property
    def netloc(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.context else 80) else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        """Its first header of that name; "" without."""
        return self.headers.get(name, [""])[0]


@dataclass(slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def fetch(
    where: Where,
    asked: Asked,
    who: Credentials | None,
    *,
    max_bytes: int,
    basic: bool = False,
    also: Collection[int] = (),
) -> Answer:
    """The answer 200, or one of `also`, to a request, authenticated if the camera asks for it. Raise CameraFault.

    Each fetch begins without credentials and answers the nonce it gets: cameras refuse one that was used before. `basic`: Basic
    is allowed too; it shows the password to everybody on the LAN, so without TLS it has to be asked for.
    """
    tried = 0
    redirects = 0
    while True:
        answer = await _once(where, asked, max_bytes, also)
        if answer.status == 401:
            if who is None:
                raise CameraFault("auth", "credentials wanted")
            offered = challenges(answer.headers.get("www-authenticate", []))
            usable = [one for one in offered if one.scheme == "digest" or basic or where.context is not None]
            if not usable:
                raise CameraFault("auth_basic" if offered else "auth", "no challenge we may answer")
            if tried and not (usable[0].stale and tried == 1):
                raise CameraFault("auth", "refused")
            tried += 1
            asked.headers["Authorization"] = authorization(
                usable[0], who, asked.method, asked.path, cnonce=os.urandom(8).hex()
            )
        elif answer.status in (301, 302, 303, 307, 308):
            redirects += 1
            if redirects > REDIRECTS_MAX:
                raise CameraFault("redirect", "too many")
            asked.path = _elsewhere(where, asked.path, answer.header("location"))
            asked.headers.pop("Authorization", None)
            tried = 0
        elif answer.status == 200 or answer.status in also:
            return answer
        else:
            raise CameraFault("status", str(answer.status))


def _elsewhere(where: Where, path: str, location: str) -> str:
    """The path a redirect leads to. Raise CameraFault if it leads away from the camera: our credentials stay here."""
    try:
        scheme = "https" if where.context else "http"
        there = urlsplit(urljoin(f"{scheme}://{where.netloc}{path}", location[:HEAD_MAX]))
        port = there.port or (443 if there.scheme == "https" else 80)
        same = (there.scheme, there.hostname, port) == (scheme, where.host.lower(), where.port)
    except ValueError:
        same = False
    if not same or not location:
        raise CameraFault("redirect", "leads elsewhere")
    return (there.path or "/") + (f"?{there.query}" if there.query else "")


async def _once(where: Where, asked: Asked, max_bytes: int, also: Collection[int]) -> Answer:
    if any(char <= " " or char > "~" for char in asked.path):
        raise CameraFault("malformed", "path")
    try:
        reader, writer = await asyncio.open_connection(where.host, where.port, ssl=where.context, limit=HEAD_MAX)
    except ssl.SSLError as fault:
        raise CameraFault("tls", fault.reason or "handshake") from None
    except ConnectionRefusedError:
        raise CameraFault("refused") from None
    except OSError as fault:
        raise CameraFault("no_route", f"errno {fault.errno}") from None
    try:
        headers = {"Host": where.netloc, "Connection": "close", "Accept-Encoding": _WITHOUT, **asked.headers}
        if asked.body:
            headers["Content-Length"] = str(len(asked.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{asked.method} {asked.path} HTTP/1.1\r\n{head}\r\n".encode() + asked.body)
        await writer.drain()
        answer = await _head(reader)
        if answer.status != 200 and answer.status not in also:
            return answer  # nothing is said there that we need
        return Answer(answer.status, answer.headers, await _body(reader, answer, max_bytes))
    except asyncio.IncompleteReadError:
        raise CameraFault("cut_off") from None
    except (asyncio.LimitOverrunError, ValueError):
        raise CameraFault("malformed", "head") from None
    except (OSError, ssl.SSLError):
        raise CameraFault("cut_off") from None
    finally:
        writer.transport.abort()  # not a polite end: it could wait for a peer that reads nothing
        with contextlib.suppress(OSError, ssl.SSLError):
            writer.close()


async def _head(reader: asyncio.StreamReader) -> Answer:
    for _ in range(4):  # 100 Continue, however often it likes
        answer = read_head(await reader.readuntil(b"\r\n\r\n"), _STATUS)
        if answer is None:
            raise CameraFault("malformed", "status line")
        if answer.status >= 200:
            return answer
    raise CameraFault("malformed", "head")


def read_head(head: bytes, status: re.Pattern[str]) -> Answer | None:
    """Status and headers of one answer; None if its first line is not what `status` has."""
    lines = head.decode("latin-1").split("\r\n")
    found = status.match(lines[0])
    if found is None:
        return None
    headers: dict[str, list[str]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), []).append(value.strip())
    return Answer(int(found[1]), headers)


async def _body(reader: asyncio.StreamReader, answer: Answer, max_bytes: int) -> bytes:
    if answer.header("content-encoding").lower() not in ("", _WITHOUT):
        raise CameraFault("encoding")
    if "chunked" in answer.header("transfer-encoding").lower():
        return await _chunks(reader, max_bytes)
    length = answer.header("content-length")
    if not length:
        return await _rest(reader, max_bytes)
    if not (length.isascii() and length.isdigit()) or len(length) > 12:
        raise CameraFault("malformed", "content-length")
    if int(length) > max_bytes:
        raise CameraFault("too_large", length)
    return await reader.readexactly(int(length))


async def _rest(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    while piece := await reader.read(HEAD_MAX):
        body += piece
        if len(body) > max_bytes:
            raise CameraFault("too_large")
    return bytes(body)


async def _chunks(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        line = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        if not (0 < len(line) <= 8 and line.isalnum()):
            raise CameraFault("malformed", "chunk")
        size = int(line, 16)
        if len(body) + size > max_bytes:
            raise CameraFault("too_large")
        if not size:
            return bytes(body)
        body += await reader.readexactly(size)
        await reader.readexactly(2)
