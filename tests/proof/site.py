"""A whole gateway for the proofs: the real core, uplink, centre and broker as processes, a panel on a pty, a link to cut.

async with ProofSite() as site:
    await site.start()
    await site.panel.raise_event("fire", "000001")
"""

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from edge_agent.local_api import LocalClient
from simulators.board import Board
from simulators.link import Link
from simulators.panel import PanelSim
from simulators.process import Program
from tests.brokers import Broker
from tests.proof.checker import Name, Taken, read_centre
from tests.proof.witness import Witness
from tests.waiting import PATIENCE_S

GATEWAY = "ZG-PROOF-0001"
BUZZER, FIRE_LAMP, FAULT_LAMP, LINK_LAMP, CONTACT = 17, 27, 22, 23, 5


class ProofSite:
    """One site in a short directory of its own (a Unix socket's path has 107 bytes). Everything in it is ours to kill."""

    def __init__(self, *, data_dir: Path | None = None, acl: str | None = None, more: str = "") -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zg-proof-"))
        self.run_dir = self.directory / "run"
        self.data_dir = data_dir or self.directory / "data"
        self.centre_db = self.directory / "centre.db"
        self.more = more
        self.towards = ""  # where the [[uplink]] leads; "": to the broker over `link`
        for made in (self.run_dir, self.data_dir):
            made.mkdir(exist_ok=True)
        self.broker = Broker(self.directory, acl=acl, config="log_type information")  # it says when it has a new list
        self.panel = PanelSim("gst-layer-bus", link=self.directory / "panel1", paced=False)
        self.core = self._service("core", "run")
        self.uplink = self._service("uplink", "uplink")
        self.witness = Witness(self.run_dir / "core.sock")
        self.centre_options: tuple[str, ...] = ()
        self.centre_within: tuple[str, ...] = ()  # the command its command is run by: `ip netns exec NAME`
        self.centre: Program
        self.link: Link
        self._close = contextlib.AsyncExitStack()

    def _service(self, name: str, command: str) -> Program:
        log = self.directory / f"{name}.log"
        return Program.python(name, "edge_agent", "--config", str(self.directory), command, log=log)

    async def __aenter__(self) -> Self:
        try:
            self._close.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self._close.enter_context(self.broker)
            self.link = Link(self.broker.port)
            await self.link.start()
            self._close.push_async_callback(self.link.close)
            await self._close.enter_async_context(self.panel)
            where = ("--host", self.broker.host, "--port", str(self.broker.port), "--db", str(self.centre_db))
            self.centre = Program.python(
                "centre",
                "simulators.centre",
                "run",
                *where,
                *self.centre_options,
                log=self.directory / "centre.log",
            )
            self.centre.arguments = (*self.centre_within, *self.centre.arguments)
            await self.centre.start()
            self._close.push_async_callback(self.centre.stop)
            self._close.push_async_callback(self._end_services)
            self.configure()
            await self._close.enter_async_context(self.witness)
            await self.until(self.centre_db.exists, "the centre is there")
        except BaseException:
            await self._close.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close.aclose()

    async def _end_services(self) -> None:
        for program in (self.core, self.uplink):  # those of now: a proof may have put another in its place
            if program.running:
                await program.kill()

    def configure(self) -> None:
        """Write the configuration: one panel, one contact, the board, the county's centre behind the link."""
        (self.directory / "config.toml").write_text(
            f"""
            [gateway]
            id = "{GATEWAY}"
            data_dir = "{self.data_dir}"
            run_dir = "{self.run_dir}"
            [board]
            gpio = "fake"
            fake_socket = "{self.run_dir}/board.sock"
            [board.outputs]
            buzzer = {BUZZER}
            fire_lamp = {FIRE_LAMP}
            fault_lamp = {FAULT_LAMP}
            link_lamp = {LINK_LAMP}
            [[panel]]
            id = "panel1"
            profile = "gst-layer-bus"
            port = "{self.panel.link}"
            [[contact]]
            id = "pump-room"
            line = {CONTACT}
            [[uplink]]
            id = "county"
            {self.towards or 'host = "127.0.0.1"' + chr(10) + f"port = {self.link.port}"}
            {self.more}
            """,
            "utf-8",
        )

    async def start(self, within_s: float = PATIENCE_S) -> None:
        """Core and uplink, until the core reads the panel and the centre is reached."""
        await self.start_core()
        await self.uplink.start()
        await self.until(self.centre_reached, "the uplink reaches the centre", within_s)

    async def start_core(self) -> None:
        """The core alone, until it hears the panel."""
        await self.core.start()
        await self.until(self.panel_heard, "the core hears the panel")

    async def panel_heard(self) -> bool:
        """Whether the panel's own line says that it answers."""
        status = await self.status()
        return any(source["id"] == "panel1" and source["up"] for source in status.get("sources", ()))

    async def centre_reached(self) -> bool:
        """Whether the uplink says so."""
        status = await self.status()
        return any(uplink["up"] for uplink in status.get("uplinks", ()))

    async def ask(self, do: str, **params: object) -> Any:
        """One request to the core; None while it is not there."""
        try:
            client = await LocalClient.connect(self.run_dir / "core.sock")
        except OSError:
            return None
        try:
            async with asyncio.timeout(5):
                return await client.request(do, **params)
        except (ConnectionError, TimeoutError):
            return None
        finally:
            await client.close()

    async def status(self) -> dict[str, Any]:
        """The core's status; empty while it is not there."""
        found = await self.ask("status")
        return found if isinstance(found, dict) else {}

    async def alarms(self, kind: str) -> list[dict[str, Any]]:
        """What the core lists of one kind."""
        return [alarm for alarm in await self.ask("alarms") or () if alarm["kind"] == kind]

    async def board(self) -> Board:
        """The wiring, connected to the running core. Close it."""
        return await Board.connect(self.run_dir / "board.sock", PATIENCE_S)

    def at_centre(self) -> list[Taken]:
        """Every record the centre has, in the order of its names."""
        return read_centre(self.centre_db)

    def events_at_centre(self, **wanted: object) -> list[dict[str, Any]]:
        """The bodies at the centre in which these keys have these values."""
        bodies = (taken.body for taken in self.at_centre())
        return [body for body in bodies if all(body.get(key) == value for key, value in wanted.items())]

    def count_at_centre(self) -> int:
        """How many records the centre has; cheap."""
        with contextlib.closing(sqlite3.connect(f"file:{self.centre_db}?mode=ro", uri=True, timeout=5)) as db:
            row = db.execute("SELECT value FROM counters WHERE name = 'records'").fetchone()
        return int(row[0]) if row else 0

    def names_at_centre(self) -> set[Name]:
        """The names of all records at the centre."""
        with contextlib.closing(sqlite3.connect(f"file:{self.centre_db}?mode=ro", uri=True, timeout=5)) as db:
            rows = db.execute("SELECT epoch, stream, n FROM records JOIN streams USING (stream_id)")
            return {Name(*row) for row in rows}

    async def all_delivered(self, within_s: float = PATIENCE_S) -> None:
        """Wait until the centre has every name that was accepted. Raise AssertionError."""

        def missing() -> bool:
            return not self.witness.accepted.keys() - self.names_at_centre()

        await self.until(missing, "the centre has everything that was accepted", within_s, pause_s=0.25)

    async def until(
        self,
        condition: Callable[[], Awaitable[object] | object],
        what: str,
        within_s: float = PATIENCE_S,
        *,
        pause_s: float = 0.02,
    ) -> None:
        """Await a condition. Raise AssertionError with the ends of the logs after `within_s`."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + within_s
        while True:
            asked_s = loop.time()
            found = condition()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return
            if loop.time() > deadline_s:
                raise AssertionError(f"not within {within_s} s: {what}\n{self.report()}")
            # a centre's whole database is asked: that must not be what keeps the machine busy
            await asyncio.sleep(max(pause_s, min(2 * (loop.time() - asked_s), 0.5)))

    def report(self) -> str:
        """What the programs said last."""
        programs = [self.core, self.uplink, self.centre]
        return "\n".join(f"--- {p.name} running={p.running}\n{p.tail(15)}" for p in programs)


def note(proof: str, found: dict[str, object]) -> None:
    """Leave a result for `scripts/evidence`, if it asked for it."""
    print(proof, json.dumps(found, ensure_ascii=False))
    if directory := os.environ.get("EDGE_EVIDENCE_DIR"):
        (Path(directory) / f"{proof}.json").write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", "utf-8")


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
