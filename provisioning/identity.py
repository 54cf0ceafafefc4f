"""The gateway's key, certificate request and certificate. All cryptography is the `openssl` command's."""

import base64
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge_agent.config.keys import FORMS
from edge_agent.terminal import FAILURES, USAGE, printable
from provisioning.errors import ProvisionError
from provisioning.openssl import openssl

KEY, REQUEST, CERTIFICATE = "gateway.key", "gateway.csr", "gateway.crt"
SOON_DAYS: Final = 30
_PEM_BYTES_MAX: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """One PEM file. Fingerprints are SHA-256 in hex; `public` is that of the public key, equal for all that belong together."""

    path: Path
    kind: str  # key | request | certificate
    public: str
    subject: str = ""
    names: tuple[str, ...] = ()
    fingerprint: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    mode: int | None = None  # of a key: who may read it


@dataclass(slots=True)
class Doubts:
    """What is wrong with a set of files: (code, params), for the catalogue."""

    failures: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    warnings: list[tuple[str, dict[str, object]]] = field(default_factory=list)


def check_gateway(gateway: str) -> str:
    """`gateway`, or ProvisionError if it cannot be an id."""
    if not FORMS["gateway_id"].fullmatch(gateway):
        raise ProvisionError("bad_gateway", USAGE, value=printable(gateway[:60]))
    return gateway


def make(gateway: str, out: Path) -> Found:
    """Make `out`/gateway.key (EC P-256, mode 0600) and gateway.csr with `gateway` as CN and DNS name.

    Raise ProvisionError: bad_gateway, exists (nothing was changed), cannot_write, no_openssl, openssl_failed.
    """
    check_gateway(gateway)
    for name in (KEY, REQUEST, CERTIFICATE):
        if os.path.lexists(out / name):
            raise ProvisionError("exists", FAILURES, path=out / name)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as scratch:  # mode 0700
            key, request = Path(scratch) / KEY, Path(scratch) / REQUEST
            os.close(os.open(key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # openssl keeps the mode of what exists
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
            key.chmod(0o600)
            openssl(
                *("req", "-new", "-sha256", "-key", str(key), "-subj", f"/CN={gateway}"),
                *("-addext", f"subjectAltName=DNS:{gateway}", "-out", str(request)),
            )
            request.chmod(0o644)
            for made in (key, request):
                with made.open("rb") as stream:
                    os.fsync(stream.fileno())
                os.link(made, out / made.name)  # fails where rename would overwrite
    except FileExistsError as fault:
        raise ProvisionError("exists", FAILURES, path=fault.filename2 or fault.filename or out) from fault
    except OSError as fault:
        raise ProvisionError("cannot_write", FAILURES, path=out, why=fault.strerror) from fault
    return read(out / REQUEST)


def find(path: Path) -> list[Found]:
    """The files of an identity: `path` itself, or those in it. Raise ProvisionError."""
    if not path.is_dir():
        return [read(path)]
    present = [path / name for name in (KEY, REQUEST, CERTIFICATE) if (path / name).exists()]
    if not present:
        raise ProvisionError("nothing_found", FAILURES, path=path)
    return [read(file) for file in present]


def read(path: Path) -> Found:
    """Read one PEM file. Raise ProvisionError: cannot_read, not_pem, no_openssl."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_PEM_BYTES_MAX)
            mode = os.fstat(stream.fileno()).st_mode & 0o777
    except OSError as fault:
        raise ProvisionError("cannot_read", FAILURES, path=path, why=fault.strerror) from fault
    try:
        if b"PRIVATE KEY-----" in data:
            return Found(
                path, "key", _hash_pem(openssl("pkey", "-in", str(path), "-pubout", "-passin", "pass:")), mode=mode
            )
        if b"-----BEGIN CERTIFICATE REQUEST-----" in data:
            said = openssl(
                "req", "-in", str(path), "-noout", "-subject", "-nameopt", "multiline,utf8,-esc_msb", "-text"
            )
            public = _hash_pem(openssl("req", "-in", str(path), "-noout", "-pubkey"))
            return Found(path, "request", public, _common_name(said), _names(said))
        if b"-----BEGIN CERTIFICATE-----" in data:
            return _read_certificate(path)
    except ProvisionError as fault:
        if fault.code != "openssl_failed":
            raise
    raise ProvisionError("not_pem", FAILURES, path=path)


def _read_certificate(path: Path) -> Found:
    said = openssl(
        *("x509", "-in", str(path), "-noout", "-subject", "-nameopt", "multiline,utf8,-esc_msb"),
        *("-startdate", "-enddate", "-fingerprint", "-sha256", "-text"),
    )
    fingerprint = re.search(r"[Ff]ingerprint=([0-9A-F:]+)", said)
    return Found(
        path,
        "certificate",
        _hash_pem(openssl("x509", "-in", str(path), "-noout", "-pubkey")),
        _common_name(said),
        _names(said),
        fingerprint.group(1).replace(":", "").lower() if fingerprint else "",
        _date(said, "notBefore"),
        _date(said, "notAfter"),
    )


def doubts(found: list[Found], now: datetime) -> Doubts:
    """What keeps these files from being used together, and what soon will."""
    doubt = Doubts()
    for one in found:
        if one.public != found[0].public:
            doubt.failures.append(("mismatch", {"path": one.path, "first": found[0].path}))
        if one.mode is not None and one.mode & 0o027:
            doubt.failures.append(("key_open", {"path": one.path, "mode": f"{one.mode:04o}"}))
        if one.not_after is not None and one.not_before is not None:
            days = (one.not_after - now).days
            if one.not_after <= now:
                doubt.failures.append(("expired", {"path": one.path}))
            elif one.not_before > now:
                doubt.warnings.append(("not_yet_valid", {"path": one.path}))
            elif days < SOON_DAYS:
                doubt.warnings.append(("expires_soon", {"path": one.path, "days": days}))
    return doubt


def _hash_pem(text: str) -> str:
    body = re.search(r"-----BEGIN PUBLIC KEY-----(.+?)-----END", text, flags=re.DOTALL)
    return hashlib.sha256(base64.b64decode(body.group(1))).hexdigest() if body else ""


def _common_name(said: str) -> str:
    match = re.search(r"commonName\s*=\s*(.+)", said)
    return printable(match.group(1).strip()[:100]) if match else ""


def _names(said: str) -> tuple[str, ...]:
    return tuple(printable(name) for name in re.findall(r"\b(?:DNS|IP Address|URI):([^\s,]{1,100})", said)[:20])


def _date(said: str, name: str) -> datetime | None:
    match = re.search(rf"{name}=(.+)", said)
    if match is None:
        return None
    try:
        return datetime.strptime(match.group(1).strip(), "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
