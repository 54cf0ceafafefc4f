"""The command `history`: what the journal has, newest first, filtered and in pages a centre can hold."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from buffer.records import Priority, Record
from edge_agent.commands import Refusal
from edge_agent.uplink.source import Source, SourceError

EVENTS: Final = (Priority.ALARM, Priority.FAULT, Priority.STATUS)
LIMIT: Final = 50
CHUNK: Final = 200
LOOKED_AT_MAX: Final = 5000  # records of one query; it ends there, and `next` says where to go on
PAGE_BYTES_MAX: Final = 128 * 1024

Cursor = dict[Priority, tuple[str, int]]


async def find(source: Source, query: Mapping[str, object], restamp: Callable[[bytes], bytes]) -> dict[str, object]:
    """One page: {records: [{epoch, stream, n, ...}], next: cursor | null}. `query` was checked (edge_agent.commands.RULES).

    Raise Refusal("journal_unreadable").
    """
    streams = query.get("streams")
    priorities = tuple(p for p in EVENTS if not isinstance(streams, list) or p.stream in streams)
    limit = int(str(query.get("limit", LIMIT)))
    before = _cursor(query.get("before"))
    page: list[dict[str, object]] = []
    looked_at = size = 0
    while looked_at < LOOKED_AT_MAX:
        try:
            found = await source.history(CHUNK, priorities, before)
        except SourceError as fault:
            raise Refusal("journal_unreadable", detail=str(fault)[:200]) from None
        if not found:
            return {"records": page, "next": None}
        for record in found:
            shown = _shown(record, restamp(record.body))
            too_old = _older(shown, query.get("since_wall_ns"))
            wanted = not too_old and _wanted(shown, query)
            if wanted and (len(page) == limit or (page and size + len(record.body) > PAGE_BYTES_MAX)):
                return {"records": page, "next": _plain(before)}
            before[record.name.priority] = (record.name.epoch, record.name.n)
            looked_at += 1
            if wanted:
                page.append(shown)
                size += len(record.body)
    return {"records": page, "next": _plain(before)}


def _shown(record: Record, restamped: bytes) -> dict[str, object]:
    name: dict[str, object] = {"epoch": record.name.epoch, "stream": record.name.priority.stream, "n": record.name.n}
    try:
        body = json.loads(restamped)
    except (ValueError, RecursionError):
        body = None
    return name | (body if isinstance(body, dict) else {"raw": record.body.hex()})


def _wall_ns(shown: Mapping[str, object]) -> int | None:
    at = shown.get("at")
    wall_ns = at.get("wall_ns") if isinstance(at, dict) else None
    return wall_ns if isinstance(wall_ns, int) else None


def _older(shown: Mapping[str, object], since_ns: object) -> bool:
    wall_ns = _wall_ns(shown)
    return isinstance(since_ns, int) and wall_ns is not None and wall_ns < since_ns


def _wanted(shown: Mapping[str, object], query: Mapping[str, object]) -> bool:
    kinds, until_ns, wall_ns = query.get("kinds"), query.get("until_wall_ns"), _wall_ns(shown)
    if isinstance(kinds, list) and shown.get("kind") not in kinds:
        return False
    return not (isinstance(until_ns, int) and wall_ns is not None and wall_ns >= until_ns)


def _cursor(given: object) -> Cursor:
    names = {priority.stream: priority for priority in EVENTS}
    cursor: Cursor = {}
    for stream, place in given.items() if isinstance(given, dict) else ():
        if stream in names:
            cursor[names[stream]] = (str(place[0]), int(place[1]))
    return cursor


def _plain(cursor: Cursor) -> dict[str, object]:
    return {priority.stream: [epoch, n] for priority, (epoch, n) in cursor.items()}
