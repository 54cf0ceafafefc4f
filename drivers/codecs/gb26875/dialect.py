"""What differs from centre to centre (and from panel to panel), as data. Where two centres disagree, a field here, never a fork."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from drivers.codecs.gb26875.addresses import COMPONENT_STYLES, DEVICE_STYLES, ComponentStyle, DeviceStyle
from drivers.codecs.gb26875.tables import QUANTITIES, Quantity
from drivers.codecs.gb26875.times import Time

ADU_BYTES_MAX: Final = 1024  # clause 8.2.4
KEEPALIVES: Final = ("none", "empty-send-data", "device-status", "one-byte", "command-7")

Keepalive = Literal["none", "empty-send-data", "device-status", "one-byte", "command-7"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One way to speak GB/T 26875.3-2011. Raise ValueError for values that are none.

    `adu_max` bounds what we send (512 suits every implementation seen); received frames may have 1024. `recovery`: a cleared
    condition is the bit at 0, or a user type of its own, those of `recovery_types` for system, component and device status.
    `residual_current_type` is the analogue type agreed for mA, in steps of `residual_current_step_ma`; None: there is none.
    `trailing_time`: the peer wants a time after objects of types 5, 6, 7, 25, 26 and doubled in 8, 21, 28.
    `description` False: component status without its 31 bytes (15-byte objects). `extra_commands`: reserved ones it uses.
    """

    version: int = 1
    user_version: int = 1
    time: Literal["binary", "bcd"] = "binary"
    component_address: ComponentStyle = "loop-point"
    device_address: DeviceStyle = "integer"
    adu_max: int = 512
    recovery: Literal["bit", "user-type"] = "bit"
    recovery_types: tuple[int, int, int] = (134, 135, 136)
    residual_current_type: int | None = None
    residual_current_step_ma: int = 1
    trailing_time: bool = False
    description: bool = True
    keepalive: Keepalive = "device-status"
    keepalive_s: float = 30.0
    extra_commands: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for name in ("version", "user_version"):
            if not 0 <= getattr(self, name) <= 255:
                raise ValueError(f"{name} is one byte, not {getattr(self, name)}")
        allowed: Mapping[str, tuple[str, ...]] = {
            "time": ("binary", "bcd"),
            "component_address": COMPONENT_STYLES,
            "device_address": DEVICE_STYLES,
            "recovery": ("bit", "user-type"),
            "keepalive": KEEPALIVES,
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} is one of {', '.join(values)}, not {getattr(self, name)}")
        if not 64 <= self.adu_max <= ADU_BYTES_MAX:  # one component status has 48
            raise ValueError(f"adu_max is 64 to {ADU_BYTES_MAX} bytes, not {self.adu_max}")
        kinds = self.recovery_types
        if len(set(kinds)) != 3 or not all(128 <= kind <= 254 for kind in kinds):
            raise ValueError("recovery_types are three different user types from 128 to 254")
        if self.residual_current_type is not None and not 128 <= self.residual_current_type <= 255:
            raise ValueError("residual_current_type is a user type from 128 to 255")
        if self.residual_current_step_ma < 1 or self.keepalive_s <= 0:
            raise ValueError("residual_current_step_ma and keepalive_s are above 0")

    @property
    def bcd(self) -> bool:
        """Whether time tags are BCD."""
        return self.time == "bcd"

    def tail(self, at: Time) -> Time | None:
        """The `trailing` of an object of types 5, 6, 7, 8, 21, 25, 26 or 28 that is sent at `at`."""
        return at if self.trailing_time else None

    def quantity(self, kind: int) -> Quantity | None:
        """The analogue type `kind`, None where it is reserved or a user type nobody agreed on."""
        if kind == self.residual_current_type:
            return Quantity("residual_current", "mA", 1, 0, 32000, self.residual_current_step_ma)
        return QUANTITIES.get(kind)

    def recovery_of(self, kind: int) -> int | None:
        """The status type (1, 2, 21) whose recovery the user type `kind` is in this dialect, else None."""
        if self.recovery == "bit" or kind not in self.recovery_types:
            return None
        return (1, 2, 21)[self.recovery_types.index(kind)]


STANDARD: Final = Dialect()

# Named as centres and makers are known. What is not written down about one stays as the standard has it.
DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        "standard": STANDARD,
        "jk-gh2013g": Dialect(recovery="user-type"),
        "fubei-2018": Dialect(recovery="user-type", component_address="point-loop", description=False),
        "fubei-2024": Dialect(recovery="user-type"),
        "dahua-1.03": Dialect(user_version=3, time="bcd", keepalive="command-7", extra_commands=frozenset({0, 7})),
        "nb-pressure": Dialect(version=2, user_version=255),
    }
)
