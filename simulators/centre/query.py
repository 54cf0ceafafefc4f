"""Questions to a centre's database. Read only; safe while the centre runs.

`look` answers them for either store; the functions below are the file's, those of pg_query.py the server's.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from simulators.centre.store import COUNTERS, Database, StoreFault, is_server

Row = dict[str, object]
GAP_KEYS: Final = ("gateway", "epoch", "stream", "first", "last", "why")
EVENT_KEYS: Final = ("gateway", "epoch", "stream", "n", "received_ns")

# Numbers between two that are settled, found anew from the rows themselves: nothing the running centre believes is trusted.
_MISSING: Final = """
WITH settled(stream_id, first, last) AS (
  SELECT stream_id, n, n FROM records WHERE NOT brief UNION ALL SELECT stream_id, first, last FROM gaps
), followed AS (
  SELECT stream_id, first,
    1 + COALESCE(MAX(last) OVER (PARTITION BY stream_id ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
      AS expected
  FROM settled
)
SELECT gateway, epoch, stream, expected, first - 1 FROM followed JOIN streams USING (stream_id)
WHERE first > expected ORDER BY gateway, epoch, stream, expected
"""


class Look(Protocol):
    """The questions. Raise StoreFault."""

    def gaps(self, *, recount: bool = False) -> list[Row]:
        """What is not here: `missing` will be asked for again; `gone` and `refused` the gateway says will never come.

        `recount` finds it anew from the records themselves, which a file does always.
        """
        ...

    def events(self, *, gateway: str = "", stream: str = "", limit: int = 100) -> list[Row]:
        """The latest events, newest last, each once whatever names it came under."""
        ...

    def pictures(self, *, gateway: str = "", limit: int = 100) -> list[Row]:
        """What is told of the latest pictures, newest last; `parts` of `of` are here."""
        ...

    def parts(self, gateway: str, picture: str) -> list[Row]:
        """The records of one picture."""
        ...

    def gateways(self) -> list[Row]:
        """Who has ever spoken, and how much of each is stored."""
        ...

    def stats(self) -> Row:
        """Counters since the database was made."""
        ...


@contextmanager
def look(db: Database) -> Iterator[Look]:
    """Open a database to read. Raise FileNotFoundError, StoreFault, or ImportError without the driver of PostgreSQL."""
    if is_server(db):
        from simulators.centre.pg_query import ServerLook

        with ServerLook.opened(db) as server:
            yield server
    else:
        try:
            with opened(Path(db)) as database:
                yield FileLook(database)
        except sqlite3.Error as fault:
            raise StoreFault(str(fault)) from fault


class FileLook:
    """A file's answers."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def gaps(self, *, recount: bool = False) -> list[Row]:
        """As Look says; counted anew in any case."""
        return gaps(self._database)

    def events(self, *, gateway: str = "", stream: str = "", limit: int = 100) -> list[Row]:
        """As Look says."""
        return events(self._database, gateway=gateway, stream=stream, limit=limit)

    def pictures(self, *, gateway: str = "", limit: int = 100) -> list[Row]:
        """As Look says."""
        rows = self._database.execute(
            "SELECT s.gateway, r.received_ns, r.body, (SELECT COUNT(DISTINCT json_extract(p.body, '$.part')) FROM records p"
            "  JOIN streams t USING (stream_id) WHERE t.stream = 'media' AND t.gateway = s.gateway"
            "  AND json_extract(p.body, '$.picture') = json_extract(r.body, '$.picture'))"
            " FROM records r JOIN streams s USING (stream_id)"
            " WHERE s.stream = 'media' AND json_extract(r.body, '$.part') = 1 AND (?1 = '' OR s.gateway = ?1)"
            " ORDER BY r.received_ns DESC, r.n DESC LIMIT ?2",
            (gateway, limit),
        ).fetchall()
        return [picture_row(*row) for row in reversed(rows)]

    def parts(self, gateway: str, picture: str) -> list[Row]:
        """As Look says."""
        rows = self._database.execute(
            "SELECT r.body FROM records r JOIN streams s USING (stream_id) WHERE s.stream = 'media' AND s.gateway = ?"
            " AND json_extract(r.body, '$.picture') = ?",
            (gateway, picture),
        )
        return [json.loads(body) for (body,) in rows]

    def gateways(self) -> list[Row]:
        """As Look says."""
        return gateways(self._database)

    def stats(self) -> Row:
        """As Look says."""
        return stats(self._database)


def picture_row(gateway: str, received_ns: int, body: str, parts: int) -> Row:
    """What the first record of a picture tells, without its bytes."""
    told = {key: value for key, value in json.loads(body).items() if key not in ("data", "part")}
    return {"gateway": gateway, "received_ns": received_ns, "parts": parts, **told}


@contextmanager
def opened(db: Path) -> Iterator[sqlite3.Connection]:
    """The database, to read. Raise FileNotFoundError or sqlite3.Error."""
    if not db.exists():
        raise FileNotFoundError(db)
    database = sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=5.0)
    try:
        yield database
    finally:
        database.close()


def gaps(database: sqlite3.Connection) -> list[Row]:
    """What is not here: `missing` will be asked for again; `gone` and `refused` the gateway says will never come."""
    found: list[Row] = [dict(zip(GAP_KEYS, (*row, "missing"), strict=True)) for row in database.execute(_MISSING)]
    declared = database.execute(
        "SELECT gateway, epoch, stream, first, last, why FROM gaps JOIN streams USING (stream_id)"
        " ORDER BY gateway, epoch, stream, first"
    )
    return found + [dict(zip(GAP_KEYS, row, strict=True)) for row in declared]


def events(database: sqlite3.Connection, *, gateway: str = "", stream: str = "", limit: int = 100) -> list[Row]:
    """The latest events, newest last, each once whatever names it came under."""
    rows = database.execute(
        "SELECT s.gateway, s.epoch, s.stream, r.n, r.received_ns, r.brief, r.body"
        " FROM records r JOIN streams s USING (stream_id)"
        " LEFT JOIN events e ON e.stream_id = r.stream_id AND e.n = r.n AND e.gateway = s.gateway"
        "   AND e.id = json_extract(r.body, '$.id')"
        " WHERE s.stream != 'telemetry' AND (e.id IS NOT NULL OR r.brief)"
        " AND (?1 = '' OR s.gateway = ?1) AND (?2 = '' OR s.stream = ?2)"
        " ORDER BY r.received_ns DESC, s.epoch DESC, r.n DESC LIMIT ?3",
        (gateway, stream, limit),
    ).fetchall()
    return [
        {**dict(zip(EVENT_KEYS, row, strict=False)), "brief": bool(brief), **json.loads(body)}
        for *row, brief, body in reversed(rows)
    ]


def gateways(database: sqlite3.Connection) -> list[Row]:
    """Who has ever spoken, and how much of each is stored."""
    found: list[Row] = []
    for gateway, online, seen_ns, state in database.execute("SELECT * FROM gateways ORDER BY gateway"):
        said = json.loads(state)
        streams: dict[str, int] = dict(
            database.execute(
                "SELECT s.stream, COUNT(*) FROM records JOIN streams s USING (stream_id) WHERE s.gateway = ? GROUP BY s.stream",
                (gateway,),
            ).fetchall()
        )
        found.append(
            {
                "gateway": gateway,
                "online": bool(online),
                "seen_ns": seen_ns,
                "agent": said.get("agent", ""),
                "stored": streams,
            }
        )
    return found


def stats(database: sqlite3.Connection) -> Row:
    """Counters since the database was made. `lost` numbers were declared gone or refused by their gateways."""
    counted: dict[str, int] = dict(database.execute("SELECT name, value FROM counters").fetchall())
    found: Row = {name: counted.get(name, 0) for name in COUNTERS}
    found["gateways"] = database.execute("SELECT COUNT(*) FROM gateways").fetchone()[0]
    found["missing"] = sum(last - first + 1 for *_, first, last in database.execute(_MISSING))
    return found
