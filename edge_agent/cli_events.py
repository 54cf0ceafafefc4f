"""`edge-agent events`: what happened, newest first, and what happens now."""

import contextlib
import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edge_agent.china_time import china_time
from edge_agent.cli_base import Choice, FilePath, Seconds, Whole
from edge_agent.cli_core import Unreachable, connect, socket_path
from edge_agent.cli_words import clock_note, lookup, place_word, reason_word, word
from edge_agent.journal_export import event_of, instant_of
from edge_agent.journal_view import EVENT_STREAMS, Unreadable, journal_dir, newest_first, opened, priorities, within
from edge_agent.terminal import (
    FAILURES,
    OK,
    CliContext,
    print_json,
    print_json_line,
    print_lines,
    printable,
    table,
    width,
)
from edge_agent.texts import text

LIMIT = 20
LIMIT_MAX = 10_000
RETRY_S = 1.0
CATCH_UP = 500  # events looked back for after the core was away
SEEN_MAX = 10_000

History = Callable[[int], tuple[int, list[Mapping[str, Any]]]]


@click.command()
@click.option("--follow", "-f", is_flag=True)
@click.option("--limit", type=Whole(1, LIMIT_MAX), default=LIMIT, metavar="N")
@click.option("--stream", type=Choice([stream.stream for stream in EVENT_STREAMS]))
@click.option("--since", type=Seconds(), metavar="2h")
@click.option("--dir", "directory", type=FilePath(), metavar="DIR")
@click.option("--socket", type=FilePath(), metavar="PATH")
@click.pass_obj
def events(
    obj: CliContext,
    *,
    follow: bool,
    limit: int,
    stream: str | None,
    since: float | None,
    directory: Path | None,
    socket: Path | None,
) -> int:
    """History from the journal files, the present from the core."""
    history = functools.partial(_history, obj, journal_dir(obj, directory), stream, since)
    code, found = history(max(limit, CATCH_UP) if follow else limit)
    if follow:
        _show_now(obj, found[:limit][::-1])
        import asyncio

        return asyncio.run(_follow(obj, socket_path(obj, socket), stream, history, _Seen(found)))
    if obj.json_out:
        print_json(found)
    elif code == OK:
        print_lines(event_lines(found, obj.lang) if found else [text("cli.no_events", obj.lang)])
    return code


def _history(
    obj: CliContext, directory: Path, stream: str | None, since: float | None, limit: int
) -> tuple[int, list[Mapping[str, Any]]]:
    try:
        with opened(directory) as reader:
            records = within(newest_first(reader, priorities([stream] if stream else [])), since)
            return OK, list(itertools.islice(records, limit))
    except Unreadable as reason:
        print_lines([reason.say(obj.lang)], err=True)
        return FAILURES, []


def event_lines(found: Sequence[Mapping[str, Any]], lang: str, *, names: bool = False) -> list[str]:
    """A table of records: when, what, on or off, where; with `names` also where the journal keeps them."""
    rows = [_row(shown, lang) for shown in found]
    columns = ["at", "kind", "what", "where", "grade"]
    shown_rows: list[tuple[object, ...]] = list(rows)
    if names:
        columns = ["epoch", "n", *columns]
        shown_rows = [(shown["epoch"], shown["n"], *row) for shown, row in zip(found, rows, strict=True)]
    headers = [text(f"cli.col_{name}", lang) for name in columns]
    return [*table(headers, shown_rows, width=width()), *clock_note([row[0] for row in rows], lang)]


def _row(shown: Mapping[str, Any], lang: str) -> tuple[str, str, str, str, str]:
    event = event_of(shown)
    at = instant_of(event)
    if "kind" not in event:  # the journal's own: what of a range will not come
        if isinstance(gap := event.get("gap"), dict):
            return "-", text("cli.gap", lang), "", _gap_words(gap, lang), ""
        said = json.dumps(shown.get("body") or shown.get("body_base64"), separators=(",", ":"))
        return "-", text("cli.other_record", lang), "", said, ""
    kind = word(f"alarm.kind_{event['kind']}", event["kind"], lang)
    change = text("cli.change_on" if event.get("active") else "cli.change_off", lang)
    if event["kind"] in _WHY and event["kind"] != "worker":
        change = ""  # what was done or decided, no state that came or went
    where = str(event.get("name") or place_word(event.get("point"), lang))
    if why := _why(event, lang):
        where = f"{where} ({why})"
    grade = str(event.get("grade") or "")
    return china_time(at.get("wall_ns"), at.get("clock")), kind, change, where, grade


