"""Latched values change with their records, in the order they were told, and take bounded room."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
from buffer.store import VitalStore
from buffer.waiting import Ticket, Waiting

SETTINGS = JournalSettings(reserve_bytes=0, background_check=False)


def ticket(priority: Priority, state: Mapping[str, bytes | None]) -> Ticket:
    return Ticket(priority, b"{}", 0, state)


def open_journal(directory: Path) -> Journal:
    return Journal.open(directory, SETTINGS, lambda fault: None)


def test_an_older_change_of_a_lower_rank_that_rides_with_an_alarm_does_not_undo_the_alarms_own() -> None:
    waiting = Waiting({Priority.ALARM: 0, Priority.STATUS: 10**9}, records_max={}, bytes_max={})
    older, newer = ticket(Priority.STATUS, {"a": b"acknowledged"}), ticket(Priority.ALARM, {"a": None})
    waiting.put(older, 0)
    waiting.put(newer, 0)
    assert waiting.take(0) == [newer, older]
    assert older.order < newer.order


@pytest.mark.parametrize("together", [True, False])
def test_the_newest_change_of_a_value_wins_whatever_the_order_of_the_commits(tmp_path: Path, together: bool) -> None:
    journal = open_journal(tmp_path)
    store = journal.vital.store
    assert isinstance(store, VitalStore)
    journal._vital_writer.stop()
    journal._vital_writer.runner.join(60)
    journal.vital.open(0)
    store = journal.vital.store
    assert isinstance(store, VitalStore)
    older, newer = ticket(Priority.STATUS, {"a": b"old", "b": b"old"}), ticket(Priority.ALARM, {"a": b"new"})
    older.order, newer.order = 1, 2
    if together:
        store.write([newer, older])
    else:
        store.write([newer])
        store.write([older])
    assert dict(store.state) == {"a": b"new", "b": b"old"}
    journal.vital.close()
    journal.close()
    again = open_journal(tmp_path)
    assert again.state() == {"a": b"new", "b": b"old"}
    again.close()


def test_values_that_come_and_go_use_the_same_rows_again(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    for count in range(300):
        journal.append(Priority.ALARM, b"{}", {f"au:{count}": b"x", "kept": str(count).encode()})
        journal.append(Priority.ALARM, b"{}", {f"au:{count}": None})
        assert journal.flush(60)
    store = journal.vital.store
    assert isinstance(store, VitalStore)
    assert journal.state() == {"kept": b"299"}
    journal.close()
    with sqlite3.connect(tmp_path / "vital.db") as db:
        assert db.execute("SELECT count(*) FROM state").fetchone()[0] <= 3
    db.close()
    again = open_journal(tmp_path)
    assert again.state() == {"kept": b"299"}
    again.append(Priority.ALARM, b"{}", {"au:new": b"1", "kept": None})
    assert again.flush(60)
    assert again.state() == {"au:new": b"1"}
    again.close()
