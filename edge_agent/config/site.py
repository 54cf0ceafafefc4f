"""The files of one site merged into one tree, each value checked by itself against the schema."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeGuard

from edge_agent.config.findings import Findings, Origin
from edge_agent.config.keys import FORMS, Key, Section
from edge_agent.config.schema import SCHEMA_VERSION, SECTIONS, TOP, children, shapes
from edge_agent.config.source import Source, is_secret, is_secret_name, narrow_forms
from edge_agent.config.toml_lines import Path as KeyPath

_LIST_MAX: Final = 1000
_SHOWN_MAX: Final = 60
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Item:
    """One table of the site: its sound values, and where it stands."""

    section: Section
    path: KeyPath
    label: str  # "bus[rtu1].device[meter1]"
    values: dict[str, Any] = field(default_factory=dict)
    children: dict[str, list["Item"]] = field(default_factory=dict)  # by section name

    @property
    def id(self) -> str:
        """Its id; "" if it has none that is sound."""
        return str(self.values.get("id", ""))


class Site:
    """What the files say, value by value. Cross checks are in `edge_agent.config.check`."""

    def __init__(self, sources: Sequence[Source], findings: Findings) -> None:
        self.findings = findings
        self.tree: dict[str, Any] = {}
        self._origins: dict[KeyPath, Origin] = {}
        self._broken = {source.file for source in sources if source.broken}
        self._lost = {source.file: source.lost for source in sources}
        self._first = Origin(sources[0].file, 0) if sources else Origin(Path("config.toml"), 0)
        for source in sources:
            self._merge(source)
        self.top = self._read_table(TOP, self.tree, (), "")

    def items(self, name: str) -> list[Item]:
        """All tables of section `name`, in the order written."""
        parents = [self.top]
        if "." in name:
            parents = self.items(name.rpartition(".")[0])
        return [item for parent in parents for item in parent.children.get(name, [])]

    @property
    def is_broken(self) -> bool:
        """Whether part of some file could not be read: what seems missing may be there."""
        return bool(self._broken)

    def unreadable(self, item: Item, *keys: str) -> bool:
        """Whether the file `item` stands in has tables, or one of `keys`, that could not be read."""
        file = self.origin(item.path).file
        return file in self._broken or not self._lost.get(file, set()).isdisjoint(keys)

    def table(self, item: Item) -> Mapping[str, Any]:
        """The table as written, with keys whose values were refused."""
        found = _at(self.tree, item.path)
        assert isinstance(found, dict)
        return found

    def origin(self, path: KeyPath) -> Origin:
        """Where `path` is written, or else the table around it."""
        while path and path not in self._origins:
            path = path[:-1]
        return self._origins.get(path, self._first)

    def written(self) -> Iterator[tuple[str, Origin]]:
        """Label and place of every sound key that is written."""
        for item in self._walk(self.top):
            for key in item.values:
                yield join(item.label, key), self.origin((*item.path, key))

    def error(self, code: str, item: Item, key: str = "", /, **params: object) -> None:
        """Add a fault of one key of a table, or of the table itself."""
        at = self.origin((*item.path, key) if key else item.path)
        self.findings.error(code, at, join(item.label, key), **params)

    def warning(self, code: str, item: Item, key: str = "", /, **params: object) -> None:
        """As `error`, but no reason not to start."""
        at = self.origin((*item.path, key) if key else item.path)
        self.findings.warning(code, at, join(item.label, key), **params)

    def _walk(self, item: Item) -> Iterator[Item]:
        yield item
        for tables in item.children.values():
            for table in tables:
                yield from self._walk(table)

    def _merge(self, source: Source) -> None:
        """Tables merge, arrays of tables append, any other value replaces the one of an earlier file."""
        shift: dict[KeyPath, int] = {}

        def merge(into: dict[str, Any], tree: Mapping[str, Any], path: KeyPath) -> None:
            for key, value in tree.items():
                old, here = into.get(key), (*path, key)
                if isinstance(old, dict) and isinstance(value, dict):
                    merge(old, value, here)
                elif _is_tables(old) and _is_tables(value):
                    shift[here] = len(old)
                    old.extend(value)
                else:
                    into[key] = value

        merge(self.tree, source.tree, ())
        for path, line in source.lines.items():
            moved: KeyPath = ()
            for i, part in enumerate(path):
                moved = (*moved, part + shift.get(path[:i], 0) if isinstance(part, int) else part)
            if moved in self._origins and _is_table_or_tables(_at(source.tree, path)):
                continue  # the first place of a table that several files share
            self._origins[moved] = Origin(source.file, line)

    def _read_table(self, section: Section, table: Mapping[str, Any], path: KeyPath, label: str) -> Item:
        item = Item(section, path, label)
        inner = {child.last: child for child in children(section.name)} if section is not TOP else _TOP_TABLES
        for key, value in table.items():
            if key in inner:
                self._read_child(item, inner[key], value)
            elif key in section.keys:
                self._read_value(item, key, value)
            elif section is TOP and key == "schema":
                self._read_schema(item, value)
            else:
                self._unknown(item, key, value, [*section.keys, *inner])
        for key, shape in shapes(section.name).items():
            if shape.required and key not in table and not self.unreadable(item, key):
                self.error("missing_key", item, "", name=key, schema=join(section.name, key))
        if section is TOP and "gateway" not in table and not self.is_broken:
            self.findings.error("missing_key", self._first, "gateway", name="id", schema="gateway.id")
        return item

    def _read_child(self, parent: Item, section: Section, value: object) -> None:
        here = (*parent.path, section.last)
        label = join(parent.label, section.last)
        if not section.many:
            if isinstance(value, dict):
                parent.children[section.name] = [self._read_table(section, value, here, label)]
            else:
                self.findings.error("not_a_table", self.origin(here), label, table=section.name, schema=section.name)
            return
        if isinstance(value, dict) or not (_is_tables(value) or value == []):
            self.findings.error("not_an_array", self.origin(here), label, table=section.name, schema=section.name)
            return
        assert isinstance(value, list)
        found = parent.children.setdefault(section.name, [])
        for index, table in enumerate(value):
            name = table.get("id")
            sound = isinstance(name, str) and name.isprintable() and 0 < len(name) <= _SHOWN_MAX
            found.append(
                self._read_table(section, table, (*here, index), f"{label}[{name if sound else f'#{index + 1}'}]")
            )

    def _read_schema(self, item: Item, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            self.error("bad_schema", item, "schema", value=shown(value), known=SCHEMA_VERSION)
        elif value > SCHEMA_VERSION:
            self.error("newer_schema", item, "schema", value=value, known=SCHEMA_VERSION)

    def _unknown(self, item: Item, key: str, value: object, known: Sequence[str]) -> None:
        short = shown_name(key)
        if is_secret_name(key) or (isinstance(value, str) and is_secret(value)):
            self.findings.error("secret", self.origin((*item.path, key)), join(item.label, short), name=short)
            return
        near = nearest(key, known)
        params: dict[str, object] = {"name": short, "table": item.section.name}
        if near:
            params["nearest"] = near
        else:
            params["home"] = next((s.name for s in SECTIONS if key in s.keys), "")
            params["known"] = ", ".join(known)
        at = self.origin((*item.path, key))
        if isinstance(value, dict) or _is_tables(value):
            # A table nobody reads may be a whole panel: too much to lose to a spelling mistake.
            self.findings.error("unknown_table", at, join(item.label, short), **params)
        else:
            self.findings.warning("unknown_key", at, join(item.label, short), **params)

    def _read_value(self, item: Item, key: str, value: object) -> None:
        rule, shape = item.section.keys[key], shapes(item.section.name)[key]
        name = join(item.section.name, key)
        path = (*item.path, key)
        if isinstance(value, str) and is_secret(value):
            self.error("secret", item, key, name=key)
            return
        reader = _Reader(self, path, join(item.label, key), rule, name)
        read = getattr(reader, shape.kind)(value)
        if read is not None:
            item.values[key] = read


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks one value; each method is named after a `Shape.kind` and returns the value, or None after telling why not."""

    site: Site
    at: KeyPath
    label: str
    rule: Key
    schema: str

    def _error(self, code: str, path: KeyPath = (), **params: object) -> None:
        self.site.findings.error(code, self.site.origin(path or self.at), self.label, schema=self.schema, **params)

    def whole(self, value: object) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong_type(value)
            return None
        if self.rule.choices and value not in self.rule.choices:
            near = min((c for c in self.rule.choices if isinstance(c, int)), key=lambda c: abs(c - value))
            self._error("not_a_choice", value=shown(value), nearest=near)
            return None
        return value if self._in_range(value) else None

    def number(self, value: object) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong_type(value)
            return None
        return float(value) if self._in_range(value) else None

    def yes_no(self, value: object) -> bool | None:
        if not isinstance(value, bool):
            self._wrong_type(value)
            return None
        return value

    def text(self, value: object) -> str | None:
        if not isinstance(value, str):
            self._wrong_type(value)
            return None
        if _CONTROL.search(value):
            self._error("control_character", value=shown(value))  # "C:\new" is a line end in TOML
            return None
        if self.rule.choices and value not in self.rule.choices:
            self._error("not_a_choice", value=shown(value), nearest=nearest(value, [str(c) for c in self.rule.choices]))
            return None
        return value if self._has_form(value) else None

    def path(self, value: object) -> Path | None:
        text = self.text(value)
        if text is None:
            return None
        if not text:
            self._wrong_type(value)
            return None
        return self.site.origin(self.at).file.parent / text  # an absolute one replaces it

    def texts(self, value: object) -> tuple[str, ...] | None:
        return self._list(value)

    def wholes(self, value: object) -> tuple[int, ...] | None:
        if not isinstance(value, list) or not value or len(value) > _LIST_MAX:
            self._wrong_type(value)
            return None
        found = [self.whole(entry) for entry in value]
        return tuple(entry for entry in found if entry is not None) if None not in found else None

    def paths(self, value: object) -> tuple[Path, ...] | None:
        texts = self._list(value)
        return None if texts is None else tuple(map(Path, texts))

    def lines(self, value: object) -> dict[str, int] | None:
        if not isinstance(value, dict):
            self._wrong_type(value)
            return None
        found: dict[str, int] = {}
        names = [str(c) for c in self.rule.choices]
        for name, line in value.items():
            if name not in names:
                near = nearest(name, names)
                self._error("not_a_choice", (*self.at, name), value=shown_name(name), nearest=near)
            elif isinstance(line, bool) or not isinstance(line, int):
                self._wrong_type(line, (*self.at, name))
            elif self._in_range(line, (*self.at, name)):
                found[name] = line
        return found

    def _list(self, value: object) -> tuple[str, ...] | None:
        choices = [str(c) for c in self.rule.choices]
        if not isinstance(value, list) or not (value or choices) or len(value) > _LIST_MAX:
            self._wrong_type(value)
            return None
        for index, entry in enumerate(value):
            if not isinstance(entry, str):
                self._wrong_type(entry, (*self.at, index))
                return None
            if choices and entry not in choices:
                self._error("not_a_choice", (*self.at, index), value=shown(entry), nearest=nearest(entry, choices))
                return None
            if not self._has_form(entry, (*self.at, index)):
                return None
        return tuple(value)

    def _wrong_type(self, value: object, path: KeyPath = ()) -> None:
        if isinstance(value, str) and _is_number(value):
            self._error("quoted_number", path, value=shown(value))
        else:
            self._error("wrong_type", path, value=shown(value))

    def _in_range(self, value: float, path: KeyPath = ()) -> bool:
        low, high = self.rule.low, self.rule.high
        if (isinstance(value, float) and not math.isfinite(value)) or not (
            (low is None or value >= low) and (high is None or value <= high)
        ):
            self._error("out_of_range", path, value=shown(value))
            return False
        return True

    def _has_form(self, value: str, path: KeyPath = ()) -> bool:
        if not self.rule.form or FORMS[self.rule.form].fullmatch(value):
            return True
        narrow = narrow_forms(value).strip()
        params: dict[str, object] = {"value": shown(value)}
        if FORMS[self.rule.form].fullmatch(narrow):
            params["nearest"] = narrow
        self._error("bad_form", path, **params)
        return False


