"""The information objects of every type (clause 8.3, fact sheet 5.1 and 5.2), with raw values as they stand on the wire.

`address` is the raw component address (`addresses.split_component`), `description` and `text` are raw GB 18030
(`texts.read_text`), `status` and `flags` are bit fields (`tables`). `time` is naive China time, or the raw tag where it is none.
`trailing` is a time that some senders put behind an object whose figure has none, or a second one.
"""

from dataclasses import dataclass

from drivers.codecs.gb26875.times import Time


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """Type 1: the state of a system of the facility."""

    system_type: int
    system_address: int
    status: int
    time: Time


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """Type 2: the state of a component. `description` has 31 bytes, or none in the dialects that leave it out."""

    system_type: int
    system_address: int
    component_type: int
    address: bytes
    status: int
    description: bytes
    time: Time


@dataclass(frozen=True, slots=True)
class AnalogueValue:
    """Type 3: a measured value; `raw` is signed, in the steps of its quantity (`tables.QUANTITIES`)."""

    system_type: int
    system_address: int
    component_type: int
    address: bytes
    quantity: int
    raw: int
    time: Time


@dataclass(frozen=True, slots=True)
class FacilityOperation:
    """Type 4: what was done at the facility, and by which operator. Flags come first on the wire."""

    system_type: int
    system_address: int
    flags: int
    operator: int
    time: Time


@dataclass(frozen=True, slots=True)
class FacilityVersion:
    """Type 5: software version of a system of the facility."""

    system_type: int
    system_address: int
    major: int
    minor: int
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class SystemConfiguration:
    """Type 6: the configuration of a system as text of at most 255 bytes."""

    system_type: int
    system_address: int
    text: bytes
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class ComponentConfiguration:
    """Type 7: that a component is there, and where."""

    system_type: int
    system_address: int
    component_type: int
    address: bytes
    description: bytes
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class FacilityTime:
    """Type 8: the clock of a system of the facility."""

    system_type: int
    system_address: int
    time: Time
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """Type 21: the state of the user information transmission device itself."""

    status: int
    time: Time
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class DeviceOperation:
    """Type 24: what was done at the device; bit 5 answers a duty inspection."""

    flags: int
    operator: int
    time: Time


@dataclass(frozen=True, slots=True)
class DeviceVersion:
    """Type 25: software version of the device."""

    major: int
    minor: int
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class DeviceConfiguration:
    """Type 26: the configuration of the device as text of at most 255 bytes."""

    text: bytes
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class DeviceTime:
    """Type 28: the clock of the device."""

    time: Time
    trailing: Time | None = None


@dataclass(frozen=True, slots=True)
class SystemQuery:
    """Types 61, 65, 66 and 68: which system the centre asks about."""

    system_type: int
    system_address: int


@dataclass(frozen=True, slots=True)
class ComponentQuery:
    """Types 62, 63 and 67: which component the centre asks about; the component type is not part of it."""

    system_type: int
    system_address: int
    address: bytes


@dataclass(frozen=True, slots=True)
class FacilityRecordQuery:
    """Type 64: `count` operation records of the facility, from `start` on."""

    system_type: int
    system_address: int
    count: int
    start: Time


@dataclass(frozen=True, slots=True)
class DeviceRecordQuery:
    """Type 84: `count` operation records of the device, from `start` on. More than 127 never come in one answer."""

    count: int
    start: Time


@dataclass(frozen=True, slots=True)
class DeviceQuery:
    """Types 81, 85, 86, 88 and 89: nothing but a reserved byte."""

    reserved: int = 0


@dataclass(frozen=True, slots=True)
class ClockSetting:
    """Type 90: the time the device's clock shall have."""

    time: Time


@dataclass(frozen=True, slots=True)
class DutyInspection:
    """Type 91: answer within so many minutes."""

    minutes: int


@dataclass(frozen=True, slots=True)
class Opaque:
    """What is behind the type byte of a unit whose objects cannot be told apart: a user type, or bytes that do not add up.

    `count` None: the unit ends with its type byte.
    """

    count: int | None
    body: bytes


InformationObject = (
    SystemStatus
    | ComponentStatus
    | AnalogueValue
    | FacilityOperation
    | FacilityVersion
    | SystemConfiguration
    | ComponentConfiguration
    | FacilityTime
    | DeviceStatus
    | DeviceOperation
    | DeviceVersion
    | DeviceConfiguration
    | DeviceTime
    | SystemQuery
    | ComponentQuery
    | FacilityRecordQuery
    | DeviceRecordQuery
    | DeviceQuery
    | ClockSetting
    | DutyInspection
    | Opaque
)
