"""What people at the centre hear of a broker and a database that go and come: at once, once, in their language."""

import contextlib
import os
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.centre import cli, service, sqlite_store
from simulators.centre.far_side import FarSide, Trouble, broker_away, database_away, logged, told_to_people, why_words
from simulators.centre.query import look
from simulators.centre.service import Centre, Settings
from simulators.centre.sqlite_store import SqliteStore
from simulators.centre.store import Database, StoreFault, open_store
from tests.brokers import Broker, Certificates
from tests.centre.test_service import GATEWAY, FakeGateway
from tests.centre.test_store import batch
from tests.postgres import Postgres
from tests.waiting import PATIENCE_S, eventually


def test_a_broker_and_a_database_that_go_and_come_are_told_once_each(
    tmp_path: Path, server: Postgres, city: str
) -> None:
    broker, said = Broker(tmp_path), tmp_path / "said"
    where = ("--port", str(broker.port), "--db", city, "--lang", "zh")
    with said.open("wb") as stderr:
        command = [sys.executable, "-X", "utf8", "-m", "simulators.centre", "run", *where]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr)

    def lines() -> list[str]:
        """What people read; a line of a log begins with the time."""
        return [line for line in said.read_text("utf-8").splitlines() if not line[:1].isdecimal()]

    def heard(*expected: str) -> None:
        """These lines, each beginning so, and no others."""
        eventually(lambda: len(lines()) >= len(expected), expected[-1])
        assert [line[: len(begin)] for line, begin in zip(lines(), expected, strict=True)] == list(expected)

    place = f"127.0.0.1:{broker.port}"
    away, back = f"连不上消息服务器 {place}: ", f"消息服务器 {place} 已连上。"
    lost, works = f"数据库 {city} 存不进记录: ", f"数据库 {city} 已恢复。"
    try:
        heard(away)
        assert "该端口没有服务; 请启动消息服务器, 或改正 --host、--port" in said.read_text("utf-8")
        broker.start()
        heard(away, back)
        broker.kill()
        heard(away, back, away)
        broker.start()
        heard(away, back, away, back)
        server.kill()
        heard(away, back, away, back, lost)
        server.start()
        heard(away, back, away, back, lost, works)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        heard(away, back, away, back, lost, works)
    finally:
        process.kill()
        process.wait()
        broker.kill()
        if not server.alive:
            server.start()


@pytest.mark.parametrize("with_ca", [False, True])
def test_an_encrypted_port_asked_in_the_clear_or_with_another_ca_says_what_to_give(
    tmp_path: Path, with_ca: bool
) -> None:
    told: list[Trouble | None] = []
    other_ca = Certificates(tmp_path / "other").ca_file if with_ca else None
    with Broker(tmp_path, tls=Certificates(tmp_path / "own")) as broker:
        settings = Settings(host=broker.host, port=broker.port, db=tmp_path / "c.db", tls_ca=other_ca)
        centre = Centre(settings, broker=FarSide(told.append))
        centre.start()
        try:
            eventually(lambda: told)
        finally:
            centre.stop()
    (trouble,) = told
    assert trouble is not None
    assert (trouble.state, trouble.why) == ("away", "broker_certificate" if with_ca else "broker_no_mqtt")
    assert "--tls-ca" in why_words(trouble, "zh")
    assert "--tls-ca" in why_words(trouble, "en")


def test_a_broker_that_takes_the_connection_and_says_nothing_is_told_of_before_the_keep_alive_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ANSWER_S", 0.2)
    monkeypatch.setattr(service, "KEEPALIVE_S", 3600)  # what paho has to say of it would come then
    told: list[Trouble | None] = []
    with Broker(tmp_path) as broker:
        settings = Settings(host=broker.host, port=broker.port, db=tmp_path / "c.db")
        centre = Centre(settings, broker=FarSide(told.append))
        broker.freeze()
        centre.start()
        try:
            eventually(lambda: told)
            assert told[0] == Trouble("away", "broker_no_mqtt")
            broker.thaw()
            eventually(lambda: told[-1] is None, "it was only slow")
        finally:
            broker.thaw()
            centre.stop()


def test_a_database_that_is_back_is_told_of_though_what_it_missed_is_the_brokers_again(
    tmp_path: Path, server: Postgres, city: str
) -> None:
    told: list[Trouble | None] = []
    side = FarSide(told.append)
    with Broker(tmp_path) as broker:
        centre = Centre(Settings(host=broker.host, port=broker.port, db=city), database=side)
        centre.start()
        try:
            eventually(lambda: centre._ready)
            server.kill()
            gateway = FakeGateway(broker)
            gateway.publish(batch(1, 1))
            eventually(lambda: side.has_trouble("alarm"), "it could not be stored")
            gateway.close()
            broker.kill()
            eventually(lambda: centre._worker["alarm"].idle, "its connection is gone, and it with it")
            server.start()
            eventually(lambda: told[-1] is None, "no other alarm comes for hours")
            assert not side.has_trouble("alarm")
        finally:
            centre.stop()
            if not server.alive:
                server.start()


