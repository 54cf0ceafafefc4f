"""Updates: a signed file in flash becomes the other slot, is started on trial, and stays only if it reaches its gateway.

The file: ZGU2, 2 bytes length of the header, the header (JSON: model, version, files [[name, size, SHA-256], ...]), 256 bytes of
signature, and the files one after the other. The signature, RSA PKCS#1 v1.5 with SHA-256, is over all that stands before it: what
an update is can be judged before a byte of its files has come. `edge-provision node image` makes it.

slots.json is shared with the loader (main.py): the slot to start ("": the program frozen into the image), how many starts it has
left (-1: it stays), the one before, and which versions were and were not good.
"""

import hashlib
import json
import os
import struct
from binascii import hexlify

from . import VERSION

MARK = b"ZGU2"
SIGNATURE_BYTES = 256
HEAD_BYTES_MAX = 3072
SIZE_MAX = 256 * 1024  # of all files
CHUNK = 1024
TRIES = 3
FAILURES_MAX = 2  # a version that did not stay is given one more chance: the gateway may have been away
E = 65537
# DigestInfo of SHA-256, RFC 8017 section 9.2 note 1
_PREFIX = bytes((0x30, 0x31, 0x30, 0x0D, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20))
_STATE = {"slot": "", "left": -1, "before": "", "version": 0, "floor": 0, "failed": 0, "failures": 0}
SLOTS = ("", "a", "b")


class Slots:
    """`root`: where slots.json, the slots a and b, and update.zgu are; `key`: the modulus of the maker's public key."""

    def __init__(self, root: str, key: int, model: str) -> None:
        self.root, self._key, self._model = root, key, model
        self.path = root + "/update.zgu"
        self.state = read_state(root)

    def unconfirmed(self) -> bool:
        """Whether this program has still to show that it works."""
        return self.state["left"] >= 0

    def confirm(self) -> None:
        """It works: it stays, and nothing older is taken any more."""
        if self.unconfirmed() or self.state["floor"] < VERSION:
            self._write(left=-1, floor=max(VERSION, self.state["floor"]))

    def judge(self, head: bytes) -> dict:
        """The header of an update that may be taken. Raise ValueError: form, signature, model, version, failed, size, name."""
        header = read_head(head, self._key)
        if header["model"] != self._model:
            raise ValueError("model")
        if header["version"] <= max(VERSION, self.state["floor"]):
            raise ValueError("version")
        if header["version"] == self.state["failed"] and self.state["failures"] >= FAILURES_MAX:
            raise ValueError("failed")
        return header

    def steps(self):
        """Put update.zgu into the other slot, a piece at each step, and say that it is to be started. Stopped anywhere, it is
        begun anew. Raise ValueError, OSError: what is not sound, or flash cannot hold, is removed and changes nothing else.
        """
        if self.unconfirmed():
            return  # one at a time: there must be something to go back to
        header = None
        try:
            with open(self.path, "rb") as file:
                head = take_head(file)
                header = self.judge(head)
                slot = "b" if self.state["slot"] == "a" else "a"
                yield from unpack(file, header, self.root + "/" + slot)
        except (ValueError, OSError):
            if header is not None:
                self._write(**failed(self.state, header["version"]))
            os.remove(self.path)
            raise
        self._write(slot=slot, left=TRIES, before=self.state["slot"], version=header["version"])
        os.remove(self.path)

    def waiting(self) -> bool:
        """Whether there is an update to be taken now."""
        return not self.unconfirmed() and exists(self.path)

    def _write(self, **changed) -> None:
        self.state.update(changed)
        write_state(self.root, self.state)


# -- the file ------------------------------------------------------------------------------------------------------------


def take_head(file) -> bytes:
    """Mark, header and signature, from the beginning of an update. Raise ValueError."""
    start = file.read(6)
    if len(start) < 6 or start[:4] != MARK:
        raise ValueError("form")
    length = struct.unpack(">H", start[4:])[0] + SIGNATURE_BYTES
    if length > HEAD_BYTES_MAX - 6:
        raise ValueError("form")
    rest = file.read(length)
    if len(rest) < length:
        raise ValueError("form")
    return start + rest


