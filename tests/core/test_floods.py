"""Very many clients, alarms and acknowledgements at once: a fire among them is heard meanwhile."""

import asyncio
import contextlib
import json

import pytest

from tests.core.house import BUZZER, CONTACT, House, fire, of, site
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


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
