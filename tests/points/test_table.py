"""From observations to events."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.messages import LinkState, PointFault, PointSpec, Reading
from edge_agent.config.model import Journal, Limits, Point
from edge_agent.model import Event, Kind
from edge_agent.points.table import TRANSIENT_NS, PointTable
from tests.points.conftest import make_table
from tests.points.table_bench import MS, Make, S, contact, replay, say, told, value

BOUNCES = int(os.environ.get("EDGE_BOUNCES", "200"))  # examples of each; scripts/evidence: 1 000


# --- contacts -----------------------------------------------------------------------------------------------------------


def test_a_contact_that_lasted_is_a_fire_of_grade_1_at_the_moment_it_had_lasted(table: Make) -> None:
    points = table([contact()])
    assert points.feed([Reading("pump-room", True, 100 * MS)], 100 * MS) == []
    assert points.next_deadline_ns() == 150 * MS
    (event,) = points.tick(160 * MS)
    assert (event.kind, event.point, event.active, event.grade) == (Kind.FIRE, "pump-room", True, 1)
    assert (event.at.mono_ns, event.source, event.name) == (150 * MS, "contacts", "水泵房")
    assert event.fields["samples"] == [[-50.0, True]]


def test_the_end_of_a_contact_alarm_is_told_after_its_off_delay_and_has_no_grade(table: Make) -> None:
    points = table([contact()])
    events = replay(points, [(0, True), (1 * S, False)], 3 * S)
    assert told(events) == [("fire", "pump-room", True), ("fire", "pump-room", False)]
    assert (events[1].at.mono_ns, events[1].grade) == (1500 * MS, 0)


true_changes = st.lists(st.integers(2000, 5000), min_size=1, max_size=12)
bounces = st.lists(st.integers(1, 49), max_size=12)


@settings(max_examples=BOUNCES)
@given(true_changes, st.data())
def test_bounce_of_1_to_50_ms_gives_exactly_one_event_a_true_change(changes_ms: list[int], data: st.DataObject) -> None:
    points = make_table([contact()])
    edges: list[tuple[int, bool]] = [(0, False)]
    now_ms, level = 1000, False
    for gap_ms in changes_ms:
        level = not level
        edges.append((now_ms * MS, level))
        at_ms = now_ms
        for bounce_ms in data.draw(bounces):
            for bounced in (not level, level):
                at_ms += bounce_ms
                edges.append((at_ms * MS, bounced))
        now_ms = at_ms + gap_ms
    events = replay(points, edges, (now_ms + 5000) * MS)
    assert [event.active for event in events] == [number % 2 == 0 for number in range(len(changes_ms))]
    assert all(len(event.fields["samples"]) >= 1 for event in events)  # type: ignore[arg-type]


@settings(max_examples=BOUNCES)
@given(st.lists(st.tuples(st.integers(1, 49), st.integers(60, 2000)), max_size=40))
def test_glitches_shorter_than_the_delay_are_no_event(glitches: list[tuple[int, int]]) -> None:
    points = make_table([contact()])
    edges: list[tuple[int, bool]] = []
    now_ms = 0
    for width_ms, gap_ms in glitches:
        edges += [(now_ms * MS, True), ((now_ms + width_ms) * MS, False)]
        now_ms += width_ms + gap_ms
    assert replay(points, edges, (now_ms + 5000) * MS) == []


@pytest.mark.parametrize("stays", [True, False])
def test_ten_seconds_of_1_khz_chatter_give_one_event_when_it_ends_closed_and_none_when_open(
    table: Make, stays: bool
) -> None:
    points = table([contact()])
    edges = [(number * MS // 2, number % 2 == 0) for number in range(20_000)] + [(10 * S, stays)]
    events = replay(points, edges, 20 * S)
    assert told(events) == ([("fire", "pump-room", True)] if stays else [])
    for event in events:
        assert len(event.fields["samples"]) == 16  # type: ignore[arg-type]  # bounded


def test_chatter_during_a_fire_does_not_end_it(table: Make) -> None:
    points = table([contact()])
    edges = [(0, True)] + [(S + number * MS // 2, number % 2 == 1) for number in range(20_000)]
    assert told(replay(points, edges, 60 * S)) == [("fire", "pump-room", True)]


def test_a_contact_that_closed_and_opened_while_the_loop_was_busy_is_still_told(table: Make) -> None:
    points = table([contact()])
    points.feed([Reading("pump-room", True, 0)], 2 * S)
    events = points.feed([Reading("pump-room", False, S)], 2 * S) + points.tick(2 * S)
    assert told(events) == [("fire", "pump-room", True), ("fire", "pump-room", False)]


# --- values ---------------------------------------------------------------------------------------------------------------


def test_limits_make_prealarm_and_alarm_and_each_ends_past_its_hysteresis(table: Make) -> None:
    points = table([value(prealarm_high=200.0, alarm_high=300.0, hysteresis=20.0)])
    events: list[Event] = []
    for second, leak_ma in enumerate([100.0, 210.0, 310.0, 290.0, 279.0, 190.0, 179.0]):
        events += points.feed([Reading("meter1/leak_ma", leak_ma, second * S)], second * S)
    assert [(event.kind.value, event.active, event.at.mono_ns // S) for event in events] == [
        ("prealarm", True, 1),
        ("electrical", True, 2),
        ("electrical", False, 4),
        ("prealarm", False, 6),
    ]
    assert events[1].fields == {
        "samples": [[-1000.0, 210.0], [0.0, 310.0]],
        "rule": "limit",
        "high": 300.0,
        "unit": "mA",
    }
    assert events[1].source == "meter1"


def test_a_low_limit_alarms_below_it(table: Make) -> None:
    points = table(
        [
            PointSpec(
                id="tank/level_m",
                name_zh="水位",
                name_en="level",
                unit="m",
                kind="supervisory",
                limits={"alarm_low": 1.0},
            )
        ]
    )
    assert told(points.feed([Reading("tank/level_m", 0.9, 0)], 0)) == [("supervisory", "tank/level_m", True)]


def test_two_of_three_polls_must_be_over(table: Make) -> None:
    points = table([value(alarm_high=300.0, n=2, m=3)])
    polls = [310.0, 100.0, 310.0, 100.0, 100.0]
    events = [points.feed([Reading("meter1/leak_ma", v, n * S)], n * S) for n, v in enumerate(polls)]
    assert [[event.active for event in each] for each in events] == [[], [], [True], [False], []]
    assert [sample[1] for sample in events[2][0].fields["samples"]] == [310.0, 100.0, 310.0]  # type: ignore[attr-defined]


def test_the_sites_limits_stand_over_the_profiles(table: Make) -> None:
    site = Point(id="meter1/leak_ma", name="总进线漏电", limits=Limits(alarm_high=50.0))
    points = table([value(alarm_high=300.0, on_delay_s=2.0)], [site])
    points.feed([Reading("meter1/leak_ma", 60.0, 0)], 0)
    (event,) = points.tick(2 * S)  # the profile's delay is kept
    assert (event.name, event.fields["high"]) == ("总进线漏电", 50.0)


def test_limits_on_a_point_without_a_kind_are_supervisory(table: Make) -> None:
    spec = PointSpec(id="meter1/voltage_v", name_zh="电压", name_en="voltage", unit="V")
    points = table([spec], [Point(id=spec.id, limits=Limits(alarm_low=180.0))])
    assert told(points.feed([Reading(spec.id, 100.0, 0)], 0)) == [("supervisory", spec.id, True)]


@pytest.mark.parametrize("missing", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_number_is_a_fault_and_is_compared_with_nothing(table: Make, missing: float) -> None:
    points = table([value(alarm_high=300.0, alarm_low=-5.0)])
    points.feed([Reading("meter1/leak_ma", 310.0, 0)], 0)
    events = points.feed([Reading("meter1/leak_ma", missing, S)], S)
    assert told(events) == [("fault", "meter1/leak_ma", True)]
    assert points.snapshot()[0]["value"] is None


# --- points that cannot be read -------------------------------------------------------------------------------------------


def test_an_outage_is_one_fault_and_one_end_and_the_alarm_stays_meanwhile(table: Make) -> None:
    points = table([value(alarm_high=300.0)])
    events = points.feed([Reading("meter1/leak_ma", 310.0, 0)], 0)
    for second in range(1, 5):
        events += points.feed([PointFault("meter1/leak_ma", "open", second * S)], second * S)
    events += points.tick(1000 * S)
    events += points.feed([Reading("meter1/leak_ma", 310.0, 1001 * S)], 1001 * S)
    assert [(event.kind.value, event.active) for event in events] == [
        ("electrical", True),
        ("fault", True),
        ("fault", False),
    ]
    assert events[1].fields["reason"] == "open"


def test_a_lost_answer_is_a_fault_only_once_it_has_lasted(table: Make) -> None:
    points = table([value()])
    assert points.feed([PointFault("meter1/leak_ma", "timeout", 0)], 0) == []
    assert points.feed([Reading("meter1/leak_ma", 1.0, S)], S) == []
    assert points.feed([PointFault("meter1/leak_ma", "timeout", 2 * S)], 2 * S) == []
    assert told(points.tick(2 * S + TRANSIENT_NS)) == [("fault", "meter1/leak_ma", True)]


def test_points_of_a_silent_source_are_told_as_one_link_event(table: Make) -> None:
    points = table([value(f"meter1/r{n}") for n in range(20)], parents={"meter1": "bus1"})
    events = points.feed([PointFault(f"meter1/r{n}", "timeout", 0) for n in range(20)], 0)
    events += points.feed([LinkState("bus1", False, S, "no_port", "errno=5")], S)
    events += points.tick(1000 * S)
    assert told(events) == [("link", "bus1", True)]
    assert events[0].fields == {"reason": "no_port", "detail": "errno=5"}
    events = points.feed([LinkState("bus1", False, 1001 * S, "no_port")], 1001 * S)
    events += points.feed([LinkState("bus1", True, 1002 * S, "answering")], 1002 * S)
    assert told(events) == [("link", "bus1", False)]
    assert {(row["fault"], row.get("untold")) for row in points.snapshot()} == {("timeout", True)}
    assert len(points.tick(1002 * S + TRANSIENT_NS)) == 20  # up again, and they still cannot be read
    assert {(row["fault"], row.get("untold")) for row in points.snapshot()} == {("timeout", None)}


def test_a_source_that_answers_from_the_start_is_no_event(table: Make) -> None:
    assert table().feed([LinkState("panel1", True, 0, "answering")], 0) == []


def test_a_delay_does_not_run_out_on_missing_values(table: Make) -> None:
    points = table([value(alarm_high=300.0, on_delay_s=5.0)])
    points.feed([Reading("meter1/leak_ma", 310.0, 0)], 0)
    points.feed([PointFault("meter1/leak_ma", "timeout", S)], S)
    assert points.tick(10 * S) == []
    assert told(points.feed([Reading("meter1/leak_ma", 310.0, 11 * S)], 11 * S)) == [
        ("electrical", "meter1/leak_ma", True)
    ]


def test_a_value_that_is_back_after_the_gap_was_never_over_for_long_enough(table: Make) -> None:
    points = table([value(alarm_high=300.0, on_delay_s=5.0)])
    points.feed([Reading("meter1/leak_ma", 310.0, 0)], 0)
    points.feed([PointFault("meter1/leak_ma", "timeout", S)], S)
    assert points.feed([Reading("meter1/leak_ma", 100.0, 11 * S)], 11 * S) == []
    assert points.tick(100 * S) == []


# --- telemetry ------------------------------------------------------------------------------------------------------------


def bodies(table: PointTable, now_ns: int) -> list[dict[str, object]]:
    return [json.loads(body) for body in table.take_telemetry(now_ns)]


def test_all_readings_of_a_source_are_in_one_body_once_a_period(table: Make) -> None:
    names = ("voltage_v", "current_a")
    specs = [PointSpec(id=f"meter1/{name}", name_zh=name, name_en=name, unit="V") for name in names]
    points = table(specs, settings=Journal(telemetry_s=60.0))
    kept = []
    for second in range(130):
        points.feed(
            [Reading("meter1/voltage_v", 229.1 + second % 3, second * S), Reading("meter1/current_a", 2.0, second * S)],
            second * S,
        )
        kept += bodies(points, second * S)
    assert [(body["at"]["mono_ns"] // S, body["source"]) for body in kept] == [
        (0, "meter1"),
        (60, "meter1"),
        (120, "meter1"),
    ]  # type: ignore[index]
    assert kept[1]["values"] == {"voltage_v": 229.1, "current_a": 2.0}


def test_a_change_past_the_deadband_is_kept_at_once_and_alone(table: Make) -> None:
    specs = [PointSpec(id=f"meter1/{name}", name_zh=name, name_en=name, unit="V") for name in "ab"]
    points = table(specs)
    points.feed([Reading("meter1/a", 100.0, 0), Reading("meter1/b", 1.0, 0)], 0)
    assert len(bodies(points, 0)) == 1
    points.feed([Reading("meter1/a", 104.9, 5 * S), Reading("meter1/b", 1.0, 5 * S)], 5 * S)
    assert bodies(points, 5 * S) == []
    points.feed([Reading("meter1/a", 105.1, 6 * S), Reading("meter1/b", 1.0, 6 * S)], 6 * S)
    assert [body["values"] for body in bodies(points, 6 * S)] == [{"a": 105.1}]
    assert bodies(points, 6 * S) == []


def test_a_value_that_shivers_is_kept_at_most_once_a_second(table: Make) -> None:
    points = table([PointSpec(id="meter1/a", name_zh="a", name_en="a", unit="V")])
    kept = 0
    for step in range(100):
        now_ns = step * 100 * MS
        points.feed([Reading("meter1/a", 100.0 * (step % 2), now_ns)], now_ns)
        kept += len(bodies(points, now_ns))
    assert kept == 10


def test_a_value_that_could_not_be_read_is_not_kept_again(table: Make) -> None:
    points = table([PointSpec(id="meter1/a", name_zh="a", name_en="a", unit="V")])
    points.feed([Reading("meter1/a", 1.0, 0)], 0)
    assert len(bodies(points, 0)) == 1
    points.feed([PointFault("meter1/a", "timeout", 60 * S)], 60 * S)
    assert bodies(points, 61 * S) == []


def test_a_site_may_keep_one_point_more_often(table: Make) -> None:
    specs = [PointSpec(id=f"meter1/{name}", name_zh=name, name_en=name, unit="V") for name in "ab"]
    points = table(specs, [Point(id="meter1/a", telemetry_s=10.0)])
    kept: list[tuple[int, object]] = []
    for second in range(21):
        points.feed([Reading("meter1/a", 1.0, second * S), Reading("meter1/b", 1.0, second * S)], second * S)
        kept += [(second, body["values"]) for body in bodies(points, second * S)]
    assert kept == [(0, {"a": 1.0}), (0, {"b": 1.0}), (10, {"a": 1.0}), (20, {"a": 1.0})]


def test_a_point_no_profile_names_is_shown_and_kept(table: Make) -> None:
    points = table()
    points.feed([Reading("meter9/x", 7.0, 0)], 0)
    assert points.snapshot()[0]["value"] == 7.0
    assert bodies(points, 0)[0]["values"] == {"x": 7.0}


# --- what is shown --------------------------------------------------------------------------------------------------------


def test_the_snapshot_names_every_point_with_its_value_state_and_fault(table: Make) -> None:
    points = table([contact(), value(alarm_high=300.0)], names={"meter1": "配电箱"})
    points.feed([Reading("pump-room", False, 5), Reading("meter1/leak_ma", 310.0, 6)], 6)
    say(points, "fire", at_ns=7, location_text="5#楼西")
    rows = {row["id"]: row for row in points.snapshot()}
    assert rows["pump-room"] | {"name": ""} == {
        "id": "pump-room", "name": "", "kind": "fire", "value": False, "unit": "", "active": None, "fault": None,
        "at_ns": 5, "source": "contacts",
    }  # fmt: skip
    assert (rows["meter1/leak_ma"]["name"], rows["meter1/leak_ma"]["active"]) == ("配电箱 漏电", "electrical")
    assert (rows["panel1/1-027"]["active"], rows["panel1/1-027"]["name"]) == ("fire", "5#楼西")
    assert points.counts() == {"total": 3, "active": 2, "faulty": 0}


def test_a_point_given_twice_is_a_bug(table: Make) -> None:
    with pytest.raises(ValueError, match="pump-room"):
        table([contact(), contact()])
