"""EC20, EC200, EG25, and the NB-IoT modem BC26, which speaks alike."""

import asyncio
import re

from simulators.modem_families.base import FarSocket, Talk


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
