"""`edge-agent config check|show|sample`: every fault of the configuration at once, and what is in force."""

import dataclasses
import functools
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge_agent.terminal import CONFIG, OK, WARNINGS, CliContext, print_file, print_json, print_lines, table
from edge_agent.texts import text

if TYPE_CHECKING:
    from drivers.profile import Profiles
    from edge_agent.config.loaded import Loaded


@click.group(name="config")
def config_group() -> None:
    """Check and show the configuration."""


@config_group.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--for-start", is_flag=True)
@click.pass_context
def check(ctx: click.Context, path: Path | None, for_start: bool) -> None:
    """Report every fault. Exit 0 sound, 1 warnings, 78 errors."""
    from edge_agent.config.report import as_json, render, stand_in_words
    from edge_agent.last_good import in_force

    obj = _context(ctx)
    site = path or obj.config_dir
    files = load_site(site, look_at_machine=not for_start, lang=obj.lang)
    found = in_force(site, files)
    loaded = found.loaded if found.sent is None else files  # what people can mend
    errors = sum(finding.severity == "error" for finding in loaded.findings)
    warnings = len(loaded.findings) - errors
    if obj.json_out:
        print_json(
            {
                "ok": not errors,
                "errors": errors,
                "warnings": warnings,
                "files": [str(file) for file in loaded.sources],
                "findings": [as_json(finding, obj.lang) for finding in loaded.findings],
                "stands_in": found.why(),
                "sent": found.sent_by(),
            }
        )
    else:
        for finding in loaded.findings:
            print_lines([render(finding, obj.lang)])
        print_lines([_summary(loaded, errors, warnings, obj.lang), *stand_in_words(found, obj.lang)])
    ctx.exit(CONFIG if errors else WARNINGS if warnings and not for_start else OK)


@config_group.command()
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.pass_context
def show(ctx: click.Context, path: Path | None) -> None:
    """Show the configuration in force and where each key comes from."""
    from edge_agent.config.load import load_contents
    from edge_agent.config.report import as_json, render, stand_in_words
    from edge_agent.last_good import in_force

    obj = _context(ctx)
    found = in_force(path or obj.config_dir)
    loaded = found.loaded
    entries = list(effective(load_contents(found.copy.files) if found.copy and found.stands_in else loaded))
    if obj.json_out:
        print_json(
            {
                "ok": loaded.config is not None,
                "files": [str(file) for file in loaded.sources],
                "keys": entries,
                "findings": [as_json(finding, obj.lang) for finding in loaded.findings],
                "stands_in": found.why(),
                "sent": found.sent_by(),
            }
        )
    else:
        print_lines([render(finding, obj.lang) for finding in loaded.findings], err=True)
        print_lines(stand_in_words(found, obj.lang), err=True)
        head = [text(f"config.column_{name}", obj.lang) for name in ("key", "value", "origin")]
        rows = [(entry["key"], _shown(entry["value"]), _from(entry["origin"], obj.lang)) for entry in entries]
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        if rows:
            print_lines(table(head, rows, width=width))
    ctx.exit(OK if loaded.config is not None else CONFIG)


@config_group.command()
@click.pass_context
def sample(ctx: click.Context) -> None:
    """Print a commented sample configuration."""
    from edge_agent.config.reference import sample as make

    print_file(make(_context(ctx).lang).removesuffix("\n").split("\n"))


def load_site(path: Path, *, look_at_machine: bool, lang: str) -> "Loaded":
    """The configuration; if asked, checked against this machine and the profiles there are. A start does without: the core
    tells each source it cannot watch as a fault, and runs the rest.
    """
    from edge_agent.config.load import load

    if not look_at_machine:
        return load(path)

    @functools.cache
    def known() -> "Profiles":
        from drivers.profile import load_profiles

        return load_profiles(load(path).profile_dirs)

    def unsound(name: str) -> str:
        from drivers.profile import ProfileError
        from edge_agent.cli_profile import say
        from edge_agent.profile_files import findings_of

        try:
            found = [one for one in findings_of(known().for_site(name)) if one.severity == "error"]
        except ProfileError as error:
            return say(error.code, error.params, lang)
        return say(found[0].code, found[0].params, lang) if found else ""

    return load(path, check_ports=True, check_tls=True, profiles=lambda: known().names(), unsound=unsound)


def effective(loaded: "Loaded") -> Iterator[dict[str, Any]]:
    """Every key in force, in the order of the model: its label, value, and origin (None is the default)."""
    if loaded.config is not None:
        yield from _walk(loaded.config, "", loaded)


def _walk(part: Any, label: str, loaded: "Loaded") -> Iterator[dict[str, Any]]:
    from edge_agent.config.schema import SECTIONS
    from edge_agent.config.site import join
    from edge_agent.config.source import is_secret, is_secret_name

    inner = {(section.into, type(part)): section for section in SECTIONS}
    parents = {section.name: section.cls for section in SECTIONS}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        section = inner.get((field.name, type(part)))
        if section is not None and parents.get(section.parent, type(loaded.config)) is type(part):
            tables = value if section.many else [value] if value is not None else []
            for entry in tables:
                name = f"[{entry.id}]" if section.many else ""
                yield from _walk(entry, join(label, section.last) + name, loaded)
            continue
        key = join(label, field.name)
        origin = loaded.origins.get(key)
        plain = _plain(value)
        if is_secret_name(field.name) or (isinstance(plain, str) and is_secret(plain)):
            plain = "***"
        place = {"file": str(origin.file), "line": origin.line} if origin else None
        yield {"key": key, "value": plain, "origin": place}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return dict(value) if isinstance(value, Mapping) else value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}={line}" for name, line in value.items()) or "-"
    return str(value) or "-"


def _from(origin: Mapping[str, Any] | None, lang: str) -> str:
    return f"{Path(origin['file']).name}:{origin['line']}" if origin else text("config.default", lang)


def _summary(loaded: "Loaded", errors: int, warnings: int, lang: str) -> str:
    config = loaded.config
    if errors or warnings or config is None:
        return text("config.summary_found", lang, errors=errors, warnings=warnings)
    sources = len(config.panels) + sum(len(line.devices) for line in config.lines) + len(config.contacts)
    return text("config.summary_ok", lang, files=len(loaded.sources), sources=sources, uplinks=len(config.uplinks))


def _context(ctx: click.Context) -> CliContext:
    return ctx.obj if isinstance(ctx.obj, CliContext) else CliContext()
