"""The GB/T 26875.3 centre while its database is slow, frozen, killed or full, or the centre itself is killed: nothing is confirmed
that is not committed, nothing is stored twice, and only the confirms that need a commit wait for one.
"""

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.codecs.gb26875 import Command, Frame, device_address
from drivers.codecs.gb26875 import objects as kinds
from simulators.centre import gb26875, gb_datagrams, gb_keeper, gb_link, sqlite_store, store_thread
from simulators.centre.far_side import FarSide, Trouble
from simulators.centre.gb26875 import GbCentre
from simulators.centre.gb_faults import FaultName
from simulators.centre.gb_link import Link
from simulators.centre.query import look
from simulators.centre.sqlite_store import SqliteStore
from simulators.centre.store import Database, StoreFault
from simulators.process import Program
from tests.centre.conftest import Hold
from tests.centre.gb_bench import DEVICE, NOON, Device, answer_to, confirm_of, device, fire, running, upload
from tests.centre.stored import stored_in
from tests.postgres import Postgres
from tests.waiting import until

OTHER = device_address(890)


def points(db: Database, gateway: str = "gb-889") -> list[object]:
    """What of a device is stored in its stream of alarms, in order."""
    return [row.body["point"] for row in stored_in(db) if (row.gateway, row.stream) == (gateway, "alarm")]


def point(n: int) -> str:
    return f"1-1/0100{n:02X}00"


async def asked(centre: GbCentre, box: Device, who: bytes) -> None:
    """A question goes to a device and its answer comes back, with nothing said before it."""
    asking = asyncio.create_task(centre.send(81, kinds.DeviceQuery(), device=who))
    question = await box.hear()
    assert isinstance(question, Frame)
    assert question.command == Command.REQUEST, "confirmed before its commit"
    box.send(answer_to(question))
    assert (await asking).type == 21


@pytest.mark.asyncio
async def test_while_the_database_answers_nobody_only_the_confirms_that_need_it_wait(db: Database, hold: Hold) -> None:
    async with running(db=db) as centre, device(centre) as box:
        box.send(upload(1, 2, fire(1)))
        await box.hear()
        with hold():
            box.send(upload(2, 2, fire(2)), upload(1, 2, fire(1)))
            assert confirm_of(await box.hear())[0] == 1, "confirmed before its commit"
            spoiled = upload(3, 2, fire(3)).encode()
            box.writer.write(spoiled[:-3] + bytes((spoiled[-3] ^ 1,)) + spoiled[-2:])
            assert confirm_of(await box.hear())[:2] == (3, Command.DENY)
            async with device(centre) as other:
                other.send(upload(1, 2, fire(1), source=OTHER), upload(2, 2, fire(2), source=OTHER))
                await centre.until(lambda: OTHER in centre.devices)
                await asked(centre, other, OTHER)
            await centre.until(lambda: OTHER not in centre.devices)
            await asked(centre, box, DEVICE)
            box.send(upload(2, 2, fire(2)), upload(3, 2, fire(3)))  # a resend of what waits, and another
            await asked(centre, box, DEVICE)
            assert [one.serial for one in centre.received] == [1]
        assert [confirm_of(await box.hear())[:2] for _ in range(3)] == [(n, Command.CONFIRM) for n in (2, 2, 3)]
        await centre.until(lambda: len(centre.received) == 5)
        async with device(centre) as other:
            other.send(upload(2, 2, fire(2), source=OTHER))  # it never heard of it
            assert confirm_of(await other.hear())[:2] == (2, Command.CONFIRM)
    assert points(db) == [point(1), point(2), point(3)]
    assert points(db, "gb-890") == [point(1), point(2)], "though it had left"
    with look(db) as ask:
        assert [row["online"] for row in ask.gateways()] == [False, False]


