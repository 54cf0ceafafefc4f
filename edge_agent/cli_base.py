"""click in two languages: help, headings and usage errors from the catalogue, commands loaded only when they are used.

Help texts are not written at the commands but looked up by the command's path in `edge_agent.texts.cli` when they are shown:
`help_journal_list` for the command, `opt_journal_list_limit` or else `opt_limit` for its options. So one process can speak both.
"""

import dataclasses
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from edge_agent.cli_words import lookup
from edge_agent.terminal import CliContext, cells, usable_language
from edge_agent.texts import LANGUAGES, text

_HEADINGS = {
    "Options": "cli.heading_options",
    "Commands": "cli.heading_commands",
    "Positional arguments": "cli.heading_arguments",
}
_CLOSING = frozenset("，。、；：？！）」』》】”’")  # a line never begins with one of these


def language_of(ctx: click.Context | None) -> str:
    """The language this invocation speaks; en before it is known."""
    return ctx.obj.lang if ctx is not None and isinstance(ctx.obj, CliContext) else "en"


def wrap(line: str, width: int) -> list[str]:
    """Break `line` into lines of at most `width` columns: between words, and between any two Chinese characters."""
    lines, current = [], ""
    for unit in _units(line):
        if cells(current + unit.rstrip()) <= width or not current or unit in _CLOSING:
            current += unit
        else:
            lines.append(current.rstrip())
            current = unit.lstrip()
    return [*lines, current.rstrip()] if current.strip() else lines


def _units(line: str) -> Iterator[str]:
    """Words, the blanks between them, and single Chinese characters. No regular expression: compiling one costs `--help` 8 ms."""
    unit = ""
    for char in line:
        if char >= "\u1100":
            yield from (unit, char) if unit else (char,)
            unit = ""
        elif unit and char.isspace() != unit[-1].isspace():
            yield unit
            unit = char
        else:
            unit += char
    if unit:
        yield unit


class Formatter(click.HelpFormatter):
    """Help in columns that count Chinese characters as two cells, which click's own does not."""

    lang = "en"

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line under our own word for it."""
        super().write_usage(prog, args, prefix if prefix is not None else text("cli.usage", self.lang) + " ")

    def write_heading(self, heading: str) -> None:
        """Write a heading in the language of the reader."""
        key = _HEADINGS.get(heading)
        super().write_heading(text(key, self.lang) if key else heading)

    def write_text(self, text: str) -> None:
        """Write paragraphs; lines that begin with four blanks are examples and stay as they are."""
        indent = " " * self.current_indent
        for line in text.splitlines():
            if line.startswith("    ") or not line:
                self.write(f"{indent}{line}".rstrip() + "\n")
                continue
            for part in wrap(line, self.width - self.current_indent):
                self.write(f"{indent}{part}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and what they mean in two columns."""
        rows = list(rows)
        first = min(max((cells(term) for term, _ in rows), default=0), col_max) + col_spacing
        indent = " " * self.current_indent
        for term, meaning in rows:
            told = meaning.replace("[required]", text("cli.required", self.lang))
            parts = wrap(told, max(self.width - self.current_indent - first, 20)) or [""]
            if cells(term) > first - col_spacing:
                self.write(f"{indent}{term}\n")
            else:
                self.write(f"{indent}{term}{' ' * (first - cells(term))}{parts.pop(0)}".rstrip() + "\n")
            for part in parts:
                self.write(f"{indent}{' ' * first}{part}\n")


class _Zh(Formatter):
    lang = "zh"


class _ContextEn(click.Context):
    formatter_class = Formatter


class _ContextZh(click.Context):
    formatter_class = _Zh


def dress(command: click.Command, path: Sequence[str], lang: str) -> click.Command:
    """Give `command`, and all below it that is loaded, the words of `lang`. Texts the catalogue lacks stay as they were."""
    speak(command, lang)
    name = "_".join(path).replace("-", "_") or "root"
    command.help = lookup(f"help.{name}", lang) or command.help
    command.short_help = (command.help or "").splitlines()[0] if command.help else command.short_help
    if isinstance(command, click.Group):
        for key, below in command.commands.items():
            dress(below, [*path, key], lang)
    if command.add_help_option:  # dressed for the first time
        command.add_help_option = False
        command.params += [*_common_options(command, path), help_option(lang)]
    for param in command.params:
        if isinstance(param, click.Option):
            option = max(param.opts, key=len).lstrip("-").replace("-", "_")
            own = lookup(f"help.opt_{name}_{option}", lang) or lookup(f"help.opt_{option}", lang)
            param.help = own or param.help
        elif isinstance(param, click.Argument):
            own = lookup(f"help.arg_{name}_{param.name}", lang) or lookup(f"help.arg_{param.name}", lang)
            param.metavar = own or param.metavar
    return command


def speak(command: click.Command, lang: str) -> None:
    """Give `command` our headings and usage line, in the words of `lang`."""
    command.context_class = _ContextZh if lang == "zh" else _ContextEn
    command.options_metavar = text("cli.metavar_options", lang)
    if isinstance(command, click.Group):
        command.subcommand_metavar = text("cli.metavar_command", lang)


