"""The commented sample file and the reference page, made from the schema: what is documented is what is checked.

`python -m edge_agent.config.reference sample|page zh|en` prints them; a test compares the files in docs/ with that.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from edge_agent.config.keys import Key, Section
from edge_agent.config.report import expected
from edge_agent.config.schema import SECTIONS, TOP, shapes
from edge_agent.texts import text
from edge_agent.texts.config import TEXTS

CODES: Final = tuple(TEXTS)[tuple(TEXTS).index("missing_file") : tuple(TEXTS).index("summary_ok")]


def sample(
    lang: str,
    *,
    values: Mapping[str, str] | None = None,
    sections: Iterable[str] | None = None,
) -> str:
    """A commented configuration that passes its own check.

    `values` replaces examples, by dotted key ("gateway.id"), each written as in TOML; "" leaves the key out. `sections` names
    the tables that are written out (default: all that can stand together); the rest stand there behind a #, ready to be used.
    """
    given = values or {}
    live = {section.name for section in SECTIONS if not section.aside} if sections is None else set(sections)
    lines = [f"# {line}" for line in text("config.sample_head", lang).splitlines()]
    lines += ["", *_keys(TOP, lang, given, live=True)]
    for section in SECTIONS:
        shown = section.name in live
        mark = "" if shown else "# "
        header = f"[[{section.name}]]" if section.many else f"[{section.name}]"
        lines += ["", f"# {_words(section, lang)}", mark + header, *_keys(section, lang, given, live=shown)]
    return "\n".join(lines) + "\n"


def _keys(section: Section, lang: str, given: Mapping[str, str], *, live: bool) -> list[str]:
    lines = []
    for name, rule in section.keys.items():
        shape = shapes(section.name)[name]
        dotted = f"{section.name}.{name}"
        value = given.get(dotted) or (rule.example if shape.required or rule.sample or not shape.default else "")
        written = given[dotted] != "" if dotted in given else shape.required or rule.sample
        line = f"{name} = {value or toml(shape.default)}"
        # Of a table that is only shown, everything stays behind one #; of a live one, only what is left at its default.
        lines.append(f"{'' if live and written else '# '}{line}  # {_words(rule, lang)}{_unit(rule)}")
    return lines


def _words(of: Section | Key, lang: str) -> str:
    return of.zh if lang == "zh" else of.en


def _unit(rule: Key) -> str:
    return f" [{rule.unit}]" if rule.unit else ""


def toml(value: object) -> str:
    """A default as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(toml(entry) for entry in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {toml(entry)}" for name, entry in value.items()) + " }" if value else "{}"
    return str(value)


def page(lang: str) -> str:
    """The tables of the reference page in Markdown: every key, then every code of `config check`."""
    lines: list[str] = []
    for section in (TOP, *SECTIONS):
        name = f"`[[{section.name}]]`" if section.many else f"`[{section.name}]`" if section.name else "`config.toml`"
        many = f" ({text('config.many_tables', lang)})" if section.many else ""
        lines += [f"### {name}{many}", "", _words(section, lang) + ("。" if lang == "zh" else "."), ""]
        head = [text(f"config.column_{column}", lang) for column in ("key", "type", "default", "meaning")]
        lines += [f"| {' | '.join(head)} |", "|---|---|---|---|"]
        for key, rule in section.keys.items():
            shape = shapes(section.name)[key]
            default = "-" if shape.default is None else f"`{toml(shape.default)}`"
            if shape.required:
                default = text("config.required", lang)
            cells = (f"`{key}`", expected(section, key, lang), default, _words(rule, lang))
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
        lines.append("")
    column = text("config.column_code", lang)
    title = text("config.column_meaning", lang)
    lines += [f"### {text('config.codes_title', lang)}", "", f"| {column} | {title} |", "|---|---|"]
    for code in CODES:
        words = TEXTS[code][0 if lang == "zh" else 1].replace("|", "\\|").replace("*", "\\*")
        lines.append(f"| `{code}` | {words.replace('{', '‹').replace('}', '›')} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    _, what, language = sys.argv
    print(sample(language) if what == "sample" else page(language), end="")
