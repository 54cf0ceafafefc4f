"""What leaves, and what it leaves behind. The store runs inline: no thread, no clock."""

import json
import random
from pathlib import Path

import pytest

from buffer import retention
from buffer.disk import Disk
from buffer.reader import JournalReader
from buffer.records import Priority
from buffer.store import BulkStore, VitalStore
from buffer.waiting import Ticket

A, F, S, T, M = Priority
DAY_NS = 86_400 * 10**9
NOW_NS = 1_800_000_000 * 10**9


@pytest.fixture
def vital(tmp_path: Path) -> VitalStore:
    VitalStore.make(tmp_path / "vital.db", epoch="v-1", ordinal=1000, wall_ns=0, disk=Disk())
    return VitalStore(tmp_path / "vital.db", budget_bytes=4 << 20, disk=Disk())


@pytest.fixture
def bulk(tmp_path: Path) -> BulkStore:
    BulkStore.make(tmp_path / "bulk.db", epoch="b-1", ordinal=1000, wall_ns=0, disk=Disk())
    return BulkStore(tmp_path / "bulk.db", budget_bytes=4 << 20, disk=Disk())


def write(store: VitalStore | BulkStore, rank: Priority, count: int, at_ns: int = NOW_NS, body: bytes = b"x") -> None:
    for start in range(0, count, 200):
        store.write([Ticket(rank, body, at_ns) for _ in range(min(200, count - start))])


def ns(tmp_path: Path, rank: Priority) -> list[int]:
    with JournalReader.open(tmp_path) as reader:
        return [record.name.n for record in reader.records([rank])]


def gaps(tmp_path: Path, rank: Priority) -> list[dict[str, object]]:
    with JournalReader.open(tmp_path) as reader:
        return [
            json.loads(record.body)["gap"] for record in reader.records([rank]) if record.body.startswith(b'{"gap"')
        ]


def prune(store: VitalStore, mandatory: tuple[str, ...], events: int = 100, days: int = 365) -> None:
    while retention.prune_vital(store, mandatory, retention.History(events, days * DAY_NS), NOW_NS):
        pass


def test_only_what_every_mandatory_destination_has_and_history_does_not_want_leaves(
    vital: VitalStore, tmp_path: Path
) -> None:
    write(vital, F, 500)
    prune(vital, ("a", "b"))
    assert len(ns(tmp_path, F)) == 500
    vital.put_marks({("a", "v-1", F): 450})
    prune(vital, ("a", "b"))
    assert len(ns(tmp_path, F)) == 500, "b has nothing yet"
    vital.put_marks({("b", "v-1", F): 300})
    prune(vital, ("a", "b"))
    assert ns(tmp_path, F) == list(range(301, 501))
    vital.put_marks({("b", "v-1", F): 500})
    prune(vital, ("a", "b"))
    assert ns(tmp_path, F) == list(range(401, 501)), "the newest 100 are history"
    assert gaps(tmp_path, F) == [], "nothing is missing: they have it"


def test_a_mark_never_goes_back(vital: VitalStore) -> None:
    write(vital, A, 10)
    vital.put_marks({("a", "v-1", A): 8})
    vital.put_marks({("a", "v-1", A): 5})
    assert VitalStore(vital.path, budget_bytes=1 << 20, disk=Disk()).marks["a", "v-1", A] == 8


def test_alarms_stay_a_year_and_longer_if_their_clock_was_not_set(vital: VitalStore, tmp_path: Path) -> None:
    write(vital, A, 100, NOW_NS - 366 * DAY_NS)
    write(vital, A, 100, NOW_NS - 364 * DAY_NS)
    write(vital, A, 200)
    vital.put_marks({("a", "v-1", A): 400})
    prune(vital, ("a",))
    assert ns(tmp_path, A) == list(range(101, 401))


def test_without_a_mandatory_destination_history_alone_decides_over_events(vital: VitalStore, tmp_path: Path) -> None:
    write(vital, S, 300)
    prune(vital, ())
    assert ns(tmp_path, S) == list(range(201, 301))


def test_n_is_not_given_again_after_everything_was_pruned(vital: VitalStore) -> None:
    write(vital, S, 50)
    vital.put_marks({("a", "v-1", S): 50})
    prune(vital, ("a",), events=0)
    again = VitalStore(vital.path, budget_bytes=1 << 20, disk=Disk())
    assert again.heads[S] == 50
    ticket = Ticket(S, b"next")
    again.write([ticket])
    assert ticket.name and ticket.name.n == 51


def test_an_older_epoch_goes_when_it_is_empty(vital: VitalStore) -> None:
    write(vital, S, 50)
    vital.rotate("v-2", 0)
    write(vital, S, 150)
    vital.put_marks({("a", "v-1", S): 50, ("a", "v-2", S): 150})
    prune(vital, ("a",))
    assert list(vital.epochs) == ["v-2"] and vital.marks == {("a", "v-2", S): 150}


