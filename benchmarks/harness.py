"""A whole gateway for the benchmarks: real core, uplink, broker and centre as processes on this machine."""

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.local_api import LocalClient
from simulators.board import Board
from simulators.process import Program
from tests.brokers import Broker, Certificates

GATEWAY = "ZG-BENCH-0001"
BUZZER, FIRE_LAMP = 17, 27


def quantiles(samples: Iterable[float]) -> dict[str, float]:
    ordered = sorted(samples)
    return {
        "count": len(ordered),
        "p50": round(ordered[len(ordered) // 2], 3),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 3),
        "max": round(ordered[-1], 3),
    }


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> dict[str, float]:
    rollup = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:] if ":" in line
    )
    return {key.lower(): round(int(rollup[key].split()[0]) / 1024, 1) for key in ("Rss", "Pss")}


class Gateway:
    """Core and uplink in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run_dir, self.data_dir = directory / "run", directory / "data"
        for made in (self.run_dir, self.data_dir):
            made.mkdir(parents=True)
        self.core = self._program("core", "run")
        self.uplink = self._program("uplink", "uplink")

    def _program(self, name: str, command: str) -> Program:
        return Program.python(
            name, "edge_agent", "--config", str(self.directory), command, log=self.directory / f"{name}.log"
        )

    def configure(
        self,
        *,
        contacts: int = 0,
        broker: Broker | None = None,
        client: tuple[Path, Path] | None = None,
        more: str = "",
    ) -> None:
        lines = [
            f'[gateway]\nid = "{GATEWAY}"\ndata_dir = "{self.data_dir}"\nrun_dir = "{self.run_dir}"',
            f'[board]\ngpio = "fake"\nfake_socket = "{self.run_dir}/board.sock"',
            f"[board.outputs]\nbuzzer = {BUZZER}\nfire_lamp = {FIRE_LAMP}",
        ]
        free = [line for line in range(54) if line not in (BUZZER, FIRE_LAMP)]
        lines += [
            f'[[contact]]\nid = "c{n}"\nline = {free[n]}\non_delay_s = 0.0\noff_delay_s = 0.0' for n in range(contacts)
        ]
        self.contact_lines = free[:contacts]
        if broker is not None:
            lines.append(f'[[uplink]]\nid = "county"\nhost = "{broker.host}"\nport = {broker.port}')
            if broker.tls is not None and client is not None:
                lines.append(f'ca_file = "{broker.tls.ca_file}"\ncert_file = "{client[0]}"\nkey_file = "{client[1]}"')
        (self.directory / "config.toml").write_text("\n".join([*lines, more]) + "\n", "utf-8")

    async def api(self, timeout_s: float = 30.0) -> LocalClient:
        """A client of the core, once it listens."""
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(OSError):
                    return await LocalClient.connect(self.run_dir / "core.sock")
                if not self.core.running:
                    raise RuntimeError(self.core.tail())
                await asyncio.sleep(0.01)

    async def board(self) -> Board:
        return await Board.connect(self.run_dir / "board.sock", 30.0)

    async def stop(self) -> None:
        for program in (self.uplink, self.core):
            await program.stop()


class Acks:
    """Hears the centre's acknowledgements as they pass the broker, with the moment they came."""

    def __init__(self, broker: Broker) -> None:
        self._loop = asyncio.get_running_loop()
        self._alarm_through = 0
        self._news = asyncio.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if broker.tls is not None:
            cert, key = broker.tls.client("listener")
            self._client.tls_set(str(broker.tls.ca_file), str(cert), str(key))
        self._client.on_message = self._hear
        self._client.connect(broker.host, broker.port)
        self._client.subscribe(f"zg119/v1/{GATEWAY}/ack", 0)
        self._client.loop_start()

    def _hear(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        import json

        now_ns = time.monotonic_ns()
        for ack in json.loads(message.payload).get("acks", ()):
            if ack["stream"] == "alarm":
                self._loop.call_soon_threadsafe(self._note, ack["through"], now_ns)

    def _note(self, through: int, now_ns: int) -> None:
        if through > self._alarm_through:
            self._alarm_through, self.heard_ns = through, now_ns
        self._news.set()

    @property
    def alarm_through(self) -> int:
        return self._alarm_through

    async def wait_past(self, through: int, timeout_s: float = 30.0) -> int:
        """When the first acknowledgement beyond `through` came, monotonic ns."""
        async with asyncio.timeout(timeout_s):
            while self._alarm_through <= through:
                self._news.clear()
                await self._news.wait()
        return self.heard_ns

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.asynccontextmanager
async def centre(directory: Path, broker: Broker) -> AsyncIterator[Program]:
    arguments = ["--host", broker.host, "--port", str(broker.port), "--db", str(directory / "centre.db")]
    if broker.tls is not None:
        cert, key = broker.tls.client("centre")
        arguments += ["--tls-ca", str(broker.tls.ca_file), "--cert", str(cert), "--key", str(key)]
    program = Program.python("centre", "simulators.centre", "run", *arguments, log=directory / "centre.log")
    await program.start()
    try:
        yield program
    finally:
        await program.stop()


@contextlib.contextmanager
def workplace() -> "contextlib.AbstractContextManager[Path]":  # type: ignore[misc]
    with tempfile.TemporaryDirectory(prefix="zg-") as name:
        yield Path(name)


def tls(directory: Path) -> Certificates:
    return Certificates(directory / "tls")


__all__ = ["Acks", "Gateway", "centre", "cpu_s", "memory_mb", "quantiles", "sys", "tls", "workplace"]
