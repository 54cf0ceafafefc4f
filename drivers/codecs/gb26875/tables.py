"""The code tables of GB/T 26875.3-2011 (clause 8.3), as ASCII names. Words for people are in edge_agent/texts/gb26875.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final


class Command(IntEnum):
    """Command bytes (table 2). 0 and 7-127 are reserved, 128-255 belong to users."""

    CONTROL = 1
    SEND = 2
    CONFIRM = 3
    REQUEST = 4
    RESPONSE = 5
    DENY = 6


COMMAND_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {1: "control", 2: "send_data", 3: "confirm", 4: "request", 5: "response", 6: "deny"}
)
COMMANDS: Final = frozenset({*Command, *range(128, 256)})  # any other is a check error

# What a query of the centre is answered with: request type -> type of the answer (5.2 of the fact sheet, tables 3 and 8).
ANSWERS: Final[Mapping[int, int]] = MappingProxyType(
    {61: 1, 62: 2, 63: 3, 64: 4, 65: 5, 66: 6, 67: 7, 68: 8, 81: 21, 84: 24, 85: 25, 86: 26, 88: 28}
)
CONTROLS: Final = frozenset({89, 90, 91})  # confirmed, not answered

TYPE_NAMES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "system_status",
        2: "component_status",
        3: "analogue_value",
        4: "facility_operation",
        5: "facility_version",
        6: "system_configuration",
        7: "component_configuration",
        8: "facility_time",
        21: "device_status",
        24: "device_operation",
        25: "device_version",
        26: "device_configuration",
        28: "device_time",
        61: "read_system_status",
        62: "read_component_status",
        63: "read_analogue_value",
        64: "read_facility_operation",
        65: "read_facility_version",
        66: "read_system_configuration",
        67: "read_component_configuration",
        68: "read_facility_time",
        81: "read_device_status",
        84: "read_device_operation",
        85: "read_device_version",
        86: "read_device_configuration",
        88: "read_device_time",
        89: "initialise",
        90: "set_clock",
        91: "duty_inspection",
    }
)

SYSTEM_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "general",
        1: "fire_alarm",
        10: "linkage_controller",
        11: "hydrant",
        12: "sprinkler",
        13: "gas_extinguishing",
        14: "water_spray_pump",
        15: "water_spray_vessel",
        16: "foam",
        17: "dry_powder",
        18: "smoke_control",
        19: "fire_door_shutter",
        20: "fire_lift",
        21: "broadcast",
        22: "emergency_lighting",
        23: "power_supply",
        24: "telephone",
    }
)

COMPONENT_TYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "general",
        1: "fire_panel",
        10: "combustible_gas_detector",
        11: "point_gas_detector",
        12: "standalone_gas_detector",
        13: "line_gas_detector",
        16: "electrical_monitor",
        17: "residual_current_detector",
        18: "electrical_temperature_detector",
        21: "loop",
        22: "display_panel",
        23: "call_point",
        24: "hydrant_button",
        25: "fire_detector",
        30: "heat_detector",
        31: "point_heat",
        32: "point_heat_s",
        33: "point_heat_r",
        34: "line_heat",
        35: "line_heat_s",
        36: "line_heat_r",
        37: "fibre_heat",
        40: "smoke_detector",
        41: "ion_smoke",
        42: "optical_smoke",
        43: "beam_smoke",
        44: "aspirating_smoke",
        50: "combined_detector",
        51: "smoke_heat",
        52: "light_heat",
        53: "light_smoke",
        61: "uv_flame",
        62: "ir_flame",
        69: "flame_detector",
        74: "gas_detector",
        78: "video_detector",
        79: "acoustic_detector",
        81: "gas_extinguishing_controller",
        82: "electrical_control",
        83: "graphic_display",
        84: "module",
        85: "input_module",
        86: "output_module",
        87: "io_module",
        88: "relay_module",
        91: "fire_pump",
        92: "water_tank",
        95: "sprinkler_pump",
        96: "flow_indicator",
        97: "signal_valve",
        98: "alarm_valve",
        99: "pressure_switch",
        101: "valve_drive",
        102: "fire_door",
        103: "fire_damper",
        104: "ventilation",
        105: "foam_pump",
        106: "solenoid_valve",
        111: "smoke_fan",
        113: "smoke_damper",
        114: "supply_vent",
        115: "exhaust_vent",
        116: "smoke_curtain",
        117: "shutter_controller",
        118: "door_monitor",
        121: "warning_device",
    }
)

# Names of bits, lowest first; bits beyond the end are reserved. Bit 0 at 0 would mean "test", but the field does not keep to
# it: neither test nor "not alarming" may be read from it.
SYSTEM_BITS: Final = (
    "normal_operation",
    "fire_alarm",
    "fault",
    "shielded",
    "supervisory",
    "started",
    "feedback",
    "delayed",
    "main_power_fault",
    "backup_power_fault",
    "bus_fault",
    "manual",
    "configuration_changed",
    "reset",
)
COMPONENT_BITS: Final = (*SYSTEM_BITS[:8], "power_fault")
DEVICE_BITS: Final = (
    "normal_monitoring",
    "fire_alarm",
    "fault",
    "main_power_fault",
    "backup_power_fault",
    "channel_fault",
    "line_fault",
)
FACILITY_FLAGS: Final = ("reset", "mute", "manual_alarm", "alarm_cleared", "self_test", "confirm", "test")
DEVICE_FLAGS: Final = (*FACILITY_FLAGS[:5], "inspection_reply", FACILITY_FLAGS[6])


def bits_of(value: int, names: tuple[str, ...]) -> tuple[list[str], list[int]]:
    """The names of the bits that are set, and the numbers of those that have none."""
    found = [name for bit, name in enumerate(names) if value >> bit & 1]
    return found, [bit for bit in range(len(names), 16) if value >> bit & 1]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One analogue type: name, unit, and the raw values that are valid (table 6). One raw step is `times / divide` units."""

    name: str
    unit: str
    divide: int
    raw_min: int
    raw_max: int
    times: int = 1

    def value_of(self, raw: int) -> float | None:
        """The value in `unit`, None where the raw value is outside the valid range."""
        return raw * self.times / self.divide if self.raw_min <= raw <= self.raw_max else None

    def raw_of(self, value: float) -> int:
        """The raw value of a value in `unit`. Raise ValueError out of range: a clamped alarm value would be a lie."""
        try:
            raw = round(value * self.divide / self.times)
        except (OverflowError, ValueError):
            raise ValueError(f"{value} {self.unit} is no {self.name}") from None
        if not self.raw_min <= raw <= self.raw_max:
            low, high = (bound * self.times / self.divide for bound in (self.raw_min, self.raw_max))
            raise ValueError(f"{value} {self.unit} is outside {low:g} to {high:g}")
        return raw


QUANTITIES: Final[Mapping[int, Quantity]] = MappingProxyType(
    {
        1: Quantity("event_count", "items", 1, 0, 32000),
        2: Quantity("height", "m", 100, 0, 32000),
        3: Quantity("temperature", "degC", 10, -2730, 32000),
        4: Quantity("pressure_mpa", "MPa", 10, 0, 32000),
        5: Quantity("pressure_kpa", "kPa", 10, 0, 32000),
        6: Quantity("gas_concentration", "%LEL", 10, 0, 1000),
        7: Quantity("time", "s", 1, 0, 32000),
        8: Quantity("voltage", "V", 10, 0, 32000),
        9: Quantity("current", "A", 10, 0, 32000),
        10: Quantity("flow", "L/s", 10, 0, 32000),
        11: Quantity("air_volume", "m3/min", 10, 0, 32000),
        12: Quantity("air_speed", "m/s", 1, 0, 20),
    }
)
