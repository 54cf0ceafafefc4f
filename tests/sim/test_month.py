"""Thirty simulated days: memory does not grow, descriptors do not gather."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MB_A_DAY, DESCRIPTORS = 1.0, 8
PROGRAM = """
import json, logging, os
from pathlib import Path
from tests.sim.sim import Sim
from tests.sim.story import story

def look():
    kept.append((bytearray(b"\1") * {leak_bytes}, open("/dev/null") if {leak_bytes} else None))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    day = sim.world.now_s / 86400
    seen.append((day, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, len(os.listdir("/proc/self/fd"))))

kept, seen, sim = [], [], Sim({seed})
logging.disable(logging.CRITICAL)
found = sim.run({days}, story, each_day=look)
print(json.dumps({{"violation": str(found.violation or ""), "seen": seen, "incidents": found.incidents, "awake_s": found.awake_s}}))
"""


def lived(days: int, *, leak_bytes: int = 0) -> dict[str, Any]:
    """The account of so many days in a process of its own, which keeps so much, and a file open, at each look."""
    program = PROGRAM.format(seed=3, days=days, leak_bytes=leak_bytes)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    account = dict(json.loads(done.stdout))
    assert account["violation"] == ""
    return account


def grown(account: dict[str, Any], after: int) -> tuple[float, int]:
    """MB a day, and the span of the descriptors, without the first looks."""
    days, rss, descriptors = zip(*account["seen"][after:], strict=True)
    return statistics.linear_regression(days, rss).slope, max(descriptors) - min(descriptors)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thirty_days_cost_no_memory_and_no_descriptors() -> None:
    account = lived(30)
    days, rss, descriptors = zip(*account["seen"][4:], strict=True)  # the first days fill caches
    assert len(days) >= 12  # a day without an incident is slept through and not looked at
    assert days[-1] - days[0] > 15
    slope, span = grown(account, 4)
    assert slope < MB_A_DAY, account["seen"]
    assert span <= DESCRIPTORS, account["seen"]
    print(f"{slope:.3f} MB a day, {min(descriptors)}-{max(descriptors)} descriptors, {account['incidents']} incidents")
    if directory := os.environ.get("EDGE_EVIDENCE_DIR"):
        found = {"mb_a_day": round(slope, 3), "rss_mb": rss[-1], "descriptors": [min(descriptors), max(descriptors)]}
        (Path(directory) / "month.json").write_text(
            json.dumps(found | {"incidents": account["incidents"]}) + "\n", "utf-8"
        )


@pytest.mark.skipif("EDGE_PLANTED" not in os.environ, reason="more simulated days: EDGE_PLANTED=1")
def test_a_leak_is_found_out() -> None:
    """The planted bug: two megabytes and a descriptor at each look, about once a day."""
    slope, span = grown(lived(20, leak_bytes=2 << 20), 2)
    assert slope > MB_A_DAY
    assert span > DESCRIPTORS
