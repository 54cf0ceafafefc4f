"""One alarm all its way on this machine, many times: panel bytes, core, journal, local API, the message for the centre.

    python -m benchmarks.one_alarm DIRECTORY [--alarms 200]

What runs is the product: a pty with a GST layer bus panel on it, the whole core of a configuration, its journal in DIRECTORY (one
durable commit an alarm), the uplink's end of the local API with an outbox behind it, and the contract's encoder. Only the wire
to a centre is left out. Each alarm is waited for before the next one begins, so nothing is shared between them. Every tenth is
followed by what is not counted: the centre's word that it has them, without which the core rightly raises an alarm of its own
after 30 s, and the panel's reset.

Prints one JSON object, nanoseconds an alarm. They mean little on a common machine;
`benchmarks/instructions.py` runs this where one nanosecond is one instruction.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from buffer.records import Priority
from edge_agent.clock import SystemClock
from edge_agent.config.model import Config, Gateway, Journal, Panel
from edge_agent.config.uplinks import Uplink
from edge_agent.core import Core
from edge_agent.model import event_id
from edge_agent.uplink.contract import encode_batch
from edge_agent.uplink.core_link import CoreLink
from edge_agent.uplink.outbox import Outbox
from simulators.panel_talk import talk_of
from simulators.pty_port import PtyPort

PROTOCOL = "gst-layer-bus"
SWITCH_S = 0.0005  # as `edge-agent run` and `uplink` have it (edge_agent/cli_run.py)
RESET_EVERY = 10
APART_S = 1.5  # a frame said again within a second is its own repetition, not news
GATEWAY = "ZG-BENCH-0001"


@dataclass
class UplinkEnd:
    """The uplink's part: from the core's word to the bytes of a message."""

    outbox: Outbox = field(default_factory=lambda: Outbox({}))
    clock: SystemClock = field(default_factory=SystemClock)
    planted: int = 0
    encoded: int = 0
    sent_bytes: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    sent_ids: list[str] = field(default_factory=list)  # that the core has not been told of

    def hear(self, epoch: str, priority: Priority, n: int, body: bytes | None) -> None:
        if priority is not Priority.ALARM:
            return
        assert body is not None
        self.outbox.add_fresh(epoch, n, body)
        batch = self.outbox.take_fresh(16, frozenset(), 64 * 1024)
        assert batch is not None and len(batch.records) == 1
        payload = encode_batch(GATEWAY, batch, self.clock.now())
        flight = self.outbox.sent(batch, len(payload), 0.0)
        self.outbox.settle(flight.stream, batch.first, batch.last)
        self.sent_ids.append(event_id(body))
        idle(self.planted)
        self.encoded += 1
        self.sent_bytes += len(payload)
        self.news.set()


async def measure(directory: Path, alarms: int, planted: int = 0) -> dict[str, float]:
    for name in ("data", "run"):
        (directory / name).mkdir(parents=True)
    talk, port = talk_of(PROTOCOL), PtyPort(directory / "panel", lambda data: None, held=True)
    port.come_back()
    config = Config(
        gateway=Gateway(id=GATEWAY, data_dir=directory / "data", run_dir=directory / "run"),
        panels=(Panel(id="panel1", profile=PROTOCOL, port=str(directory / "panel")),),
        uplinks=(Uplink(id="county", host="127.0.0.1"),),
        journal=Journal(reserve_mb=1),  # 16 MB are all the disk there is
    )
    uplink = UplinkEnd(planted=turns_of(planted))
    core = Core(config, SystemClock())
    link = CoreLink(directory / "run" / "core.sock", on_record=uplink.hear, on_present=_nothing)
    tasks = [asyncio.create_task(core.run()), asyncio.create_task(link.run())]
    while not link.present or not any(s["up"] for s in core.sources() if s["id"] == "panel1"):
        port.write(talk.keepalive())  # a panel is there once it has spoken
        await asyncio.sleep(0.05)
    spent = Spent()
    for count in range(alarms + RESET_EVERY):
        frame = talk.event("fire", f"{count % RESET_EVERY:06d}")
        if count >= RESET_EVERY:  # the first round is the one in which things are imported and points made
            spent.begin()
        uplink.news.clear()
        port.write(frame * 3)
        await uplink.news.wait()
        if count >= RESET_EVERY:
            spent.end()
        if count % RESET_EVERY == RESET_EVERY - 1:
            await link.ask("ack")
            ids, uplink.sent_ids = uplink.sent_ids, []
            await link.ask("delivered", ids=ids)
            port.write(talk.event("reset", ""))
            await asyncio.sleep(APART_S)
            assert not core.alarms.alarms()
    assert uplink.encoded == 2 * (alarms + RESET_EVERY)  # each began and ended
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    port.hang_up()
    return {"alarms": alarms, "bytes": uplink.sent_bytes / uplink.encoded, **spent.each(alarms)}


class Spent:
    """Sums what passes between begin and end: the clock, this process on the processor (`main_ns`: its loop), the kernel's
    journalling thread of the file system, if this process may look at it.
    """

    def __init__(self) -> None:
        self._sums = dict.fromkeys(("clock_ns", "process_ns", "main_ns", "jbd2_ns"), 0)
        threads = (path.parent for path in Path("/proc").glob("[0-9]*/comm") if _text(path).startswith("jbd2/ram"))
        self._jbd2 = [thread / "schedstat" for thread in threads]
        self._begun: tuple[int, ...] = ()

    def _kernels(self) -> int:
        return sum(int(_text(path).split()[0]) for path in self._jbd2)

    @staticmethod
    def _ours() -> tuple[int, int, int]:
        return time.monotonic_ns(), time.process_time_ns(), time.thread_time_ns()

    def begin(self) -> None:
        kernels = self._kernels()  # outside of what it measures
        self._begun = (*self._ours(), kernels)

    def end(self) -> None:
        now = (*self._ours(), self._kernels())
        for name, before, after in zip(self._sums, self._begun, now, strict=True):
            self._sums[name] += after - before

    def each(self, count: int) -> dict[str, float]:
        return {name: total / count for name, total in self._sums.items()}


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def idle(turns: int) -> None:
    for _ in range(turns):
        pass


def turns_of(ns: int) -> int:
    """How often `idle` turns in this time of the processor; tried at that very length, because small numbers cost less."""
    turns, times = 1000, 20  # so often that asking for the time is nothing beside it
    for _ in range(3):
        began_ns = time.process_time_ns()
        for _ in range(times):
            idle(turns)
        turns = round(times * turns * ns / (time.process_time_ns() - began_ns))
    return turns


async def _nothing(present: bool) -> None:
    pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--alarms", type=int, default=200)
    parser.add_argument(
        "--planted", type=int, default=0, help="turns of a loop in the way of each alarm, that must be noticed"
    )
    arguments = parser.parse_args()
    sys.setswitchinterval(SWITCH_S)
    print(json.dumps(asyncio.run(measure(arguments.directory, arguments.alarms, arguments.planted))))
