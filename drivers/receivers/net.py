"""Ways in over the site's network: TCP connections and UDP datagrams, at one address of this machine, from listed addresses only.

A panel may connect again and again, half-open connections may be left behind, a broken peer may send as fast as it can: how many
connections, how much of each, and how often, is bounded, and what is over a bound waits (TCP) or is dropped and counted (UDP).
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

from drivers.codecs.base import Refused
from drivers.receivers.desk import Desk, Talk, now_ns

CHUNK_BYTES: Final = 4096
PEERS_MAX: Final = 32
PEERS_OF_ONE: Final = (
    4  # connections from one address: the newest count, a peer that lost its line leaves old ones behind
)
CALLS_BURST, CALLS_PER_S = 20.0, 1.0  # connections of one address
BYTES_BURST, BYTES_PER_S = 64 * 1024.0, 16 * 1024.0
DATAGRAM_BYTES_MAX: Final = 2048
ADDRESSES_MAX: Final = 256
UNSENT_BYTES_MAX: Final = 64 * 1024
IDLE_S: Final = 900.0  # a connection that brought nothing for so long is not one
LISTENS_S: Final = (
    2.0  # a peer that has ended its half may still wait for the answer to what it said: that is a flush away
)
REOPEN_S: Final = 2.0
DEAD_PEER_S: Final = 30

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MakeTalk = Callable[[], Talk]


class Door(Protocol):
    """A way in: opens by itself, again and again, and tells the desk."""

    async def run(self) -> None:
        """Until cancelled."""
        ...

    def tick(self, at_ns: int) -> None:
        """Twice a second: what time alone settles."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Bytes, connections."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The address of this machine to listen at, and who may speak to it."""

    host: str
    port: int
    allow: tuple[Network, ...]

    def allows(self, peer: str) -> bool:
        """Whether an address may speak."""
        try:
            address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.allow)


class Bucket:
    """How much may come: `burst` at once, `per_s` in the long run."""

    __slots__ = ("_at_s", "_burst", "_left", "_per_s")

    def __init__(self, burst: float, per_s: float, now_s: float) -> None:
        self._burst, self._per_s, self._left, self._at_s = burst, per_s, burst, now_s

    def take(self, amount: float, now_s: float) -> float:
        """Take it, and return for how many seconds nothing more should come; 0 while there is room."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s) - amount
        self._at_s = now_s
        return max(0.0, -self._left / self._per_s)

    def give_back(self, amount: float) -> None:
        """It was not used after all."""
        self._left += amount


class _Buckets:
    """A bucket for each address, the latest of them."""

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._of: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, peer: str, amount: float, now_s: float) -> bool:
        """Whether there is room for it; it is taken only then."""
        bucket = self._of.pop(peer, None) or Bucket(self._burst, self._per_s, now_s)
        self._of[peer] = bucket
        while len(self._of) > ADDRESSES_MAX:
            self._of.popitem(last=False)
        if bucket.take(amount, now_s) > 0:
            bucket.give_back(amount)
            return False
        return True


class TcpDoor:
    """Connections of peers, each with a Talk of its own."""

    def __init__(self, where: Where, make_talk: MakeTalk, desk: Desk) -> None:
        self.where, self.make_talk, self.desk = where, make_talk, desk
        self.port = where.port  # the real one once it is open
        self.peers: dict[_Peer, None] = {}  # oldest first
        self.calls = _Buckets(CALLS_BURST, CALLS_PER_S)
        self.counts = dict.fromkeys(("rx_bytes", "tx_bytes", "connections", "paused"), 0)

    async def run(self) -> None:
        """Listen until cancelled; an address that is not there yet is waited for."""
        loop, told = asyncio.get_running_loop(), ""
        while True:
            try:
                server = await loop.create_server(lambda: _Peer(self), self.where.host, self.where.port, backlog=16)
            except OSError as fault:
                told = _not_open(self.desk, self.where, fault, told)
                await asyncio.sleep(REOPEN_S)
                continue
            self.port, told = server.sockets[0].getsockname()[1], ""
            self.desk.opened(now_ns())
            try:
                await loop.create_future()
            finally:
                server.close()
                for peer in list(self.peers):
                    peer.drop()

    def tick(self, at_ns: int) -> None:
        """See Door."""
        for peer in list(self.peers):
            peer.tick(at_ns)

    def counters(self) -> dict[str, int]:
        """See Door."""
        return {**self.counts, "open": len(self.peers)}

    def admit(self, peer: "_Peer", address: str, now_s: float) -> bool:
        """Whether a new connection may stay; room is made by the oldest of the same address."""
        desk = self.desk
        if not self.where.allows(address):
            desk.counts["peer"] += 1
            desk.complain("peer", now_ns(), {"address": address})
            return False
        if not self.calls.take(address, 1, now_s):
            desk.counts["crowded"] += 1
            return False
        same = [other for other in self.peers if other.address == address]
        if len(same) >= PEERS_OF_ONE:
            same[0].drop()
        if len(self.peers) >= PEERS_MAX and (done := next((other for other in self.peers if other.has_ended), None)):
            done.drop()
        if len(self.peers) >= PEERS_MAX:
            desk.counts["crowded"] += 1
            return False
        self.peers[peer] = None
        self.counts["connections"] += 1
        return True


