"""Where in a TOML file each key stands. `tomllib` reads values but keeps no positions.

The text is first cut into statements (a header, or one `key = value`), leniently: a broken statement ends where the next one
plainly begins, so one missing quote or bracket does not swallow the rest of the file. For sound TOML the paths are
those of `tomllib`'s result; tests compare the two.
"""

import bisect
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

Path = tuple[str | int, ...]  # ("bus", 0, "device", 1, "address")

_BLANK: Final = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_SPACE: Final = re.compile(r"[ \t]*")
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
# Neither can stand at the start of a line inside a sound value, so they end an unclosed one.
_NEXT_STATEMENT: Final = re.compile(
    rf"[ \t]*(?:{_KEY.pattern}[ \t]*=|\[\[?[ \t]*(?!(?:true|false|inf|nan)\b)[A-Za-z_][\w-]*(?:\.[\w-]+)*[ \t]*\]\]?[ \t]*(?:#|$))",
    re.MULTILINE,
)
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|'  # up to two quotes may stand before the closing three
    r"'''.*?'{3,5}|"
    r'"""|'  # never closed
    r"'''|"
    r'"(?:[^"\\\n]|\\[^\n])*"?|'
    r"'[^'\n]*'?",
    re.DOTALL,
)
_OPEN, _CLOSE = "[{", "]}"
_NEST_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Statement:
    """One header or one `key = value`, broken or not. `start` and `end` are offsets into the text."""

    kind: Literal["table", "array", "pair"]
    line: int  # from 1
    start: int
    end: int


class Lines:
    """Line numbers of one text, from 1."""

    def __init__(self, text: str) -> None:
        self._ends = [m.start() for m in re.finditer("\n", text)]

    def at(self, offset: int) -> int:
        """The line `offset` is on."""
        return bisect.bisect_left(self._ends, offset) + 1


def statements(text: str, lines: Lines | None = None) -> Iterator[Statement]:
    """Cut `text` (line ends are \\n) into statements, in order. Never raises; every non-blank line is in one of them."""
    lines = lines or Lines(text)
    offset = 0
    while True:
        if blank := _BLANK.match(text, offset):
            offset = blank.end()
        if offset >= len(text):
            return
        start, kind = offset, "pair"
        if text[start] == "[":
            kind = "array" if text.startswith("[[", start) else "table"
            offset = _line_end(text, start)
        else:
            offset = _pair_end(text, start)
        yield Statement(kind, lines.at(start), start, offset)  # type: ignore[arg-type]  # one of three literals


def _line_end(text: str, offset: int) -> int:
    end = text.find("\n", offset)
    return len(text) if end < 0 else end


def _pair_end(text: str, offset: int) -> int:
    depth = 0
    while offset < len(text):
        char = text[offset]
        if char in "\"'":
            offset = _string_end(text, offset)
            continue
        if char == "#":
            offset = _line_end(text, offset)
            continue
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE:
            depth -= 1
        elif char == "\n" and (depth <= 0 or _NEXT_STATEMENT.match(text, offset + 1)):
            return offset
        offset += 1
    return offset


def _string_end(text: str, offset: int) -> int:
    match = _STRING.match(text, offset)
    assert match, "called at a quote"
    return len(text) if match.group() in {'"""', "'''"} else match.end()


def key_parts(written: str) -> tuple[str, ...] | None:
    """The parts of a dotted key as written, quotes and escapes undone; None if it is not a key."""
    written = written.strip(" \t")
    if not _KEY.fullmatch(written):
        return None
    if '"' not in written and "'" not in written:
        return tuple(part.strip(" \t") for part in written.split("."))
    try:
        tree: object = tomllib.loads(written + " = 0")
    except tomllib.TOMLDecodeError:
        return None
    parts: list[str] = []
    while isinstance(tree, dict):
        part, tree = next(iter(tree.items()))
        parts.append(part)
    return tuple(parts)


