"""Storage that rots: flipped bits, lost erase blocks, files cut short, emptied, removed. EDGE_CORRUPTIONS (500) of them, by seed.

The journal starts within seconds, says what it found, keeps what the damage did not touch, never shows a record that was altered.
"""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from buffer import rows, salvage
from buffer.check import quick_check
from buffer.faults import StoreFault
from buffer.journal import Journal
from buffer.reader import JournalReader
from buffer.records import Name, Priority
from buffer.recovery import bad_files, done_path
from buffer.store import gap_body, is_gap
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.ledger import Ledger
from tests.power.recording import ROOT
from tests.power.test_io_errors import told_of
from tests.power.writer import CONFIRMED, SETTINGS, THROUGH
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.waiting import PATIENCE_S, eventually

COUNT = int(os.environ.get("EDGE_CORRUPTIONS", "60"))
SEED = int(os.environ.get("EDGE_CUT_SEED", "20261125"))
PAGE, ERASE_BLOCK = 4096, 128 * 1024
JOURNAL = ("vital.db", "vital.db-wal", "vital.db-shm", "bulk.db", "bulk.db-wal", "bulk.db-shm")
START_S = 10.0
ROWS_A_PAGE = 40  # more than lie on one page or in one block of readings


def flip(path: Path, chance: random.Random) -> int:
    """One bit. Returns the pages touched."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return 1


def lose_erase_block(path: Path, chance: random.Random) -> int:
    """128 KiB read as ones, or as something else."""
    content = bytearray(path.read_bytes())
    first = chance.randrange(len(content)) // ERASE_BLOCK * ERASE_BLOCK
    last = min(first + ERASE_BLOCK, len(content))
    content[first:last] = b"\xff" * (last - first) if chance.random() < 0.5 else chance.randbytes(last - first)
    path.write_bytes(content)
    return ERASE_BLOCK // PAGE


def cut_short(path: Path, chance: random.Random) -> int:
    size = path.stat().st_size
    left = chance.randrange(size)
    os.truncate(path, left)
    return (size - left) // PAGE + 1


def empty(path: Path, chance: random.Random) -> int:
    pages = path.stat().st_size // PAGE + 1
    os.truncate(path, 0)
    return pages


def remove(path: Path, chance: random.Random) -> int:
    pages = path.stat().st_size // PAGE + 1
    path.unlink()
    return pages


DAMAGE: tuple[Callable[[Path, random.Random], int], ...] = (flip, flip, lose_erase_block, cut_short, empty, remove)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Name, bytes]]:
    """A journal whose writer was killed: part of it in the files, part in the -wal."""
    place = tmp_path_factory.mktemp("sound")
    for run, records, end in (("a", "300", "CLOSE"), ("b", "120", "DIE")):
        (place / "marks").touch()
        words = [sys.executable, "-m", "tests.power.writer", str(place / "j"), str(place / "marks"), run, records, end]
        assert subprocess.run(words, cwd=ROOT, check=False, timeout=60).returncode in (0, -9)
    with JournalReader.open(place / "j") as reader:
        return place / "j", {record.name: record.body for record in reader.records()}


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_damage_costs_what_it_touched_and_nothing_else(sound: tuple[Path, dict[Name, bytes]], tmp_path: Path) -> None:
    source, before = sound
    done: Counter[str] = Counter()
    kept = lost = 0
    alarms_s: list[float] = []
    for index in range(COUNT):
        chance = random.Random(f"{SEED}/{index}")
        damage, name = chance.choice(DAMAGE), chance.choice(JOURNAL)
        label = f"seed {SEED} index {index}: {damage.__name__} {name}"
        directory = tmp_path / "j"
        shutil.copytree(source, directory)
        pages = damage(directory / name, chance)
        after, faults, started_s = restart(directory, label)
        alarms_s.append(started_s)
        missing = before.keys() - after.keys()
        altered = [known for known in before.keys() & after.keys() if after[known] != before[known]]
        assert not altered, f"{label}: {altered} were altered and believed"
        ghosts = [
            known for known, body in after.items() if known not in before and not is_gap(body) and b"new" not in body
        ]
        assert not ghosts, f"{label}: {ghosts} come from nowhere"
        doubled = [body for body, count in Counter(after.values()).items() if count > 1 and body in before.values()]
        assert not doubled, f"{label}: {doubled} under two names"
        whole = damage in (empty, remove) and name in ("vital.db", "bulk.db")
        assert whole or len(missing) <= pages * ROWS_A_PAGE, (
            f"{label}: {len(missing)} missing for {pages} pages {faults}"
        )
        silent = undeclared(missing, after, faults)
        assert not silent, f"{label}: {len(missing)} missing, and nobody was told of {silent[:5]}, but of {faults}"
        done[f"{damage.__name__} {name}"] += 1
        kept += len(before) - len(missing)
        lost += len(missing)
        shutil.rmtree(directory)
    note(
        "corruptions",
        {
            "count": COUNT,
            "records_each": len(before),
            "kept": kept,
            "lost": lost,
            "altered": 0,
            "doubled": 0,
            "delay_s": spread_s(alarms_s, "opened to a new alarm on flash"),
            "by_damage": done,
        },
    )


def undeclared(missing: Iterable[Name], after: Mapping[Name, bytes], faults: Sequence[StoreFault]) -> list[Name]:
    """What is missing and neither a gap record nor a reader's word says so. What a centre has is nobody's loss."""
    bad = [fault.params for fault in faults if fault.code == "bad_record"]  # the uplink declares these as it reads them

    def is_told(name: Name) -> bool:
        return told_of(name, after) or any(
            (told["epoch"], told["stream"]) == (name.epoch, name.priority.stream)
            and told["from"] <= name.n <= (told["to"] or name.n)
            for told in bad
        )

    return [name for name in missing if not is_told(name) and not (name.priority is CONFIRMED and name.n <= THROUGH)]


def restart(directory: Path, label: str) -> tuple[dict[Name, bytes], list[StoreFault], float]:
    """Open, keep a new alarm, salvage, look at every record. Returns what is there, what was reported, seconds to the alarm."""
    faults: list[StoreFault] = []
    start_s = time.monotonic()
    with contextlib.closing(Journal.open(directory, SETTINGS, faults.append, boot_id="after")) as journal:
        new = [journal.append(rank, b"new %d" % rank) for rank in (Priority.ALARM, Priority.TELEMETRY)]
        assert journal.flush(PATIENCE_S)
        started_s = time.monotonic() - start_s
        assert started_s < START_S or "EDGE_CORRUPTIONS" not in os.environ, f"{label}: started in {started_s} s"
        assert new[0].name is not None, f"{label}: the alarm was refused: {new[0].error}"

        def salvaged() -> bool:
            bad = [bad for name in ("vital.db", "bulk.db") for bad in bad_files(directory / name).values()]
            return all(done_path(path).exists() for path in bad)

        eventually(salvaged, f"{label}: salvaged")
        check(journal)
        eventually(salvaged, f"{label}: salvaged what the check found")
    with JournalReader.open(directory, faults.append) as reader:
        after = {record.name: record.body for record in reader.records()}
    return after, faults, started_s


def check(journal: Journal) -> None:
    """What the journal does by itself ten seconds after the start: SQLite's own look at every page."""
    for owner in (journal.vital, journal.bulk):
        if problem := quick_check(owner.path):
            before = len(bad_files(owner.path))
            owner.checked = problem
            eventually(partial(_aside, journal, owner.path, before), "its word is taken")


