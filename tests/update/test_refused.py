"""What is no update for this gateway is refused by name, and touches nothing that runs."""

import json
import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent import __version__
from edge_agent.texts import LANGUAGES
from edge_agent.update.bundle import BUNDLE_BYTES_MAX, MANIFEST, SIGNATURES, WHEELS
from edge_agent.update.state import BUNDLE
from edge_agent.update.words import outcome
from provisioning import update
from tests.update.maker import Maker, flip_signature, forge, members, repack, write_wheel
from tests.update.stand import Stand, tree

Make = Callable[[Maker], Path]


def altered(maker: Maker) -> Path:
    """The counter written up after it was signed."""
    bundle = maker.bundle()
    content = members(bundle)
    manifest = json.loads(content[MANIFEST])
    return repack(bundle, {**content, MANIFEST: json.dumps({**manifest, "counter": 99}).encode()})


def other_wheel(maker: Maker) -> Path:
    """One byte of the wheel."""
    bundle = maker.bundle()
    content = members(bundle)
    name = next(name for name in content if name.startswith(WHEELS))
    return repack(bundle, {**content, name: content[name][:-1] + b"\1"})


def cut(maker: Maker) -> Path:
    bundle = maker.bundle()
    os.truncate(bundle, bundle.stat().st_size // 2)
    return bundle


def named(name: str, **how: int) -> Make:
    """A member more, under a name that leads elsewhere."""

    def make(maker: Maker) -> Path:
        bundle = maker.bundle()
        content = members(bundle)
        with zipfile.ZipFile(bundle, "a") as archive:
            member = zipfile.ZipInfo(name)
            member.external_attr = how.get("mode", 0o100644) << 16
            archive.writestr(member, b"/etc/passwd")
        assert len(members(bundle)) == len(content) + 1
        return bundle

    return make


def in_wheel(name: str, mode: int = 0o100644) -> Make:
    """Signed by all: a wheel that would write, or point, outside of its slot."""

    def make(maker: Maker) -> Path:
        wheel = write_wheel(maker.wheel(), "9.1.0", {"edge_agent/__init__.py": ""})
        with zipfile.ZipFile(wheel, "a") as archive:
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, b"/etc")
        return forge(maker, maker.bundle(), wheel)

    return make


def bomb(maker: Maker) -> Path:
    """64 MB of nothing in some 60 KB."""
    wheel = write_wheel(maker.wheel(), "9.1.0", {"edge_agent/pad.bin": "\0" * (64 << 20)})
    assert wheel.stat().st_size < 100_000
    return forge(maker, maker.bundle(), wheel)


def large(maker: Maker) -> Path:
    bundle = maker.bundle()
    os.truncate(bundle, BUNDLE_BYTES_MAX + 1)
    return bundle


def text(maker: Maker) -> Path:
    (bundle := maker.place / "no-bundle").write_text("[gateway]\n")
    return bundle


def with_words(**words: object) -> Make:
    return lambda maker: maker.bundle(words=words)


def meant(**how: object) -> Make:
    return lambda maker: maker.bundle(**how)  # type: ignore[arg-type]


def marks(count: int) -> Make:
    """Signatures nobody could have made."""
    one = {"key": "0" * 64, "mark": ""}
    return lambda maker: repack(
        bundle := maker.bundle(), {**members(bundle), SIGNATURES: json.dumps([one] * count).encode()}
    )


BEFORE = [  # what is refused before anything of it is unpacked
    ("signature", lambda maker: flip_signature(maker.bundle())),
    ("signature", altered),
    ("few_signatures", meant(signers=("vendor",))),
    ("few_signatures", meant(signers=())),
    ("few_signatures", meant(signers=("vendor", "vendor"))),
    ("few_signatures", meant(signers=("vendor", "stranger"))),
    ("unknown_key", meant(signers=("stranger",))),
    ("downgrade", meant(counter=3)),
    ("board", meant(boards=("Raspberry Pi 4",))),
    ("machine", meant(machines=("riscv64",))),
    ("python", meant(pythons=("3.10",))),
    ("from_version", meant(min_version="5.0")),
    ("already_running", meant(version=__version__)),
    ("no_way_back", with_words(schema=2)),
    ("cut_short", cut),
    ("not_a_bundle", text),
    ("too_large", large),
    ("malformed", marks(17)),
    ("path", named("/etc/evil")),
    ("path", named("wheels/../../evil")),
    ("path", named("wheels\\..\\evil")),
    ("path", named("wheels/evil", mode=stat.S_IFLNK | 0o777)),
    ("malformed", named("wheels/more.whl")),
]
AFTER = [  # what is found while the idle slot is filled and tested
    ("damaged", other_wheel),
    ("path", in_wheel("../../../../../../evil.py")),
    ("path", in_wheel("/tmp/evil.py")),
    ("path", in_wheel("edge_agent/etc", mode=stat.S_IFLNK | 0o777)),
    ("path", in_wheel("edge_agent/etc/", mode=stat.S_IFLNK | 0o777)),
    ("path", in_wheel("edge_agent/etc", mode=stat.S_IFDIR | 0o755)),
    ("malformed", in_wheel("x-1.data/scripts/evil")),
    ("too_large", bomb),
    ("self_test", with_words(said="8.8.8")),
    ("self_test", lambda maker: forge(maker, maker.bundle(), write_wheel(maker.wheel(), "9.1.0", {"a.py": "def"}))),
    ("config", with_words(config=78)),
]


