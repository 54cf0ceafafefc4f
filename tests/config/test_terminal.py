import io
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import terminal


def test_columns_line_up_when_cells_are_chinese() -> None:
    lines = terminal.table(["编号", "name"], [["1", "火警"], ["22", "x"]])
    starts = {terminal.cells(line[: line.index(word)]) for line, word in zip(lines, ["name", "火警", "x"], strict=True)}
    assert starts == {6}


@given(st.text(), st.integers(0, 40))
def test_a_fitted_text_never_takes_more_columns_than_given(text: str, width: int) -> None:
    assert terminal.cells(terminal.fit(text, width)) <= width


@given(st.lists(st.lists(st.text(max_size=30), min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_bounded_table_keeps_its_width_and_lets_no_control_character_out(rows: list[list[str]]) -> None:
    lines = terminal.table(["a", "b", "c"], rows, width=40)
    assert all(terminal.cells(line) <= 40 and line.isprintable() for line in lines)
    assert len(lines) == len(rows) + 1


@pytest.mark.parametrize("encoding", ["ascii", "gb18030", "utf-8", "gbk"])
def test_json_is_the_same_object_on_every_terminal(encoding: str) -> None:
    value = {"name": "1号楼 火警 ✓", "odd": "\ud800"}
    script = f"from edge_agent import terminal as t; t.prepare_stdio(); t.print_json({value!r}); t.print_json_line({value!r})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    whole, line = done.stdout.decode(encoding).rsplit("\n", 2)[:2]
    assert json.loads(whole) == json.loads(line) == value


def test_an_ascii_terminal_gets_english_and_a_chinese_one_chinese() -> None:
    def stream(encoding: str) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(), encoding=encoding)

    assert terminal.usable_language("zh", stream("ascii")) == "en"
    assert terminal.usable_language("zh", stream("gb18030")) == "zh"
    assert terminal.usable_language("en", stream("utf-8")) == "en"


def test_a_mark_the_stream_cannot_show_stops_nothing() -> None:
    script = "from edge_agent import terminal as t; t.prepare_stdio(); print('✓ 完成')"
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONIOENCODING": "gbk"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.decode("gbk")) == (0, "? 完成\n")


def test_importing_it_loads_neither_rich_nor_click() -> None:
    script = "import sys, edge_agent.terminal; print([m for m in ('rich', 'click', 'asyncio') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True).stdout.strip()
        == "[]"
    )
