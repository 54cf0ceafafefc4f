"""What edge-agent-mount.service runs, run on a real ext4 on a loop device."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.power.block import make_image, mounted
from tests.systemd.test_units import UNITS, settings, tool

DATA = "/var/lib/edge-agent"


def start(directory: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run its ExecStart= with the journal in `directory`."""
    (line,) = settings("edge-agent-mount.service")["ExecStart"]
    assert line.count(DATA) == 1
    words = shlex.split(line.replace(DATA, str(directory)).replace("$$", "$"))
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environ})


def options(place: Path) -> set[str]:
    (found,) = re.findall(
        rf"^\S+ {re.escape(str(place))} ext4 (\S+)", Path("/proc/self/mounts").read_text(), re.MULTILINE
    )
    return set(found.split(","))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("first", ["rw", "ro"])
def test_the_file_system_of_the_journal_gets_what_spares_the_card_and_keeps_what_it_had(
    tmp_path: Path, first: str
) -> None:
    image, place = tmp_path / "card.img", tmp_path / "card"
    make_image(image)
    with mounted(image, place, f"{first},nodev") as root:
        assert not options(root) & {"noatime", "commit=300"}
        directory = root / "lost+found"  # below the place it is mounted at, as on a card with one partition
        for _ in range(2):
            done = start(directory)
            assert (done.returncode, done.stderr) == (0, "")
            assert options(root) >= {first, "nodev", "noatime", "lazytime", "commit=300"}


@pytest.mark.parametrize("where", ["/proc/self", "/nowhere/at/all"])
def test_what_is_no_ext4_is_left_alone(tmp_path: Path, where: str) -> None:
    spy = tmp_path / "mount"
    spy.write_text(f"#!/bin/sh\necho mount >> {tmp_path}/called\n")
    spy.chmod(0o755)
    done = start(Path(where), PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, (tmp_path / "called").exists()) == (0, False)


def test_it_comes_before_the_core_and_keeps_nobody_from_starting(tmp_path: Path) -> None:
    core = settings("edge-agent.service")
    assert core["Wants"] == ["edge-agent-mount.service"] and "edge-agent-mount.service" in core["After"][0].split()
    assert "Requires" not in core
    unit = tmp_path / "edge-agent-mount.service"
    unit.write_bytes((UNITS / unit.name).read_bytes())
    done = subprocess.run([tool("systemd-analyze"), "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "edge-agent" in line]
    assert (done.returncode, said) == (0, [])
