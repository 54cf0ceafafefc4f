"""The networks between one box and its centres: sockets whose bytes take time, get lost, or meet somebody who says no.

`Wan` is the way over one path to one centre, its mood what it does now. Over it go streams, as TCP's: what is cut off comes late,
in order, or never, and nobody says so; and datagrams, which are lost. `SimSocket` is what the agent's own code holds in place of a
socket; `ProcessLoop` (loop.py) and `SockTransport` do with one what asyncio does. Time here is simulated: a sleep is a byte's way.
"""

import asyncio
import errno
import os
import random
import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from edge_agent.config.uplinks import Link
from edge_agent.uplink.path import RoutedPath
from tests.sim.loop import ProcessLoop, World
from tests.sim.sockets import Wire

CONNECT_S = 10.0
RESEND_S = (1.0, 8.0)  # TCP's, at first and at most
FORGOTTEN_S = 120.0  # a centre's kernel lets go of a peer that lost its power


class SimSocket:
    """One end. `out` takes what is written; `end` hears that it was closed here."""

    def __init__(self, loop: ProcessLoop, *, datagrams: bool = False) -> None:
        self.loop, self.datagrams = loop, datagrams
        self.out: Callable[[bytes], None] = lambda data: None
        self.end: Callable[[], None] = lambda: None
        self.closed = self.over = False  # here; by the far end
        self._waiting: deque[bytes] = deque()
        self._fault: OSError | None = None
        self._watcher: Callable[[], None] | None = None
        self._called = self._resets = False
        self.reset: Callable[[], None] = lambda: None
        self.wan: Wan | None = None

    # -- what code does with a socket --------------------------------------------------------------------------------
    @property
    def type(self) -> socket.SocketKind:
        if not self.datagrams:
            return socket.SOCK_STREAM
        return socket.SOCK_SEQPACKET if self.wan is None else socket.SOCK_DGRAM

    def setsockopt(self, level: int, option: int, value: object) -> None:
        self._resets |= option == socket.SO_LINGER  # whoever sets it wants the reset of a linger of nothing

    def send(self, data: bytes) -> int:
        if self.closed:
            raise OSError(errno.EBADF, "closed")
        if self._fault is not None:
            raise self._fault
        if self.over and self.wan is None:
            raise BrokenPipeError(errno.EPIPE, "nobody reads it")
        if not self.loop.dead:
            self.out(bytes(data))
        return len(data)

    def recv(self, limit: int) -> bytes:
        if self.closed:
            raise OSError(errno.EBADF, "closed")
        if not self._waiting:
            if self._fault is not None:
                fault = self._fault
                if self.datagrams:
                    self._fault = None
                raise fault
            if self.over:
                return b""
            raise BlockingIOError(errno.EAGAIN, "nothing there")
        if self.datagrams:
            return self._waiting.popleft()[:limit]
        data = b"".join(self._waiting)
        self._waiting.clear()
        if data[limit:]:
            self._waiting.append(data[limit:])
        return data[:limit]

    def close(self) -> None:
        if not self.closed:
            self.closed, self._watcher = True, None
            (self.reset if self._resets else self.end)()

    # -- what the loop and the network do ------------------------------------------------------------------------------
    def watch(self, watcher: Callable[[], None] | None) -> None:
        """Call when there is something to read, and soon if there is already."""
        self._watcher = watcher
        if self._readable:
            self._wake()

    def arrived(self, data: bytes) -> None:
        if not self.closed and not self.over:
            self._waiting.append(data)
            self._wake()

    def hung_up(self, fault: OSError | None = None) -> None:
        """The far end has closed it, or somebody on the way has (`fault`)."""
        if not self.closed and not self.over:
            self._fault, self.over = fault, not self.datagrams
            self._wake()

    def left(self) -> None:
        """The far end of a pair has closed it; a SEQPACKET shows that, too."""
        self.over = True
        self._wake()

    @property
    def _readable(self) -> bool:
        return bool(self._waiting) or self.over or self._fault is not None

    def _wake(self) -> None:
        if self._watcher is not None and not self._called and not self.loop.dead:
            self._called = True
            self.loop.call_soon(self._call)

    def _call(self) -> None:
        self._called = False
        if self._watcher is not None and not self.closed:
            self._watcher()
            if self._readable:  # as a selector, which says so for as long as it is true
                self._wake()


def pair(loop: ProcessLoop, kind: str) -> tuple[SimSocket, SimSocket]:
    """edge_agent.uplink.modem.pump.pair: two ends within one process."""
    one, other = (SimSocket(loop, datagrams=kind == "udp") for _ in range(2))
    for near, far in ((one, other), (other, one)):
        near.out = far.arrived
        near.end = far.left
    return one, other


