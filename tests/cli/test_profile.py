"""profile: shipped and own, checked with their examples, tried without installing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Cli = Callable[..., Result]
FIRE = "0D DD 00 10 04 03 01 18 BB"  # as in test_decode.py
SHIPPED = Path(__file__).parents[2] / "drivers" / "profiles"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with one profile of its own that takes a shipped one's place, and one that is broken."""
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "gst-crt500.toml").write_bytes((SHIPPED / "gst-crt500.toml").read_bytes())
    (profiles / "broken.toml").write_text("kind = ", "utf-8")
    (tmp_path / "config.toml").write_text(f'profile_dirs = ["{profiles}"]\n[gateway]\nid = "gw-1"\n', "utf-8")
    return tmp_path


def listed(done: Result) -> dict[str, dict[str, Any]]:
    return {profile["name"]: profile for profile in json.loads(done.stdout)}


def test_every_shipped_profile_is_listed_with_its_evidence(cli: Cli, tmp_path: Path) -> None:
    done = cli("profile", "list", "--json", "--config", str(tmp_path))
    found = listed(done)
    assert done.exit_code == 0
    assert set(found) == {path.stem for path in SHIPPED.glob("*.toml")}
    assert all(profile["origin"] == "shipped" and profile["evidence"] for profile in found.values())


def test_a_sites_own_profile_is_marked_and_a_broken_one_is_told(cli: Cli, site: Path) -> None:
    done = cli("profile", "list", "--config", str(site), "--json")
    assert done.exit_code == 1
    assert listed(done)["gst-crt500"]["origin"] == "overrides"
    assert "broken" in done.stderr
    human = cli("profile", "list", "--config", str(site), "--lang", "zh")
    assert "自定义, 取代自带" in human.stdout


def test_what_show_prints_is_a_profile_again(cli: Cli, tmp_path: Path) -> None:
    shown = cli("profile", "show", "gst-crt500", "--config", str(tmp_path), "--lang", "zh")
    assert shown.exit_code == 0
    again = tmp_path / "again.toml"
    again.write_text(shown.stdout, "utf-8")
    assert json.loads(cli("profile", "check", str(again), "--json").stdout)[0]["sound"] is True


def test_a_profile_nobody_knows_is_a_failure_that_names_the_known(cli: Cli, tmp_path: Path) -> None:
    for lang in ("zh", "en"):
        done = cli("profile", "show", "nothing", "--config", str(tmp_path), "--lang", lang)
        assert done.exit_code == 2
        assert "gst-crt500" in done.stderr


def test_every_shipped_profile_passes_its_own_check(cli: Cli) -> None:
    done = cli("profile", "check", *map(str, sorted(SHIPPED.glob("*.toml"))), "--json")
    assert all(verdict["sound"] for verdict in json.loads(done.stdout)), done.stdout


def test_a_profile_whose_example_does_not_parse_is_unsound(cli: Cli, tmp_path: Path) -> None:
    shipped = (SHIPPED / "gst-crt500.toml").read_text("utf-8")
    spoilt = tmp_path / "spoilt.toml"
    spoilt.write_text(shipped + '\n[[example]]\nhex = "0DDD001004030119BB"\nexpect = { event = "fire" }\n', "utf-8")
    done = cli("profile", "check", str(spoilt), "--lang", "zh")
    assert done.exit_code == 2
    assert "[不合格]" in done.stdout
    assert "错误" in done.stdout
    found = json.loads(cli("profile", "check", str(spoilt), "--json").stdout)[0]
    assert any(finding["code"] == "example_refused" for finding in found["findings"])


def test_a_file_that_is_no_profile_is_unsound_not_a_crash(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    done = cli("profile", "check", str(tmp_path / "binary.toml"), str(tmp_path / "none.toml"), "--json")
    assert done.exit_code == 2
    assert [verdict["findings"][0]["code"] for verdict in json.loads(done.stdout)] == ["not_utf8", "unreadable"]


def test_a_file_that_is_no_toml_says_where_and_what_to_do_in_the_readers_language(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text('schema = 1\nkind = "panel"\n[link]\nbaud = 9600 Hz\n  framing = "8N1”\n', "utf-8")
    zh = cli("profile", "check", str(file), "--lang", "zh")
    assert zh.exit_code == 2
    first, second = zh.stdout.splitlines()[1:]
    assert f"{file} 第 4 行第 13 列: 数字后面不能写单位" in first
    assert "(TOML 解析器: Expected newline or end of document after a statement)" in first
    assert f"{file} 第 5 行第 3 列: " in second
    assert "TOML" not in second, "the parser never came so far"
    en = cli("profile", "check", str(file), "--lang", "en")
    assert f"{file}, line 4, column 13: No unit may follow a number" in en.stdout
    found = json.loads(cli("profile", "check", str(file), "--json").stdout)[0]["findings"]
    assert [(one["params"]["line"], one["params"]["column"], one["params"]["cause"]) for one in found] == [
        ("4", "13", "syntax_unit"),
        ("5", "3", "full_width"),
    ]
    file.write_text('schema = 1\nsource = """\nnever closed\n', "utf-8")
    assert f"{file} 第 2 行第 1 列: 引号没有配对" in cli("profile", "check", str(file), "--lang", "zh").stdout
    file.write_text("a = 1\na = 2\n", "utf-8")
    shown = cli("profile", "show", str(file), "--lang", "zh")
    assert f"{file} 第 2 行第 6 列: a 写了两次, 先前在第 1 行" in shown.stderr


def test_a_capture_is_tried_with_a_profile_by_name_or_by_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "capture.hex").write_text(FIRE, "ascii")
    by_name = cli("profile", "try", "gst-crt500", str(tmp_path / "capture.hex"), "--json", "--config", str(tmp_path))
    by_file = cli("profile", "try", str(SHIPPED / "gst-crt500.toml"), FIRE, "--json")
    assert by_name.exit_code == by_file.exit_code == 0
    assert json.loads(by_name.stdout) == json.loads(by_file.stdout)
    assert json.loads(by_name.stdout)[0]["event"] == "fire"
