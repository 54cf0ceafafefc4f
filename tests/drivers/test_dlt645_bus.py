"""The DL/T 645 line on real ptys: who is asked, what is credited, what one bad meter costs the others."""

import asyncio
import contextlib
import os
import tomllib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from drivers.codecs.dlt645 import WILDCARD
from drivers.dlt645_bus import BusMeter, Dlt645Bus
from drivers.dlt645_map import MeterProfile, compile_profile
from drivers.messages import PointFault
from drivers.profile import load_profiles
from drivers.profile_toml import ProfileFault
from drivers.serial_bus import Line
from simulators.meter import Fault, Meter, MeterLine, quiet_meter
from simulators.ports import free_port
from tests.drivers.told import Told, running
from tests.waiting import PATIENCE_S, until

ONE, TWO, OLD = "000012345678", "201000000012", "010003635927"


def shipped(name: str) -> MeterProfile:
    return compile_profile(load_profiles([]).get(name).data, name=name)


def asking(*dis: str, edition: int = 2007, size: int = 2) -> MeterProfile:
    values = "".join(
        f'[[value]]\nname = "v{n}"\ndi = "{di}"\nbytes = {size}\ndecimals = 1\n' for n, di in enumerate(dis)
    )
    return compile_profile(tomllib.loads(f"edition = {edition}\n[link]\nperiod_ms = 300\n{values}"))


@asynccontextmanager
async def line(
    meters: list[Meter], asked: list[BusMeter], *, echo: bool = False, baud: int | None = None
) -> AsyncIterator[tuple[Told, MeterLine, Dlt645Bus]]:
    wire = MeterLine(meters, baud=baud, echo=echo)
    bus = Dlt645Bus(id="line1", line=Line(wire.plug(), baud=baud or 19200), meters=asked)
    try:
        async with running(bus) as told:
            yield told, wire, bus
    finally:
        wire.unplug()


@pytest.mark.parametrize(
    ("profile", "address", "edition", "point", "value"),
    [
        ("dlt645-2007-three-phase", ONE, 2007, "voltage_a_v", 230.1),
        ("dlt645-2007-three-phase", ONE, 2007, "voltage_lost_a", False),
        ("dlt645-2007-single-phase", ONE, 2007, "current_a", 4.2),
        ("dlt645-residual-breaker", ONE, 2007, "residual_ma", 35.0),
        ("dlt645-1997", OLD, 1997, "voltage_v", 229.0),
    ],
)
@pytest.mark.asyncio
async def test_each_shipped_profile_reads_its_meter(
    profile: str, address: str, edition: int, point: str, value: float
) -> None:
    asked = BusMeter("m", shipped(profile), address)
    async with line([quiet_meter(address, edition)], [asked]) as (told, _, _):
        await until(lambda: told.values(f"m/{point}"))
        assert told.values(f"m/{point}")[0] == pytest.approx(value)
        assert told.links("m") == [(True, "answering")]
        assert not [one for one in told.all if isinstance(one, PointFault)]


@pytest.mark.parametrize("edition", [2007, 1997])
@pytest.mark.asyncio
async def test_the_only_meter_on_the_line_is_asked_who_it_is(edition: int) -> None:
    meter = quiet_meter(OLD, edition)
    profile = asking("9010", edition=1997, size=4) if edition == 1997 else asking("02010100")
    async with line([meter], [BusMeter("m", profile)]) as (told, _, bus):
        await until(lambda: len(told.values("m/v0")) >= 2)
        assert bus._slaves[0].address == OLD


@pytest.mark.asyncio
async def test_a_meter_that_answers_under_the_wildcard_is_believed() -> None:
    meter = quiet_meter(OLD, 1997)
    meter.wildcard_answers = True
    async with line([meter], [BusMeter("m", asking("9010", edition=1997, size=4))]) as (told, _, bus):
        await until(lambda: told.values("m/v0"))
        assert bus._slaves[0].address == WILDCARD


def long_meter(edition: int) -> tuple[Meter, MeterProfile]:
    """A meter whose one value comes in four frames, and a profile that reads the end of it: 0.07."""
    di = "0001FF00" if edition == 2007 else "901F"
    meter = quiet_meter(ONE, edition)
    meter.frame_bytes = 8
    meter.items[di] = b"".join(bytes.fromhex(f"{n:08d}")[::-1] for n in range(1, 8))
    value = f'[[value]]\nname = "last_kwh"\ndi = "{di}"\noffset = 24\nbytes = 4\ndecimals = 2\n'
    return meter, compile_profile(tomllib.loads(f"edition = {edition}\n[link]\nperiod_ms = 300\n{value}"))