class SockTransport(Wire):
    """A protocol over a SimSocket."""

    def __init__(self, sock: SimSocket, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": sock})
        self.sock, self.protocol, self.loop = sock, protocol, sock.loop
        self._lost = False
        self.loop.call_soon(protocol.connection_made, self)
        self.loop.call_soon(sock.watch, self._readable)

    def _readable(self) -> None:
        while not self._lost:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            except OSError as fault:
                self._lose(fault)
                return
            if not data:
                self.protocol.eof_received()
                self._lose(None)
                return
            self.protocol.data_received(data)

    def _lose(self, fault: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self.sock.close()
            if not self.loop.dead:
                self.loop.call_soon(self.protocol.connection_lost, fault)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._lost and not self.loop.dead:
            try:
                self.sock.send(bytes(data))
            except OSError as fault:
                self._lose(fault)

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def is_closing(self) -> bool:
        return self._lost


class Wan:
    """The way to one centre over one path.

    Moods: ok; cut (nothing passes, nothing says so); up_lost, down_lost (one way); refused; gone (no such interface here).
    """

    def __init__(self, world: World, rng: random.Random, latency_s: float = 0.02) -> None:
        self.world, self.rng = world, rng
        self.mood = "ok"
        self.latency_s, self.loss = latency_s, 0.0  # `loss` of datagrams, each way
        self.connections: list[Any] = []  # county.Connection and Stream: what stands
        self.under_way = 0  # messages that have left and not arrived, and connections that are being made

    def passes(self, up: bool) -> bool:
        return self.mood in ("ok", "down_lost" if up else "up_lost")

    def half_open(self) -> None:
        """Connections that stand are dead without a word; new ones work."""
        for connection in self.connections:
            connection.swallowed = True

    def reset(self) -> None:
        """Every connection ends, and both ends hear of it."""
        for connection in list(self.connections):
            connection.end()

    @property
    def busy(self) -> bool:
        """Something is on its way, or has yet to find out that it is not."""
        return self.under_way > 0 or any(connection.doubtful for connection in self.connections)

    async def connect(self) -> None:
        """TCP's first words. Raise OSError or TimeoutError."""
        if self.mood == "gone":
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        self.under_way += 1
        try:
            if self.passes(up=True) and self.passes(up=False):
                await asyncio.sleep(2 * self.latency_s)
            elif self.mood == "refused":
                await asyncio.sleep(2 * self.latency_s)
                raise ConnectionRefusedError(errno.ECONNREFUSED, "refused")
            else:
                await asyncio.sleep(CONNECT_S)
                raise TimeoutError
        finally:
            self.under_way -= 1


class Stream:
    """One TCP connection. Each direction keeps its order and its patience."""

    def __init__(self, wan: Wan, near: SimSocket, far: SimSocket) -> None:
        self.wan, self.near, self.far = wan, near, far
        self.swallowed = self.over = False
        self.latency_s = wan.latency_s
        near.reset, far.reset = lambda: self._reset(far, up=True), lambda: self._reset(near, up=False)
        self._ways = (Way(self, near, far, up=True), Way(self, far, near, up=False))
        wan.connections.append(self)

    @property
    def doubtful(self) -> bool:
        return self.swallowed or any(way.waiting for way in self._ways)

    def end(self) -> None:
        """A reset: both hear of it, whatever waits is gone."""
        if not self.over:
            self.forget()
            fault = ConnectionResetError(errno.ECONNRESET, "reset")
            for end in (self.near, self.far):
                if not end.loop.dead:
                    end.loop.call_later(self.latency_s, end.hung_up, fault)

    def _reset(self, other: SimSocket, *, up: bool) -> None:
        """One end resets it: nothing of it arrives any more, and the other end hears of it if that can."""
        passes = self.wan.passes(up) and not self.swallowed
        self.forget()
        if not other.loop.dead:
            wait_s = self.latency_s if passes else FORGOTTEN_S
            other.loop.call_later(wait_s, other.hung_up, ConnectionResetError(errno.ECONNRESET, "reset"))

    def tell_far(self, after_s: float) -> None:
        """The centre's kernel gives up on it."""
        self.wan.world.home.call_later(after_s, self.far.hung_up, TimeoutError(errno.ETIMEDOUT, "gone"))

    def forget(self) -> None:
        """It is no more."""
        if not self.over:
            self.over = True
            self.wan.connections.remove(self)


class Way:
    """One direction of a stream. None in the queue is the end of it."""

    def __init__(self, stream: Stream, source: SimSocket, target: SimSocket, *, up: bool) -> None:
        self.stream, self.target, self.up = stream, target, up
        self.waiting: deque[bytes | None] = deque()
        self._tries = 0
        self._armed = False
        source.out, source.end = self.put, lambda: self.put(None)

    def put(self, data: bytes | None) -> None:
        if self.stream.over:
            return
        if self.stream.swallowed and data is None and self.up:
            self.stream.forget()  # it will never get there
            self.stream.tell_far(FORGOTTEN_S)
            return
        self.waiting.append(data)
        if not self._armed:
            self._go()

    def _go(self) -> None:
        self._armed = False
        stream, wan = self.stream, self.stream.wan
        if stream.over or stream.swallowed or not self.waiting:
            return
        if not wan.passes(self.up):
            self._armed = True
            wait_s = min(RESEND_S[1], RESEND_S[0] * 2.0 ** min(self._tries, 4))
            self._tries += 1
            wan.world.home.call_later(wait_s, self._go)
            return
        self._tries = 0
        sent, ends = b"".join(data for data in self.waiting if data is not None), None in self.waiting
        self.waiting.clear()
        wan.under_way += 1
        wan.world.home.call_later(stream.latency_s, self._arrive, sent, ends)

    def _arrive(self, data: bytes, ends: bool) -> None:
        self.stream.wan.under_way -= 1
        if self.stream.over:
            return
        if self.stream.swallowed:
            if ends:
                self.put(None)
            return
        if data:
            self.target.arrived(data)
        if ends:
            self.target.hung_up()
            if self.target.closed:
                self.stream.forget()


Ear = Callable[[bytes, Callable[[bytes], None]], None]  # a datagram, and where to answer


class Network:
    """Who is where: `wans` by path and host; services by host and port."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wans: dict[tuple[str, str], Wan] = {}
        self.streams: dict[tuple[str, int], Callable[[SimSocket], None]] = {}
        self.ears: dict[tuple[str, int], Ear] = {}
        self._sockets: list[tuple[SimSocket, Stream | None]] = []

    async def tcp(self, loop: ProcessLoop, path: str, host: str, port: int) -> SimSocket:
        """Raise OSError or TimeoutError."""
        wan = self.wans[path, host]
        await wan.connect()
        near, far = SimSocket(loop), SimSocket(self.world.home)
        near.wan = wan
        stream = Stream(wan, near, far)
        self._keep(near, stream)
        self.streams.get((host, port), _nobody)(far)
        return near

    async def udp(self, loop: ProcessLoop, path: str, host: str, port: int) -> SimSocket:
        wan = self.wans[path, host]
        sock = SimSocket(loop, datagrams=True)
        sock.wan = wan
        sock.out = lambda data: self._datagram(wan, sock, (host, port), data)
        self._keep(sock, None)
        return sock

    def _datagram(self, wan: Wan, sock: SimSocket, to: tuple[str, int], data: bytes) -> None:
        if wan.mood == "gone":
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        ear = self.ears.get(to)
        if ear is None or not wan.passes(up=True) or wan.rng.random() < wan.loss:
            return
        wan.under_way += 1
        wan.world.home.call_later(wan.latency_s, self._heard, wan, sock, ear, data)

    def _heard(self, wan: Wan, sock: SimSocket, ear: Ear, data: bytes) -> None:
        wan.under_way -= 1

        def answer(frame: bytes) -> None:
            if wan.passes(up=False) and wan.rng.random() >= wan.loss:
                wan.under_way += 1
                wan.world.home.call_later(wan.latency_s, back, frame)

        def back(frame: bytes) -> None:
            wan.under_way -= 1
            sock.arrived(frame)

        ear(data, answer)

    def _keep(self, sock: SimSocket, stream: Stream | None) -> None:
        self._sockets = [(one, of) for one, of in self._sockets if not one.closed and not one.loop.dead]
        self._sockets.append((sock, stream))

    def drop(self, loop: ProcessLoop, *, powerless: bool) -> None:
        """A process is gone: its kernel says so for it, unless the kernel is gone as well."""
        for sock, stream in list(self._of(loop)):
            if stream is None or not powerless:
                sock.close()
            else:
                stream.forget()
                stream.tell_far(FORGOTTEN_S)

    def _of(self, loop: ProcessLoop) -> Iterator[tuple[SimSocket, Stream | None]]:
        return ((sock, stream) for sock, stream in self._sockets if sock.loop is loop and not sock.closed)


def _nobody(far: SimSocket) -> None:
    """A port that takes a connection and does nothing with it: enough for a probe, and for what is modelled by messages."""
    far.watch(lambda: far.close() if far.over else None)


class SimPath(RoutedPath):
    """A path of the simulated machine."""

    def __init__(self, network: Network, loop: ProcessLoop, link: Link | None = None) -> None:
        super().__init__(link)
        self._network, self._loop = network, loop

    async def tcp(self, host: str, port: int) -> Any:
        return await self._network.tcp(self._loop, self.id, host, port)

    async def udp(self, host: str, port: int) -> Any:
        return await self._network.udp(self._loop, self.id, host, port)
