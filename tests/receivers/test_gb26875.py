"""GB/T 26875.3 spoken to us: what is told, what is answered, and a real transmission device at the other end."""

import asyncio
import contextlib
import random
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.gb26875 import DIALECTS, STANDARD, Command, Dialect, Frame, device_address, encode_adu, write_time
from drivers.codecs.gb26875 import objects as of
from drivers.receivers.desk import Message
from drivers.receivers.gb26875 import GbTalk, States
from drivers.receivers.gb26875_ask import Questions
from edge_agent.clock import SystemClock
from edge_agent.config.model import Receiver, ReceiverDevice
from edge_agent.core import Core
from edge_agent.model import Kind
from edge_agent.no_journal import NoJournal
from edge_agent.uplink.main import UplinkProcess
from simulators.ports import free_port
from tests.core.house import CONTACT, House, Site
from tests.receivers.bench import NOON, Bench
from tests.uplink.gb26875.site import gb_uplink
from tests.uplink.site import CLOCK
from tests.waiting import PATIENCE_S

AT = datetime(2026, 11, 26, 11, 59, 58)
SENT = write_time(AT, bcd=False)
NOW = write_time(datetime(2026, 11, 26, 12, 0, 0), bcd=False)


def packet(adu: bytes, *, command: int = Command.SEND, serial: int = 7, source: int = 889) -> Frame:
    return Frame(
        serial=serial,
        sent=SENT,
        source=device_address(source),
        target=device_address(0),
        command=command,
        adu=adu,
    )


def component(status: int, kind: int = 40, address: bytes = b"\x01\x00\x1b\x00") -> bytes:
    return encode_adu(
        2, [of.ComponentStatus(1, 1, kind, address, status, "三楼".encode("gb18030").ljust(31, b"\0"), AT)]
    )


class Device(Bench):
    """A device and our side of its connection."""

    def __init__(self, dialect: Dialect = STANDARD) -> None:
        super().__init__()
        self.talk = GbTalk(dialect, States(), lambda: NOON, Questions(dialect))

    def send(self, data: bytes | Frame) -> None:
        raw = data.encode() if isinstance(data, Frame) else data
        self.desk.take(self.talk.feed(raw, 0), self.said.append, 0)

    def answers(self) -> list[Frame]:
        return [Frame.decode(said) for said in self.said]


def test_a_confirm_is_the_devices_own_packet_turned_round_with_our_time() -> None:
    device = Device()
    sent = packet(component(2))
    device.send(sent)
    assert device.said == []
    device.settle()
    [answer] = device.answers()
    assert answer == sent.answer(Command.CONFIRM, NOW)


def test_a_device_without_our_time_gets_its_own_back() -> None:
    talk = GbTalk(STANDARD, States(), lambda: None, Questions(STANDARD))
    [message] = talk.feed(packet(component(2)).encode(), 0)
    assert isinstance(message, Message)
    assert Frame.decode(message.yes).sent == SENT


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (0x0002, 40, ["fire"]),
        (0x0003, 23, ["fire_manual"]),
        (0x0003, 11, ["gas_alarm"]),
        (0x0003, 17, ["electrical_alarm"]),
        (0x0005, 40, ["fault"]),
        (0x0009, 40, ["isolate"]),
        (0x0061, 91, ["start", "feedback"]),
        (0x0101, 40, ["fault"]),
        (0x0000, 40, []),
        (0x0001, 40, []),
    ],
)
def test_the_bits_of_a_component(status: int, kind: int, told: list[str]) -> None:
    device = Device()
    device.send(packet(component(status, kind)))
    assert device.events() == [("panel2/1-1-1-27", event) for event in told]
    ends = [event for _, event in device.events(states=True) if event not in told]
    assert "fault_restore" in ends or "fault" in told
    assert ("fire_restore" in ends) == (not {"fire", "fire_manual"} & set(told) and kind in (40, 23, 91))


def test_what_is_told_carries_the_devices_words_and_time() -> None:
    device = Device()
    device.send(packet(component(2)))
    [fire] = [seen for seen in device.seen if getattr(seen, "event", "") == "fire"]
    assert fire.fields == {  # type: ignore[union-attr]
        "type": 2,
        "system_type": 1,
        "system_address": 1,
        "component_type": 40,
        "status": 2,
        "address": "01001B00",
        "location_text": "三楼",
        "time": "2026-11-26T11:59:58",
    }


