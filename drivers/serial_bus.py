"""What every driver of a polled serial line does, whatever is spoken on it: port and polling side by side, silence before a
question, and the word for all its slaves when the port goes."""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from drivers.messages import LinkState, Observation, PointSpec, Sink
from drivers.polling import Polling
from drivers.schedule import Job, Schedule, Turn
from drivers.serial_link import SerialLink

THINK_S: Final = 1.0  # a slave answers within 0.5 s (DL/T 645 clause 5.3); radio and TCP bridges take longer


@dataclass(frozen=True, slots=True)
class Line:
    """The serial line. `timeout_s`: a slave's time to think, at least THINK_S."""

    port: str
    baud: int
    framing: str = "8N1"
    timeout_s: float = THINK_S
    open_port: Callable[..., SerialLink] = SerialLink


class Memory(Protocol):
    """The values of one slave."""

    def unknown(self, reason: str, at_ns: int) -> list[Observation]:
        """Nothing of it is known any more."""
        ...


@dataclass(slots=True, kw_only=True)
class Slave:
    """One device of the line. `points`: those it has before it speaks. `up` None: it never spoke."""

    id: str
    points: Sequence[PointSpec]
    memory: Memory
    up: bool | None = None
    counts: Counter[str] = field(default_factory=Counter)


AnySlave = TypeVar("AnySlave", bound=Slave)


class SerialBus(ABC, Generic[AnySlave]):
    """The driver of one line (docs/architecture.md, seams). Raises ValueError for a speed or framing that does not exist."""

    def __init__(
        self, id: str, line: Line, slaves: Sequence[AnySlave], jobs: Callable[[SerialLink], Iterable[Job]]
    ) -> None:
        """`jobs`: the questions, for which the port says how long bytes take."""
        self.id = id
        self._port = line.open_port(line.port, baud=line.baud, framing=line.framing)
        self._timeout_s = max(line.timeout_s, THINK_S)
        self._slaves = slaves
        self._schedule = Schedule(list(jobs(self._port)), timeout_s=self._timeout_s)
        self._polling = Polling(self._schedule, is_up=lambda: self._port.up, take=self._take)
        self._heard_s = 0.0
        self._counts: Counter[str] = Counter()  # of the line
        self._sink: Sink | None = None

    async def run(self, sink: Sink) -> None:
        """Poll and listen until cancelled."""
        self._sink = sink
        self._port.on_bytes, self._port.on_state = self._bytes, self._state
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._port.run(), name=f"{self.id}: port")
                tasks.create_task(self._polling.run(), name=f"{self.id}: poll")
        finally:
            self._sink = None

    def progress(self) -> int:
        """Grows at least every few seconds while the bus's task lives."""
        return self._polling.progress

    def specs(self) -> list[PointSpec]:
        """The points all slaves have before they speak."""
        return [spec for slave in self._slaves for spec in slave.points]

    @abstractmethod
    async def _take(self, turn: Turn) -> None:
        """Ask this question and tell what came of it."""

    @abstractmethod
    def _bytes(self, data: bytes, at_ns: int) -> None:
        """Bytes came, in this loop turn."""

    def _counters(self, kinds: Sequence[str]) -> dict[str, int]:
        """`kind` of all slaves together, `slave.kind` of each."""
        out = {kind: sum(slave.counts[kind] for slave in self._slaves) for kind in kinds}
        return out | {f"{slave.id}.{kind}": slave.counts[kind] for slave in self._slaves for kind in kinds}

    async def _quiet(self, most_s: float, not_before_s: float = 0.0) -> None:
        """Wait until the line has been silent for four characters, but no longer than `most_s`."""
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + most_s
        gap_s = max(self._port.char_s(4), 0.02)
        while (wait_s := min(max(self._heard_s + gap_s, not_before_s), give_up_s) - loop.time()) > 0:  # noqa: ASYNC110 - bytes move it
            await asyncio.sleep(wait_s)

    def _state(self, up: bool, reason: str, detail: str, at_ns: int) -> None:
        self._counts["opened" if up else "lost"] += 1
        seen: list[Observation] = [LinkState(self.id, up, at_ns, reason, detail)]
        if up:
            self._schedule.start(at_ns / 1e9)
        else:
            for slave in self._slaves:
                slave.up = None if slave.up is None else False
                seen += slave.memory.unknown("no_port", at_ns)
        self._polling.wake()
        self._tell(seen)

    def _alive(self, slave: AnySlave, at_ns: int, detail: str = "") -> list[Observation]:
        """It answered: the word that it is there, if that is news."""
        if slave.up:
            return []
        slave.up = True
        return [LinkState(slave.id, True, at_ns, "answering", detail)]

    def _silent(self, slave: AnySlave, result: str, at_ns: int) -> list[Observation]:
        """It does not answer."""
        slave.up = False
        state = LinkState(slave.id, False, at_ns, "no_answer", f"last={result}")
        return [state, *slave.memory.unknown(result, at_ns)]

    def _tell(self, seen: Sequence[Observation]) -> None:
        if seen and self._sink is not None:
            self._sink(seen)
