"""Every code that says why something is in trouble or was refused, as the code has it, is said in words in both languages."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edge_agent.cli_words import lookup
from edge_agent.texts import LANGUAGES

ROOT = Path(__file__).parents[2]
# Called function -> which argument is the code. The node's own firmware speaks to its gateway only.
TROUBLE: Final = {
    "LinkState": 3,
    "PointFault": 1,
    "LinkError": 0,
    "LinkDown": 0,
    "on_state": 1,
    "unknown": 0,
    "closed": 0,
    "_no_value": 1,
    "fault": 1,
}
ROOMS: Final = {
    "trouble": ("cli.reason_", "uplink.", "decode.why_"),
    "command": ("cli.command_",),
    "gap": ("journal.gap_",),
}


def _constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _constants(value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value


def codes_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(room, code) for every code that stands in a source file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if called in TROUBLE and len(node.args) > TROUBLE[called]:
                yield from (("trouble", code) for code in _constants(node.args[TROUBLE[called]]))
            elif called in ("Refusal", "CommandRefusal") and len(node.args) == 1:
                yield from (("command", code) for code in _constants(node.args[0]))
            elif called == "Answer" and len(node.args) == 3:
                yield from (("command", code) for code in _constants(node.args[2]))
            elif called == "gap_body":
                yield from (("gap", code) for code in _constants(node.args[0]))
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "reason":
                    yield from (("trouble", code) for code in _constants(value))


def without_words(found: dict[tuple[str, str], str]) -> list[str]:
    """Those the catalogue cannot say, and where they stand."""
    return sorted(
        f"{where}: {room} {code}"
        for (room, code), where in found.items()
        if not all(any(lookup(prefix + code, lang) for prefix in ROOMS[room]) for lang in LANGUAGES)
    )


def test_every_reason_that_stands_in_the_code_has_words() -> None:
    found: dict[tuple[str, str], str] = {}
    for package in ("drivers", "edge_agent", "buffer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.parent.name not in ("detector_node", "texts"):
                for code in codes_in(ast.parse(path.read_text("utf-8"))):
                    found.setdefault(code, str(path.relative_to(ROOT)))
    assert without_words(found) == []
    counts = {room: sum(one == room for one, _ in found) for room in ROOMS}
    assert counts["trouble"] >= 50, counts
    assert counts["command"] >= 20, counts
    assert counts["gap"] >= 5, counts
    made_up = dict.fromkeys(
        codes_in(ast.parse('LinkState("x", False, 0, "made_up")\nRefusal("so" if a else "busy")')), "x"
    )
    assert without_words(made_up) == ["x: command so", "x: trouble made_up"]
