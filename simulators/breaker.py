"""京硅 (KS) breakers to be polled: several on one line (a pty), which also speak by themselves.

python -m simulators.breaker --breaker 202106171055 --link /tmp/breakers    then on stdin: trip 202106171055 26 | reset 202106171055
"""

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from drivers.codecs import ks_breaker
from drivers.codecs.ks_breaker import Frame, LineReader, encode
from simulators.pty_line import PtyLine

RESEND_S = 0.5
POINTS, MEASURES = 32, 48
_FROM_NODE, _FAULT_CONTROL, _STATE_CONTROL = 0x80, 0x83, 0x88


@dataclass(slots=True)
class Breaker:
    """One breaker. `points`: number -> 0 or 1; `measures`: number -> raw word. `unacknowledged`: faults nobody took yet."""

    address: str
    points: dict[int, int] = field(default_factory=lambda: {1: 1})
    measures: dict[int, int] = field(default_factory=lambda: {4: 2301, 8: 420, 11: 24, 12: 95, 14: 98, 26: 36, 29: 36})
    dead: bool = False
    latency_s: float = 0.02
    short: int = 0  # leaves out so many bytes at the end of an answer, soundly framed
    asked: list[str] = field(default_factory=list)  # state, measure, other: the first 10 000
    unacknowledged: list[bytes] = field(default_factory=list)


class BreakerLine(PtyLine):
    """Breakers on one serial line. `echo` gives the master its own bytes back."""

    def __init__(
        self,
        breakers: Iterable[Breaker],
        *,
        baud: int | None = 9600,
        link: Path | None = None,
        echo: bool = False,
        resend_s: float = RESEND_S,
    ) -> None:
        super().__init__(baud=baud, link=link)
        self.breakers = {breaker.address: breaker for breaker in breakers}
        self.echo, self.resend_s = echo, resend_s
        self.heard: list[Frame] = []  # what was neither question nor acknowledgement: the first 1 000
        self._reader = LineReader()

    def received(self, data: bytes) -> None:
        """Answer questions, take acknowledgements."""
        if self.echo:
            self.send(data)
        for frame in self._reader.feed(data):
            breaker = self.breakers.get(frame.node)
            if frame.control == ks_breaker.ACKNOWLEDGE and breaker is not None:
                self._acknowledged(breaker, frame)
            elif frame.control == ks_breaker.ASK and breaker is not None:
                self.start(self._answer(breaker, frame))
            elif len(self.heard) < 1_000:
                self.heard.append(frame)

    async def _answer(self, breaker: Breaker, question: Frame) -> None:
        kinds = {ks_breaker.ask_state: "state", ks_breaker.ask_measure: "measure"}
        kind = next((kind for ask, kind in kinds.items() if ask(breaker.address) == question.raw), "other")
        if len(breaker.asked) < 10_000:
            breaker.asked.append(kind)
        if breaker.dead or kind == "other":
            return
        head = bytes((0x80, 0x07)) + question.data[2:]
        if kind == "state":
            body = bytes(breaker.points.get(n, 0) for n in range(1, POINTS + 1))
        else:
            body = b"".join(breaker.measures.get(n, 0).to_bytes(2, "little") for n in range(1, MEASURES + 1))
        await asyncio.sleep(self.char_s(len(question.raw)) + breaker.latency_s)
        data = head + body
        await self.pace(encode(_STATE_CONTROL, breaker.address, ks_breaker.STATE, data[: len(data) - breaker.short]))

    # -- what they say by themselves ------------------------------------------------------------------------------------
    def trip(self, address: str, point: int, value: int = 1) -> None:
        """A breaker trips (or, with value 0, no longer does) and says so until it is acknowledged."""
        breaker = self.breakers[address]
        breaker.points |= {point: value, 1: 0}
        measured = [(0x4000 + n, word) for n, word in sorted(breaker.measures.items())]
        data = (
            bytes((0x00, 0x03, 0x00, 0x00, 0x00, 1, 0))
            + point.to_bytes(2, "little")
            + bytes((value, *bytes(7)))
            + len(measured).to_bytes(2, "little")
            + bytes((0x2D,))
            + b"".join(n.to_bytes(2, "little") + word.to_bytes(2, "little") for n, word in measured)
        )
        frame = encode(_FAULT_CONTROL, address, ks_breaker.FAULT, data)
        breaker.unacknowledged.append(frame)
        self.start(self._insist(breaker, frame))

    async def _insist(self, breaker: Breaker, frame: bytes) -> None:
        while frame in breaker.unacknowledged:
            await self.pace(frame)
            await asyncio.sleep(self.resend_s)

    def _acknowledged(self, breaker: Breaker, frame: Frame) -> None:
        """Taken if head and fault are those that were said: 00 03 01 00 00, then the point and its time."""
        for said in list(breaker.unacknowledged):
            if frame.data == said[12:14] + b"\x01" + said[15:29]:
                breaker.unacknowledged.remove(said)

    def beat(self, gateway: str = "182106230096", sequence: int = 1) -> bytes:
        """The concentrator's heartbeat, with all breakers; also returned, as it has to come back."""
        nodes = b"".join(bytes.fromhex(address) for address in self.breakers)
        return self._say(ks_breaker.HEARTBEAT, bytes.fromhex(gateway) + nodes + bytes((sequence, 0)))

    def log_in(self, gateway: str = "182106230096") -> bytes:
        """What a concentrator says after power-up, up to three times."""
        return self._say(ks_breaker.LOGIN, bytes.fromhex(gateway) + bytes((0x71, 0)))

    def power_down(self, gateway: str = "182106230096") -> bytes:
        """Its last breath."""
        return self._say(ks_breaker.POWER_DOWN, bytes.fromhex(gateway) + bytes(2))

    def _say(self, function: int, data: bytes) -> bytes:
        frame = encode(_FROM_NODE, "0" * 12, function, data)
        self.send(frame)
        return frame


