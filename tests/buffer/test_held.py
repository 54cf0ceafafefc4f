"""One file held through trouble, turn by turn, without a thread: what a retry finds, and what it says."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer.faults import Damaged, StoreFault
from buffer.owners import VitalOwner
from buffer.records import Priority
from buffer.reserve import Space
from buffer.store import VitalStore
from buffer.waiting import Ticket

A = Priority.ALARM


@pytest.fixture
def owner(tmp_path: Path, faults: list[StoreFault]) -> Iterator[VitalOwner]:
    """The test takes its turns by hand."""
    epochs = iter("abcdef")
    made = VitalOwner(
        VitalStore,
        tmp_path / "vital.db",
        budget_bytes=1 << 20,
        mandatory=(),
        space=Space(tmp_path, 0),
        report=faults.append,
        new_epoch=lambda: next(epochs),
        boot_id="boot",
        wall_ns=lambda: 1,
    )
    made.open(1)
    yield made
    made.close()


def test_a_medium_that_goes_back_in_time_under_a_running_journal_is_given_no_name_again(
    owner: VitalOwner, faults: list[StoreFault], tmp_path: Path
) -> None:
    """What a writer that was shut out by an I/O error finds when it comes back is older than what it had written."""
    first, second, third = ([Ticket(A, b"%d" % (10 * group + i), 1) for i in range(3)] for group in range(3))
    assert owner.commit(first, {}, 1)
    old = {path: path.read_bytes() for path in tmp_path.iterdir() if path.name in {"vital.db", "vital.db-wal"}}
    assert owner.commit(second, {}, 1)
    owner._down("io", "the medium fails", 1)
    for path, content in old.items():
        path.write_bytes(content)
    owner.step(10**12)
    assert owner.commit(third, {}, 10**12)
    assert "set_aside" in [fault.code for fault in faults]
    names = [ticket.name for ticket in (*first, *second, *third)]
    assert len(set(names)) == 9


def test_a_medium_that_was_full_and_then_dies_is_told_as_dead(
    owner: VitalOwner, faults: list[StoreFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead() -> None:
        raise OSError(errno.EIO, "Input/output error")

    owner._trouble("full", "free=0")
    monkeypatch.setattr(owner.store, "probe", dead)
    assert owner.step(10**12) > 0
    assert (owner.trouble, owner.store) == ("io", None)
    owner.step(2 * 10**12)
    assert [fault.code for fault in faults] == ["full", "io", "back"]


def test_a_wal_removed_while_a_file_is_salvaged_costs_no_trouble(
    owner: VitalOwner, faults: list[StoreFault], tmp_path: Path
) -> None:
    bodies = [b"%03d" % n * 700 for n in range(100)]
    assert owner.commit([Ticket(A, body, 1) for body in bodies], {}, 1)
    owner.replace(Damaged("malformed"), 1)
    assert owner.step(10**10) == 0, "more than one slice"
    owner.path.with_name("vital.db-wal").unlink()
    for turn in range(100):
        owner.step((11 + turn) * 10**9)
    assert [fault.code for fault in faults] == ["set_aside", "vanished", "salvaged"]
    assert faults[-1].params["missing"] == []
