"""The far end of a serial line: a pty that hangs up, comes back, and speaks at the line's pace."""

import asyncio
import contextlib
import os
import pty
import tty
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

_PIECE_S: Final = 0.008  # a UART hands its bytes over about this often


class PtyLine(ABC):
    """`path` is the master's end (and `link`, a symlink that survives replugging).

    `baud` paces what `pace` sends, None sends at once; `char_bits` is what one character takes on the line.
    """

    def __init__(self, *, baud: int | None = 9600, link: Path | None = None, char_bits: int = 10) -> None:
        self.baud = baud
        self.link = link
        self.path = ""
        self._char_bits = char_bits
        self._fd = self._held = -1
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes of the master."""

    def char_s(self, count: int) -> float:
        """Seconds `count` characters take."""
        return count * self._char_bits / self.baud if self.baud else 0.0

    def plug(self) -> str:
        """Create the port and return its path. Call it in the running loop."""
        # Our own hold on the far end: without it every read here fails with EIO while nobody else has the port open.
        self._fd, self._held = pty.openpty()
        tty.setraw(self._held)
        self.path = os.ttyname(self._held)
        os.set_blocking(self._fd, False)
        if self.link is not None:
            self.link.unlink(missing_ok=True)
            self.link.symlink_to(self.path)
        asyncio.get_running_loop().add_reader(self._fd, self._readable)
        return str(self.link or self.path)

    def unplug(self) -> None:
        """The port hangs up and its path goes away."""
        for task in self._tasks:
            task.cancel()
        if self.link is not None:
            self.link.unlink(missing_ok=True)
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            os.close(self._held)
            self._fd = -1

    def send(self, data: bytes) -> None:
        """Put bytes on the line at once: noise, another master, an answer nobody waits for any more."""
        if self._fd >= 0:
            with contextlib.suppress(BlockingIOError, OSError):
                os.write(self._fd, data)

    async def pace(self, data: bytes) -> None:
        """Put bytes on the line at its speed."""
        if not self.baud:
            self.send(data)
            return
        loop = asyncio.get_running_loop()
        start_s, size = loop.time(), max(1, round(_PIECE_S * self.baud / self._char_bits))
        for at in range(0, len(data), size):
            piece = data[at : at + size]
            await asyncio.sleep(start_s + self.char_s(at + len(piece)) - loop.time())
            self.send(piece)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside what is going on; ended by `unplug`."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.received(os.read(self._fd, 4096))
