"""`edge-agent alarms`, `ack`, `silence`: what is not over, and the two things a person tells the core of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.china_time import china_time
from edge_agent.cli_core import Unreachable, ask, socket_option, socket_path
from edge_agent.cli_words import clock_note, delivered_word, place_word, word
from edge_agent.terminal import OK, WARNINGS, CliContext, cells, print_json, print_lines, printable, table, width
from edge_agent.texts import text


@click.command()
@socket_option
@click.pass_obj
def alarms(obj: CliContext, socket: Path | None) -> int:
    """The alarms that are not over, first fire on top."""
    try:
        found = ask(socket_path(obj, socket), "alarms")
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(found)
        return OK
    print_lines(alarm_lines(found, obj.lang, width()))
    return OK


def alarm_lines(found: list[Mapping[str, Any]], lang: str, columns: int | None = None) -> list[str]:
    """The table of alarms: the first fire pinned on top, then the newest first."""
    if not found:
        return [text("cli.no_alarms", lang)]
    ordered = sorted(found, key=lambda alarm: alarm.get("since_wall_ns") or 0, reverse=True)
    ordered.sort(key=lambda alarm: not alarm.get("first"))
    times = [china_time(alarm.get("since_wall_ns"), alarm.get("clock", "synced")) for alarm in ordered]
    rows = [
        [
            text("alarm.first_fire", lang) if alarm.get("first") else "",
            word(f"alarm.kind_{alarm.get('kind')}", alarm.get("kind"), lang),
            alarm.get("name") or place_word(alarm.get("point"), lang),
            alarm.get("grade"),
            word(f"alarm.state_{alarm.get('state')}", alarm.get("state"), lang),
            delivered_word(alarm, lang),
            when,
            alarm.get("id"),
        ]
        for alarm, when in zip(ordered, times, strict=True)
    ]
    headers = [
        text(f"cli.col_{name}", lang)
        for name in ("first", "kind", "where", "grade", "state", "centre", "since", "alarm")
    ]
    lines = table(headers, rows)
    if (
        columns is not None and max(map(cells, lines)) > columns
    ):  # an id cut short could not be acknowledged: a line of its own
        lines = table(headers[:-1], [row[:-1] for row in rows], width=columns)
        lines = [lines[0]] + [
            line
            for shown, row in zip(lines[1:], rows, strict=True)
            for line in (shown, f"      {headers[-1]} {printable(str(row[-1]))}")
        ]
    return [*lines, *clock_note(times, lang)]


@click.command()
@click.argument("alarm_id", required=False)
@socket_option
@click.pass_obj
def ack(obj: CliContext, alarm_id: str | None, socket: Path | None) -> int:
    """A person has seen it."""
    return _tell(obj, socket, "ack", "acknowledged", {"alarm": alarm_id} if alarm_id else {})


@click.command()
@socket_option
@click.pass_obj
def silence(obj: CliContext, socket: Path | None) -> int:
    """Stop the sound; lamps stay, a new alarm sounds again."""
    return _tell(obj, socket, "silence", "silenced", {})


def _tell(obj: CliContext, socket: Path | None, do: str, counted: str, params: Mapping[str, object]) -> int:
    try:
        answer = ask(socket_path(obj, socket), do, **params)
    except Unreachable as reason:
        return reason.say(obj)
    count = int(answer.get(counted) or 0)
    if obj.json_out:
        print_json(answer)
    else:
        print_lines([text(f"cli.{counted}" if count else f"cli.nothing_{counted}", obj.lang, count=count)])
    return WARNINGS if params and not count else OK
