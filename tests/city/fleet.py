"""Many gateways in one process: the uplink's own destination, outbox, ledger and MQTT link, each with a made-up journal.

    python -m tests.city.fleet --port 1883 --first 0 --gateways 250 --directory DIR [--alarms 5 ...]

Each starts with a backlog and goes on raising fresh alarms. Prints a JSON line a second, {"pending": n, ...}; ends by itself,
with a line in which "done" is true, once every record of every gateway is confirmed by the centre. What each record holds follows
from its name, so that whoever looks into the centre's database knows what must be there.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from buffer.records import Priority
from edge_agent.clock import SystemClock
from edge_agent.config.uplinks import Uplink
from edge_agent.uplink.destination import Destination
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.mqtt import MqttLink, MqttSettings
from edge_agent.uplink.parts import Parts
from edge_agent.uplink.path import RoutedPath
from edge_agent.uplink.source import Source
from tests.uplink.site import MemoryJournal

EPOCH = "v-city"
ORDER = (Priority.ALARM, Priority.FAULT, Priority.STATUS, Priority.TELEMETRY)


@dataclass(frozen=True, slots=True)
class Load:
    """What each gateway has: its backlog of each stream, and the alarms it raises while it is replayed."""

    alarms: int = 5
    faults: int = 5
    status: int = 20
    telemetry: int = 20
    fresh: int = 5

    def heads(self) -> dict[Priority, int]:
        """The highest n of each stream in the end."""
        return dict(zip(ORDER, (self.alarms + self.fresh, self.faults, self.status, self.telemetry), strict=True))


def name(number: int) -> str:
    return f"ZG-CITY-{number:05d}"


def event_of(priority: Priority, n: int) -> str:
    return f"b-{priority.stream}-{n}"


def number_of(event: str) -> int:
    return int(event.rpartition("-")[2])


def body(gateway: str, priority: Priority, n: int) -> bytes:
    """The record of a name."""
    at = {"boot": "b", "mono_ns": n, "wall_ns": 1_800_000_000_000_000_000 + n, "clock": "synced"}
    if priority is Priority.TELEMETRY:
        return json.dumps({"at": at, "source": "meter1", "values": {"voltage_a_v": n + 0.5, "gw": gateway}}).encode()
    kind = {Priority.ALARM: "fire", Priority.FAULT: "fault", Priority.STATUS: "feedback"}[priority]
    event = {
        "id": event_of(priority, n),
        "kind": kind,
        "point": f"panel1/1-{n % 250:03d}",
        "active": True,
        "at": at,
    }
    told = {**event, "name": f"{gateway} 一层走道"}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()  # as the core writes it


def expected(numbers: range, load: Load) -> Iterator[tuple[tuple[str, str, str, int], bytes]]:
    """Every name that must be at the centre, with its body."""
    for number in numbers:
        for priority, head in load.heads().items():
            for n in range(1, head + 1):
                yield (name(number), EPOCH, priority.stream, n), body(name(number), priority, n)


class Silence:
    """Reports of an uplink that nobody hears; but for how long each fresh alarm waited for the centre's word."""

    def __init__(self) -> None:
        self.raised_s: defaultdict[str, dict[str, float]] = defaultdict(dict)  # gateway -> event -> when
        self.waits_s: list[float] = []

    def confirm(self, destination: str, epoch: str, priority: Priority, through: int) -> None:
        if priority is Priority.ALARM:  # also what the centre speaks of only after a new connection
            self.delivered(destination, [event for event in self.raised_s[destination] if number_of(event) <= through])

    def delivered(self, destination: str, event_ids: list[str]) -> None:
        now_s, raised_s = asyncio.get_running_loop().time(), self.raised_s[destination]
        self.waits_s += [round(now_s - raised_s.pop(event), 3) for event in event_ids if event in raised_s]

    def uplink_state(self, destination: str, up: bool, reason: str, **detail: object) -> None: ...
    def fault(self, destination: str, what: str, **params: object) -> None:
        print(json.dumps({"fault": what, "gateway": destination, **params}, default=str), file=sys.stderr)


