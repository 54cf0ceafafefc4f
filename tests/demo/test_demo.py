"""The product's handshake: the whole story as a user starts it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pexpect
import pytest

from edge_agent.demo import Fire, Outcome
from edge_agent.demo_show import wrap
from edge_agent.terminal import cells
from tests.waiting import PATIENCE_S

COMMAND = [sys.executable, "-m", "edge_agent", "demo"]
# Without PYTHONUNBUFFERED, as at a user's: what is told must come through a pipe when it happens.
PLAIN = {key: value for key, value in os.environ.items() if key not in ("PYTHONUNBUFFERED", "EDGE_DEMO_BROKER")}


def play(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=250, env={**PLAIN, **environ}, check=False
    )


@pytest.fixture
def directory() -> Iterator[Path]:
    """Where a demo makes its own: short, because a Unix socket's path is."""
    made = Path(tempfile.mkdtemp(prefix="d-", dir="/tmp"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def commands_that_name(directory: Path) -> list[str]:
    """Command lines of the processes that were given this directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_text(errors="replace")
        except OSError:  # it has ended
            continue
        if str(directory) in line:
            found.append(line)
    return found


@pytest.mark.parametrize("broker", ["mosquitto", "iotcore"])
def test_every_fire_of_the_story_is_heard_kept_and_delivered_once_and_told_in_its_order(
    broker: str, directory: Path
) -> None:
    done = play("--json", "--seconds", "200", EDGE_DEMO_BROKER=broker, TMPDIR=str(directory))
    assert done.returncode == 0, done.stderr + done.stdout
    told = json.loads(done.stdout)
    counts = {key: told[key] for key in ("raised", "heard", "kept", "delivered", "lost", "waiting", "duplicates")}
    assert counts == {"raised": 3, "heard": 3, "kept": 3, "delivered": 3, "lost": 0, "waiting": 0, "duplicates": 0}
    assert told["broker"] == told["timeline"][0]["broker"] == broker
    assert told["finished"]
    assert 0 < told["took_s"] < 200
    assert list(directory.iterdir()) == []
    first, second, pressed = told["fires"]
    assert 0 < first["buzzer_ms"] < first["confirmed_ms"]
    assert 0 < first["durable_ms"] < first["confirmed_ms"] == told["confirmed_ms"]
    assert second["confirmed_ms"] is pressed["confirmed_ms"] is pressed["buzzer_ms"] is None
    assert told["buzzer_ms"] == max(first["buzzer_ms"], second["buzzer_ms"])
    assert told["durable_ms"] == max(first["durable_ms"], second["durable_ms"])
    check_timeline(told["timeline"])


def check_timeline(timeline: list[dict[str, Any]]) -> None:
    """The scenes come in their order."""
    scenes = iter([(scene["who"], scene["what"]) for scene in timeline])
    wanted = [
        ("site", "started"),
        ("core", "up"),
        ("bus", "reading"),
        ("bus", "dead_slave"),
        ("panel", "fire"),
        ("buzzer", "heard"),
        ("journal", "kept"),
        ("centre", "delivered"),
        ("link", "cut"),
        ("core", "cut_seen"),
        ("panel", "fire"),
        ("buzzer", "heard"),
        ("journal", "kept"),
        ("core", "killed"),
        ("person", "call_point"),
        ("core", "restarted"),
        ("buzzer", "heard_again"),
        ("journal", "kept_late"),
        ("link", "healed"),
        ("centre", "caught_up"),
        ("panel", "reset"),
        ("core", "quiet"),
        ("centre", "even"),
    ]
    assert [scene for scene in wanted if scene not in scenes] == [], timeline
    times = [scene["at_s"] for scene in timeline]
    assert times == sorted(times)
    assert all(isinstance(scene.get("ms", 0.0), float | int) for scene in timeline)


def watch(lang: str) -> tuple[int | None, str]:
    """The whole story in a terminal of 80 columns: its exit code, and all that was shown."""
    child = pexpect.spawn(
        COMMAND[0],
        ["-m", "edge_agent", "--lang", lang, "demo", "--seconds", "200"],
        dimensions=(24, 80),
        encoding="utf-8",
        timeout=250,
        env={**PLAIN, "TERM": "xterm"},
    )
    child.expect(pexpect.EOF)
    child.close()
    return child.exitstatus, child.before


@pytest.mark.slow
def test_the_story_is_told_within_80_columns_in_both_languages() -> None:
    words = {
        "zh": ["火警, 编号 365089", "县中心", "已保存", "链路断 xx", "核心进程(停)", "丢失 0", "用时"],
        "en": ["fire at 365089", "has stored it", "link CUT xx", "core(DOWN)", "lost 0", "It took"],
    }
    with ThreadPoolExecutor() as both:  # most of the time are pauses in which a person reads along
        told = dict(zip(words, both.map(watch, words), strict=True))
    for lang, (code, said) in told.items():
        assert code == 0, said
        assert "\x1b[3A\x1b[J" in said  # the picture changes in place
        shown = re.sub(r"\x1b\[\d*[A-Z]", "", said)
        assert [line for line in shown.split("\r\n") if cells(line) > 79] == []
        assert [word for word in words[lang] if word not in shown] == [], shown


def test_plain_lines_are_told_into_a_pipe() -> None:
    done = play("--lang", "en", "--seconds", "200")
    assert done.returncode == 0, done.stdout
    assert "\x1b" not in done.stdout
    assert "panel >> core >> buzzer SOUNDS" in done.stdout
    assert done.stdout.isascii()


def test_a_bound_ends_the_story_early_and_says_so(directory: Path) -> None:
    done = play("--json", "--seconds", "1", "--lang", "en", TMPDIR=str(directory))
    told = json.loads(done.stdout)
    assert done.returncode == 2
    assert not told["finished"]
    assert "Time is up" in told["stopped"]
    assert told["took_s"] < 60
    assert list(directory.iterdir()) == []
    assert commands_that_name(directory) == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [("2400 8N1", signal.SIGINT), ("2400 8N1", signal.SIGHUP), ("fire at", signal.SIGINT), ("fire at", signal.SIGTERM)],
)
def test_an_interruption_leaves_no_process_and_no_directory_behind(
    moment: str, number: signal.Signals, directory: Path
) -> None:
    environ = {**PLAIN, "TMPDIR": str(directory)}
    command = [*COMMAND, "--lang", "en"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as child:
        assert child.stdout is not None
        while moment not in (line := child.stdout.readline()):
            assert line, child.communicate()
        assert commands_that_name(directory)
        child.send_signal(number)
        child.send_signal(number)  # an impatient one does not keep it from tidying up
        _, said = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, said) == (130, "The demo was interrupted, and has tidied up.\n")
    assert list(directory.iterdir()) == []
    assert commands_that_name(directory) == []


def test_ctrl_c_in_a_terminal_ends_it_too(directory: Path) -> None:
    child = pexpect.spawn(
        COMMAND[0], COMMAND[1:], encoding="utf-8", timeout=60, env={**PLAIN, "TERM": "xterm", "TMPDIR": str(directory)}
    )
    child.expect("2400 8N1")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert list(directory.iterdir()) == []
    assert commands_that_name(directory) == []


def test_no_broker_is_said_with_the_next_step() -> None:
    done = play("--lang", "en", EDGE_DEMO_BROKER="none-of-these")
    assert done.returncode == 2
    assert "apt-get install -y mosquitto" in done.stderr


def test_a_core_that_ends_is_named_with_its_log_and_the_logs_stay(directory: Path) -> None:
    (directory / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if sys.orig_argv[-1] == 'run' and '--config' in sys.orig_argv:\n"
        "    os.write(2, b'made to fail by a test\\n'); os._exit(3)\n"
    )
    done = play("--json", "--lang", "en", PYTHONPATH=str(directory), TMPDIR=str(directory))
    told = json.loads(done.stdout)
    assert done.returncode == 2
    assert "the program core ended by itself" in told["stopped"]
    assert "core: made to fail by a test" in done.stderr
    (kept,) = directory.glob("zg-*")
    assert str(kept) in told["stopped"]
    assert (kept / "core.log").exists()
    assert commands_that_name(directory) == []


@pytest.mark.parametrize("width", [10, 20, 61])
@pytest.mark.parametrize(
    "line", ["核心进程保存的 12 条, 其中 0 条, 还没有送到。", "a link that is cut, and a core-that-was-killed", ""]
)
def test_wrapping_keeps_every_word_and_the_width(line: str, width: int) -> None:
    lines = wrap(line, width)
    assert "".join("".join(lines).split()) == "".join(line.split())
    longest = max((cells(word) for word in line.split() if word.isascii()), default=0)
    assert all(cells(one) <= max(width, longest) + 1 for one in lines)


def good() -> Outcome:
    fire = Fire("p", event_id="e", heard=True, kept=True, delivered=True)
    return Outcome(fires=[fire], finished=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda outcome: setattr(outcome, "lost", 1),
        lambda outcome: setattr(outcome, "waiting", 1),
        lambda outcome: setattr(outcome, "duplicates", 1),
        lambda outcome: setattr(outcome, "finished", False),
        lambda outcome: setattr(outcome.fires[0], "heard", False),
        lambda outcome: setattr(outcome.fires[0], "kept", False),
        lambda outcome: setattr(outcome.fires[0], "delivered", False),
        lambda outcome: outcome.fires.clear(),
    ],
)
def test_one_broken_promise_is_enough_to_fail(spoil: object) -> None:
    outcome = good()
    assert outcome.good
    spoil(outcome)  # type: ignore[operator]
    assert not outcome.good
