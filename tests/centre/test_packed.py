"""The centre's ear for packed frames while its database is slow, frozen, killed or gone: nothing is acknowledged before its commit,
nothing is stored twice, and only what needs a commit waits for one.
"""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.packed import Body, Brief, BriefAck, BriefEvent, Echo, seal, tag_of, unseal
from simulators.centre import packed, sqlite_store, store_thread
from simulators.centre.far_side import FarSide, Trouble
from simulators.centre.packed import Brought, PackedEar, PackedKeeper, PackedListener
from simulators.centre.query import look
from simulators.centre.sqlite_store import SqliteStore
from simulators.centre.store import Database, StoreFault
from simulators.ports import free_port
from tests.centre.conftest import Hold
from tests.centre.test_service import GATEWAY
from tests.postgres import Postgres
from tests.waiting import PATIENCE_S, eventually

KEY = bytes(range(32))
QUICK = {"LOOK_S": 0.05, "SILENT_S": 0.3, "HUNG_S": 1.0, "STORE_RETRY_S": 0.1, "STOP_S": 0.5}


def brief_of(number: int, epoch: str = "e1", priority: Priority = Priority.ALARM, gateway: str = GATEWAY) -> bytes:
    event = BriefEvent(n=number, kind="fire", active=True, grade=1, wall_s=1, clock="synced", event_id="", point="p/1")
    return seal(KEY, tag_of(gateway), number, Brief(epoch=epoch, priority=priority, first=number, entries=(event,)))


@contextlib.contextmanager
def listening(
    directory: Path, db: Database, told: list[Trouble | None] | None = None, gateways: Iterable[str] = (GATEWAY,)
) -> Iterator[PackedListener]:
    """An ear that knows these gateways; all have one key."""
    for gateway in gateways:
        (directory / f"{gateway}.key").write_text(KEY.hex())
    ear = PackedListener("127.0.0.1", 0, directory, db, database=None if told is None else FarSide(told.append))
    ear.start()
    try:
        yield ear
    finally:
        ear.stop()