@pytest.mark.parametrize(
    ("code", "make"), [*BEFORE, *AFTER], ids=[f"{n}-{code}" for n, (code, _) in enumerate([*BEFORE, *AFTER])]
)
def test_it_is_refused_by_name_and_nothing_that_runs_is_touched(
    stand: Stand, maker: Maker, code: str, make: Make
) -> None:
    stand.desk.directory.mkdir()
    stand.desk.write(replace(stand.state(), floor=4))
    before = tree(stand.slots.path("a"))
    stand.ask(make(maker))
    stand.update(maker.keys)
    begun = [("begun", "")] if (code, make) in AFTER else []
    assert stand.steps() == [*begun, ("refused", code)], stand.told
    assert (stand.links(), tree(stand.slots.path("a")), stand.restarts()) == (("a", "a"), before, [])
    assert stand.is_tidy(), "it is asked for once"
    assert {path.name for path in stand.root.iterdir()} <= {"slots", "current", "good", "update"}
    zh, en = (outcome(stand.told[-1], lang) for lang in LANGUAGES)
    assert zh != en and code not in zh and not {"{", "}"} & {*zh, *en}, "in words, in both languages"


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("no_keys", lambda keys: [path.unlink() for path in keys.iterdir()]),
        ("threshold", lambda keys: (keys / "threshold").write_text("two")),
        ("few_signatures", lambda keys: (keys / "threshold").write_text("3\n")),
        ("few_signatures", lambda keys: shutil.copy(keys / "vendor.pem", keys / "county.pem")),
    ],
)
def test_what_the_site_says_of_keys_is_heeded(
    stand: Stand, maker: Maker, tmp_path: Path, code: str, spoil: Callable[[Path], object]
) -> None:
    """None at all, a number nobody can read, more than there are; one key under two names is one key."""
    keys = shutil.copytree(maker.keys, tmp_path / "keys")
    spoil(keys)
    stand.ask(maker.bundle(signers=("vendor",) if code == "few_signatures" else ("vendor", "county")))
    stand.update(keys)
    assert stand.steps() == [("refused", code)]


def test_one_key_is_enough_where_the_site_says_so(stand: Stand, maker: Maker, tmp_path: Path) -> None:
    keys = shutil.copytree(maker.keys, tmp_path / "keys")
    (keys / "threshold").write_text("1\n")
    stand.ask(maker.bundle(signers=("county",)))
    stand.update(keys)
    assert (stand.steps()[-1], stand.links()) == (("confirmed", ""), ("b", "b"))


@pytest.mark.parametrize("kind", ["link", "fifo", "nothing"])
def test_a_bundle_that_is_no_file_is_not_followed(stand: Stand, maker: Maker, tmp_path: Path, kind: str) -> None:
    """The services' user may put anything there, and the updater is root."""
    stand.ask(None)
    if kind == "link":
        (stand.spool / BUNDLE).symlink_to(maker.bundle())
    elif kind == "fifo":
        os.mkfifo(stand.spool / BUNDLE)
    stand.update(maker.keys)
    assert stand.steps() == [("refused", "no_bundle")]


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of 4 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    with tempfile.TemporaryDirectory(prefix="zg-small-") as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("lies", [False, True])
def test_a_card_without_room_refuses_and_goes_on(
    maker: Maker, small: Path, monkeypatch: pytest.MonkeyPatch, lies: bool
) -> None:
    """Found before it is begun; or, had it been promised too little, in the middle."""
    with tempfile.TemporaryDirectory(prefix="zg-update-") as place, Stand(Path(place), small / "opt") as stand:
        stand.first()
        monkeypatch.setenv("PATH", stand.environ["PATH"])
        if lies:
            monkeypatch.setattr("edge_agent.update.judge.SPARE_BYTES", -(1 << 40))
        stand.ask(maker.bundle(words={"pad": "x" * (5 << 20)}))
        stand.update(maker.keys)
        assert stand.steps() == ([("begun", ""), ("refused", "not_written")] if lies else [("refused", "no_room")])
        assert (stand.links(), stand.restarts()) == (("a", "a"), [])
        assert len(tree(stand.slots.path("a"))) == 4


def test_a_bundle_is_the_same_bytes_whoever_makes_it_and_in_whatever_order_it_is_signed(maker: Maker) -> None:
    wheels, meant = maker.wheel(), update.For(pythons=("3.11",), boards=("Raspberry Pi",))
    made = []
    for n, names in enumerate((("vendor", "county"), ("county", "vendor", "vendor"))):
        out = maker.place / f"same-{n}.zgb"
        update.make(wheels, 7, meant, out)
        for name in names:
            update.sign(out, maker.key(name))
        made.append(out.read_bytes())
    assert made[0] == made[1]
