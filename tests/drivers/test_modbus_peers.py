"""Shipped profiles against pymodbus' own servers, over TCP and as RTU on ptys: another's idea of what Modbus is.

What a server holds is written here by hand, register by register, and so is what must come of it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.messages import PointFault, Reading
from drivers.modbus_bus import BusDevice, ModbusBus
from drivers.modbus_map import compile_profile
from drivers.modbus_rtu import RtuLink
from drivers.modbus_tcp import TcpLink
from drivers.profile import load_profiles
from simulators.modbus_slave import Slave, TcpServer, slave_like
from simulators.pty_line import PtyLine
from tests.drivers.told import Told, running
from tests.waiting import until

# Profile, what is written into the registers of its kind while the bus runs, and what must be told.
PANELS: list[tuple[str, dict[str, dict[int, int]], set[tuple[str, str]]]] = [
    ("gst-modbus-card", {"holding": {4: 1, 242: 2}}, {("005", "fire"), ("mains", "mains_fault")}),
    ("jade-bird-modbus", {"holding": {257: 3}}, {("1-001", "unknown")}),
    ("honeywell-clss", {"holding": {2: 0x0C10, 60000: 4}}, {("1D003", "fire"), ("trouble-0003", "fault")}),
    ("gst-t8b-modbus", {"holding": {30: 0x0600}}, {("1-001", "fire"), ("1-002", "fault")}),
    (
        "siemens-nk8237",
        {"bits": {21000: 1, 21255: 1, 11008: 1}, "inputs": {1501: 0x4000}},
        {("zone-001", "fire"), ("zone-256", "fire"), ("channel-009", "fault"), ("zone-002", "prealarm")},
    ),
    ("zp2-modbus", {"holding": {3: 2}}, {("zone-03", "unknown")}),
    ("faast-xt-modbus", {"holding": {12: 0x08, 7: 0x40}}, {("detector", "fire"), ("detector", "fault")}),
]


def bus(link: RtuLink | TcpLink, name: str, *, period_s: float = 0.1) -> ModbusBus:
    profile = compile_profile(load_profiles([]).get(name).data, name=name)
    return ModbusBus(id="bus", link=link, devices=[BusDevice("d", profile, 1, period_s=period_s)])


def events(told: Told) -> set[tuple[str, str]]:
    return {(point.partition("/")[2], event) for point, event in told.events()}


def last(told: Told) -> dict[str, object]:
    return {
        one.point.partition("/")[2]: one.value if isinstance(one, Reading) else one.reason
        for one in told.all
        if isinstance(one, Reading | PointFault)
    }


@pytest.mark.parametrize(("name", "written", "expected"), PANELS, ids=[panel[0] for panel in PANELS])
def test_a_panel_behind_pymodbus_over_tcp(
    name: str, written: dict[str, dict[int, int]], expected: set[tuple[str, str]]
) -> None:
    async def main() -> None:
        slave = slave_like(1, name)
        server = TcpServer([slave])
        link = TcpLink("127.0.0.1", await server.start(), timeout_s=5.0)
        try:
            async with running(bus(link, name)) as told:
                await until(lambda: ("", "reset") in events(told))  # all was read once, and nothing is active
                assert events(told) == {("", "reset")}
                for table, words in written.items():
                    getattr(slave, table).update(words)
                await until(lambda: events(told) >= expected)
                assert events(told) == expected | {("", "reset")}
        finally:
            await server.stop()

    asyncio.run(main())


class End(PtyLine):
    """One end of a cable between two ports."""

    other: "End"

    def received(self, data: bytes) -> None:
        self.other.send(data)


@asynccontextmanager
async def rtu_server(slave: Slave) -> AsyncIterator[str]:
    """pymodbus' serial server at the far end of a cable; the port at ours."""
    near, far = End(baud=None), End(baud=None)
    near.other, far.other = far, near
    path, there = near.plug(), far.plug()
    bits = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    tables = [
        [SimData(address, values=word, datatype=DataType.REGISTERS) for address, word in sorted(table.items())]
        or [SimData(0, values=0, datatype=DataType.REGISTERS)]
        for table in (slave.holding, slave.inputs)
    ]
    server = ModbusSerialServer([SimDevice(1, simdata=(bits, bits, *tables))], port=there, baudrate=9600)
    await server.serve_forever(background=True)
    try:
        yield path
    finally:
        await server.shutdown()
        near.unplug()
        far.unplug()


def floats(first: int, *numbers: float) -> dict[int, int]:
    import struct

    words = struct.unpack(f">{2 * len(numbers)}H", struct.pack(f">{len(numbers)}f", *numbers))
    return {first + n: word for n, word in enumerate(words)}


