"""The whole agent under composed faults: every invariant holds, seed by seed. `scripts/simulate` runs as many more as one likes."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.sim.__main__ import seeds_of, spoken
from tests.sim.sim import run_seed
from tests.sim.story import ENOUGH, FAULTS

SEEDS = int(os.environ.get("EDGE_SEEDS", "200"))
DAYS = float(os.environ.get("EDGE_SEED_DAYS", "7"))
CHUNK = 5
FIRSTS = range(1, SEEDS + 1, CHUNK)


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all workers of this run: what each chunk of seeds has seen."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if hasattr(request.config, "workerinput") else base) / "simulated-faults"
    directory.mkdir(exist_ok=True)
    return directory


def test_a_run_has_at_least_one_seed() -> None:
    assert (seeds_of("3-5"), seeds_of("17")) == (range(3, 6), range(17, 18))
    for written in ("5-3", "x", "", "-3", "3-"):
        with pytest.raises(ValueError):
            seeds_of(written)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", FIRSTS)
def test_the_invariants_hold(first: int, tally: Path) -> None:
    faults: Counter[str] = Counter()
    for seed in range(first, min(first + CHUNK, SEEDS + 1)):
        found = run_seed(seed, days=DAYS)
        assert found.violation is None, spoken(found)
        assert found.days == pytest.approx(DAYS)
        faults.update(found.faults)
    written = tally / f"{first}.new"
    written.write_text(json.dumps(faults))
    written.rename(written.with_suffix(".json"))
    chunks = list(tally.glob("*.json"))
    if (
        len(chunks) == len(FIRSTS) and SEEDS * DAYS >= ENOUGH
    ):  # the last of them looks at all: each kind of fault has come
        seen = {name for chunk in chunks for name in json.loads(chunk.read_text())}
        assert seen == FAULTS, FAULTS ^ seen
