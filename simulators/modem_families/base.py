"""What all families of the simulated modem share: sockets that reach real UDP and TCP ports of this machine."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from simulators.modem import ModemSim

WAITING_MAX: Final = 64  # datagrams the modem holds for the host
STREAM_WAITING_BYTES: Final = 16384  # then it stops reading: the far end's window closes
LOCAL: Final = ("127.0.0.1", "localhost", "::1")


Dial = Callable[
    [str, str, int], Awaitable[socket.socket]
]  # ("tcp" or "udp", host, port) -> connected, non-blocking; OSError


async def dial_this_machine(kind: str, host: str, port: int) -> socket.socket:
    """Raise OSError: a simulator talks to nobody else."""
    if host not in LOCAL:
        raise ConnectionRefusedError(host)
    sock = socket.socket(
        socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    )
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1" if host == "localhost" else host, port))
    except BaseException:
        sock.close()
        raise
    return sock


class FarSocket:
    """One socket of the modem. UDP datagrams suffer `loss` and `delay_s` of the modem's moods, a stream only the delay."""

    def __init__(self, talk: Talk, number: int, kind: str) -> None:
        self.talk, self.number, self.kind = talk, number, kind
        self.waiting: deque[bytes] = deque()
        self.sent = self.acked = 0
        self.room = asyncio.Event()
        self._socket: socket.socket | None = None
        self._out: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self, host: str, port: int) -> bool:
        """Whether somebody is there (always, for UDP)."""
        try:
            self._socket = await self.talk.modem.dial(self.kind, host, port)
        except OSError:
            return False
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        return True

    @property
    def is_connected(self) -> bool:
        """Whether it is connected already."""
        return bool(self._tasks)

    def send(self, data: bytes) -> bool:
        """Take data for the far end; False while too much waits."""
        if self._out.qsize() > WAITING_MAX:
            return False
        self.sent += len(data)
        modem = self.talk.modem
        if modem.deaf or (self.kind == "udp" and modem.chance.random() < modem.loss):
            return True
        self._out.put_nowait((asyncio.get_running_loop().time() + modem.delay_s, data))
        return True

    def take(self, limit: int) -> bytes:
        """What came from the far end: one datagram, or up to `limit` bytes of a stream."""
        if not self.waiting:
            return b""
        if self.kind == "udp":
            return self.waiting.popleft()
        data = b"".join(self.waiting)
        self.waiting.clear()
        if data[limit:]:
            self.waiting.append(data[limit:])
        self.room.set()
        return data[:limit]

    def close(self) -> None:
        """Drop it."""
        for task in self._tasks:
            task.cancel()
        if self._socket is not None:
            self._socket.close()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._socket is not None
        while True:
            due_s, data = await self._out.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            try:
                await loop.sock_sendall(self._socket, data)
                self.acked += len(data)
            except OSError:
                if self.kind == "tcp":
                    self.talk.far_end_closed(self)
                    return

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._socket is not None
        while True:
            try:
                data = await loop.sock_recv(self._socket, 2048)
            except ConnectionRefusedError:
                continue  # an ICMP answer to a datagram; modems do not tell
            except OSError:
                data = b""
            modem = self.talk.modem
            if not data and self.kind == "tcp":
                self.talk.far_end_closed(self)
                return
            if modem.deaf or (self.kind == "udp" and modem.chance.random() < modem.loss):
                continue
            if modem.delay_s and self.kind == "udp":
                loop.call_later(modem.delay_s, self._arrived, data)
                continue
            if modem.delay_s:
                await asyncio.sleep(modem.delay_s)
            self._arrived(data)
            while self.kind == "tcp" and sum(map(len, self.waiting)) > STREAM_WAITING_BYTES:
                self.room.clear()
                await self.room.wait()

    def _arrived(self, data: bytes) -> None:
        if self.talk.sockets.get(self.number) is not self:
            return
        if self.kind == "udp" and len(self.waiting) >= WAITING_MAX:
            return
        self.waiting.append(data)
        self.talk.data_waits(self)


class Talk(ABC):
    """What one family says."""

    identity: ClassVar[tuple[str, ...]]
    boot_lines: ClassVar[tuple[str, ...]] = ("RDY",)
    restarts: ClassVar[tuple[str, ...]] = ("+CFUN=1,1",)
    act: ClassVar[int] = 7
    iccid: ClassVar[str] = "+CCID"
    count: ClassVar[int] = 10
    context_by_itself: ClassVar[bool] = False
    echo_after_boot: ClassVar[bool] = True
    clock_utc: ClassVar[bool] = False

    def __init__(self, modem: ModemSim) -> None:
        self.modem = modem
        self.sockets: dict[int, FarSocket] = {}

    @abstractmethod
    def command(self, command: str) -> list[str]:
        """The lines a command is answered with."""

    @abstractmethod
    def data_waits(self, sock: FarSocket) -> None:
        """Something came for a socket."""

    @abstractmethod
    def far_end_closed(self, sock: FarSocket) -> None:
        """The far end, or the network, closed a stream."""

    def context_lost(self) -> None:
        """The bearer is gone."""
        self.reset()
        self.modem.say("+CGEV: NW PDN DEACT 1")

    def reset(self) -> None:
        """All sockets are gone."""
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()

    def close(self, number: int) -> bool:
        """Close one; False if it was closed."""
        if not self.modem.leak_held:
            self.modem.leaked.discard(number)
        sock = self.sockets.pop(number, None)
        if sock is not None:
            sock.close()
        return sock is not None

    def free(self) -> int | None:
        """A number for a new socket."""
        taken = self.modem.leaked | set(self.sockets)
        return next((number for number in range(self.count) if number not in taken), None)

    def connect(self, number: int, host: str, port: int) -> list[str]:
        """Connect a socket that is there; OK or ERROR come once that is decided."""
        sock = self.sockets.get(number)
        if sock is None or not self.modem.context:
            return ["ERROR"]

        async def work() -> None:
            self.modem.say("OK" if await sock.connect(host, port) else "ERROR", urc=False)

        self.modem.spawn(asyncio.create_task(work()))
        return []

    async def connected(self, number: int, kind: str, host: str, port: int) -> bool:
        """Make socket `number` and connect it."""
        sock = FarSocket(self, number, kind)
        if not self.modem.context or not await sock.connect(host, port):
            return False
        self.sockets[number] = sock
        return True
