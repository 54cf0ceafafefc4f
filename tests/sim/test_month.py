"""Thirty simulated days: memory does not grow, descriptors do not gather."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MB_A_DAY = 1.0
PROGRAM = """
import json, logging, os
from pathlib import Path
from tests.sim.sim import Sim
from tests.sim.story import story

def look():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    day = sim.world.now_s / 86400
    seen.append((day, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir("/proc/self/fd"))))

seen, sim = [], Sim({seed})
logging.disable(logging.CRITICAL)
found = sim.run({days}, story, each_day=look)
print(json.dumps({{"violation": str(found.violation or ""), "seen": seen, "incidents": found.incidents, "awake_s": found.awake_s}}))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_days_cost_no_memory_and_no_descriptors() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(seed=3, days=30)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    account = json.loads(done.stdout)
    assert account["violation"] == ""
    days, rss, descriptors = zip(*account["seen"][4:], strict=True)  # the first days fill caches
    slope = statistics.linear_regression(days, rss).slope
    assert len(days) >= 12  # a day without an incident is slept through and not looked at
    assert days[-1] - days[0] > 15
    assert slope < MB_A_DAY, account["seen"]
    assert max(descriptors) - min(descriptors) <= 8, account["seen"]
    print(f"{slope:.3f} MB a day, {min(descriptors)}-{max(descriptors)} descriptors, {account['incidents']} incidents")
    if directory := os.environ.get("EDGE_EVIDENCE_DIR"):
        found = {"mb_a_day": round(slope, 3), "rss_mb": rss[-1], "descriptors": [min(descriptors), max(descriptors)]}
        (Path(directory) / "month.json").write_text(
            json.dumps(found | {"incidents": account["incidents"]}) + "\n", "utf-8"
        )