def _gap_words(gap: Mapping[str, Any], lang: str) -> str:
    """Which records will not come, and why."""
    parts = []
    if "epoch" in gap:
        last = gap.get("to")
        parts.append(f"{gap['epoch']} {gap.get('from')}-{'' if last is None else last}")
    if "count" in gap:
        parts.append(text("journal.gap_count", lang, count=gap["count"]))
    return ", ".join([*parts, word(f"journal.gap_{gap.get('why')}", gap.get("why"), lang)])


def _why(event: Mapping[str, Any], lang: str) -> str:
    """Why a source, a part of the agent or the journal is in trouble, where the event says so."""
    fields = event.get("fields")
    if not isinstance(fields, dict):
        return ""
    if event["kind"] in _WHY:
        return _WHY[event["kind"]](fields, lang)
    if event["kind"] == "store" and "code" in fields:
        return word(f"journal.store_{fields['code']}", fields["code"], lang)
    if event["kind"] == "fault" and "code" in fields:  # of the uplink
        return reason_word(fields["code"], lang, str(event.get("point") or ""))
    if rule := fields.get("rule"):
        return lookup(f"alarm.rule_{rule}", lang) or ""
    reason = str(fields.get("reason") or "")
    if reason.startswith("gpio_"):
        return lookup(f"alarm.{reason}", lang, **(fields | {"reason": fields.get("detail") or ""})) or reason
    return reason_word(reason, lang, str(event.get("point") or "")) if reason else ""


def _why_command(fields: Mapping[str, Any], lang: str) -> str:
    """Who asked, and what came of it: the audit."""
    dest, status = str(fields.get("dest", "")), fields.get("status")
    if "device" in fields:  # an update of a node
        why = fields.get("why")
        known = {**fields, "why": word(f"node.why_{why}", why, lang)} if why else dict(fields)
        return lookup(f"node.status_{status}", lang, **known) or str(status)
    if "before" in fields:  # a step of an update of our own program
        from edge_agent.update.words import outcome

        return outcome(fields, lang)
    if status not in ("done", "refused", "failed"):
        return dest
    code = str(fields.get("code") or "")
    said = lookup(f"cli.command_{code}", lang)
    return text(f"cli.audit_{status}", lang, dest=dest, why=f"{said} ({code})" if said else code)


def _why_duty(fields: Mapping[str, Any], lang: str) -> str:
    dest, result = str(fields.get("dest")), fields.get("result", "asked")
    if result not in ("asked", "answered", "late", "missed"):
        return dest
    return text(f"cli.duty_result_{result}", lang, dest=dest, minutes=fields.get("minutes"))


def _why_clock(fields: Mapping[str, Any], lang: str) -> str:
    before, after = (word(f"cli.clock_{fields.get(name)}", str(fields.get(name)), lang) for name in ("from", "to"))
    source, step_ms = fields.get("source"), fields.get("step_ms")
    return text("cli.clock_change", lang, before=before, after=after, source=source, step_ms=step_ms)


def _why_patrol(fields: Mapping[str, Any], lang: str) -> str:
    """What came of the round, or which tag was read where."""
    result, missing = fields.get("result"), fields.get("missing")
    said = word(f"cli.patrol_result_{result}", result, lang)
    if isinstance(missing, list) and missing:
        said = text("cli.patrol_missing", lang, result=said, points=", ".join(map(str, missing[:10])))
    tag = fields.get("tag")
    return f"{said} {tag}" if tag else said