class Places:
    """Line of every path of one text, built statement by statement; tells when a statement repeats an earlier one."""

    def __init__(self, text: str, lines: Lines) -> None:
        self._text, self._at = text, lines.at
        self.lines: dict[Path, int] = {(): 1}
        self._counts: dict[Path, int] = {}  # arrays of tables: how many so far
        self._headers: dict[Path, int] = {}  # tables opened by a header of their own
        self._here: Path = ()

    def add(self, statement: Statement) -> int:
        """Enter one statement. Return the line of the earlier one it repeats, or 0 (it was entered)."""
        if statement.kind != "pair":
            return self._add_header(statement)
        match = _KEY.match(self._text, statement.start)
        parts = key_parts(match.group()) if match else None
        if match is None or parts is None:
            return 0
        path = (*self._here, *parts)
        if path in self.lines:
            return self.lines[path]
        for i in range(len(self._here) + 1, len(path)):
            self.lines.setdefault(path[:i], statement.line)
        equals = self._text.find("=", match.end())
        self._value(self._skip(equals + 1), path, 0)
        return 0

    def _add_header(self, statement: Statement) -> int:
        width = 2 if statement.kind == "array" else 1
        match = _KEY.match(self._text, self._skip(statement.start + width))
        parts = key_parts(match.group()) if match else None
        if parts is None:
            return 0
        path: Path = ()
        for part in parts[:-1]:
            path = (*path, part)
            self.lines.setdefault(path, statement.line)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        path = (*path, parts[-1])
        if statement.kind == "array":
            if path in self.lines and path not in self._counts:
                return self.lines[path]
            self.lines.setdefault(path, statement.line)
            index = self._counts.get(path, 0)
            self._counts[path] = index + 1
            path = (*path, index)
            self.lines[path] = statement.line
        elif path in self._headers:
            return self._headers[path]
        else:
            self._headers[path] = statement.line
            self.lines[path] = statement.line
        self._here = path
        return 0

    def _skip(self, offset: int) -> int:
        match = _BLANK.match(self._text, offset)
        return match.end() if match else offset

    def _value(self, offset: int, path: Path, depth: int) -> int:
        """Note the value that begins at `offset` and all inside it; return the offset behind it."""
        text = self._text
        self.lines.setdefault(path, self._at(offset))
        char = text[offset : offset + 1]
        if char and char in "\"'":
            return _string_end(text, offset)
        if char and char in _OPEN and depth < _NEST_MAX:
            return self._inside(offset, path, depth)
        while offset < len(text) and text[offset] not in ",]}#\n":
            offset += 1
        return offset

    def _inside(self, offset: int, path: Path, depth: int) -> int:
        text, is_array, index = self._text, self._text[offset] == "[", 0
        offset = self._skip(offset + 1)
        while offset < len(text) and text[offset] not in _CLOSE:
            before = offset
            if is_array:
                offset = self._value(offset, (*path, index), depth + 1)
                index += 1
            else:
                match = _KEY.match(text, offset)
                parts = key_parts(match.group()) if match else None
                if match is None or parts is None:
                    return len(text)
                for i in range(1, len(parts)):
                    self.lines.setdefault((*path, *parts[:i]), self._at(offset))
                equals = _SPACE.match(text, match.end())
                offset = self._skip((equals.end() if equals else match.end()) + 1)
                offset = self._value(offset, (*path, *parts), depth + 1)
            offset = self._skip(offset)
            if text[offset : offset + 1] == ",":
                offset = self._skip(offset + 1)
            if offset <= before:
                return len(text)  # broken: leave it to the parser to say how
        return offset + 1


def places(text: str, kept: Iterable[Statement] | None = None) -> dict[Path, int]:
    """Line of every table, array, key and element of a sound `text`."""
    lines = Lines(text)
    found = Places(text, lines)
    for statement in statements(text, lines) if kept is None else kept:
        found.add(statement)
    return found.lines
