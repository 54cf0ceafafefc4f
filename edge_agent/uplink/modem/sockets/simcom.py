"""SIMCom SIM7600 (CIPOPEN, manual receive) and SIM7020 (CSOC, hex).

SIM7600: TinyGSM and public code, H; result codes from memory, M. SIM7020: public code only, M.
"""

from collections import deque
from typing import Final

from drivers.codecs.at.fields import Reading
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.sockets.base import OPEN_S, SEND_S, Sockets, refused

_CIPOPEN_ERRORS: Final = {1: "no_route", 2: "modem_no_context", 8: "no_socket", 10: "connect_timeout", 11: "no_name"}
PUSHED_MAX: Final = 32  # datagrams a SIM7020 pushed and nobody took yet


class Sim7600(Sockets):
    """Sockets of the SIM7500/7600/A76xx class."""

    send_bytes, count, names = 1460, 10, True

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        self._peers: dict[int, tuple[str, str, int]] = {}

    async def bearer_up(self, apn: str) -> None:
        """NETOPEN, whose outcome comes later; a network that is open already is fine."""
        await super().bearer_up(apn)
        await self.port.ask("+CIPRXGET=1")
        if await self.address() is not None:
            return
        self.expect("NETOPEN", 0)
        code = await self.awaiting("NETOPEN", 0, await self.port.ask("+NETOPEN", timeout_s=120), 120)
        if code:
            raise LinkError("modem_no_context", f"NETOPEN {code}")

    async def bearer_down(self) -> None:
        """NETCLOSE."""
        await self.port.ask("+NETCLOSE", timeout_s=120)

    async def address(self) -> str | None:
        """The address, while the network is open (`+NETOPEN: 1`)."""
        answer = await self.port.ask("+NETOPEN?", timeout_s=10, wants="NETOPEN")
        opened = answer.first("NETOPEN")
        if opened is None or opened.number("code") != 1:
            return None
        return await super().address()

    async def open(self, kind: str, host: str, port: int, taken: set[int]) -> int:
        """CIPOPEN; UDP is given a local port, without which it is refused."""
        number = self.free(taken)
        address = await self.resolved(host) if kind == "udp" else host
        where = f'"TCP","{host}",{port}' if kind == "tcp" else f'"UDP",,,{40000 + number}'
        self.expect("CIPOPEN", number)
        answer = await self.port.ask(f"+CIPOPEN={number},{where}", timeout_s=OPEN_S)
        code = await self.awaiting("CIPOPEN", number, answer, OPEN_S)
        if code:
            await self.close(number)  # it may be open: an earlier attempt that nobody waited for
            raise LinkError(_CIPOPEN_ERRORS.get(code, "modem_refused"), f"CIPOPEN {code}")
        self._peers[number] = kind, address, port
        return number

    async def look_up(self, host: str) -> str:
        """CDNSGIP."""
        answer = await self.port.ask(f'+CDNSGIP="{host}"', timeout_s=30)
        for line in answer.lines:
            fields = [field.strip(' "') for field in line.text.partition(":")[2].split(",")]
            if line.text.startswith("+CDNSGIP") and len(fields) >= 3 and fields[0] == "1":
                return fields[2]
        raise LinkError("no_name", host)

    async def send(self, number: int, data: bytes) -> bool:
        """CIPSEND with a prompt; `+CIPSEND: n,asked,done` tells later how much was taken."""
        kind, address, port = self._peers[number]
        where = f',"{address}",{port}' if kind == "udp" else ""
        self.expect("CIPSEND", number)
        answer = await self.port.ask(f"+CIPSEND={number},{len(data)}{where}", timeout_s=SEND_S, data=data)
        done = await self.awaiting("CIPSEND", number, answer, SEND_S)
        if done not in (0, len(data)):  # half of a chunk: the stream is no longer known
            raise LinkError("lost", f"CIPSEND {done}")
        return done == len(data)

    async def receive(self, number: int) -> bytes | None:
        """CIPRXGET=2: raw bytes; an error says that there are none."""
        answer = await self.port.ask(f"+CIPRXGET=2,{number},1500")
        return next((line.payload for line in answer.lines if line.payload), None)

    async def close(self, number: int) -> None:
        """CIPCLOSE; an error says that it is closed."""
        self._peers.pop(number, None)
        await self.port.ask(f"+CIPCLOSE={number}", timeout_s=15)

    def urc(self, reading: Reading, payload: bytes | None) -> None:
        """Data waiting, outcomes, closed, network closed."""
        number = int(reading.number("socket") or 0)
        if reading.command in ("CIPOPEN", "NETOPEN"):
            self.announced(reading.command, number, int(reading.number("code") or 0))
        elif reading.command == "CIPSEND":
            self.announced("CIPSEND", number, int(reading.number("sent") or 0))
        elif reading.command == "CIPRXGET":
            self.events.data(number)
        elif reading.command == "IPCLOSE":
            self.events.closed(number, "lost")
        elif reading.command == "CIPEVENT" and reading.fields.get("link_lost"):
            self.events.lost("modem_pdp_lost")


class Sim7020(Sockets):
    """Sockets of the SIM7020: data is pushed in hex, so what nobody takes is held here, bounded."""

    send_bytes, count = 512, 5

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        self._pushed: dict[int, deque[bytes]] = {}
        self._streams: set[int] = set()

    async def bearer_up(self, apn: str) -> None:
        """The context comes up with the attach; the APN is set beforehand."""
        if apn:
            await self.port.ask(f'*MCGDEFCONT="IP","{apn}"')
        await super().bearer_up("")

    async def open(self, kind: str, host: str, port: int, taken: set[int]) -> int:
        """CSOC gives the number, CSOCON connects it."""
        address = await self.resolved(host)
        answer = await self.port.ask(f"+CSOC=1,{2 if kind == 'udp' else 1},1", wants="CSOC")
        created = answer.first("CSOC")
        if not answer.ok or created is None:
            raise refused(answer, "CSOC")
        number = int(created.number("socket") or 0)
        self._pushed[number] = deque()
        if kind == "tcp":
            self._streams.add(number)
        answer = await self.port.ask(f'+CSOCON={number},{port},"{address}"', timeout_s=OPEN_S)
        if not answer.ok:
            await self.close(number)
            raise LinkError("refused", f"CSOCON {answer.code}")
        return number

    async def send(self, number: int, data: bytes) -> bool:
        """CSOSEND counts hex digits."""
        answer = await self.port.ask(f"+CSOSEND={number},{2 * len(data)},{data.hex().upper()}", timeout_s=SEND_S)
        if not answer.ok:
            raise refused(answer, "CSOSEND")
        return True

    async def receive(self, number: int) -> bytes | None:
        """What was pushed."""
        waiting = self._pushed.get(number)
        return waiting.popleft() if waiting else None

    async def close(self, number: int) -> None:
        """CSOCL."""
        self._pushed.pop(number, None)
        self._streams.discard(number)
        await self.port.ask(f"+CSOCL={number}")

    def urc(self, reading: Reading, payload: bytes | None) -> None:
        """Data, and errors, which close."""
        number = int(reading.number("socket") or 0)
        if reading.command == "CSONMI" and number in self._pushed:
            if len(self._pushed[number]) >= PUSHED_MAX:
                if number in self._streams:  # a stream with a hole is worth nothing
                    self.events.closed(number, "lost")
                return
            self._pushed[number].append(bytes.fromhex(reading.text("payload_hex")))
            self.events.data(number)
        elif reading.command == "CSOERR":
            self.events.closed(number, "lost")
