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
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from edge_agent.config.model import Board, Bus, Config, Contact, Device, Gateway, Journal, Panel, Zone
from edge_agent.config.uplinks import Link, Modem, Uplink
from edge_agent.core import Core
from edge_agent.local_api import LocalClient
from edge_agent.uplink.packed import read_key
from simulators.modbus_slave import Slave, slave_like
from simulators.modem import ModemSim
from tests.sim.county import Broker, Centre, PackedCounty
from tests.sim.gb_county import PORT as GB_PORT
from tests.sim.gb_county import GbCounty, gb_uplink
from tests.sim.hardware import Cable, CablePort, SimPanel, SimSlaves
from tests.sim.loop import World
from tests.sim.machine import EPOCH_WALL_NS, Machine
from tests.sim.network import Network, Wan
from tests.sim.observer import Observer, Violation

GATEWAY = "ZG-SIM-0001"
OUTPUTS = {"buzzer": 17, "fire_lamp": 27, "fault_lamp": 22, "link_lamp": 23}
ACK, SILENCE = 5, 6
MODEM_POWER, MODEM_PORT = 24, "/dev/modem1"
NB_FAMILIES = ("bc95", "bc26", "sim7020")
HOSTS = {"county": "127.0.0.1", "market": "127.0.0.2", "gb": "127.0.0.3"}
PACKED_PORT = 5119
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
    waits_s: dict[str, list[float]]  # from a promise to the centres, simulated
    trace: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    cpu_s: float = 0.0


