"""`edge-agent gb26875 map` and what a profile may say of GB/T 26875.3."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli import root
from edge_agent.config.load import load
from edge_agent.terminal import cells

SITE = """
[gateway]
id = "ZG-1234"
run_dir = "{run}"
[board]
gpio = "gpiod"
outputs = {{ buzzer = 1 }}
[[contact]]
id = "hall"
line = 5
name = "大厅手报"
kind = "fire_manual"
[[contact]]
id = "pump"
line = 6
[[bus]]
id = "rtu1"
port = "/dev/ttyUSB0"
[[bus.device]]
id = "meter1"
profile = "eastron-sdm120"
[[uplink]]
id = "county"
protocol = "gb26875"
host = "127.0.0.1"
port = 5201
[uplink.gb26875]
source = "889"
component_address = "point-loop"
"""


def run(tmp_path: Path, extra: str = "", *args: str) -> Result:
    (tmp_path / "config.toml").write_text(SITE.format(run=tmp_path) + extra, "utf-8")
    return CliRunner(env={"LC_ALL": "C.UTF-8", "TERM": "xterm"}).invoke(
        root, ["--config", str(tmp_path), "gb26875", "map", *args]
    )


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_the_table_lines_up_and_the_doubts_are_in_words(tmp_path: Path, lang: str) -> None:
    shown = run(tmp_path, "", "--lang", lang)
    assert shown.exit_code == 1
    lines = shown.stdout.splitlines()
    hall = next(line for line in lines if line.startswith("hall"))
    assert ("手动火灾报警按钮" if lang == "zh" else "manual call point") in hall
    column = cells(lines[0][: lines[0].index("线上字节" if lang == "zh" else "bytes")])
    assert "05000000" in hall
    assert cells(hall[: hall.index("05000000")]) == column
    assert ("kWh 没有标准模拟量类型" if lang == "zh" else "no analogue type for kWh") in shown.stdout
    assert ("核心程序未运行" if lang == "zh" else "The core does not run") in shown.stderr


def test_two_points_with_one_address_fail_and_are_both_named(tmp_path: Path) -> None:
    rules = '[[gb26875_point]]\npoints = ["pump"]\ncomponent_address = "0-5"\n'
    shown = run(tmp_path, rules, "--json")
    assert shown.exit_code == 2
    (found,) = [doubt for doubt in json.loads(shown.stdout)["doubts"] if doubt["severity"] == "error"]
    assert (found["code"], found["point"], found["params"]) == ("collision", "pump", {"other": "hall"})


def test_a_map_that_is_all_written_down_has_no_doubts(tmp_path: Path) -> None:
    rules = "".join(
        f'[[gb26875_point]]\npoints = ["{point}"]\nsystem_type = 1\nsystem_address = 9\ncomponent_type = 23\n'
        f'component_address = "1-{n}"\n'
        for n, point in enumerate(("hall", "pump"))
    )
    shown = run(tmp_path, rules + '[[gb26875_point]]\npoints = ["meter1/*"]\nsend = false\n', "--json")
    assert json.loads(shown.stdout)["doubts"] == []
    assert shown.exit_code == 0


def test_a_configuration_that_is_not_sound_is_said_so(tmp_path: Path) -> None:
    assert run(tmp_path, "[[uplink]]\n").exit_code == 78


def test_a_centre_that_is_not_there_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    shown = run(tmp_path, "", "--centre", "province")
    assert shown.exit_code == 64
    assert "province" in shown.stderr


PANEL = '[[panel]]\nid = "hall-panel"\nprofile = "lida-ld128e"\nport = "/dev/ttyUSB1"\n'


def test_detectors_that_were_written_down_are_checked_before_they_speak(tmp_path: Path) -> None:
    rules = "".join(
        f'[[gb26875_point]]\npoints = ["hall-panel/{point}"]\ncomponent_address = "1-27"\n'
        for point in ("1-027", "1-028")
    )
    found = json.loads(run(tmp_path, PANEL + rules, "--json").stdout)
    listed = {point["point"]: point["component_address"] for point in found["points"]}
    assert listed["hall-panel/1-027"] == listed["hall-panel/1-028"] == "1b000100"
    (error,) = [doubt for doubt in found["doubts"] if doubt["severity"] == "error"]
    assert (error["code"], error["params"]) == ("collision", {"other": "hall-panel/1-027"})


@pytest.mark.parametrize("pattern", ["hall-panle/1-027", "hall-panle/*", "hal"])
def test_a_table_for_points_that_nobody_gives_is_doubted(tmp_path: Path, pattern: str) -> None:
    rules = f'[[gb26875_point]]\npoints = ["hall-panel/*", "{pattern}", "patrol/*", "meter1/*", "*"]\n'
    shown = run(tmp_path, PANEL + rules, "--json")
    doubts = [doubt for doubt in json.loads(shown.stdout)["doubts"] if doubt["code"] == "unknown_point"]
    assert [doubt["point"] for doubt in doubts] == [pattern]
    assert pattern in doubts[0]["message"]
    assert shown.exit_code == 1


def test_a_profile_may_say_what_its_points_are_and_is_checked(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "drivers/profiles/eastron-sdm120.toml"
    profile = tmp_path / "mine.toml"
    good = '\n[[gb26875_point]]\npoints = ["voltage_v"]\nsystem_type = 23\ncomponent_type = 82\n'
    profile.write_text(shipped.read_text("utf-8") + good, "utf-8")
    runner = CliRunner(env={"LC_ALL": "C.UTF-8", "TERM": "xterm"})
    assert runner.invoke(root, ["profile", "check", str(profile)]).exit_code == 0
    extra = f'[gateway]\nid = "ZG-1234"\nrun_dir = "{tmp_path}"\n'
    site = extra + '[[bus]]\nid = "b"\nport = "/dev/x"\n[[bus.device]]\nid = "m"\nprofile = "mine"\n'
    (tmp_path / "config.toml").write_text(f'profile_dirs = ["{tmp_path}"]\n{site}', "utf-8")
    shown = runner.invoke(root, ["--config", str(tmp_path), "gb26875", "map", "--json"])
    voltage = next(point for point in json.loads(shown.stdout)["points"] if point["point"] == "m/voltage_v")
    assert (voltage["system_type"], voltage["component_type"], voltage["analogue_type"]) == (23, 82, 8)
    profile.write_text(shipped.read_text("utf-8") + good.replace("82", "820"), "utf-8")
    checked = runner.invoke(root, ["profile", "check", str(profile), "--lang", "en"])
    assert checked.exit_code == 2
    assert "component_type = 820" in checked.stdout


@pytest.mark.parametrize("page", ["uplinks.md", "uplinks.zh.md"])
def test_the_examples_of_the_page_are_a_sound_configuration(tmp_path: Path, page: str) -> None:
    written = (Path(__file__).parents[3] / "docs" / page).read_text("utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", written, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    head = '[gateway]\nid = "ZG-1234"\n[[panel]]\nid = "panel1"\nprofile = "lida-ld128e"\nport = "/dev/ttyUSB0"\n'
    (tmp_path / "config.toml").write_text(head + "".join(blocks), "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None
    assert [uplink.id for uplink in loaded.config.uplinks] == ["county", "city", "market"]
