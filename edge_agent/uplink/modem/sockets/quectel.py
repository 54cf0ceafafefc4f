"""Quectel EC20, EC200, EG, BG96 (and BC26 by its subclass): QIOPEN in buffer mode, QISEND with a prompt, QIRD.

Sources: Quectel TCP/IP application notes as used by public drivers; RT-Thread at_device. Confidence H, errors from memory M.
"""

from typing import Final

from drivers.codecs.at.fields import Reading
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.sockets.base import OPEN_S, SEND_S, Sockets, refused

CONTEXT: Final = 1
IN_USE: Final = 563
_OPEN_ERRORS: Final = {
    561: "modem_no_context",
    563: "no_socket",
    564: "no_name",
    565: "no_name",
    566: "refused",
    567: "lost",
    569: "connect_timeout",
    570: "modem_no_context",
    572: "not_allowed_apn",
    573: "not_allowed_apn",
}


class Quectel(Sockets):
    """Sockets of the EC, EG and BG families."""

    send_bytes, count, acked, names = 1460, 12, True, True

    async def bearer_up(self, apn: str) -> None:
        """Configure and activate context 1; accepted if it is active already."""
        await self.port.ask("+CGATT=1", timeout_s=140)
        await self.port.ask(f'+QICSGP={CONTEXT},1,"{apn}","","",1')
        if await self.address() is None:
            answer = await self.port.ask(f"+QIACT={CONTEXT}", timeout_s=150)
            if not answer.ok and await self.address() is None:
                raise LinkError("modem_no_context", answer.code)

    async def bearer_down(self) -> None:
        """Deactivate context 1."""
        await self.port.ask(f"+QIDEACT={CONTEXT}", timeout_s=40)

    async def address(self) -> str | None:
        """The address of context 1 while it is active."""
        answer = await self.port.ask("+QIACT?", timeout_s=15)
        for one in answer.readings:
            if one.command == "QIACT?" and one.number("context") == CONTEXT and one.fields.get("active"):
                return one.text("address") or None
        return None

    async def open(self, kind: str, host: str, port: int, taken: set[int]) -> int:
        """QIOPEN answers OK at once and tells the outcome later."""
        number = self.free(taken)
        command = f'+QIOPEN={CONTEXT},{number},"{kind.upper()}","{host}",{port},0,0'
        for attempt in range(2):
            self.expect("QIOPEN", number)
            code = await self.awaiting("QIOPEN", number, await self.port.ask(command), OPEN_S)
            if code == 0:
                break
            await self.close(number)
            if code != IN_USE or attempt:  # in use: an earlier attempt nobody waited for came through after all
                raise LinkError(_OPEN_ERRORS.get(code, "modem_refused"), f"QIOPEN {code}")
        return number

    async def send(self, number: int, data: bytes) -> bool:
        """`SEND FAIL` says that the buffer is full."""
        answer = await self.port.ask(f"+QISEND={number},{len(data)}", timeout_s=SEND_S, data=data)
        if not answer.ok and answer.code != "send_fail":
            raise refused(answer, "QISEND")
        return answer.ok

    async def unacked(self, number: int) -> int:
        """From QISEND=id,0: sent, acked, unacked. "SEND OK" proves nothing."""
        answer = await self.port.ask(f"+QISEND={number},0", wants="QISEND")
        reading = answer.first("QISEND")
        if not answer.ok or reading is None:
            raise refused(answer, "QISEND?")
        return int(reading.number("unacked") or 0)

    async def receive(self, number: int) -> bytes | None:
        """QIRD: one datagram of UDP, or up to 1500 bytes of TCP."""
        answer = await self.port.ask(f"+QIRD={number},1500")
        if not answer.ok:
            raise refused(answer, "QIRD")
        return next((line.payload for line in answer.lines if line.payload), None)

    async def close(self, number: int) -> None:
        """QICLOSE waits up to 10 s for the far end."""
        await self.port.ask(f"+QICLOSE={number}", timeout_s=15)

    async def close_all(self) -> None:
        """Only those QISTATE names: closing twelve blindly costs a minute."""
        answer = await self.port.ask("+QISTATE?")
        for line in answer.lines:
            head, _, rest = line.text.partition(":")
            number = rest.split(",")[0].strip()
            if head == "+QISTATE" and number.isdigit() and int(number) < self.count:
                await self.close(int(number))

    def urc(self, reading: Reading, payload: bytes | None) -> None:
        """recv, closed, pdpdeact, and the outcome of QIOPEN."""
        number = int(reading.number("socket") or 0)
        if reading.command == "QIOPEN":
            self.announced("QIOPEN", number, int(reading.number("code") or 0))
        elif reading.command == "recv":
            self.events.data(number)
        elif reading.command == "closed":
            self.events.closed(number, "lost")
        elif reading.command == "pdpdeact":
            self.events.lost("modem_pdp_lost")


class Bc26(Quectel):
    """The NB-IoT one: the context comes up with the attach; names only on newer firmware, so they are not asked for."""

    send_bytes, count, names = 1024, 5, False

    async def bearer_up(self, apn: str) -> None:
        """Attach; the context follows by itself."""
        await Sockets.bearer_up(self, "")

    async def bearer_down(self) -> None:
        """Detach."""
        await Sockets.bearer_down(self)

    async def address(self) -> str | None:
        """From CGPADDR."""
        return await Sockets.address(self)

    async def open(self, kind: str, host: str, port: int, taken: set[int]) -> int:
        """As Quectel, to an address."""
        return await super().open(kind, await self.resolved(host), port, taken)
