"""The limits that hold for one point: what its profile, its preset and the site say, the later over the earlier."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.config.model import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class PointLimits:
    """As `edge_agent.config.model.Limits`, with what holds where nobody said anything."""

    prealarm_high: float | None = None
    prealarm_low: float | None = None
    alarm_high: float | None = None
    alarm_low: float | None = None
    alarm_high_high: float | None = None
    alarm_low_low: float | None = None
    hysteresis: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    extreme_on_delay_s: float = 0.0
    n: int = 1
    m: int = 1
    prealarm_rise_per_min: float | None = None
    alarm_rise_per_min: float | None = None
    alarm_fall_per_min: float | None = None
    rate_window_s: float = 60.0
    baseline_k: float | None = None
    baseline_least: float = 0.0
    baseline_learn_s: float = 259_200.0
    baseline_on_delay_s: float = 300.0
    baseline_round: int = 0
    range_low: float | None = None
    range_high: float | None = None
    stuck_s: float | None = None
    missing_s: float | None = None


def merge_limits(defaults: Mapping[str, float], site: Limits | None) -> PointLimits:
    """The limits of profile and preset with those the site wrote, 0 included. Raise TypeError for a key that is no limit."""
    merged: dict[str, float | None] = dict(defaults)
    if site is not None:
        written = {name: getattr(site, name) for name in Limits.__slots__}
        merged |= {name: value for name, value in written.items() if value is not None}
    for name in ("n", "m", "baseline_round"):
        if (whole := merged.get(name)) is not None:
            merged[name] = int(whole)
    return PointLimits(**merged)  # type: ignore[arg-type]  # the values were floats of the same meaning
