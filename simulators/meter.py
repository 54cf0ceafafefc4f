"""DL/T 645 meters to be polled: several on one line (a pty, at the line's pace) with the faults such lines have.

python -m simulators.meter --meter 000012345678 --meter 201000000012:1997 --link /tmp/meters
"""

import argparse
import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from drivers.codecs import dlt645
from drivers.codecs.dlt645 import Frame, LineReader, encode
from simulators.pty_line import PtyLine

_CHAR_BITS = 11  # 8E1


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer. The default is a sound answer after 20 ms, as the standard allows at the earliest."""

    dead: bool = False
    latency_s: float = 0.02
    address: str = ""  # answers under this address
    bad_sum: bool = False
    torn: int = 0
    noise: bytes = b""  # before the answer
    trailing: bytes = b""  # one byte more behind the value, inside the frame
    other_di: str = ""  # answers for this identifier: a late reply to another question
    error: int = 0  # says no, with this word
    off_by: int = 0  # the number of a following frame is wrong by so many


@dataclass(slots=True)
class Meter:
    """One meter. `items`: identifier as printed -> bytes as on the wire, lowest pair first."""

    address: str
    items: dict[str, bytes] = field(default_factory=dict)
    edition: int = 2007
    frame_bytes: int = 200  # longer values come in several frames
    wildcard_answers: bool = False  # answers under AA.. as some old meters do
    fault: Fault = Fault()
    once: deque[Fault] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)  # identifiers, the first 10 000
    part: int = 0  # the frame that was sent last: the old edition counts none, so the meter has to

    def set(self, di: str, digits: str) -> None:
        """Put a BCD value, digits as read: set("02010100", "2319")."""
        self.items[di] = bytes.fromhex(digits)[::-1]


class MeterLine(PtyLine):
    """Meters on one serial line. `echo` gives the master its own bytes back."""

    def __init__(
        self, meters: Iterable[Meter], *, baud: int | None = 2400, link: Path | None = None, echo: bool = False
    ) -> None:
        super().__init__(baud=baud, link=link, char_bits=_CHAR_BITS)
        self.meters = list(meters)
        self.echo = echo
        self._reader = LineReader()

    def received(self, data: bytes) -> None:
        """Answer every whole question, as each meter it is addressed to."""
        if self.echo:
            self.send(data)
        for frame in self._reader.feed(data):
            if isinstance(frame, Frame) and not frame.from_meter and frame.address != dlt645.BROADCAST:
                for meter in self.meters:
                    if frame.address in (meter.address, dlt645.WILDCARD):
                        self.start(self._answer(meter, frame))

    async def _answer(self, meter: Meter, question: Frame) -> None:
        fault = meter.once.popleft() if meter.once else meter.fault
        answer = reply(meter, question, fault)
        if fault.dead or answer is None:
            return
        if fault.bad_sum:
            answer = answer[:-2] + bytes((answer[-2] ^ 0x55, answer[-1]))
        await asyncio.sleep(self.char_s(len(question.raw)) + fault.latency_s)
        await self.pace(fault.noise + answer[: len(answer) - fault.torn])


def reply(meter: Meter, question: Frame, fault: Fault) -> bytes | None:
    """The answer of a meter, None where it keeps silent."""
    function, address = question.function, fault.address or meter.address
    if meter.wildcard_answers and question.address == dlt645.WILDCARD:
        address = dlt645.WILDCARD
    new = meter.edition == 2007
    if function == dlt645.READ_ADDRESS and new:
        return encode(address, 0x93, bytes.fromhex(meter.address)[::-1])
    size = 4 if new else 2
    reads = (dlt645.READ_2007, dlt645.FOLLOWING_2007) if new else (dlt645.READ_1997, dlt645.FOLLOWING_1997)
    if function not in reads or len(question.data) < size:
        return encode(address, 0xC0 | function, bytes((0x02 if new else 0x01,)))
    di = question.data[:size][::-1].hex().upper()
    if len(meter.asked) < 10_000:
        meter.asked.append(di)
    if fault.error:
        return encode(address, 0xC0 | function, bytes((fault.error,)))
    value = meter.items.get(fault.other_di or di)
    if value is None:
        return encode(address, 0xC0 | function, bytes((0x02,)))  # no such data; of 1997: wrong identifier
    value += fault.trailing
    part = meter.part = question.data[size] if function == dlt645.FOLLOWING_2007 else _next_1997(meter, function)
    rest = value[(part + 1) * meter.frame_bytes :]
    piece = value[part * meter.frame_bytes : (part + 1) * meter.frame_bytes]
    named = bytes.fromhex(fault.other_di or di)[::-1]
    seq = bytes((part + fault.off_by,)) if function == dlt645.FOLLOWING_2007 else b""
    return encode(address, 0x80 | function | (dlt645.MORE if rest else 0), named + piece + seq)


def _next_1997(meter: Meter, function: int) -> int:
    return meter.part + 1 if function == dlt645.FOLLOWING_1997 else 0


def quiet_meter(address: str, edition: int = 2007) -> Meter:
    """A meter with plausible values for every identifier the shipped profiles ask for."""
    meter = Meter(address, edition=edition)
    if edition == 1997:
        for di, digits in {"B611": "0229", "B621": "0412", "B630": "000950", "9010": "00012345"}.items():
            meter.set(di, digits)
        return meter
    for phase in ("01", "02", "03"):
        meter.set(f"0201{phase}00", "2301")
        meter.set(f"0202{phase}00", "004200")
    for di, digits in {"02030000": "028500", "02060000": "0980", "02800002": "5001", "02800007": "0235"}.items():
        meter.set(di, digits)
    for di, digits in {"00010000": "00123456", "04000504": "0000", "04000505": "0000", "04000506": "0000"}.items():
        meter.set(di, digits)
    meter.items |= {"0290FF00": bytes((1,)) + bytes.fromhex("0035")[::-1]}
    meter.set("02910100", "0300")
    return meter


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m simulators.meter", description="simulated DL/T 645 meters")
    parser.add_argument("--meter", action="append", default=[], metavar="ADDRESS[:1997]")
    parser.add_argument("--baud", type=int, default=2400, help="0: at once")
    parser.add_argument("--link", type=Path, help="symlink to the pty")
    args = parser.parse_args(argv)
    meters = []
    for given in args.meter or ["000012345678"]:
        address, _, edition = given.partition(":")
        if len(address) != 12 or not address.isdecimal() or edition not in ("", "1997", "2007"):
            parser.error(f"--meter {given}: 12 digits, then :1997 for the old edition")
        meters.append(quiet_meter(address, int(edition or 2007)))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(MeterLine(meters, baud=args.baud or None, link=args.link).serve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
