"""kill -9 of core, uplink and both, with the link up, cut and frozen: nothing accepted is lost, nothing is there twice.

EDGE_KILLS sets the kills at each rate (scripts/evidence: 50), EDGE_SEED the seed of the moments. 24 are one whole rotation: each
target with each state of the link, and each whose link is down with a second kill and without.
"""

import os

import pytest

from tests.proof.kills import Matrix
from tests.proof.site import ProofSite, note

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("EDGE_KILLS", "24"))
SEED = int(os.environ.get("EDGE_SEED", "20261124"))


@pytest.mark.parametrize("rate", [None, 200.0, 10.0], ids=["full", "200", "10"])
async def test_kill_9_loses_nothing_accepted_and_doubles_nothing(rate: float | None) -> None:
    async with ProofSite() as site:
        outcome = await Matrix(site, rate=rate, kills=KILLS, seed=SEED + int(rate or 0)).run()
    found = outcome.found
    note(f"kills-{'full' if rate is None else round(rate)}", found)
    assert outcome.verdict.sound, outcome.verdict
    assert found["names_given_twice"] == 0
    assert found["declared_lost"] == 0
    assert int(str(found["accepted"])) > KILLS, "the panel was hardly heard"
