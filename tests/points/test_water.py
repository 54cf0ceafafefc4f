"""Hydrants and pump rooms: what several points tell together."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.messages import PanelEvent, PointFault, PointSpec, Reading
from edge_agent.config.load import load
from edge_agent.config.model import Config, Gateway, Limits, Point, Water
from edge_agent.config.reference import sample
from edge_agent.model import Event
from edge_agent.points.derived import Above, Below, Derived, Either, Fire, Is
from edge_agent.points.presets import PRESETS
from edge_agent.points.table import PointTable
from edge_agent.points.water import BUILDINGS, OVER_KPA, water_rules, with_buildings
from edge_agent.uplink.gb26875.places import Places
from tests.points.conftest import make_table

S = 1_000_000_000
Make = Callable[..., PointTable]
UNITS = {"p_kpa": "kPa", "p_mpa": "MPa", "q": "L/s", "t": "degC", "a": "deg", "h": "m"}


def specs(*names: str) -> list[PointSpec]:
    return [PointSpec(id=f"s/{name}", name_zh=name, name_en=name, unit=UNITS.get(name, "")) for name in names]


def place(make: Make, water: Water, *names: str) -> PointTable:
    table = make(specs(*names), with_buildings((), [water]), names={water.id: "1号楼"})
    for rule in water_rules(water):
        table.derive(rule)
    return table


def play(table: PointTable, *steps: tuple[float, Mapping[str, float | bool | None]]) -> list[Event]:
    """At each second these values, None for one that cannot be read; every deadline is met on time."""
    events: list[Event] = []

    def until(now_ns: int) -> None:
        while (due_ns := table.next_deadline_ns()) is not None and due_ns <= now_ns:
            events.extend(table.tick(due_ns))

    for at_s, values in steps:
        now_ns = round(at_s * S)
        until(now_ns)
        for name, value in values.items():
            seen = PointFault(f"s/{name}", "timeout", now_ns) if value is None else Reading(f"s/{name}", value, now_ns)
            events += table.feed([seen], now_ns)
    return events


def told(events: Sequence[Event], prefix: str = "h1/") -> list[tuple[str, str, bool]]:
    return [
        (event.kind.value, event.point.removeprefix(prefix), event.active)
        for event in events
        if event.point.startswith(prefix)
    ]


def fire(table: PointTable, at_s: float, word: str = "fire") -> list[Event]:
    return table.feed([PanelEvent("panel1/1-1", word, round(at_s * S))], round(at_s * S))


LEAK = Water(id="h1", flow="s/q", flushing="s/key", leak_s=60.0, off_delay_s=0.0)


def test_flow_without_a_fire_or_flushing_is_a_leak_once_it_has_lasted(table: Make) -> None:
    points = place(table, LEAK, "q", "key")
    events = play(points, (0, {"key": False, "q": 2.0}), (59, {"q": 2.0}), (61, {"q": 2.0}), (70, {"q": 0.1}))
    assert told(events) == [("supervisory", "leak", True), ("supervisory", "leak", False)]
    assert (events[0].name, events[0].at.mono_ns, events[0].source) == ("1号楼 无火警时有水流, 疑似漏水", 60 * S, "h1")


def test_water_for_a_fire_or_a_flushing_is_no_leak(table: Make) -> None:
    points = place(table, LEAK, "q", "key")
    fire(points, 0)
    events = play(points, (1, {"key": False, "q": 5.0}), (200, {"q": 5.0}))
    events += fire(points, 201, "fire_restore")  # the hose still runs: from now on it is looked at
    events += play(points, (260, {"q": 5.0}), (262, {"q": 5.0}), (263, {"key": True}))
    assert told(events) == [("supervisory", "leak", True), ("supervisory", "leak", False)]
    assert next(event for event in events if event.point == "h1/leak").at.mono_ns == 261 * S


def test_a_rule_whose_input_cannot_be_read_settles_nothing_and_is_no_fault_of_its_own(table: Make) -> None:
    points = place(table, LEAK, "q", "key")
    events = play(points, (0, {"key": False, "q": 2.0}), (30, {"q": None}), (200, {"q": 0.0}))
    assert told(events) == []
    row = {row["id"]: row for row in points.snapshot()}["h1/leak"]
    assert (row["fault"], row["active"], row["value"]) == (None, None, False)


def test_a_leak_that_is_there_stays_while_the_meter_cannot_be_read(table: Make) -> None:
    points = place(table, LEAK, "q", "key")
    events = play(points, (0, {"key": False, "q": 2.0}), (61, {"q": 2.0}), (62, {"q": None}), (500, {"key": False}))
    assert told(events) == [("supervisory", "leak", True)]


def test_a_rule_is_restored_with_what_it_found_and_the_fires_of_the_site(table: Make) -> None:
    slow = replace(LEAK, off_delay_s=30.0)
    points = place(table, slow, "q", "key")
    play(points, (0, {"key": False, "q": 2.0}), (61, {"q": 2.0}))
    fire(points, 62)
    state = {key: body for key, body in points.dump().items() if body is not None}
    again = place(table, slow, "q", "key")
    again.restore(state)
    assert {row["id"]: row["active"] for row in again.snapshot()}["h1/leak"] == "supervisory"
    events = play(again, (0, {"key": False, "q": 2.0}), (31, {"q": 2.0}))
    assert told(events) == [("supervisory", "leak", False)]  # there is a fire: it is no leak any more


PUMP = Water(id="h1", building="multi-storey", pressure="s/p_kpa", pump="s/run", pump_s=60.0, off_delay_s=0.0)


def test_a_pump_that_runs_and_brings_no_pressure_is_a_fault(table: Make) -> None:
    points = place(table, PUMP, "p_kpa", "run")
    events = play(points, (0, {"p_kpa": 300.0, "run": True}), (30, {"p_kpa": 200.0}), (91, {"p_kpa": 200.0}))
    assert told(events) == [("start", "pump_running", True), ("fault", "pump_no_pressure", True)]
    assert told(play(points, (95, {"p_kpa": 260.0}))) == [("fault", "pump_no_pressure", False)]


def test_a_pump_that_does_not_start_though_the_pressure_is_gone_is_a_fault(table: Make) -> None:
    points = place(table, PUMP, "p_kpa", "run")
    events = play(points, (0, {"run": False, "p_kpa": 40.0}), (59, {"p_kpa": 40.0}), (61, {"p_kpa": 40.0}))
    assert told(events) == [("fault", "pump_idle", True)]
    pressure = [event.kind.value for event in events if event.point == "s/p_kpa"]
    assert pressure == ["supervisory", "prealarm"]  # and the pressure itself, by its building's limits, after 10 s


def test_the_pressure_may_be_in_mpa(table: Make) -> None:
    water = Water(id="h1", building="multi-storey", pressure="s/p_mpa", pump="s/run", pump_s=60.0)
    points = place(table, water, "p_mpa", "run")
    events = play(points, (0, {"run": True, "p_mpa": 0.2}), (61, {"p_mpa": 0.2}))
    assert ("fault", "pump_no_pressure", True) in told(events)
    events = play(points, (100, {"run": False, "p_mpa": 0.06}), (161, {"p_mpa": 0.06}))
    assert ("fault", "pump_idle", True) in told(events)


ROOM = Water(
    id="h1", pump="s/run", pump_fault="s/bad", pump_auto="s/auto", pump_power="s/power", level="s/h", level_low_m=1.5
)


def test_a_pump_room_tells_fault_manual_no_power_low_water_and_a_dry_run(table: Make) -> None:
    points = place(table, ROOM, "run", "bad", "auto", "power", "h")
    sound = {"run": False, "bad": False, "auto": True, "power": True, "h": 3.0}
    assert told(play(points, (0, sound), (1000, sound))) == []
    broken = {"run": True, "bad": True, "auto": False, "power": False, "h": 1.4}
    events = play(points, (2000, broken), (3000, broken))
    assert sorted(told(events)) == [
        ("fault", "dry_run", True),
        ("fault", "pump_fault", True),
        ("mains_fault", "pump_power", True),
        ("start", "pump_running", True),
        ("supervisory", "level_low", True),
        ("supervisory", "pump_manual", True),
    ]
    assert len(told(play(points, (4000, sound), (5000, sound)))) == 6


ICE = Water(id="h1", temperature="s/t", pressure="s/p_kpa", water="s/wet", off_delay_s=0.0)


def test_frost_with_a_rising_pressure_is_freezing(table: Make) -> None:
    points = place(table, ICE, "t", "p_kpa", "wet")
    play(points, *[(n * 10, {"t": 1.0, "p_kpa": 300.0, "wet": False}) for n in range(60)])
    events = play(points, *[(600 + n * 10, {"t": 0.5, "p_kpa": 300.0 + n}) for n in range(70)])
    assert told(events) == [("supervisory", "freezing", True)]
    warm = place(table, ICE, "t", "p_kpa", "wet")
    play(warm, *[(n * 10, {"t": 9.0, "p_kpa": 300.0, "wet": False}) for n in range(60)])
    assert told(play(warm, *[(600 + n * 10, {"t": 9.0, "p_kpa": 300.0 + n}) for n in range(70)])) == []


def test_frost_with_water_in_it_is_freezing_and_frost_alone_is_not(table: Make) -> None:
    points = place(table, ICE, "t", "p_kpa", "wet")
    still = {"t": -3.0, "p_kpa": 300.0}
    assert told(play(points, (0, {**still, "wet": False}), (500, still))) == []
    assert ("supervisory", "freezing", True) in told(play(points, (600, {"wet": True}), (700, still)))


def test_frost_alone_is_freezing_where_nothing_else_is_known(table: Make) -> None:
    points = place(table, Water(id="h1", temperature="s/t"), "t")
    assert told(play(points, (0, {"t": -0.5}), (61, {"t": -0.5}))) == [("supervisory", "freezing", True)]


STREET = Water(id="h1", tilt="s/a", cap="s/cap", tilt_zero_deg=5.0, off_delay_s=0.0)


@pytest.mark.parametrize(("angle", "tilted"), [(19.0, False), (20.0, True), (-9.0, False), (-10.0, True), (90.0, True)])
def test_a_hydrant_is_tilted_by_how_far_it_is_from_how_it_stood(table: Make, angle: float, tilted: bool) -> None:
    points = place(table, STREET, "a", "cap")
    events = play(points, (0, {"a": angle}), (9, {"a": angle}), (11, {"a": angle}))
    assert told(events) == ([("supervisory", "tilted", True)] if tilted else [])


def test_a_cap_that_is_open_without_a_fire_is_tampered_with(table: Make) -> None:
    points = place(table, STREET, "a", "cap")
    assert told(play(points, (0, {"cap": True}), (11, {"cap": True}))) == [("tamper", "cap_open", True)]
    assert told(fire(points, 12)) == [("tamper", "cap_open", False)]


def test_too_much_pressure_at_an_open_outlet(table: Make) -> None:
    points = place(table, Water(id="h1", flow="s/q", pressure="s/p_kpa"), "q", "p_kpa")
    high = {"q": 5.0, "p_kpa": OVER_KPA}
    assert told(play(points, (0, high), (11, high))) == [("supervisory", "over_pressure", True)]
    shut = place(table, Water(id="h1", flow="s/q", pressure="s/p_kpa"), "q", "p_kpa")
    assert told(play(shut, (0, {"q": 0.0, "p_kpa": 900.0}), (11, {"q": 0.0}))) == []


# --- the language of terms ------------------------------------------------------------------------------------------------

answers = st.sampled_from([True, False, None])


@settings(max_examples=60)
@given(st.lists(answers, min_size=1, max_size=4), st.lists(answers, min_size=1, max_size=3))
def test_unknown_terms_are_unknown_unless_another_decides(all_of: list[bool | None], one_of: list[bool | None]) -> None:
    table = make_table()
    terms = tuple(Is(f"s/a{n}") for n in range(len(all_of)))
    either = Either(tuple(Is(f"s/b{n}") for n in range(len(one_of))))
    table.derive(Derived(PointSpec(id="h1/x", name_zh="x", name_en="x", kind="fault"), (*terms, either)))
    values = {f"a{n}": answer for n, answer in enumerate(all_of)} | {f"b{n}": answer for n, answer in enumerate(one_of)}
    play(table, (0, values))
    one = True if True in one_of else None if None in one_of else False
    expected = False if False in (*all_of, one) else None if None in (*all_of, one) else True
    shown = {row["id"]: row["active"] for row in table.snapshot()}["h1/x"]
    assert (shown == "fault") is (expected is True)
    assert {row["id"]: row["value"] for row in table.snapshot()}["h1/x"] is expected


def test_a_rule_in_another_unit_or_over_a_rule_is_refused(table: Make) -> None:
    spec = PointSpec(id="h1/x", name_zh="x", name_en="x", kind="fault")
    with pytest.raises(ValueError, match="degC is no kPa"):
        table(specs("t")).derive(Derived(spec, (Above("s/t", 1.0, "kPa"),)))
    with pytest.raises(ValueError, match="looks at the rule h1/x"):
        table().derive(Derived(spec, (Is("h1/x"),)))
    points = table()
    points.derive(Derived(spec, (Fire(),)))
    with pytest.raises(ValueError, match="looks at the rule h1/x"):
        points.derive(Derived(PointSpec(id="h1/y", name_zh="y", name_en="y", kind="fault"), (Either((Is("h1/x"),)),)))


def test_a_limit_is_reached_from_above_and_left_from_below(table: Make) -> None:
    points = table(specs("q"))
    points.derive(
        Derived(
            PointSpec(id="h1/x", name_zh="x", name_en="x", kind="fault"),
            (Above("s/q", 1.0, "L/s"), Below("s/q", 2.0, "L/s")),
        )
    )
    events = play(points, (0, {"q": 0.9}), (1, {"q": 1.0}), (2, {"q": 1.9}), (3, {"q": 2.0}))
    assert [(event.active, event.at.mono_ns // S) for event in events] == [(True, 1), (False, 3)]


# --- configuration ----------------------------------------------------------------------------------------------------------


def test_a_pressure_takes_the_limits_of_its_building_unless_it_has_its_own() -> None:
    own = Point(id="a/p", preset="sprinkler-end", limits=Limits(alarm_low=60.0))
    waters = [Water(id="h1", building="factory", pressure="a/p"), Water(id="h2", building="factory", pressure="b/p")]
    assert with_buildings([own], waters) == [own, Point(id="b/p", preset="hydrant-factory")]


def test_every_building_has_limits_and_a_clause() -> None:
    for name, building in BUILDINGS.items():
        assert PRESETS[building.standing].limits["alarm_low"] > 0, name
        assert building.confidence in ("H", "M", "L")
        clause = r"GB [0-9]+-20[0-9]{2} [0-9.]+( \([0-9]\))?"
        assert re.fullmatch(rf"{clause}(, {clause})*: 0\.[0-9]{{2}} MPa", building.clause), name


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_example_of_a_water_table_is_allowed(tmp_path: Path, lang: str) -> None:
    everything = re.sub(r"^# (?=[a-z_]+ = )", "", sample(lang, sections=["water"]), flags=re.MULTILINE)
    found = re.search(r"^\[\[water\]\]\n(?:[a-z_]+ = .*\n)*", everything, flags=re.MULTILINE)
    assert found
    table = found.group()
    sources = "".join(
        f'[[bus]]\nid = "b{n}"\nhost = "127.0.0.{n}"\n[[bus.device]]\nid = "{name}"\nprofile = "eastron-sdm630"\n'
        for n, name in enumerate(("press1", "flow1", "tank1", "pump1"), start=1)
    )
    contact = (
        '[board]\ngpio = "gpiod"\noutputs = { buzzer = 17 }\n[[contact]]\nid = "flush-key"\nline = 12\nkind = "test"\n'
    )
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-1"\n' + sources + contact + table, "utf-8")
    loaded = load(tmp_path)
    assert loaded.findings == ()
    assert loaded.config is not None and loaded.config.waters[0].level_low_m == 1.5


def test_a_point_nobody_gives_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[gateway]\nid = "ZG-1"\n[[water]]\nid = "h1"\nflow = "nowhere/q"\n', "utf-8")
    found = [(finding.code, finding.key) for finding in load(tmp_path).findings]
    assert ("unknown_point", "water[h1].flow") in found


def test_a_hydrant_is_a_system_of_its_own_in_gb26875() -> None:
    places = Places(Config(gateway=Gateway(id="ZG-1"), waters=(Water(id="h1", name="1号楼"),)))
    assert (places.of("h1/leak").system_type, places.of("h1/leak").system_address) == (11, 1)


@pytest.mark.parametrize("page", ["water.md", "water.zh.md"])
def test_the_page_says_what_every_building_asks(page: str) -> None:
    rows = [
        f"| `{name}` | `{building.standing}` | {PRESETS[building.standing].limits['alarm_low']:g} | "
        f"{building.flowing_low_kpa:g} | {building.clause} | {building.confidence} |"
        for name, building in BUILDINGS.items()
    ]
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    assert [row for row in rows if row not in text] == []
