"""A camera on the LAN: ONVIF services, a picture behind HTTP Digest, what it kept of the last seconds. Strict, or a liar.

`moods` make it lie: see MOODS. Everything it was asked is in `asked`, so that a test sees what was said to it.
"""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import itertools
import re
import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

from simulators.recordings import Recording, profile_g

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TOKEN_AGE_S: Final = 60.0  # of a WS-UsernameToken, by the camera's clock
PICTURE: Final = "/picture"
KEPT: Final = "/kept"
MOODS: Final = (
    "endless_body", "endless_chunks", "endless_head", "lying_length", "short_body", "gzip_bomb", "redirect_loop", "redirect_away",
    "silent", "drip", "not_a_picture", "xml_bomb", "xml_deep", "stale_nonce", "wrong_host", "basic_only", "hang_up", "status_500",
    "bad_chunk", "no_profiles", "no_profile_g", "no_get_services", "endless_search", "no_utc",
)  # fmt: skip
_XMLNS: Final = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:tds="http://www.onvif.org/ver10/device/wsdl" '
    'xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema"'
)
# 1 x 1 grey pixel
_JPEG: Final = base64.b64decode(
    "/9j/4AAQSkZJRgABAQEASABIAAD/2wBDAP//////////////////////////////////////////////////////////////////////////////////////"
    "2wBDAf//////////////////////////////////////////////////////////////////////////////////////wAARCAABAAEDASIAAhEBAxEB/8QA"
    "FQABAQAAAAAAAAAAAAAAAAAAAAb/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFAEBAAAAAAAAAAAAAAAAAAAAAP/EABQRAQAAAAAAAAAAAAAAAAAAAAD/"
    "2gAMAwEAAhEDEQA/AJ+AAf/Z"
)


def jpeg(size: int, mark: str) -> bytes:
    """A JPEG of at least this size, with `mark` in a comment."""
    comment = mark.encode() + b" "
    body = comment + bytes(
        itertools.islice(itertools.cycle(range(1, 251)), max(0, size - len(_JPEG) - len(comment) - 8))
    )
    pieces = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
    return _JPEG[:2] + b"".join(b"\xff\xfe" + (len(p) + 2).to_bytes(2, "big") + p for p in pieces) + _JPEG[2:]


