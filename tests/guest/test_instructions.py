"""What an event costs, in AArch64 instructions (matrix R4): the same twice, and no more than was written down before.

Counting takes minutes of an interpreted processor: EDGE_INSTRUCTIONS=1 asks for it. What judges the counts is tried in every run,
and so are the four steps themselves, on this machine.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.instructions import FLOOR, count, figures, kept, verdict

GROWTH = 0.06  # of the loop that is planted: a bound of 5 % has to notice it
MORE_OR_LESS = 0.01


@pytest.mark.parametrize(
    ("runs", "wrong"),
    [
        ([1000.0, 1009.0], []),
        ([1049.0, 1041.0], []),
        ([1000.0, 1020.0], ["two runs differ"]),
        ([1060.0, 1061.0], ["more than the 1000"]),
        ([900.0, 1060.0], ["two runs differ", "more than the 1000"]),
    ],
)
def test_two_runs_are_alike_and_cost_no_more_than_what_is_kept(runs: list[float], wrong: list[str]) -> None:
    said = verdict([{"way": 10.0, "steps": run} for run in runs], {"way": 10.0, "steps": 1000.0})
    assert len(said) == len(wrong) and all(part in whole for part, whole in zip(wrong, said, strict=True))


def test_the_four_steps_have_a_floor_and_the_whole_way_has_not() -> None:
    over = FLOOR + 1.0
    (wrong,) = verdict([{"way": over, "steps": over}], {"way": over, "steps": over})
    assert "steps" in wrong and str(FLOOR) in wrong


def test_the_four_steps_run_and_their_sum_is_the_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.four_steps", str(tmp_path), "--events", "10", "--warm", "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found = json.loads(done.stdout)
    assert figures(found).keys() == kept().keys() - {"way"}
    for part in found.values():
        steps = sum(part[f"{step}_ns"] for step in ("decode", "json", "kept", "encode"))
        assert 0 < steps <= part["event_ns"] and part["bytes"] > 300


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not os.environ.get("EDGE_INSTRUCTIONS"), reason="set EDGE_INSTRUCTIONS=1: minutes of a processor")
async def test_an_event_costs_what_it_did_and_a_loop_that_is_planted_is_noticed(tmp_path: Path) -> None:
    before = kept()
    nothing = dict.fromkeys(before, 0.0)
    found = await count(tmp_path, nothing, nothing, {name: GROWTH * value for name, value in before.items()})
    first, second, slower = map(figures, found)
    most = {name: max(first[name], second[name]) for name in before}
    growth = {name: round(slower[name] / most[name] - 1, 4) for name in before}
    seen = {
        "instructions": [first, second],
        "kept": before,
        "floor": FLOOR,
        "growth": growth,
        "first": found[0],
    }
    print(json.dumps(seen))
    if into := os.environ.get("EDGE_EVIDENCE_DIR"):
        (Path(into) / "instructions.json").write_text(json.dumps(seen) + "\n")
    assert verdict([first, second], before) == []
    assert all(abs(more - GROWTH) < MORE_OR_LESS for more in growth.values()), growth
    for name in before:
        assert verdict([{name: slower[name]}], {name: most[name]}) != []
