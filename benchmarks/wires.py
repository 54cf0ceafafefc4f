"""Many devices on few lines, and many points in one gateway. Prints one JSON object.

    python -m benchmarks.wires [--seconds 20] [--points 1000,2500,5000]

`lines`: 64 Modbus devices of 20 registers on four RTU lines at 9600 baud paced, three of them dead, every device due all the
time, so that each line is as full as it can be. `ratio` is how many questions a second the bus has answered, over the floor: what
a bare loop gets out of the same line in the same run when it asks the living alone, one after the other, and does nothing with
what they say. `allowed_per_s` is what the speed of the line and the slaves' 5 ms would allow without any program.
`points`: a real core polls so many registers once a second over Modbus TCP; all of them change every second. CPU a reading and RSS
a point are over a core with no bus at all (the floor); `linear` is the largest size's figure over the smallest's.
"""

import argparse
import asyncio
import contextlib
import json
import tomllib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from benchmarks.footprint import PROFILE
from benchmarks.harness import Gateway, cpu_s, memory_mb, workplace
from benchmarks.modbus import Slaves
from drivers.codecs.modbus import ReadRequest
from drivers.messages import Observation
from drivers.modbus_bus import BusDevice, ModbusBus
from drivers.modbus_map import compile_profile
from drivers.modbus_master import Result
from drivers.modbus_rtu import RtuLink, RtuMaster
from drivers.serial_link import SerialLink
from simulators.modbus_slave import Slave, TcpServer

LINES, PER_LINE, BAUD, LATENCY_S = 4, 16, 9600, 0.005
DEAD = {0: 5, 1: 9, 2: 16}  # line -> the unit that is dead
REGISTERS = 20
LINK = {"baud": BAUD, "timeout_s": 0.3, "gap_s": 0.0}  # a site's 20 ms of gap would measure the waiting
PER_DEVICE = 100


def _living(line: int) -> list[int]:
    return [unit for unit in range(1, PER_LINE + 1) if unit != DEAD.get(line)]


async def _bare(line: int, path: str, seconds: float) -> float:
    """Questions a second a loop without schedule, profile or dead slaves has answered."""
    master = RtuMaster(RtuLink(path, **LINK))  # type: ignore[arg-type]
    task = asyncio.create_task(master.run())
    while not master.up:
        await asyncio.sleep(0.01)
    loop, answered, units = asyncio.get_running_loop(), 0, _living(line)
    begun_s = loop.time()
    while (spent_s := loop.time() - begun_s) < seconds:
        outcome = await master.exchange(ReadRequest(units[answered % len(units)], 4, 0, REGISTERS), limit_s=0.3)
        assert outcome.result is Result.OK, outcome
        answered += 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return answered / spent_s


async def _bus(line: int, path: str, seconds: float) -> dict[str, float]:
    values = "".join(f'[[value]]\nname = "v{n}"\nfc = 4\naddress = {n}\n' for n in range(REGISTERS))
    profile = compile_profile(tomllib.loads(f"[link]\nperiod_ms = 20\n{values}"))
    devices = [BusDevice(f"m{unit}", profile, unit) for unit in range(1, PER_LINE + 1)]
    bus = ModbusBus(id=f"bus{line}", link=RtuLink(path, **LINK), devices=devices)  # type: ignore[arg-type]
    task = asyncio.create_task(bus.run(_nowhere))
    loop = asyncio.get_running_loop()
    await asyncio.sleep(5)  # the dead one is in its back-off
    before, begun_s = bus.counters(), loop.time()
    await asyncio.sleep(seconds)
    after, spent_s = bus.counters(), loop.time() - begun_s
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    polled = [after[f"m{unit}.ok"] - before[f"m{unit}.ok"] for unit in _living(line)]
    return {
        "answered_per_s": sum(polled) / spent_s,
        "fewest_of_a_device": min(polled),
        "most_of_a_device": max(polled),
        "looks_at_the_dead": after["timeout"] - before["timeout"],
    }


def _nowhere(seen: Sequence[Observation]) -> None:
    """What a benchmark does with readings."""


async def lines(seconds: float) -> dict[str, object]:
    """All four lines at once: first the bare loops, then the buses."""
    with contextlib.ExitStack() as stack:
        paths = []
        for line in range(LINES):
            slaves = [f"--slave={unit}:eastron-sdm120" for unit in range(1, PER_LINE + 1)]
            dead = [f"--dead={DEAD[line]}"] if line in DEAD else []
            paths.append(stack.enter_context(Slaves(*slaves, *dead, f"--baud={BAUD}", f"--latency={LATENCY_S}")).where)
        bare = await asyncio.gather(*(_bare(line, path, seconds) for line, path in enumerate(paths)))
        buses = await asyncio.gather(*(_bus(line, path, seconds) for line, path in enumerate(paths)))
    char_s = SerialLink(paths[0], baud=BAUD, framing="8N1").char_s
    allowed = 1 / (char_s(8 + ReadRequest(1, 4, 0, REGISTERS).answer_bytes) + LATENCY_S + char_s(4))
    shown = [
        {**bus, "bare_per_s": floor, "ratio": bus["answered_per_s"] / floor, "allowed_per_s": allowed}
        for bus, floor in zip(buses, bare, strict=True)
    ]
    return {
        "devices": LINES * PER_LINE,
        "dead": len(DEAD),
        "worst_ratio": round(min(one["ratio"] for one in shown), 4),
        "worst_of_allowed": round(min(one["answered_per_s"] for one in shown) / allowed, 4),
        "each": [{key: round(value, 3) for key, value in one.items()} for one in shown],
    }


