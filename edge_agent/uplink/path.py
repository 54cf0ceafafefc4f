"""Ways out of this box: each gives connected sockets that leave by it and no other. docs/decisions/0013-paths.md."""

import asyncio
import contextlib
import errno
import logging
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from edge_agent.config.uplinks import Link
from edge_agent.uplink.link import LinkError

log = logging.getLogger("edge.path")

RESOLVE_S: Final = 5.0  # a name server that does not answer by then is asked no longer: the last known addresses do
CONNECT_S: Final = 10.0  # to one address
NAMES_MAX: Final = 64
OLDER_MAX: Final = 3  # addresses a name had before, tried behind those it has now
TCP_THIN_LINEAR_TIMEOUTS: Final = 16  # linux/tcp.h; Python has no names for these
TCP_RTO_MAX_MS: Final = 44
RTT_AT: Final = 68  # tcpi_rtt in struct tcp_info: microseconds
RESENT_AT: Final = 100  # tcpi_total_retrans
SYN_AGAIN_MS: Final = 1000
LONGEST_WAIT_MS: Final = 1000  # before TCP sends again what was lost, at most; the kernel takes no less
LONGEST_WAIT_RTTS: Final = 4  # on a link so slow that an answer takes that long
LONGEST_WAIT_MOST_MS: Final = 120_000  # the kernel takes no more
PATIENCE_MS: Final = 120_000  # above every `unconfirmed_s` and two keep-alives that `config check` lets pass

_T = TypeVar("_T")

Dial = Callable[[str, int], Awaitable[socket.socket]]
Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]  # family, what connect() takes


class Path(Protocol):
    """One way out. `tcp` and `udp` raise LinkError or OSError; what they return is connected and non-blocking."""

    @property
    def id(self) -> str:
        """As in the configuration; "" is the kernel's own route."""
        ...

    @property
    def kind(self) -> str:
        """ethernet | wifi | cellular | nbiot."""
        ...

    @property
    def metered(self) -> bool:
        """Whether its bytes cost money."""
        ...

    @property
    def packed(self) -> bool:
        """Whether it carries packed frames only (edge_agent.uplink.packed)."""
        ...

    async def tcp(self, host: str, port: int) -> socket.socket:
        """A stream to the centre, bound to this path."""
        ...

    async def udp(self, host: str, port: int) -> socket.socket:
        """Datagrams to the centre, bound to this path."""
        ...

    def echo_ok(self) -> None:
        """The centre itself answered over this path."""
        ...

    def echo_lost(self) -> None:
        """It did not. A modem's ladder stands on this."""
        ...


