"""status, points, alarms, ack, silence: against the real local API server, and against every way a core can fail to answer."""

import contextlib
import json
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from click.testing import Result

from edge_agent.cli_status import judge
from edge_agent.cli_words import reason_word, span
from edge_agent.local_api import ApiError
from edge_agent.terminal import cells
from edge_agent.texts import text

Cli = Callable[..., Result]

UPLINK = Path(__file__).parents[2] / "edge_agent" / "uplink"
NOON_NS = 1_795_492_800_000_000_000  # 2026-11-24 12:00:00 China time
FIRE = {
    "id": "a1", "event_id": "b-1", "kind": "fire", "point": "panel1/1-027", "name": "3楼走廊感烟", "grade": 1, "state": "active",
    "first": True, "delivered": False, "active": True, "acknowledged": False, "since_wall_ns": NOON_NS, "clock": "synced",
}  # fmt: skip
FAULT = {**FIRE, "id": "a2", "kind": "fault", "point": "meter1", "name": "", "first": False, "delivered": True,
         "since_wall_ns": NOON_NS + 60_000_000_000, "grade": 0, "clock": "holdover"}  # fmt: skip


def healthy() -> dict[str, Any]:
    return {
        "gateway": "ZG-36070-0123", "name": "兴国县 XX制衣厂", "version": "0.1.0", "uptime_s": 3700.0, "clock": "synced",
        "wall_ns": NOON_NS, "stuck": [], "memory_alarms": 0, "journal": {},
        "points": {"total": 12, "active": 0, "faulty": 0},
        "alarms": {"active": 0, "unacknowledged": 0, "silenced": False, "first_fire": None},
        "sources": [{"id": "panel1", "kind": "panel", "up": True, "reason": "answering", "counters": {}}],
        "uplinks": [{"id": "county", "up": True, "reason": "connected", "pending": {}, "at_wall_ns": NOON_NS - 7_200_000_000_000}],
    }  # fmt: skip


@pytest.fixture
def ask(core: Any, cli: Cli) -> Callable[..., Result]:
    """Ask the stand-in core one thing from the command line."""

    def run(do: str, answer: object, *args: str, lang: str = "zh") -> Result:
        core.answers[do] = lambda request: answer
        return cli("--lang", lang, do, "--socket", str(core.path), *args)

    return run


def test_a_healthy_gateway_exits_0_and_says_so(ask: Callable[..., Result]) -> None:
    done = ask("status", healthy())
    assert done.exit_code == 0
    assert "结论: 正常" in done.stdout
    assert "ZG-36070-0123" in done.stdout
    assert "兴国县 XX制衣厂" in done.stdout
    assert "2026-11-24 12:00:00 (时钟: 已校准)" in done.stdout
    assert "已运行 1 小时 1 分" in done.stdout


@pytest.mark.parametrize(
    ("change", "code", "mark"),
    [
        ({"points": {"total": 12, "active": 0, "faulty": 1}}, 1, "warn"),
        ({"alarms": {"active": 1, "unacknowledged": 1, "silenced": True, "first_fire": FIRE}}, 1, "fire"),
        ({"sources": [{"id": "p", "kind": "panel", "up": False, "reason": "silent"}]}, 1, "warn"),
        ({"sources": [{"id": "p", "kind": "panel", "up": None, "reason": "starting"}]}, 1, "unknown"),
        ({"uplinks": [{"id": "county", "up": None, "reason": "starting"}]}, 1, "unknown"),
        ({"uplinks": [{"id": "county", "up": False, "reason": "unreachable", "pending": {"alarm": 3}}]}, 2, "fault"),
        ({"sources": [{"id": "uplink", "kind": "uplink", "up": False, "reason": "no_process"}]}, 2, "fault"),
        ({"stuck": ["bus1"]}, 2, "fault"),
        ({"memory_alarms": 4}, 2, "fault"),
    ],
)
def test_the_worst_line_of_status_decides_the_exit_code(change: dict[str, Any], code: int, mark: str) -> None:
    for lang in ("zh", "en"):
        lines, worst = judge({**healthy(), **change}, lang)
        assert worst == code
        assert any(line.startswith(text(f"cli.mark_{mark}", lang)) for line in lines)


