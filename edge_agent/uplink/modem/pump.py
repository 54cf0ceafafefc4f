"""One socket of the modem made a real one: a socketpair whose far end the uplink has, pumped both ways with back-pressure.

Nothing is held here beyond one chunk each way: what the modem does not take stays in the pair, whose sender then waits, and what
the uplink does not read stays in the modem.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from dataclasses import dataclass
from typing import Final

from drivers.serial_link import LinkDown
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.port import AtTimeout
from edge_agent.uplink.modem.sockets.base import Sockets

log = logging.getLogger("edge.modem")

PAIR_BYTES: Final = 8192  # the kernel doubles it; more would hide for minutes that an NB-IoT link does not keep up
DATAGRAM_MAX: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times of a pump."""

    look_s: float = 5.0  # announcements of data get lost: look this often without one
    full_s: float = 0.5  # the modem's buffer was full: wait this long
    stuck_s: float = 60.0  # nothing acknowledged, or nothing taken, for so long: the stream is dead
    unacked_bytes: int = 8192  # more than this unacknowledged: wait for the far end


def pair(kind: str) -> tuple[socket.socket, socket.socket]:
    """(the uplink's end, ours), non-blocking. Datagrams keep their borders and an end that closes is seen: SEQPACKET."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PAIR_BYTES)
    return ends


class Pump:
    """One open socket of the modem. `counts`: up_bytes, down_bytes, lost, too_long of the whole path."""

    def __init__(
        self, sockets: Sockets, number: int, kind: str, *, ours: socket.socket, counts: Counter[str], pace: Pace
    ) -> None:
        self.sockets, self.number, self.kind = sockets, number, kind
        self.reason = ""  # why it ended, once it has
        self._ours, self._counts, self._pace = ours, counts, pace
        self._hint = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[str] = loop.create_future()  # the far end closed
        self._aborted: asyncio.Future[str] = loop.create_future()  # the modem lost it, or it is given up

    def data_waits(self) -> None:
        """The modem says that there is something to read."""
        self._hint.set()

    def gone(self, reason: str) -> None:
        """The modem's side is closed; what it still holds is read first."""
        if not self._gone.done():
            self._gone.set_result(reason)
        self._hint.set()

    def abort(self, reason: str) -> None:
        """Close at once: there is nothing more to read, or nobody to ask for it."""
        if not self._aborted.done():
            self._aborted.set_result(reason)

    async def run(self) -> None:
        """Move bytes until either side closes; both are closed then. Never raises but for cancelling."""
        up = asyncio.create_task(self._up(), name=f"modem-up-{self.number}")
        down = asyncio.create_task(self._down(), name=f"modem-down-{self.number}")
        try:
            done, _ = await asyncio.wait({up, down, self._aborted}, return_when=asyncio.FIRST_COMPLETED)
            self.reason = next(iter(done)).result()
        except (LinkError, AtTimeout, LinkDown) as fault:
            self.reason = fault.reason if isinstance(fault, LinkError | LinkDown) else "modem_no_answer"
        except OSError:
            self.reason = "closed"  # the uplink's end is gone
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            self._ours.close()

    async def close(self) -> None:
        """Close the modem's socket, whatever it says to that."""
        with contextlib.suppress(LinkError, AtTimeout, LinkDown):
            await self.sockets.close(self.number)

    # -- up ------------------------------------------------------------------------------------------------------
    async def _up(self) -> str:
        loop = asyncio.get_running_loop()
        limit = self.sockets.send_bytes if self.kind == "tcp" else DATAGRAM_MAX
        while data := await loop.sock_recv(self._ours, limit):
            if self.kind == "udp":
                await self._send_datagram(data)
            else:
                await self._send_stream(data)
        return "closed"

    async def _send_datagram(self, data: bytes) -> None:
        """One datagram; one that the modem does not take is lost, as datagrams may be."""
        if len(data) > self.sockets.send_bytes:
            self._counts["too_long"] += 1
            log.warning("datagram bytes=%d limit=%d dropped", len(data), self.sockets.send_bytes)
            return
        try:
            taken = await self.sockets.send(self.number, data)
        except AtTimeout:
            taken = False
        self._counts["up_bytes" if taken else "lost"] += len(data) if taken else 1

    async def _send_stream(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self._pace.stuck_s
        while not await self.sockets.send(self.number, data):
            if loop.time() > until_s:
                raise LinkError("half_open", "the modem takes nothing")
            await asyncio.sleep(self._pace.full_s)
        self._counts["up_bytes"] += len(data)
        if self.sockets.acked:
            await self._until_acked()

    async def _until_acked(self) -> None:
        """Hold back while too much is on its way. "SEND OK" proves nothing: a modem can swallow bytes for hours."""
        loop = asyncio.get_running_loop()
        best = await self.sockets.unacked(self.number)
        moved_s = loop.time()
        while best > self._pace.unacked_bytes:
            await asyncio.sleep(self._pace.full_s)
            unacked = await self.sockets.unacked(self.number)
            if unacked < best:
                best, moved_s = unacked, loop.time()
            elif loop.time() - moved_s > self._pace.stuck_s:
                raise LinkError("half_open", f"{unacked} bytes unacknowledged")

    # -- down ----------------------------------------------------------------------------------------------------
    async def _down(self) -> str:
        loop = asyncio.get_running_loop()
        while True:
            self._hint.clear()
            while data := await self.sockets.receive(self.number):
                self._counts["down_bytes"] += len(data)
                await loop.sock_sendall(self._ours, data)  # waits while the uplink does not read
            if self._gone.done():
                return self._gone.result()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pace.look_s):
                    await self._hint.wait()
