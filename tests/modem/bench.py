"""A modem driver on the pty of a simulated modem, with short times, and real ports behind its sockets."""

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from edge_agent.config.uplinks import Link
from edge_agent.config.uplinks import Modem as Settings
from edge_agent.tasks import end
from edge_agent.uplink.modem.driver import Modem, Timing
from edge_agent.uplink.modem.hooks import Hooks
from edge_agent.uplink.modem.ladder import RUNGS, Ladder, Rung, Waits
from edge_agent.uplink.modem.pin import PinMemory
from edge_agent.uplink.modem.pump import Pace
from simulators.modem import ModemSim
from tests.waiting import PATIENCE_S, until

FAMILIES = ("quectel", "bc26", "bc95", "sim7600", "sim7020")
NB = ("bc26", "bc95", "sim7020")
FAST = Timing(
    poll_s=0.1,
    command_s=2.0,
    answer_s=1.0,
    boot_s=1.0,
    signal_s=0.2,
    clock_s=0.3,
    searching_s=1.0,
    pace=Pace(look_s=0.5, full_s=0.05, stuck_s=1.0),
)


@dataclass(slots=True)
class Bench:
    """What a test looks at."""

    modem: Modem
    sim: ModemSim
    reports: list[tuple[str, bool]] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    power_asked: int = 0

    async def up(self) -> None:
        await until(lambda: self.modem.health.up, f"up, is {self.modem.health.reason}")
        self.modem.port.gap_s = 0.0  # the simulated BC95 needs no rest between commands


def quick_ladder(**more: Any) -> Ladder:
    """The same rungs, twenty times a minute instead of once."""
    return Ladder(
        rungs=tuple(Rung(rung.action, 0.4) for rung in RUNGS),
        enabled=more.pop("enabled", frozenset({"reopen", "bearer", "radio", "restart", "power"})),
        waits=Waits(patience=0.02, retry_held_s=1.0, again_s=1.0, host_uptime_s=0.0),
        **more,
    )


@contextlib.asynccontextmanager
async def bench(
    tmp_path: Path,
    family: str,
    *,
    named: bool = False,
    start: Callable[[ModemSim], None] = lambda sim: None,
    ladder: Ladder | None = None,
    power: Callable[[], Awaitable[bool]] | None = None,
    usb: bool = False,
    wall_ns: Callable[[], int | None] = lambda: None,
    **settings: Any,
) -> AsyncIterator[Bench]:
    """A running modem. `named`: its family is configured instead of asked for."""
    port = tmp_path / "modem"
    async with ModemSim(family, link=port, chance=random.Random(7), usb=usb) as sim:
        start(sim)
        link = Link(
            id="m",
            kind="nbiot" if family in NB else "cellular",
            modem=Settings(port=str(port), family=family if named else "auto", baud=115200, **settings),
        )
        reports: list[tuple[str, bool]] = []
        times_ns: list[int] = []
        made: list[Bench] = []

        async def cycle() -> bool:
            made[0].power_asked += 1
            if power is not None:
                return await power()
            await sim.power(False)
            await sim.power(True)
            return True

        async def offer(utc_ns: int) -> None:
            times_ns.append(utc_ns)

        hooks = Hooks(
            power=cycle,
            report=lambda reason, active, fields: reports.append((reason, active)),
            offer_time=offer,
            wall_ns=wall_ns,
        )
        modem = Modem(link, hooks=hooks, ladder=ladder or quick_ladder(), pin=PinMemory(tmp_path / "pin"), timing=FAST)
        made.append(Bench(modem, sim, reports, times_ns))
        async with kept_running(modem):
            yield made[0]


@contextlib.asynccontextmanager
async def kept_running(modem: Any) -> AsyncIterator[None]:
    """Its worker, until the end of the block; what it died of is raised there."""
    running = asyncio.create_task(modem.run())
    try:
        yield
        if running.done():
            running.result()
    finally:
        await end(running)


@contextlib.asynccontextmanager
async def trying(path: Any) -> AsyncIterator[None]:
    """The policy tries a path again and again, and loses every echo."""

    async def lose() -> None:
        while True:
            path.echo_lost()
            await asyncio.sleep(0.02)

    losing = asyncio.create_task(lose())
    try:
        yield
    finally:
        await end(losing)


class UdpEcho(asyncio.DatagramProtocol):
    """Answers every datagram with itself."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # _SelectorDatagramTransport is none by inheritance

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append(data)
        assert self.transport is not None
        self.transport.sendto(data, addr)


@contextlib.asynccontextmanager
async def udp_echo() -> AsyncIterator[tuple[int, UdpEcho]]:
    loop = asyncio.get_running_loop()
    transport, echo = await loop.create_datagram_endpoint(UdpEcho, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1], echo
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def tcp_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[Any]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await handle(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def echo_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def receive(sock: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes of a stream."""
    loop, got = asyncio.get_running_loop(), b""
    async with asyncio.timeout(PATIENCE_S):
        while len(got) < count:
            data = await loop.sock_recv(sock, 65536)
            assert data, f"closed after {len(got)} of {count}"
            got += data
    return got


async def datagram(sock: socket.socket, *, timeout_s: float = PATIENCE_S) -> bytes:
    async with asyncio.timeout(timeout_s):
        return await asyncio.get_running_loop().sock_recv(sock, 65536)
