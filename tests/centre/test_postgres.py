"""What only a shared database can do to a store: others at the same time, restarts, frozen neighbours, a full disk."""

import concurrent.futures
import contextlib
import json
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from edge_agent.uplink.intervals import Intervals
from simulators.centre import postgres
from simulators.centre.check import Batch, read_batch
from simulators.centre.postgres import PostgresStore
from simulators.centre.query import look
from simulators.centre.store import StoreFault, open_store
from tests.centre.stored import bodies
from tests.centre.test_service import edge_centre
from tests.centre.test_store import batch, take
from tests.postgres import Postgres
from tests.proof.disks import fill, small_disk
from tests.waiting import eventually

DOCS = Path(__file__).parents[2] / "docs"
STREAMS = [(f"gw-{g}", "e1", stream) for g in range(3) for stream in ("alarm", "status")]


def rows_of_stream(connection: psycopg.Connection, gateway: str, stream: str) -> Intervals:
    found = connection.execute(
        "SELECT n FROM records JOIN streams USING (stream_id) WHERE gateway = %s AND stream = %s", (gateway, stream)
    )
    return Intervals((n, n) for (n,) in found)


def claimed(entry: dict[str, object]) -> Intervals:
    """What an ack says is there."""
    there = Intervals([(1, int(str(entry["high"])))])
    for first, last in entry["missing"]:  # type: ignore[attr-defined]
        there.discard(first, last)
    return there


@pytest.mark.parametrize("seed", range(2))
def test_four_at_once_on_the_same_streams_acknowledge_only_what_is_committed_and_in_growing_sets(
    city: str, seed: int
) -> None:
    """Batches of six streams, in random order and twice over, to four stores in threads; each ack is held against the rows."""
    rng = random.Random(seed)
    spans = [(first, first + 4) for first in range(1, 200, 5)]
    jobs = [(key, span) for key in STREAMS for span in spans] * 2
    rng.shuffle(jobs)
    shares = [jobs[i::4] for i in range(4)]
    told: dict[tuple[str, str], list[Intervals]] = {}
    lock = threading.Lock()

    def consume(share: list[tuple[tuple[str, str, str], tuple[int, int]]], chance: random.Random) -> None:
        store = PostgresStore(city)
        with psycopg.connect(city, autocommit=True) as witness:
            while share:
                for _ in range(chance.randint(1, 6)):
                    if share:
                        (gateway, epoch, stream), span = share.pop()
                        store.take_batch(
                            read_batch(gateway, stream, batch(*span, gateway=gateway, stream=stream, epoch=epoch))
                        )
                for gateway, answer in store.commit().items():
                    for entry in answer.acks:
                        there = rows_of_stream(witness, gateway, str(entry["stream"]))
                        assert all(there.covers(*part) for part in claimed(entry)), "an ack was ahead of the commit"
                        with lock:
                            told.setdefault((gateway, str(entry["stream"])), []).append(claimed(entry))
        store.close()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(consume, shares, [random.Random(seed * 10 + i) for i in range(4)]))
    for sets in told.values():
        for smaller, larger in zip(ordered := sorted(sets, key=Intervals.count), ordered[1:], strict=False):
            assert all(larger.covers(*part) for part in smaller), "two acks of one stream, neither inside the other"
    with look(city) as asked:
        assert asked.gaps() == asked.gaps(recount=True) == []
        stats = asked.stats()
    count = len(STREAMS) * 200
    assert (stats["records"], stats["duplicates"]) == (count, count)
    with psycopg.connect(city) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (count,)


