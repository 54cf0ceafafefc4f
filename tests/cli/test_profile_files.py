"""profile new, diff, install, bundle: a profile of a site's own from beginning to contribution."""

import json
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from drivers.profile import load_file, load_profiles, try_capture
from edge_agent.profile_bundle import Redacted, redact

Cli = Callable[..., Result]
PRINTED = "火警 3号楼赣州服装厂王小明 13812345678 1-023 感烟\n12:01 FIRE ALARM JOHNS OFFICE N01L02D003\n"
PRIVATE = ("赣州", "王小明", "13812345678", "JOHNS", "OFFICE")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with the configuration of a site whose hall panel is `ours`."""
    monkeypatch.chdir(tmp_path)
    Path("config.toml").write_text(
        f'profile_dirs = ["{tmp_path}/own"]\n[gateway]\nid = "gw-1"\n'
        '[[panel]]\nid = "hall"\nprofile = "ours"\nport = "/dev/null"\n',
        "utf-8",
    )
    return tmp_path


def made(cli: Cli, like: str = "gst-crt500") -> Path:
    assert cli("profile", "new", "ours", "--like", like, "--lang", "zh").exit_code == 0
    return Path("ours.toml")


@pytest.mark.parametrize(
    "like", sorted(path.stem for path in (Path(__file__).parents[2] / "drivers/profiles").glob("*.toml"))
)
def test_a_new_profile_is_sound_with_nothing_proven_and_says_what_to_do(cli: Cli, here: Path, like: str) -> None:
    file = made(cli, like)
    profile, original = load_file(file), load_profiles(()).get(like)
    assert profile.evidence == ("template" if original.evidence == "template" else "unproven")
    assert profile.data["source"] == f"copied from {like}"
    same = {key: value for key, value in profile.data.items() if key not in ("evidence", "source")}
    assert same == {key: value for key, value in original.data.items() if key not in ("evidence", "source")}
    assert "edge-agent profile check ours.toml" in file.read_text("utf-8")
    verdict = json.loads(cli("profile", "check", str(file), "--json").stdout)[0]
    assert verdict["sound"], verdict


def test_new_overwrites_nothing_and_takes_no_odd_name(cli: Cli, here: Path) -> None:
    made(cli)
    before = Path("ours.toml").read_bytes()
    again = cli("profile", "new", "ours", "--like", "lida-ld128e", "--lang", "zh")
    assert (again.exit_code, "已存在" in again.stderr) == (2, True)
    assert Path("ours.toml").read_bytes() == before
    assert cli("profile", "new", "../ours", "--like", "lida-ld128e").exit_code == 2
    assert cli("profile", "new", "theirs", "--like", "nothing").exit_code == 2
    assert sorted(path.name for path in here.glob("*.toml")) == ["config.toml", "ours.toml"]


def test_diff_names_what_two_profiles_say_differently(cli: Cli, here: Path) -> None:
    file = made(cli)
    file.write_text(file.read_text("utf-8").replace("silence_s = ", "silence_s = 1", 1), "utf-8")
    done = cli("profile", "diff", "gst-crt500", "./ours.toml", "--json")
    changed = {change["key"]: change for change in json.loads(done.stdout)}
    assert done.exit_code == 1
    assert set(changed) == {"evidence", "source", "link.silence_s"}
    assert changed["evidence"] == {"key": "evidence", "before": "captured", "after": "unproven"}
    assert cli("profile", "diff", "./ours.toml", "./ours.toml").exit_code == 0


def test_diff_of_one_name_holds_the_sites_own_against_the_shipped_one(cli: Cli, here: Path) -> None:
    made(cli).rename("gst-crt500.toml")
    assert cli("profile", "install", "./gst-crt500.toml", "--config", str(here)).exit_code == 0
    shown = cli("profile", "diff", "gst-crt500", "--config", str(here)).stdout
    assert "- evidence = captured" in shown
    assert "+ evidence = unproven" in shown


def test_install_refuses_the_unsound_and_what_is_in_use(cli: Cli, here: Path) -> None:
    file, own = made(cli), here / "own" / "ours.toml"
    sound = file.read_text("utf-8")
    in_use = cli("profile", "install", str(file), "--config", str(here), "--lang", "zh")
    assert (in_use.exit_code, "hall" in in_use.stderr, own.exists()) == (2, True, False)
    file.write_text(sound + '[[counter_example]]\nhex = "0D DD 00 10 04 03 01 18 BB"\n', "utf-8")
    unsound = cli("profile", "install", str(file), "--config", str(here), "--force")
    assert (unsound.exit_code, own.exists()) == (2, False)
    file.write_text(sound.replace("[[counter_example]]", "[[caveat]]"), "utf-8")
    assert (
        cli("profile", "install", str(file), "--config", str(here), "--force").exit_code == 2
    )  # counter-examples are required
    file.write_text(sound, "utf-8")
    forced = cli("profile", "install", str(file), "--config", str(here), "--force", "--lang", "en")
    assert (forced.exit_code, "restart" in forced.stdout) == (0, True)
    assert own.read_text("utf-8") == sound
    assert stat.S_IMODE(own.stat().st_mode) == 0o644
    assert [path.name for path in own.parent.iterdir()] == ["ours.toml"]


def test_install_asks_for_force_where_nobody_can_tell_who_uses_the_profile(cli: Cli, here: Path) -> None:
    file, own = made(cli), here / "own" / "ours.toml"
    Path("config.toml").write_text(Path("config.toml").read_text("utf-8") + "[[panel]]\n", "utf-8")
    unsure = cli("profile", "install", str(file), "--config", str(here), "--lang", "zh")
    assert (unsure.exit_code, "配置有错误" in unsure.stderr, own.exists()) == (2, True, False)
    assert cli("profile", "install", str(file), "--config", str(here), "--force").exit_code == 0


def test_a_file_of_the_sites_own_whose_name_is_no_name_is_told(cli: Cli, here: Path) -> None:
    (here / "own").mkdir()
    (here / "own" / "我的主机.toml").write_bytes(made(cli).read_bytes())
    done = cli("profile", "list", "--config", str(here), "--lang", "zh")
    assert (done.exit_code, "我的主机" in done.stderr) == (1, True)


def test_a_directory_nobody_may_write_is_told(cli: Cli, here: Path) -> None:
    (here / "own").write_text("a file where the directory should be", "utf-8")
    done = cli("profile", "install", str(made(cli)), "--config", str(here), "--force")
    assert done.exit_code == 2
    assert "own" in done.stderr


def test_a_profile_of_a_newer_schema_is_refused_by_name(cli: Cli, here: Path) -> None:
    file = made(cli)
    file.write_text(file.read_text("utf-8").replace("schema = 1", "schema = 2"), "utf-8")
    done = cli("profile", "check", str(file), "--json")
    assert done.exit_code == 2
    assert [finding["code"] for finding in json.loads(done.stdout)[0]["findings"]] == ["bad_schema"]


def test_a_bundle_keeps_the_meaning_and_no_names(cli: Cli, here: Path) -> None:
    capture = here / "capture.bin"
    capture.write_bytes(PRINTED.encode("gb18030"))
    done = cli("profile", "bundle", "generic-printer", str(capture), "--raw", "--json")
    assert done.exit_code == 0
    with zipfile.ZipFile("generic-printer.zip") as archive:
        assert sorted(archive.namelist()) == ["capture-1.hex", "profile.toml", "report.json"]
        kept = bytes.fromhex(archive.read("capture-1.hex").decode())
        report = json.loads(archive.read("report.json"))
    text = kept.decode("gb18030")
    assert [name for name in PRIVATE if name in text] == []
    assert len(kept) == len(PRINTED.encode("gb18030"))
    assert "感烟" in text
    assert "FIRE ALARM" in text
    assert report["captures"][0]["replaced"] == 4
    assert report["captures"][0]["read"].get("fire")
    assert json.loads(done.stdout)["file"] == "generic-printer.zip"
    assert cli("profile", "bundle", "generic-printer", str(capture)).exit_code == 2  # the archive is there already


def test_a_frame_whose_checksum_covers_a_name_is_left_out() -> None:
    profile = load_profiles(()).get("gst-layer-bus")
    named = [hexed for hexed in _examples(profile.data) if "地下室东" in str(try_capture(profile, hexed))]
    assert named
    clean = redact(profile, b"".join(named))
    assert (clean.data, clean.dropped) == (b"", len(named))


def test_a_name_that_cannot_be_found_in_the_bytes_takes_its_frame_with_it() -> None:
    printed = (
        "火警 3号楼赣州服装厂王小明 1-023 感烟\n".encode()
    )  # the codec reads GB18030: of UTF-8 it shows other words
    clean = redact(load_profiles(()).get("generic-printer"), printed)
    assert (clean.data, clean.dropped) == (b"", 1)


def _examples(data: Mapping[str, Any]) -> list[bytes]:
    return [bytes.fromhex(table["hex"]) for table in data["example"]]


def test_an_example_without_words_is_kept_byte_for_byte() -> None:
    """Binary frames look like Chinese or like telephone numbers often enough."""
    for name in ("aorina-oxx20", "gst-crt500", "jb3208-crt", "jbf-193k", "lida-ld128e", "siemens-ct11"):
        profile = load_profiles(()).get(name)
        for data in _examples(profile.data):
            assert redact(profile, data) == Redacted(data, 0, 0), name
