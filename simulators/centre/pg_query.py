"""Questions to a city's database, as query.py asks them of a file. Read only; safe while consumers run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from simulators.centre.query import EVENT_KEYS, GAP_KEYS, Row, picture_row
from simulators.centre.store import COUNTERS, StoreFault

# What the consumers keep with every commit: no record is looked at.
_MISSING = """
SELECT gateway, epoch, stream, lower(hole), upper(hole) - 1
FROM streams, unnest(int8multirange(int8range(1, upper(settled))) - settled) AS hole
WHERE NOT isempty(settled) ORDER BY gateway, epoch, stream, lower(hole)
"""
# The same found anew from the rows themselves: nothing the consumers believe is trusted. Reads every key.
_RECOUNT = """
WITH settled AS (
  SELECT stream_id, n AS first, n AS last FROM records WHERE NOT brief UNION ALL SELECT stream_id, first, last FROM gaps
), followed AS (
  SELECT stream_id, first,
    1 + coalesce(max(last) OVER (PARTITION BY stream_id ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
      AS expected
  FROM settled
)
SELECT gateway, epoch, stream, expected, first - 1 FROM followed JOIN streams USING (stream_id)
WHERE first > expected ORDER BY gateway, epoch, stream, expected
"""

# The latest that have an id, and the latest briefs, which need not.
_EVENTS = """
WITH latest AS (
  (SELECT e.stream_id, e.n FROM events e JOIN streams s USING (stream_id)
   WHERE (%(gateway)s = '' OR e.gateway = %(gateway)s) AND (%(stream)s = '' OR s.stream = %(stream)s)
   ORDER BY e.received_ns DESC LIMIT %(limit)s)
  UNION
  (SELECT r.stream_id, r.n FROM records r JOIN streams s USING (stream_id)
   WHERE r.brief AND (%(gateway)s = '' OR s.gateway = %(gateway)s) AND (%(stream)s = '' OR s.stream = %(stream)s)
   ORDER BY r.received_ns DESC LIMIT %(limit)s)
)
SELECT s.gateway, s.epoch, s.stream, r.n, r.received_ns, r.brief, r.body
FROM latest JOIN records r USING (stream_id, n) JOIN streams s USING (stream_id)
ORDER BY r.received_ns DESC, s.epoch DESC, r.n DESC LIMIT %(limit)s
"""

_PICTURES = """
WITH parts AS (
  SELECT s.gateway, r.received_ns, r.n, r.body, r.body::json ->> 'picture' AS picture, (r.body::json ->> 'part')::bigint AS part
  FROM records r JOIN streams s USING (stream_id)
  WHERE s.stream = 'media' AND r.body::json -> 'gap' IS NULL AND (%(gateway)s = '' OR s.gateway = %(gateway)s)
)
SELECT gateway, received_ns, body,
  (SELECT count(DISTINCT o.part) FROM parts o WHERE (o.gateway, o.picture) = (parts.gateway, parts.picture))
FROM parts WHERE part = 1 ORDER BY received_ns DESC, n DESC LIMIT %(limit)s
"""

_STORED = """
SELECT gateway, stream, sum(count)::bigint
FROM streams JOIN (
  SELECT stream_id, upper(part) - lower(part) AS count FROM streams, unnest(settled) AS part
  UNION ALL SELECT stream_id, first - last - 1 FROM gaps
) AS counted USING (stream_id)
GROUP BY gateway, stream ORDER BY stream
"""


class ServerLook:
    """A server's answers, in one read-only transaction: they fit together."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    @classmethod
    @contextmanager
    def opened(cls, url: str) -> Iterator["ServerLook"]:
        """Connect, to read. Raise StoreFault, there and in the answers."""
        try:
            with psycopg.connect(url, connect_timeout=10, fallback_application_name="edge-centre") as connection:
                connection.read_only = True
                connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
                yield cls(connection)
        except psycopg.Error as fault:
            raise StoreFault(str(fault).strip()) from fault

    def gaps(self, *, recount: bool = False) -> list[Row]:
        """As Look says."""
        missing = self._connection.execute(_RECOUNT if recount else _MISSING).fetchall()
        declared = self._connection.execute(
            "SELECT gateway, epoch, stream, first, last, why FROM gaps JOIN streams USING (stream_id)"
            " ORDER BY gateway, epoch, stream, first"
        )
        return [dict(zip(GAP_KEYS, (*row, "missing"), strict=True)) for row in missing] + [
            dict(zip(GAP_KEYS, row, strict=True)) for row in declared
        ]

    def events(self, *, gateway: str = "", stream: str = "", limit: int = 100) -> list[Row]:
        """As Look says."""
        asked = {"gateway": gateway, "stream": stream, "limit": limit}
        rows = self._connection.execute(_EVENTS, asked).fetchall()
        return [
            {**dict(zip(EVENT_KEYS, row, strict=False)), "brief": brief, **json.loads(body)}
            for *row, brief, body in reversed(rows)
        ]

    def pictures(self, *, gateway: str = "", limit: int = 100) -> list[Row]:
        """As Look says."""
        rows = self._connection.execute(_PICTURES, {"gateway": gateway, "limit": limit}).fetchall()
        return [picture_row(*row) for row in reversed(rows)]

    def parts(self, gateway: str, picture: str) -> list[Row]:
        """As Look says."""
        rows = self._connection.execute(
            "SELECT r.body FROM records r JOIN streams s USING (stream_id) WHERE s.stream = 'media' AND s.gateway = %s"
            " AND r.body::json ->> 'picture' = %s",
            (gateway, picture),
        )
        return [json.loads(body) for (body,) in rows]

    def gateways(self) -> list[Row]:
        """As Look says."""
        stored: dict[str, dict[str, int]] = {}
        for gateway, stream, count in self._connection.execute(_STORED):
            stored.setdefault(gateway, {})[stream] = count
        rows = self._connection.execute("SELECT gateway, online, seen_ns, state FROM gateways ORDER BY gateway")
        return [
            {
                "gateway": gateway,
                "online": online,
                "seen_ns": seen_ns,
                "agent": json.loads(state).get("agent", ""),
                "stored": stored.get(gateway, {}),
            }
            for gateway, online, seen_ns, state in rows
        ]

    def stats(self) -> Row:
        """As Look says, of all consumers together."""
        counted: dict[str, int] = dict(
            self._connection.execute("SELECT name, sum(value)::bigint FROM counters GROUP BY name").fetchall()
        )
        found: Row = {name: counted.get(name, 0) for name in COUNTERS}
        rows = self._connection.execute("SELECT count(*) FROM gateways").fetchall()
        found["gateways"] = rows[0][0]
        found["missing"] = sum(last - first + 1 for *_, first, last in self._connection.execute(_MISSING))
        return found
