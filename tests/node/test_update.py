"""Updates of the node: judged before a byte is used, put beside what runs, and gone again if they reach nobody."""

import contextlib
import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.codecs import node_update
from drivers.detector_node import update
from drivers.detector_node.update import FAILURES_MAX, TRIES, Slots, choose, read_state
from provisioning.cli import main as provision
from tests.node.bench import FIRMWARE
from tests.node.maker import MODEL, Maker, maker, program

FILES = {"detector_node/node.py": b"print('new')\n" * 200, "detector_node/x.py": b"", "detector_node/sub/y.py": b"y"}


def slots(root: Path, key: int | None = None) -> Slots:
    return Slots(str(root), maker().modulus if key is None else key, MODEL)


def install(root: Path, data: bytes, *, stop_after: int | None = None) -> None:
    """Have a node take an update that was put on it; leave it in the middle after so many steps."""
    (root / "update.zgu").write_bytes(data)
    steps = slots(root).steps()
    for number, _ in enumerate(steps):
        if number == stop_after:
            steps.close()
            return


def test_a_sound_update_becomes_the_other_slot_and_stays_once_it_has_reached_its_gateway(tmp_path: Path) -> None:
    root = str(tmp_path)
    install(tmp_path, maker().image(FILES))
    assert not (tmp_path / "update.zgu").exists()
    assert {name: (tmp_path / "a" / name).read_bytes() for name in FILES} == FILES
    assert choose(root) == "a"
    started = slots(tmp_path)
    assert started.unconfirmed()
    started.confirm()
    assert [choose(root) for _ in range(10)] == ["a"] * 10
    install(tmp_path, maker().image({"detector_node/z.py": b"z"}, version=3))
    assert choose(root) == "b", "and the next one goes into the other slot"
    slots(tmp_path).confirm()
    install(tmp_path, maker().image({"detector_node/z.py": b"z"}, version=4))
    assert [str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*.py")] == ["detector_node/z.py"]


def test_an_update_that_reaches_nobody_gives_way_and_is_given_one_more_chance(tmp_path: Path) -> None:
    root = str(tmp_path)
    for _ in range(FAILURES_MAX):
        install(tmp_path, maker().image(FILES))
        assert [choose(root) for _ in range(TRIES + 3)] == ["a"] * TRIES + [""] * 3
        assert not slots(tmp_path).unconfirmed()
    with pytest.raises(ValueError, match="failed"):
        install(tmp_path, maker().image(FILES))
    assert choose(root) == ""
    install(tmp_path, maker().image(FILES, version=3))
    assert choose(root) == "a", "the maker has mended it"


def test_what_ran_and_was_confirmed_once_is_never_undercut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = maker().image(FILES, version=5), maker().image(FILES, version=6)
    monkeypatch.setattr(update, "VERSION", 6)
    slots(tmp_path).confirm()
    for image in (old, new):
        with pytest.raises(ValueError, match="version"):
            install(tmp_path, image)
    monkeypatch.setattr(update, "VERSION", 1)  # slots.json is what remembers
    with pytest.raises(ValueError, match="version"):
        install(tmp_path, old)
    assert choose(str(tmp_path)) == ""


def test_nothing_of_an_update_is_used_unless_all_of_it_was_signed(tmp_path: Path) -> None:
    good = maker().image(FILES)
    head = len(good) - sum(map(len, FILES.values()))
    places = (0, 4, 5, 6, 40, head - 257, head - 256, head - 1)
    spoilt = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in places]
    padded = good[: head - 256] + b"\xff" * 256 + good[head:]
    for bad in (
        *spoilt,
        padded,
        good[:head],
        good[: head - 1],
        good[:6],
        good[:5],
        b"",
        b"ZGU2\x00\x00" + bytes(256),
        b"x" * 999,
    ):
        with pytest.raises(ValueError, match=r"form|signature|short"):
            install(tmp_path, bad)
        assert not (tmp_path / "update.zgu").exists()
        assert read_state(str(tmp_path))["slot"] == ""
        (tmp_path / "slots.json").unlink(missing_ok=True)
    (tmp_path / "update.zgu").write_bytes(good)
    with pytest.raises(ValueError, match="signature"):
        list(slots(tmp_path, maker().modulus + 2).steps())
    with pytest.raises(ValueError, match="signature"):
        install(tmp_path, Maker().image(FILES))


