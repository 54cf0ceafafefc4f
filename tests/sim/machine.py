"""The box: one machine with a disk, a clock, lines and cables, and the two processes of the agent on it, as they are shipped."""

import asyncio
import random
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from buffer.faults import StoreFault
from buffer.journal import Journal, Ticket
from buffer.reader import JournalReader
from buffer.records import Priority
from drivers.gpio import Gpio, GpioError
from edge_agent.clock import TimeSource
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Uplink
from edge_agent.core import Core
from edge_agent.model import Clock, Instant
from edge_agent.opening import open_journal
from edge_agent.site import board_inputs
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.main import UplinkProcess, link_of
from edge_agent.uplink.modem.build import modem_path
from edge_agent.uplink.modem.driver import Modem
from edge_agent.uplink.path import Dial
from edge_agent.uplink.paths import WideLink
from tests.sim.county import Broker, Connection, SimLink
from tests.sim.disk import SimDisk
from tests.sim.hardware import Cable, SimGpio, SimPort
from tests.sim.loop import LoopRunner, ProcessLoop, World
from tests.sim.network import Network, SimPath, pair
from tests.sim.sockets import Sockets

BOOT_S = 15.0  # from the power's return to our processes
RESTART_S = 2.0  # systemd
EPOCH_WALL_NS = 1_800_000_000 * 10**9


class SimClock:
    """edge_agent.clock.TimeSource of one boot."""

    def __init__(self, machine: "Machine", loop: ProcessLoop) -> None:
        self._machine, self._loop, self._boot_id = machine, loop, machine.boot_id

    def now(self) -> Instant:
        return self.at(round(self._loop.time() * 1e9))

    def at(self, mono_ns: int) -> Instant:
        wall_ns = self._machine.wall_ns() - (round(self._loop.time() * 1e9) - mono_ns)
        return Instant(self._boot_id, mono_ns, wall_ns, self._machine.clock)


class _NoThread:
    """Where an executor is asked for by name; the loop runs the work itself."""

    def submit(self, work: Callable[..., object], *args: object) -> None:
        work(*args)

    def shutdown(self, **_: object) -> None:
        pass


