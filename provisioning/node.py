"""The signed file that updates our own detector nodes, made on the maker's machine. The form: drivers/detector_node/update.py."""

import ast
import hashlib
import json
import re
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.terminal import FAILURES, USAGE, printable
from provisioning.errors import ProvisionError
from provisioning.openssl import openssl

PACKAGE: Final = "detector_node"
FROZEN: Final = frozenset(("main.py", "manifest.py"))  # of the image itself: no update can change them
SIGNATURE_BYTES: Final = 256
HEAD_BYTES_MAX: Final = 3072
SIZE_MAX: Final = 256 * 1024
_MODEL: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")


@dataclass(frozen=True, slots=True)
class Image:
    """What was made. `update_key` is what nodes of this maker have in their node.json: the modulus, in hex."""

    path: Path
    model: str
    version: int
    size: int
    update_key: str


def make(source: Path, model: str, key: Path, out: Path) -> Image:
    """Sign the firmware in `source` (a directory detector_node) with an RSA-2048 key. The version is the firmware's own VERSION.

    Raise ProvisionError: bad_model, no_firmware, bad_node_key, too_large, exists, cannot_read, cannot_write, no_openssl,
    openssl_failed.
    """
    if not _MODEL.fullmatch(model):
        raise ProvisionError("bad_model", USAGE, value=printable(model[:60]))
    try:
        key.open("rb").close()  # openssl would say so in its own words
    except OSError as fault:
        raise ProvisionError("cannot_read", FAILURES, path=key, why=fault.strerror) from fault
    modulus = openssl("rsa", "-in", str(key), "-noout", "-modulus", "-passin", "pass:").partition("=")[2].strip()
    if len(modulus) != 2 * SIGNATURE_BYTES:
        raise ProvisionError("bad_node_key", FAILURES, path=key)
    files = _files(source)
    version = _version(source, files)
    listed = [[name, len(data), hashlib.sha256(data).hexdigest()] for name, data in files.items()]
    header = json.dumps({"model": model, "version": version, "files": listed}, separators=(",", ":")).encode()
    body, data = b"ZGU2" + struct.pack(">H", len(header)) + header, b"".join(files.values())
    if len(body) + SIGNATURE_BYTES > HEAD_BYTES_MAX or len(data) > SIZE_MAX:
        raise ProvisionError("too_large", FAILURES, path=source)
    try:
        with tempfile.TemporaryDirectory(prefix="zg-image-") as scratch:
            unsigned, signature = Path(scratch) / "body", Path(scratch) / "signature"
            unsigned.write_bytes(body)
            openssl("dgst", "-sha256", "-sign", str(key), "-out", str(signature), str(unsigned))
            whole = body + signature.read_bytes() + data
        with out.open("xb") as file:
            file.write(whole)
    except FileExistsError as fault:
        raise ProvisionError("exists", FAILURES, path=out) from fault
    except OSError as fault:
        raise ProvisionError("cannot_write", FAILURES, path=out, why=fault.strerror) from fault
    return Image(out, model, version, len(whole), modulus.lower())


def _files(source: Path) -> dict[str, bytes]:
    try:
        found = {
            f"{PACKAGE}/{path.name}": path.read_bytes()
            for path in sorted(source.glob("*.py"))
            if path.name not in FROZEN
        }
    except OSError as fault:
        raise ProvisionError("cannot_read", FAILURES, path=fault.filename, why=fault.strerror) from fault
    if f"{PACKAGE}/__init__.py" not in found:
        raise ProvisionError("no_firmware", FAILURES, path=source)
    return found


def _version(source: Path, files: dict[str, bytes]) -> int:
    """VERSION of the firmware, read and not run."""
    try:
        for line in ast.parse(files[f"{PACKAGE}/__init__.py"]).body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "VERSION":
                value = ast.literal_eval(line.value)
                if type(value) is int and value > 0:
                    return value
    except (SyntaxError, ValueError):
        pass
    raise ProvisionError("no_firmware", FAILURES, path=source)
