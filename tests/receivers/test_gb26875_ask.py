"""A GB/T 26875.3 device that was away is asked how that stands which we still take for active, and nothing else."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from drivers.codecs.gb26875 import (
    DIALECTS,
    STANDARD,
    Command,
    Dialect,
    Frame,
    FrameReader,
    decode_adu,
    device_address,
    encode_adu,
)
from drivers.codecs.gb26875 import objects as of
from drivers.codecs.gb26875.addresses import COMPONENT_STYLES
from drivers.receivers.desk import Say
from drivers.receivers.gb26875 import GbTalk, States, dialect
from drivers.receivers.gb26875_ask import ANSWER_S, AWAY_S, TRANSMISSIONS, Questions, question
from edge_agent.config.model import Receiver, ReceiverDevice
from edge_agent.model import Kind
from simulators.ports import free_port
from tests.core.house import Site
from tests.receivers.bench import NOON, Bench
from tests.receivers.test_gb26875 import AT, SENT, component, packet
from tests.waiting import PATIENCE_S

S = 1_000_000_000
ROOM = b"\x01\x00\x1b\x00"
ALIVE = encode_adu(21, [of.DeviceStatus(1, AT)])


class Asked(Bench):
    """A device of which something is taken for active, and what it is asked. `connect` is a new connection of it."""

    def __init__(self, *standing: tuple[str, str], spoken: Dialect = STANDARD) -> None:
        super().__init__()
        self.spoken, self.standing = spoken, standing
        self._states, self._questions = States(), Questions(spoken)
        self.connect()

    def connect(self) -> None:
        self.talk = GbTalk(self.spoken, self._states, lambda: NOON, self._questions, self._stands)

    def _stands(self, who: str) -> Iterable[tuple[str, str]]:
        return self.standing if who == "889" else ()

    def send(self, frame: Frame, at_s: float = 0.0) -> None:
        at_ns = round(at_s * S)
        self.desk.take(self.talk.feed(frame.encode(), at_ns), self.said.append, at_ns)

    def tick(self, at_s: float) -> None:
        self.desk.take(self.talk.tick(round(at_s * S)), self.said.append, round(at_s * S))

    def questions(self) -> list[Frame]:
        """What was asked since the last call."""
        found = [frame for said in self.said if (frame := Frame.decode(said)).command == Command.REQUEST]
        self.said.clear()
        return found

    def answer(self, asked: Frame, kind: int, *objects: of.InformationObject, at_s: float = 0.0) -> None:
        self.send(asked.answer(Command.RESPONSE, SENT, encode_adu(kind, objects)), at_s)


def test_after_a_restart_a_device_is_asked_one_question_at_a_time_and_what_is_over_ends() -> None:
    device = Asked(("1-1-1-27", "fire"), ("1-1", "fault"), ("device", "mains_fault"), ("1-1-1-27", "fault"))
    device.send(packet(ALIVE))
    [asked] = device.questions()
    assert (asked.source, asked.target) == (device_address(0), device_address(889)), "as the device has them"
    assert decode_adu(asked.adu, STANDARD, uplink=False).objects == (of.ComponentQuery(1, 1, ROOM),)
    device.answer(asked, 2, of.ComponentStatus(1, 1, 40, ROOM, 1, bytes(31), AT))
    ends = [event for point, event in device.events(states=True) if point == "panel2/1-1-1-27"]
    assert {"fire_restore", "fault_restore"} <= set(ends)
    [asked] = device.questions()
    assert decode_adu(asked.adu, STANDARD, uplink=False).objects == (of.SystemQuery(1, 1),)
    device.answer(asked, 1, of.SystemStatus(1, 1, 1, AT))
    assert ("panel2/1-1", "fault_restore") in device.events(states=True)
    [asked] = device.questions()
    assert asked.adu[0] == 81
    device.answer(asked, 21, of.DeviceStatus(1, AT))
    assert ("panel2/device", "mains_ok") in device.events(states=True)
    device.send(packet(ALIVE, serial=8), 30)
    assert device.questions() == [], "it was there all the time: it says by itself what changes"


def test_what_still_burns_is_no_second_fire_nor_is_the_sum_of_it() -> None:
    device = Asked(("1-1-1-27", "fire"))
    device.send(packet(encode_adu(21, [of.DeviceStatus(3, AT)])))
    [asked] = device.questions()
    device.answer(asked, 2, of.ComponentStatus(1, 1, 40, ROOM, 3, bytes(31), AT))
    assert [told for told in device.events() if told[1].startswith("fire")] == [("panel2/1-1-1-27", "fire")]


def test_a_denial_leaves_a_thing_as_it_is_and_the_next_one_is_asked() -> None:
    device = Asked(("1-1-1-27", "fire"), ("1-1-1-28", "fire"))
    device.send(packet(ALIVE))
    [asked] = device.questions()
    device.send(asked.answer(Command.DENY, SENT))
    assert device.events() == []
    [second] = device.questions()
    assert second.adu != asked.adu
    assert second.serial != asked.serial


def test_a_question_is_sent_four_times_and_then_nothing_more_is_asked_of_a_device_that_takes_none() -> None:
    device = Asked(("1-1-1-27", "fire"), ("1-1-1-28", "fire"))
    device.send(packet(ALIVE))
    sent = device.questions()
    for n in range(1, 20):
        device.tick(n * ANSWER_S / 2)
        sent += device.questions()
    assert len(sent) == TRANSMISSIONS
    assert len({(one.serial, one.adu) for one in sent}) == 1
    assert {point for point, _ in device.events(states=True)} == {"panel2/device"}, "an alarm that may be over is kept"


def test_a_device_that_was_away_is_asked_again_whatever_connection_it_comes_by() -> None:
    device = Asked(("1-1-1-27", "fire"))
    device.send(packet(ALIVE))
    [asked] = device.questions()
    device.answer(asked, 2, of.ComponentStatus(1, 1, 40, ROOM, 3, bytes(31), AT))
    device.connect()
    device.send(packet(ALIVE, serial=8), AWAY_S / 2)
    assert device.questions() == [], "it was not away for long: what it had to tell it is still sending"
    device.connect()
    device.send(packet(ALIVE, serial=9), 2 * AWAY_S)
    assert [one.adu for one in device.questions()] == [asked.adu]


def test_an_answer_that_is_none_changes_nothing_and_is_asked_for_again() -> None:
    device = Asked(("1-1-1-27", "fire"))
    device.send(packet(ALIVE))
    [asked] = device.questions()
    device.seen.clear()
    quiet = of.ComponentStatus(1, 1, 40, ROOM, 1, bytes(31), AT)
    wrong = asked.answer(Command.RESPONSE, SENT, encode_adu(2, [quiet]))
    device.send(packet(encode_adu(2, [quiet]), command=Command.RESPONSE, serial=asked.serial + 1))
    device.answer(asked, 1, of.SystemStatus(1, 1, 1, AT))
    device.send(asked.answer(Command.CONFIRM, SENT))
    assert device.events(states=True) == []
    device.tick(ANSWER_S)
    assert [one.serial for one in device.questions()] == [asked.serial]
    device.send(wrong, ANSWER_S)
    assert ("panel2/1-1-1-27", "fire_restore") in device.events(states=True)


def test_nobody_is_asked_where_nothing_stands_or_where_an_answer_could_end_nothing() -> None:
    for device in (Asked(), Asked(("1-1-1-27", "fire"), spoken=DIALECTS["jk-gh2013g"])):
        device.send(packet(ALIVE))
        assert device.questions() == []
    stranger = Asked(("1-1-1-27", "fire"))
    stranger.send(packet(ALIVE, source=777))
    assert stranger.questions() == []


@pytest.mark.parametrize("style", COMPONENT_STYLES)
def test_a_point_is_asked_about_by_the_address_it_was_named_after(style: str) -> None:
    spoken = dialect(STANDARD, style)
    device = Asked(spoken=spoken)
    device.send(packet(component(2, address=b"\x01\x02\x03\x04")))
    [(point, _)] = device.events()
    unit = question(point.partition("/")[2], spoken)
    assert decode_adu(unit, spoken, uplink=False).objects == (of.ComponentQuery(1, 1, b"\x01\x02\x03\x04"),)


@pytest.mark.parametrize(
    "where", ["", "x", "1", "1-", "300-1", "1-1-1", "1-1-99999-1", "1-1-1-1-1", "1-1-1-2/pressure_kpa"]
)
def test_a_name_that_is_no_address_is_not_asked_about(where: str) -> None:
    assert question(where, STANDARD) == b""


def test_what_is_said_beside_a_message_waits_for_nothing() -> None:
    device = Asked(("1-1-1-27", "fire"))
    heard = device.talk.feed(packet(component(1)).encode(), 0)
    assert isinstance(heard[-1], Say)


@pytest.mark.asyncio
async def test_an_alarm_that_ended_while_the_core_was_down_ends_when_the_device_is_heard_again() -> None:
    """Over real TCP: a core that was stopped, and a device that answers what it is asked."""
    port = free_port()
    receiver = Receiver(
        id="net1",
        protocol="gb26875",
        devices=(ReceiverDevice(id="utd", address="889"),),
        listen="127.0.0.1",
        listen_port=port,
        allow=("127.0.0.1",),
    )
    site, burning = Site().set(receivers=(receiver,)), True

    async def device(until: Callable[[], object]) -> None:
        """Dials in, reports a fire if there is one, answers 62 by how it stands."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        frames = FrameReader()
        writer.write(packet(component(3) if burning else ALIVE, serial=1).encode())
        async with asyncio.timeout(PATIENCE_S):
            while not until():
                try:
                    data = await asyncio.wait_for(reader.read(4096), 0.05)
                except TimeoutError:
                    continue
                for frame in frames.feed(data, 0):
                    if isinstance(frame, Frame) and frame.command == Command.REQUEST and frame.adu[0] == 62:
                        writer.write(frame.answer(Command.RESPONSE, SENT, component(3 if burning else 1)).encode())
        writer.close()

    try:
        async with site.running() as house:
            await house.until(lambda: house.source("net1")["up"], "the door is open")
            await device(house.alarms)
            await house.durable()
        burning = False
        async with site.running() as house:
            assert house.alarms() == ["utd/1-1-1-27"], "as it was"
            await house.until(lambda: house.source("net1")["up"], "the door is open")
            await device(lambda: not any(one.active for one in house.core.alarms.alarms()))
            await house.durable()
        fires = [one["active"] for one in await site.records() if one["kind"] == Kind.FIRE]
        assert fires == [True, False]
    finally:
        site.remove()
