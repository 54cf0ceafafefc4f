"""Three days without a centre and more to keep than there is room for: no alarm goes, the rest goes by its rank and is told.

Every run takes two seeds of a site of 20 points with a tenth of the rate and of the room; `EDGE_OFFLINE_SEEDS` as many of one of
200 points in full.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.proof.site import note

ROOT = Path(__file__).parents[2]
FULL = int(os.environ.get("EDGE_OFFLINE_SEEDS", "0"))
SEEDS = range(1, (FULL or 2) + 1)
POINTS, TIMES = (200, 10) if FULL else (20, 1)
BEYOND_BYTES = 1 << 20  # a -wal of 200 pages, and the margin in which an alarm makes its room
SETTLED_H = 24  # by then every bound has been met
GROWTH_MB = 4.0


def three_days(directory: Path, seed: int, points: int, times: int, *planted: str) -> dict[str, Any]:
    """What a program of its own tells of one seed."""
    words = (str(directory), str(seed), str(points), str(times), *planted)
    command = [sys.executable, "-m", "tests.buffer.offline", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def broken(account: dict[str, Any]) -> list[str]:
    """What of the promise does not hold, by its name."""
    streams, rss_mb = account["streams"], account["rss_mb"]
    telemetry = streams["telemetry"]
    promise = {
        "an alarm was lost": streams["alarms"]["lost"] == 0 and streams["alarm"]["kept"] == streams["alarm"]["offered"],
        "alarms out of order": streams["alarms"]["in_order"],
        "a record was refused": not account["refused"],
        "a loss was not told": all(streams[name]["untold"] == 0 for name in ("alarm", "fault", "status", "telemetry")),
        "telemetry was not thinned": telemetry["gaps"].get("thinned", 0) > 0 and telemetry["kept"] > 0,
        "the newest readings went": telemetry["kept_of_each_half"][1] > telemetry["kept_of_each_half"][0],
        "faults went before status": streams["status"]["kept"] < streams["status"]["offered"] / 10
        or streams["fault"]["kept"] == streams["fault"]["offered"],
        "a file outgrew its room": all(
            account["largest"][name] <= account["budgets"][name] + BEYOND_BYTES for name in account["budgets"]
        ),
        "memory grew": max(rss_mb[SETTLED_H:]) - rss_mb[SETTLED_H] < GROWTH_MB,
        "there was room for all": streams["fault"]["kept"] < streams["fault"]["offered"],
    }
    return [what for what, holds in promise.items() if not holds]


@pytest.mark.timeout(3600 if FULL else 900)
@pytest.mark.parametrize("seed", SEEDS)
def test_three_days_without_a_centre_cost_no_alarm(tmp_path: Path, seed: int) -> None:
    account = three_days(tmp_path / "j", seed, POINTS, TIMES)
    rss_mb, alarm = account["rss_mb"], account["streams"]["alarm"]
    found = {
        "alarms": alarm["offered"],
        "lost": account["streams"]["alarms"]["lost"],
        "doubled": max(0, alarm["kept"] - alarm["offered"]),
        "rss_mb": [rss_mb[0], rss_mb[SETTLED_H], max(rss_mb)],
    }
    note(f"offline-{seed}", {**account, **found})
    assert broken(account) == [], account


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ("alarms-go", "an alarm was lost"),
        ("no-gaps", "a loss was not told"),
        *([("never-thin", "telemetry was not thinned")] if FULL else []),
    ],
)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str, found: str) -> None:
    assert found in broken(three_days(tmp_path / "j", 1, 20, 1, bug))
