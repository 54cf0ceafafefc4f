"""A damaged configuration never silences a gateway, and never lets it run on half of one.

EDGE_CONFIG_DAMAGE corruptions by seed (scripts/evidence: 2 000), EDGE_CUT_SEED. One is made again from (seed, index).
"""

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.profile import SHIPPED_DIR
from edge_agent import last_good
from edge_agent.config.load import load
from edge_agent.config.model import Config
from edge_agent.last_good import InForce, in_force, keep, read
from edge_agent.model import Clock, Instant
from tests.proof.site import note

COUNT = int(os.environ.get("EDGE_CONFIG_DAMAGE", "100"))
SEED = int(os.environ.get("EDGE_CUT_SEED", "20261125"))
THEN = Instant("b00t", 1, 1_795_492_800_000_000_000, Clock.SYNCED)
CONFIG = """# XX制衣厂
profile_dirs = ["{site}/profiles"]
[gateway]
id = "ZG-36070-0123"
name = "XX制衣厂"
data_dir = "{site}/data"
run_dir = "/run/edge-agent"

[board]
gpio = "fake"
fake_socket = "/run/edge-agent/board.sock"
outputs = {{ buzzer = 17, fire_lamp = 27, fault_lamp = 22, link_lamp = 23 }}

[[panel]]
id = "panel1"   # in the gate house
profile = "gst-layer-bus"
port = "/dev/zg/usb-1-1.1:1.0"

[[panel]]
id = "panel2"
profile = "our-own"
port = "/dev/zg/usb-1-1.2:1.0"

[[contact]]
id = "pump-room"
line = 5
kind = "fire_manual"

[[uplink]]
id = "county"
host = "127.0.0.1"
port = 1883

[[zone]]
id = "hall"
points = ["panel1/*", "pump-room"]
"""
METER = '[[bus]]\nid = "rtu1"\nport = "/dev/zg/uart0"\n[[bus.device]]\nid = "meter1"\nprofile = "eastron-sdm630"\n'


class Site:
    """A configuration in a file and in conf.d, a profile of its own, a data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.home = directory, directory / "data"
        self.file, self.profile = directory / "config.toml", directory / "profiles" / "our-own.toml"
        for made in (self.home, directory / "conf.d", self.profile.parent):
            made.mkdir()
        self.file.write_text(CONFIG.format(site=directory), "utf-8")
        (directory / "conf.d" / "20-meter.toml").write_text(METER, "utf-8")
        shutil.copy(SHIPPED_DIR / "gst-layer-bus.toml", self.profile)

    def keep(self, whole: bool = True) -> bool:
        return keep(self.directory, load(self.directory), self.home, THEN, whole)

    def in_force(self) -> InForce:
        return in_force(self.directory, environ={"STATE_DIRECTORY": str(self.home)})

    def config(self) -> Config:
        config = self.in_force().config
        assert config is not None
        return config

    def codes(self) -> list[str]:
        return [finding.code for finding in self.in_force().loaded.findings if finding.severity == "error"]

    def rewrite(self, change: Callable[[str], str], *, same_time: bool = False) -> None:
        """As somebody who edits, or (`same_time`) as a medium that goes bad under the file."""
        self.overwrite(self.file, change(self.file.read_text("utf-8")).encode(), same_time=same_time)

    @staticmethod
    def overwrite(path: Path, content: bytes, *, same_time: bool) -> None:
        before = path.stat()
        path.write_bytes(content)
        times = (before.st_atime_ns, before.st_mtime_ns if same_time else before.st_mtime_ns + 10**9)
        os.utime(path, ns=times)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# --- damage, by the hundred ---------------------------------------------------------------------------------------------


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def cut_between_lines(content: bytes, chance: random.Random) -> bytes:
    """The worst of all: what is left is a sound file."""
    lines = content.splitlines(keepends=True)
    return b"".join(lines[: chance.randrange(len(lines))])


def zero_tail(content: bytes, chance: random.Random) -> bytes:
    left = chance.randrange(len(content))
    return content[:left] + bytes(len(content) - left)


def empty(content: bytes, chance: random.Random) -> bytes:
    return b""


def flip(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def lose_block(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    lost = min(512, len(content) - at)
    return content[:at] + chance.choice([bytes(lost), b"\xff" * lost, chance.randbytes(lost)]) + content[at + lost :]


CUT_OFF = (cut, cut_between_lines, zero_tail, empty)  # a file written when the power went: its time is a new one
ROTTEN = (flip, lose_block)  # a medium that goes bad: nobody wrote, the time stays


def damage(path: Path, index: int) -> str:
    """Damage number `index`. Returns what it was."""
    chance = random.Random(f"{SEED}/{index}")
    how = chance.choice([*CUT_OFF, *ROTTEN, "remove", "directory"])
    if not callable(how):
        path.unlink()
        if how == "directory":
            path.mkdir()
        return str(how)
    Site.overwrite(path, how(path.read_bytes(), chance), same_time=how in ROTTEN)
    return how.__name__


def restore(path: Path, content: bytes, mtime_ns: int) -> None:
    if path.is_dir():
        path.rmdir()
    path.write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def test_no_damage_to_the_configuration_silences_the_gateway_or_halves_it(site: Site) -> None:
    accepted, content, mtime_ns = load(site.directory).config, site.file.read_bytes(), site.file.stat().st_mtime_ns
    assert accepted is not None
    site.keep()
    found: Counter[str] = Counter()
    for index in range(COUNT):
        how = damage(site.file, index)
        now = site.in_force()
        assert now.config is not None, f"seed {SEED} index {index} {how}: it would not start"
        as_accepted = replace(now.config, profile_dirs=accepted.profile_dirs)
        assert as_accepted == accepted, f"seed {SEED} index {index} {how}: it would run on something else"
        assert now.stands_in == bool(now.why())
        assert now.stands_in or load(site.directory).config == accepted
        found[f"{how}, {'told' if now.stands_in else 'says the same'}"] += 1
        restore(site.file, content, mtime_ns)
    assert not site.in_force().stands_in
    note("config-damage", {"count": COUNT, "not_started": 0, "half_a_configuration": 0, "by_damage": found})


def test_without_the_comparison_half_a_configuration_would_be_run_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: whatever can be loaded is believed."""
    accepted, content, mtime_ns = load(site.directory).config, site.file.read_bytes(), site.file.stat().st_mtime_ns
    site.keep()
    monkeypatch.setattr(last_good, "_damage", lambda copy, loaded: ())
    halved = 0
    for index in range(100):
        damage(site.file, index)
        now = site.in_force()
        halved += not now.stands_in and now.config != accepted
        restore(site.file, content, mtime_ns)
    assert halved > 5


