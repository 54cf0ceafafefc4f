"""A GB/T 26875.3 centre over UDP: real sockets, datagrams lost, doubled and glued, a centre that is not there."""

import asyncio
import json
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from buffer.records import Priority
from drivers.codecs.gb26875 import Command, Frame, FrameReader, encode_adu
from drivers.codecs.gb26875.objects import DeviceQuery
from edge_agent.config.load import load
from edge_agent.config.uplinks import Link
from edge_agent.uplink.gb26875.link import GbLink
from edge_agent.uplink.path import RoutedPath
from simulators.centre import query
from simulators.ports import free_port
from tests.uplink.gb26875.peer import done, journal_of
from tests.uplink.gb26875.site import body, fires, gb_centre, gb_config, gb_uplink
from tests.uplink.netns import TwoWays, why_not
from tests.uplink.site import CLOCK, running_uplink
from tests.waiting import PATIENCE_S, until

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


async def test_udp_cannot_be_encrypted_and_may_choose_among_links(tmp_path: Path) -> None:
    def errors(more: str) -> list[str]:
        county = '[[uplink]]\nid = "county"\nhost = "127.0.0.1"\nport = 5201\nprotocol = "gb26875"\n'
        dialect = '[uplink.gb26875]\nsource = "889"\ntransport = "udp"\n'
        (tmp_path / "config.toml").write_text('[gateway]\nid = "gw-1"\n' + county + more + dialect, "utf-8")
        return [finding.code for finding in load(tmp_path).findings if finding.severity == "error"]

    assert errors('ca_file = "/etc/hostname"\n') == ["gb_udp_tls"]
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "links.toml").write_text('[[link]]\nid = "wire"\nkind = "ethernet"\n', "utf-8")
    assert errors("") == []


def quiet_link(port: int, directory: Path, **agreed: object) -> GbLink:
    """A link that never opens a session."""
    config = gb_config(directory, gb_uplink(port, transport="udp", **agreed))
    return GbLink(config, config.uplinks[0], CLOCK, RoutedPath(None).udp)


@pytest.mark.parametrize("keepalive", ["none", "empty-send-data", "one-byte"])
async def test_a_probe_is_a_keep_alive_the_centre_confirms(tmp_path: Path, keepalive: str) -> None:
    async with gb_centre(udp=True) as centre:
        link = quiet_link(centre.port, tmp_path, keepalive=keepalive)
        assert await link.probe(30.0)
        assert await link.over(RoutedPath(None).udp).probe(30.0)
        first, second = (one.frame.serial for one in centre.received[-2:])
        assert first != second, "a number of the centre's one device, whatever the path"


async def test_a_probe_that_is_lost_is_sent_once_more_and_a_centre_that_is_not_there_answers_none(
    tmp_path: Path,
) -> None:
    fates = iter([0])
    async with gb_centre(udp=True) as centre:
        between = await relay(centre.port, lambda: next(fates, 1))
        assert await quiet_link(between.port, tmp_path).probe(2.0)
        between.transport.close()
        port = centre.port
    assert not await quiet_link(port, tmp_path).probe(30.0)
    nobody = await relay(port, lambda: 0)
    assert not await quiet_link(nobody.port, tmp_path).probe(0.2)
    nobody.transport.close()


@pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
async def test_a_lost_path_is_left_and_taken_again_over_udp_too(tmp_path: Path) -> None:
    """A real centre program behind two real paths of a namespace; one of them is cut."""
    journal, db = journal_of(1), tmp_path / "centre.db"
    with TwoWays() as ways:
        port = free_port()
        command = ("ip", "netns", "exec", ways.namespace, sys.executable, "-m", "simulators.centre", "gb26875", "--udp")
        program = await asyncio.create_subprocess_exec(
            *command, "--host", ways.centre, "--port", str(port), "--db", str(db), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert program.stdout is not None
            await asyncio.wait_for(program.stdout.readline(), PATIENCE_S)
            config = replace(
                gb_config(tmp_path, replace(gb_uplink(port, transport="udp"), host=ways.centre, plain=True)),
                links=tuple(
                    Link(id=name, kind=kind, interface=way.interface, probe_s=1.0, misses=2, hold_s=2.0)
                    for name, kind, way in (("eth", "ethernet", ways.eth), ("4g", "cellular", ways.cell))
                ),
            )
            async with running_uplink(config, journal) as uplink:
                policy = uplink.paths._policies["county"]

                def alarm(n: int) -> None:
                    uplink._on_record(journal.epoch, Priority.ALARM, journal.append(Priority.ALARM, body(n)), body(n))

                await until(lambda: policy.choice.current == "eth" and done(uplink)())
                ways.eth.black_hole()
                alarm(2)
                await until(lambda: policy.choice.current == "4g" and done(uplink)())
                ways.eth.heal()
                await until(lambda: policy.choice.current == "eth", "the way back")
                alarm(3)
                await until(done(uplink))
        finally:
            program.terminate()
            await program.wait()
        with query.opened(db) as database:
            told = [json.loads(kept) for (kept,) in database.execute("SELECT body FROM records").fetchall()]
        burning = {one["point"] for one in told if one.get("kind") == "fire" and one["point"] != "device"}
        assert burning == {"1-1/01000100", "1-1/01000200", "1-1/01000300"}