_TOP_TABLES: Final = {section.last: section for section in SECTIONS if not section.parent}


def join(label: str, key: str) -> str:
    """Label of a key inside a table."""
    return f"{label}.{key}" if label and key else label or key


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that looks most like `name`, or ""."""
    import difflib  # only a faulty configuration needs it

    low = narrow_forms(name[:80]).lower().replace("-", "_")
    by_low = {k.lower().replace("-", "_"): k for k in known}
    found = difflib.get_close_matches(low, list(by_low), n=1, cutoff=0.6)
    return by_low[found[0]] if found else ""


def shown(value: object) -> str:
    """A value for people: as TOML writes it, short, with no password in it."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = '"***"' if is_secret(value) else f'"{shown_name(value)}"'
    elif isinstance(value, dict):
        text = "{ … }"
    elif isinstance(value, list):
        text = "[ … ]" if value else "[]"
    elif isinstance(value, int) and abs(value) >= 10**18:
        text = "…"  # Python refuses to print integers of many thousand digits
    else:
        text = str(value)
    return text


def shown_name(name: str) -> str:
    """A name someone else wrote: printable and short."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in name[: _SHOWN_MAX + 1])
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


def _is_number(text: str) -> bool:
    try:
        float(narrow_forms(text[:80]))
    except ValueError:
        return False
    return True


def _at(tree: Any, path: KeyPath) -> object:
    for part in path:
        tree = tree[part]
    return tree


def _is_table_or_tables(value: object) -> bool:
    return isinstance(value, dict) or _is_tables(value)


def _is_tables(value: object) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)
