"""How long a fresh alarm takes to a centre's confirm while another centre is dead and 100 000 records of backlog drain.

    python -m benchmarks.centres [--backlog 100000] [--alarms 60]

Twice: the live one speaks GB/T 26875.3-2011 and an MQTT centre is dead; the live one speaks MQTT and a GB/T 26875.3 centre is dead.
Each live centre is a process of its own; the uplink is in this one. Milliseconds from the core's wake-up to the centre's confirm.
Floor of the same run: an empty frame to the same GB centre and its confirm, raw. Prints one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.drain import alarm_waits, centre_process, uplink
from buffer.records import Priority
from drivers.codecs.gb26875 import Command, Frame, device_address
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Uplink
from simulators.ports import free_port
from tests.brokers import Broker
from tests.uplink.gb26875.site import body, gb_config, gb_uplink
from tests.uplink.site import event_body, fill_journal
from tests.waiting import eventually


@contextlib.contextmanager
def gb_process(directory: Path, port: int) -> Iterator[None]:
    directory.mkdir(parents=True)
    arguments = ["gb26875", "--port", str(port), "--db", str(directory / "gb.db")]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "simulators.centre", *arguments], stdout=log, stderr=log)
    try:
        eventually(lambda: _listens(port), "the centre listens")
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


async def alarms(config: Config, live: str, backlog: int, count: int) -> dict[str, object]:
    """Fresh alarms one at a time while the backlog drains to the live centre."""
    fill_journal(config.gateway.data_dir, Priority.STATUS, (event_body(n) for n in range(1, backlog + 1)))
    async with uplink(config) as process:
        destination = next(d for d in process.destinations if d.id == live)
        while destination.counters["confirmed"] < 50:
            await asyncio.sleep(0.002)
        found = await alarm_waits(process, destination, (body(n) for n in range(1, count + 1)))
    return {"backlog": backlog, **found}


async def floor(port: int, count: int = 200) -> float:
    """Median ms of an empty frame and its confirm."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    waits_ms = []
    for serial in range(count):
        frame = Frame(
            serial=serial,
            sent=bytes(6),
            source=device_address(1),
            target=device_address(88888),
            command=Command.SEND,
        )
        before_s = time.perf_counter()
        writer.write(frame.encode())
        await reader.readexactly(30)
        waits_ms.append((time.perf_counter() - before_s) * 1000)
    writer.close()
    return round(sorted(waits_ms)[count // 2], 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--alarms", type=int, default=60)
    options = parser.parse_args()
    found: dict[str, object] = {"load_1min": os.getloadavg()[0], "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="centres-") as name:
        base = Path(name)
        port = free_port()
        with gb_process(base / "county", port):
            found["floor_gb_exchange_ms"] = asyncio.run(floor(port))
            dead = Uplink(id="city", host="127.0.0.1", port=free_port())
            county = gb_uplink(port, timeout_s=10.0, keepalive="device-status")
            config = gb_config(base / "one", county, dead)
            found["gb_live_mqtt_dead"] = asyncio.run(alarms(config, "county", options.backlog, options.alarms))
        with Broker(base) as broker, centre_process(base / "city", broker):
            live = replace(dead, port=broker.port)
            config = gb_config(base / "two", gb_uplink(free_port(), timeout_s=10.0), live)
            found["mqtt_live_gb_dead"] = asyncio.run(alarms(config, "city", options.backlog, options.alarms))
    found["load_1min_end"] = os.getloadavg()[0]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
