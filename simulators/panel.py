"""A fire panel on a pty: speaks one of the serial protocols at line pace and answers its polls.

In a program:

    async with PanelSim("gst-layer-bus", link=Path("/tmp/panel1")) as panel:
        at_ns = await panel.raise_event("fire", "365089")   # monotonic ns of the byte that completed the first frame
        panel.silent = True; await panel.hang_up(); await panel.come_back()

On its own: `python -m simulators.panel gst-layer-bus --link /tmp/panel1`, commands on stdin, one JSON line for each:
`fire 365089`, `fault 100240`, `reset`, `say <hex>`, `noise 20`, `silent`, `talk`, `hang_up`, `come_back`, `quit`.

Addresses are as the protocol has them: six digits of user code (gst-layer-bus, gst-crt500), zone-point (gst-utd-digit),
loop-point (the others).
"""

import argparse
import asyncio
import random
import time
from collections import deque
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from drivers.profile import load_profiles
from simulators.orders import obey
from simulators.panel_talk import talk_of
from simulators.pty_port import PtyPort

HEARD_BYTES: Final = 4096
SPEAKS_S: Final = (0.0, 0.2, 0.6)  # after it was opened: a host throws away what came before it was ready to listen


class PanelSim:
    """One panel. `link` is the path of a symlink to its pty; `paced` False writes at once instead of at line speed."""

    def __init__(self, protocol: str, *, link: Path, paced: bool = True, baud: int | None = None) -> None:
        self.link = link
        self.silent = False
        self.heard = bytearray()  # the last bytes the host sent
        self._talk = talk_of(protocol)
        self._char_s = self._talk.line.char_bits / (baud or self._talk.line.baud) if paced else 0.0
        self._port = PtyPort(link, self._bytes, on_open=self._opened)
        self._inbox = bytearray()
        self._waiting: deque[bytes] = deque()  # answers for the next polls
        self._out: asyncio.Queue[tuple[bytes, asyncio.Future[int] | None]] = asyncio.Queue()
        self._pending: deque[tuple[bytes, asyncio.Future[int]]] = deque()
        self._free_at_s = 0.0
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
        self._port.hang_up()

    async def come_back(self) -> None:
        """Plug it in again, under the same path."""
        self._port.come_back()

    # -- the line ------------------------------------------------------------------------------------------------
    def _opened(self) -> None:
        for after_s in SPEAKS_S:
            asyncio.get_running_loop().call_later(after_s, self._keep_alive_now)

    def _bytes(self, data: bytes) -> None:
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
        self._port.write(data)
        return at_ns

    async def _keep_alive(self) -> None:
        period_s = self._talk.keepalive_s
        while period_s is not None:
            await asyncio.sleep(period_s)
            self._keep_alive_now()

    def _keep_alive_now(self) -> None:
        if self._talk.keepalive_s is not None and not self.silent:
            self._out.put_nowait((self._talk.keepalive(), None))


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
    async with PanelSim(protocol, link=link, paced=paced) as panel:
        await obey(link, partial(_command, panel))


def main() -> None:
    """Run one panel until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m simulators.panel", description="A fire panel on a pty.")
    parser.add_argument(
        "protocol", choices=[profile.name for profile in load_profiles(()).list() if profile.kind == "panel"]
    )
    parser.add_argument("--link", type=Path, required=True, help="path of the symlink to the pty")
    parser.add_argument("--fast", action="store_true", help="write at once instead of at line speed")
    given = parser.parse_args()
    asyncio.run(_main(given.protocol, given.link, not given.fast))


if __name__ == "__main__":
    main()
