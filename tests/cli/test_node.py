"""`edge-agent node`, and the words of what nodes made of an update."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from edge_agent.cli_events import event_lines
from edge_agent.local_api import ApiError
from edge_agent.terminal import FAILURES, OK, USAGE, WARNINGS

Cli = Callable[..., Result]
ROW = {"device": "attic", "node": "node1", "state": "none"}


@pytest.mark.parametrize(
    ("state", "shown", "code"),
    [
        ({}, ("en", "nothing offered"), OK),
        ({"state": "fetching", "have": 30, "size": 120, "version": 2}, ("zh", "正在取, 25%"), OK),
        ({"state": "starting", "have": 0, "size": 0}, ("en", "on trial"), OK),
        ({"state": "done", "runs": 2, "version": 2}, ("zh", "已运行新版本"), OK),
        (
            {"state": "refused", "why": "signature"},
            ("en", "refused by the node: not signed by this node's maker"),
            WARNINGS,
        ),
        ({"state": "refused", "why": "failed"}, ("zh", "两次试运行都没连上网关"), WARNINGS),
    ],
)
def test_the_list_says_how_far_each_is(core: Any, cli: Cli, state: Any, shown: tuple[str, str], code: int) -> None:
    core.answers["node_updates"] = lambda request: {"directory": "/x", "nodes": [{**ROW, **state}]}
    lang, words = shown
    done = cli("node", "list", "--socket", str(core.path), "--lang", lang)
    assert words in done.stdout
    assert done.exit_code == code
    as_json = cli("node", "list", "--socket", str(core.path), "--json")
    assert json.loads(as_json.stdout) == [{**ROW, **state}]


def test_an_offer_is_put_where_the_core_looks_and_told_to_it(core: Any, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "offers").mkdir()
    (tmp_path / "u.zgu").write_bytes(b"signed")
    rows = [ROW, {**ROW, "device": "cellar"}]
    core.answers["node_updates"] = lambda request: {"directory": str(tmp_path / "offers"), "nodes": rows}
    core.answers["node_offer"] = lambda request: (
        {"refused": "digest"} if request["device"] == "cellar" else {"version": 7}
    )
    one = cli("node", "offer", str(tmp_path / "u.zgu"), "attic", "--socket", str(core.path), "--lang", "en")
    assert (one.exit_code, "version 7" in one.stdout) == (OK, True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "offers").iterdir()} == {"attic.offer": b"signed"}
    every = cli("node", "offer", str(tmp_path / "u.zgu"), "--all", "--socket", str(core.path), "--lang", "zh")
    assert (every.exit_code, "文件已损坏" in every.stdout) == (FAILURES, True)
    assert [asked["device"] for asked in core.asked if asked["do"] == "node_offer"] == ["attic", "attic", "cellar"]


def test_what_cannot_be_offered_says_why(core: Any, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "u.zgu").write_bytes(b"signed")
    path = str(core.path)
    assert cli("node", "offer", str(tmp_path / "u.zgu"), "--socket", path).exit_code == USAGE
    assert cli("node", "offer", str(tmp_path / "u.zgu"), "attic", "--all", "--socket", path).exit_code == USAGE
    missing = cli("node", "offer", str(tmp_path / "none"), "attic", "--socket", path)
    assert (missing.exit_code, "none" in missing.stderr) == (FAILURES, True)
    core.answers["node_updates"] = lambda request: {"directory": str(tmp_path), "nodes": [ROW]}

    def off(request: object) -> object:
        raise ApiError("node_updates_off")

    core.answers["node_offer"] = off
    refused = cli("node", "offer", str(tmp_path / "u.zgu"), "../etc/passwd", "--socket", path, "--lang", "en")
    assert (refused.exit_code, "node_updates = true" in refused.stderr) == (FAILURES, True)
    assert not (tmp_path.parent / "etc").exists()


def test_an_offer_is_taken_back(core: Any, cli: Cli) -> None:
    core.answers["node_withdraw"] = lambda request: {"withdrawn": request["device"] == "attic"}
    assert cli("node", "withdraw", "attic", "--socket", str(core.path)).exit_code == OK
    assert cli("node", "withdraw", "cellar", "--socket", str(core.path)).exit_code == WARNINGS


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "offered", "who": "cli:root", "model": "m"}, "attic: version 2 offered (cli:root)"),
        ({"status": "refused", "runs": 1, "why": "model"}, "attic refused version 2 and runs 1: for another model"),
        ({"status": "done", "runs": 2}, "attic runs version 2"),
    ],
)
def test_events_say_what_came_of_it(fields: dict[str, object], words: str) -> None:
    told = {"device": "attic", "version": 2, **fields}
    event = {"id": "e1", "kind": "command", "point": "command/node_update", "active": True, "fields": told}
    assert words in event_lines([{"epoch": "v-1", "n": 1, "stream": "status", "body": event}], "en")[1]
