"""A few seconds of what a camera keeps, over RTSP as an ONVIF replay has it: the moment is asked for by `Range: clock=`.

RTSP 1.0 (RFC 2326) with RTP over the same connection, `Require: onvif-replay` (ONVIF Streaming Specification). ffmpeg can ask
for no moment by the clock, so this does the asking, and ffmpeg gets the bytes. Every picture of a replay says of when it is:
what does not say so, or is of another moment, is not passed off as the one that was asked for. Bounded in bytes, pictures and,
by the caller, in time. The host is always the configured one, whatever the camera names.
"""

import asyncio
import base64
import contextlib
import os
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from edge_agent.cameras.digest import Challenge, Credentials, authorization, challenges
from edge_agent.cameras.faults import CameraFault
from edge_agent.cameras.http import HEAD_MAX, Answer, read_head
from edge_agent.cameras.onvif import EPOCH
from edge_agent.cameras.rtp import H264, H265, MARK, Depacketizer, Picture

BYTES_MAX: Final = 8 * 1024 * 1024  # two seconds of the largest cameras, from the key frame on
PICTURES_MAX: Final = 1000
SDP_MAX: Final = 64 * 1024
NEAR_NS: Final = 10 * 10**9  # a picture further from the moment is of another one
PRIOR_NS: Final = 60 * 10**9  # so much before it a camera may begin: its last key frame
QUIET_S: Final = 2.0  # nothing more has come for so long: the recording ends here
_STATUS: Final = re.compile(r"RTSP/1\.0 ([1-5][0-9]{2})(?: |$)")
_HOST: Final = re.compile(r"^rtsp://[^/]*")
_CODECS: Final = {"H264": H264, "H265": H265}
_BYE: Final = 203  # RTCP: the stream is over
_REQUIRE: Final = {"Require": "onvif-replay"}
_PARAMETERS: Final = re.compile(r"sprop-(?:parameter-sets|vps|sps|pps)=([^;\s]+)")


@dataclass(frozen=True, slots=True)
class Clip:
    """From a key frame to the picture that was wanted, its last. `at_ns`: when that was, by the camera's clock."""

    codec: str
    stream: bytes  # Annex B
    pictures: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Track:
    """The video of a session description."""

    codec: str
    control: str
    parameters: bytes  # Annex B; many cameras say them nowhere else


def read_sdp(body: bytes) -> Track:
    """The first video track we can read. Raise CameraFault: no_stream, codec."""
    text = body.decode("utf-8", "replace").replace("\r", "")
    videos = [section for section in re.split(r"(?m)^(?=m=)", text) if section.startswith("m=video ")]
    if not videos:
        raise CameraFault("no_stream", "no video")
    for section in videos:
        named = re.search(r"(?m)^a=rtpmap:\d+ ([A-Za-z0-9]+)/", section)
        codec = _CODECS.get(named[1].upper()) if named else None
        if codec is not None:
            control = re.search(r"(?m)^a=control:(\S+)", section)
            return Track(codec, control[1] if control else "", _parameters(section))
    raise CameraFault("codec", named[1] if named else "unnamed")


def _parameters(section: str) -> bytes:
    stream = b""
    for found in _PARAMETERS.finditer(section):
        for unit in found[1].split(","):
            with contextlib.suppress(ValueError):  # no base64, not even ASCII
                stream += MARK + base64.b64decode(unit)
    return stream


