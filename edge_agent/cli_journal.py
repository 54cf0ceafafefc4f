"""`edge-agent journal verify|stats|list|export`: look at the journal without touching it, while the agent runs or not."""

import functools
import io
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.cli_base import Choice, FilePath, Seconds, Whole
from edge_agent.cli_events import event_lines
from edge_agent.cli_words import word
from edge_agent.journal_export import write_csv, write_json_lines, write_sqlite
from edge_agent.journal_view import Unreadable, in_order, journal_dir, opened, priorities, within
from edge_agent.system_words import system_words
from edge_agent.terminal import FAILURES, OK, CliContext, print_json, print_lines, printable, table
from edge_agent.texts import text

STREAMS = ("alarm", "fault", "status", "telemetry", "media")
LIST_LIMIT = 100
SHOWN_MAX = 50  # findings for a person; --json has them all

_directory = click.option("--dir", "directory", type=FilePath(), metavar="DIR")


def _said(command: Callable[..., int]) -> Callable[..., int]:
    """A command that reads the journal: what keeps it from that is said in words and exits 2."""

    @functools.wraps(command)
    def run(obj: CliContext, **params: Any) -> int:
        try:
            return command(obj, **params)
        except Unreadable as reason:
            if obj.json_out:
                print_json({"error": reason.code, "params": reason.params})
            print_lines([reason.say(obj.lang)], err=True)
            return FAILURES

    return run


@click.group()
def journal_group() -> None:
    """Words for it are in the catalogue."""


@journal_group.command("verify")
@_directory
@click.pass_obj
@_said
def verify(obj: CliContext, directory: Path | None) -> int:
    """Every page, every checksum, every number."""
    with opened(journal_dir(obj, directory)) as reader:
        found = reader.verify()
    if obj.json_out:
        print_json({"ok": found.ok, "records": found.records, "bad": found.bad, "missing": found.missing})
        return OK if found.ok else FAILURES
    lang, count = obj.lang, sum(found.records.values())
    lines = [
        text("journal.verify_sound" if found.ok else "journal.verify_damaged", lang, count=count, bad=len(found.bad))
    ]
    lines += _findings(found.bad)
    if found.missing:
        lines += [text("journal.verify_missing", lang), *_findings(found.missing)]
    print_lines(lines)
    return OK if found.ok else FAILURES


def _findings(found: Iterable[Mapping[str, object]]) -> list[str]:
    lines = ["    " + printable(" ".join(f"{key}={value}" for key, value in finding.items())) for finding in found]
    return lines if len(lines) <= SHOWN_MAX else [*lines[:SHOWN_MAX], f"    ... {len(lines) - SHOWN_MAX}"]


@journal_group.command("stats")
@_directory
@click.pass_obj
@_said
def stats(obj: CliContext, directory: Path | None) -> int:
    """How much there is of what, and how far the centres have it."""
    with opened(journal_dir(obj, directory)) as reader:
        found = reader.stats()
    if obj.json_out:
        print_json(found)
    else:
        print_lines(_stats_lines(found, obj.lang))
    return OK


def _stats_lines(found: Mapping[str, Any], lang: str) -> list[str]:
    lines = [f"{text('journal.stats_directory', lang)}: {printable(str(found['directory']))}"]
    for name in ("vital", "bulk"):
        file = found[name]
        if not file["present"]:
            lines.append(text("journal.stats_absent", lang, file=f"{name}.db"))
            continue
        sizes = {"size": _size(file["bytes"]), "wal": _size(file["wal_bytes"]), "free": _size(file["free_bytes"])}
        lines.append(text("journal.stats_file", lang, file=f"{name}.db", **sizes))
        rows = []
        for stream, held in file["streams"].items():
            last = held["last"]
            through = text("journal.stats_through", lang, n=last["n"], epoch=last["epoch"]) if last else ""
            rows.append(
                (f"  {_stream(stream, lang)}", text("journal.stats_records", lang, count=held["records"]), through)
            )
        lines += table((), rows)
        lines += [
            "  "
            + text(
                "journal.stats_confirmed",
                lang,
                destination=mark["destination"],
                stream=_stream(mark["stream"], lang),
                n=mark["through"],
            )
            for mark in file["confirmed"]
        ]
    lines.append(text("journal.stats_reserve", lang, size=_size(found["reserve_bytes"])))
    if found["set_aside"]:
        lines.append(text("journal.stats_set_aside", lang, files=", ".join(found["set_aside"])))
    return lines


