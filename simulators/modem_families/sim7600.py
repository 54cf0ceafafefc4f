"""SIM7600, A7670."""

import asyncio
import re

from simulators.modem_families.base import FarSocket, Talk


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
