"""How fast a backlog drains with centre acknowledgements, and how long a fresh alarm waits behind it.

    python -m benchmarks.drain [--events 100000] [--telemetry 10000] [--alarms 40]

One mosquitto, one centre process, the uplink in this process, all on this machine. The floor is measured in the same run: the
same payloads published raw by paho with QoS 1, window 20, nobody subscribed, nothing stored. Prints one JSON object.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from buffer.records import Priority
from edge_agent.clock import SystemClock
from edge_agent.config.model import Config
from edge_agent.tasks import end
from edge_agent.uplink.contract import Batch, encode_batch
from edge_agent.uplink.destination import Destination
from edge_agent.uplink.main import UplinkProcess
from tests.brokers import Broker
from tests.uplink.site import GATEWAY, event_body, fill_journal, site_config, telemetry_body

VALUES = 20  # of one telemetry record


@contextlib.contextmanager
def centre_process(directory: Path, broker: Broker) -> Iterator[subprocess.Popen[str]]:
    directory.mkdir(parents=True)
    arguments = ["--host", broker.host, "--port", str(broker.port), "--db", str(directory / "centre.db")]
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "simulators.centre", "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()  # ready
        try:
            yield process
        finally:
            process.terminate()
            process.wait()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.asynccontextmanager
async def uplink(config: Config) -> AsyncIterator[UplinkProcess]:
    process = UplinkProcess(config, clock=SystemClock(), rng=random.Random(1))
    task = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        await end(task)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.002)


async def drain(directory: Path, priority: Priority, count: int, body: Callable[[int], bytes]) -> dict[str, object]:
    """Fill a journal, start the uplink, and time it from connected to all confirmed."""
    with Broker(directory) as broker, centre_process(directory / "centre", broker) as centre:
        config = site_config(directory, broker.port)
        fill_journal(config.gateway.data_dir, priority, (body(n) for n in range(1, count + 1)))
        cpu_before = [cpu_s(pid) for pid in (os.getpid(), broker.pid, centre.pid)]
        async with uplink(config) as process:
            destination = process.destinations[0]
            await until(lambda: destination.counters["batches"] > 0)
            started_s = time.perf_counter()
            await until(
                lambda: destination.counters["confirmed"] >= count and destination.outbox.pending(priority) == 0
            )
            took_s = time.perf_counter() - started_s
            batches, sent = destination.counters["batches"], destination.counters["bytes"]
        cpu = [
            round(cpu_s(pid) - was, 2)
            for pid, was in zip((os.getpid(), broker.pid, centre.pid), cpu_before, strict=True)
        ]
    return {
        "records": count,
        "seconds": round(took_s, 3),
        "records_per_s": round(count / took_s),
        "mb_per_s": round(sent / took_s / 1e6, 2),
        "batches": batches,
        "cpu_s": dict(zip(("uplink", "broker", "centre"), cpu, strict=True)),
    }


def floor(
    directory: Path, priority: Priority, count: int, body: Callable[[int], bytes], batch: int = 250
) -> dict[str, object]:
    """The same payloads, published raw: paho alone, 20 in flight, through to the PUBACK."""
    clock = SystemClock()
    payloads = [
        encode_batch(
            GATEWAY,
            Batch(
                epoch="floor",
                priority=priority,
                first=n,
                last=n + batch - 1,
                records=[(i, body(i)) for i in range(n, n + batch)],
            ),
            clock.now(),
        )
        for n in range(1, count + 1, batch)
    ]
    with Broker(directory) as broker:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect(broker.host, broker.port)
        client.loop_start()
        started_s = time.perf_counter()
        infos = [client.publish(f"zg119/v1/{GATEWAY}/up/{priority.stream}", payload, qos=1) for payload in payloads]
        for info in infos:
            info.wait_for_publish()
        took_s = time.perf_counter() - started_s
        client.disconnect()
        client.loop_stop()
    return {"records": count, "seconds": round(took_s, 3), "records_per_s": round(count / took_s)}


async def overtake(directory: Path, backlog: int, alarms: int) -> dict[str, object]:
    """Fresh alarms, one at a time, while `backlog` status records drain. Milliseconds from wake-up to the centre's word."""
    with Broker(directory) as broker, centre_process(directory / "centre", broker):
        config = site_config(directory, broker.port)
        fill_journal(config.gateway.data_dir, Priority.STATUS, (event_body(n) for n in range(1, backlog + 1)))
        async with uplink(config) as process:
            destination = process.destinations[0]
            await until(lambda: destination.counters["confirmed"] > backlog // 20)
            bodies = (event_body(10_000_000 + n) for n in range(1, alarms + 1))
            return {"backlog": backlog, **await alarm_waits(process, destination, bodies)}


async def alarm_waits(process: UplinkProcess, destination: Destination, bodies: Iterable[bytes]) -> dict[str, object]:
    """How long each of these alarms takes to the centre's word, one at a time, while status records of `destination` wait."""
    waits_ms: list[float] = []
    for n, body in enumerate(bodies, 1):
        if destination.outbox.pending(Priority.STATUS) == 0:
            break
        before_s = time.perf_counter()
        process._on_record("live", Priority.ALARM, n, body)
        while destination.outbox.alarm_pending:
            await asyncio.sleep(0.0005)
        waits_ms.append((time.perf_counter() - before_s) * 1000)
        await asyncio.sleep(0.02)
    left = destination.outbox.pending(Priority.STATUS)
    waits_ms.sort()
    return {
        "left_at_the_end": left,
        "alarms": len(waits_ms),
        "p50_ms": round(waits_ms[len(waits_ms) // 2], 1),
        "p99_ms": round(waits_ms[min(len(waits_ms) - 1, int(len(waits_ms) * 0.99))], 1),
        "max_ms": round(waits_ms[-1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--telemetry", type=int, default=25_000, help=f"records of {VALUES} values")
    parser.add_argument("--alarms", type=int, default=40)
    options = parser.parse_args()
    found: dict[str, object] = {"load_1min": os.getloadavg()[0], "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="drain-") as name:
        base = Path(name)
        for label, priority, count, body in (
            ("events", Priority.STATUS, options.events, event_body),
            ("telemetry", Priority.TELEMETRY, options.telemetry, lambda n: telemetry_body(n, VALUES)),
        ):
            (base / label).mkdir()
            result = asyncio.run(drain(base / label, priority, count, body))
            (base / f"{label}-floor").mkdir()
            raw = floor(base / f"{label}-floor", priority, count, body)
            result["floor"] = raw
            result["ratio_to_floor"] = round(float(str(result["records_per_s"])) / float(str(raw["records_per_s"])), 3)
            if label == "telemetry":
                result["values_per_s"] = int(str(result["records_per_s"])) * VALUES
            found[label] = result
        (base / "overtake").mkdir()
        found["fresh_alarm_behind_backlog"] = asyncio.run(overtake(base / "overtake", options.events, options.alarms))
    found["load_1min_end"] = os.getloadavg()[0]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
