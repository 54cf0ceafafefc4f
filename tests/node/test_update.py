"""Updates of the node: verified before a byte is used, and back to what was there if they reach nobody."""

import json
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from drivers.detector_node import update
from drivers.detector_node.update import Slots, choose, read_state, verify


class Maker:
    """Whoever signs updates, with openssl."""

    def __init__(self, directory: Path) -> None:
        self.key = directory / "key.pem"
        subprocess.run(
            ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key],
            check=True,
            capture_output=True,
        )
        told = subprocess.run(
            ["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], check=True, capture_output=True, text=True
        )
        self.modulus = int(told.stdout.partition("=")[2], 16)

    def make(self, path: Path, files: dict[str, bytes], **header: Any) -> Path:
        head = json.dumps(
            {"version": "2", "files": [[name, len(data)] for name, data in files.items()], **header}
        ).encode()
        body = update.MARK + struct.pack(">I", len(head)) + head + b"".join(files.values())
        part = path.with_suffix(".body")
        part.write_bytes(body)
        done = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key, part], check=True, capture_output=True)
        path.write_bytes(body + done.stdout)
        return path


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    return Maker(tmp_path_factory.mktemp("maker"))


FILES = {"detector_node/node.py": b"print('new')\n" * 100, "detector_node/x.py": b""}


def test_a_sound_update_becomes_the_other_slot_and_stays_once_it_has_reached_its_gateway(
    tmp_path: Path, maker: Maker
) -> None:
    root = str(tmp_path)
    maker.make(tmp_path / "update.zgu", FILES)
    slots = Slots(root, maker.modulus)
    assert slots.take()
    assert not (tmp_path / "update.zgu").exists()
    assert (tmp_path / "b/detector_node/node.py").read_bytes() == FILES["detector_node/node.py"]
    assert choose(root) == "b"
    started = Slots(root, maker.modulus)
    assert started.unconfirmed()
    started.confirm()
    assert [choose(root) for _ in range(10)] == ["b"] * 10
    maker.make(tmp_path / "update.zgu", FILES)
    assert Slots(root, maker.modulus).take()
    assert choose(root) == "a", "and the next one goes into the first slot"


def test_an_update_that_reaches_nobody_gives_way_to_what_was_there(tmp_path: Path, maker: Maker) -> None:
    root = str(tmp_path)
    maker.make(tmp_path / "update.zgu", FILES)
    assert Slots(root, maker.modulus).take()
    assert [choose(root) for _ in range(update.TRIES + 3)] == ["b"] * update.TRIES + ["a"] * 3
    assert not Slots(root, maker.modulus).unconfirmed()


def test_nothing_of_an_update_is_used_unless_all_of_it_was_signed(tmp_path: Path, maker: Maker) -> None:
    good = maker.make(tmp_path / "good", FILES).read_bytes()
    path = tmp_path / "update.zgu"
    spoilt = [
        good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in (0, 5, 40, 200, len(good) - 257, len(good) - 1)
    ]
    for bad in (*spoilt, good[:-1], good[:300], b"", b"x" * 263, good + b"x", good[:-256] + b"\xff" * 256):
        path.write_bytes(bad)
        assert not Slots(str(tmp_path), maker.modulus).take()
        assert not path.exists()
        assert not (tmp_path / "b").exists()
        assert read_state(str(tmp_path))["slot"] == "a"
    path.write_bytes(good)
    assert verify(str(path), maker.modulus)
    assert not verify(str(path), maker.modulus + 2), "another maker's"


def test_a_second_update_waits_until_the_first_has_shown_itself(tmp_path: Path, maker: Maker) -> None:
    maker.make(tmp_path / "update.zgu", FILES)
    assert Slots(str(tmp_path), maker.modulus).take()
    maker.make(tmp_path / "update.zgu", FILES)
    assert not Slots(str(tmp_path), maker.modulus).take()
    assert (tmp_path / "update.zgu").exists()


@pytest.mark.parametrize("name", ["../node.json", "/etc/passwd", "a/../../b", ""])
def test_no_name_leads_out_of_the_slot(tmp_path: Path, maker: Maker, name: str) -> None:
    path = maker.make(tmp_path / "u", {name: b"x"})
    with pytest.raises(ValueError, match="name"):
        update.unpack(str(path), str(tmp_path / "b"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"slot": "c", "left": 1, "before": "a"}', '{"slot": "b"}'])
def test_a_damaged_choice_is_the_first_slot(tmp_path: Path, text: str) -> None:
    (tmp_path / "slots.json").write_text(text)
    assert choose(str(tmp_path)) == "a"