@pytest.mark.parametrize(
    ("style", "point"),
    [("point-loop", "1-1-27-1"), ("u32", f"1-1-{0x001B0001}"), ("raw", "1-1-01001B00"), ("loop-point", "1-1-1-27")],
)
def test_component_addresses_are_split_as_the_dialect_says(style: str, point: str) -> None:
    device = Device(replace(STANDARD, component_address=style))  # type: ignore[arg-type]
    device.send(packet(component(2)))
    assert device.events() == [(f"panel2/{point}", "fire")]


def test_a_reset_bit_that_stays_resets_once() -> None:
    device = Device()
    status = encode_adu(1, [of.SystemStatus(1, 1, 1 | 1 << 13, AT)])
    for serial in range(3):
        device.send(packet(status, serial=serial))
    device.send(packet(encode_adu(1, [of.SystemStatus(1, 1, 1, AT)]), serial=3))
    device.send(packet(status, serial=4))
    assert device.events() == [("panel2/1-1", "reset")] * 2


def test_the_fire_bit_of_a_device_gives_way_to_the_component_it_sums_up() -> None:
    device = Device()
    whole = encode_adu(21, [of.DeviceStatus(3, AT)])
    system = encode_adu(1, [of.SystemStatus(1, 1, 3, AT)])
    for serial, adu in enumerate((whole, system, whole, component(3), component(3, address=bytes(4)), system, whole)):
        device.send(packet(adu, serial=serial))
    fires = [one for one in device.events() if one[1].startswith("fire")]
    assert fires == [
        ("panel2/device", "fire"),  # nobody has said more yet
        ("panel2/device", "fire_restore"),
        ("panel2/1-1", "fire"),
        ("panel2/1-1", "fire_restore"),
        ("panel2/1-1-1-27", "fire"),
        ("panel2/1-1-0-0", "fire"),
    ]
    device.seen.clear()
    for serial, adu in enumerate((component(1), component(1, address=bytes(4)), whole), start=10):
        device.send(packet(adu, serial=serial))
    assert device.events() == [], "what is left of the sum is no new fire"
    ends = [point for point, event in device.events(states=True) if event == "fire_restore"]
    assert ends == ["panel2/1-1-1-27", "panel2/1-1-0-0"]


def test_a_sum_that_comes_behind_its_component_is_no_second_fire() -> None:
    device = Device()
    sums = (encode_adu(1, [of.SystemStatus(1, 1, 3, AT)]), encode_adu(21, [of.DeviceStatus(3, AT)]))
    for serial, adu in enumerate((component(3), *sums)):
        device.send(packet(adu, serial=serial))
    assert device.events() == [("panel2/1-1-1-27", "fire")]


def test_the_last_object_of_a_full_packet_is_heard_too() -> None:
    device = Device()
    systems = [of.SystemStatus(1, address, 3 if address == 101 else 1, AT) for address in range(102)]
    device.send(packet(encode_adu(1, systems, as_received=True)))
    assert device.events() == [("panel2/1-101", "fire")]
    ends = [point for point, event in device.events(states=True) if event == "fire_restore"]
    assert len(ends) == 101


def test_operations_are_moments_and_a_button_pressed_is_a_manual_alarm() -> None:
    device = Device()
    device.send(packet(encode_adu(4, [of.FacilityOperation(1, 1, 0b0000_0011, 5, AT)])))
    device.send(packet(encode_adu(24, [of.DeviceOperation(0b0000_0100, 0, AT)]), serial=8))
    assert device.events() == [("panel2/1-1", "reset"), ("panel2/1-1", "silence"), ("panel2/device", "fire_manual")]


def test_measured_values_become_readings_and_one_out_of_range_a_fault() -> None:
    device = Device()
    values = [
        of.AnalogueValue(11, 1, 0, b"\x01\0\x02\0", 5, 1234, AT),
        of.AnalogueValue(11, 1, 0, bytes(4), 130, 7, AT),
    ]
    device.send(packet(encode_adu(3, values)))
    assert device.readings() == {"panel2/11-1-1-2/pressure_kpa": 123.4, "panel2/11-1-0-0/analogue_130": 7}
    assert [answer.command for answer in device.answers()] == [Command.CONFIRM], "readings wait for no flash"
    odd = encode_adu(3, [of.AnalogueValue(11, 1, 0, bytes(4), 6, 2000, AT)], as_received=True)
    device.send(packet(odd, serial=8))
    assert [seen.reason for seen in device.seen if hasattr(seen, "reason")][-1] == "overrange"


