"""Units and packets of GB/T 26875.3 for hypothesis: every type of the standard, in every dialect."""

import dataclasses
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from drivers.codecs.gb26875 import Dialect, Frame, read_time
from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.dialect import DIALECTS
from drivers.codecs.gb26875.layouts import LAYOUTS
from drivers.codecs.gb26875.tables import COMMANDS

KIND_OF = {
    1: kinds.SystemStatus,
    2: kinds.ComponentStatus,
    3: kinds.AnalogueValue,
    4: kinds.FacilityOperation,
    5: kinds.FacilityVersion,
    6: kinds.SystemConfiguration,
    7: kinds.ComponentConfiguration,
    8: kinds.FacilityTime,
    21: kinds.DeviceStatus,
    24: kinds.DeviceOperation,
    25: kinds.DeviceVersion,
    26: kinds.DeviceConfiguration,
    28: kinds.DeviceTime,
    **dict.fromkeys((61, 65, 66, 68), kinds.SystemQuery),
    **dict.fromkeys((62, 63, 67), kinds.ComponentQuery),
    64: kinds.FacilityRecordQuery,
    **dict.fromkeys((81, 85, 86, 88, 89), kinds.DeviceQuery),
    84: kinds.DeviceRecordQuery,
    90: kinds.ClockSetting,
    91: kinds.DutyInspection,
}
BYTE = st.integers(0, 255)

dialects = st.one_of(
    st.sampled_from(list(DIALECTS.values())),
    st.builds(
        Dialect,
        user_version=BYTE,
        time=st.sampled_from(["binary", "bcd"]),
        component_address=st.sampled_from(["u32", "loop-point", "point-loop", "raw"]),
        adu_max=st.integers(128, 1024),
        recovery=st.sampled_from(["bit", "user-type"]),
        residual_current_type=st.none() | st.integers(128, 255),
        residual_current_step_ma=st.integers(1, 10),
        trailing_time=st.booleans(),
        description=st.booleans(),
    ),
)


def times(dialect: Dialect) -> st.SearchStrategy[Any]:
    """Times and tags that are none."""
    good = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 12, 31)).map(
        lambda at: at.replace(microsecond=0)
    )
    return good | st.binary(min_size=6, max_size=6).map(lambda raw: read_time(raw, bcd=dialect.bcd))


def objects_of(kind: type, dialect: Dialect, *, trailing: bool) -> st.SearchStrategy[Any]:
    """Objects of a class, values in range."""
    size = 31 if kind is not kinds.ComponentStatus or dialect.description else 0
    parts: dict[str, st.SearchStrategy[Any]] = {
        "address": st.binary(min_size=4, max_size=4),
        "status": st.integers(0, 255 if kind is kinds.DeviceStatus else 0xFFFF),
        "description": st.binary(min_size=size, max_size=size),
        "text": st.binary(max_size=100),
        "raw": st.integers(-32768, 32767),
        "trailing": times(dialect) if trailing else st.none(),
        "time": times(dialect),
        "start": times(dialect),
    }
    built = st.builds(kind, **{field.name: parts.get(field.name, BYTE) for field in dataclasses.fields(kind)})
    return built.filter(lambda item: _in_range(item, dialect)) if kind is kinds.AnalogueValue else built


def _in_range(item: kinds.AnalogueValue, dialect: Dialect) -> bool:
    quantity = dialect.quantity(item.quantity)
    return quantity is None or quantity.value_of(item.raw) is not None


@st.composite
def units(draw: st.DrawFn) -> tuple[Dialect, int, list[Any]]:
    """(dialect, type, objects) that may be sent."""
    dialect = draw(dialects)
    number = draw(st.sampled_from(sorted(KIND_OF)))
    kind = KIND_OF[number]
    if dialect.recovery == "user-type" and number in (1, 2, 21) and draw(st.booleans()):
        number = dialect.recovery_types[(1, 2, 21).index(number)]
    layout = LAYOUTS[dialect.recovery_of(number) or number][0]
    trailing = layout.tail and draw(st.booleans())
    room = (dialect.adu_max - 2) // (layout.size + 101 * layout.counted + 6 * trailing)
    count_max = max(1, min(layout.count_max, room, 4))
    items = draw(st.lists(objects_of(kind, dialect, trailing=trailing), min_size=1, max_size=count_max))
    return dialect, number, items


frames = st.builds(
    Frame,
    serial=st.integers(0, 0xFFFF),
    version=BYTE,
    user_version=BYTE,
    sent=st.binary(min_size=6, max_size=6),
    source=st.binary(min_size=6, max_size=6),
    target=st.binary(min_size=6, max_size=6),
    command=st.sampled_from(sorted(COMMANDS)),
    adu=st.one_of(st.binary(max_size=80), st.just(b""), st.binary(min_size=1000, max_size=1024)),
)