# --- one by one ---------------------------------------------------------------------------------------------------------


def test_a_fresh_box_has_nothing_to_stand_on(site: Site) -> None:
    site.rewrite(lambda text: text[:40])
    now = site.in_force()
    assert now.config is None
    assert now.why() is None
    assert not now.stands_in


def test_the_copy_is_written_once_for_a_change_and_is_the_same_bytes(site: Site) -> None:
    assert site.keep()
    assert not site.keep()
    copy = read(site.home / last_good.FILE)
    assert copy is not None
    assert [one.data for one in copy.files] == [file.read_bytes() for file in load(site.directory).sources]
    assert [one.data for one in copy.profiles] == [site.profile.read_bytes()]
    site.rewrite(lambda text: text + "# end\n")
    assert site.keep()
    assert not site.keep()
    Site.overwrite(site.profile, site.profile.read_bytes() + b"\n# ours\n", same_time=False)
    assert site.keep()


def test_what_could_not_be_built_whole_is_kept_only_where_there_is_nothing_better(site: Site) -> None:
    assert site.keep(whole=False)
    site.rewrite(lambda text: text + "# again\n")
    assert not site.keep(whole=False)
    assert site.keep()


@pytest.mark.parametrize(("mode", "kept"), [(0o600, 0o600), (0o640, 0o640), (0o644, 0o640)])
def test_what_only_its_owner_may_read_stays_so(site: Site, mode: int, kept: int) -> None:
    site.file.chmod(mode)
    (site.home / f"{last_good.FILE}.new").touch(0o666)  # left by a power cut
    site.keep()
    assert (site.home / last_good.FILE).stat().st_mode & 0o777 == kept


def test_an_edit_counts_and_what_it_no_longer_names_can_be_told(site: Site) -> None:
    site.keep()
    site.rewrite(lambda text: text.replace("panel2", "panel3"))
    now = site.in_force()
    assert not now.stands_in
    before = now.before()
    assert before is not None
    assert now.config is not None
    assert [[panel.id for panel in config.panels] for config in (before, now.config)] == [
        ["panel1", "panel2"],
        ["panel1", "panel3"],
    ]
    site.keep()
    assert site.in_force().before() is None


def test_an_end_removed_on_purpose_is_said_by_a_comment(site: Site) -> None:
    site.keep()
    site.rewrite(lambda text: text[: text.index("[[zone]]")])
    assert site.codes() == ["cut_short"]
    assert site.config().zones
    site.rewrite(lambda text: text + "# end\n")
    assert site.codes() == []
    assert not site.config().zones


def test_bytes_that_nobody_wrote_are_not_believed_until_somebody_says_so(site: Site) -> None:
    site.keep()
    site.rewrite(lambda text: text.replace("usb-1-1.1", "usb-1-1.3"), same_time=True)
    assert site.codes() == ["rotted"]
    assert site.config().panels[0].port == "/dev/zg/usb-1-1.1:1.0"
    site.file.touch()
    assert site.codes() == []
    assert site.config().panels[0].port == "/dev/zg/usb-1-1.3:1.0"


def test_damage_in_a_comment_changes_nothing(site: Site) -> None:
    site.keep()
    site.rewrite(lambda text: text.replace("gate house", "gate mouse"), same_time=True)
    assert not site.in_force().stands_in


