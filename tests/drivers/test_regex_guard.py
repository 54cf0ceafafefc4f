"""No expression of a profile may hold up an alarm: the dangerous kinds are refused, those in use are not."""

import pytest

from drivers.panel_profile import SLOW_S, slowest_s
from drivers.profile import load_profiles
from drivers.regex_guard import LENGTH_MAX, UnsafeRegex, compile_safely


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        (r"(a+)+b", "nested_repeat"),
        (r"(a|aa)+b", "nested_repeat"),
        (r"(?:x*)*y", "nested_repeat"),
        (r"(\w+\s?)*!", "nested_repeat"),
        (r"\d+\d+\d+x", "overlapping_repeats"),
        (r".*.*.*x", "overlapping_repeats"),
        (r"[^\n]*[0-9]+", "overlapping_repeats"),
        (r"(a)\1", "not_a_regex"),
        (r"(unclosed", "not_a_regex"),
        (r"(a)?(?(1)b|c)", "not_a_regex"),
        (r"(?:a?){40}a{40}", "too_many_ways"),
        (r"(?:.{0,50}){0,50}P", "too_many_ways"),
        (r"(?:(?:a|b|ab){1,30}){1,30}c", "too_many_ways"),
        (r"(.*)(.*)(.*)x", "too_many_ways"),
        (r"[a-z]{1,63}[a-z]{1,63}[a-z]{1,63}[a-z]{1,63}x", "too_many_ways"),
        (r"(?:.*?,){11}P", "too_many_ways"),
        (r"(?i:a{0,60})A{0,60}a{0,60}A{0,60}a{0,60}x", "too_many_ways"),
        (r"(é*)(é*)(é*)(é*)x", "too_many_ways"),
        (r"(|a){1,40}b", "too_many_ways"),
        (r"(?=(?:a?){40}a{40})b", "too_many_ways"),
        ("a??" * 30 + "a" * 30, "too_many_ways"),
        ("x" * (LENGTH_MAX + 1), "too_long"),
        ("".join(f"{c}*-" for c in "abcdefghijklmno"), "too_many_repeats"),
    ],
)
def test_what_could_run_for_hours_is_refused(expression: str, code: str) -> None:
    with pytest.raises(UnsafeRegex) as refused:
        compile_safely(expression)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "expression",
    [
        r"\+(?P<seq>\d{3}) (?P<event>[^\n]*)",
        r"(?P<hour>\d\d):(?P<minute>\d\d) (?P<event>火警|故障)",
        r"(?P<event>[A-Z ]{1,18}?) +Z(?P<zone>\d{3})",
        r"(?:\d{1,3}\.){3}(?P<event>\d{1,3})",
        r"(?P<event>(?:火警|故障){1,5}) (?P<loop>\d+)-(?P<point>\d+)",
    ],
)
def test_ordinary_layouts_pass(expression: str) -> None:
    assert compile_safely(expression).groups


def test_every_shipped_profile_with_expressions_passes() -> None:
    seen = 0
    for profile in load_profiles(()).list():
        meaning = profile.data.get("meaning")
        tables = meaning.get("pattern", []) if isinstance(meaning, dict) else []
        for table in tables:
            compile_safely(table["regex"])
            assert slowest_s(table["regex"]) < SLOW_S
            seen += 1
    assert seen >= 5


@pytest.mark.parametrize("expression", [r"(a|aa)+b", r"(x+x+)+y", r"([a-z]+)*1"])
def test_what_is_slow_is_measured_to_be_slow(expression: str) -> None:
    assert slowest_s(expression) > SLOW_S
