"""Limits by name, each with where it comes from: a circuit takes one with `preset = "residual-current"`.

`confidence` is of the clause: H read in a source, M from memory of the standard, L our own choice. Delays, hysteresis and baselines
are our own in any case. docs/rules.md has the table for people.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drivers.messages import PointSpec
from edge_agent.points.units import convert_limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Limits in `unit`, and what kind of event they make where neither profile nor site says."""

    unit: str
    kind: str
    limits: Mapping[str, float]
    source: str
    confidence: str


def _residual(alarm_ma: float) -> Mapping[str, float]:
    """Prealarm at 70 % of the setting, held 10 s, left below 80 % for 60 s. The extreme is what melts before 10 s are over."""
    return {
        "prealarm_high": 0.7 * alarm_ma,
        "alarm_high": alarm_ma,
        "alarm_high_high": 1000.0,  # the most a maker lets be set
        "hysteresis": 0.2 * alarm_ma,
        "on_delay_s": 10.0,
        "off_delay_s": 60.0,
        "extreme_on_delay_s": 2.0,
        "baseline_k": 6.0,
        "baseline_least": 0.1 * alarm_ma,
    }


def _static(low_kpa: float) -> Mapping[str, float]:
    """Standing pressure of a hydrant or test point. 10 s, because a pump that starts or a valve that shuts makes waves."""
    return {"prealarm_low": 1.1 * low_kpa, "alarm_low": low_kpa, **_WATER}


def _standing(low_kpa: float, clause: str) -> Preset:
    """What a clause asks of the least favourable point while no water is drawn."""
    source = f"{clause}: {low_kpa / 1000:.2f} MPa"
    return Preset(unit="kPa", kind="supervisory", limits=_static(low_kpa), source=source, confidence="H")


def _residual_current(alarm_ma: float) -> Preset:
    source = "GB 50116-2013 9.2.3: 300-500 mA"
    return Preset(unit="mA", kind="electrical", limits=_residual(alarm_ma), source=source, confidence="H")


_WATER: Final = {"hysteresis": 10.0, "on_delay_s": 10.0, "off_delay_s": 30.0, "range_low": -50.0, "range_high": 2500.0}
_SENSOR_DEGC: Final = {"range_low": -50.0, "range_high": 400.0}  # wider than any fire a probe lives through
_GB50974_STATIC: Final = "GB 50974-2014 5.2.2"

PRESETS: Final[Mapping[str, Preset]] = {
    "residual-current": _residual_current(300.0),
    "residual-current-500": _residual_current(500.0),
    "cable-temperature": Preset(
        unit="degC",
        kind="electrical",
        limits={
            "prealarm_high": 55.0,
            "alarm_high": 70.0,
            "alarm_high_high": 140.0,
            "hysteresis": 5.0,
            "on_delay_s": 10.0,
            "off_delay_s": 60.0,
            "prealarm_rise_per_min": 2.0,  # 10 K in 5 min
            "rate_window_s": 300.0,
            "baseline_k": 6.0,
            "baseline_least": 10.0,
            **_SENSOR_DEGC,
        },
        source="GB 14287.3-2014: 45-140 °C",
        confidence="M",
    ),
    "heat-detector": Preset(
        unit="degC",
        kind="fire",
        limits={"alarm_high": 58.0, "hysteresis": 5.0, "on_delay_s": 2.0, **_SENSOR_DEGC},
        source="GB 4716-2005 after EN 54-5: A1 54-65 °C, A2 54-70 °C",
        confidence="H",
    ),
    "household-gas": Preset(
        unit="%LEL",
        kind="gas",
        limits={"alarm_high": 5.0, "hysteresis": 1.0, "range_low": -5.0, "range_high": 110.0},
        source="GB 15322.2-2019: 5-25 %LEL",
        confidence="L",
    ),
    "industrial-gas": Preset(
        unit="%LEL",
        kind="gas",
        limits={
            "alarm_high": 25.0,
            "alarm_high_high": 50.0,
            "hysteresis": 2.0,
            "range_low": -5.0,
            "range_high": 110.0,
        },
        source="GB 15322.1-2019: 25 / 50 %LEL",
        confidence="L",
    ),
    "hydrant-municipal": Preset(
        unit="kPa",
        kind="supervisory",
        limits={**_static(140.0), "alarm_low_low": 100.0, "alarm_high": 1000.0},
        source="GB 50974-2014 7.2.8, GB 55036-2022 3.0.3: 0.14 MPa, 0.10 MPa",
        confidence="H",
    ),
    "hydrant-over-100m": _standing(150.0, f"{_GB50974_STATIC} (1)"),
    "hydrant-class-1-public": _standing(100.0, f"{_GB50974_STATIC} (1)"),
    "hydrant-high-rise": _standing(70.0, f"{_GB50974_STATIC} (2)"),
    "hydrant-multi-storey": _standing(70.0, f"{_GB50974_STATIC} (2)"),
    "hydrant-factory": _standing(100.0, f"{_GB50974_STATIC} (3)"),
    "hydrant-factory-small": _standing(70.0, f"{_GB50974_STATIC} (3)"),
    "sprinkler-end": _standing(100.0, f"{_GB50974_STATIC} (4)"),
}


def with_preset(spec: PointSpec, kind: str, preset: str) -> tuple[Mapping[str, float], str]:
    """The limits and the kind of a point: the profile's, under the preset's. Raise ValueError: no such preset, another unit."""
    if not preset:
        return spec.limits, kind
    if (named := PRESETS.get(preset)) is None:
        raise ValueError(f"no preset {preset}")
    limits = convert_limits(named.limits, named.unit, spec.unit or named.unit)
    return {**spec.limits, **limits}, kind or named.kind
