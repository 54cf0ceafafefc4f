"""Modbus/TCP master on one connection: one question at a time, known by its transaction number.

pymodbus would do this too; why it does not is in docs/decisions/0004-modbus.md.
"""

import asyncio
import contextlib
import socket
from collections import deque
from dataclasses import dataclass
from typing import Final

from drivers.codecs.modbus import ReadRequest, match_pdu, take_tcp, tcp_frame
from drivers.modbus_master import OnState, OnStray, Outcome, Result

CONNECT_S: Final = 3.0
REOPEN_FIRST_S: Final = 0.25
REOPEN_MAX_S: Final = 4.0
DEAD_PEER_S: Final = 5.0  # bytes nobody acknowledged for so long: the peer or the way to it is gone
WEDGED_S: Final = 30.0  # a gateway that takes questions and answers none for so long gets a new connection
_LATE_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class TcpLink:
    """A Modbus/TCP device or gateway: `timeout_s` is a slave's time to answer, the network included."""

    host: str
    port: int = 502
    timeout_s: float = 0.5


class TcpMaster(asyncio.Protocol):
    """The master of one connection."""

    def __init__(self, link: TcpLink) -> None:
        self.on_state: OnState = lambda up, reason, detail, at_ns: None
        self.on_stray: OnStray = lambda what, unit, count: None
        self.timeout_s = link.timeout_s
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Future[str] | None = None
        self._buffer = bytearray()
        self._transaction = 0
        self._request: ReadRequest | None = None
        self._waiting: asyncio.Future[Outcome] | None = None
        self._sent_s = 0.0
        self._strange = False
        self._heard_s = 0.0
        self._unanswered: deque[tuple[int, int]] = deque(maxlen=_LATE_MAX)

    @property
    def up(self) -> bool:
        """Whether the connection stands."""
        return self._transport is not None

    def line_s(self, request: ReadRequest) -> float:
        """What a question costs beside the slave's own time: a guess at the network's."""
        return 0.002

    async def run(self) -> None:
        """Keep the connection open until cancelled; a try every 0.25 s to 4 s."""
        loop = asyncio.get_running_loop()
        wait_s, told = REOPEN_FIRST_S, ""
        try:
            while True:
                try:
                    async with asyncio.timeout(CONNECT_S):
                        await loop.create_connection(lambda: self, self._link.host, self._link.port)
                except OSError as fault:  # TimeoutError and gaierror are among its kinds
                    detail = f"{self._link.host}:{self._link.port}: {_words(fault)}"
                    if detail != told:
                        told = detail
                        self.on_state(False, "no_port", detail, _ns(loop))
                    await asyncio.sleep(wait_s)
                    wait_s = min(2 * wait_s, REOPEN_MAX_S)
                    continue
                told = ""
                self._heard_s = opened_s = loop.time()
                self.on_state(True, "opened", "", _ns(loop))
                assert self._lost is not None
                why = await self._lost
                self.on_state(False, "hang_up", why, _ns(loop))
                # a peer that accepts and closes at once gets no faster and faster calls
                wait_s = REOPEN_FIRST_S if loop.time() - opened_s > 10 else min(2 * wait_s, REOPEN_MAX_S)
                await asyncio.sleep(wait_s)
        finally:
            self._drop("closed")

    async def exchange(self, request: ReadRequest, *, limit_s: float, step: int = 1) -> Outcome:
        """Ask `request`; see Master. `step` means nothing here."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if self._transport is None:
            return Outcome(Result.DOWN, round(now_s * 1e9))
        self._transaction = self._transaction % 0xFFFF + 1  # never 0: some servers answer everything with it
        self._request, self._sent_s, self._strange = request, now_s, False
        self._waiting = loop.create_future()
        self._transport.write(tcp_frame(self._transaction, request.unit, request.pdu))
        timer = loop.call_at(now_s + limit_s, self._expire, loop)
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._waiting = self._request = None

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer.clear()
        self._unanswered.clear()  # answers travel in their connection only
        self._lost = asyncio.get_running_loop().create_future()
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(DEAD_PEER_S))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, int(DEAD_PEER_S))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(DEAD_PEER_S * 1000))

    def data_received(self, data: bytes) -> None:
        """Credit the frame that answers the question being asked; count the others."""
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        self._buffer += data
        try:
            frames = take_tcp(self._buffer)
        except ValueError as fault:
            self.on_stray("garbage", -1, len(self._buffer))
            self._drop(f"no Modbus/TCP: {fault}")
            return
        for frame in frames:
            request, waiting = self._request, self._waiting
            answer = None
            if request is not None and frame.transaction == self._transaction and frame.unit == request.unit:
                answer = match_pdu(request, frame.pdu)
            if answer is None or waiting is None or waiting.done():
                self._stray(frame.transaction, frame.unit)
                continue
            latency_s = self._heard_s - self._sent_s
            result = Result.REFUSED if answer.exception else Result.OK
            waiting.set_result(
                Outcome(result, round(self._heard_s * 1e9), latency_s, answer.values, exception=answer.exception)
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer, or the way to it, went away."""
        self._drop(_words(exc) if isinstance(exc, OSError) else "closed by the peer")

    # -- inside -------------------------------------------------------------------------------------------------------
    def _stray(self, transaction: int, unit: int) -> None:
        self._strange = True
        if (transaction, unit) in self._unanswered:
            self._unanswered.remove((transaction, unit))
            self.on_stray("late", unit, 1)
        else:
            self.on_stray("foreign", unit, 1)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting is None or self._waiting.done() or self._request is None:
            return
        self._unanswered.append((self._transaction, self._request.unit))
        result = Result.FOREIGN if self._strange else Result.TIMEOUT
        self._waiting.set_result(Outcome(result, _ns(loop)))
        if loop.time() - self._heard_s > WEDGED_S:
            self._drop(f"silent for {WEDGED_S:.0f} s")

    def _drop(self, why: str) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(Outcome(Result.DOWN, _ns(asyncio.get_running_loop())))
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(why)


def _ns(loop: asyncio.AbstractEventLoop) -> int:
    return round(loop.time() * 1e9)


def _words(fault: BaseException | None) -> str:
    text = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault) or type(fault).__name__
    return text.encode("ascii", "backslashreplace").decode()
