"""The loop of a polled bus: the next question when it is due, and on at once when its port is back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from drivers.schedule import Schedule, Turn

IDLE_MAX_S: Final = 1.0  # `progress` moves at least this often, port or no port


class Polling:
    """`is_up`: whether the port is there. `take`: ask this question and tell what came of it.

    `progress` grows with every turn; a driver whose questions take long lets it grow inside them too.
    """

    def __init__(
        self, schedule: Schedule, *, is_up: Callable[[], bool], take: Callable[[Turn], Awaitable[None]]
    ) -> None:
        self._schedule, self._is_up, self._take = schedule, is_up, take
        self._wake = asyncio.Event()
        self.progress = 0

    async def run(self) -> NoReturn:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self.progress += 1
            now_s = loop.time()
            if not self._is_up():
                await self.idle(IDLE_MAX_S)
            elif (turn := self._schedule.next(now_s)) is not None:
                await self._take(turn)
            else:
                await self.idle(min(max(self._schedule.wait_s(now_s), 0.001), IDLE_MAX_S))

    async def idle(self, wait_s: float) -> None:
        """Wait, but not through the port's coming back."""
        self._wake.clear()
        timer = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def wake(self) -> None:
        """The port has come or gone: look again now."""
        self._wake.set()
