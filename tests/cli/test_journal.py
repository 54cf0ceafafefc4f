"""journal verify, stats, list, export: on journals the real writer made, also while it runs, and on damaged ones."""

import base64
import csv
import io
import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
from edge_agent.model import Clock, Kind

Cli = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path, kept: Any) -> Path:
    kept(tmp_path / "data", alarms=700, faults=3)
    return tmp_path / "data"


def test_a_sound_journal_verifies(cli: Cli, store: Path) -> None:
    done = cli("journal", "verify", "--dir", str(store), "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0
    assert found["ok"] is True
    assert found["records"]["alarm"] == 700
    assert "703" in cli("journal", "verify", "--dir", str(store), "--lang", "zh").stdout


def test_one_flipped_bit_is_found_and_exits_2(cli: Cli, store: Path) -> None:
    with sqlite3.connect(store / "vital.db") as db:
        number, content = db.execute("SELECT id, body FROM alarm ORDER BY id LIMIT 1 OFFSET 4").fetchone()
        db.execute("UPDATE alarm SET body = ? WHERE id = ?", (content.replace(b"panel1", b"panel3"), number))
    done = cli("journal", "verify", "--dir", str(store), "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["bad"]
    assert "[故障]" in cli("journal", "verify", "--dir", str(store), "--lang", "zh").stdout


def test_a_missing_number_is_named(cli: Cli, store: Path) -> None:
    with sqlite3.connect(store / "vital.db") as db:
        db.execute("DELETE FROM alarm WHERE id = (SELECT min(id) + 4 FROM alarm)")
    missing = json.loads(cli("journal", "verify", "--dir", str(store), "--json").stdout)["missing"]
    assert [(gap["stream"], gap["from"], gap["to"]) for gap in missing] == [("alarm", 5, 5)]


def test_every_way_to_look_works_while_the_writer_runs(cli: Cli, tmp_path: Path, body: Any) -> None:
    journal = Journal.open(tmp_path, JournalSettings(reserve_bytes=0, background_check=False), report=print)
    try:
        journal.append(Priority.ALARM, body(1))
        assert journal.flush(30)
        for args in (["verify"], ["stats"], ["list"], ["export"]):
            assert cli("journal", *args, "--dir", str(tmp_path)).exit_code == 0, args
        journal.append(Priority.ALARM, body(2))
        assert journal.flush(30)
    finally:
        journal.close()
    assert len(json.loads(cli("journal", "list", "--dir", str(tmp_path), "--json").stdout)) == 2


def test_stats_say_how_much_there_is(cli: Cli, store: Path) -> None:
    found = json.loads(cli("journal", "stats", "--dir", str(store), "--json").stdout)
    assert found["vital"]["streams"]["alarm"]["records"] == 700
    human = cli("journal", "stats", "--dir", str(store), "--lang", "zh").stdout
    assert "700 条" in human
    assert "vital.db" in human


def test_list_goes_on_where_the_last_one_ended(cli: Cli, store: Path) -> None:
    first = json.loads(cli("journal", "list", "--dir", str(store), "--limit", "600", "--json").stdout)
    rest = json.loads(cli("journal", "list", "--dir", str(store), "--after", "600", "--json").stdout)
    assert [record["n"] for record in first + rest] == list(range(1, 701))
    assert "火警" in cli("journal", "list", "--dir", str(store), "--limit", "1", "--lang", "zh").stdout


def test_list_goes_past_damage_longer_than_one_read(cli: Cli, store: Path) -> None:
    with sqlite3.connect(store / "vital.db") as db:
        db.execute("UPDATE alarm SET crc = crc + 1 WHERE id < (SELECT min(id) + 650 FROM alarm)")
    found = json.loads(cli("journal", "list", "--dir", str(store), "--json").stdout)
    assert [record["n"] for record in found] == list(range(651, 701))


def test_json_lines_hold_every_event_record_once(cli: Cli, store: Path) -> None:
    done = cli("journal", "export", "--dir", str(store))
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({(record["stream"], record["n"]) for record in records}) == len(records) == 703
    assert records[0]["body"]["name"] == "1 号点"


def test_a_body_that_is_no_json_is_exported_all_the_same(cli: Cli, tmp_path: Path, kept: Any) -> None:
    kept(tmp_path, bodies=[(Priority.ALARM, b"\xff\x00"), (Priority.ALARM, b"[1]")])
    records = [json.loads(line) for line in cli("journal", "export", "--dir", str(tmp_path)).stdout.splitlines()]
    assert base64.b64decode(records[0]["body_base64"]) == b"\xff\x00"
    assert records[1]["body"] == [1]
    assert cli("journal", "list", "--dir", str(tmp_path), "--lang", "zh").exit_code == 0


def rows_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def test_csv_opens_in_a_chinese_excel(cli: Cli, store: Path, tmp_path: Path) -> None:
    done = cli("journal", "export", "--dir", str(store), "--csv", str(tmp_path / "out.csv"), "--lang", "zh")
    content = (tmp_path / "out.csv").read_bytes()
    assert done.exit_code == 0
    assert content.startswith(b"\xef\xbb\xbf")
    assert b"\r\n" in content
    head, first, *_ = rows_of(content)
    assert head[:4] == ["时间 (北京)", "时钟", "流", "种类"]
    assert first[0] == "2026-11-24 12:00:01"
    assert first[3:5] == ["火警", "发生"]


def test_nothing_in_a_csv_runs_or_loses_digits(cli: Cli, tmp_path: Path, kept: Any, body: Any) -> None:
    names = ["=1+1", "+cmd", "-2", "@x", "\tx", "123456789012345678", "12E5", "1-27", '普通, "引号"']
    kept(
        tmp_path,
        bodies=[(Priority.ALARM, body(n, name=name, raw=bytes.fromhex("12E5"))) for n, name in enumerate(names)],
    )
    done = cli("journal", "export", "--dir", str(tmp_path), "--csv", "-")
    head, *rows = rows_of(done.stdout_bytes)
    shown = [row[head.index("name")] for row in rows]
    assert shown == ["'=1+1", "'+cmd", "'-2", "'@x", "'\tx", '="123456789012345678"', '="12E5"', '="1-27"', names[-1]]
    assert {row[head.index("raw bytes")] for row in rows} == {'="12e5"'}


def test_csv_to_a_gbk_console_is_still_utf_8(environ: dict[str, str], command: list[str], store: Path) -> None:
    environ |= {"PYTHONIOENCODING": "gbk"}
    args = [*command, "journal", "export", "--dir", str(store), "--csv", "-", "--lang", "zh"]
    done = subprocess.run(args, env=environ, capture_output=True, timeout=60, check=True)
    assert len(rows_of(done.stdout)) == 704


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_json_lines_survive_any_console(
    environ: dict[str, str], command: list[str], store: Path, encoding: str
) -> None:
    environ |= {"PYTHONIOENCODING": encoding}
    args = [*command, "journal", "export", "--dir", str(store), "--stream", "fault"]
    done = subprocess.run(args, env=environ, capture_output=True, timeout=60, check=True)
    assert [json.loads(line)["body"]["name"] for line in done.stdout.splitlines()] == [
        f"{n} 号点" for n in (1001, 1002, 1003)
    ]


def test_an_export_overwrites_nothing(cli: Cli, store: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine", "ascii")
    assert cli("journal", "export", "--dir", str(store), "--csv", str(tmp_path / "out.csv")).exit_code == 2
    assert (tmp_path / "out.csv").read_text("ascii") == "mine"


def test_sqlite_holds_the_same_rows(cli: Cli, store: Path, tmp_path: Path) -> None:
    assert cli("journal", "export", "--dir", str(store), "--sqlite", str(tmp_path / "out.sqlite")).exit_code == 0
    with sqlite3.connect(tmp_path / "out.sqlite") as db:
        assert db.execute("SELECT count(*), count(DISTINCT id) FROM records").fetchone() == (703, 703)


def test_without_the_extra_the_message_names_it(
    cli: Cli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sqlite_utils", None)
    done = cli("journal", "export", "--dir", str(store), "--sqlite", str(tmp_path / "out.sqlite"))
    assert done.exit_code == 2
    assert "zg119-edge-agent[tools]" in done.stderr


@pytest.mark.parametrize("option", ["--csv", "--sqlite"])
def test_a_place_that_cannot_be_written_is_said(cli: Cli, store: Path, option: str) -> None:
    done = cli("journal", "export", "--dir", str(store), option, "/nonexistent/out", "--lang", "zh")
    assert done.exit_code == 2
    assert "写不了 /nonexistent/out" in done.stderr


def test_since_leaves_out_what_is_older_but_not_what_has_no_date(
    cli: Cli, tmp_path: Path, kept: Any, body: Any
) -> None:
    import time

    kept(
        tmp_path,
        bodies=[
            (Priority.ALARM, body(1, wall_ns=time.time_ns() - 7200 * 10**9)),
            (Priority.ALARM, body(2, wall_ns=time.time_ns())),
            (Priority.ALARM, body(3, wall_ns=1, clock=Clock.UNSET)),
        ],
    )
    records = [
        json.loads(line)
        for line in cli("journal", "export", "--dir", str(tmp_path), "--since", "1h").stdout.splitlines()
    ]
    assert [record["n"] for record in records] == [2, 3]


@pytest.mark.parametrize("args", [["verify"], ["stats"], ["list"], ["export"]])
def test_no_journal_is_said_in_words(cli: Cli, tmp_path: Path, args: list[str]) -> None:
    done = cli("journal", *args, "--dir", str(tmp_path), "--lang", "zh")
    assert done.exit_code == 2
    assert "没有事件库" in done.stderr
    assert list(tmp_path.iterdir()) == []  # and none was made by looking


@pytest.mark.parametrize("args", [["verify"], ["stats"], ["list"], ["export"]])
def test_a_file_that_is_no_database_is_a_failure_not_a_crash(cli: Cli, store: Path, args: list[str]) -> None:
    (store / "vital.db").write_bytes(b"no database at all" * 500)
    done = cli("journal", *args, "--dir", str(store), "--lang", "zh")
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr


# --- events ----------------------------------------------------------------------------------------------------------


def test_events_come_newest_first_from_all_streams(cli: Cli, store: Path) -> None:
    found = json.loads(cli("events", "--dir", str(store), "--limit", "800", "--json").stdout)
    alarms = [record["n"] for record in found if record["stream"] == "alarm"]
    assert alarms == list(range(700, 0, -1))
    assert len(found) == 703
    assert len(json.loads(cli("events", "--dir", str(store), "--json").stdout)) == 20
    only = json.loads(cli("events", "--dir", str(store), "--stream", "fault", "--json").stdout)
    assert {record["body"]["kind"] for record in only} == {"fault"}


def test_an_event_is_shown_in_china_time_with_a_mark_for_an_untrusted_clock(
    cli: Cli, tmp_path: Path, kept: Any, body: Any
) -> None:
    kept(
        tmp_path,
        bodies=[
            (Priority.ALARM, body(1)),
            (Priority.ALARM, body(2, clock=Clock.HOLDOVER, active=False)),
            (Priority.ALARM, body(3, clock=Clock.UNSET)),
            (Priority.ALARM, b'{"gap":{"epoch":"v-1","from":1,"to":9,"why":"evicted"}}'),
        ],
    )
    lines = cli("events", "--dir", str(tmp_path), "--lang", "zh").stdout.splitlines()
    assert "缺失记录" in lines[1]
    assert "2026-11-24 12:00:03?" in lines[2]
    assert "2026-11-24 12:00:02~" in lines[3]
    assert "恢复" in lines[3]
    assert "2026-11-24 12:00:01 " in lines[4]
    assert "火警" in lines[4]
    assert lines[5].startswith("~")


def test_every_kind_of_event_has_a_word(cli: Cli, tmp_path: Path, kept: Any, body: Any) -> None:
    kept(tmp_path, bodies=[(Priority.STATUS, body(n, kind)) for n, kind in enumerate(Kind)])
    shown = cli("events", "--dir", str(tmp_path), "--limit", "100", "--lang", "zh").stdout
    assert len(shown.splitlines()) == len(Kind) + 1
    for kind in Kind:
        assert kind.value not in shown.split()


def test_a_trouble_is_shown_with_its_reason(cli: Cli, tmp_path: Path, kept: Any, body: Any) -> None:
    kept(
        tmp_path,
        bodies=[
            (Priority.FAULT, body(1, Kind.LINK, point="panel1", name="", fields={"reason": "silent"})),
            (Priority.FAULT, body(2, Kind.STORE, point="journal/vital.db", name="", fields={"code": "full"})),
            (Priority.FAULT, body(3, Kind.WORKER, point="worker/bus1", name="", fields={"reason": "OSError: \x1b[2J"})),
        ],
    )
    shown = cli("events", "--dir", str(tmp_path), "--lang", "zh").stdout
    assert "panel1 (超时没有声音)" in shown
    assert "事件库 vital.db (存储卡已满)" in shown
    assert "\x1b" not in shown
