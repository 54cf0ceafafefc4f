"""python -m tests.sim --seeds A-B [--days N] [--jobs N] [--trace N] [--uncut] [--json FILE]. scripts/simulate calls it."""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tests.proof.checker import spread_s
from tests.sim.sim import Result, run_seed
from tests.sim.story import ENOUGH, FAULTS


def spoken(found: Result) -> str:
    """One line for a run, in the language of the terminal."""
    zh = os.environ.get("LC_ALL", os.environ.get("LC_MESSAGES", os.environ.get("LANG", ""))).startswith("zh")
    kept, took = found.counts.get("accepted", 0), found.cpu_s
    if found.violation is None:
        if zh:
            return f"种子 {found.seed}: 通过, {found.days:.1f} 天, {found.incidents} 次事件, {kept} 条记录, 用时 {took:.1f} 秒"
        return f"seed {found.seed}: holds, {found.days:.1f} days, {found.incidents} incidents, {kept} records, {took:.1f} s"
    repeat = f"scripts/simulate --seeds {found.seed}-{found.seed} --days {found.asked_days:g}"
    trace = "\n".join(f"  {line}" for line in found.trace[-20:])
    if zh:
        return f"种子 {found.seed}: 违反 {found.violation}\n{trace}\n  重现: {repeat}"
    return f"seed {found.seed}: BROKEN {found.violation}\n{trace}\n  repeat: {repeat}"


def total(counted: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several counts, by name."""
    return dict(sorted(sum((Counter(one) for one in counted), Counter()).items()))


def rows(found: list[Result]) -> dict[str, dict[str, Any]]:
    """For the table of the evidence: what waited how long, outages included. Runs that broke I1 have lost, I2 doubled."""

    def row(of: str, *kinds: str) -> dict[str, Any]:
        waits_s = [wait_s for result in found for kind in kinds for wait_s in result.waits_s[kind]]
        broke = Counter(result.violation.invariant for result in found if result.violation is not None)
        count = {"count": len(waits_s), "lost": broke["I1"], "doubled": broke["I2"]}
        return count | {"delay_s": spread_s(waits_s, of, "simulated")}

    return {
        "simulation-alarms": row("kept to each honest centre's commit", "alarms"),
        "simulation-all": row("kept to each honest centre's commit", "alarms", "others"),
        "simulation-gb": row("kept to there at the GB centre", "at GB centre"),
        "simulation-briefs": row("kept to told in brief", "briefs"),
        "simulation-moves": row("path lost to the session on the other", "moves"),
    }


def seeds_of(written: str) -> range:
    """A-B or A, at least one: no seed at all would be a run that holds and has looked at nothing. Raise ValueError."""
    first, dash, last = written.partition("-")
    seeds = range(int(first), int(last if dash else first) + 1)
    if not seeds:
        raise ValueError(written)
    return seeds


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/simulate")
    parser.add_argument("--seeds", required=True, type=seeds_of, help="A-B, or one")
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--uncut", action="store_true", help="leave no idle round out")
    parser.add_argument("--json", type=Path, help="the accounts, for scripts/evidence")
    options = parser.parse_args()
    seeds = options.seeds
    started_s = time.monotonic()
    found: list[Result] = []
    with ProcessPoolExecutor(options.jobs) as pool:
        for result in pool.map(partial(run_seed, days=options.days, skips=not options.uncut), seeds):
            found.append(result)
            print(spoken(result), flush=True)
    broken = [result.seed for result in found if result.violation is not None]
    account: dict[str, Any] = {
        "seeds": len(found),
        "days": sum(result.days for result in found),
        "awake_h": round(sum(result.awake_s for result in found) / 3600, 1),
        "incidents": sum(result.incidents for result in found),
        "records": sum(result.counts.get("accepted", 0) for result in found),
        "broken": broken,
        "cpu_s": round(sum(result.cpu_s for result in found), 1),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    faults, counts = total(result.faults for result in found), total(result.counts for result in found)
    never = sorted(FAULTS - faults.keys()) if account["days"] >= ENOUGH else []
    account |= {"faults": faults, "counts": counts, "never": never}
    account["rows"] = rows(found)
    print(json.dumps(account, ensure_ascii=False))
    if options.json:
        runs = [
            asdict(result) | {"violation": str(result.violation or ""), "trace": [], "waits_s": {}} for result in found
        ]
        options.json.write_text(json.dumps(account | {"runs": runs}, ensure_ascii=False) + "\n", "utf-8")
    return int(bool(broken or never))


if __name__ == "__main__":
    sys.exit(main())
