"""Records through modems: the whole uplink process over simulated modems on ptys, to a real broker and the reference centre."""

import asyncio
import contextlib
import dataclasses
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.config.uplinks import Link, Modem
from simulators.centre import query
from simulators.centre.packed import PackedListener
from simulators.modem import ModemSim
from tests.brokers import Broker
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.uplink.site import (
    GATEWAY,
    MemoryJournal,
    ring,
    running_centre,
    running_uplink,
    site_config,
    stored,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio
KEY = bytes(range(32))


def modem_link(name: str, kind: str, family: str, directory: Path, **more: object) -> Link:
    modem = Modem(port=str(directory / name), family=family, baud=115200)
    return Link(id=name, kind=kind, modem=modem, **more)  # type: ignore[arg-type]


def plugged(family: str, name: str, directory: Path) -> ModemSim:
    return ModemSim(family, link=directory / name, chance=random.Random(5))


@contextlib.asynccontextmanager
async def packed_centre(directory: Path) -> AsyncIterator[tuple[int, Path, Path]]:
    """Port, key file and database of a centre that takes packed frames."""
    keys, db = directory / "keys", directory / "narrow.db"
    keys.mkdir()
    (keys / f"{GATEWAY}.key").write_text(KEY.hex())
    ear = PackedListener("127.0.0.1", 0, keys, db)
    ear.start()
    try:
        yield ear.port, keys / f"{GATEWAY}.key", db
    finally:
        await asyncio.to_thread(ear.stop)


def told(db: Path) -> set[object]:
    with query.opened(db) as database:
        return {row["n"] for row in query.events(database, stream="alarm", limit=1000)}


async def test_mqtt_runs_over_a_4g_modem_that_has_no_interface(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path, broker) as db:
        links = (modem_link("4g", "cellular", "quectel", tmp_path),)
        config = dataclasses.replace(site_config(tmp_path, broker.port), links=links)
        async with plugged("quectel", "4g", tmp_path) as sim, running_uplink(config, journal) as uplink:
            ring(uplink, journal, 50)
            await until(lambda: stored(db) == list(range(1, 51)))
            sim.drop_context()
            ring(uplink, journal, 50)
            await until(lambda: stored(db) == list(range(1, 101)), "after the context was lost", within_s=90)
        assert stored(db) == list(range(1, 101)), "each of them once"


async def test_packed_alarms_go_through_a_lossy_nb_iot_modem(tmp_path: Path) -> None:
    journal = MemoryJournal()
    async with packed_centre(tmp_path) as (port, key_file, db), plugged("bc95", "nb", tmp_path) as sim:
        sim.loss, sim.delay_s = 0.05, 0.4
        config = site_config(tmp_path, 1, packed_port=port, packed_key_file=key_file)
        config = dataclasses.replace(config, links=(modem_link("nb", "nbiot", "bc95", tmp_path),))
        async with running_uplink(config, journal) as uplink:
            for _ in range(10):
                ring(uplink, journal, 1)
                await asyncio.sleep(0.2)
            await until(lambda: told(db) == set(range(1, 11)), within_s=90)
        assert told(db) == set(range(1, 11)), "and nothing that was not said"


@pytest.mark.slow
async def test_a_hung_4g_modem_loses_nothing_because_the_nb_iot_modem_takes_over(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path, broker) as db:
        async with (
            packed_centre(tmp_path) as (port, key_file, narrow_db),
            plugged("quectel", "4g", tmp_path) as wide,
            plugged("bc95", "nb", tmp_path),
        ):
            config = site_config(
                tmp_path, broker.port, packed_port=port, packed_key_file=key_file, unconfirmed_s=3.0, keepalive_s=5
            )
            quick = {"probe_s": 1.0, "hold_s": 2.0, "misses": 1}
            links = (
                modem_link("4g", "cellular", "quectel", tmp_path, **quick),
                modem_link("nb", "nbiot", "bc95", tmp_path),
            )
            async with running_uplink(dataclasses.replace(config, links=links), journal) as uplink:
                ring(uplink, journal, 5)
                await until(lambda: stored(db) == [1, 2, 3, 4, 5])
                wide.hung = True
                hung_s = time.monotonic()
                ring(uplink, journal, 5)
                await until(lambda: told(narrow_db) >= {6, 7, 8, 9, 10}, "told in brief", within_s=90)
                delay_s = spread_s([time.monotonic() - hung_s], "hung to told in brief (probe_s 1, unconfirmed_s 3)")
                wide.hung = False
                await until(lambda: stored(db) == list(range(1, 11)), "in full over 4G again", within_s=90)
            assert stored(db) == list(range(1, 11)), "each of them once"
            note("modem-hung", {"alarms": 5, "lost": 0, "doubled": 0, "delay_s": delay_s})
