"""Rules on one point: extremes, rates, the learned baseline, and values that are not to be believed."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.messages import LIMIT_KEYS, LinkState, PointFault, PointSpec
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.config.load import load
from edge_agent.config.model import Limits, Point
from edge_agent.model import Event, Kind
from edge_agent.points.limits import PointLimits
from edge_agent.points.questions import Rate
from tests.points.conftest import make_table
from tests.points.rules_bench import LEAK, Make, S, run, spec, told


def test_every_limit_a_profile_may_name_is_one_the_house_has() -> None:
    for limits in (Limits, PointLimits):
        assert {field.name for field in dataclasses.fields(limits)} == LIMIT_KEYS


# --- extremes -------------------------------------------------------------------------------------------------------------


def test_an_extreme_value_does_not_wait_for_the_delay_of_an_ordinary_one(table: Make) -> None:
    points = table([spec(alarm_high=300.0, alarm_high_high=1000.0, on_delay_s=10.0, extreme_on_delay_s=1.0)])
    events = run(points, [20.0, 1200.0, 1200.0, 1200.0])
    assert [(event.kind, event.fields["rule"], event.at.mono_ns) for event in events] == [
        (Kind.ELECTRICAL, "extreme", 2 * S)
    ]


def test_an_alarm_that_two_rules_hold_is_told_twice_and_ends_once(table: Make) -> None:
    points = table([spec(alarm_high=300.0, alarm_high_high=1000.0)])
    events = run(points, [20.0, 400.0, 1200.0, 400.0, 20.0])
    assert told(events) == [
        ("electrical", True, "limit"),
        ("electrical", True, "extreme"),
        ("electrical", False, "limit"),
    ]


def test_an_extreme_value_is_flagged_upward_at_once(table: Make, new_event: Callable[..., Event]) -> None:
    points, machine = table([spec(alarm_high=300.0, alarm_high_high=1000.0)]), AlarmMachine(new_event=new_event)
    first, second = run(points, [400.0, 1200.0])
    assert machine.feed(first, 0) == []
    (grade2,) = machine.feed(second, S)
    assert (grade2.grade, grade2.fields["why"], grade2.fields["escalates"]) == (2, "extreme", second.id)
    assert len(machine.alarms()) == 1


def test_a_low_prealarm_and_a_low_extreme(table: Make) -> None:
    points = table([spec("tank/level_m", "m", "supervisory", prealarm_low=2.0, alarm_low=1.5, alarm_low_low=0.5)])
    events = run(points, [3.0, 1.9, 1.4, 0.4, 3.0], point="tank/level_m")
    assert told(events) == [
        ("prealarm", True, "limit"),
        ("supervisory", True, "limit"),
        ("supervisory", True, "extreme"),
        ("supervisory", False, "limit"),
        ("prealarm", False, "limit"),
    ]


@settings(max_examples=60)
@given(st.lists(st.floats(-2000, 2000), max_size=40))
def test_more_rules_never_take_an_alarm_away(values: list[float]) -> None:
    """Whatever a point is asked besides, it is in alarm whenever its plain limit alone would have it so."""
    plain = make_table([spec(alarm_high=300.0, hysteresis=20.0)])
    rich = make_table(
        [
            spec(
                alarm_high=300.0,
                hysteresis=20.0,
                alarm_high_high=1000.0,
                prealarm_high=200.0,
                alarm_rise_per_min=50.0,
                baseline_k=3.0,
                baseline_learn_s=60.0,
                stuck_s=60.0,
                range_low=-5000.0,
                range_high=5000.0,
            )
        ]
    )
    for second, value in enumerate(values):
        run(plain, [value], from_s=second)
        run(rich, [value], from_s=second)
        if plain.snapshot()[0]["active"] is not None:
            assert rich.snapshot()[0]["active"] == "electrical"


# --- rates ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.floats(0.5, 20), st.sampled_from([60.0, 300.0]), st.sampled_from([1.0, 2.0, 5.0]), st.booleans())
def test_a_steady_rise_is_told_if_and_only_if_it_is_as_fast(
    per_min: float, window_s: float, every_s: float, fall: bool
) -> None:
    def ever(slope: float) -> bool:
        rate = Rate(per_min=per_min, window_s=window_s, hysteresis=0.0, fall=fall)
        sign = -1 if fall else 1
        count = round(3 * window_s / every_s)
        seen = [
            rate.over(40 + sign * slope / 60 * n * every_s, round(n * every_s * S), was=False) for n in range(count)
        ]
        return any(seen)

    assert not ever(per_min * 0.99)
    assert ever(per_min * 1.2)  # a fifteenth of the window, and up to a poll, is what the extremes cost


def test_a_rise_of_10_k_within_5_min_is_told_long_before_the_window_is_over(table: Make) -> None:
    points = table([spec("t/c", "degC", prealarm_rise_per_min=2.0, rate_window_s=300.0)])
    events = run(points, [30.0] * 100 + [30.0 + n for n in range(20)], point="t/c")
    assert told(events) == [("prealarm", True, "rise")]
    assert events[0].at.mono_ns == 110 * S
    assert events[0].fields["moved"] == 10.0


def test_one_dip_of_a_noisy_sensor_is_no_rise(table: Make) -> None:
    points = table([spec("t/c", "degC", alarm_rise_per_min=10.0)])
    assert run(points, [50.0] * 30 + [20.0] + [50.0] * 200, point="t/c") == []


def test_a_rise_ends_by_itself_when_the_window_has_passed(table: Make) -> None:
    points = table([spec("t/c", "degC", alarm_rise_per_min=10.0)])
    events = run(points, [20.0] * 30 + [40.0] * 120, point="t/c")
    assert told(events) == [("electrical", True, "rise"), ("electrical", False, "rise")]


def test_what_a_broken_sensor_said_is_no_past_to_rise_from(table: Make) -> None:
    points = table([spec("t/c", "degC", alarm_rise_per_min=10.0)])
    run(points, [-20.0] * 20, point="t/c")
    events = points.feed([PointFault("t/c", "open", 21 * S)], 21 * S)
    events += run(points, [40.0] * 20, from_s=22, point="t/c")
    assert told(events) == [("fault", True, "open"), ("fault", False, "open")]


def test_a_lost_answer_does_not_blind_a_rise(table: Make) -> None:
    points = table([spec("t/c", "degC", alarm_rise_per_min=10.0)])
    run(points, [20.0] * 20, point="t/c")
    points.feed([PointFault("t/c", "timeout", 21 * S)], 21 * S)
    assert told(run(points, [40.0], from_s=25, point="t/c")) == [("electrical", True, "rise")]


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 100), st.floats(-100, 100)), max_size=200))
def test_a_rate_remembers_no_more_than_its_bound_whatever_comes(steps: list[tuple[int, float]]) -> None:
    rate, now_ns = Rate(per_min=1.0, window_s=60.0, hysteresis=0.0), 0
    for step, value in steps:
        now_ns += step * S // 10
        rate.over(value, now_ns, was=False)
        assert len(rate._past) <= 17


# --- what is not to be believed ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [-60.0, 850.0])
def test_a_value_outside_of_the_sensors_range_is_a_fault_and_no_fire(table: Make, broken: float) -> None:
    points = table([spec("t/c", "degC", "fire", alarm_high=70.0, range_low=-50.0, range_high=400.0)])
    assert told(run(points, [20.0, broken], point="t/c")) == [("fault", True, "overrange")]
    assert told(run(points, [90.0], from_s=5, point="t/c")) == [("fault", False, "overrange"), ("fire", True, "limit")]


def test_a_range_that_would_hide_a_limit_is_none(table: Make) -> None:
    points = table([spec("t/c", "degC", "fire", alarm_high=500.0, range_high=400.0)])
    assert told(run(points, [600.0], point="t/c")) == [("fire", True, "limit")]


def test_a_frozen_value_is_a_fault_and_still_compared(table: Make) -> None:
    points = table([spec(alarm_high=300.0, stuck_s=3600.0)])
    events = run(points, [310.0] * 70, every_s=60)
    assert told(events) == [("electrical", True, "limit"), ("fault", True, "frozen")]
    assert (points.snapshot()[0]["fault"], points.snapshot()[0]["value"]) == ("frozen", 310.0)
    assert points.counts()["faulty"] == 1
    assert told(run(points, [311.0, 20.0], from_s=5000)) == [("fault", False, "frozen"), ("electrical", False, "limit")]


def test_a_frozen_point_that_also_cannot_be_read_has_one_fault_that_ends_once(table: Make) -> None:
    points = table([spec(stuck_s=60.0)])
    events = run(points, [5.0] * 10, every_s=10)
    events += points.feed([PointFault(LEAK, "open", 200 * S)], 200 * S)
    events += run(points, [5.0, 6.0], from_s=300)
    assert told(events) == [("fault", True, "frozen"), ("fault", True, "open"), ("fault", False, "frozen")]


def test_a_frozen_value_outlives_a_restart(table: Make) -> None:
    points = table([spec(stuck_s=60.0)])
    run(points, [5.0] * 10, every_s=10)
    state = {key: body for key, body in points.dump().items() if body is not None}
    again = table([spec(stuck_s=60.0)])
    again.restore(state)
    assert again.snapshot()[0]["fault"] == "frozen"
    assert told(run(again, [6.0], from_s=1000)) == [("fault", False, "frozen")]
    without = table([spec()])
    without.restore(state)
    assert told(without.tick(0)) == [("fault", False, None)]


def test_a_point_that_reports_by_itself_must_be_heard_of(table: Make) -> None:
    hydrant = "h1/pressure_kpa"
    points = table(
        [spec(hydrant, "kPa", "supervisory", missing_s=3600.0)], [Point(id="m1/smoke", limits=Limits(missing_s=60.0))]
    )
    points.start(0)
    assert told(points.tick(60 * S)) == [("fault", True, "missing")]  # never heard of, and known from the site alone
    events = run(points, [300.0, 301.0], every_s=1800, from_s=100, point=hydrant)
    assert told(events) == []
    assert told(points.tick(5400 * S)) == []  # 3 500 s since it was heard of
    while not (found := points.tick(points.next_deadline_ns() or 0)):
        pass
    assert [(event.point, event.at.mono_ns // S) for event in found] == [(hydrant, 100 + 1800 + 3600)]
    assert told(run(points, [300.0], from_s=9000, point=hydrant)) == [("fault", False, "missing")]


def test_a_contact_that_does_not_change_is_neither_frozen_nor_missing(table: Make) -> None:
    limits = Limits(stuck_s=60.0, missing_s=60.0)
    contact = PointSpec(id="pump-room", name_zh="水泵房", name_en="pump room", kind="fire")
    points = table([contact], [Point(id="pump-room", limits=limits), Point(id="gone", limits=limits)])
    points.start(0)
    assert run(points, [False] * 200, point="pump-room") == []
    assert [row["id"] for row in points.snapshot()] == ["pump-room"]


def test_the_points_of_a_source_that_is_known_to_be_silent_are_not_missing_too(table: Make) -> None:
    points = table([spec(missing_s=60.0)], parents={"meter1": "bus1"})
    points.start(0)
    events = points.feed([LinkState("bus1", False, S, "no_port")], S)
    for second in range(60, 600, 60):
        events += points.tick(second * S)
    assert [event.kind for event in events] == [Kind.LINK]


# --- state that outlives a restart ------------------------------------------------------------------------------------------


def test_an_alarm_is_restored_for_the_rule_that_held_it(table: Make) -> None:
    made = spec(alarm_high=300.0, alarm_high_high=1000.0, off_delay_s=0.0)
    points = table([made])
    run(points, [1200.0, 400.0])
    state = {key: body for key, body in points.dump().items() if body is not None}
    assert json.loads(state[f"pc:electrical:{LEAK}"]) == {"rules": ["limit"]}
    again = table([made])
    again.restore(state)
    assert run(again, [400.0]) == []
    assert told(run(again, [20.0], from_s=1)) == [("electrical", False, "limit")]


@pytest.mark.parametrize("piece", [b"{}", b'{"rules":["of a later version"]}', b'{"rules":7}'])
def test_state_that_names_no_rule_of_ours_is_held_by_the_limit(table: Make, piece: bytes) -> None:
    points = table([spec(alarm_high=300.0, alarm_high_high=1000.0)])
    points.restore({f"pc:electrical:{LEAK}": piece})
    assert points.snapshot()[0]["active"] == "electrical"
    assert told(run(points, [20.0])) == [("electrical", False, "limit")]


@pytest.mark.parametrize(
    ("table_", "codes"),
    [
        ('id = "panel1/1-27"\n[point.limits]\nmissing_s = 60.0\n', ["not_used"]),
        ('id = "pump-room"\n[point.limits]\nstuck_s = 60.0\nmissing_s = 60.0\n', ["not_used", "not_used"]),
        ('id = "pump-room"\n[point.limits]\non_delay_s = 1.0\n', []),
        ('id = "pump-room"\n[point.limits]\nalarm_low_low = 5.0\nalarm_low = 4.0\n', ["order_of_limits"]),
        ('id = "pump-room"\n[point.limits]\nalarm_high = 5.0\nrange_high = 4.0\n', ["order_of_limits"]),
        ('id = "pump-room"\npreset = "residual"\n', ["not_a_choice"]),
    ],
)
def test_limits_that_mean_nothing_are_told(tmp_path: Path, table_: str, codes: list[str]) -> None:
    panel = '[[panel]]\nid = "panel1"\nprofile = "gst-layer-bus"\nport = "/dev/zg/a"\n'
    board = '[board]\ngpio = "gpiod"\noutputs = { buzzer = 17 }\n[[contact]]\nid = "pump-room"\nline = 12\n'
    (tmp_path / "config.toml").write_text(
        '[gateway]\nid = "ZG-1234"\n' + panel + board + "[[point]]\n" + table_, "utf-8"
    )
    assert [finding.code for finding in load(tmp_path).findings] == codes
