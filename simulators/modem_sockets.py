"""The families of the simulated modem: identity, boot lines, and sockets that reach real UDP and TCP ports of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
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

    async def connected(self, number: int, kind: str, host: str, port: int) -> bool:
        """Make socket `number` and connect it."""
        sock = FarSocket(self, number, kind)
        if not self.modem.context or not await sock.connect(host, port):
            return False
        self.sockets[number] = sock
        return True


class QuectelTalk(Talk):
    """EC20, EC200, EG25."""

    identity = ("Quectel", "EC200T", "Revision: EC200TCNHAR02A09M16")
    iccid = "+QCCID"
    count = 12

    def command(self, command: str) -> list[str]:
        """QICSGP to QISTATE."""
        if found := re.fullmatch(r'\+QIOPEN=1,(\d+),"(TCP|UDP)","([^"]+)",(\d+),0,0', command):
            return self._open(int(found[1]), found[2].lower(), found[3], int(found[4]))
        if found := re.fullmatch(r"\+QISEND=(\d+),(\d+)", command):
            return self._send(int(found[1]), int(found[2]))
        if found := re.fullmatch(r"\+QIRD=(\d+),(\d+)", command):
            return self._read(int(found[1]), int(found[2]))
        if found := re.fullmatch(r"\+QICLOSE=(\d+)", command):
            self.close(int(found[1]))
            return ["OK"]
        if command == "+QIACT=1":
            if not self.modem.registered:
                return ["ERROR"]
            self.modem.context = True
            return ["OK"]
        if command == "+QIDEACT=1":
            self.modem.context = False
            self.reset()
            return ["OK"]
        if command == "+QIACT?":
            return ['+QIACT: 1,1,1,"10.43.0.7"', "OK"] if self.modem.context and self.modem.registered else ["OK"]
        if command == "+QISTATE?":
            return [*(f'+QISTATE: {n},"TCP","127.0.0.1",1,0,2,1,{n},0,"uart1"' for n in sorted(self.sockets)), "OK"]
        if command == '+QENG="servingcell"':
            return [
                '+QENG: "servingcell","NOCONN","LTE","FDD",460,00,43300C,348,1802,3,5,5,5443,-87,-16,-69,5,34',
                "OK",
            ]
        return ["OK"] if command.startswith(("+QICSGP=", "+QSCLK=")) else ["ERROR"]

    def _open(self, number: int, kind: str, host: str, port: int) -> list[str]:
        if number in self.sockets or number >= self.count:
            return ["OK", f"+QIOPEN: {number},563"]

        async def work() -> None:
            there = await self.connected(number, kind, host, port)
            code = 0 if there else 566 if self.modem.context else 561
            self.modem.say(f"+QIOPEN: {number},{code}", urc=False)

        self.modem.spawn(asyncio.create_task(work()))
        return ["OK"]

    def _send(self, number: int, count: int) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None:
            return ["ERROR"]
        if count == 0:
            return [f"+QISEND: {sock.sent},{sock.acked},{sock.sent - sock.acked}", "OK"]
        self.modem.prompt(count, lambda data: self.modem.say("SEND OK" if sock.send(data) else "SEND FAIL", urc=False))
        return []

    def _read(self, number: int, limit: int) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None:
            return ["ERROR"]
        data = sock.take(limit)
        if not data:
            return ["+QIRD: 0", "OK"]
        self.modem.raw(f"\r\n+QIRD: {len(data)}\r\n".encode() + data + b"\r\n")
        return ["OK"]

    def data_waits(self, sock: FarSocket) -> None:
        """A hint only."""
        self.modem.say(f'+QIURC: "recv",{sock.number}')

    def far_end_closed(self, sock: FarSocket) -> None:
        """What waits can still be read."""
        self.modem.say(f'+QIURC: "closed",{sock.number}')

    def context_lost(self) -> None:
        """Sockets go with it."""
        self.reset()
        self.modem.say('+QIURC: "pdpdeact",1')


class Bc26Talk(QuectelTalk):
    """BC26."""

    identity = ("Quectel_Ltd", "Quectel_BC26", "Revision: BC26NBR01A07")
    act, count, context_by_itself = 9, 5, True
    restarts = ("+QRST=1", "+CFUN=1,1")
    clock_utc = True


class Bc95Talk(Talk):
    """BC95, BC28."""

    identity = ("Quectel", "BC95-B5", "Revision:BC95B5JBR01A12")
    boot_lines = ("REBOOT_CAUSE_APPLICATION_AT", "Neul", "OK")
    restarts = ("+NRB",)
    act, iccid, count, context_by_itself, echo_after_boot, clock_utc = 9, "+NCCID", 7, True, False, True

    def command(self, command: str) -> list[str]:
        """NSOCR to NSOCL, NUESTATS."""
        if found := re.fullmatch(r"\+NSOCR=(DGRAM,17|STREAM,6),(\d+),1", command):
            number = self.free()
            if number is None:
                return ["ERROR"]
            self.sockets[number] = FarSocket(self, number, "udp" if found[1].startswith("DGRAM") else "tcp")
            return [str(number), "OK"]
        if found := re.fullmatch(r"\+NSOCO=(\d),([0-9.]+),(\d+)", command):
            return self._connect(int(found[1]), found[2], int(found[3]))
        if found := re.fullmatch(r"\+NSOST=(\d),([0-9.]+),(\d+),(\d+),([0-9A-F]*)", command):
            return self._send_to(int(found[1]), found[2], int(found[3]), int(found[4]), found[5])
        if found := re.fullmatch(r"\+NSOSD=(\d),(\d+),([0-9A-F]*)", command):
            return self._send(int(found[1]), int(found[2]), found[3])
        if found := re.fullmatch(r"\+NSORF=(\d),(\d+)", command):
            return self._read(int(found[1]), int(found[2]))
        if found := re.fullmatch(r"\+NSOCL=(\d)", command):
            return ["OK"] if self.close(int(found[1])) else ["ERROR"]
        if command == "+NUESTATS":
            return ["Signal power:-683", "Total power:-625", "TX power:230", "ECL:0", "SNR:237", "RSRQ:-108", "OK"]
        return ["OK"] if command.startswith(("+NSONMI=", "+NCONFIG=")) else ["ERROR"]

    def _connect(self, number: int, host: str, port: int) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None or not self.modem.context:
            return ["ERROR"]

        async def work() -> None:
            self.modem.say("OK" if await sock.connect(host, port) else "ERROR", urc=False)

        self.modem.spawn(asyncio.create_task(work()))
        return []

    def _send_to(self, number: int, host: str, port: int, count: int, digits: str) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None or len(digits) != 2 * count or not self.modem.context or count > 1358:
            return ["ERROR"]

        async def work() -> None:
            if not sock.is_connected:
                await sock.connect(host, port)
            taken = count if sock.send(bytes.fromhex(digits)) else 0
            self.modem.say(f"{number},{taken}", urc=False)
            self.modem.say("OK", urc=False)

        self.modem.spawn(asyncio.create_task(work()))
        return []

    def _send(self, number: int, count: int, digits: str) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None or len(digits) != 2 * count:
            return ["ERROR"]
        return [f"{number},{count if sock.send(bytes.fromhex(digits)) else 0}", "OK"]

    def _read(self, number: int, limit: int) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None:
            return ["ERROR"]
        data = sock.take(limit)
        return (
            [f"{number},127.0.0.1,1,{len(data)},{data.hex().upper()},{sum(map(len, sock.waiting))}", "OK"]
            if data
            else ["OK"]
        )

    def data_waits(self, sock: FarSocket) -> None:
        """The length of what waits."""
        self.modem.say(f"+NSONMI:{sock.number},{len(sock.waiting[0])}")

    def far_end_closed(self, sock: FarSocket) -> None:
        """NSOCLI."""
        self.modem.say(f"+NSOCLI: {sock.number}")


class Sim7600Talk(Talk):
    """SIM7600, A7670."""

    identity = ("Manufacturer: SIMCOM INCORPORATED", "Model: SIMCOM_SIM7600CE")
    boot_lines = ("RDY", "+CPIN: READY", "SMS DONE", "PB DONE")
    iccid = "+CICCID"

    def command(self, command: str) -> list[str]:
        """NETOPEN to CIPCLOSE."""
        modem = self.modem
        if command == "+NETOPEN?":
            return [f"+NETOPEN: {int(modem.context and modem.registered)}", "OK"]
        if command == "+NETOPEN":
            modem.context = modem.registered
            return ["OK", f"+NETOPEN: {int(not modem.registered)}"]
        if command == "+NETCLOSE":
            self.reset()
            modem.context = False
            return ["OK", "+NETCLOSE: 0"]
        if found := re.fullmatch(r'\+CIPOPEN=(\d),"TCP","([^"]+)",(\d+)', command):
            return self._open(int(found[1]), found[2], int(found[3]))
        if found := re.fullmatch(r'\+CIPOPEN=(\d),"UDP",,,(\d+)', command):
            self.sockets[int(found[1])] = FarSocket(self, int(found[1]), "udp")
            return ["OK", f"+CIPOPEN: {found[1]},0"]
        if found := re.fullmatch(r'\+CIPSEND=(\d),(\d+)(?:,"([^"]+)",(\d+))?', command):
            return self._send(int(found[1]), int(found[2]), found[3] or "", int(found[4] or 0))
        if found := re.fullmatch(r"\+CIPRXGET=2,(\d),(\d+)", command):
            return self._read(int(found[1]), int(found[2]))
        if found := re.fullmatch(r"\+CIPCLOSE=(\d)", command):
            return ["OK", f"+CIPCLOSE: {found[1]},0"] if self.close(int(found[1])) else ["ERROR"]
        if command == "+CPSI?":
            return ["+CPSI: LTE,Online,460-00,0x1816,27593487,12,EUTRAN-BAND38,37900,0,0,-12,-93,-66,8", "OK"]
        return ["OK"] if command == "+CIPRXGET=1" else ["ERROR"]

    def _open(self, number: int, host: str, port: int) -> list[str]:
        if number in self.sockets:
            return ["OK", f"+CIPOPEN: {number},8"]

        async def work() -> None:
            there = await self.connected(number, "tcp", host, port)
            self.modem.say(f"+CIPOPEN: {number},{0 if there else 1 if self.modem.context else 2}", urc=False)

        self.modem.spawn(asyncio.create_task(work()))
        return ["OK"]

    def _send(self, number: int, count: int, host: str, port: int) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None:
            return ["ERROR"]

        async def work(data: bytes) -> None:
            if sock.kind == "udp" and not sock.is_connected:
                await sock.connect(host, port)
            taken = count if sock.send(data) else 0
            self.modem.say("OK", urc=False)
            self.modem.say(f"+CIPSEND: {number},{count},{taken}", urc=False)

        self.modem.prompt(count, lambda data: self.modem.spawn(asyncio.create_task(work(data))))
        return []

    def _read(self, number: int, limit: int) -> list[str]:
        sock = self.sockets.get(number)
        data = sock.take(limit) if sock is not None else b""
        if sock is None or not data:
            return ["+IP ERROR: No data", "ERROR"]
        rest = sum(map(len, sock.waiting))
        self.modem.raw(f"\r\n+CIPRXGET: 2,{number},{len(data)},{rest}\r\n".encode() + data + b"\r\n")
        return ["OK"]

    def data_waits(self, sock: FarSocket) -> None:
        """A hint only."""
        self.modem.say(f"+CIPRXGET: 1,{sock.number}")

    def far_end_closed(self, sock: FarSocket) -> None:
        """Reason 1: closed by the far end."""
        self.modem.say(f"+IPCLOSE: {sock.number},1")

    def context_lost(self) -> None:
        """The whole network side closes."""
        self.reset()
        self.modem.say("+CIPEVENT: NETWORK CLOSED UNEXPECTEDLY")


class Sim7020Talk(Talk):
    """SIM7020."""

    identity = ("SIM7020C R1752", "SIM7020C")
    act, count, context_by_itself = 9, 5, True

    def command(self, command: str) -> list[str]:
        """CSOC to CSOCL."""
        if found := re.fullmatch(r"\+CSOC=1,([12]),1", command):
            number = self.free()
            if number is None:
                return ["ERROR"]
            self.sockets[number] = FarSocket(self, number, "udp" if found[1] == "2" else "tcp")
            return [f"+CSOC: {number}", "OK"]
        if found := re.fullmatch(r'\+CSOCON=(\d),(\d+),"([^"]+)"', command):
            return self._connect(int(found[1]), found[3], int(found[2]))
        if found := re.fullmatch(r"\+CSOSEND=(\d),(\d+),([0-9A-F]*)", command):
            sock = self.sockets.get(int(found[1]))
            if sock is None or len(found[3]) != int(found[2]):
                return ["ERROR"]
            return ["OK"] if sock.send(bytes.fromhex(found[3])) else ["ERROR"]
        if found := re.fullmatch(r"\+CSOCL=(\d)", command):
            return ["OK"] if self.close(int(found[1])) else ["ERROR"]
        return ["OK"] if command.startswith(("*MCGDEFCONT=", "+CSOSENDFLAG=")) else ["ERROR"]

    def _connect(self, number: int, host: str, port: int) -> list[str]:
        sock = self.sockets.get(number)
        if sock is None or not self.modem.context:
            return ["ERROR"]

        async def work() -> None:
            self.modem.say("OK" if await sock.connect(host, port) else "ERROR", urc=False)

        self.modem.spawn(asyncio.create_task(work()))
        return []

    def data_waits(self, sock: FarSocket) -> None:
        """Pushed, in hex."""
        with contextlib.suppress(IndexError):
            data = sock.take(512)
            self.modem.say(f"+CSONMI: {sock.number},{2 * len(data)},{data.hex().upper()}", urc=False)

    def far_end_closed(self, sock: FarSocket) -> None:
        """An error closes the socket."""
        self.modem.say(f"+CSOERR: {sock.number},-4")


TALKS: Final[Mapping[str, type[Talk]]] = {
    "quectel": QuectelTalk,
    "bc26": Bc26Talk,
    "bc95": Bc95Talk,
    "sim7600": Sim7600Talk,
    "sim7020": Sim7020Talk,
}
