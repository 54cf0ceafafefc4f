import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from buffer.faults import StoreFault
from buffer.reader import JournalReader
from buffer.records import Name, Priority, Record

from .conftest import MakeJournal

A, F, S, T, M = Priority


def test_a_reader_follows_a_writer_without_a_hole(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal()
    stop = threading.Event()

    def write() -> None:
        i = 0
        while not stop.is_set() and i < 20_000:
            journal.append(A if i % 3 else T, b"%d" % i)
            i += 1
            if i % 100 == 0:
                journal.flush(60)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        with JournalReader.open(tmp_path / "j") as reader:
            after = {A: 0, T: 0}
            while min(after.values()) < 600:
                for rank in (A, T):
                    for record in reader.read(rank, reader.epochs(rank)[-1], after[rank], 37):
                        assert record.name.n == after[rank] + 1
                        after[rank] += 1
    finally:
        stop.set()
        thread.join()


def test_a_reader_never_stops_the_log_from_being_recycled(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal()
    reader = JournalReader.open(tmp_path / "j")
    for i in range(40):
        for _ in range(50):
            journal.append(A, b"x" * 2000)
            journal.append(F, b"x")
        journal.flush(60)
        reader.read(A, reader.epochs(A)[0], i)
        reader.history(5)
        reader.heads()
    assert (tmp_path / "j" / "vital.db-wal").stat().st_size < 3 << 20
    reader.close()


def test_limits_hold_and_one_record_always_comes(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal()
    for rank in (A, T, M):
        for _ in range(30):
            journal.append(rank, b"x" * 1000)
    journal.flush(60)
    with JournalReader.open(tmp_path / "j") as reader:
        for rank in (A, T, M):
            epoch = reader.epochs(rank)[0]
            assert [r.name.n for r in reader.read(rank, epoch, 4, 3)] == [5, 6, 7]
            assert len(reader.read(rank, epoch, 0, 100, 5000)) == 5
            assert len(reader.read(rank, epoch, 0, 100, 1)) == 1
            assert reader.read(rank, epoch, 30) == [] and reader.read(rank, "v-other", 0) == []


def test_a_replaced_file_is_noticed(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal()
    journal.append(A, b"old")
    journal.flush(60)
    with JournalReader.open(tmp_path / "j") as reader:
        old = reader.epochs(A)
        journal.close()
        for path in list((tmp_path / "j").glob("vital.db*")):
            path.rename(path.with_name("gone-" + path.name))
        assert reader.epochs(A) == [] and reader.read(A, old[0]) == []
        journal = make_journal()
        journal.append(A, b"new")
        journal.flush(60)
        assert reader.epochs(A) != old
        assert [record.body for record in reader.read(A, reader.epochs(A)[0])] == [b"new"]


def test_there_need_be_no_journal_yet(tmp_path: Path) -> None:
    with JournalReader.open(tmp_path / "none") as reader:
        assert (reader.epochs(), reader.heads(), reader.read(A, "v-1"), reader.history(5)) == ([], {}, [], [])
        assert not reader.verify().ok
        assert reader.stats()["vital"] == {"present": False}


def test_a_record_with_a_bad_checksum_is_left_out_and_reported_and_hides_nothing_behind_it(
    make_journal: MakeJournal, tmp_path: Path
) -> None:
    journal = make_journal()
    for i in range(20):
        journal.append(A, b"alarm %02d" % i)
    journal.flush(60)
    journal.close()
    path = tmp_path / "j" / "vital.db"
    image = path.read_bytes()
    for i in range(3, 9):
        image = image.replace(b"alarm %02d" % i, b"alarM %02d" % i)
    path.write_bytes(image)
    told: list[StoreFault] = []
    with JournalReader.open(tmp_path / "j", told.append) as reader:
        epoch = reader.epochs(A)[0]
        assert [r.name.n for r in reader.read(A, epoch, 3, 2)] == [10, 11]
        assert [fault.params["from"] for fault in told] == list(range(4, 10))
        result = reader.verify()
    assert not result.ok and len(result.bad) == 6 and result.records["alarm"] == 14
    assert list(result.missing) == [{"epoch": epoch, "stream": "alarm", "from": 4, "to": 9}]


def test_history_is_newest_first_over_all_event_streams(make_journal: MakeJournal, tmp_path: Path) -> None:
    clock = iter(range(10**18, 10**18 + 1000))
    journal = make_journal(wall_ns=lambda: next(clock))
    order = [A, F, A, S, F, S, A]
    for i, rank in enumerate(order):
        journal.append(rank, b"%d" % i)
    journal.flush(60)
    with JournalReader.open(tmp_path / "j") as reader:
        assert [record.body for record in reader.history(5)] == [b"6", b"5", b"4", b"3", b"2"]
        assert [record.body for record in reader.history(5, [A])] == [b"6", b"2", b"0"]
        epoch = reader.epochs(A)[0]
        older = reader.history(5, before={A: (epoch, 3), F: (epoch, 2), S: (epoch, 1)})
        assert [record.body for record in older] == [b"2", b"1", b"0"]


def test_stats_say_what_is_there(make_journal: MakeJournal, tmp_path: Path) -> None:
    journal = make_journal(mandatory=("c",))
    for _ in range(7):
        journal.append(A, b"x")
        journal.append(T, b"x")
    journal.flush(60)
    epoch = journal.vital.store.epoch if journal.vital.store else ""
    journal.confirm("c", epoch, A, 5)
    journal.confirm("stranger", epoch, A, 7)
    journal.flush(60)
    with JournalReader.open(tmp_path / "j") as reader:
        stats = reader.stats()
    vital = stats["vital"]
    assert isinstance(vital, dict)
    assert vital["streams"]["alarm"] == {
        "records": 7,
        "first": {"epoch": epoch, "n": 1},
        "last": {"epoch": epoch, "n": 7},
    }
    assert vital["confirmed"] == [{"destination": "c", "epoch": epoch, "stream": "alarm", "through": 5}]
    assert stats["reserve_bytes"] == 64 * 1024 and stats["set_aside"] == []


@pytest.mark.parametrize("running", [True, False])
def test_another_user_who_may_only_read_can_read(make_journal: MakeJournal, tmp_path: Path, running: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    journal = make_journal()
    journal.append(A, b"fire")
    journal.flush(60)
    if not running:
        journal.close()
    for path in [*tmp_path.parents]:
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    for path in (tmp_path, tmp_path / "j"):
        path.chmod(0o755)
    for path in (tmp_path / "j").iterdir():
        path.chmod(0o644)
    script = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\n"
        "from pathlib import Path; from buffer.reader import JournalReader\n"
        "r = JournalReader.open(Path(sys.argv[1])); print([x.body for x in r.records()])"
    )
    code = "import sys; sys.path.insert(0, sys.argv[2])\nfrom buffer.reader import JournalReader\n" + script
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "j"), str(Path(__file__).parents[2])],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[b'fire']\n", done.stderr


def test_a_record_compares_by_value() -> None:
    assert Record(Name("v-1", A, 1), b"x") == Record(Name("v-1", A, 1), b"x")
