"""delivery.db: what was noted is there after a restart; a bad file is set aside; a bad disk stops nothing."""

import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from buffer.records import Name, Priority
from buffer.runner import Turn
from edge_agent.uplink import ledger as module
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.ledger import Ledger, Refused
from tests.waiting import eventually


def reopened(path: Path) -> dict[tuple[str, Priority], Intervals]:
    ledger = Ledger.open(path)
    try:
        return ledger.load("county")
    finally:
        ledger.close()


def test_what_was_noted_is_there_after_a_restart_with_its_out_of_order_rest(tmp_path: Path) -> None:
    path = tmp_path / "delivery.db"
    ledger = Ledger.open(path)
    done = Intervals([(1, 10), (20, 30), (40, 40)])
    ledger.note("county", "e1", Priority.ALARM, done)
    ledger.note("province", "e1", Priority.ALARM, Intervals([(1, 3)]))
    ledger.note("county", "e2", Priority.STATUS, Intervals([(5, 9)]))
    ledger.close()
    assert reopened(path) == {("e1", Priority.ALARM): done, ("e2", Priority.STATUS): Intervals([(5, 9)])}


def test_many_notes_share_few_commits(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "delivery.db")
    for through in range(1, 5001):
        ledger.note("county", "e1", Priority.STATUS, Intervals([(1, through)]))
    assert ledger.flush()
    assert ledger.commits <= 20
    ledger.close()
    assert reopened(tmp_path / "delivery.db")["e1", Priority.STATUS].through == 5000


@pytest.mark.parametrize("damage", ["garbage", "truncated", "middle", "emptied", "newer", "foreign rows"])
def test_a_ledger_that_cannot_be_trusted_is_set_aside_and_work_goes_on(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "delivery.db"
    ledger = Ledger.open(path)
    for n in range(300):
        ledger.note("county", f"epoch-{n}", Priority.ALARM, Intervals([(1, n + 1), (n + 10, n + 20)]))
    ledger.close()
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content[:4096] = b"\xa5" * 4096
    elif damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "middle":
        content[4096 * 2 :] = b"\xa5" * (len(content) - 4096 * 2)
    elif damage == "emptied":
        content.clear()
    path.write_bytes(bytes(content))
    if damage in ("newer", "foreign rows"):
        database = sqlite3.connect(path)
        sql = "PRAGMA user_version = 99" if damage == "newer" else "UPDATE confirmed SET rest = '[[\"a\"]]'"
        database.execute(sql)
        database.commit()
        database.close()
    as_it_was = path.read_bytes()
    said: list[str] = []
    ledger = Ledger.open(path, lambda code, detail: said.append(code))
    found = ledger.load("county")
    ledger.note("county", "fresh", Priority.ALARM, Intervals([(1, 7)]))
    ledger.close()
    if damage == "emptied":
        assert said == []  # an empty file is a new ledger
    else:
        assert said == ["set_aside"]
        kept = (tmp_path / "delivery.db.bad-1").read_bytes()
        assert kept[100:] == as_it_was[100:], "kept as it was but for SQLite's own counters"
    assert found == {}
    assert reopened(path)["fresh", Priority.ALARM].through == 7


def test_refused_records_are_kept_with_their_reason_and_stay_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_MAX", 5)
    ledger = Ledger.open(tmp_path / "delivery.db")
    for n in range(1, 11):
        name = Name("e1", Priority.ALARM, n)
        ledger.refuse(Refused("county", name, "active is not true or false", b"x" * 20_000, 123))
    assert ledger.flush()
    kept = ledger.refused("county")
    assert [refused.name.n for refused in kept] == [6, 7, 8, 9, 10]
    assert len(kept[0].body) == module.REFUSED_BODY_MAX
    assert kept[0].why == "active is not true or false"
    assert ledger.refused("province") == []
    ledger.close()


def test_a_ledger_that_cannot_be_written_keeps_its_notes_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "delivery.db"
    recovered = threading.Event()
    said: list[str] = []

    def hear(code: str, detail: str) -> None:
        said.append(code)
        if code == "recovered":
            recovered.set()

    ledger = Ledger.open(path, hear)
    database = ledger._database
    assert database is not None
    database.execute("PRAGMA query_only = 1")  # every write fails from here on
    ledger.note("county", "e1", Priority.ALARM, Intervals([(1, 5)]))
    eventually(lambda: said == ["failing"])
    assert not ledger.flush(1.0)
    ledger.note("county", "e1", Priority.ALARM, Intervals([(1, 9)]))
    database.execute("PRAGMA query_only = 0")
    assert recovered.wait(60)
    assert said == ["failing", "recovered"]
    ledger.close()
    assert reopened(path)["e1", Priority.ALARM].through == 9


def test_a_ledger_that_cannot_even_be_opened_remembers_by_itself_until_it_can(tmp_path: Path) -> None:
    recovered = threading.Event()
    said: list[str] = []

    def hear(code: str, detail: str) -> None:
        said.append(code)
        if code == "recovered":
            recovered.set()

    blocked = tmp_path / "data"
    blocked.write_text("no directory")  # stands for a card that takes nothing; a mode means nothing to root
    path = blocked / "delivery.db"
    ledger = Ledger.open(path, hear)
    assert said == ["failing"]
    assert ledger.load("county") == {}
    assert ledger.refused("county") == []
    ledger.note("county", "mem-1", Priority.ALARM, Intervals([(1, 5)]))
    blocked.unlink()
    assert recovered.wait(60)
    assert said == ["failing", "recovered"]
    ledger.close()
    assert reopened(path)["mem-1", Priority.ALARM].through == 5


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY])
def test_a_medium_in_trouble_does_not_cost_a_sound_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    path = tmp_path / "delivery.db"
    ledger = Ledger.open(path)
    ledger.note("county", "e1", Priority.ALARM, Intervals([(1, 5)]))
    ledger.close()

    def refuse(self: Ledger) -> sqlite3.Connection:
        fault = sqlite3.OperationalError("the medium")
        fault.sqlite_errorcode = code
        raise fault

    with monkeypatch.context() as trouble:
        trouble.setattr(Ledger, "_connect", refuse)
        said: list[str] = []
        Ledger.open(path, lambda code, detail: said.append(code)).close()
    assert said == ["failing"]
    assert reopened(path)["e1", Priority.ALARM].through == 5


