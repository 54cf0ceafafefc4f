"""Units of points: what a limit written in one unit is in another. Values are never converted: the unit is in their name."""

from collections.abc import Mapping
from typing import Final

# unit -> what it measures, and how many of that quantity's first unit one of it is
_UNITS: Final[Mapping[str, tuple[str, float]]] = {
    "kPa": ("pressure", 1.0),
    "MPa": ("pressure", 1000.0),
    "Pa": ("pressure", 0.001),
    "bar": ("pressure", 100.0),
    "mH2O": ("pressure", 9.80665),
    "L/s": ("flow", 1.0),
    "L/min": ("flow", 1 / 60),
    "m3/h": ("flow", 1 / 3.6),
    "mA": ("current", 1.0),
    "A": ("current", 1000.0),
    "degC": ("temperature", 1.0),
    "°C": ("temperature", 1.0),
    "C": ("temperature", 1.0),
    "m": ("length", 1.0),
    "cm": ("length", 0.01),
    "mm": ("length", 0.001),
    "deg": ("angle", 1.0),
    "°": ("angle", 1.0),
    "V": ("voltage", 1.0),
    "%LEL": ("gas", 1.0),
}
KNOWN_UNITS: Final = frozenset(_UNITS) | frozenset(
    (
        *(
            "%",
            "ppm",
            "mg/m3",
            "mV",
            "kV",
            "kA",
            "W",
            "kW",
            "MW",
            "VA",
            "kVA",
            "var",
            "kvar",
            "Wh",
            "kWh",
            "MWh",
            "varh",
            "kvarh",
        ),
        *("Hz", "s", "ms", "min", "h", "r/min", "dB", "dBm", "lqi", "Ohm", "kOhm", "MOhm", "L", "m3", "%RH", "lx"),
    )
)
# limits that are values of the point; the others are seconds and counts
VALUE_LIMITS: Final = frozenset(
    (
        *("prealarm_high", "prealarm_low", "alarm_high", "alarm_low", "alarm_high_high", "alarm_low_low", "hysteresis"),
        *("prealarm_rise_per_min", "alarm_rise_per_min", "alarm_fall_per_min", "baseline_least"),
        *("range_low", "range_high"),
    )
)


def factor(from_unit: str, to_unit: str) -> float:
    """How many of `to_unit` one of `from_unit` is. Raise ValueError if they do not measure the same."""
    if from_unit == to_unit:
        return 1.0
    (measures, one), (other, another) = (_UNITS.get(unit, ("", 1.0)) for unit in (from_unit, to_unit))
    if measures != other or not measures:
        raise ValueError(f"{from_unit} is no {to_unit}")
    return one / another


def convert_limits(limits: Mapping[str, float], from_unit: str, to_unit: str) -> dict[str, float]:
    """The same limits for a point in another unit, to nine digits. Raise ValueError."""
    times = factor(from_unit, to_unit)
    return {
        name: float(f"{limit * times:.9g}") if name in VALUE_LIMITS and times != 1.0 else limit
        for name, limit in limits.items()
    }