class Sim:
    """The world of one seed."""

    def __init__(
        self,
        seed: int,
        *,
        skips: bool = True,
        kind: str | None = None,
        second: str | None = None,
        links: str | None = None,
    ) -> None:
        """`kind` of site, `second` centre and `links` are drawn unless given."""
        self.seed, self.skips = seed, skips
        self.rng = rng = random.Random(f"edge-agent {seed}")
        self.directory = Path(tempfile.mkdtemp(prefix="zg-sim-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.world = World()
        self.kind = _drawn(rng, kind, contacts=5, panel=3, meters=2)
        self.links = _drawn(rng, links, none=16, paths=2, modem=2)
        if self.links == "none":
            self.second = _drawn(rng, second, none=4, gb=3, honest=1, dead=1, liar=1)
        else:
            self.second = _drawn(rng, second, none=3, gb=1)
        self.family = rng.choice(NB_FAMILIES)
        self._make_counties(rng)
        self.machine = Machine(
            self.world,
            self.directory,
            self.config,
            network=self.network,
            brokers=self.brokers,
            seed=rng.getrandbits(32),
        )
        self.honest = ["county"] + (["market"] if self.second == "honest" else [])
        self.owed_to = [*self.honest, *(["gb"] if self.gb is not None else [])]
        self.observer = Observer(self.machine, [self.centres[name] for name in self.honest])
        self.observer.gb = self.gb
        if self.packed is not None:
            self.packed.on_brief = self.observer.briefed
        self.machine.on_core = self._core_started
        self._wire_field()
        self.modem = self._make_modem(random.Random(rng.getrandbits(64))) if self.links == "modem" else None
        self.incidents = 0
        self.end_s = 0.0
        self.awake_s = 0.0
        self.faults: dict[str, int] = {}
        self.company: set[str] = set()  # the faults of the incident that runs
        self.normal_sync = self.machine.disk.sync_s
        self._doing: list[asyncio.Task[Any]] = []
        self._stir = 0
        self._stir_s = 0.0
        if self.second in ("dead", "liar"):
            self.observer.ignore = "uplink/market"

    def _make_counties(self, rng: random.Random) -> None:
        """The centres, and the ways to them. `ways` is what breaks as one: with [[link]]s a path, else the way to one centre."""
        world, second = self.world, self.second
        names = ["county"] + (["market"] if second in ("honest", "dead", "liar") else [])
        self.centres = {name: Centre(world, random.Random(rng.getrandbits(64)), name, GATEWAY) for name in names}
        self.brokers = {
            name: Broker(world, random.Random(rng.getrandbits(64)), centre) for name, centre in self.centres.items()
        }
        key_file = self.directory / "packed.key"
        key_file.write_text("5a" * 32, "ascii")
        self.config = self._config(names, key_file)
        self.gb: GbCounty | None = None
        if second == "gb":
            self.gb = GbCounty(world, random.Random(rng.getrandbits(64)), county_wall_ns(world), self.config)
        self.packed: PackedCounty | None = None
        network = self.network = Network(world)
        self.ways: dict[str, list[Wan]] = {}
        for name in [*names, *(["gb"] if self.gb is not None else [])]:
            path = "" if self.links == "none" else "eth"
            wan = network.wans[path, HOSTS[name]] = Wan(world, random.Random(rng.getrandbits(64)))
            self.ways.setdefault(path or name, []).append(wan)
        if self.gb is not None:
            network.streams[HOSTS["gb"], GB_PORT] = self.gb.accept
        if self.links != "none":
            narrow = Wan(world, random.Random(rng.getrandbits(64)), latency_s=0.9)
            network.wans["nb", HOSTS["county"]], self.ways["nb"] = narrow, [narrow]
            self.packed = PackedCounty(self.centres["county"], read_key("5a" * 32))
            network.ears[HOSTS["county"], PACKED_PORT] = self.packed.hear
        if second == "dead":
            self.ways["market"][0].mood = rng.choice(("cut", "refused", "down_lost"))
        if second == "liar":
            self.centres["market"].mood = "liar"

    def _wire_field(self) -> None:
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

    def _make_modem(self, chance: random.Random) -> ModemSim:
        """The simulated modem at a cable, its sockets on the simulated network, its supply at a line of the board."""
        world, machine = self.world, self.machine
        cable = machine.cables[MODEM_PORT] = Cable(world)

        async def dial(kind: str, host: str, port: int) -> Any:
            return await getattr(self.network, kind)(world.home, "nb", host, port)

        modem = ModemSim(
            self.family,
            link=Path(MODEM_PORT),
            chance=chance,
            boot_s=3.0,
            port=lambda path, on_bytes: CablePort(cable, on_bytes),
            dial=dial,
        )
        modem.utc = lambda: datetime.fromtimestamp(county_wall_ns(world)() / 1e9, UTC)
        supply = {"pin": True, "box": True}

        def switch(name: str, on: bool) -> None:
            before, supply[name] = all(supply.values()), on
            if all(supply.values()) != before:
                world.home.create_task(modem.power(not before))

        watch = machine.on_output

        def output(line: int, level: bool) -> None:
            watch(line, level)
            if line == MODEM_POWER:
                self.observer.counts["modem power"] += level
                switch("pin", not level)

        machine.on_output = output
        machine.on_power = partial(switch, "box")
        world.home.create_task(modem.__aenter__())
        return modem

    def _config(self, names: list[str], key_file: Path) -> Config:
        contacts = tuple(
            Contact(
                id=f"contact{number}",
                line=line,
                kind="fire_manual" if number == 3 else "fire",
                normally="closed" if number == 1 else "open",
            )
            for number, line in enumerate(CONTACT_LINES)
        )
        packed: dict[str, Any] = (
            {} if self.links == "none" else {"packed_port": PACKED_PORT, "packed_key_file": key_file}
        )
        uplinks = [
            Uplink(id=name, host=HOSTS[name], mandatory=name == "county", **(packed if name == "county" else {}))
            for name in names
        ]
        modem = Modem(port=MODEM_PORT, family=self.family, power_pin=True) if self.links == "modem" else None
        return Config(
            gateway=Gateway(id=GATEWAY, data_dir=self.directory / "disk" / "data", run_dir=self.directory / "run"),
            board=Board(
                gpio="fake",
                outputs=OUTPUTS | ({"modem_power": MODEM_POWER} if modem is not None else {}),
                buttons={"ack": ACK, "silence": SILENCE},
            ),
            journal=Journal(vital_mb=16, bulk_mb=8, reserve_mb=1, telemetry_s=120.0),
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
            uplinks=(*uplinks, *((gb_uplink(HOSTS["gb"]),) if self.second == "gb" else ())),
            links=(Link(id="eth", kind="ethernet"), Link(id="nb", kind="nbiot", modem=modem))
            if self.links != "none"
            else (),
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
        wans = self.network.wans.values()
        if any(wan.busy for wan in wans) or self._asking():
            return False
        for _ in range(100):
            soon = self.world.timers[0][0] < self.world.now_s + 0.002 if self.world.timers else False
            if not (soon or self._just_spoke() or self._asking() or any(wan.under_way for wan in wans)):
                return True
            await asyncio.sleep(0.003)
        return False

    def _asking(self) -> bool:
        """The uplink waits for an answer that no record is about: of a GB centre, over a path it tries, from its modem."""
        uplink = self.machine.uplink
        if uplink is None:
            return True
        for destination in uplink.destinations:
            session: Any = destination._session
            inner = getattr(session, "_inner", session)
            if len(getattr(inner, "_exchanges", ())) or getattr(inner, "_open", None):
                return True
        for policy in uplink.paths._policies.values():
            if policy._moving or any(
                way.probe_at_s > policy._loop.time() + 1000 for way in policy.choice.states.values()
            ):
                return True
        modems: Any = uplink.paths._modems.values()
        return any(modem.port._pending is not None or modem._pumps for modem in modems)

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
            if destination.id in self.owed_to:
                if destination._session is None or destination.outbox.in_flight:
                    return False
                if any(destination.outbox.pending(s.priority) for s in destination.outbox.streams()):
                    return False
        for policy in uplink.paths._policies.values():  # every way is known to be there, and the best one is used
            if policy.choice.current != policy.choice.rules[0].id:
                return False
            if not all(way.up and way.trusted(policy._loop.time()) for way in policy.choice.states.values()):
                return False
        if any(modem.snapshot()["troubles"] for modem in uplink.paths._modems.values()):
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
            if d.id in self.owed_to and s.done.count() < s.head
        }
        paths = {name: (p.choice.current, p.choice.states) for name, p in uplink.paths._policies.items()}
        modems = [modem.snapshot() for modem in uplink.paths._modems.values()]
        links = f"{paths} {modems} " if paths else ""
        return f"{links}pending {waits}, memory {core.keeper.memory_alarms}, owed {list(self.observer.owed)[:5]}"

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

    @property
    def path(self) -> str | None:
        """The [[link]] that carries the county's session."""
        uplink = self.machine.uplink
        return uplink.paths._policies["county"].choice.current if uplink is not None else None

    def wrong(self, invariant: str, what: str) -> None:
        """An act has seen that an invariant does not hold."""
        raise Violation(invariant, self.world.now_s, what)

    async def until(
        self, condition: Callable[[], object], limit_s: float, *, quiet: bool = False, why: str = ""
    ) -> None:
        """Wait for a condition. It is a violation if it does not come, unless `quiet`."""
        until_s = self.world.now_s + limit_s
        while not condition():
            if self.world.now_s >= until_s:
                if quiet:
                    return
                self.wrong("I6", f"{why or 'something'}: not within {limit_s:.0f} s")
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
        gc.freeze()  # the programs themselves
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
            if self.gb is not None:
                self.faults |= {f"GB {name}": count for name, count in self.gb.menu.struck.items()}
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
                waits_s=observer.waits_s,
                trace=list(observer.trace),
                faults=self.faults,
                cpu_s=time.process_time() - cpu_s,
            )
        finally:
            gc.enable()
            gc.unfreeze()
            self.machine.remove()
            world.home.kill()


def _drawn(rng: random.Random, given: str | None, **weights: int) -> str:
    """One of the names, by its weight; drawn in any case, so that what is drawn later does not depend on it."""
    drawn = rng.choices(list(weights), list(weights.values()))[0]
    return drawn if given is None else given


def county_wall_ns(world: World) -> Callable[[], int]:
    """What time it is at a centre, whose clock is right."""
    return lambda: EPOCH_WALL_NS + round(world.now_s * 1e9)


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
