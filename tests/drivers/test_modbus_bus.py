"""The bus: who is asked when, what is told, and what one bad slave or port costs the others. On real ptys and sockets."""

import asyncio
import itertools
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.messages import Reading
from drivers.modbus_bus import BusDevice, ModbusBus
from drivers.modbus_map import ModbusProfile, compile_profile
from drivers.modbus_rtu import RtuLink
from drivers.modbus_tcp import TcpLink
from drivers.profile import load_profiles
from simulators.modbus_slave import Fault, Slave, SlaveLine, TcpServer, slave_like
from tests.drivers.told import Told, running
from tests.waiting import steady, until


def shipped(name: str) -> ModbusProfile:
    return compile_profile(load_profiles([]).get(name).data, name=name)


def registers(count: int, *, period_ms: int = 1000, priority: str = "meter", extra: str = "") -> ModbusProfile:
    values = "".join(f'[[value]]\nname = "v{n}"\naddress = {n}\n' for n in range(count))
    return compile_profile(
        tomllib.loads(f'[link]\nperiod_ms = {period_ms}\npriority = "{priority}"\n{extra}\n{values}')
    )


def rtu(path: str, *, baud: int = 115200, timeout_s: float = 0.1, gap_s: float = 0.004) -> RtuLink:
    return RtuLink(path, baud=baud, timeout_s=timeout_s, gap_s=gap_s)


@asynccontextmanager
async def card(slave: Slave) -> AsyncIterator[tuple[Told, ModbusBus, SlaveLine]]:
    """A bus with one interface card of a GST panel."""
    line = SlaveLine([slave], baud=None)
    bus = ModbusBus(id="bus", link=rtu(line.plug()), devices=[BusDevice("gst", shipped("gst-modbus-card"), 1)])
    async with running(bus) as told:
        yield told, bus, line
    line.unplug()


def words(unit: int, count: int = 20) -> Slave:
    return Slave(unit, holding={n: 100 * unit + n for n in range(count)}, fault=Fault(latency_s=0.002))


# -- what is told ------------------------------------------------------------------------------------------------------
def test_one_poll_is_one_call_of_the_sink_with_all_its_values() -> None:
    async def main() -> None:
        line = SlaveLine([words(1)], baud=None)
        bus = ModbusBus(id="bus", link=rtu(line.plug()), devices=[BusDevice("m", registers(20), 1)])
        async with running(bus) as told:
            await until(lambda: told.values("m/v19"))
        assert told.links("bus") == [(True, "opened")]
        assert told.links("m") == [(True, "answering")]
        (poll,) = [call for call in told.calls if any(isinstance(one, Reading) for one in call)]
        assert [one.value for one in poll if isinstance(one, Reading)] == [100 + n for n in range(20)]
        assert [spec.id for spec in bus.specs()] == [f"m/v{n}" for n in range(20)]
        line.unplug()

    steady(main())


def test_a_slave_that_stops_is_told_once_after_three_failures_and_its_return_too() -> None:
    async def main() -> None:
        line = SlaveLine([words(1, 2)], baud=None)
        bus = ModbusBus(id="bus", link=rtu(line.plug()), devices=[BusDevice("m", registers(2, period_ms=100), 1)])
        async with running(bus) as told:
            await until(lambda: told.values("m/v1"))
            line.slaves[1].fault = Fault(dead=True)
            await until(lambda: told.links("m")[-1] == (False, "no_answer"))
            asked = bus.counters()["m.timeout"]
            assert asked == 3
            await until(lambda: bus.counters()["m.timeout"] >= 5)  # two looks of the back-off later
            assert told.links("m") == [(True, "answering"), (False, "no_answer")]
            assert told.faults("m/v0") == told.faults("m/v1") == ["timeout"]
            line.slaves[1].fault = Fault(latency_s=0.002)
            read = len(told.values("m/v0"))
            await until(lambda: told.links("m")[-1] == (True, "answering"))
            await until(lambda: len(told.values("m/v0")) > read)
        line.unplug()

    steady(main())


