"""What the gateway costs: memory, processor, and the time from start to the first poll. Real programs, real broker with TLS.

    python -m benchmarks.footprint [--seconds 60] [--pending 1000000]

memory: 1 000 points, TLS with client certificates, no console, after a minute of polling and 1 000 alarms.
cpu: 10 Modbus RTU devices x 20 registers at 1 s on a pty at line pace, core + uplink, scaled to a minute. The floor is a bare loop:
a process that wakes 10 times a second, writes an 8-byte request to a pty, reads the answer and does nothing with it.
start: from exec of `edge-agent run` to the first request on the bus; then the same with `pending` undelivered records in the
journal. The floor is `python -c 'import asyncio, sqlite3'`. Prints one JSON object.
"""

import argparse
import asyncio
import json
import os
import pty
import subprocess
import sys
import time
import tty
from pathlib import Path

from benchmarks.alarm import CONTACTS, METERS, fill, meter_config, meters
from benchmarks.harness import BUZZER, Gateway, centre, cpu_s, memory_mb, tls, workplace
from simulators.modbus_slave import Slave, SlaveLine
from tests.brokers import Broker

DEVICES, REGISTERS = 10, 20

PROFILE = """schema = 1
kind = "modbus"
evidence = "unproven"
source = "made up for this benchmark"
[brand]
zh = "基准"
en = "Benchmark"
[product]
zh = "二十个寄存器"
en = "Twenty registers"
[link]
transport = "rtu"
period_ms = 1000
max_regs = 100
"""


def write_profile(directory: Path) -> None:
    directory.mkdir(parents=True)
    values = [
        f'[[value]]\nname = "value_{n:02d}"\nzh = "值{n}"\nen = "Value {n}"\nfc = 3\naddress = {n}\ntype = "u16"\nunit = "V"'
        for n in range(REGISTERS)
    ]
    (directory / "bench-twenty.toml").write_text("\n".join([PROFILE, *values]) + "\n", "utf-8")


def bus_config(link: Path, profiles: Path) -> tuple[str, str]:
    devices = "\n".join(
        f'[[bus.device]]\nid = "d{unit}"\nprofile = "bench-twenty"\naddress = {unit}\nperiod_s = 1.0'
        for unit in range(1, DEVICES + 1)
    )
    return f'[[bus]]\nid = "rtu1"\nport = "{link}"\nbaud = 19200\n{devices}', f'profile_dirs = ["{profiles}"]'


async def memory(directory: Path, seconds: float) -> dict[str, object]:
    certificates = tls(directory)
    with Broker(directory, tls=certificates) as broker:
        gateway = Gateway(directory / "gw")
        slaves = await meters(directory)
        more = meter_config(int(slaves.first_line.rsplit(":", 1)[1]))
        gateway.configure(contacts=CONTACTS, broker=broker, client=certificates.client("ZG-BENCH-0001"), more=more)
        async with centre(directory, broker):
            await gateway.core.start()
            await gateway.uplink.start()
            board, api = await gateway.board(), await gateway.api()
            for count in range(1000):
                line = gateway.contact_lines[count % CONTACTS]
                sent_ns = board.set(line, True)
                if count % CONTACTS == 0:
                    await board.wait_output(BUZZER, True, after_ns=sent_ns)
                board.set(line, False)
                if count % CONTACTS == CONTACTS - 1:
                    await api.request("ack")
            await asyncio.sleep(seconds)
            core, uplink = memory_mb(gateway.core.pid), memory_mb(gateway.uplink.pid)
            status = await api.request("status")
            assert isinstance(status, dict)
            await board.close()
            await api.close()
            await gateway.stop()
        await slaves.stop()
    return {
        "points": status["points"]["total"],
        "devices": METERS,
        "core_mb": core,
        "uplink_mb": uplink,
        "core_rss_mb": core["rss"],
        "core_plus_uplink_pss_mb": round(core["pss"] + uplink["pss"], 1),
        "floor_mb": bare_memory(),
    }


def bare_memory() -> dict[str, float]:
    """An interpreter with asyncio and sqlite3, and nothing of ours."""
    code = "import asyncio, sqlite3, json, sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        return memory_mb(bare.pid)


