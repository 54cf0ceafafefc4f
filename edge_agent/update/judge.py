"""Whether this gateway takes a bundle: who signed it, is it for this machine, is it a way forward, is there room."""

import hashlib
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_agent.signature import NotSigned, key_bytes, verify
from edge_agent.update.bundle import ANY, Bundle, BundleError, Manifest, version_key

KEYS_DIR: Final = Path("/etc/edge-agent/update-keys")
THRESHOLD_FILE: Final = "threshold"
THRESHOLD: Final = 2
KEYS_MAX: Final = 16
MODEL_FILE: Final = Path("/proc/device-tree/model")
SPARE_BYTES: Final = 32 << 20  # left for the rest of the system, beside a slot


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs here. `floor`: the highest counter that was ever confirmed."""

    version: str
    floor: int
    journal_schema: int
    board: str
    machine: str
    python: str

    @classmethod
    def here(cls, version: str, floor: int, journal_schema: int) -> "Machine":
        """This machine."""
        try:
            board = MODEL_FILE.read_bytes().rstrip(b"\0").decode("utf-8", "replace")
        except OSError:
            board = ""  # no device tree: a PC
        python = ".".join(map(str, sys.version_info[:2]))
        return cls(version, floor, journal_schema, board, platform.machine(), python)


def load_keys(directory: Path) -> dict[str, Path]:
    """The public keys of a directory: SHA-256 of the key -> file. Two files of one key are one. Raise BundleError(`no_keys`)."""
    try:
        files = sorted(directory.glob("*.pem"))[:KEYS_MAX]
    except OSError:
        files = []
    found: dict[str, Path] = {}
    for file in files:
        try:
            found[hashlib.sha256(key_bytes(file)).hexdigest()] = file
        except NotSigned as fault:
            if fault.code == "cannot_verify":
                raise BundleError(fault.code, why=fault.why) from None
    if not found:
        raise BundleError("no_keys", path=directory)
    return found


def threshold_of(directory: Path) -> int:
    """How many different keys have to have signed. Raise BundleError(`threshold`): a number nobody can read is not guessed."""
    file = directory / THRESHOLD_FILE
    try:
        said = file.read_text("ascii").strip()
    except FileNotFoundError:
        return THRESHOLD
    except (OSError, UnicodeDecodeError):
        said = ""
    if not said.isdecimal() or not 1 <= int(said) <= KEYS_MAX:
        raise BundleError("threshold", path=file)
    return int(said)


def check_signatures(bundle: Bundle, directory: Path) -> tuple[str, ...]:
    """The keys (SHA-256) whose holders signed. Raise BundleError: signature, unknown_key, few_signatures, no_keys, threshold."""
    keys, needed = load_keys(directory), threshold_of(directory)
    signers, unknown = set[str](), 0
    for signature in bundle.signatures:
        if signature.key not in keys:
            unknown += 1
            continue
        try:
            verify(bundle.signed, signature.mark, keys[signature.key])
        except NotSigned as fault:
            raise BundleError(fault.code, key=keys[signature.key].name, why=fault.why) from None
        signers.add(signature.key)
    if len(signers) < needed:
        code = "unknown_key" if unknown and not signers else "few_signatures"
        raise BundleError(code, found=len(signers), needed=needed, unknown=unknown)
    return tuple(sorted(signers))


def check_fits(manifest: Manifest, machine: Machine) -> None:
    """Raise BundleError: board, machine, python, downgrade, from_version, no_way_back, already_running."""
    if ANY not in manifest.boards and not machine.board.startswith(manifest.boards):
        raise BundleError("board", board=machine.board or "?", wanted=", ".join(manifest.boards))
    if ANY not in manifest.machines and machine.machine not in manifest.machines:
        raise BundleError("machine", machine=machine.machine, wanted=", ".join(manifest.machines))
    if machine.python not in manifest.pythons:
        raise BundleError("python", python=machine.python, wanted=", ".join(manifest.pythons))
    if manifest.counter < machine.floor:
        raise BundleError("downgrade", counter=manifest.counter, floor=machine.floor)
    if manifest.version == machine.version:
        raise BundleError("already_running", running=machine.version)
    if version_key(machine.version) < version_key(manifest.min_version):
        raise BundleError("from_version", running=machine.version, needed=manifest.min_version)
    if manifest.journal_schema > machine.journal_schema:
        # A journal it has written could not be opened by the program that would be gone back to.
        raise BundleError("no_way_back", schema=manifest.journal_schema, known=machine.journal_schema)


def check_room(manifest: Manifest, place: Path) -> None:
    """Raise BundleError(`no_room`) unless a slot fits where the slots are."""
    free = shutil.disk_usage(place).free
    if free < manifest.needed_bytes + SPARE_BYTES:
        raise BundleError("no_room", free_mb=free >> 20, needed_mb=(manifest.needed_bytes + SPARE_BYTES) >> 20)


def as_dict(manifest: Manifest) -> Mapping[str, object]:
    """What people are shown of it."""
    return {
        "version": manifest.version,
        "counter": manifest.counter,
        "min_version": manifest.min_version,
        "boards": list(manifest.boards),
        "machines": list(manifest.machines),
        "pythons": list(manifest.pythons),
        "wheels": [wheel.name for wheel in manifest.wheels],
    }
