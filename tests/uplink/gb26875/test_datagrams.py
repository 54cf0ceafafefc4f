"""A GB/T 26875.3 centre over UDP: real sockets, datagrams lost, doubled and glued, a centre that is not there."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from drivers.codecs.gb26875 import Command, Frame, FrameReader, encode_adu
from drivers.codecs.gb26875.objects import DeviceQuery
from edge_agent.config.load import load
from tests.uplink.gb26875.site import fires, gb_centre, gb_config, gb_uplink
from tests.uplink.gb26875.test_session import done, journal_of
from tests.uplink.site import running_uplink
from tests.waiting import until

pytestmark = pytest.mark.asyncio


class Relay(asyncio.DatagramProtocol):
    """Carries datagrams between one device and the centre, as `fate` (how often each is sent on) has it."""

    def __init__(self, target: tuple[str, int], fate: Callable[[], int]) -> None:
        self._target, self._fate = target, fate
        self._device: object = None
        self.transport: asyncio.DatagramTransport
        self.to_device: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)  # 3.11 does not call it one

    def datagram_received(self, data: bytes, addr: object) -> None:
        there = addr == self._target
        if not there:
            self._device = addr
        for _ in range(self._fate()):
            self.transport.sendto(data, self._device if there else self._target)
        if there:
            self.to_device.append(data)

    @property
    def port(self) -> int:
        port: int = self.transport.get_extra_info("sockname")[1]
        return port

    def say(self, data: bytes) -> None:
        """A datagram to the device that the centre did not send."""
        self.transport.sendto(data, self._device)


async def relay(port: int, fate: Callable[[], int]) -> Relay:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(lambda: Relay(("127.0.0.1", port), fate), ("127.0.0.1", 0))
    return made


async def test_alarms_are_confirmed_over_udp(tmp_path: Path) -> None:
    async with (
        gb_centre(udp=True) as centre,
        running_uplink(gb_config(tmp_path, gb_uplink(centre.port, transport="udp")), journal_of(3)) as process,
    ):
        await until(done(process))
        assert centre.received[0].unit.type == 21
        assert fires(centre) == [1, 2, 3]


async def test_what_is_lost_or_doubled_on_the_way_is_taken_once(tmp_path: Path) -> None:
    chance = random.Random(26875)
    async with gb_centre(udp=True) as centre:
        between = await relay(centre.port, lambda: chance.choice((0, 1, 1, 1, 2)))
        config = gb_config(tmp_path, gb_uplink(between.port, transport="udp", objects_max=1, resends=9))
        async with running_uplink(config, journal_of(20)) as process:
            await until(done(process), within_s=60)
        between.transport.close()
        assert sorted(fires(centre)) == list(range(1, 21))
        assert centre.counters["duplicates"] > 0


async def test_a_datagram_may_hold_several_frames_and_half_a_frame_is_forgotten(tmp_path: Path) -> None:
    async with gb_centre(udp=True) as centre:
        between = await relay(centre.port, lambda: 1)
        config = gb_config(tmp_path, gb_uplink(between.port, transport="udp"))
        async with running_uplink(config, journal_of(1)) as process:
            await until(done(process))
            (confirm, *_) = FrameReader().feed(between.to_device[0], 0)
            assert isinstance(confirm, Frame)
            unit = encode_adu(88, [DeviceQuery()], centre.dialect)
            asked = [
                Frame(
                    serial=900 + n,
                    sent=confirm.sent,
                    source=confirm.source,
                    target=confirm.target,
                    version=confirm.version,
                    user_version=confirm.user_version,
                    command=Command.REQUEST,
                    adu=unit,
                ).encode()
                for n in range(3)
            ]
            between.say(asked[0][:20])  # the rest of it never comes
            between.say(asked[1] + asked[2])
            await until(lambda: centre.counters["unasked"] >= 2)  # the answers went to the centre, which had not asked
            assert centre.counters["unasked"] == 2
        between.transport.close()


async def test_a_centre_that_is_not_there_yet_gets_everything_later(tmp_path: Path) -> None:
    async with gb_centre(udp=True) as gone:
        port = gone.port
    async with running_uplink(gb_config(tmp_path, gb_uplink(port, transport="udp")), journal_of(2)) as process:
        await until(lambda: process.destinations[0].counters["connections"] > 1)
        async with gb_centre(udp=True, port=port) as centre:
            await until(done(process), within_s=60)
            assert fires(centre) == [1, 2]


@pytest.mark.parametrize(
    ("more", "code"),
    [('ca_file = "/etc/hostname"', "gb_udp_tls"), ('[[link]]\nid = "wire"\nkind = "ethernet"', "gb_udp_links")],
)
async def test_what_udp_cannot_do_is_refused(tmp_path: Path, more: str, code: str) -> None:
    county = '[[uplink]]\nid = "county"\nhost = "127.0.0.1"\nport = 5201\nprotocol = "gb26875"\n'
    dialect = '[uplink.gb26875]\nsource = "889"\ntransport = "udp"\n'
    text = county + more + "\n" + dialect if code == "gb_udp_tls" else more + "\n" + county + dialect
    (tmp_path / "config.toml").write_text('[gateway]\nid = "gw-1"\n' + text, "utf-8")
    assert code in [finding.code for finding in load(tmp_path).findings if finding.severity == "error"]
