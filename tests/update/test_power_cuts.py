"""The power goes at any operation of an update: judged, filled, tested, switched, started, confirmed or taken back.

The updater, unmodified, on a recorded file system (tests/power). For each state that a cut may leave, what the machine does at its
next boot: the guard's own shell line, then what `current` names. That has to be the whole old or the whole new program, file for
file, and the old one as long as the new one had not been found good.

Sizes from the environment: EDGE_UPDATE_CUTS, states of each of the four logs (default 320: about two at each operation),
EDGE_UPDATE_STARTS of them that the updater is started on again, EDGE_CUT_SEED.
"""

import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.update import slots, updater
from edge_agent.update.slots import CURRENT, GOOD
from edge_agent.update.state import Phase
from tests.power.crash import HOWS, Content, Medium, State
from tests.power.oplog import Directory, Link, Op
from tests.power.recorder import below
from tests.power.recording import Recording, workplace
from tests.proof.site import note
from tests.update.maker import Maker
from tests.update.stand import CORE, Stand, guard_line, tree

CUTS = int(os.environ.get("EDGE_UPDATE_CUTS", "320"))
STARTS = int(os.environ.get("EDGE_UPDATE_STARTS", "1"))
SEED = int(os.environ.get("EDGE_CUT_SEED", "20261126"))
Tree = Mapping[str, tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Log:
    """One update from before it was asked for to its end, and what the slots had at either."""

    before: dict[str, Content]
    ops: list[Op]
    old: Tree
    new: Tree


def recorded(maker: Maker, *, stays: bool, plant: Callable[[pytest.MonkeyPatch], object] = lambda m: None) -> Log:
    """What an updater does to the disk of its slots; `stays`: whether the centre confirms."""
    with (
        workplace() as place,
        Recording(place) as recording,
        Stand(place / "stand", recording.mount) as stand,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        stand.first()
        stand.desk.directory.mkdir()
        stand.desk.write(stand.state())
        monkeypatch.setenv("PATH", stand.environ["PATH"])
        recording.forget()
        before, old = contents(recording.backing), tree(stand.slots.path("a"))
        plant(monkeypatch)
        stand.confirms = stays
        stand.on_told = lambda status: recording.mark(status.encode())
        stand.ask(maker.bundle())
        stand.update(maker.keys, **({} if stays else {"trial_s": 1.2}))
        assert stand.steps()[-1][0] == ("confirmed" if stays else "gone_back")
        ops = list(recording.fetch())
        return Log(before, ops, old, tree(stand.slots.path("b")))


def contents(root: Path) -> dict[str, Content]:
    found: dict[str, Content] = {}
    for name in below(str(root)):
        path = root / name
        if path.is_symlink():
            found[name] = Link(str(path.readlink()))
        else:
            found[name] = Directory() if path.is_dir() else path.read_bytes()
    return found


def lay_out(files: Mapping[str, Content], root: Path) -> None:
    """Lay a state out in a directory that was empty or another state."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name in sorted(files):
        content, path = files[name], root / name
        if isinstance(content, Directory):
            path.mkdir()
        elif isinstance(content, Link):
            path.symlink_to(content)
        else:
            path.write_bytes(content)


def is_whole(slot: str, files: Mapping[str, Content], wanted: Tree) -> bool:
    """Whether a slot of a state has every file of a program. What is written there later (the list of sums) does not count."""
    for name, (kind, content) in wanted.items():
        held = files.get(f"slots/{slot}/{name}")
        there = held.encode() if isinstance(held, Link) else held
        if (
            there is None
            or isinstance(there, Directory)
            or bytes(there) != content
            or isinstance(held, Link) != (kind == "link")
        ):
            return False
    return True


def states(log: Log, world: str, count: int) -> Iterator[State]:
    """As `tests.power.crash.states`, of a tree that was there before."""
    medium, done = Medium(world, log.before), 0
    for index, op in enumerate(log.ops, 1):
        medium.advance(op)
        while done < count * index // len(log.ops):
            yield medium.state(HOWS[done % len(HOWS)], random.Random(f"{SEED}/{world}/{done}"))
            done += 1


def good_cut(log: Log) -> int:
    """From when on the new program may be what is booted: `good` names it."""
    names = {"rename": lambda op: op.to, "symlink": lambda op: op.path}
    moves = [cut for cut, op in enumerate(log.ops, 1) if op.kind in names and names[op.kind](op) == GOOD]
    return moves[-1] if moves else len(log.ops) + 1


def told_cut(log: Log) -> int:
    """From when on it has to be: the core was told that it stays."""
    return next((cut for cut, op in enumerate(log.ops, 1) if op.data == b"confirmed"), len(log.ops) + 1)


def boots(state: State, log: Log, links: Mapping[str, Content]) -> str:
    """What runs after the next boot: "old", "new", or why neither does."""
    current = str(links.get(CURRENT, ""))
    slot = current.rpartition("/")[2]
    for name, wanted in (("a", log.old), ("b", log.new)):
        if slot == name:
            return {"a": "old", "b": "new"}[name] if is_whole(name, state.files, wanted) else f"torn {name}"
    return f"neither: {current!r}"


def judged(log: Log, world: str, place: Path, count: int, tally: Counter[str]) -> Iterator[tuple[State, str]]:
    """Each state with what it boots; `tally` counts them, and what is wrong."""
    allowed_from, wanted_from, guards = good_cut(log), told_cut(log), dict[tuple[str, str], str]()
    root = place / "boot"
    for index, state in enumerate(states(log, world, count)):
        now = str(state.files.get(CURRENT, "")), str(state.files.get(GOOD, ""))
        if now not in guards:  # the guard looks at no more than the links, and whether there is an interpreter
            lay_out({name: held for name, held in state.files.items() if "/lib" not in name}, root)
            guard(root)
            guards[now] = str((root / CURRENT).readlink()) if (root / CURRENT).is_symlink() else ""
        booted = boots(state, log, {CURRENT: Link(guards[now])})
        tally["states"] += 1
        tally[booted.partition(" ")[0].rstrip(":")] += 1
        if booted == "new" and state.cut < allowed_from:
            tally["unconfirmed"] += 1
        if booted == "old" and state.cut >= wanted_from:
            tally["forgotten"] += 1
        if booted not in ("old", "new"):
            print(f"{world} seed {SEED} index {index} cut {state.cut} {state.how}: {booted}")
        yield state, booted


def guard(root: Path) -> None:
    subprocess.run(["/bin/sh", "-c", guard_line(root)], check=False, capture_output=True)


@pytest.fixture(scope="module")
def logs(maker: Maker) -> Mapping[bool, Log]:
    """Of an update that stays, and of one that goes back."""
    return {stays: recorded(maker, stays=stays) for stays in (True, False)}


@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize("world", ["ext4", "posix"])
def test_a_cut_at_any_operation_boots_the_old_or_the_new_program_never_neither(
    logs: Mapping[bool, Log], maker: Maker, monkeypatch: pytest.MonkeyPatch, world: str, stays: bool
) -> None:
    tally: Counter[str] = Counter()
    log = logs[stays]
    with workplace() as place:
        assert any(op.kind == "rename" and op.to == CURRENT for op in log.ops) and len(log.ops) > 100
        kept = [(state, booted) for state, booted in judged(log, world, place, CUTS, tally)]
        note(f"update-cuts-{world}-{'stays' if stays else 'goes-back'}", {**tally, "operations": len(log.ops)})
        assert tally["old"] + tally["new"] == tally["states"] == CUTS, tally
        assert not tally["unconfirmed"] and not tally["forgotten"] and (tally["new"] > 0) == stays, tally
        chosen = random.Random(f"{SEED}/{world}/{stays}").sample(kept, STARTS if world == "ext4" else STARTS // 2)
        for state, booted in chosen:
            started_again(state, booted, place, maker, monkeypatch)


def started_again(state: State, booted: str, place: Path, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The updater on what a cut left, after the boot: what it finds it settles, and the next update goes through."""
    root = place / "again"
    lay_out(state.files, root)
    for slot in ("a", "b"):  # modes are not in the log
        for path in (root / "slots" / slot / "bin").glob("*") if (root / "slots" / slot / "bin").is_dir() else ():
            if not path.is_symlink():
                path.chmod(0o755)
    with Stand(place / "stand2", root) as stand:
        monkeypatch.setenv("PATH", stand.environ["PATH"])
        stand.guard()
        slot = {"old": "a", "new": "b"}[booted]
        (stand.control / f"{CORE}.runs").write_text(f"slots/{slot}\n")
        stand.versions["b"] = "9.1.0"
        stand.update(maker.keys, boot="boot-2")
        assert stand.links() == (stand.runs, stand.runs) and stand.state().phase is Phase.IDLE
        stand.ask(maker.bundle(version="9.2.0", counter=6), "c-2")
        stand.update(maker.keys, boot="boot-2")
        assert stand.steps()[-1] == ("confirmed", ""), f"cut {state.cut} {state.how}: {stand.told}"
    shutil.rmtree(place / "stand2")


PLANTS = {
    "unsynced-slot": lambda m: m.setattr(slots, "sync_tree", lambda place: None),
    "unsynced-link": lambda m: m.setattr(slots, "sync", lambda place: None),
    "link-removed-first": lambda m: m.setattr(slots.Slots, "point", carelessly),
    "good-moves-first": lambda m: m.setattr(updater.Updater, "_try", too_early(updater.Updater._try)),
    "switched-before-filled": lambda m: m.setattr(slots.Slots, "fill", switched_first(slots.Slots.fill)),
}


def carelessly(self: slots.Slots, link: str, slot: str) -> None:
    """As `ln -sfn` does it."""
    (self.root / link).unlink(missing_ok=True)
    (self.root / link).symlink_to(f"slots/{slot}")
    slots.sync(self.root)


def too_early(method):  # type: ignore[no-untyped-def]
    async def careless(self, state):  # type: ignore[no-untyped-def]
        self._slots.point(GOOD, state.slot)
        return await method(self, state)

    return careless


def switched_first(method):  # type: ignore[no-untyped-def]
    def careless(self, slot, bundle):  # type: ignore[no-untyped-def]
        for link in (CURRENT, GOOD):
            self.point(link, slot)
        wipe, self.__class__.wipe = self.__class__.wipe, lambda *_: None
        try:
            method(self, slot, bundle)
        finally:
            self.__class__.wipe = wipe

    return careless


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        ("unsynced-slot", "torn"),
        ("unsynced-link", "forgotten"),
        ("link-removed-first", "unconfirmed"),
        ("good-moves-first", "unconfirmed"),
        ("switched-before-filled", "torn"),
    ],
)
def test_a_planted_bug_is_found(maker: Maker, plant: str, found: str) -> None:
    """A slot, or a link, that is not synced; a link that is removed and made anew; a slot called good before it was found so; one
    that is switched to before it is whole.
    """
    tally: Counter[str] = Counter()
    log = recorded(maker, stays=True, plant=PLANTS[plant])
    with workplace() as place:
        for _ in judged(log, "posix" if plant == "unsynced-link" else "ext4", place, 600, tally):
            pass
    print(plant, dict(tally))
    note(f"update-planted-{plant}", {"states": tally["states"], "found_in_states": tally[found]})
    assert tally[found] > 0, tally