@pytest.mark.asyncio
async def test_the_witness_of_that_test_sees_a_confirm_that_does_not_wait_for_the_commit(
    db: Database, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hasty(self: GbCentre, upload: gb26875._Upload, link: Link, frame: Frame, fault: FaultName | None) -> None:
        link.owe()
        link.confirm(frame, fault)

    monkeypatch.setattr(GbCentre, "_ask", hasty)
    with pytest.raises(AssertionError, match="before its commit"):
        await test_while_the_database_answers_nobody_only_the_confirms_that_need_it_wait(db, hold)


class Station:
    """A device that sends fires and readings, one at a time, each again until it is confirmed."""

    def __init__(self, centre: GbCentre, number: int) -> None:
        self._centre, self._source = centre, device_address(number)
        self.confirmed = 0

    async def talk(self, up_to: int) -> None:
        """Over a new connection, until so many are confirmed."""
        async with device(self._centre) as box:
            while self.confirmed < up_to:
                n = self.confirmed + 1
                reading = kinds.AnalogueValue(1, 1, 17, bytes(4), 5, n, NOON)
                kind, item = (3, reading) if n % 2 else (2, fire(n))
                box.send(upload(n, kind, item, source=self._source))
                with contextlib.suppress(TimeoutError):
                    while confirm_of(await box.hear(1.0))[0] != n:
                        pass  # of an earlier transmission
                    self.confirmed = n


@pytest.mark.asyncio
async def test_a_server_that_is_frozen_and_killed_while_stations_talk_has_once_all_that_was_confirmed(
    server: Postgres, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_thread, "STORE_RETRY_S", 0.1)
    async with running(db=city) as centre:
        stations = [Station(centre, number) for number in range(1, 6)]
        talking: asyncio.Future[list[None]] = asyncio.gather(*(one.talk(2) for one in stations))
        try:
            await talking
            with server.frozen():
                talking = asyncio.gather(*(one.talk(4) for one in stations))
                await until(lambda: len(centre._waiting) == 5)
                assert [one.confirmed for one in stations] == [2] * 5
            await talking
            await asyncio.to_thread(server.kill)
            talking = asyncio.gather(*(one.talk(6) for one in stations))
            await until(lambda: len(centre._waiting) == 5 and centre.counters["store_faults"])
            await asyncio.to_thread(server.start)
            assert len(stored_in(city)) >= 20, "a confirm was a promise"
            await talking
        finally:
            talking.cancel()
            await asyncio.wait([talking])
            if not server.alive:
                await asyncio.to_thread(server.start)
    stored = stored_in(city)
    for number in range(1, 6):
        gateway = f"gb-{number}"
        assert points(city, gateway) == [point(n) for n in range(2, 7, 2)]
        told = [row.body for row in stored if (row.gateway, row.stream) == (gateway, "telemetry")]
        readings = [body["values"] for body in told]
        assert readings == [{"type_5": n / 10} for n in range(1, 7, 2)]


@contextlib.asynccontextmanager
async def program(tmp_path: Path, *options: str) -> AsyncIterator[tuple[Program, int]]:
    """`edge-centre gb26875` on tmp_path/centre.db, and its port. Killed at the end."""
    log = tmp_path / "centre.log"
    log.unlink(missing_ok=True)
    options = ("gb26875", "--lang=en", "--port=0", f"--db={tmp_path / 'centre.db'}", *options)
    centre = Program.python("centre", "simulators.centre", *options, log=log)
    await centre.start()
    try:
        await until(lambda: centre.ended or re.search(r"ready: 127\.0\.0\.1:\d+", log.read_text("utf-8")))
        (port,) = re.findall(r"ready: 127\.0\.0\.1:(\d+)", log.read_text("utf-8"))
        yield centre, int(port)
    finally:
        await centre.kill()


@pytest.mark.asyncio
async def test_kill_9_of_the_centre_between_commit_and_confirm_stores_nothing_twice(tmp_path: Path) -> None:
    db = tmp_path / "centre.db"
    told = [
        upload(1, 2, fire(1), fire(2)),
        upload(2, 3, *(kinds.AnalogueValue(1, 1, 17, bytes(4), 5, n, NOON) for n in (7, 8))),
    ]
    async with program(tmp_path, "--fault=no-confirm") as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        Device(reader, writer).send(*told)
        await until(lambda: len(stored_in(db)) == 4, "committed, and never confirmed")
    stored = stored_in(db)
    async with program(tmp_path) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        box = Device(reader, writer)
        box.send(*told)
        assert [confirm_of(await box.hear())[:2] for _ in told] == [(1, Command.CONFIRM), (2, Command.CONFIRM)]
        assert stored_in(db) == stored
        writer.transport.abort()


# --- bounds


@pytest.mark.asyncio
async def test_what_does_not_fit_while_the_database_is_away_is_not_taken_and_comes_again(
    db: Database, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gb_keeper, "WAITING_MAX", 2)
    async with running(db=db) as centre, device(centre) as box:
        box.send(upload(1, 2, fire(1)))
        await box.hear()
        await centre.until(lambda: not centre._states)  # the store knows that it is there
        with hold():
            box.send(*(upload(n, 2, fire(n)) for n in (2, 3, 4, 5)))
            await centre.until(lambda: centre.counters["overflow"] == 2)
            await asked(centre, box, DEVICE)
        assert [confirm_of(await box.hear())[0] for _ in range(2)] == [2, 3]
        for n in (4, 5):
            box.send(upload(n, 2, fire(n)))
            assert confirm_of(await box.hear())[0] == n
    assert points(db) == [point(n) for n in range(1, 6)]


@pytest.mark.asyncio
async def test_a_device_that_sends_on_without_confirms_is_not_read_and_then_hung_up_and_the_others_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gb_link, "OWED_MAX", 2)
    db = tmp_path / "centre.db"
    async with running(db=db) as centre, device(centre) as box, device(centre) as other:
        box.send(*(upload(n, 2, fire(n)) for n in range(1, 21)))
        assert [confirm_of(await box.hear())[0] for _ in range(20)] == list(range(1, 21)), "it only waits its turn"
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            crowded = centre.counters["crowded"]
            box.send(*(upload(n, 2, fire(n)) for n in range(21, 25)))
            await centre.until(lambda: centre.counters["crowded"] > crowded)
            assert len(centre._waiting) == 2
            lock.execute("ROLLBACK")
            assert [confirm_of(await box.hear())[0] for _ in range(4)] == list(range(21, 25))
            lock.execute("BEGIN IMMEDIATE")
            monkeypatch.setattr(centre, "resend_s", 0.1)
            box.send(*(upload(n, 2, fire(n)) for n in range(25, 30)))
            with pytest.raises(ConnectionError):
                await box.hear()
            other.send(upload(1, 0, source=OTHER))
            await centre.until(lambda: centre.devices == [OTHER])
            lock.execute("ROLLBACK")
        assert confirm_of(await other.hear())[0] == 1
    assert points(db) == [point(n) for n in range(1, 27)], "what was taken of it is stored"


