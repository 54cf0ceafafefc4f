"""Linkage over the strict board and a real journal: the valve, its key, its audit, and that it costs an alarm nothing."""

from typing import Any

import pytest

from drivers.gpio import GpioError
from edge_agent.answers import linkage_rows
from edge_agent.config.model import Contact, Linkage, LinkageOutput
from edge_agent.local_api import ApiError
from edge_agent.model import Kind
from tests.core.house import BUZZER, House, Site, site

pytestmark = pytest.mark.asyncio
GAS, KEY, VALVE = 13, 16, 24


def with_valve(place: Site, *, enable: tuple[str, ...] = ("valve",), **more: Any) -> Site:
    contacts = (
        Contact(id="kitchen-gas", line=GAS, kind="gas", on_delay_s=0.0, off_delay_s=0.0),
        Contact(id="key", line=KEY, kind="feedback", on_delay_s=0.0, off_delay_s=0.0),
    )
    rule = LinkageOutput(
        id="valve", action="gas_valve", line=VALVE, kinds=("gas",), override="key", hold_s=0.0, start_s=0.0, **more
    )
    return place.set(contacts=contacts, linkage=Linkage(enable=enable, outputs=(rule,)))


async def audit(house: House) -> list[tuple[str, str, str]]:
    await house.durable()
    records = [record for record in await house.site.records() if record["kind"] == Kind.LINKAGE]
    return [(record["fields"]["status"], record["fields"]["why"], record["fields"]["who"]) for record in records]


async def test_a_gas_alarm_sounds_first_and_closes_the_valve_in_a_later_turn_and_all_of_it_is_written_down() -> None:
    async with site() as place, with_valve(place).running() as house:
        house.gpio.wire({GAS: True})
        assert house.output(BUZZER)  # in the turn of the edge
        assert not house.output(VALVE)
        await house.until(lambda: house.output(VALVE), "the valve closes")
        assert linkage_rows(house.core)[0]["acting"]
        house.gpio.wire({GAS: False})
        assert house.core.people.order_linkage("valve", "release", "cli:root")["held"]
        assert not house.output(VALVE)
        with pytest.raises(ApiError, match="no_such_output"):
            house.core.people.order_linkage("fan", "release", "cli:root")
        with pytest.raises(ApiError, match="bad_request"):
            house.core.people.order_linkage("valve", "open", "cli:root")
        assert await audit(house) == [("acted", "alarm", "rule"), ("released", "held", "cli:root")]


async def test_an_output_that_is_not_enabled_by_name_is_never_driven() -> None:
    async with site() as place, with_valve(place, enable=()).running() as house:
        house.gpio.wire({GAS: True})
        await house.until(lambda: linkage_rows(house.core)[0]["refused"] == "not_enabled", "the refusal is told")
        assert not house.output(VALVE)
        assert await audit(house) == [("refused", "not_enabled", "rule")]


async def test_the_key_switch_takes_it_and_an_idle_level_is_held_from_the_first_moment() -> None:
    async with site() as place, with_valve(place, idle=True).running() as house:
        assert house.output(VALVE)
        house.gpio.wire({GAS: True})
        await house.until(lambda: not house.output(VALVE), "it acts")
        house.gpio.wire({KEY: True})
        await house.until(lambda: house.output(VALVE), "the person has it")
        assert (await audit(house))[-1] == ("released", "override", "override")


async def test_a_restart_acts_upon_nothing_it_restored() -> None:
    async with site() as place:
        with_valve(place)
        async with place.running() as house:
            house.gpio.wire({GAS: True})
            await house.until(lambda: house.output(VALVE), "the valve closes")
            await house.durable()
        async with place.running() as house:
            assert house.alarms(Kind.GAS) == ["kitchen-gas"]
            await house.until(lambda: not house.core.linkage.linkage.outputs["valve"].acting, "nothing acts")  # type: ignore[union-attr]
            told: list[tuple[str, str, str]] = []

            async def restarted() -> bool:
                told[:] = await audit(house)
                return told[-1:] == [("released", "restart", "rule")]

            await house.until(restarted, "the release is told")
            assert not house.output(VALVE)


async def test_a_line_that_fails_is_a_fault_and_a_bug_of_ours_costs_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as place, with_valve(place).running() as house:
        write = house.core.gpio.write

        def broken(line: int, level: bool) -> None:
            if line == VALVE:
                raise GpioError("io", line=line, reason="test")
            write(line, level)

        monkeypatch.setattr(house.core.gpio, "write", broken)
        house.gpio.wire({GAS: True})
        assert house.output(BUZZER)
        await house.until(lambda: "linkage/valve" in house.alarms(Kind.FAULT), "the line is a fault")
        monkeypatch.setattr(house.core.gpio, "write", write)
        await house.until(lambda: house.output(VALVE), "it is tried again")

        def bug(*args: object) -> None:
            raise RuntimeError("a bug")

        assert house.core.linkage is not None
        monkeypatch.setattr(house.core.linkage.linkage, "note", bug)
        monkeypatch.setattr(house.core.linkage.linkage, "decide", bug)
        house.gpio.wire({GAS: False})
        house.gpio.wire({GAS: True})
        assert house.sounding()
        await house.durable()
