"""`edge-agent events` shows what centres asked, duty checks and the clock in words; and dates what came before it was right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
from edge_agent.boot_times import BootTimes
from edge_agent.model import Clock, Kind

Cli = Callable[..., Result]
BOOT, NOON_NS = "b00fb00fb00f", 1_795_492_800_000_000_000


def test_the_audit_is_read_in_both_languages(tmp_path: Path, cli: Cli, kept: Any, body: Any) -> None:
    command = {"dest": "county", "command": "c1", "params": {}, "status": "refused", "code": "not_authorised"}
    clock = {"boot": BOOT, "from": "unset", "to": "synced", "source": "centre", "step_ms": 1500}
    duty = {"dest": "city", "check": "d1"}
    told = [
        (Kind.COMMAND, "command/silence", True, command),
        (Kind.COMMAND, "command/read_state", True, {**command, "status": "done", "code": ""}),
        (Kind.DUTY_CHECK, "duty", True, {**duty, "minutes": 10}),
        (Kind.DUTY_CHECK, "duty", False, {**duty, "result": "late", "operator": 7}),
        (Kind.CLOCK, "clock", True, clock),
        (Kind.WORKER, "worker/uplink", True, {"reason": "TypeError: no"}),
        (Kind.FAULT, "uplink/county/state_denied", True, {"code": "state_denied", "puback": "0x87"}),
        (Kind.UNKNOWN, "line/1", True, {"reason": "decrypt"}),
    ]
    bodies = [
        (Priority.STATUS, body(n, kind, point=point, active=active, fields=fields, name="", grade=0, source="gateway"))
        for n, (kind, point, active, fields) in enumerate(told)
    ]
    bodies.append((Priority.STATUS, b'{"gap":{"epoch":"v-1","from":1,"to":9,"count":9,"why":"budget"}}'))
    kept(tmp_path, bodies=bodies)
    zh = cli("events", "--lang", "zh", "--dir", str(tmp_path)).stdout
    for words in (
        "county, 拒绝: 未授权 (not_authorised)",
        "county, 已执行",
        "city, 限 10 分钟",
        "city, 迟答",
        "未设置 -> 已校准",
        "程序错误, 已再次启动: TypeError: no",
        "state_denied (中心拒收状态报文)",
        "line/1 (解不开密)",
        "v-1 1-9, 9 条, 超出空间限额",
    ):
        assert words in zh, words
    en = cli("events", "--lang", "en", "--dir", str(tmp_path)).stdout
    for words in (
        "county, refused: not authorised (not_authorised)",
        "city, answered late",
        "not set -> synced by centre, stepped 1500 ms",
    ):
        assert words in en, words


def test_what_came_before_the_clock_was_right_is_shown_and_exported_dated(tmp_path: Path, cli: Cli, body: Any) -> None:
    boots = BootTimes()
    boots.learn(BOOT, NOON_NS, 60_000_000_000, "centre")
    journal = Journal.open(tmp_path, JournalSettings(reserve_bytes=0, background_check=False), report=print)
    journal.append(Priority.ALARM, body(7, wall_ns=7_000_000, clock=Clock.UNSET))
    journal.append(Priority.STATUS, body(8, Kind.CLOCK, wall_ns=NOON_NS, source="gateway"), boots.dump())
    assert journal.flush(30)
    journal.close()
    shown = cli("events", "--lang", "zh", "--stream", "alarm", "--dir", str(tmp_path)).stdout
    assert "2026-11-24 12:00:00  火警" in shown, "no mark after the time: it is right"
    [record] = json.loads(cli("events", "--stream", "alarm", "--json", "--dir", str(tmp_path)).stdout)
    assert record["body"]["at"] == {
        "boot": BOOT, "mono_ns": 7_000_000, "wall_ns": NOON_NS + 7_000_000, "clock": "synced", "restamped": True,
    }  # fmt: skip
    exported = cli("journal", "export", "--stream", "alarm", "--dir", str(tmp_path)).stdout
    assert json.loads(exported)["body"]["at"]["restamped"] is True
