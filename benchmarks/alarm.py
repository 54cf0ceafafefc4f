"""How soon an alarm is heard and how soon it is confirmed, on the real programs.

    python -m benchmarks.alarm [--samples 200] [--backlog 400000]

heard: a contact closes on the simulated board -> the buzzer line changes, with 1 000 points and a backlog draining. Both stamps are
this machine's monotonic clock; the way through the board's Unix socket is inside the figure. The floor is the same socket with an
empty loop behind it: a process that copies input 0 to output 1 and does nothing else.
confirmed: a contact closes -> the centre's acknowledgement passes the broker; durable before it is sent. The floor is one QoS 1
publish through to its PUBACK on the same broker, plus one commit of raw SQLite. Prints one JSON object, milliseconds.
"""

import argparse
import asyncio
import json
import sqlite3
import sys
import time
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.harness import BUZZER, Acks, Gateway, centre, quantiles, workplace
from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
from simulators.board import Board
from simulators.process import Program
from tests.brokers import Broker

CONTACTS = 40
METERS = 48  # of 20 values each: with the contacts 1 000 points


async def heard_and_confirmed(directory: Path, samples: int, backlog: int) -> dict[str, object]:
    with Broker(directory) as broker:
        gateway = Gateway(directory / "gw")
        slaves = await meters(directory)
        more = meter_config(int(slaves.first_line.rsplit(":", 1)[1]))
        gateway.configure(contacts=CONTACTS, broker=broker, more=more)
        fill(gateway.data_dir, backlog)
        async with centre(directory, broker):
            await gateway.core.start()
            board, api = await gateway.board(), await gateway.api()
            acks = Acks(broker)
            points = await api.request("points")
            assert isinstance(points, list)
            await gateway.uplink.start()
            await acks_of_replay(api)
            busy = await sample(board, api, gateway, acks, samples)
            left = await pending(api)
            await drained(api)
            quiet = await sample(board, api, gateway, acks, samples)
            acks.close()
            await board.close()
            await api.close()
            await gateway.stop()
        await slaves.stop()
    return {
        "points": len(points),
        "backlog": backlog,
        "backlog_left_after_busy": left,
        "draining": busy,
        "quiet": quiet,
    }


async def sample(board: Board, api: object, gateway: Gateway, acks: Acks, samples: int) -> dict[str, object]:
    heard, confirmed = [], []
    for count in range(samples):
        line = gateway.contact_lines[count % CONTACTS]
        through = acks.alarm_through
        closed_ns = board.set(line, True)
        heard.append((await board.wait_output(BUZZER, True, after_ns=closed_ns) - closed_ns) / 1e6)
        confirmed.append((await acks.wait_past(through) - closed_ns) / 1e6)
        opened_through = acks.alarm_through
        board.set(line, False)
        await acks.wait_past(opened_through)
        await api.request("ack")  # type: ignore[attr-defined]
        await board.wait_output(BUZZER, False)
    return {"heard_ms": quantiles(heard), "confirmed_ms": quantiles(confirmed)}


async def acks_of_replay(api: object) -> None:
    """Wait until the uplink is connected."""
    async with asyncio.timeout(60):
        while True:
            status = await api.request("status")  # type: ignore[attr-defined]
            if status["uplinks"][0]["up"]:
                return
            await asyncio.sleep(0.02)


async def pending(api: object) -> int:
    status = await api.request("status")  # type: ignore[attr-defined]
    confirmed = status["uplinks"][0]["confirmed"].get("fault", {"through": 0})["through"]
    return int(status["journal"]["vital"]["heads"].get("fault", 0)) - int(confirmed)


async def drained(api: object) -> None:
    async with asyncio.timeout(300):
        while await pending(api) > 0:
            await asyncio.sleep(0.1)


def fill(directory: Path, count: int) -> None:
    """Records of the FAULT stream, as a gateway that was cut off has them."""
    journal = Journal.open(directory, JournalSettings(waiting_events_max=count + 1), lambda fault: None)
    for n in range(count):
        body = {"id": f"backlog-{n}", "kind": "fault", "point": f"panel1/{n % 997}", "active": True}
        at = {"boot": "bench", "mono_ns": n, "wall_ns": 1_790_000_000_000_000_000 + n, "clock": "synced"}
        journal.append(Priority.FAULT, json.dumps({**body, "at": at}).encode())
    if not journal.flush(120):
        raise RuntimeError("the journal did not take the backlog")
    journal.close()


class Meters(Program):
    first_line = ""


async def meters(directory: Path) -> Meters:
    slaves = [word for unit in range(1, METERS + 1) for word in ("--slave", f"{unit}:eastron-sdm630")]
    log = directory / "meters.log"
    program = Meters("meters", (sys.executable, "-m", "simulators.modbus_slave", "--tcp", "0", *slaves), log)
    await program.start()
    async with asyncio.timeout(30):
        while not (lines := [line for line in program.tail().splitlines() if line.startswith("127.0.0.1:")]):
            await asyncio.sleep(0.05)
    program.first_line = lines[0]
    return program


def meter_config(port: int) -> str:
    devices = "\n".join(
        f'[[bus.device]]\nid = "m{unit}"\nprofile = "eastron-sdm630"\naddress = {unit}' for unit in range(1, METERS + 1)
    )
    return f'[[bus]]\nid = "tcp1"\nhost = "127.0.0.1"\ntcp_port = {port}\n{devices}'


FLOOR_LOOP = """
import asyncio, sys
from pathlib import Path
from drivers.gpio import InputSpec, open_gpio
async def main():
    gpio = open_gpio("fake", fake_socket=Path(sys.argv[1]))
    gpio.open(inputs={0: InputSpec()}, outputs={1: False})
    gpio.watch(lambda line, level, at_ns: gpio.write(1, level))
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def floor_heard(directory: Path, samples: int) -> dict[str, float]:
    socket = directory / "floor.sock"
    program = Program("floor", (sys.executable, "-c", FLOOR_LOOP, str(socket)), directory / "floor.log")
    await program.start()
    taken = []
    async with await Board.connect(socket, 30.0) as board:
        for _ in range(samples):
            for level in (True, False):
                sent_ns = board.set(0, level)
                taken.append((await board.wait_output(1, level, after_ns=sent_ns) - sent_ns) / 1e6)
    await program.stop()
    return quantiles(taken)


def floor_confirmed(directory: Path, samples: int) -> dict[str, float]:
    """One QoS 1 publish to its PUBACK, and one row committed with synchronous=FULL."""
    db = sqlite3.connect(directory / "floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE record (n INTEGER PRIMARY KEY, body BLOB)")
    taken = []
    with Broker(directory / "floor-broker") as broker:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.connect(broker.host, broker.port)
        client.loop_start()
        for _ in range(samples):
            started = time.perf_counter()
            db.execute("INSERT INTO record (body) VALUES (?)", (b"x" * 300,))
            client.publish("floor", b"x" * 400, qos=1).wait_for_publish(10)
            taken.append((time.perf_counter() - started) * 1000)
        client.disconnect()
        client.loop_stop()
    db.close()
    return quantiles(taken)


def measure(samples: int = 200, backlog: int = 400_000) -> dict[str, object]:
    with workplace() as directory:
        result = asyncio.run(heard_and_confirmed(directory, samples, backlog))
        result["floor_heard_ms"] = asyncio.run(floor_heard(directory, samples))
        result["floor_confirmed_ms"] = floor_confirmed(directory, samples)
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--backlog", type=int, default=400_000)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.samples, arguments.backlog), indent=2))