@pytest.mark.parametrize("edition", [2007, 1997])
@pytest.mark.asyncio
async def test_a_long_answer_comes_in_frames_and_is_put_together(edition: int) -> None:
    meter, profile = long_meter(edition)
    async with line([meter], [BusMeter("m", profile, ONE)]) as (told, _, _):
        await until(lambda: len(told.values("m/last_kwh")) >= 2)
        assert told.values("m/last_kwh")[:2] == [pytest.approx(0.07)] * 2


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        pytest.param(3, Fault(bad_sum=True), id="sum"),
        pytest.param(2, Fault(dead=True), id="dead"),
        pytest.param(1, Fault(address=TWO), id="stranger"),
        # it has lost its place: no such data now, and no word on whether it has the value
        pytest.param(1, Fault(error=0x02), id="lost"),
        pytest.param(3, Fault(off_by=1), id="left out"),
        pytest.param(3, Fault(off_by=-1), id="twice"),
    ],
)
@pytest.mark.asyncio
async def test_a_following_frame_that_is_not_the_next_costs_one_round_and_is_never_part_of_a_value(
    fault: Fault, place: int
) -> None:
    meter, profile = long_meter(2007)
    meter.once.extend([*[Fault()] * place, fault])
    async with line([meter], [BusMeter("m", profile, ONE)]) as (told, _, _):
        await until(lambda: told.values("m/last_kwh"))
        assert told.values("m/last_kwh")[0] == pytest.approx(0.07)
        assert (told.links("m"), meter.once) == ([(True, "answering")], deque())
        assert not [one for one in told.all if isinstance(one, PointFault)]


FAULTS = [
    Fault(bad_sum=True),
    Fault(torn=3),
    Fault(dead=True),
    Fault(address=TWO),  # somebody else's answer
    Fault(other_di="02010200"),  # the answer to another question
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault)[:60])
@pytest.mark.asyncio
async def test_what_is_not_the_answer_is_never_credited(fault: Fault) -> None:
    meter = quiet_meter(ONE)
    meter.set("02010200", "9999")
    meter.once.extend([fault] * 2)
    async with line([meter], [BusMeter("m", asking("02010100"), ONE)]) as (told, _, _):
        await until(lambda: told.values("m/v0"))
        assert set(told.values("m/v0")) == {230.1}
        assert told.links("m") == [(True, "answering")]


@pytest.mark.parametrize("fault", [Fault(noise=b"\x00\xfe\x68\xff\xfe\xfe"), Fault(trailing=b"\x01")])
@pytest.mark.asyncio
async def test_noise_before_and_a_byte_behind_the_value_do_no_harm(fault: Fault) -> None:
    meter = quiet_meter(ONE)
    meter.fault = fault
    async with line([meter], [BusMeter("m", asking("02010100"), ONE)]) as (told, _, _):
        await until(lambda: len(told.values("m/v0")) >= 2)
        assert set(told.values("m/v0")) == {230.1}


@pytest.mark.asyncio
async def test_our_own_echo_is_no_answer() -> None:
    async with line([quiet_meter(ONE)], [BusMeter("m", asking("02010100"), ONE)], echo=True) as (told, _, bus):
        await until(lambda: len(told.values("m/v0")) >= 2)
        assert bus.counters()["m.echo"] >= 2
        assert bus.counters()["m.foreign"] == 0


@pytest.mark.asyncio
async def test_missing_and_senseless_values_are_faults_told_once_never_numbers() -> None:
    meter = quiet_meter(ONE)
    meter.items["02010200"], meter.items["02010300"] = b"\xff\xff", b"\x1a\x23"
    profile = asking("02010100", "02010200", "02010300", "02019900")
    async with line([meter], [BusMeter("m", profile, ONE)]) as (told, _, _):
        await until(lambda: len(told.values("m/v0")) >= 3)
        assert (told.faults("m/v1"), told.faults("m/v2")) == (["absent"], ["invalid"])
        assert told.faults("m/v3") == ["absent"]  # "no such data": a fault of the item, not of the meter
        assert meter.asked.count("02019900") == 1  # and not asked again
        assert told.links("m") == [(True, "answering")]
        assert not told.values("m/v1") + told.values("m/v2") + told.values("m/v3")


