"""What people at the centre hear of a broker and a database that go and come: at once, once, in their language."""

import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.centre.far_side import FarSide, Trouble, broker_away, database_away, logged, why_words
from simulators.centre.service import Centre, Settings
from simulators.centre.store import StoreFault
from tests.brokers import Broker, Certificates
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
    ],
)
def test_each_way_not_to_store_has_its_own_next_step(said: str, url: str, why: str) -> None:
    trouble = database_away(StoreFault(said), url or Path("c.db"))
    assert trouble.why == why
    assert trouble.detail == " ".join(said.split())
    assert trouble.detail in why_words(trouble, "zh")


def test_without_people_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    side = logged("broker")
    side.bad("alarm", broker_away(ConnectionRefusedError()))
    side.well("alarm")
    assert caplog.messages == ["broker away why=broker_shut detail=''", "broker back"]