@pytest.mark.asyncio
async def test_of_one_upload_sent_all_day_while_the_database_is_away_the_latest_few_are_confirmed(
    tmp_path: Path,
) -> None:
    db = tmp_path / "centre.db"
    async with running(db=db) as centre, device(centre) as box:
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            box.send(*(upload(1, 2, fire(1)) for _ in range(200)))
            await centre.until(lambda: centre.counters["duplicates"] == 199)
            (waiting,) = centre._waiting.values()
            assert len(waiting.askers) == gb26875.ASKERS_MAX
            lock.execute("ROLLBACK")
        assert {confirm_of(await box.hear())[0] for _ in range(gb26875.ASKERS_MAX)} == {1}
        box.send(upload(2, 2, fire(2)))
        assert confirm_of(await box.hear())[0] == 2
    assert points(db) == [point(1), point(2)]


@pytest.mark.asyncio
async def test_datagrams_that_nobody_reads_are_lost_beyond_a_bound() -> None:
    reader = gb_datagrams._DatagramReader()
    for _ in range(1000):
        reader.feed(bytes(1000))
    assert 0 < reader.held <= gb_datagrams.HELD_BYTES_MAX
    assert len(await reader.read(1 << 20)) == gb_datagrams.HELD_BYTES_MAX // 1000 * 1000
    assert reader.held == 0


