"""`edge-agent patrol status|learn|forget`: rounds, and which tag hangs where."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.china_time import china_time
from edge_agent.cli_base import Whole
from edge_agent.cli_core import Unreachable, ask, socket_option, socket_path
from edge_agent.cli_words import clock_note, word
from edge_agent.patrol.patrol import LEARN_MAX_S
from edge_agent.terminal import OK, WARNINGS, CliContext, print_json, print_lines, printable, table, width
from edge_agent.texts import text

LOOK_S = 0.3


@click.group()
def patrol_group() -> None:
    """Words for it are in the catalogue."""


@patrol_group.command("status")
@socket_option
@click.pass_obj
def status(obj: CliContext, socket: Path | None) -> int:
    """Rounds, points, tags nobody knows."""
    try:
        found = ask(socket_path(obj, socket), "patrol")
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(found)
    else:
        print_lines(_lines(found, obj.lang))
    missed = any(one.get("state") == "missed" for one in found["rounds"])
    return WARNINGS if missed or any(not point.get("tag") for point in found["points"]) else OK


@patrol_group.command("learn")
@click.argument("point")
@click.option("--seconds", type=Whole(1, LEARN_MAX_S), default=60, metavar="N")
@socket_option
@click.pass_obj
def learn(obj: CliContext, point: str, seconds: int, socket: Path | None) -> int:
    """The next tag is that of POINT."""
    path = socket_path(obj, socket)
    try:
        ask(path, "patrol_learn", point=point, seconds=seconds)
        if not obj.json_out:
            print_lines([text("cli.patrol_hold", obj.lang, point=point, seconds=seconds)])
        said: Mapping[str, Any] = {"point": point, "result": "waiting"}
        while said["result"] == "waiting":
            time.sleep(LOOK_S)
            said = ask(path, "patrol")["learning"] or {"point": point, "result": "timeout"}
            if said["point"] != point:
                said = {"point": point, "result": "replaced"}
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(said)
    else:
        fields = {name: printable(str(said.get(name))) for name in ("point", "tag", "other")}
        print_lines([text(f"cli.patrol_{said['result']}", obj.lang, **fields)])
    return OK if said["result"] == "learned" else WARNINGS


@patrol_group.command("forget")
@click.argument("point")
@socket_option
@click.pass_obj
def forget(obj: CliContext, point: str, socket: Path | None) -> int:
    """Unlearn the tag of POINT."""
    try:
        said = ask(socket_path(obj, socket), "patrol_forget", point=point)
    except Unreachable as reason:
        return reason.say(obj)
    if obj.json_out:
        print_json(said)
    else:
        key = "cli.patrol_forgotten" if said["forgotten"] else "cli.patrol_nothing_learned"
        print_lines([text(key, obj.lang, point=point)])
    return OK if said["forgotten"] else WARNINGS


def _lines(found: Mapping[str, Any], lang: str) -> list[str]:
    if not found["rounds"] and not found["points"]:
        return [text("cli.patrol_none", lang)]
    clock = found.get("clock")
    times = [china_time(one.get("told_wall_ns"), one.get("clock")) for one in found["rounds"]]
    nexts = [china_time(one.get("next_wall_ns"), clock) for one in found["rounds"]]
    rounds = [
        (one.get("name") or one["id"], word(f"cli.patrol_state_{one['state']}", one["state"], lang),
         ", ".join(one["missing"]), when, following)
        for one, when, following in zip(found["rounds"], times, nexts, strict=True)
    ]  # fmt: skip
    heads = [text(f"cli.col_{name}", lang) for name in ("round", "state", "missing", "since", "next")]
    lines = table(heads, rounds, width=width()) if rounds else []
    seen = [china_time(point.get("last_wall_ns"), clock) for point in found["points"]]
    points = [(point["id"], point.get("name") or "", _tag(point, lang), when)
              for point, when in zip(found["points"], seen, strict=True)]  # fmt: skip
    heads = [text(f"cli.col_{name}", lang) for name in ("point", "name", "tag", "seen")]
    lines += ["", *table(heads, points, width=width())] if points else []
    if unknown := found.get("unknown"):
        lines += ["", text("cli.patrol_unknown", lang, count=found.get("unknown_reads"))]
        heads = [text(f"cli.col_{name}", lang) for name in ("tag", "times", "reader", "seen")]
        rows = [
            (one["tag"], str(one["count"]), one["reader"], china_time(one["last_wall_ns"], clock)) for one in unknown
        ]
        lines += table(heads, rows, width=width())
    return [*lines, *clock_note([*times, *nexts, *seen], lang)]


def _tag(point: Mapping[str, Any], lang: str) -> str:
    if not (tag := point.get("tag")):
        return text("cli.patrol_no_tag", lang)
    return text("cli.patrol_learned_tag", lang, tag=tag) if point.get("learned") else str(tag)
