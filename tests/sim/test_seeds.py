"""The whole agent under composed faults: every invariant holds, seed by seed. `scripts/simulate` runs as many more as one likes."""

import os

import pytest

from tests.sim.__main__ import spoken
from tests.sim.sim import run_seed

SEEDS = int(os.environ.get("EDGE_SEEDS", "200"))
DAYS = float(os.environ.get("EDGE_SEED_DAYS", "7"))
CHUNK = 5


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_the_invariants_hold(first: int) -> None:
    for seed in range(first, min(first + CHUNK, SEEDS + 1)):
        found = run_seed(seed, days=DAYS)
        assert found.violation is None, spoken(found)
        assert found.days == pytest.approx(DAYS)
