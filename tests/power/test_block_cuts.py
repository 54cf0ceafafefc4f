"""The power goes under the kernel's own ext4: it mounts without a check, and the journal on it promised nothing that is not there.

EDGE_BLOCK_CUTS (scripts/evidence: 1 000) cuts of the running agent, EDGE_NESTED_CUTS (200) of the recovery of a cut, three deep.
"""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from buffer.dbfile import DbFile
from buffer.records import Name
from tests.power.agent import recorded_session
from tests.power.block import Card, cuts, make_image, mounted
from tests.power.judge import Found, Promised, Tally, judge
from tests.power.oplog import Op
from tests.power.recording import ROOT, Recording, workplace
from tests.power.test_file_cuts import writers_promises
from tests.power.writer import PLANTS
from tests.proof.site import note

CUTS = int(os.environ.get("EDGE_BLOCK_CUTS", "60"))
NESTED = int(os.environ.get("EDGE_NESTED_CUTS", "12"))
SEED = int(os.environ.get("EDGE_CUT_SEED", "20261125"))
DEPTH = 3


def judge_image(
    image: bytearray, place: Path, promised: Promised, label: str, tally: Tally, *, boot: str = "after"
) -> None:
    """Mount read-write without a check, and judge what is on it."""
    path = place / f"{tally.states}.img"  # a new one each time: the last one's loop device may be a moment behind
    path.write_bytes(image)
    try:
        with mounted(path, place / "check") as directory:
            (directory / "writable").touch()
            found = judge(directory, promised, boot=boot)
    except (AssertionError, OSError) as fault:
        found = Found(wrong=[f"unusable: {fault}"])
    path.unlink()
    tally.add(found, label, promised)


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(3000)
async def test_ext4_and_the_journal_on_it_survive_a_cut_under_the_running_agent() -> None:
    with workplace() as place, Recording(place) as recording:
        image = recording.mount / "card.img"
        make_image(image)
        recording.forget()
        base = image.read_bytes()
        with mounted(image, place / "card") as card:
            session = await recorded_session(place, card, recording)
        ops = session.ops
        promises, tally = session.promises(), Tally()
        for cut, how, left in cuts(ops, base, count=CUTS, seed=SEED):
            judge_image(left, place, promises.by(cut), f"seed {SEED} cut {cut} {how}", tally)
    note("power-block", {**tally.counts(), "blocks_written": sum(op.kind == "write" for op in ops)})
    assert not tally.bad and not tally.set_aside, (tally.examples, tally.reported)


def written(recording: Recording, place: Path, *plant: str, options: str = "noatime") -> bytes:
    """A journal filled on ext4 on the recorder. Returns the image before."""
    image = recording.mount / "card.img"
    make_image(image)
    recording.forget()
    base = image.read_bytes()
    with mounted(image, place / "card", options) as card:
        words = [
            sys.executable,
            "-m",
            "tests.power.writer",
            str(card),
            str(recording.mount / ".mark"),
            "a",
            "120",
            "DIE",
            *plant,
        ]
        assert subprocess.run(words, cwd=ROOT, check=False, timeout=100).returncode == -9
    return base


