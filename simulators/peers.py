"""Devices that speak to a receiver of the gateway: one command each, for commissioning, demo and tests.

python -m simulators.peers gb26875 --port 5201 --address 889 fire 1-27
python -m simulators.peers dc09 --port 5202 --account 1234 --key-file key fire 129
python -m simulators.peers elec-7b7b --port 5204 --address 12101052550001 fire residual
python -m simulators.peers nb --coap --port 5683 --address 860000000000001 fire
"""

import argparse
import asyncio
import random
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final, cast

from drivers.codecs import coap, elec_7b7b, sia_dc09
from drivers.codecs.aes import AesCbc
from drivers.codecs.gb26875 import STANDARD, Command, Frame, FrameReader, device_address, encode_adu, write_time
from drivers.codecs.gb26875 import objects as of
from drivers.codecs.gb26875.addresses import join_component
from drivers.receivers.dc09 import read_key

ANSWER_S: Final = 30.0
CHINA: Final = timezone(timedelta(hours=8))
WORDS: Final = ("fire", "fire-over", "fault", "fault-over", "alive")
_STATUS: Final = {"fire": 0b011, "fire-over": 0b001, "fault": 0b101, "fault-over": 0b001}
_WANLIN: Final = {"fire": "01", "fire-over": "11", "fault": "02", "fault-over": "11", "alive": "10"}
_CONTACT_ID: Final = {"fire": "1110", "fire-over": "3110", "fault": "1373", "fault-over": "3373"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The receiver."""

    host: str
    port: int
    udp: bool = False


class _Wire(asyncio.Protocol, asyncio.DatagramProtocol):
    """What comes back, over TCP or UDP."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def data_received(self, data: bytes) -> None:
        self.got.put_nowait(data)

    def datagram_received(self, data: bytes, addr: tuple[str | int, int]) -> None:
        self.got.put_nowait(data)


class Line:
    """A connection to a receiver. Raise OSError where there is none."""

    def __init__(self, where: Where) -> None:
        self._where, self._wire = where, _Wire()
        self._transport: asyncio.BaseTransport | None = None

    async def open(self) -> None:
        """Connect."""
        loop, where = asyncio.get_running_loop(), self._where
        if where.udp:
            remote = (where.host, where.port)
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self._wire, remote_addr=remote)
        else:
            self._transport, _ = await loop.create_connection(lambda: self._wire, where.host, where.port)

    def send(self, data: bytes) -> None:
        """Put bytes, or a datagram, on the way."""
        if self._where.udp:
            cast("asyncio.DatagramTransport", self._transport).sendto(data)
        else:
            cast("asyncio.WriteTransport", self._transport).write(data)

    async def receive(self) -> bytes:
        """What comes next. Raise TimeoutError."""
        async with asyncio.timeout(ANSWER_S):
            return await self._wire.got.get()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class GbDevice:
    """A user information transmission device, GB/T 26875.3."""

    def __init__(self, line: Line, address: str) -> None:
        self._line, self._address, self._serial = line, device_address(address), 0
        self._reader = FrameReader()

    async def say(self, word: str, point: str) -> str:
        """Upload one status, and return the name of the answer. `point` is loop-point."""
        now = datetime.now(CHINA).replace(tzinfo=None, microsecond=0)
        loop, _, number = point.partition("-")
        adu = encode_adu(21, [of.DeviceStatus(1, now)])
        if word != "alive":
            where = join_component(int(loop), int(number or 0), STANDARD.component_address)
            adu = encode_adu(2, [of.ComponentStatus(1, 1, 40, where, _STATUS[word], bytes(31), now)])
        sent = write_time(now, bcd=False)
        self._serial += 1
        frame = Frame(
            serial=self._serial,
            sent=sent,
            source=self._address,
            target=device_address(0),
            command=Command.SEND,
            adu=adu,
        )
        self._line.send(frame.encode())
        while True:
            for item in self._reader.feed(await self._line.receive(), 0):
                if isinstance(item, Frame) and item.serial == self._serial:
                    return Command(item.command).name


class Communicator:
    """An alarm communicator, SIA DC-09 with Contact ID. `key`: it speaks encrypted. `shift_s`: how wrong its clock is."""

    def __init__(self, line: Line, account: str, *, key: AesCbc | None = None, shift_s: float = 0.0) -> None:
        self._line, self._account, self._key, self._shift_s = line, account, key, shift_s
        self._seq, self._buffer = 0, bytearray()

    def message(self, word: str, zone: str) -> bytes:
        """The bytes of what is said."""
        now = datetime.now(UTC) + timedelta(seconds=self._shift_s)
        identity, data = ("NULL", "") if word == "alive" else ("ADM-CID", f"{_CONTACT_ID[word]} 00 {zone:>03}")
        told = f"#{self._account}|{data}" if data else ""
        if self._key is None:
            return sia_dc09.encode(identity, self._seq, self._account, told, stamp=sia_dc09.time_text(now))
        locked = sia_dc09.lock(told, now, self._key, random.Random())
        return sia_dc09.encode(identity, self._seq, self._account, "", locked=locked)

    async def say(self, word: str, zone: str) -> str:
        """Send one message, and return the name of the answer."""
        self._seq = self._seq % 9999 + 1
        self._line.send(self.message(word, zone))
        while True:
            self._buffer += await self._line.receive()
            for answer in sia_dc09.split(self._buffer):
                if (read := sia_dc09.parse(answer)).get("seq") == self._seq:
                    return str(read["id"])