class Camera:
    """`async with Camera(...)` listens on `port`. `clock_off_s`: how far its clock is ahead."""

    def __init__(
        self,
        wall_ns: Callable[[], int],
        *,
        user: str = "viewer",
        password: str = "pass:wörd'<&",  # noqa: S107 - a simulator's
        clock_off_s: float = 0.0,
        size: int = 40_000,
        moods: frozenset[str] = frozenset(),
        qop: str = "auth",
        algorithm: str = "MD5",
        keeps: bool = True,
        recordings: Sequence[Recording] = (),
        replay_port: int = 554,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._wall_ns, self.user, self.password = wall_ns, user, password
        self.clock_off_s, self.size, self.moods = clock_off_s, size, moods
        self._qop, self._algorithm, self._keeps, self._context = qop, algorithm, keeps, context
        self.recordings, self.replay_port = recordings, replay_port
        self.searches: dict[str, int] = {}  # token -> how often its results were asked for
        self.asked: list[tuple[str, str]] = []  # method, target
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.refused: list[str] = []
        self.served: list[str] = []  # marks of the pictures it gave
        self.port = 0
        self.busy = self.busiest = 0
        self._nonces: set[str] = set()
        self._tokens: set[bytes] = set()
        self._count = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Camera":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """The camera is gone; what it was saying is cut off."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def clock_ns(self) -> int:
        """What its own clock says."""
        return self._wall_ns() + round(self.clock_off_s * 1e9)

    # --- HTTP -----------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n")[0].split(" ")
            headers = dict(re.findall(r"^([A-Za-z-]+): (.*?)\r$", head, re.MULTILINE))
            body = await reader.readexactly(int(headers.get("Content-Length", 0)))
            self.asked.append((method, target))
            self.heads.append(head)
            self.bodies.append(body)
            await self._answer(writer, method, target, headers, body)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # cancelled by stop() alone, and asyncio would complain of a handler that says so
        finally:
            self.busy -= 1
            self._tasks.discard(task)
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        moods = self.moods
        if "silent" in moods:
            await asyncio.sleep(3600)
        if "hang_up" in moods:
            return
        if "endless_head" in moods:
            writer.write(b"HTTP/1.1 200 OK\r\n")
            await self._for_ever(writer, b"X-More: and more\r\n" * 400)
        if target.startswith("/onvif/"):
            self._soap(writer, target, body)
            return
        if not self._authorized(writer, method, target, headers):
            return
        if "redirect_loop" in moods:
            self._say(writer, 302, b"", f"Location: {target}\r\n")
        elif "redirect_away" in moods:
            self._say(writer, 302, b"", "Location: http://192.0.2.1/picture\r\n")
        elif "status_500" in moods:
            self._say(writer, 500, b"broken")
        else:
            await self._picture(writer, target)

    async def _picture(self, writer: asyncio.StreamWriter, target: str) -> None:
        moods, mark = self.moods, f"now {self.clock_ns}"
        if target.startswith(KEPT):
            wanted = parse_qs(urlsplit(target).query).get("start", [""])[0]
            if not self._keeps or not wanted:
                self._say(writer, 404, b"")
                return
            mark = f"kept {wanted}"
        picture = b"GIF89a" + bytes(1000) if "not_a_picture" in moods else jpeg(self.size, mark)
        if "endless_body" in moods:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + picture[:100])
            await self._for_ever(writer, bytes(8192))
        elif "endless_chunks" in moods:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await self._for_ever(writer, b"2000\r\n" + bytes(8192) + b"\r\n")
        elif "bad_chunk" in moods:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n")
        elif "lying_length" in moods:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n" + picture)
        elif "short_body" in moods:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(picture) + 10) + picture)
        elif "drip" in moods:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(picture))
            for byte in picture:
                writer.write(bytes((byte,)))
                await asyncio.sleep(0.5)
        elif "gzip_bomb" in moods:
            self._say(writer, 200, gzip.compress(bytes(50_000_000), 1), "Content-Encoding: gzip\r\n")
        else:
            self.served.append(mark)
            self._say(writer, 200, picture + b"\0" * 7, "Content-Type: image/jpeg\r\n")  # some pad their pictures

    @staticmethod
    async def _for_ever(writer: asyncio.StreamWriter, piece: bytes) -> None:
        while True:
            writer.write(piece)
            await writer.drain()

    def _say(self, writer: asyncio.StreamWriter, status: int, body: bytes, more: str = "") -> None:
        date = (EPOCH + timedelta(microseconds=self.clock_ns // 1000)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        head = f"HTTP/1.1 {status} X\r\nDate: {date}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        writer.write(head.encode() + body)

    def _authorized(self, writer: asyncio.StreamWriter, method: str, target: str, headers: dict[str, str]) -> bool:
        given = headers.get("Authorization", "")
        if "basic_only" in self.moods:
            if given == "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode():
                return True
            self._say(writer, 401, b"", 'WWW-Authenticate: Basic realm="cam"\r\n')
            return False
        why = self._digest_fault(given, method, target)
        if not why:
            return True
        self.refused.append(why)
        self._count += 1
        nonce = hashlib.md5(f"{self._count}:{self.port}".encode(), usedforsecurity=False).hexdigest()
        self._nonces.add(nonce)
        stale = ", stale=true" if why == "stale" else ""
        qop = f', qop="{self._qop}"' if self._qop else ""
        challenge = (
            f'Digest realm="IP Camera(C1)", nonce="{nonce}", algorithm={self._algorithm}, opaque="x\\"y"{qop}{stale}'
        )
        self._say(
            writer,
            401,
            b"<html>401</html>",
            f'WWW-Authenticate: {challenge}\r\nWWW-Authenticate: Basic realm="cam"\r\n',
        )
        return False

    def _digest_fault(self, given: str, method: str, target: str) -> str:
        """Why this Authorization will not do; "" if it will. A nonce is taken once."""
        if not given.startswith("Digest "):
            return "no digest"
        said = {
            m[1]: m[2] if m[2] is not None else m[3]
            for m in re.finditer(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^,\s]+))', given)
        }
        nonce = said.get("nonce", "")
        if nonce not in self._nonces:
            return "stale"
        self._nonces.discard(nonce)
        if "stale_nonce" in self.moods:
            self.moods = self.moods - {"stale_nonce"}
            return "stale"
        plain = self._algorithm.removesuffix("-sess")
        make = hashlib.sha256 if plain == "SHA-256" else hashlib.md5

        def digest(text: str) -> str:
            return make(text.encode(), usedforsecurity=False).hexdigest()

        first = digest(f"{self.user}:IP Camera(C1):{self.password}")
        if plain != self._algorithm:
            first = digest(f"{first}:{nonce}:{said.get('cnonce')}")
        middle = f"{nonce}:{said.get('nc')}:{said.get('cnonce')}:{said.get('qop')}" if self._qop else nonce
        wanted = digest(f"{first}:{middle}:{digest(f'{method}:{target}')}")
        if said.get("uri") != target or said.get("username") != self.user or said.get("opaque") != 'x\\"y':
            return "fields"
        if self._qop and (said.get("nc"), said.get("qop")) != ("00000001", "auth"):
            return "nc"
        return "" if said.get("response") == wanted else "response"

    # --- ONVIF ----------------------------------------------------------------------------------------------------------

    def _soap(self, writer: asyncio.StreamWriter, target: str, body: bytes) -> None:
        if "xml_bomb" in self.moods:
            bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
            self._say(
                writer,
                200,
                f"<?xml version='1.0'?>{bomb}<s:Envelope {_XMLNS}><s:Body>&b;</s:Body></s:Envelope>".encode(),
            )
            return
        if "xml_deep" in self.moods:
            self._say(writer, 200, b"<a>" * 60_000)
            return
        root = ElementTree.fromstring(body)  # noqa: S314 - our own words
        [soap_body] = [e for e in root.iter() if e.tag.endswith("}Body")]
        name = soap_body[0].tag.rpartition("}")[2]
        if name != "GetSystemDateAndTime" and (why := self._token_fault(root)):
            self.refused.append(why)
            fault = (
                "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized</s:Value></s:Subcode>"
                f'</s:Code><s:Reason><s:Text xml:lang="en">Sender not authorized ({why})</s:Text></s:Reason></s:Fault>'
            )
            self._say(writer, 400, self._envelope(fault))
            return
        host = "10.9.8.7" if "wrong_host" in self.moods else "127.0.0.1"
        base = f"http://{host}:{self.port}"
        moment = EPOCH + timedelta(microseconds=self.clock_ns // 1000)
        profiles = (
            ""
            if "no_profiles" in self.moods
            else '<trt:Profiles token="P_main" fixed="true"/><trt:Profiles token="P_sub"/>'
        )
        picked = [e.text for e in root.iter() if e.tag.endswith("}ProfileToken")]
        zone = "LocalDateTime" if "no_utc" in self.moods else "UTCDateTime"
        answers = {
            ("/onvif/device_service", "GetSystemDateAndTime"): (
                f"<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType><tt:{zone}>"
                f"<tt:Time><tt:Hour>{moment.hour}</tt:Hour><tt:Minute>{moment.minute}</tt:Minute><tt:Second>{moment.second}"
                f"</tt:Second></tt:Time><tt:Date><tt:Year>{moment.year}</tt:Year><tt:Month>{moment.month}</tt:Month><tt:Day>"
                f"{moment.day}</tt:Day></tt:Date></tt:{zone}></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
            ),
            ("/onvif/device_service", "GetCapabilities"): (
                f"<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media><tt:XAddr>{base}/onvif/media_service</tt:XAddr>"
                "</tt:Media></tds:Capabilities></tds:GetCapabilitiesResponse>"
            ),
            ("/onvif/media_service", "GetProfiles"): f"<trt:GetProfilesResponse>{profiles}</trt:GetProfilesResponse>",
            ("/onvif/media_service", "GetSnapshotUri"): (
                f"<trt:GetSnapshotUriResponse><trt:MediaUri><tt:Uri>{base}{PICTURE}?of={''.join(map(str, picked))}&amp;x=1"
                "</tt:Uri></trt:MediaUri></trt:GetSnapshotUriResponse>"
            ),
        }
        if "no_get_services" not in self.moods:
            answers |= profile_g(self, base, root)
        said = answers.get((target, name))
        if said is None:
            said = (
                "<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode><s:Value>ter:ActionNotSupported</s:Value>"
                '</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en">Optional Action Not Implemented</s:Text></s:Reason></s:Fault>'
            )
        self._say(writer, 500 if said.startswith("<s:Fault>") else 200, self._envelope(said))

    @staticmethod
    def _envelope(body: str) -> bytes:
        return f'<?xml version="1.0"?><s:Envelope {_XMLNS}><s:Body>{body}</s:Body></s:Envelope>'.encode()

    def _token_fault(self, root: ElementTree.Element) -> str:
        """Why the WS-UsernameToken will not do; "" if it will. A nonce is taken once, and not a minute late or early."""
        found = {e.tag.rpartition("}")[2]: (e.text or "") for e in root.iter()}
        if "Password" not in found:
            return "no token"
        nonce, created = base64.b64decode(found["Nonce"]), found["Created"]
        age_s = (self.clock_ns / 1e9) - datetime.fromisoformat(created).timestamp()
        if abs(age_s) > TOKEN_AGE_S:
            return f"created {age_s:.0f} s ago"
        if nonce in self._tokens or len(nonce) < 16:
            return "nonce"
        self._tokens.add(nonce)
        data = nonce + created.encode() + self.password.encode()
        digest = base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
        return "" if (found["Username"], found["Password"]) == (self.user, digest) else "password"
