"""A panel's pager port (ESPA 4.4.4, either role), an alarm receiver's automation port (Contact ID), a radio concentrator: on ptys.

python -m simulators.lines espa444 --link /tmp/pager "FIRE ALARM 1-027"
python -m simulators.lines espa444-station --link /tmp/pager "FIRE ALARM 1-027"
python -m simulators.lines contact-id --link /tmp/receiver "5011 181234E11000129"
python -m simulators.lines frames --link /tmp/radio "AA 55 0B 00 A1 B2 C3 01 1E 17 56"
"""

import argparse
import asyncio
import contextlib
import sys
from collections import deque
from pathlib import Path
from typing import Final

from drivers.codecs.espa444 import ACK, ENQ, EOT, NAK, encode_call
from simulators.pty_line import PtyLine

ANSWER_S: Final = 30.0  # the standard has 2.5 s; a test on a loaded machine must not fail by it
POLL_S: Final = 1.0
DC4: Final = b"\x14"
ALIVE: Final = "1011           @    "


class PagerPort(PtyLine):
    """The panel: control station "1", calling the pager station "2"."""

    def __init__(self, *, baud: int | None = 9600, link: Path | None = None, station: str = "2") -> None:
        super().__init__(baud=baud, link=link)
        self._station = station.encode()
        self._answers: asyncio.Queue[int] = asyncio.Queue()

    def received(self, data: bytes) -> None:
        """Answers of the pager station."""
        for byte in data:
            self._answers.put_nowait(byte)

    async def answer(self) -> int:
        """The next one. Raise TimeoutError."""
        async with asyncio.timeout(ANSWER_S):
            return await self._answers.get()

    async def poll(self) -> int:
        """Ask the station whether it has anything to say; 04 is no."""
        await self.pace(self._station + bytes((ENQ,)))
        return await self.answer()

    async def call(self, text: str, *, call_type: str = "3", priority: str = "1", spoil: int = 0) -> int:
        """Select the station, send one call, end; return its answer to the call. `spoil` is added to the check."""
        await self.pace(b"1" + bytes((ENQ,)) + self._station + bytes((ENQ,)))
        if (ready := await self.answer()) != ACK:
            return ready
        block = bytearray(encode_call("550", text, call_type=call_type, priority=priority))
        block[-1] = block[-1] + spoil & 0x7F
        await self.pace(bytes(block))
        answer = await self.answer()
        if answer != NAK:
            await self.pace(bytes((EOT,)))
        return answer


class StationPort(PtyLine):
    """The panel: a station that may speak only when control station "1" polls it. `dumb`: it answers no poll."""

    def __init__(self, *, baud: int | None = 9600, link: Path | None = None, station: str = "2") -> None:
        super().__init__(baud=baud, link=link)
        self._station, self._before = ord(station), 0
        self._calls: deque[tuple[bytes, asyncio.Future[int]]] = deque()
        self._selecting = self._sent = self.dumb = False
        self.polls = 0
        self.heard = bytearray()

    def received(self, data: bytes) -> None:
        """What the control station says."""
        for byte in data:
            self.heard.append(byte)
            before, self._before = self._before, byte
            if byte == ENQ and before == self._station:
                self._polled()
            elif byte in (ACK, NAK) and self._sent:
                self._answered(byte)
            elif byte == ACK and self._selecting:
                self._selecting, self._sent = False, True
                self.send(self._calls[0][0])
            elif byte == EOT:
                self._selecting = self._sent = False

    def _polled(self) -> None:
        self.polls += 1
        self._selecting, self._sent = bool(self._calls) and not self.dumb, False
        if not self.dumb:
            self.send(b"1" + bytes((ENQ,)) if self._calls else bytes((EOT,)))

    def _answered(self, byte: int) -> None:
        self._sent = False
        _, answer = self._calls.popleft()
        if not answer.done():
            answer.set_result(byte)
        self.send(bytes((EOT,)))

    async def call(self, text: str, *, call_type: str = "3", priority: str = "1", spoil: int = 0) -> int:
        """Have it say this when it is polled, and return the answer. `spoil` is added to the check. Raise TimeoutError."""
        block = bytearray(encode_call("1", text, call_type=call_type, priority=priority))
        block[-1] = block[-1] + spoil & 0x7F
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._calls.append((bytes(block), answer))
        async with asyncio.timeout(ANSWER_S):
            return await answer


class AutomationPort(PtyLine):
    """The receiver: lines that want 06."""

    def __init__(self, *, baud: int | None = 9600, link: Path | None = None) -> None:
        super().__init__(baud=baud, link=link)
        self._answers: asyncio.Queue[int] = asyncio.Queue()

    def received(self, data: bytes) -> None:
        """Answers of the automation system."""
        for byte in data:
            self._answers.put_nowait(byte)

    async def say(self, line: str) -> int:
        """Send one line, and return the answer. Raise TimeoutError."""
        await self.pace(line.encode("ascii") + DC4)
        async with asyncio.timeout(ANSWER_S):
            return await self._answers.get()


class RawPort(PtyLine):
    """The concentrator: it speaks, and hears nothing."""

    def received(self, data: bytes) -> None:
        """Nothing."""


Port = PagerPort | StationPort | AutomationPort | RawPort
_PORTS: Final = {"espa444": PagerPort, "espa444-station": StationPort, "contact-id": AutomationPort, "frames": RawPort}


async def _say(port: Port, text: str) -> int:
    """One call, line or frame; "" is the port's own sign of life."""
    if isinstance(port, PagerPort):
        return await (port.call(text) if text else port.poll())
    if isinstance(port, StationPort):
        return await port.call(text) if text else ACK
    if isinstance(port, AutomationPort):
        return await port.say(text or ALIVE)
    await port.pace(bytes.fromhex(text))
    return ACK


async def run(options: argparse.Namespace) -> int:
    """Say the texts, once somebody listens, then stay alive until interrupted."""
    port: Port = _PORTS[options.protocol](link=options.link)
    print(port.plug(), flush=True)
    waiting = list(options.text)
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                answer = await _say(port, waiting[0] if waiting else "")
                if waiting and answer == ACK:
                    print(f"06  {waiting.pop(0)}", flush=True)
                elif waiting:
                    print(f"{answer:02X}  {waiting[0]}", file=sys.stderr, flush=True)
            await asyncio.sleep(POLL_S)
    finally:
        port.unplug()


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m simulators.lines", description="ports of panels and receivers")
    parser.add_argument("protocol", choices=tuple(_PORTS))
    parser.add_argument("--link", type=Path, help="symlink to the pty")
    parser.add_argument("text", nargs="*", help="calls, lines, or frames in hex")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
