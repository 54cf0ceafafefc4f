"""Every example in docs/cli.md, docs/install.md and docs/demo.md runs, on a gateway with a journal and a core. The Chinese
pages show the same ones.

A block that begins with a comment (`# root`, `# at the CA`) says where it is typed and is not run here; it is checked by its words.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("cli.md", "cli.zh.md")
WALKS = ("install.md", "demo.md")  # one example after the other, in one directory


def blocks(page: str, language: str) -> Iterator[str]:
    written = (DOCS / page).read_text("utf-8")
    for block in re.findall(rf"^```{language}\n(.*?)^```", written, re.DOTALL | re.MULTILINE):
        if not block.startswith("#"):
            yield from block.strip().split("\n")


@pytest.fixture
def gateway(core: Any, tmp_path: Path, kept: Any) -> Path:
    """A configuration whose core answers and whose journal holds events."""
    kept(tmp_path / "data", alarms=12, faults=5)
    (tmp_path / "config.toml").write_text(
        f'[gateway]\nid = "gw-1"\ndata_dir = "{tmp_path}/data"\nrun_dir = "{tmp_path}"\n', "utf-8"
    )
    core.answers |= {
        "status": lambda request: {"gateway": "gw-1", "version": "0.1.0", "uptime_s": 5, "clock": "synced"},
        "points": lambda request: [{"id": "pump-room", "value": True, "active": True, "kind": "fire"}],
        "alarms": lambda request: [],
        "ack": lambda request: {"acknowledged": 1},
        "silence": lambda request: {"silenced": 1},
        "duty": lambda request: [],
        "linkage": lambda request: [],
        "linkage_order": lambda request: {"id": "kitchen-valve", "enabled": True, "held": True},
        "duty_answer": lambda request: {"answered": 1},
    }
    return tmp_path


@pytest.mark.parametrize("line", list(blocks("cli.md", "sh")))
def test_an_example_runs(gateway: Path, environ: dict[str, str], line: str) -> None:
    agent = f"{shlex.quote(sys.executable)} -m edge_agent --config {shlex.quote(str(gateway))}"
    runnable = re.sub(r"\bedge-agent\b", lambda match: agent, line)
    done = subprocess.run(
        ["bash", "-ec", runnable], env=environ, cwd=gateway, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout or any(name in line for name in ("--csv", "--sqlite"))
    if "--json" in line:
        json.loads(done.stdout)


@pytest.mark.parametrize("page", WALKS)
def test_a_walk_through_runs(gateway: Path, environ: dict[str, str], page: str) -> None:
    python = shlex.quote(sys.executable)
    prelude = (
        f'edge-agent() {{ {python} -m edge_agent --config {shlex.quote(str(gateway))} "$@"; }}\n'
        f'edge-provision() {{ {python} -c "from provisioning.cli import main; main()" "$@"; }}\n'
    )
    lines = list(blocks(page, "sh"))
    assert lines
    for line in lines:
        done = subprocess.run(
            ["bash", "-ec", prelude + line], env=environ, cwd=gateway, capture_output=True, timeout=100, check=False
        )
        assert done.returncode == 0, (line, done.stderr.decode())
        assert done.stdout, line


@pytest.mark.parametrize("page", PAGES)
def test_an_example_says_what_the_page_says(gateway: Path, environ: dict[str, str], page: str) -> None:
    command, *shown = blocks(page, "console")
    args = shlex.split(command.removeprefix("$ edge-agent "))
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", *args],
        env=environ,
        cwd=gateway,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(shown)
    for line, pattern in zip(lines, shown, strict=True):
        assert re.search(r"\s+".join(".*" if word == "..." else re.escape(word) for word in pattern.split()), line), (
            line
        )


def test_both_pages_show_the_same_examples() -> None:
    assert list(blocks("cli.md", "sh")) == list(blocks("cli.zh.md", "sh"))
    assert len(list(blocks("cli.md", "sh"))) > 10
    for page in WALKS:
        twins = (page, page.replace(".md", ".zh.md"))
        ours, theirs = ([line.partition("  #")[0].rstrip() for line in blocks(twin, "sh")] for twin in twins)
        assert ours == theirs