def test_damaged_answers_make_the_values_unknown_for_that_reason() -> None:
    async def main() -> None:
        line = SlaveLine([replace_fault(words(1, 1), Fault(bad_crc=True))], baud=None)
        bus = ModbusBus(id="bus", link=rtu(line.plug()), devices=[BusDevice("m", registers(1), 1)])
        async with running(bus) as told:
            await until(lambda: told.faults("m/v0"))
            assert told.faults("m/v0") == ["crc"]
            assert told.values("m/v0") == []
        line.unplug()

    steady(main())


def replace_fault(slave: Slave, fault: Fault) -> Slave:
    return replace(slave, fault=fault)


def test_a_refused_question_makes_its_values_unknown_and_leaves_the_device_up() -> None:
    async def main() -> None:
        line = SlaveLine([words(1, 1)], baud=None)
        profile = compile_profile(
            tomllib.loads(
                "[link]\nperiod_ms = 50\n"
                '[[value]]\nname = "here"\naddress = 0\n[[value]]\nname = "gone"\naddress = 900\n'
            )
        )
        bus = ModbusBus(id="bus", link=rtu(line.plug()), devices=[BusDevice("m", profile, 1)])
        async with running(bus) as told:
            await until(lambda: told.faults("m/gone"))
            await until(lambda: len(told.values("m/here")) > 5)
            assert told.faults("m/gone") == ["exception"]
            assert told.links("m") == [(True, "answering")]
            line.slaves[1].holding[900] = 7
            await until(lambda: told.values("m/gone") == [7])
        line.unplug()

    steady(main())


def test_a_panel_that_refuses_its_points_is_not_a_watched_panel() -> None:
    async def main() -> None:
        slave = slave_like(1, "gst-modbus-card")
        slave.fault = Fault(latency_s=0.002, exception=2)
        async with card(slave) as (told, _, _):
            await until(lambda: (False, "exception") in told.links("gst"))
            slave.fault = Fault(latency_s=0.002)
            await until(lambda: told.links("gst")[-1] == (True, "answering"))
        assert told.links("gst")[-1] == (True, "answering")

    steady(main())


def test_the_xy16_refuses_with_function_80_and_its_arc_is_told() -> None:
    async def main() -> None:
        slave = replace_fault(slave_like(1, "afd-xy16"), Fault(latency_s=0.002))
        line = SlaveLine([slave], baud=None)
        bus = ModbusBus(
            id="bus", link=rtu(line.plug()), devices=[BusDevice("arc", shipped("afd-xy16"), 1, period_s=0.05)]
        )
        async with running(bus) as told:
            await until(lambda: told.values("arc/current_raw"))
            assert {count for _, _, count in slave.asked} == {1}
            slave.holding[0] = 1
            await until(lambda: told.values("arc/arc_alarm")[-1] is True)
            slave.fault = Fault(latency_s=0.002, exception=2, bare=True)
            await until(lambda: told.faults("arc/arc_alarm"))
            assert told.faults("arc/arc_alarm") == ["exception"]
            assert told.links("arc") == [(True, "answering")]
        line.unplug()

    steady(main())


# -- read twice before acting ------------------------------------------------------------------------------------------
def test_a_fire_is_read_twice_and_then_told() -> None:
    async def main() -> None:
        slave = replace_fault(slave_like(1, "gst-modbus-card"), Fault(latency_s=0.002))
        async with card(slave) as (told, bus, _):
            await until(lambda: ("gst", "reset") in told.events())
            slave.asked.clear()
            slave.holding[4] = 1
            await until(lambda: ("gst/005", "fire") in told.events())
            starts = [start for _, start, _ in slave.asked]
            assert any(one == two == 0 for one, two in itertools.pairwise(starts))
            slave.holding[4] = 3
            await until(lambda: ("gst/005", "feedback") in told.events())
            assert ("gst", "reset") not in told.events()[1:]
            slave.holding[4] = 0
            await until(lambda: told.events()[-1] == ("gst", "reset"))
            assert bus.counters()["gst.unconfirmed"] == 0

    steady(main())


class _Flicker(Slave):
    """Shows a word once only, on the reading named."""

    def show(self, *seen: int) -> None:
        self.holding[0] = 0
        self._shown = list(seen)

    def answer(self, pdu: bytes) -> bytes:
        shown = getattr(self, "_shown", [])
        if shown and pdu[1:3] == b"\0\0":
            self.holding[0] = shown.pop(0)
        return super().answer(pdu)