def test_a_file_in_conf_d_is_held_to_the_same(site: Site) -> None:
    site.keep()
    meter = site.directory / "conf.d" / "20-meter.toml"
    Site.overwrite(meter, METER.partition("[[bus.device]]")[0].encode(), same_time=False)
    assert site.codes() == ["cut_short"]
    assert [device.id for bus in site.config().buses for device in bus.devices] == ["meter1"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: content.partition(b"[device_types]")[0], "cut_short"),
        (lambda content: b"\xff" * len(content), "broken_profile"),
        (lambda content: content.replace(b"30.0", b"90.0"), "rotted"),
        (None, "lost_profile"),
    ],
)
def test_a_damaged_profile_of_the_site_brings_back_the_accepted_one(
    site: Site, change: Callable[[bytes], bytes] | None, code: str
) -> None:
    accepted = site.profile.read_bytes()
    site.keep()
    if change is None:
        site.profile.unlink()
    else:
        Site.overwrite(site.profile, change(accepted), same_time=code == "rotted")
    assert code in site.codes()
    now = site.in_force()
    assert now.config is not None
    assert now.copy is not None
    (directory,) = now.config.profile_dirs
    assert (directory / site.profile.name).read_bytes() == accepted
    shutil.rmtree(directory)  # a card that lost it too
    last_good.unpack(now.copy)
    assert (directory / site.profile.name).read_bytes() == accepted


def test_an_override_that_was_removed_is_an_edit_where_a_shipped_profile_has_the_name(site: Site) -> None:
    site.profile.rename(site.profile.with_name("gst-layer-bus.toml"))
    site.rewrite(lambda text: text.replace("our-own", "gst-layer-bus"))
    site.keep()
    site.profile.with_name("gst-layer-bus.toml").unlink()
    assert not site.in_force().stands_in


def test_profiles_of_an_earlier_copy_do_not_come_back(site: Site) -> None:
    site.keep()
    other = site.profile.with_name("other.toml")
    site.profile.rename(other)
    site.rewrite(lambda text: text.replace("our-own", "other"))
    site.keep()
    site.file.unlink()
    assert [path.name for path in site.config().profile_dirs[0].iterdir()] == ["other.toml"]


def test_a_command_that_only_looks_writes_nothing(site: Site) -> None:
    """Root's status, while the services stand on the copy, must not leave files there that they may not read."""
    site.keep()
    shutil.rmtree(site.home / last_good.PROFILES)
    site.file.unlink()
    assert site.in_force().stands_in
    assert [path.name for path in site.home.iterdir()] == [last_good.FILE]


def test_a_copy_of_another_site_or_a_damaged_copy_is_none(site: Site, tmp_path: Path) -> None:
    site.keep()
    path, sound = site.home / last_good.FILE, (site.home / last_good.FILE).read_bytes()
    kept, refused = read(path), 0
    elsewhere = in_force(tmp_path / "elsewhere", environ={"STATE_DIRECTORY": str(site.home)})
    assert elsewhere.config is None
    site.file.unlink()
    for index in range(100):
        chance = random.Random(f"{SEED}/{index}")
        path.write_bytes(chance.choice([*CUT_OFF, *ROTTEN])(sound, chance))
        found = read(path)
        # What lost its last line end, or has a B for a b in its seal, is whole.
        assert found in (None, kept), f"seed {SEED} index {index}"
        refused += found is None
    assert refused > 90
    path.write_bytes(sound[: len(sound) // 2])
    assert site.in_force().config is None
    path.write_bytes(sound)
    assert site.in_force().stands_in


def test_the_damaged_file_may_still_say_where_its_copy_is(site: Site) -> None:
    site.keep()
    site.rewrite(lambda text: text.replace("[[contact]]", "[[contact"))
    assert in_force(site.directory, environ={}).stands_in


def test_the_first_thing_that_is_wrong_and_the_date_are_told(site: Site) -> None:
    site.keep()
    site.rewrite(lambda text: text.replace('profile = "gst-layer-bus"', 'profile = "gst-layer-bus'))
    why = site.in_force().why()
    assert why is not None
    assert (why["code"], why["line"], why["errors"]) == ("syntax_unclosed_quote", 16, 1)
    assert (why["accepted_wall_ns"], why["accepted_clock"]) == (THEN.wall_ns, "synced")


def test_sound_files_of_which_nothing_can_be_watched_give_way_to_the_copy_of_the_same_directories(site: Site) -> None:
    site.keep()
    site.rewrite(lambda text: text.replace("gst-layer-bus", "gst-layer-buss"))
    instead = site.in_force().instead(ValueError("no such profile"))
    assert instead is not None
    assert instead.config is not None
    assert [panel.profile for panel in instead.config.panels] == ["gst-layer-bus", "our-own"]
    why = instead.why()
    assert why is not None
    assert (why["code"], why["file"]) == ("nothing_to_watch", str(site.file))
    assert instead.instead(ValueError("again")) is None
    site.rewrite(lambda text: text.replace("/data", "/elsewhere"))
    assert site.in_force().instead(ValueError("no such profile")) is None  # the uplink would read another journal
