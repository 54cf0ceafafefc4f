"""What falls silent, or comes back: panels, slaves, ways out and the uplink. Each is told once, and costs the others nothing."""

import asyncio
import time

import pytest

from edge_agent import core as core_module
from edge_agent.config.model import Bus, Device
from edge_agent.config.uplinks import Link
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.model import Kind
from simulators.modbus_slave import SlaveLine, slave_like
from simulators.panel import PanelSim
from tests.core.house import BUZZER, CONTACT, LINK_LAMP, of, site

pytestmark = pytest.mark.asyncio


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
            await asyncio.sleep(1.0)  # what is measured is how much a lost port costs in this time
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
