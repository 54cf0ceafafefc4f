"""A whole core in this process: real journal, real ptys, the strict fake board. Everything in it is the test's own."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from buffer.journal import Journal
from buffer.reader import JournalReader
from buffer.records import Priority
from drivers.gpio.fake import FakeGpio
from drivers.messages import PanelEvent
from edge_agent.clock import SystemClock, TimeSource
from edge_agent.config.model import Board, Config, Contact, Gateway, Panel
from edge_agent.config.uplinks import Uplink
from edge_agent.core import Core
from edge_agent.model import Kind
from tests.waiting import PATIENCE_S, until

BUZZER, FIRE_LAMP, FAULT_LAMP, LINK_LAMP = 17, 27, 22, 23
ACK, SILENCE, CONTACT = 5, 6, 12
OUTPUTS = {"buzzer": BUZZER, "fire_lamp": FIRE_LAMP, "fault_lamp": FAULT_LAMP, "link_lamp": LINK_LAMP}


class Site:
    """A directory short enough for a Unix socket, and the configuration in it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zg-core-"))
        (self.directory / "run").mkdir()
        self.config = Config(
            gateway=Gateway(id="ZG-CORE-0001", data_dir=self.directory / "data", run_dir=self.directory / "run"),
            board=Board(gpio="fake", outputs=OUTPUTS, buttons={"ack": ACK, "silence": SILENCE}),
            contacts=(Contact(id="pump-room", line=CONTACT, on_delay_s=0.0, off_delay_s=0.0),),
            profile_dirs=(self.directory / "profiles",),
        )

    def set(self, **changes: Any) -> "Site":
        """Change the configuration."""
        self.config = replace(self.config, **changes)
        return self

    def with_panel(self, *ids: str) -> "Site":
        """Listen to GST panels on `<directory>/<id>`."""
        panels = tuple(Panel(id=name, profile="gst-layer-bus", port=str(self.directory / name)) for name in ids)
        return self.set(panels=panels)

    def with_uplink(self) -> "Site":
        """One mandatory centre."""
        return self.set(uplinks=(Uplink(id="county", host="127.0.0.1"),))

    @asynccontextmanager
    async def running(
        self, before: Callable[[Core], None] | None = None, *, clock: TimeSource | None = None
    ) -> AsyncIterator["House"]:
        """A core until the block ends. `before` is called with the core before it runs."""
        core = Core(self.config, clock or SystemClock())
        if before is not None:
            before(core)
        task = asyncio.create_task(core.run())
        house = House(self, core, task)
        try:
            await house.until(lambda: not house.stopped_early() and house.watching(), "the core watches")
            yield house
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def records(self) -> list[dict[str, Any]]:
        """Every event the journal holds, oldest first within its stream, when no core runs."""
        return await asyncio.to_thread(self._records)

    def _records(self) -> list[dict[str, Any]]:
        with JournalReader.open(self.directory / "data") as reader:
            kept = reader.records((Priority.ALARM, Priority.FAULT, Priority.STATUS))
            return [json.loads(record.body) for record in kept]

    def remove(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)


class House:
    """One running core."""

    def __init__(self, site: Site, core: Core, task: "asyncio.Task[None]") -> None:
        self.site, self.core, self.task = site, core, task

    def stopped_early(self) -> bool:
        if self.task.done():
            self.task.result()
        return self.task.done()

    def watching(self) -> bool:
        """Every contact has been read once, and the buttons."""
        counted = self.core._sources.values()
        return all(source["up"] is not None for source in counted if source["kind"] in ("contacts", "buttons"))

    @property
    def gpio(self) -> FakeGpio:
        assert isinstance(self.core.gpio, FakeGpio)
        return self.core.gpio

    def output(self, line: int) -> bool:
        return bool(self.gpio.levels()["outputs"][str(line)])

    def sounding(self) -> bool:
        """Whether anything sounds, in the pauses of its beat too."""
        return bool(self.core.alarms.annunciation().buzzer.steps_ns)

    def alarms(self, kind: Kind = Kind.FIRE) -> list[str]:
        return [alarm.point for alarm in self.core.alarms.alarms() if alarm.kind is kind]

    def source(self, name: str) -> Mapping[str, object]:
        return next(source for source in self.core.sources() if source["id"] == name)

    async def push(self, line: int, held_s: float = 0.02) -> None:
        """Push a button and let it go, after the rest that makes it a push of its own."""
        await asyncio.sleep(0.12)
        self.gpio.wire({line: True})
        await asyncio.sleep(held_s)
        self.gpio.wire({line: False})

    async def durable(self) -> None:
        """All that was handed to the journal is committed."""
        journal = self.core.journal
        assert isinstance(journal, Journal)
        assert await asyncio.to_thread(journal.flush, PATIENCE_S)

    async def until(self, condition: Callable[[], object] | Callable[[], Awaitable[object]], what: str) -> None:
        """Await a condition. Raise AssertionError, naming it."""
        await until(condition, what)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    made = Site()
    try:
        yield made
    finally:
        made.remove()


def fire(point: str, core: Core, event: str = "fire") -> PanelEvent:
    """What a panel says of a point now."""
    return PanelEvent(point, event, core.now_ns(), {}, event.encode())


def of(found: Sequence[Mapping[str, Any]], **wanted: object) -> list[Mapping[str, Any]]:
    """The events in which all of `wanted` is so."""
    return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]
