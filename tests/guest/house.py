"""A core in the guest with a board, and the hands that reach it from outside: its wires, its USB sockets, its local API."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge_agent.local_api import LocalClient
from edge_agent.tasks import end
from tests.guest.board import PLACE
from tests.guest.image import HERE
from tests.guest.machine import Machine

PL061_BYTES: Final = 0x0903_0000  # where `virt` has its GPIO chip
DATA_OF_ALL: Final = 0x3FC  # its data register under the mask that lets every line through
LINES: Final = 8
CHIP: Final = "9030000.pl061"
SOCKET: Final = "/run/edge-agent/core.sock"
JOURNAL: Final = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from buffer.reader import JournalReader
from buffer.records import Priority
with JournalReader.open(Path("/var/lib/edge-agent")) as reader:
    for record in reader.records((Priority.ALARM, Priority.FAULT, Priority.STATUS)):
        print(record.body.decode())
"""
USB: Final = ("-device", "qemu-xhci,id=usb")
WATCHDOG: Final = ("-device", "i6300esb", "-action", "watchdog=pause")


class Wires:
    """What is soldered to the chip, qemu's PL061: outputs can be read from outside, inputs driven. A closed contact pulls low.

    It has eight lines, of which the kernel holds one (a power button), and no pull-ups: every input is driven before a core looks.
    """

    def __init__(self, guest: Machine, path: str) -> None:
        self._guest, self._path = guest, path

    @classmethod
    async def of(cls, guest: Machine) -> "Wires":
        """The chip's lines, all inputs pulled up."""
        found = await guest.qmp("qom-list", path="/machine/unattached")
        (name,) = [child["name"] for child in found if child["type"] == "child<pl061>"]
        wires = cls(guest, f"/machine/unattached/{name}")
        for line in range(LINES):
            if line != 3:  # the power button, which is pressed while it is high
                await wires.open(line)
        return wires

    async def close(self, line: int) -> None:
        """Close the contact at this line."""
        await self._guest.qtest(f"set_irq_in {self._path} unnamed-gpio-in {line} 0")

    async def open(self, line: int) -> None:
        """Open it."""
        await self._guest.qtest(f"set_irq_in {self._path} unnamed-gpio-in {line} 1")

    async def pins(self) -> list[bool]:
        """The level of every pin, the driven ones too."""
        word = int(await self._guest.qtest(f"readl {PL061_BYTES + DATA_OF_ALL:#x}"), 16)
        return [bool(word >> line & 1) for line in range(LINES)]


class Socket:
    """A USB socket of the guest, and the wire to a panel that hangs on the adapter in it."""

    def __init__(self, guest: Machine, number: int, chardev: str) -> None:
        self._guest, self._number, self._chardev, self._count = guest, number, chardev, 0

    async def plug(self) -> None:
        """Put an FTDI adapter in."""
        self._count += 1
        await self._guest.qmp(
            "device_add",
            driver="usb-serial",
            id=self._id,
            bus="usb.0",
            port=str(self._number),
            chardev=self._chardev,
            **{"always-plugged": True},
        )

    async def pull(self) -> None:
        """Pull it out."""
        await self._guest.qmp("device_del", id=self._id)

    @property
    def _id(self) -> str:
        return f"adapter{self._number}-{self._count}"


@dataclass(frozen=True, slots=True)
class Spent:
    """What has passed on a guest's clock, and of its one processor on anything at all and on the core's threads."""

    up_s: float
    busy_s: float
    core_s: float

    def since(self, before: "Spent") -> "Spent":
        """What lies between."""
        return Spent(self.up_s - before.up_s, self.busy_s - before.busy_s, self.core_s - before.core_s)


def told(events: Sequence[Mapping[str, Any]], point: str, kind: str = "") -> list[bool]:
    """Whether it began or ended, each time something was said of a point. That nobody acknowledged it is no change of it."""
    of_it = [e for e in events if e["point"] == point and kind in ("", e["kind"])]
    return [e["active"] for e in of_it if "escalates" not in e.get("fields", ())]


