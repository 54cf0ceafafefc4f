"""Records of the journal as a person's tools want them: JSON lines, a CSV that Excel reads, an SQLite file."""

import base64
import contextlib
import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from buffer.records import Record
from edge_agent.boot_times import BootTimes
from edge_agent.china_time import china_time
from edge_agent.cli_words import word
from edge_agent.texts import text

COLUMNS = (
    "time", "clock", "stream", "kind", "active", "grade", "point", "name", "source", "id", "epoch", "n", "fields", "raw",
)  # fmt: skip
_FORMULA = frozenset("=+-@\t\r")
_LIKE_A_NUMBER = re.compile(r"[0-9][0-9eE.,/:+-]*")  # "1-27" would become the 27th of January
_SQLITE_BATCH = 500


def describe(record: Record, boots: BootTimes) -> dict[str, Any]:
    """One record with its name: epoch, stream, n, and body, its time put right by what is known of its boot. body_base64 where a
    body is no JSON (packed, a newer version's).
    """
    name = record.name
    shown: dict[str, Any] = {"epoch": name.epoch, "stream": name.priority.stream, "n": name.n}
    try:
        shown["body"] = json.loads(boots.restamp_body(record.body))
    except (ValueError, RecursionError):
        shown["body_base64"] = base64.b64encode(record.body).decode()
    return shown


def event_of(shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """The event in a described record, or an empty mapping."""
    body = shown.get("body")
    return body if isinstance(body, dict) else {}


def instant_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `at` of an event, or an empty mapping."""
    at = event.get("at")
    return at if isinstance(at, dict) else {}


def row_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    """One flat row under COLUMNS."""
    event = event_of(shown)
    at = instant_of(event)
    fields = event.get("fields") if "kind" in event else shown.get("body")  # what is no event is kept whole
    return {
        "time": china_time(at.get("wall_ns")),
        "clock": at.get("clock", ""),
        "stream": shown["stream"],
        "kind": event.get("kind", ""),
        "active": event.get("active", ""),
        "grade": event.get("grade", 0) if event else "",
        "point": event.get("point", ""),
        "name": event.get("name", ""),
        "source": event.get("source", ""),
        "id": event.get("id", ""),
        "epoch": shown["epoch"],
        "n": shown["n"],
        "fields": json.dumps(fields, ensure_ascii=False, separators=(",", ":")) if fields else "",
        "raw": event.get("raw", shown.get("body_base64", "")),
    }


def write_json_lines(records: Iterable[Mapping[str, Any]], out: TextIO) -> int:
    """Write one JSON object a line and return how many."""
    count = 0
    ascii_only = (getattr(out, "encoding", "utf-8") or "utf-8").lower().replace("-", "") != "utf8"
    for record in records:
        out.write(json.dumps(record, ensure_ascii=ascii_only, separators=(",", ":")) + "\n")
        count += 1
    return count


def write_csv(records: Iterable[Mapping[str, Any]], out: TextIO, lang: str) -> int:
    """Write rows for Excel and return how many. `out` must be UTF-8 with BOM and newline=""."""
    writer = csv.writer(out)
    writer.writerow([text(f"journal.col_{column}", lang) for column in COLUMNS])
    count = 0
    for record in records:
        row = row_of(record)
        kind = row["kind"]
        if kind:
            row["kind"] = word(f"alarm.kind_{kind}", kind, lang)
        if row["active"] != "":
            row["active"] = text("cli.change_on" if row["active"] else "cli.change_off", lang)
        writer.writerow([_cell(column, row[column]) for column in COLUMNS])
        count += 1
    return count


def _cell(column: str, value: object) -> object:
    """A cell Excel shows as it is: no formula runs, and no long number or hex turns into 1.2E+15."""
    if not isinstance(value, str):
        return value
    value = value.replace("\x00", "")
    if value[:1] in _FORMULA:
        return "'" + value
    if column != "time" and _LIKE_A_NUMBER.fullmatch(value):
        return f'="{value}"'
    return value


def write_sqlite(records: Iterable[Mapping[str, Any]], path: Path) -> int:
    """Write rows to table `records` of a database file of its own. Raise ModuleNotFoundError without the extra "tools", OSError."""
    import sqlite3

    import sqlite_utils

    count = 0
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            rows = sqlite_utils.Database(connection).table("records")
            for batch in _batches(records):
                rows.insert_all(batch, pk=("epoch", "stream", "n"), replace=True)
                count += len(batch)
    except sqlite3.Error as fault:
        raise OSError(0, str(fault)) from fault
    return count


def _batches(records: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for record in records:
        batch.append(row_of(record))
        if len(batch) == _SQLITE_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