def test_an_older_or_newer_core_that_answers_less_does_not_crash_status() -> None:
    lines, _ = judge({"gateway": "g", "sources": [{}], "uplinks": [{}], "alarms": {"first_fire": {"x": 1}}}, "en")
    assert len(lines) > 3


def test_what_a_wire_named_a_point_cannot_command_the_terminal(ask: Callable[..., Result]) -> None:
    evil = {**FIRE, "name": "\x1b[2J\r楼"}
    for do, answer in (
        ("alarms", [evil]),
        ("status", {**healthy(), "name": "\x1b]0;x", "alarms": {"first_fire": evil}}),
    ):
        assert "\x1b" not in ask(do, answer).stdout


def test_json_is_the_cores_own_answer_before_and_after_the_command(core: Any, cli: Cli) -> None:
    core.answers["status"] = lambda request: healthy()
    for args in (["--json", "status"], ["status", "--json"]):
        done = cli(*args, "--socket", str(core.path))
        assert json.loads(done.stdout) == healthy()


def test_the_first_fire_is_pinned_and_every_alarm_tells_whether_the_centre_has_it(ask: Callable[..., Result]) -> None:
    done = ask("alarms", [FAULT, FIRE])
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert re.search("首警 +火警 +3楼走廊感烟 +1 +待确认 +发送中 +2026-11-24 12:00:00 +a1", lines[1])
    assert re.search("故障 +meter1 +0 +待确认 +已送达 +2026-11-24 12:01:00~ +a2", lines[2])
    assert lines[3].startswith("~")
    waiting = ask("alarms", [{**FAULT, "delivered": False}]).stdout
    assert "发送中" not in waiting  # nobody waits for a fault's delivery by itself: it would say so for ever
    assert (
        len({cells(line[: line.index("2026")]) for line in lines[1:3]}) == 1
    )  # columns line up though Chinese is wide


def test_no_alarms_is_said_in_words_and_as_an_empty_list(ask: Callable[..., Result]) -> None:
    assert ask("alarms", []).stdout == "没有报警。\n"
    assert json.loads(ask("alarms", [], "--json").stdout) == []


def test_a_point_that_cannot_be_read_shows_no_value(ask: Callable[..., Result]) -> None:
    quiet = {"name": "", "unit": "mA", "active": None, "fault": None, "at_ns": 1, "kind": ""}
    shown = [
        {**quiet, "id": "m/ia", "name": "A相漏电", "value": 31.25},
        {**quiet, "id": "m/ib", "value": 77.7, "fault": "timeout"},
        {**quiet, "id": "pump", "name": "泵房", "value": True, "active": "fire"},
    ]
    lines = ask("points", shown).stdout.splitlines()
    assert "31.25" in lines[1]
    assert "[正常]" in lines[1]
    assert "77.7" not in lines[2]
    assert "[故障] 应答超时" in lines[2]
    assert "[火警]" in lines[3]
    assert len(ask("points", shown, "泵房").stdout.splitlines()) == 2


def test_acknowledging_names_the_alarm_or_all_of_them(core: Any, cli: Cli) -> None:
    core.answers["ack"] = lambda request: {"acknowledged": 2}
    assert cli("ack", "--lang", "zh", "--socket", str(core.path)).stdout == "已确认 2 个报警。\n"
    assert cli("ack", "a1", "--socket", str(core.path)).exit_code == 0
    assert [request.get("alarm") for request in core.asked] == [None, "a1"]


def test_an_alarm_nobody_knows_is_refused_in_words(core: Any, cli: Cli) -> None:
    def refuse(request: dict[str, Any]) -> object:
        raise ApiError("no_such_alarm", alarm="zz")

    core.answers["ack"] = refuse
    done = cli("ack", "zz", "--lang", "zh", "--json", "--socket", str(core.path))
    assert done.exit_code == 2
    assert json.loads(done.stdout) == {"error": "no_such_alarm", "params": {"alarm": "zz"}}
    assert "没有这个报警" in done.stderr


