"""SIM7020: NB-IoT, data in hex."""

import contextlib
import re

from simulators.modem_families.base import FarSocket, Talk


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
            return self.connect(int(found[1]), found[3], int(found[2]))
        if found := re.fullmatch(r"\+CSOSEND=(\d),(\d+),([0-9A-F]*)", command):
            sock = self.sockets.get(int(found[1]))
            if sock is None or len(found[3]) != int(found[2]):
                return ["ERROR"]
            return ["OK"] if sock.send(bytes.fromhex(found[3])) else ["ERROR"]
        if found := re.fullmatch(r"\+CSOCL=(\d)", command):
            return ["OK"] if self.close(int(found[1])) else ["ERROR"]
        return ["OK"] if command.startswith(("*MCGDEFCONT=", "+CSOSENDFLAG=")) else ["ERROR"]

    def data_waits(self, sock: FarSocket) -> None:
        """Pushed, in hex."""
        with contextlib.suppress(IndexError):
            data = sock.take(512)
            self.modem.say(f"+CSONMI: {sock.number},{2 * len(data)},{data.hex().upper()}", urc=False)

    def far_end_closed(self, sock: FarSocket) -> None:
        """An error closes the socket."""
        self.modem.say(f"+CSOERR: {sock.number},-4")
