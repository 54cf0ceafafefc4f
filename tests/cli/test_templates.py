"""Templates: profiles whose numbers are made up. No site can use one; what is made of one and filled in works to the end."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from drivers.profile import ProfileError, load_file, load_profiles, require_facts
from edge_agent.clock import SystemClock
from edge_agent.config.model import Bus, Device
from edge_agent.core import Core
from simulators.modbus_slave import Slave, TcpServer
from tests.core.house import Site

Cli = Callable[..., Result]
TEMPLATES = [profile.name for profile in load_profiles(()).list() if profile.evidence == "template"]
PORTS = '[[bus]]\nid = "bus1"\nhost = "127.0.0.1"\n[[bus.device]]\nid = "room"\nprofile = "{}"\naddress = 1\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with the configuration of a site that watches `room` through the profile `ours`."""
    monkeypatch.chdir(tmp_path)
    configure("ours")
    return tmp_path


def configure(profile: str) -> None:
    head = f'profile_dirs = ["{Path.cwd()}/own"]\n[gateway]\nid = "gw-1"\n'
    Path("config.toml").write_text(head + PORTS.format(profile), "utf-8")


def filled_in() -> str:
    """`pump-room-plc` after the point table of a PLC that has one pressure, at register 40 in kPa, and says what pump 1 does."""
    body = Path("ours.toml").read_text("utf-8")
    tables = re.split(r"(?m)^(?=\[\[)", body)
    kept = [one for one in tables if not re.search(r'(?m)^name = "(sprinkler|tank|pump|not_auto|mains)|^hex', one)]
    plc = "".join(kept).replace("address = 0", "address = 40").replace('evidence = "template"', 'evidence = "unproven"')
    return plc + (
        '[[value]]\nname = "pump_1_running"\nzh = "1 号泵运行"\nen = "Pump 1 running"\nfc = 3\naddress = 41\n'
        'mask = 1\ntype = "bool"\nkind = "start"\n'
        '[[example]]\nhex = "01 03 00 28 00 01 04 02 01 03 02 01 A4 B8 6F"\nexpect = { hydrant_pressure_mpa = 0.42 }\n'
        '[[counter_example]]\nhex = "01 03 00 28 00 01 04 02 01 83 02 C0 F1"\n'
    )


