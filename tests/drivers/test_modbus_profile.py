"""Modbus profiles held against exchanges: decode says what an answer means, and a profile's examples are really run."""

import tomllib
from pathlib import Path

import pytest

from drivers.codecs.modbus import rtu_frame
from drivers.codecs.registry import PROTOCOLS
from drivers.modbus_profile import check
from drivers.profile import Profile

ARC = "01 03 00 00 00 01 84 0A 01 03 02 00 01 79 84"
QUIET = "01 03 00 00 00 01 84 0A 01 03 02 00 00 B8 44"
BROKEN = "01 03 00 00 00 01 84 0A 01 03 02 00 01 79 85"
TABLES = """
[[value]]
name = "arc"
zh = "电弧"
en = "Arc"
address = 0
type = "bool"
kind = "electrical"
"""


def profile(text: str) -> Profile:
    return Profile("p", "modbus", tomllib.loads(text), Path("p.toml"))


def codes(text: str) -> list[str]:
    return [finding.code for finding in check(profile(TABLES + text))]


def test_an_answer_behind_its_question_says_what_it_means_and_alone_it_cannot() -> None:
    question, answer = PROTOCOLS["afd-xy16"](bytes.fromhex(ARC))
    assert "says" not in question
    assert (answer["says"], answer["values"], answer["event"]) == ({"arc_alarm": True}, [1], "electrical_alarm")
    assert PROTOCOLS["afd-xy16"](bytes.fromhex(QUIET))[-1]["event"] is None
    assert "says" not in PROTOCOLS["afd-xy16"](bytes.fromhex(ARC)[8:])[0]


def test_the_gravest_event_of_an_answer_is_its_event() -> None:
    exchange = rtu_frame(1, bytes.fromhex("0300020002")) + rtu_frame(1, bytes.fromhex("03040C103400"))
    shown = PROTOCOLS["notifier-modbus-gw"](exchange)[-1]
    assert (shown.get("event"), shown.get("says")) == ("fire", {"1-003": "fire", "1-004": "fault"})


@pytest.mark.parametrize(
    ("example", "found"),
    [
        ("", ["no_example", "no_counter_example"]),
        (f'[[example]]\nhex = "{ARC}"\nexpect = {{ arc = true }}\n[[counter_example]]\nhex = "{BROKEN}"\n', []),
        (
            f'[[example]]\nhex = "{ARC}"\nexpect = {{ arc = false }}\n[[counter_example]]\nhex = "{BROKEN}"\n',
            ["example_differs"],
        ),
        (
            f'[[example]]\nhex = "{BROKEN}"\nexpect = {{ arc = true }}\n[[counter_example]]\nhex = "{BROKEN}"\n',
            ["example_refused"],
        ),
        (
            f'[[example]]\nhex = "{ARC}"\nexpect = {{ arc = true }}\n[[counter_example]]\nhex = "{QUIET}"\n',
            ["counter_example_raised"],
        ),
        (f'[[example]]\nhex = "{ARC}"\n[[counter_example]]\nhex = "xy"\n', ["bad_hex", "bad_hex"]),
    ],
)
def test_examples_and_counter_examples_are_run(example: str, found: list[str]) -> None:
    assert codes(example) == found


def test_a_panel_of_which_nothing_can_mean_fire_is_refused() -> None:
    panel = '[[block]]\nname = "b"\ncount = 5\n[[point]]\nfrom = "b"\nn = [1, 5]\nenum = {0 = "none", 1 = "fault"}\n'
    found = [finding.code for finding in check(profile(panel))]
    assert found[0] == "no_fire"
