"""Tag readers of patrol points: whatever the wire, a tag that was held to the reader is told once.

`RDM6300` modules speak unasked, `PN532` modules are polled, USB readers type like a keyboard. None of them can be told from a
cloned tag: a read proves that a tag was there, not who held it.
"""

import asyncio
import errno
import fcntl
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Final

from drivers.codecs import pn532, rdm6300
from drivers.codecs.keyboard_wedge import EVENT, Typing
from drivers.heart import Heart
from drivers.messages import LinkState, TagRead, TagSink
from drivers.serial_link import REOPEN_FIRST_S, REOPEN_MAX_S, LinkDown, SerialLink

REST_S: Final = 3.0  # a tag that was away for so long is held to the reader anew
AGREE_S: Final = 1.0  # two equal reads within this are one tag
ANSWER_S: Final = 0.5  # a PN532 acknowledges a command within 15 ms
LISTEN_S: Final = 1.0  # it waits for a tag this long before it is asked anew
PAUSE_S: Final = 0.15
DEAF_AFTER: Final = 3  # commands in a row without an acknowledgement
WAKE_S: Final = 0.02
_EVIOCGRAB: Final = 0x40044590


class Gate:
    """Which reads count: `agree` equal ones in a row, and not again while the tag stays where it is."""

    def __init__(self, agree: int) -> None:
        self._agree = agree
        self._last, self._count, self._last_ns = "", 0, 0
        self._told, self._told_ns = "", 0

    def passes(self, tag: str, at_ns: int) -> bool:
        """Whether this read is a tag newly held to the reader."""
        fresh = tag == self._last and at_ns - self._last_ns <= AGREE_S * 1e9
        self._count = self._count + 1 if fresh else 1
        self._last, self._last_ns = tag, at_ns
        if tag == self._told and at_ns - self._told_ns <= REST_S * 1e9:
            self._told_ns = at_ns
            return False
        if self._count < self._agree:
            return False
        self._told, self._told_ns = tag, at_ns
        return True


class TagReader(ABC):
    """One reader on one port. `run` until cancelled; a vanished port is handled inside and told as LinkState."""

    agree = 1

    def __init__(self, *, id: str) -> None:
        self.id = id
        self._gate = Gate(self.agree)
        self._sink: TagSink = lambda told: None
        self._heart = Heart()
        self._state = ""
        self._counts = dict.fromkeys(("reads", "told", "refused", "reopened"), 0)

    @abstractmethod
    async def work(self) -> None:
        """Read until cancelled."""

    async def run(self, sink: TagSink) -> None:
        """Tell tags and the port's fate until cancelled. Any exception is a bug."""
        self._sink, self._state = sink, ""
        await self._heart.run([asyncio.create_task(self.work(), name=f"{self.id}: reader")])

    def progress(self) -> int:
        """Grows twice a second while run() lives."""
        return self._heart.beats

    def counters(self) -> Mapping[str, int]:
        """`reads` that made sense, `told` tags, `refused` ones, `reopened` ports."""
        return dict(self._counts)

    def read(self, tag: str | None, at_ns: int) -> None:
        """One read; None is one that made no sense: it is dropped quietly, the next repeat is not far."""
        if tag is None:
            self._counts["refused"] += 1
            return
        self._counts["reads"] += 1
        if self._gate.passes(tag, at_ns):
            self._counts["told"] += 1
            self._sink((TagRead(self.id, tag, at_ns),))

    def state(self, up: bool, reason: str, detail: str = "", at_ns: int | None = None) -> None:
        """The port or the module came or went; told once."""
        if self._state == (told := "up" if up else reason):
            return
        self._counts["reopened"] += bool(up and self._state)
        self._state = told
        self._sink((LinkState(self.id, up, now_ns() if at_ns is None else at_ns, reason, detail),))


class Rdm6300(TagReader):
    """125 kHz, 9600 8N1: repeats the tag every 50 ms while it is near. Silent without one: an open port is all to know."""

    agree = 2  # a cheap module sometimes gives a wrong number with a right check

    def __init__(self, *, id: str, port: str, open_port: Callable[..., SerialLink] = SerialLink) -> None:
        super().__init__(id=id)
        self._link = open_port(port, baud=9600, framing="8N1")
        self._buffer = bytearray()

    async def work(self) -> None:
        """Listen."""
        self._link.on_bytes = self._bytes
        self._link.on_state = self.state
        await self._link.run()

    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._buffer += data
        for said in rdm6300.take_reads(self._buffer):
            tag = said.get("tag_hex")
            self.read(tag if isinstance(tag, str) else None, at_ns)


