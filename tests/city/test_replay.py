"""A city's gateways come back after an outage, to consumers, a broker and a database that are killed meanwhile.

EDGE_CITY_GATEWAYS, EDGE_CITY_KILLS: how many (scripts/evidence: 1000 and 30); EDGE_SEED: the seed of the moments.
"""

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from simulators.centre.query import look
from tests.city.checker import compare
from tests.city.fleet import Load, expected
from tests.city.house import HURTS, City
from tests.proof.checker import spread_s
from tests.proof.site import note

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

GATEWAYS = int(os.environ.get("EDGE_CITY_GATEWAYS", "60"))
KILLS = int(os.environ.get("EDGE_CITY_KILLS", "5"))
SEED = int(os.environ.get("EDGE_SEED", "20261125"))
CONSUMERS = 4
LOAD = Load(alarms=5, faults=5, status=30, telemetry=30, fresh=10)


def test_a_replay_through_kills_of_consumers_broker_and_database_is_there_once_and_whole(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    rng, hurt, started_s = random.Random(SEED), Counter[str](), time.monotonic()
    with City(tmp_path, CONSUMERS) as city, city.crowds(GATEWAYS, LOAD, processes=2, seed=SEED) as crowds:
        for what in rng.sample(HURTS * -(-KILLS // len(HURTS)), KILLS):
            time.sleep(rng.uniform(0.3, 2.0))
            hurt[what] += 1
            city.hurt(what, rng)
        city.settle(crowds, within_s=120 + GATEWAYS * 0.6)
        took_s = time.monotonic() - started_s
        verdict = compare(expected(range(GATEWAYS), LOAD), city.server.url)
        with look(city.server.url) as asked:
            stats = asked.stats()
        sent = sum(crowd.last["records"] for crowd in crowds)
        had = GATEWAYS * sum(LOAD.heads().values())
        waits_s = [wait_s for crowd in crowds for wait_s in crowd.last["fresh_waits_s"]]
        found = {
            "gateways": GATEWAYS, "consumers": CONSUMERS, "hurt": dict(hurt), "records": had, "sent": sent,
            "duplicates": stats["duplicates"], "connections": sum(crowd.last["connections"] for crowd in crowds),
            "delay_s": spread_s(waits_s, "a fresh alarm to the centre's word, through all kills"),
            "seconds": round(took_s, 1), "lost": len(verdict.missing), "doubled": len(verdict.twice), **verdict.counts(),
        }  # fmt: skip
        note("city-replay", found)
        assert verdict.sound, verdict
        assert stats["records"] == had
        assert len(waits_s) == GATEWAYS * LOAD.fresh
        assert sent > had, "nothing was ever sent twice: were the kills felt?"
        assert [consumer.bugs for consumer in city.consumers] == [0] * CONSUMERS
