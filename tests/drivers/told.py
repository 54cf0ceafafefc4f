"""A driver that runs while a test listens to all it tells."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from drivers.messages import LinkState, Observation, PanelEvent, PointFault, Reading, Sink


class Told:
    """A sink that keeps everything; `calls`: what came together."""

    def __init__(self) -> None:
        self.calls: list[list[Observation]] = []

    def __call__(self, seen: Sequence[Observation]) -> None:
        self.calls.append(list(seen))

    @property
    def all(self) -> list[Observation]:
        return [one for call in self.calls for one in call]

    def links(self, source: str) -> list[tuple[bool, str]]:
        return [(one.up, one.reason) for one in self.all if isinstance(one, LinkState) and one.source == source]

    def events(self) -> list[tuple[str, str]]:
        return [(one.point, one.event) for one in self.all if isinstance(one, PanelEvent)]

    def faults(self, point: str) -> list[str]:
        return [one.reason for one in self.all if isinstance(one, PointFault) and one.point == point]

    def values(self, point: str) -> list[float | bool]:
        return [one.value for one in self.all if isinstance(one, Reading) and one.point == point]


class Runs(Protocol):
    async def run(self, sink: Sink) -> None: ...


@asynccontextmanager
async def running(driver: Runs) -> AsyncIterator[Told]:
    """The driver, until the end of the block; that it ends by itself is a failure."""
    told = Told()
    task = asyncio.create_task(driver.run(told))
    try:
        yield told
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
