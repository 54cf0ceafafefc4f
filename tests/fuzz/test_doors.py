"""Nothing anybody sends to any door is uncaught, slow or large. EDGE_FUZZ_EXAMPLES inputs a door (15; for evidence 2 000), and the
coverage-guided fuzzer EDGE_FUZZ_GUIDED_S seconds at each (0: not at all; for evidence 20).
"""

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.doors import DOORS, Door
from tests.fuzz.judge import Judge, inputs
from tests.proof.site import note

EXAMPLES = int(os.environ.get("EDGE_FUZZ_EXAMPLES", "15"))
GUIDED_S = int(os.environ.get("EDGE_FUZZ_GUIDED_S", "0"))
ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0  # around the fuzzer's own time at a door
IMPORT_S = 900.0  # of the product with instruments: ten seconds, on a machine that does nothing else
SHARES = 4  # processes that may stand side by side


def judged(door: Door, examples: int) -> Judge:
    judge = Judge(door)
    judge.warm()

    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
        deadline=None,
    )
    @given(inputs(door))
    def run(data: bytes) -> None:
        judge.try_one(data)

    run()
    return judge


@pytest.mark.timeout(0 if EXAMPLES > 100 else 300)
@pytest.mark.parametrize("name", DOORS)
def test_nothing_anybody_sends_is_uncaught_slow_or_large(name: str) -> None:
    judge = judged(DOORS[name], EXAMPLES)
    note(f"fuzz-{name}", judge.report())
    assert judge.wrong == []
    assert judge.inputs >= min(EXAMPLES, 10)


GUIDED = [
    pytest.mark.skipif(not GUIDED_S, reason="EDGE_FUZZ_GUIDED_S says for how many seconds each door is tried"),
    pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not here: pip install --group fuzz"),
    pytest.mark.timeout(0),
]
guided = [pytest.param(list(DOORS)[n::SHARES], marks=GUIDED, id=str(n)) for n in range(SHARES)]


@pytest.mark.parametrize("names", guided)
def test_nothing_a_coverage_guided_fuzzer_finds_is_uncaught_slow_or_large(names: list[str], tmp_path: Path) -> None:
    told = run_guided(tmp_path, GUIDED_S, names)
    assert (told.returncode, [path.read_bytes().hex() for path in tmp_path.glob("*/found/*")]) == (0, []), told.stderr[
        -3000:
    ]
    wrong: list[str] = []
    for name in names:
        judge = Judge(DOORS[name])
        judge.warm()
        for path in sorted((tmp_path / name / "corpus").iterdir()):
            judge.try_one(path.read_bytes())
        note(f"guided-{name}", {**judge.report(), "executions": executions(tmp_path / name), "seconds": GUIDED_S})
        wrong += [f"{name}: {one}" for one in judge.wrong]
    assert wrong == []


@pytest.mark.parametrize("names", [pytest.param(["planted"], marks=GUIDED)])
def test_the_coverage_guided_fuzzer_finds_what_nobody_finds_blindly(names: list[str], tmp_path: Path) -> None:
    assert run_guided(tmp_path, 60, names).returncode
    [found] = tmp_path.glob("planted/found/*")
    assert found.read_bytes()[:4] == b"FIRE"


def run_guided(directory: Path, seconds: int, names: list[str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.fuzz.guided", str(directory), str(seconds), *names]
    patience_s = IMPORT_S + len(names) * (seconds + PATIENCE_S)
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=patience_s, check=False
    )


def executions(directory: Path) -> int:
    """How many inputs the fuzzer tried."""
    lines = (directory / "log").read_text("utf-8", "replace").splitlines()
    return next(int(line.rpartition(" ")[2]) for line in lines if "number_of_executed_units" in line)


# --- planted: each detector finds what it is there for ------------------------------------------------------------------------


def planted(door: Door, what: str) -> Door:
    def take(data: bytes) -> None:
        door.take(data)
        if len(data) < 40:  # nearly all are; the longest so far is always measured
            return
        if what == "raises":
            raise IndexError("planted")
        if what == "slow":
            until = time.thread_time() + 0.012
            while time.thread_time() < until:
                pass
        if what == "large":
            list(range(100_000))

    return Door(door.name, take, door.seeds)


@pytest.mark.parametrize(("what", "word"), [("raises", "planted"), ("slow", " ms: "), ("large", " bytes: ")])
def test_a_door_that_raises_one_that_is_slow_and_one_that_is_large_are_found(what: str, word: str) -> None:
    assert any(word in one for one in judged(planted(DOORS["dlt645"], what), 60).wrong)


def test_a_codec_that_keeps_what_it_was_given_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from drivers.codecs.base import Codec

    monkeypatch.setattr(Codec, "tick", lambda self, now_ns: [])
    assert any("keeps bytes" in one for one in judged(DOORS["panel-gst-layer-bus"], 30).wrong)