class Machine:
    """Power, processes and what is wired to them. Everything here is called from the world's own loop."""

    def __init__(
        self, world: World, directory: Path, config: Config, *, network: Network, brokers: dict[str, Broker], seed: int
    ) -> None:
        self.world, self.config, self.network, self._brokers = world, config, network, brokers
        self.rng = random.Random(seed)
        self.run_dir, self.directory = directory / "run", directory
        self.run_dir.mkdir(parents=True)
        (directory / "disk").mkdir()
        self.disk = SimDisk(directory / "disk", random.Random(seed + 1))
        self.disk.now_s = lambda: world.now_s
        self.disk.process = asyncio._get_running_loop
        self.disk.on_stall = self._stall
        self.sockets = Sockets()
        self.cables: dict[str, Cable] = {}
        self.wires: dict[int, bool] = {}
        self.outputs: dict[int, bool] = {}
        self.on_output: Callable[[int, bool], None] = lambda line, level: None
        self.on_core: Callable[[], None] = lambda: None
        self.on_power: Callable[[bool], None] = lambda on: None
        self.on_reading: Callable[[bytes], None] = lambda body: None
        self.on_settled: Callable[[Ticket], None] = lambda ticket: None
        self.gpio: SimGpio | None = None
        self.gpio_broken: str | None = None
        self.powered = False
        self.boot_id, self.boots = "", 0
        self.booted_s = 0.0
        self.wall_offset_ns = EPOCH_WALL_NS
        self.clock = Clock.SYNCED
        self.core: Core | None = None
        self.uplink: UplinkProcess | None = None
        self.core_loop: ProcessLoop | None = None
        self.uplink_loop: ProcessLoop | None = None
        self.core_since_s = 0.0
        world.home.machine = self

    # -- clocks ------------------------------------------------------------------------------------------------------
    def wall_ns(self) -> int:
        return self.wall_offset_ns + round(self.world.now_s * 1e9)

    def _stall(self, seconds: float) -> None:
        loop = asyncio._get_running_loop()
        if isinstance(loop, ProcessLoop) and loop is not self.world.home:
            loop.busy_until_s = max(self.world.now_s, loop.busy_until_s) + seconds

    # -- processes ---------------------------------------------------------------------------------------------------
    def _process(self, name: str) -> ProcessLoop:
        loop = ProcessLoop(self.world, name, self.booted_s)
        loop.machine = self
        return loop

    def start_core(self) -> None:
        if not self.powered or self.core_loop is not None:
            return
        loop = self.core_loop = self._process("core")
        self.core_since_s = self.world.now_s

        async def main() -> None:
            clock = SimClock(self, loop)
            self.core = Core(
                self.config,
                clock,
                open_journal=partial(self._open_journal, loop),
                open_board=partial(self._open_board, loop),
                open_port=partial(SimPort, self.cables, loop),
            )
            self.on_core()
            await self.core.run()

        self._keep(loop, main(), self.start_core)

    def start_uplink(self) -> None:
        if not self.powered or self.uplink_loop is not None:
            return
        loop = self.uplink_loop = self._process("uplink")

        async def main() -> None:
            self.uplink = UplinkProcess(
                self.config,
                clock=SimClock(self, loop),
                rng=random.Random(self.rng.getrandbits(64)),
                make_link=partial(self._link, loop),
                make_path=partial(SimPath, self.network, loop),
                make_modem=partial(
                    modem_path,
                    driver=partial(Modem, open_port=partial(SimPort, self.cables, loop), make_pair=partial(pair, loop)),
                ),
                open_reader=lambda directory: JournalReader.open(directory, disk=self.disk),  # type: ignore[arg-type,return-value]
                open_ledger=lambda path, report: Ledger.open(
                    path, report, disk=self.disk, runner=partial(LoopRunner, loop)
                ),
                executor=_NoThread(),  # type: ignore[arg-type]
            )
            await self.uplink.run()

        self._keep(loop, main(), self.start_uplink)

    def _link(self, loop: ProcessLoop, config: Config, uplink: Uplink, clock: TimeSource, dial: Dial) -> WideLink:
        if uplink.protocol == "mqtt":
            return SimLink(self._brokers[uplink.id], loop, uplink, gateway=config.gateway.id, clock=clock, dial=dial)
        return link_of(config, uplink, clock, dial)

    def _keep(self, loop: ProcessLoop, main: Any, again: Callable[[], None]) -> None:
        """systemd: a process that ends is started again."""

        def ended(task: asyncio.Task[Any]) -> None:
            if not loop.dead:
                self.world.crashes.append(f"{loop.name} ended: {task.exception()!r}")
                self.world.interrupts.append(lambda: self._ended(loop, again))

        loop.create_task(main).add_done_callback(ended)

    def _ended(self, loop: ProcessLoop, again: Callable[[], None]) -> None:
        self._drop(loop)
        self.world.home.call_later(RESTART_S, again)

    def _open_journal(
        self, loop: ProcessLoop, config: Config, boot_id: str, report: Callable[[StoreFault], None]
    ) -> Any:
        opener = partial(
            Journal.open,
            mono_ns=lambda: round((loop.time() + self.disk.took_s()) * 1e9),
            wall_ns=self.wall_ns,
            new_epoch=lambda: f"{self.rng.getrandbits(48):012x}",
            disk=self.disk,
            runner=partial(LoopRunner, loop),
        )
        journal, fault = open_journal(config, boot_id, report, opener=opener)
        journal.append = partial(self._append, loop, journal.append)  # type: ignore[method-assign]
        return journal, fault

    def _append(  # noqa: PLR0917 - as Journal.append
        self,
        loop: ProcessLoop,
        append: Callable[..., Ticket],
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
        stops: int | None = None,
    ) -> Ticket:
        """A reading is watched on its way in, and when the core hears what became of it: in a turn that a death may forestall."""
        if priority is Priority.TELEMETRY:
            self.on_reading(body)
            on_durable = partial(loop.call_soon_threadsafe, self.on_settled)
        return append(priority, body, state, on_durable, stops)

    def _open_board(self, loop: ProcessLoop, config: Config) -> tuple[Gpio, GpioError | None]:
        gpio = self.gpio = SimGpio(loop, self._output)
        gpio.wire(self.wires)
        gpio.break_down(self.gpio_broken)
        try:
            gpio.open(inputs=board_inputs(config), outputs=dict.fromkeys(config.board.outputs.values(), False))
        except GpioError as fault:
            return gpio, fault
        return gpio, None

    def _output(self, line: int, level: bool) -> None:
        if self.outputs.get(line, False) != level:
            self.outputs[line] = level
            self.on_output(line, level)

    def wire(self, line: int, level: bool) -> None:
        self.wires[line] = level
        if self.gpio is not None and self.core_loop is not None:
            gpio = self.gpio
            self.core_loop.call_soon(lambda: gpio.wire({line: level}))

    def break_board(self, code: str | None) -> None:
        self.gpio_broken = code
        if self.gpio is not None:
            self.gpio.break_down(code)

    # -- ends --------------------------------------------------------------------------------------------------------
    def _drop(self, loop: ProcessLoop | None, *, powerless: bool = False) -> None:
        if loop is None:
            return
        void, self.disk.void = self.disk.void, True
        loop.dead = True
        try:
            for wan in self.network.wans.values():
                for connection in list(wan.connections):
                    if isinstance(connection, Connection) and connection.session.loop is loop:
                        connection.broker.disconnect(connection)
            self.network.drop(loop, powerless=powerless)
            self.sockets.drop(loop)
            loop.kill()
            self.disk.drop(loop)
        finally:
            self.disk.void = void
        if loop is self.core_loop:
            self.core_loop = self.core = self.gpio = None
            for line in list(self.outputs):
                self._output(line, False)  # whoever drives no line leaves it low
        if loop is self.uplink_loop:
            self.uplink_loop = self.uplink = None

    def kill_core(self) -> None:
        """kill -9; systemd starts it again."""
        self._drop(self.core_loop)
        self.disk.void = False
        self.world.home.call_later(RESTART_S, self.start_core)

    def kill_uplink(self, *, for_s: float = RESTART_S) -> None:
        self._drop(self.uplink_loop)
        self.disk.void = False
        self.world.home.call_later(for_s, self.start_uplink)

    def stop_at_operation(self, after: int, what: Callable[[], None]) -> None:
        """Do `what` (kill_core, cut_power …) in the very disk operation that comes `after` so many."""
        self.disk.stop_at = self.disk.operations + after
        self.disk.on_stop = lambda: self.world.interrupts.append(what)

    def cut_power(self, mode: str = "random", *, off_s: float = 5.0) -> None:
        """The power is gone between two callbacks, or in the middle of a disk operation; it comes back `off_s` later."""
        if not self.powered:
            return
        self.powered = False
        self._drop(self.core_loop)
        self._drop(self.uplink_loop, powerless=True)
        self.disk.cut_power(mode)
        self.on_power(False)
        shutil.rmtree(self.run_dir)
        self.run_dir.mkdir()
        self.world.home.call_later(off_s, self.power_on)

    def power_on(self) -> None:
        if self.powered:
            return
        self.powered = True
        self.on_power(True)
        self.boots += 1
        self.boot_id = f"{self.rng.getrandbits(48):012x}"
        self.booted_s = self.world.now_s
        self.world.home.call_later(BOOT_S, self.start_core)
        self.world.home.call_later(BOOT_S + 0.5, self.start_uplink)

    def remove(self) -> None:
        self._drop(self.core_loop)
        self._drop(self.uplink_loop)
        self.disk.remove()
        shutil.rmtree(self.directory, ignore_errors=True)
