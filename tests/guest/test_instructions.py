"""What one alarm costs, in AArch64 instructions (matrix R4): the same twice, and no more than was written down before.

Counting takes minutes of an interpreted processor: EDGE_INSTRUCTIONS=1 asks for it. What judges the counts is tried in every run.
"""

import json
import os
from pathlib import Path

import pytest

from benchmarks.instructions import count, kept, total, verdict


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
    said = verdict(runs, 1000.0)
    assert len(said) == len(wrong) and all(part in whole for part, whole in zip(wrong, said, strict=True))


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not os.environ.get("EDGE_INSTRUCTIONS"), reason="set EDGE_INSTRUCTIONS=1: minutes of a processor")
async def test_an_alarm_costs_what_it_did_and_a_loop_that_is_planted_is_noticed(tmp_path: Path) -> None:
    planted = round(
        kept() * 0.0735
    )  # 6 %: turns with small numbers take four fifths of what `one_alarm` reckons by large ones
    first, second, slower = await count(tmp_path, 0, 0, planted)
    runs = [total(first), total(second)]
    growth = total(slower) / max(runs) - 1
    seen = {
        "instructions": runs,
        "kept": kept(),
        "planted": planted,
        "growth": round(growth, 4),
        "first": first,
    }
    print(json.dumps(seen))
    if into := os.environ.get("EDGE_EVIDENCE_DIR"):
        (Path(into) / "instructions.json").write_text(json.dumps(seen) + "\n")
    assert verdict(runs, kept()) == []
    assert 0.055 < growth < 0.065
    assert verdict([total(slower)], max(runs)) != []
