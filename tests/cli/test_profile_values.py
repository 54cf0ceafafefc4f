"""What `profile check`, `install` and `config check` find wrong with the values of a profile."""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from edge_agent.texts.profile import TEXTS

Cli = Callable[..., Result]
ROOT = Path(__file__).parents[2]
SHIPPED = (ROOT / "drivers/profiles/acrel-aim-r100.toml").read_text("utf-8")
VALUE = 'name = "trip_delay_s"'


def found(cli: Cli, content: str) -> dict[str, str]:
    """Code -> severity of what `profile check` says of a file."""
    Path("ours.toml").write_text(content, "utf-8")
    [verdict] = json.loads(cli("profile", "check", "ours.toml", "--json").stdout)
    return {finding["code"]: finding["severity"] for finding in verdict["findings"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('unit = "mA"', 'unit = "A"', "unit_differs"),
        ('unit = "mA"', "unit = 5", "bad_words"),
        ('unit = "s"', 'unit = "furlong"', "unknown_unit"),
        ('kind = "electrical"', 'kind = "elektrical"', "unknown_kind"),
        ("alarm_high = 300.0", "alarm_high = 100.0", "order_of_limits"),
        ("on_delay_s = 10.0", "on_delay_s = -1.0", "bad_limit"),
        ("on_delay_s = 10.0", "on_delay_s = 1e9", "bad_limit"),
        ("alarm_high = 300.0", "alarm_high = nan", "bad_table"),
        ("alarm_high = 300.0", "alarm_high = inf", "bad_table"),
        ('unit = "s"', 'unit = "s"\nscale = 0', "bad_table"),
        (VALUE, 'name = "trip delay/s"', "bad_table"),
        ('zh = "动作延时"', "", "missing_words"),
        ('zh = "动作延时"', "zh = 5", "bad_words"),
        ('zh = "动作延时"', 'zh = "\\u202e动作"', "bad_words"),
        ('framing = "8N1"', 'framing = "9N1"', "bad_table"),
        ('transport = "rtu"', 'transport = "udp"', "bad_table"),
        ("[[example]]", "[[caveat]]", "no_example"),
        ("[[counter_example]]", "[[caveat]]", "no_counter_example"),
    ],
)
def test_what_is_wrong_with_a_value_is_found(cli: Cli, old: str, new: str, code: str) -> None:
    assert old in SHIPPED
    assert code not in found(cli, SHIPPED)
    everywhere = old.startswith("[[")
    severity = found(cli, SHIPPED.replace(old, new) if everywhere else SHIPPED.replace(old, new, 1)).get(code)
    assert severity == ("warning" if code in ("unknown_unit", "missing_words") else "error")


def test_what_check_finds_keeps_a_profile_from_being_installed_and_from_a_sound_configuration(cli: Cli) -> None:
    Path("config.toml").write_text(
        f'profile_dirs = ["{Path.cwd()}/own"]\n[gateway]\nid = "gw-1"\n[[bus]]\nid = "bus1"\nhost = "127.0.0.1"\n'
        '[[bus.device]]\nid = "leak"\nprofile = "ours"\naddress = 1\n',
        "utf-8",
    )
    Path("ours.toml").write_text(SHIPPED.replace('kind = "electrical"', 'kind = "elektrical"'), "utf-8")
    refused = cli("profile", "install", "ours.toml", "--config", ".", "--force", "--lang", "zh")
    assert (refused.exit_code, "不是事件种类" in refused.stdout, Path("own/ours.toml").exists()) == (2, True, False)
    Path("own").mkdir()
    Path("ours.toml").rename("own/ours.toml")
    checked = cli("config", "check", "--config", ".", "--lang", "zh")
    assert (checked.exit_code, "不是事件种类" in checked.stdout) == (78, True)


def test_everything_that_can_be_wrong_with_a_table_has_words() -> None:
    raised = set()
    for path in (ROOT / "drivers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", "") in ("ProfileFault", "BadMeaning")
                and node.args
            ):
                code = node.args[0]
                either = (code.body, code.orelse) if isinstance(code, ast.IfExp) else (code,)
                raised |= {one.value for one in either if isinstance(one, ast.Constant)}
    guard = (ROOT / "drivers/regex_guard.py").read_text("utf-8")
    codes = {str(code) for code in raised}
    codes |= {f"regex_{code}" for code in re.findall(r'UnsafeRegex\("(\w+)"', guard)}
    assert len(codes) > 50
    assert {code for code in codes if f"fault_{code}" not in TEXTS} == set()
