"""One seed, one run: a site drawn from the seed lives some days, with incidents in which faults and fires come together.

    scripts/simulate --seeds 17 --days 7        the run of seed 17, its account, and what it broke if it did

Between incidents, when nothing is waiting for anything, the clock goes on at once (`Sim.rest_until`): all days have their length
on every clock, and what is left out are idle rounds of workers with nothing to do.
"""

import asyncio
import gc
import logging
import random
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.config.model import Board, Bus, Config, Contact, Device, Gateway, Journal, Panel, Uplink, Zone
from edge_agent.core import Core
from edge_agent.local_api import LocalClient
from simulators.modbus_slave import Slave, slave_like
from tests.sim.county import Broker, Centre, Wan
from tests.sim.hardware import Cable, SimPanel, SimSlaves
from tests.sim.loop import World
from tests.sim.machine import Machine
from tests.sim.observer import Observer, Violation

GATEWAY = "ZG-SIM-0001"
OUTPUTS = {"buzzer": 17, "fire_lamp": 27, "fault_lamp": 22, "link_lamp": 23}
ACK, SILENCE = 5, 6
CONTACT_LINES = (12, 13, 16, 18)
DAY_S = 86_400.0
REST_S = 600.0  # after the last fault of an incident all must be at rest within this
SETTLED_S = 8.0  # nothing may have moved for so long before time is skipped


@dataclass(slots=True)
class Result:
    """The account of a run."""

    seed: int
    days: float
    asked_days: float
    violation: Violation | None
    digest: str
    incidents: int
    awake_s: float
    turns: int
    operations: int
    counts: dict[str, int]
    trace: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    cpu_s: float = 0.0


