"""A county centre, a real core and a real uplink: what the centre reads and orders over GB/T 26875.3."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from drivers.codecs.gb26875 import Command, Frame, FrameReader, device_address, encode_adu, write_time
from drivers.codecs.gb26875 import objects as of
from drivers.codecs.gb26875.times import NO_CLOCK
from edge_agent import __version__
from edge_agent.china_time import CHINA
from edge_agent.config.model import Panel, Receiver, ReceiverDevice
from edge_agent.config.uplinks import Gb26875Point, Uplink
from edge_agent.uplink.gb26875.session import GbSession
from edge_agent.uplink.main import UplinkProcess
from simulators.centre.gb26875 import Denied, GbCentre
from simulators.panel import PanelSim
from simulators.ports import free_port
from tests.core.house import ACK, CONTACT, House, Site
from tests.uplink.gb26875.site import gb_centre, gb_uplink, units
from tests.uplink.site import CLOCK
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio

ALL = ("read_state", "history", "duty_check", "set_clock", "initialise")
ROOM = of.ComponentQuery(1, 1, b"\x00\x00\x0c\x00")  # the contact on line 12


class County:
    """The three of them."""

    def __init__(self, house: House, uplink: UplinkProcess, centre: GbCentre) -> None:
        self.house, self.uplink, self.centre = house, uplink, centre

    async def send(self, kind: int, *objects: of.InformationObject, **more: int) -> tuple[of.InformationObject, ...]:
        return (await self.centre.send(kind, *objects, **more)).objects


@asynccontextmanager
async def county(commands: tuple[str, ...] = ALL, site: Site | None = None, **agreed: object) -> AsyncIterator[County]:
    site = site or Site()
    async with gb_centre(resends=0, resend_s=PATIENCE_S) as centre:
        uplink: Uplink = replace(gb_uplink(centre.port, timeout_s=5.0, **agreed), commands=commands)
        config = site.set(uplinks=(uplink,)).config
        try:
            async with site.running() as house:
                process = UplinkProcess(config, clock=CLOCK, rng=random.Random(1))
                task = asyncio.create_task(process.run())
                try:
                    await until(lambda: process.core.present and centre.devices, "connected")
                    await until(lambda: units(centre, 1), "the snapshot of a core that is there")
                    yield County(house, process, centre)
                finally:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
        finally:
            site.remove()


async def test_what_a_centre_reads_of_the_facility_and_of_the_device() -> None:
    async with county() as here:
        assert await here.send(61, of.SystemQuery(1, 1)) == (of.SystemStatus(1, 1, 1, _any(here.centre)),)
        (quiet,) = await here.send(62, ROOM)
        assert isinstance(quiet, of.ComponentStatus)
        assert quiet.status == 1
        here.house.gpio.wire({CONTACT: True})
        await until(lambda: any(item.status & 2 for item in units(here.centre, 2)))  # type: ignore[union-attr]
        (burning,) = await here.send(62, ROOM)
        assert isinstance(burning, of.ComponentStatus)
        assert (burning.status, burning.component_type) == (3, 25)
        (system,) = await here.send(61, of.SystemQuery(1, 1))
        assert isinstance(system, of.SystemStatus)
        assert system.status == 3
        (component,) = await here.send(67, ROOM)
        assert isinstance(component, of.ComponentConfiguration)
        assert component.description.startswith(b"pump-room")
        (text,) = await here.send(66, of.SystemQuery(1, 1))
        assert isinstance(text, of.SystemConfiguration)
        assert text.text == b"contacts"
        (device,) = await here.send(81, of.DeviceQuery())
        assert isinstance(device, of.DeviceStatus)
        assert device.status & 3 == 3
        (version,) = await here.send(85, of.DeviceQuery())
        assert isinstance(version, of.DeviceVersion)
        assert __version__.startswith(f"{version.major}.{version.minor}.")
        (about,) = await here.send(86, of.DeviceQuery())
        assert isinstance(about, of.DeviceConfiguration)
        assert about.text.startswith(b"ZG-CORE-0001")
        (clock,) = await here.send(88, of.DeviceQuery())
        assert isinstance(clock, of.DeviceTime)
        assert isinstance(clock.time, datetime)
        now = datetime.now(CHINA).replace(tzinfo=None)
        assert abs(clock.time - now) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (61, of.SystemQuery(1, 77)),
        (62, of.ComponentQuery(1, 1, b"\x09\x09\x09\x09")),
        (63, ROOM),
        (65, of.SystemQuery(1, 1)),
        (68, of.SystemQuery(1, 1)),
        (84, of.DeviceRecordQuery(10, datetime(2026, 1, 1))),
    ],
)
async def test_what_is_not_there_or_not_known_is_denied_and_not_made_up(kind: int, item: of.InformationObject) -> None:
    async with county() as here:
        with pytest.raises(Denied):
            await here.send(kind, item)


async def test_version_and_clock_of_a_panel_are_what_it_said_or_the_site_wrote_down() -> None:
    site = Site()
    port = site.directory / "panel1"
    printer = Panel(id="panel1", profile="gst9000-printer", port=str(port), software_version="3.18")
    async with (
        PanelSim("gst9000-printer", link=port, paced=False) as panel,
        county(site=site.set(panels=(printer,))) as here,
    ):
        assert await here.send(65, of.SystemQuery(1, 1)) == (of.FacilityVersion(1, 1, 3, 18),)
        with pytest.raises(Denied):
            await here.send(68, of.SystemQuery(1, 1))  # it has not spoken yet
        await panel.raise_event("fire", "1-12")
        await here.house.until(here.house.alarms, "the panel spoke, of 2002-08-12 17:24")
        (clock,) = await here.send(68, of.SystemQuery(1, 1))
        assert isinstance(clock, of.FacilityTime)
        assert isinstance(clock.time, datetime)
        assert timedelta(0) <= clock.time - datetime(2002, 8, 12, 17, 24) < timedelta(minutes=2)
        with pytest.raises(Denied):
            await here.send(65, of.SystemQuery(1, 2))  # the contacts have no software


async def test_version_and_clock_of_a_device_that_dials_in_are_its_own() -> None:
    port = free_port()
    listed = ReceiverDevice(id="utd", address="889", name="2号楼传输装置")
    receiver = Receiver(
        id="net1", protocol="gb26875", devices=(listed,), listen="127.0.0.1", listen_port=port, allow=("127.0.0.1",)
    )
    site, theirs = Site().set(receivers=(receiver,)), datetime(2026, 11, 26, 12, 0, 0)
    async with county(site=site) as here:
        await here.house.until(lambda: here.house.source("net1")["up"], "the door is open")
        for kind in (65, 68):
            with pytest.raises(Denied):
                await here.send(kind, of.SystemQuery(1, 2))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        units = (encode_adu(5, [of.FacilityVersion(1, 1, 4, 9)]), encode_adu(1, [of.SystemStatus(1, 1, 1, theirs)]))
        for serial, adu in enumerate(units):
            told = Frame(
                serial=serial,
                sent=write_time(theirs, bcd=False),
                source=device_address(889),
                target=device_address(0),
                command=Command.SEND,
                adu=adu,
            )
            writer.write(told.encode())
        async with asyncio.timeout(PATIENCE_S):
            await reader.readexactly(60)
        assert await here.send(65, of.SystemQuery(1, 2)) == (of.FacilityVersion(1, 2, 4, 9),)
        (clock,) = await here.send(68, of.SystemQuery(1, 2))
        assert isinstance(clock, of.FacilityTime)
        assert isinstance(clock.time, datetime)
        assert timedelta(0) <= clock.time - theirs < timedelta(minutes=2)
        writer.close()


async def test_operation_records_are_given_from_a_time_on_oldest_first() -> None:
    async with county() as here:
        here.house.gpio.wire({CONTACT: True})
        await here.house.until(here.house.alarms, "a fire")
        start = datetime.now(CHINA).replace(tzinfo=None, microsecond=0) - timedelta(seconds=5)
        here.house.core.people.silence("test")
        here.house.core.people.acknowledge(None, "test")
        await until(lambda: units(here.centre, 24) and units(here.centre, 4), "told as they happen")
        (mute,) = await here.send(84, of.DeviceRecordQuery(10, start))
        assert isinstance(mute, of.DeviceOperation)
        assert mute.flags == 1 << 1
        (seen,) = await here.send(64, of.FacilityRecordQuery(1, 1, 10, start))
        assert isinstance(seen, of.FacilityOperation)
        assert seen.flags == 1 << 5
        with pytest.raises(Denied):
            await here.send(64, of.FacilityRecordQuery(1, 1, 10, start + timedelta(days=1)))


async def test_a_duty_check_is_confirmed_at_once_and_answered_by_the_button_as_type_24() -> None:
    async with county() as here:
        assert await here.send(91, of.DutyInspection(10)) == ()
        assert units(here.centre, 24) == []
        await here.house.push(ACK)
        await until(lambda: units(here.centre, 24), "the answer goes up")
        (reply,) = units(here.centre, 24)
        assert isinstance(reply, of.DeviceOperation)
        assert reply.flags == 1 << 5


async def test_the_same_order_again_is_confirmed_again_and_carried_out_once() -> None:
    async with county() as here:
        for _ in range(3):
            await here.send(91, of.DutyInspection(10), serial=7)
        assert len(here.house.core.duty.checks()) == 1
        await here.house.push(ACK)
        await until(lambda: units(here.centre, 24))
        await here.send(91, of.DutyInspection(10), serial=8)
        here.house.core.people.answer_duty(7, "test")  # what comes last shows that all before it has come

        def operators() -> list[int]:
            return [item.operator for item in units(here.centre, 24) if isinstance(item, of.DeviceOperation)]

        await until(lambda: 7 in operators(), "the second answer goes up")
        assert operators() == [0, 7]


async def test_initialise_shows_the_present_again_and_wipes_nothing() -> None:
    async with county() as here:
        here.centre.faults.add("silent", types=frozenset({2}))
        here.house.gpio.wire({CONTACT: True})
        await until(lambda: here.uplink.destinations[0].outbox.alarm_pending)
        await until(lambda: here.centre.faults.struck["silent"], "on its way, and not confirmed")
        assert await here.send(89, of.DeviceQuery()) == ()
        assert here.uplink.destinations[0].outbox.alarm_pending
        here.centre.faults.clear()
        await until(lambda: not here.uplink.destinations[0].outbox.alarm_pending, "it came after all")
        assert any(isinstance(item, of.ComponentStatus) and item.status == 3 for item in units(here.centre, 2))


async def test_the_clock_order_is_confirmed_when_the_core_has_taken_it_and_denied_out_of_bounds() -> None:
    async with county() as here:
        now = datetime.now(CHINA).replace(tzinfo=None, microsecond=0)
        assert await here.send(90, of.ClockSetting(now)) == ()
        with pytest.raises(Denied):
            await here.send(90, of.ClockSetting(datetime(2001, 1, 1)))


async def test_orders_a_centre_may_not_give_and_times_that_are_none_are_denied() -> None:
    async with county(("read_state", "set_clock")) as here:
        with pytest.raises(Denied):
            await here.send(91, of.DutyInspection(5))
        with pytest.raises(Denied):
            await here.send(90, of.ClockSetting(bytes(6)))


async def test_an_unknown_type_is_denied_whatever_the_command() -> None:
    async with county() as here:
        for kind in (69, 127, 200):
            with pytest.raises(Denied):
                await here.centre.send(kind, of.Opaque(1, b"\0"), command=Command.CONTROL)


async def test_a_question_behind_half_a_packet_is_answered_though_no_further_byte_comes() -> None:
    async with county() as here:
        session = here.uplink.destinations[0]._session
        assert isinstance(session, GbSession)
        session._reader = FrameReader(partial_s=0.3)
        half = encode_adu(2, [of.ComponentStatus(1, 1, 40, bytes(4), 3, bytes(31), NO_CLOCK)] * 10)
        broken = Frame(serial=1, sent=bytes(6), source=bytes(6), target=bytes(6), command=2, adu=half).encode()[:200]
        session.data_received(broken)
        answer = await here.send(88, of.DeviceQuery())  # it comes as what the broken one still lacks
        assert isinstance(answer[0], of.DeviceTime)


async def test_a_fire_that_begins_between_many_questions_is_told_and_all_of_them_are_answered() -> None:
    """Matrix row A3, of what the centre hears: questions and a duty check while a fire begins."""
    async with county() as here:
        questions = [asyncio.create_task(here.send(62, ROOM)) for _ in range(6)]
        questions.append(asyncio.create_task(here.send(91, of.DutyInspection(10))))
        here.house.gpio.wire({CONTACT: True})
        await until(lambda: any(item.status & 2 for item in units(here.centre, 2)))  # type: ignore[union-attr]
        *states, checked = await asyncio.gather(*questions)
        for state in states:
            (room,) = state
            assert isinstance(room, of.ComponentStatus)
            assert (room.system_type, room.address) == (1, ROOM.address)
        assert checked == (), "confirmed at once; a person answers it later"
        assert here.house.core.duty.waiting


async def test_points_the_site_keeps_to_itself_cannot_be_read_either() -> None:
    site = Site()
    async with gb_centre(resends=0, resend_s=PATIENCE_S) as centre:
        config = site.set(
            uplinks=(gb_uplink(centre.port, timeout_s=5.0),),
            gb26875_points=(Gb26875Point(points=("pump-room",), send=False),),
        ).config
        async with site.running():
            process = UplinkProcess(config, clock=CLOCK, rng=random.Random(1))
            task = asyncio.create_task(process.run())
            await until(lambda: process.core.present and centre.devices)
            with pytest.raises(Denied):
                await centre.send(62, ROOM)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    site.remove()


class _Any:
    """Equal to any time."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def _any(centre: GbCentre) -> datetime:
    return _Any()  # type: ignore[return-value]
