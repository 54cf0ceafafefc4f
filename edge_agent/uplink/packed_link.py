"""A session of packed frames over datagrams (docs/packed.md): resends, echoes, and the centre's acknowledgements."""

import asyncio
import logging
import math
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from buffer.records import Priority
from edge_agent.uplink import packed
from edge_agent.uplink.brief import condense
from edge_agent.uplink.contract import Ack, Batch, StreamAck
from edge_agent.uplink.link import LinkError, Receiver, Session
from edge_agent.uplink.packed import BriefAck, Echo
from edge_agent.uplink.stream import Flight

log = logging.getLogger("edge.packed")

FIRST_WAIT_S: Final = 5.0  # before anything is known of the link: NB-IoT answers within 1-6 s
WAIT_FLOOR_S: Final = 2.0
WAIT_CEILING_S: Final = 20.0
HELLO_TRIES: Final = 4
TRIES_MAX: Final = 8  # of one frame: then the session is half open
TOLD_SINGLY: Final = 32  # events one by one before a storm is counted,
TOLD_SINGLY_EVERY_S: Final = 10.0  # and one more this often
WINDOW: Final = 2  # frames of a backlog on the wire; fresh alarms have their own
DATAGRAM_BYTES: Final = 2048
IP_UDP_BYTES: Final = 28

