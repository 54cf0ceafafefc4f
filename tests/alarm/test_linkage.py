"""Linkage by named enable: each refusal, each release, and that nothing is acted upon twice or on what is not known."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.alarm.linkage import DEMANDS_MAX, Linkage
from edge_agent.config.load import load
from edge_agent.config.model import LinkageOutput
from edge_agent.config.reference import sample
from edge_agent.model import Clock, Event, Instant, Kind

S = 1_000_000_000
VALVE = LinkageOutput(
    id="valve", action="gas_valve", line=24, kinds=("gas",), points=("kitchen/*", "hall"), only_if=("vent",), never_if=("repair",),
    override="key",
)  # fmt: skip
FAN = LinkageOutput(id="fan", action="fan", line=25, kinds=("gas",), hold_s=0.0, release="auto")
SOUNDER = LinkageOutput(
    id="sounder", action="sounder", line=26, kinds=("fire",), hold_s=0.0, min_on_s=0.0, release="auto"
)


class Bench:
    """One output with switches around it, started at second 0."""

    def __init__(self, rule: LinkageOutput = VALVE, *, enabled: bool = True) -> None:
        self.switches: dict[str, bool | None] = {"vent": True, "repair": False, "key": False}
        self.stale: set[str] = set()
        self._ids = itertools.count(1)
        self.linkage = Linkage([rule], [rule.id] if enabled else [], new_event=self._event, started_ns=0)
        self.output = self.linkage.outputs[rule.id]
        self.told: list[tuple[str, str]] = []
        self.events: list[Event] = []

    def _event(self, kind: Kind, point: str, active: bool, at_ns: int, /, **more: Any) -> Event:
        at = Instant("b", at_ns, at_ns, Clock.SYNCED)
        return Event(id=f"e{next(self._ids)}", kind=kind, point=point, active=active, at=at, **more)

    def switch(self, point: str) -> bool | None:
        return self.switches.get(point)

    def believable(self, point: str) -> bool:
        return point not in self.stale

    def alarm(
        self, at_s: float, point: str = "kitchen/1", kind: Kind = Kind.GAS, *, active: bool = True, **more: Any
    ) -> None:
        self.linkage.note(self._event(kind, point, active, round(at_s * S), **more), round(at_s * S))

    def look(self, at_s: float) -> "Bench":
        self._keep(self.linkage.decide(round(at_s * S), self))
        return self

    def person(self, what: str, at_s: float) -> None:
        self._keep((self.output.release if what == "release" else self.output.give_back)("cli:root", round(at_s * S)))

    def _keep(self, events: list[Event]) -> None:
        self.events += events
        self.told += [(str(event.fields["status"]), str(event.fields["why"])) for event in events]


def acting(rule: LinkageOutput = VALVE) -> Bench:
    bench = Bench(rule)
    bench.alarm(100)
    bench.look(106)
    assert bench.output.acting
    return bench


def test_it_acts_once_the_alarm_has_stood_and_says_who_what_and_why() -> None:
    bench = Bench()
    bench.alarm(100)
    assert not bench.look(104).output.acting and bench.told == []
    bench.look(105)
    assert bench.output.acting and bench.output.level is True
    (event,) = bench.events
    assert (event.kind, event.point, event.active, event.source) == (Kind.LINKAGE, "linkage/valve", True, "gateway")
    assert event.fields == {
        "status": "acted", "why": "alarm", "who": "rule", "action": "gas_valve", "alarm": "e1", "of": "kitchen/1", "kind": "gas",
    }  # fmt: skip


def test_an_idle_level_that_is_high_is_driven_low_while_it_acts() -> None:
    bench = Bench(replace(FAN, idle=True))
    assert bench.output.level is True
    bench.alarm(100)
    assert bench.look(100).output.level is False


# --- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("switches", "why"),
    [
        ({"key": True}, "override"),
        ({"key": None}, "override_unknown"),
        ({"repair": True}, "interlock"),
        ({"repair": None}, "interlock_unknown"),
        ({"vent": False}, "interlock"),
        ({"vent": None}, "interlock_unknown"),
    ],
)
def test_a_lock_that_forbids_or_cannot_be_read_is_a_refusal(switches: Mapping[str, bool | None], why: str) -> None:
    bench = Bench()
    bench.switches |= switches
    bench.alarm(100)
    for second in range(105, 120):
        bench.look(second)
    assert (bench.told, bench.output.acting) == ([("refused", why)], False)
    bench.switches |= {"vent": True, "repair": False, "key": False}
    assert bench.look(121).output.acting  # the alarm still stands and is fresh


def test_what_the_site_did_not_enable_by_name_never_acts() -> None:
    bench = Bench(enabled=False)
    bench.alarm(100)
    assert bench.look(105).look(200).told == [("refused", "not_enabled")]
    assert not bench.output.acting


def test_an_alarm_that_came_with_the_start_is_never_acted_upon() -> None:
    bench = Bench()
    bench.alarm(59)
    for second in (65, 100, 200, 350):
        bench.look(second)
    assert bench.told == [("refused", "starting")]
    bench.alarm(400)
    assert bench.look(405).output.acting


def test_stale_data_is_never_acted_upon() -> None:
    old = Bench()
    old.switches["vent"] = None
    old.alarm(100)
    old.look(106)
    old.switches["vent"] = True
    assert old.look(401).told[-1] == ("refused", "stale")
    silent = Bench()
    silent.stale.add("kitchen/1")
    silent.alarm(100)
    assert silent.look(106).told == [("refused", "stale")]


def test_a_confirmed_alarm_may_be_asked_for() -> None:
    bench = Bench(replace(VALVE, grade=2))
    bench.alarm(100, grade=1)
    assert bench.look(106).told == [("refused", "grade")]
    bench.alarm(110, grade=2, fields={"escalates": "e1"})
    assert bench.look(112).output.acting


def test_it_rests_between_two_acts() -> None:
    bench = acting(replace(FAN, min_on_s=0.0, min_off_s=60.0))
    bench.alarm(107, active=False)
    assert bench.look(108).told[-1] == ("released", "over")
    bench.alarm(110)
    assert bench.look(111).told[-1] == ("refused", "resting")
    assert not bench.look(167).output.acting
    assert bench.look(168).output.acting


def test_other_kinds_and_points_are_nothing_to_it() -> None:
    bench = Bench()
    bench.alarm(100, kind=Kind.FIRE)
    bench.alarm(100, point="boiler/1")
    bench.alarm(100, point="hall/1")
    assert bench.look(200).told == [] and not bench.output.acting
    bench.alarm(201, point="hall")
    assert bench.look(206).output.acting


def test_a_reason_that_flickers_is_written_at_most_every_five_seconds() -> None:
    bench = Bench()
    bench.alarm(100)
    for tenth in range(1050, 1350):
        bench.switches |= {"key": tenth % 2 == 0, "repair": tenth % 2 == 1}
        bench.look(tenth / 10)
    assert len(bench.told) <= 7


def test_one_alarm_of_many_that_may_be_acted_upon_is_enough() -> None:
    bench = Bench()
    bench.stale.add("kitchen/1")
    bench.alarm(100, "kitchen/1")
    bench.alarm(100, "kitchen/2")
    assert bench.look(106).output.acting
    assert bench.events[-1].fields["of"] == "kitchen/2"


# --- releases -----------------------------------------------------------------------------------------------------------


def test_a_gas_valve_never_opens_by_itself() -> None:
    bench = acting()
    bench.alarm(110, active=False)
    assert bench.look(100_000).output.acting
    bench.person("release", 100_001)
    assert (bench.output.acting, bench.told[-1]) == (False, ("released", "held"))
    assert bench.events[-1].fields["who"] == "cli:root"


def test_a_fan_runs_at_least_its_time_and_ends_with_the_alarm() -> None:
    bench = acting(FAN)
    bench.alarm(110, active=False)
    assert bench.look(120).output.acting
    assert bench.look(137).told[-1] == ("released", "over")


def test_a_pulse_ends_and_is_not_repeated_for_the_same_alarm() -> None:
    bench = acting(replace(VALVE, min_on_s=0.0, max_on_s=2.0, min_off_s=0.0))
    assert bench.look(107).output.acting
    assert bench.look(108).told[-1] == ("released", "max_on")
    assert not bench.look(300).output.acting


@pytest.mark.parametrize(
    ("switches", "why"), [({"key": True}, "override"), ({"repair": True}, "interlock"), ({"vent": False}, "interlock")]
)
def test_a_lock_releases_at_once_and_the_same_alarm_is_not_acted_upon_again(
    switches: Mapping[str, bool], why: str
) -> None:
    bench = acting()
    before = dict(bench.switches)
    bench.switches |= switches
    assert bench.look(107).told[-1] == ("released", why)
    bench.switches = before
    assert not bench.look(300).output.acting


@pytest.mark.parametrize("unknown", ["key", "repair", "vent"])
def test_what_cannot_be_read_now_does_not_open_a_valve_that_closed(unknown: str) -> None:
    bench = acting()
    bench.switches[unknown] = None
    bench.stale.add("kitchen/1")
    assert bench.look(10_000).output.acting


def test_a_person_holds_it_until_it_is_given_back_and_old_alarms_stay_old() -> None:
    bench = Bench()
    bench.person("release", 90)
    bench.alarm(100)
    assert bench.look(106).told == [("held", "held"), ("refused", "held")]
    bench.person("auto", 110)
    assert bench.look(111).told[-1] == ("auto", "auto")
    assert not bench.output.acting
    bench.alarm(120)
    assert bench.look(125).output.acting


@pytest.mark.parametrize("heard", [Kind.SILENCE, Kind.ACKNOWLEDGE])
def test_a_sounder_stops_when_a_person_has_heard_it(heard: Kind) -> None:
    bench = Bench(SOUNDER)
    bench.alarm(100, "panel1/1-1", Kind.FIRE)
    assert bench.look(100).output.acting
    bench.alarm(105, "gateway" if heard is Kind.SILENCE else "panel1/1-1", heard, fields={"of": "fire"})
    assert not bench.look(105).output.acting


# --- power ----------------------------------------------------------------------------------------------------------------


def test_a_restart_releases_says_so_and_acts_upon_nothing_from_before() -> None:
    before = acting()
    state = {key: body for key, body in before.linkage.dump().items() if body is not None}
    assert list(state) == ["lk:valve"]
    again = Bench()
    again.linkage.restore(state)
    assert again.look(1).told == [("released", "restart")]
    assert not again.look(500).output.acting
    assert again.linkage.dump() == {"lk:valve": None}


def test_a_hold_outlives_a_restart_and_an_output_that_is_gone_leaves_nothing() -> None:
    before = Bench()
    before.person("release", 10)
    state = {key: body for key, body in before.linkage.dump().items() if body is not None}
    again = Bench()
    again.linkage.restore({**state, "lk:gone": b'{"acting":true,"held":false}', "lk:odd": b"[]"})
    assert again.output.held
    assert again.linkage.dump() == {"lk:gone": None}


# --- properties -------------------------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["alarm", "over", "key", "repair", "vent", "unknown", "stale", "fresh", "release", "auto"]),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(steps, st.booleans())
def test_it_never_begins_to_act_while_anything_speaks_against_it(moves: list[tuple[int, str]], enabled: bool) -> None:
    bench, now_s = Bench(enabled=enabled), 0
    for gap_s, what in moves:
        now_s += gap_s
        if what in ("alarm", "over"):
            bench.alarm(now_s, active=what == "alarm")
        elif what in bench.switches:
            bench.switches[what] = not bench.switches[what]
        elif what == "unknown":
            bench.switches["vent"] = None
        elif what in ("stale", "fresh"):
            bench.stale = {"kitchen/1"} if what == "stale" else set()
        else:
            bench.person(what, now_s)
        was = bench.output.acting
        bench.look(now_s)
        if bench.output.acting and not was:
            assert enabled and not bench.output.held and not bench.stale
            assert (bench.switches["vent"], bench.switches["repair"], bench.switches["key"]) == (True, False, False)
            assert now_s >= 60
        if bench.output.acting:
            assert not bench.output.held and bench.switches["key"] is not True
    acts = [n for n, (status, _) in enumerate(bench.told) if status == "acted"]
    assert len(acts) <= sum(what == "alarm" for _, what in moves)


def test_a_storm_of_alarms_is_bounded() -> None:
    bench = Bench()
    for number in range(DEMANDS_MAX + 100):
        bench.alarm(100, f"kitchen/{number}")
    assert bench.output.as_dict()["demands"] == DEMANDS_MAX
    assert bench.look(106).output.acting


# --- configuration ------------------------------------------------------------------------------------------------------------

BOARD = '[gateway]\nid = "ZG-1234"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 17 }\n[[contact]]\nid = "key"\nline = 12\n'
OUTPUT = '[[linkage.output]]\nid = "valve"\naction = "gas_valve"\nline = 24\nkinds = ["gas"]\n'


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (OUTPUT, ["output_not_enabled"]),
        ('[linkage]\nenable = ["valve"]\n' + OUTPUT, []),
        ('[linkage]\nenable = ["vlave"]\n' + OUTPUT, ["no_such_output", "output_not_enabled"]),
        ('[linkage]\nenable = ["valve"]\n' + OUTPUT + 'override = "nothing"\n', ["unknown_point"]),
        ('[linkage]\nenable = ["valve"]\n' + OUTPUT.replace("24", "12"), ["same_line"]),
        ('[linkage]\nenable = ["valve"]\n' + OUTPUT + "hold_s = 300.0\n", ["order_of_limits"]),
        ('[linkage]\nenable = ["valve"]\n' + OUTPUT + "max_on_s = 2.0\n", ["order_of_limits"]),
        ('[linkage]\nenable = ["valve"]\n' + OUTPUT + OUTPUT.replace("24", "25"), ["duplicate_id"]),
        ('[linkage]\nenable = ["valve"]\n' + OUTPUT.replace('"gas"]', '"fault"]'), ["not_a_choice"]),
    ],
)
def test_the_configuration_is_checked(tmp_path: Path, text: str, codes: list[str]) -> None:
    (tmp_path / "config.toml").write_text(BOARD + text, "utf-8")
    assert [finding.code for finding in load(tmp_path).findings] == codes


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_example_of_a_linkage_table_is_allowed(tmp_path: Path, lang: str) -> None:
    import re

    everything = re.sub(
        r"^# (?=[a-z_]+ = )", "", sample(lang, sections=["linkage", "linkage.output"]), flags=re.MULTILINE
    )
    tables = re.findall(r"^\[\[?linkage[a-z.]*\]\]?\n(?:[a-z_]+ = .*\n)*", everything, flags=re.MULTILINE)
    keys = "".join(
        f'[[contact]]\nid = "{name}"\nline = {n}\n' for n, name in enumerate(("repair-key", "valve-key"), start=30)
    )
    bus = '[[bus]]\nid = "b"\nhost = "127.0.0.1"\n[[bus.device]]\nid = "vent"\nprofile = "eastron-sdm630"\n'
    (tmp_path / "config.toml").write_text(BOARD + keys + bus + "".join(tables), "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None and loaded.config.linkage.enable == ("kitchen-valve",)


@pytest.mark.parametrize("page", ["linkage.md", "linkage.zh.md"])
def test_the_example_of_the_page_is_sound(tmp_path: Path, page: str) -> None:
    import re

    written = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    (example,) = re.findall(r"^```toml\n(.*?)^```", written, re.DOTALL | re.MULTILINE)
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-1234"\n' + example, "utf-8")
    assert load(tmp_path).findings == ()
