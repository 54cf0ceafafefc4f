"""The file an update comes in: what it is for, what is in it, who signed that. Making one: provisioning/update.py.

A zip whose members are only stored: `manifest.json`, `signatures.json` (over the manifest's bytes) and `wheels/*.whl`. The
manifest has the SHA-256 of every wheel, so nothing of a wheel is looked at before the signatures over it are.
"""

import base64
import binascii
import contextlib
import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any, Final

FORMAT: Final = 1
MANIFEST, SIGNATURES, WHEELS = "manifest.json", "signatures.json", "wheels/"
BUNDLE_BYTES_MAX: Final = 64 << 20
NEEDED_BYTES_MAX: Final = 512 << 20
HEAD_BYTES_MAX: Final = 64 << 10
WHEELS_MAX: Final = 64
SIGNATURES_MAX: Final = 16
COUNTER_MAX: Final = 2**53
ANY: Final = "any"
_VERSION: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,3}")
_WHEEL: Final = re.compile(r"[A-Za-z0-9_.+-]{1,150}\.whl")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_WORD: Final = re.compile(r"[ -~]{1,80}")


class BundleError(Exception):
    """Why a bundle is not taken. `code` is ASCII, `update.why_<code>` says it in words with `params`."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(f"{code} {params}" if params else code)
        self.code, self.params = code, params


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel of a bundle."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is signed. `boards` are beginnings of what /proc/device-tree/model says; "any" is every one."""

    version: str
    counter: int  # rises with every release; an older one than was ever confirmed is not taken
    journal_schema: int  # of the journal this program writes
    min_version: str  # the oldest program this one may follow
    boards: tuple[str, ...]
    machines: tuple[str, ...]  # as `uname -m` has it
    pythons: tuple[str, ...]  # "3.11"
    needed_bytes: int  # of a slot with all of it unpacked
    wheels: tuple[Wheel, ...]

    def encode(self) -> bytes:
        """The bytes that are signed; the same manifest gives the same."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, sort_keys=True).encode("ascii") + b"\n"


@dataclass(frozen=True, slots=True)
class Signature:
    """`key`: SHA-256 of the public key's DER form, hex."""

    key: str
    mark: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose form is sound; nothing is said of who signed it yet."""

    path: Path
    manifest: Manifest
    signed: bytes
    signatures: tuple[Signature, ...]

    def wheels(self) -> Iterator[tuple[Wheel, bytes]]:
        """Each wheel, whole and what the manifest says it is. Raise BundleError: `damaged`."""
        with _opened(self.path) as archive:
            for wheel in self.manifest.wheels:
                data = _member(archive, WHEELS + wheel.name, wheel.size)
                if len(data) != wheel.size or hashlib.sha256(data).hexdigest() != wheel.sha256:
                    raise BundleError("damaged", what=wheel.name)
                yield wheel, data


def version_key(version: str) -> tuple[int, ...]:
    """By which versions are compared. Raise ValueError."""
    if not _VERSION.fullmatch(version):
        raise ValueError(version)
    parts = [int(part) for part in version.split(".")]
    return tuple(parts + [0] * (4 - len(parts)))


def read(path: Path) -> Bundle:
    """The bundle in a file. Raise BundleError: cut_short, not_a_bundle, too_large, path, damaged, malformed; OSError."""
    if path.stat().st_size > BUNDLE_BYTES_MAX:
        raise BundleError("too_large", mb=BUNDLE_BYTES_MAX >> 20)
    with _opened(path) as archive:
        members = archive.infolist()
        if len(members) > WHEELS_MAX + 2:
            raise BundleError("too_large", mb=BUNDLE_BYTES_MAX >> 20)
        for member in members:
            check_member(member)
            if member.compress_type != zipfile.ZIP_STORED:
                raise BundleError("malformed", what=member.filename[:80])
        names = [member.filename for member in members]
        signed = _member(archive, MANIFEST, HEAD_BYTES_MAX)
        marks = _member(archive, SIGNATURES, HEAD_BYTES_MAX) if SIGNATURES in names else b"[]"
    manifest = read_manifest(signed)
    wanted = {MANIFEST, SIGNATURES, *(WHEELS + wheel.name for wheel in manifest.wheels)}
    for name in names:
        if name not in wanted or names.count(name) > 1:
            raise BundleError("malformed", what=name[:80])
    if missing := wanted - {*names, SIGNATURES}:
        raise BundleError("damaged", what=min(missing))
    return Bundle(path, manifest, signed, _read_signatures(marks))


def read_manifest(signed: bytes) -> Manifest:
    """Raise BundleError: malformed, too_large."""
    said = _json(signed, MANIFEST)
    if not isinstance(said, dict) or said.pop("format", None) != FORMAT:
        raise BundleError("malformed", what=f"{MANIFEST}: format")
    if said.keys() != {one.name for one in fields(Manifest)}:
        raise BundleError("malformed", what=f"{MANIFEST}: keys")
    try:
        wheels = tuple(Wheel(**wheel) for wheel in said.pop("wheels"))
        lists: dict[str, Any] = {key: tuple(said.pop(key)) for key in ("boards", "machines", "pythons")}
    except (TypeError, ValueError):
        raise BundleError("malformed", what=MANIFEST) from None
    manifest = Manifest(wheels=wheels, **lists, **said)
    for what, holds in _holds(manifest):
        if not holds:
            raise BundleError("malformed", what=f"{MANIFEST}: {what}")
    if manifest.needed_bytes > NEEDED_BYTES_MAX or sum(wheel.size for wheel in wheels) > BUNDLE_BYTES_MAX:
        raise BundleError("too_large", mb=BUNDLE_BYTES_MAX >> 20)
    return manifest


def _holds(manifest: Manifest) -> Iterator[tuple[str, bool]]:
    for what in ("version", "min_version"):
        value = getattr(manifest, what)
        yield what, isinstance(value, str) and bool(_VERSION.fullmatch(value))
    for what, most in (("counter", COUNTER_MAX), ("journal_schema", 1000), ("needed_bytes", COUNTER_MAX)):
        value = getattr(manifest, what)
        yield what, type(value) is int and 0 < value <= most
    for what in ("boards", "machines", "pythons"):
        words = getattr(manifest, what)
        yield what, 0 < len(words) <= 32 and all(isinstance(one, str) and bool(_WORD.fullmatch(one)) for one in words)
    yield "wheels", 0 < len(manifest.wheels) <= WHEELS_MAX
    for wheel in manifest.wheels:
        texts = isinstance(wheel.name, str) and isinstance(wheel.sha256, str)
        sound = texts and bool(_WHEEL.fullmatch(wheel.name)) and bool(_SHA256.fullmatch(wheel.sha256))
        yield "wheels", sound and type(wheel.size) is int and 0 < wheel.size <= BUNDLE_BYTES_MAX
    yield "wheels", len({wheel.name for wheel in manifest.wheels}) == len(manifest.wheels)


def _read_signatures(marks: bytes) -> tuple[Signature, ...]:
    said = _json(marks, SIGNATURES)
    if not isinstance(said, list) or len(said) > SIGNATURES_MAX:
        raise BundleError("malformed", what=SIGNATURES)
    try:
        found = tuple(Signature(str(one["key"]), base64.b64decode(one["mark"], validate=True)) for one in said)
    except (TypeError, LookupError, binascii.Error, ValueError):
        raise BundleError("malformed", what=SIGNATURES) from None
    if any(not _SHA256.fullmatch(one.key) for one in found):
        raise BundleError("malformed", what=SIGNATURES)
    return found


def encode_signatures(signatures: Mapping[str, bytes]) -> bytes:
    """The member `signatures.json`, in one order."""
    said = [{"key": key, "mark": base64.b64encode(signatures[key]).decode()} for key in sorted(signatures)]
    return json.dumps(said, indent=1).encode("ascii") + b"\n"


def check_member(member: zipfile.ZipInfo) -> None:
    """Raise BundleError(`path`) for a name that could lead out of where it is unpacked, and for what is neither a plain file nor a
    directory, which some makers' wheels list too.
    """
    name = member.filename
    parts = PurePosixPath(name).parts
    kind = stat.S_IFMT(member.external_attr >> 16)
    odd = not name or name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or not name.isprintable()
    plain = kind in (0, stat.S_IFREG) or (kind == stat.S_IFDIR and member.is_dir())
    if odd or not plain or len(name) > 250:
        raise BundleError("path", what=ascii(name)[:80])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            file.seek(0)
            raise BundleError("cut_short" if file.read(4) == b"PK\3\4" else "not_a_bundle") from None
        with archive:
            yield archive


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    try:
        with archive.open(name) as member:
            data = member.read(most + 1)
    except KeyError:
        raise BundleError("malformed", what=name) from None
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError):
        raise BundleError("damaged", what=name[:80]) from None
    if len(data) > most:
        raise BundleError("too_large", mb=BUNDLE_BYTES_MAX >> 20)
    return data


def _json(data: bytes, what: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BundleError("malformed", what=what) from None
