"""kill -9 of a real uplink process while it drains a journal on disk: nothing is missing at the centre, nothing is there twice."""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.model import Kind
from simulators import process
from tests.brokers import Broker
from tests.uplink.site import counted, event_body, fill_journal, running_centre, site_config, stored
from tests.waiting import until

pytestmark = pytest.mark.asyncio

KILLS, ALARMS, STATUSES = 6, 2000, 8000


def share(of: int, number: int) -> range:
    """The numbers of one of KILLS parts of 1 to `of`."""
    return range(of * number // KILLS + 1, of * (number + 1) // KILLS + 1)


async def check_kills_in_a_drain(tmp_path: Path, *, break_broker: bool, seed: int) -> None:
    rng = random.Random(seed)
    site = tmp_path / "site"
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(site, broker.port)
        program = process.Program.python(
            "uplink", "tests.uplink.uplink_program", str(site), str(broker.port), "2.0", log=tmp_path / "log"
        )
        try:
            for kill in range(KILLS):
                # A share for each: however quick the drain is, there is something to be killed in.
                fill_journal(config.gateway.data_dir, Priority.ALARM, map(event_body, share(ALARMS, kill)))
                bodies = (event_body(100_000 + n, Kind.RESET) for n in share(STATUSES, kill))
                fill_journal(config.gateway.data_dir, Priority.STATUS, bodies)
                before = len(stored(db)) + len(stored(db, "status"))
                await program.start()
                await until(
                    lambda: len(stored(db)) + len(stored(db, "status")) > before,  # noqa: B023
                    program.tail(),
                )
                await asyncio.sleep(rng.uniform(0, 0.1))  # the kill falls anywhere in a drain
                if break_broker and kill % 3 == 2:
                    broker.restart()
                await program.kill()
            await program.start()
            await until(lambda: len(stored(db)) == ALARMS and len(stored(db, "status")) == STATUSES)
            ledger = config.gateway.data_dir / "delivery.db"
            await until(lambda: confirmed(ledger) == {"alarm": ALARMS, "status": STATUSES}, "the ledger knows")
        finally:
            await program.kill()
        assert stored(db) == list(range(1, ALARMS + 1))
        assert stored(db, "status") == list(range(1, STATUSES + 1))
        assert counted(db)["events"] == ALARMS + STATUSES, f"seed {seed}"
        assert counted(db)["lost"] == 0


def confirmed(ledger: Path) -> dict[str, int]:
    """What delivery.db says, read as any other process may."""
    database = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        return dict(
            database.execute(
                "SELECT stream, through FROM confirmed WHERE destination = 'county' AND epoch != ''"
            ).fetchall()
        )
    finally:
        database.close()


async def test_kill_9_of_the_uplink_during_a_drain_loses_and_doubles_nothing(tmp_path: Path) -> None:
    await check_kills_in_a_drain(tmp_path, break_broker=False, seed=11)


async def test_kill_9_of_uplink_and_broker_together_loses_and_doubles_nothing(tmp_path: Path) -> None:
    await check_kills_in_a_drain(tmp_path, break_broker=True, seed=12)
