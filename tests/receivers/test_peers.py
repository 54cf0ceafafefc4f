"""The simulated devices against a real core: over TCP, UDP and a serial line, in plain and encrypted."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from my_dc09_spt.msg.dc03_msg import dc03_msg
from my_dc09_spt.msg.dc05_msg import dc05_msg
from my_dc09_spt.msg.dc09_msg import dc09_msg

from edge_agent.config.model import Receiver, ReceiverDevice
from edge_agent.model import Kind
from simulators import peers
from simulators.ports import free_port
from simulators.pty_line import PtyLine
from tests.core.house import House, Site
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
KEY = "00112233445566778899AABBCCDDEEFF0011223344556677"


@asynccontextmanager
async def house_with(site: Site, protocol: str, device: ReceiverDevice, **way: Any) -> AsyncIterator[House]:
    receiver = Receiver(id="net1", protocol=protocol, devices=(device,), **way)
    async with site.set(receivers=(receiver,)).running() as house:
        await house.until(lambda: house.source("net1")["up"], "it listens")
        yield house


def burning(house: House) -> list[str]:
    return [alarm.point for alarm in house.core.alarms.alarms() if alarm.active and alarm.kind is Kind.FIRE]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_a_transmission_device_over_the_network(transport: str) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    port, site = free_port(kind), Site()
    way = {"listen": "127.0.0.1", "listen_port": port, "transport": transport, "allow": ("127.0.0.1",)}
    line = peers.Line(peers.Where(host="127.0.0.1", port=port, udp=transport == "udp"))
    try:
        async with house_with(site, "gb26875", ReceiverDevice(id="utd", address="889"), **way) as house:
            await line.open()
            device, stranger = peers.GbDevice(line, "889"), peers.GbDevice(line, "890")
            assert await device.say("alive", "") == "CONFIRM"
            assert await device.say("fire", "1-27") == "CONFIRM"
            assert burning(house) == ["utd/1-1-1-27"]
            assert await device.say("fire-over", "1-27") == "CONFIRM"
            assert burning(house) == []
            assert await stranger.say("fault", "1-1") == "DENY"
    finally:
        line.close()
        site.remove()


class SerialDevice(PtyLine):
    """What `peers.Line` is over the network, on a pty."""

    def __init__(self, link: Path) -> None:
        super().__init__(baud=9600, link=link)
        self._got: asyncio.Queue[bytes] = asyncio.Queue()

    def received(self, data: bytes) -> None:
        self._got.put_nowait(data)

    async def receive(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self._got.get()


async def test_a_transmission_device_on_a_serial_line() -> None:
    site = Site()
    line = SerialDevice(site.directory / "utd")
    port = line.plug()
    try:
        async with house_with(site, "gb26875", ReceiverDevice(id="utd", address="889"), port=port) as house:
            assert await peers.GbDevice(line, "889").say("fire", "1-27") == "CONFIRM"  # type: ignore[arg-type]
            assert burning(house) == ["utd/1-1-1-27"]
    finally:
        line.unplug()
        site.remove()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_an_alarm_communicator(transport: str, encrypted: bool) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    port, site = free_port(kind), Site()
    key_file = site.directory / "key"
    key_file.write_text(KEY)
    way = {"listen": "127.0.0.1", "listen_port": port, "transport": transport, "allow": ("127.0.0.1",)}
    listed = ReceiverDevice(id="dialler", address="1234", key_file=key_file if encrypted else None)
    line = peers.Line(peers.Where(host="127.0.0.1", port=port, udp=transport == "udp"))
    key = peers.read_key(KEY) if encrypted else None
    try:
        async with house_with(site, "dc09", listed, **way) as house:
            await line.open()
            device, late = (peers.Communicator(line, "1234", key=key, shift_s=shift) for shift in (0.0, -3600.0))
            assert await device.say("alive", "") == "ACK"
            assert await device.say("fire", "129") == "ACK"
            assert burning(house) == ["dialler/00-129"]
            assert await device.say("fire-over", "129") == "ACK"
            assert await late.say("fire", "130") == "NAK"
            assert burning(house) == ([] if encrypted else ["dialler/00-130"])
            assert await peers.Communicator(line, "9999").say("fault", "1") == "DUH"
    finally:
        line.close()
        site.remove()


@pytest.mark.parametrize("key_bytes", [0, 16, 32])
async def test_somebody_elses_communicator_is_understood_and_sets_its_clock_by_our_answer(key_bytes: int) -> None:
    """my-dc09-spt: messages, encryption, the check of the answer and what to do about a NAK are its own."""
    port, site = free_port(), Site()
    key = bytes(range(65, 65 + key_bytes)) or None
    key_file = site.directory / "key"
    key_file.write_text(f"text:{key.decode()}" if key else "")
    listed = ReceiverDevice(id="dialler", address="1234", key_file=key_file if key else None)
    way = {"listen": "127.0.0.1", "listen_port": port, "allow": ("127.0.0.1",)}
    device = dc09_msg("1234", key, receiver=1, line=2, offset=-3600)
    try:
        async with house_with(site, "dc09", listed, **way) as house:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)

            async def say(number: int, kind: str = "NULL", text: str = "]") -> str:
                writer.write(device.dc09block(number, kind, text).encode())
                async with asyncio.timeout(PATIENCE_S):
                    answer, offset_s = device.dc09answer(number, (await reader.readuntil(b"\r")).decode())
                if offset_s is not None:
                    device.set_offset(round(offset_s))
                return str(answer)

            assert await say(1) == ("NAK" if key else "ACK"), "without a key it sends no time"
            assert await say(1) == "ACK"
            fire = dc03_msg.dc03event("1234", {"code": "FA", "area": 1, "zone": 27, "text": "boiler room"})
            assert await say(2, "SIA-DCS", fire + dc09_msg.dc09_extra({"mac": "0026b9e4268b"})) == "ACK"
            assert burning(house) == ["dialler/1-27"]
            assert await say(3, "ADM-CID", dc05_msg.dc05event("1234", {"code": 110, "q": 1, "zone": 129})) == "ACK"
            assert burning(house) == ["dialler/1-27", "dialler/00-129"]
            writer.close()
        [event] = [
            record for record in await site.records() if record["point"] == "dialler/1-27" and record["kind"] == "fire"
        ]
        assert event["fields"]["xdata"] == "[M0026b9e4268b]"
    finally:
        site.remove()


async def test_the_command_says_what_came_back(capsys: pytest.CaptureFixture[str]) -> None:
    port, site = free_port(), Site()
    way = {"listen": "127.0.0.1", "listen_port": port, "allow": ("127.0.0.1",)}
    try:
        async with house_with(site, "gb26875", ReceiverDevice(id="utd", address="889"), **way) as house:
            command = ["gb26875", "--port", str(port), "--address", "889", "fire", "2-3"]
            assert await asyncio.to_thread(peers.main, command) == 0
            assert capsys.readouterr().out == "CONFIRM\n"
            assert burning(house) == ["utd/1-1-2-3"]
        assert await asyncio.to_thread(peers.main, command) == 2, "nobody listens"
    finally:
        site.remove()
