"""scripts/evidence says how each step ended, does not repeat what was done, and cannot take an old result for a new one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.evidence import __main__ as evidence
from tests.evidence.rows import table
from tests.evidence.steps import STEPS, Step
from tests.waiting import eventually


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Steps are `python -m json.tool FILE`: a sound one ends well, another one does not."""
    (tmp_path / "sound.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


def step_of(name: str, file: Path, **counts: str) -> Step:
    return Step(name, 1, "", ("json.tool", str(file)), counts)


def accounts(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "evidence.json").read_text())["steps"])


def test_each_step_tells_how_it_ended_and_one_that_fails_ends_nothing_else(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (step_of("a", files / "broken.json"), step_of("b", files / "sound.json", EDGE_X="5"))
    monkeypatch.setattr(evidence, "STEPS", steps)
    out = files / "out"
    assert evidence.main([str(out)]) == 1
    found = accounts(out)
    assert {name: account["exit"] for name, account in found.items()} == {"a": 1, "b": 0}
    assert all(account["seconds"] >= 0 and account["commit"] for account in found.values())
    assert found["b"]["counts"] == {"EDGE_X": "5"}
    assert "FAILED, exit 1" in capsys.readouterr().out
    assert evidence.main([str(out), "b"]) == 0, "the steps that were asked for"


def test_what_was_done_on_this_commit_with_these_counts_is_not_done_again(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(evidence, "STEPS", (step_of("b", files / "sound.json", EDGE_X="5"),))
    monkeypatch.setattr(evidence, "commit", lambda: "abc1234")
    out = str(files / "out")

    def repeats(*named: str) -> bool:
        assert evidence.main([out, *named]) == 0
        return "done before" not in capsys.readouterr().out

    assert repeats()
    assert not repeats()
    assert repeats("b"), "it is named"
    monkeypatch.setenv("EDGE_X", "6")
    assert repeats(), "another count"
    monkeypatch.setattr(evidence, "commit", lambda: "abc1235")
    assert repeats(), "another commit"
    monkeypatch.setattr(evidence, "commit", lambda: "abc1235+")
    assert repeats() and repeats(), "files that differ from the commit"


def test_a_skipped_test_is_counted_and_is_no_success(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = files / "test_two.py"
    tests.write_text("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no card')\n")
    monkeypatch.setattr(evidence, "STEPS", (Step("c", 1, "", ("pytest", "-p", "no:cacheprovider", str(tests))),))
    out = files / "out"
    assert evidence.main([str(out)]) == 1
    account = accounts(out)["c"]
    assert (account["exit"], account["passed"], account["failed"], account["skipped"]) == (0, 1, 0, 1)


PROGRAM = """
import sys
from tests.evidence import __main__ as evidence
from tests.evidence.steps import Step
evidence.STEPS = (Step("slow", 1, "", ("http.server", "--bind", "127.0.0.1", "0")),)
sys.exit(evidence.main([sys.argv[1]]))
"""


def test_a_run_that_is_ended_ends_its_step_and_says_that_it_was_not_finished(tmp_path: Path) -> None:
    out, stale = tmp_path / "out", tmp_path / "out" / "slow" / "old.json"
    stale.parent.mkdir(parents=True)
    stale.write_text('{"lost": 0}')
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out)], cwd=evidence.ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        step = out / "slow" / "output.txt"
        eventually(lambda: step.exists() and "Serving" in step.read_text(), "the step runs")
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 143
    assert "NOT FINISHED" in said
    assert accounts(out)["slow"]["exit"] is None
    assert accounts(out)["slow"]["notes"] == {}, "what an earlier run left is not taken for this one's"
    port = int(step.read_text().split("port ")[1].split()[0])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 5):
        pass


def test_every_step_is_a_command_with_its_counts() -> None:
    assert [step.minutes for step in STEPS] == sorted(step.minutes for step in STEPS), "the shortest first"
    for step in STEPS:
        words = step.command("/out", os.environ)
        assert not any("{" in word for word in words)
        for word in words:
            if word.startswith("tests/"):
                assert (evidence.ROOT / word).exists(), word


def test_the_table_shows_what_was_lost_and_every_other_wrong() -> None:
    notes = {
        "good": {"fires": 5, "lost": 0, "doubled": 0, "delay_s": {"p50": 0.1, "max": 2, "of": "start to centre"}},
        "bad": {"kills": 9, "lost": 3, "doubled": 1, "altered": 2, "delay_s": {}},
        "figures": {"bounds": [{"what": "CPU", "value": 2, "bound": "<= 1", "holds": False}]},
    }
    good, bad, missed = list(table({"x": {"notes": notes}}))[1:]
    assert "5 fires" in good and "0.1 / 2 s  start to centre" in good and "{" not in good
    assert "9 kills" in bad and bad.endswith("-  {'altered': 2}")
    assert "CPU: 2, MISSES <= 1" in missed


@pytest.mark.parametrize("page", ["evidence", "matrix", "power", "simulation"])
def test_the_pages_name_files_counts_and_steps_that_are_there(page: str) -> None:
    text = (evidence.ROOT / "docs" / f"{page}.md").read_text("utf-8")
    for path in set(re.findall(r"(?<![\w-])tests/[\w/.-]+\w", text)):
        assert (evidence.ROOT / path).exists(), path
    rooms = (evidence.ROOT / "tests", evidence.ROOT / "benchmarks")
    used = "".join(file.read_text("utf-8") for room in rooms for file in room.rglob("*.py"))
    for variable in set(re.findall(r"\bEDGE_[A-Z_]+\b", text)):
        assert variable in used, variable
    steps = {step.name for step in STEPS}
    for named in re.findall(r"scripts/evidence DIR ([\w -]+)", text):
        assert set(named.split()) <= steps, named
