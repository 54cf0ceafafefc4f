"""The scanner knows the line of every key `tomllib` sees, in any style TOML allows."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.toml_lines import Path, places, statements

KEYS = st.sampled_from(["a", "b", "c-d", "e_1", "9", '"q k"', "'l.k'", '"\\u4e2d"', "a.x", 'b . "y z"', "a.x.z"])
SCALARS = st.sampled_from(
    [
        *["1", "-0.5", "true", "inf", "0x1F", "1979-05-27 07:32:00"],
        *['""', '"t # ] = \\" x"', "'\\'", "'''l\n] = [x]\n'''", "''''q''''"],
        *['"""m\n[no]\nk = "1" \\""" \n"""', '"""a""""'],
    ]
)


@st.composite
def values(draw: st.DrawFn, depth: int = 0) -> str:
    kind = draw(st.sampled_from(["scalar"] * 3 + ([] if depth > 2 else ["array", "inline"])))
    if kind == "scalar":
        return draw(SCALARS)
    inner = draw(st.lists(values(depth + 1), max_size=3))
    if kind == "array":
        gap = draw(st.sampled_from(["", " ", "\n  ", " # ] no\n", "\n\n"]))
        end = draw(st.sampled_from(["", ","])) if inner else ""
        return "[" + gap + f",{gap}".join(inner) + (f" {end}" if end else "") + gap + "]"
    pairs = [f"k{i}{draw(st.sampled_from(['', '.s']))} = {value}" for i, value in enumerate(inner)]
    return "{ " + ", ".join(pairs) + " }"


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for n in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(["pair", "pair", "pair", "table", "array", "blank", "remark"]))
        if kind == "pair":
            lines.append(f"{draw(st.sampled_from(['', '  ']))}{draw(KEYS)} = {draw(values())} # = [x]")
        elif kind in {"table", "array"}:
            name = draw(st.sampled_from([f"t{n}", "arr", "arr.sub", 'arr . "s u"', f"a.t{n}", "arr.sub.deep"]))
            lines.append(f"[{name}]" if kind == "table" else f"[[ {name} ]] # x")
        else:
            lines.append("" if kind == "blank" else '# [x] = "')
    return "\n".join(lines)


def walk(value: Any, path: Path = ()) -> set[Path]:
    found = {path}
    if isinstance(value, dict):
        for key, inner in value.items():
            found |= walk(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found |= walk(inner, (*path, index))
    return found


@given(documents())
def test_every_path_tomllib_reads_has_a_line_and_no_other_has(text: str) -> None:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # keys that collide; sound documents are common enough, see the next test
    assert set(places(text)) == walk(tree)


@given(st.lists(values(), min_size=1, max_size=8), st.data())
def test_the_line_of_a_key_is_the_line_it_stands_on(found: list[str], data: st.DataObject) -> None:
    lines: list[str] = []
    expected: dict[Path, int] = {}
    for n, value in enumerate(found):
        lines += [""] * data.draw(st.integers(0, 3))
        if data.draw(st.booleans()):
            lines.append(f"[[t{n}.x]]")
            path: Path = (f"t{n}", "x", 0, "k")
        else:
            lines.append(f"[t{n}]")
            path = (f"t{n}", "k")
        expected[path[:-1]] = len("\n".join(lines).split("\n"))
        expected[path] = expected[path[:-1]] + 1
        lines.append(f"k = {value}")
    text = "\n".join(lines)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # a line end inside an inline table
        return
    got = places(text)
    assert {path: got[path] for path in expected} == expected


def test_elements_of_a_long_list_have_their_own_lines() -> None:
    got = places('points = [\n "a", # ]\n\n {x = 1,\ty = "2"} ,\n ["b"],\n]\nlast = 1')
    assert got[("points", 0)] == 2
    assert got[("points", 1, "y")] == 4
    assert got[("points", 2, 0)] == 5
    assert got[("last",)] == 7


@given(st.text(alphabet="ab=[]{}\"'#\\\n .,1：“”", max_size=80))
def test_any_text_is_cut_into_statements_that_cover_it_in_order(text: str) -> None:
    last = 0
    for statement in statements(text):
        between = text[last : statement.start]
        assert all(not line.strip(" \t") or line.lstrip(" \t").startswith("#") for line in between.split("\n"))
        assert statement.end > statement.start >= last
        assert statement.line == text.count("\n", 0, statement.start) + 1
        last = statement.end
    places(text)


def test_an_unclosed_bracket_ends_where_the_next_statement_begins() -> None:
    text = 'a = [1,\n 2\nb = 3\nc = {x = [\n[table]\nd = [\n[[t.u]]\ne = "open\nf = 1'
    assert [text[s.start : s.end].partition("\n")[0] for s in statements(text)] == [
        "a = [1,",
        "b = 3",
        "c = {x = [",
        "[table]",
        "d = [",
        "[[t.u]]",
        'e = "open',
        "f = 1",
    ]