class RoutedPath:
    """A path through a network interface of this machine, or wherever the kernel routes to."""

    def __init__(self, link: Link | None = None) -> None:
        link = link or Link(id="")
        self.id, self.kind, self.interface = link.id, link.kind, link.interface
        self.metered, self.packed = is_metered(link), link.kind == "nbiot"
        self._lost = 0

    async def tcp(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers. Raise LinkError, OSError or TimeoutError."""
        return await self._connect(host, port, socket.SOCK_STREAM)

    async def udp(self, host: str, port: int) -> socket.socket:
        """A datagram socket that knows its far end. Raise as `tcp` does."""
        return await self._connect(host, port, socket.SOCK_DGRAM)

    def echo_ok(self) -> None:
        """Nothing to mend on an interface: the kernel and its DHCP client do that."""

    def echo_lost(self) -> None:
        """Datagrams go to the next address from now on: a socket for them connects to any, be anybody there or not."""
        self._lost += 1

    async def _connect(self, host: str, port: int, kind: socket.SocketKind) -> socket.socket:
        fault: Exception = LinkError("no_name", host)
        found = await resolve(host, port)
        first = self._lost % len(found) if kind is socket.SOCK_DGRAM else 0
        for family, address in found[first:] + found[:first]:
            try:
                return await self._connect_one(family, kind, address)
            except (OSError, TimeoutError) as refused:  # the next address may do
                fault = refused
        raise fault

    async def _connect_one(
        self, family: int, kind: socket.SocketKind, address: tuple[str, int] | tuple[str, int, int, int]
    ) -> socket.socket:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if self.interface:
                bind_to(sock, self.interface)
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(sock, address)
            if kind is socket.SOCK_STREAM:
                hurry(sock)
        except BaseException:  # cancelled too: nobody else knows of the socket yet
            sock.close()
            raise
        return sock


def is_metered(link: Link) -> bool:
    """Whether bytes on it cost money: as configured, else by its kind."""
    return link.metered if link.metered is not None else link.kind in ("cellular", "nbiot")


def hurry(sock: socket.socket) -> None:
    """Have TCP of a connected socket send each record at once, and what was lost again at an even pace (docs/decisions/0032).

    An alarm is a packet or two with nothing behind it, so that only the timer tells of its loss, and TCP doubles that timer each
    time: on a link that loses a third, half a minute. Linux 6.15 can be told where the doubling ends; BBR then sends on where cubic
    is down to a packet at a time. Before that all there is are six even tries for a thin stream, and BBR calls none thin. The acks
    come by the broker's TCP: docs/city.md.
    """
    tcp, control = socket.IPPROTO_TCP, [b"cubic"]
    sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
    sock.setsockopt(tcp, TCP_THIN_LINEAR_TIMEOUTS, 1)
    info = sock.getsockopt(tcp, socket.TCP_INFO, RESENT_AT + 4)
    (rtt_us,), (resent,) = struct.unpack_from("I", info, RTT_AT), struct.unpack_from("I", info, RESENT_AT)
    with contextlib.suppress(OSError):  # an older kernel
        sock.setsockopt(tcp, TCP_RTO_MAX_MS, longest_wait_ms(rtt_us, resent))
        # or TCP would count fifteen such waits and hang up: whether the link is dead is for `unconfirmed_s` to say
        sock.setsockopt(tcp, socket.TCP_USER_TIMEOUT, PATIENCE_MS)
        control = [b"bbr", b"cubic"]
    for name in control:
        with contextlib.suppress(OSError):  # not loaded (docs/links.md), or not allowed
            sock.setsockopt(tcp, socket.TCP_CONGESTION, name)
            break


def longest_wait_ms(rtt_us: int, resent: int) -> int:
    """How long TCP may wait, at most, before it sends again what was lost.

    `rtt_us` is what TCP's greeting took, `resent` how often it was sent again: a second later each time, and whether that second
    was the link's or a loss nobody can tell. Taken for a loss it costs a slow link some bytes, not a lossy one an alarm's time.
    """
    round_trip_ms = rtt_us // 1000 - resent * SYN_AGAIN_MS
    return min(max(LONGEST_WAIT_MS, LONGEST_WAIT_RTTS * round_trip_ms), LONGEST_WAIT_MOST_MS)


def bind_to(sock: socket.socket, interface: str) -> None:
    """Have a socket leave by one interface only (SO_BINDTODEVICE: any user may since Linux 5.7, of a socket not yet bound).

    Raise LinkError: `no_interface` if it is not there, `not_allowed` on an older kernel without CAP_NET_RAW.
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except OSError as fault:
        if fault.errno == errno.ENODEV:
            raise LinkError("no_interface", interface) from fault
        if fault.errno == errno.EPERM:
            raise LinkError("not_allowed", f"SO_BINDTODEVICE {interface}") from fault
        raise


_known: dict[tuple[str, int], list[Address]] = {}  # a name server that is dead, or lies, must not cost a living path


async def resolve(host: str, port: int) -> list[Address]:
    """Addresses of a name, those it has now first; what it had before if no name server answers in time, or none of those does.

    A router without its line answers for every name with itself, and all paths of this machine may be asking that router.
    Raise LinkError `no_name`.
    """

    def look_up() -> list[Address]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found if family in (socket.AF_INET, socket.AF_INET6)]  # type: ignore[misc]

    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await in_thread(look_up)
    except (OSError, UnicodeError, TimeoutError) as fault:  # UnicodeError: a label of more than 63 characters
        found = _known.get((host, port), [])
        if not found:
            raise LinkError("no_name", f"{host}: {str(fault) or 'no answer'}") from fault
        log.warning("name not resolved host=%s: using %s", ascii(host), found[0][1][0])
        return found
    older = [address for address in _known.pop((host, port), []) if address not in found]
    _known[host, port] = found = [*found, *older[:OLDER_MAX]]
    while len(_known) > NAMES_MAX:
        del _known[next(iter(_known))]  # the one asked for longest ago
    return found


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run a call that may hang (name resolution, a TLS handshake) in a thread that nobody has to wait for, not even at exit."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, fault: BaseException | None) -> None:
        if future.done():
            return
        if fault is not None:
            future.set_exception(fault)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: _T | None = None
        fault: BaseException | None = None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001 - handed to whoever awaits
            fault = caught
        with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=run, name="uplink-connect", daemon=True).start()
    return await future