def _stream(stream: str, lang: str) -> str:
    """A stream in words, with the name that --stream takes."""
    return word(f"journal.stream_{stream}", stream, lang)


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MiB" if count >= 1024 * 1024 else f"{count / 1024:.0f} KiB"


@journal_group.command("list")
@click.option("--stream", type=Choice(STREAMS), default="alarm")
@click.option("--after", type=Whole(0, 1 << 40), default=0, metavar="N")
@click.option("--epoch", metavar="NAME")
@click.option("--limit", type=Whole(1, 10_000), default=LIST_LIMIT, metavar="N")
@_directory
@click.pass_obj
@_said
def list_(obj: CliContext, *, stream: str, after: int, epoch: str | None, limit: int, directory: Path | None) -> int:
    """Records in the order they were kept."""
    with opened(journal_dir(obj, directory)) as reader:
        found = list(itertools.islice(in_order(reader, priorities([stream]), epoch=epoch, after=after), limit))
    if obj.json_out:
        print_json(found)
    elif not found:
        print_lines([text("journal.no_records", obj.lang)])
    else:
        print_lines(event_lines(found, obj.lang, names=True))
    return OK


@journal_group.command("export")
@click.option("--csv", "csv_file", type=FilePath(), metavar="FILE")
@click.option("--sqlite", "sqlite_file", type=FilePath(), metavar="FILE")
@click.option("--stream", "streams", type=Choice(STREAMS), multiple=True)
@click.option("--since", type=Seconds(), metavar="7d")
@_directory
@click.pass_obj
@_said
def export(
    obj: CliContext,
    *,
    csv_file: Path | None,
    sqlite_file: Path | None,
    streams: tuple[str, ...],
    since: float | None,
    directory: Path | None,
) -> int:
    """Records for other tools."""
    if csv_file and sqlite_file:
        raise click.UsageError(text("journal.one_target", obj.lang), click.get_current_context())
    target = sqlite_file or (csv_file if csv_file != Path("-") else None)
    if target is not None and target.exists():
        print_lines([text("journal.exists", obj.lang, path=printable(str(target)))], err=True)
        return FAILURES
    with opened(journal_dir(obj, directory)) as reader:
        records = within(in_order(reader, priorities(streams)), since)
        try:
            count = _write(records, obj.lang, csv_file, sqlite_file)
        except ModuleNotFoundError:
            print_lines([text("journal.needs_tools", obj.lang)], err=True)
            return FAILURES
        except OSError as fault:
            if target is None or isinstance(fault, BrokenPipeError):
                raise
            print_lines(
                [text("journal.cannot_write", obj.lang, path=target, detail=system_words(fault, obj.lang))], err=True
            )
            return FAILURES
    if target is not None:
        print_lines([text("journal.exported", obj.lang, count=count, path=printable(str(target)))], err=True)
    return OK


def _write(records: Iterable[Mapping[str, Any]], lang: str, csv_file: Path | None, sqlite_file: Path | None) -> int:
    if sqlite_file is not None:
        return write_sqlite(records, sqlite_file)
    if csv_file is None:
        return write_json_lines(records, sys.stdout)
    if csv_file != Path("-"):
        with csv_file.open("x", encoding="utf-8-sig", newline="") as out:
            return write_csv(records, out, lang)
    sys.stdout.flush()
    out = io.TextIOWrapper(
        sys.stdout.buffer, "utf-8-sig", newline=""
    )  # whatever the locale: a spreadsheet will read it
    try:
        return write_csv(records, out, lang)
    finally:
        out.detach()