def _aside(journal: Journal, path: Path, before: int) -> bool:
    return journal.flush(START_S) and len(bad_files(path)) > before


def test_a_salvage_that_tells_of_another_epoch_is_found_out(
    sound: tuple[Path, dict[Name, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: gap records that cover nothing which is missing."""
    source, before = sound
    monkeypatch.setattr(salvage, "gap_body", lambda why, **said: gap_body(why, **said | {"epoch": "v-another"}))
    shutil.copytree(source, tmp_path / "j")
    cut_short(tmp_path / "j" / "vital.db", random.Random(1))
    after, faults, _ = restart(tmp_path / "j", "planted")
    assert faults and undeclared(before.keys() - after.keys(), after, faults)


def test_a_reader_without_checksums_would_believe_what_the_damage_made(
    sound: tuple[Path, dict[Name, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: every row is believed. SQLite's own check misses what a flipped bit does to a body."""
    source, before = sound
    monkeypatch.setattr(rows, "is_good", lambda *row: True)
    believed = 0
    for index in range(40):
        directory = tmp_path / str(index)
        shutil.copytree(source, directory)
        flip(directory / "vital.db", random.Random(index))
        with contextlib.suppress(sqlite3.Error), JournalReader.open(directory) as reader:
            believed += any(before.get(record.name, record.body) != record.body for record in reader.records())
    assert believed > 0


@pytest.mark.slow
def test_a_rotten_ledger_claims_nothing_that_was_never_confirmed(tmp_path: Path) -> None:
    truth = {f"v-{n:x}": Intervals([(1, 40 * n), (40 * n + 3, 40 * n + 9)]) for n in range(1, 9)}
    ledger = Ledger.open(tmp_path / "sound.db")
    for epoch, done in truth.items():
        for priority in (Priority.ALARM, Priority.FAULT, Priority.STATUS):
            ledger.note("county", epoch, priority, done)
    ledger.close()
    aside, opened_s = 0, list[float]()
    for index in range(COUNT):
        chance = random.Random(f"{SEED}/{index}")
        path = tmp_path / str(index) / "delivery.db"
        path.parent.mkdir()
        shutil.copy(tmp_path / "sound.db", path)
        if index % 4:
            flip(path, chance)
        else:
            chance.choice((lose_erase_block, cut_short, empty))(path, chance)
        began_s = time.perf_counter()
        damaged = Ledger.open(path)
        try:
            for (epoch, _), done in damaged.load("county").items():
                over = [pair for pair in done if not truth.get(epoch, Intervals()).covers(*pair)]
                assert not over, f"seed {SEED} index {index}: {epoch} {over} was never confirmed"
            opened_s.append(time.perf_counter() - began_s)
            aside += damaged.set_aside is not None
        finally:
            damaged.close()
    found = {"set_aside": aside, "claimed_falsely": 0, "lost": 0, "doubled": 0}  # a false claim is a lost record
    note(
        "ledger-corruptions",
        {"count": COUNT, **found, "delay_s": spread_s(opened_s, "opened to what is owed is known")},
    )
    assert aside > 0
