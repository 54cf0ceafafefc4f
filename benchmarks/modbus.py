"""What the Modbus bus costs, and what a dead slave costs the others. Prints one JSON object.

    python -m benchmarks.modbus [--seconds 20]

`period`: ten slaves at 9600 baud paced, 20 registers a second each, one of them dead: the worst and the p99 deviation of the
nine's intervals from 1 s after its back-off began, beside the same line with all ten alive (the floor of this machine).
`rtu`, `tcp`: one transaction of 20 registers over a pty and over loopback TCP, slave in another process; CPU of this one only.
`pymodbus_tcp`: the same with pymodbus' client, for comparison.
"""

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence

from drivers.codecs.modbus import ReadRequest
from drivers.messages import Observation, Reading
from drivers.modbus_bus import BusDevice, ModbusBus
from drivers.modbus_map import ModbusProfile, compile_profile
from drivers.modbus_master import Master, Result
from drivers.modbus_rtu import RtuLink, RtuMaster
from drivers.modbus_tcp import TcpLink, TcpMaster

REGISTERS = 20
REQUEST = ReadRequest(1, 4, 0, REGISTERS)


def _profile() -> ModbusProfile:
    values = "".join(f'[[value]]\nname = "v{n}"\nfc = 4\naddress = {n}\n' for n in range(REGISTERS))
    return compile_profile(tomllib.loads(f"[link]\nperiod_ms = 1000\n{values}"))


class Slaves:
    """`python -m simulators.modbus_slave` as a process; `where` is its pty or port."""

    def __init__(self, *args: str) -> None:
        command = [sys.executable, "-m", "simulators.modbus_slave", *args]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.where = self._process.stdout.readline().strip()

    def __enter__(self) -> "Slaves":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


async def _period(seconds: float, dead: int | None) -> dict[str, float]:
    slaves = [f"--slave={unit}:eastron-sdm120" for unit in range(1, 11)]
    with Slaves(*slaves, *([f"--dead={dead}"] if dead else []), "--baud=9600") as process:
        polled: dict[str, list[int]] = {}

        def sink(seen: Sequence[Observation]) -> None:
            for one in seen:
                if isinstance(one, Reading) and one.point.endswith("/v0"):
                    polled.setdefault(one.point, []).append(one.at_ns)

        profile = _profile()
        devices = [BusDevice(f"m{unit}", profile, unit) for unit in range(1, 11)]
        bus = ModbusBus(id="bus", link=RtuLink(process.where, 9600), devices=devices)
        task = asyncio.create_task(bus.run(sink))
        await asyncio.sleep(4)  # the dead one is in its back-off, the others have caught up
        polled.clear()
        cpu_s, probes = time.process_time(), bus.counters()["timeout"]
        await asyncio.sleep(seconds)
        cpu_s = time.process_time() - cpu_s
        counters = bus.counters()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    deviations = sorted(
        abs(two - one - 1e9) / 1e7 for times in polled.values() for one, two in itertools.pairwise(times)
    )
    return {
        "devices_polled": len(polled),
        "intervals": len(deviations),
        "median_percent": round(deviations[len(deviations) // 2], 3),
        "p99_percent": round(deviations[len(deviations) * 99 // 100], 3),
        "worst_percent": round(deviations[-1], 3),
        "looks_at_the_dead": counters["timeout"] - probes,
        "cpu_s_per_min": round(cpu_s / seconds * 60, 3),
    }


async def _transactions(master: Master, count: int) -> dict[str, float]:
    task = asyncio.create_task(master.run())
    while not master.up:
        await asyncio.sleep(0.01)
    for _ in range(50):
        await master.exchange(REQUEST, limit_s=1)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for _ in range(count):
        assert (await master.exchange(REQUEST, limit_s=1)).result is Result.OK
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return {"transactions_per_s": round(count / wall_s), "cpu_us": round(cpu_s / count * 1e6, 1)}


async def _pymodbus(port: int, count: int) -> dict[str, float]:
    from pymodbus.client import AsyncModbusTcpClient

    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=0)
    await client.connect()
    for _ in range(50):
        await client.read_input_registers(0, count=REGISTERS, device_id=1)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for _ in range(count):
        await client.read_input_registers(0, count=REGISTERS, device_id=1)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    client.close()
    return {"transactions_per_s": round(count / wall_s), "cpu_us": round(cpu_s / count * 1e6, 1)}


async def measure(seconds: float, count: int) -> dict[str, object]:
    """Everything, one after the other."""
    result: dict[str, object] = {
        "period": {"all_alive": await _period(seconds, None), "one_dead_of_ten": await _period(seconds, 5)}
    }
    with Slaves("--baud=0", "--latency=0") as process:
        # The gap is the standard's 1.75 ms here; a site's 20 ms would measure the waiting.
        result["rtu"] = await _transactions(RtuMaster(RtuLink(process.where, 115200, gap_s=0.0)), count // 4)
    with Slaves("--tcp=0", "--latency=0") as process:
        port = int(process.where.rpartition(":")[2])
        result["tcp"] = await _transactions(TcpMaster(TcpLink("127.0.0.1", port)), count)
        result["pymodbus_tcp"] = await _pymodbus(port, count)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.modbus")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each of the two period runs")
    parser.add_argument("--transactions", type=int, default=4000)
    args = parser.parse_args()
    print(json.dumps(asyncio.run(measure(args.seconds, args.transactions)), indent=2))


if __name__ == "__main__":
    main()