def _why_worker(fields: Mapping[str, Any], lang: str) -> str:
    """How a part of the agent ended; of a bug its own words too, for whoever mends it."""
    reason = str(fields.get("reason") or "")
    return lookup(f"cli.worker_{reason}", lang) or text("cli.worker_bug", lang, said=reason)


def _why_linkage(fields: Mapping[str, Any], lang: str) -> str:
    """What was decided, why, and by whom: the audit."""
    why = word(f"linkage.why_{fields.get('why')}", fields.get("why"), lang)
    return lookup(f"linkage.status_{fields.get('status')}", lang, why=why, who=fields.get("who")) or why


_WHY = {
    "linkage": _why_linkage,
    "command": _why_command,
    "duty_check": _why_duty,
    "patrol": _why_patrol,
    "clock": _why_clock,
    "worker": _why_worker,
}


def _key(shown: Mapping[str, Any]) -> str:
    return str(event_of(shown).get("id") or "")


def _show_now(obj: CliContext, found: list[Mapping[str, Any]]) -> None:
    for shown in found:
        if obj.json_out:
            print_json_line(shown)
        else:
            # One line each, without a table to wait for: columns of fixed width that most words fit.
            when, kind, change, where, grade = _row(shown, obj.lang)
            graded = text("cli.graded", obj.lang, grade=grade) if grade else ""
            print("  ".join(part for part in (when, kind, change, printable(where), graded) if part), flush=True)


class _Seen:
    """Event ids already shown: an alarm is pushed when memory has it and again when the journal has."""

    def __init__(self, found: Iterable[Mapping[str, Any]]) -> None:
        self._ids: dict[str, None] = dict.fromkeys(_key(shown) for shown in reversed(list(found)))

    def is_new(self, shown: Mapping[str, Any]) -> bool:
        """Whether it was not shown yet; from now on it was."""
        key = _key(shown)
        if not key or key in self._ids:
            return not key
        self._ids[key] = None
        if len(self._ids) > SEEN_MAX:
            del self._ids[next(iter(self._ids))]
        return True


async def _follow(obj: CliContext, path: Path, stream: str | None, history: History, seen: _Seen) -> int:
    """Show what the core pushes until Ctrl-C. Wait for a core that went away, then catch up from the journal."""
    import asyncio

    ever = False
    while True:
        try:
            async for shown in _pushes(path):
                if not shown:  # watching from now on: what was kept until now is in the journal
                    ever = True
                    _show_now(obj, [missed for missed in reversed(history(CATCH_UP)[1]) if seen.is_new(missed)])
                elif (stream is None or _stream_of(shown) == stream) and seen.is_new(shown):
                    _show_now(obj, [shown])
            print(text("cli.follow_lost", obj.lang), file=sys.stderr, flush=True)
        except Unreachable as reason:
            if not ever:
                return reason.say(dataclasses.replace(obj, json_out=False))
        await asyncio.sleep(RETRY_S)


async def _pushes(path: Path) -> AsyncIterator[Mapping[str, Any]]:
    client = await connect(path)
    try:
        with contextlib.suppress(ConnectionError):
            await client.request("watch", what=["event"])
            yield {}
            async for push in client.pushes():
                if shown := _pushed(push):
                    yield shown
    finally:
        with contextlib.suppress(OSError):
            await client.close()


def _pushed(push: Mapping[str, Any]) -> Mapping[str, Any]:
    """A pushed event in the shape of one from the journal; without a name while it is in memory only."""
    event = push.get("event")
    if isinstance(event, str):
        try:
            event = json.loads(event)
        except ValueError:
            event = None
    name = push.get("name")
    name = name if isinstance(name, dict) else {}
    shown = {"epoch": name.get("epoch"), "stream": name.get("stream"), "n": name.get("n"), "body": event}
    return shown if isinstance(event, dict) else {}


def _stream_of(shown: Mapping[str, Any]) -> str:
    from edge_agent.model import KINDS, Kind

    if shown.get("stream"):
        return str(shown["stream"])
    try:
        return KINDS[Kind(str(event_of(shown).get("kind")))].priority.stream
    except ValueError:
        return ""