@contextlib.asynccontextmanager
async def _changing(devices: int) -> AsyncIterator[int]:
    """Slaves on TCP whose every register changes every second; their port."""
    slaves = [Slave(unit, inputs=dict.fromkeys(range(PER_DEVICE), 2300)) for unit in range(1, devices + 1)]

    async def change() -> None:
        while True:
            await asyncio.sleep(1)
            for slave in slaves:
                for address in range(PER_DEVICE):
                    slave.inputs[address] = 2300 + (slave.inputs[address] - 2300 + 7 * address + 1) % 100

    for slave in slaves:
        slave.fault = type(slave.fault)(latency_s=0.0)
    server, task = TcpServer(slaves), asyncio.create_task(change())
    try:
        yield await server.start()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop()


async def _core(directory: Path, points: int, seconds: float) -> dict[str, float]:
    profiles = directory / "profiles"
    profiles.mkdir(parents=True)
    values = [
        f'[[value]]\nname = "value_{{n:02d}}"\nzh = "值{{n}}"\nen = "Value {{n}}"\nn = [0, {PER_DEVICE - 1}]\nfc = 4\n'
        'address = "n"\ntype = "u16"\nunit = "V"'
    ]
    (profiles / "bench-hundred.toml").write_text("\n".join([PROFILE, *values]) + "\n", "utf-8")
    devices = points // PER_DEVICE
    async with _changing(devices) as port:
        gateway = Gateway(directory / "gw")
        table = "\n".join(
            f'[[bus.device]]\nid = "d{unit}"\nprofile = "bench-hundred"\naddress = {unit}\nperiod_s = 1.0'
            for unit in range(1, devices + 1)
        )
        bus = (
            f'[[bus]]\nid = "tcp1"\nhost = "127.0.0.1"\ntcp_port = {port}\ntimeout_s = 2.0\n{table}' if devices else ""
        )
        gateway.configure(contacts=1, more=bus)
        config = gateway.directory / "config.toml"
        config.write_text(f'profile_dirs = ["{profiles}"]\n' + config.read_text("utf-8"), "utf-8")
        await gateway.core.start()
        try:
            api = await gateway.api()
            await asyncio.sleep(15)  # past the start, its first commit and its background check
            answered, used_s = await _answered(api), cpu_s(gateway.core.pid)
            await asyncio.sleep(seconds)
            used_s, answered = cpu_s(gateway.core.pid) - used_s, await _answered(api) - answered
            rss = memory_mb(gateway.core.pid)["rss"]
            await api.close()
        finally:
            await gateway.stop()
    return {"points": points, "readings": answered * PER_DEVICE, "cpu_s": used_s, "rss_mb": rss}


async def _answered(api: object) -> int:
    status = await api.request("status")  # type: ignore[attr-defined]
    return sum(int(source["counters"]["ok"]) for source in status["sources"] if source["id"] == "tcp1")


async def points(sizes: Sequence[int], seconds: float) -> dict[str, object]:
    """One core after the other, the first without any bus."""
    found = []
    for size in (0, *sizes):
        with workplace() as directory:
            found.append(await _core(directory, size, seconds))
    floor, *loaded = found
    each = [
        {
            "points": one["points"],
            "readings_per_s": round(one["readings"] / seconds),
            "cpu_us_a_reading": round((one["cpu_s"] - floor["cpu_s"]) / one["readings"] * 1e6, 2),
            "rss_kb_a_point": round((one["rss_mb"] - floor["rss_mb"]) * 1024 / one["points"], 2),
            "rss_mb": one["rss_mb"],
        }
        for one in loaded
    ]
    return {
        "floor": {"cpu_s_per_min": round(floor["cpu_s"] / seconds * 60, 3), "rss_mb": floor["rss_mb"]},
        "each": each,
        "largest": each[-1],
        "linear_cpu": _over(each, "cpu_us_a_reading"),
        "linear_rss": _over(each, "rss_kb_a_point"),
    }


def _over(each: Sequence[Mapping[str, float]], key: str) -> float:
    """The largest size's figure over the smallest's; a figure too small to measure makes the ratio large, not small."""
    return round(each[-1][key] / max(each[0][key], 0.01), 3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wires")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each measurement")
    parser.add_argument("--points", default="1000,2500,5000", help="sizes, the smallest first")
    args = parser.parse_args()
    sizes = [int(size) for size in args.points.split(",")]

    async def measure() -> dict[str, object]:
        return {"lines": await lines(args.seconds), "points": await points(sizes, args.seconds)}

    print(json.dumps(asyncio.run(measure()), indent=2))


if __name__ == "__main__":
    main()
