"""Rules on readings over a real line: a residual current monitor and a pump room's gauge, the journal behind them."""

from typing import Any

import pytest

from edge_agent.config.model import Bus, Device, Limits, Point, Water
from edge_agent.model import Kind
from simulators.modbus_slave import Slave, SlaveLine
from tests.core.house import BUZZER, FAULT_LAMP, House, Site, site

pytestmark = pytest.mark.asyncio

ROOM = """
schema = 1
kind = "modbus"
evidence = "unproven"
source = "a test"
[brand]
zh = "测试"
en = "test"
[product]
zh = "泵房"
en = "pump room"
[[value]]
name = "pressure_mpa"
zh = "压力"
en = "pressure"
address = 0
scale = 0.001
unit = "MPa"
[[value]]
name = "running"
zh = "水泵运行"
en = "pump runs"
address = 1
[[value]]
name = "residual_ma"
zh = "剩余电流"
en = "residual current"
address = 2
unit = "mA"
faults = { 0xFAFA = "open" }
"""
PRESSURE, RUNNING, RESIDUAL = range(3)


class Room:
    """One slave on a real pty, and the site that watches it."""

    def __init__(self, place: Site, *limits: Point) -> None:
        (place.directory / "profiles").mkdir()
        (place.directory / "profiles" / "room.toml").write_text(ROOM, "utf-8")
        self.slave = Slave(1, holding={PRESSURE: 300, RUNNING: 0, RESIDUAL: 30})
        self.line = SlaveLine([self.slave], baud=None)
        pumps = Water(
            id="pumps",
            name="泵房",
            building="multi-storey",
            pressure="room/pressure_mpa",
            pump="room/running",
            pump_s=0.5,
            off_delay_s=0.0,
        )
        devices = (Device(id="room", profile="room", period_s=0.05),)
        place.set(
            buses=(Bus(id="bus1", port=self.line.plug(), devices=devices, timeout_s=2.0),),
            points=limits,
            waters=(pumps,),
        )

    def says(self, register: int, value: int) -> None:
        self.slave.holding[register] = value


def seen(house: House, point: str) -> dict[str, Any]:
    return next(row for row in house.core.points.snapshot() if row["id"] == point)


async def test_a_residual_current_goes_through_its_preset_from_the_wire_to_the_journal() -> None:
    async with site() as place:
        limits = Limits(on_delay_s=0.0, off_delay_s=0.0, extreme_on_delay_s=0.0)
        room = Room(place, Point(id="room/residual_ma", name="一号柜", preset="residual-current", limits=limits))
        try:
            async with place.running() as house:
                await house.until(lambda: house.source("room")["up"], "the room answers")
                room.says(RESIDUAL, 320)
                await house.until(lambda: house.alarms(Kind.ELECTRICAL) == ["room/residual_ma"], "over the limit")
                assert house.output(BUZZER) or house.sounding()
                room.says(RESIDUAL, 1500)
                await house.until(lambda: house.core.alarms.alarms()[0].grade == 2, "the extreme is flagged upward")
                room.says(RESIDUAL, 0xFAFA)
                await house.until(lambda: house.alarms(Kind.FAULT) == ["room/residual_ma"], "an open sensor is a fault")
                assert house.alarms(Kind.ELECTRICAL) == ["room/residual_ma"]  # and the alarm stays
                await house.durable()
            records = [record for record in await place.records() if record["kind"] == "electrical"]
            assert [record["fields"].get("rule") or record["fields"]["why"] for record in records] == [
                "limit",
                "extreme",
                "extreme",
            ]
            assert records[0]["fields"]["high"] == 300.0
            assert [value for _, value in records[0]["fields"]["samples"]] == [30, 320]
        finally:
            room.line.unplug()


async def test_a_pump_that_runs_without_pressure_is_a_fault_of_the_pump_room_in_whatever_unit_the_gauge_speaks() -> (
    None
):
    async with site() as place:
        room = Room(place)
        try:
            async with place.running() as house:
                await house.until(lambda: house.source("room")["up"], "the room answers")
                room.says(RUNNING, 1)
                room.says(PRESSURE, 200)  # 0.2 MPa: enough at rest, too little while a pump runs
                await house.until(
                    lambda: house.alarms(Kind.FAULT) == ["pumps/pump_no_pressure"], "the pump brings nothing"
                )
                assert house.output(FAULT_LAMP)
                await house.until(lambda: seen(house, "pumps/pump_running")["active"] == "start", "the pump is told")
                room.says(PRESSURE, 260)
                await house.until(lambda: house.core.alarms.alarms()[0].state == "returned", "it came after all")
                room.line.unplug()
                await house.until(lambda: house.alarms(Kind.LINK), "the line is gone")
                assert seen(house, "pumps/pump_no_pressure")["value"] is None
                assert house.alarms(Kind.FAULT) == ["pumps/pump_no_pressure"]  # returned, and nothing new
        finally:
            room.line.unplug()
