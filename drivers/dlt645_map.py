"""What a DL/T 645 meter is: a profile compiled into questions, and answers turned into readings. Pure.

The TOML (docs/drivers/dlt645.md says it in full): `edition`, `[link]` defaults, `[[value]]` tables: identifier, where in its
answer the value stands, how many bytes and decimals. Scale belongs to the model, not to the identifier alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs.dlt645_items import NotBcd, bcd
from drivers.messages import LIMIT_KEYS, Observation, PointFault, PointSpec, Reading
from drivers.profile import Profile, ProfileFinding
from drivers.profile_examples import check_readings, compiled
from drivers.profile_toml import (
    ProfileFault,
    framing_of,
    integer,
    known,
    name_of,
    number,
    scale_of,
    table_of,
    tables_of,
)

EDITIONS: Final = (1997, 2007)
VALUES_MAX: Final = 200
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        "schema kind evidence source brand product caveat edition link value example counter_example gb26875_point".split()  # noqa: SIM905 - a list of words
    ),
    "link": frozenset(("baud", "framing", "period_ms")),
    "value": frozenset(
        "name zh en di offset bytes decimals signed bit binary scale unit kind limits period_ms".split()  # noqa: SIM905 - as above
    ),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One identifier, as printed ("02010100"), asked every `period_s`. `size`: bytes its answer must have behind it."""

    di: str
    period_s: float
    size: int


@dataclass(frozen=True, slots=True)
class Value:
    """One number or flag of a meter: `size` bytes at `offset` behind the identifier `question` asks for."""

    name: str
    question: int
    offset: int
    size: int
    decimals: int
    signed: bool
    bit: int | None
    binary: bool
    scale: float
    spec: PointSpec

    def read(self, payload: bytes) -> float | bool | str:
        """The value, or the ASCII reason why there is none: absent, invalid."""
        data = payload[self.offset : self.offset + self.size]
        if len(data) < self.size:
            return "invalid"  # "short" is a wire to a sensor
        if (self.bit is not None or self.binary) and all(byte == 0xFF for byte in data):
            return "absent"  # as with numbers: bits that nobody set are no alarm
        if self.bit is not None:
            return bool(int.from_bytes(data, "little") >> self.bit & 1)
        if self.binary:
            return int.from_bytes(data, "little") * self.scale
        try:
            number = bcd(data, self.decimals, signed=self.signed)
        except NotBcd:
            return "invalid"
        return "absent" if number is None else number * self.scale


@dataclass(frozen=True, slots=True)
class MeterProfile:
    """A compiled profile."""

    name: str
    edition: int
    baud: int
    framing: str
    questions: tuple[Question, ...]
    values: tuple[Value, ...]
    _by_question: tuple[tuple[Value, ...], ...] = field(repr=False)

    def specs(self, device: str) -> list[PointSpec]:
        """The points this meter has before it speaks."""
        return [
            PointSpec(
                id=f"{device}/{value.name}",
                name_zh=value.spec.name_zh,
                name_en=value.spec.name_en,
                unit=value.spec.unit,
                kind=value.spec.kind,
                limits=value.spec.limits,
            )
            for value in self.values
        ]

    def of_question(self, question: int) -> tuple[Value, ...]:
        """The values one answer holds."""
        return self._by_question[question]


class MeterMemory:
    """Which of one meter's values are unknown, so that each loss is told once."""

    def __init__(self, profile: MeterProfile, device: str) -> None:
        self._profile, self._device = profile, device
        self._faulty: set[str] = set()

    def feed(self, question: int, payload: bytes, at_ns: int) -> list[Observation]:
        """A good answer: readings, and faults of the values it does not hold."""
        seen: list[Observation] = []
        for value in self._profile.of_question(question):
            found = value.read(payload)
            if isinstance(found, str):
                seen += self._lost(f"{self._device}/{value.name}", found, at_ns)
            else:
                self._faulty.discard(value.name)
                seen.append(Reading(f"{self._device}/{value.name}", found, at_ns))
        return seen

    def unknown(self, reason: str, at_ns: int, question: int | None = None) -> list[Observation]:
        """The meter, or one identifier, is not answered: its values are unknown."""
        values = self._profile.values if question is None else self._profile.of_question(question)
        return [lost for value in values for lost in self._lost(f"{self._device}/{value.name}", reason, at_ns)]

    def _lost(self, point: str, reason: str, at_ns: int) -> list[Observation]:
        name = point.removeprefix(f"{self._device}/")
        if name in self._faulty:
            return []
        self._faulty.add(name)
        return [PointFault(point, reason, at_ns)]


