"""The power goes at any moment: whatever the file system may hold then, the journal promised nothing that is not there.

EDGE_FILE_CUTS states of the running agent (scripts/evidence: 20 000), EDGE_CUT_STARTS of them started again as whole programs
(30), EDGE_CUT_SEED. A state is named by (seed, index) and can be made again alone.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from buffer.records import Name, Priority
from edge_agent import last_good
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.ledger import Ledger
from tests.power.agent import Session, arrives, recorded_session
from tests.power.crash import State, states
from tests.power.judge import Promises, Tally, judge, write_out
from tests.power.oplog import Op
from tests.power.recording import ROOT, Recording, workplace
from tests.proof.checker import spread_s
from tests.proof.site import note

CUTS = int(os.environ.get("EDGE_FILE_CUTS", "300"))
STARTS = int(os.environ.get("EDGE_CUT_STARTS", "2"))
SEED = int(os.environ.get("EDGE_CUT_SEED", "20261125"))
LEDGER_EVERY = 5


def recorded_writer(place: Path, records: int, *plant: str) -> list[Op]:
    """The log of a journal's three runs: closed in order, killed, closed."""
    with Recording(place) as recording:
        for run, end in (("a", "CLOSE"), ("b", "DIE"), ("c", "CLOSE")):
            where = (str(recording.mount), str(recording.mount / ".mark"))
            words = [sys.executable, "-m", "tests.power.writer", *where, run, str(records), end, *plant]
            done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True, timeout=100)
            assert done.returncode == (-9 if end == "DIE" else 0), done.stderr
        return recording.fetch()


def writers_promises(ops: list[Op]) -> Promises:
    marks = []
    for cut, op in enumerate(ops, 1):
        if op.kind == "mark":
            epoch, rank, n, body = op.data.split(b" ", 3)
            marks.append((cut, Name(epoch.decode(), Priority(int(rank)), int(n)), body))
    return Promises(marks, {name: body for _, name, body in marks})


def judge_all(ops: list[Op], promises: Promises, place: Path, *, count: int, world: str, seed: int = SEED) -> Tally:
    tally = Tally()
    for index, state in enumerate(states(ops, count=count, seed=seed, world=world)):
        write_out(state.files, place / "state")
        promised = promises.by(state.cut)
        tally.add(judge(place / "state", promised), f"{world} seed {seed} index {index} {state.how}", promised)
    return tally


@pytest.mark.parametrize("world", ["ext4", "posix"])
def test_no_cut_costs_a_journal_what_it_called_durable(world: str) -> None:
    with workplace() as place:
        ops = recorded_writer(place, 60)
        promises = writers_promises(ops)
        tally = judge_all(ops, promises, place, count=150, world=world)
    assert not tally.bad and not tally.set_aside, (tally.examples, tally.reported)
    assert len(promises.by(len(ops)).acked) == 180


@pytest.mark.parametrize(
    ("plant", "world", "wrong"),
    [
        ("normal", "ext4", "lost"),
        ("early-word", "ext4", "lost"),
        ("no-file-sync", "ext4", "set_aside"),
    ],
)
def test_a_planted_bug_is_found(plant: str, world: str, wrong: str) -> None:
    """Commits that are not synced; a word given before the commit; a new file that is not synced."""
    with workplace() as place:
        ops = recorded_writer(place, 30, plant)
        tally = judge_all(ops, writers_promises(ops), place, count=150, world=world)
    print(plant, tally.counts(), tally.examples)
    note(f"power-planted-{plant}", {"states": tally.states, "found_in_states": getattr(tally, wrong)})
    assert getattr(tally, wrong) > 0, tally.counts()


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.timeout(6000)
@pytest.mark.parametrize("world", ["ext4", "posix"])
async def test_no_cut_costs_the_running_agent_an_event_it_told(world: str) -> None:
    with workplace() as place:
        with Recording(place, "card") as card:
            session = await recorded_session(place, card.mount, card)
        promises = session.promises()
        tally, claims, starts, copies = Tally(), 0, [], 0
        for index, state in enumerate(states(session.ops, count=CUTS // 2, seed=SEED, world=world)):
            label = f"{world} seed {SEED} index {index} {state.how}"
            promised = promises.by(state.cut)
            write_out(state.files, place / "state")
            if index % LEDGER_EVERY == 0:
                claims += judge_ledger(place / "state" / "delivery.db", session.confirmed_by(state.cut), label)
            if last_good.FILE in state.files:  # of the configuration: whole, or not there yet
                assert last_good.read(place / "state" / last_good.FILE) is not None, label
                copies += 1
            tally.add(judge(place / "state", promised), label, promised)
            if promised.acked and len(starts) < STARTS and index >= (len(starts) + 0.5) * CUTS // 2 // STARTS:
                starts.append((state, dict(promised.acked)))
        # before anything starts on them: a recording that is no good shows in all of its states
        assert not tally.bad and not tally.set_aside, (tally.examples, tally.reported)
        delays = [await start_again(session, state, acked, place) for state, acked in starts]
    found = {
        **tally.counts(),
        "ledgers_opened": claims,
        "configurations_kept_whole": copies,
    }
    note(f"power-file-{world}", found)
    started = {"states": len(delays), "lost": 0, "doubled": 0}  # `arrives` ends at the first that is
    of = "core started to all of it at the centre"
    note(f"power-file-{world}-started", {**started, "delay_s": spread_s(delays, of)})
    assert claims and copies and len(delays) == STARTS


def judge_ledger(path: Path, truth: dict[tuple[str, Priority], Intervals], label: str) -> int:
    """A ledger after a cut may have forgotten; it may never claim what no centre has. Opens whatever is there; 1 if one was."""
    was_there = path.exists()
    said: list[str] = []
    ledger = Ledger.open(path, lambda code, detail: said.append(code))
    try:
        assert "failing" not in said, f"{label}: {said}"
        for (epoch, priority), done in ledger.load("county").items():
            there = truth.get((epoch, priority), Intervals())
            over = [pair for pair in done if not there.covers(*pair)]
            assert not over, f"{label}: {epoch}/{priority.stream} {over} was never confirmed"
    finally:
        ledger.close()
    return int(was_there)


async def start_again(session: Session, state: State, acked: dict[Name, bytes], place: Path) -> float:
    """The whole programs on what a cut left: every record they had told of reaches a centre that has nothing."""
    files = {name: content for name, content in state.files.items() if not name.startswith("delivery.db")}
    for mark in [name for name in files if name.endswith(".open")]:
        files[mark] = b"the boot before\n"  # this machine's own boot goes on
    write_out(files, place / "again")
    try:
        return await arrives(session, place / "again", acked)
    except AssertionError as wrong:
        kept = Path(tempfile.gettempdir()) / f"zg-cut-{time.time_ns()}.pickle"  # what was cut is not had a second time
        kept.write_bytes(pickle.dumps((state, session.ops)))
        raise AssertionError(f"{wrong}\ncut {state.cut} {state.how}: state and recording are in {kept}") from wrong
