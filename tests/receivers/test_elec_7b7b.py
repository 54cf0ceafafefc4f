"""4G electrical-fire units: what a report tells and measures, over TCP from a simulated unit and on a serial line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs import elec_7b7b
from drivers.messages import PanelEvent, PointFault
from drivers.receivers.desk import Listed, Message
from drivers.receivers.elec_7b7b import PATIENCE_NS, Elec7b7bTalk
from edge_agent.config.model import Receiver, ReceiverDevice
from edge_agent.model import Kind
from simulators import peers
from simulators.ports import free_port
from simulators.pty_line import PtyLine
from tests.core.house import Site
from tests.receivers.bench import Bench

SERIAL = "12101052550001"
[VECTOR] = json.loads((Path(__file__).parents[1] / "captures/elec-4g-7b7b.json").read_text("utf-8"))
CAPTURED = bytes.fromhex(VECTOR["data"])
PHASE, WIRING, ALARM, VOLTAGE, CURRENT = 36, 38, 40, 44, 46


def report(flags: dict[int, int], numbers: dict[str, float] | None = None, *, second: int = 0) -> bytes:
    return elec_7b7b.encode(SERIAL, bytes((26, 11, 26, 3, 0, second)), flags=flags, numbers=numbers or {})


class Modem(PtyLine):
    """The radio modem's serial end: nothing is ever said to it."""

    def received(self, data: bytes) -> None:
        raise AssertionError(data)


class Unit(Bench):
    def __init__(self) -> None:
        super().__init__(Listed(id="unit", address=SERIAL, silence_s=3600))
        self.talk = Elec7b7bTalk()

    def send(self, data: bytes) -> None:
        self.take(self.talk.feed(data, 0))

    def faults(self) -> list[tuple[str, str]]:
        return [(seen.point, seen.reason) for seen in self.seen if isinstance(seen, PointFault)]


def test_the_captured_report_is_of_this_device_tells_nothing_and_measures() -> None:
    unit = Unit()
    unit.send(CAPTURED)
    assert unit.links() == [("unit", True, "answering")]
    assert unit.events() == unit.faults() == []
    values = unit.readings()
    assert (values["unit/voltage_a_v"], values["unit/current_a_a"], values["unit/residual_ma"]) == (231.6, 0.64, 0)
    assert (values["unit/frequency_hz"], values["unit/signal"]) == (49.99, 17)
    assert "unit/temperature_1_c" not in values  # four channels without a probe and without a flag: not there
    assert unit.said == []


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({ALARM: 1}, [("unit/residual", "electrical_alarm")]),
        ({ALARM: 0b10010}, [("unit/temperature_1", "electrical_alarm"), ("unit/temperature_4", "electrical_alarm")]),
        ({WIRING: 0b100}, [("unit/temperature_2", "fault")]),
        ({ALARM: 1, WIRING: 1}, [("unit/residual", "electrical_alarm"), ("unit/residual", "fault")]),
        ({VOLTAGE: 1}, [("unit/voltage/over", "electrical_alarm")]),
        ({VOLTAGE: 0x100}, [("unit/voltage/under", "fault")]),
        ({CURRENT: 1}, [("unit/current/over", "electrical_alarm")]),
        ({PHASE: 1}, [("unit/phase", "fault")]),
        ({ALARM: 0x20}, [("unit/flags", "fault")]),
        ({VOLTAGE: 0x8000}, [("unit/flags", "fault")]),
    ],
)
def test_flags_are_states_and_one_nobody_named_is_a_fault(flags: dict[int, int], told: list[tuple[str, str]]) -> None:
    unit = Unit()
    unit.send(report(flags))
    assert unit.events() == told
    [first, *_] = [seen for seen in unit.seen if isinstance(seen, PanelEvent) and not seen.is_state]
    assert first.raw in report(flags)
    assert {event for _, event in unit.events(states=True)} >= {"electrical_restore", "fault_restore"}


