"""The walls stand: imports go one way, both languages are complete, every test can fail."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("edge_agent", "drivers", "buffer", "provisioning", "simulators")
CLOCKS_AND_WIRES = ("socket", "serial", "serialx", "sqlite3", "threading", "asyncio", "time")
# Who may import whom, by the first name; a file's own package is always allowed.
MAY = {
    "edge_agent": ("drivers", "buffer"),
    "drivers": (),
    "buffer": (),
    "provisioning": (
        *(
            "edge_agent.cli_base",
            "edge_agent.config",
            "edge_agent.system_words",
            "edge_agent.terminal",
            "edge_agent.texts",
        ),
        # the form of an update, and who has to have signed one, are said once
        *("edge_agent.signature", "edge_agent.update.bundle", "edge_agent.update.judge", "edge_agent.update.words"),
    ),
    "simulators": ("edge_agent", "drivers", "buffer"),
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def trespasses(path: Path) -> list[str]:
    """What a file imports that its room may not."""
    room = path.relative_to(ROOT).parts[0]
    allowed = (room, *MAY[room])
    if room == "edge_agent" and path.stem.startswith(("demo", "cli_demo", "diag")):
        allowed = (*allowed, "simulators")
    return [name for name in imports(path) if inside(name, PACKAGES) and not inside(name, allowed)]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    found = {str(path.relative_to(ROOT)): trespasses(path) for path in sorted((ROOT / package).rglob("*.py"))}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("room", ["drivers/codecs", "edge_agent/points", "edge_agent/alarm", "edge_agent/patrol"])
def test_codecs_and_rules_do_no_io_and_ask_no_clock(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert len(files) > 1
    found = {path.name: [n for n in imports(path) if inside(n, CLOCKS_AND_WIRES)] for path in files}
    assert {name: names for name, names in found.items() if names} == {}


def test_import_linter_agrees_through_every_chain() -> None:
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("import-linter is missing: pip install --group check")
    done = subprocess.run([tool, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# --- tests

# What a test says its piece with, beside `assert`: pytest's own, waiting (tests/waiting.py), and helpers named as what they are.
SAYS = re.compile(r"(raises|warns|fail|until|eventually)$|(assert|check|expect)_")


def idle(source: str) -> list[str]:
    """The tests in this source that assert nothing."""

    def says(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return isinstance(node, ast.Assert)
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        return SAYS.match(name) is not None

    functions = (
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    tests = (function for function in functions if function.name.startswith("test_"))
    return [test.name for test in tests if not any(says(node) for node in ast.walk(test))]


def test_every_test_asserts_something() -> None:
    found = {str(path.relative_to(ROOT)): idle(path.read_text("utf-8")) for path in (ROOT / "tests").rglob("test_*.py")}
    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "body", ["run()", "with suppress(Fault): run()", "checked()", "site.running(lambda: 3)", "..."]
)
def test_a_test_that_asserts_nothing_is_found(body: str) -> None:
    assert idle(f"async def test_it():\n    {body}\ndef helper(): ...") == ["test_it"]


@pytest.mark.parametrize("body", ["assert run()", "await until(run)", "with pytest.raises(Fault): run()", "check_it()"])
def test_a_test_that_asserts_something_is_not(body: str) -> None:
    assert idle(f"async def test_it():\n    {body}") == []


# --- texts


def load_checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_texts", ROOT / "scripts/check_texts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_texts"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


checker = load_checker()


def test_both_languages_are_complete() -> None:
    assert checker.check(ROOT) == []


def test_nobody_swallows_a_cancellation() -> None:
    """`suppress(CancelledError)` also swallows the cancellation of whoever stands in it; edge_agent.tasks.end does not."""
    rooms = ("benchmarks", "buffer", "drivers", "edge_agent", "provisioning", "simulators")
    texts = {path: path.read_text("utf-8") for room in rooms for path in (ROOT / room).rglob("*.py")}
    assert [str(path) for path, text in texts.items() if re.search(r"suppress\([^)]*CancelledError", text)] == []


def house(directory: Path, texts: str, code: str) -> Path:
    (directory / "edge_agent/texts").mkdir(parents=True)
    (directory / "edge_agent/texts/room.py").write_text(f"TEXTS = {{{texts}}}", encoding="utf-8")
    (directory / "edge_agent/code.py").write_text(code, encoding="utf-8")
    return directory


@pytest.mark.parametrize(
    ("texts", "code", "said"),
    [
        ('"a": ("火警", "")', 'text("room.a", lang)', "needs two texts"),
        ('"a": ("fire alarm", "fire alarm!")', 'text("room.a", lang)', "not Chinese"),
        ('"a": ("火警", "火警")', 'text("room.a", lang)', "has Chinese in it"),
        ('"a": ("火警 {n}", "fire {m}")', 'text("room.a", lang, n=1, m=1)', "fields differ"),
        ('"a": ("火警 {n", "fire {n")', 'text("room.a", lang)', "not a format string"),
        ('"a": ("火警 {n}", "fire {n}")', 'text("room.a", lang)', "needs n"),
        ('"a": ("火警", "fire")', 'text("room.a", lang) + text("room.b", lang)', "there is no text room.b"),
        (
            '"a": ("火警", "fire")',
            "def say(key): return text(key, lang)\nsay('room.a'), say('room.c')",
            "there is no text room.c",
        ),
        ('"a": ("火警", "fire"), "b": ("故障", "fault")', 'text("room.a", lang)', "b: nobody asks for it"),
        ('"k_x": ("火警", "fire"), "k_y": ("故障", "fault")', 'text(f"room.k_{v}", lang); v = "x"', "k_y: nobody asks"),
    ],
)
def test_a_missing_wrong_or_idle_text_is_found(tmp_path: Path, texts: str, code: str, said: str) -> None:
    faults = checker.check(house(tmp_path, texts, code))
    assert len(faults) == 1, faults
    assert said in faults[0]


def test_sound_texts_pass(tmp_path: Path) -> None:
    texts = '"a": ("火警 {n}", "fire {n}"), "k_x": ("{a} / {b}", "{a} / {b}"), "unit": ("MB", "MB")'
    code = 'text("room.a", lang, n=1); text(f"room.k_{v}", lang, **all_of_them); v = "x"; key = "room.unit"'
    assert checker.check(house(tmp_path, texts, code)) == []
