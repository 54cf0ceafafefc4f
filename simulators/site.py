"""A whole site on one computer: panel, bus, board, gateway, link, broker and centre, each a real program or a real port.

async with SimulatedSite() as site:
    await site.start_gateway()
    told_ns = await site.panel.raise_event("fire", "365090")
    await site.until(lambda: site.account().waiting == 0, "delivery")
"""

import asyncio
import contextlib
import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from buffer.faults import JournalError
from buffer.reader import JournalReader
from buffer.records import Priority
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.tasks import end
from simulators.board import Board
from simulators.broker import Broker
from simulators.centre import query
from simulators.link import Link
from simulators.modbus_slave import SlaveLine, slave_like
from simulators.panel import PanelSim
from simulators.process import Program

GATEWAY = "ZG-DEMO-0119"
BUZZER, FIRE_LAMP, FAULT_LAMP, LINK_LAMP = 17, 27, 22, 23
ACK, SILENCE, CALL_POINT = 5, 6, 12
DEAD_UNIT = 3
PATIENCE_S = 40.0
STOP_S = 5.0
SHORT = 40  # bytes of a directory that leaves room for run/board.sock.levels in the 107 of a Unix socket's path
EVENTS = (Priority.ALARM, Priority.FAULT, Priority.STATUS)

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
timeout_s = 1.0
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
[[bus.device]]
id = "arc1"
name = "一号配电柜电弧探测器"
profile = "afd-xy16"
address = 4
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
{more}
"""

RecordName = tuple[str, str, int]  # epoch, stream, n


@dataclass(frozen=True, slots=True)
class Account:
    """What became of every event record the core called kept, or that its journal holds."""

    records: int
    waiting: int  # in the gateway's journal and not yet at the centre
    lost: int  # in neither
    duplicates: int  # stored more than once under one event's id
    stored_ids: frozenset[str]


class SimulatedSite:
    """Owns everything it starts, in a short directory of its own. `more` is added to the configuration's end (TOML),
    `broker` names one kind of broker.

    Raise NoBroker where there is none; entering it raises SiteError when a part does not come up. The directory stays when
    something failed or `keep_logs` is set.
    """

    def __init__(self, *, more: str = "", broker: str = "") -> None:
        self.directory = _short_directory()
        self.keep_logs = False
        self._more = more
        self._close = contextlib.AsyncExitStack()
        self._close.callback(self._tidy)
        try:
            self.broker = Broker(self.directory, broker)
        except BaseException:
            self._tidy()
            raise
        self.link = Link(0)
        self.centre_db = self.directory / "centre.db"
        self.core, self.uplink = self._service("core", "run"), self._service("uplink", "uplink")
        self.programs = [self.broker.program, self.core, self.uplink]
        self.panel = PanelSim("gst-layer-bus", link=self.directory / "panel1")
        dead = slave_like(DEAD_UNIT, "eastron-sdm630")
        dead.fault = replace(dead.fault, dead=True)
        alive = [slave_like(1, "eastron-sdm630"), slave_like(2, "acrel-aim-r100"), slave_like(4, "afd-xy16")]
        self.bus = SlaveLine([*alive, dead], baud=9600, link=self.directory / "rtu1")
        self.accepted: dict[RecordName, dict[str, Any]] = {}  # what the core called kept: name -> event
        self.accepted_ns: dict[str, int] = {}  # event id -> when we heard that it is kept
        self.board: Board
        self.centre: Program

    def _service(self, name: str, command: str) -> Program:
        log = self.directory / f"{name}.log"
        return Program.python(name, "edge_agent", "--config", str(self.directory), command, log=log)

    # --- coming and going -----------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        close = self._close
        try:
            (self.directory / "run").mkdir()
            (self.directory / "data").mkdir()
            close.push_async_callback(self.broker.program.stop, STOP_S)
            try:
                await self.broker.start()
            except (OSError, TimeoutError):
                raise SiteError("broker", self) from None
            self.link.target_port = self.broker.port
            close.push_async_callback(self.link.close)
            await self.link.start()
            await self._start_centre()
            await close.enter_async_context(self.panel)
            self.bus.plug()
            close.callback(self.bus.unplug)
            text = CONFIG.format(gateway=GATEWAY, directory=self.directory, port=self.link.port, more=self._more)
            (self.directory / "config.toml").write_text(text, "utf-8")
            close.push_async_callback(self._stop_gateway)
            listener = asyncio.create_task(self._listen(), name="site-listener")
            close.push_async_callback(end, listener)
            await self.until(self._centre_ready, "centre")
        except BaseException:
            await close.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close.aclose()

    def _tidy(self) -> None:
        if not self.keep_logs:
            shutil.rmtree(self.directory, ignore_errors=True)

    async def _start_centre(self) -> None:
        where = ("--host", "127.0.0.1", "--port", str(self.broker.port), "--db", str(self.centre_db))
        self.centre = Program.python("centre", "simulators.centre", "run", *where, log=self.directory / "centre.log")
        self.programs.append(self.centre)
        self._close.push_async_callback(self.centre.stop, STOP_S)
        await self.centre.start()

    async def _stop_gateway(self) -> None:
        await asyncio.gather(self.core.stop(STOP_S), self.uplink.stop(STOP_S))

    async def start_gateway(self) -> None:
        """Core and uplink, until the board is there, the panel is heard and the uplink has told about the centre.

        Can be called again after `kill_gateway`; with the link cut it does not wait for the centre.
        """
        again = getattr(self, "board", None)
        connections = again.connections if again else 0
        await self.core.start()
        await self.uplink.start()
        if again is None:
            self.board = Board(self.directory / "run" / "board.sock")
            self.board.start()
            self._close.push_async_callback(self.board.close)
        await self.until(lambda: self.board.connected and self.board.connections > connections, "board")
        await self.until(lambda: self.is_up("panel1"), "panel")
        if self.link.up:
            await self.until(lambda: self.is_up("uplink/county"), "uplink")

    async def kill_gateway(self) -> None:
        """kill -9 of both processes."""
        await asyncio.gather(self.core.kill(), self.uplink.kill())

    # --- asking the gateway ---------------------------------------------------------------------------------------------

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

    # --- what became of it ----------------------------------------------------------------------------------------------

    def stored_ids(self) -> list[str]:
        """The event id of every record the centre stored, as often as it is stored. Raise sqlite3.Error."""
        with query.opened(self.centre_db) as database:
            rows = database.execute("SELECT json_extract(body, '$.id') FROM records").fetchall()
        return [event_id for (event_id,) in rows if event_id]

    def account(self) -> Account:
        """Hold what the core promised and what its journal holds against what the centre stored. Raise sqlite3.Error."""
        ids = self.stored_ids()
        with query.opened(self.centre_db) as database:
            rows = database.execute("SELECT epoch, stream, n FROM records JOIN streams USING (stream_id)")
            stored: set[RecordName] = {(epoch, stream, n) for epoch, stream, n in rows}
        journal = self._in_journal().keys()
        missing = (self.accepted.keys() | journal) - stored
        return Account(
            records=len(self.accepted.keys() | journal),
            waiting=len(missing & journal),
            lost=len(missing - journal),
            duplicates=len(ids) - len(set(ids)),
            stored_ids=frozenset(ids),
        )

    def _in_journal(self) -> dict[RecordName, bytes]:
        """Event records on the gateway's medium; none if nothing there can be read."""
        try:
            with JournalReader.open(self.directory / "data") as reader:
                found = [(record.name, record.body) for record in reader.records(EVENTS)]
        except JournalError:
            return {}
        return {(name.epoch, name.priority.stream, name.n): body for name, body in found}

    def _centre_ready(self) -> bool:
        return self.centre_db.exists() and self.stored_ids() is not None

    # --- waiting --------------------------------------------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], Awaitable[object] | object], what: str, within_s: float = PATIENCE_S
    ) -> None:
        """Await a condition. Raise SiteError after `within_s`, or as soon as a program has ended by itself."""
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
            ended = next((program.name for program in self.programs if program.ended), None)
            if ended is not None:
                raise SiteError("ended", self, ended)
            if loop.time() > deadline_s:
                raise SiteError(what, self)
            await asyncio.sleep(0.005)

    async def until_output(self, line: int, level: bool, what: str, *, after_ns: int | None = None) -> int:
        """Await a level of an output at or after a moment; return the monotonic ns of the change. Raise SiteError."""
        try:
            return await self.board.wait_output(line, level, PATIENCE_S, after_ns=after_ns)
        except TimeoutError:
            raise SiteError(what, self) from None

    async def _listen(self) -> None:
        """Hear what the core keeps, across its restarts."""
        while True:
            with contextlib.suppress(OSError, ApiError):
                client = await LocalClient.connect(self.directory / "run" / "core.sock")
                try:
                    await client.request("watch", what=["event"])
                    # What a core that has just started kept before we were there is not told again.
                    for name, body in (await asyncio.to_thread(self._in_journal)).items():
                        self._keep(name, json.loads(body))
                    async for push in client.pushes():  # also what was still in the socket when the core died
                        self._note(push)
                finally:
                    await client.close()
            await asyncio.sleep(0.005)

    def _note(self, push: dict[str, Any]) -> None:
        name = push.get("name")
        if name is None:
            return
        event = push["event"]
        self._keep((name["epoch"], name["stream"], name["n"]), json.loads(event) if isinstance(event, str) else event)

    def _keep(self, name: RecordName, event: dict[str, Any]) -> None:
        self.accepted[name] = event
        self.accepted_ns.setdefault(event["id"], time.monotonic_ns())


class SiteError(Exception):
    """`what` did not happen in time; "ended": `program` ended by itself. The directory is kept."""

    def __init__(self, what: str, site: SimulatedSite, program: str = "") -> None:
        super().__init__(what, program)
        site.keep_logs = True
        self.what, self.program, self.directory = what, program, site.directory
        self.tails = {program.name: program.tail(8) for program in site.programs}

    def __str__(self) -> str:
        tails = "\n".join(f"{name}: {line}" for name, tail in self.tails.items() for line in tail.splitlines())
        return f"{self.what} {self.program}\n{tails}"


def _short_directory() -> Path:
    made = tempfile.mkdtemp(prefix="zg-")
    if len(made.encode()) > SHORT:
        shutil.rmtree(made)
        made = tempfile.mkdtemp(prefix="zg-", dir="/tmp")
    return Path(made)