class Concentrator(BreakerLine):
    """The same behind one TCP connection that the concentrator opens itself. Raise OSError where nobody listens."""

    def __init__(self, breakers: Iterable[Breaker], *, resend_s: float = RESEND_S) -> None:
        super().__init__(breakers, baud=None, resend_s=resend_s)
        self._writer: asyncio.StreamWriter | None = None

    async def dial(self, host: str, port: int) -> None:
        """Connect, log in and beat once."""
        reader, self._writer = await asyncio.open_connection(host, port)
        self.start(self._listen(reader))
        self.log_in()
        self.beat()

    def send(self, data: bytes) -> None:
        """Over the connection instead of a line."""
        if self._writer is not None:
            self._writer.write(data)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(4096):
            self.received(data)

    def hang_up(self) -> None:
        """Close the connection."""
        self.unplug()
        if self._writer is not None:
            self._writer.close()


async def serve(line: BreakerLine, dial: tuple[str, int] | None) -> None:
    """Answer until stdin ends, telling on standard output where."""
    if isinstance(line, Concentrator) and dial is not None:
        await line.dial(*dial)
        print(f"{dial[0]}:{dial[1]}", flush=True)
    else:
        print(line.plug(), flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while words := (await commands.readline()).decode(errors="replace").split():
        if words[0] == "trip" and len(words) == 3 and words[1] in line.breakers and words[2].isdecimal():
            line.trip(words[1], int(words[2]))
        elif words[0] == "reset" and len(words) == 2 and words[1] in line.breakers:
            line.breakers[words[1]].points = {1: 1}
        else:
            print("trip ADDRESS POINT | reset ADDRESS", file=sys.stderr, flush=True)
    line.unplug()


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m simulators.breaker", description="simulated KS breakers")
    parser.add_argument("--breaker", action="append", default=[], metavar="ADDRESS", help="12 digits")
    parser.add_argument("--baud", type=int, default=9600, help="0: at once")
    parser.add_argument("--link", type=Path, help="symlink to the pty")
    parser.add_argument("--dial", metavar="HOST:PORT", help="be a concentrator that connects to a receiver")
    args = parser.parse_args(argv)
    addresses = args.breaker or ["202106171055"]
    if any(len(address) != 12 or not address.isdecimal() for address in addresses):
        parser.error("--breaker: 12 digits")
    host, _, port = (args.dial or "").rpartition(":")
    if args.dial and not (host and port.isdecimal()):
        parser.error("--dial HOST:PORT")

    async def work() -> None:
        breakers = [Breaker(address) for address in addresses]
        line = Concentrator(breakers) if host else BreakerLine(breakers, baud=args.baud or None, link=args.link)
        await serve(line, (host, int(port)) if host else None)

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(work())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
