"""Updates: a signed file put into flash becomes the other slot, and stays only if it reaches its gateway.

The file: 4 bytes ZGU1, 4 bytes length of the header, the header (JSON: version, files [[name, size], ...]), the files one after the
other, and 256 bytes of signature, RSA PKCS#1 v1.5 with SHA-256, over all that stands before it:

    openssl dgst -sha256 -sign key.pem -out signature update.body

The loader (main.py) and this file's `state` share slots.json: the slot to start, how many starts it has left, and the one before.
"""

import hashlib
import json
import os
import struct

MARK = b"ZGU1"
SIGNATURE_BYTES = 256
HEADER_BYTES_MAX = 4096
CHUNK = 512
TRIES = 3
E = 65537
# DigestInfo of SHA-256, RFC 8017 section 9.2 note 1
_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


class Slots:
    """`root`: where slots.json, the slots a and b, and update.zgu are; `key`: the modulus of the maker's public key."""

    def __init__(self, root: str, key: int) -> None:
        self._root, self._key = root, key
        self.state = read_state(root)

    def unconfirmed(self) -> bool:
        """Whether this program has still to show that it works."""
        return self.state["left"] >= 0

    def confirm(self) -> None:
        """It works: it stays."""
        if self.unconfirmed():
            self.state["left"] = -1
            write_state(self._root, self.state)

    def take(self) -> bool:
        """Whether an update is there, sound, and ready to be started. What is not sound is removed and changes nothing."""
        path = self._root + "/update.zgu"
        try:
            os.stat(path)
        except OSError:
            return False
        if self.unconfirmed():
            return False  # one at a time: there must be something to go back to
        slot = "b" if self.state["slot"] == "a" else "a"
        good = verify(path, self._key)
        if good:
            unpack(path, self._root + "/" + slot)
            write_state(self._root, {"slot": slot, "left": TRIES, "before": self.state["slot"]})
        os.remove(path)
        return good


def verify(path: str, modulus: int) -> bool:
    """Whether the file is whole and was signed by the holder of the key. Nothing of it is used before this says so."""
    size = os.stat(path)[6]
    if size <= 8 + SIGNATURE_BYTES:
        return False
    digest, left = hashlib.sha256(), size - SIGNATURE_BYTES
    with open(path, "rb") as file:
        while left > 0:
            part = file.read(min(CHUNK, left))
            if not part:
                return False
            digest.update(part)
            left -= len(part)
        signature = file.read(SIGNATURE_BYTES)
    number = int.from_bytes(signature, "big")
    if number >= modulus:
        return False
    said = pow(number, E, modulus).to_bytes(SIGNATURE_BYTES, "big")
    tail = b"\x00" + _PREFIX + digest.digest()
    return said == b"\x00\x01" + b"\xff" * (SIGNATURE_BYTES - 2 - len(tail)) + tail


def unpack(path: str, directory: str) -> None:
    """Put the files of a verified update into a slot, over what was there. Raise ValueError, OSError."""
    with open(path, "rb") as file:
        if file.read(4) != MARK:
            raise ValueError("no update")
        length = struct.unpack(">I", file.read(4))[0]
        if length > HEADER_BYTES_MAX:
            raise ValueError("header")
        header = json.loads(file.read(length))
        for name, size in header["files"]:
            parts = name.split("/")
            if ".." in parts or not all(parts):
                raise ValueError("name")
            where = directory
            for part in parts[:-1]:
                _directory(where)
                where += "/" + part
            _directory(where)
            with open(where + "/" + parts[-1], "wb") as out:
                left = size
                while left > 0:
                    data = file.read(min(CHUNK, left))
                    if not data:
                        raise ValueError("short")
                    out.write(data)
                    left -= len(data)


def _directory(path: str) -> None:
    try:
        os.mkdir(path)
    except OSError:
        pass  # it is there


def read_state(root: str) -> dict:
    """What to start. A file that is damaged or missing is slot a, confirmed."""
    try:
        with open(root + "/slots.json") as file:
            state = json.load(file)
        if state["slot"] in ("a", "b") and state["before"] in ("a", "b"):
            return {"slot": state["slot"], "left": int(state["left"]), "before": state["before"]}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {"slot": "a", "left": -1, "before": "a"}


def write_state(root: str, state: dict) -> None:
    """Whole or not at all."""
    with open(root + "/slots.json.new", "w") as file:
        file.write(json.dumps(state))
    os.rename(root + "/slots.json.new", root + "/slots.json")


def choose(root: str) -> str:
    """The slot to start now. One that has had its starts without confirming gives way to the one before."""
    state = read_state(root)
    if state["left"] == 0:
        state = {"slot": state["before"], "left": -1, "before": state["before"]}
        write_state(root, state)
    elif state["left"] > 0:
        state["left"] -= 1
        write_state(root, state)
    return state["slot"]
