"""The far end of a bus: a port that hangs up, comes back, and speaks at the line's pace."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn

from simulators.pty_port import PtyPort

_PIECE_S: Final = 0.008  # a UART hands its bytes over about this often


class PtyLine(ABC):
    """`link`: a symlink to the master's end that survives replugging.

    `baud` paces what `pace` sends, None sends at once; `char_bits` is what one character takes on the line.
    """

    def __init__(self, *, baud: int | None = 9600, link: Path | None = None, char_bits: int = 10) -> None:
        self.baud = baud
        self._char_bits = char_bits
        self._port = PtyPort(link, self.received, held=True)  # a bus is there whether or not its master listens
        self._tasks: set[asyncio.Task[None]] = set()

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes of the master."""

    def char_s(self, count: int) -> float:
        """Seconds `count` characters take."""
        return count * self._char_bits / self.baud if self.baud else 0.0

    def plug(self) -> str:
        """Create the port and return its path. Call it in the running loop."""
        self._port.come_back()
        return str(self._port.link or self._port.path)

    def unplug(self) -> None:
        """The port hangs up and its path goes away."""
        for task in self._tasks:
            task.cancel()
        self._port.hang_up()

    async def serve(self) -> NoReturn:
        """Tell on standard output where it is, and be there until cancelled."""
        print(self.plug(), flush=True)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.unplug()
        raise AssertionError("unreachable")

    def send(self, data: bytes) -> None:
        """Put bytes on the line at once: noise, another master, an answer nobody waits for any more."""
        self._port.write(data)

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