def test_silencing_where_nothing_sounds_is_no_failure(ask: Callable[..., Result]) -> None:
    assert ask("silence", {"silenced": 0}).stdout == "没有在响的报警。\n"
    assert ask("silence", {"silenced": 1}).exit_code == 0


def test_duty_checks_are_listed_and_answered_with_an_operator(core: Any, cli: Cli) -> None:
    check = {"dest": "county", "id": "c1", "minutes": 10, "asked_wall_ns": 1_795_492_800_000_000_000, "clock": "synced",
             "left_s": 61.0, "missed": False}  # fmt: skip
    core.answers |= {
        "duty": lambda request: [check, {**check, "dest": "city", "missed": True}],
        "duty_answer": lambda request: {"answered": 2},
    }
    listed = cli("duty", "list", "--lang", "zh", "--socket", str(core.path))
    assert listed.exit_code == 1
    assert "county  2026-11-24 12:00:00  待应答, 剩余 1 分 1 秒" in listed.stdout
    assert "已超时, 待应答" in listed.stdout
    done = cli("duty", "answer", "--operator", "7", "--lang", "zh", "--socket", str(core.path))
    assert (done.exit_code, done.stdout) == (0, "已应答 2 个查岗。\n")
    assert core.asked[-1]["operator"] == 7
    core.answers |= {"duty": lambda request: [], "duty_answer": lambda request: {"answered": 0}}
    for command in ("list", "answer"):
        none = cli("duty", command, "--lang", "en", "--socket", str(core.path))
        assert (none.exit_code, none.stdout) == (int(command == "answer"), "No duty check waits for an answer.\n")
    assert cli("duty", "answer", "--operator", "256").exit_code == 64


