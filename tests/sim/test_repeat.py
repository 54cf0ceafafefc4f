"""One seed is one run: in another process, under another hash seed, to the last byte of its trace."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.sim import run_seed

ROOT = Path(__file__).parents[2]
PROGRAM = "from tests.sim.sim import run_seed; r = run_seed({seed}, days=1.5); print(r.digest, r.turns, r.operations)"


def digest(seed: int, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(seed=seed)],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout.strip()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [6, 24])  # a GB/T 26875.3 centre; and one beside paths with a modem
def test_a_seed_gives_the_same_run_in_every_process(seed: int) -> None:
    first, second = digest(seed, "1"), digest(seed, "2")
    assert first == second
    assert len(first.split()) == 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("seed", "days", "faults"), [(39, 0.05, {"cut", "power"}), (84, 0.07, {"ENOSPC", "clock", "power"})]
)
def test_leaving_out_idle_rounds_changes_no_verdict(seed: int, days: float, faults: set[str]) -> None:
    """The same first hours, with an incident in them, with every round and without the idle ones: the same story, both hold."""
    cut, whole = run_seed(seed, days=days), run_seed(seed, days=days, skips=False)
    assert cut.violation is None
    assert whole.violation is None
    assert set(cut.faults) == faults, "else nothing is compared: choose another seed"
    told = cut.counts["accepted"]
    assert (cut.incidents, cut.faults, told) == (whole.incidents, whole.faults, whole.counts["accepted"])
    assert whole.turns > 2 * cut.turns
