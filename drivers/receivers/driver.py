"""A receiver as the core runs it: one way in, one desk."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from drivers.codecs.base import Refused
from drivers.messages import PointSpec, Sink
from drivers.panel_clock import About
from drivers.receivers.desk import Desk, now_ns
from drivers.receivers.net import Door

BEAT_S: Final = 0.5


class ReceiverDriver:
    """`edge_agent.wiring.Driver` of one [[receiver]]."""

    def __init__(self, desk: Desk, door: Door, about: Callable[[], Sequence[About]] = tuple) -> None:
        """`about`: what the devices said of themselves."""
        self.id, self.about = desk.id, about
        self._desk, self.door = desk, door
        self._beats = 0
        self._bug: asyncio.Future[None] | None = None

    async def run(self, sink: Sink) -> None:
        """Receive until cancelled. A port or address that is gone is handled inside; any exception is a bug."""
        loop = asyncio.get_running_loop()
        self._bug = bug = loop.create_future()
        self._desk.sink, self._desk.on_bug = sink, self._stop
        door = loop.create_task(self.door.run(), name=f"{self.id}: door")
        tasks: set[asyncio.Future[None]] = {bug, door}
        try:
            while True:
                done, _ = await asyncio.wait(tasks, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                self._beats += 1
                at_ns = now_ns()
                self.door.tick(at_ns)
                self._desk.tick(at_ns)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, bug: Exception) -> None:
        """Hand a bug to run(), whose supervisor reports it and starts it again."""
        if self._bug is not None and not self._bug.done():
            self._bug.set_exception(bug)

    def progress(self) -> int:
        """Grows twice a second while run() and its tasks live."""
        return self._beats

    def counters(self) -> dict[str, int]:
        """Messages, events, copies, refusals and bytes since the start."""
        return {**self._desk.counts, **self.door.counters()}

    def specs(self) -> Sequence[PointSpec]:
        """None: points appear when a device names them."""
        return ()

    def refused(self) -> Sequence[Refused]:
        """The last refusals, oldest first, at most 64 of at most 256 bytes each."""
        return self._desk.refused()
