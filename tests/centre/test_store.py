"""The centre's database: each record once, each event once, and no promise that was not kept."""

import itertools
import json
import sqlite3
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulators.centre import postgres, sqlite_store
from simulators.centre.check import BATCH_BYTES_MAX, Batch, Rejected, read_batch, read_state
from simulators.centre.query import look
from simulators.centre.sqlite_store import SqliteStore
from simulators.centre.store import MISSING_MAX, STREAMS_MAX, Database, Store, StoreFault, open_store
from tests.centre.stored import bodies, stored_in
from tests.uplink.site import event_body, telemetry_body

EPOCHS = itertools.count()  # an example must not meet another's records


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
    (entry,) = store.commit()["gw-1"].acks
    return entry


def test_an_ack_counts_what_is_committed_and_lists_what_is_missing(db: Database) -> None:
    store = open_store(db)
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


def test_a_restarted_centre_knows_what_it_has(db: Database) -> None:
    store = open_store(db)
    take(store, batch(1, 5))
    store.close()
    store = open_store(db)
    assert take(store, batch(8, 9)) == {"epoch": "e1", "stream": "alarm", "through": 5, "high": 9, "missing": [[6, 7]]}
    store.close()


def test_what_was_not_committed_is_not_spoken_of_and_is_taken_when_it_comes_again(db: Database) -> None:
    store = open_store(db)
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
    store = SqliteStore(tmp_path / "centre.db")
    take(store, batch(1, 5))
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFault):
        for first in range(6, 5000, 100):
            store.take_batch(read_batch("gw-1", "alarm", batch(first, first + 99)))
            store.commit()
    store.rollback()
    store._database.execute("PRAGMA max_page_count = 1000000")
    entry = take(store, batch(5, 5))
    count = len(bodies(tmp_path / "centre.db"))
    assert entry["through"] == entry["high"] == count
    store.close()


def test_one_event_under_two_names_is_one_event(db: Database) -> None:
    store = open_store(db)
    take(store, batch(1, 3, epoch="mem-b-1"))
    take(store, batch(1, 3, epoch="v-1"))
    store.close()
    with look(db) as database:
        assert database.stats()["records"] == 6
        assert database.stats()["events"] == 3
        assert len(database.events()) == 3


def test_declared_gaps_settle_but_never_cover_what_is_stored(db: Database) -> None:
    store = open_store(db)
    take(store, batch(3, 4))
    assert take(store, batch(11, 11, gaps=[[1, 10, "gone"]]))["through"] == 11
    store.close()
    with look(db) as database:
        assert [(g["first"], g["last"]) for g in database.gaps()] == [(1, 2), (5, 10)]
        assert database.stats()["lost"] == 8


def test_missing_ranges_of_an_ack_are_bounded_and_nothing_beyond_them_is_confirmed(db: Database) -> None:
    store = open_store(db)
    entry: dict[str, object] = {}
    for n in range(2, 2 * MISSING_MAX + 12, 2):
        entry = take(store, batch(n, n))
    missing = entry["missing"]
    assert isinstance(missing, list)
    assert len(missing) == MISSING_MAX
    assert entry["high"] == MISSING_MAX * 2
    store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_gaps_listed_and_counted_from_the_rows_are_those_of_the_acks(
    db: Database, spans: list[tuple[int, int]]
) -> None:
    store, epoch = open_store(db), f"e{next(EPOCHS)}"
    entry: dict[str, object] = {}
    for first, length in spans:
        entry = take(store, batch(first, first + length, epoch=epoch))
    store.close()
    with look(db) as database:
        for recount in (False, True):
            listed = [[g["first"], g["last"]] for g in database.gaps(recount=recount) if g["epoch"] == epoch]
            assert listed == entry["missing"]
    have = {n for first, length in spans for n in range(first, first + length + 1)}
    assert [n for n in range(1, max(have) + 1) if n not in have] == [n for a, b in listed for n in range(a, b + 1)]  # type: ignore[call-overload, operator]


