"""`edge-agent node list|offer|withdraw`: updates of our own detector nodes."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from edge_agent.cli_base import FilePath
from edge_agent.cli_core import Unreachable, ask, socket_option, socket_path
from edge_agent.cli_words import word
from edge_agent.system_words import system_words
from edge_agent.terminal import (
    FAILURES,
    OK,
    USAGE,
    WARNINGS,
    CliContext,
    print_json,
    print_lines,
    printable,
    table,
    width,
)
from edge_agent.texts import text


@click.group()
def node_group() -> None:
    """Words for it are in the catalogue."""


@node_group.command("list")
@socket_option
@click.pass_obj
def nodes(obj: CliContext, socket: Path | None) -> int:
    """Nodes, and what was offered to each last. Exit 1 if one has refused it."""
    try:
        found = ask(socket_path(obj, socket), "node_updates")["nodes"]
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(found)
    else:
        print_lines(_lines(found, obj.lang) or [text("node.none", obj.lang)])
    return WARNINGS if any(row["state"] == "refused" for row in found) else OK


@node_group.command("offer")
@click.argument("file", type=FilePath())
@click.argument("devices", nargs=-1, metavar="DEVICE...")
@click.option("--all", "every", is_flag=True)
@socket_option
@click.pass_obj
def offer(obj: CliContext, file: Path, devices: tuple[str, ...], every: bool, socket: Path | None) -> int:
    """Offer a signed file to nodes."""
    if every == bool(devices):
        print_lines([text("node.which", obj.lang)], err=True)
        return USAGE
    path = socket_path(obj, socket)
    answers: dict[str, Mapping[str, Any]] = {}
    try:
        data = file.read_bytes()
        found = ask(path, "node_updates")
        for device in [row["device"] for row in found["nodes"]] if every else devices:
            _put(Path(found["directory"]), device, data, [row["device"] for row in found["nodes"]])
            answers[device] = ask(path, "node_offer", device=device)
    except OSError as fault:
        print_lines(
            [text("node.unwritable", obj.lang, file=fault.filename, why=system_words(fault, obj.lang))], err=True
        )
        return FAILURES
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(answers)
    else:
        print_lines(_answer(device, answer, obj.lang) for device, answer in answers.items())
    return FAILURES if any("refused" in answer for answer in answers.values()) else OK


@node_group.command("withdraw")
@click.argument("device")
@socket_option
@click.pass_obj
def withdraw(obj: CliContext, device: str, socket: Path | None) -> int:
    """Take an offer back."""
    try:
        said = ask(socket_path(obj, socket), "node_withdraw", device=device)
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(said)
    else:
        key = "node.withdrawn" if said["withdrawn"] else "node.nothing_offered"
        print_lines([text(key, obj.lang, device=printable(device))])
    return OK if said["withdrawn"] else WARNINGS


def _put(directory: Path, device: str, data: bytes, known: Sequence[str]) -> None:
    """Where the core looks for it, whole or not at all. A device it does not know is left to it to refuse. Raise OSError."""
    if device not in known:
        return
    part = directory / f"{device}.part"
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), 0o644)  # the agent's own user has to read it
    part.replace(directory / f"{device}.offer")


def _answer(device: str, answer: Mapping[str, Any], lang: str) -> str:
    if why := answer.get("refused"):
        return text(
            "node.not_offered",
            lang,
            device=printable(device),
            why=word(f"node.why_{why}", system_words(why, lang), lang),
        )
    return text("node.offered", lang, device=printable(device), version=answer["version"])


def _lines(found: Sequence[Mapping[str, Any]], lang: str) -> list[str]:
    rows = [
        (
            printable(row["device"]),
            printable(row["node"]),
            str(row.get("runs") or ""),
            str(row.get("version") or ""),
            _state(row, lang),
        )
        for row in found
    ]
    headers = [text(f"node.col_{name}", lang) for name in ("device", "node", "runs", "version", "state")]
    return table(headers, rows, width=width()) if rows else []


def _state(row: Mapping[str, Any], lang: str) -> str:
    why = row.get("why")
    percent = 100 * row.get("have", 0) // (row.get("size") or 1)
    return text(
        f"node.is_{row['state']}",
        lang,
        percent=percent,
        why=word(f"node.why_{why}", system_words(why, lang), lang) if why else "",
    )