def test_there_are_templates() -> None:
    assert {"elec-monitor-generic", "pump-room-plc", "radio-concentrator", "zp2-modbus"} <= set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_not_for_sites_and_neither_is_one_in_which_only_the_word_was_changed(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(ProfileError) as refused:
        load_profiles(()).for_site(name)
    assert refused.value.code == "template"
    shipped = load_profiles(()).get(name).path.read_text("utf-8")
    (tmp_path / "ours.toml").write_text(
        re.sub(r'(?m)^(zh|en|name) = "', r'\1 = "x', shipped.replace('"template"', '"document"')), "utf-8"
    )
    with pytest.raises(ProfileError) as refused:
        load_profiles([tmp_path]).for_site("ours")
    assert (refused.value.code, refused.value.params["template"]) == ("still_template", name)


def test_every_other_shipped_profile_is_for_sites_and_none_looks_like_a_template(tmp_path: Path) -> None:
    others = [profile for profile in load_profiles(()).list() if profile.evidence != "template"]
    assert len(others) > 30
    for profile in others:
        require_facts(load_file(profile.path))  # raises; as if it were a site's own


@pytest.mark.parametrize(("lang", "word"), [("zh", "是样板"), ("en", "is a template")])
def test_decode_says_beside_the_output_that_the_numbers_of_a_template_are_made_up(
    cli: Cli, lang: str, word: str
) -> None:
    for name in TEMPLATES:
        shown = cli("--lang", lang, "decode", name, "01 83 02 C0 F1", "--json")
        assert word in shown.stderr
        json.loads(shown.stdout)
    assert word not in cli("--lang", lang, "decode", "ks-breaker", "01 83 02 C0 F1").stderr


@pytest.mark.parametrize(("lang", "word"), [("zh", "样板"), ("en", "template")])
def test_config_check_refuses_a_template_and_says_what_to_do(cli: Cli, here: Path, lang: str, word: str) -> None:
    configure("pump-room-plc")
    done = cli("config", "check", "--config", str(here), "--lang", lang)
    assert done.exit_code == 78
    assert word in done.stdout
    assert "edge-agent profile new" in done.stdout
    found = json.loads(cli("config", "check", "--config", str(here), "--json").stdout)["findings"]
    assert [(one["code"], one["key"]) for one in found] == [("unsound_profile", "bus[bus1].device[room].profile")]


@pytest.mark.parametrize(("lang", "word"), [("zh", "样板"), ("en", "template")])
def test_list_check_and_try_show_what_it_is(cli: Cli, here: Path, lang: str, word: str) -> None:
    listed = cli("profile", "list", "--lang", lang).stdout
    assert [word in line for line in listed.splitlines() if line.startswith("pump-room-plc")] == [True]
    checked = cli("profile", "check", str(load_profiles(()).get("pump-room-plc").path), "--lang", lang)
    assert (checked.exit_code, word in checked.stdout) == (1, True)
    tried = cli("profile", "try", "pump-room-plc", "01 03 00 00 00 01 84 0A 01 03 02 01 A4 B8 6F", "--lang", lang)
    assert (word in tried.stderr, word in tried.stdout) == (True, False)


def test_what_is_made_of_a_template_is_refused_until_it_is_filled_in(cli: Cli, here: Path) -> None:
    assert cli("profile", "new", "ours", "--like", "pump-room-plc").exit_code == 0
    made = Path("ours.toml").read_text("utf-8")
    assert load_file(Path("ours.toml")).evidence == "template"
    assert 'evidence = "unproven"' in made  # the steps say so
    refused = cli("profile", "install", "ours.toml", "--config", str(here), "--lang", "en")
    assert (refused.exit_code, "made up" in refused.stderr) == (2, True)
    Path("ours.toml").write_text(made.replace('evidence = "template"', 'evidence = "unproven"'), "utf-8")
    refused = cli("profile", "install", "ours.toml", "--config", str(here), "--lang", "en")
    assert (refused.exit_code, "made up" in refused.stderr) == (2, True)
    Path("own").mkdir()
    Path("ours.toml").rename("own/ours.toml")  # past the tool
    assert cli("config", "check", "--config", str(here)).exit_code == 78


def test_what_is_left_of_a_template_is_named(cli: Cli, here: Path) -> None:
    cli("profile", "new", "ours", "--like", "pump-room-plc")
    made = Path("ours.toml").read_text("utf-8").replace('"template"', '"unproven"')
    Path("ours.toml").write_text(made.replace("address = 0", "address = 40"), "utf-8")
    [verdict] = json.loads(cli("profile", "check", "ours.toml", "--json").stdout)
    [left] = [one["params"] for one in verdict["findings"] if one["code"] == "left_of_template"]
    assert left["template"] == "pump-room-plc"
    assert "tank_level_m" in left["names"]
    assert "hydrant_pressure_mpa" not in left["names"]


def test_a_filled_in_profile_is_checked_installed_and_read_from_a_real_server(cli: Cli, here: Path) -> None:
    cli("profile", "new", "ours", "--like", "pump-room-plc")
    Path("ours.toml").write_text(filled_in(), "utf-8")
    [verdict] = json.loads(cli("profile", "check", "ours.toml", "--json").stdout)
    assert [one["code"] for one in verdict["findings"]] == ["unproven", "untested"]
    assert cli("profile", "install", "ours.toml", "--config", str(here), "--force").exit_code == 0
    assert cli("config", "check", "--config", str(here)).exit_code == 0

    async def main() -> None:
        site, server = Site(), TcpServer([Slave(1, holding={40: 420, 41: 1})])
        port = await server.start()
        device = Device(id="room", profile="ours", address=1)
        site.set(
            buses=(Bus(id="bus1", host="127.0.0.1", tcp_port=port, devices=(device,)),), profile_dirs=(here / "own",)
        )
        try:
            async with site.running() as house:

                def read() -> dict[str, object]:
                    return {one["id"]: one["value"] for one in house.core.points.snapshot()}

                await house.until(lambda: read().get("room/pump_1_running") is True, "the pump is seen to run")
                assert read()["room/hydrant_pressure_mpa"] == pytest.approx(0.42)
        finally:
            await server.stop()
            site.remove()

    asyncio.run(main())


def test_a_core_watches_nothing_through_a_template_says_so_and_runs_the_rest() -> None:
    async def main() -> None:
        site, server = Site(), TcpServer([Slave(1, holding={0: 420})])
        port = await server.start()
        device = Device(id="room", profile="pump-room-plc", address=1)
        site.set(buses=(Bus(id="bus1", host="127.0.0.1", tcp_port=port, devices=(device,)),))
        try:
            async with site.running() as house:
                await house.until(
                    lambda: house.source("room")["reason"] == "profile", "the device is told as not watched"
                )
                assert not [one for one in house.core.points.snapshot() if one["id"].startswith("room/")]
            kept = [
                one for one in await site.records() if one.get("source") == "room" or one["point"].startswith("room")
            ]
            assert any(one["kind"] in ("fault", "link") and one["active"] for one in kept)
            site.set(contacts=())
            with pytest.raises(ProfileError, match="template"):  # nothing else is there to watch
                Core(site.config, SystemClock())
        finally:
            await server.stop()
            site.remove()

    asyncio.run(main())