def _common_options(command: click.Command, path: Sequence[str]) -> list[click.Option]:
    """What every command takes besides its own: the same words mean the same before and after the command's name."""
    taken = {name for param in command.params for name in param.opts}
    common = []
    if "--config" not in taken:
        common.append(
            click.Option(["--config"], type=FilePath(), metavar="DIR", callback=_set_config, expose_value=False)
        )
    if "--json" not in taken and not {"run", "uplink", "cameras"} & set(path[:1]):
        common.append(click.Option(["--json"], is_flag=True, callback=_set_json, expose_value=False))
    if "--lang" not in taken:
        common.append(click.Option(["--lang"], type=Choice(LANGUAGES), callback=_set_lang, expose_value=False))
    return common


def _set_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.obj = dataclasses.replace(ctx.obj, config_dir=value)


def _set_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj = dataclasses.replace(ctx.obj, json_out=True)


def _set_lang(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.obj = dataclasses.replace(ctx.obj, lang=usable_language(value))


def help_option(lang: str) -> click.Option:
    """-h and --help; click's own speaks English."""

    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()

    words = text("help.opt_help", lang)
    return click.Option(["-h", "--help"], is_flag=True, is_eager=True, expose_value=False, callback=show, help=words)


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for: `lazy` maps a name to "module:attribute"."""

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order a reader meets them, loaded or not."""
        return [*self.lazy, *(name for name in self.commands if name not in self.lazy)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command and dress it in the language of this invocation."""
        command = super().get_command(ctx, cmd_name)
        if command is None and cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), attribute)
            assert isinstance(command, click.Command)
        return None if command is None else dress(command, [cmd_name], language_of(ctx))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or fail naming the nearest: click's own list holds only those already loaded."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            import difflib

            lang, near = language_of(ctx), difflib.get_close_matches(args[0], self.list_commands(ctx))
            ctx.fail(text("cli.no_such_command", lang, name=args[0]) + _nearest(near, lang))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by the first line of their help, without loading any of them."""
        lang = language_of(ctx)
        rows = [(name, (lookup(f"help.{name}", lang) or "").partition("\n")[0]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def say_usage_error(error: click.UsageError, lang: str) -> str:
    """One usage error in words: what is wrong, the nearest right thing, where to read on."""
    lines = [text("cli.usage_error", lang, message=_message(error, lang))]
    if error.ctx is not None:
        lines.append(text("cli.try_help", lang, command=error.ctx.command_path))
    return "\n".join(lines)


def _message(error: click.UsageError, lang: str) -> str:
    command = getattr(error, "command_name", None)  # NoSuchCommand came with click 8.4
    if isinstance(error, click.NoSuchOption):
        said = text("cli.no_such_option", lang, name=error.option_name)
        return said + _nearest(error.possibilities or (), lang)
    if command is not None:
        return text("cli.no_such_command", lang, name=command) + _nearest(
            getattr(error, "possibilities", None) or (), lang
        )
    if isinstance(error, click.MissingParameter):
        return text("cli.missing_parameter", lang, name=_hint(error))
    if isinstance(error, click.BadParameter):
        return text("cli.bad_parameter", lang, name=_hint(error), why=error.message) if _hint(error) else error.message
    if isinstance(error, click.BadOptionUsage):
        takes_none = "does not take a value" in error.message
        return text("cli.option_no_value" if takes_none else "cli.option_needs_value", lang, name=error.option_name)
    extra = re.search(r"unexpected extra arguments? \((.*)\)", error.message)
    if extra:
        return text("cli.extra_arguments", lang, args=extra[1])
    if error.message == "Missing command.":
        return text("cli.missing_command", lang)
    return error.message


def _hint(error: click.BadParameter) -> str:
    hint = error.param_hint or (error.param.get_error_hint(error.ctx) if error.param and error.ctx else "")
    return " ".join(hint) if not isinstance(hint, str) else hint.replace("'", "")


def _nearest(names: Iterable[str], lang: str) -> str:
    names = list(names)
    return " " + text("cli.nearest", lang, names=text("cli.or", lang).join(names[:2])) if names else ""


class Choice(click.ParamType[str]):
    """One of a few words; a wrong one is answered with the nearest and the list."""

    name = "choice"

    def __init__(self, choices: Sequence[str]) -> None:
        self.choices = tuple(choices)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """As [a|b|c]."""
        return f"[{'|'.join(self.choices)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word, or fail saying which are known."""
        if value in self.choices:
            return str(value)
        import difflib

        lang = language_of(ctx)
        near = difflib.get_close_matches(str(value), self.choices)
        said = text("cli.bad_choice", lang, value=value, known=", ".join(self.choices))
        return self.fail(said + _nearest(near, lang), param, ctx)


class Whole(click.ParamType[int]):
    """A whole number within bounds."""

    name = "number"

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or fail saying the bounds."""
        try:
            number = int(value)
        except ValueError:
            number = self.low - 1
        if not self.low <= number <= self.high:
            said = text("cli.bad_number", language_of(ctx), value=value, low=self.low, high=self.high)
            self.fail(said, param, ctx)
        return number


class Seconds(click.ParamType[float]):
    """A stretch of time such as 90s, 15m, 2h, 7d; a bare number is seconds."""

    name = "duration"
    _UNITS: Mapping[str, float] = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds, more than 0."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)", str(value).strip().lower())
        if not match or float(match[1]) == 0:
            self._refuse(value, param, ctx)
        return float(match[1]) * self._UNITS[match[2]]

    def _refuse(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> NoReturn:
        self.fail(text("cli.bad_duration", language_of(ctx), value=value), param, ctx)


class FilePath(click.ParamType[Path]):
    """A path, taken as it is: the command that opens it says what is wrong with it."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path with ~ put in full."""
        return Path(value).expanduser()
