"""The wiring: what one core makes of real wires, a strict board and a real journal, and what people do to it."""

import asyncio
import json
from collections.abc import Callable, Mapping

import pytest

from buffer.journal import Ticket
from buffer.records import Priority
from drivers.messages import LinkState, PointFault
from edge_agent import buttons
from edge_agent.config.model import Panel
from edge_agent.core import Core
from edge_agent.local_api import LocalClient
from edge_agent.model import Kind
from simulators.panel import PanelSim
from tests.core.house import ACK, BUZZER, CONTACT, FIRE_LAMP, SILENCE, fire, of, site

pytestmark = pytest.mark.asyncio


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
        stops: int | None = None,
    ) -> Ticket:
        done.append(("append", (json.loads(body), dict(state or {}))))
        return append(priority, body, state, on_durable, stops)

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
        await asyncio.sleep(0.12)  # the rest that makes a push one of its own
        house.gpio.wire({SILENCE: True})
        assert not house.sounding()
        await asyncio.sleep(0.4)  # held down: no condition says so
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
        house.core._buttons.take(
            [LinkState("buttons", False, 0, "gpio"), PointFault("button/ack", "gpio", house.core.now_ns())]
        )
        assert house.core.points.counts()["faulty"] == 0
