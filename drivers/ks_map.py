"""What a 京硅 (KS) breaker is: a profile compiled into names for its state points and measures, and frames turned into readings.

The TOML (docs/drivers/electrical-fire.md): `[link]` defaults, `[[value]]` tables with the number of a state `point` or of a
`measure`, its scale, unit, kind and limits. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from drivers.codecs import ks_breaker
from drivers.codecs.ks_breaker import Frame
from drivers.messages import LIMIT_KEYS, Observation, PanelEvent, PointFault, PointSpec, Reading
from drivers.profile import Profile, ProfileFinding
from drivers.profile_examples import check_readings, compiled
from drivers.profile_toml import (
    ProfileFault,
    combinations,
    filled,
    framing_of,
    integer,
    known,
    name_of,
    number,
    scale_of,
    table_of,
    tables_of,
)

STATE, MEASURE = 0, 1  # the two questions there are
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        (
            *("schema", "kind", "evidence", "source", "brand", "product", "caveat", "link", "value"),
            *("example", "counter_example", "gb26875_point"),
        )
    ),
    "link": frozenset(("baud", "framing", "state_ms", "measure_ms")),
    "value": frozenset(("name", "zh", "en", "point", "measure", "scale", "unit", "kind", "limits")),
}


@dataclass(frozen=True, slots=True)
class Value:
    """One state point (`question` STATE) or measure, by its number."""

    question: int
    number: int
    scale: float
    spec: PointSpec

    def of(self, raw: int) -> float | bool:
        """The reading a raw number is."""
        return bool(raw) if self.question == STATE else raw * self.scale


@dataclass(frozen=True, slots=True)
class BreakerProfile:
    """A compiled profile. `period_s` of the two questions."""

    name: str
    baud: int
    framing: str
    period_s: tuple[float, float]
    values: tuple[Value, ...]

    def specs(self, device: str) -> list[PointSpec]:
        """The points this breaker has before it speaks."""
        return [replace(value.spec, id=f"{device}/{value.spec.id}") for value in self.values]


class BreakerMemory:
    """Which of one breaker's values are unknown, so that each loss is told once."""

    def __init__(self, profile: BreakerProfile, device: str) -> None:
        self._profile, self._device = profile, device
        self._faulty: set[str] = set()

    def feed(self, frame: Frame, at_ns: int) -> list[Observation]:
        """An answer, or a fault: readings of what it holds. A trip no value names is told all the same."""
        held = ks_breaker.points_of(frame), ks_breaker.measures_of(frame)
        seen: list[Observation] = []
        for value in self._profile.values:
            raw = held[value.question].get(value.number)
            if raw is not None:
                self._faulty.discard(value.spec.id)
                seen.append(Reading(f"{self._device}/{value.spec.id}", value.of(raw), at_ns))
            elif _answers(frame, value.question):
                seen += self._lost(value, "short", at_ns)
        if frame.function == ks_breaker.FAULT:
            named = {value.number for value in self._profile.values if value.question == STATE}
            for point, raw in held[STATE].items():
                if point not in named:
                    fields = {"trip": ks_breaker.trip_of(point), "value": raw}
                    event = ks_breaker.event_of(point, raw)
                    seen.append(PanelEvent(f"{self._device}/point-{point}", event, at_ns, fields, frame.raw))
        return seen

    def unknown(self, reason: str, at_ns: int, question: int | None = None) -> list[Observation]:
        """The breaker, or one question, is not answered: its values are unknown."""
        return [
            lost
            for value in self._profile.values
            if question in (None, value.question)
            for lost in self._lost(value, reason, at_ns)
        ]

    def _lost(self, value: Value, reason: str, at_ns: int) -> list[Observation]:
        if value.spec.id in self._faulty:
            return []
        self._faulty.add(value.spec.id)
        return [PointFault(f"{self._device}/{value.spec.id}", reason, at_ns)]


def _answers(frame: Frame, question: int) -> bool:
    return (ks_breaker.is_state, ks_breaker.is_measure)[question](frame)


# -- compiling ---------------------------------------------------------------------------------------------------------
def compile_profile(data: Mapping[str, object], *, name: str = "") -> BreakerProfile:
    """Check and compile the TOML of a profile. Raise ProfileFault saying what is wrong where."""
    known(data, _KEYS[""], "profile")
    link = table_of(data, "link")
    known(link, _KEYS["link"], "link")
    values = [
        _value(table, f"value {table.get('name', index)}") for index, table in enumerate(tables_of(data, "value"), 1)
    ]
    if not values:
        raise ProfileFault("nothing_to_read", "value")
    if len({value.spec.id for value in values}) != len(values):
        raise ProfileFault("duplicate_value", "value")
    return BreakerProfile(
        name=name,
        baud=integer(link, "baud", "link", 9600, 50, 4_000_000),
        framing=framing_of(link, "8N1"),
        period_s=(
            integer(link, "state_ms", "link", 2_000, 200, 86_400_000) / 1000,
            integer(link, "measure_ms", "link", 5_000, 200, 86_400_000) / 1000,
        ),
        values=tuple(values),
    )


def _value(table: Mapping[str, object], where: str) -> Value:
    list(combinations(table, _KEYS["value"], where))  # every value is a number of its own here: no ranges
    if ("point" in table) == ("measure" in table):
        raise ProfileFault("point_or_measure", where)
    limits = {key: float(number(value, f"{where}.limits.{key}")) for key, value in table_of(table, "limits").items()}
    if unknown := set(limits) - LIMIT_KEYS:
        raise ProfileFault("unknown_limit", where, min(unknown))
    name = name_of(table, where)
    key = "point" if "point" in table else "measure"
    return Value(
        question=STATE if key == "point" else MEASURE,
        number=integer(table, key, where, 0, 1, 120),
        scale=scale_of(table, where),
        spec=PointSpec(
            id=filled(name, {}, where),
            name_zh=filled(table.get("zh", name), {}, where),
            name_en=filled(table.get("en", name), {}, where),
            unit=str(table.get("unit", "")),
            kind=str(table.get("kind", "")),
            limits=limits,
        ),
    )


# -- held against captures ------------------------------------------------------------------------------------------------
def readings(profile: BreakerProfile, data: bytes) -> dict[str, object]:
    """What the frames in a capture say: value name -> number, or the reason why there is none."""
    found: dict[str, object] = {}
    memory = BreakerMemory(profile, "d")
    for frame in ks_breaker.LineReader().feed(data):
        for seen in memory.feed(frame, 0) if not frame.from_master else ():
            if isinstance(seen, Reading):
                value = seen.value
                found[seen.point[2:]] = value if isinstance(value, bool) else float(f"{value:.7g}")
            elif isinstance(seen, PointFault):
                found[seen.point[2:]] = seen.reason
            elif isinstance(seen, PanelEvent):
                found[seen.point[2:]] = seen.event
    return found


def try_capture(profile: Profile, data: bytes) -> list[dict[str, object]]:
    """One object a frame; each `says` what this profile reads out of it. Raise ProfileError (bad_table)."""
    made = compiled(profile, compile_profile)
    shown = []
    for one in ks_breaker.decode(data):
        said = readings(made, bytes.fromhex(str(one["raw"])))
        shown.append(one | ({"says": said} if said else {}))
    return shown


def check(profile: Profile) -> Sequence[ProfileFinding]:
    """What is wrong with a profile of this kind: tables, then examples and counter-examples."""
    return check_readings(profile, compile_profile, readings)