class Device:
    """Says frames, and hears what comes in the order it comes."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(PATIENCE_S)
        self._echoes = 1_000_000

    def __enter__(self) -> "Device":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def say(self, *frames: bytes) -> None:
        for frame in frames:
            self._socket.send(frame)

    def hear(self) -> tuple[int, Body]:
        return unseal(KEY, self._socket.recv(2048))

    def hear_ack(self) -> tuple[int, int]:
        """Sequence and `through` of an acknowledgement, the next thing that comes."""
        sequence, body = self.hear()
        assert isinstance(body, BriefAck)
        return sequence, body.through

    def echo(self) -> None:
        """An echo comes back, and nothing came before it."""
        self._echoes += 1
        self.say(seal(KEY, tag_of(GATEWAY), self._echoes, Echo()))
        sequence, body = self.hear()
        assert isinstance(body, Echo), "acknowledged before its commit, or twice"
        assert (sequence, body.reply) == (self._echoes, True)


def stored(db: Database) -> list[object]:
    """Numbers in the stream of alarms."""
    with look(db) as ask:
        return sorted(row["n"] for row in ask.events(gateway=GATEWAY, stream="alarm", limit=100))  # type: ignore[type-var]


def test_while_the_database_answers_nobody_briefs_wait_and_echoes_are_answered(
    tmp_path: Path, db: Database, hold: Hold
) -> None:
    with listening(tmp_path, db) as ear, Device(ear.port) as device, Device(ear.port) as elsewhere:
        device.say(brief_of(1))
        assert device.hear_ack() == (1, 1)
        with hold():
            device.say(brief_of(2), brief_of(2))
            eventually(lambda: ear.keeper.counters["resent"] == 1 and ear.keeper.idle, "it is in the transaction")
            elsewhere.say(brief_of(2))  # the network gave it another address
            eventually(lambda: ear.keeper.counters["resent"] == 2)
            device.say(brief_of(1, priority=Priority.FAULT))
            device.echo()
            elsewhere.echo()
        assert elsewhere.hear_ack() == (2, 2)
        assert device.hear_ack() == (1, 1)
        device.say(brief_of(2))  # it never heard of it
        assert device.hear_ack() == (2, 2)
        device.echo()
        elsewhere.echo()
        assert not ear.keeper._in_hand
    assert stored(db) == [1, 2]


def test_the_witness_of_that_test_sees_an_acknowledgement_that_does_not_wait_for_the_commit(
    tmp_path: Path, db: Database, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PackedKeeper.bring

    def hasty(self: PackedKeeper, brought: Brought) -> None:
        real(self, brought)
        if brought.sequence == 2:
            ack = BriefAck(epoch="e1", priority=Priority.ALARM, through=2, high=2)
            self._send(brought.sender, seal(KEY, tag_of(GATEWAY), 2, ack))

    monkeypatch.setattr(PackedKeeper, "bring", hasty)
    with pytest.raises(AssertionError, match="before its commit"):
        test_while_the_database_answers_nobody_briefs_wait_and_echoes_are_answered(tmp_path, db, hold)


def test_what_does_not_fit_while_the_database_is_away_is_not_taken_and_comes_again(
    tmp_path: Path, db: Database, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "WAITING_MAX", 2)
    with listening(tmp_path, db) as ear, Device(ear.port) as device:
        with hold():
            device.say(*(brief_of(n) for n in (1, 2, 3, 4)))
            eventually(lambda: ear.keeper.counters["overflow"] == 2)
            device.echo()
        assert [device.hear_ack()[0] for _ in range(2)] == [1, 2]
        for n in (3, 4):
            device.say(brief_of(n))
            assert device.hear_ack() == (n, n)
    assert stored(db) == [1, 2, 3, 4]


def test_what_was_committed_and_could_not_be_acknowledged_is_acknowledged_later_and_stored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_thread, "STORE_RETRY_S", 0.1)
    told: list[Trouble | None] = []
    real = SqliteStore.known
    tries: list[str] = []

    def lost(self: SqliteStore, gateway: str, epoch: str, stream: str) -> Intervals:
        tries.append(stream)
        if len(tries) == 1:
            raise StoreFault("planted")
        return real(self, gateway, epoch, stream)

    monkeypatch.setattr(SqliteStore, "known", lost)
    db = tmp_path / "centre.db"
    with listening(tmp_path, db, told) as ear, Device(ear.port) as device:
        device.say(brief_of(1))
        assert device.hear_ack() == (1, 1)
        device.echo()
        eventually(lambda: told[1:] == [None])
    assert stored(db) == [1]
    assert tries == ["alarm", "alarm"]


def test_a_server_that_was_killed_is_told_of_and_what_waited_is_stored_once_it_is_back(
    tmp_path: Path, server: Postgres, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_thread, "STORE_RETRY_S", 0.1)
    told: list[Trouble | None] = []
    with listening(tmp_path, city, told) as ear, Device(ear.port) as device:
        try:
            with server.frozen():
                device.say(brief_of(1))
                eventually(lambda: ear.keeper._in_hand and ear.keeper.idle)
                server.kill()
            eventually(lambda: told)
            device.say(brief_of(1))
            eventually(lambda: ear.keeper.counters["resent"] == 1)
            server.start()
            assert device.hear_ack() == (1, 1), "though it may never have come again"
            eventually(lambda: told[-1] is None)
            assert [trouble and trouble.state for trouble in told] == ["away", None]
            device.echo()
        finally:
            if not server.alive:
                server.start()
    assert stored(city) == [1]


def test_a_server_that_says_nothing_is_told_of_let_go_of_and_keeps_nobody_from_stopping(
    tmp_path: Path, server: Postgres, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in QUICK.items():
        monkeypatch.setattr(store_thread, name, seconds)
    told: list[Trouble | None] = []
    with listening(tmp_path, city, told) as ear, Device(ear.port) as device:
        device.say(brief_of(1))
        assert device.hear_ack() == (1, 1)
        with server.frozen():
            device.say(brief_of(2))
            eventually(lambda: told)
            assert told[0] is not None
            assert (told[0].state, told[0].why) == ("away", "db_silent")
            eventually(lambda: ear.keeper._store._connection is None, "it waits for the frozen one no longer")  # type: ignore[attr-defined]
        assert device.hear_ack() == (2, 2)
        eventually(lambda: told[-1] is None)
        with server.frozen():
            device.say(brief_of(3))
            eventually(lambda: ear.keeper._in_hand)
            ear.stop()
        eventually(lambda: not ear.keeper._thread.is_alive(), "nor does it outlive the test")
    assert stored(city)[:2] == [1, 2]


def test_the_program_ends_at_sigterm_while_its_server_is_frozen(tmp_path: Path, server: Postgres, city: str) -> None:
    """The real command, with shorter patience: its own is some 20 s."""
    (tmp_path / f"{GATEWAY}.key").write_text(KEY.hex())
    port = free_port(socket.SOCK_DGRAM)
    options = ("--db", city, "--port", str(free_port()), "--packed-port", str(port), "--packed-keys", str(tmp_path))
    patience = "; ".join(f"store_thread.{name} = {seconds}" for name, seconds in QUICK.items())
    code = f"from simulators.centre import cli, store_thread; {patience}; cli.main({['run', *options, '--lang', 'en']})"
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen([sys.executable, "-X", "utf8", "-c", code], stdout=said, stderr=said)
    try:
        with Device(port) as device:
            eventually(lambda: _hears(device), "it listens")
            device.say(brief_of(1))
            assert device.hear_ack() == (1, 1)
            with server.frozen():
                device.say(brief_of(2))
                device.echo()
                eventually(lambda: "stores nothing" in (tmp_path / "said").read_text("utf-8"), "people are told")
                process.send_signal(signal.SIGTERM)
                assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    assert "The centre has stopped." in (tmp_path / "said").read_text("utf-8")


def _hears(device: Device) -> bool:
    """Whether somebody answers an echo yet."""
    try:
        device.echo()
    except ConnectionRefusedError:
        return False
    return True


def test_a_brief_that_can_never_be_stored_is_not_acknowledged_and_holds_nobody_up(tmp_path: Path, city: str) -> None:
    """PostgreSQL takes no NUL."""
    with listening(tmp_path, city) as ear, Device(ear.port) as device:
        device.say(brief_of(1), brief_of(7, epoch="e\0"), brief_of(2))
        assert [device.hear_ack() for _ in range(2)] == [(1, 1), (2, 2)]
        eventually(lambda: ear.keeper.counters["unstorable"] == 1 and not ear.keeper._in_hand)
        device.echo()
    assert stored(city) == [1, 2]


def test_a_brief_that_is_not_taken_keeps_nobody_from_storing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "STREAMS_MAX", 0)
    monkeypatch.setattr(sqlite_store, "BUSY_S", 0.0)
    db = tmp_path / "c.db"
    with listening(tmp_path, db) as ear, Device(ear.port) as device:
        device.say(brief_of(1))
        eventually(lambda: ear.keeper.counters["unstorable"] == 1)
        SqliteStore(db).prove()  # raises where a transaction was left open
        device.echo()
    assert stored(db) == []


@pytest.mark.parametrize("where", [(SqliteStore, "take_batch"), (PackedEar, "hear")], ids=["storing", "hearing"])
def test_a_bug_of_ours_that_ends_a_thread_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("planted")

    fell: list[bool] = []
    monkeypatch.setattr(*where, broken)
    (tmp_path / f"{GATEWAY}.key").write_text(KEY.hex())
    ear = PackedListener("127.0.0.1", 0, tmp_path, tmp_path / "c.db", on_bug=lambda: fell.append(True))
    ear.start()
    try:
        with Device(ear.port) as device:
            device.say(brief_of(1))
            eventually(lambda: fell)
    finally:
        ear.stop()
