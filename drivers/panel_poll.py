"""How polled panels are asked. Only what stands here is ever sent to a panel: polls, and the CRT500's taking-over byte."""

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Final, Protocol

from drivers.codecs import gst_crt500, jbf_11s_old, jbf_193k, lida_ld128e
from drivers.codecs.base import Codec, Frame
from drivers.serial_link import LinkDown, SerialLink

if TYPE_CHECKING:
    from drivers.profile import Profile

ANSWER_S: Final = 0.3  # from the last character sent to a whole frame: 10 characters take 46 ms, adapters add 16 ms
# A site may need another code byte in the Jade Bird poll, and nothing but that: the panel takes commands on the same port.
_JBF_POLL: Final = re.compile(rb"\xff{3}.\x00\x00\x01\x6e\x01\x0a\x00\x83", re.DOTALL)


class Poller(Protocol):
    """Asks a panel in time. `frame` and `refused` tell it what came back."""

    async def run(self) -> None:
        """Ask until cancelled; a closed port only makes it wait."""

    def frame(self, frame: Frame) -> None:
        """A sound frame came."""

    def refused(self, *, sound: bool) -> None:
        """Something was refused; `sound`: its bytes are right, and its meaning is what is missing."""

    def counters(self) -> dict[str, int]:
        """polls and, where answers are told apart, timeout."""
        ...


class PlainPoller:
    """The same bytes at a steady pace."""

    def __init__(self, link: SerialLink, poll: bytes, period_s: float) -> None:
        self._link, self._poll, self._period_s = link, poll, period_s
        self._polls = 0

    async def run(self) -> None:
        """Send the poll every period while the port is open."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            if self._link.up:
                try:
                    self._link.write(self._poll)
                    self._polls += 1
                except LinkDown:
                    pass  # the link tells its owner
            next_s = max(next_s + self._period_s, loop.time())  # a late loop does not send a burst
            await asyncio.sleep(next_s - loop.time())

    def frame(self, frame: Frame) -> None:
        """Nothing to wait for: any answer fits any poll."""

    def refused(self, *, sound: bool) -> None:
        """Nothing to wait for."""

    def counters(self) -> dict[str, int]:
        """How often it asked."""
        return {"polls": self._polls}


class Crt500Poller:
    """Address with mark parity, echo, 0F, one frame, 1F. A frame that was refused gets no 1F, and the panel resends it."""

    def __init__(self, link: SerialLink, codec: gst_crt500.GstCrt500, address: int, period_s: float) -> None:
        self._link, self._codec, self._address, self._period_s = link, codec, address, period_s
        self._waiting: asyncio.Future[bool] | None = None
        self._want_echo = False
        self._polls = 0
        self._timeouts = 0

    async def run(self) -> None:
        """Ask every period while the port is open."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        while True:
            if self._link.up:
                with contextlib.suppress(LinkDown):  # the link tells its owner
                    await self._ask()
            next_s = max(next_s + self._period_s, loop.time())
            await asyncio.sleep(next_s - loop.time())

    async def _ask(self) -> None:
        self._polls += 1
        self._codec.expect_echo = self._address
        self._link.set_parity("M")
        self._link.write(bytes((self._address, 0)))
        await self._link.drain()
        self._link.set_parity("S")
        if not await self._wait(echo=True):
            return
        self._link.write(bytes((gst_crt500.ASK,)))
        if await self._wait(echo=False):
            self._link.write(bytes((gst_crt500.TAKEN,)))

    async def _wait(self, *, echo: bool) -> bool:
        """Whether the echo, or a sound frame, came in time."""
        self._want_echo = echo
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._waiting
        except TimeoutError:
            self._timeouts += 1
            return False
        finally:
            self._waiting = None

    def frame(self, frame: Frame) -> None:
        """The echo or the frame that was waited for; our own bytes coming back are neither."""
        if frame.fields.get("direction") == "host_to_panel":
            return
        if (frame.fields.get("kind") == "echo") is self._want_echo:
            self._settle(True)

    def refused(self, *, sound: bool) -> None:
        """Do not take over what could not be read. What is only unknown is kept by us: the panel's next frame waits behind it."""
        if not self._want_echo:
            self._settle(sound)

    def counters(self) -> dict[str, int]:
        """How often it asked, and how often nothing came."""
        return {"polls": self._polls, "timeout": self._timeouts}

    def _settle(self, good: bool) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(good)


def make_poller(profile: "Profile", codec: Codec, link: SerialLink) -> Poller | None:
    """The poller of a profile, None for one that only listens. Raises ProfileError for a poll that is none."""
    from drivers.profile import ProfileError

    settings = profile.link
    if settings.poll_s is None:
        return None
    if isinstance(codec, gst_crt500.GstCrt500):
        return Crt500Poller(link, codec, settings.address, settings.poll_s)
    if isinstance(codec, lida_ld128e.LidaLd128e):
        return PlainPoller(link, bytes((lida_ld128e.POLL,)), settings.poll_s)
    if isinstance(codec, jbf_193k.Jbf193k):
        return PlainPoller(link, jbf_193k.POLL, settings.poll_s)
    if isinstance(codec, jbf_11s_old.Jbf11sOld):
        return PlainPoller(link, _jbf_poll(profile), settings.poll_s)
    raise ProfileError("bad_link", profile=profile.name, key="link.poll_s", value=settings.poll_s, expected="-")


def _jbf_poll(profile: "Profile") -> bytes:
    from drivers.profile import ProfileError

    meaning = profile.data.get("meaning")
    stated = meaning.get("poll", jbf_11s_old.POLL.hex()) if isinstance(meaning, dict) else ""
    try:
        poll = bytes.fromhex(str(stated))
    except ValueError:
        poll = b""
    if not _JBF_POLL.fullmatch(poll):
        told = {"where": "meaning.poll", "value": str(stated)[:60], "detail": "bad_poll"}
        raise ProfileError("bad_meaning", profile=profile.name, **told)
    return poll