# --- what can never be stored, and a server that says nothing


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault", [StoreFault("planted", data=True), sqlite_store.Rejected("planted")], ids=["data", "rejected"]
)
async def test_an_upload_that_can_never_be_stored_is_not_confirmed_and_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    real = SqliteStore.take_unnumbered

    def picky(self: SqliteStore, gateway: str, epoch: str, stream: str, events: list[dict[str, object]]) -> None:
        if events[0]["point"] == point(3):
            raise fault
        real(self, gateway, epoch, stream, events)

    monkeypatch.setattr(SqliteStore, "take_unnumbered", picky)
    db = tmp_path / "centre.db"
    async with running(db=db) as centre, device(centre) as box, device(centre) as other:
        box.send(*(upload(n, 2, fire(n)) for n in range(1, 6)))
        other.send(*(upload(n, 2, fire(n), source=OTHER) for n in (1, 2)))
        assert [confirm_of(await box.hear())[0] for _ in range(4)] == [1, 2, 4, 5]
        assert [confirm_of(await other.hear())[0] for _ in range(2)] == [1, 2]
        assert (centre.counters["unstorable"], centre.counters["uploads"]) == (1, 6)
        monkeypatch.setattr(SqliteStore, "take_unnumbered", real)
        box.send(upload(3, 2, fire(3)))  # it was never taken: the resend is no duplicate
        assert confirm_of(await box.hear())[0] == 3
    assert points(db) == [point(n) for n in (1, 2, 4, 5, 3)]


@pytest.mark.asyncio
async def test_a_bug_of_ours_that_ends_the_thread_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SqliteStore, name: str, by: int = 1) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(gb26875, "REST_S", 0.1)
    fell = asyncio.Event()
    async with running(db=tmp_path / "centre.db", on_bug=fell.set) as centre, device(centre) as box:
        monkeypatch.setattr(SqliteStore, "count", broken)
        box.send(upload(1, 2, fire(1)))
        await until(fell.is_set, "it is told")


@pytest.mark.asyncio
async def test_a_server_that_says_nothing_is_told_of_let_go_of_and_keeps_no_program_from_ending(
    server: Postgres, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (
        ("LOOK_S", 0.05),
        ("SILENT_S", 0.3),
        ("HUNG_S", 1.0),
        ("STORE_RETRY_S", 0.1),
        ("STOP_S", 0.5),
    ):
        monkeypatch.setattr(store_thread, name, seconds)
    told: list[Trouble | None] = []
    async with running(db=city, database=FarSide(told.append)) as centre, device(centre) as box:
        box.send(upload(1, 2, fire(1)))
        await box.hear()
        with server.frozen():
            box.send(upload(2, 2, fire(2)))
            await until(lambda: told)
            assert told[0] is not None
            assert (told[0].state, told[0].why) == ("away", "db_silent")
            assert centre._keeper is not None
            await until(lambda: centre._keeper._store._connection is None, "it waits for the frozen one no longer")  # type: ignore[union-attr]
        assert confirm_of(await box.hear())[0] == 2
        await until(lambda: told[-1] is None)
        with server.frozen():
            box.send(upload(3, 2, fire(3)))
            await centre.until(lambda: len(centre._waiting) == 1)
            await centre.stop()
        await until(lambda: not centre._keeper._thread.is_alive())  # type: ignore[union-attr]  # nor does it outlive the test
    assert points(city)[:2] == [point(1), point(2)]
