"""Ed25519 by the `openssl` command: no cryptography of our own, none to keep in a service's memory, also on armhf."""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

OPENSSL_S: Final = 10.0


class NotSigned(Exception):
    """`code`: `signature` (it does not fit, or there is no such key), `cannot_verify` (openssl cannot be run). `why` is ASCII."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(code)
        self.code, self.why = code, why


def verify(signed: bytes, mark: bytes, key_file: Path) -> None:
    """Raise NotSigned unless the holder of the key signed exactly these bytes."""
    with tempfile.TemporaryDirectory(prefix="zg-sent-") as directory:
        message, signature = Path(directory) / "signed", Path(directory) / "signature"
        message.write_bytes(signed)
        signature.write_bytes(mark)
        files = ("-inkey", str(key_file), "-in", str(message), "-sigfile", str(signature))
        done = _openssl("pkeyutl", "-verify", "-pubin", "-rawin", *files)
    if done.returncode:
        unread = b"public key" in done.stderr.lower()
        raise NotSigned("signature", "the key cannot be read" if unread else "it does not fit")


def key_bytes(key_file: Path) -> bytes:
    """A public key in its one form (DER), by which two files of the same key are one. Raise NotSigned if it is no Ed25519 key."""
    done = _openssl("pkey", "-pubin", "-in", str(key_file), "-outform", "DER")
    if done.returncode or not done.stdout.startswith(_ED25519):
        raise NotSigned("signature", "the key cannot be read")
    return done.stdout


_ED25519: Final = bytes.fromhex(
    "302a300506032b6570032100"
)  # RFC 8410: SubjectPublicKeyInfo up to the 32 bytes of the key


def _openssl(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=OPENSSL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise NotSigned("cannot_verify", ascii(fault)[:100]) from None
