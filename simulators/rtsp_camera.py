"""An RTSP camera with a password: H.264 over the RTSP connection itself (interleaved), Digest, a recording by its start.

RFC 2326, RFC 6184 (single units and FU-A). What it was asked is in `asked`; `moods`: MOODS.
"""

import asyncio
import contextlib
import hashlib
import re
from typing import Final

MOODS: Final = ("silent", "garbage")
LIVE: Final = "/live"
KEPT: Final = "/kept"
_MTU: Final = 1400
_STEP: Final = 18_000  # of the 90 kHz clock: 5 pictures a second
_REALM: Final = "IP Camera"


def units_of(stream: bytes) -> list[list[bytes]]:
    """Pictures of an Annex B stream, each as its NAL units."""
    pictures: list[list[bytes]] = []
    current: list[bytes] = []
    for unit in filter(None, re.split(b"\0\0\0\1|\0\0\1", stream)):
        current.append(unit)
        if unit[0] & 31 in (1, 5):
            pictures.append(current)
            current = []
    return pictures


class RtspCamera:
    """`async with RtspCamera(live, kept)` listens on `port`; both are H.264 in Annex B, from a key frame on."""

    def __init__(
        self,
        live: bytes,
        kept: bytes = b"",
        *,
        user: str = "viewer",
        password: str = "pass:wörd'<&",  # noqa: S107 - a simulator's
        moods: frozenset[str] = frozenset(),
    ) -> None:
        self._streams = {LIVE: units_of(live), KEPT: units_of(kept)}
        self.user, self.password, self.moods = user, password, moods
        self.asked: list[tuple[str, str]] = []
        self.refused = 0
        self.port = 0
        self._nonce = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "RtspCamera":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        playing: asyncio.Task[None] | None = None
        try:
            while True:
                method, url, headers = await self._request(reader)
                self.asked.append((method, url))
                if "silent" in self.moods:
                    await asyncio.sleep(3600)
                if "garbage" in self.moods:
                    writer.write(b"\0\xffnot RTSP at all\r\n\r\n" * 100)
                    return
                if method != "OPTIONS" and not self._authorized(writer, method, headers):
                    continue
                if method == "PLAY":
                    self._say(writer, headers, 200, "Session: 7\r\nRange: npt=0-\r\n")
                    playing = asyncio.create_task(self._play(writer, self._stream(url)))
                else:
                    self._answer(writer, method, url, headers)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # cancelled by __aexit__ alone
        finally:
            if playing is not None:
                playing.cancel()
                await asyncio.gather(playing, return_exceptions=True)
            self._tasks.discard(task)
            with contextlib.suppress(OSError):
                writer.close()

    @staticmethod
    async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]]:
        while (first := await reader.readexactly(1)) == b"$":  # RTCP of the other side
            await reader.readexactly(int.from_bytes((await reader.readexactly(3))[1:], "big"))
        head = (first + await reader.readuntil(b"\r\n\r\n")).decode()
        method, url, _ = head.split("\r\n")[0].split(" ")
        return method, url, dict(re.findall(r"^([A-Za-z-]+): (.*?)\r$", head, re.MULTILINE))

    def _answer(self, writer: asyncio.StreamWriter, method: str, url: str, headers: dict[str, str]) -> None:
        transport = headers.get("Transport", "")
        if method == "OPTIONS":
            self._say(writer, headers, 200, "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n")
        elif method == "DESCRIBE" and self._stream(url):
            self._say(writer, headers, 200, f"Content-Type: application/sdp\r\nContent-Base: {url}/\r\n", self._sdp())
        elif method == "SETUP" and "RTP/AVP/TCP" in transport:
            self._say(writer, headers, 200, "Session: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
        elif method == "SETUP":
            self._say(writer, headers, 461)
        else:
            self._say(writer, headers, 200 if method == "TEARDOWN" else 404)

    def _stream(self, url: str) -> list[list[bytes]]:
        path = re.sub(r"^rtsp://[^/]*", "", url)
        return (
            self._streams[KEPT if path.startswith(KEPT) and "start=" in path else LIVE]
            if path.startswith((LIVE, KEPT))
            else []
        )

    @staticmethod
    def _sdp() -> bytes:
        return (
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            b"a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
        )

    def _authorized(self, writer: asyncio.StreamWriter, method: str, headers: dict[str, str]) -> bool:
        said = dict(re.findall(r'(\w+)="([^"]*)"', headers.get("Authorization", "")))

        def digest(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        nonce, first = f"n{self._nonce}", digest(f"{self.user}:{_REALM}:{self.password}")
        second = digest(f"{method}:{said.get('uri')}")
        wanted = digest(f"{first}:{nonce}:{second}")
        if self._nonce and said.get("nonce") == nonce and said.get("response") == wanted:
            return True
        self.refused += 1
        self._nonce += 1
        self._say(writer, headers, 401, f'WWW-Authenticate: Digest realm="{_REALM}", nonce="n{self._nonce}"\r\n')
        return False

    @staticmethod
    def _say(
        writer: asyncio.StreamWriter, asked: dict[str, str], status: int, more: str = "", body: bytes = b""
    ) -> None:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        writer.write(f"RTSP/1.0 {status} X\r\nCSeq: {asked.get('CSeq', '0')}\r\n{more}{length}\r\n".encode() + body)

    async def _play(self, writer: asyncio.StreamWriter, pictures: list[list[bytes]]) -> None:
        sequence = 0
        with contextlib.suppress(OSError):
            for number in range(10**9):
                packets = [packet for unit in pictures[number % len(pictures)] for packet in _packets(unit)]
                for at, payload in enumerate(packets):
                    marker = 0x80 if at == len(packets) - 1 else 0
                    header = bytes((0x80, marker | 96)) + (sequence & 0xFFFF).to_bytes(2, "big")
                    rtp = header + (number * _STEP & 0xFFFFFFFF).to_bytes(4, "big") + b"ZG19" + payload
                    writer.write(b"$\0" + len(rtp).to_bytes(2, "big") + rtp)
                    sequence += 1
                await writer.drain()
                await asyncio.sleep(0.05)


def _packets(unit: bytes) -> list[bytes]:
    if len(unit) <= _MTU:
        return [unit]
    pieces = [unit[at : at + _MTU] for at in range(1, len(unit), _MTU)]
    return [
        bytes((unit[0] & 0x60 | 28, (0x80 if n == 0 else 0) | (0x40 if n == len(pieces) - 1 else 0) | unit[0] & 31))
        + piece
        for n, piece in enumerate(pieces)
    ]
