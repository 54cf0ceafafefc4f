"""A salvage that was cut short, by kill -9 or by its medium, and begins anew tells at its end what an uncut one tells."""

import contextlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from buffer import salvage
from buffer.dbfile import PAGE_BYTES
from buffer.faults import StoreFault
from buffer.journal import Journal, JournalSettings
from buffer.store import VitalStore
from tests.buffer.test_recovery import contents, crashed, events, header, salvaged
from tests.waiting import eventually

Told = tuple[dict[str, Any], int]
SLICES = 1  # of the salvage that is cut: some of the rows are here then

# The journal in a process of its own that is killed after so many slices of the first salvage; 0: at its end, before it has told.
CUT = """
import os, signal, sys
from pathlib import Path
from buffer import salvage
from buffer.journal import Journal, JournalSettings
real = salvage.salvage
def cut(*what):
    running, turns = real(*what), 0
    try:
        while True:
            next(running)
            turns += 1
            if turns == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            yield
    except StopIteration:
        os.kill(os.getpid(), signal.SIGKILL)
salvage.salvage = cut
Journal.open(Path(sys.argv[1]), JournalSettings(reserve_bytes=65536, background_check=False), print, boot_id="boot-a")
signal.pause()
"""


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal whose writer died, with neither its header nor a piece in its middle. To be copied."""
    directory = tmp_path_factory.mktemp("damaged") / "j"
    crashed(directory, 500)
    path = directory / "vital.db"
    header(path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // PAGE_BYTES // 3 * PAGE_BYTES)
        file.write(b"\xff" * (4 * PAGE_BYTES))
    return directory


def told_of(directory: Path) -> Told:
    """What a journal that is opened there tells of its salvage, and how many records it has then."""
    faults: list[StoreFault] = []
    settings = JournalSettings(reserve_bytes=65536, background_check=False)
    with contextlib.closing(Journal.open(directory, settings, faults.append, boot_id="boot-a")):
        eventually(lambda: salvaged(faults))
    [told] = salvaged(faults)
    assert json.loads((directory / "vital.db.bad-1.done").read_text("ascii")) == told.params
    return dict(told.params), len(events(contents(directory)))


@pytest.fixture(scope="module")
def uncut(damaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What is told when nothing cuts it short."""
    rest, kept = told_of(Path(shutil.copytree(damaged, tmp_path_factory.mktemp("uncut") / "j")))
    assert rest["rows"] == kept > 0
    assert any(hole["to"] is not None for hole in rest["missing"]), "what stood in its middle"
    return rest, kept


@pytest.mark.parametrize("slices", [SLICES, 0], ids=["midway", "at its end"])
def test_kill_9_while_a_file_is_salvaged_makes_no_count_untrue(
    damaged: Path, tmp_path: Path, uncut: Told, slices: int
) -> None:
    cut = Path(shutil.copytree(damaged, tmp_path / "cut"))
    died = subprocess.run(
        [sys.executable, "-c", CUT, str(cut), str(slices)], cwd=Path(__file__).parents[2], check=False, timeout=120
    )
    assert died.returncode == -signal.SIGKILL
    assert not (cut / "vital.db.bad-1.done").exists()
    here, kept = len(events(contents(cut))), uncut[1]
    assert 0 < here < kept if slices else here == kept
    assert told_of(cut) == uncut


def test_a_medium_that_fails_midway_makes_no_count_untrue(
    damaged: Path, tmp_path: Path, uncut: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same process begins anew, after a while."""
    real, tries = salvage.salvage, list[str]()

    def failing(store: VitalStore, bad: Path, *what: Any) -> Generator[None, None, salvage.Salvaged]:
        tries.append(bad.name)
        running = real(store, bad, *what)
        if len(tries) == 1:
            for _ in range(SLICES):
                next(running)
                yield
            running.close()
            raise sqlite3.OperationalError("disk I/O error")
        return (yield from running)

    monkeypatch.setattr(salvage, "salvage", failing)
    monkeypatch.setattr(salvage, "AGAIN_NS", 0)
    assert told_of(Path(shutil.copytree(damaged, tmp_path / "cut"))) == uncut
    assert tries == ["vital.db.bad-1"] * 2
