"""Full disks and dead media: an alarm is taken as long as there is a byte for it, and nothing is acknowledged falsely."""

import contextlib
import json
import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from buffer.disk import Disk
from buffer.faults import StoreFault
from buffer.journal import Journal
from buffer.reader import JournalReader
from buffer.records import Priority
from buffer.waiting import Ticket

from .conftest import MakeJournal

A, F, S, T, M = Priority
Until = Callable[..., None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 8 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount a tmpfs: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass


def accepted(journal: Journal, body: bytes) -> bool:
    ticket = journal.append(A, body)
    assert journal.flush(60) and ticket.settled
    return ticket.name is not None


def codes(faults: list[StoreFault]) -> list[str]:
    return [fault.code for fault in faults]


def alarms_file_is_back(faults: list[StoreFault]) -> bool:
    """Each file finds the medium by itself, at its own time: that bulk.db is back says nothing of the alarms."""
    return any(fault.code == "back" and fault.file == "vital.db" for fault in faults)


def test_a_full_disk_refuses_no_alarm_while_the_reserve_lasts(
    small_disk: Path, make_journal: MakeJournal, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal(small_disk / "j", reserve_bytes=2 << 20, waiting_telemetry_max=500, vital_bytes=64 << 20)
    for i in range(20):
        journal.append(T, os.urandom(20_000), None)
        assert journal.flush(60), i
    fill(small_disk / "log")
    alarms: list[Ticket] = []
    for i in range(600):
        alarms.append(journal.append(A, b"fire %d" % i + b"." * 1000, {"latched": b"%d" % i}))
        if i % 20 == 0:
            journal.flush(60)
    assert journal.flush(60)
    assert all(ticket.name for ticket in alarms), [ticket.error for ticket in alarms if ticket.error][:3]
    assert "reserve_given_up" in codes(faults)
    readings = [journal.append(T, b"reading %d" % i) for i in range(600)]
    until(lambda: readings[0].error == "dropped", "readings wait in memory, and no longer than there is room")
    (small_disk / "log").unlink()
    until(lambda: "reserve_restored" in codes(faults))
    until(lambda: readings[-1].name, "the readings that waited are kept now")
    with JournalReader.open(small_disk / "j") as reader:
        assert reader.verify().ok
        assert [record.body[:8] for record in reader.records([A])][:2] == [b"fire 0..", b"fire 1.."]
        last = [record.body for record in reader.records([T])]
        assert {"gap": {"count": 100, "why": "memory"}} in [
            json.loads(body) for body in last if body.startswith(b'{"gap"')
        ]
    assert (small_disk / "j" / "reserve.bin").stat().st_blocks * 512 >= 2 << 20


def test_on_a_full_disk_readings_give_way_to_alarms(
    small_disk: Path, make_journal: MakeJournal, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal(small_disk / "j", reserve_bytes=1 << 20, vital_bytes=64 << 20)
    while sum(p.stat().st_blocks * 512 for p in (small_disk / "j").iterdir()) < 6 << 20:
        for _ in range(20):
            journal.append(T, os.urandom(5_000))
        journal.flush(60)
    fill(small_disk / "log")
    for i in range(2000):
        if not accepted(
            journal, b"fire %d" % i + b"." * 1000
        ):  # the reserve is spent: readings make room for the next one
            until(lambda i=i: accepted(journal, b"again %d" % i + b"." * 1000), "room is made")
    assert "reserve_given_up" in codes(faults)
    with JournalReader.open(small_disk / "j") as reader:
        gaps = [json.loads(record.body)["gap"] for record in reader.records([T]) if record.body.startswith(b'{"gap"')]
        assert {gap["why"] for gap in gaps} & {"thinned", "budget"}


def test_with_the_reserve_spent_and_nothing_to_give_an_append_fails_at_once_and_comes_back(
    small_disk: Path, make_journal: MakeJournal, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal(small_disk / "j", reserve_bytes=128 * 1024)
    fill(small_disk / "log")
    tickets: list[Ticket] = []
    until(lambda: tickets.append(journal.append(A, b"x" * 100_000)) or (journal.flush(60) and tickets[-1].error))
    assert tickets[-1].error == "full" and "full" in codes(faults)
    accepted = [ticket for ticket in tickets if ticket.name]
    (small_disk / "log").unlink()
    until(lambda: alarms_file_is_back(faults))
    again = journal.append(A, b"again")
    assert journal.flush(60) and again.name
    with JournalReader.open(small_disk / "j") as reader:
        assert [record.name for record in reader.records([A])] == [ticket.name for ticket in accepted] + [again.name]


def test_a_medium_that_turns_read_only_fails_fast_and_comes_back(
    small_disk: Path, make_journal: MakeJournal, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal(small_disk / "j", reserve_bytes=0)
    first = journal.append(A, b"before", {"latched": b"1"})
    journal.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    journal = make_journal(small_disk / "j", reserve_bytes=0)
    refused = [journal.append(rank, b"while read only") for rank in (A, F, S)]
    until(lambda: all(ticket.error for ticket in refused))
    assert {ticket.error for ticket in refused} <= {"readonly", "cantopen", "io"}
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    until(lambda: alarms_file_is_back(faults))
    again = journal.append(A, b"after")
    assert journal.flush(60)
    assert first.name and again.name and (again.name.epoch, again.name.n) == (first.name.epoch, 2)
    assert journal.state() == {"latched": b"1"}
    assert "set_aside" not in codes(faults)


class Faulty(sqlite3.Connection):
    """A connection whose `left`-th writing statement fails, once or for ever."""

    left, code, lasting = -1, sqlite3.SQLITE_IOERR_WRITE, False

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql.split(maxsplit=1)[0] in ("BEGIN", "INSERT", "COMMIT", "UPDATE", "DELETE") and Faulty.left >= 0:
            Faulty.left -= 1
            if Faulty.left < 0:
                Faulty.left = 0 if Faulty.lasting else -1
                fault = sqlite3.OperationalError("planted")
                fault.sqlite_errorcode, fault.sqlite_errorname = Faulty.code, "PLANTED"
                raise fault
        return super().execute(sql, *arguments)


class FaultyDisk(Disk):
    def connect(self, path: Path, *, mode: str = "rw", timeout_s: float = 1.0) -> sqlite3.Connection:
        super().connect(path, mode=mode).close()
        return sqlite3.connect(
            f"file:{path}?mode=rw", uri=True, isolation_level=None, check_same_thread=False, factory=Faulty
        )


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
    ],
)
def test_whichever_statement_fails_nothing_is_acknowledged_falsely(
    make_journal: MakeJournal, tmp_path: Path, until: Until, code: int
) -> None:
    Faulty.code, Faulty.lasting, Faulty.left = code, False, -1
    untouched = False
    turn = 0
    while not untouched:
        directory = tmp_path / str(turn)
        journal = make_journal(directory, disk=FaultyDisk(), reserve_bytes=0)
        Faulty.left = turn
        tickets = []
        for i in range(3):
            tickets.append(journal.append(A, b"alarm %d" % i, {f"k{i}": b"1"}))
            tickets.append(journal.append(F, b"fault %d" % i))
            assert journal.flush(60)
        untouched = Faulty.left >= 0
        Faulty.left = -1
        until(lambda journal=journal: accepted(journal, b"probe"), "the journal comes back")
        journal.close()
        with JournalReader.open(directory) as reader:
            result = reader.verify()
            kept = {record.name: record.body for record in reader.records()}
        assert result.ok, (turn, result)
        for ticket in tickets:
            assert ticket.settled
            if ticket.name:
                assert kept[ticket.name] == ticket.body, turn
        named = [ticket.name for ticket in tickets if ticket.name]
        assert len(set(named)) == len(named)
        turn += 1
    assert turn > 6


def test_a_full_disk_that_cannot_even_let_go_is_full_and_no_bug(
    make_journal: MakeJournal, faults: list[StoreFault]
) -> None:
    """Found by tests/sim: each `bug` was an event to be kept, which failed as the next `bug`, twenty times a second."""
    Faulty.code, Faulty.left, Faulty.lasting = sqlite3.SQLITE_FULL, -1, True
    journal = make_journal(disk=FaultyDisk(), reserve_bytes=0, mandatory=("c",), history_events=0)
    for i in range(20):
        journal.append(F, b"fault %d" % i)
    assert journal.flush(60)
    store = journal.vital.store
    assert store is not None
    journal.vital.put_marks({("c", store.epoch, F): 20}, 0)  # so there is something that may go
    Faulty.left = 0
    refused = journal.append(F, b"one more")
    assert journal.flush(60)
    Faulty.left, Faulty.lasting = -1, False
    assert refused.error == "full"
    assert codes([fault for fault in faults if fault.file == "vital.db"])[:1] == ["full"]


def test_a_dead_medium_is_told_once_and_alarms_fail_without_waiting(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    Faulty.code, Faulty.left, Faulty.lasting = sqlite3.SQLITE_IOERR_WRITE, -1, True
    journal = make_journal(disk=FaultyDisk(), reserve_bytes=0)
    Faulty.left = 0
    told: list[Ticket] = []
    for _ in range(50):
        journal.append(A, b"fire", None, told.append)
        journal.flush(60)
    assert [ticket.error for ticket in told] == ["io"] * 50
    assert codes([fault for fault in faults if fault.file == "vital.db"]) == ["io"]
    Faulty.left, Faulty.lasting = -1, False
    until(lambda: alarms_file_is_back(faults))
    assert accepted(journal, b"fire")


def told_lost(directory: Path, stream: Priority) -> int:
    """How many records of a stream its gap records say were lost before they had a name."""
    with JournalReader.open(directory) as reader:
        bodies = [record.body for record in reader.records([stream]) if record.body.startswith(b'{"gap"')]
    gaps = [json.loads(body)["gap"] for body in bodies]
    assert all(gap.keys() == {"count", "why"} and gap["why"] == "memory" for gap in gaps)
    return sum(gap["count"] for gap in gaps)


def test_what_a_dead_medium_refused_but_alarms_is_declared_lost_when_it_is_back(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    """A refused alarm is owed, and offered again (decision 0033): it is not lost."""
    Faulty.code, Faulty.left, Faulty.lasting = sqlite3.SQLITE_IOERR_WRITE, -1, True
    journal = make_journal(disk=FaultyDisk(), reserve_bytes=0, status_linger_s=0.0)
    Faulty.left = 0
    refused = []
    for _ in range(7):
        refused += [journal.append(F, b"fault"), journal.append(F, b"fault"), journal.append(S, b"status")]
        journal.append(A, b"fire")
        assert journal.flush(60)
    assert {ticket.error for ticket in refused} == {"io"}
    Faulty.left, Faulty.lasting = -1, False
    until(lambda: alarms_file_is_back(faults))
    assert accepted(journal, b"fire")
    assert accepted(journal, b"fire"), "and it is told once"
    assert [told_lost(tmp_path / "j", stream) for stream in (A, F, S)] == [0, 14, 7]


def test_what_a_full_disk_refused_is_declared_lost_out_of_nobodys_reserve(
    small_disk: Path, make_journal: MakeJournal, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal(small_disk / "j", reserve_bytes=2 << 20, vital_bytes=64 << 20)
    fill(small_disk / "log")
    alarms: list[Ticket] = []
    lost: list[Ticket] = []
    while not any(ticket.error for ticket in lost):  # the reserve is given up for alarms, and half of it used
        alarms.append(journal.append(A, b"fire" + b"." * 20_000))
        lost = [journal.append(F, b"fault") for _ in range(3)]
        assert journal.flush(60) and len(alarms) < 200
    alarms += [journal.append(A, b"fire") for _ in range(3)]
    assert journal.flush(60)
    assert all(ticket.name for ticket in alarms), [ticket.error for ticket in alarms if ticket.error][:3]
    assert {ticket.error for ticket in lost} == {"full"}
    assert told_lost(small_disk / "j", F) == 0, "what room is left belongs to alarms"
    (small_disk / "log").unlink()
    until(lambda: "reserve_restored" in codes(faults))
    assert accepted(journal, b"fire")
    assert told_lost(small_disk / "j", F) == len(lost)


def test_a_file_at_its_budget_still_takes_every_alarm(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal(vital_bytes=400 * 1024, mandatory=("c",), status_linger_s=0.0)
    statuses = [journal.append(S, b"s" * 500) for _ in range(400)]
    journal.flush(60)
    alarms = [journal.append(A, b"fire %d" % i + b"." * 500) for i in range(1500)]
    assert journal.flush(60)
    assert all(ticket.name for ticket in alarms)
    assert statuses[0].name
    with JournalReader.open(tmp_path / "j") as reader:
        assert sum(1 for _ in reader.records([A])) == 1500, "unconfirmed: none may go"
        assert reader.verify().ok


def test_a_tool_that_holds_the_file_is_trouble_until_it_lets_go(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    journal = make_journal()
    tool = sqlite3.connect(tmp_path / "j" / "vital.db", isolation_level=None)
    tool.execute("BEGIN IMMEDIATE")
    ticket = journal.append(A, b"fire")
    until(lambda: ticket.settled)
    assert (ticket.error, codes(faults)) == ("busy", ["busy"])
    tool.execute("ROLLBACK")
    tool.close()
    until(lambda: codes(faults) == ["busy", "back"])
    assert accepted(journal, b"fire")


def test_no_alarm_gets_a_name_before_one_that_was_refused(
    make_journal: MakeJournal, tmp_path: Path, faults: list[StoreFault], until: Until
) -> None:
    """The second is in hand when the first is refused, and the file is free again before its turn comes."""
    journal = make_journal()
    tool = sqlite3.connect(tmp_path / "j" / "vital.db", isolation_level=None, check_same_thread=False)
    tool.execute("BEGIN IMMEDIATE")
    first = journal.append(A, b"first", None, lambda ticket: tool.close(), 0)
    until(lambda: not journal.stats()["vital"]["waiting"])  # type: ignore[index]
    second = journal.append(A, b"second", None, None, 0)
    apart = journal.append(A, b"stands in no line")
    until(lambda: first.settled and second.settled and apart.settled)
    assert (first.error, second.error) == ("busy", "behind")
    assert (first.stops, second.stops) == (1, 1)
    assert apart.name is not None, "the file was free"
    again = [journal.append(A, body, None, None, first.stops) for body in (b"first", b"second")]
    assert journal.flush(60)
    assert [ticket.name.n for ticket in again if ticket.name] == [apart.name.n + 1, apart.name.n + 2]
    assert codes(faults) == ["busy", "back"]


def test_a_bug_behind_the_commit_stops_no_line(
    make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch, until: Until
) -> None:
    """What was written has its name: there is nobody whom the next one could pass."""
    journal = make_journal()
    commit = journal.vital.commit

    def stumble(*arguments: Any) -> bool:
        commit(*arguments)
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(journal.vital, "commit", stumble)
        first = journal.append(A, b"first", None, None, 0)
        assert journal.flush(60)
    second = journal.append(A, b"second", None, None, 0)
    until(lambda: second.settled)
    assert (first.error, second.error) == (None, None)


def test_a_bulk_file_that_hangs_delays_no_alarm(make_journal: MakeJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = make_journal()
    hanging, release = threading.Event(), threading.Event()

    def hang(*arguments: object, **keywords: object) -> None:
        hanging.set()
        release.wait(200)

    monkeypatch.setattr(journal.bulk.store, "write", hang)
    journal.append(T, b"reading")
    assert hanging.wait(60)
    told = threading.Event()
    alarms = [journal.append(A, b"fire %d" % i, None, lambda ticket: told.set()) for i in range(100)]
    try:
        assert told.wait(60)
        assert journal.vital.store is not None
        journal._vital_writer.flush().wait(60)
        assert all(ticket.name for ticket in alarms)
    finally:
        release.set()
