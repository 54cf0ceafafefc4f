"""A whole gateway updates itself: the wheel pip builds, real core, uplink, mosquitto and centre; but for systemd."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.local_api import LocalClient
from edge_agent.tasks import end
from edge_agent.update.slots import CURRENT, GOOD, Slots
from edge_agent.update.state import OPEN, REQUEST, SPOOL, Desk
from provisioning import update
from simulators.process import Program
from tests.brokers import Broker
from tests.proof.site import note
from tests.small_site import small_site
from tests.update.maker import PYTHONS, Maker, written_up
from tests.update.stand import CORE, ROOT, SYSTEMCTL, UPLINK
from tests.uplink.site import running_centre
from tests.waiting import PATIENCE_S, until

GATEWAY = "ZG-UPD-0001"
NEW = "9.1.0"
WAIT_FOR_IT = 'echo "$*" >ask; while [ -e ask ]; do sleep 0.02; done'


@pytest.fixture(scope="module")
def wheels() -> Iterator[Path]:
    """The project's own wheel and those it needs, as pip makes them; the version written up."""
    with tempfile.TemporaryDirectory(prefix="zg-wheels-") as place:
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "-w", place, str(ROOT)], check=True, timeout=250)
        [built] = Path(place).glob("zg119_edge_agent-*.whl")
        written_up(built, NEW)
        yield Path(place)


