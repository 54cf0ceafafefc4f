"""Both languages are complete, and every way to misuse the command line is answered in them."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pexpect
import pytest
from click.testing import Result

from edge_agent.cli import COMMANDS, language_asked, root
from edge_agent.cli_base import dress, wrap
from edge_agent.cli_words import lookup
from edge_agent.terminal import CliContext, cells

Cli = Callable[..., Result]
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def every_command(lang: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    def walk(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            for name, below in command.commands.items():
                yield from walk((*path, name), below)

    with click.Context(root, obj=CliContext(lang=lang)) as ctx:
        yield (), dress(root, (), lang)
        for name in COMMANDS:
            command = root.get_command(ctx, name)
            assert command is not None
            yield from walk((name,), command)


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_command_and_option_has_help_in_the_language(lang: str) -> None:
    seen = 0
    for path, command in every_command(lang):
        name = "_".join(path).replace("-", "_") or "root"
        assert lookup(f"help.{name}", lang), path
        for param in command.params:
            if isinstance(param, click.Option):
                assert param.help, (path, param.opts)
                assert (CHINESE.search(param.help) is not None) == (lang == "zh"), (path, param.opts, param.help)
        seen += 1
    assert seen > 20


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_help_of_every_command_is_in_one_language_and_fits_80_columns(cli: Cli, lang: str) -> None:
    for path, _ in every_command(lang):
        shown = cli(*path, "--lang", lang, "--help", env={"COLUMNS": "80"})
        assert shown.exit_code == 0, path
        assert (CHINESE.search(shown.stdout) is not None) == (lang == "zh"), path
        too_wide = [line for line in shown.stdout.splitlines() if cells(line) > 80]
        assert not too_wide, (path, too_wide)


def test_every_reporting_command_takes_json_and_lang_on_both_sides() -> None:
    for path, command in every_command("en"):
        names = {name for param in command.params for name in param.opts}
        assert "--lang" in names, path
        assert "--config" in names, path
        if path not in (("run",), ("uplink",), ("cameras",)):
            assert "--json" in names, path


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        (["--lang", "zh", "status"], "zh"),
        (["status", "--lang=zh"], "zh"),
        (["status", "--lang", "en"], "en"),
        (["decode", "x", "--", "--lang=en"], "zh"),
        (["--lang"], "zh"),
        (["--lang", "fr"], "zh"),
    ],
)
def test_the_language_is_known_wherever_it_stands(args: list[str], asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", sys.__stdout__ if sys.__stdout__.encoding.lower() == "utf-8" else sys.stdout)
    assert language_asked(args) == asked


@pytest.mark.parametrize(
    ("args", "zh", "en"),
    [
        (["statu"], "没有命令 statu。 是不是想用 status?", "There is no command statu. Did you mean status?"),
        (["--jsn", "status"], "没有选项 --jsn。 是不是想用 --json?", "There is no option --jsn. Did you mean --json?"),
        (["status", "--sokcet", "x"], "是不是想用 --socket?", "Did you mean --socket?"),
        (["ack", "a", "b"], "多余的参数: b。", "Too many arguments: b."),
        (["status", "--socket"], "选项 --socket 后面要有一个值。", "Option --socket needs a value."),
        (["status", "--json=1"], "选项 --json 不带值。", "Option --json takes no value."),
        (["decode"], "缺少 协议。", "PROTOCOL is missing."),
        (["events", "--stream", "alarms"], "是不是想用 alarm?", "Did you mean alarm?"),
        (["events", "--since", "soon"], "不是时长", "is not a stretch of time"),
        (["events", "--limit", "0"], "不是 1 到", "is not a whole number from 1"),
        (
            ["journal", "verfy"],
            "没有命令 verfy。 是不是想用 verify?",
            "There is no command verfy. Did you mean verify?",
        ),
    ],
)
def test_misuse_is_answered_in_the_readers_language_with_64(cli: Cli, args: list[str], zh: str, en: str) -> None:
    for lang, said in (("zh", zh), ("en", en)):
        answer = cli("--lang", lang, *args)
        assert answer.exit_code == 64
        assert said in answer.stderr
        assert answer.stdout == ""
        assert (CHINESE.search(answer.stderr) is not None) == (lang == "zh")


def test_no_command_at_all_shows_the_help_and_is_a_usage_error(cli: Cli) -> None:
    answer = cli()
    assert answer.exit_code == 64
    assert "decode" in answer.stderr


def test_chinese_breaks_between_characters_and_never_before_a_full_stop() -> None:
    assert wrap("核心进程没有运行。", 8) == ["核心进程", "没有运行。"]
    assert wrap("a bc def", 4) == ["a bc", "def"]
    assert all(cells(line) <= 12 for line in wrap("读取 GB26875 控制器, 就地报警", 12))


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "ascii", "utf-8"])
@pytest.mark.parametrize("args", [["--help"], ["status", "--socket", "/nonexistent/x"], ["statu"]])
def test_no_encoding_stops_a_command(
    environ: dict[str, str], command: list[str], encoding: str, args: list[str]
) -> None:
    environ |= {"PYTHONIOENCODING": encoding, "LC_ALL": "zh_CN.UTF-8"}
    done = subprocess.run([*command, *args], env=environ, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode(encoding)
    assert "Traceback" not in said
    assert "?????" not in said
    assert (CHINESE.search(said) is not None) == (encoding != "ascii")
    assert done.returncode == {"--help": 0, "status": 2, "statu": 64}[args[0]]


@pytest.mark.parametrize("args", [["config", "sample"], ["profile", "show", "gst9000-printer"]])
def test_what_is_read_again_goes_into_a_file_as_utf8_whatever_the_console_speaks(
    environ: dict[str, str], command: list[str], args: list[str], tmp_path: Path
) -> None:
    environ |= {"PYTHONIOENCODING": "gb18030", "LC_ALL": "zh_CN.GB18030"}
    with (tmp_path / "out.toml").open("wb") as out:
        subprocess.run([*command, *args], env=environ, stdout=out, timeout=60, check=True)
    written = (tmp_path / "out.toml").read_bytes()
    assert CHINESE.search(written.decode("utf-8")) is not None
    assert tomllib.loads(written.decode("utf-8"))
    piped = subprocess.run([*command, *args], env=environ, capture_output=True, timeout=60, check=True).stdout
    assert piped.decode("gb18030") == written.decode("utf-8")


def test_json_in_a_pipe_is_ascii_where_the_console_is_not_utf8(environ: dict[str, str], command: list[str]) -> None:
    environ |= {"PYTHONIOENCODING": "gb18030", "LC_ALL": "zh_CN.GB18030"}
    asked = [*command, "profile", "show", "gst9000-printer", "--json"]
    piped = subprocess.run(asked, env=environ, capture_output=True, timeout=60, check=True).stdout
    assert piped.isascii()
    assert CHINESE.search(json.dumps(json.loads(piped), ensure_ascii=False)) is not None


def test_the_c_locale_gets_english(environ: dict[str, str], command: list[str]) -> None:
    environ |= {"LC_ALL": "C"}
    done = subprocess.run([*command, "--help"], env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.isascii()


def test_a_chinese_terminal_of_80_columns_is_answered_in_chinese_without_a_wrapped_line(
    environ: dict[str, str], command: list[str]
) -> None:
    environ["LC_ALL"] = "zh_CN.UTF-8"
    window = {"dimensions": (50, 80), "encoding": "utf-8", "timeout": 60}
    child = pexpect.spawn(command[0], [*command[1:], "--help"], env=environ, **window)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert "用法: edge-agent" in child.before
    assert max(cells(line) for line in child.before.splitlines()) <= 80


def test_help_imports_nothing_heavy(environ: dict[str, str]) -> None:
    asked = [["--help"], *([name, "--help"] for name in COMMANDS if name not in ("run", "uplink", "cameras", "demo"))]
    show = (
        f"import sys; from edge_agent.cli import root\nfor args in {asked}:\n"
        "    try: root.main(args)\n    except SystemExit: print('loaded', args[0], *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", show], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    after = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("loaded ")]
    assert len(after) == len(asked) > 10
    heavy = {"asyncio", "sqlite3", "rich", "tomllib", "paho", "serialx", "pymodbus", "drivers", "logging", "ssl"}
    for name, *loaded in after:
        assert "click" in loaded
        assert not heavy & set(loaded), name


def test_a_reader_that_has_seen_enough_is_no_failure(environ: dict[str, str], command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    child = subprocess.Popen([*command, "--help"], env=environ, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 0
    assert said == b""
