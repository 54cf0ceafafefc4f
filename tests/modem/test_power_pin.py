"""The whole way: a modem that hangs, the uplink's driver, the local API, the core's pin, the wiring, the modem's supply."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.local_api import ApiError, LocalClient
from edge_agent.uplink.modem.build import cycle_power
from tests.core.house import OUTPUTS, site
from tests.modem.bench import bench
from tests.waiting import until

pytestmark = pytest.mark.asyncio

LINE = 24


async def test_a_hung_modem_is_mended_by_the_pin_of_a_real_core(tmp_path: Path) -> None:
    async with site() as place:
        board = replace(place.config.board, outputs={**OUTPUTS, "modem_power": LINE}, modem_power_pulse_s=0.3)
        async with place.set(board=board).running() as house:
            client = await LocalClient.connect(place.config.gateway.run_dir / "core.sock")

            async def ask(do: str, **params: object) -> object:
                try:
                    return await client.request(do, **params)
                except ApiError:
                    return None

            async with bench(tmp_path, "bc95", power=lambda: cycle_power(ask, "m")) as on:

                async def wiring() -> None:  # a load switch between pin and modem
                    while True:
                        await on.sim.power(not house.output(LINE))
                        await asyncio.sleep(0.02)

                switch = asyncio.create_task(wiring())
                await on.up()
                on.sim.hung = True
                await until(lambda: on.sim.power_cuts == 1, "cut")
                await until(lambda: on.modem.health.up and not on.sim.hung, "up again")
                assert on.modem.ladder.mended == {"power": 1}
                switch.cancel()
            await client.close()


async def test_a_core_that_is_absent_or_refuses_leaves_the_modem_alone() -> None:
    async def nobody(do: str, **params: object) -> object:
        return None

    assert await cycle_power(nobody, "m") is False
