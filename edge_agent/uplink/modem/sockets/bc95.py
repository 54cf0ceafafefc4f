"""Quectel BC95, BC28, BC35: Neul's sockets, everything in hex, numbers 0-6 that leak.

Sources: transcripts (e-com-net 1187504682268991488), public drivers. UDP H, TCP M.
"""

import re
from typing import Final

from drivers.codecs.at.fields import Reading
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.sockets.base import OPEN_S, SEND_S, Sockets, refused

_DATAGRAM: Final = re.compile(r"(\d),([0-9.:A-Fa-f]+),(\d{1,5}),(\d{1,4}),([0-9A-Fa-f]*),(\d{1,5})")


class Bc95(Sockets):
    """Sockets of the BC95 class."""

    send_bytes, count = 1358, 7

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as they came
        self._peers: dict[int, tuple[str, str, int]] = {}  # number -> kind, address, port

    async def bearer_up(self, apn: str) -> None:
        """Attach; with NCONFIG AUTOCONNECT it does so by itself."""
        await self.port.ask("+CFUN=1", timeout_s=15)
        await super().bearer_up(apn)

    async def open(self, kind: str, host: str, port: int, taken: set[int]) -> int:
        """NSOCR; a TCP socket is then connected with NSOCO."""
        address = await self.resolved(host)
        number = await self._create(kind, taken)
        self._peers[number] = kind, address, port
        if kind == "tcp":
            answer = await self.port.ask(f"+NSOCO={number},{address},{port}", timeout_s=OPEN_S)
            if not answer.ok:
                await self.close(number)
                raise LinkError("refused", f"NSOCO {answer.code}")
        return number

    async def _create(self, kind: str, taken: set[int]) -> int:
        what = "DGRAM,17" if kind == "udp" else "STREAM,6"
        for attempt in range(2):
            answer = await self.port.ask(f"+NSOCR={what},0,1")
            number = next((line.text for line in answer.lines if re.fullmatch(r"\d", line.text)), "")
            if answer.ok and number:
                return int(number)
            if attempt == 0:  # numbers leak when a process or a URC was lost: close what is not ours
                for stuck in set(range(self.count)) - taken:
                    await self.close(stuck)
        raise LinkError("modem_sockets_leaked", f"NSOCR {answer.code}")

    async def send(self, number: int, data: bytes) -> bool:
        """NSOST of a datagram, NSOSD of a stream. The modem answers how many bytes it took."""
        kind, address, port = self._peers[number]
        where = f"+NSOST={number},{address},{port}" if kind == "udp" else f"+NSOSD={number}"
        answer = await self.port.ask(f"{where},{len(data)},{data.hex().upper()}", timeout_s=SEND_S)
        if not answer.ok:
            raise refused(answer, "NSOST")
        return any(line.text == f"{number},{len(data)}" for line in answer.lines)

    async def receive(self, number: int) -> bytes | None:
        """NSORF: `id,ip,port,length,hex,rest`."""
        answer = await self.port.ask(f"+NSORF={number},{self.send_bytes}")
        for line in answer.lines:
            found = _DATAGRAM.fullmatch(line.text)
            if found and int(found[1]) == number and len(found[5]) == 2 * int(found[4]) and found[5]:
                return bytes.fromhex(found[5])
        return None

    async def close(self, number: int) -> None:
        """NSOCL; an error says that it is closed."""
        self._peers.pop(number, None)
        await self.port.ask(f"+NSOCL={number}")

    def urc(self, reading: Reading, payload: bytes | None) -> None:
        """NSONMI is a hint; NSOCLI: the network or the far end closed it."""
        number = int(reading.number("socket") or 0)
        if reading.command == "NSONMI":
            self.events.data(number)
        elif reading.command == "NSOCLI":
            self.events.closed(number, "lost")