def test_under_pressure_an_unconfirmed_alarm_never_goes(vital: VitalStore, tmp_path: Path) -> None:
    for rank in (A, F, S):
        write(vital, rank, 300)
    vital.put_marks({("a", "v-1", A): 100})
    while retention.shed_vital(vital, ("a",)):
        pass
    assert ns(tmp_path, A) == list(range(101, 301))
    assert gaps(tmp_path, A) == []
    for rank in (S, F):
        told = gaps(tmp_path, rank)[-1]
        left = ns(tmp_path, rank)
        assert told["from"] == 1 and told["to"] == left[0] - 1 and told["epoch"] == "v-1"


def test_status_goes_before_faults(vital: VitalStore, tmp_path: Path) -> None:
    write(vital, F, 300)
    write(vital, S, 300)
    retention.shed_vital(vital, ("a",))
    assert len(ns(tmp_path, F)) == 300 and min(ns(tmp_path, S)) == 101


def test_confirmed_readings_leave_and_leave_no_gap(bulk: BulkStore, tmp_path: Path) -> None:
    for _ in range(40):
        write(bulk, T, 200)
    bulk.put_marks({("a", "b-1", T): 5000})
    while retention.prune_bulk(bulk, ("a",)):
        pass
    assert ns(tmp_path, T) == list(range(5001, 8001)) and gaps(tmp_path, T) == []


def test_an_hour_of_confirmed_readings_leaves_in_one_commit_of_few_pages(bulk: BulkStore) -> None:
    bulk.db.execute("PRAGMA synchronous = OFF").close()
    for n in range(retention.PRUNE_BLOCKS + 10):
        write(bulk, T, 1, body=random.Random(n).randbytes(1200))  # of all sizes the one that costs most
    bulk.put_marks({("a", "b-1", T): retention.PRUNE_BLOCKS})
    bulk.checkpoint(truncate=True)
    assert retention.prune_bulk(bulk, ("a",))
    pages = int(bulk.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])
    assert 0 < pages <= 70
    assert not retention.prune_bulk(bulk, ("a",))


def test_media_goes_first_then_readings_are_thinned_then_dropped_and_every_step_is_told(
    bulk: BulkStore, tmp_path: Path
) -> None:
    write(bulk, M, 50, body=b"m" * 1000)
    for _ in range(40):
        write(bulk, T, 200)
    seen = {rank: set(ns(tmp_path, rank)) for rank in (T, M)}
    stages = []
    while retention.shed_bulk(bulk, ("a",)):
        media, readings = len(ns(tmp_path, M)), len(ns(tmp_path, T))
        whys = [gap["why"] for gap in gaps(tmp_path, T)]
        stages.append((media, readings, whys[-1] if whys else ""))
        told = [(gap["from"], gap["to"]) for rank in (T, M) for gap in gaps(tmp_path, rank)]
        for rank in (T, M):
            gone = seen[rank] - set(ns(tmp_path, rank))
            ranges = [(gap["from"], gap["to"]) for gap in gaps(tmp_path, rank)]
            assert all(any(a <= n <= b for a, b in ranges) for n in gone), (rank, told)  # type: ignore[operator]
        if len(stages) > 500:
            raise AssertionError("shedding does not end")
    order = [why for _, _, why in stages]
    assert order[0] == "" and order.index("thinned") < order.index("budget")
    first_thin = next(i for i, (_, _, why) in enumerate(stages) if why)
    assert stages[first_thin - 1][0] <= 2, "media went first"
    before_drop = stages[order.index("budget") - 1][1]
    assert 1500 < before_drop < 5000, "thinned well before anything was dropped whole"


def test_a_gap_record_that_is_dropped_is_said_again(bulk: BulkStore, tmp_path: Path) -> None:
    bulk.write((), notes=[(T, b'{"gap":{"epoch":"b-0","from":7,"to":null,"why":"corrupt"}}')])
    bulk.write((), notes=[(T, b'{"gap":{"count":5,"why":"memory"}}')])
    for _ in range(30):
        write(bulk, T, 100)
    while retention.shed_bulk(bulk, ("a",)):
        pass
    told = gaps(tmp_path, T)
    assert {"epoch": "b-0", "from": 7, "to": None, "why": "corrupt"} in told
    assert {"count": 5, "why": "memory"} in told


def test_freed_room_goes_back_to_the_file_system(bulk: BulkStore) -> None:
    for _ in range(20):
        write(bulk, M, 10, body=b"m" * 20_000)
    bulk.checkpoint(truncate=True)
    full = bulk.path.stat().st_size
    bulk.put_marks({("a", "b-1", M): 199})
    while retention.prune_bulk(bulk, ("a",)):
        pass
    free = bulk.pages()[1]
    bulk.vacuum(64)
    assert bulk.pages()[1] == free - 64
    bulk.vacuum(free)
    bulk.checkpoint(truncate=True)
    assert bulk.path.stat().st_size < full / 10
