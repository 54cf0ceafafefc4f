"""The core's half of the power pin: one pulse at a time, never often, recorded, and the supply comes back whatever happens."""

import asyncio
from dataclasses import replace

import pytest

from drivers.gpio.port import GpioError
from edge_agent import modem_power
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.model import Kind
from tests.core.house import OUTPUTS, House, Site, site

pytestmark = pytest.mark.asyncio

LINE = 24


def with_modem(place: Site, *, idle: bool = False, pulse_s: float = 1.0) -> Site:
    board = replace(
        place.config.board,
        outputs={**OUTPUTS, "modem_power": LINE},
        modem_power_idle=idle,
        modem_power_pulse_s=pulse_s,
    )
    return place.set(board=board)


async def ask(house: House) -> object:
    client = await LocalClient.connect(house.site.config.gateway.run_dir / "core.sock")
    try:
        return await client.request("modem_power", link="nb")
    finally:
        await client.close()


def spied(house: House) -> list[bool]:
    """The levels the modem's line is driven to from now on."""
    driven, write = list[bool](), house.core.gpio.write

    def spy(line: int, level: bool) -> None:
        if line == LINE:
            driven.append(level)
        write(line, level)

    house.core.gpio.write = spy  # type: ignore[method-assign]
    return driven


@pytest.mark.parametrize("idle", [False, True])
async def test_a_pulse_takes_the_supply_away_gives_it_back_and_is_recorded(idle: bool) -> None:
    async with site() as place:
        with_modem(place, idle=idle)
        async with place.running() as house:
            assert house.output(LINE) is idle  # the modem keeps its supply while the core starts
            driven = spied(house)
            assert await ask(house) == {"pulse_s": 1.0}
            await house.until(lambda: driven == [not idle, idle], "the supply went, and is back")
            await house.durable()
        told = [record for record in await place.records() if record["kind"] == Kind.COMMAND.value]
        assert [(one["point"], one["fields"]["status"]) for one in told] == [
            ("command/modem_power", "started"),
            ("command/modem_power", "cycled"),
        ]
        assert told[0]["fields"]["link"] == "nb"
        assert told[0]["fields"]["who"].startswith("uplink:")


async def test_a_second_request_is_refused_while_the_first_runs_and_for_minutes_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with site() as place, with_modem(place).running() as house:
        # Said together, so that a slow machine does not end the pulse between them.
        said = await asyncio.gather(ask(house), ask(house), return_exceptions=True)
        assert [one for one in said if not isinstance(one, ApiError)] == [{"pulse_s": 1.0}]
        assert [one.code for one in said if isinstance(one, ApiError)] == ["modem_power_busy"]
        await house.until(lambda: not house.output(LINE), "over")
        with pytest.raises(ApiError, match="modem_power_too_soon"):
            await ask(house)
        monkeypatch.setattr(modem_power, "EVERY_S", 0.0)  # the minutes are over
        assert await ask(house) == {"pulse_s": 1.0}


async def test_without_the_line_it_is_refused() -> None:
    async with site() as place, place.running() as house:
        with pytest.raises(ApiError, match="no_modem_power"):
            await ask(house)


async def test_a_board_that_fails_in_the_pulse_gets_the_supply_back_when_it_works_again() -> None:
    async with site() as place, with_modem(place).running() as house:
        write, broken, refused = house.core.gpio.write, True, 0

        def failing(line: int, level: bool) -> None:
            nonlocal refused
            if line == LINE and broken and not level:  # the end of the pulse, however soon it is
                refused += 1
                raise GpioError("io", line=str(line), reason="gone")
            write(line, level)

        house.core.gpio.write = failing  # type: ignore[method-assign]
        await ask(house)
        await house.until(lambda: refused, "the end of the pulse")
        assert house.output(LINE)
        broken = False
        await house.until(lambda: not house.output(LINE), "the supply is back")
        with pytest.raises(ApiError, match="modem_power_too_soon"):
            await ask(house)


async def test_a_core_that_ends_in_the_pulse_gives_the_supply_back() -> None:
    async with site() as place:
        with_modem(place, pulse_s=60.0)
        async with place.running() as house:
            await ask(house)
            driven = spied(house)
        assert driven == [False]
