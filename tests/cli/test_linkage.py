"""`edge-agent linkage`, and the words of what rules and linkage decided in `events`."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from edge_agent.cli_events import event_lines
from edge_agent.cli_status import judge
from edge_agent.terminal import WARNINGS

VALVE = {
    "id": "valve",
    "name": "厨房",
    "action": "gas_valve",
    "enabled": True,
    "acting": False,
    "held": False,
    "refused": "",
}
Cli = Callable[..., Result]


@pytest.mark.parametrize(
    ("state", "shown", "code"),
    [
        ({}, ("en", "ready"), 0),
        ({}, ("zh", "待命"), 0),
        ({"acting": True}, ("zh", "已动作"), 1),
        ({"held": True}, ("en", "released by a person"), 1),
        ({"enabled": False, "refused": "not_enabled"}, ("zh", "未启用; 未动作: 未在 [linkage] enable 里启用"), 0),
        ({"refused": "interlock_unknown"}, ("en", "an interlock cannot be read"), 0),
    ],
)
def test_the_list_says_what_each_output_does_and_why_not(
    core: Any, cli: Cli, state: Any, shown: tuple[str, str], code: int
) -> None:
    lang, word = shown
    core.answers |= {"linkage": lambda request: [VALVE | state]}
    said = cli("--lang", lang, "linkage", "list", "--socket", str(core.path))
    assert said.exit_code == code
    assert word in said.output
    assert ("燃气阀" if lang == "zh" else "gas valve") in said.output


def test_no_output_is_no_trouble(core: Any, cli: Cli) -> None:
    core.answers |= {"linkage": lambda request: []}
    assert cli("--lang", "en", "linkage", "list", "--socket", str(core.path)).output == "There is no linkage output.\n"


@pytest.mark.parametrize(("what", "after"), [("release", {"held": True}), ("auto", {})])
def test_an_order_is_passed_on_and_its_outcome_shown(core: Any, cli: Cli, what: str, after: Any) -> None:
    core.answers |= {"linkage_order": lambda request: VALVE | after}
    said = cli("--lang", "en", "linkage", what, "valve", "--socket", str(core.path))
    assert said.exit_code == 0
    assert said.output.startswith("valve: released by a person" if after else "valve: ready")
    asked = core.asked[-1]
    assert (asked["output"], asked["order"]) == ("valve", what)
    said = cli("--json", "linkage", what, "valve", "--socket", str(core.path))
    assert json.loads(said.output) == VALVE | after


@pytest.mark.parametrize(
    ("kind", "fields", "zh", "en"),
    [
        ("linkage", {"status": "acted", "why": "alarm", "who": "rule"}, "动作", "acts"),
        (
            "linkage",
            {"status": "refused", "why": "stale", "who": "rule"},
            "不动作: 数据过期或来源离线",
            "does not act: stale data",
        ),
        (
            "linkage",
            {"status": "released", "why": "max_on", "who": "rule"},
            "释放: 到达最长动作时间",
            "released: it acted for as long",
        ),
        (
            "linkage",
            {"status": "held", "why": "held", "who": "cli:root"},
            "人工释放, 不会动作 (cli:root)",
            "released by a person (cli:root)",
        ),
        ("linkage", {"status": "auto", "why": "auto", "who": "cli:root"}, "交还规则", "given back to the rules"),
        ("prealarm", {"rule": "baseline"}, "偏离平时", "unlike its own past"),
        ("electrical", {"rule": "extreme"}, "超过上上限", "past its extreme limit"),
        ("fault", {"reason": "frozen"}, "数值长时间不变", "value does not move"),
        ("fault", {"reason": "tap_silent"}, "另一处已报", "another tap of the panel spoke"),
    ],
)
def test_events_say_what_was_decided_in_words(kind: str, fields: Any, zh: str, en: str) -> None:
    event = {
        "id": "e1",
        "kind": kind,
        "point": "p",
        "active": True,
        "at": {"wall_ns": 0, "clock": "synced"},
        "fields": fields,
    }
    shown = [{"epoch": "v-1", "n": 1, "stream": "status", "body": event}]
    assert zh in event_lines(shown, "zh")[1]
    assert en in event_lines(shown, "en")[1]


def test_an_ordinary_limit_needs_no_words() -> None:
    event = {"id": "e1", "kind": "electrical", "point": "p", "active": True, "fields": {"rule": "limit"}}
    assert "(" not in event_lines([{"epoch": "v-1", "n": 1, "stream": "alarm", "body": event}], "en")[1]


@pytest.mark.parametrize(("state", "shown"), [({}, False), ({"acting": True}, True), ({"held": True}, True)])
def test_status_shows_an_output_that_acts_or_is_held(state: Any, shown: bool) -> None:
    lines, code = judge({"gateway": "gw-1", "clock": "synced", "linkage": [VALVE | state]}, "en")
    assert any("linkage valve" in line for line in lines) is shown
    assert code >= WARNINGS or not shown
