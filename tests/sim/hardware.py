"""What stands around the box: its board's lines, its serial cables, a panel and a meter line at the far ends of them."""

import asyncio
from collections.abc import Callable
from typing import Any

from drivers.gpio.fake import FakeGpio
from drivers.serial_link import LinkDown, SerialLink
from simulators.modbus_slave import Slave, SlaveLine
from simulators.panel_talk import TALKS
from tests.sim.loop import ProcessLoop, World

CHAR_S = 10 / 9600


class SimGpio(FakeGpio):
    """The strict fake board on simulated time, whose outputs somebody watches."""

    def __init__(self, loop: ProcessLoop, on_output: Callable[[int, bool], None]) -> None:
        super().__init__(mono_ns=lambda: round(loop.time() * 1e9))
        self._on_output = on_output

    def _set(self, line: int, level: bool) -> None:
        super()._set(line, level)
        self._on_output(line, level)


class Cable:
    """A serial cable: the gateway's port at one end, a device at the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.plugged = True
        self.port: SimPort | None = None
        self.far: Callable[[bytes], None] = lambda data: None

    def say(self, data: bytes) -> None:
        """The device puts bytes on the line."""
        if self.plugged and self.port is not None and not self.port.loop.dead:
            self.port.loop.call_soon(self.port.heard, data)

    def hear(self, data: bytes) -> None:
        if self.plugged:
            self.world.home.call_later(CHAR_S * len(data), self.far, data)

    def unplug(self) -> None:
        self.plugged = False
        port, self.port = self.port, None
        if port is not None and not port.loop.dead:
            port.loop.call_soon(port.lost)

    def plug(self) -> None:
        self.plugged = True


class SimPort(SerialLink):
    """SerialLink with a cable in place of a tty; opening again and again is its own."""

    def __init__(self, cables: dict[str, Cable], loop: ProcessLoop, path: str, **settings: Any) -> None:
        super().__init__(path, **settings)
        self.loop, self._cable = loop, cables[path]
        self._held: list[bytes] = []

    async def open(self) -> None:
        if self.up:
            return
        await asyncio.sleep(0.001)
        if not self._cable.plugged:
            raise LinkDown("no_port", f"{self.path}: No such file or directory")
        self._fd = 0
        self._lost = self.loop.create_future()
        self._cable.port = self

    def heard(self, data: bytes) -> None:
        if not self.up:
            return
        if self._resume is not None:
            self._held.append(data)
            return
        self.rx_bytes += len(data)
        self.on_bytes(data, round(self.loop.time() * 1e9))

    def lost(self) -> None:
        self._drop("read: Input/output error")

    def write(self, data: bytes) -> None:
        if not self.up:
            raise LinkDown("no_port", f"{self.path} is not open")
        self.tx_bytes += len(data)
        self._cable.hear(data)

    async def drain(self) -> None:
        await asyncio.sleep(self.char_s(4))
        if not self.up:
            raise LinkDown("hang_up", f"{self.path} went away")

    def pause(self, until_s: float, over: Callable[[], None]) -> None:
        if self.up and self._resume is None:
            self._resume = self.loop.call_at(until_s, self._listen, self.loop, over)

    def _listen(self, loop: asyncio.AbstractEventLoop, over: Callable[[], None]) -> None:
        self._resume = None
        held, self._held = self._held, []
        for data in held:
            self.heard(data)
        if self.up and self._resume is None:
            over()

    def set_parity(self, parity: str) -> None:
        if not self.up:
            raise LinkDown("no_port", f"{self.path} is not open")

    def _drop(self, why: str) -> None:
        if self._fd < 0:
            return
        self._fd = -1
        self._held.clear()
        if self._cable.port is self:
            self._cable.port = None
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        lost, self._lost = self._lost, None
        if lost is not None and not lost.done():
            lost.set_result(why)


class CablePort:
    """simulators.modem.Port at the far end of a cable."""

    def __init__(self, cable: Cable, on_bytes: Callable[[bytes], None]) -> None:
        self._cable = cable
        cable.far = on_bytes

    def come_back(self) -> None:
        self._cable.plug()

    def hang_up(self) -> None:
        self._cable.unplug()

    def write(self, data: bytes) -> None:
        self._cable.say(data)


class SimPanel:
    """A panel that only talks: its keep-alive, and what the story makes it say."""

    def __init__(self, world: World, cable: Cable) -> None:
        self.world, self.cable = world, cable
        self._talk = TALKS["gst-layer-bus"]()
        self.silent = False
        self._beat()

    def _beat(self) -> None:
        if not self.silent:
            self.cable.say(self._talk.keepalive())
        self.world.home.call_later(self._talk.keepalive_s or 3.0, self._beat)

    def event(self, event: str, address: str = "") -> None:
        """Say it, as often as the protocol does."""
        frame = self._talk.event(event, address)
        self.cable.say(frame)
        for count, copy in enumerate(self._talk.copies(frame), 1):
            self.world.home.call_later(0.1 * count, self.cable.say, copy)


class SimSlaves(SlaveLine):
    """The simulated slaves at the end of a cable instead of a pty."""

    def __init__(self, world: World, cable: Cable, slaves: list[Slave]) -> None:
        super().__init__(slaves, baud=None)
        self._world, self._cable = world, cable
        cable.far = self.received

    def send(self, data: bytes) -> None:
        self._cable.say(data)
