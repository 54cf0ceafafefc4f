"""The wiring: what one core makes of real wires, a strict board and a real journal, and what no fault of a part may cost it."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from buffer.journal import JournalError, Ticket
from buffer.records import Priority
from drivers.codecs import gst_layer_bus
from drivers.gpio import GpioError
from drivers.messages import LinkState, Observation, PanelEvent, PointFault, Reading
from drivers.profile import ProfileError
from edge_agent import buttons, opening
from edge_agent import core as core_module
from edge_agent.clock import SystemClock
from edge_agent.config.model import Bus, Contact, Device, Limits, Panel, Point
from edge_agent.config.uplinks import Link
from edge_agent.core import Core
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.model import Event, Kind
from edge_agent.no_journal import NoJournal
from simulators.modbus_slave import SlaveLine, slave_like
from simulators.panel import PanelSim
from tests.core.house import ACK, BUZZER, CONTACT, FAULT_LAMP, FIRE_LAMP, LINK_LAMP, SILENCE, House, site
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


def fire(point: str, core: Core, event: str = "fire") -> PanelEvent:
    return PanelEvent(point, event, core.now_ns(), {}, event.encode())


def of(found: Sequence[Mapping[str, Any]], **wanted: object) -> list[Mapping[str, Any]]:
    return [event for event in found if all(event.get(key) == value for key, value in wanted.items())]


def spied(core: Core) -> list[tuple[str, object]]:
    """What the core does to board and journal, in order."""
    done: list[tuple[str, object]] = []
    write, append = core.gpio.write, core.journal.append

    def spy_write(line: int, level: bool) -> None:
        write(line, level)
        done.append(("write", (line, level)))

    def spy_append(
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
    ) -> Ticket:
        done.append(("append", (json.loads(body), dict(state or {}))))
        return append(priority, body, state, on_durable)

    core.gpio.write = spy_write  # type: ignore[method-assign]
    core.journal.append = spy_append  # type: ignore[method-assign, assignment]
    return done


# --- one alarm -----------------------------------------------------------------------------------------------------------


async def test_the_buzzer_is_driven_before_take_returns_and_before_the_journal_is_asked() -> None:
    async with site() as place, place.running() as house:
        done = spied(house.core)
        house.core.take([fire("panel1/1-1", house.core)])
        assert house.output(BUZZER)
        assert house.output(FIRE_LAMP)
        whats = [what for what, _ in done]
        assert whats.index("write") == 0
        assert done[0][1] == (BUZZER, True)
        assert whats.index("append") > max(n for n, what in enumerate(whats) if what == "write")


async def test_a_contact_sounds_in_the_loop_turn_of_its_edge() -> None:
    async with site() as place, place.running() as house:
        house.gpio.wire({CONTACT: True})
        assert house.output(BUZZER)
        assert house.alarms() == ["pump-room"]


async def test_every_event_is_kept_with_the_state_that_changed_with_it_and_with_no_other() -> None:
    async with site() as place, place.running() as house:
        done = spied(house.core)
        house.core.take([fire("panel1/1-1", house.core), fire("panel1/1-2", house.core)])
        kept = [what for name, what in done if name == "append"]
        assert [event["point"] for event, _ in kept] == ["panel1/1-1", "panel1/1-2"]  # type: ignore[index]
        for event, state in kept:  # type: ignore[misc]
            point = event["point"]
            latches = {key for key in state if key.startswith(("aa:", "pp:"))}
            assert latches == {f"aa:fire:{point}", f"pp:fire:{point}"}


async def test_no_latch_of_a_reset_is_taken_back_before_the_events_that_say_so() -> None:
    async with site() as place, place.running() as house:
        house.core.take([fire(f"panel1/1-{n}", house.core) for n in range(3)])
        done = spied(house.core)
        house.core.take([fire("panel1/panel", house.core, "reset")])
        kept = [what for name, what in done if name == "append"]
        ended = [n for n, (event, _) in enumerate(kept) if event["kind"] == "fire"]  # type: ignore[misc]
        taken_back = [n for n, (_, state) in enumerate(kept) if any(key.startswith("pp:") for key in state)]  # type: ignore[misc]
        assert len(ended) == 3
        assert taken_back == [max(ended)]


async def test_a_reset_clears_only_what_its_own_panel_said() -> None:
    async with site() as place, place.with_panel("panel1", "panel2").running() as house:
        house.core.take([fire("panel1/1-1", house.core), fire("panel2/1-1", house.core)])
        house.core.take([fire("panel1/panel", house.core, "reset")])
        assert house.alarms() == ["panel2/1-1"]
        assert house.sounding()


async def test_a_restart_restores_the_alarm_with_its_sound_and_tells_it_no_second_time() -> None:
    async with site() as place:
        place.with_panel("panel1")
        async with PanelSim("gst-layer-bus", link=place.directory / "panel1", paced=False) as panel:
            async with place.running() as house:
                await house.until(lambda: house.source("panel1")["up"], "the panel is heard")
                await panel.raise_event("fire", "365089")
                await house.until(house.alarms, "the fire is listed")
                await house.durable()
            async with place.running() as house:
                assert house.alarms() == ["panel1/365089"]
                assert house.sounding()
                await house.until(lambda: house.source("panel1")["up"], "the panel is heard again")
                await panel.raise_event("fire", "365089")  # a panel repeats what it has said
                await house.until(lambda: house.core.points.counters()["repeated"] >= 1, "the repetition is counted")
                await house.durable()
        found = await place.records()
        assert len(of(found, kind="fire")) == 1
        assert len(of(found, kind="boot")) == 2


async def test_an_acknowledgement_survives_a_restart() -> None:
    async with site() as place:
        async with place.running() as house:
            house.core.take([fire("pump/1", house.core)])
            assert house.core.people.acknowledge(None, "button") == 1
            await house.durable()
        place.set(panels=(Panel(id="pump", profile="gst-layer-bus", port="/nowhere"),))
        async with place.running() as house:
            assert [alarm.state.value for alarm in house.core.alarms.alarms() if alarm.point == "pump/1"] == [
                "acknowledged"
            ]


async def test_a_contact_that_closed_while_the_core_was_down_is_a_fire() -> None:
    async with site() as place:
        async with place.running():
            pass

        def closed(core: Core) -> None:
            core.gpio.wire({CONTACT: True})  # type: ignore[attr-defined]

        async with place.running(closed) as house:
            assert house.alarms() == ["pump-room"]
            assert house.sounding()


async def test_a_contact_that_opened_while_the_core_was_down_is_over_and_not_forgotten() -> None:
    async with site() as place:
        async with place.running() as house:
            house.gpio.wire({CONTACT: True})
            await house.durable()
        async with place.running() as house:
            await house.until(lambda: house.core.points.counts()["active"] == 0, "the contact is read")
            assert house.alarms() == ["pump-room"]  # over, and nobody has acknowledged it
            assert house.sounding()
            await house.durable()
        assert [event["active"] for event in of(await place.records(), kind="fire")] == [True, False]


# --- people ---------------------------------------------------------------------------------------------------------------


async def test_a_new_alarm_sounds_again_after_silence_by_button_and_by_command() -> None:
    async with site() as place, place.running() as house:
        house.core.take([fire("panel1/1-1", house.core)])
        await house.push(SILENCE)
        assert not house.sounding()
        assert house.output(FIRE_LAMP)
        house.core.take([fire("panel1/1-2", house.core)])
        assert house.output(BUZZER)
        client = await LocalClient.connect(place.directory / "run" / "core.sock")
        assert await client.request("silence") == {"silenced": 1}
        assert not house.sounding()
        house.core.take([fire("panel1/1-3", house.core)])
        assert house.output(BUZZER)
        await client.close()


async def test_acknowledge_by_button_and_by_command_is_an_event_that_says_who() -> None:
    async with site() as place:
        async with place.running() as house:
            house.core.take([fire("panel1/1-1", house.core)])
            await house.push(ACK)
            house.core.take([fire("panel1/1-2", house.core)])
            client = await LocalClient.connect(place.directory / "run" / "core.sock")
            assert await client.request("ack") == {"acknowledged": 1}
            await client.close()
            await house.durable()
        who = [event["fields"]["who"] for event in of(await place.records(), kind="acknowledge")]
        assert who[0] == "button"
        assert who[1].startswith("cli:")


async def test_a_button_that_bounces_when_let_go_does_not_silence_a_fire_that_came_meanwhile() -> None:
    async with site() as place, place.running() as house:
        house.core.take([fire("panel1/1-1", house.core)])
        await asyncio.sleep(0.12)
        house.gpio.wire({SILENCE: True})
        assert not house.sounding()
        await asyncio.sleep(0.4)
        house.core.take([fire("panel1/1-2", house.core)])
        for level in (False, True, False, True, False):
            house.gpio.wire({SILENCE: level})
        assert house.sounding()


async def test_a_button_jammed_at_the_start_silences_nothing_and_becomes_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buttons, "STUCK_S", 0.2)
    async with site() as place:
        async with place.running() as house:
            house.gpio.wire({CONTACT: True})
            await house.durable()

        def jammed(core: Core) -> None:
            core.gpio.wire({SILENCE: True, ACK: True, CONTACT: True})  # type: ignore[attr-defined]

        async with place.running(jammed) as house:
            assert house.sounding()
            assert of([a.as_dict() for a in house.core.alarms.alarms()], kind="fire", state="active")
            await house.until(lambda: set(house.alarms(Kind.FAULT)) >= {"button/silence", "button/ack"}, "two faults")
            house.gpio.wire({SILENCE: False, ACK: False})
            await house.durable()
        ended = of(await place.records(), kind="fault", active=False)
        assert {event["point"] for event in ended} == {"button/silence", "button/ack"}


async def test_a_lost_board_leaves_no_fault_behind_on_its_buttons() -> None:
    async with site() as place, place.running() as house:
        house.core._buttons.take(  # noqa: SLF001,RUF100
            [LinkState("buttons", False, 0, "gpio"), PointFault("button/ack", "gpio", house.core.now_ns())]
        )
        assert house.core.points.counts()["faulty"] == 0


# --- what falls silent ------------------------------------------------------------------------------------------------------


async def test_a_pulled_panel_is_a_link_fault_that_sounds_and_ends_when_it_is_back_and_costs_no_cpu() -> None:
    async with site() as place:
        place.with_panel("panel1")
        async with (
            PanelSim("gst-layer-bus", link=place.directory / "panel1", paced=False) as panel,
            place.running() as house,
        ):
            await house.until(lambda: house.source("panel1")["up"], "the panel is heard")
            await panel.hang_up()
            await house.until(lambda: house.alarms(Kind.LINK) == ["panel1"], "the loss is told")
            assert house.sounding()
            assert house.output(LINK_LAMP)
            began_s = time.process_time()
            await asyncio.sleep(1.0)
            assert time.process_time() - began_s < 0.5
            await panel.come_back()
            await house.until(lambda: house.source("panel1")["up"], "the panel is back")
            assert not house.sounding()
            await house.durable()
        told = of(await place.records(), kind="link", point="panel1")
        assert [event["active"] for event in told] == [True, False]


async def test_a_dead_slave_is_told_and_costs_the_others_nothing() -> None:
    async with site() as place:
        line = SlaveLine([slave_like(1, "eastron-sdm120")], baud=None)
        port = line.plug()
        devices = tuple(Device(id=f"meter{n}", profile="eastron-sdm120", address=n, period_s=0.1) for n in (1, 2))
        place.set(buses=(Bus(id="bus1", port=port, devices=devices, timeout_s=0.3),))
        try:
            async with place.running() as house:
                await house.until(lambda: house.alarms(Kind.LINK) == ["meter2"], "the dead one is told")

                def values() -> list[object]:
                    return [p["value"] for p in house.core.points.snapshot() if p["source"] == "meter1"]

                await house.until(lambda: values() and None not in values(), "all of the other's are read")
                assert house.source("meter1")["up"] is True
                assert house.alarms(Kind.LINK) == ["meter2"]
        finally:
            line.unplug()


async def test_an_uplink_that_never_comes_is_a_link_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.own_faults.PROCESS_ABSENT_S", 0.2)
    monkeypatch.setattr(core_module, "HOUSEKEEPING_S", 0.05)
    async with site() as place, place.with_uplink().running() as house:
        await house.until(lambda: "uplink" in house.alarms(Kind.LINK), "the absence is told")
        assert house.output(LINK_LAMP)
        assert house.source("uplink")["reason"] == "no_process"
        client = await LocalClient.connect(place.directory / "run" / "core.sock")
        await client.request("watch", what=["journal"])
        await house.until(lambda: house.source("uplink")["up"], "it has come")
        await client.close()


async def test_a_port_that_does_not_exist_at_the_start_is_a_fault_and_the_rest_runs() -> None:
    async with site() as place, place.with_panel("nowhere").running() as house:
        await house.until(lambda: house.alarms(Kind.LINK) == ["nowhere"], "the port is missed")
        house.gpio.wire({CONTACT: True})
        assert house.output(BUZZER)


# --- what cannot be built, opened or read -------------------------------------------------------------------------------------


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


# --- the board ----------------------------------------------------------------------------------------------------------------


async def test_a_chip_that_goes_away_is_one_fault_and_the_buzzer_sounds_once_it_is_back() -> None:
    async with site() as place:
        async with place.running() as house:
            house.gpio.break_down("io")
            house.core.take([fire("panel1/1-1", house.core)])
            await house.until(lambda: "board" in house.alarms(Kind.FAULT), "it is a fault")
            house.gpio.break_down(None)
            await house.until(lambda: house.output(BUZZER), "it sounds")
            await house.until(lambda: house.core.faults.board_fault is None, "the fault is over")
            await house.durable()
        told = of(await place.records(), kind="fault", point="board")
        assert [(event["active"], event["fields"]["reason"]) for event in told] == [
            (True, "gpio_io"),
            (False, "restored"),
        ]


async def test_a_library_that_raises_what_it_likes_is_a_fault_of_the_board(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as place, place.running() as house:

        def odd(line: int, level: bool) -> None:
            raise RuntimeError("released")

        monkeypatch.setattr(house.gpio, "_set", odd)
        house.core.take([fire("panel1/1-1", house.core)])
        await house.until(lambda: house.core.faults.board_fault is not None, "it is a fault")
        assert house.core.faults.board_fault is not None
        assert house.core.faults.board_fault.code == "io"
        monkeypatch.undo()
        await house.until(lambda: house.output(BUZZER), "it sounds")


async def test_a_board_that_cannot_be_opened_is_told_with_its_first_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **more: object) -> None:
        raise GpioError("denied", device="/dev/gpiochip0")

    monkeypatch.setattr(opening, "open_gpio", lambda name, **more: open_none() if name == "none" else denied())
    async with site() as place:
        core = Core(place.config, SystemClock())
        running = asyncio.create_task(core.run())
        house = House(place, core, running)
        await house.until(lambda: "board" in house.alarms(Kind.FAULT), "it is a fault")
        client = await LocalClient.connect(place.directory / "run" / "core.sock")
        status: Any = await client.request("status")
        await client.close()
        assert status["board"] == {"code": "denied", "params": {"device": "/dev/gpiochip0"}}
        core.take([fire("panel1/1-1", core)])
        assert house.alarms() == ["panel1/1-1"]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [e["fields"]["reason"] for e in of(await place.records(), point="board")] == ["gpio_denied"]


def open_none() -> Any:
    from drivers.gpio import open_gpio

    return open_gpio("none")


# --- bugs of our own ----------------------------------------------------------------------------------------------------------


async def test_an_observation_that_trips_the_points_loses_none_of_its_frame() -> None:
    async with site() as place, place.running() as house:
        odd: Sequence[Observation] = [
            fire("panel1/1-1", house.core),
            Reading("pump-room", "many", house.core.now_ns()),  # type: ignore[arg-type]
            fire("panel1/1-2", house.core),
        ]
        house.core.take(odd)
        assert set(house.alarms()) == {"panel1/1-1", "panel1/1-2"}
        assert "pump-room" in house.alarms(Kind.FAULT)


async def test_a_fire_the_points_cannot_take_is_an_alarm_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*args: object) -> None:
        raise KeyError("odd")

    async with site() as place, place.running() as house:
        monkeypatch.setattr("edge_agent.points.panel.PanelPoints.feed", odd)
        house.core.take([fire("panel1/1-1", house.core), fire("panel1/1-2", house.core, "fault")])
        assert house.output(BUZZER)
        assert house.alarms(Kind.UNKNOWN) == ["panel1/1-1"]
        assert house.alarms(Kind.FAULT) == ["panel1/1-2"]


async def test_a_fire_the_alarm_machine_cannot_take_sounds_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as place:
        async with place.running() as house:

            def odd(event: Event, now_ns: int) -> list[Event]:
                raise KeyError("odd")

            monkeypatch.setattr(house.core.alarms, "feed", odd)
            house.core.take([fire("panel1/1-1", house.core)])
            assert house.output(BUZZER)
            assert house.core.people.silence("button") == 1
            assert not house.output(BUZZER)
            await house.durable()
        assert len(of(await place.records(), kind="fire", point="panel1/1-1")) == 1


async def test_a_deadline_that_trips_keeps_no_other_from_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_agent.points.channel import Channel

    async with site() as place:
        place.set(
            contacts=tuple(Contact(id=f"door{n}", line=CONTACT + n, on_delay_s=0.1, off_delay_s=0.1) for n in range(3))
        )
        take_samples = Channel.take_samples

        def odd(self: Channel, at_ns: int) -> list[list[object]]:
            if self.point == "door0":
                raise IndexError("odd")
            return take_samples(self, at_ns)

        monkeypatch.setattr(Channel, "take_samples", odd)
        async with place.running() as house:
            house.gpio.wire({CONTACT: True, CONTACT + 1: True, CONTACT + 2: True})
            await house.until(lambda: set(house.alarms()) == {"door1", "door2"}, "the others settle")
            await house.until(lambda: "door0" in house.alarms(Kind.FAULT), "and the one is a fault")
            assert "door0" not in house.alarms()


async def test_a_watcher_of_the_board_that_raises_costs_no_other_its_edge() -> None:
    async with site() as place:

        def meddle(core: Core) -> None:
            def odd(line: int, level: bool, at_ns: int) -> None:
                raise RuntimeError("odd")

            core.gpio.watch(odd)

        async with place.running(meddle) as house:
            house.gpio.wire({CONTACT: True})
            assert house.alarms() == ["pump-room"]


async def test_a_driver_that_raises_is_restarted_and_faulted_while_others_go_on() -> None:
    class Sick:
        id = "sick"
        runs = 0

        async def run(self, sink: object) -> None:
            self.runs += 1
            raise ZeroDivisionError("again")

        def progress(self) -> int:
            return self.runs

        def counters(self) -> dict[str, int]:
            return {"runs": self.runs}

        def specs(self) -> list[Any]:
            return []

    sick = Sick()
    async with site() as place, place.running(lambda core: core.drivers.append(sick)) as house:
        await house.until(lambda: sick.runs >= 2, "it is started again")
        assert house.alarms(Kind.WORKER) == ["worker/sick"]
        house.gpio.wire({CONTACT: True})
        assert house.output(BUZZER)


async def test_a_worker_that_hangs_starves_the_watchdog_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hung:
        id = "hung"

        async def run(self, sink: object) -> None:
            await asyncio.Event().wait()

        def progress(self) -> int:
            return 7

        def counters(self) -> dict[str, int]:
            return {}

        def specs(self) -> list[Any]:
            return []

    async with site() as place, place.running(lambda core: core.drivers.append(Hung())) as house:
        workers = house.core.supervisor._workers  # noqa: SLF001,RUF100
        assert house.core.supervisor.stuck() == []
        workers["hung"]._limit_s = 0.05  # noqa: SLF001,RUF100
        await house.until(lambda: house.core.supervisor.stuck() == ["hung"], "it is named")


async def test_a_journal_that_stands_still_is_a_fault_and_does_not_starve_the_watchdog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_module, "HOUSEKEEPING_S", 0.05)
    monkeypatch.setattr("edge_agent.own_faults.JOURNAL_HUNG_S", 0.2)
    async with site() as place, place.running() as house:
        monkeypatch.setattr(house.core.journal, "progress", lambda: 7)
        await house.until(lambda: "journal/writer" in house.alarms(Kind.STORE), "it is a fault")
        assert house.core.supervisor.stuck() == []
        house.gpio.wire({CONTACT: True})
        assert house.output(BUZZER)
        monkeypatch.undo()
        await house.until(
            lambda: not any(a.active for a in house.core.alarms.alarms() if a.kind is Kind.STORE), "it is over"
        )


async def test_a_bad_frame_in_the_middle_of_good_ones_loses_none_of_them() -> None:
    def said(address: str) -> bytes:
        return gst_layer_bus.encode_event(0x15, address, 3, "1#")

    async with site() as place:
        place.with_panel("panel1")
        async with (
            PanelSim("gst-layer-bus", link=place.directory / "panel1", paced=False) as panel,
            place.running() as house,
        ):
            await house.until(lambda: house.source("panel1")["up"], "the panel is heard")
            torn = said("100002")[:-3]
            await panel.inject(said("100001") + torn + said("100003") + bytes(range(40)) + said("100004"))
            wanted = {"panel1/100001", "panel1/100003", "panel1/100004"}
            await house.until(lambda: set(house.alarms()) >= wanted, "the sound frames are heard")
            assert house.output(FIRE_LAMP)


async def test_memory_alarms_are_pushed_while_the_journal_is_dead() -> None:
    async with site() as place:
        place.with_uplink()
        core_module_journal = NoJournal("io")
        async with place.running(lambda core: _without_journal(core, core_module_journal)) as house:
            client = await LocalClient.connect(place.directory / "run" / "core.sock")
            await client.request("watch", what=["journal"])
            house.gpio.wire({CONTACT: True})
            assert house.output(BUZZER)
            async with asyncio.timeout(PATIENCE_S):
                async for push in client.pushes():
                    if push.get("stream") == "alarm":
                        break
            assert push["epoch"] == house.core.keeper.memory_epoch
            assert json.loads(str(push["body"]))["point"] == "pump-room"
            status: Any = await client.request("status")
            assert status["memory_alarms"] == 1
            await client.close()


def _without_journal(core: Core, journal: NoJournal) -> None:
    core.journal.close()
    core.journal = journal
    core.keeper._journal = journal  # noqa: SLF001,RUF100


async def test_what_a_lost_word_of_the_centre_leaves_waiting_is_asked_for_again_after_a_restart() -> None:
    async with site() as place:
        place.with_panel("panel1").with_uplink()
        async with place.running() as house:
            house.core.take([fire("panel1/1-1", house.core, "fire_manual")])  # a manual call point: two events
            await house.durable()
            house.core.neighbours.delivered(
                house.core.alarms.undelivered()
            )  # no record follows that could carry it to the card
        async with place.running() as house:
            client = await LocalClient.connect(place.directory / "run" / "core.sock")
            ids: Any = await client.request("undelivered")
            assert len(ids) == 2
            await client.request("delivered", ids=ids)
            await client.close()
            assert house.core.alarms.undelivered() == []
            assert house.core.alarms.annunciation().fire_lamp.base  # steady


async def test_the_fault_lamp_and_sound_are_those_of_a_fault() -> None:
    async with site() as place, place.running() as house:
        house.core.take([fire("panel1/1-1", house.core, "fault")])
        assert house.output(FAULT_LAMP)
        assert house.output(BUZZER)
        assert not house.output(FIRE_LAMP)


# --- floods -------------------------------------------------------------------------------------------------------------------


async def test_a_client_that_floods_gets_one_turn_at_a_time() -> None:
    async with site() as place, place.running() as house:
        house.core.take([fire(f"panel1/{n}", house.core) for n in range(300)])
        reader, writer = await asyncio.open_unix_connection(place.directory / "run" / "core.sock", limit=1 << 26)
        asked = 200
        writer.write(b'{"id": 1, "do": "points"}\n' * asked)
        answers = asyncio.create_task(_count_lines(reader, asked))
        turns = 0
        while not answers.done():
            await asyncio.sleep(0)
            turns += 1
        assert await answers == asked
        assert turns > asked * 300 / 64  # the loop had a turn between all the slices of all the answers
        writer.close()


async def _count_lines(reader: asyncio.StreamReader, count: int) -> int:
    found = 0
    for _ in range(count):
        answer = json.loads(await reader.readline())
        found += len(answer["result"]) == 301
    return found


async def test_a_client_that_asks_without_end_is_cut_off() -> None:
    async with site() as place, place.running() as house:
        reader, writer = await asyncio.open_unix_connection(place.directory / "run" / "core.sock")
        writer.write(b'{"do": "points"}\n' * 20_000)
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while await reader.read(65536):
                    pass
        house.gpio.wire({CONTACT: True})
        assert house.output(BUZZER)
        writer.close()


async def test_a_fire_among_thousands_of_acknowledgements_is_heard_meanwhile_and_stays_unseen() -> None:
    async with site() as place:
        async with place.running() as house:
            for n in range(1000):
                house.core.take([fire(f"panel1/{n}", house.core)])
            assert house.core.people.acknowledge(None, "button") == 1000
            house.core.take([fire("panel1/1", house.core, "first_fire"), fire("panel2/1", house.core)])
            wanted = {"panel1/1", "panel2/1"}
            await house.until(lambda: unseen(house) == wanted, "all that was seen is acknowledged, and nothing else")
            assert house.sounding()
            await house.durable()
        found = await place.records()
        assert len(of(found, kind="acknowledge")) == 999
        assert len(of(found, kind="fire")) == 1002


def unseen(house: House) -> set[str]:
    return {alarm.point for alarm in house.core.alarms.alarms() if not alarm.acknowledged}


async def test_many_alarms_at_once_are_all_listed_heard_and_kept() -> None:
    async with site() as place:
        async with place.running() as house:
            for n in range(2000):
                house.core.take([fire(f"panel1/{n}", house.core)])
            assert len(house.alarms()) == 2000
            assert house.sounding()
            await house.durable()
        assert len(of(await place.records(), kind="fire")) == 2000


async def test_a_way_out_that_goes_and_comes_is_an_event_and_a_line_of_the_status() -> None:
    async with site() as place:
        place.with_uplink().set(links=(Link(id="4g", kind="cellular"),))
        async with place.running() as house:
            client = await LocalClient.connect(place.directory / "run" / "core.sock")
            await client.request(
                "link_state", link="4g", up=True, reason="answered", used_by=["county"], bytes={"alarm": 5}
            )
            await client.request("link_state", link="4g", up=False, reason="unanswered", used_by=[], bytes={"alarm": 7})
            await house.until(lambda: "link/4g" in house.alarms(Kind.LINK), "the loss is told")
            assert house.output(LINK_LAMP)
            status = await client.request("status")
            assert isinstance(status, dict)
            (link,) = status["links"]
            assert (link["id"], link["up"], link["reason"], link["bytes"]) == ("4g", False, "unanswered", {"alarm": 7})
            await client.request("link_state", link="4g", up=True, reason="answered")
            with pytest.raises(ApiError):
                await client.request("link_state", link="5g", up=True, reason="answered")
            await client.close()
            await house.durable()
        told = of(await place.records(), kind="link", point="link/4g")
        assert [event["active"] for event in told] == [True, False]
