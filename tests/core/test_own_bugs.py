"""Bugs of our own, planted in one part: no alarm, and no other part, pays for them."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from drivers.codecs import gst_layer_bus
from drivers.messages import Observation, Reading
from edge_agent import core as core_module
from edge_agent.config.model import Contact
from edge_agent.core import Core
from edge_agent.local_api import LocalClient
from edge_agent.model import Event, Kind
from edge_agent.no_journal import NoJournal
from simulators.panel import PanelSim
from tests.core.house import BUZZER, CONTACT, FAULT_LAMP, FIRE_LAMP, fire, of, site
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


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
        workers = house.core.supervisor._workers
        assert house.core.supervisor.stuck() == []
        workers["hung"]._limit_s = 0.05
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
    core.keeper._journal = journal


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
