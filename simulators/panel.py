"""A fire panel on a pty: speaks one of the five serial protocols at line pace and answers its polls.

In a program:

    async with PanelSim("gst-layer-bus", link=Path("/tmp/panel1")) as panel:
        at_ns = await panel.raise_event("fire", "365089")   # monotonic ns of the byte that completed the first frame
        panel.silent = True; await panel.hang_up(); await panel.come_back()

On its own: `python -m simulators.panel gst-layer-bus --link /tmp/panel1`, commands on stdin, one JSON line for each:
`fire 365089`, `fault 100240`, `reset`, `say <hex>`, `noise 20`, `silent`, `talk`, `hang_up`, `come_back`, `quit`.

Addresses are as the protocol has them: six digits of user code (gst-layer-bus, gst-crt500), loop-point (the others).
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import select
import sys
import time
import tty
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from drivers.codecs import gst_crt500, gst_layer_bus, jbf_11s_old, lida_ld128e

_T = TypeVar("_T")
HEARD_BYTES: Final = 4096
COPIES: Final = 3  # the GST bus sends every frame three times
KEEPALIVE_S: Final = 3.0
REATTACH_S: Final = 0.02  # how often an unopened pty is looked at


@dataclass(frozen=True, slots=True)
class _Line:
    baud: int
    char_bits: int


class _Talk(ABC):
    """How one protocol speaks."""

    line: _Line
    keepalive_s: float | None = None

    @abstractmethod
    def event(self, event: str, address: str) -> bytes:
        """The frame of an event. Raises ValueError for one the protocol has no frame for."""

    def copies(self, frame: bytes) -> list[bytes]:
        """What follows the frame by itself."""
        return []

    def keepalive(self) -> bytes:
        """What is said now and then."""
        return b""

    def polled(self) -> bool:
        """Whether the panel speaks only when asked."""
        return False

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        """Take a poll off `heard` and return the answer; None when there is none yet."""
        heard.clear()
        return None


class _LayerBus(_Talk):
    line = _Line(2400, 10)
    keepalive_s = KEEPALIVE_S
    _kinds: Final = {"fire": 0x15, "fire_manual": 0x15, "fault": 0x21, "feedback": 0x22}

    def event(self, event: str, address: str) -> bytes:
        if event == "reset":
            return gst_layer_bus.encode_short(gst_layer_bus.RESET_OR_IDLE, b"\x55" * 4)
        kind = _pick(self._kinds, event)
        return gst_layer_bus.encode_event(kind, address, 11 if event == "fire_manual" else 3, "1#楼2层")

    def copies(self, frame: bytes) -> list[bytes]:
        return [frame] * (COPIES - 1)

    def keepalive(self) -> bytes:
        return gst_layer_bus.encode_short(gst_layer_bus.KEEPALIVE, bytes.fromhex("12211221"))


class _Printer(_Talk):
    line = _Line(9600, 10)
    _words: Final = {
        "fire": "首次火警",
        "fire_manual": "手动火警",
        "fault": "故障",
        "fault_restore": "故障恢复",
        "feedback": "反馈",
        "reset": "系统复位",
        "isolate": "屏蔽",
    }

    def event(self, event: str, address: str) -> bytes:
        word = _pick(self._words, event)
        body = f"\x1b\x3608/12/02  17:24\n  {_printed(address) if event != 'reset' else ''}\n\x1b\x39{word}\n"
        body += "\n" if event == "reset" else "裙楼一层上空\n感烟探测器\n\n"
        return body.encode("gb18030")


class _Polled(_Talk):
    def polled(self) -> bool:
        return True


class _Lida(_Polled):
    line = _Line(9600, 10)
    _commands: Final = {
        "fire": 0x01,
        "fault": 0x02,
        "fault_restore": 0x05,
        "feedback": 0x09,
        "feedback_restore": 0x0B,
        "silence": 0x30,
        "link_request": 0x40,
        "start": 0x44,
        "reset": 0x50,
        "mains_fault": 0x12,
    }

    def event(self, event: str, address: str) -> bytes:
        loop, point = (0, 0) if event == "reset" else _loop_point(address)
        return lida_ld128e.encode_event(_pick(self._commands, event), loop, point)

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        if lida_ld128e.POLL not in heard:
            heard.clear()
            return None
        del heard[: heard.index(lida_ld128e.POLL) + 1]
        return waiting.popleft() if waiting else bytes((lida_ld128e.IDLE,))


class _Jbf(_Polled):
    line = _Line(2400, 10)
    _codes: Final = {"fire": 0x0A, "fault": 0x0B, "feedback": 0x0C}

    def event(self, event: str, address: str) -> bytes:
        if event == "reset":
            return jbf_11s_old.encode_short(jbf_11s_old.RESET)
        code = _pick(self._codes, event.removesuffix("_restore"))
        loop, point = _loop_point(address)
        return jbf_11s_old.encode_event(code, loop, point, status=int(event.endswith("_restore")))

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        at = heard.find(jbf_11s_old.POLL)
        if at < 0:
            del heard[: -len(jbf_11s_old.POLL)]
            return None
        del heard[: at + len(jbf_11s_old.POLL)]
        return waiting.popleft() if waiting else jbf_11s_old.encode_short(jbf_11s_old.IDLE)


class _Crt500(_Polled):
    line = _Line(2400, 11)
    address = 1
    _frames: Final = {"fire": (0x0D, 3, 1), "fire_manual": (0x0D, 11, 1), "start": (0x0D, 76, 2), "fault": (0x0E, 3, 0)}

    def __init__(self) -> None:
        self._asked = b""  # the frame that has not been taken over yet

    def event(self, event: str, address: str) -> bytes:
        if event in ("reset", "silence"):
            return b"\x0a\xaa\xbb" if event == "reset" else b"\xfa\xab\xbb"
        first, device_type, status = _pick(self._frames, event)
        return gst_crt500.encode_event(first, address, device_type, status)

    def answer(self, heard: bytearray, waiting: deque[bytes]) -> bytes | None:
        while heard:
            if heard[0] == self.address:
                if len(heard) < 2:
                    return None
                del heard[:2]
                return bytes((self.address,))
            value = heard.pop(0)
            if value == gst_crt500.ASK:
                if self._asked:  # no 1F came: the same again, marked so
                    return bytes((self._asked[0] | 0xF0,)) + self._asked[1:]
                self._asked = waiting.popleft() if waiting else b""
                return self._asked or b"\xf0\xf0\xbb"
            if value == gst_crt500.TAKEN:
                self._asked = b""
        return None


_TALKS: Final[Mapping[str, Callable[[], _Talk]]] = {
    "gst-layer-bus": _LayerBus,
    "gst9000-printer": _Printer,
    "gst-crt500": _Crt500,
    "lida-ld128e": _Lida,
    "jbf-11s-old": _Jbf,
}
PROTOCOLS: Final = tuple(_TALKS)


class PanelSim:
    """One panel. `link` is the path of a symlink to its pty; `paced` False writes at once instead of at line speed."""

    def __init__(self, protocol: str, *, link: Path, paced: bool = True, baud: int | None = None) -> None:
        self.link = link
        self.silent = False
        self.heard = bytearray()  # the last bytes the host sent
        self._talk = _TALKS[protocol]()
        self._char_s = self._talk.line.char_bits / (baud or self._talk.line.baud) if paced else 0.0
        self._master = -1
        self._inbox = bytearray()
        self._waiting: deque[bytes] = deque()  # answers for the next polls
        self._out: asyncio.Queue[tuple[bytes, asyncio.Future[int] | None]] = asyncio.Queue()
        self._pending: deque[tuple[bytes, asyncio.Future[int]]] = deque()
        self._free_at_s = 0.0
        self._attached = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.come_back()
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._keep_alive())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.hang_up()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what the panel does -------------------------------------------------------------------------------------
    async def raise_event(self, event: str, address: str = "") -> int:
        """Say an event; return the monotonic ns at which the last byte of its first frame was written.

        A polled panel says it when it is asked. Raises ValueError for an event the protocol has no frame for.
        """
        frame = self._talk.event(event, address)
        return await self.say(frame, copies=self._talk.copies(frame))

    async def say(self, frame: bytes, *, copies: list[bytes] | None = None) -> int:
        """Say any bytes, as an answer if the panel is polled; return when the last of `frame` was written."""
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._talk.polled():
            self._waiting.append(frame)
            self._pending.append((frame, written))
        else:
            self._out.put_nowait((frame, written))
            for copy in copies or ():
                self._out.put_nowait((copy, None))
        return await written

    async def inject(self, data: bytes) -> int:
        """Put bytes on the line whether or not anybody asked; return when the last was written."""
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._out.put_nowait((data, written))
        return await written

    async def noise(self, count: int, chance: random.Random) -> int:
        """Put `count` random bytes on the line."""
        return await self.inject(chance.randbytes(count))

    async def hang_up(self) -> None:
        """Pull the plug: the pty and its path are gone."""
        if self._master < 0:
            return
        with contextlib.suppress(OSError):
            self.link.unlink()
        self._detach()
        os.close(self._master)
        self._master = -1

    async def come_back(self) -> None:
        """Plug it in again, under the same path."""
        if self._master >= 0:
            return
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        tty.setraw(slave)
        target = os.ttyname(slave)
        # Not kept open: the master hangs up when the reader goes, which is how a panel's silence towards nobody is known.
        os.close(slave)
        beside = self.link.with_name(self.link.name + ".new")
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()
        beside.symlink_to(target)
        beside.replace(self.link)
        self._watch()

    # -- the pty -------------------------------------------------------------------------------------------------
    def _watch(self) -> None:
        """Read the host while it has the port open; look again later while nobody has."""
        if self._master >= 0 and not self._attach():
            asyncio.get_running_loop().call_later(REATTACH_S, self._watch)

    def _attach(self) -> bool:
        """Whether somebody has the port open."""
        if not self._attached:
            poll = select.poll()
            poll.register(self._master, select.POLLIN)
            if any(flags & select.POLLHUP for _, flags in poll.poll(0)):
                return False
            self._attached = True
            asyncio.get_running_loop().add_reader(self._master, self._readable)
            self._keep_alive_now()
        return True

    def _detach(self) -> None:
        self._attached = False
        asyncio.get_running_loop().remove_reader(self._master)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 1024)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # EIO: the last reader closed the port
            data = b""
        if not data:
            self._detach()
            self._watch()
            return
        self.heard += data
        del self.heard[:-HEARD_BYTES]
        self._inbox += data
        while not self.silent and (answer := self._talk.answer(self._inbox, self._waiting)) is not None:
            written = None
            if self._pending and self._pending[0][0] == answer:
                written = self._pending.popleft()[1]
            self._out.put_nowait((answer, written))

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            frame, written = await self._out.get()
            if self.silent and written is None:
                continue
            at_ns = time.monotonic_ns()  # of nothing said, now
            if self._char_s:
                self._free_at_s = max(self._free_at_s, loop.time())
                for value in frame:
                    self._free_at_s += self._char_s
                    await asyncio.sleep(self._free_at_s - loop.time())
                    at_ns = self._put(bytes((value,)))
            else:
                at_ns = self._put(frame)
            if written is not None and not written.done():
                written.set_result(at_ns)

    def _put(self, data: bytes) -> int:
        """Write; return the moment before it: whoever reads on another processor may have acted before `write` returns."""
        at_ns = time.monotonic_ns()
        if self._master >= 0 and self._attach():
            with contextlib.suppress(OSError):  # a full pty is a line nobody reads
                os.write(self._master, data)
        return at_ns

    async def _keep_alive(self) -> None:
        period_s = self._talk.keepalive_s
        while period_s is not None:
            await asyncio.sleep(period_s)
            self._keep_alive_now()

    def _keep_alive_now(self) -> None:
        if self._talk.keepalive_s is not None and not self.silent:
            self._out.put_nowait((self._talk.keepalive(), None))


def _pick(table: Mapping[str, _T], event: str) -> _T:
    if event not in table:
        raise ValueError(f"no frame for {event!r}; there are {', '.join(table)}")
    return table[event]


def _loop_point(address: str) -> tuple[int, int]:
    loop, _, point = address.partition("-")
    return int(loop), int(point)


def _printed(address: str) -> str:
    loop, point = _loop_point(address)
    return f"{loop:03d}-{point:03d}"


async def _command(panel: PanelSim, words: list[str]) -> dict[str, object]:
    verb, *rest = words
    at_ns = time.monotonic_ns()
    if verb in ("silent", "talk"):
        panel.silent = verb == "silent"
    elif verb == "hang_up":
        await panel.hang_up()
    elif verb == "come_back":
        await panel.come_back()
    elif verb == "say":
        at_ns = await panel.say(bytes.fromhex("".join(rest)))
    elif verb == "noise":
        at_ns = await panel.noise(int(rest[0]) if rest else 16, random.Random())
    else:
        at_ns = await panel.raise_event(verb, rest[0] if rest else "")
    return {"did": verb, "at_ns": at_ns}


async def _main(protocol: str, link: Path, paced: bool) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with PanelSim(protocol, link=link, paced=paced) as panel:
        print(json.dumps({"did": "ready", "link": str(link)}), flush=True)
        while line := await lines.readline():
            words = line.decode(errors="replace").split()
            if words == ["quit"]:
                break
            if words:
                try:
                    done = await _command(panel, words)
                except ValueError as wrong:
                    done = {"error": str(wrong)}
                print(json.dumps(done), flush=True)


def main() -> None:
    """Run one panel until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m simulators.panel", description="A fire panel on a pty.")
    parser.add_argument("protocol", choices=PROTOCOLS)
    parser.add_argument("--link", type=Path, required=True, help="path of the symlink to the pty")
    parser.add_argument("--fast", action="store_true", help="write at once instead of at line speed")
    given = parser.parse_args()
    asyncio.run(_main(given.protocol, given.link, not given.fast))


if __name__ == "__main__":
    main()