class House:
    """One core in the guest."""

    def __init__(self, guest: Machine, wires: Wires, api: LocalClient, pid: int) -> None:
        self.guest, self.wires, self.api, self.pid = guest, wires, api, pid
        self.events: list[dict[str, Any]] = []  # every one of them, in order
        self.log: list[str] = []

    def told(self, point: str, kind: str = "") -> list[bool]:
        """Whether it began or ended, each time something was said of this point."""
        return told(self.events, point, kind)

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for what the core says. Raise AssertionError with its log."""
        try:
            async with asyncio.timeout(self.guest.patience_s):
                while not condition():
                    assert self.guest.running, self.guest.log()[-2000:]
                    await asyncio.sleep(0.02)
        except TimeoutError:
            tail = "\n".join(self.log[-20:])
            raise AssertionError(f"not within {self.guest.patience_s} s: {what}\n{self.events[-5:]}\n{tail}") from None

    async def sources(self) -> dict[str, Mapping[str, Any]]:
        """The core's sources by id."""
        status: Any = await self.api.request("status")
        return {source["id"]: source for source in status["sources"]}

    async def only_in_alarm(self, point: str) -> None:
        """Wait until this point is in alarm. Raise AssertionError if another is."""
        async with asyncio.timeout(self.guest.patience_s):
            while True:
                alarms: Any = await self.api.request("alarms")
                found = [alarm["point"] for alarm in alarms]
                if found == [point]:
                    return
                assert not found, (found, self.log)
                await asyncio.sleep(0.1)

    async def journal(self) -> list[dict[str, Any]]:
        """Every event that is kept, oldest first within its stream."""
        done = await self.guest.run("python3", "-c", JOURNAL, f"/{PLACE}")
        return [json.loads(line) for line in done.out.splitlines()]

    async def spent(self) -> Spent:
        """Up to now, in seconds of the guest's own clock."""
        said = await self.guest.shell(f"cat /proc/uptime /proc/{self.pid}/task/*/schedstat")
        (up, idle), *threads = (line.split() for line in said.splitlines())
        return Spent(float(up), float(up) - float(idle), sum(int(ran) for ran, *_ in threads) / 1e9)


@asynccontextmanager
async def port() -> AsyncIterator[tuple[Path, Sequence[str]]]:
    """A directory for the sockets to the guest, and qemu's arguments for the one to the core."""
    place = Path(tempfile.mkdtemp(prefix="zg-house-"))
    try:
        yield (
            place,
            (
                *("-chardev", f"socket,id=core,path={place}/core,server=on,wait=off"),
                *("-device", "virtserialport,chardev=core,name=edge.core"),
            ),
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def house(guest: Machine, place: Path, wires: Wires, config: str) -> AsyncIterator[House]:
    """A core with this configuration, and everything it says."""
    await guest.put("/etc/edge-agent/config.toml", config)
    await guest.put("/opt/guest/bridge.py", (HERE / "bridge.py").read_text())
    program = "python3 -m edge_agent --config /etc/edge-agent run"
    start = f"cd /{PLACE}; mkdir -p /run/edge-agent; echo $$ > /run/core.pid; exec {program} 2>&1"
    log: list[str] = []
    tasks = [
        asyncio.create_task(_listen(guest, log, "sh", "-c", start)),
        asyncio.create_task(_listen(guest, log, "python3", "/opt/guest/bridge.py", SOCKET)),
    ]
    api = await LocalClient.connect(place / "core")
    try:
        request = asyncio.create_task(api.request("watch", what=["event"]))
        done, _ = await asyncio.wait({request, *tasks}, timeout=guest.patience_s, return_when=asyncio.FIRST_COMPLETED)
        assert request in done, "\n".join(["the core does not answer", *log])
        found = House(guest, wires, api, int((await guest.get("/run/core.pid")).split()[0]))
        found.log = log
        tasks.append(asyncio.create_task(_hear(api, found.events)))
        yield found
    finally:
        await end(*tasks, forgive=(Exception,))
        await api.close()


async def _listen(guest: Machine, log: list[str], *command: str) -> None:
    async for line in guest.follow(*command):
        log.append(line.decode("utf-8", "replace"))
    log.append(f"{command[0]} has ended")


async def _hear(api: LocalClient, events: list[dict[str, Any]]) -> None:
    """An event comes twice when its commit took long: at once, and again when it has its name."""
    known: set[str] = set()
    async for push in api.pushes():
        event = json.loads(str(push["event"]))
        if event["id"] not in known:
            known.add(event["id"])
            events.append(event)
