"""Both languages are complete: every text has both, with the same fields; every key asked for exists; every text is asked for.

Keys are asked for by `text("room.name", ...)`, through a function that hands its own argument to `text`, or with an
f-string (`text(f"config.{code}", ...)`): there the rest of the key must stand somewhere in the code as a word.
Usage: check_texts.py [ROOT]. Prints what is wrong, a line each; exit 1 if anything is.
"""

import ast
import re
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("edge_agent", "drivers", "buffer", "provisioning", "simulators")
CHINESE = re.compile("[\u3400-\u9fff]")
LETTERS = re.compile("[A-Za-z]{2,}")
ROOMS = "edge_agent/texts"

Texts = Mapping[str, tuple[str, str]]


@dataclass(slots=True)
class Asked:
    """What one look at the code found."""

    keys: list[tuple[str, str, frozenset[str] | None]] = field(
        default_factory=list
    )  # key, where, fields given (None: any)
    prefixes: set[str] = field(default_factory=set)  # "config.", "status.kind_"
    heads: set[str] = field(default_factory=set)  # what other f-strings begin with: "syntax_"
    words: set[str] = field(default_factory=set)  # every string and name in the code


def fields_of(text: str) -> frozenset[str]:
    """The fields a text takes. Raise ValueError if it is no format string."""
    return frozenset(
        name.split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(text) if name is not None
    )


def _sound_fields(pair: tuple[str, str]) -> frozenset[str]:
    try:
        return fields_of(pair[0])
    except ValueError:  # told by check_pairs
        return frozenset()


def check_pairs(room: str, texts: Texts) -> Iterator[str]:
    """Faults of a room's texts by themselves."""
    for name, pair in texts.items():
        where = f"{ROOMS}/{room}.py: {name}: "
        if not (
            isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(one, str) and one.strip() for one in pair)
        ):
            yield where + "needs two texts, (zh, en)"
            continue
        zh, en = pair
        try:
            plain = ["".join(part for part, *_ in string.Formatter().parse(one)) for one in pair]
            if fields_of(zh) != fields_of(en):
                yield where + f"fields differ: {sorted(fields_of(zh))} and {sorted(fields_of(en))}"
        except ValueError as fault:
            yield where + f"not a format string: {fault}"
            continue
        if "" in fields_of(zh):
            yield where + "fields need names"
        if not CHINESE.search(zh) and LETTERS.search(plain[0]) and zh != en:
            yield where + "the first text is not Chinese"
        if CHINESE.search(en):
            yield where + "the second text has Chinese in it"


def look(path: Path, asked: Asked, wrappers: set[str]) -> None:
    """Add to `asked` what one source file asks for."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            asked.words.add(node.value)
            if re.fullmatch("[A-Z]{2,}( [A-Z]+)*", node.value):  # a device's word, of which a codec makes its code
                asked.words.add(node.value.lower().replace(" ", "_"))
            if "|" in node.value:  # codes told by an expression
                asked.words |= set(re.findall("[a-z0-9_]+", node.value))
            if node.value.startswith("--"):  # an option of click is a name in the code
                asked.words.add(node.value.lstrip("-").replace("-", "_"))
        elif isinstance(node, ast.arg | ast.Name | ast.Attribute | ast.keyword):
            asked.words.add(str(getattr(node, "arg", None) or getattr(node, "id", None) or getattr(node, "attr", "")))
        if isinstance(node, ast.JoinedStr) and isinstance(node.values[0] if node.values else None, ast.Constant):
            head = str(getattr(node.values[0], "value", ""))
            if re.fullmatch(r"[a-z_]+\.[a-z0-9_.]*", head):
                asked.prefixes.add(head)
            elif head:
                asked.heads.add(head)
        if isinstance(node, ast.Call) and node.args and _called(node) in wrappers:
            for arg in _whole(node.args[0]):
                if (
                    isinstance(arg, ast.Constant)
                    and isinstance(arg.value, str)
                    and re.fullmatch(r"[a-z_]+\.\S+", arg.value)
                ):
                    direct = _called(node) == "text" and all(keyword.arg for keyword in node.keywords)
                    given = frozenset(str(keyword.arg) for keyword in node.keywords) if direct else None
                    asked.keys.append((arg.value, f"{path}:{node.lineno}", given))


def _whole(node: ast.expr) -> Iterator[ast.expr]:
    """`node` and what is in it, but not the pieces of f-strings."""
    yield node
    if not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                yield from _whole(child)


def wrappers_in(path: Path) -> set[str]:
    """Functions that hand their first argument to `text` as the key."""
    source = path.read_text(encoding="utf-8")
    if "text(" not in source:
        return set()
    found = set()
    for node in ast.walk(ast.parse(source, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.args.args:
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args) if arg.arg not in {"self", "cls"}]
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and _called(call) == "text" and call.args and names:
                    key = call.args[0]
                    if isinstance(key, ast.Name) and key.id == names[0]:
                        found.add(node.name)
    return found


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", None) or getattr(node.func, "attr", "") or ""


def check(root: Path) -> list[str]:
    """All faults under `root`."""
    rooms: dict[str, Texts] = {}
    for path in sorted((root / ROOMS).glob("*.py")):
        if path.stem == "__init__":
            continue
        space: dict[str, object] = {}
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)  # noqa: S102 - our own data files
        texts = space.get("TEXTS")
        rooms[path.stem] = texts if isinstance(texts, dict) else {}
    faults = [fault for room, texts in rooms.items() for fault in check_pairs(room, texts)]
    files = [p for package in PACKAGES for p in sorted((root / package).rglob("*.py")) if root / ROOMS not in p.parents]
    asked, wrappers = Asked(), {"text"}
    for path in files:
        wrappers |= wrappers_in(path)
    for path in files:
        look(path, asked, wrappers)
    for profile in sorted((root / "drivers" / "profiles").glob("*.toml")):
        asked.words |= set(re.findall(r"[a-z0-9_]+", profile.read_text(encoding="utf-8")))
    for key, where, given in asked.keys:
        room, _, name = key.partition(".")
        if room not in rooms or name not in rooms[room]:
            faults.append(f"{where}: there is no text {key}")
        elif given is not None and (missing := _sound_fields(rooms[room][name]) - given):
            faults.append(f"{where}: {key} needs {', '.join(sorted(missing))}")
    for room, texts in rooms.items():
        for name in texts:
            if not _is_asked(f"{room}.{name}", asked):
                faults.append(f"{ROOMS}/{room}.py: {name}: nobody asks for it")
    return faults


def _is_asked(key: str, asked: Asked) -> bool:
    if key in asked.words:
        return True
    for prefix in asked.prefixes:
        if key.startswith(prefix):
            rest = key.removeprefix(prefix)
            # "help.config_check" is built of the words of a command's path.
            if rest in asked.words or any(
                rest.startswith(head) and rest.removeprefix(head) in asked.words for head in asked.heads
            ):
                return True
            if all(part in asked.words for part in rest.split("_") if part):
                return True
            # "value.direction_host_to_panel" is asked for as {field}_{code}.
            if any(rest[:at] in asked.words and rest[at + 1 :] in asked.words for at, c in enumerate(rest) if c == "_"):
                return True
    return False


if __name__ == "__main__":
    found = check(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1])
    print("\n".join(found))
    sys.exit(bool(found))
