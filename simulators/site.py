"""A whole site on one computer: panel, bus, board, gateway, link, broker and centre, each a real program or a real port.

async with SimulatedSite() as site:
    await site.start_gateway()
    told_ns = await site.panel.raise_event("fire", "365090")
"""

import asyncio
import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from edge_agent.local_api import ApiError, LocalClient
from simulators.board import Board
from simulators.broker import Broker
from simulators.centre import query
from simulators.link import Link
from simulators.modbus_slave import Slave, SlaveLine, slave_like
from simulators.panel import PanelSim
from simulators.process import Program

GATEWAY = "ZG-DEMO-0119"
OUTPUTS = {"buzzer": 17, "fire_lamp": 27, "fault_lamp": 22, "link_lamp": 23}
ACK, SILENCE, CALL_POINT = 5, 6, 12
DEAD_UNIT = 3

CONFIG = """
[gateway]
id = "{gateway}"
name = "示范服装厂"
data_dir = "{directory}/data"
run_dir = "{directory}/run"
[board]
gpio = "fake"
fake_socket = "{directory}/run/board.sock"
outputs = {{ buzzer = 17, fire_lamp = 27, fault_lamp = 22, link_lamp = 23 }}
buttons = {{ ack = 5, silence = 6 }}
[[panel]]
id = "panel1"
name = "消防控制室主机"
profile = "gst-layer-bus"
port = "{directory}/panel1"
[[bus]]
id = "rtu1"
port = "{directory}/rtu1"
baud = 9600
[[bus.device]]
id = "meter1"
name = "总电表"
profile = "eastron-sdm630"
address = 1
period_s = 2.0
[[bus.device]]
id = "leak1"
name = "一号配电柜"
profile = "acrel-aim-r100"
address = 2
[[bus.device]]
id = "meter2"
name = "二号电表"
profile = "eastron-sdm630"
address = 3
period_s = 2.0
[[contact]]
id = "stairs"
name = "东楼梯手报"
line = 12
kind = "fire_manual"
[[zone]]
id = "floor5"
points = ["panel1/365*"]
[[uplink]]
id = "county"
host = "127.0.0.1"
port = {port}
"""


