"""The journal as people look at it: newest first across streams, or in the order it was kept. Reads only."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buffer.records import Priority
from edge_agent.boot_times import STATE_KEY, BootTimes
from edge_agent.journal_export import describe, event_of, instant_of
from edge_agent.terminal import CliContext, printable
from edge_agent.texts import text

if TYPE_CHECKING:
    from buffer.reader import JournalReader

EVENT_STREAMS = (Priority.ALARM, Priority.FAULT, Priority.STATUS)
CHUNK = 500
CHUNK_BYTES = 4 * 1024 * 1024


class Unreadable(Exception):
    """There is no journal, or it cannot be read. `code` is ASCII; `journal.<code>` says it in words."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code, self.params = code, params

    def say(self, lang: str) -> str:
        """In words."""
        return text(f"journal.{self.code}", lang, **self.params)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator["JournalReader"]:
    """A reader of `directory`. Raise Unreadable if there is no journal, or as soon as one of its files cannot be read."""
    import sqlite3

    from buffer.faults import JournalError
    from buffer.reader import JournalReader

    shown = printable(str(directory))
    try:
        if not any((directory / name).exists() for name in ("vital.db", "bulk.db")):
            raise Unreadable("missing", path=shown)
        with JournalReader.open(directory) as reader:
            yield reader
    except PermissionError:
        raise Unreadable("no_permission", path=shown) from None
    except JournalError as fault:
        raise Unreadable("newer_schema", path=shown) if fault.code == "newer_schema" else fault from None
    except (sqlite3.Error, OSError) as fault:
        raise Unreadable("unreadable", path=shown, detail=printable(str(fault))) from None


def journal_dir(obj: CliContext, given: Path | None) -> Path:
    """`given`, else that of the configuration in force, else the one a gateway has."""
    if given is not None:
        return given
    from edge_agent.last_good import gateway_of

    return gateway_of(obj.config_dir).data_dir


def priorities(streams: Sequence[str]) -> tuple[Priority, ...]:
    """Streams by their names; those of events where none is named."""
    return tuple(Priority[stream.upper()] for stream in streams) or EVENT_STREAMS


def in_order(
    reader: "JournalReader", streams: Iterable[Priority], *, epoch: str | None = None, after: int = 0
) -> Iterator[dict[str, Any]]:
    """Every sound record of `streams`, stream by stream, oldest first, `after` that number in each epoch."""
    heads, boots = reader.heads(), _boots(reader)
    for stream in streams:
        for name in reader.epochs(stream) if epoch is None else [epoch]:
            last = after
            while last < heads.get((name, stream), 0):
                records = reader.read(stream, name, last, CHUNK, CHUNK_BYTES)
                yield from (describe(record, boots) for record in records)
                last = records[-1].name.n if records else last + CHUNK  # a chunk of nothing but damage


def _boots(reader: "JournalReader") -> BootTimes:
    boots = BootTimes()
    boots.restore(reader.state(STATE_KEY))
    return boots


def newest_first(reader: "JournalReader", streams: Sequence[Priority]) -> Iterator[dict[str, Any]]:
    """Records of `streams` together, newest first by when they were kept."""
    before: dict[Priority, tuple[str, int]] = {}
    boots = _boots(reader)
    while records := reader.history(CHUNK, streams, before=before):
        for record in records:
            before[record.name.priority] = (record.name.epoch, record.name.n)
            yield describe(record, boots)


def within(shown: Iterable[Mapping[str, Any]], since_s: float | None) -> Iterator[Mapping[str, Any]]:
    """Those of the last `since_s`. What a clock that had never been set dated is shown: nobody knows that it is old."""
    if since_s is None:
        yield from shown
        return
    first_ns = time.time_ns() - round(since_s * 1e9)
    for record in shown:
        at = instant_of(event_of(record))
        wall_ns = at.get("wall_ns")
        if (isinstance(wall_ns, int) and wall_ns >= first_ns) or at.get("clock") == "unset":
            yield record
