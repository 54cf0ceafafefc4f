"""`edge-agent duty list|answer`: duty checks (查岗) that wait for a person, and the person's answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.alarm.duty import OPERATOR_MAX
from edge_agent.china_time import china_time
from edge_agent.cli_base import Whole
from edge_agent.cli_core import Unreachable, ask, socket_option, socket_path
from edge_agent.cli_words import clock_note, duty_state
from edge_agent.terminal import OK, WARNINGS, CliContext, print_json, print_lines, printable, table, width
from edge_agent.texts import text


@click.group()
def duty_group() -> None:
    """Words for it are in the catalogue."""


@duty_group.command("list")
@socket_option
@click.pass_obj
def waiting(obj: CliContext, socket: Path | None) -> int:
    """Who asks, since when, how long is left. Exit 1 while anyone does."""
    try:
        found = ask(socket_path(obj, socket), "duty")
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(found)
    else:
        print_lines(check_lines(found, obj.lang) or [text("cli.duty_none", obj.lang)])
    return WARNINGS if found else OK


@duty_group.command("answer")
@click.option("--operator", type=Whole(0, OPERATOR_MAX), default=0, metavar="N")
@socket_option
@click.pass_obj
def answer(obj: CliContext, operator: int, socket: Path | None) -> int:
    """A person is there."""
    try:
        said = ask(socket_path(obj, socket), "duty_answer", operator=operator)
    except Unreachable as reason:
        return reason.say(obj)
    count = int(said.get("answered") or 0)
    if obj.json_out:
        print_json(said)
    else:
        print_lines([text("cli.duty_answered" if count else "cli.duty_none", obj.lang, count=count)])
    return OK if count else WARNINGS


def check_lines(found: list[Mapping[str, Any]], lang: str) -> list[str]:
    """A table of the checks that wait."""
    times = [china_time(check.get("asked_wall_ns"), check.get("clock")) for check in found]
    rows = [
        (printable(str(check.get("dest"))), when, duty_state(check, lang), check.get("id"))
        for check, when in zip(found, times, strict=True)
    ]
    headers = [text(f"cli.col_{name}", lang) for name in ("centre", "since", "state", "id")]
    return [*table(headers, rows, width=width()), *clock_note(times, lang)] if rows else []
