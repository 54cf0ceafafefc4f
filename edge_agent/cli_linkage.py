"""`edge-agent linkage list|release|auto`: the outputs that follow alarms, and a person's word over them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.cli_core import Unreachable, ask, socket_option, socket_path
from edge_agent.cli_words import output_state, word
from edge_agent.terminal import OK, WARNINGS, CliContext, print_json, print_lines, printable, table, width
from edge_agent.texts import text


@click.group()
def linkage_group() -> None:
    """Words for it are in the catalogue."""


@linkage_group.command("list")
@socket_option
@click.pass_obj
def outputs(obj: CliContext, socket: Path | None) -> int:
    """Which outputs there are, and what they do now. Exit 1 while one acts or a person holds one."""
    try:
        found = ask(socket_path(obj, socket), "linkage")
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(found)
    else:
        print_lines(output_lines(found, obj.lang) or [text("linkage.none", obj.lang)])
    return WARNINGS if any(output.get("acting") or output.get("held") for output in found) else OK


@linkage_group.command("release")
@click.argument("output")
@socket_option
@click.pass_obj
def release(obj: CliContext, output: str, socket: Path | None) -> int:
    """Release an output, and keep it so."""
    return _order(obj, output, "release", socket)


@linkage_group.command("auto")
@click.argument("output")
@socket_option
@click.pass_obj
def automatic(obj: CliContext, output: str, socket: Path | None) -> int:
    """Let the rules decide again."""
    return _order(obj, output, "auto", socket)


def _order(obj: CliContext, output: str, what: str, socket: Path | None) -> int:
    try:
        said = ask(socket_path(obj, socket), "linkage_order", output=output, order=what)
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(said)
    else:
        print_lines([text("linkage.done", obj.lang, output=printable(output), state=output_state(said, obj.lang))])
    return OK


def output_lines(found: list[Mapping[str, Any]], lang: str) -> list[str]:
    """A table of the outputs."""
    rows = [
        (
            printable(str(output.get("id"))),
            word(f"linkage.action_{output.get('action')}", output.get("action"), lang),
            printable(str(output.get("name") or "")),
            output_state(output, lang),
        )
        for output in found
    ]
    headers = [text(f"cli.col_{name}", lang) for name in ("id", "action", "where", "state")]
    return table(headers, rows, width=width()) if rows else []