@pytest.mark.parametrize(
    ("shown", "told_events", "unconfirmed"),
    [((1, 0), [], 1), ((1, 3), [("gst/001", "fire"), ("gst/001", "feedback")], 0)],
    ids=["gone at the second reading", "overwritten before the second reading"],
)
def test_what_is_read_once_is_dropped_but_what_changed_again_was_true(
    shown: tuple[int, ...], told_events: list[tuple[str, str]], unconfirmed: int
) -> None:
    async def main() -> None:
        slave = _Flicker(1, holding=dict.fromkeys(range(245), 0), fault=Fault(latency_s=0.002))
        async with card(slave) as (told, bus, _):
            await until(lambda: told.events() == [("gst", "reset")])
            slave.show(*shown)
            await until(lambda: not slave._shown)
            done = bus.counters()["gst.ok"] + 6
            await until(lambda: bus.counters()["gst.ok"] > done)
            assert told.events()[1:] == told_events
            assert bus.counters()["gst.unconfirmed"] == unconfirmed

    steady(main())


def test_a_fire_whose_second_reading_never_comes_is_told_when_the_line_dies() -> None:
    async def main() -> None:
        slave = replace_fault(slave_like(1, "gst-modbus-card"), Fault(latency_s=0.002))
        async with card(slave) as (told, _, line):
            await until(lambda: ("gst", "reset") in told.events())
            seen = 0

            def burn(unit: int, pdu: bytes) -> None:
                nonlocal seen
                if pdu[1:3] == b"\0\0":
                    seen += 1
                    slave.holding[0] = 1
                    slave.fault = Fault(latency_s=0.002, dead=seen > 1)

            line.on_question = burn
            await until(lambda: (False, "no_answer") in told.links("gst"))
            assert told.events()[-1] == ("gst/001", "fire")

    steady(main())


