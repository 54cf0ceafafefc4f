"""Every code that says why something is in trouble or was refused, as the code has it, is said in words in both languages."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from edge_agent.alarm.duty import POINT as DUTY
from edge_agent.alarm.machine import DELIVERY
from edge_agent.cli_words import lookup, place_word, worker_word
from edge_agent.commands import NAMES
from edge_agent.sources import camera_source, link_source, uplink_source
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


# -- where it was, and what the core will not do -----------------------------------------------------------------------
def places_in(tree: ast.AST) -> Iterator[str]:
    """The points of events of the gateway itself, with x for what is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if called in ("own_event", "_own", "once", "tell") and len(node.args) > 2:
                point = node.args[1]
                if isinstance(point, ast.Constant) and isinstance(point.value, str):
                    yield point.value
                elif isinstance(point, ast.JoinedStr) and isinstance(point.values[0], ast.Constant):
                    yield f"{point.values[0].value}x"


def workers_in(tree: ast.AST) -> Iterator[str]:
    """The names of what a supervisor keeps, with x for what is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if called in ("keep", "watch"):
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    yield name.value
                elif isinstance(name, ast.JoinedStr) and isinstance(name.values[0], ast.Constant):
                    yield f"{name.values[0].value}x"


def raw_places(places: Iterable[str]) -> list[str]:
    """Those a Chinese reader would meet as they are."""
    return sorted({place for place in places if place_word(place, "zh") == place})


def raw_workers(workers: Iterable[str]) -> list[str]:
    """As raw_places."""
    return sorted({worker for worker in workers if worker_word(worker, "zh") == worker})


def test_every_place_in_the_gateway_and_every_part_of_the_program_has_words() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "edge_agent").rglob("*.py"))]
    places = [place for tree in trees for place in places_in(tree)]
    workers = [worker for tree in trees for worker in workers_in(tree)]
    assert raw_places(places) == []
    assert raw_workers(workers) == []
    assert len(set(places)) >= 8, places
    assert len(set(workers)) >= 6, workers
    assert raw_places([f"command/{name}" for name in NAMES]) == []
    assert (
        raw_places([DUTY, DELIVERY, uplink_source("x"), camera_source("x"), link_source("x"), "tag/x", "patrol/x"])
        == []
    )
    planted = ast.parse(
        'own_event(k, "moon", 1)\nself._own(k, f"moon/{x}", 1)\nkeep("dance", w)\nwatch(f"tide:{x}", p)'
    )
    assert raw_places(places_in(planted)) == ["moon", "moon/x"]
    assert raw_workers(workers_in(planted)) == ["dance", "tide:x"]
    assert (place_word("panel1/1-2", "zh"), place_word("worker/panel1", "zh")) == ("panel1/1-2", "程序部件: panel1")


def test_every_refusal_of_the_local_interface_has_words() -> None:
    codes: dict[str, str] = {"bad_request": "local_api.py", "bug": "local_api.py"}
    for path in sorted((ROOT / "edge_agent").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ApiError" and node.args:
                codes |= dict.fromkeys(_constants(node.args[0]), path.name)
    assert {code: where for code, where in codes.items() if not lookup(f"cli.api_{code}", "zh")} == {}
    assert len(codes) >= 15
