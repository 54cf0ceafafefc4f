"""python -m tests.evidence DIRECTORY [STEP...] | --list. scripts/evidence calls it.

Each step has a directory of its own with what it noted, what it printed, and `step.json`: command, counts, commit, exit code,
seconds, tests passed, failed and skipped. A step that ended well on this very commit with these counts is not run again unless it
is named.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.evidence.rows import table
from tests.evidence.steps import STEPS, Step

ROOT = Path(__file__).parents[2]
GRACE_S = 30.0


def commit() -> str:
    """What is being tried: a commit, with "+" if the files differ from it; "unknown" outside of git."""
    try:
        at = _git("rev-parse", "--short", "HEAD")
        return at + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> dict[str, object]:
    """Where it was run."""
    cpu = [line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    system = [line.partition("=")[2].strip('"') for line in _lines("/etc/os-release") if line.startswith("PRETTY_NAME")]
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cpus": os.cpu_count(),
        "system": system[0] if system else platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def _lines(path: str) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(path).read_text().splitlines()
    return []


def was_done(step: Step, account: dict[str, Any] | None, now: str) -> bool:
    """Whether it ended well on this commit with these counts. Files that differ from their commit are never the same."""
    if account is None or now == "unknown" or now.endswith("+"):
        return False
    return account["exit"] == 0 and account["commit"] == now and account["counts"] == step.chosen(os.environ)


def account_of(directory: Path) -> dict[str, Any] | None:
    """How this step ended last; None if it was never begun."""
    try:
        return dict(json.loads((directory / "step.json").read_text("utf-8")))
    except (OSError, ValueError):
        return None


def run(step: Step, directory: Path, at: str) -> dict[str, Any]:
    """Run one step; what an earlier run of it left is gone first. `exit` stays null in the file until it has ended."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    counts, report = step.chosen(os.environ), directory / "tests.xml"
    words = [sys.executable, "-m", *step.command(str(directory), os.environ)]
    if step.words[0] == "pytest":
        words.append(f"--junit-xml={report}")
    account: dict[str, Any] = {"step": step.name, "command": words[1:], "counts": counts, "commit": at, "exit": None}
    account |= {"started": datetime.now(UTC).isoformat(timespec="seconds"), "load_before": os.getloadavg()[0]}
    write(directory / "step.json", account)
    began_s = time.monotonic()
    with (directory / "output.txt").open("wb") as output:
        account["exit"] = follow(words, output.fileno(), os.environ | counts | {"EDGE_EVIDENCE_DIR": str(directory)})
    account |= {"seconds": round(time.monotonic() - began_s), "load_after": os.getloadavg()[0], **tests_of(report)}
    write(directory / "step.json", account)
    return account


def follow(words: Sequence[str], output: int, environ: dict[str, str]) -> int:
    """The exit code of a program that ends when we do, with all it started."""
    child = subprocess.Popen(
        words,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)  # its tests take down what they put up
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def tests_of(report: Path) -> dict[str, int]:
    """How many tests passed, failed and were skipped; nothing if it was no test run or died."""
    try:
        suite = ElementTree.parse(report).getroot().find("testsuite")
    except (OSError, ElementTree.ParseError):
        return {}
    if suite is None:
        return {}
    total, failed, skipped = (int(suite.get(key, "0")) for key in ("tests", "failures", "skipped"))
    failed += int(suite.get("errors", "0"))
    return {"passed": total - failed - skipped, "failed": failed, "skipped": skipped}


def write(path: Path, value: object) -> None:
    """As JSON, whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")
    new.rename(path)


def gather(out: Path) -> dict[str, Any]:
    """Everything there is, of every step: how it ended, and what it noted."""
    found: dict[str, Any] = {}
    for step in STEPS:
        directory = out / step.name
        if account := account_of(directory):
            notes = (path for path in sorted(directory.glob("*.json")) if path.name != "step.json")
            found[step.name] = account | {"notes": {path.stem: json.loads(path.read_text("utf-8")) for path in notes}}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Exit 0 if every step asked for ended well and skipped nothing, 1 if not, 64 for a wrong call."""
    parser = argparse.ArgumentParser(prog="scripts/evidence", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("steps", nargs="*", metavar="STEP", help="these, whatever was done before")
    parser.add_argument("--list", action="store_true", help="the steps, with their counts")
    options = parser.parse_args(argv)
    if options.list or options.directory is None:
        for step in STEPS:
            counts = " ".join(f"{name}={count}" for name, count in step.counts.items())
            print(f"{step.name:14} {step.minutes:4g} min  {step.what}  {counts}".rstrip())
        return 0 if options.list else 64
    known = {step.name: step for step in STEPS}
    if unknown := [name for name in options.steps if name not in known]:
        print(f"no such step: {' '.join(unknown)}; there are {' '.join(known)}", file=sys.stderr)
        return 64
    out, at = options.directory.resolve(), commit()
    out.mkdir(parents=True, exist_ok=True)
    write(out / "machine.json", machine())
    chosen = [step for step in STEPS if not options.steps or step.name in options.steps]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for step in chosen:
            if not options.steps and was_done(step, account_of(out / step.name), at):
                print(f"{step.name:14} done before on {at}", flush=True)
                continue
            print(f"{step.name:14} ...", flush=True)
            print(told(run(step, out / step.name, at)), flush=True)
    finally:
        found = gather(out)
        write(out / "evidence.json", {"machine": machine(), "steps": found})
        print("\n".join([*map(told, found.values()), "", *table(found), str(out / "evidence.json")]))
    ended = [account_of(out / step.name) or {} for step in chosen]
    return int(any(account.get("exit") != 0 or account.get("skipped") for account in ended))


def told(account: dict[str, Any]) -> str:
    """One line: how a step ended."""
    if account["exit"] is None:
        return f"{account['step']:14} NOT FINISHED ({account['commit']}, begun {account['started']})"
    tests = ", ".join(f"{account[key]} {key}" for key in ("passed", "failed", "skipped") if account.get(key))
    end = "ok" if account["exit"] == 0 else f"FAILED, exit {account['exit']}"
    return f"{account['step']:14} {end:16} {account['seconds']:6} s  {account['commit']:9} {tests}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
