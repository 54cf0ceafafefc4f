"""SQLite's own opinion of a file."""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

from buffer.disk import quoted
from buffer.faults import describe


def quick_check(path: Path, stop: Callable[[], bool] = lambda: False) -> str:
    """What SQLite's quick_check says of a file, table by table; "" if nothing is wrong, or if it cannot be told from here."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quoted(path)}?mode=ro", uri=True, isolation_level=None)) as db:
            db.execute("PRAGMA cache_size = -256")
            tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            if not tables:
                return "no tables"  # to SQLite an emptied file is a sound one
            for (table,) in tables:
                if stop():
                    return ""
                first = db.execute(f"PRAGMA quick_check({table})").fetchone()[0]
                if first != "ok":
                    return f"{table}: {first}"[:200]
    except sqlite3.DatabaseError as fault:
        return (
            describe(fault)
            if getattr(fault, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
            else ""
        )
    return ""