@pytest.mark.asyncio
async def test_a_dead_meter_is_told_and_costs_the_other_little() -> None:
    dead, alive = quiet_meter(ONE), quiet_meter(TWO)
    dead.fault = Fault(dead=True)
    asked = [BusMeter("dead", asking("02010100"), ONE), BusMeter("alive", asking("02010100"), TWO)]
    async with line([dead, alive], asked) as (told, _, _):
        await until(lambda: told.links("dead"))
        assert told.links("dead") == [(False, "no_answer")]
        assert told.faults("dead/v0") == ["timeout"]
        before = len(told.values("alive/v0"))
        await until(lambda: len(told.values("alive/v0")) >= before + 5)
        dead.fault = Fault()
        await until(lambda: told.values("dead/v0"))
        assert told.links("dead")[-1] == (True, "answering")


@pytest.mark.asyncio
async def test_a_port_that_vanishes_makes_every_value_unknown_and_comes_back() -> None:
    async with line([quiet_meter(ONE)], [BusMeter("m", asking("02010100"), ONE)]) as (told, wire, _):
        await until(lambda: told.values("m/v0"))
        wire.unplug()
        await until(lambda: told.faults("m/v0"))
        assert told.faults("m/v0") == ["no_port"]
        assert told.links("line1")[-1][0] is False


@pytest.mark.asyncio
async def test_only_reads_leave_the_gateway() -> None:
    seen: list[int] = []

    class Watched(MeterLine):
        def received(self, data: bytes) -> None:
            seen.extend(frame.control for frame in type(self._reader)().feed(data) if hasattr(frame, "control"))
            super().received(data)

    wire = Watched([quiet_meter(ONE)], baud=None)
    bus = Dlt645Bus(
        id="line1", line=Line(wire.plug(), 2400), meters=[BusMeter("m", shipped("dlt645-residual-breaker"))]
    )
    async with running(bus) as told:
        await until(lambda: told.values("m/rated_residual_ma"))
    wire.unplug()
    assert set(seen) <= {0x11, 0x12, 0x13}


@pytest.mark.parametrize(
    ("toml", "code"),
    [
        ("edition = 2020\n", "unknown_edition"),
        ("edition = 2007\n", "nothing_to_read"),
        ('[[value]]\nname = "v"\ndi = "9010"\nbytes = 2\n', "bad_di"),
        ('[[value]]\nname = "v"\ndi = "02010100"\n', "bad_number"),
        ('[[value]]\nname = "v"\ndi = "02010100"\nbytes = 2\nbits = 1\n', "unknown_key"),
        ('[[value]]\nname = "v"\ndi = "02010100"\nbytes = 2\nlimits = { high = 3 }\n', "unknown_limit"),
        ('[[value]]\nname = "v"\ndi = "02010100"\nbytes = 2\n' * 2, "duplicate_value"),
        ("writes = { allow = true }\n", "unknown_key"),
    ],
)
def test_a_profile_that_means_nothing_says_what_is_wrong(toml: str, code: str) -> None:
    with pytest.raises(ProfileFault) as fault:
        compile_profile(tomllib.loads(toml))
    assert fault.value.code == code


@pytest.mark.asyncio
async def test_it_reads_the_meter_of_an_independent_program() -> None:
    """The `dlt645` package as meter, its TCP port joined to a pty (its serial port cannot be one: parity)."""
    service = pytest.importorskip("dlt645.service.serversvc.server_service")
    port = free_port()
    meter = service.MeterServerService.new_tcp_server("127.0.0.1", port, 30)
    meter.set_address(bytes.fromhex(ONE)[::-1])  # it takes the address as on the wire
    meter.set_00(0x00010000, 1234.56)
    meter.set_02(0x02010100, 231.9)
    meter.set_02(0x02020100, 4.999)
    meter.set_02(0x02030000, 0.2512)
    assert meter.start()
    master, slave = os.openpty()
    os.set_blocking(master, False)
    path = os.ttyname(slave)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                await asyncio.sleep(0.05)
        loop.add_reader(master, lambda: writer.write(os.read(master, 4096)))

        async def back() -> None:
            while data := await reader.read(4096):
                os.write(master, data)

        bridge = asyncio.create_task(back())
        bus = Dlt645Bus(
            id="line1", line=Line(path, 2400), meters=[BusMeter("m", shipped("dlt645-2007-single-phase"), ONE)]
        )
        async with running(bus) as told:
            await until(lambda: told.values("m/energy_kwh") and told.values("m/power_kw"))
        bridge.cancel()
        await asyncio.gather(bridge, return_exceptions=True)
        writer.close()
    finally:
        loop.remove_reader(master)
        meter.stop()
        os.close(master)
        os.close(slave)
    found = {name: told.values(f"m/{name}")[0] for name in ("energy_kwh", "voltage_v", "current_a", "power_kw")}
    assert found == pytest.approx({"energy_kwh": 1234.56, "voltage_v": 231.9, "current_a": 4.999, "power_kw": 0.2512})