@pytest.mark.parametrize(
    ("plant", "options"), [("normal", "noatime"), ("", "noatime,nobarrier")], ids=["normal", "nobarrier"]
)
def test_a_planted_bug_is_found_at_the_block_layer(plant: str, options: str) -> None:
    """Commits that are not synced; a file system that sends no flush."""
    with workplace() as place, Recording(place) as recording:
        base = written(recording, place, *filter(None, [plant]), options=options)
        ops = list(recording.fetch())
        promises, tally = writers_promises(ops), Tally()
        told = next(index for index, op in enumerate(ops) if op.kind == "mark")
        for cut, how, left in cuts(ops, base, count=30, seed=SEED, first=told):
            judge_image(left, place, promises.by(cut), f"cut {cut} {how}", tally)
    note(f"power-block-planted-{plant or 'nobarrier'}", {"cuts": 30, "lost_in": tally.lost, "unsound": tally.unsound})
    assert tally.lost + tally.unsound > 0, tally.counts()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_cut_during_the_recovery_of_a_cut_costs_nothing_either() -> None:
    tally, chance, depths = Tally(), random.Random(SEED), [0] * (DEPTH + 1)
    with workplace() as place, Recording(place) as recording:
        base = written(recording, place)
        ops = list(recording.fetch())
        promises = writers_promises(ops)
        for number, (cut, how, image) in enumerate(cuts(ops, base, count=-(-NESTED // DEPTH), seed=SEED)):
            promised = Promised(dict(promises.by(cut).acked), promises.now.known)
            left = image
            for depth in range(1, DEPTH + 1):
                left = cut_recovery(recording, place, left, promised, f"{number}-{depth}", chance, tally)
                depths[depth] += 1
                if sum(depths) >= NESTED:
                    break
            judge_image(left, place, promised, f"seed {SEED} cut {cut} {how} at the end", tally, boot=f"end-{number}")
    note("power-nested", {**tally.counts(), "by_depth": depths[1:]})
    assert sum(depths) == NESTED
    assert not tally.bad and not tally.set_aside, (tally.examples, tally.reported)


def test_a_recovery_that_syncs_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: what comes after a cut is written with synchronous = NORMAL."""
    monkeypatch.setattr(DbFile, "_pragmas", DbFile._pragmas)  # undone afterwards
    PLANTS["normal"]()
    tally, chance = Tally(), random.Random(SEED)
    with workplace() as place, Recording(place) as recording:
        base = written(recording, place)
        ops = list(recording.fetch())
        promises = writers_promises(ops)
        for number, (cut, how, image) in enumerate(cuts(ops, base, count=4, seed=SEED)):
            promised = Promised(dict(promises.by(cut).acked), promises.now.known)
            left = cut_recovery(recording, place, image, promised, f"{number}", chance, tally, at_the_word=True)
            judge_image(left, place, promised, f"cut {cut} {how}", tally, boot=f"end-{number}")
    note("power-nested-planted", {"cuts": 4, "found_in": tally.lost})
    assert tally.lost > 0, tally.counts()


def only(ops: Sequence[Op], name: str) -> list[Op]:
    """What was done to one image, and the marks: the loop device of the one before may still be writing by then."""
    mine = next(op.file for op in ops if op.kind in {"unlink", "rename"} and op.path == name)
    return [op for op in ops if op.kind == "mark" or (op.file == mine and op.kind in {"write", "sync"})]


def cut_recovery(  # noqa: PLR0917 - one caller
    recording: Recording,
    place: Path,
    image: bytearray,
    promised: Promised,
    label: str,
    chance: random.Random,
    tally: Tally,
    *,
    at_the_word: bool = False,
) -> bytearray:
    """Mount what a cut left and recover, recorded; cut that, anywhere or when it gave its word. What the recovery itself
    promised is promised from then on.
    """
    path = recording.mount / f"{label}.img"
    path.write_bytes(image)
    recording.forget()
    with mounted(path, place / "again") as directory:
        found = judge(directory, promised, boot=f"boot-{label}", on_durable=lambda: recording.mark(b"word"))
        tally.add(found, label, promised)
    path.unlink()
    ops = only(recording.fetch(), path.name)
    card = Card(bytes(image), ops)
    cut = chance.randint(1, len(ops)) if not at_the_word else 1 + [op.kind for op in ops].index("mark")
    card.go_to(cut)
    known: dict[Name, bytes] = {**promised.known, **found.new}
    promised.known = known
    if any(op.kind == "mark" for op in ops[:cut]):
        promised.acked.update(found.new)
    return card.image(chance.choice(["lost", "chance", "kept"]), chance)
