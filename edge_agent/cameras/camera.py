"""One camera: a picture of it, one request at a time, in bounded time and size."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from edge_agent.cameras import recordings, replay, rtsp
from edge_agent.cameras.digest import Credentials
from edge_agent.cameras.faults import CameraFault
from edge_agent.cameras.http import Answer, Asked, Where, fetch
from edge_agent.cameras.onvif import ANSWER_MAX, EPOCH, Onvif, Picture
from edge_agent.china_time import CHINA
from edge_agent.config.model import Camera as Settings

HTTP_S: Final = 5.0  # all of a picture over HTTP or ONVIF, each fetch of it included
RTSP_S: Final = 10.0  # ffmpeg waits for a key frame
REPLAY_S: Final = 12.0  # the search for the recording, and a few seconds of it
CREDENTIALS_MAX: Final = 1024
PORTS: Final = {"http": 80, "https": 443, "rtsp": 554}
_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_SOAP_FAULTS: Final = (400, 500)  # why is in the body
_SOAP: Final = "application/soap+xml; charset=utf-8"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture. `taken_wall_ns` by our clock; `clock_off_ns`: the camera's clock less ours, None if it does not say."""

    jpeg: bytes
    taken_wall_ns: int
    clock_off_ns: int | None


def read_credentials(path: Path | None) -> Credentials | None:
    """The first line of the file, user:password. Raise CameraFault: credentials."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            line = file.read(CREDENTIALS_MAX).decode("utf-8").splitlines()[0]
    except (OSError, ValueError, IndexError):
        raise CameraFault("credentials") from None
    user, colon, password = line.partition(":")
    if not colon or not user or not line.isprintable():
        raise CameraFault("credentials")
    return Credentials(user, password)


def check_picture(body: bytes) -> bytes:
    """The body if it is a JPEG, without what cameras pad it with. Raise CameraFault: not_a_picture."""
    end = body.rfind(_END)
    if not body.startswith(_START) or end < 0:
        raise CameraFault("not_a_picture")
    return body[: end + len(_END)]


class Camera:
    """What the configuration says of one camera, and how to get at its pictures. Its methods raise CameraFault."""

    def __init__(self, settings: Settings, *, max_bytes: int, wall_ns: Callable[[], int]) -> None:
        self.id, self.settings = settings.id, settings
        self._max_bytes, self._wall_ns = max_bytes, wall_ns
        self._lock = asyncio.Lock()
        self._place: Picture | None = None  # ONVIF: as the camera last said
        self._kept: recordings.Kept | None = None  # where it keeps what it saw, likewise

    async def snapshot(self, *, anew: bool = False) -> Shot:
        """A picture of now. `anew`: ask the camera again where it is, and what its clock says."""
        if anew:
            self._place = None
        take = {"onvif": self._by_onvif, "http": self._by_http, "rtsp": self._by_rtsp}[self.settings.method]
        return await self._alone(take, RTSP_S if self.settings.method == "rtsp" else HTTP_S)

    async def before(self, moment_ns: int, end_ns: int, clock_off_ns: int | None) -> Shot:
        """A picture of our moment `moment_ns`, out of what the camera keeps, asked for by the camera's clock."""
        settings, path = self.settings, self.settings.before_path
        if settings.before_method == "onvif":
            return await self._alone(lambda: self._replayed(moment_ns, end_ns), REPLAY_S)
        for name, wall_ns in (("{start}", moment_ns), ("{end}", end_ns)):
            path = path.replace(name, self._stamp(wall_ns + (clock_off_ns or 0)))

        async def take() -> Shot:
            if settings.before_method == "rtsp":
                jpeg = await self._grab(settings.before_port or PORTS["rtsp"], path)
            else:
                jpeg = (await self._get(settings.before_port or self._port(), path)).body
            return Shot(check_picture(jpeg), moment_ns, clock_off_ns)

        return await self._alone(take, RTSP_S if settings.before_method == "rtsp" else HTTP_S)

    @property
    def keeps(self) -> bool:
        """Whether the configuration says that it keeps what it saw."""
        return self.settings.before_method == "onvif" or bool(self.settings.before_path)

    async def look_for_recording(self) -> None:
        """Ask the camera where it keeps what it saw, before an alarm wants it; nothing where it is not asked by ONVIF."""
        if self.settings.before_method == "onvif":
            self._kept = None
            self._kept = await self._alone(lambda: self._recording(self._wall_ns()), REPLAY_S)

    def _stamp(self, wall_ns: int) -> str:
        moment = EPOCH + timedelta(microseconds=wall_ns // 1000)
        zone = UTC if self.settings.before_clock == "utc" else CHINA
        return moment.astimezone(zone).strftime(self.settings.before_format)

    async def _alone(self, take: Callable[[], Awaitable[T]], seconds: float) -> T:
        """One request at a time: cheap cameras fall over at two."""
        try:
            async with asyncio.timeout(seconds * 2), self._lock, asyncio.timeout(seconds):
                return await take()
        except TimeoutError:
            raise CameraFault("timeout") from None

    # --- by method ------------------------------------------------------------------------------------------------------

    async def _by_http(self) -> Shot:
        before_ns = self._wall_ns()
        answer = await self._get(self._port(), self.settings.path)
        return Shot(check_picture(answer.body), before_ns, _clock_off(answer, before_ns))

    async def _by_onvif(self) -> Shot:
        place, self._place = self._place, None
        if place is None:
            place = await self._onvif().picture(self.settings.profile)
        before_ns = self._wall_ns()
        jpeg = check_picture((await self._get(place.port or self._port(), place.path)).body)
        self._place = place  # it was right: the next picture comes sooner
        return Shot(jpeg, before_ns, place.clock_off_ns)

    async def _by_rtsp(self) -> Shot:
        before_ns = self._wall_ns()
        jpeg = await self._grab(self.settings.port or PORTS["rtsp"], self.settings.path)
        return Shot(check_picture(jpeg), before_ns, None)

    async def _recording(self, moment_ns: int) -> recordings.Kept:
        return await recordings.find(self._onvif(), moment_ns, self.settings.before_recording)

    async def _replayed(self, moment_ns: int, end_ns: int) -> Shot:
        kept, self._kept = self._kept, None
        if kept is None:
            kept = await self._recording(moment_ns)
        who, off_ns = read_credentials(self.settings.credentials_file), kept.clock_off_ns or 0
        port = self.settings.before_port or kept.port or PORTS["rtsp"]
        source = replay.Source(self.settings.host, port, kept.path, who, self.settings.basic)
        clip = await replay.pull(source, moment_ns + off_ns, end_ns + off_ns)
        jpeg = await rtsp.last_frame(clip.codec, clip.stream, clip.pictures, max_bytes=self._max_bytes)
        self._kept = kept  # it was right
        return Shot(check_picture(jpeg), clip.at_ns - off_ns, kept.clock_off_ns)

    # --- wires ----------------------------------------------------------------------------------------------------------

    def _onvif(self) -> Onvif:
        who = read_credentials(self.settings.credentials_file)
        return Onvif(self._post, who, wall_ns=self._wall_ns, random_bytes=os.urandom)

    def _port(self) -> int:
        """Of its HTTP service."""
        scheme = "https" if self.settings.tls else "http"
        return (self.settings.port if self.settings.method != "rtsp" else None) or PORTS[scheme]

    def _where(self, port: int) -> Where:
        context: ssl.SSLContext | None = None
        if self.settings.tls:
            try:
                context = ssl.create_default_context(cafile=str(self.settings.ca_file))
            except (OSError, ssl.SSLError):
                raise CameraFault("tls", "ca_file") from None
        return Where(self.settings.host, port, context)

    async def _get(self, port: int, path: str) -> Answer:
        who = read_credentials(self.settings.credentials_file)
        asked = Asked("GET", _filled(path, who))
        return await fetch(self._where(port), asked, who, max_bytes=self._max_bytes, basic=self.settings.basic)

    async def _post(self, path: str, envelope: bytes) -> bytes:
        who = read_credentials(self.settings.credentials_file)
        asked = Asked("POST", path, {"Content-Type": _SOAP}, envelope)
        where, basic = self._where(self._port()), self.settings.basic
        answer = await fetch(where, asked, who, max_bytes=ANSWER_MAX, basic=basic, also=_SOAP_FAULTS)
        return answer.body

    async def _grab(self, port: int, path: str) -> bytes:
        who = read_credentials(self.settings.credentials_file)
        url = rtsp.address(self.settings.host, port, _filled(path, who), who)
        return await rtsp.grab(url, max_bytes=self._max_bytes)


def _filled(path: str, who: Credentials | None) -> str:
    """The path with {user} and {password} in it replaced: some cameras want them there. Never to be logged."""
    if who is None:
        return path
    return path.replace("{user}", quote(who.user, safe="")).replace("{password}", quote(who.password, safe=""))


def _clock_off(answer: Answer, asked_ns: int) -> int | None:
    """The camera's clock less ours by the Date of its answer, which is cut to the second."""
    try:
        moment = parsedate_to_datetime(answer.header("date"))
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    said_ns = (moment - EPOCH) // timedelta(microseconds=1) * 1000
    return said_ns - asked_ns
