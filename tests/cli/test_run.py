"""run and uplink as systemd starts them: checked first, stopped cleanly, and never a word of Chinese in the log."""

import asyncio
import fcntl
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from edge_agent.cli_run import _serve, log_to_stderr
from edge_agent.local_api import LocalClient

Cli = Callable[..., Result]
Until = Callable[[Callable[[], bool]], None]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "config.toml").write_text(
        f'[gateway]\nid = "gw-1"\nname = "一号楼"\ndata_dir = "{tmp_path}/data"\nrun_dir = "{tmp_path}/run"\n'
        '[[uplink]]\nid = "county"\nhost = "127.0.0.1"\nport = 1\n',
        "utf-8",
    )
    return tmp_path


@pytest.fixture
def start(environ: dict[str, str], command: list[str]) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def spawn(*args: str, **env: str) -> "subprocess.Popen[bytes]":
        child = subprocess.Popen(
            [*command, *args], env={**environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(child)
        return child

    yield spawn
    for child in started:
        child.kill()
        child.communicate()


def core_answers(cli: Cli, site: Path) -> Callable[[], bool]:
    return lambda: "gateway" in cli("status", "--json", "--config", str(site)).stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_core_answers_and_stops_cleanly(
    cli: Cli, site: Path, start: Start, until: Until, number: int
) -> None:
    child = start("run", "--config", str(site), LC_ALL="zh_CN.UTF-8")
    until(core_answers(cli, site))
    assert json.loads(cli("status", "--json", "--config", str(site)).stdout)["gateway"] == "gw-1"
    assert json.loads(cli("alarms", "--json", "--config", str(site)).stdout) == []
    child.send_signal(number)
    _, log = child.communicate(timeout=60)
    assert child.returncode == 0
    assert b"stopping" in log
    assert not (site / "run" / "core.sock").exists()
    kinds = [record["body"]["kind"] for record in json.loads(cli("events", "--json", "--config", str(site)).stdout)]
    assert "boot" in kinds


def test_the_uplink_stops_cleanly_with_neither_core_nor_centre(site: Path, start: Start, until: Until) -> None:
    (site / "data").mkdir()
    child = start("uplink", "--config", str(site))
    until((site / "data" / "delivery.db").exists)
    child.send_signal(signal.SIGTERM)
    _, log = child.communicate(timeout=60)
    assert child.returncode == 0, log


def test_a_second_core_is_refused_and_says_why(cli: Cli, site: Path, start: Start, until: Until) -> None:
    start("run", "--config", str(site))
    until(core_answers(cli, site))
    second = start("run", "--config", str(site), "--lang", "zh")
    _, said = second.communicate(timeout=60)
    assert second.returncode == 2
    assert "另一个核心进程" in said.decode()
    assert cli("status", "--config", str(site)).exit_code in (0, 1, 2)
    assert (site / "run" / "core.sock").exists()  # the first one still listens


@pytest.mark.parametrize("service", ["run", "uplink"])
def test_a_wrong_configuration_starts_nothing_and_exits_78(cli: Cli, tmp_path: Path, service: str) -> None:
    (tmp_path / "config.toml").write_text('[gateway]\nid = ""\n[[panel]]\nid = "p"\n', "utf-8")
    done = cli(service, "--config", str(tmp_path), "--lang", "zh")
    assert done.exit_code == 78
    assert len(done.stderr.splitlines()) > 1  # every fault at once
    assert "错误" in done.stderr
    assert cli(service, "--config", str(tmp_path / "none")).exit_code == 78


def test_a_configuration_that_went_bad_is_told_and_the_last_good_one_runs(
    cli: Cli, site: Path, start: Start, until: Until
) -> None:
    child = start("run", "--config", str(site))
    until((site / "data" / "config.good").exists)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    sound = (site / "config.toml").read_text("utf-8")
    (site / "config.toml").write_text(sound.replace('"county"', '"county'), "utf-8")
    checked = cli("config", "check", str(site), "--lang", "zh")
    assert checked.exit_code == 78
    assert "上次有效的配置" in checked.stdout
    assert (
        json.loads(cli("config", "check", str(site), "--json").stdout)["stands_in"]["code"] == "syntax_unclosed_quote"
    )
    uplink = start("uplink", "--config", str(site))
    core = start("run", "--config", str(site), "--lang", "en")
    until(core_answers(cli, site))  # it is found although the file does not say where
    until((site / "data" / "delivery.db").exists)
    said = cli("status", "--config", str(site), "--lang", "zh")
    assert said.exit_code == 2
    assert "使用 20" in said.stdout
    assert "config.toml:7" in said.stdout
    faults = json.loads(cli("alarms", "--json", "--config", str(site)).stdout)
    assert [alarm["point"] for alarm in faults if alarm["kind"] == "fault"] == ["config"]
    for service in (uplink, core):
        assert service.poll() is None
        service.send_signal(signal.SIGTERM)
    log = core.communicate(timeout=30)[1].decode()
    assert "last good one: accepted 20" in log
    assert "config last good stands in" in log
    kept = json.loads(cli("events", "--json", "--config", str(site)).stdout)
    (told,) = [record["body"] for record in kept if record["body"]["point"] == "config"]
    assert told["fields"]["reason"] == "last_good"
    assert (told["fields"]["code"], told["fields"]["line"]) == ("syntax_unclosed_quote", 7)


def test_a_core_that_could_watch_nothing_of_an_edit_goes_on_with_what_it_had(
    cli: Cli, site: Path, start: Start, until: Until
) -> None:
    file = site / "config.toml"
    panel = '[[panel]]\nid = "p1"\nprofile = "gst-layer-bus"\nport = "/dev/null"\n'
    file.write_text(file.read_text("utf-8") + panel, "utf-8")
    child = start("run", "--config", str(site))
    until((site / "data" / "config.good").exists)
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=30)
    file.write_text(file.read_text("utf-8").replace("gst-layer-bus", "gst-layer-buss"), "utf-8")
    child = start("run", "--config", str(site))
    until(core_answers(cli, site))
    state = json.loads(cli("status", "--json", "--config", str(site)).stdout)
    assert state["config"]["code"] == "nothing_to_watch"
    assert "p1" in [source["id"] for source in state["sources"]]
    child.send_signal(signal.SIGTERM)
    assert b"gst-layer-buss" in child.communicate(timeout=30)[1]


def test_sources_an_edited_configuration_no_longer_names_are_told(
    cli: Cli, site: Path, start: Start, until: Until
) -> None:
    sound = (site / "config.toml").read_text("utf-8")
    more = f'[board]\ngpio = "fake"\nfake_socket = "{site}/b"\n[[contact]]\nid = "door"\nline = 5\n'
    (site / "config.toml").write_text(sound + more, "utf-8")
    for _ in range(2):
        child = start("run", "--config", str(site))
        until((site / "data" / "config.good").exists)
        until(core_answers(cli, site))
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=30)
        (site / "config.toml").write_text(sound + "# end\n", "utf-8")
    events = [record["body"] for record in json.loads(cli("events", "--json", "--config", str(site)).stdout)]
    told = [event["fields"] for event in events if event["point"] == "config/sources" and event["active"]]
    assert told == [{"reason": "no_longer_watched", "sources": ["contacts"], "count": 1}]


