"""An RTSP camera with a password: H.264 or H.265 over the RTSP connection itself (interleaved), Digest, a recording by its start.

RFC 2326, RFC 6184 and RFC 7798 (single units and pieces). `/replay` plays the recording as ONVIF has it: only to who requires
`onvif-replay`, from the key frame before the moment of `Range: clock=`, as fast as it is taken, each picture with its NTP time.
What it was asked is in `asked`; `moods`: MOODS.
"""

import asyncio
import contextlib
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Final

MOODS: Final = (
    "silent", "garbage", "no_replay", "no_clock", "elsewhere", "gap", "ends_early", "holds_open", "hangs_up", "endless_unit",
    "stale_nonce", "asks",
)  # fmt: skip
LIVE: Final = "/live"
KEPT: Final = "/kept"
REPLAY: Final = "/replay"
NTP_TO_UNIX_S: Final = 2_208_988_800
PICTURE_NS: Final = 200_000_000  # 5 pictures a second
_MTU: Final = 1400
_STEP: Final = 18_000  # of the 90 kHz clock: 5 pictures a second
_REALM: Final = "IP Camera"


def units_of(stream: bytes, codec: str = "H264") -> list[list[bytes]]:
    """Pictures of an Annex B stream, each as its NAL units."""
    pictures: list[list[bytes]] = []
    current: list[bytes] = []
    for unit in filter(None, re.split(b"\0\0\0\1|\0\0\1", stream)):
        current.append(unit)
        if unit[0] & 31 in (1, 5) if codec == "H264" else unit[0] >> 1 & 63 < 32:
            pictures.append(current)
            current = []
    return pictures


