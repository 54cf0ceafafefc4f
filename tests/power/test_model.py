"""What the enumerator says a medium may hold, on logs short enough to think through."""

import random

import pytest

from tests.power.crash import Medium, State, states
from tests.power.oplog import Op

CREATE_NEW = Op("create", 0, "new")
OVERWRITE = [Op("create", 0, "a"), Op("write", 0, data=b"o" * 1024), Op("sync", 0), Op("sync_directory")]


def all_states(ops: list[Op], world: str = "ext4", count: int = 400) -> list[State]:
    medium = Medium(world)
    for op in ops:
        medium.advance(op)
    chance = random.Random(1)
    hows = ["kept", "lost"] + ["chance"] * count
    return [medium.state(how, chance) for how in hows]


def contents(found: list[State], name: str) -> set[bytes | None]:
    return {bytes(state.files[name]) if name in state.files else None for state in found}


def test_what_was_synced_is_there_whatever_happens() -> None:
    assert contents(all_states(OVERWRITE), "a") == {b"o" * 1024}


def test_an_unsynced_write_is_there_or_not_or_torn_at_a_sector() -> None:
    found = contents(all_states([*OVERWRITE, Op("write", 0, offset=0, data=b"n" * 1024)]), "a")
    old, new = b"o" * 512, b"n" * 512
    assert found == {old + old, new + new, old + new, new + old}


def test_a_later_write_may_be_there_without_the_earlier_one() -> None:
    two = [*OVERWRITE, Op("write", 0, offset=0, data=b"1" * 512), Op("write", 0, offset=512, data=b"2" * 512)]
    assert b"o" * 512 + b"2" * 512 in contents(all_states(two), "a")


def test_a_rename_without_a_sync_may_show_an_empty_file_and_with_one_may_not() -> None:
    """The mistake this harness must find: a new file renamed over an old one before its content is synced."""
    start = [*OVERWRITE, Op("create", 1, "a.new"), Op("write", 1, data=b"n" * 1024)]
    rename = Op("rename", 1, "a.new", to="a")
    careless = contents(all_states([*start, rename, Op("sync_directory")]), "a")
    careful = contents(all_states([*start, Op("sync", 1), rename, Op("sync_directory")]), "a")
    assert b"" in careless and careful == {b"n" * 1024}


@pytest.mark.parametrize(("world", "names"), [("ext4", {True}), ("posix", {True, False})])
def test_a_name_needs_the_directorys_sync_but_on_ext4(world: str, names: set[bool]) -> None:
    found = all_states([CREATE_NEW, Op("write", 0, data=b"x"), Op("sync", 0)], world)
    assert {"new" in state.files for state in found} == names


TREE = [
    Op("mkdir", 0, "d"),
    Op("create", 1, "d/f"),
    Op("write", 1, data=b"x"),
    Op("sync", 1),
    Op("symlink", 2, "to", to="d"),
]


@pytest.mark.parametrize(
    ("synced", "names"),
    [("", {("d", "to"), ("d", "d/f", "to")}), ("d", {(), ("d", "d/f"), ("d", "d/f", "to")})],
)
def test_a_name_needs_the_sync_of_its_own_directory_and_of_every_one_above(
    synced: str, names: set[tuple[str, ...]]
) -> None:
    """In the harsher world. A link is there whole or not at all."""
    seen = all_states([*TREE, Op("sync_directory", path=synced)], "posix")
    assert {tuple(sorted(state.files)) for state in seen} == names
    assert {str(state.files["to"]) for state in seen if "to" in state.files} == {"d"}


@pytest.mark.parametrize("how", ["kept", "lost", "chance"])
def test_a_state_that_is_kept_stays_as_it_was(how: str) -> None:
    """Programs start on states long after the medium has gone on; a page of later under an older log is nobody's card."""
    medium = Medium()
    for op in OVERWRITE:
        medium.advance(op)
    kept = medium.state(how, random.Random(1))
    for op in (Op("write", 0, data=b"n" * 1024), Op("truncate", 0, size=2048), Op("sync", 0)):
        medium.advance(op)
    assert kept.files == {"a": b"o" * 1024} and medium.state(how, random.Random(1)) != kept


def test_names_change_in_order() -> None:
    moved = [CREATE_NEW, Op("rename", 0, "new", to="b"), Op("create", 1, "c"), Op("unlink", 1, "c")]
    seen = {tuple(sorted(state.files)) for state in all_states(moved)}
    assert seen == {(), ("new",), ("b",), ("b", "c")}


def test_the_same_seed_gives_the_same_states_all_over_the_log() -> None:
    ops = [*OVERWRITE, *(Op("write", 0, offset=i, data=b"x") for i in range(96))]
    first, second = ([*states(ops, count=50, seed=7)] for _ in range(2))
    assert first == second and len(first) == 50
    assert {state.cut // 20 for state in first} == {0, 1, 2, 3, 4, 5}