def test_a_wiring_flag_beats_the_number_and_a_probe_that_vanished_is_a_fault() -> None:
    unit = Unit()
    unit.send(report({}, {"residual_ma": 35.0, "temperature_1_c": 31.5}))
    assert unit.readings()["unit/temperature_1_c"] == 31.5
    unit.send(report({WIRING: 1}, {"residual_ma": 35.0}, second=1))
    assert unit.faults() == [("unit/residual_ma", "open"), ("unit/temperature_1_c", "absent")]


def test_a_copy_is_told_once_and_a_damaged_report_is_refused() -> None:
    unit = Unit()
    unit.send(report({ALARM: 1}) * 2)
    unit.settle()
    assert unit.desk.counts["repeat"] == 1
    spoiled = bytearray(report({ALARM: 1}, second=1))
    spoiled[60] ^= 1
    unit.send(bytes(spoiled) + report({}, second=2))
    assert [refused.why for refused in unit.desk.refused()] == ["crc"]
    assert unit.desk.counts["ok"] == 3


def test_a_stream_cut_anywhere_gives_the_same_reports() -> None:
    stream = b"\x01\x01" + CAPTURED + b"{{" + report({ALARM: 1})
    for cut in range(0, len(stream), 7):
        talk = Elec7b7bTalk()
        heard = talk.feed(stream[:cut], 0) + talk.feed(stream[cut:], 0) + talk.tick(PATIENCE_NS)
        assert [one.who for one in heard if isinstance(one, Message)] == [SERIAL, SERIAL]


@given(st.lists(st.sampled_from([b"{{", b"\x92\x01\x84", b"}}", CAPTURED[:200], b"x" * 3000]), max_size=12))
def test_a_stream_of_anything_raises_nothing_and_never_piles_up(pieces: list[bytes]) -> None:
    talk = Elec7b7bTalk()
    for piece in pieces:
        talk.feed(piece, 0)
        assert len(talk._buffer) <= elec_7b7b.HELD_BYTES_MAX
    talk.end(0)


def test_decode_calls_a_unit_without_supply_a_fault_and_an_over_voltage_an_alarm() -> None:
    events = [elec_7b7b.decode(report({VOLTAGE: word}))[0]["event"] for word in (0, 1, 0x100)]
    assert events == [None, "electrical_alarm", "fault"]


@pytest.mark.asyncio
async def test_a_unit_that_dials_in_is_heard_by_the_core() -> None:
    port = free_port()
    receiver = Receiver(
        id="units", protocol="elec-7b7b", listen="127.0.0.1", listen_port=port, allow=("127.0.0.1",),
        devices=(ReceiverDevice(id="unit", address=SERIAL),),
    )  # fmt: skip
    site = Site().set(receivers=(receiver,))
    line = peers.Line(peers.Where(host="127.0.0.1", port=port))
    try:
        async with site.running() as house:
            await house.until(lambda: house.source("units")["up"], "it listens")
            await line.open()
            unit = peers.ElecUnit(line, SERIAL)
            await unit.say("fire", "temperature_3")
            await house.until(lambda: house.alarms(Kind.ELECTRICAL) == ["unit/temperature_3"], "it is heard")
        told = [one for one in await site.records() if one["kind"] == Kind.ELECTRICAL]
        assert [(one["point"], one["active"]) for one in told] == [("unit/temperature_3", True)]
    finally:
        line.close()
        site.remove()


@pytest.mark.asyncio
async def test_a_unit_behind_a_serial_modem_is_heard_by_the_core() -> None:
    receiver = Receiver(id="units", protocol="elec-7b7b", port="", devices=(ReceiverDevice(id="unit"),))
    site, modem = Site(), Modem(baud=None)
    try:
        site.set(receivers=(replace(receiver, port=modem.plug()),))
        async with site.running() as house:
            await house.until(lambda: house.source("units")["up"], "the port is open")
            modem.send(CAPTURED + report({ALARM: 1}))
            await house.until(lambda: house.alarms(Kind.ELECTRICAL) == ["unit/residual"], "it is heard")
            await house.durable()
        told = [one for one in await site.records() if one["kind"] == Kind.ELECTRICAL]
        assert [(one["point"], one["active"]) for one in told] == [("unit/residual", True)]
    finally:
        modem.unplug()
        site.remove()
