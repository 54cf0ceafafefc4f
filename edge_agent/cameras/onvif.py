"""ONVIF, as much as a snapshot needs: the camera's clock, its media service, a profile, the address of its picture. What it
keeps: `recordings.py`.

SOAP 1.2 by hand: a library would cost 28 MB (decision 0018). The password goes as a WS-UsernameToken digest (Web Services Security
UsernameToken Profile 1.1), made with the camera's own clock, because cameras refuse tokens that are a minute off.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, ParseError, XMLPullParser
from xml.sax.saxutils import escape

from edge_agent.cameras.digest import Credentials
from edge_agent.cameras.faults import CameraFault

DEVICE_PATH: Final = "/onvif/device_service"
DEVICE: Final = "http://www.onvif.org/ver10/device/wsdl"
ANSWER_MAX: Final = 256 * 1024
ELEMENTS_MAX: Final = 10_000
DEPTH_MAX: Final = 64
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MEDIA: Final = "http://www.onvif.org/ver10/media/wsdl"
_SECURITY: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-"
_DIGEST: Final = f"{_SECURITY}username-token-profile-1.0#PasswordDigest"
_BASE64: Final = f"{_SECURITY}soap-message-security-1.0#Base64Binary"
_REFUSED: Final = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)

Post = Callable[[str, bytes], Awaitable[bytes]]  # path, envelope -> answer; raises CameraFault


def password_digest(nonce: bytes, created: str, password: str) -> str:
    """Base64(SHA-1(nonce + created + password))."""
    data = nonce + created.encode() + password.encode()
    return base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def envelope(body: str, who: Credentials | None = None, *, created: str = "", nonce: bytes = b"") -> bytes:
    """A request. With `who` it carries the token."""
    header = ""
    if who is not None:
        token = (
            f"<w:Username>{escape(who.user)}</w:Username>"
            f'<w:Password Type="{_DIGEST}">{password_digest(nonce, created, who.password)}</w:Password>'
            f'<w:Nonce EncodingType="{_BASE64}">{base64.b64encode(nonce).decode()}</w:Nonce>'
            f"<u:Created>{created}</u:Created>"
        )
        header = (
            f'<s:Header><w:Security s:mustUnderstand="1" xmlns:w="{_SECURITY}wssecurity-secext-1.0.xsd" '
            f'xmlns:u="{_SECURITY}wssecurity-utility-1.0.xsd"><w:UsernameToken>{token}</w:UsernameToken></w:Security></s:Header>'
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">{header}<s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


def parse(answer: bytes) -> Element:
    """The body of an answer. Raise CameraFault: malformed, soap, auth. No DTD is read: entities are how XML explodes."""
    if (
        len(answer) > ANSWER_MAX or _REFUSED.search(answer) or b"\0" in answer
    ):  # NUL: UTF-16 would hide what we look for
        raise CameraFault("malformed", "not an answer we read")
    parser: Any = XMLPullParser(("start", "end"))
    depth = count = 0
    root: Element | None = None
    try:
        for at in range(0, len(answer), 4096):
            parser.feed(answer[at : at + 4096])
            for event, element in parser.read_events():
                root = element if root is None else root
                depth += 1 if event == "start" else -1
                count += event == "start"
                if depth > DEPTH_MAX or count > ELEMENTS_MAX:
                    raise CameraFault("malformed", "too deep")
        parser.close()
    except (ParseError, ValueError, LookupError) as fault:
        raise CameraFault("malformed", type(fault).__name__) from None
    body = None if root is None else next(named(root, "Body"), None)
    if body is None:
        raise CameraFault("malformed", "no body")
    if (fault_element := next(named(body, "Fault"), None)) is not None:
        said = " ".join("".join(fault_element.itertext()).split())
        raise CameraFault(
            "auth" if re.search("NotAuthorized|FailedAuthentication|Sender not", said) else "soap", said[:120]
        )
    return body


def named(element: Element, name: str) -> Iterator[Element]:
    """Those of this local name: cameras differ in their prefixes, some in their namespaces."""
    return (one for one in element.iter() if isinstance(one.tag, str) and one.tag.rpartition("}")[2] == name)


def text_of(element: Element | None, name: str) -> str:
    """The text of the first of this local name in it; "" without."""
    found = None if element is None else next(named(element, name), None)
    return "" if found is None else (found.text or "").strip()


def camera_time_ns(body: Element) -> int | None:
    """What GetSystemDateAndTime says, ns since 1970 UTC; None where it has no UTC, as it may. Raise CameraFault."""
    if (utc := next(named(body, "UTCDateTime"), None)) is None:
        return None
    try:
        numbers = [int(text_of(utc, name)) for name in ("Year", "Month", "Day", "Hour", "Minute", "Second")]
        year, month, day, hour, minute, second = numbers
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except (ValueError, OverflowError):  # the second for a number no clock shows
        raise CameraFault("malformed", "clock") from None
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def created_text(wall_ns: int) -> str:
    """As xsd:dateTime."""
    return (EPOCH + timedelta(microseconds=wall_ns // 1000)).strftime(
        "%Y-%m-%dT%H:%M:%S."
    ) + f"{wall_ns // 10**6 % 1000:03d}Z"


@dataclass(frozen=True, slots=True)
class Picture:
    """Where the picture is: the path, and the port if the camera names one. The host is always the configured one."""

    path: str
    port: int | None
    clock_off_ns: int | None  # the camera's clock less ours, None if it does not say


class Onvif:
    """One camera's services. `wall_ns` is our clock; `random_bytes` makes nonces."""

    def __init__(
        self, post: Post, who: Credentials | None, *, wall_ns: Callable[[], int], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._post, self._who, self._wall_ns, self._random = post, who, wall_ns, random_bytes
        self.clock_off_ns: int | None = None

    async def read_clock(self) -> int | None:
        """The camera's clock less ours, ns, None if it does not say; it needs no password. Raise CameraFault."""
        before_ns = self._wall_ns()
        answer = await self._post(DEVICE_PATH, envelope(f'<GetSystemDateAndTime xmlns="{DEVICE}"/>'))
        half_ns = (self._wall_ns() - before_ns) // 2
        said_ns = camera_time_ns(parse(answer))
        self.clock_off_ns = None if said_ns is None else said_ns - before_ns - half_ns
        return self.clock_off_ns

    async def picture(self, wanted: str = "") -> Picture:
        """Where the picture of profile `wanted` (its token; "": the first) is. Raise CameraFault."""
        await self.read_clock()
        said = await self.ask(
            DEVICE_PATH, f'<GetCapabilities xmlns="{DEVICE}"><Category>Media</Category></GetCapabilities>'
        )
        media = next(named(said, "Media"), None)
        path, _ = place(text_of(media, "XAddr"))
        said = await self.ask(path, f'<GetProfiles xmlns="{_MEDIA}"/>')
        tokens = [token for one in named(said, "Profiles") if (token := one.get("token"))]
        token = wanted or (tokens[0] if tokens else "")
        if token not in tokens:
            raise CameraFault("no_profile", ", ".join(tokens[:8]))
        asked = f'<GetSnapshotUri xmlns="{_MEDIA}"><ProfileToken>{escape(token)}</ProfileToken></GetSnapshotUri>'
        uri = text_of(await self.ask(path, asked), "Uri")
        return Picture(*place(uri), self.clock_off_ns)

    async def ask(self, path: str, body: str) -> Element:
        """The body of the answer to a request with our token. Raise CameraFault."""
        nonce, created = self._random(16), created_text(self._wall_ns() + (self.clock_off_ns or 0))
        return parse(await self._post(path, envelope(body, self._who, created=created, nonce=nonce)))


def place(uri: str, schemes: Collection[str] = ("http", "https")) -> tuple[str, int | None]:
    """Path and port of an address a camera gave. Its host is not believed: behind a router it is wrong, and it may be a lie."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise CameraFault("malformed", "address") from None
    if parts.scheme not in schemes or not parts.path.startswith("/"):
        raise CameraFault("malformed", "address")
    return parts.path + (f"?{parts.query}" if parts.query else ""), port