async def nothing(*_: object, **__: object) -> None:
    return None


class Fleet:
    """All of them on one loop; one ledger file, as each has its own rows in it."""

    def __init__(self, options: argparse.Namespace, load: Load) -> None:
        self.load, self.rng = load, random.Random(options.seed)
        self.numbers = range(options.first, options.first + options.gateways)
        clock, readers, self.reports = SystemClock(), ThreadPoolExecutor(1), Silence()
        self.ledger = Ledger.open(Path(options.directory) / f"delivery-{options.first}.db", lambda *_: None)
        self.journals: dict[str, MemoryJournal] = {}
        self.destinations: dict[str, Destination] = {}
        for number in self.numbers:
            gateway = name(number)
            journal = self.journals[gateway] = MemoryJournal(EPOCH)
            for priority, head in load.heads().items():
                for n in range(1, head + 1 - (load.fresh if priority is Priority.ALARM else 0)):
                    journal.append(priority, body(gateway, priority, n))
            settings = MqttSettings(
                gateway=gateway, host="127.0.0.1", port=options.port, keepalive_s=30, expiry_s=40, window=8,
                unconfirmed_s=options.unconfirmed_s, commands=False,
            )  # fmt: skip
            parts = Parts(
                link=MqttLink(settings, clock, RoutedPath().tcp),
                source=Source(partial(_same, journal), executor=readers),
                ledger=self.ledger,
                reports=self.reports,
                clock=clock,
                rng=random.Random(self.rng.getrandbits(64)),
                snapshot=nothing,
                ask=nothing,
                restamp=lambda record: record,
            )
            uplink = Uplink(id=gateway, host="127.0.0.1", port=options.port, unconfirmed_s=options.unconfirmed_s)
            self.destinations[gateway] = Destination(uplink, parts)
            self.destinations[gateway].outbox.epochs([EPOCH])

    async def live(self, number: int) -> None:
        """One gateway: its backlog is due from the start, then it raises alarms, one now and one then."""
        gateway = name(number)
        destination, journal = self.destinations[gateway], self.journals[gateway]
        for (epoch, priority), head in journal.heads().items():
            destination.grow(epoch, priority, head)
        await asyncio.sleep(self.rng.uniform(0.0, 1.0))  # they do not all connect in one instant
        running = asyncio.create_task(destination.run())
        try:
            for n in range(self.load.alarms + 1, self.load.alarms + self.load.fresh + 1):
                await asyncio.sleep(self.rng.uniform(0.2, 1.5))
                alarm = body(gateway, Priority.ALARM, n)
                journal.append(Priority.ALARM, alarm)
                self.reports.raised_s[gateway][event_of(Priority.ALARM, n)] = asyncio.get_running_loop().time()
                destination.alarm(EPOCH, n, alarm)
            while self.pending(destination):
                await asyncio.sleep(0.1)
                if running.done():
                    running.result()
        finally:
            running.cancel()
            await asyncio.wait({running})

    @staticmethod
    def pending(destination: Destination) -> int:
        return sum(destination.outbox.pending(priority) for priority in ORDER)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            alive = [tasks.create_task(self.live(number)) for number in self.numbers]
            while not all(task.done() for task in alive):
                await asyncio.sleep(0.5)
                self.say(done=False)
        self.ledger.close()
        self.say(done=True)

    def say(self, *, done: bool) -> None:
        found: dict[str, object] = {"pending": sum(map(self.pending, self.destinations.values())), "done": done}
        for counter in ("connections", "records", "again", "confirmed"):
            found[counter] = sum(destination.counters[counter] for destination in self.destinations.values())
        if done:
            found["fresh_waits_s"] = self.reports.waits_s
        print(json.dumps(found), flush=True)


def _same(journal: MemoryJournal) -> MemoryJournal:
    return journal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--gateways", type=int, required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--unconfirmed-s", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    for field in Load.__slots__:
        parser.add_argument(f"--{field}", type=int, default=getattr(Load(), field))
    options = parser.parse_args()
    load = Load(**{field: getattr(options, field) for field in Load.__slots__})

    async def run() -> None:
        await Fleet(options, load).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