def test_journald_gets_a_priority_on_every_line_and_only_ascii(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        end = log_to_stderr({"JOURNAL_STREAM": "8:1"})
        logging.getLogger("edge.x").warning("name=%s", "一号楼\x1b")
        try:
            raise ValueError("火警")
        except ValueError:
            logging.getLogger("edge.x").exception("worker=%s", "a")
        end()
        lines = capfd.readouterr().err.splitlines()
    finally:
        logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    assert lines[0].startswith("<4>edge.x name=\\u4e00")
    assert all(line.startswith("<3>") for line in lines[1:])
    assert len(lines) > 3
    assert all(line.isascii() for line in lines)


def test_a_person_gets_the_time_on_every_line(capfd: pytest.CaptureFixture[str]) -> None:
    try:
        end = log_to_stderr({})
        logging.getLogger("edge.x").error("name=%s", 1)
        end()
        line = capfd.readouterr().err
    finally:
        logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    assert line[:4].isdigit()
    assert "ERROR edge.x name=1" in line


def test_a_log_that_nobody_reads_holds_up_no_request(cli: Cli, site: Path, start: Start, until: Until) -> None:
    """A journald that hangs is a full pipe: the core must go on, and answer, with its log standing still."""
    child = start("run", "--config", str(site))
    until(core_answers(cli, site))
    assert child.stderr is not None
    full = fcntl.fcntl(child.stderr.fileno(), fcntl.F_SETPIPE_SZ, 4096)

    async def many() -> None:
        client = await LocalClient.connect(site / "run" / "core.sock")
        async with asyncio.timeout(60):
            for number in range(full // 20):
                await client.request("uplink_fault", dest="county", code=f"code{number}")
            assert await client.request("status")
        await client.close()

    asyncio.run(many())
    assert child.poll() is None


def test_a_profile_that_cannot_be_used_is_told_and_the_core_runs(
    cli: Cli, site: Path, start: Start, until: Until
) -> None:
    with (site / "config.toml").open("a", encoding="utf-8") as file:
        file.write(
            f'[board]\ngpio = "fake"\nfake_socket = "{site}/b"\n[[contact]]\nid = "door"\nline = 5\n'
            '[[panel]]\nid = "p1"\nprofile = "no-such"\nport = "/dev/null"\n'
        )
    checked = cli("config", "check", str(site))
    assert checked.exit_code == 78
    assert "no-such" in checked.stdout
    child = start("run", "--config", str(site))
    until(core_answers(cli, site))
    sources = json.loads(cli("status", "--json", "--config", str(site)).stdout)["sources"]
    assert [(s["id"], s["up"], s["reason"]) for s in sources if s["kind"] == "panel"] == [("p1", False, "profile")]
    child.send_signal(signal.SIGTERM)
    _, log = child.communicate(timeout=60)
    assert child.returncode == 0, log


@pytest.mark.parametrize("profile", ["no-such", "unsound"])
def test_a_core_that_could_watch_nothing_at_all_exits_78_and_says_why(
    cli: Cli, site: Path, start: Start, profile: str
) -> None:
    (site / "profiles").mkdir()
    (site / "profiles" / "unsound.toml").write_text('kind = "panel"\ncodec = "gst-layer-bus"\n')
    text = (site / "config.toml").read_text("utf-8")
    (site / "config.toml").write_text(
        f'profile_dirs = ["{site}/profiles"]\n{text}[[panel]]\nid = "p1"\nprofile = "{profile}"\nport = "/dev/null"\n',
        "utf-8",
    )
    checked = cli("config", "check", str(site))
    assert checked.exit_code == 78
    assert profile in checked.stdout
    child = start("run", "--config", str(site))
    _, said = child.communicate(timeout=60)
    assert child.returncode == 78
    assert profile.encode() in said


def test_a_service_that_ends_by_a_bug_is_a_failure() -> None:
    async def breaks() -> None:
        raise RuntimeError("a bug")

    async def refuses() -> None:
        raise KeyError("told by its owner")

    assert _serve(breaks()) == 2
    with pytest.raises(KeyError):
        _serve(refuses(), refuses=(KeyError,))


def test_a_second_signal_no_longer_waits(environ: dict[str, str]) -> None:
    code = (
        "import asyncio, sys\n"
        "from edge_agent.cli_run import _serve\n"
        "async def stubborn():\n"
        "    print('up', flush=True)\n"
        "    while True:\n"
        "        try: await asyncio.sleep(60)\n"
        "        except asyncio.CancelledError: print('asked', flush=True)\n"
        "sys.exit(_serve(stubborn()))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == b"asked\n"
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == -signal.SIGTERM
    child.stdout.close()


FORGETS = """
import gc, sys
from pathlib import Path
import edge_agent.cli_run as cli_run
from edge_agent.terminal import CliContext
site = CliContext(config_dir=Path(sys.argv[1]))
first = cli_run.load_or_complain(site)
cli_run._forget_reading()
left = sum(type(thing).__module__ == "edge_agent.config.keys" for thing in gc.get_objects())
rooms = sum(name.startswith("edge_agent.texts.") for name in sys.modules)
print(left, rooms, cli_run.text("cli.heading_options", "zh") == "选项", cli_run.load_or_complain(site).config == first.config)
"""


def test_a_running_service_holds_no_schema_and_no_words_and_can_read_again(tmp_path: Path) -> None:
    """3 MB of them otherwise, in a core that is held to 32."""
    (tmp_path / "config.toml").write_text('[gateway]\nid = "gw-1"\n', "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", FORGETS, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["0", "0", "True", "True"]
