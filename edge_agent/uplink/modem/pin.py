"""The SIM's PIN: from a file of its own, and never tried twice. A third wrong PIN locks the SIM, and restarts must not count."""

import hashlib
import logging
import re
from pathlib import Path
from typing import Final

log = logging.getLogger("edge.modem")

_PIN: Final = re.compile(r"\d{4,8}")
_FILE_BYTES_MAX: Final = 64


def read_pin(file: Path | None) -> str:
    """The PIN in `file`; "" without one, or if it holds no 4-8 digits."""
    if file is None:
        return ""
    try:
        with file.open("rb") as stream:
            written = stream.read(_FILE_BYTES_MAX).decode("ascii", "replace").strip()
    except OSError as fault:
        log.error("pin file errno=%s", fault.errno)
        return ""
    return written if _PIN.fullmatch(written) else ""


class PinMemory:
    """Remembers in `file` which PIN was tried and not yet accepted, as a hash: the PIN itself stays in its own file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def may_try(self, pin: str) -> bool:
        """Whether this PIN was never sent without being accepted; noted before it is sent, so that a power cut makes no second
        try of it. False where it cannot be noted. A changed PIN file may be tried.
        """
        try:
            if self._file.exists() and self._file.read_text("ascii").strip() == _hash(pin):
                return False
            self._file.write_text(_hash(pin), "ascii")
        except (OSError, UnicodeDecodeError) as fault:
            log.error("pin not sent: it cannot be noted fault=%s", ascii(fault))
            return False
        return True

    def accepted(self) -> None:
        """The SIM is open."""
        self._file.unlink(missing_ok=True)


def _hash(pin: str) -> str:
    return hashlib.sha256(b"edge-agent pin " + pin.encode()).hexdigest()
