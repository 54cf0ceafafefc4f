"""From bytes on disk to a TOML tree with line numbers, however the file was typed, saved or broken.

A sound file costs one parse. A broken one is taken apart statement by statement: each broken statement is told with its
likely cause, mended where the cause is only the input method (full-width punctuation), and the rest is still checked.
"""

import codecs
import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_agent.config.findings import Findings, Origin
from edge_agent.config.toml_lines import Lines, Places, Statement, key_parts, places, statements
from edge_agent.config.toml_lines import Path as KeyPath

FILE_BYTES_MAX: Final = 1024 * 1024
_TREE_REPAIRS_MAX: Final = 20  # each costs a parse of the whole file

# What Chinese input methods type where TOML wants ASCII, beyond the full-width forms U+FF01-U+FF5E.
_WIDE: Final = {"\u3000": " ", "\u00a0": " ", "、": ",", "。": ".", "【": "[", "】": "]", "「": '"', "」": '"'}
_OPENING_QUOTES: Final = {"“": '"', "”": '"', "„": '"', "＂": '"', "‘": "'", "’": "'", "＇": "'", "「": '"'}
_CLOSING_QUOTES: Final = {'"': '"“”＂」', "'": "'‘’＇"}
_SECRET_NAME: Final = re.compile(r"passw|secret|token|api_?key|private_?key|\bpsk\b|密码|口令", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(
    r"PRIVATE KEY|://[^/\s]*:[^/\s]*@|(?:^|[/?&_])(?:pwd|pass|passwd|password|token)=(?!\{password\}|&|$)",
    re.IGNORECASE,
)
_PAIR: Final = re.compile(r"(?P<key>[^=:]*?)\s*(?P<sign>[=:])\s*(?P<value>.*)", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")
_CAUSES: Final = (  # first match of the value names the likely cause
    ("no_value", re.compile(r"$|#")),
    ("boolean_case", re.compile(r"(?:True|TRUE|False|FALSE|yes|Yes|no|No|on|On|off|Off)\s*(?:#|$)")),
    ("leading_zero", re.compile(r"[+-]?0[0-9]+(?:\.\d+)?\s*(?:#|$)")),
    ("unit", re.compile(r"[+-]?[0-9.]+\s*(?:[A-Za-z%秒分时天度℃欧]+)\s*(?:#|$)")),
    ("backslash", re.compile(r'"[^"\n]*\\[^"\n]*"\s*(?:#|$)')),
    ("unclosed_quote", re.compile(r"(?:\"[^\"\n]*|'[^'\n]*)(?:\n|$)|(?s:\"{3}(?!.*\"{3})|'{3}(?!.*'{3}))")),
    ("unclosed_bracket", re.compile(r"[\[{]")),
    ("after_value", re.compile(r"(?:\"[^\"\n]*\"|'[^'\n]*'|[0-9.]+|true|false)[ \t]*[^\s#]")),
    ("needs_quotes", re.compile(r"[^\s\"'\[{0-9]")),
)


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of one file, and what its inode says of them."""

    file: Path
    data: bytes
    mtime_ns: int  # when they were last written
    private: bool = True  # others than its owner may not read it


@dataclass(slots=True)
class Source:
    """One file as read. `lines` knows every path of `tree`."""

    file: Path
    content: Content | None = None  # None: it could not be read at all
    tree: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    broken: bool = False  # a table, or all, was left out of `tree`: what seems missing may only be unreadable
    lost: set[str] = field(default_factory=set)  # names of keys whose value could not be read


def is_secret(value: str) -> bool:
    """Whether `value` holds a private key or a password in an address; it is never shown again."""
    return _SECRET_VALUE.search(value) is not None


def is_secret_name(key: str) -> bool:
    """Whether `key` is what people call a password, token or private key."""
    return _SECRET_NAME.search(key) is not None


def narrow_forms(text: str) -> str:
    """`text` with full-width letters, digits and signs as ASCII (Unicode NFKC)."""
    import unicodedata  # 1 MB that only a faulty configuration needs

    return unicodedata.normalize("NFKC", text)


def read(file: Path, findings: Findings) -> Source:
    """Read `file`. All faults go to `findings`; the tree holds whatever could be understood."""
    content = fetch(file, findings)
    return Source(file, broken=True) if content is None else parse(content, findings)


def parse(content: Content, findings: Findings) -> Source:
    """As `read`, of bytes that are already here."""
    file = content.file
    source = Source(file, content)
    text = _text(content.data, file, findings)
    if not text.strip():
        findings.warning("empty_file", Origin(file, 0))
        return source
    try:
        source.tree = tomllib.loads(text)
        source.lines = places(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        _parse_broken(text, source, findings)
    return source


def fetch(file: Path, findings: Findings) -> Content | None:
    """The bytes of `file`; None, and a finding that says why, if they cannot be had."""
    at = Origin(file, 0)
    try:
        info = file.stat()
        if not stat.S_ISREG(info.st_mode):  # opening a FIFO would wait for ever
            findings.error("not_a_file", at)
            return None
        if info.st_size > FILE_BYTES_MAX:
            findings.error("file_too_large", at, bytes=info.st_size, bytes_max=FILE_BYTES_MAX)
            return None
        with file.open("rb") as stream:
            info = os.fstat(stream.fileno())
            data = stream.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        findings.error("missing_file", at)
        return None
    except (OSError, ValueError) as fault:  # ValueError: a NUL in the name
        findings.error("unreadable_file", at, why=getattr(fault, "strerror", None) or "invalid name")
        return None
    if len(data) > FILE_BYTES_MAX:
        findings.error("file_too_large", at, bytes=len(data), bytes_max=FILE_BYTES_MAX)
        return None
    return Content(file, data, info.st_mtime_ns, not info.st_mode & 0o077)


def _text(data: bytes, file: Path, findings: Findings) -> str:
    """The text of `data`, with Unix line ends: the best that can be made of it."""
    if data.startswith(codecs.BOM_UTF8):
        findings.warning("bom", Origin(file, 1))
        data = data[len(codecs.BOM_UTF8) :]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        findings.error("utf16", Origin(file, 1), path=file)
        return _unix(data.decode("utf-16", "replace"))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        try:
            text = data.decode("gb18030")
            findings.error("gbk", Origin(file, line), path=file)
        except UnicodeDecodeError:
            text = data.decode("utf-8", "replace")
            findings.error("not_text", Origin(file, line), byte=f"0x{data[fault.start]:02X}", offset=fault.start)
    return _unix(text)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parse_broken(text: str, source: Source, findings: Findings) -> None:
    """Tell every broken statement of `text`; put the rest, and what could be mended, into `source`."""
    lines = Lines(text)
    kept: list[str] = []  # statements at their own lines, so that line numbers stay true
    skip_table = False
    at_line = 1
    for statement in statements(text, lines):
        written = text[statement.start : statement.end]
        header = statement.kind != "pair" or written[0] in "［【"
        if header:
            skip_table = False
        if skip_table:
            continue
        if not _parses(written):
            mended = _tell(written, statement, source.file, findings)
            if mended is None:
                # Keys below a header nobody understands would land in the table above it.
                skip_table = header
                source.broken |= header
                if not header and (word := _WORD.match(written)):
                    source.lost.add(word.group())
                continue
            written = mended
        kept.append("\n" * (statement.line - at_line) + written)
        at_line = statement.line + written.count("\n")
    _parse_kept("".join(kept), source, findings)


def _parse_kept(text: str, source: Source, findings: Findings) -> None:
    """Parse statements that are each sound; tell those that repeat or contradict an earlier one, and leave them out."""
    lines = Lines(text)
    seen = Places(text, lines)
    blanked: list[Statement] = []
    skip_table = False
    for statement in statements(text, lines):
        if statement.kind != "pair":
            skip_table = False
        if skip_table:
            blanked.append(statement)
        elif first := seen.add(statement):
            skip_table = statement.kind != "pair"
            source.broken |= skip_table
            code = "duplicate_key" if statement.kind == "pair" else "duplicate_table"
            name = _named(text[statement.start : statement.end])
            findings.error(code, Origin(source.file, statement.line), name, name=name, first_line=first)
            blanked.append(statement)
    for statement in blanked:
        text = _blank(text, statement)
    for _ in range(_TREE_REPAIRS_MAX):
        try:
            source.tree = tomllib.loads(text)
            source.lines = places(text)
            return
        except RecursionError:
            findings.error("too_deep", Origin(source.file, 0))
            source.broken = True
            return
        except tomllib.TOMLDecodeError as fault:
            at = re.search(r"at line (\d+), column (\d+)", str(fault))
            line = int(at.group(1)) if at else text.count("\n") + 1
            guilty = None
            for statement in statements(text):
                if statement.line > line:
                    break
                guilty = statement
            if guilty is None:
                return
            name = _named(text[guilty.start : guilty.end])
            findings.error("contradicts", Origin(source.file, guilty.line), name, name=name)
            source.broken = True
            text = _blank(text, guilty)


def _blank(text: str, statement: Statement) -> str:
    gone = text[statement.start : statement.end]
    return text[: statement.start] + re.sub(r"[^\n]", " ", gone) + text[statement.end :]


def _named(written: str) -> str:
    """The key or table a statement names, as written, short."""
    head = written.split("\n", 1)[0]
    return (head.split("#", 1)[0] if head.startswith("[") else re.split("[=:]", head, maxsplit=1)[0]).strip()[:60]


def _parses(written: str) -> bool:
    try:
        tomllib.loads(written)
    except (tomllib.TOMLDecodeError, RecursionError):
        return False
    return True


def _too_deep(written: str) -> bool:
    try:
        tomllib.loads(written)
    except RecursionError:
        return True
    except tomllib.TOMLDecodeError as fault:
        return "nest" in str(fault).lower()  # later Pythons count the brackets
    return False


def _tell(written: str, statement: Statement, file: Path, findings: Findings) -> str | None:
    """Tell why `written` is not TOML. Return it mended if only its punctuation was wrong."""
    mended, wide = _narrow(written)
    if wide:
        before = re.search("|".join(map(re.escape, wide)), written)
        line = statement.line + (written.count("\n", 0, before.start()) if before else 0)
        pairs = "  ".join(f"{char} -> {_name_of(plain)}" for char, plain in wide.items())
        findings.error("full_width", Origin(file, line), _named(mended), text=shown_line(written), pairs=pairs)
        return mended if _parses(mended) else _tell_more(mended, statement, file, findings)
    return _tell_more(written, statement, file, findings)


def _tell_more(written: str, statement: Statement, file: Path, findings: Findings) -> str | None:
    at = Origin(file, statement.line)
    first = shown_line(written)
    if _too_deep(written):
        findings.error("too_deep", at, _named(written))
        return None
    if statement.kind != "pair" or written.startswith("["):
        inner = written.split("#", 1)[0].strip().strip("[]").strip()
        cause = "header_ascii" if inner and not inner.isascii() and key_parts(inner) is None else "header"
        findings.error(f"syntax_{cause}", at, text=first)
        return None
    pair = _PAIR.match(written)
    if pair is None:
        findings.error("syntax_no_equals", at, text=first)
        return None
    key, sign, value = pair["key"].strip(), pair["sign"], pair["value"].strip()
    if sign == ":" and key_parts(key) is not None:
        findings.error("syntax_colon", at, key, text=first)
        mended = f"{key} = {value}"
        return mended if _parses(mended) else None
    if not key:
        findings.error("syntax_no_key", at, text=first)
    elif key_parts(key) is None:
        code = "syntax_bare_key" if not key.isascii() else "syntax_bad_key"
        findings.error(code, at, text=first)
    else:
        cause = next((name for name, pattern in _CAUSES if pattern.match(value)), "value")
        findings.error(f"syntax_{cause}", at, key, text=first)
    return None


def shown_line(written: str) -> str:
    """First line of a statement for people: short, and without a password it may hold."""
    line = written.split("\n", 1)[0].strip()
    if is_secret(written) or is_secret_name(written):
        return re.split(r"[=:＝：\s]", line, maxsplit=1)[0][:40] + " = ***"
    return line if len(line) <= 100 else line[:99] + "…"


def _narrow(written: str) -> tuple[str, dict[str, str]]:
    """`written` with full-width punctuation outside strings made ASCII, and what was replaced by what."""
    out: list[str] = []
    replaced: dict[str, str] = {}
    i = 0
    while i < len(written):
        char = written[i]
        plain = _OPENING_QUOTES.get(char) or _WIDE.get(char) or _half_width(char)
        if plain != char:
            replaced[char] = plain
        i += 1
        if plain in "\"'":
            i = _narrow_string(written, i, plain, plain=plain == char, out=out, replaced=replaced)
        elif plain == "#":
            end = _end_of_line(written, i)
            out.append("#" + written[i:end])
            i = end
        else:
            out.append(plain)
    return "".join(out), replaced


def _narrow_string(
    written: str, start: int, quote: str, *, plain: bool, out: list[str], replaced: dict[str, str]
) -> int:
    """Copy the string whose opening quote stands before `start`, closed by `quote`; return the offset behind it."""
    end = _end_of_line(written, start)
    own = re.compile(r'(?:[^"\\\n]|\\.)*"' if quote == '"' else r"[^'\n]*'").match(written, start, end)
    if plain and own:  # it may hold “ and ” as text, so only its own kind closes it
        out.append(quote + own.group())
        return own.end()
    candidates = [i for i in range(start, end) if written[i] in _CLOSING_QUOTES[quote]]
    closing = candidates[-1 if plain else 0] if candidates else None  # "他说“好”了” ends at the last one
    body = written[start : end if closing is None else closing]
    out.append(quote + body + ("" if closing is None else quote))
    if closing is None:
        return end
    if written[closing] != quote:
        replaced[written[closing]] = quote
    return closing + 1


def _end_of_line(written: str, start: int) -> int:
    end = written.find("\n", start)
    return len(written) if end < 0 else end


def _half_width(char: str) -> str:
    return narrow_forms(char) if "！" <= char <= "～" else char


def _name_of(char: str) -> str:
    return "space" if char == " " else char
