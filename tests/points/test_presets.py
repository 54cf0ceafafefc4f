"""Presets of limits, and the units they are written in."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from drivers.messages import LIMIT_KEYS
from edge_agent.config.model import Limits, Point
from edge_agent.model import Kind
from edge_agent.points.presets import PRESETS
from edge_agent.points.units import VALUE_LIMITS, convert_limits, factor
from tests.points.rules_bench import LEAK, Make, run, spec, told


def test_a_preset_stands_over_the_profile_and_under_the_site(table: Make) -> None:
    site = Point(id=LEAK, preset="residual-current", limits=Limits(alarm_high=400.0))
    points = table([spec(kind="", alarm_high=50.0, hysteresis=1.0)], [site])
    (channel, *_) = [c for c in points._points[LEAK].channels if c.rule == "limit" and c.kind is Kind.ELECTRICAL]
    assert channel.question.fields() == {"rule": "limit", "high": 400.0}
    assert points.snapshot()[0]["kind"] == "electrical"
    assert [c.rule for c in points._points[LEAK].channels] == ["extreme", "limit", "limit", "baseline"]


def test_a_site_may_write_a_zero_over_what_others_say(table: Make) -> None:
    site = Point(id=LEAK, preset="residual-current", limits=Limits(on_delay_s=0.0, hysteresis=0.0, n=1))
    points = table([spec(n=2.0, m=3.0)], [site])
    events = run(points, [20.0, 300.0])
    assert ("electrical", True, "limit") in told(events)


@pytest.mark.parametrize(("unit", "times"), [("kPa", 1.0), ("MPa", 0.001), ("bar", 0.01)])
def test_a_preset_speaks_the_unit_of_the_point(table: Make, unit: str, times: float) -> None:
    point = "h1/pressure"
    points = table([spec(point, unit, "")], [Point(id=point, preset="hydrant-municipal")])
    assert told(run(points, [139.0 * times] * 12, point=point)) == [
        ("supervisory", True, "limit"),
        ("prealarm", True, "limit"),
    ]


def test_a_preset_of_another_quantity_is_refused(table: Make) -> None:
    with pytest.raises(ValueError, match="kPa is no mA"):
        table([spec()], [Point(id=LEAK, preset="hydrant-municipal")])
    with pytest.raises(ValueError, match="no preset nothing"):
        table([spec()], [Point(id=LEAK, preset="nothing")])


def test_every_preset_is_sound() -> None:
    for name, preset in PRESETS.items():
        assert preset.confidence in ("H", "M", "L"), name
        assert Kind(preset.kind)
        assert preset.limits.keys() <= LIMIT_KEYS, name
        assert preset.source[:3] == "GB ", name
        limits = preset.limits
        order = (
            "range_low",
            "alarm_low_low",
            "alarm_low",
            "prealarm_low",
            "prealarm_high",
            "alarm_high",
            "alarm_high_high",
            "range_high",
        )
        values = [limits[key] for key in order if key in limits]
        assert values == sorted(set(values)), name
        convert_limits(limits, preset.unit, preset.unit)


def test_units_of_one_quantity_convert_both_ways_and_no_others() -> None:
    assert factor("MPa", "kPa") == 1000.0
    assert factor("m3/h", "L/s") == pytest.approx(1 / 3.6)
    assert convert_limits({"alarm_low": 0.14, "on_delay_s": 10.0}, "MPa", "kPa") == {
        "alarm_low": 140.0,
        "on_delay_s": 10.0,
    }
    assert VALUE_LIMITS < LIMIT_KEYS
    for one, other in (("kPa", "mA"), ("kPa", ""), ("furlong", "m")):
        with pytest.raises(ValueError, match="is no"):
            factor(one, other)


@pytest.mark.parametrize("page", ["rules.md", "rules.zh.md"])
def test_the_page_says_what_every_preset_holds(page: str) -> None:
    def side(limits: Mapping[str, float], *names: str) -> str:
        signs = [f"{'<' if name.endswith('low') else '>'} {limits[name]:g}" for name in names if name in limits]
        return " / ".join(signs) or "-"

    rows = [
        f"| `{name}` | {preset.unit} | {preset.kind} | {side(preset.limits, 'prealarm_low', 'prealarm_high')} | "
        f"{side(preset.limits, 'alarm_low', 'alarm_high')} | {side(preset.limits, 'alarm_low_low', 'alarm_high_high')} | "
        f"{preset.source} | {preset.confidence} |"
        for name, preset in PRESETS.items()
    ]
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    assert [row for row in rows if row not in text] == []
