"""Whoever makes the nodes: signs updates, and can make every kind of bad one."""

import functools
import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.node.bench import FIRMWARE

MODEL = "smoke-1"


class Maker:
    """One maker, with a key of its own."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self.modulus = self._key.public_key().public_numbers().n

    def pem(self, path: Path) -> Path:
        """The private key as a file."""
        form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path.write_bytes(self._key.private_bytes(serialization.Encoding.PEM, *form))
        return path

    def head(self, header: object) -> bytes:
        """Mark, header and signature, whatever the header."""
        text = json.dumps(header).encode()
        body = b"ZGU2" + struct.pack(">H", len(text)) + text
        return body + self._key.sign(body, padding.PKCS1v15(), hashes.SHA256())

    def image(self, files: Mapping[str, bytes], /, **header: Any) -> bytes:
        """An update."""
        listed = [[name, len(data), hashlib.sha256(data).hexdigest()] for name, data in files.items()]
        return self.head({"model": MODEL, "version": 2, "files": listed, **header}) + b"".join(files.values())


@functools.cache
def maker() -> Maker:
    """The one of all tests of a process: a key takes a while."""
    return Maker()


def program(version: int, **changed: str) -> dict[str, bytes]:
    """The files of an update: the firmware as it is, as `version`, with something added to some of it."""
    files = {
        f"detector_node/{path.name}": path.read_bytes()
        for path in FIRMWARE.glob("*.py")
        if path.name not in ("manifest.py", "main.py")
    }
    files["detector_node/__init__.py"] = f"VERSION = {version}\n".encode()
    for name, extra in changed.items():
        files[f"detector_node/{name}.py"] += extra.encode()
    return files


def image(version: int, more: Mapping[str, bytes] = MappingProxyType({}), **changed: str) -> bytes:
    """An update to `program(version, ...)` with `more` files."""
    return maker().image(program(version, **changed) | dict(more), version=version)