async def processor(directory: Path, seconds: float) -> dict[str, object]:
    write_profile(directory / "profiles")
    line = SlaveLine(
        [Slave(unit, holding={n: 2300 + n for n in range(REGISTERS)}) for unit in range(1, DEVICES + 1)],
        baud=19200,
        link=directory / "bus",
    )
    line.plug()
    with Broker(directory) as broker:
        gateway = Gateway(directory / "gw")
        bus, profiles = bus_config(directory / "bus", directory / "profiles")
        gateway.configure(broker=broker, more=bus)
        config = gateway.directory / "config.toml"
        config.write_text(profiles + "\n" + config.read_text("utf-8"), "utf-8")
        async with centre(directory, broker):
            await gateway.core.start()
            await gateway.uplink.start()
            api = await gateway.api()
            await asyncio.sleep(15)  # past the start, its first commit and its background check
            before = [cpu_s(gateway.core.pid), cpu_s(gateway.uplink.pid)]
            polls = await polls_of(api)
            await asyncio.sleep(seconds)
            used = [cpu_s(gateway.core.pid) - before[0], cpu_s(gateway.uplink.pid) - before[1]]
            polled = await polls_of(api) - polls
            await api.close()
            await gateway.stop()
    line.unplug()
    minute = 60 / seconds
    return {
        "devices": DEVICES,
        "registers": REGISTERS,
        "polls_per_s": round(polled / seconds, 2),
        "core_s_per_min": round(used[0] * minute, 2),
        "uplink_s_per_min": round(used[1] * minute, 2),
        "core_plus_uplink_s_per_min": round(sum(used) * minute, 2),
        "floor_s_per_min": round(bare_loop(min(seconds, 20.0)) * 60 / min(seconds, 20.0), 2),
    }


async def polls_of(api: object) -> int:
    status = await api.request("status")  # type: ignore[attr-defined]
    bus = next(source for source in status["sources"] if source["id"] == "rtu1")
    return int(bus["counters"]["ok"])


BARE_LOOP = """
import asyncio, os, sys
async def main():
    loop, fd = asyncio.get_running_loop(), os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    loop.add_reader(fd, lambda: os.read(fd, 4096))
    while True:
        os.write(fd, bytes(8))
        await asyncio.sleep(0.1)
asyncio.run(main())
"""


def bare_loop(seconds: float) -> float:
    master, slave = pty.openpty()
    tty.setraw(slave)
    with subprocess.Popen([sys.executable, "-c", BARE_LOOP, os.ttyname(slave)]) as bare:
        time.sleep(1.0)
        before, until = cpu_s(bare.pid), time.monotonic() + seconds
        while time.monotonic() < until:
            os.read(master, 4096)
            os.write(master, bytes(45))
        used = cpu_s(bare.pid) - before
        bare.kill()
    os.close(master)
    os.close(slave)
    return used


async def first_poll(directory: Path, pending: int) -> float:
    """Seconds from exec to the first byte of the first request on the bus."""
    directory.mkdir(parents=True)
    write_profile(directory / "profiles")
    master, slave = pty.openpty()
    tty.setraw(slave)
    (directory / "bus").symlink_to(os.ttyname(slave))
    gateway = Gateway(directory / "gw")
    bus, profiles = bus_config(directory / "bus", directory / "profiles")
    gateway.configure(more=bus)
    config = gateway.directory / "config.toml"
    config.write_text(profiles + "\n" + config.read_text("utf-8"), "utf-8")
    if pending:
        fill(gateway.data_dir, pending)
    polled: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def first() -> None:
        polled.set_result(time.monotonic())
        asyncio.get_running_loop().remove_reader(master)

    asyncio.get_running_loop().add_reader(master, first)
    started_s = time.monotonic()
    await gateway.core.start()
    async with asyncio.timeout(60):
        took_s = await polled - started_s
    await gateway.stop()
    os.close(master)
    os.close(slave)
    return took_s


def bare_start() -> float:
    started_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import asyncio, sqlite3"], check=True)
    return time.monotonic() - started_s


def start(directory: Path, pending: int, runs: int = 5) -> dict[str, object]:
    empty = sorted(asyncio.run(first_poll(directory / f"e{n}", 0)) for n in range(runs))
    full = asyncio.run(first_poll(directory / "full", pending))
    bare = sorted(bare_start() for _ in range(runs))
    return {
        "first_poll_s": {"median": round(empty[runs // 2], 3), "max": round(empty[-1], 3)},
        "pending": pending,
        "first_poll_with_pending_s": round(full, 3),
        "floor_s": round(bare[runs // 2], 3),
    }


def measure(seconds: float = 60.0, pending: int = 1_000_000) -> dict[str, object]:
    with workplace() as directory:
        (directory / "m").mkdir()
        (directory / "c").mkdir()
        return {
            "memory": asyncio.run(memory(directory / "m", seconds / 2)),
            "cpu": asyncio.run(processor(directory / "c", seconds)),
            "start": start(directory / "s", pending),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pending", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.seconds, arguments.pending), indent=2))
