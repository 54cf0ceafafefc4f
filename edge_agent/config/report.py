"""Findings in words, what the schema expects of a key, and what stands in for damaged files."""

from typing import TYPE_CHECKING, Any

from edge_agent.config.findings import Finding
from edge_agent.config.keys import Key, Section
from edge_agent.config.schema import BY_NAME, shapes
from edge_agent.system_words import system_words
from edge_agent.terminal import printable
from edge_agent.texts import text

if TYPE_CHECKING:
    from edge_agent.last_good import InForce

_INDENT = "    "


def render(finding: Finding, lang: str) -> str:
    """One finding for people, in one to three lines: where and what, then what is expected, nearest and an example."""
    params: dict[str, Any] = {name: printable(str(value)) for name, value in finding.params.items()}
    where = f"{printable(str(finding.file))}:{finding.line}" if finding.line else printable(str(finding.file))
    severity = text(f"config.{finding.severity}", lang)
    key = f"{printable(finding.key)}: " if finding.key else ""
    lines = [f"{where}: {severity}: {key}{message(finding, lang)} [{finding.code}]"]
    if first := params.get("first_file"):
        lines.append(_INDENT + text("config.first_at", lang, file=first, line=params["first_line"]))
    hints = []
    if near := params.get("nearest"):
        hints.append(text("config.nearest", lang, nearest=near))
    elif home := params.get("home"):
        hints.append(text("config.belongs", lang, name=params["name"], home=home))
    elif finding.code in {"unknown_key", "unknown_table"}:
        hints.append(text("config.one_of", lang, choices=params["known"]))
    if schema := params.get("schema"):
        section, rule = find(schema)
        if rule is not None:
            name = schema.rpartition(".")[2]
            hints.append(text("config.expected", lang, what=expected(section, name, lang)))
            hints.append(text("config.example", lang, example=f"{name} = {rule.example}"))
    if hints:
        lines.append(_INDENT + "    ".join(hints))
    return "\n".join(lines)


def message(finding: Finding, lang: str) -> str:
    """Only what is wrong, without the place and the hints."""
    params: dict[str, Any] = {name: printable(str(value)) for name, value in finding.params.items()}
    if "why" in params:
        params["why"] = system_words(params["why"], lang)
    return text(f"config.{finding.code}", lang, **params)


def find(schema: str) -> tuple[Section, Key | None]:
    """The section and key of a dotted name of the schema ("bus.device.address"); the key is None for a table."""
    if schema in BY_NAME:
        return BY_NAME[schema], None
    section, _, name = schema.rpartition(".")
    return BY_NAME[section], BY_NAME[section].keys[name]


def expected(section: Section, name: str, lang: str) -> str:
    """What may stand for a key: its kind, choices, range and unit."""
    rule, kind = section.keys[name], shapes(section.name)[name].kind
    choices = ", ".join(map(str, rule.choices))
    if rule.choices and kind not in {"lines", "texts"}:
        return text("config.one_of", lang, choices=choices) + (f" {rule.unit}" if rule.unit else "")
    parts = [
        text(f"config.form_{rule.form}" if rule.form and kind in {"text", "path"} else f"config.kind_{kind}", lang)
    ]
    if rule.form and kind in {"texts", "paths"}:
        parts.append(text(f"config.form_{rule.form}", lang))
    if rule.choices:
        parts.append(text("config.names", lang, choices=choices))
    if rule.low is not None and rule.high is not None:
        unit = f" {rule.unit}" if rule.unit else ""
        parts.append(text("config.range", lang, low=f"{rule.low:.10g}", high=f"{rule.high:.10g}") + unit)
    return ", ".join(parts)


def as_json(finding: Finding, lang: str) -> dict[str, object]:
    """One finding for scripts: the code and its parameters, and the words in `lang`."""
    params = {n: v if isinstance(v, int | float | bool) else printable(str(v)) for n, v in finding.params.items()}
    found: dict[str, object] = {
        "severity": finding.severity,
        "code": finding.code,
        "file": str(finding.file),
        "line": finding.line,
        "key": finding.key,
        "message": message(finding, lang),
    }
    if schema := params.get("schema"):
        section, rule = find(str(schema))
        if rule is not None:
            name = str(schema).rpartition(".")[2]
            found["expected"] = expected(section, name, lang)
            found["example"] = f"{name} = {rule.example}"
    if near := params.get("nearest"):
        found["nearest"] = near
    return {**found, "params": params}


def stand_in_words(found: "InForce", lang: str) -> list[str]:
    """What the services run on instead of the files, and what to do; nothing if they run on the files."""
    if (sent := found.sent_by()) is not None:
        return [text("config.sent", lang, **sent)]
    if not found.stands_in or found.copy is None:
        return []
    from edge_agent.china_time import china_time

    when = china_time(found.copy.accepted_wall_ns, found.copy.accepted_clock)
    return [text("config.stands_in", lang, when=when, copy=printable(str(found.copy.path)))]
