"""What registers mean: a profile compiled into questions, and answers turned into observations. Pure.

The TOML of a profile (docs/drivers/modbus.md says it in full): `[link]` defaults, `[[block]]` ranges to read, `[[value]]`
numbers and switches of a device, `[[point]]` tables of a fire panel's devices, `[meaning]` how the panel speaks.
"""

import ast
import itertools
import math
import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.codecs.modbus import BITS_MAX, REGISTERS_MAX
from drivers.messages import Observation, PointFault, PointSpec, Reading
from drivers.modbus_panel import MeaningFault, PanelMemory, PanelPoint, Spoken
from drivers.schedule import Rank

LIMIT_KEYS: Final = frozenset(
    ("prealarm_high", "alarm_high", "alarm_low", "hysteresis", "on_delay_s", "off_delay_s", "n", "m")
)
_WIDTH: Final = {"bool": 1, "u16": 1, "s16": 1, "u32": 2, "s32": 2, "f32": 2, "u64": 4, "s64": 4}
_FORMAT: Final = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "f32": "f", "u64": "Q", "s64": "q"}
_ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
POINTS_MAX: Final = 10_000
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        (
            *(
                "schema",
                "kind",
                "evidence",
                "source",
                "brand",
                "brand_zh",
                "brand_en",
                "product",
                "product_zh",
                "product_en",
            ),
            *("caveat", "link", "meaning", "block", "value", "point", "writes", "example", "counter_example"),
            "gb26875_point",
        )
    ),
    "link": frozenset(("transport", "baud", "framing", "priority", "period_ms", "max_regs", "merge_gap")),
    "meaning": frozenset(("mode", "confirm")),
    "block": frozenset(("name", "fc", "start", "count", "period_ms")),
    "value": frozenset(
        (
            *("name", "zh", "en", "fc", "address", "type", "word_order", "scale", "unit", "kind", "limits", "missing"),
            *("faults", "period_ms", "from"),
        )
    ),
    "point": frozenset(("from", "id", "address", "mask", "shift", "enum", "flags", "class", "counts_for_reset")),
}


class ProfileFault(ValueError):
    """A profile that means nothing. `code` is ASCII, `where` the table, `value` what stands there."""

    def __init__(self, code: str, where: str, value: object = "") -> None:
        super().__init__(f"{code}: {where}: {value}")
        self.code, self.where, self.value = code, where, value


@dataclass(frozen=True, slots=True)
class Question:
    """One read: `count` registers (function 3, 4) or bits (1, 2) from `start`, every `period_s`."""

    function: int
    start: int
    count: int
    period_s: float
    block: str


@dataclass(frozen=True, slots=True)
class Value:
    """A number or switch of a device: where it lies in which answer, and what it means."""

    name: str
    question: int
    offset: int
    type: str
    decode: Callable[[Sequence[int], int], float | bool]
    scale: float
    missing: frozenset[float]
    faults: Mapping[int, str]  # raw values by which the device says that its sensor is broken
    spec: PointSpec


@dataclass(frozen=True, slots=True)
class ModbusProfile:
    """A compiled profile."""

    name: str
    questions: tuple[Question, ...]
    values: tuple[Value, ...]
    points: tuple[tuple[PanelPoint, ...], ...]  # by question
    spoken: Spoken | None
    rank: Rank
    confirm: bool  # read twice before an alarm-changing word is acted upon
    step: int  # registers are asked for in multiples of this
    baud: int
    framing: str
    _by_question: tuple[tuple[Value, ...], ...] = field(repr=False)

    def specs(self, device: str) -> list[PointSpec]:
        """The points this device has before it speaks."""
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

    def memory(self, device: str) -> "DeviceMemory":
        """A fresh device of this kind: nothing read yet."""
        return DeviceMemory(self, device)


