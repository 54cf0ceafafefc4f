"""Lines of KS breakers on real ptys: what is asked, what they push, what is acknowledged, and that nothing else is ever sent."""

import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from drivers.codecs import ks_breaker
from drivers.ks_bus import BusBreaker, KsBus
from drivers.ks_map import BreakerProfile, compile_profile
from drivers.messages import PointFault
from drivers.profile import check, load_profiles
from drivers.profile_toml import ProfileFault
from drivers.serial_bus import Line
from edge_agent.config.load import load
from edge_agent.site import build_wire_drivers
from edge_agent.wiring import Wiring
from simulators.breaker import Breaker, BreakerLine
from tests.drivers.told import Told, running
from tests.waiting import until

ONE, TWO, OTHER = "202106171055", "072209200014", "999999999999"
LEAKAGE = 26


def shipped() -> BreakerProfile:
    return compile_profile(load_profiles([]).get("ks-breaker").data, name="ks-breaker")


@asynccontextmanager
async def line(
    *addresses: str, echo: bool = False, present: Sequence[str] = (), period_s: float | None = 0.3
) -> AsyncIterator[tuple[Told, BreakerLine, KsBus]]:
    wire = BreakerLine([Breaker(address) for address in (*addresses, *present)], baud=None, echo=echo, resend_s=0.2)
    breakers = [BusBreaker(f"b{n}", shipped(), address, period_s) for n, address in enumerate(addresses, 1)]
    bus = KsBus(id="ks", line=Line(wire.plug(), baud=19200), breakers=breakers)
    try:
        async with running(bus) as told:
            yield told, wire, bus
    finally:
        wire.unplug()


@pytest.mark.asyncio
async def test_each_breaker_is_asked_for_state_and_measures_and_nothing_else() -> None:
    async with line(ONE, TWO) as (told, wire, bus):
        await until(lambda: told.values("b2/voltage_a_v") and told.values("b2/leakage_trip"))
        await until(lambda: told.values("b1/switch_closed") and told.values("b1/temperature_n_c"))
        assert told.values("b1/voltage_a_v")[0] == pytest.approx(230.1)
        assert told.values("b1/leakage_ma")[0] == 24
        assert (told.values("b1/switch_closed")[0], told.values("b1/leakage_trip")[0]) == (True, False)
        assert told.links("b1") == [(True, "answering")]
        assert [one for one in told.all if isinstance(one, PointFault)] == []
        assert {kind for breaker in wire.breakers.values() for kind in breaker.asked} == {"state", "measure"}
        assert wire.heard == []
        assert {spec.id for spec in bus.specs()} >= {"b1/leakage_ma", "b2/temperature_n_c"}


@pytest.mark.parametrize("echo", [False, True], ids=["", "an adapter that hears itself"])
@pytest.mark.asyncio
async def test_a_trip_is_told_at_once_with_what_was_measured_and_acknowledged(echo: bool) -> None:
    async with line(ONE, echo=echo, period_s=3600) as (told, wire, bus):
        await until(lambda: told.values("b1/leakage_trip") and told.values("b1/leakage_ma"))
        wire.breakers[ONE].measures[11] = 412
        wire.trip(ONE, LEAKAGE)
        await until(lambda: not wire.breakers[ONE].unacknowledged)
        assert told.values("b1/leakage_trip") == [False, True]  # an hour before the next question
        assert told.values("b1/leakage_ma")[-1] == 412
        counters = bus.counters()
        assert counters["b1.faults"] >= counters["b1.acknowledged"] >= 1


@pytest.mark.asyncio
async def test_a_heartbeat_comes_back_once_even_where_the_line_echoes() -> None:
    async with line(ONE, echo=True, period_s=3600) as (told, wire, bus):
        await until(lambda: told.values("b1/leakage_ma"))
        beat = wire.beat()
        await until(lambda: [frame.raw for frame in wire.heard] == [beat])
        wire.log_in()
        await until(lambda: bus.counters()["logins"] == 1)
        assert [frame.raw for frame in wire.heard] == [beat]
        assert bus.counters()["heartbeats"] == 1


@pytest.mark.asyncio
async def test_a_trip_nobody_named_and_a_breaker_nobody_listed_are_told_all_the_same() -> None:
    async with line(ONE, present=(OTHER,), period_s=3600) as (told, wire, _):
        await until(lambda: told.values("b1/leakage_ma"))
        wire.trip(ONE, 40)
        wire.trip(OTHER, LEAKAGE)
        wire.trip(OTHER, 8)
        await until(lambda: len(set(told.events())) == 3)
        assert set(told.events()) == {
            ("b1/point-40", "fault"), ("ks/999999999999", "electrical_alarm"), ("ks/999999999999", "fault"),
        }  # fmt: skip
        await until(lambda: not wire.breakers[OTHER].unacknowledged)


@pytest.mark.asyncio
async def test_the_concentrators_last_breath_is_a_mains_fault_until_it_speaks_again() -> None:
    async with line(ONE, period_s=3600) as (told, wire, _):
        await until(lambda: told.values("b1/leakage_ma"))
        wire.power_down()
        wire.power_down()
        await until(told.events)
        wire.log_in()
        await until(lambda: len(told.events()) == 2)
        assert told.events() == [("ks/power", "mains_fault"), ("ks/power", "mains_ok")]


