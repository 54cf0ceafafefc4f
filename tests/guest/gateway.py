"""A gateway in a guest: our services under its systemd, a panel on its serial port, the county's centre within its reach."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_agent.tasks import end
from simulators.panel import PanelSim
from tests.brokers import Broker, Certificates
from tests.guest.agent import agent_image, blocks
from tests.guest.image import HERE
from tests.guest.machine import GATEWAY, Machine
from tests.proof.checker import Name
from tests.uplink.site import running_centre

CENTRE_PORT: Final = 8883
SITE: Final = """
[[panel]]
id = "panel1"
profile = "gst-layer-bus"
port = "/dev/ttyS1"
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The guest, and what stands around it."""

    guest: Machine
    panel: PanelSim
    broker: Broker
    centre_db: Path
    tls: Certificates


@asynccontextmanager
async def gateway(place: Path) -> AsyncIterator[Gateway]:
    """A commissioned gateway that has not been started, its panel, broker and centre."""
    # made beside the loop: a wire simulated on it must not stand still meanwhile
    image = await asyncio.to_thread(agent_image)
    tls = Certificates(place / "tls", also=[GATEWAY])
    cert, key = tls.client("centre")
    with (
        Broker(place, tls=tls) as broker,
        running_centre(place / "c", broker, tls_ca=tls.ca_file, cert=cert, key=key) as db,
    ):
        servers = {CENTRE_PORT: broker.port}
        async with (
            PanelSim("gst-layer-bus", link=place / "panel1", paced=False) as panel,
            Machine(image, place, servers=servers, more=with_panel(panel.link), own_time=True) as guest,
        ):
            await guest.up()
            await commissioned(guest, tls)
            yield Gateway(guest, panel, broker, db, tls)


def with_panel(port: Path) -> tuple[str, ...]:
    """Qemu's arguments for the guest's second serial port, /dev/ttyS1, at this pty."""
    return ("-chardev", f"serial,id=panel,path={port}", "-device", "isa-serial,chardev=panel")


async def commissioned(guest: Machine, tls: Certificates) -> None:
    """What install.md asks for between installing and starting: the time, the CA's signature, and what is wired."""
    # An interpreted guest's clock has fallen behind ours by now, and a certificate made today is not valid yesterday.
    await guest.run("date", "-s", f"@{time.time():.0f}")
    csr = await guest.get("/etc/edge-agent/tls/gateway.csr")
    await guest.put("/etc/edge-agent/tls/gateway.crt", tls.sign(csr))
    await guest.put("/etc/edge-agent/tls/ca.crt", tls.ca_file.read_bytes())
    config = (await guest.get("/etc/edge-agent/config.toml")).decode()
    assert 'host = "mqtt.example.cn"' in config
    config = config.replace('host = "mqtt.example.cn"', f'host = "{GATEWAY}"') + SITE
    await guest.put("/etc/edge-agent/config.toml", config, 0o640)
    await guest.run("chgrp", "edge-agent", "/etc/edge-agent/config.toml")


async def started(guest: Machine) -> None:
    """Part 5 of install.md, its `sync` too: the power may go at once."""
    (block,) = [block for block in blocks() if any("enable --now" in line for line in block)]
    await guest.shell("\n".join(line for line in block if line.startswith(("systemctl daemon-reload", "sync"))))


async def shown(guest: Machine, unit: str, *names: str) -> dict[str, str]:
    """What systemd says of a unit."""
    said = await guest.run("systemctl", "show", unit, "-p", ",".join(names))
    return dict(line.split("=", 1) for line in said.text.splitlines())


async def status(guest: Machine) -> Mapping[str, Any]:
    """The agent's own word on itself; empty while there is no core."""
    done = await guest.run("edge-agent", "status", "--json", check=False)
    return json.loads(done.text) if done.text.startswith("{") else {}


class Told:
    """What the core of a guest told as kept, in that order, over all its starts. Also what came just before a cut."""

    def __init__(self) -> None:
        self.accepted: dict[Name, dict[str, Any]] = {}
        self.renamed: list[Name] = []  # names given to two different records
        self._task: asyncio.Task[None] | None = None

    async def listen(self, guest: Machine) -> None:
        """From now on, until the guest ends."""
        await guest.put("/run/watch.py", (HERE / "watch.py").read_text())
        self._task = asyncio.create_task(self._hear(guest), name="told")

    async def _hear(self, guest: Machine) -> None:
        async for line in guest.follow("python3", "/run/watch.py"):
            said = json.loads(line)
            if said.get("push") != "event" or said["name"] is None:
                continue
            body = json.loads(said["event"]) if isinstance(said["event"], str) else said["event"]
            name = Name(said["name"]["epoch"], said["name"]["stream"], said["name"]["n"])
            if self.accepted.setdefault(name, body) != body:
                self.renamed.append(name)

    async def close(self) -> None:
        """After the guest was cut: hear the rest of what it had said."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=60)
            await end(self._task, forgive=(Exception,))
            self._task = None
