"""A receiver as the core runs it: one way in, one desk."""

import asyncio
from collections.abc import Callable, Sequence

from drivers.codecs.base import Refused
from drivers.heart import Heart
from drivers.messages import PointSpec, Sink
from drivers.panel_clock import About
from drivers.receivers.desk import Desk, now_ns
from drivers.receivers.net import Door


class ReceiverDriver:
    """`edge_agent.wiring.Driver` of one [[receiver]]."""

    def __init__(self, desk: Desk, door: Door, about: Callable[[], Sequence[About]] = tuple) -> None:
        """`about`: what the devices said of themselves."""
        self.id, self.about = desk.id, about
        self._desk, self.door = desk, door
        self._heart = Heart()

    async def run(self, sink: Sink) -> None:
        """Receive until cancelled. A port or address that is gone is handled inside; any exception is a bug."""
        self._desk.sink, self._desk.on_bug = sink, self._heart.stop
        door = asyncio.create_task(self.door.run(), name=f"{self.id}: door")
        await self._heart.run([door], self._tick)

    def _tick(self) -> None:
        at_ns = now_ns()
        self.door.tick(at_ns)
        self._desk.tick(at_ns)

    def progress(self) -> int:
        """Grows twice a second while run() and its tasks live."""
        return self._heart.beats

    def counters(self) -> dict[str, int]:
        """Messages, events, copies, refusals and bytes since the start."""
        return {**self._desk.counts, **self.door.counters()}

    def specs(self) -> Sequence[PointSpec]:
        """None: points appear when a device names them."""
        return ()

    def refused(self) -> Sequence[Refused]:
        """The last refusals, oldest first, at most 64 of at most 256 bytes each."""
        return self._desk.refused()