@pytest.mark.asyncio
async def test_a_breaker_that_is_silent_is_told_once_and_what_it_holds_is_unknown_until_it_is_back() -> None:
    async with line(ONE, TWO) as (told, wire, _):
        await until(lambda: told.values("b1/leakage_ma"))
        wire.breakers[ONE].dead = True
        await until(lambda: (False, "no_answer") in told.links("b1"))
        assert told.faults("b1/leakage_ma") == ["timeout"]
        before = len(told.values("b2/leakage_ma"))
        await until(lambda: len(told.values("b2/leakage_ma")) > before + 2)
        wire.breakers[ONE].dead = False
        await until(lambda: told.links("b1")[-1] == (True, "answering"))


@pytest.mark.asyncio
async def test_an_answer_too_short_for_a_value_makes_it_unknown_not_zero() -> None:
    async with line(ONE) as (told, wire, _):
        wire.breakers[ONE].short = 42  # measures end before 28
        await until(lambda: told.faults("b1/temperature_n_c"))
        assert told.faults("b1/temperature_n_c") == ["short"]
        assert told.values("b1/temperature_n_c") == []
        assert told.values("b1/voltage_a_v")


@pytest.mark.asyncio
async def test_noise_and_another_masters_questions_are_credited_to_nobody() -> None:
    async with line(ONE) as (told, wire, bus):
        await until(lambda: told.values("b1/leakage_ma"))
        wire.send(b"\x68\x68\x16\x16\x68" + ks_breaker.ask_state(ONE) + b"\x00\xff")
        before = len(told.values("b1/leakage_ma"))
        await until(lambda: len(told.values("b1/leakage_ma")) > before + 2)
        assert told.links("b1") == [(True, "answering")]
        assert bus.counters()["noise"] > 0


def test_a_site_with_a_line_of_breakers_builds_its_driver(tmp_path: Path) -> None:
    bus = f'[[bus]]\nid = "ks"\nprotocol = "ks68"\nport = "{tmp_path}/tty"\n'
    device = f'[[bus.device]]\nid = "b1"\nprofile = "ks-breaker"\nmeter = "{ONE}"\n'
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-360700-0123"\n' + bus + device, "utf-8")
    loaded = load(tmp_path)
    assert loaded.config is not None
    wiring = Wiring(
        when_kept=lambda *_: None, utc=lambda: None, standing=lambda _: ()
    )  # receivers' affair; there is none here
    [driver], unbuilt = build_wire_drivers(loaded.config, load_profiles([]), wiring)
    assert (type(driver), unbuilt) == (KsBus, {})
    assert "b1/switch_closed" in {spec.id for spec in driver.specs()}


def test_what_can_be_sent_is_two_questions_and_two_answers() -> None:
    control = {name for name in dir(ks_breaker) if name.startswith(("ask_", "answer_", "encode"))}
    assert control == {"ask_state", "ask_measure", "answer_to", "encode"}
    assert ks_breaker.ask_state(ONE).hex().upper() == "681010680A202106171055648006000000010020D816"
    for function in (0x2D, 0xCA, 0xCB, ks_breaker.LOGIN, ks_breaker.POWER_DOWN):
        [frame] = ks_breaker.LineReader().feed(ks_breaker.encode(0x80, ONE, function, bytes(20)))
        assert ks_breaker.answer_to(frame) == b""


def test_a_stream_cut_anywhere_gives_the_same_frames_and_holds_a_bounded_number_of_bytes() -> None:
    stream = b"\x68" + ks_breaker.ask_state(ONE) + b"\x16\x68\x09" + ks_breaker.ask_measure(TWO)
    whole = ks_breaker.LineReader().feed(stream)
    assert [frame.node for frame in whole] == [ONE, TWO]
    for cut in range(len(stream)):
        reader = ks_breaker.LineReader()
        assert reader.feed(stream[:cut]) + reader.feed(stream[cut:]) == whole
    reader = ks_breaker.LineReader()
    reader.feed(b"\x68\xff\xff\x68" * 5000)
    assert len(reader._buffer) <= ks_breaker.HELD_BYTES_MAX


def test_the_shipped_profile_is_sound_and_a_wrong_one_says_where() -> None:
    assert [finding for finding in check(load_profiles([]).get("ks-breaker")) if finding.severity != "info"] == []
    for text, code in (
        ("", "nothing_to_read"),
        ('[[value]]\nname = "v"\n', "point_or_measure"),
        ('[[value]]\nname = "v"\npoint = 1\nmeasure = 2\n', "point_or_measure"),
        ('[[value]]\nname = "v"\npoint = 1\n[[value]]\nname = "v"\npoint = 2\n', "duplicate_value"),
        ('[[value]]\nname = "v"\npoint = 1\nlimits = { high = 3 }\n', "unknown_limit"),
        ('[link]\nperiod_ms = 3\n[[value]]\nname = "v"\npoint = 1\n', "unknown_key"),
    ):
        with pytest.raises(ProfileFault) as fault:
            compile_profile(tomllib.loads(text))
        assert fault.value.code == code
