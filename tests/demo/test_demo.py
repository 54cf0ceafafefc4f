"""The product's handshake: the whole story as a user starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from edge_agent.demo import Fire, Outcome

COMMAND = [sys.executable, "-m", "edge_agent", "demo"]


def play(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=100, env={**os.environ, **environ}, check=False
    )


@pytest.mark.parametrize("broker", ["mosquitto", "iotcore"])
def test_every_fire_of_the_story_is_heard_kept_and_delivered_once(broker: str) -> None:
    done = play("--json", EDGE_DEMO_BROKER=broker)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    counts = {key: told[key] for key in ("raised", "heard", "kept", "delivered", "lost", "duplicates")}
    assert counts == {"raised": 3, "heard": 3, "kept": 3, "delivered": 3, "lost": 0, "duplicates": 0}
    assert 0 < told["buzzer_ms"] < told["confirmed_ms"]
    assert 0 < told["durable_ms"] < told["confirmed_ms"]
    order = [scene["what"] for scene in told["timeline"]]
    wanted = [
        "fire",
        "heard",
        "kept",
        "delivered",
        "cut",
        "fire",
        "killed",
        "restarted",
        "heard_again",
        "healed",
        "caught_up",
    ]
    remaining = iter(order)
    assert all(scene in remaining for scene in wanted), order
    assert told["timeline"][0]["broker"] == broker


@pytest.mark.parametrize(
    ("lang", "words"), [("zh", ["火警", "县中心已保存", "丢失 0"]), ("en", ["fire at", "stored it", "lost 0"])]
)
def test_the_story_is_told_on_an_80_column_terminal_in_both_languages(lang: str, words: list[str]) -> None:
    child = pexpect.spawn(
        COMMAND[0],
        [*COMMAND[1:], "--lang", lang, "--seconds", "90"],
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=100,
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert all(word in child.before for word in words), child.before


def test_a_bound_ends_the_story_early_and_says_so() -> None:
    started_s = time.monotonic()
    done = play("--seconds", "1", "--lang", "en")
    assert done.returncode == 2
    assert "Time is up" in done.stdout
    assert time.monotonic() - started_s < 60


def command_line(process: Path) -> str:
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def test_ctrl_c_leaves_no_process_and_no_directory_behind(tmp_path: Path) -> None:
    # Without PYTHONUNBUFFERED, as at a user's: what is told must come through a pipe when it happens.
    env = {**{k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True, env=env)
    assert child.stdout is not None
    while "2400 8N1" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode != 0
    assert list(tmp_path.iterdir()) == []
    assert [one for one in Path("/proc").glob("[0-9]*") if str(tmp_path) in command_line(one)] == []


def good() -> Outcome:
    fire = Fire("p", event_id="e", heard=True, delivered=True)
    return Outcome(fires=[fire], kept=1, finished=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda outcome: setattr(outcome, "lost", 1),
        lambda outcome: setattr(outcome, "duplicates", 1),
        lambda outcome: setattr(outcome, "kept", 0),
        lambda outcome: setattr(outcome, "finished", False),
        lambda outcome: setattr(outcome.fires[0], "heard", False),
        lambda outcome: setattr(outcome.fires[0], "delivered", False),
        lambda outcome: outcome.fires.clear(),
    ],
)
def test_one_broken_promise_is_enough_to_fail(spoil: object) -> None:
    outcome = good()
    assert outcome.good
    spoil(outcome)  # type: ignore[operator]
    assert not outcome.good