class NbDetector:
    """A Wanlin NB301 smoke detector: its text in a datagram, or in a confirmable CoAP POST."""

    def __init__(self, line: Line, imei: str, *, in_coap: bool) -> None:
        self._line, self._imei, self._in_coap, self._message_id = line, imei, in_coap, 0

    def report(self, word: str) -> bytes:
        """The bytes of what is said."""
        return f"N311V31I{self._imei:>015}H{'0' * 20}X{_WANLIN[word]}T28U99S18".encode("ascii")

    async def say(self, word: str, _: str) -> str:
        """Report once, and return the code of the answer; plain UDP has none."""
        report = self.report(word)
        if not self._in_coap:
            self._line.send(report)
            return "sent"
        self._message_id = self._message_id % 0xFFFF + 1
        request = coap.Request(coap.CON, coap.POST, self._message_id, b"\x01", "t/d", report)
        self._line.send(coap.encode(request))
        while True:
            answer = await self._line.receive()
            if answer[2:4] == self._message_id.to_bytes(2, "big"):
                return f"{answer[1] >> 5}.{answer[1] & 31:02d}"


class ElecUnit:
    """A 4G electrical-fire unit: a report with the flag of one channel, "residual" or "temperature_1" to "temperature_4"."""

    CHANNELS: Final = ("residual", *(f"temperature_{n}" for n in range(1, 5)))
    _WIRING, _ALARM = 38, 40

    def __init__(self, line: Line, serial: str) -> None:
        self._line, self._serial = line, serial

    def report(self, word: str, channel: str) -> bytes:
        """The bytes of what is said. Raise ValueError for a channel there is not."""
        bit = 1 << self.CHANNELS.index(channel)
        flags = {"fire": {self._ALARM: bit}, "fault": {self._WIRING: bit}}.get(word, {})
        now = datetime.now(CHINA)
        stamp = bytes((now.year - 2000, now.month, now.day, now.hour, now.minute, now.second))
        numbers = {
            "residual_ma": 412.0 if flags and channel == "residual" else 35.0,
            "temperature_1_c": 31.5,
            "voltage_a_v": 231.6,
        }
        return elec_7b7b.encode(self._serial, stamp, flags={34: 17, **flags}, numbers=numbers)

    async def say(self, word: str, channel: str) -> str:
        """Report once; a unit gets no answer."""
        self._line.send(self.report(word, channel))
        return "sent"


Device = GbDevice | Communicator | NbDetector | ElecUnit


def device(options: argparse.Namespace, line: Line) -> Device:
    """What the command line asks for. Raise ValueError, OSError for a key that is none."""
    if options.protocol == "gb26875":
        return GbDevice(line, options.address)
    if options.protocol == "nb":
        return NbDetector(line, options.address, in_coap=options.coap)
    if options.protocol == "elec-7b7b":
        return ElecUnit(line, options.address)
    key = read_key(options.key_file.read_text("ascii")) if options.key_file else None
    return Communicator(line, options.address, key=key, shift_s=options.clock_wrong_by)


async def run(options: argparse.Namespace) -> int:
    """Say it, print the answer; 0 if it was confirmed."""
    line = Line(Where(host=options.host, port=options.port, udp=options.udp or options.protocol == "nb"))
    try:
        await line.open()
        point = options.point or {"gb26875": "1-1", "elec-7b7b": "residual"}.get(options.protocol, "1")
        answer = await device(options, line).say(options.word, point)
    except (OSError, ValueError) as fault:  # TimeoutError is one
        print(f"{options.host}:{options.port}: {fault or 'no answer'}", file=sys.stderr)
        return 2
    finally:
        line.close()
    print(answer)
    return 0 if answer in ("CONFIRM", "ACK", "2.04", "sent") else 1


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(prog="python -m simulators.peers", description="devices that speak to a receiver")
    parser.add_argument("protocol", choices=("gb26875", "dc09", "nb", "elec-7b7b"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--udp", action="store_true")
    parser.add_argument("--coap", action="store_true", help="nb")
    parser.add_argument("--address", "--account", default="889", help="how the device names itself")
    parser.add_argument("--key-file", type=Path, help="dc09: speak encrypted")
    parser.add_argument("--clock-wrong-by", type=float, default=0.0, metavar="SECONDS", help="dc09")
    parser.add_argument("word", choices=WORDS)
    parser.add_argument("point", nargs="?", help="gb26875: loop-point; dc09: zone; elec-7b7b: channel")
    return asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
