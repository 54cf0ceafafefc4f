"""What every family's sockets have in common, and the bearer they stand on (3GPP 27.007 unless the family has its own)."""

import asyncio
import contextlib
import ipaddress
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from drivers.codecs.at.fields import Reading
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.port import Answer, AtPort
from edge_agent.uplink.path import resolve

OPEN_S: Final = 150.0
SEND_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Events:
    """What the pumps hear: data may wait (a hint only), a socket is gone, all of them are."""

    data: Callable[[int], None]
    closed: Callable[[int, str], None]
    lost: Callable[[str], None]


class Sockets(ABC):
    """The sockets of one modem. Methods raise LinkError (reason of edge_agent.texts.uplink), AtTimeout or LinkDown."""

    send_bytes: ClassVar[int]  # most one command carries
    count: ClassVar[int]  # how many the modem has
    acked: ClassVar[bool] = False  # it tells how much the far end acknowledged
    names: ClassVar[bool] = False  # it resolves names itself

    def __init__(self, port: AtPort, events: Events) -> None:
        self.port, self.events = port, events
        self._awaited: dict[tuple[str, int], asyncio.Future[int]] = {}

    # -- the bearer ----------------------------------------------------------------------------------------------
    async def bearer_up(self, apn: str) -> None:
        """Have a PDP context."""
        if apn:
            await self.port.ask(f'+CGDCONT=1,"IP","{apn}"')
        await self.port.ask("+CGATT=1", timeout_s=140)

    async def bearer_down(self) -> None:
        """Let go of it. Sockets on it are dead."""
        await self.port.ask("+CGATT=0", timeout_s=140)

    async def address(self) -> str | None:
        """The address the network gave; None without one."""
        answer = await self.port.ask("+CGPADDR", timeout_s=10)
        found = [one.text("address") for one in answer.readings if one.command == "CGPADDR"]
        return next(filter(None, found), None)

    # -- sockets -------------------------------------------------------------------------------------------------
    @abstractmethod
    async def open(self, kind: str, host: str, port: int, taken: set[int]) -> int:
        """A connected socket ("tcp" or "udp"); return its number. `taken`: numbers in use."""

    @abstractmethod
    async def send(self, number: int, data: bytes) -> bool:
        """Hand over at most `send_bytes`; False if the modem's buffer is full and it should be tried again."""

    @abstractmethod
    async def receive(self, number: int) -> bytes | None:
        """What the modem has for this socket, one datagram of UDP; None if nothing."""

    @abstractmethod
    async def close(self, number: int) -> None:
        """Close it; harmless if it is closed."""

    async def unacked(self, number: int) -> int:
        """Bytes the far end has not acknowledged; only where `acked`."""
        raise NotImplementedError

    async def close_all(self) -> None:
        """Close what an earlier process left open."""
        for number in range(self.count):
            await self.close(number)

    @abstractmethod
    def urc(self, reading: Reading, payload: bytes | None) -> None:
        """An unasked line that may concern a socket."""

    # -- for the families ----------------------------------------------------------------------------------------
    def free(self, taken: set[int]) -> int:
        """The lowest number not in use. Raise LinkError."""
        for number in range(self.count):
            if number not in taken:
                return number
        raise LinkError("no_socket", f"all {self.count} in use")

    async def resolved(self, host: str) -> str:
        """`host` as an address. Raise LinkError."""
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(host))
        return await self.look_up(host)

    async def look_up(self, host: str) -> str:
        """The address of a name. This modem asks for none, so another path's name server has to know it, or have known it."""
        found = await resolve(host, 0)
        return next((str(address[0]) for family, address in found if family == socket.AF_INET), host)

    async def awaiting(self, what: str, number: int, answer: Answer, timeout_s: float) -> int:
        """The code of the announcement `what` for `number`, once the command before it was accepted (`expect` it first)."""
        key = (what, number)
        try:
            if not answer.ok:
                raise LinkError("modem_refused", f"{what} {answer.code}")
            async with asyncio.timeout(timeout_s):
                return await self._awaited[key]
        except TimeoutError:
            raise LinkError("connect_timeout", what) from None
        finally:
            self._awaited.pop(key, None)

    def expect(self, what: str, number: int) -> None:
        """Note that an announcement is about to come: it may do so before the answer."""
        self._awaited[what, number] = asyncio.get_running_loop().create_future()

    def announced(self, what: str, number: int, code: int) -> bool:
        """Hand an announcement to whoever awaits it."""
        future = self._awaited.get((what, number))
        if future is None or future.done():
            return False
        future.set_result(code)
        return True


def refused(answer: Answer, what: str) -> LinkError:
    """The modem did not want a command."""
    return LinkError("modem_refused", f"{what} {answer.code}")