@contextlib.contextmanager
def rude_server(path: Path, *, answer: bool) -> Iterator[None]:
    """Accepts, then hangs up at once, or (answer False) says nothing at all."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                kept.append(listening.accept()[0])
                if answer:
                    kept[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(60)
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("do", ["status", "points", "alarms", "ack", "silence"])
def test_a_core_that_is_not_running_is_said_with_what_to_do(cli: Cli, tmp_path: Path, do: str) -> None:
    done = cli(do, "--json", "--lang", "zh", "--socket", str(tmp_path / "none.sock"))
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"] == "not_running"
    assert "核心进程没有运行" in done.stderr
    assert "systemctl start edge-agent" in done.stderr


def test_a_socket_left_behind_by_a_killed_core_is_no_core(cli: Cli, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "core.sock"))
    assert stat.S_ISSOCK((tmp_path / "core.sock").stat().st_mode)
    assert "core is not running" in cli("status", "--socket", str(tmp_path / "core.sock")).stderr


def test_a_core_that_hangs_up_is_told_apart_from_one_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    with rude_server(tmp_path / "core.sock", answer=True):
        done = cli("status", "--json", "--socket", str(tmp_path / "core.sock"))
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"] == "hung_up"


def test_a_core_that_says_nothing_is_given_up(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.cli_core.ANSWER_S", 0.2)
    with rude_server(tmp_path / "core.sock", answer=False):
        done = cli("status", "--json", "--socket", str(tmp_path / "core.sock"))
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"] == "silent"


@pytest.mark.parametrize(("seconds", "zh"), [(0, "0 秒"), (59.9, "59 秒"), (3600, "1 小时"), (90061, "1 天 1 小时")])
def test_a_stretch_of_time_is_told_in_its_two_largest_units(seconds: float, zh: str) -> None:
    assert span(seconds, "zh").strip() == zh


def test_an_80_column_chinese_terminal_shows_alarms_without_a_wrapped_line(
    core: Any, environ: dict[str, str], command: list[str]
) -> None:
    long_name = {
        **FIRE,
        "name": "第三人民医院住院部大楼三层东侧走廊吸顶感烟火灾探测器零二七号",
        "id": "f00dfeedcafe-1a2b3c-4d5e",
    }
    core.answers["alarms"] = lambda request: [long_name]
    environ["LC_ALL"] = "zh_CN.UTF-8"
    args = [*command[1:], "alarms", "--socket", str(core.path)]
    child = pexpect.spawn(command[0], args, env=environ, dimensions=(24, 80), encoding="utf-8", timeout=60)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "首警" in child.before
    assert "发送中" in child.before
    assert "2026-11-24 12:00:00" in child.before
    assert "f00dfeedcafe-1a2b3c-4d5e" in child.before  # whole, or nobody could acknowledge it
    assert max(cells(line) for line in child.before.splitlines()) <= 80


def test_every_code_a_driver_or_link_tells_has_a_word() -> None:
    found = set(re.findall(r'LinkError\(\s*"([a-z_]+)"', "".join(p.read_text("utf-8") for p in UPLINK.glob("*.py"))))
    assert len(found) > 8
    told = {"no_port", "hang_up", "silent", "unanswered", "garbage", "gpio", "exception", "no_process", "card_wedged"}
    for reason in found | told:
        assert reason_word(reason, "zh") != reason


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_a_centre_that_refuses_the_connection_is_not_told_as_a_device_that_is_not_believed(lang: str) -> None:
    of_a_link, of_a_device = text("uplink.refused", lang), text("cli.reason_refused", lang)
    for point in ("uplink/county", "link/4g"):
        assert reason_word("refused", lang, point) == of_a_link
    assert reason_word("refused", lang, "net1/889") == of_a_device
    down = {name: [{"id": "x", "up": False, "reason": "refused"}] for name in ("uplinks", "links")}
    shown = re.sub(r"\s+", "", "".join(judge(healthy() | down, lang)[0]))
    assert shown.count(re.sub(r"\s+", "", of_a_link)) == 2
    assert re.sub(r"\s+", "", of_a_device) not in shown


@pytest.mark.parametrize("reason", ["connected", "confirmed"])
def test_a_centre_that_is_connected_is_told_from_one_that_confirms(reason: str) -> None:
    up = {"uplinks": [{"id": "county", "up": True, "reason": reason}]}
    for lang in ("zh", "en"):
        lines, code = judge(healthy() | up, lang)
        assert (text(f"uplink.{reason}", lang) in "".join(lines), code) == (True, 0)


def test_what_to_do_is_wrapped_not_cut_off() -> None:
    down = {
        **healthy(),
        "uplinks": [{"id": "county", "up": False, "reason": "cert_expired", "pending": {"alarm": 12345}}],
    }
    for lang in ("zh", "en"):
        lines, _ = judge(down, lang, 60)
        assert max(cells(line) for line in lines[1:]) <= 60
        shown = re.sub(r"\s+", "", "".join(lines))
        assert re.sub(r"\s+", "", reason_word("cert_expired", lang)) in shown
        assert "12345" in shown


def test_status_says_why_the_board_cannot_be_driven_and_what_is_on() -> None:
    state = {
        "board": {"code": "busy", "params": {"line": 17, "holder": "pigpiod"}},
        "outputs": {"buzzer": True, "fire_lamp": True, "link_lamp": False},
    }
    zh, code = judge(state, "zh")
    en, _ = judge(state, "en")
    assert code == 2
    assert any("pigpiod" in line and "gpioinfo" in line for line in zh)
    assert any("蜂鸣器, 火警灯" in line for line in zh)
    assert any("buzzer, fire lamp" in line and "link" not in line for line in en)


def test_status_survives_a_board_fault_of_another_version() -> None:
    lines, _ = judge({"board": {"code": "melted"}}, "en")
    assert any("melted" in line for line in lines)


def test_status_says_of_each_way_out_whether_the_centre_answers_who_uses_it_and_what_it_cost() -> None:
    links = [
        {"id": "eth", "kind": "ethernet", "up": False, "reason": "unanswered"},
        {"id": "4g", "kind": "cellular", "up": True, "reason": "answered", "used_by": ["county"],
         "bytes": {"alarm": 12_300_000}, "monthly_mb": 300.0},
    ]  # fmt: skip
    source = {"id": "link/eth", "kind": "link", "up": False, "reason": "unanswered"}
    lines, code = judge({**healthy(), "links": links, "sources": [source]}, "en")
    said = "\n".join(lines)
    assert code == 1, "another way works"
    assert "12.3 of 300 MB this month" in said
    assert "used by county" in said
    assert "check cable, SIM card" in said
    assert said.count("way out eth") == 1
    assert "link/eth" not in said