class _Peer(asyncio.BufferedProtocol):
    def __init__(self, door: TcpDoor) -> None:
        self._door, self._talk = door, door.make_talk()
        self._buffer = bytearray(CHUNK_BYTES)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._bucket = Bucket(BYTES_BURST, BYTES_PER_S, self._heard_s)
        self._resume: asyncio.TimerHandle | None = None
        self._ended_s: float | None = None
        self.address = ""

    @property
    def has_ended(self) -> bool:
        """Whether it will say no more."""
        return self._ended_s is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._door.admit(self, self.address, self._loop.time()):
            transport.abort()
            return
        self._transport = transport
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, DEAD_PEER_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, DEAD_PEER_S // 3)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_S * 1000)

    def get_buffer(self, _sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        transport = self._transport
        if transport is None:
            return
        self._heard_s = self._loop.time()
        self._door.counts["rx_bytes"] += nbytes
        at_ns, data = now_ns(), bytes(self._buffer[:nbytes])
        self._door.desk.hear(lambda: self._talk.feed(data, at_ns), data, self._reply, at_ns)
        wait_s = self._bucket.take(nbytes, self._heard_s)
        if wait_s > 0 and self._resume is None:
            self._door.counts["paused"] += 1
            transport.pause_reading()
            self._resume = self._loop.call_later(wait_s, self._go_on)

    def eof_received(self) -> bool:
        self._ended_s, at_ns = self._loop.time(), now_ns()
        self._door.desk.hear(lambda: self._talk.end(at_ns), b"", self._reply, at_ns)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            at_ns = now_ns()
            self._door.desk.hear(lambda: self._talk.end(at_ns), b"", self._reply, at_ns)
        self._forget()

    def tick(self, at_ns: int) -> None:
        """What time settles on this connection."""
        self._door.desk.hear(lambda: self._talk.tick(at_ns), b"", self._reply, at_ns)
        at_s = at_ns / 1e9
        done = self._ended_s is not None and at_s - self._ended_s > LISTENS_S
        if done or at_s - self._heard_s > IDLE_S:
            self.drop()

    def drop(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
        self._forget()

    def _forget(self) -> None:
        self._transport = None
        self._door.peers.pop(self, None)
        if self._resume is not None:
            self._resume.cancel()

    def _go_on(self) -> None:
        self._resume = None
        if self._transport is not None:
            self._transport.resume_reading()

    def _reply(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or not data:
            return
        if transport.get_write_buffer_size() > UNSENT_BYTES_MAX:  # it asks and never listens
            self.drop()
            return
        self._door.counts["tx_bytes"] += len(data)
        transport.write(data)


class UdpDoor(asyncio.DatagramProtocol):
    """Datagrams, each by itself: what one leaves unfinished is refused, never joined to the next."""

    def __init__(self, where: Where, make_talk: MakeTalk, desk: Desk) -> None:
        self._where, self._make_talk, self._desk = where, make_talk, desk
        self.port = where.port
        self._transport: asyncio.DatagramTransport | None = None
        self._lost: asyncio.Future[None] | None = None
        self._bytes = _Buckets(BYTES_BURST, BYTES_PER_S)
        self._counts = dict.fromkeys(("rx_bytes", "tx_bytes", "datagrams"), 0)

    async def run(self) -> None:
        """Listen until cancelled; an address that is not there yet is waited for."""
        loop, told = asyncio.get_running_loop(), ""
        while True:
            self._lost = loop.create_future()
            try:
                await loop.create_datagram_endpoint(lambda: self, local_addr=(self._where.host, self._where.port))
            except OSError as fault:
                told = _not_open(self._desk, self._where, fault, told)
                await asyncio.sleep(REOPEN_S)
                continue
            told = ""
            self._desk.opened(now_ns())
            try:
                await self._lost
            finally:
                if self._transport is not None:
                    self._transport.abort()
                    self._transport = None
            self._desk.closed("hang_up", "", now_ns())
            await asyncio.sleep(REOPEN_S)

    def tick(self, at_ns: int) -> None:
        """See Door."""

    def counters(self) -> dict[str, int]:
        """See Door."""
        return dict(self._counts)

    # -- asyncio.DatagramProtocol ------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast("asyncio.DatagramTransport", transport)  # 3.11's own is no subclass of it
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """One datagram of whoever."""
        at_ns, peer, desk = now_ns(), str(addr[0]), self._desk
        if not self._where.allows(peer):
            desk.counts["peer"] += 1
            desk.complain("peer", at_ns, {"address": peer})
            return
        if not self._bytes.take(peer, len(data), at_ns / 1e9):
            desk.counts["crowded"] += 1
            return
        self._counts["datagrams"] += 1
        self._counts["rx_bytes"] += len(data)
        if len(data) > DATAGRAM_BYTES_MAX:
            desk.refuse(Refused("too_long", data, at_ns))
            return
        talk = self._make_talk()
        desk.hear(
            lambda: [*talk.feed(data, at_ns), *talk.end(at_ns)], data, lambda answer: self._send(answer, addr), at_ns
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and answer:
            self._counts["tx_bytes"] += len(answer)
            self._transport.sendto(answer, addr)


def _not_open(desk: Desk, where: Where, fault: OSError, told: str) -> str:
    """Tell why it does not open, once for each reason."""
    words = (fault.strerror or str(fault)).encode("ascii", "backslashreplace").decode()
    detail = f"{where.host}:{where.port}: {words}"
    if detail != told:
        desk.closed("no_port", detail, now_ns())
    return detail