class DeviceMemory:
    """The last good answers of one device, and what they said. Feeds on answers, gives observations."""

    def __init__(self, profile: ModbusProfile, device: str) -> None:
        self._profile = profile
        self._ids = [[f"{device}/{value.name}" for value in values] for values in profile._by_question]
        self._faulty: set[str] = set()
        self._good: list[tuple[int, ...] | None] = [None] * len(profile.questions)
        self._panel = PanelMemory(profile.points, profile.spoken, device) if profile.spoken is not None else None

    def suspects(self, question: int, words: Sequence[int]) -> frozenset[int]:
        """Offsets whose words would change an alarm if they were true, and so are read twice where the profile asks."""
        if not self._profile.confirm:
            return frozenset()
        good = self._good[question]
        offsets = {point.offset for point in self._profile.points[question]}
        offsets |= {value.offset for value in self._profile._by_question[question] if value.spec.kind}
        if good is None:
            return frozenset(offset for offset in offsets if words[offset])
        return frozenset(offset for offset in offsets if words[offset] != good[offset])

    def feed(self, question: int, words: tuple[int, ...], at_ns: int) -> list[Observation]:
        """A good answer to `question`: readings of its values, events of its points."""
        seen: list[Observation] = []
        for value, point in zip(self._profile._by_question[question], self._ids[question], strict=True):
            raw = value.decode(words, value.offset)
            reason = ""
            if value.faults and words[value.offset] in value.faults:
                reason = value.faults[words[value.offset]]
            elif raw in value.missing or raw != raw:  # noqa: PLR0124 - NaN is how floats say "no such thing here"
                reason = "absent"
            elif math.isinf(raw):
                reason = "overrange"
            if not reason:
                self._faulty.discard(point)
                seen.append(Reading(point, raw if value.type == "bool" else raw * value.scale, at_ns))
            elif point not in self._faulty:
                self._faulty.add(point)
                seen.append(PointFault(point, reason, at_ns))
        if self._panel is not None:
            seen += self._panel.feed(question, words, at_ns)
        self._good[question] = words
        return seen

    def good(self, question: int) -> tuple[int, ...] | None:
        """The last good answer."""
        return self._good[question]

    def unknown(self, reason: str, at_ns: int, question: int | None = None) -> list[Observation]:
        """The device, or one of its questions, is not answered any more: its values are unknown, told once."""
        seen: list[Observation] = []
        for points in self._ids if question is None else [self._ids[question]]:
            for point in points:
                if point not in self._faulty:
                    self._faulty.add(point)
                    seen.append(PointFault(point, reason, at_ns))
        return seen


# -- compiling ---------------------------------------------------------------------------------------------------------


def compile_profile(data: Mapping[str, object], *, name: str = "") -> ModbusProfile:
    """Check and compile the TOML of a profile. Raise ProfileFault saying what is wrong where."""
    _known(data, "", "profile")
    if _table(data, "writes").get("allow", False):
        raise ProfileFault("writes_not_supported", "writes.allow", True)
    link = _table(data, "link")
    _known(link, "link", "link")
    _known(_table(data, "meaning"), "meaning", "meaning")
    max_regs = _integer(link, "max_regs", "link", 100, 1, REGISTERS_MAX)
    merge_gap = _integer(link, "merge_gap", "link", 0, 0, REGISTERS_MAX)
    rank = {"fire": Rank.FIRE, "meter": Rank.METER}.get(str(link.get("priority", "meter")))
    if rank is None:
        raise ProfileFault("unknown_priority", "link.priority", link.get("priority"))
    period_ms = _integer(link, "period_ms", "link", 200 if rank is Rank.FIRE else 10_000, 20, 86_400_000)
    values_in, points_in = _tables(data, "value"), _tables(data, "point")
    step = max((_WIDTH.get(str(value.get("type", "u16")), 1) for value in values_in), default=1)
    step = step if step <= max_regs else 1

    blocks = [_block(table, index, period_ms) for index, table in enumerate(_tables(data, "block"))]
    blocks += _merged(values_in, {block.block for block in blocks}, max_regs, merge_gap, period_ms)
    if len({block.block for block in blocks}) != len(blocks):
        raise ProfileFault("duplicate_block", "block")
    questions = [part for block in blocks for part in _split(block, max_regs, step)]
    if not questions:
        raise ProfileFault("nothing_to_read", "block")

    try:
        spoken = Spoken.compile(_table(data, "meaning")) if points_in else None
    except MeaningFault as fault:
        raise ProfileFault(fault.code, "meaning", fault.value) from fault
    values = tuple(_value(table, index, questions) for index, table in enumerate(values_in))
    if len({value.name for value in values}) != len(values):
        raise ProfileFault("duplicate_value", "value")
    by_question: list[list[PanelPoint]] = [[] for _ in questions]
    for index, table in enumerate(points_in):
        for at, point in _points(table, index, blocks, questions):
            by_question[at].append(point)
    return ModbusProfile(
        name=name,
        questions=tuple(questions),
        values=values,
        points=tuple(tuple(points) for points in by_question),
        spoken=spoken,
        rank=rank,
        confirm=bool(_table(data, "meaning").get("confirm", False)),
        step=step,
        baud=_integer(link, "baud", "link", 9600, 50, 4_000_000),
        framing=str(link.get("framing", "8N1")),
        _by_question=tuple(
            tuple(value for value in values if value.question == index) for index in range(len(questions))
        ),
    )


