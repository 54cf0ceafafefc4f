import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from buffer.disk import Disk
from buffer.faults import StoreFault
from buffer.journal import BODY_BYTES_MAX, JournalError
from buffer.reader import JournalReader
from buffer.records import Name, Priority
from buffer.store import VitalStore
from buffer.waiting import Ticket

from .conftest import MakeJournal

A, F, S, T, M = Priority


def ns(reader: JournalReader, stream: Priority) -> list[tuple[str, int, bytes]]:
    return [(r.name.epoch, r.name.n, r.body) for r in reader.records([stream])]


def test_every_record_is_named_and_read_back_in_order(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal()
    tickets = [journal.append(stream, f"{stream.name} {i}".encode()) for i in range(20) for stream in Priority]
    assert journal.flush(60)
    with JournalReader.open(tmp_path / "j") as reader:
        for stream in Priority:
            mine = [ticket for ticket in tickets if ticket.priority is stream]
            epoch = reader.epochs(stream)[-1]
            assert [ticket.name for ticket in mine] == [Name(epoch, stream, n) for n in range(1, 21)]
            assert ns(reader, stream) == [(epoch, n, ticket.body) for n, ticket in enumerate(mine, 1)]
            assert reader.heads()[epoch, stream] == 20
        assert reader.verify().ok


def test_n_goes_on_where_it_was_after_closing_and_opening(make_journal: MakeJournal, tmp_path: Path) -> None:
    for start in (0, 7):
        journal = make_journal()
        tickets = [journal.append(stream, b"x") for _ in range(7) for stream in (A, T)]
        journal.flush(60)
        assert [ticket.name.n for ticket in tickets if ticket.name] == [
            n for n in range(start + 1, start + 8) for _ in (A, T)
        ]
        journal.close()
    with JournalReader.open(tmp_path / "j") as reader:
        assert len(reader.epochs(A)) == 1


def test_state_is_durable_with_its_record_and_none_takes_it_back(make_journal: MakeJournal) -> None:
    journal = make_journal()
    journal.append(A, b"fire", {"alarm/1": b"latched", "first": b"1"})
    journal.append(S, b"reset", {"first": None, "mode": b"\0\xff"})
    journal.flush(60)
    assert journal.state() == {"alarm/1": b"latched", "mode": b"\0\xff"}
    journal.close()
    assert make_journal().state() == {"alarm/1": b"latched", "mode": b"\0\xff"}


def test_the_callback_comes_once_with_the_name_from_the_writers_thread(make_journal: MakeJournal) -> None:
    seen: list[tuple[Ticket, str]] = []
    done = threading.Event()

    def durable(ticket: Ticket) -> None:
        seen.append((ticket, threading.current_thread().name))
        done.set()

    ticket = make_journal().append(A, b"fire", None, durable)
    assert done.wait(60)
    assert seen == [(ticket, "journal-vital")] and ticket.name is not None


def test_one_commit_tells_all_its_tickets_in_one_call(make_journal: MakeJournal) -> None:
    batches: list[list[Ticket]] = []
    journal = make_journal(on_batch=lambda tickets: batches.append(list(tickets)), status_linger_s=30.0)
    tickets = [journal.append(S, b"x") for _ in range(400)]
    assert journal.flush(60)
    assert batches == [tickets]


def test_a_callback_that_raises_ends_nothing(make_journal: MakeJournal, faults: list[StoreFault]) -> None:
    journal = make_journal()

    def bug(ticket: Ticket) -> None:
        raise RuntimeError("caller's bug")

    journal.append(A, b"1", None, bug)
    second = journal.append(A, b"2")
    assert journal.flush(60) and second.name is not None
    assert [fault.code for fault in faults] == ["bug"]


def test_what_is_too_long_or_too_late_is_refused_with_a_code(make_journal: MakeJournal) -> None:
    journal = make_journal()
    told: list[Ticket] = []
    ticket = journal.append(A, b"x" * (BODY_BYTES_MAX + 1), None, told.append)
    assert (ticket.error, ticket.name, told) == ("too_long", None, [ticket])
    journal.close()
    assert journal.append(A, b"x").error == "closed"


def test_closing_makes_what_waits_durable(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal(telemetry_linger_s=3600.0, status_linger_s=3600.0)
    tickets = [journal.append(stream, b"x") for stream in (S, T, M)]
    journal.close()
    assert all(ticket.name for ticket in tickets)


def test_readings_lost_in_memory_leave_a_gap_record(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal(telemetry_linger_s=3600.0, waiting_telemetry_max=100)
    tickets = [journal.append(T, b"%d" % i) for i in range(150)]
    journal.flush(60)
    assert [ticket.error for ticket in tickets[:50]] == ["dropped"] * 50
    with JournalReader.open(tmp_path / "j") as reader:
        bodies = [body for _, _, body in ns(reader, T)]
    assert bodies[:100] == [b"%d" % i for i in range(50, 150)]
    assert [json.loads(body) for body in bodies[100:]] == [{"gap": {"count": 50, "why": "memory"}}]


def test_a_second_writer_is_refused(make_journal: MakeJournal, tmp_path: Path) -> None:
    make_journal()
    with pytest.raises(JournalError) as refusal:
        make_journal()
    assert refusal.value.code == "locked"


@pytest.mark.parametrize("file", ["vital.db", "bulk.db"])
def test_a_newer_schema_is_refused_and_left_as_it_is(make_journal: MakeJournal, tmp_path: Path, file: str) -> None:
    journal = make_journal()
    journal.append(A, b"fire")
    journal.append(T, b"1")
    journal.close()
    path = tmp_path / "j" / file
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    before = path.read_bytes()
    with pytest.raises(JournalError) as refusal:
        make_journal()
    assert (refusal.value.code, refusal.value.params) == ("newer_schema", {"found": 2, "known": 1})
    assert path.read_bytes() == before
    with pytest.raises(JournalError), JournalReader.open(tmp_path / "j") as reader:
        reader.heads()
    with (tmp_path / "j" / "journal.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the refusal let the directory go


def test_the_files_are_as_durable_and_as_private_as_they_should_be(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal()
    for owner in (journal.vital, journal.bulk):
        assert owner.store is not None
        pragma = {
            p: owner.store.db.execute(f"PRAGMA {p}").fetchone()[0]
            for p in ("journal_mode", "synchronous", "auto_vacuum")
        }
        assert pragma == {"journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2}
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "j").iterdir() if path.is_file()}
    assert all(mode in ("0o640", "0o600") for mode in modes.values()), modes


def test_a_million_pending_rows_cost_no_time_to_open(tmp_path: Path) -> None:
    """Opening reads the ends of the tables: what is read does not grow with the rows."""
    read = {}
    for count in (1_000, 200_000):
        path = tmp_path / f"{count}.db"
        VitalStore.make(path, epoch="v-1", ordinal=1000, wall_ns=0, disk=Disk())
        store = VitalStore(path, budget_bytes=1 << 30, disk=Disk())
        with store.transaction() as db:
            db.execute(
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?)"
                " INSERT INTO alarm SELECT ? + n, ?, 0, 0, zeroblob(200) FROM c",
                (count, store.base, store.epoch),
            )
        store.close()
        before = _read_bytes()
        store = VitalStore(path, budget_bytes=1 << 30, disk=Disk())
        read[count] = _read_bytes() - before
        assert store.heads[A] == count
        store.close()
    assert read[200_000] < read[1_000] + 64 * 1024


def _read_bytes() -> int:
    for line in Path(f"/proc/{os.getpid()}/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError


def test_progress_grows_while_nothing_happens(make_journal: MakeJournal, until: Callable[..., None]) -> None:
    journal = make_journal()
    start, idle = journal.progress(), journal.stats()
    until(lambda: journal.progress() > start + 1)
    assert journal.stats() == idle, "nothing happened"