# -- what one costs the others -----------------------------------------------------------------------------------------
def test_a_dead_slave_among_ten_moves_the_other_nine_by_less_than_a_twentieth_of_their_period() -> None:
    """At 9600 baud, paced. The nine fill 60 % of the second, so that the dead one's silence just fits."""

    async def main() -> None:
        slaves = [words(unit, 10) for unit in range(1, 11)]
        slaves[4].fault = Fault(dead=True)
        line = SlaveLine(slaves, baud=9600)
        profile = registers(10)
        devices = [BusDevice(f"m{unit}", profile, unit) for unit in range(1, 11)]
        bus = ModbusBus(id="bus", link=rtu(line.plug(), baud=9600, timeout_s=0.3, gap_s=0.02), devices=devices)
        loop = asyncio.get_running_loop()
        async with running(bus) as told:
            await until(lambda: (False, "no_answer") in told.links("m5"))
            begun_s = loop.time() + 1.0
            await until(lambda: loop.time() > begun_s + 5)
        line.unplug()
        assert any(at_s > begun_s for at_s, _, _ in slaves[4].asked)  # it was looked for meanwhile
        for slave in slaves[:4] + slaves[5:]:
            times = [at_s for at_s, _, _ in slave.asked if at_s > begun_s]
            assert len(times) in (5, 6)
            gaps = sorted(two - one for one, two in itertools.pairwise(times))
            assert gaps[len(gaps) // 2] == pytest.approx(1.0, rel=0.05)
            assert (times[-1] - times[0]) / len(gaps) == pytest.approx(1.0, rel=0.05)

    steady(main())


def test_ports_do_not_share_a_fate() -> None:
    async def main() -> None:
        good, bad = SlaveLine([words(1, 2)], baud=None), SlaveLine([], baud=None)
        one = ModbusBus(id="good", link=rtu(good.plug()), devices=[BusDevice("m", registers(2, period_ms=50), 1)])
        dead = [BusDevice(f"d{unit}", registers(2, period_ms=50), unit) for unit in range(1, 9)]
        two = ModbusBus(id="bad", link=rtu(bad.plug(), timeout_s=0.2), devices=dead)
        async with running(two) as silent, running(one) as told:
            await until(lambda: bool(told.values("m/v0")))
            first, begun_s = len(told.values("m/v0")), asyncio.get_running_loop().time()
            await until(lambda: len(told.values("m/v0")) >= first + 20)
            assert asyncio.get_running_loop().time() - begun_s < 4
            await until(lambda: (False, "no_answer") in silent.links("d8"))
            assert told.links("m") == [(True, "answering")]
        good.unplug()
        bad.unplug()

    steady(main())


def test_a_meter_gets_its_turn_on_a_line_that_fire_points_fill() -> None:
    async def main() -> None:
        fire, meter = words(1, 100), words(2, 2)
        line = SlaveLine([fire, meter], baud=19200)
        fast = registers(100, period_ms=20, priority="fire")  # asks for more than the line can carry
        bus = ModbusBus(
            id="bus",
            link=rtu(line.plug(), baud=19200),
            devices=[BusDevice("f", fast, 1), BusDevice("m", registers(2), 2)],
        )
        async with running(bus) as told:
            await until(lambda: len(told.values("m/v0")) >= 3)
            polls = bus.counters()
        assert polls["f.ok"] > polls["m.ok"]
        assert polls["overrun"] > 0
        line.unplug()

    steady(main())


# -- the port itself ---------------------------------------------------------------------------------------------------
def test_a_port_that_vanishes_is_told_within_seconds_and_polled_again_when_it_returns(tmp_path: Path) -> None:
    async def main() -> None:
        loop, line = asyncio.get_running_loop(), SlaveLine([words(1, 2)], baud=None, link=tmp_path / "bus")
        bus = ModbusBus(id="bus", link=rtu(line.plug()), devices=[BusDevice("m", registers(2, period_ms=50), 1)])
        async with running(bus) as told:
            await until(lambda: told.values("m/v0"))
            line.unplug()
            lost_s = loop.time()
            await until(lambda: told.links("bus")[-1][0] is False)
            assert loop.time() - lost_s < 3
            assert told.faults("m/v0") == told.faults("m/v1") == ["no_port"]
            before = bus.progress()
            await until(lambda: bus.progress() > before)  # the worker lives, port or no port
            line.plug()
            read, back_s = len(told.values("m/v0")), loop.time()
            await until(lambda: len(told.values("m/v0")) > read + 2)
            assert loop.time() - back_s < 6
            assert told.links("bus")[-1] == (True, "opened")
        line.unplug()

    steady(main())


def test_a_port_that_is_not_there_is_told_and_costs_next_to_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        bus = ModbusBus(id="bus", link=rtu(str(tmp_path / "none")), devices=[BusDevice("m", registers(2), 1)])
        async with running(bus) as told:
            await until(lambda: told.links("bus") == [(False, "no_port")])
            before = bus.progress()
            await until(lambda: bus.progress() > before)
            assert bus.progress() - before < 20
            assert told.faults("m/v0") == ["no_port"]

    steady(main())


# -- TCP ---------------------------------------------------------------------------------------------------------------
def test_a_pymodbus_server_is_polled_over_tcp() -> None:
    async def main() -> None:
        server = TcpServer([replace_fault(slave_like(1, "eastron-sdm630"), Fault(latency_s=0.0))])
        link = TcpLink("127.0.0.1", await server.start(), timeout_s=1.0)
        bus = ModbusBus(id="bus", link=link, devices=[BusDevice("m", shipped("eastron-sdm630"), 1)])
        async with running(bus) as told:
            await until(lambda: told.values("m/energy_import_kwh"))
        assert told.values("m/voltage_l1_v") == [pytest.approx(230.1)]
        assert told.values("m/energy_import_kwh") == [1234.5]
        await server.stop()

    steady(main())


def test_a_fire_behind_a_notifier_gateway_is_told() -> None:
    async def main() -> None:
        slave = replace_fault(slave_like(1, "notifier-modbus-gw"), Fault(latency_s=0.0))
        server = TcpServer([slave])
        link = TcpLink("127.0.0.1", await server.start(), timeout_s=1.0)
        bus = ModbusBus(id="bus", link=link, devices=[BusDevice("ntf", shipped("notifier-modbus-gw"), 1)])
        async with running(bus) as told:
            await until(lambda: ("ntf", "reset") in told.events())
            slave.holding[2] = 0x0C10
            await until(lambda: ("ntf/1-003", "fire") in told.events())
        assert [event for event in told.events() if event[1] == "fire"] == [("ntf/1-003", "fire")]
        await server.stop()

    steady(main())