METERS: list[tuple[str, dict[int, int], dict[int, int], dict[str, object]]] = [
    (
        "acrel-aim-r100",
        {8: 6, 11: 0x1030, 12: 0x0080, **dict.fromkeys(range(74, 98), 300), 74: 35},
        {},
        {"residual_1_ma": 35, "residual_9_ma": "open", "over_limit_2": True, "over_limit_1": False, "set_12_ma": 300},
    ),
    (
        "eastron-sdm72",
        {},
        {**dict.fromkeys(range(0, 0x160), 0), **floats(0, 230.5), **floats(0x46, 50.0), **floats(0x156, 4096.5)},
        {"voltage_a_v": 230.5, "frequency_hz": 50.0, "energy_total_kwh": 4096.5},
    ),
    (
        "abb-b23",
        {
            **dict.fromkeys(range(0x5000, 0x5008), 0),
            **dict.fromkeys(range(0x5B00, 0x5B40), 0),
            0x5B01: 2300,
            0x5B2C: 5000,
        },
        {},
        {"voltage_a_v": pytest.approx(230.0), "frequency_hz": pytest.approx(50.0)},
    ),
    (
        "elec-monitor-generic",
        {0: 412, 1: 415, 2: 0, 3: 733, 4: 0x8000, 5: 0x00E0},
        {},
        {
            "residual_ma": 412,
            "temperature_1_c": pytest.approx(41.5),
            "temperature_2_c": "open",
            "temperature_4_c": "absent",
        },
    ),
    (
        "schneider-masterpact",
        {0x0289: 0x0008, 0x0294: 4, **dict.fromkeys(range(1015, 1018), 0)},
        {},
        {"closed": False, "tripped": True, "ground_fault_trip": True, "leakage_trip": False, "current_b_a": 0},
    ),
    (
        "schneider-masterpact-vigi",
        {0x0289: 0, 0x0294: 1, 1015: 412, 1016: 398, 1017: 405, 1021: 64},
        {},
        {"closed": True, "tripped": False, "current_c_a": 405, "leakage_ma": 64},
    ),
    (
        "schneider-masterpact-mtz",
        {
            **{0x7CFF: 7, 0x7D00: 4, 0x7E73: 1 << 3, 0x7E74: 0},
            **floats(0x7D1B, 412.5, 398.0, 405.25),
            **floats(0x7D3D, 229.5, 230.25, float("nan")),
        },
        {},
        {
            **{"closed": False, "tripped": True, "ground_fault_trip": True, "leakage_trip": False},
            **{"current_c_a": 405.25, "voltage_b_v": 230.25, "voltage_c_v": "absent"},
        },
    ),
    (
        "schneider-compact-nsx",
        {**{0x7CFF: 7, 0x7D00: 1}, **floats(0x7D1B, 41.5, 39.0, 40.25), **{0x3E7: 398, 0x3E8: 401, 0x3E9: 0x8000}},
        {},
        {"closed": True, "tripped": False, "current_a_a": 41.5, "voltage_ab_v": 398, "voltage_ca_v": "absent"},
    ),
    (
        "lingxun-lx47le",
        {},
        {**dict.fromkeys(range(24), 0), 0: 0x0F0F, 4: 499, 7: 96, 8: 231, 23: 3},
        {"closed": False, "overtemperature_trip": True, "temperature_a_c": 56, "temperature_n_c": "absent"},
    ),
    (
        "acrel-asj",
        {0: 35, 8: 300, 9: 210, 0x10: 500, 0x1B: 1},
        {},
        {"residual_ma": 35, "prealarm": True, "alarm": False, "set_ma": 300, "trip_delay_ms": 500},
    ),
    (
        "grundfos-hydro-mpc",
        {200: 0x0200, 204: 0, 205: 0, 208: 0b101, 300: 4210, 301: 0xFFFF, 311: 1, 312: 5, 314: 1020},
        {},
        {"on": True, "pump_2_running": False, "pump_3_running": True, "flow_m3h": "absent", "power_w": 65541},
    ),
    ("qdy30a-level", {2: 17, 3: 1, 4: 3215}, {}, {"level_m": pytest.approx(3.215), "unit_changed": False}),
]


@pytest.mark.parametrize(("name", "holding", "inputs", "expected"), METERS, ids=[meter[0] for meter in METERS])
def test_a_meter_behind_pymodbus_as_rtu_on_a_pty(
    name: str, holding: dict[int, int], inputs: dict[int, int], expected: dict[str, object]
) -> None:
    async def main() -> None:
        async with rtu_server(Slave(1, holding=holding, inputs=inputs)) as port:
            link = RtuLink(port, baud=115200, timeout_s=5.0, gap_s=0.004)
            async with running(bus(link, name)) as told:
                await until(lambda: set(expected) <= set(last(told)))
                final = last(told)
                assert {key: final[key] for key in expected} == expected

    asyncio.run(main())