def test_a_gateway_that_opens_ever_new_epochs_is_stopped_and_the_others_are_not(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert STREAMS_MAX >= 1000
    for module in (sqlite_store, postgres):
        monkeypatch.setattr(module, "STREAMS_MAX", 5)
    store = open_store(db)
    for n in range(5):
        take(store, batch(1, 1, epoch=f"e{n}"))
    with pytest.raises(Rejected, match="too many streams"):
        store.take_batch(read_batch("gw-1", "alarm", batch(1, 1, epoch="e5")))
    store.take_batch(read_batch("gw-2", "alarm", batch(1, 1, gateway="gw-2")))
    assert store.commit()["gw-2"].acks
    store.close()


GOOD = json.loads(event_body(1))


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": 5},
        {"id": "a\0b"},
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
        batch(1, 2, epoch="e\0"),
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


def brief(*numbers: int) -> Batch:
    return Batch("gw-1", "e1", "alarm", [(n, {"kind": "fire", "point": f"p{n}"}) for n in numbers], [], [], brief=True)


def test_a_brief_settles_nothing_gives_way_to_the_full_record_and_never_replaces_one(db: Database) -> None:
    store = open_store(db)
    take(store, batch(1, 2))
    store.take_batch(brief(2, 3))
    assert store.commit()["gw-1"].acks == [{"epoch": "e1", "stream": "alarm", "through": 2, "high": 2, "missing": []}]
    assert bodies(db)[3] == {"kind": "fire", "point": "p3"}
    with look(db) as database:
        assert [event["brief"] for event in database.events()] == [False, False, True]
    assert take(store, batch(2, 3))["through"] == 3
    store.take_batch(brief(3))
    store.commit()
    full = {n: json.loads(event_body(n)) for n in (1, 2, 3)}
    assert {n: body["id"] for n, body in bodies(db).items()} == {n: full[n]["id"] for n in full}
    with look(db) as database:
        stats = database.stats()
    assert (stats["records"], stats["briefs"], stats["events"], stats["duplicates"]) == (3, 1, 3, 3)
    store.close()


def test_the_first_full_record_of_a_name_stays(db: Database) -> None:
    store = open_store(db)
    take(store, batch(1, 1))
    first = bodies(db)
    restamped = json.loads(batch(1, 1))
    restamped["records"][0]["at"]["wall_ns"] += 5
    take(store, json.dumps(restamped).encode())
    assert bodies(db) == first
    store.close()


def test_events_that_bring_no_number_are_numbered_and_stored_once(db: Database) -> None:
    store = open_store(db)
    events = [{"id": f"0007-{n}", "kind": "fire", "point": "x", "active": True} for n in range(3)]
    store.take_unnumbered("gw-1", "gb26875", "alarm", [*events[:2], events[0]])
    store.commit()
    store.take_unnumbered("gw-1", "gb26875", "alarm", events)
    assert store.commit()["gw-1"].acks[0]["through"] == 3
    assert {n: body["id"] for n, body in bodies(db).items()} == {
        1: "0007-0",
        2: "0007-1",
        3: "0007-2",
    }
    store.close()


def test_two_stores_on_one_file_never_speak_of_less_than_is_committed(db: Database) -> None:
    ours, theirs = open_store(db), open_store(db)
    take(ours, batch(1, 5))
    assert take(theirs, batch(8, 9))["missing"] == [[6, 7]]
    assert take(ours, batch(6, 7)) == {"epoch": "e1", "stream": "alarm", "through": 9, "high": 9, "missing": []}
    ours.close()
    theirs.close()


def test_a_database_of_the_first_version_is_brought_up_with_what_it_holds(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "centre.db")
    old.executescript(files("simulators.centre").joinpath("schema_sqlite_v1.sql").read_text("utf-8"))
    old.execute("INSERT INTO streams VALUES (1, 'gw-1', 'e1', 'alarm', '[[1, 1]]')")
    old.execute("INSERT INTO records VALUES (1, 1, 5, ?)", (event_body(1).decode(),))
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    store = SqliteStore(tmp_path / "centre.db")
    assert take(store, batch(2, 2))["through"] == 2
    store.close()
    assert sorted(bodies(tmp_path / "centre.db")) == [1, 2]


@pytest.mark.parametrize("poison", ["\ud800", 1e999, float("nan"), b"bytes"])
def test_what_no_database_takes_is_refused_by_its_number_and_the_rest_is_stored(db: Database, poison: object) -> None:
    store = open_store(db)
    records: list[tuple[int, dict[str, object]]] = [(1, {"id": "a"}), (2, {"id": "b", "x": poison}), (3, {"id": "c"})]
    store.take_batch(Batch("gw-1", "e1", "alarm", records, [], []))
    answer = store.commit()["gw-1"]
    assert answer.acks[0]["missing"] == [[2, 2]]
    assert [entry["n"] for entry in answer.refused] == [2]
    assert sorted(bodies(db)) == [1, 3]
    store.close()


def test_a_record_whose_time_was_put_right_beats_the_one_that_came_before_and_is_beaten_by_none(db: Database) -> None:
    store = open_store(db)
    early = {"boot": "b1", "mono_ns": 7, "wall_ns": 7, "clock": "unset"}
    right = {**early, "wall_ns": 1_795_492_800_000_000_007, "clock": "synced", "restamped": True}

    def sent(at: dict[str, object]) -> bytes:
        record = {"n": 1, "id": "e-1", "kind": "fire", "point": "p", "active": True, "at": at}
        return batch(1, 0, records=[record])

    for at, kept in ((early, early), (right, right), (early, right), ({**right, "wall_ns": 9}, right)):
        assert take(store, sent(at))["through"] == 1
        with look(db) as centre:
            [event] = centre.events()
            assert event["at"] == kept
            assert centre.stats()["events"] == 1
            assert centre.stats()["records"] == 1
    store.close()


def test_what_has_no_number_is_known_by_its_id_in_one_commit_in_two_and_by_another_store(db: Database) -> None:
    """Readings too, though no index is kept of their ids: a centre that was killed before it confirmed gets them again."""

    def told(stream: str, *ids: int) -> list[dict[str, object]]:
        return [{"id": f"{stream}-{n}", "kind": "fire", "values": {"v": n}} for n in ids]

    store = open_store(db)
    for stream in ("alarm", "telemetry"):
        store.take_unnumbered("gb-1", "e", stream, told(stream, 1, 2, 1))
        store.take_unnumbered("gb-1", "e", stream, told(stream, 2, 3))
    store.commit()
    store.close()
    store = open_store(db)
    for stream in ("alarm", "telemetry"):
        store.take_unnumbered("gb-1", "e", stream, told(stream, 3, 4))
    store.commit()
    store.close()
    with look(db) as ask:
        stats = ask.stats()
    told_once = [(stream, n, {"v": n}) for stream in ("alarm", "telemetry") for n in (1, 2, 3, 4)]
    assert [(row.stream, row.n, row.body["values"]) for row in stored_in(db)] == told_once
    assert (stats["records"], stats["events"], stats["duplicates"]) == (8, 4, 6)