DialUdp = Callable[[str, int], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedSettings:
    """Whom to speak to, as whom. The key is never logged."""

    gateway: str
    host: str
    port: int
    key: bytes
    probe_s: float = 100.0  # an echo after this much silence
    misses: int = 3


class PackedLink:
    """`edge_agent.uplink.link.Link` of packed frames."""

    def __init__(self, settings: PackedSettings, dial: DialUdp, rng: random.Random) -> None:
        """`dial` gives a connected datagram socket (edge_agent.uplink.path)."""
        self._settings, self._dial, self._rng = settings, dial, rng

    async def open(self, receiver: Receiver) -> Session:
        """Return once the centre has answered an echo. Raise LinkError, OSError."""
        sock = await self._dial(self._settings.host, self._settings.port)
        session = _PackedSession(self._settings, sock, receiver, self._rng)
        try:
            await session.hello()
        except BaseException:  # cancelled too: nobody else knows of the socket yet
            await session.close()
            raise
        return session

    async def probe(self, timeout_s: float) -> bool:
        """Whether the centre answers one echo within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                sock = await self._dial(self._settings.host, self._settings.port)
                session = _PackedSession(self._settings, sock, None, self._rng)
                try:
                    await session.hello()
                finally:
                    await session.close()
        except (OSError, LinkError, TimeoutError):
            return False
        return True


@dataclass(slots=True)
class _Sent:
    frame: bytes
    flight: Flight | None  # None: an echo
    sent_s: float
    tries: int
    timer: asyncio.TimerHandle


class _PackedSession:
    brief = sparing = True
    window, waits_s = WINDOW, math.inf  # it finds out by itself when nothing comes back
    withheld = frozenset({Priority.STATUS, Priority.TELEMETRY, Priority.MEDIA})

    def __init__(
        self, settings: PackedSettings, sock: socket.socket, receiver: Receiver | None, rng: random.Random
    ) -> None:
        self._settings, self._sock, self._receiver = settings, sock, receiver
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[LinkError] = self._loop.create_future()
        self.max_bytes, self.beside_bytes = packed.FRAME_BYTES_MAX, 0
        self.counters = {"frames": 0, "bytes": 0, "resent": 0, "refused": 0}
        self._tag = packed.tag_of(settings.gateway)
        self._sequence = rng.randrange(2**31)
        self._open: dict[int, _Sent] = {}
        self._answered: asyncio.Future[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._trip_s: float | None = None  # smoothed, and how much it varies
        self._varies_s = 0.0
        self._singly, self._singly_s = float(TOLD_SINGLY), self._loop.time()
        self._loop.add_reader(sock, self._readable)

    # --- opening and watching ---------------------------------------------------------------------------------------------------

    async def hello(self) -> None:
        """Wait for the first sign of the centre. Raise LinkError."""
        self._answered = self._loop.create_future()
        self._echo()
        waiting: set[asyncio.Future[None] | asyncio.Future[LinkError]] = {self._answered, self.closed}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self.closed.done():
            raise self.closed.result()
        self._answered = None

    def _echo(self) -> None:
        self._put(packed.seal(self._settings.key, self._tag, self._next(), Echo()), None)

    def _heard(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        if self._idle is not None:
            self._idle.cancel()
        self._idle = self._loop.call_later(self._settings.probe_s, self._echo)

    # --- sending ----------------------------------------------------------------------------------------------------------------

    def encode(self, batch: Batch) -> bytes:
        """The frame of a batch; longer than `max_bytes` where only half of it will fit."""
        now_s = self._loop.time()
        self._singly = min(float(TOLD_SINGLY), self._singly + (now_s - self._singly_s) / TOLD_SINGLY_EVERY_S)
        self._singly_s = now_s
        return packed.seal(self._settings.key, self._tag, self._next(), condense(batch, int(self._singly)))

    def send(self, flight: Flight, payload: bytes) -> None:
        """Put a frame on the wire, again and again until it is acknowledged."""
        self._singly = max(0.0, self._singly - len(flight.batch.records))
        self._put(payload, flight)

    def send_state(self, snapshot: dict[str, object] | None, *, core: bool, alarm_waits: bool) -> bool:
        """Not over a link that counts bytes."""
        return True

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) % 2**32
        return self._sequence

    def _put(self, frame: bytes, flight: Flight | None) -> None:
        if self.closed.done():
            return
        sequence = int.from_bytes(frame[5:9], "big")
        timer = self._loop.call_later(self._wait_s(1), self._again, sequence)
        self._open[sequence] = _Sent(frame, flight, self._loop.time(), 1, timer)
        self._transmit(frame)

    def _again(self, sequence: int) -> None:
        sent = self._open[sequence]
        most = TRIES_MAX if sent.flight else HELLO_TRIES if self._answered else self._settings.misses
        if sent.tries >= most:
            self.end(LinkError("half_open", f"no answer to {sent.tries} frames"))
            return
        sent.tries += 1
        self.counters["resent"] += 1
        self.beside_bytes += len(sent.frame) + IP_UDP_BYTES
        sent.timer = self._loop.call_later(self._wait_s(sent.tries), self._again, sequence)
        self._transmit(sent.frame)

    def _wait_s(self, tries: int) -> float:
        """How long an answer may take: as long as they do here, and longer after each loss (RFC 6298, with wider bounds)."""
        base_s = FIRST_WAIT_S if self._trip_s is None else self._trip_s + 4 * self._varies_s
        return min(WAIT_CEILING_S, max(WAIT_FLOOR_S, base_s) * 1.5 ** (tries - 1))

    def _transmit(self, frame: bytes) -> None:
        self.counters["frames"] += 1
        self.counters["bytes"] += len(frame)
        try:
            self._sock.send(frame)
        except BlockingIOError:
            pass  # as good as lost: the timer sends it again
        except ConnectionRefusedError:
            pass  # somebody says that nobody listens there: the timer finds out whether it is so
        except OSError as fault:
            self.end(LinkError("no_route", str(fault)))

    # --- hearing ----------------------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        for _ in range(64):
            try:
                frame = self._sock.recv(DATAGRAM_BYTES)
            except (BlockingIOError, ConnectionRefusedError):
                return
            except OSError as fault:
                self.end(LinkError("lost", str(fault)))
                return
            if not frame and self._sock.type != socket.SOCK_DGRAM:  # a modem's socket that is gone, for good
                self._loop.remove_reader(self._sock)
                self.end(LinkError("half_open", "closed by the modem"))
                return
            try:
                if packed.tag_in(frame) != self._tag:
                    raise ValueError("another gateway's")
                sequence, body = packed.unseal(self._settings.key, frame)
            except ValueError:
                self.counters["refused"] += 1
                continue
            self._take(sequence, body)

    def _take(self, sequence: int, body: packed.Body) -> None:
        sent = self._open.get(sequence)
        if sent is None or not (
            isinstance(body, BriefAck) if sent.flight is not None else isinstance(body, Echo) and body.reply
        ):
            return  # late, or somebody plays an old one again
        del self._open[sequence]
        sent.timer.cancel()
        if sent.tries == 1:
            self._learn(self._loop.time() - sent.sent_s)
        self._heard()
        if isinstance(body, BriefAck) and sent.flight is not None and self._receiver is not None:
            ack = StreamAck(body.epoch, body.priority, body.through, body.high, body.missing)
            self._receiver.answered(Ack((ack,), (), ()))

    def _learn(self, trip_s: float) -> None:
        if self._trip_s is None:
            self._trip_s, self._varies_s = trip_s, trip_s / 2
        else:
            self._varies_s += (abs(trip_s - self._trip_s) - self._varies_s) / 4
            self._trip_s += (trip_s - self._trip_s) / 8

    # --- the end ----------------------------------------------------------------------------------------------------------------

    def end(self, why: LinkError) -> None:
        """It is over."""
        if not self.closed.done():
            self.closed.set_result(why)

    async def close(self) -> None:
        """Let go of the socket."""
        for sent in self._open.values():
            sent.timer.cancel()
        self._open.clear()
        if self._idle is not None:
            self._idle.cancel()
        self.end(LinkError("closed"))
        self._loop.remove_reader(self._sock)
        self._sock.close()