@pytest.mark.parametrize(
    ("adu", "answer"), [(b"", b""), (b"\x16", b"\x17"), (encode_adu(21, [of.DeviceStatus(1, AT)]), b"")]
)
def test_every_keep_alive_is_confirmed(adu: bytes, answer: bytes) -> None:
    device = Device()
    device.send(packet(adu))
    device.settle()
    assert [(one.command, one.adu) for one in device.answers()] == [(Command.CONFIRM, answer)]
    assert device.events() == []


def test_commands_of_a_dialect_are_confirmed_where_it_is_spoken_and_denied_elsewhere() -> None:
    theirs, standard = Device(DIALECTS["dahua-1.03"]), Device()
    for device in (theirs, standard):
        device.send(packet(b"", command=7))
    assert [one.command for one in theirs.answers()] == [Command.CONFIRM]
    assert [one.command for one in standard.answers()] == [Command.DENY]


def test_what_a_device_has_no_business_to_send_is_denied_and_answers_are_never_answered() -> None:
    device = Device()
    for command in (Command.CONTROL, Command.REQUEST):
        device.send(packet(bytes.fromhex("5B010A"), command=command))
    assert [one.command for one in device.answers()] == [Command.DENY] * 2
    for command in (Command.CONFIRM, Command.DENY, Command.RESPONSE):
        device.send(packet(b"", command=command))
        raw = bytearray(packet(b"", command=command).encode())
        raw[-3] ^= 1
        device.send(bytes(raw))
    assert len(device.said) == 2


def test_a_damaged_packet_is_denied_only_if_its_serial_number_can_be_trusted() -> None:
    device = Device()
    raw = bytearray(packet(component(2)).encode())
    raw[-3] ^= 1
    device.send(bytes(raw))
    assert [one.command for one in device.answers()] == [Command.DENY]
    raw[-1] = 0
    device.send(bytes(raw) + packet(component(2), serial=9).encode())
    device.settle()
    assert [one.command for one in device.answers()] == [Command.DENY, Command.CONFIRM]
    assert ("panel2/1-1-1-27", "fire") in device.events()


def test_a_unit_nobody_can_read_is_confirmed_and_is_a_fault_with_its_bytes() -> None:
    device = Device()
    device.send(packet(bytes.fromhex("02050102")))
    device.settle()
    assert device.events() == [("panel2/device", "fault")]
    assert [one.command for one in device.answers()] == [Command.CONFIRM]
    device.send(packet(bytes.fromhex("CC0101020304"), serial=8))
    device.send(packet(bytes.fromhex("CC0101020304"), serial=9))
    assert device.events()[1:] == [("panel2/device", "status")], "a user type is kept, once for each content"


@pytest.mark.parametrize(
    ("adu", "told"),
    [
        ("0201" + "010128 01001B00 0200 00 02010C0C0B1A", "unknown"),  # 16 bytes, as one maker has them
        ("0202" + "010128 01001B00 0000 00 02010C0C0B1A" + "010128 01001C00 0300 00 02010C0C0B1A", "unknown"),
        ("0202" + "010128 01001B00 0100 00 02010C0C0B1A" * 2, "fault"),
        ("0102" + "0101 0200 02010C0C0B1A", "unknown"),  # says two, has one
        ("0100" + "0101 0200 02010C0C0B1A", "unknown"),
        ("0101" + "0101 0500 02010C0C0B1A" * 2, "fault"),
        ("0101" + "0101 0100 02010C0C0B1A" + "0102 0200 02010C0C0B1A", "unknown"),  # says one, has two
        ("1500" + "02 02010C0C0B1A", "unknown"),
        ("0201" + "010128 01001B00 02", "unknown"),  # cut off behind the byte that says it
        ("0201" + "010128 01001B", "fault"),
    ],
)
def test_objects_that_do_not_add_up_hide_no_fire(adu: str, told: str) -> None:
    device = Device()
    device.send(packet(bytes.fromhex(adu)))
    assert device.events() == [("panel2/device", told)]


def test_recovery_by_a_type_of_its_own() -> None:
    device = Device(DIALECTS["jk-gh2013g"])
    device.send(packet(component(2)))
    device.send(packet(component(0), serial=8))
    body = bytearray(component(2))
    body[0] = 135
    device.send(packet(bytes(body), serial=9))
    point = "panel2/1-1-1-27"
    assert device.events(states=True) == [(point, "fire"), (point, "fire_restore")], "a bit at 0 says nothing here"


