"""Run by MicroPython: the node's flash is littlefs over a chip that loses its power in the middle of its k-th write, for each k.

`micropython flash_cuts.py IMAGE KEY MODEL [early]`; KEY is a file with the modulus in hex; `early` plants a bug: the new slot is
named before its files are whole. What must hold after each cut: the
loader starts a program that is whole, and what was begun is finished by simply being done again. Prints how many cuts there were.
"""

import os
import struct
import sys

from detector_node import update
from detector_node.fetch import PART_BYTES, Fetch

BLOCK, BLOCKS, ROOT = 512, 160, "/node"
OLD = {"node.py": b"old " * 300, "link.py": b"old"}


class Chip:
    """Flash that dies after `left` writes and erasures: the last one is half done, and nothing can be written any more."""

    def __init__(self, data, left):
        self.data, self.left, self.writes = data, left, 0

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        return self._write(block * BLOCK + offset, buf)

    def ioctl(self, what, value):
        if what == 4:
            return BLOCKS
        if what == 5:
            return BLOCK
        if what == 6:
            return self._write(value * BLOCK, b"\xff" * BLOCK)
        return 0

    def _write(self, at, buf):
        self.writes += 1
        if self.left is not None:
            if self.left <= 0:
                if self.left == 0:
                    half = len(buf) // 2
                    self.data[at : at + half] = buf[:half]
                self.left = -1
                return -5  # EIO; an exception must not pass through littlefs
            self.left -= 1
        self.data[at : at + len(buf)] = buf
        return 0


def powered(data, action, left=None):
    """Do something with the flash; return how many writes that took, None if its power went."""
    chip = Chip(data, left)
    file_system = os.VfsLfs2(chip)
    os.mount(file_system, ROOT)
    try:
        action()
        dead = left is not None and chip.left < 0
    except OSError:
        if left is None or chip.left >= 0:
            raise
        dead = True
    os.umount(ROOT)
    return None if dead else chip.writes


def fresh():
    """A node whose program is in slot b, with an even older one in slot a, and what a gateway offers it."""
    data = bytearray(BLOCK * BLOCKS)
    os.VfsLfs2.mkfs(Chip(data, None))

    def fill():
        for slot in ("a", "b"):
            os.mkdir(ROOT + "/" + slot)
            for name, body in OLD.items():
                put(ROOT + "/" + slot + "/" + name, body)
        state = dict(update._STATE)
        state["slot"], state["floor"] = "b", 1
        update.write_state(ROOT, state)

    powered(data, fill)
    return data


def put(path, body):
    with open(path, "wb") as file:
        file.write(body)


def whole(slot, files):
    """Whether a slot holds these files to the last byte."""
    for name, body in files.items():
        with open(ROOT + "/" + slot + "/" + name, "rb") as file:
            if file.read() != body:
                return False
    return True


def slots():
    return update.Slots(ROOT, MODULUS, MODEL)


def install():
    if slots().waiting():
        for _ in slots().steps():
            pass


def fetch():
    one = Fetch(slots())
    one.offered(HEAD)
    while (asked := one.ask(0)) is not None:
        if b"refused" in asked:
            raise OSError(5)  # flash did not take it: the chip is dead
        begin = int(asked.split(b'"begin": ')[1].split(b",")[0].split(b"}")[0])
        one.part(one._tag + struct.pack(">I", begin) + DATA[begin : begin + PART_BYTES])


def cuts(before, action, check):
    """Cut the power at each write of `action`; `check` looks at what is left, with the power back."""
    number, left = 0, 0
    while True:
        data = bytearray(before)
        done = powered(data, action, left)
        powered(data, check)
        number += 1
        if done is not None:
            return number
        left += 1


def look_after_install():
    slot = update.choose(ROOT)
    assert whole(slot, NEW if slot == "a" else OLD), slot
    if slot == "b":
        install()
        assert update.choose(ROOT) == "a"
        assert whole("a", NEW)
    assert whole("b", OLD)
    slots().confirm()
    assert not slots().unconfirmed()
    assert update.choose(ROOT) == "a"


def look_after_fetch():
    fetch()
    with open(ROOT + "/update.zgu", "rb") as file:
        assert file.read() == HEAD + DATA
    assert update.choose(ROOT) == "b"


def starts():
    for _ in range(update.TRIES + 1):
        update.choose(ROOT)


def look_after_starts():
    seen = [update.choose(ROOT) for _ in range(update.TRIES + 2)]
    assert seen[-1] == "b", seen
    assert all(whole(slot, NEW if slot == "a" else OLD) for slot in seen)
    assert slots().state["failures"] == 1


with open(sys.argv[1], "rb") as file:
    HEAD = update.take_head(file)
    DATA = file.read()
with open(sys.argv[2]) as file:
    MODULUS = int(file.read(), 16)
MODEL = sys.argv[3]
NEW, at = {}, 0
for name, size, _ in update.read_head(HEAD, MODULUS)["files"]:
    NEW[name] = DATA[at : at + size]
    at += size


def early(file, header, directory):
    state = update.read_state(ROOT)
    state.update({"slot": directory[-1], "left": update.TRIES, "before": state["slot"], "version": header["version"]})
    update.write_state(ROOT, state)
    return unpack(file, header, directory)


unpack = update.unpack
if sys.argv[4:] == ["early"]:
    update.unpack = early

first = fresh()
counts = [cuts(first, fetch, look_after_fetch)]
powered(first, fetch)
counts.append(cuts(first, install, look_after_install))
powered(first, install)
counts.append(cuts(first, starts, look_after_starts))
print(*counts)
