"""What goes wrong with the store, as ASCII codes. The core puts them into words."""

import errno
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoreFault:
    """One thing to tell people about a file of the journal. The codes are listed in docs/journal.md.

    `file` is the file's name inside the journal's directory, `detail` ASCII for the log, `params` what a text needs.
    """

    code: str
    file: str
    detail: str = ""
    params: Mapping[str, object] = field(default_factory=dict)


class JournalError(Exception):
    """The journal cannot be opened and must not be touched: `locked` (another writer) or `newer_schema`."""

    def __init__(self, code: str, file: str, **params: object) -> None:
        super().__init__(f"{code}: {file} {params}")
        self.code, self.file, self.params = code, file, params


class Damaged(Exception):
    """The content of a file is wrong: a header, a page, a checksum. `code` says which."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


# Primary result codes of SQLite (sqlite.org/rescode.html); the upper bytes say more and are kept in the detail.
_SQLITE = {
    sqlite3.SQLITE_CORRUPT: "corrupt",
    sqlite3.SQLITE_NOTADB: "corrupt",
    sqlite3.SQLITE_FORMAT: "corrupt",
    sqlite3.SQLITE_SCHEMA: "corrupt",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "readonly",
    sqlite3.SQLITE_PERM: "readonly",
    sqlite3.SQLITE_AUTH: "readonly",
    sqlite3.SQLITE_BUSY: "busy",
    sqlite3.SQLITE_LOCKED: "busy",
    sqlite3.SQLITE_CANTOPEN: "cantopen",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_NOMEM: "memory",
}
_ERRNO = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EROFS: "readonly",
    errno.EACCES: "readonly",
    errno.EPERM: "readonly",
}


def classify(fault: Exception) -> str:
    """The code of an exception from SQLite or the file system: corrupt full readonly busy cantopen io memory."""
    if isinstance(fault, Damaged):
        return "corrupt"
    if isinstance(fault, sqlite3.Error):
        number = getattr(fault, "sqlite_errorcode", None)
        if number is not None:
            return _SQLITE.get(number & 0xFF, "corrupt" if _missing_table(fault) else "io")
        return "corrupt" if isinstance(fault, sqlite3.DatabaseError) and _missing_table(fault) else "io"
    if isinstance(fault, OSError):
        return _ERRNO.get(fault.errno or 0, "io")
    return "io"


def _missing_table(fault: sqlite3.Error) -> bool:
    """The tables are made with the file: one that is missing, or a column of another type, is damage."""
    return isinstance(fault, sqlite3.IntegrityError) or "no such" in str(fault) or "malformed" in str(fault)


def describe(fault: Exception) -> str:
    """ASCII words for the log."""
    name = getattr(fault, "sqlite_errorname", "")
    return f"{type(fault).__name__} {name} {fault}".encode("ascii", "backslashreplace").decode()[:300]
