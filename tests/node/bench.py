"""A node's firmware as a process: MicroPython where there is one, with files for flash, sensors and sounder."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from drivers.detector_node.ring import Ring
from simulators.link import Link
from tests.waiting import eventually

FIRMWARE = Path(__file__).parents[2] / "drivers/detector_node"
_BESIDE = Path(sys.executable).with_name("micropython")
MICROPYTHON = str(_BESIDE) if _BESIDE.exists() else shutil.which("micropython")
HEAP = "160k"  # of 64-bit words: no more than an ESP32 has; CPython takes no notice
QUIET = {"smoke_percent": 1, "gas_lel_percent": 0, "battery_v": 3.0, "tamper": False, "button": False}
SETTINGS: dict[str, Any] = {
    "node": "node1",
    "host": "127.0.0.1",
    "slots": 64,
    "sample_ms": 20,
    "heartbeat_s": 3600,
    "ack_s": 2,
    "detector": {"smoke": 30, "gas": 10, "hold": 2},
}


def command(*arguments: str) -> list[str]:
    """How to run a file of the firmware; CPython where no MicroPython is to be had (there is none for ARM in a package)."""
    return [MICROPYTHON or sys.executable, *arguments]


def environment() -> dict[str, str]:
    """Where the firmware's modules are, for either interpreter."""
    where = f"{FIRMWARE.parent}:{FIRMWARE / 'unix'}"
    return {**os.environ, "MICROPYPATH": f".frozen:{where}", "PYTHONPATH": str(FIRMWARE.parent)}


def run_micropython(*arguments: str) -> str:
    """What MicroPython prints; it must end well."""
    done = subprocess.run(
        command(*arguments), env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


class Node:
    """One node in `directory`. `settings` go over SETTINGS."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        made = {**SETTINGS, "ring": str(directory / "ring.bin"), **settings}
        self._settings = made
        self.configure()
        self.inputs()
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, **changed: Any) -> None:
        """Write node.json."""
        self._settings.update(changed)
        (self.directory / "node.json").write_text(json.dumps(self._settings))

    def inputs(self, **changed: Any) -> None:
        """What its sensors say from now on."""
        part = self.directory / "inputs.part"
        part.write_text(json.dumps({**QUIET, **changed}))
        part.replace(self.directory / "inputs.json")

    def start(self) -> None:
        """Give it power."""
        with (self.directory / "out").open("ab") as out:
            self._process = subprocess.Popen(
                command("-X", f"heapsize={HEAP}", str(FIRMWARE / "unix/run.py"), str(self.directory)),
                env=environment(), stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def kill(self) -> None:
        """kill -9: its power is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def exit_code(self, timeout_s: float = 40.0) -> int:
        """Wait until it resets or sleeps by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def restart(self) -> None:
        """kill -9, and power again; it has said so to its flash when this returns."""
        before = self.newest()
        self.kill()
        self.start()
        eventually(lambda: self.newest() > before, f"it starts\n{self.said()}")

    def ended(self) -> int | None:
        """Its exit code, if it has reset, crashed or gone to sleep; None while it runs."""
        return None if self._process is None else self._process.poll()

    def newest(self) -> int:
        """The number of the newest record in its flash; 0 before there is a flash."""
        if not (self.directory / "ring.bin").exists():
            return 0
        copy = self.directory / "copy.bin"
        shutil.copy(self.directory / "ring.bin", copy)
        return Ring(str(copy)).newest

    def sounding(self) -> bool:
        """Whether its sounder is on."""
        file = self.directory / "sounder"
        return file.exists() and file.read_text() == "1"

    def said(self) -> str:
        """What it wrote to its console."""
        log = self.directory / "log"
        return (self.directory / "out").read_text() + (log.read_text() if log.exists() else "")


@contextlib.asynccontextmanager
async def link_to(port: int) -> AsyncIterator[Link]:
    """A way to the broker that a test can cut."""
    link = Link(port)
    await link.start()
    try:
        yield link
    finally:
        await link.close()


@contextlib.asynccontextmanager
async def tended(node: Node) -> AsyncIterator[list[int]]:
    """Start it again whenever it ends, as a board does after a reset or a sleep; how it ended each time is in the list."""
    ends: list[int] = []

    async def tend() -> None:
        while True:
            if (code := node.ended()) is not None:
                ends.append(code)
                node.start()
            await asyncio.sleep(0.02)

    node.start()
    tending = asyncio.create_task(tend())
    try:
        yield ends
    finally:
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)
        await asyncio.to_thread(node.kill)


@contextlib.contextmanager
def powered(directory: Path, **settings: Any) -> Iterator[Node]:
    """A node that runs until the block ends."""
    node = Node(directory, **settings)
    node.start()
    try:
        yield node
    finally:
        node.kill()
