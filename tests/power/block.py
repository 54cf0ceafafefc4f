"""The kernel's own ext4 on a loop device whose image lies on a recorder: what reaches the card, and what a cut leaves of it.

A write between two flushes is on the medium, is not, or is torn between 4 KiB pages, on its own; what a flush followed is there.
Not torn within a page: flash programs no less, and ext4's own superblock (1 KiB, written in place) would not survive it.
"""

import contextlib
import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.power.crash import HOWS, apply
from tests.power.oplog import Op

IMAGE_BYTES = 24 << 20
PAGE_BYTES = 4096
EXT4 = (
    "-q",
    "-t",
    "ext4",
    "-b",
    "4096",
    "-J",
    "size=4",
    "-m",
    "0",
    "-E",
    "lazy_itable_init=0,lazy_journal_init=0,nodiscard",
)


def run(*words: str) -> str:
    """A command of the system. Raise AssertionError with what it said."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
    return done.stdout.strip()


def make_image(path: Path, size: int = IMAGE_BYTES) -> None:
    """An empty ext4, 4 KiB blocks, as a card has it."""
    with path.open("wb") as file:
        file.truncate(size)
    run("mke2fs", *EXT4, str(path))


@contextlib.contextmanager
def mounted(image: Path, place: Path, options: str = "noatime") -> Iterator[Path]:
    """The image's file system at `place`. Skips the test where no loop device is to be had."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "ext4", "-o", f"loop,{options}", str(image), str(place)],
        check=False,
        capture_output=True,
        text=True,
    )
    if "failed to setup loop device" in done.stderr or "unknown filesystem" in done.stderr:
        pytest.skip(f"this machine mounts no loop device: {done.stderr.strip()}")
    assert done.returncode == 0, f"does not mount: {done.stderr.strip()}"
    try:
        yield place
    finally:
        if subprocess.run(["umount", str(place)], check=False, capture_output=True).returncode:
            run("umount", "-l", str(place))


class Card:
    """The image under a log: moves forward with it, and gives the image a cut would leave."""

    def __init__(self, base: bytes, ops: Sequence[Op]) -> None:
        """`ops` of the image's file alone, and marks; `base` is the image before them."""
        self._held, self._ops, self._pending = bytearray(base), ops, list[Op]()
        self.cut = 0

    def go_to(self, cut: int) -> None:
        """Just before operation `cut`, which must not go back."""
        for op in self._ops[self.cut : cut]:
            if op.kind == "write":
                self._pending.append(op)
            elif op.kind == "sync":
                for done in self._pending:
                    apply(self._held, done, None)
                self._pending = []
        self.cut = max(cut, self.cut)

    def image(self, how: str, chance: random.Random) -> bytearray:
        """What the medium may hold now."""
        image = bytearray(self._held)
        if how != "lost":
            for op in self._pending:
                apply(image, op, None if how == "kept" else chance, unit=PAGE_BYTES)
        return image


def cuts(
    ops: Sequence[Op], base: bytes, *, count: int, seed: int, first: int = 1
) -> Iterator[tuple[int, str, bytearray]]:
    """`count` images from operation `first` on, half of them just after a flush, where bugs live: (cut, how, image)."""
    chance = random.Random(seed)
    flushes = [index + 1 for index, op in enumerate(ops) if op.kind == "sync" and index >= first]
    anywhere = range(first, len(ops) + 1)
    points = [
        min(chance.choice(flushes) + chance.randrange(4), len(ops)) if i % 2 and flushes else chance.choice(anywhere)
        for i in range(count)
    ]
    card = Card(base, ops)
    for index, cut in enumerate(sorted(points)):
        card.go_to(cut)
        how = HOWS[index % len(HOWS)]
        yield cut, how, card.image(how, random.Random(f"{seed}/{index}"))
