"""What cannot be built, opened or read at the start: a fault that the rest of the core runs beside."""

from dataclasses import replace

import pytest

from buffer.journal import JournalError
from drivers.profile import ProfileError
from edge_agent import opening
from edge_agent.clock import SystemClock
from edge_agent.config.model import Bus, Contact, Device, Limits, Panel, Point
from edge_agent.core import Core
from edge_agent.local_api import LocalClient
from edge_agent.model import Kind
from edge_agent.no_journal import NoJournal
from simulators.modbus_slave import SlaveLine, slave_like
from simulators.panel import PanelSim
from tests.core.house import BUZZER, CONTACT, fire, of, site

pytestmark = pytest.mark.asyncio


async def test_profiles_that_cannot_be_used_silence_nobody_else() -> None:
    async with site() as place:
        profiles = place.directory / "profiles"
        profiles.mkdir()
        (profiles / "broken.toml").write_text("kind = [", "utf-8")
        (profiles / "nonsense.toml").write_text('kind = "modbus"\n[link]\nperiod_ms = "often"\n', "utf-8")
        line = SlaveLine([slave_like(1, "eastron-sdm120")], baud=None)
        port = line.plug()
        place.set(
            panels=(
                Panel(id="panel1", profile="broken", port="/nowhere"),
                Panel(id="panel2", profile="no-such", port="/nowhere"),
                Panel(id="panel3", profile="gst-layer-bus", port=str(place.directory / "panel3")),
            ),
            buses=(
                Bus(
                    id="bus1",
                    port=port,
                    devices=(Device(id="good", profile="eastron-sdm120"), Device(id="bad", profile="nonsense")),
                ),
            ),
        )
        try:
            async with (
                PanelSim("gst-layer-bus", link=place.directory / "panel3", paced=False) as panel,
                place.running() as house,
            ):
                await house.until(lambda: house.source("panel3")["up"], "the sound panel is heard")
                await house.until(lambda: house.source("good")["up"], "the sound meter answers")
                assert set(house.alarms(Kind.LINK)) >= {"panel1", "panel2", "bad"}
                assert house.source("bad")["reason"] == "profile"
                await panel.raise_event("fire", "365089")
                await house.until(lambda: house.alarms() == ["panel3/365089"], "its fire is heard")
        finally:
            line.unplug()


async def test_what_a_source_without_a_driver_said_last_still_holds() -> None:
    async with site() as place:
        place.set(panels=(Panel(id="panel1", profile="gst-layer-bus", port="/nowhere"),))
        async with place.running() as house:
            house.core.take([fire("panel1/1-1", house.core)])
            await house.durable()
        place.set(panels=(Panel(id="panel1", profile="gone", port="/nowhere"),))
        async with place.running() as house:
            assert house.alarms() == ["panel1/1-1"]
            assert house.sounding()


async def test_a_core_with_nothing_to_watch_but_unusable_profiles_refuses_to_start() -> None:
    async with site() as place:
        place.set(contacts=(), panels=(Panel(id="panel1", profile="gone", port="/nowhere"),))
        with pytest.raises(ProfileError, match="unknown_profile"):
            Core(place.config, SystemClock())


async def test_a_point_the_site_configured_into_nonsense_is_a_fault_and_the_others_run() -> None:
    async with site() as place:
        place.set(
            contacts=(Contact(id="pump-room", line=CONTACT, on_delay_s=0.0), Contact(id="odd", line=13)),
            points=(Point(id="odd", limits=Limits(n=3, m=2, alarm_high=0.5)), Point(id="pump-room", name="泵房")),
        )
        place.set(points=(Point(id="odd", kind="no-such-kind"), place.config.points[1]))
        async with place.running() as house:
            assert "odd" in house.alarms(Kind.FAULT)
            house.gpio.wire({CONTACT: True})
            assert house.alarms() == ["pump-room"]


@pytest.mark.parametrize("run_dir", ["missing", "x" * 120])
async def test_without_a_local_api_alarms_sound_and_are_kept(run_dir: str) -> None:
    async with site() as place:
        place.set(gateway=replace(place.config.gateway, run_dir=place.directory / run_dir))
        async with place.running() as house:
            await house.until(lambda: "worker/api" in house.alarms(Kind.WORKER), "it is a fault")
            house.gpio.wire({CONTACT: True})
            assert house.output(BUZZER)
            await house.durable()
        assert len(of(await place.records(), kind="fire")) == 1


async def test_the_local_api_comes_up_as_soon_as_it_can() -> None:
    async with site() as place:
        run_dir = place.directory / "later"
        place.set(gateway=replace(place.config.gateway, run_dir=run_dir))
        async with place.running() as house:
            await house.until(lambda: "worker/api" in house.alarms(Kind.WORKER), "it is a fault")
            run_dir.mkdir()
            await house.until((run_dir / "core.sock").exists, "it listens")
            client = await LocalClient.connect(run_dir / "core.sock")
            assert await client.request("alarms")
            await client.close()


async def test_a_data_directory_that_cannot_be_made_costs_no_alarm() -> None:
    async with site() as place:
        (place.directory / "file").write_text("")
        place.set(gateway=replace(place.config.gateway, data_dir=place.directory / "file" / "data")).with_uplink()
        async with place.running() as house:
            house.gpio.wire({CONTACT: True})
            assert house.output(BUZZER)
            await house.until(lambda: house.core.keeper.memory_alarms == 1, "it is held in memory")
            await house.until(lambda: house.alarms(Kind.STORE), "the store is a fault")


async def test_a_journal_that_fails_in_a_way_nobody_thought_of_costs_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*args: object, **more: object) -> None:
        raise MemoryError("odd")

    monkeypatch.setattr(opening.Journal, "open", odd)
    async with site() as place, place.running() as house:
        assert isinstance(house.core.journal, NoJournal)
        house.gpio.wire({CONTACT: True})
        assert house.output(BUZZER)
        assert house.alarms(Kind.STORE)


async def test_a_second_core_leaves_the_first_one_alone() -> None:
    async with site() as place, place.running() as house:
        with pytest.raises(JournalError, match="locked"):
            Core(place.config, SystemClock())
        house.gpio.wire({CONTACT: True})
        assert house.output(BUZZER)


async def test_latched_state_nobody_can_read_keeps_no_core_from_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as place:
        async with place.running() as house:
            house.core.take([fire("pump-room", house.core)])
            await house.durable()

        def odd(*args: object) -> None:
            raise RuntimeError("odd state")

        monkeypatch.setattr("edge_agent.points.panel.PanelPoints.restore", odd)
        async with place.running() as house:
            assert house.alarms() == ["pump-room"]  # the alarm machine has its own
            assert house.alarms(Kind.STORE)
