"""BC95: datagrams in hex."""

import asyncio
import re

from simulators.modem_families.base import FarSocket, Talk


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
            return self.connect(int(found[1]), found[2], int(found[3]))
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