class Box:
    """One gateway. `keep` is its systemd: starts what ends, restarts what it is told to, and starts the updater when asked."""

    def __init__(self, place: Path, port: int, keys: Path) -> None:
        self.place, self.root, self.keys, self.port = place, place / "opt", keys, port
        self.control = place / "systemd"
        for name in ("etc", "data", f"data/{SPOOL}", "run", "bin", "systemd", "opt/slots"):
            (place / name).mkdir(parents=True)
        site = small_site(GATEWAY, data=place / "data", run=place / "run", port=port, commands=("update",))
        (place / "etc/config.toml").write_text(site, "utf-8")
        for name, text in (
            ("bin/systemctl", SYSTEMCTL.format(place=self.control, root=self.root)),
            ("systemd/at-restart", f"#!/bin/sh\n{WAIT_FOR_IT}\n"),
        ):
            (place / name).write_text(text)
            (place / name).chmod(0o755)
        self.slots, self.desk = Slots(self.root), Desk(self.root, place / "data" / SPOOL)
        self.by_hand("a")
        environ = {"PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
        command = (str(self.root / "current/bin/edge-agent"), "--config", str(place / "etc"))
        self.programs = {
            CORE: Program("run", (*command, "run"), place / "run.log"),
            UPLINK: Program("uplink", (*command, "uplink"), place / "uplink.log"),
        }
        words = (str(self.root / "good/bin/python"), "-P", "-m", "edge_agent.update", "--root", str(self.root))
        options = (
            "--config",
            str(place / "etc"),
            "--keys",
            str(keys),
            "--hold-s",
            "1",
            "--trial-s",
            str(3 * PATIENCE_S),
        )
        self.updater = Program("updater", (*words, *options), place / "updater.log", environ)

    def by_hand(self, slot: str) -> None:
        """The first installation: a venv that runs this checkout."""
        place = self.slots.path(slot)
        venv.EnvBuilder(symlinks=True, with_pip=False).create(place)
        packages = next((place / "lib").glob("python*/site-packages"))
        (packages / "checkout.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
        script = place / "bin/edge-agent"
        script.write_text(f"#!{place}/bin/python\nfrom edge_agent.cli import main\nmain()\n")
        script.chmod(0o755)
        self.slots.point(CURRENT, slot)
        self.slots.point(GOOD, slot)

    async def start(self) -> None:
        for unit, program in self.programs.items():
            (self.control / f"{unit}.state").write_text("active\n")
            await program.start()
        await until(self.listens, "the core listens")
        await until(self.reached, "a centre is reached")  # an order to a gateway that was never there is nobody's

    async def reached(self) -> bool:
        return any(centre["up"] for centre in (await self.ask("status")).get("uplinks", ()))

    async def listens(self) -> bool:
        try:
            client = await LocalClient.connect(self.place / "run/core.sock")
        except OSError:
            return False
        with contextlib.suppress(OSError):
            await client.close()
        return True

    async def keep(self) -> None:
        while True:
            if (asked := self.control / "ask").exists():
                await self._restart(asked.read_text().split())
                asked.unlink()
            for unit, program in self.programs.items():
                if program.ended:
                    count = self.control / f"{unit}.restarts"
                    count.write_text(str(int(count.read_text()) + 1 if count.exists() else 1))
                    await program.start()
            wanted = (self.desk.spool / REQUEST).exists() or (self.desk.directory / OPEN).exists()
            if wanted and not self.updater.running:
                await self.updater.start()
            await asyncio.sleep(0.02)

    async def _restart(self, units: list[str]) -> None:
        for unit in units:
            await self.programs[unit].stop(PATIENCE_S)
        for unit in units:
            await self.programs[unit].start()
            if unit == CORE:  # Type=notify: the word comes when it listens
                deadline_s = time.monotonic() + PATIENCE_S
                while not await self.listens() and not self.programs[unit].ended and time.monotonic() < deadline_s:
                    await asyncio.sleep(0.01)

    async def ask(self, do: str) -> Any:
        client = await LocalClient.connect(self.place / "run/core.sock")
        try:
            return await client.request(do)
        finally:
            await client.close()

    def offer(self, bundle: Path, name: str) -> "subprocess.CompletedProcess[str]":
        """As the people at the centre do it."""
        command = [
            sys.executable,
            "-m",
            "simulators.centre",
            "update",
            GATEWAY,
            str(bundle),
            "--id",
            name,
            "--by",
            "王五",
        ]
        return subprocess.run(
            [*command, "--port", str(self.port), "--json", "--wait", "120"],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )

    async def told(self, db: Path, count: int) -> list[dict[str, Any]]:
        """What the centre has of updates, once it is so many records."""
        try:
            await until(lambda: len(records(db)) >= count, f"the centre has {count} records", within_s=4 * PATIENCE_S)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{records(db)}\n{self.said()}") from None
        return records(db)

    def said(self) -> str:
        return "\n".join(program.tail(30) for program in (self.updater, *self.programs.values()))


@contextlib.asynccontextmanager
async def box(keys: Path, broker: Broker) -> AsyncIterator[Box]:
    place = Path(tempfile.mkdtemp(prefix="zg-box-"))
    made = Box(place, broker.port, keys)
    await made.start()
    keeping = asyncio.create_task(made.keep())
    try:
        yield made
    finally:
        await end(keeping)
        for program in (made.updater, *made.programs.values()):
            with contextlib.suppress(ProcessLookupError):
                await program.kill()
        shutil.rmtree(place, ignore_errors=True)


def records(db: Path) -> list[dict[str, Any]]:
    """What the centre has of updates, oldest first."""
    from simulators.centre import query

    with query.opened(db) as database:
        rows = database.execute("SELECT body FROM records ORDER BY received_ns, n").fetchall()
    found = [json.loads(body) for (body,) in rows]
    return [one["fields"] for one in found if one.get("point") == "command/update" and "before" in one["fields"]]


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_a_centre_updates_a_gateway_which_keeps_the_good_and_takes_back_the_bad(
    tmp_path: Path, maker: Maker, wheels: Path
) -> None:
    good = tmp_path / "good.zgb"
    update.make(wheels, 5, update.For(pythons=PYTHONS), good)
    bad = maker.bundle(version="9.2.0", counter=6)  # passes its own test, and is no service
    for name in ("vendor", "county"):
        update.sign(good, maker.key(name))
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with box(maker.keys, broker) as here:
            said = await asyncio.to_thread(here.offer, good, "u-1")
            answer = json.loads(said.stdout)
            assert (said.returncode, answer["result"].get("sent")) == (0, good.stat().st_size), (said, here.said())
            told = await here.told(db, 3)
            assert [one["status"] for one in told] == ["begun", "switched", "confirmed"], (told, here.said())
            assert {(one["command"], one["dest"], one["who"], one["version"]) for one in told} == {
                ("u-1", "county", "王五", NEW)
            }
            status = await here.ask("status")
            assert (status["version"], status["update"]["slot"], status["update"]["last"]["status"]) == (
                NEW,
                "b",
                "confirmed",
            )
            slots = (here.slots.named(CURRENT), here.slots.named(GOOD))
            assert slots == ("b", "b")
            away_ms = [one["away_ms"] for one in told if one["status"] == "switched"]

            said = await asyncio.to_thread(here.offer, bad, "u-2")
            assert said.returncode == 0, (said, here.said())
            ended = (await here.told(db, 5))[-1]
            assert (ended["status"], ended["code"], ended["before"]) == ("gone_back", "crashed", NEW), here.said()
            status = await here.ask("status")
            assert (status["version"], status["update"]["slot"], here.slots.named(GOOD)) == (NEW, "b", "b")
            [contacts] = [source for source in status["sources"] if source["id"] == "contacts"]
            assert contacts["up"] is True, "and hears"
            state = json.loads((here.desk.directory / "state.json").read_text().rpartition("#")[0])
            assert (state["floor"], state["phase"]) == (5, "idle")
    note("update-gateway", {"bundle_bytes": good.stat().st_size, "away_ms": away_ms})