class SimulatedSite:
    """Owns everything it starts, in a short directory of its own (a Unix socket's path has 107 bytes)."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zg-"))
        self.keep_logs = False
        self.broker = Broker(self.directory)
        self.link = Link(self.broker.port)
        self.centre_db = self.directory / "centre.db"
        centre = ("--host", "127.0.0.1", "--port", str(self.broker.port), "--db", str(self.centre_db))
        self.centre = Program.python("centre", "simulators.centre", "run", *centre, log=self.directory / "centre.log")
        self.core, self.uplink = self._service("core", "run"), self._service("uplink", "uplink")
        self.panel = PanelSim("gst-layer-bus", link=self.directory / "panel1")
        dead = slave_like(DEAD_UNIT, "eastron-sdm630")
        dead.fault = replace(dead.fault, dead=True)
        self.leak: Slave = slave_like(2, "acrel-aim-r100")
        self.bus = SlaveLine(
            [slave_like(1, "eastron-sdm630"), self.leak, dead], baud=9600, link=self.directory / "rtu1"
        )
        self.accepted: dict[tuple[str, str, int], dict[str, Any]] = {}  # what the core called kept: name -> event
        self.accepted_ns: dict[str, int] = {}  # event id -> when we heard that it is kept
        self.news = asyncio.Event()
        self.board: Board
        self._tasks = contextlib.AsyncExitStack()

    def _service(self, name: str, command: str) -> Program:
        log = self.directory / f"{name}.log"
        return Program.python(name, "edge_agent", "--config", str(self.directory), command, log=log)

    async def __aenter__(self) -> Self:
        close = self._tasks
        try:
            close.callback(self._tidy)
            (self.directory / "run").mkdir()
            (self.directory / "data").mkdir()
            close.push_async_callback(self.broker.program.stop)
            await self.broker.start()
            close.push_async_callback(self.link.close)
            await self.link.start()
            close.push_async_callback(self.centre.stop)
            await self.centre.start()
            await close.enter_async_context(self.panel)
            self.bus.plug()
            close.callback(self.bus.unplug)
            text = CONFIG.format(gateway=GATEWAY, directory=self.directory, port=self.link.port)
            (self.directory / "config.toml").write_text(text, "utf-8")
            for program in (self.core, self.uplink):
                close.push_async_callback(program.stop)
            listener = asyncio.create_task(self._listen(), name="site-listener")
            close.push_async_callback(_end, listener)
            await self.until(self.centre_db.exists, "centre")
        except BaseException:
            await close.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.aclose()

    def _tidy(self) -> None:
        if not self.keep_logs:
            shutil.rmtree(self.directory, ignore_errors=True)

    async def start_gateway(self) -> None:
        """Core and uplink, until the panel is heard and the centre reached."""
        await self.core.start()
        await self.uplink.start()
        self.board = await Board.connect(self.directory / "run" / "board.sock", 30.0)
        self._tasks.push_async_callback(self.board.close)
        await self.until(lambda: self.is_up("panel1"), "panel1")
        await self.until(lambda: self.is_up("uplink/county"), "uplink")

    async def kill_gateway(self) -> None:
        """kill -9 of both processes."""
        await asyncio.gather(self.core.kill(), self.uplink.kill())

    async def ask(self, do: str, **params: object) -> Any:
        """One request to the core; None while it is not there."""
        try:
            client = await LocalClient.connect(self.directory / "run" / "core.sock")
        except OSError:
            return None
        try:
            async with asyncio.timeout(5):
                return await client.request(do, **params)
        except (ConnectionError, TimeoutError, ApiError):
            return None
        finally:
            await client.close()

    async def is_up(self, source: str) -> bool:
        """Whether the core says that this source answers."""
        status = await self.ask("status") or {"sources": ()}
        return any(told["id"] == source and told["up"] for told in status["sources"])

    async def alarm_of(self, event_id: str) -> dict[str, Any] | None:
        """The core's alarm of an event."""
        return next((alarm for alarm in await self.ask("alarms") or () if alarm["event_id"] == event_id), None)

    def at_centre(self) -> list[query.Row]:
        """Every event the centre stored, each once."""
        with query.opened(self.centre_db) as database:
            return query.events(database, gateway=GATEWAY, limit=10_000)

    def names_at_centre(self) -> set[tuple[str, str, int]]:
        """The name of every record the centre stored."""
        with query.opened(self.centre_db) as database:
            rows = database.execute("SELECT epoch, stream, n FROM records JOIN streams USING (stream_id)")
            return {(epoch, stream, n) for epoch, stream, n in rows}

    def event_ids_at_centre(self) -> list[str]:
        """The event id of every stored record, as often as it is stored."""
        with query.opened(self.centre_db) as database:
            rows = database.execute("SELECT json_extract(body, '$.id') FROM records").fetchall()
        return [event_id for (event_id,) in rows if event_id]

    async def until(
        self, condition: Callable[[], Awaitable[object] | object], what: str, within_s: float = 40.0
    ) -> None:
        """Await a condition. Raise SiteError, which names the log to look into, after `within_s`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while True:
            try:
                found = condition()
                if isinstance(found, Awaitable):
                    found = await found
            except sqlite3.OperationalError:  # the centre is making its tables
                found = None
            if found:
                return
            if loop.time() > deadline_s:
                raise SiteError(what, self)
            await asyncio.sleep(0.005)

    async def _listen(self) -> None:
        """Hear what the core keeps, across its restarts."""
        while True:
            try:
                client = await LocalClient.connect(self.directory / "run" / "core.sock")
                await client.request("watch", what=["event"])
            except OSError:
                await asyncio.sleep(0.02)
                continue
            async for push in client.pushes():
                self._note(push)
            await client.close()

    def _note(self, push: dict[str, Any]) -> None:
        name = push.get("name")
        if name is None:
            return
        event = json.loads(push["event"])
        self.accepted[name["epoch"], name["stream"], name["n"]] = event
        self.accepted_ns.setdefault(event["id"], _now_ns())
        self.news.set()


class SiteError(Exception):
    """Something did not happen in time."""

    def __init__(self, what: str, site: SimulatedSite) -> None:
        super().__init__(what)
        site.keep_logs = True
        self.what, self.directory = what, site.directory
        programs = (site.core, site.uplink, site.centre, site.broker.program)
        self.tails = {program.name: program.tail(8) for program in programs}


def _now_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