class Pn532(TagReader):
    """13.56 MHz on a UART, 115200 8N1: woken, then asked for a tag again and again. Its acknowledgements show that it lives."""

    def __init__(self, *, id: str, port: str, open_port: Callable[..., SerialLink] = SerialLink) -> None:
        super().__init__(id=id)
        self._link = open_port(port, baud=115200, framing="8N1")
        self._buffer = bytearray()
        self._frames: asyncio.Queue[dict[str, object]] = asyncio.Queue(maxsize=64)

    async def work(self) -> None:
        """Open, wake, ask; from the beginning when the port goes."""
        self._link.on_bytes = self._bytes
        wait_s = REOPEN_FIRST_S
        while True:
            try:
                await self._link.open()
                wait_s = REOPEN_FIRST_S
                await self._talk()
            except LinkDown as down:
                self.state(False, down.reason, down.detail)
            finally:
                self._link.close()
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, REOPEN_MAX_S)

    async def _talk(self) -> None:
        deaf, awake = 0, False
        while True:
            if not awake:
                self._link.write(pn532.WAKE)
                await asyncio.sleep(WAKE_S)
                awake = await self._command(b"\x14\x01\x00\x01") is not None  # SAMConfiguration: normal mode
            found = await self._command(b"\x4a\x01\x00", wait_s=LISTEN_S) if awake else None
            if found is None:
                deaf, awake = deaf + 1, False
                if deaf >= DEAF_AFTER:
                    self.state(False, "no_answer")
                await asyncio.sleep(min(PAUSE_S * deaf, REOPEN_MAX_S))
                continue
            deaf = 0
            self.state(True, "answering")
            uid = found.get("uid")
            if isinstance(uid, str) and uid:
                self.read(uid, now_ns())
            await asyncio.sleep(PAUSE_S)

    async def _command(self, command: bytes, wait_s: float = ANSWER_S) -> dict[str, object] | None:
        """Its answer, {} if it took the command and has none yet, None if it did not even acknowledge. Raise LinkDown."""
        while not self._frames.empty():
            self._frames.get_nowait()
        self._link.write(pn532.frame(command))
        if (await self._next(ANSWER_S, "ack")) is None:
            return None
        answer = await self._next(wait_s, "answer")
        if answer is None:
            self._link.write(pn532.ACK)  # from this side it ends a command that still waits
        return answer or {}

    async def _next(self, wait_s: float, kind: str) -> dict[str, object] | None:
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    frame = await self._frames.get()
                    if frame.get("kind") == kind:
                        return frame
        except TimeoutError:
            return None

    def _bytes(self, data: bytes, at_ns: int) -> None:
        self._buffer += data
        for frame in pn532.take_frames(self._buffer):
            if frame.get("reject"):
                self._counts["refused"] += 1
            elif not self._frames.full():
                self._frames.put_nowait(frame)


class KeyboardWedge(TagReader):
    """A USB reader that types: /dev/input/by-id/...-event-kbd. It is grabbed, so that its keys reach no login prompt."""

    def __init__(self, *, id: str, port: str) -> None:
        super().__init__(id=id)
        self._path = port

    async def work(self) -> None:
        """Open, read, and open again when it was pulled out."""
        wait_s = REOPEN_FIRST_S
        while True:
            try:
                fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            except (OSError, ValueError) as fault:
                self.state(False, "no_port", _words(fault))
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, REOPEN_MAX_S)
                continue
            wait_s = REOPEN_FIRST_S
            try:
                if _grab(fd):
                    self.state(True, "opened")
                    self.state(False, "hang_up", await self._listen(fd))
                else:  # another program has it, and all it types
                    self.state(False, "no_port", "EBUSY")
            finally:
                os.close(fd)
            await asyncio.sleep(REOPEN_FIRST_S)

    async def _listen(self, fd: int) -> str:
        loop = asyncio.get_running_loop()
        gone: asyncio.Future[str] = loop.create_future()
        typing = Typing()

        def readable() -> None:
            why = ""
            try:
                data = os.read(fd, EVENT.size * 64)
                why = "" if data else "hung up"
            except (BlockingIOError, InterruptedError):
                return
            except OSError as fault:
                data, why = b"", errno.errorcode.get(fault.errno or 0, "error")
            if why:
                loop.remove_reader(fd)  # a dead descriptor is readable for ever
                if not gone.done():
                    gone.set_result(why)
                return
            for text in typing.feed(data):
                self.read(text, now_ns())

        loop.add_reader(fd, readable)
        try:
            return await gone
        finally:
            loop.remove_reader(fd)


def _grab(fd: int) -> bool:
    """Have the device for us alone. A pipe or pty of a simulator is no input device, and ours anyway."""
    try:
        fcntl.ioctl(fd, _EVIOCGRAB, 1)
    except OSError as fault:
        return fault.errno != errno.EBUSY
    return True


def now_ns() -> int:
    """The loop's clock in nanoseconds."""
    return round(asyncio.get_running_loop().time() * 1e9)


def _words(fault: Exception) -> str:
    code = getattr(fault, "errno", None)
    return errno.errorcode.get(code, "error") if isinstance(code, int) else "invalid name"