def clock_text(wall_ns: int) -> str:
    """A moment as Range has it (RFC 2326, 3.7)."""
    moment = EPOCH + timedelta(microseconds=wall_ns // 1000)
    return moment.strftime("%Y%m%dT%H%M%S.") + f"{wall_ns // 10**6 % 1000:03d}Z"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a recording is played back."""

    host: str
    port: int
    path: str
    who: Credentials | None
    basic: bool = False  # Basic authentication is allowed

    @property
    def url(self) -> str:
        """Without the credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"rtsp://{host}:{self.port}{self.path}"


async def pull(source: Source, moment_ns: int, end_ns: int) -> Clip:
    """The recording from the key frame before the camera's moment `moment_ns` to the first picture not before it.

    Raise CameraFault. `end_ns` bounds what the camera is asked for, so that one we lose touch with does not play on.
    """
    if any(char <= " " or char > "~" for char in source.path):
        raise CameraFault("malformed", "path")
    try:
        reader, writer = await asyncio.open_connection(source.host, source.port, limit=HEAD_MAX)
    except ConnectionRefusedError:
        raise CameraFault("refused") from None
    except OSError as fault:
        raise CameraFault("no_route", f"errno {fault.errno}") from None
    talk = _Talk(reader, writer, source)
    try:
        return await _play(talk, source, moment_ns, end_ns)
    except asyncio.IncompleteReadError:
        raise CameraFault("cut_off") from None
    except (asyncio.LimitOverrunError, ValueError):
        raise CameraFault("malformed", "head") from None
    except OSError:
        raise CameraFault("cut_off") from None
    finally:
        writer.transport.abort()


async def _play(talk: "_Talk", source: Source, moment_ns: int, end_ns: int) -> Clip:
    described = await talk.ask("DESCRIBE", source.url, {"Accept": "application/sdp"})
    track = read_sdp(described.body)
    base = _HOST.sub("", described.header("content-base")) or source.path
    root = source.url.removesuffix(source.path)
    if track.control in ("", "*"):
        url = root + base
    elif _HOST.match(track.control):
        url = root + _HOST.sub("", track.control)
    else:
        url = f"{root}{base.removesuffix('/')}/{track.control.removeprefix('/')}"
    transport = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
    setup = await talk.ask("SETUP", url, transport | _REQUIRE)
    session = {"Session": setup.header("session").partition(";")[0].strip()}
    channels = re.search(r"interleaved=(\d{1,3})", setup.header("transport"))
    span = f"clock={clock_text(moment_ns)}-{clock_text(max(end_ns, moment_ns + 10**9))}"
    await talk.ask("PLAY", source.url, session | _REQUIRE | {"Range": span, "Rate-Control": "no"})
    clip = _Clip(track, moment_ns)
    async with contextlib.aclosing(talk.packets(int(channels[1]) if channels else 0)) as packets:
        async for packet in packets:
            if clip.take(packet):
                break
    talk.say("TEARDOWN", source.url, session)
    return clip.end()


class _Clip:
    """Pictures as they come: those since the last key frame are kept, until one is not before the moment."""

    def __init__(self, track: Track, moment_ns: int) -> None:
        self._track, self._moment_ns = track, moment_ns
        self._depacketizer = Depacketizer(track.codec)
        self._kept: list[Picture] = []
        self._last_ns: int | None = None

    def take(self, packet: bytes) -> bool:
        """Whether the moment is here. Raise CameraFault: no_moment, replay_no_clock."""
        return any(self._picture(picture) for picture in self._depacketizer.feed(packet))

    def _picture(self, picture: Picture) -> bool:
        if not picture.is_key and not self._kept:
            return False
        at_ns = picture.at_ns if picture.at_ns is not None else self._last_ns
        if at_ns is None:
            raise CameraFault("replay_no_clock")
        off_ns = at_ns - self._moment_ns
        if not -PRIOR_NS <= off_ns <= NEAR_NS or len(self._kept) >= PICTURES_MAX:
            raise CameraFault("no_moment", f"plays from {off_ns / 1e9:+.0f} s")
        if picture.is_key:
            self._kept.clear()  # nothing before it is needed to see it
        self._kept.append(picture)
        self._last_ns = at_ns
        return off_ns >= 0

    def end(self) -> Clip:
        """What there is. Raise CameraFault if that is not near the moment."""
        for picture in self._depacketizer.end() if self._last_ns is None or self._last_ns < self._moment_ns else ():
            self._picture(picture)
        if self._last_ns is None or self._last_ns < self._moment_ns - NEAR_NS:
            raise CameraFault("no_moment", "nothing came" if self._last_ns is None else "ends before it")
        stream = self._track.parameters + b"".join(picture.annex_b() for picture in self._kept)
        return Clip(self._track.codec, stream, len(self._kept), self._last_ns)


class _Talk:
    """One connection: requests in order, and between their answers the packets of the stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: Source) -> None:
        self._reader, self._writer, self._who, self._basic = reader, writer, source.who, source.basic
        self._left = BYTES_MAX
        self._number = 0
        self._challenge: Challenge | None = None
        self._count = 0  # how often its nonce was used

    def say(self, method: str, url: str, headers: Mapping[str, str]) -> None:
        """Send a request."""
        self._number += 1
        lines = {"CSeq": str(self._number), "User-Agent": "edge-agent", **headers}
        if self._challenge is not None and self._who is not None:
            self._count += 1
            cnonce = os.urandom(8).hex()
            lines["Authorization"] = authorization(
                self._challenge, self._who, method, url, cnonce=cnonce, count=self._count
            )
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._writer.write(f"{method} {url} RTSP/1.0\r\n{text}\r\n".encode())

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        """The answer 200 to a request, authenticated if the camera asks for it. Raise CameraFault."""
        for tried in range(3):
            self.say(method, url, headers)
            answer = await self._answer()
            if answer.status != 401:
                break
            self._meet(answer, tried)
        if answer.status in (401, 403):
            raise CameraFault("auth", "refused")
        if answer.status == 551:
            raise CameraFault("no_replay", "onvif-replay is not supported")
        if answer.status in (404, 454):
            raise CameraFault("no_stream")
        if answer.status == 457:
            raise CameraFault("no_moment", "invalid range")
        if answer.status != 200:
            raise CameraFault("rtsp", f"{method} {answer.status}")
        return answer

    def _meet(self, answer: Answer, tried: int) -> None:
        if self._who is None:
            raise CameraFault("auth", "credentials wanted")
        offered = challenges(answer.headers.get("www-authenticate", []))
        usable = [one for one in offered if one.scheme == "digest" or self._basic]
        if not usable:
            raise CameraFault("auth_basic" if offered else "auth", "no challenge we may answer")
        if tried and not usable[0].stale:
            raise CameraFault("auth", "refused")
        self._challenge, self._count = usable[0], 0

    async def packets(self, channel: int) -> AsyncGenerator[bytes, None]:
        """The RTP packets of one channel, until the stream is over. The first may take its time: a disk has to find it."""
        quiet_s: float | None = None
        while True:
            try:
                async with asyncio.timeout(quiet_s):
                    item = await self._next()
            except (TimeoutError, asyncio.IncompleteReadError):
                return
            if isinstance(item, Answer):
                continue
            number, data = item
            if number == channel:
                quiet_s = QUIET_S
                yield data
            elif number == channel + 1 and any(kind == _BYE for kind in _rtcp_kinds(data)):
                return

    async def _answer(self) -> Answer:
        while True:
            item = await self._next()
            if isinstance(item, Answer) and item.status >= 200 and item.header("cseq") == str(self._number):
                return item

    async def _next(self) -> Answer | tuple[int, bytes]:
        """A packet and its channel, or an answer; of status 0 where the camera asks something of us."""
        first = await self._reader.readexactly(1)
        if first == b"$":
            channel, *size = await self._reader.readexactly(3)
            data = await self._reader.readexactly(int.from_bytes(bytes(size), "big"))
            self._spend(len(data) + 4)
            return channel, data
        head = first + await self._reader.readuntil(b"\r\n\r\n")
        self._spend(len(head))
        answer = read_head(head, _STATUS)
        length = answer.header("content-length") if answer is not None else ""
        if answer is None and not re.match(rb"[A-Z_]+ \S+ RTSP/1\.0\r\n", head):
            raise CameraFault("malformed", "not RTSP")
        if not length:
            return answer or Answer(0, {})
        if not (length.isascii() and length.isdigit()) or int(length[:9]) > SDP_MAX:
            raise CameraFault("malformed", "content-length")
        assert answer is not None
        self._spend(int(length))
        return Answer(answer.status, answer.headers, await self._reader.readexactly(int(length)))

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise CameraFault("no_moment", "too many bytes before it")


def _rtcp_kinds(data: bytes) -> list[int]:
    """Of each of the RTCP packets that came together."""
    found, at = [], 0
    while at + 4 <= len(data):
        found.append(data[at + 1])
        at += 4 * (int.from_bytes(data[at + 2 : at + 4], "big") + 1)
    return found
