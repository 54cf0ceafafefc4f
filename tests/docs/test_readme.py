"""What the README says to type works as it stands, in a directory of its own, without root."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.brokers import Broker
from tests.waiting import PATIENCE_S, eventually

ROOT = Path(__file__).parents[2]
READMES = ("README.md", "README.zh.md")


def first_words(readme: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / readme).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [re.split(r"\s+#", line)[0] for block in blocks for line in block.strip().splitlines()]


def test_both_say_to_type_the_same_the_demo_and_the_tests_first() -> None:
    ours, theirs = map(first_words, READMES)
    assert ours == theirs
    assert ours[:2] == ["scripts/demo", "scripts/test"]
    assert all(os.access(ROOT / script, os.X_OK) for script in ours[:2])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start one line of the README in `tmp_path`; whatever still runs at the end is stopped."""
    python, bin_dir = shlex.quote(sys.executable), tmp_path / "bin"
    bin_dir.mkdir()
    mains = {
        "edge-agent": "edge_agent.cli",
        "edge-provision": "provisioning.cli",
        "edge-centre": "simulators.centre.cli",
    }
    for program, module in mains.items():
        script = bin_dir / program
        script.write_text(
            f'#!/bin/sh\nexec {python} -c "import sys; from {module} import main; sys.exit(main())" "$@"\n'
        )
        script.chmod(0o755)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{bin_dir}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
    started: list[subprocess.Popen[bytes]] = []

    def start(line: str) -> subprocess.Popen[bytes]:
        exec_line = line if line.startswith("mkdir") else f"exec {line}"
        process = subprocess.Popen(
            ["bash", "-c", exec_line], cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()


def test_use_it_works(tmp_path: Path, shell: Callable[[str], subprocess.Popen[bytes]]) -> None:
    lines = first_words(READMES[0])[2:]
    site, here, check, run, status, decode, centre = lines

    def said(line: str) -> tuple[int, str]:
        process = shell(line)
        out, _ = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out.decode()

    assert said(site)[0] == 0
    assert said(here) == (0, "")
    assert said(check)[0] == 1  # a warning: nothing is wired yet
    core = shell(run)
    eventually(lambda: (tmp_path / "core.sock").exists() or core.poll() is not None)
    code, shown = said(status)
    assert code in (1, 2), shown  # nothing delivers yet
    assert "ZG-36070-0123" in shown
    code, shown = said(decode)
    assert code == 0
    assert "0114d0" in shown
    with Broker(tmp_path / "broker") as broker:
        server = shell(centre.replace("1883", str(broker.port)))
        eventually(lambda: (tmp_path / "centre.db").exists() or server.poll() is not None)
        assert server.poll() is None
    core.send_signal(signal.SIGTERM)
    assert core.wait(PATIENCE_S) == 0


def test_checking_and_trying_a_profile_of_ones_own_works(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_bytes((ROOT / "drivers/profiles/lida-ld128e.toml").read_bytes())
    (tmp_path / "capture").write_text("01 14 D0")
    agent = [sys.executable, "-m", "edge_agent", "--lang", "en", "profile"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in (["check", str(own)], ["try", str(own), str(tmp_path / "capture")], ["try", "lida-ld128e", "capture"]):
        done = subprocess.run([*agent, *words], cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout
