"""The bundle that updates a gateway, made and signed away from any network. Its form: edge_agent/update/bundle.py.

The same wheels, counter and keys give the same bytes: whoever doubts one can make it again and compare.
"""

import hashlib
import re
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path
from typing import Final

from edge_agent.signature import NotSigned, key_bytes
from edge_agent.terminal import FAILURES, USAGE, printable
from edge_agent.update.bundle import (
    ANY,
    MANIFEST,
    SIGNATURES,
    WHEELS,
    Bundle,
    BundleError,
    Manifest,
    Signature,
    Wheel,
    check_member,
    encode_signatures,
    read,
    read_manifest,
)
from edge_agent.update.judge import check_signatures
from provisioning.errors import ProvisionError
from provisioning.openssl import openssl

PROGRAM: Final = "zg119-edge-agent"
SCHEMA_FILE: Final = "buffer/dbfile.py"
SLOT_BYTES: Final = 4 << 20  # of an empty slot, and what blocks of a file system add to many small files
COMPILED: Final = 2  # a source file and what it is compiled to
LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    """What a bundle is for. Empty: any board or machine."""

    boards: Sequence[str] = ()
    machines: Sequence[str] = ()
    pythons: Sequence[str] = ()
    min_version: str = "0"


def make(wheels_dir: Path, counter: int, meant: For, out: Path) -> Manifest:
    """Put the wheels of a directory into a bundle nobody has signed yet.

    Raise ProvisionError: no_wheels, no_program, bad_wheel, bad_manifest, exists, cannot_read, cannot_write.
    """
    try:
        wheels = {path.name: path.read_bytes() for path in sorted(wheels_dir.glob("*.whl"))}
    except OSError as fault:
        raise ProvisionError("cannot_read", FAILURES, path=fault.filename, why=fault.strerror) from fault
    if not wheels:
        raise ProvisionError("no_wheels", FAILURES, path=wheels_dir)
    program = [data for name, data in wheels.items() if name.startswith(PROGRAM.replace("-", "_") + "-")]
    if len(program) != 1:
        raise ProvisionError("no_program", FAILURES, path=wheels_dir, name=PROGRAM)
    version, schema = _about(program[0])
    manifest = Manifest(
        version=version,
        counter=counter,
        journal_schema=schema,
        min_version=meant.min_version,
        boards=tuple(meant.boards) or (ANY,),
        machines=tuple(meant.machines) or (ANY,),
        pythons=tuple(meant.pythons),
        needed_bytes=SLOT_BYTES + sum(_unpacked(name, data) for name, data in wheels.items()),
        wheels=tuple(Wheel(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in wheels.items()),
    )
    signed = manifest.encode()
    try:
        read_manifest(signed)
    except BundleError as fault:
        raise ProvisionError("bad_manifest", USAGE, what=printable(str(fault.params.get("what", fault.code)))) from None
    if out.exists():
        raise ProvisionError("exists", FAILURES, path=out)
    _write(out, signed, {}, wheels)
    return manifest


def sign(file: Path, key: Path) -> int:
    """Add the signature of one private key; return how many there are. Signing twice with one key changes nothing.

    Raise ProvisionError: bad_sign_key, cannot_read, cannot_write, no_openssl, openssl_failed; BundleError.
    """
    bundle = _read(file)
    with tempfile.TemporaryDirectory(prefix="zg-update-") as scratch:
        public, message, mark = (Path(scratch) / name for name in ("public", "message", "mark"))
        openssl("pkey", "-in", str(key), "-pubout", "-out", str(public), "-passin", "pass:")
        try:
            name = hashlib.sha256(key_bytes(public)).hexdigest()
        except NotSigned:
            raise ProvisionError("bad_sign_key", FAILURES, path=key) from None
        message.write_bytes(bundle.signed)
        files = ("-inkey", str(key), "-in", str(message), "-out", str(mark))
        openssl("pkeyutl", "-sign", "-rawin", "-passin", "pass:", *files)
        signatures = {one.key: one.mark for one in bundle.signatures} | {name: mark.read_bytes()}
    wheels = {wheel.name: data for wheel, data in bundle.wheels()}
    _write(file, bundle.signed, signatures, wheels)
    return len(signatures)


def check(file: Path, keys: Path | None) -> tuple[Manifest, tuple[Signature, ...], BundleError | None]:
    """What a bundle is for, who signed it, and why a gateway with these keys would not take it, if it would not.

    Raise ProvisionError(`cannot_read`), BundleError where its very form is not sound.
    """
    bundle = _read(file)
    try:
        for _ in bundle.wheels():
            pass
        if keys is not None:
            check_signatures(bundle, keys)
    except BundleError as fault:
        return bundle.manifest, bundle.signatures, fault
    return bundle.manifest, bundle.signatures, None


def _read(file: Path) -> Bundle:
    try:
        return read(file)
    except OSError as fault:
        raise ProvisionError("cannot_read", FAILURES, path=file, why=fault.strerror) from fault


def _about(wheel: bytes) -> tuple[str, int]:
    """Version, and schema of the journal it writes: read, not run."""
    with tempfile.TemporaryFile() as file:
        file.write(wheel)
        try:
            with zipfile.ZipFile(file) as archive:
                metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
                version = HeaderParser().parsestr(archive.read(metadata).decode("utf-8"))["Version"]
                schema = re.search(
                    r"^SCHEMA(?:: Final)? = (\d+)$", archive.read(SCHEMA_FILE).decode("utf-8"), re.MULTILINE
                )
        except (zipfile.BadZipFile, StopIteration, KeyError, UnicodeDecodeError) as fault:
            raise ProvisionError("bad_wheel", FAILURES, name=PROGRAM, why=ascii(fault)[:80]) from None
    if schema is None:
        raise ProvisionError("bad_wheel", FAILURES, name=PROGRAM, why=SCHEMA_FILE)
    return version, int(schema.group(1))


def _unpacked(name: str, wheel: bytes) -> int:
    """Bytes it comes to in a slot, compiled. Raise ProvisionError(`bad_wheel`) for one that a slot has no place for."""
    with tempfile.TemporaryFile() as file:
        file.write(wheel)
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
        except zipfile.BadZipFile as fault:
            raise ProvisionError("bad_wheel", FAILURES, name=name, why=ascii(fault)[:80]) from None
    for member in members:
        try:
            check_member(member)
        except BundleError as fault:
            raise ProvisionError("bad_wheel", FAILURES, name=name, why=printable(str(fault))) from None
        if ".data/" in member.filename:
            raise ProvisionError("bad_wheel", FAILURES, name=name, why=member.filename[:80])
    block = 4096  # a small file takes a whole one
    return sum((member.file_size // block + 1) * block * COMPILED for member in members)


def _write(out: Path, signed: bytes, signatures: Mapping[str, bytes], wheels: Mapping[str, bytes]) -> None:
    members = {MANIFEST: signed, SIGNATURES: encode_signatures(signatures)}
    members |= {WHEELS + name: wheels[name] for name in sorted(wheels)}
    new = out.with_name(f"{out.name}.new")
    try:
        with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                member = zipfile.ZipInfo(name, LONG_AGO)
                member.external_attr = 0o100644 << 16
                archive.writestr(member, data)
        new.replace(out)
    except OSError as fault:
        raise ProvisionError("cannot_write", FAILURES, path=out, why=fault.strerror) from fault