@given(st.lists(st.binary(max_size=64), max_size=12), st.integers(0, 60))
def test_nothing_a_peer_sends_raises_and_a_sound_packet_behind_it_is_found(pieces: list[bytes], cut: int) -> None:
    device = Device()
    for piece in pieces:
        device.send(piece)
    sound = packet(component(2)).encode()
    device.send(sound[:cut])
    device.send(sound[cut:])
    device.desk.take(device.talk.tick(11 * 10**9), device.said.append, 0)
    assert device.bugs == []
    assert ("panel2/1-1-1-27", "fire") in device.events()
    assert device.talk.end(0) is not None


# --- a transmission device of the field: this project's own uplink, which knows nothing of the receiver


def listening(port: int, *devices: ReceiverDevice, **more: object) -> Receiver:
    return Receiver(
        id="net1",
        protocol="gb26875",
        devices=devices,
        listen="127.0.0.1",
        listen_port=port,
        allow=("127.0.0.1",),
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.asyncio
async def test_a_fire_at_another_gateway_arrives_over_the_site_network_is_kept_and_confirmed() -> None:
    port = free_port()
    ours, theirs = Site(), Site()
    ours.set(receivers=(listening(port, ReceiverDevice(id="utd", address="889", silence_s=60.0)),))
    theirs.set(uplinks=(gb_uplink(port, timeout_s=5.0, keepalive="device-status", keepalive_s=0.5),))
    try:
        async with ours.running() as house, theirs.running() as far:
            process = UplinkProcess(theirs.config, clock=CLOCK, rng=random.Random(1))
            task = asyncio.create_task(process.run())
            try:
                await house.until(lambda: house.source("utd")["up"], "the device was heard")
                far.gpio.wire({CONTACT: True})
                point = "utd/1-1-0-12"
                await house.until(lambda: point in house.alarms(), "the fire arrives")
                assert [one.point for one in house.core.alarms.alarms() if one.active] == [point], "and is one"
                assert house.sounding()
                await house.until(lambda: far.core.alarms.alarms()[0].delivered, "the device was confirmed")
                far.gpio.wire({CONTACT: False})
                await house.until(lambda: not any(one.active for one in house.core.alarms.alarms()), "the end of it")
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        records = await ours.records()
        fires = [one for one in records if one["kind"] == Kind.FIRE and one["point"] == point]
        assert [one["active"] for one in fires] == [True, False], "told once each way"
    finally:
        ours.remove()
        theirs.remove()


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


async def _answer(reader: asyncio.StreamReader) -> Frame:
    async with asyncio.timeout(PATIENCE_S):
        return Frame.decode(await reader.readexactly(30))


@pytest.mark.asyncio
async def test_a_gateway_that_cannot_keep_an_alarm_sounds_it_and_does_not_confirm_it() -> None:
    port = free_port()
    site = Site().set(receivers=(listening(port, ReceiverDevice(id="utd", address="889")),))
    try:
        core = Core(
            site.config,
            SystemClock(),
            open_journal=lambda config, boot, report: (NoJournal("newer_schema"), None),
        )
        task = asyncio.create_task(core.run())
        house = House(site, core, task)
        try:
            reader, writer = await _connect(port)
            writer.write(packet(component(2), serial=1).encode())
            await house.until(house.alarms, "it sounds")
            writer.write(packet(b"", serial=2).encode())
            answer = await _answer(reader)
            assert answer.serial == 2, "a keep-alive is confirmed, the alarm before it is not"
            await house.until(lambda: house.source("net1")["counters"]["unkept"], "it is counted")  # type: ignore[index]
            writer.close()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    finally:
        site.remove()


@pytest.mark.asyncio
async def test_who_is_not_allowed_gets_no_connection_and_is_told_of() -> None:
    port = free_port()
    receiver = replace(listening(port, ReceiverDevice(id="utd", address="889")), allow=("192.0.2.0/24",))
    site = Site().set(receivers=(receiver,))
    try:
        async with site.running() as house:
            reader, writer = await _connect(port)
            writer.write(packet(component(2)).encode())
            async with asyncio.timeout(PATIENCE_S):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
            await house.until(lambda: house.source("net1")["counters"]["peer"], "it is counted")  # type: ignore[index]
            await house.durable()
            assert house.alarms() == []
        assert [one["point"] for one in await site.records() if one["kind"] == Kind.FAULT] == ["net1/peer"]
    finally:
        site.remove()