def test_a_database_is_asked_whether_it_stores_and_keeps_what_it_has(db: Database) -> None:
    store = open_store(db)
    with look(db) as ask:
        before = ask.stats()
    store.prove()
    with look(db) as ask:
        assert ask.stats() == before
    store.close()


def test_one_that_others_hold_stores_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_S", 0.0)
    store, other = SqliteStore(tmp_path / "c.db"), SqliteStore(tmp_path / "c.db")
    other.take_state(GATEWAY, {"online": False})
    with pytest.raises(StoreFault, match="locked"):
        store.prove()
    other.commit()
    store.prove()
    other.prove()


def test_what_a_newer_program_made_of_the_file_stays_when_it_is_asked(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "c.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "c.db")) as newer:
        newer.execute(f"PRAGMA user_version = {sqlite_store.VERSION + 1}")
        store.prove()
        assert newer.execute("PRAGMA user_version").fetchone() == (sqlite_store.VERSION + 1,)


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize(
    "wrong",
    [
        ("run", "--host", "a..b"),
        ("run", "--host", ""),
        ("run", "--port", "0"),
        ("run", "--port", "70000"),
        ("run", "--packed-port", "70000"),
        ("run", "--packed-host", "a..b"),
        ("command", "gw-1", "read_state", "--port", "x"),
        ("gb26875", "--host", "a..b"),
        ("gb26875", "--port", "-1"),
    ],
)
def test_what_is_no_host_or_port_is_an_error_of_usage(
    wrong: tuple[str, ...], lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*wrong, "--lang", lang])
    assert ended.value.code == 64
    said = capsys.readouterr().err
    assert wrong[-2] in said
    assert ("不是可用的值" if lang == "zh" else "is not a value for it") in said


def test_several_that_see_one_side_go_tell_it_once_and_the_worst_of_it() -> None:
    told: list[Trouble | None] = []
    side = FarSide(told.append)
    side.well("alarm")
    away, refused = Trouble("away", "broker_lost"), Trouble("refused", "broker_refused")
    side.bad("alarm", away)
    side.bad("bulk", away)
    side.bad("alarm", Trouble("away", "broker_shut"))
    side.bad("bulk", refused)
    side.well("alarm")
    side.well("bulk")
    assert told == [away, refused, None]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (ConnectionRefusedError(), "broker_shut"),
        (socket.gaierror(-2, "Name or service not known"), "broker_no_name"),
        (TimeoutError(), "broker_silent"),
        (ssl.SSLError(1, "wrong version number"), "broker_tls"),
        (OSError(101, "Network is unreachable"), "broker_network"),
    ],
)
def test_each_way_not_to_reach_a_broker_has_its_own_next_step(fault: OSError, why: str) -> None:
    trouble = broker_away(fault)
    assert trouble.why == why
    assert {why_words(trouble, lang) for lang in ("zh", "en")}.isdisjoint({""})


@pytest.mark.parametrize(
    ("said", "url", "why"),
    [
        ("connection failed: … Connection refused\n\tIs the server running", "postgresql://h/x", "db_shut"),
        ("connection failed: … FATAL:  password authentication failed", "postgresql://h/x", "db_login"),
        ('connection failed: … FATAL:  database "x" does not exist', "postgresql://h/x", "db_none"),
        ("AdminShutdown: terminating connection due to administrator command", "postgresql://h/x", "db_lost"),
        ("the server runs with fsync = off", "postgresql://h/x", "db_fsync"),
        ("something new", "postgresql://h/x", "db_other"),
        ("OperationalError: database or disk is full", "", "file_full"),
        ("OperationalError: unable to open database file", "", "file_no_place"),
        ("DatabaseError: file is not a database", "", "file_foreign"),
    ],
)
def test_each_way_not_to_store_has_its_own_next_step(said: str, url: str, why: str) -> None:
    trouble = database_away(StoreFault(said), url or Path("c.db"))
    assert trouble.why == why
    assert trouble.detail == " ".join(said.split())
    assert trouble.detail in why_words(trouble, "zh")


def test_where_nobody_reads_what_is_told_the_centre_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)  # of whoever had standard error: a journal that was killed, `2>&1 | head`
    nobody = os.fdopen(writes, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stderr", nobody)
    side = told_to_people("database", "c.db", "zh")
    side.bad("alarm", database_away(StoreFault("database is locked"), Path("c.db")))
    side.well("alarm")
    assert not side.has_trouble("alarm")
    with pytest.raises(BrokenPipeError):
        nobody.close()


def test_without_people_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    side = logged("broker")
    side.bad("alarm", broker_away(ConnectionRefusedError()))
    side.well("alarm")
    assert caplog.messages == ["broker away why=broker_shut detail=''", "broker back"]
