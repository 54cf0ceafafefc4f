"""The gateway's core as it is started on a gateway, killed while a node tells it things: nothing is lost or doubled."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer.reader import JournalReader
from buffer.records import Priority
from edge_agent.local_api import LocalClient
from tests.brokers import Broker
from tests.node.bench import Node, powered
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.waiting import until

KILLS = int(os.environ.get("EDGE_NODE_KILLS", "4"))  # scripts/evidence asks for more
CONFIG = """
[gateway]
id = "ZG-NODE-0001"
data_dir = "{home}/data"
run_dir = "{home}/run"
[[mqtt]]
id = "mqtt1"
port = {port}
[[mqtt.device]]
id = "n1"
profile = "edge-node"
topic = "node1"
"""


class Gateway:
    """`edge-agent run`, in a process of its own."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        (home / "run").mkdir()
        (home / "config.toml").write_text(CONFIG.format(home=home, port=port))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge_agent", "--config", str(self.home), "run"], stdout=log, stderr=log
            )

    def kill(self, how: int = signal.SIGKILL) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait()

    def log(self) -> str:
        return (self.home / "log").read_text(errors="replace")[-2000:]

    async def ask(self, what: str) -> object:
        """What the core answers; None while it is not there."""
        try:
            client = await LocalClient.connect(self.home / "run/core.sock")
        except OSError:
            return None
        try:
            return await client.request(what)
        except (OSError, asyncio.IncompleteReadError):
            return None
        finally:
            await client.close()

    def fires(self) -> list[bool]:
        with JournalReader.open(self.home / "data") as reader:
            bodies = [json.loads(record.body) for record in reader.records((Priority.ALARM,))]
        return [one["active"] for one in bodies if (one["kind"], one["point"]) == ("fire", "n1/smoke")]


@pytest.fixture
def home() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="zg-node-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


async def see(node: Node, smoke: bool) -> None:
    before = node.newest()
    node.inputs(smoke_percent=50 if smoke else 1)
    await until(lambda: node.newest() > before, "in the node's flash")


@pytest.mark.asyncio
async def test_a_core_that_is_killed_again_and_again_has_each_change_once(tmp_path: Path, home: Path) -> None:
    chance = random.Random(20261126)
    with Broker(tmp_path, persistent=True) as broker, powered(tmp_path / "n", port=broker.port, slots=1024) as node:
        gateway = Gateway(home, broker.port)
        gateway.start()
        wanted: list[bool] = []
        try:
            await until(lambda: node.newest() >= 1, "the node starts")
            for _ in range(KILLS):
                for _ in range(chance.randint(1, 4)):
                    wanted.append(not (wanted and wanted[-1]))
                    await see(node, wanted[-1])
                    if chance.random() < 0.5:  # in the middle of it, or once it has been told
                        await asyncio.sleep(chance.uniform(0, 0.05))
                await asyncio.to_thread(gateway.kill)
                await asyncio.to_thread(gateway.start)
            started_s = time.monotonic()
            if wanted[-1]:
                wanted.append(False)
                await see(node, False)
            node.inputs(tamper=True)  # what comes last shows that all before it has come

            async def tampered() -> bool:
                rows = await gateway.ask("points")
                return isinstance(rows, list) and any(row["id"] == "n1/tamper" and row["active"] for row in rows)

            await until(tampered, f"all has come\n{node.said()}\n{gateway.log()}", within_s=240)
            delay_s = spread_s([time.monotonic() - started_s], "core started to all of it kept")
        finally:
            await asyncio.to_thread(gateway.kill, signal.SIGTERM)
    had = gateway.fires()
    found = {"kills": KILLS, "lost": max(0, len(wanted) - len(had)), "doubled": max(0, len(had) - len(wanted))}
    note("node-core-killed", {**found, "delay_s": delay_s})
    assert "Traceback" not in gateway.log()
    assert gateway.fires() == wanted, gateway.log()