class Sim:
    """The world of one seed."""

    def __init__(self, seed: int, *, skips: bool = True, kind: str | None = None, second: str | None = None) -> None:
        """`kind` of site and `second` centre are drawn unless given."""
        self.seed, self.skips = seed, skips
        self.rng = random.Random(f"edge-agent {seed}")
        self.directory = Path(tempfile.mkdtemp(prefix="zg-sim-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.world = World()
        rng = self.rng
        drawn = rng.choices(("contacts", "panel", "meters"), (5, 3, 2))[0]
        self.kind = kind or drawn
        drawn = rng.choices(("", "honest", "dead", "liar"), (5, 2, 2, 2))[0]
        self.second = drawn if second is None else second
        names = ["county"] + (["market"] if self.second else [])
        self.wans = {name: Wan(self.world, random.Random(rng.getrandbits(64))) for name in names}
        self.centres = {name: Centre(self.world, random.Random(rng.getrandbits(64)), name, GATEWAY) for name in names}
        self.brokers = {
            name: Broker(self.wans[name], random.Random(rng.getrandbits(64)), self.centres[name]) for name in names
        }
        if self.second == "dead":
            self.wans["market"].mood = rng.choice(("cut", "refused", "down_lost"))
        if self.second == "liar":
            self.centres["market"].mood = "liar"
        self.config = self._config(names)
        self.machine = Machine(self.world, self.directory, self.config, self.brokers, rng.getrandbits(32))
        self.honest = ["county"] + (["market"] if self.second == "honest" else [])
        self.observer = Observer(self.machine, [self.centres[name] for name in self.honest])
        self.machine.on_core = self._core_started
        self.panel: SimPanel | None = None
        self.slaves: SimSlaves | None = None
        if self.kind == "panel":
            self.machine.cables["/dev/panel1"] = Cable(self.world)
            self.panel = SimPanel(self.world, self.machine.cables["/dev/panel1"])
        if self.kind == "meters":
            cable = self.machine.cables["/dev/rtu1"] = Cable(self.world)
            units: list[Slave] = [slave_like(1, "acrel-aim-r100"), slave_like(2, "afd-xy16")]
            self.slaves = SimSlaves(self.world, cable, units)
        self.machine.wires = {line: number == 1 for number, line in enumerate(CONTACT_LINES)}
        self.incidents = 0
        self.end_s = 0.0
        self.awake_s = 0.0
        self.faults: dict[str, int] = {}
        self.normal_sync = self.machine.disk.sync_s
        self._doing: list[asyncio.Task[Any]] = []
        self._stir = 0
        self._stir_s = 0.0
        if self.second in ("dead", "liar"):
            self.observer.ignore = "uplink/market"

    def _config(self, names: list[str]) -> Config:
        contacts = tuple(
            Contact(
                id=f"contact{number}",
                line=line,
                kind="fire_manual" if number == 3 else "fire",
                normally="closed" if number == 1 else "open",
            )
            for number, line in enumerate(CONTACT_LINES)
        )
        return Config(
            gateway=Gateway(id=GATEWAY, data_dir=self.directory / "disk" / "data", run_dir=self.directory / "run"),
            board=Board(gpio="fake", outputs=OUTPUTS, buttons={"ack": ACK, "silence": SILENCE}),
            journal=Journal(vital_mb=16, bulk_mb=8, reserve_mb=1, telemetry_s=600.0),
            contacts=contacts,
            panels=(Panel(id="panel1", profile="gst-layer-bus", port="/dev/panel1"),) if self.kind == "panel" else (),
            buses=(
                Bus(
                    id="rtu1",
                    port="/dev/rtu1",
                    devices=(
                        Device(id="leak1", profile="acrel-aim-r100", address=1, period_s=10.0),
                        Device(id="arc1", profile="afd-xy16", address=2, period_s=10.0),
                    ),
                ),
            )
            if self.kind == "meters"
            else (),
            zones=(Zone(id="hall", points=("contact0", "contact2")),),
            uplinks=tuple(Uplink(id=name, host="127.0.0.1", mandatory=name in ("county",)) for name in names),
            profile_dirs=(),
        )

    # -- listening as a client does ----------------------------------------------------------------------------------
    def _core_started(self) -> None:
        self.observer.core_started()
        loop = self.machine.core_loop
        self.world.home.create_task(self._listen(loop))

    async def _listen(self, loop: Any) -> None:
        while self.machine.core_loop is loop:
            try:
                client = await LocalClient.connect(self.config.gateway.run_dir / "core.sock")
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                await client.request("watch", what=["event"])
                async for push in client.pushes():
                    self.observer.promised(push)
            except ConnectionError:
                pass
            finally:
                await client.close()

    # -- time --------------------------------------------------------------------------------------------------------
    async def rest_until(self, at_s: float) -> None:
        """Let time go on to `at_s`; idle rounds are left out while nothing waits for anything."""
        world = self.world
        at_s = min(at_s, self.end_s)
        while world.now_s < at_s:
            if not self.skips or not await self._idle():
                await asyncio.sleep(min(1.0, at_s - world.now_s))
                continue
            by_s = at_s - world.now_s
            due = [when for when, _, handle in world.timers if _is_rule(handle)]
            by_s = min([by_s, *(when - world.now_s - 0.05 for when in due)])
            if by_s < 5.0:
                await asyncio.sleep(max(0.1, min(1.0, at_s - world.now_s)))
                continue
            self.awake_s -= by_s
            world.skip(by_s, self._shifts)
            await asyncio.sleep(0.01)

    def _shifts(self, handle: asyncio.Handle) -> bool:
        """The core's idle workers are moved along, its rules keep their time. The uplink and the field go first: they speak."""
        return handle._loop is self.machine.core_loop and not _is_rule(handle)  # type: ignore[attr-defined]

    async def _idle(self) -> bool:
        """Nothing has moved for a while, and no message is on its way."""
        if not self.at_rest():
            return False
        published = sum(broker.published for broker in self.brokers.values())
        stir = published + len(self.observer.accepted)
        if stir != self._stir:
            self._stir, self._stir_s = stir, self.world.now_s
        if self.world.now_s - self._stir_s < SETTLED_S:
            return False
        if any(connection.doubtful for wan in self.wans.values() for connection in wan.connections):
            return False
        for _ in range(100):
            soon = self.world.timers[0][0] < self.world.now_s + 0.002 if self.world.timers else False
            if not soon and not self._just_spoke() and not any(wan.under_way for wan in self.wans.values()):
                return True
            await asyncio.sleep(0.003)
        return False

    def _just_spoke(self) -> bool:
        """The uplink has told the core something a moment ago, and so would not say next that it is alive."""
        core, loop = self.machine.core, self.machine.core_loop
        heard_s = core.server.heard_s("journal") if core is not None else None
        return loop is None or heard_s is None or loop.time() - heard_s < 0.5

    def at_rest(self) -> bool:
        """The agent believes so, and it is true."""
        return not self.observer.owed and self.believes_rest()

    def believes_rest(self) -> bool:
        """All processes are there and nothing is owed to an honest centre, as far as the uplink knows."""
        machine = self.machine
        core, uplink = machine.core, machine.uplink
        if core is None or uplink is None or not uplink.core.present:
            return False
        for destination in uplink.destinations:
            if destination.id in self.honest:
                if destination._session is None or destination.outbox.in_flight:
                    return False
                if any(destination.outbox.pending(s.priority) for s in destination.outbox.streams()):
                    return False
        return not core.keeper.memory_alarms and self.world.now_s - machine.core_since_s > 20.0

    def restless(self) -> str:
        """What is not at rest, for people."""
        core, uplink = self.machine.core, self.machine.uplink
        if core is None or uplink is None:
            return "a process is missing"
        waits = {
            f"{d.id}/{s.epoch}/{s.priority.stream}": f"{s.done.count()} of {s.head}"
            for d in uplink.destinations
            for s in d.outbox.streams()
            if d.id in self.honest and s.done.count() < s.head
        }
        return f"pending {waits}, memory {core.keeper.memory_alarms}, owed {list(self.observer.owed)[:5]}"

    # -- the story's tools -------------------------------------------------------------------------------------------
    async def lasting(self, seconds: float) -> None:
        """A fault lasts; what the house says of it now and a while later has a cause."""
        self.observer.excuse(seconds)
        await asyncio.sleep(seconds)

    def spawn(self, act: "Coroutine[Any, Any, None]") -> None:
        """Begin something that the incident waits for."""
        self._doing.append(self.world.home.create_task(act))

    async def all_over(self) -> None:
        """Everything that was begun has ended."""
        while self._doing:
            await self._doing.pop()

    async def until(self, condition: Callable[[], object], limit_s: float, *, quiet: bool = False) -> None:
        """Wait for a condition. It is a violation if it does not come, unless `quiet`."""
        until_s = self.world.now_s + limit_s
        while not condition():
            if self.world.now_s >= until_s:
                if quiet:
                    return
                raise Violation("I6", self.world.now_s, f"not within {limit_s:.0f} s")
            await asyncio.sleep(0.5)

    # -- the run -----------------------------------------------------------------------------------------------------
    def run(self, days: float, story: "Callable[[Sim], Any]", *, each_day: Callable[[], None] = lambda: None) -> Result:
        """Live so long. The first violation ends it."""
        cpu_s = time.process_time()
        observer, world = self.observer, self.world
        end_s = self.end_s = days * DAY_S
        task = world.home.create_task(story(self))
        self.machine.power_on()
        day = 0.0
        gc.disable()  # what dies dies by its count; the rest is looked through between slices
        try:
            while world.now_s < end_s and observer.first is None and not task.done():
                world.run(min(end_s, world.now_s + 600.0))
                if world.crashes:
                    observer.fail("crash", world.crashes[0])
                gc.collect(0)
                if world.now_s // DAY_S > day:
                    day = world.now_s // DAY_S
                    gc.collect()
                    each_day()
            if task.done() and not task.cancelled() and task.exception() is not None and observer.first is None:
                fault = task.exception()
                if not isinstance(fault, Violation):
                    raise fault  # type: ignore[misc]
                observer.first = fault
            return Result(
                seed=self.seed,
                days=world.now_s / DAY_S,
                asked_days=days,
                violation=observer.first,
                digest=observer.digest.hexdigest(),
                incidents=self.incidents,
                awake_s=self.awake_s + world.now_s,
                turns=world.turns,
                operations=self.machine.disk.operations,
                counts=dict(observer.counts),
                trace=list(observer.trace),
                faults=self.faults,
                cpu_s=time.process_time() - cpu_s,
            )
        finally:
            gc.enable()
            self.machine.remove()
            world.home.kill()


def _is_rule(handle: asyncio.Handle) -> bool:
    """A timer of the alarm rules: it means something and must come at its time."""
    return getattr(handle._callback, "__func__", None) is Core._run_rules  # type: ignore[attr-defined]


def run_seed(seed: int, *, days: float = 7.0, skips: bool = True) -> Result:
    """The run of one seed, without the agent's log, which would be most of the work."""
    from tests.sim.story import story

    logging.disable(logging.CRITICAL)
    try:
        return Sim(seed, skips=skips).run(days, story)
    finally:
        logging.disable(logging.NOTSET)
