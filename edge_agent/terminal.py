"""How every command of the house speaks to a terminal, a pipe or a script: exit codes, JSON, tables that line up in Chinese.

Nothing heavy is imported here (no rich, no click): `--help` must be quick on a small machine.
"""

import contextlib
import json
import os
import stat
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

# Exit codes: scripts depend on them. USAGE and CONFIG are sysexits.h; the units never restart after CONFIG.
OK: Final = 0
WARNINGS: Final = 1
FAILURES: Final = 2
USAGE: Final = 64
CONFIG: Final = 78

DEFAULT_CONFIG_DIR: Final = Path("/etc/edge-agent")

_CHINESE_SAMPLE: Final = "火警"


@dataclass(frozen=True, slots=True)
class CliContext:
    """What the top command passes to every command below it, as click's `ctx.obj`."""

    lang: str = "zh"  # zh | en
    config_dir: Path = DEFAULT_CONFIG_DIR
    json_out: bool = False  # --json given before the command; a command's own --json says the same


def prepare_stdio() -> None:
    """Call first in every main(): no character a terminal cannot show may ever stop a command (GBK consoles, LC_ALL=C)."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a test's StringIO has none, and needs none
            reconfigure(errors="replace")


def can_show(text: str, stream: TextIO | None = None) -> bool:
    """Whether `stream` (default stdout) has a byte form for all of `text`."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def usable_language(lang: str, stream: TextIO | None = None) -> str:
    """`lang`, or "en" where the stream would print every Chinese character as a question mark."""
    return "en" if lang == "zh" and not can_show(_CHINESE_SAMPLE, stream) else lang


def printable(text: str) -> str:
    """`text` with control characters escaped: names come off wires and out of files, and may carry terminal commands."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print one JSON document and a line end. Chinese stays readable where whoever reads can take it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if not (takes_unicode() and can_show(text)):
        text = json.dumps(value, ensure_ascii=True, indent=indent)
    print(text)


def takes_unicode(stream: TextIO | None = None) -> bool:
    """Whether JSON on `stream` (default stdout) may hold more than ASCII: in UTF-8, or before a person's eyes. A program that
    reads it out of a file or a pipe expects UTF-8, whatever the console speaks (GB18030).
    """
    out = stream or sys.stdout
    return (getattr(out, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8" or out.isatty()


def print_file(lines: Iterable[str]) -> None:
    """Print what this program will read again (a configuration, a profile): a file it is redirected into is UTF-8, whatever
    the console speaks.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):  # AttributeError: a test's StringIO
        if stat.S_ISREG(os.fstat(sys.stdout.fileno()).st_mode):
            sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # what is missing is suppressed
    print_lines(lines)


def print_json_line(value: object) -> None:
    """Print one JSON document on one line, at once: for commands that follow a stream (`events --follow`)."""
    text = json.dumps(value, ensure_ascii=not takes_unicode(), separators=(",", ":"))
    if not can_show(text):
        text = json.dumps(value, separators=(",", ":"))
    print(text, flush=True)


def cells(text: str) -> int:
    """How many columns `text` takes: Chinese characters and full-width punctuation take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(c) for c in text)


def _cells_of(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in {"Cf", "Me", "Mn"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def fit(text: str, width: int) -> str:
    """`text` in at most `width` columns; what does not fit ends in "~", which every terminal has."""
    if cells(text) <= width:
        return text
    if width <= 0:
        return ""
    taken, used = [], 0
    for char in text:
        if used + _cells_of(char) > width - 1:
            break
        taken.append(char)
        used += _cells_of(char)
    return "".join(taken) + "~"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled with spaces to `width` columns; `right` aligns it to the right."""
    space = " " * max(0, width - cells(text))
    return space + text if right else text + space


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    width: int | None = None,
    right: Iterable[int] = (),
) -> list[str]:
    """Lines of a plain table, columns two spaces apart, numbers of `right` columns aligned to the right.

    `width` bounds a line: the widest columns give way first. Control characters are escaped. No colour, no box: it
    reads the same in a pipe, over ssh from a phone and on a GBK console.
    """
    text_rows = [[printable("" if value is None else str(value)) for value in row] for row in rows]
    all_rows = [list(headers), *text_rows] if headers else text_rows
    if not all_rows:
        return []
    count = max(len(row) for row in all_rows)
    all_rows = [row + [""] * (count - len(row)) for row in all_rows]
    widths = [max(cells(row[i]) for row in all_rows) for i in range(count)]
    if width is not None:
        while sum(widths) + 2 * (count - 1) > width and max(widths) > 4:
            widths[widths.index(max(widths))] -= 1
    to_right = frozenset(right)
    return [
        "  ".join(
            pad(fit(cell, widths[i]), widths[i], right=i in to_right and n > 0) for i, cell in enumerate(row)
        ).rstrip()
        for n, row in enumerate(all_rows, start=0 if headers else 1)
    ]


def print_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print each line, at once even into a pipe. Data goes to stdout, words about it to stderr."""
    stream = sys.stderr if err else sys.stdout
    for line in lines:
        print(line, file=stream)
    stream.flush()


def width() -> int | None:
    """Columns of the terminal, or None where lines may be as long as they are."""
    import shutil  # it costs `--help` some milliseconds

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