def test_the_witness_of_that_test_sees_an_ack_that_runs_ahead(city: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = postgres._transaction

    @contextlib.contextmanager
    def without_commit(connection: psycopg.Connection) -> Iterator[psycopg.Pipeline]:
        with honest(connection) as pipeline:
            yield pipeline
            connection.execute("ROLLBACK")

    monkeypatch.setattr(postgres, "_transaction", without_commit)
    with pytest.raises(AssertionError, match="ahead of the commit"):
        test_four_at_once_on_the_same_streams_acknowledge_only_what_is_committed_and_in_growing_sets(city, 0)


def test_a_declared_gap_and_the_record_itself_from_two_consumers_at_once(city: str) -> None:
    """Whichever is first: the number is settled, and no gap covers what is stored before it."""
    ours, theirs = PostgresStore(city), PostgresStore(city)
    take(ours, batch(1, 3))
    assert take(theirs, batch(5, 5, gaps=[[1, 4, "gone"]]))["through"] == 5
    assert take(ours, batch(4, 4))["through"] == 5, "it came after all"
    with look(city) as asked:
        assert [(g["first"], g["last"], g["why"]) for g in asked.gaps()] == [(4, 4, "gone")]
    assert sorted(bodies(city)) == [1, 2, 3, 4, 5]
    ours.close()
    theirs.close()


def test_the_same_record_twice_in_one_commit_is_one(city: str) -> None:
    store = PostgresStore(city)
    for _ in range(2):
        store.take_batch(read_batch("gw-1", "alarm", batch(1, 3)))
    store.take_batch(Batch("gw-1", "e1", "alarm", [(4, {"kind": "fire"})], [], [], brief=True))
    store.take_batch(read_batch("gw-1", "alarm", batch(4, 4)))
    assert store.commit()["gw-1"].acks[0]["through"] == 4
    with look(city) as asked:
        stats = asked.stats()
    assert (stats["records"], stats["briefs"], stats["duplicates"]) == (4, 1, 3)
    assert bodies(city)[4]["id"]
    store.close()


def test_a_transaction_others_got_in_the_way_of_is_taken_again(city: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, waits = PostgresStore(city), []
    store.take_batch(read_batch("gw-1", "alarm", batch(1, 3)))
    real = postgres._store

    def in_the_way(connection: psycopg.Connection, work: postgres._Work) -> postgres._Put:
        put = real(connection, work)
        waits.append(1)
        if len(waits) < 3:
            raise psycopg.errors.DeadlockDetected("planted")
        return put

    monkeypatch.setattr(postgres, "_store", in_the_way)
    assert store.commit()["gw-1"].acks[0]["through"] == 3
    assert len(waits) == 3
    with look(city) as asked:
        assert asked.stats()["records"] == 3
    store.close()


def test_what_the_server_refuses_at_the_commit_itself_is_not_acknowledged(city: str) -> None:
    """Statements go out without waiting for each other's answers: the last one's answer counts as much."""
    store = PostgresStore(city)
    with psycopg.connect(city, autocommit=True) as other:
        other.execute("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
        other.execute(
            "CREATE CONSTRAINT TRIGGER no AFTER INSERT ON records DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION no()"
        )
        store.take_batch(read_batch("gw-1", "alarm", batch(1, 2)))
        with pytest.raises(StoreFault, match="no"):
            store.commit()
        other.execute("DROP TRIGGER no ON records")
        assert rows_of_stream(other, "gw-1", "alarm").count() == 0
        store.take_batch(read_batch("gw-1", "alarm", batch(1, 2)))
        [entry] = store.commit()["gw-1"].acks
        assert entry["through"] == 2
        assert rows_of_stream(other, "gw-1", "alarm").count() == 2
    store.close()


def test_a_consumer_that_freezes_inside_a_transaction_holds_the_others_up_for_seconds_only(
    city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(city)
    take(store, batch(1, 3))
    with monkeypatch.context() as patch:  # its connection alone: the other's may be slow, on a busy machine
        patch.setattr(
            postgres, "SESSION", postgres.SESSION.replace("session_timeout = '5s'", "session_timeout = '500ms'")
        )
        frozen = PostgresStore(city)
    assert store._connection is not None
    assert frozen._connection is not None
    frozen._connection.execute("BEGIN")
    frozen._connection.execute("SELECT 1 FROM streams FOR UPDATE")  # and never a word again
    assert take(store, batch(4, 6))["through"] == 6
    with pytest.raises(StoreFault, match="idle-in-transaction"):
        take(frozen, batch(7, 7))
    assert take(frozen, batch(7, 7))["through"] == 7, "thawed, it goes on"
    store.close()
    frozen.close()


def test_only_one_leads_and_another_does_once_its_connection_is_gone(city: str) -> None:
    first, second = PostgresStore(city), PostgresStore(city)
    assert (first.lead(), second.lead(), first.lead()) == (1, 0, 1)
    with psycopg.connect(city, autocommit=True) as admin:
        assert first._connection is not None
        admin.execute("SELECT pg_terminate_backend(%s)", (first._connection.info.backend_pid,))
    eventually(lambda: second.lead() == 1)
    first.take_state("gw-1", {"online": True})
    with pytest.raises(StoreFault):
        first.commit()  # what it took while it led is not stored now that another leads
    assert first.lead() == 0
    second.close()
    eventually(lambda: first.lead() == 2, "a new term")
    first.close()


def test_a_server_killed_and_started_again_has_all_that_was_acknowledged() -> None:
    with Postgres() as server:
        store = open_store(server.url)
        for turn in range(2):
            entry = take(store, batch(1 + turn * 100, 100 + turn * 100))
            server.restart()
            assert len(bodies(server.url)) == entry["through"] == 100 + turn * 100
            with pytest.raises(StoreFault):
                take(store, batch(1, 1))
            assert take(store, batch(1, 1))["through"] == entry["through"]
        store.close()


def test_a_server_that_does_not_flush_is_no_place_for_promises(city: str) -> None:
    store = PostgresStore(city + "&options=-csynchronous_commit%3Doff")
    assert store._connection is not None
    assert store._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    store.close()
    with psycopg.connect(city, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET fsync = off")
        try:
            admin.execute("SELECT pg_reload_conf()")
            eventually(lambda: admin.execute("SHOW fsync").fetchone() == ("off",))
            with pytest.raises(StoreFault, match="fsync"):
                open_store(city)
        finally:
            admin.execute("ALTER SYSTEM RESET fsync")
            admin.execute("SELECT pg_reload_conf()")
            eventually(lambda: admin.execute("SHOW fsync").fetchone() == ("on",))


def test_the_database_of_a_newer_program_is_left_alone(city: str) -> None:
    open_store(city).close()
    with psycopg.connect(city) as connection:
        connection.execute("INSERT INTO schema_versions VALUES (99)")
    with pytest.raises(StoreFault, match="version 99"):
        open_store(city)


def test_a_full_disk_of_the_server_acknowledges_nothing_and_nothing_is_lost() -> None:
    with small_disk(140) as place, Postgres(place, wal_mb=16) as server:
        store = PostgresStore(server.url)
        take(store, batch(1, 50))
        other = fill(place)
        through = 50
        with pytest.raises(StoreFault):
            for first in range(51, 100_000, 500):
                through = int(str(take(store, batch(first, first + 499))["through"]))
        other.unlink()
        if not server.alive:
            server.restart()  # no room for its log: it gives up, and recovers when it is started again
        deadline: list[object] = []
        eventually(lambda: _try(store, deadline))
        assert set(range(1, through + 1)) <= set(bodies(server.url)), "what was acknowledged is there"
        with look(server.url) as asked:
            assert asked.gaps() == asked.gaps(recount=True) == []
        store.close()


def _try(store: PostgresStore, done: list[object]) -> bool:
    with contextlib.suppress(StoreFault):
        done.append(json.dumps(take(store, batch(1, 60))))
    return bool(done)


@pytest.mark.parametrize("page", ["city.md", "city.zh.md"])
def test_the_retention_of_the_page_deletes_old_readings_and_nothing_is_asked_for_again(city: str, page: str) -> None:
    [statement] = re.findall(r"^```sql\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    store = PostgresStore(city)
    take(store, batch(1, 20))
    take(store, batch(1, 20, stream="telemetry"), "telemetry")
    with psycopg.connect(city, autocommit=True) as admin:
        admin.execute("UPDATE records SET received_ns = 1 WHERE n <= 10")
        assert admin.execute(statement.encode()).rowcount == 10
        assert admin.execute(statement.encode()).rowcount == 0
    assert take(store, batch(21, 21, stream="telemetry"), "telemetry")["through"] == 21
    with look(city) as asked:
        assert asked.gaps() == []
        assert {g["stream"] for g in asked.gaps(recount=True)} == {"telemetry"}
    store.close()


def test_the_command_line_answers_from_a_server_and_tells_no_password(city: str) -> None:
    store = PostgresStore(city)
    take(store, batch(2, 3))
    store.take_state("gw-1", {"v": 1, "online": True, "agent": "0.1.0"})
    store.commit()
    store.close()
    for recount in ([], ["--recount"]):
        gaps = edge_centre("gaps", "--db", city, "--json", *recount)
        assert gaps.returncode == 1
        assert [(g["first"], g["last"], g["why"]) for g in json.loads(gaps.stdout)] == [(1, 1, "missing")]
    assert [event["n"] for event in json.loads(edge_centre("events", "--db", city, "--json").stdout)] == [2, 3]
    assert json.loads(edge_centre("stats", "--db", city, "--json").stdout)["missing"] == 1
    [row] = json.loads(edge_centre("gateways", "--db", city, "--json").stdout)
    assert (row["gateway"], row["online"], row["stored"]) == ("gw-1", True, {"alarm": 2})
    for command in ("gaps", "run"):
        nobody = edge_centre(command, "--db", "postgresql://centre:geheim@127.0.0.1:9/zg119", "--lang", "en")
        assert nobody.returncode == 2
        assert "geheim" not in nobody.stderr
        assert "127.0.0.1:9/zg119" in nobody.stderr