def test_a_signature_is_the_whole_block_and_not_what_can_be_found_in_it() -> None:
    """Whoever looks for the digest at some place of the block can be cheated with e = 3 and padding of one's own."""
    body, size = b"x", update.SIGNATURE_BYTES
    tail = b"\x00" + update._PREFIX + hashlib.sha256(body).digest()
    good = b"\x00\x01" + b"\xff" * (size - 2 - len(tail)) + tail
    shapes = {
        "garbage behind": b"\x00\x01" + b"\xff" * 8 + tail + bytes(size - 10 - len(tail)),
        "other type": b"\x00\x02" + good[2:],
        "a hole in the padding": good[:50] + b"\x00" + good[51:],
        "short padding": b"\x00" * 20 + b"\x00\x01" + good[22:],
    }
    n = 2**2047 + 1  # as long as no block is above it, the block itself is its own "signature" with e = 1

    def says(block: bytes) -> bool:
        was, update.E = update.E, 1
        try:
            return bool(update.signed(body, block, n))
        finally:
            update.E = was

    assert says(good)
    assert [name for name, block in shapes.items() if says(block)] == []
    assert not update.signed(body, (n + 1).to_bytes(size, "big"), n)


@pytest.mark.parametrize(
    ("why", "header"),
    [
        ("model", {"model": "gas-1"}),
        ("version", {"version": 1}),
        ("version", {"version": -3}),
        ("form", {"version": "9"}),
        ("form", {"version": None}),
        ("form", {"model": 7}),
        ("form", {"files": []}),
        ("form", {"files": [["a"]]}),
        ("form", {"files": "abc"}),
        ("size", {"files": [["a", update.SIZE_MAX + 1, "0" * 64]]}),
        ("size", {"files": [["a", -1, "0" * 64], ["b", 9, "0" * 64]]}),
        ("name", {"files": [["../node.json", 1, "0" * 64]]}),
        ("name", {"files": [["/etc/passwd", 1, "0" * 64]]}),
        ("name", {"files": [["a/../../b", 1, "0" * 64]]}),
        ("name", {"files": [["", 1, "0" * 64]]}),
        ("digest", {"files": [["a", 2, "0" * 64]]}),
        ("long", {"files": [["a", 1, "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"]]}),
    ],
)
def test_a_signed_file_that_is_not_for_this_node_is_refused_and_says_why(
    tmp_path: Path, why: str, header: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=why):
        install(tmp_path, maker().image({"a": b"xx"}, **header))
    assert choose(str(tmp_path)) == ""
    assert not (tmp_path / "update.zgu").exists()


def test_a_file_that_does_not_fit_its_digest_is_counted_and_not_tried_for_ever(tmp_path: Path) -> None:
    good = maker().image(FILES)
    torn = good[:-1] + b"?"
    for why in ("digest", "digest", "failed"):
        with pytest.raises(ValueError, match=why):
            install(tmp_path, torn)
    assert choose(str(tmp_path)) == ""


def test_a_second_update_waits_until_the_first_has_shown_itself(tmp_path: Path) -> None:
    install(tmp_path, maker().image(FILES))
    (tmp_path / "update.zgu").write_bytes(maker().image(FILES, version=3))
    assert not slots(tmp_path).waiting()
    assert list(slots(tmp_path).steps()) == []
    assert (tmp_path / "update.zgu").exists()


