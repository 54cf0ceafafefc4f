"""`edge-agent points`: every point and its value."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.cli_core import Unreachable, ask, socket_option, socket_path
from edge_agent.cli_words import reason_word, span, word
from edge_agent.terminal import OK, CliContext, print_json, print_lines, printable, table, width
from edge_agent.texts import text


@click.command()
@click.argument("pattern", required=False)
@socket_option
@click.pass_obj
def points(obj: CliContext, pattern: str | None, socket: Path | None) -> int:
    """Every point and its value."""
    try:
        found = ask(socket_path(obj, socket), "points")
    except Unreachable as reason:
        return reason.say(obj)
    if pattern:
        found = [point for point in found if pattern in str(point.get("id")) or pattern in str(point.get("name"))]
    if obj.json_out:
        print_json(found)
        return OK
    lang, now_ns = obj.lang, time.monotonic_ns()
    rows = [
        (
            point.get("id"),
            point.get("name"),
            _value(point, lang),
            point.get("unit"),
            _point_state(point, lang),
            span((now_ns - point["at_ns"]) / 1e9, lang) if isinstance(point.get("at_ns"), int) else "-",
        )
        for point in found
    ]
    headers = [text(f"cli.col_{name}", lang) for name in ("id", "name", "value", "unit", "state", "age")]
    print_lines(table(headers, rows, width=width(), right=(2,)) if rows else [text("cli.no_points", lang)])
    return OK


def _value(point: Mapping[str, Any], lang: str) -> str:
    value = point.get("value")
    if point.get("fault") or value is None:
        return "-"  # what could not be read has no value: never 0, never the last one
    if isinstance(value, bool):
        return text("cli.value_on" if value else "cli.value_off", lang)
    return f"{value:.6g}" if isinstance(value, float) else printable(str(value))


def _point_state(point: Mapping[str, Any], lang: str) -> str:
    if point.get("fault"):
        reason = point["fault"] if isinstance(point["fault"], str) else ""
        return text("cli.mark_fault", lang) + (" " + reason_word(reason, lang) if reason else "")
    if point.get("active"):
        kind = point["active"]
        return f"[{word(f'alarm.kind_{kind}', kind, lang)}]"
    return text("cli.mark_unknown" if point.get("at_ns") is None else "cli.mark_ok", lang)