def read_head(head: bytes, modulus: int) -> dict:
    """The header, if the holder of the key signed it; nothing of it is believed before. Raise ValueError."""
    if not 6 + SIGNATURE_BYTES < len(head) <= HEAD_BYTES_MAX or head[:4] != MARK:
        raise ValueError("form")
    body, signature = head[:-SIGNATURE_BYTES], head[-SIGNATURE_BYTES:]
    if not signed(body, signature, modulus):
        raise ValueError("signature")
    if struct.unpack(">H", body[4:6])[0] != len(body) - 6:
        raise ValueError("form")
    try:
        header = json.loads(body[6:])
        sizes = [size + 0 for _, size, _ in header["files"]]
        names = [name.split("/") for name, _, _ in header["files"]]
        sound = isinstance(header["version"], int) and isinstance(header["model"], str)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise ValueError("form") from None
    if not sound or not sum(sizes):
        raise ValueError("form")
    if sum(sizes) > SIZE_MAX or min(sizes) < 0:
        raise ValueError("size")
    if any(not all(parts) or ".." in parts for parts in names):
        raise ValueError("name")
    return header


def signed(body: bytes, signature: bytes, modulus: int) -> bool:
    """Whether the whole padded block is what it must be: nothing of it is parsed, so nothing can be hidden in it."""
    number = int.from_bytes(signature, "big")
    if number >= modulus:
        return False
    said = pow(number, E, modulus).to_bytes(SIGNATURE_BYTES, "big")
    tail = b"\x00" + _PREFIX + hashlib.sha256(body).digest()
    return said == b"\x00\x01" + b"\xff" * (SIGNATURE_BYTES - 2 - len(tail)) + tail


def total(header: dict) -> int:
    """The bytes of all files."""
    return sum(size for _, size, _ in header["files"])


def unpack(file, header: dict, directory: str):
    """Put the files of an update into a slot in place of what was there, then read them back. Raise ValueError, OSError."""
    _clear(directory)
    _directory(directory)
    for name, size, _ in header["files"]:
        parts = name.split("/")
        for depth in range(1, len(parts)):
            _directory(directory + "/" + "/".join(parts[:depth]))
        with open(directory + "/" + name, "wb") as out:
            left = size
            while left > 0:
                data = file.read(min(CHUNK, left))
                if not data:
                    raise ValueError("short")
                out.write(data)
                left -= len(data)
                yield
    if file.read(1):
        raise ValueError("long")
    for name, _, wanted in header["files"]:
        digest = hashlib.sha256(b"")
        with open(directory + "/" + name, "rb") as kept:
            while data := kept.read(CHUNK):
                digest.update(data)
                yield
        if hexlify(digest.digest()).decode() != wanted:
            raise ValueError("digest")


def exists(path: str) -> bool:
    """Whether there is such a file."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _directory(path: str) -> None:
    if not exists(path):
        os.mkdir(path)


def _clear(path: str) -> None:
    if not exists(path):
        return
    for name in os.listdir(path):
        inner = path + "/" + name
        if os.stat(inner)[0] & 0x4000:
            _clear(inner)
        else:
            os.remove(inner)
    os.rmdir(path)


# -- what is to be started -------------------------------------------------------------------------------------------------


def read_state(root: str) -> dict:
    """What slots.json says. Damaged or missing it is the frozen program, which nothing can break."""
    state = dict(_STATE)
    try:
        with open(root + "/slots.json") as file:
            found = json.load(file)
        for name, value in _STATE.items():
            state[name] = found[name]
            if not isinstance(state[name], type(value)):
                raise ValueError(name)
        if state["slot"] in SLOTS and state["before"] in SLOTS:
            return state
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return dict(_STATE)


def write_state(root: str, state: dict) -> None:
    """Whole or not at all."""
    with open(root + "/slots.json.new", "w") as file:
        file.write(json.dumps(state))
    os.rename(root + "/slots.json.new", root + "/slots.json")


def failed(state: dict, version: int) -> dict:
    """What to write down of a version that did not stay."""
    return {"failed": version, "failures": state["failures"] + 1 if state["failed"] == version else 1}


def choose(root: str) -> str:
    """The slot to start now. One that has had its starts without confirming gives way to the one before."""
    state = read_state(root)
    if state["left"] == 0:
        state.update(failed(state, state["version"]))
        state.update({"slot": state["before"], "left": -1})
        write_state(root, state)
    elif state["left"] > 0:
        state["left"] -= 1
        write_state(root, state)
    return state["slot"]