def _block(table: Mapping[str, object], index: int, period_ms: int) -> Question:
    where = f"block {table.get('name', index + 1)}"
    _known(table, "block", where)
    function = _integer(table, "fc", where, 3, 1, 4)
    start = _integer(table, "start", where, 0, 0, 0xFFFF)
    count = _integer(table, "count", where, 0, 1, 0x10000 - start)
    period_s = _integer(table, "period_ms", where, period_ms, 20, 86_400_000) / 1000
    return Question(function, start, count, period_s, str(table.get("name", f"block{index + 1}")))


def _merged(
    values: Sequence[Mapping[str, object]], named: set[str], max_regs: int, merge_gap: int, period_ms: int
) -> list[Question]:
    """Ranges for the values no [[block]] reads: neighbours in one question, holes of up to `merge_gap` read along."""
    wanted = []
    for index, table in enumerate(values):
        if table.get("from") in named:
            continue
        where = f"value {table.get('name', index + 1)}"
        if "from" in table:
            raise ProfileFault("unknown_block", where, table["from"])
        width = _width(table, where)
        address = _integer(table, "address", where, -1, 0, 0x10000 - width)
        period_s = _integer(table, "period_ms", where, period_ms, 20, 86_400_000) / 1000
        wanted.append((_integer(table, "fc", where, 3, 1, 4), period_s, address, address + width))
    ranges: list[Question] = []
    for function, period_s, start, end in sorted(set(wanted)):
        last = ranges[-1] if ranges else None
        if (
            last is not None
            and (last.function, last.period_s) == (function, period_s)
            and start <= last.start + last.count + merge_gap
            and end - last.start <= max_regs
        ):
            count = max(end - last.start, last.count)
            ranges[-1] = Question(function, last.start, count, period_s, last.block)
        else:
            ranges.append(Question(function, start, end - start, period_s, f"@{function}:{start}:{period_s:g}"))
    return ranges


