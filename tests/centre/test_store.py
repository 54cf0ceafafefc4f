"""The centre's database: each record once, each event once, and no promise that was not kept."""

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulators.centre import query
from simulators.centre.check import BATCH_BYTES_MAX, Rejected, read_batch, read_state
from simulators.centre.store import MISSING_MAX, Store
from tests.uplink.site import event_body, telemetry_body


def batch(
    first: int, last: int, *, stream: str = "alarm", epoch: str = "e1", gateway: str = "gw-1", **more: object
) -> bytes:
    make = telemetry_body if stream == "telemetry" else event_body
    records = [{"n": n, **json.loads(make(n))} for n in range(first, last + 1)]
    return json.dumps(
        {"v": 1, "gateway": gateway, "epoch": epoch, "stream": stream, "records": records, **more}
    ).encode()


def take(store: Store, payload: bytes, stream: str = "alarm") -> dict[str, object]:
    """Store one message and return the ack entry."""
    store.take_batch(read_batch("gw-1", stream, payload))
    (entry,) = store.commit()["gw-1"]
    return entry


def test_an_ack_counts_what_is_committed_and_lists_what_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path / "centre.db")
    assert take(store, batch(1, 5)) == {"epoch": "e1", "stream": "alarm", "through": 5, "high": 5, "missing": []}
    assert take(store, batch(9, 10))["missing"] == [[6, 8]]
    assert take(store, batch(20, 20)) == {
        "epoch": "e1",
        "stream": "alarm",
        "through": 5,
        "high": 20,
        "missing": [[6, 8], [11, 19]],
    }
    assert take(store, batch(6, 19))["through"] == 20
    store.close()


def test_a_restarted_centre_knows_what_it_has(tmp_path: Path) -> None:
    store = Store(tmp_path / "centre.db")
    take(store, batch(1, 5))
    store.close()
    store = Store(tmp_path / "centre.db")
    assert take(store, batch(8, 9)) == {"epoch": "e1", "stream": "alarm", "through": 5, "high": 9, "missing": [[6, 7]]}
    store.close()


def test_what_was_not_committed_is_not_spoken_of_and_is_taken_when_it_comes_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "centre.db")
    take(store, batch(1, 5))
    store.take_batch(read_batch("gw-1", "alarm", batch(6, 9)))
    store.rollback()
    assert store.commit() == {}
    assert take(store, batch(10, 10)) == {
        "epoch": "e1",
        "stream": "alarm",
        "through": 5,
        "high": 10,
        "missing": [[6, 9]],
    }
    assert take(store, batch(6, 9))["through"] == 10
    store.close()


def test_a_full_disk_acknowledges_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "centre.db")
    take(store, batch(1, 5))
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError):
        for first in range(6, 5000, 100):
            store.take_batch(read_batch("gw-1", "alarm", batch(first, first + 99)))
            store.commit()
    store.rollback()
    store._database.execute("PRAGMA max_page_count = 1000000")
    entry = take(store, batch(5, 5))
    with query.opened(tmp_path / "centre.db") as database:
        (count,) = database.execute("SELECT COUNT(*) FROM records").fetchone()
    assert entry["through"] == entry["high"] == count
    store.close()


def test_one_event_under_two_names_is_one_event(tmp_path: Path) -> None:
    store = Store(tmp_path / "centre.db")
    take(store, batch(1, 3, epoch="mem-b-1"))
    take(store, batch(1, 3, epoch="v-1"))
    store.close()
    with query.opened(tmp_path / "centre.db") as database:
        assert query.stats(database)["records"] == 6
        assert query.stats(database)["events"] == 3
        assert len(query.events(database)) == 3


def test_declared_gaps_settle_but_never_cover_what_is_stored(tmp_path: Path) -> None:
    store = Store(tmp_path / "centre.db")
    take(store, batch(3, 4))
    assert take(store, batch(11, 11, gaps=[[1, 10, "gone"]]))["through"] == 11
    store.close()
    with query.opened(tmp_path / "centre.db") as database:
        assert [(g["first"], g["last"]) for g in query.gaps(database)] == [(1, 2), (5, 10)]
        assert query.stats(database)["lost"] == 8


def test_missing_ranges_of_an_ack_are_bounded_and_nothing_beyond_them_is_confirmed(tmp_path: Path) -> None:
    store = Store(tmp_path / "centre.db")
    entry: dict[str, object] = {}
    for n in range(2, 400, 2):
        entry = take(store, batch(n, n))
    missing = entry["missing"]
    assert isinstance(missing, list)
    assert len(missing) == MISSING_MAX
    assert entry["high"] == MISSING_MAX * 2
    store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_gaps_listed_from_the_rows_are_those_of_the_acks(tmp_path: Path, spans: list[tuple[int, int]]) -> None:
    path = tmp_path / "centre.db"
    path.unlink(missing_ok=True)
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    store = Store(path)
    entry: dict[str, object] = {}
    for first, length in spans:
        entry = take(store, batch(first, first + length))
    store.close()
    with query.opened(path) as database:
        listed = [[g["first"], g["last"]] for g in query.gaps(database)]
    assert listed == entry["missing"]
    have = {n for first, length in spans for n in range(first, first + length + 1)}
    assert [n for n in range(1, max(have) + 1) if n not in have] == [n for a, b in listed for n in range(a, b + 1)]  # type: ignore[call-overload, operator]


GOOD = json.loads(event_body(1))


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": 5},
        {"kind": None},
        {"point": "x" * 201},
        {"active": 1},
        {"at": {}},
        {"at": {**GOOD["at"], "clock": "late"}},
        {"at": {**GOOD["at"], "wall_ns": "now"}},
    ],
)
def test_a_record_that_breaks_the_contract_is_refused_by_its_number_and_the_rest_is_kept(
    change: dict[str, object],
) -> None:
    records = [{"n": 1, **GOOD}, {"n": 2, **GOOD, **change}, {"n": 3, **GOOD}]
    message = {"v": 1, "gateway": "gw-1", "epoch": "e1", "stream": "alarm", "records": records}
    found = read_batch("gw-1", "alarm", json.dumps(message).encode())
    assert [n for n, _ in found.records] == [1, 3]
    ((n, why),) = found.refused
    assert n == 2
    assert next(iter(change)) in why


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"v":1e999}',
        b"x" * (BATCH_BYTES_MAX + 1),
        batch(1, 2, gateway="gw-2"),
        batch(1, 2, stream="fault"),
        batch(1, 2, epoch=""),
        batch(1, 2, v=2),
        batch(1, 2, records=[{"n": 2}, {"n": 2}]),
        batch(1, 2, records=[{"n": True}]),
        batch(1, 2, records=[{"n": 2**60}]),
        batch(1, 2, records=[5]),
        batch(1, 2, gaps=[[3, 2, "gone"]]),
        batch(1, 2, gaps=[[0, 2, "gone"]]),
        batch(1, 2, gaps={"a": 1}),
    ],
)
def test_a_message_that_cannot_be_read_is_rejected_whole(payload: bytes) -> None:
    with pytest.raises(Rejected):
        read_batch("gw-1", "alarm", payload)
    with pytest.raises(Rejected):
        read_state("gw-1", payload)
