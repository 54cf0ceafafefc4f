"""Two ports and a relay of one panel, a device that calls in beside its printer: one alarm, whoever speaks first."""

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.config.model import Board, Contact, Panel, Receiver, ReceiverDevice
from edge_agent.model import Kind
from simulators import peers
from simulators.panel import PanelSim
from simulators.ports import free_port
from tests.core.house import ACK, BUZZER, CONTACT, OUTPUTS, SILENCE, Site, site

pytestmark = pytest.mark.asyncio
RELAY = 13


def tapped(place: Site) -> Site:
    ports = (
        Panel(id="panel1", profile="gst-layer-bus", port=str(place.directory / "panel1"), tap_hold_s=300.0),
        Panel(id="printer1", profile="gst9000-printer", port=str(place.directory / "printer1"), tap_of="panel1"),
    )
    relay = Contact(id="relay1", line=RELAY, tap_of="panel1", name="火警继电器", on_delay_s=0.0, off_delay_s=0.0)
    assert place.config.contacts[0].line == CONTACT
    return place.set(
        panels=ports,
        contacts=(relay,),
        board=Board(gpio="fake", outputs=OUTPUTS, buttons={"ack": ACK, "silence": SILENCE}),
    )


def of(records: list[dict[str, Any]], kind: Kind) -> list[tuple[str, bool]]:
    return [(record["point"], record["active"]) for record in records if record["kind"] == kind]


async def test_a_relay_the_bus_and_the_printer_of_one_panel_give_one_alarm_and_one_end() -> None:
    async with site() as place:
        tapped(place)
        async with (
            PanelSim("gst-layer-bus", link=place.directory / "panel1", paced=False) as bus,
            PanelSim("gst9000-printer", link=place.directory / "printer1", paced=False) as printer,
            place.running() as house,
        ):
            await house.until(lambda: house.source("panel1")["up"], "the bus is heard")
            await house.until(lambda: house.source("printer1")["up"], "the printer's port is open")
            house.gpio.wire({RELAY: True})
            assert house.output(BUZZER)  # in the same loop turn: the relay alone is a fire
            assert house.alarms() == ["relay1"]
            await bus.raise_event("fire", "365089")
            await house.until(lambda: house.alarms() == ["panel1/365089"], "the panel's own words take its place")
            assert house.output(BUZZER) or house.sounding()
            await printer.raise_event("fire", "1-27")
            await house.until(lambda: house.core.points.counters()["evidence"] == 1, "the printer is evidence")
            await bus.raise_event("reset")
            house.gpio.wire({RELAY: False})
            await printer.raise_event("reset", "1-1")
            await house.until(lambda: house.core.alarms.alarms() == [], "all is over")
            await house.durable()
        records = await place.records()
        assert of(records, Kind.FIRE) == [
            ("relay1", True),
            ("relay1", False),
            ("panel1/365089", True),
            ("panel1/365089", False),
        ]
        assert of(records, Kind.EVIDENCE) == [("panel1/365089", True)]
        assert of(records, Kind.RESET) == [("panel1/panel", True)]
        assert of(records, Kind.FAULT) == []


async def test_a_printer_that_leaves_a_fire_out_is_told_and_a_dead_bus_leaves_the_printer_to_raise_it() -> None:
    async with site() as place:
        tapped(place)
        panels = place.config.panels
        place.set(panels=(replace(panels[0], tap_hold_s=1.0), panels[1]))
        async with (
            PanelSim("gst-layer-bus", link=place.directory / "panel1", paced=False) as bus,
            PanelSim("gst9000-printer", link=place.directory / "printer1", paced=False) as printer,
            place.running() as house,
        ):
            await house.until(lambda: house.source("panel1")["up"], "the bus is heard")
            await house.until(lambda: house.source("printer1")["up"], "the printer's port is open")
            await bus.raise_event("fire", "365089")
            wanted = {"printer1/tap", "relay1/tap"}
            await house.until(lambda: set(house.alarms(Kind.FAULT)) == wanted, "printer and relay left it out")
            await bus.hang_up()
            await house.until(lambda: house.alarms(Kind.LINK) == ["panel1"], "the bus is gone")
            await printer.raise_event("fire", "1-28")
            await house.until(lambda: "panel1/1-28" in house.alarms(), "the printer alone raises it")
            await house.durable()
        records = await place.records()
        assert of(records, Kind.FIRE) == [("panel1/365089", True), ("panel1/1-28", True)]
        assert set(of(records, Kind.FAULT)) >= {("printer1/tap", True), ("relay1/tap", True)}


async def test_a_transmission_device_beside_the_printer_tells_one_fire_and_is_a_fault_when_it_leaves_one_out() -> None:
    port = free_port()
    async with site() as place:
        printer1 = Panel(id="panel1", profile="gst9000-printer", port=str(place.directory / "panel1"), tap_hold_s=1.0)
        utd = ReceiverDevice(id="utd", address="889", tap_of="panel1")
        net = Receiver(
            id="net1", protocol="gb26875", devices=(utd,), listen="127.0.0.1", listen_port=port, allow=("127.0.0.1",)
        )
        place.set(panels=(printer1,), receivers=(net,))
        line = peers.Line(peers.Where(host="127.0.0.1", port=port))
        async with (
            PanelSim("gst9000-printer", link=place.directory / "panel1", paced=False) as printer,
            place.running() as house,
        ):
            await house.until(lambda: house.source("net1")["up"] and house.source("panel1")["up"], "both listen")
            try:
                await line.open()
                device = peers.GbDevice(line, "889")
                assert await device.say("alive", "") == "CONFIRM"
                await printer.raise_event("fire", "1-27")
                await house.until(lambda: house.alarms() == ["panel1/1-27"], "the printer tells it")
                assert await device.say("fire", "1-27") == "CONFIRM"
                await house.until(lambda: house.core.points.counters()["evidence"] == 1, "the device is evidence")
                assert house.alarms() == ["panel1/1-27"]
                await printer.raise_event("fire", "1-28")
                await house.until(lambda: house.alarms(Kind.FAULT) == ["utd/tap"], "the device left the second one out")
                assert await device.say("fire", "1-28") == "CONFIRM"
                await house.until(
                    lambda: house.alarms() == ["panel1/1-27", "panel1/1-28"], "which was told in time by the printer"
                )
                await house.durable()
            finally:
                line.close()
        records = await place.records()
        assert of(records, Kind.FIRE) == [("panel1/1-27", True), ("panel1/1-28", True)]
        faults = of(records, Kind.FAULT)  # on a slow machine of the first fire too
        assert faults[-2:] == [("utd/tap", True), ("utd/tap", False)]
        assert {point for point, _ in faults} == {"utd/tap"}
