"""The board's lines that go away, come back, or raise what they like."""

import asyncio
from typing import Any

import pytest

from drivers.gpio import GpioError
from edge_agent import opening
from edge_agent.clock import SystemClock
from edge_agent.core import Core
from edge_agent.local_api import LocalClient
from edge_agent.model import Kind
from tests.core.house import BUZZER, House, fire, of, site

pytestmark = pytest.mark.asyncio


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
