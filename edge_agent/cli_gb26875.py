"""`edge-agent gb26875 map`: what every point is called at a GB/T 26875.3 centre, and whether that can be right."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent.cli_base import FilePath
from edge_agent.terminal import CONFIG, FAILURES, OK, WARNINGS, CliContext, print_json, print_lines, table
from edge_agent.texts import text

if TYPE_CHECKING:
    from edge_agent.config.findings import Finding
    from edge_agent.config.model import Config
    from edge_agent.config.uplinks import Gb26875
    from edge_agent.uplink.gb26875.review import Doubt, Line

WARNINGS_SHOWN = 20  # of one kind; --json has all


@click.group(name="gb26875")
def gb26875_group() -> None:
    """Words for it are in the catalogue."""


@gb26875_group.command("map")
@click.option("--centre", metavar="ID")
@click.option("--socket", type=FilePath(), metavar="PATH")
@click.pass_obj
def map_(obj: CliContext, centre: str | None, socket: Path | None) -> int:
    """The map and its doubts. Exit 0 none, 1 warnings, 2 two points with one address, 78 a configuration that is not sound."""
    from edge_agent.cli_core import Unreachable, ask
    from edge_agent.clock import SystemClock
    from edge_agent.config.load import load
    from edge_agent.config.report import render
    from edge_agent.uplink.gb26875.link import dialect_of
    from edge_agent.uplink.gb26875.plan import Writer
    from edge_agent.uplink.gb26875.review import review
    from edge_agent.uplink.gb26875.survey import places_of

    loaded = load(obj.config_dir)
    config = loaded.config
    if config is None:
        print_lines([render(finding, obj.lang) for finding in loaded.findings], err=True)
        return CONFIG
    agreed = _agreed(config, centre)
    if centre is not None and agreed is None:
        raise click.UsageError(text("gbmap.unknown_centre", obj.lang, centre=centre), click.get_current_context())
    notes = [] if agreed is not None else [text("gbmap.no_centre", obj.lang)]
    try:
        rows = ask(socket or config.gateway.run_dir / "core.sock", "points")
    except Unreachable:
        rows = None
        notes.append(text("gbmap.no_core", obj.lang))
    dialect = dialect_of(agreed or _standard())
    places, bad = places_of(config, residual_current_type=dialect.residual_current_type)
    lines, doubts = review(Writer(places, dialect, now=SystemClock().now), rows, bad)
    doubts += _strays(loaded.findings)
    if obj.json_out:
        print_json({"points": [_as_json(line) for line in lines], "doubts": [_doubt_json(d, obj.lang) for d in doubts]})
    else:
        print_lines(_table(lines, obj.lang))
        print_lines(_in_words(doubts, obj.lang))
        counts = [sum(doubt.severity == severity for doubt in doubts) for severity in ("error", "warning")]
        print_lines([text("gbmap.summary", obj.lang, points=len(lines), errors=counts[0], warnings=counts[1])])
    print_lines(notes, err=True)
    return FAILURES if any(doubt.severity == "error" for doubt in doubts) else WARNINGS if doubts else OK


def _agreed(config: "Config", centre: str | None) -> "Gb26875 | None":
    """What is agreed with a centre, by default the first that speaks GB/T 26875.3."""
    return next((u.gb26875 for u in config.uplinks if u.gb26875 is not None and centre in (None, u.id)), None)


def _strays(findings: "Iterable[Finding]") -> "list[Doubt]":
    """What the site's tables speak of and no source of it gives: a slip of the pen, and its points go by default."""
    from edge_agent.uplink.gb26875.review import Doubt

    return [
        Doubt("warning", "unknown_point", str(finding.params["value"]))
        for finding in findings
        if finding.code == "unknown_point" and finding.key.startswith("gb26875_point")
    ]


def _standard() -> "Gb26875":
    from edge_agent.config.uplinks import Gb26875

    return Gb26875(source="0")


def _table(lines: "list[Line]", lang: str) -> list[str]:
    from edge_agent.terminal import printable, width

    shown = ("point", "name", "system", "component", "address", "bytes", "quantity", "note")
    headers = [text(f"gbmap.col_{name}", lang) for name in shown]
    rows = []
    for line in lines:
        place = line.place
        note = "not_sent" if not place.send else "whole" if place.is_panel else "by_default" if place.defaults else ""
        rows.append(
            (
                line.point,
                line.name,
                f"{place.system_type}-{place.system_address}",
                _component(place.component_type, lang),
                "-" if place.raw else f"{place.loop}-{place.point}",
                line.address,
                "" if place.quantity is None else place.quantity,
                text(f"gbmap.{note}", lang) if note else "",
            )
        )
    return table(headers, [[printable(str(cell)) for cell in row] for row in rows], width=width())


def _component(number: int, lang: str) -> str:
    """The number with the standard's word for it."""
    from drivers.codecs.gb26875.tables import COMPONENT_TYPES

    name = COMPONENT_TYPES.get(number)
    return f"{number} {text(f'gb.component_{name}', lang)}" if name else str(number)


def _in_words(doubts: "list[Doubt]", lang: str) -> list[str]:
    shown: dict[str, int] = {}
    lines = []
    for doubt in sorted(doubts, key=lambda doubt: doubt.severity != "error"):
        shown[doubt.code] = shown.get(doubt.code, 0) + 1
        if shown[doubt.code] <= WARNINGS_SHOWN:
            lines.append(f"{text(f'gbmap.{doubt.severity}', lang)}: {_say(doubt, lang)}")
    return lines


def _say(doubt: "Doubt", lang: str) -> str:
    from edge_agent.terminal import printable

    params = {name: printable(str(value)) for name, value in doubt.params.items()}
    return text(f"gbmap.{doubt.code}", lang, point=printable(doubt.point), **params)


def _as_json(line: "Line") -> dict[str, object]:
    place = line.place
    return {
        "point": line.point,
        "name": line.name,
        "send": place.send,
        "system_type": place.system_type,
        "system_address": place.system_address,
        "component_type": place.component_type,
        "component_address": line.address,
        "loop": None if place.raw else place.loop,
        "number": None if place.raw else place.point,
        "description": place.description,
        "analogue_type": place.quantity,
        "whole": place.is_panel,
        "defaults": list(place.defaults),
    }


def _doubt_json(doubt: "Doubt", lang: str) -> dict[str, object]:
    return {
        "severity": doubt.severity,
        "code": doubt.code,
        "point": doubt.point,
        "params": dict(doubt.params),
        "message": _say(doubt, lang),
    }