class RtspCamera:
    """`async with RtspCamera(live, kept)` listens on `port`; both are in Annex B, from a key frame on.

    The first picture of the recording is of `kept_from_ns`, by the camera's clock, and it never ends: `kept` comes again and again.
    """

    def __init__(
        self,
        live: bytes,
        kept: bytes = b"",
        *,
        user: str = "viewer",
        password: str = "pass:wörd'<&",  # noqa: S107 - a simulator's
        moods: frozenset[str] = frozenset(),
        codec: str = "H264",
        kept_from_ns: int = 0,
    ) -> None:
        recording = units_of(kept, codec)
        self._streams = {LIVE: units_of(live, codec), KEPT: recording, REPLAY: recording}
        self._codec, self._kept_from_ns = codec, kept_from_ns
        self.played: list[str] = []  # the Range of each PLAY
        self.user, self.password, self.moods = user, password, moods
        self.asked: list[tuple[str, str]] = []
        self.refused = 0
        self.port = 0
        self._nonces: set[str] = set()
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
                if method in ("SETUP", "PLAY") and self._is_replay(url) and not self._may_replay(headers):
                    self._say(writer, headers, 551, "Unsupported: onvif-replay\r\n")
                elif method == "PLAY":
                    self._say(writer, headers, 200, "Session: 7\r\nRange: npt=0-\r\n")
                    self.played.append(headers.get("Range", ""))
                    work = self._replay if self._is_replay(url) else self._play
                    playing = asyncio.create_task(work(writer, self._stream(url)))
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
            self._say(
                writer,
                headers,
                200,
                f"Content-Type: application/sdp\r\nContent-Base: {url}/\r\n",
                self._sdp(self._is_replay(url)),
            )
        elif method == "SETUP" and "RTP/AVP/TCP" in transport:
            self._say(writer, headers, 200, "Session: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
        elif method == "SETUP":
            self._say(writer, headers, 461)
        else:
            self._say(writer, headers, 200 if method == "TEARDOWN" else 404)

    def _stream(self, url: str) -> list[list[bytes]]:
        path = re.sub(r"^rtsp://[^/]*", "", url)
        if path.startswith(REPLAY):
            return self._streams[REPLAY]
        return (
            self._streams[KEPT if path.startswith(KEPT) and "start=" in path else LIVE]
            if path.startswith((LIVE, KEPT))
            else []
        )

    @staticmethod
    def _is_replay(url: str) -> bool:
        return re.sub(r"^rtsp://[^/]*", "", url).startswith(REPLAY)

    def _may_replay(self, headers: dict[str, str]) -> bool:
        return headers.get("Require") == "onvif-replay" and "no_replay" not in self.moods

    def _sdp(self, replay: bool) -> bytes:
        metadata = (
            "m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:track0\r\n"
            if replay
            else ""
        )
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            f"{metadata}m=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 {self._codec}/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"
        ).encode()

    def _authorized(self, writer: asyncio.StreamWriter, method: str, headers: dict[str, str]) -> bool:
        said = dict(re.findall(r'(\w+)="([^"]*)"', headers.get("Authorization", "")))

        def digest(text: str) -> str:
            return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

        nonce, first = said.get("nonce", ""), digest(f"{self.user}:{_REALM}:{self.password}")
        second = digest(f"{method}:{said.get('uri')}")
        right = nonce in self._nonces and said.get("response") == digest(f"{first}:{nonce}:{second}")
        stale = right and "stale_nonce" in self.moods
        if right and not stale:
            return True
        self.moods -= {"stale_nonce"} if stale else set()
        self.refused += 1
        self._nonces.add(f"n{self.refused}")
        again = ", stale=true" if stale else ""
        self._say(
            writer, headers, 401, f'WWW-Authenticate: Digest realm="{_REALM}", nonce="n{self.refused}"{again}\r\n'
        )
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
                sequence += self._show(writer, pictures[number % len(pictures)], number, sequence, None)
                await writer.drain()
                await asyncio.sleep(0.05)

    async def _replay(self, writer: asyncio.StreamWriter, pictures: list[list[bytes]]) -> None:
        """By the clock of the pictures; where it begins there is a key frame."""
        spans = re.findall(r"(\d{8}T\d{6}(?:\.\d+)?)Z", self.played[-1])
        first_ns, end_ns = (_clock_ns(span) for span in spans)
        number = (
            (first_ns - self._kept_from_ns) // PICTURE_NS // len(pictures) * len(pictures)
        )  # key frames begin each round
        if "elsewhere" in self.moods:
            number = 0
        elif "gap" in self.moods:
            number += 100 * len(pictures)
        elif "ends_early" in self.moods:
            number -= 20 * len(pictures)
        last_ns = end_ns
        if "ends_early" in self.moods:
            last_ns = first_ns - 15 * 10**9
        elif self.moods & {"hangs_up", "holds_open"}:  # just before the moment
            last_ns = first_ns - 1
        sequence = 0
        with contextlib.suppress(OSError):
            if "asks" in self.moods:  # some cameras announce what they play
                writer.write(b"ANNOUNCE rtsp://127.0.0.1/replay RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            while (at_ns := self._kept_from_ns + number * PICTURE_NS) <= last_ns or "gap" in self.moods:
                sequence += self._show(writer, pictures[number % len(pictures)], number, sequence, at_ns)
                number += 1
                await writer.drain()
                if "endless_unit" in self.moods:
                    await self._endless_unit(writer, sequence)
            if "hangs_up" in self.moods:
                writer.close()
            elif "holds_open" not in self.moods:
                writer.write(b"$\1\0\x08" + bytes((0x81, 203)) + b"\0\1ZG19")  # RTCP BYE

    async def _endless_unit(self, writer: asyncio.StreamWriter, sequence: int) -> None:
        """The pieces of one unit that has no end."""
        while True:
            rtp = (
                bytes((0x80, 96))
                + (sequence & 0xFFFF).to_bytes(2, "big")
                + b"\0\0\0\1ZG19"
                + bytes((0x7C, 0x05))
                + bytes(60_000)
            )
            writer.write(b"$\0" + len(rtp).to_bytes(2, "big") + rtp)
            sequence += 1
            await writer.drain()

    def _show(
        self, writer: asyncio.StreamWriter, units: list[bytes], number: int, sequence: int, at_ns: int | None
    ) -> int:
        """Send one picture, as so many packets; with `at_ns` the first says of when it is."""
        packets = [packet for unit in units for packet in _packets(unit, self._codec)]
        for at, payload in enumerate(packets):
            marker = 0x80 if at == len(packets) - 1 else 0
            extension = b"" if at_ns is None or at or "no_clock" in self.moods else _extension(at_ns)
            header = bytes((0x90 if extension else 0x80, marker | 96)) + (sequence + at & 0xFFFF).to_bytes(2, "big")
            rtp = header + (number * _STEP & 0xFFFFFFFF).to_bytes(4, "big") + b"ZG19" + extension + payload
            writer.write(b"$\0" + len(rtp).to_bytes(2, "big") + rtp)
        return len(packets)


def _clock_ns(text: str) -> int:
    whole = datetime.strptime(text[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return whole // timedelta(microseconds=1) * 1000 + round(float("0" + text[15:]) * 1e9)


def _extension(at_ns: int) -> bytes:
    """NTP time, the flags C E D T, the number of the PLAY, as an ONVIF replay has them."""
    seconds, rest_ns = divmod(at_ns, 10**9)
    ntp = (seconds + NTP_TO_UNIX_S & 0xFFFFFFFF).to_bytes(4, "big") + ((rest_ns << 32) // 10**9).to_bytes(4, "big")
    return b"\xab\xac\0\3" + ntp + bytes((0x80, 4, 0, 0))


def _packets(unit: bytes, codec: str = "H264") -> list[bytes]:
    if len(unit) <= _MTU:
        return [unit]
    if codec == "H265":
        pieces = [unit[at : at + _MTU] for at in range(2, len(unit), _MTU)]
        head, kind = bytes((unit[0] & 0x81 | 49 << 1, unit[1])), unit[0] >> 1 & 63
        return [
            head + bytes(((0x80 if n == 0 else 0) | (0x40 if n == len(pieces) - 1 else 0) | kind,)) + piece
            for n, piece in enumerate(pieces)
        ]
    pieces = [unit[at : at + _MTU] for at in range(1, len(unit), _MTU)]
    return [
        bytes((unit[0] & 0x60 | 28, (0x80 if n == 0 else 0) | (0x40 if n == len(pieces) - 1 else 0) | unit[0] & 31))
        + piece
        for n, piece in enumerate(pieces)
    ]
