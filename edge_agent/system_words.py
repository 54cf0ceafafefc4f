"""What the system says of a file, port or address it will not give, in the reader's language.

Errors travel as the system's own English (`OSError.strerror`), which logs and JSON keep; people are told by this.
"""

import errno
import functools
import os
from collections.abc import Mapping

from edge_agent.texts import text

# Those a file, a port or a network can answer with.
_SAID = (
    *(
        "ENOENT",
        "EACCES",
        "EPERM",
        "EEXIST",
        "ENOTDIR",
        "EISDIR",
        "ENOTEMPTY",
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "EIO",
        "EFBIG",
    ),
    *("EINVAL", "ENAMETOOLONG", "ELOOP", "EBUSY", "ETXTBSY", "ENODEV", "ENXIO", "EMFILE", "ENFILE", "ENOMEM"),
    *(
        "EADDRINUSE",
        "EADDRNOTAVAIL",
        "ECONNREFUSED",
        "ECONNRESET",
        "ETIMEDOUT",
        "EHOSTUNREACH",
        "ENETUNREACH",
        "EAGAIN",
    ),
    "ENOTSOCK",
)
# What SQLite says of a file; its errors carry no strerror.
_SQLITE = {
    "file is not a database": "not_a_database",
    "unable to open database file": "database_shut",
    "database is locked": "database_locked",
    "database disk image is malformed": "database_damaged",
    "attempt to write a readonly database": "erofs",
    "database or disk is full": "enospc",
    "disk I/O error": "eio",
}


@functools.cache
def _keys() -> Mapping[str, str]:
    named = {os.strerror(getattr(errno, name)): name.lower() for name in _SAID}
    return {**named, "invalid name": "invalid_name", **_SQLITE}


def system_words(said: object, lang: str) -> str:
    """`said`, an `OSError.strerror` or an OSError, in words; anything else as it is."""
    words = said.strerror or str(said) if isinstance(said, OSError) else str(said)
    key = _keys().get(words)
    return text(f"system.{key}", lang) if key else words