def _split(block: Question, max_regs: int, step: int) -> list[Question]:
    """A range in questions the device takes; cut where a value of `step` registers is not torn."""
    most = max_regs if block.function in (3, 4) else min(BITS_MAX, max_regs * 16)
    most = max(most // step * step, 1)
    return [
        Question(block.function, start, min(most, block.start + block.count - start), block.period_s, block.block)
        for start in range(block.start, block.start + block.count, most)
    ]


def _value(table: Mapping[str, object], index: int, questions: Sequence[Question]) -> Value:
    name = table.get("name")
    if not isinstance(name, str) or not name.isascii() or not name:
        raise ProfileFault("bad_name", f"value {index + 1}", name)
    where = f"value {name}"
    _known(table, "value", where)
    width = _width(table, where)
    kind = str(table.get("type", "u16"))
    order = str(table.get("word_order", "ABCD"))
    if order not in _ORDERS:
        raise ProfileFault("unknown_word_order", where, order)
    function = _integer(table, "fc", where, 3, 1, 4)
    address = _integer(table, "address", where, -1, 0, 0xFFFF)
    place = _place(questions, address, width, block=str(table.get("from", "")), function=function)
    if place is None:
        raise ProfileFault("not_in_block", where, address)
    scale = table.get("scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float):
        raise ProfileFault("bad_number", f"{where}.scale", scale)
    missing = table.get("missing", [])
    faults = _table(table, "faults")
    if not isinstance(missing, list) or not all(isinstance(one, int | float) for one in missing):
        raise ProfileFault("bad_number", f"{where}.missing", missing)
    limits = {key: float(_number(value, f"{where}.limits.{key}")) for key, value in _table(table, "limits").items()}
    if unknown := set(limits) - LIMIT_KEYS:
        raise ProfileFault("unknown_limit", where, min(unknown))
    try:
        fault_words = {int(word, 0): str(reason) for word, reason in faults.items()}
    except ValueError:
        raise ProfileFault("bad_number", f"{where}.faults", min(faults)) from None
    spec = PointSpec(
        id=name,
        name_zh=str(table.get("zh", name)),
        name_en=str(table.get("en", name)),
        unit=str(table.get("unit", "")),
        kind=str(table.get("kind", "")),
        limits=limits,
    )
    return Value(name, *place, kind, _decoder(kind, order), float(scale), frozenset(missing), fault_words, spec)


def _place(
    questions: Sequence[Question], address: int, width: int, *, block: str, function: int
) -> tuple[int, int] | None:
    """(question, offset) of an address; a value torn between two questions has no place."""
    for index, question in enumerate(questions):
        named = question.block == block if block else question.function == function
        if named and question.start <= address and address + width <= question.start + question.count:
            return index, address - question.start
    return None


def _decoder(kind: str, order: str) -> Callable[[Sequence[int], int], float | bool]:
    if kind == "bool":
        return lambda words, at: bool(words[at])
    swap_bytes = order in ("BADC", "DCBA")
    if kind == "u16" and not swap_bytes:
        return lambda words, at: words[at]
    width = _WIDTH[kind]
    backwards = order in ("CDAB", "DCBA")
    into = struct.Struct(f"<{width}H" if swap_bytes else f">{width}H")
    out = struct.Struct(">" + _FORMAT[kind])

    def decode(words: Sequence[int], at: int) -> float:
        taken = words[at : at + width]
        number = out.unpack(into.pack(*(taken[::-1] if backwards else taken)))[0]
        assert isinstance(number, int | float)
        return number

    return decode


def _points(
    table: Mapping[str, object], index: int, blocks: Sequence[Question], questions: Sequence[Question]
) -> list[tuple[int, PanelPoint]]:
    """The points of one [[point]] table: every combination of its ranges (n, loop, ...)."""
    where = f"point {table.get('id', index + 1)}"
    block = next((block for block in blocks if block.block == table.get("from")), None)
    if block is None:
        raise ProfileFault("unknown_block", where, table.get("from", ""))
    ranges = {key: value for key, value in table.items() if isinstance(value, list) and key not in ("from", "id")}
    _known({key: value for key, value in table.items() if key not in ranges}, "point", where)
    for key, value in ranges.items():
        if len(value) != 2 or not all(isinstance(one, int) for one in value) or value[0] > value[1]:
            raise ProfileFault("bad_range", f"{where}.{key}", value)
    if math.prod(high - low + 1 for low, high in ranges.values()) > POINTS_MAX:
        raise ProfileFault("too_many_points", where, POINTS_MAX)
    template, formula = str(table.get("id", "{n}")), table.get("address", "start + n - 1")
    found = []
    for numbers in itertools.product(*(range(low, high + 1) for low, high in ranges.values())):
        names = dict(zip(ranges, numbers, strict=True))
        try:
            point_id = template.format(**names)
        except (KeyError, IndexError, ValueError, AttributeError):
            raise ProfileFault("bad_id", where, template) from None
        address = _evaluate(formula, {"start": block.start, **names}, f"{where}.address")
        place = _place(questions, address, 1, block=block.block, function=block.function)
        if place is None:
            raise ProfileFault("not_in_block", where, address)
        shift = _evaluate(table.get("shift", 0), names, f"{where}.shift")
        try:
            found.append((place[0], PanelPoint.compile(point_id, place[1], table, names, shift)))
        except MeaningFault as fault:
            raise ProfileFault(fault.code, where, fault.value) from fault
    return found


_OPERATORS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def _evaluate(formula: object, names: Mapping[str, int], where: str) -> int:
    """Whole numbers, names, + - * // % and brackets; nothing else of the language."""
    if isinstance(formula, int):
        return formula

    def walk(node: ast.expr) -> int:
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.Name) and node.id in names:
            return names[node.id]
        raise ProfileFault("bad_formula", where, formula)

    try:
        return walk(ast.parse(str(formula)[:200], mode="eval").body)
    except (SyntaxError, ZeroDivisionError, RecursionError):
        raise ProfileFault("bad_formula", where, formula) from None


def _width(table: Mapping[str, object], where: str) -> int:
    kind = table.get("type", "u16")
    if kind not in _WIDTH:
        raise ProfileFault("unknown_type", where, kind)
    return _WIDTH[str(kind)]


def _known(table: Mapping[str, object], which: str, where: str) -> None:
    if unknown := set(table) - _KEYS[which]:
        raise ProfileFault("unknown_key", where, min(unknown))


def _table(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise ProfileFault("not_a_table", key, value)
    return value


def _tables(data: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise ProfileFault("not_a_table", key, value)
    return value


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProfileFault("bad_number", where, value)
    return value


def _integer(  # noqa: PLR0917 - a table's key, its name for people, and three numbers
    table: Mapping[str, object], key: str, where: str, default: int, low: int, high: int
) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ProfileFault("bad_number", f"{where}.{key}", value)
    return value
