"""Modbus slaves to be polled: many on one serial line (a pty, at the line's pace) with every fault a line has, or on TCP.

    python -m simulators.modbus_slave --slave 1:eastron-sdm630 --slave 2:afd-xy16 --dead 3 --link /tmp/bus
    python -m simulators.modbus_slave --tcp 1502 --slave 1:siemens-nk8237

The TCP server is pymodbus'; the line is ours, because no library spoils frames on purpose.
"""

import argparse
import asyncio
import contextlib
import logging
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from drivers.codecs.modbus import crc16, rtu_frame
from drivers.modbus_map import compile_profile
from drivers.profile import load_profiles
from simulators.pty_line import PtyLine

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer. The default is a sound answer after `latency_s`."""

    dead: bool = False
    latency_s: float = 0.005
    unit: int | None = None  # answers under this address
    torn: int = 0  # leaves out so many bytes at the end
    garbage: bytes = b""  # before the answer
    trailing: bytes = b""
    bad_crc: bool = False
    exception: int = 0
    bare: bool = False  # exceptions carry function 80
    short: int = 0  # answers with so many registers fewer than asked, soundly framed
    gap_s: float = 0.0  # silence in the middle of the frame


@dataclass(slots=True)
class Slave:
    """One unit. `holding`, `inputs`: address -> word; `bits`: address -> 0 or 1, for functions 1 and 2; an address that is not
    there is refused. `fault` holds for every answer, those in `once` for one answer each, first."""

    unit: int
    holding: dict[int, int] = field(default_factory=dict)
    inputs: dict[int, int] = field(default_factory=dict)
    bits: dict[int, int] = field(default_factory=dict)
    fault: Fault = Fault()
    once: deque[Fault] = field(default_factory=deque)
    max_registers: int = 125
    refuse_bare: bool = False  # as the AFD-XY16: exceptions with function 80, too many registers is code 3
    asked: list[tuple[float, int, int]] = field(default_factory=list)  # loop time, start, count; the first 10 000
    busy_until_s: float = 0.0  # a slave answers one question after the other

    def set_floats(self, values: Mapping[int, float], *, inputs: bool = True) -> None:
        """Put float32 values, high word first, at these addresses."""
        table = self.inputs if inputs else self.holding
        for address, value in values.items():
            table[address], table[address + 1] = struct.unpack(">HH", struct.pack(">f", value))

    def answer(self, pdu: bytes) -> bytes:
        """The PDU answering `pdu`: reads and the two register writes, everything else refused."""
        function = pdu[0]
        if function in (3, 4) and len(pdu) == 5:
            start, count = struct.unpack(">HH", pdu[1:])
            if not 1 <= count <= self.max_registers:
                return self.refuse(function, 3)
            table = self.holding if function == 3 else self.inputs
            words = [table.get(address) for address in range(start, start + count)]
            if None in words:
                return self.refuse(function, ILLEGAL_ADDRESS)
            return struct.pack(f">BB{count}H", function, 2 * count, *words)
        if function in (1, 2) and len(pdu) == 5:
            start, count = struct.unpack(">HH", pdu[1:])
            bits = [self.bits.get(address) for address in range(start, start + count)]
            if not 1 <= count <= 2000 or None in bits:
                return self.refuse(function, ILLEGAL_ADDRESS)
            packed = [sum((bit or 0) << n for n, bit in enumerate(bits[at : at + 8])) for at in range(0, count, 8)]
            return bytes((function, len(packed), *packed))
        if function == 6 and len(pdu) == 5:
            start, word = struct.unpack(">HH", pdu[1:])
            self.holding[start] = word
            return pdu
        if function == 16 and len(pdu) > 6 and len(pdu) == 6 + pdu[5]:
            start, count = struct.unpack(">HH", pdu[1:5])
            for offset, (word,) in enumerate(struct.iter_unpack(">H", pdu[6:])):
                self.holding[start + offset] = word
            return pdu[:5]
        return self.refuse(function, ILLEGAL_FUNCTION)

    def refuse(self, function: int, code: int) -> bytes:
        """The PDU of an exception."""
        return bytes((0x80 if self.refuse_bare else function | 0x80, code))


class SlaveLine(PtyLine):
    """Slaves on one serial line. `echo` gives the master its own bytes back, as some RS-485 adapters do."""

    def __init__(
        self, slaves: Iterable[Slave], *, baud: int | None = 9600, link: Path | None = None, echo: bool = False
    ) -> None:
        super().__init__(baud=baud, link=link)
        self.slaves = {slave.unit: slave for slave in slaves}
        self.echo = echo
        self.on_question: Callable[[int, bytes], None] | None = None
        self._buffer = bytearray()

    def received(self, data: bytes) -> None:
        """Answer every whole question."""
        self._buffer += data
        while len(self._buffer) >= 8:
            size = 9 + self._buffer[6] if self._buffer[1] in (15, 16) else 8
            if len(self._buffer) < size:
                return
            frame = bytes(self._buffer[:size])
            if crc16(frame):
                del self._buffer[:1]
                continue
            del self._buffer[:size]
            if self.echo:
                self.send(frame)
            slave = self.slaves.get(frame[0])
            if self.on_question is not None:
                self.on_question(frame[0], frame[1:-2])
            if slave is not None:
                if len(slave.asked) < 10_000:
                    slave.asked.append((asyncio.get_running_loop().time(), *struct.unpack(">HH", frame[2:6])))
                self.start(self._answer(slave, frame))

    async def _answer(self, slave: Slave, question: bytes) -> None:
        fault = slave.once.popleft() if slave.once else slave.fault
        if fault.dead:
            return
        pdu = slave.answer(question[1:-2])
        if fault.exception:
            pdu = bytes((0x80 if fault.bare else pdu[0] | 0x80, fault.exception))
        if fault.short and pdu[0] in (3, 4):
            pdu = bytes((pdu[0], pdu[1] - 2 * fault.short)) + pdu[2 : len(pdu) - 2 * fault.short]
        frame = rtu_frame(fault.unit if fault.unit is not None else slave.unit, pdu)
        if fault.bad_crc:
            frame = frame[:-1] + bytes((frame[-1] ^ 0x55,))
        frame = fault.garbage + frame[: len(frame) - fault.torn] + fault.trailing
        loop = asyncio.get_running_loop()
        ready_s = max(loop.time() + self.char_s(len(question)) + fault.latency_s, slave.busy_until_s)
        slave.busy_until_s = ready_s + self.char_s(len(frame)) + fault.gap_s + 0.0005
        await asyncio.sleep(ready_s - loop.time())
        await self.pace(frame[: len(frame) // 2] if fault.gap_s else frame)
        if fault.gap_s:
            await asyncio.sleep(fault.gap_s)
            await self.pace(frame[len(frame) // 2 :])


class TcpServer:
    """The same slaves behind pymodbus' TCP server: `fault.dead`, `latency_s` and `exception` are obeyed.

    pymodbus answers out of the registers each slave had when `start()` was called; `set_register` changes them.
    """

    def __init__(self, slaves: Iterable[Slave], *, port: int = 0) -> None:
        self.slaves = {slave.unit: slave for slave in slaves}
        self.port = port
        self._server: Any = None

    async def start(self) -> int:
        """Listen on this machine; the port."""
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        devices = []
        for slave in self.slaves.values():
            room = (max(slave.bits, default=0) // 16 + 1) * 16
            bits = [SimData(0, values=[False] * room, datatype=DataType.BITS)]
            holding = [SimData(0, values=_dense(slave.holding), datatype=DataType.REGISTERS)]
            inputs = [SimData(0, values=_dense(slave.inputs), datatype=DataType.REGISTERS)]
            blocks = (bits, bits, holding, inputs)
            devices.append(SimDevice(slave.unit, simdata=blocks, action=self._action(slave)))
        self._server = ModbusTcpServer(devices, address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)
        self.port = self._server.transport.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            await self._server.shutdown()
            self._server = None

    def _action(self, slave: Slave) -> Any:
        from pymodbus.constants import ExcCodes

        async def act(  # noqa: PLR0917 - pymodbus' signature
            function: int, start: int, address: int, count: int, registers: list[int], values: Any
        ) -> Any:
            fault = slave.once.popleft() if slave.once else slave.fault
            await asyncio.sleep(3600 if fault.dead else fault.latency_s)
            if fault.exception:
                return ExcCodes(fault.exception)
            if function in (1, 2):  # pymodbus keeps sixteen of them in a register
                for n in range(address // 16, address // 16 + count):
                    registers[n] = sum(slave.bits.get(16 * n + bit, 0) << bit for bit in range(16))
                return None
            table = slave.holding if function in (3, 6, 16) else slave.inputs
            for offset in range(count):
                registers[address - start + offset] = table.get(address + offset, 0)
            return None

        return act


def _dense(words: Mapping[int, int]) -> list[int]:
    return [words.get(address, 0) for address in range(max(words, default=0) + 1)]


def slave_like(unit: int, profile: str) -> Slave:
    """A slave that answers what `profile` asks for, at rest; some with plausible values. ValueError for an unknown name."""
    if profile.startswith("eastron"):
        slave = Slave(unit)
        slave.inputs = dict.fromkeys(range(0x160), 0)
        slave.set_floats({0: 230.1, 2: 229.8, 4: 231.0, 6: 4.2, 8: 3.9, 10: 4.4, 0xC: 950.0, 0x1E: 0.98, 0x34: 2850.0})
        slave.set_floats({0x46: 50.0, 0x48: 1234.5})
        return slave
    if profile == "afd-xy16":
        return Slave(unit, holding={0: 0, 6: 120}, max_registers=1, refuse_bare=True)
    slave = Slave(unit)
    known = load_profiles(())
    if profile not in known.names() or known.get(profile).kind != "modbus":
        raise ValueError(profile)
    for question in compile_profile(known.get(profile).data).questions:
        table = {1: slave.bits, 2: slave.bits, 3: slave.holding}.get(question.function, slave.inputs)
        table |= dict.fromkeys(range(question.start, question.start + question.count), 0)
    if profile == "notifier-modbus-gw":
        slave.holding = {n: 0x1400 if n < 20 else 0x00FF for n in range(159)}
    elif profile == "gst-modbus-card":
        slave.max_registers = 100
    elif profile == "acrel-aim-r100":
        slave.holding |= {0x4A + n: 35 + n for n in range(12)} | {0x56 + n: 300 for n in range(12)}
        slave.holding[0x0B] = 0x1000  # the meter type stands above the loops
    elif profile == "schneider-vigirex":
        slave.holding |= {0x00CF: 1, 0x01F4: 300}
    elif profile == "lingxun-lx47le":
        slave.inputs |= {0: 0x0FF0, 4: 500, 5: 3, 6: 68, 7: 71, 8: 230, 9: 420, 10: 98, 11: 947}
    elif profile == "qdy30a-level":
        slave.holding |= {2: 17, 3: 1, 4: 3215}
    return slave


async def serve(slaves: list[Slave], *, link: Path | None, baud: int | None, echo: bool, tcp: int | None) -> None:
    """Answer until cancelled, telling on standard output where."""
    if tcp is not None:
        server = TcpServer(slaves, port=tcp)
        print(f"127.0.0.1:{await server.start()}", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await server.stop()
        return
    await SlaveLine(slaves, baud=baud, link=link, echo=echo).serve()


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m simulators.modbus_slave", description="simulated Modbus slaves")
    parser.add_argument("--slave", action="append", default=[], metavar="UNIT:PROFILE")
    parser.add_argument("--dead", action="append", default=[], type=int, metavar="UNIT", help="does not answer")
    parser.add_argument("--latency", type=float, default=0.005, metavar="S")
    parser.add_argument("--baud", type=int, default=9600, help="0: at once")
    parser.add_argument("--link", type=Path, help="symlink to the pty")
    parser.add_argument("--echo", action="store_true", help="RS-485 adapter that hears itself")
    parser.add_argument("--tcp", type=int, metavar="PORT", help="serve TCP instead of a pty; 0 takes a free port")
    args = parser.parse_args(argv)
    slaves = []
    for text in args.slave or ["1:eastron-sdm630"]:
        unit, _, profile = text.partition(":")
        try:
            slaves.append(slave_like(int(unit), profile))
        except ValueError:
            parser.error(f"--slave {text}: UNIT is a number, PROFILE one of the shipped Modbus profiles")
    for slave in slaves:
        slave.fault = replace(slave.fault, latency_s=args.latency, dead=slave.unit in args.dead)
    logging.basicConfig(level=logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(slaves, link=args.link, baud=args.baud or None, echo=args.echo, tcp=args.tcp))
    return 0


if __name__ == "__main__":
    sys.exit(main())
