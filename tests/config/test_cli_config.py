"""`edge-agent config` as a user runs it: through the whole program, in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOUND = '[gateway]\nid = "ZG-0001"\nname = "一厂"\n[[panel]]\nid = "hall"\nprofile = "gst9000-printer"\nport = "/dev/null"\n'


def run(*args: str | Path, encoding: str = "utf-8", **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", *map(str, args)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding, **env},
    )
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


def site(directory: Path, text: str) -> Path:
    (directory / "config.toml").write_text(text, encoding="utf-8")
    return directory


def test_a_sound_configuration_exits_0(tmp_path: Path) -> None:
    code, out, _ = run("config", "check", "--config", site(tmp_path, SOUND), "--lang", "en")
    assert (code, out.strip()) == (0, "Configuration is sound: 1 files, 1 sources, 0 centres")


def test_warnings_exit_1_but_0_before_a_start(tmp_path: Path) -> None:
    site(tmp_path, SOUND + "buad = 9600\n")
    assert run("config", "check", "--config", tmp_path)[0] == 1
    assert run("config", "check", "--for-start", "--config", tmp_path)[0] == 0


def test_errors_exit_78_and_name_file_line_key_expected_and_nearest_in_both_languages(tmp_path: Path) -> None:
    site(tmp_path, SOUND + "baud = 9601\n")
    for lang, words in (("zh", ("错误", "应为", "最接近")), ("en", ("error", "expected", "nearest"))):
        code, out, _ = run("config", "check", tmp_path, "--lang", lang)
        assert code == 78
        assert f"{tmp_path}/config.toml:8: " in out
        assert "panel[hall].baud" in out
        assert all(word in out for word in (*words, "9601", "9600"))


def test_json_carries_every_finding(tmp_path: Path) -> None:
    site(tmp_path, SOUND + 'baud = "9600"\nsilence_s = 0\n[[pannel]]\n')
    code, out, _ = run("config", "check", tmp_path, "--json")
    got: dict[str, Any] = json.loads(out)
    assert (code, got["ok"], got["errors"], got["warnings"]) == (78, False, 3, 0)
    assert [(f["code"], f["line"]) for f in got["findings"]] == [
        ("quoted_number", 8),
        ("out_of_range", 9),
        ("unknown_table", 10),
    ]
    assert got["findings"][0]["example"] == "baud = 9600"


def test_ports_are_looked_at_unless_it_is_for_a_start(tmp_path: Path) -> None:
    site(tmp_path, SOUND.replace("/dev/null", "/dev/no-such-port"))
    assert run("config", "check", tmp_path)[0] == 78
    assert run("config", "check", tmp_path, "--for-start")[0] == 0


def test_profiles_are_those_shipped_and_those_of_the_site(tmp_path: Path) -> None:
    site(tmp_path, SOUND.replace("gst9000-printer", "no-such-panel"))
    _, out, _ = run("config", "check", tmp_path, "--json")
    assert "unknown_profile" in {finding["code"] for finding in json.loads(out)["findings"]}
    assert run("config", "check", tmp_path, "--for-start")[0] == 0  # a fault of that source, and the rest runs


def test_show_names_value_and_origin_of_every_key(tmp_path: Path) -> None:
    site(tmp_path, SOUND)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "late.toml").write_text("[journal]\nvital_mb = 99\n")
    code, out, _ = run("config", "show", "--config", tmp_path, "--json")
    keys = {entry["key"]: entry for entry in json.loads(out)["keys"]}
    assert code == 0
    assert keys["journal.vital_mb"]["value"] == 99
    assert keys["journal.vital_mb"]["origin"] == {"file": str(tmp_path / "conf.d" / "late.toml"), "line": 2}
    assert keys["panel[hall].port"]["origin"]["line"] == 7
    assert keys["journal.bulk_mb"] == {"key": "journal.bulk_mb", "value": 512, "origin": None}
    code, out, _ = run("config", "show", "--config", tmp_path, "--lang", "zh")
    assert "late.toml:2" in out
    assert "默认" in out
    assert "一厂" in out


def test_show_of_a_broken_configuration_exits_78_with_the_findings(tmp_path: Path) -> None:
    code, out, err = run("config", "show", site(tmp_path, SOUND + "baud = 1\n"), "--lang", "en")
    assert (code, out) == (78, "")
    assert "panel[hall].baud" in err


@pytest.mark.parametrize("encoding", ["gbk", "ascii"])
def test_no_terminal_makes_it_crash(tmp_path: Path, encoding: str) -> None:
    site(tmp_path, SOUND + 'name = "✓ 楼\n')
    code, out, err = run("config", "check", tmp_path, "--lang", "zh", encoding=encoding)
    assert (code, err) == (78, "")
    assert ("错误" in out) == (encoding == "gbk")


def test_the_printed_sample_passes_its_own_check(tmp_path: Path) -> None:
    code, out, _ = run("config", "sample", "--lang", "zh")
    assert code == 0
    assert run("config", "check", "--for-start", site(tmp_path, out)) == (
        0,
        *run("config", "check", "--for-start", tmp_path)[1:],
    )