def test_an_update_that_was_left_in_the_middle_is_begun_anew(tmp_path: Path) -> None:
    data = maker().image(FILES)
    for stop_after in range(6):
        install(tmp_path, data, stop_after=stop_after)
        assert choose(str(tmp_path)) == ""
        assert (tmp_path / "update.zgu").exists()
    install(tmp_path, data)
    assert choose(str(tmp_path)) == "a"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"slot": "c", "left": 1, "before": "a"}', '{"slot": "b"}', '{"slot": 1, "left": "x"}']
)
def test_a_damaged_choice_is_the_frozen_program(tmp_path: Path, text: str) -> None:
    (tmp_path / "slots.json").write_text(text)
    assert choose(str(tmp_path)) == ""


# --- the maker's tool, and what the gateway reads ---------------------------------------------------------------------------------


def run_tool(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        provision([str(one) for one in arguments])
    return int(str(ended.value.code))


def test_the_makers_tool_signs_with_openssl_what_a_node_takes_and_a_gateway_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, out = maker().pem(tmp_path / "maker.pem"), tmp_path / "smoke.zgu"
    source = tmp_path / "detector_node"
    source.mkdir()
    for name, data in program(7).items():
        (source / Path(name).name).write_bytes(data)
    asked = ["node", "image", source, "--model", MODEL, "--key", key, "--out", out]
    assert run_tool(*asked, "--json") == 0
    assert f'"update_key": "{maker().modulus:x}"' in capsys.readouterr().out
    read = node_update.read(out.read_bytes())
    assert (read.model, read.version, len(read.data)) == (MODEL, 7, sum(map(len, program(7).values())))
    install(tmp_path, out.read_bytes())
    assert choose(str(tmp_path)) == "a"
    assert (tmp_path / "a/detector_node/node.py").read_bytes() == (FIRMWARE / "node.py").read_bytes()
    assert not (tmp_path / "a/detector_node/main.py").exists(), "the loader is not changed by an update"
    assert run_tool(*asked) == 2, "it overwrites nothing"
    out.unlink()
    for wrong in (["--model", "a b"], ["--key", tmp_path / "slots.json"]):
        assert run_tool(*asked, *wrong) != 0
    (source / "__init__.py").write_text("VERSION = 'seven'\n")
    assert run_tool(*asked) == 2
    assert not out.exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"ZGU1" + data[4:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:4] + b"\xff\xff" + data[6:],
        lambda data: data[:8] + b"\xff" + data[9:],
        lambda data: data + bytes(node_update.FILE_BYTES_MAX),
        lambda data: maker().head({"model": 1, "version": 1, "files": []}),
        lambda data: maker().head([]),
        lambda data: maker().head({"model": "m", "version": 1, "files": [["a", -1, "x"]]}),
    ],
)
def test_a_gateway_does_not_offer_what_is_damaged(spoil: Callable[[bytes], bytes]) -> None:
    good = maker().image(FILES)
    assert node_update.read(good).version == 2
    with pytest.raises(ValueError, match=r"form|digest|size"):
        node_update.read(spoil(good))


def test_no_bytes_make_the_readers_raise_anything_else() -> None:
    good = bytearray(maker().image({"a": b"x"}))
    for at in range(len(good)):
        for value in (0, 0xFF, good[at] ^ 1):
            bad = bytes(good[:at]) + bytes([value]) + bytes(good[at + 1 :])
            with contextlib.suppress(ValueError):
                node_update.read(bad)
    for word in (
        b"",
        b"{}",
        b"[]",
        b"nan",
        b'{"of": 1}',
        b'{"of": "00000000", "version": 1.5}',
        os.urandom(40),
        b"[" * 250,
    ):
        with pytest.raises(ValueError, match=r"word|large"):
            node_update.read_word(word)
    assert node_update.read_word(b'{"of": "00000001", "version": 3, "begin": 8}').begin == 8
    assert node_update.read_word(b'{"of": "00000001", "version": 3, "refused": "<script>"}').refused == "form"
    part = node_update.read(maker().image(FILES)).part(32)
    assert part[4:8] == struct.pack(">I", 32)
    assert len(part) == 8 + 2048
