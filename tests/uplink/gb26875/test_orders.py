"""Orders of a GB/T 26875.3 centre, the duty check (查岗) above all: each is carried out once, whichever connection brings it."""

import asyncio
from pathlib import Path

import pytest

from drivers.codecs.gb26875 import Command, Frame
from edge_agent.uplink.gb26875.exchange import Seen
from tests.uplink.gb26875.peer import scripted
from tests.uplink.gb26875.site import gb_config, gb_uplink
from tests.uplink.site import MemoryJournal, running_uplink
from tests.waiting import until

pytestmark = pytest.mark.asyncio


def duty_check(hello: Frame) -> Frame:
    return hello.answer(Command.CONTROL, hello.sent, bytes((91, 1, 10)))._replace(serial=700)


async def test_a_duty_check_whose_connection_went_in_the_middle_is_confirmed_over_the_next_and_is_one(
    tmp_path: Path,
) -> None:
    asked: list[str] = []
    kept = asyncio.Event()

    async def core(do: str, **params: object) -> object:
        if do != "command":
            return None
        asked.append(str(params["command"]))
        await kept.wait()
        return {"status": "done", "result": {}, "code": ""}

    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port)), MemoryJournal()) as process,
    ):
        process.core.ask = core  # type: ignore[method-assign]
        process.destinations[0].desk.ask = core  # type: ignore[method-assign]
        hello = await peer.frame()
        peer.answer(hello)
        peer.write(duty_check(hello).encode())
        await until(lambda: asked, "the core has it in hand")
        peer.hang_up()
        await peer.gone()
        hello = await peer.frame()
        peer.answer(hello)
        kept.set()
        peer.write(duty_check(hello).encode())
        answer = await peer.frame()
        assert (answer.command, answer.serial) == (Command.CONFIRM, 700)
        peer.write(duty_check(hello).encode())
        assert (await peer.frame()).command == Command.CONFIRM
        assert len(asked) == 2
        assert len(set(asked)) == 1, "one name: the core carries it out once"


async def test_an_order_is_known_again_behind_all_a_centre_reads_of_a_site(tmp_path: Path) -> None:
    asked: list[object] = []

    async def core(do: str, **params: object) -> object:
        if do != "command":
            return None
        asked.append(params["command"])
        return {"status": "done", "result": {}, "code": ""}

    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port)), MemoryJournal()) as process,
    ):
        process.destinations[0].desk.ask = core  # type: ignore[method-assign]
        hello = await peer.frame()
        peer.answer(hello)
        peer.write(duty_check(hello).encode())
        assert (await peer.frame()).command == Command.CONFIRM
        for serial in range(Seen.KEPT_MAX + 6):
            peer.write(hello.answer(Command.REQUEST, hello.sent, bytes((88, 1, 0)))._replace(serial=serial).encode())
            assert (await peer.frame()).command == Command.RESPONSE
        peer.write(duty_check(hello).encode())
        assert (await peer.frame()).command == Command.CONFIRM
        assert len(asked) == 1


async def test_an_order_that_failed_is_tried_anew_and_one_that_was_refused_is_not(tmp_path: Path) -> None:
    answers: list[object] = [
        None,  # a core that restarts
        {"status": "refused", "result": {}, "code": "busy"},
        {"status": "refused", "result": {}, "code": "not_authorised"},
    ]
    asked: list[str] = []

    async def core(do: str, **params: object) -> object:
        if do != "command":
            return None
        asked.append(str(params["command"]))
        return answers.pop(0)

    async with (
        scripted() as (peer, port),
        running_uplink(gb_config(tmp_path, gb_uplink(port)), MemoryJournal()) as process,
    ):
        process.destinations[0].desk.ask = core  # type: ignore[method-assign]
        hello = await peer.frame()
        peer.answer(hello)
        for _ in range(4):
            peer.write(duty_check(hello).encode())
            assert (await peer.frame()).command == Command.DENY
        assert len(asked) == 3
        assert len(set(asked)) == 1
