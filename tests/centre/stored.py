"""What is in the rows of a centre's database, a file or a server, read without the centre."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import NamedTuple

import psycopg

from simulators.centre.store import Database


class Stored(NamedTuple):
    """One record."""

    gateway: str
    stream: str
    n: int
    body: dict[str, object]


def stored_in(db: Database) -> list[Stored]:
    """Every record, by gateway, stream and number."""
    query = "SELECT gateway, stream, n, body FROM records JOIN streams USING (stream_id) ORDER BY gateway, stream, n"
    if isinstance(db, Path):
        with contextlib.closing(sqlite3.connect(db)) as file:
            rows = file.execute(query).fetchall()
    else:
        with psycopg.connect(db) as server:
            rows = server.execute(query).fetchall()
    return [Stored(*name, json.loads(body)) for *name, body in rows]


def bodies(db: Database) -> dict[int, dict[str, object]]:
    """What is in the rows of the only stream, by n."""
    return {row.n: row.body for row in stored_in(db)}