OLD_LEDGER = """
CREATE TABLE confirmed (destination TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, through INTEGER NOT NULL,
  rest TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (destination, epoch, stream)) WITHOUT ROWID;
CREATE TABLE refused (destination TEXT NOT NULL, epoch TEXT NOT NULL, stream TEXT NOT NULL, n INTEGER NOT NULL,
  why TEXT NOT NULL, body BLOB NOT NULL, wall_ns INTEGER NOT NULL, PRIMARY KEY (destination, epoch, stream, n));
INSERT INTO confirmed VALUES ('county', 'e1', 'alarm', 17, '[[20,21]]');
PRAGMA user_version = 1;
"""


def test_a_ledger_of_version_1_is_kept_and_learns_what_was_told_and_what_it_cost(tmp_path: Path) -> None:
    path = tmp_path / "delivery.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(OLD_LEDGER)
    ledger = Ledger.open(path)
    assert ledger.set_aside is None
    assert ledger.load("county") == {("e1", Priority.ALARM): Intervals([(1, 17), (20, 21)])}
    ledger.note_told("county", "e1", Priority.ALARM, Intervals([(18, 19), (22, 30)]))
    ledger.note_traffic("4g", "2026-11", "alarm", 5000)
    ledger.close()
    ledger = Ledger.open(path)
    assert ledger.load("county") == {("e1", Priority.ALARM): Intervals([(1, 17), (20, 21)])}
    assert ledger.load_told("county") == {("e1", Priority.ALARM): Intervals([(18, 19), (22, 30)])}
    assert ledger.load_traffic("4g") == {("2026-11", "alarm"): 5000}
    ledger.close()


def test_readings_rest_an_hour_and_anything_else_takes_them_along_at_once(tmp_path: Path) -> None:
    runner = ByHand()
    ledger = Ledger.open(tmp_path / "delivery.db", runner=runner)
    hour_ns, linger_ns = int(module.READINGS_LINGER_S * 1e9), int(module.LINGER_S * 1e9)
    assert runner.turn() == module.IDLE_NS
    for through in (10, 20):
        ledger.note("county", "b1", Priority.TELEMETRY, Intervals([(1, through)]))
    assert (runner.woken, runner.turn()) == (1, hour_ns)
    assert (runner.turn(), ledger.commits) == (linger_ns, 0)  # the hour is over
    assert (runner.turn(), ledger.commits) == (0, 1)
    assert runner.turn() == module.IDLE_NS
    ledger.note("county", "b1", Priority.TELEMETRY, Intervals([(1, 30)]))
    assert (runner.woken, runner.turn()) == (2, hour_ns)
    ledger.note("county", "v1", Priority.ALARM, Intervals([(1, 1)]))
    assert (runner.woken, runner.turn()) == (3, linger_ns)
    assert (runner.turn(), ledger.commits) == (0, 2)
    ledger.close()
    while runner.turn() is not None:
        pass
    assert {key[1]: done.through for key, done in reopened(tmp_path / "delivery.db").items()} == {
        Priority.TELEMETRY: 30,
        Priority.ALARM: 1,
    }


class ByHand:
    """A runner whose turns the test takes; it counts who wakes it."""

    woken = 0

    def __call__(self, name: str, turn: Turn) -> "ByHand":
        self.turn = turn
        return self

    def start(self) -> None:
        """Nothing: the test takes the turns."""

    def wake(self) -> None:
        self.woken += 1

    def join(self, timeout_s: float) -> bool:
        return True
