"""`edge-agent status`: one screen on the whole gateway, and what spoke on its wires without being understood or listed."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edge_agent.china_time import china_time
from edge_agent.cli_base import wrap
from edge_agent.cli_core import Unreachable, ask, socket_option, socket_path
from edge_agent.cli_words import (
    delivered_word,
    duty_state,
    lookup,
    output_state,
    reason_word,
    refusal_words,
    span,
    word,
    worker_word,
)
from edge_agent.terminal import (
    FAILURES,
    OK,
    WARNINGS,
    CliContext,
    cells,
    pad,
    print_json,
    print_lines,
    printable,
    table,
    width,
)
from edge_agent.texts import text

CENTRE = "uplink/"  # how the source of a link to a centre begins


@click.command()
@socket_option
@click.option("--refused", is_flag=True)
@click.option("--unlisted", is_flag=True)
@click.pass_obj
def status(obj: CliContext, socket: Path | None, refused: bool, unlisted: bool) -> int:
    """One screen on the whole gateway."""
    try:
        state = ask(socket_path(obj, socket), "refused" if refused else "unlisted" if unlisted else "status")
    except Unreachable as reason:
        return reason.say(obj)
    if refused:
        return _print_refused(obj, state)
    if unlisted:
        return _print_unlisted(obj, state)
    lines, code = judge(state, obj.lang, width())
    if obj.json_out:
        print_json(state)
    else:
        print_lines(lines)
    return code


def _print_refused(obj: CliContext, kept: list[dict[str, Any]]) -> int:
    """What the panels said that was not understood, with its bytes."""
    if obj.json_out:
        print_json(kept)
    else:
        now_ns = time.monotonic_ns()
        lines = [
            f"{span((now_ns - one['at_ns']) / 1e9, obj.lang)}  {one['source']}"
            f"  {refusal_words(one['why'], obj.lang)}  {one['raw']}"
            for one in kept
        ]
        print_lines(lines or [text("cli.refused_none", obj.lang)])
    return OK


def _print_unlisted(obj: CliContext, found: list[dict[str, Any]]) -> int:
    """Devices that report to the broker and are in no configuration, ready to be put there."""
    if obj.json_out:
        print_json(found)
        return OK
    now_ns = time.monotonic_ns()
    headers = [text(f"cli.col_{name}", obj.lang) for name in ("source", "device", "profile", "heard", "alarm")]
    rows = [
        (
            printable(one["source"]),
            printable(one["device"]),
            ", ".join(one["profiles"]),
            text(
                "cli.unlisted_heard", obj.lang, span=span((now_ns - one["last_ns"]) / 1e9, obj.lang), count=one["count"]
            ),
            text("cli.unlisted_alarm", obj.lang) if one["alarm"] else "",
        )
        for one in found
    ]
    print_lines(table(headers, rows) if rows else [text("cli.unlisted_none", obj.lang)])
    return OK


def judge(state: Mapping[str, Any], lang: str, columns: int | None = None) -> tuple[list[str], int]:
    """The screen for a status answer, and the exit code its worst line asks for (docs/cli.md)."""
    rows: list[tuple[str, str, str]] = []  # mark, what, how it is
    worst = OK

    def add(mark: str, what: str, how: str) -> None:
        nonlocal worst
        rows.append((text(f"cli.mark_{mark}", lang), what, how))
        worst = max(worst, {"ok": OK, "fault": FAILURES}.get(mark, WARNINGS))

    uptime = text(
        "cli.status_uptime", lang, version=state.get("version", "?"), span=span(state.get("uptime_s") or 0, lang)
    )
    stuck = state.get("stuck") or []
    add(
        "fault" if stuck else "ok",
        text("cli.status_agent", lang),
        text("cli.status_stuck", lang, workers=", ".join(worker_word(name, lang) for name in stuck))
        if stuck
        else uptime,
    )
    if stands_in := state.get("config"):
        add("fault", text("cli.status_config", lang), _config_words(stands_in, lang))
    if sent := state.get("config_sent"):
        how = text("cli.status_config_sent", lang, dest=sent.get("dest"), serial=sent.get("serial"))
        how = text("cli.status_config_trial", lang, sent=how) if sent.get("trial") else how
        add("warn" if sent.get("trial") else "ok", text("cli.status_config", lang), how)
    _judge_alarms(state.get("alarms") or {}, lang, add)
    for output in state.get("linkage") or []:
        if output.get("acting") or output.get("held"):
            add("warn", text("cli.status_linkage", lang, output=output.get("id")), output_state(output, lang))
    for check in state.get("duty") or []:
        add("warn", text("cli.status_duty", lang, dest=check.get("dest")), duty_state(check, lang))
    for patrol in state.get("patrol") or []:
        if patrol.get("state") == "missed":
            what = text("cli.status_patrol", lang, name=printable(str(patrol.get("name") or patrol.get("id"))))
            add("warn", what, text("cli.patrol_state_missed", lang))
    points = state.get("points") or {}
    faulty = points.get("faulty") or 0
    add(
        "warn" if faulty else "ok",
        text("cli.status_points", lang),
        text(
            "cli.status_points_are", lang, total=points.get("total", 0), active=points.get("active", 0), faulty=faulty
        ),
    )
    for source in state.get("sources") or []:
        up, kind = source.get("up"), source.get("kind")
        how = _reason(up, source.get("reason"), lang, str(source.get("id")))
        if kind == "camera" and up is False:
            how = lookup(f"camera.fault_{source.get('reason')}", lang) or how
        if kind not in ("uplink", "link"):  # links have lines of their own
            what = lookup(f"cli.source_{kind}", lang) or text("cli.source_device", lang)
            add(_mark(up, "warn"), f"{what} {printable(str(source.get('id')))}", how)
        elif source.get("id") == "uplink" and up is False:  # the process; its links have lines of their own
            add("fault", text("cli.source_uplink", lang), how)
    for uplink in state.get("uplinks") or []:
        up = uplink.get("up")
        pending = sum(count for count in (uplink.get("pending") or {}).values() if isinstance(count, int))
        how = _reason(up, uplink.get("reason"), lang, CENTRE)
        since_wall_ns = uplink.get("at_wall_ns")
        if isinstance(since_wall_ns, int) and isinstance(state.get("wall_ns"), int):
            how += text("cli.status_since", lang, span=span((state["wall_ns"] - since_wall_ns) / 1e9, lang))
        if pending:
            how += text("cli.status_pending", lang, count=pending)
        add(_mark(up, "fault"), text("cli.status_uplink", lang, id=uplink.get("id")), how)
    for link in state.get("links") or []:
        add(_mark(link.get("up"), "warn"), text("cli.status_link", lang, id=link.get("id")), _link_words(link, lang))
    if board := state.get("board"):
        add("fault", text("cli.status_board", lang), _board_words(board, lang))
    if lit := [name for name, level in (state.get("outputs") or {}).items() if level]:
        names = ", ".join(word(f"alarm.output_{name}", name, lang) for name in lit)
        add("ok", text("cli.status_outputs", lang), names)
    if state.get("memory_alarms"):
        add("fault", text("cli.status_journal", lang), text("cli.status_memory", lang, count=state["memory_alarms"]))
    clock = state.get("clock") or "unset"
    name = printable(str(state.get("name") or ""))
    title = text(
        "cli.status_title",
        lang,
        gateway=printable(str(state.get("gateway"))),
        name=name,
        now=china_time(state.get("wall_ns") or time.time_ns()),
        clock=word(f"cli.clock_{clock}", clock, lang),
    )
    closing = text(f"cli.status_closing_{worst}", lang)
    return [title, *_block(rows, columns), closing], worst


def _link_words(link: Mapping[str, Any], lang: str) -> str:
    """Whether the centre answers over a way out, who uses it, and what it has cost this month."""
    how = _reason(link.get("up"), link.get("reason"), lang, "link/")
    if used_by := link.get("used_by"):
        how += text("cli.status_link_used", lang, dests=", ".join(map(str, used_by)))
    if counted := sum((link.get("bytes") or {}).values()):
        mb = f"{counted / 1e6:.1f}"
        limit = link.get("monthly_mb")
        how += (
            text("cli.status_link_budget", lang, mb=mb, limit=f"{limit:g}")
            if limit
            else text("cli.status_link_bytes", lang, mb=mb)
        )
    return how


def _config_words(stands_in: Mapping[str, Any], lang: str) -> str:
    """Since when the configuration that stands in was good, and why it has to."""
    where = f"{stands_in.get('file')}:{stands_in.get('line')}" if stands_in.get("line") else str(stands_in.get("file"))
    try:
        why = text(f"config.{stands_in['code']}", lang, **stands_in.get("params") or {})
    except KeyError:  # a code or a parameter of another version
        why = str(stands_in.get("code"))
    when = china_time(stands_in.get("accepted_wall_ns"), stands_in.get("accepted_clock"))
    return text("cli.status_config_is", lang, when=when, where=where, why=why)


def _board_words(board: Mapping[str, Any], lang: str) -> str:
    """Why buzzer and lamps cannot be driven, and what to do."""
    try:
        return text(f"alarm.gpio_{board['code']}", lang, **board.get("params") or {})
    except KeyError:  # a code or a parameter of another version
        return str(board.get("code"))


def _block(rows: list[tuple[str, str, str]], columns: int | None) -> list[str]:
    """Three columns, the last one wrapped: what to do about a fault must not be cut off."""
    first, second = (max(cells(row[n]) for row in rows) for n in (0, 1))
    indent = first + second + 4
    lines = []
    for mark, what, how in rows:
        parts = wrap(printable(how), max(columns - indent, 20)) if columns else [printable(how)]
        lines.append(f"{pad(mark, first)}  {pad(printable(what), second)}  {parts[0]}".rstrip())
        lines += [" " * indent + part for part in parts[1:]]
    return lines


def _judge_alarms(alarms: Mapping[str, Any], lang: str, add: Any) -> None:
    first = alarms.get("first_fire")
    if first:
        where = printable(str(first.get("name") or first.get("point") or ""))
        since = china_time(first.get("since_wall_ns"), first.get("clock", "synced"))
        add("fire", text("cli.status_first", lang), f"{since}  {where}  {delivered_word(first, lang)}")
    active = alarms.get("active") or 0
    how = text("cli.status_alarms_are", lang, active=active, unacknowledged=alarms.get("unacknowledged") or 0)
    if alarms.get("silenced"):
        how += text("cli.status_silenced", lang)
    add("warn" if active else "ok", text("cli.status_alarms", lang), how)


def _mark(up: object, down: str) -> str:
    return "unknown" if up is None else "ok" if up else down


def _reason(up: object, reason: object, lang: str, source: str = "") -> str:
    said = text("cli.up_unknown" if up is None else "cli.up_yes" if up else "cli.up_no", lang)
    is_told = reason and (not up or source == CENTRE)  # a centre that is up may have confirmed nothing yet
    return f"{said} ({reason_word(reason, lang, source)})" if is_told else said