def compile_profile(data: Mapping[str, object], *, name: str = "") -> MeterProfile:
    """Check and compile the TOML of a profile. Raise ProfileFault saying what is wrong where."""
    known(data, _KEYS[""], "profile")
    edition = data.get("edition", 2007)
    if edition not in EDITIONS:
        raise ProfileFault("unknown_edition", "edition", edition)
    link = table_of(data, "link")
    known(link, _KEYS["link"], "link")
    period_ms = integer(link, "period_ms", "link", 10_000, 200, 86_400_000)
    tables = tables_of(data, "value")
    if not 0 < len(tables) <= VALUES_MAX:
        raise ProfileFault("nothing_to_read", "value")
    questions: dict[tuple[str, int], int] = {}
    sizes: list[int] = []
    values = []
    for place, table in enumerate(tables, 1):
        where = f"value {table.get('name', place)}"
        di = str(table.get("di", "")).upper()
        if len(di) != (8 if edition == 2007 else 4) or any(c not in "0123456789ABCDEF" for c in di):
            raise ProfileFault("bad_di", where, di)
        key = di, integer(table, "period_ms", where, period_ms, 200, 86_400_000)
        at = questions.setdefault(key, len(questions))
        value = _value(table, where, at)
        if at == len(sizes):
            sizes.append(0)
        sizes[at] = max(sizes[at], value.offset + value.size)
        values.append(value)
    if len({value.name for value in values}) != len(values):
        raise ProfileFault("duplicate_value", "value")
    asked = tuple(Question(di, ms / 1000, sizes[at]) for (di, ms), at in questions.items())
    by_question = tuple(tuple(v for v in values if v.question == at) for at in range(len(asked)))
    framing = framing_of(link, "8E1")
    baud = integer(link, "baud", "link", 2400 if edition == 2007 else 1200, 50, 115_200)
    return MeterProfile(name, int(str(edition)), baud, framing, asked, tuple(values), by_question)


def _value(table: Mapping[str, object], where: str, question: int) -> Value:
    known(table, _KEYS["value"], where)
    name = name_of(table, where)
    scale = scale_of(table, where)
    limits = table_of(table, "limits")
    if unknown := set(limits) - LIMIT_KEYS:
        raise ProfileFault("unknown_limit", where, min(unknown))
    size = integer(table, "bytes", where, 0, 1, 32)
    bit = integer(table, "bit", where, 0, 0, size * 8 - 1) if "bit" in table else None
    spec = PointSpec(
        id=name,
        name_zh=str(table.get("zh", name)),
        name_en=str(table.get("en", name)),
        unit=str(table.get("unit", "")),
        kind=str(table.get("kind", "")),
        limits={key: float(number(value, f"{where}.limits.{key}")) for key, value in limits.items()},
    )
    return Value(
        name,
        question,
        integer(table, "offset", where, 0, 0, 190),
        size,
        integer(table, "decimals", where, 0, 0, 8),
        bool(table.get("signed", False)),
        bit,
        bool(table.get("binary", False)),
        scale,
        spec,
    )


def check(profile: Profile) -> Sequence[ProfileFinding]:
    """What is wrong with a profile of this kind, beyond its head: tables, then examples and counter-examples."""
    return check_readings(profile, compile_profile, readings)


def readings(profile: MeterProfile, data: bytes) -> dict[str, object]:
    """What the answers in a capture say: value name -> number, or the reason why there is none."""
    from drivers.codecs.dlt645 import Frame, LineReader, di_of, payload_of

    found: dict[str, object] = {}
    reader = LineReader()
    for frame in (*reader.feed(data), *reader.settle()):
        if isinstance(frame, Frame) and frame.from_meter and not frame.abnormal:
            for at, question in enumerate(profile.questions):
                if question.di == di_of(frame):
                    found |= {value.name: value.read(payload_of(frame)) for value in profile.of_question(at)}
    return found


def try_capture(profile: Profile, data: bytes) -> list[dict[str, object]]:
    """One object a frame, each answer with the values this profile reads out of it. Raise ProfileError (bad_table)."""
    from drivers.codecs.dlt645_items import decode_frames

    made = compiled(profile, compile_profile)
    return [shown | readings(made, bytes.fromhex(str(shown["raw"]))) for shown in decode_frames(data)]
