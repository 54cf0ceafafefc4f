"""What registers mean: a profile compiled into questions, and answers turned into observations. Pure.

The TOML of a profile (docs/drivers/modbus.md says it in full): `[link]` defaults, `[[block]]` ranges to read, `[[value]]`
numbers and switches of a device, `[[point]]` tables of a fire panel's devices, `[[log]]` its event log, `[meaning]` how the
panel speaks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from drivers.codecs.modbus import BITS_MAX, REGISTERS_MAX
from drivers.messages import Observation, PanelEvent, PointFault, PointSpec, Reading
from drivers.modbus_log import Entry, EventLog, LogMemory, compile_log
from drivers.modbus_panel import PanelMemory, PanelPoint, Rule, Spoken, ends_of
from drivers.modbus_value import Place, Value, compile_values
from drivers.profile_toml import (
    ProfileFault,
    combinations,
    evaluated,
    filled,
    framing_of,
    integer,
    known,
    table_of,
    tables_of,
)
from drivers.schedule import Rank

_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        (
            *("schema", "kind", "evidence", "source", "brand", "brand_zh", "brand_en", "product", "product_zh"),
            *("product_en", "caveat", "link", "meaning", "block", "value", "point", "log", "writes", "example"),
            *("counter_example", "gb26875_point"),
        )
    ),
    "link": frozenset(("transport", "baud", "framing", "priority", "period_ms", "max_regs", "merge_gap")),
    "meaning": frozenset(("mode", "confirm")),
    "block": frozenset(("name", "fc", "start", "count", "period_ms", "max_regs", "skip_first")),
    "point": frozenset(
        (
            *("from", "id", "address", "mask", "shift", "enum", "flags", "class"),
            *("counts_for_reset", "undefined", "summary"),
        )
    ),
}


@dataclass(frozen=True, slots=True)
class Question:
    """One read: `count` registers (function 3, 4) or bits (1, 2) from `start`, every `period_s`.

    `skip_first`: the first answer after a silence is no data (a gateway that begins to look only when it is asked).
    """

    function: int
    start: int
    count: int
    period_s: float
    block: str
    max_regs: int
    skip_first: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A value and where it lies: `offset` in the answer to its question, (question, offset) of its guard."""

    value: Value
    offset: int
    guard: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class ModbusProfile:
    """A compiled profile."""

    name: str
    spec: tuple[PointSpec, ...]  # in the order of the profile: numbers given to points depend on it
    questions: tuple[Question, ...]
    values: tuple[tuple[Placed, ...], ...]  # by question
    points: tuple[tuple[PanelPoint, ...], ...]  # by question
    logs: tuple[tuple[EventLog, int, int], ...]  # with question and offset
    spoken: Spoken
    rank: Rank
    confirm: bool  # read twice before an alarm-changing word is acted upon
    step: int  # registers are asked for in multiples of this
    baud: int
    framing: str

    def specs(self, device: str) -> list[PointSpec]:
        """The points this device has before it speaks."""
        return [replace(spec, id=f"{device}/{spec.id}") for spec in self.spec]

    def memory(self, device: str) -> "DeviceMemory":
        """A fresh device of this kind: nothing read yet."""
        return DeviceMemory(self, device)


class DeviceMemory:
    """The last good answers of one device, and what they said. Feeds on answers, gives observations."""

    def __init__(self, profile: ModbusProfile, device: str) -> None:
        self._profile, self._device = profile, device
        self._ids = [[f"{device}/{placed.value.name}" for placed in placed_all] for placed_all in profile.values]
        self._faulty: set[str] = set()
        self._good: list[tuple[int, ...] | None] = [None] * len(profile.questions)
        self._stale: set[int] = set()  # questions whose next answer is no data
        self._moved: dict[str, tuple[tuple[int, ...], int]] = {}  # value: its words, and since when they are these
        self._panel = PanelMemory(profile.points, profile.spoken, device) if any(profile.points) else None
        states = frozenset(question for question, points in enumerate(profile.points) if points)
        self._logs = [(LogMemory(log, states), question, offset) for log, question, offset in profile.logs]
        self._begin(range(len(profile.questions)))

    def suspects(self, question: int, words: Sequence[int]) -> frozenset[int]:
        """Offsets whose words would change an alarm if they were true, and so are read twice where the profile asks."""
        if not self._profile.confirm:
            return frozenset()
        good = self._good[question]
        offsets = {point.offset for point in self._profile.points[question]}
        offsets |= {placed.offset for placed in self._profile.values[question] if placed.value.spec.kind}
        if good is None:
            return frozenset(offset for offset in offsets if words[offset])
        return frozenset(offset for offset in offsets if words[offset] != good[offset])

    def feed(self, question: int, words: tuple[int, ...], at_ns: int) -> list[Observation]:
        """A good answer to `question`: readings of its values, events of its points."""
        if question in self._stale:
            self._stale.discard(question)
            return []
        self._good[question] = words
        seen: list[Observation] = []
        faulty = self._faulty
        for placed, point in zip(self._profile.values[question], self._ids[question], strict=True):
            value, beside = placed.value, None
            if placed.guard is not None and (guarding := self._good[placed.guard[0]]) is not None:
                beside = guarding[placed.guard[1]]
            found = value.read(words, placed.offset, beside)
            if value.must_move_s and not isinstance(found, str) and self._stands(placed, words, at_ns):
                found = "stale"
            if not isinstance(found, str):
                faulty.discard(point)
                seen.append(Reading(point, found, at_ns))
            elif point not in faulty:
                faulty.add(point)
                seen.append(PointFault(point, found, at_ns))
        if self._panel is not None:
            seen += self._panel.feed(question, words, at_ns)
        for log, of_question, offset in self._logs:
            due = log.feed(words, offset) if of_question == question else log.state_read(question)
            seen += [event for entry in due for event in self._logged(entry, at_ns)]
        return seen

    def _stands(self, placed: Placed, words: Sequence[int], at_ns: int) -> bool:
        """Whether a value that must move has not for too long: whatever answers is frozen, and all it says is old."""
        value = placed.value
        now = tuple(words[placed.offset : placed.offset + value.place.width])
        was, since_ns = self._moved.get(value.name, (None, at_ns))
        if now != was:
            self._moved[value.name] = now, at_ns
            return False
        return at_ns - since_ns >= value.must_move_s * 1e9

    def _logged(self, entry: Entry, at_ns: int) -> list[Observation]:
        """What the log alone knows: it came, and if registers tell states and do not show it, it went."""
        point = f"{self._device}/{entry.point}"
        if self._panel is None:
            return [PanelEvent(point, entry.event, at_ns, entry.fields, entry.raw)]
        if self._panel.holds(entry.point, entry.event):
            return []
        words = [entry.event, ends_of(entry.event)]
        return [PanelEvent(point, word, at_ns, entry.fields, entry.raw) for word in words if word]

    def good(self, question: int) -> tuple[int, ...] | None:
        """The last good answer."""
        return self._good[question]

    def unknown(self, reason: str, at_ns: int, question: int | None = None) -> list[Observation]:
        """The device, or one of its questions, is not answered any more: its values are unknown, told once."""
        questions = range(len(self._ids)) if question is None else [question]
        self._begin(questions)
        self._moved.clear()  # nobody saw whether it moved meanwhile
        seen: list[Observation] = []
        for point in (point for one in questions for point in self._ids[one]):
            if point not in self._faulty:
                self._faulty.add(point)
                seen.append(PointFault(point, reason, at_ns))
        return seen

    def _begin(self, questions: Sequence[int]) -> None:
        self._stale.update(one for one in questions if self._profile.questions[one].skip_first)


# -- compiling ---------------------------------------------------------------------------------------------------------


def compile_profile(data: Mapping[str, object], *, name: str = "") -> ModbusProfile:
    """Check and compile the TOML of a profile. Raise ProfileFault saying what is wrong where."""
    known(data, _KEYS[""], "profile")
    if table_of(data, "writes").get("allow", False):
        raise ProfileFault("writes_not_supported", "writes.allow", True)
    link = table_of(data, "link")
    known(link, _KEYS["link"], "link")
    known(table_of(data, "meaning"), _KEYS["meaning"], "meaning")
    if link.get("transport", "rtu") not in ("rtu", "tcp"):
        raise ProfileFault("unknown_transport", "link.transport", link["transport"])
    max_regs = integer(link, "max_regs", "link", 100, 1, REGISTERS_MAX)
    merge_gap = integer(link, "merge_gap", "link", 0, 0, REGISTERS_MAX)
    rank = {"fire": Rank.FIRE, "meter": Rank.METER}.get(str(link.get("priority", "meter")))
    if rank is None:
        raise ProfileFault("unknown_priority", "link.priority", link.get("priority"))
    period_ms = integer(link, "period_ms", "link", 200 if rank is Rank.FIRE else 10_000, 20, 86_400_000)

    blocks = [_block(table, index, period_ms, max_regs) for index, table in enumerate(tables_of(data, "block"))]
    starts = {block.block: block.start for block in blocks}
    if len(starts) != len(blocks):
        raise ProfileFault("duplicate_block", "block")
    values = compile_values(tables_of(data, "value"), starts, period_ms)
    logs = [compile_log(table, index, starts) for index, table in enumerate(tables_of(data, "log"), 1)]
    step = max((value.place.width for value in values), default=1)
    step = step if step <= max_regs else 1
    whole = {log.block for log in logs}  # a log read in two halves may show one entry twice, or not at all
    named = [part for block in blocks for part in _split(block, step, whole=block.block in whole)]
    questions = named + [part for block in _merged(values, named, max_regs, merge_gap) for part in _split(block, step)]
    if not questions:
        raise ProfileFault("nothing_to_read", "block")
    return ModbusProfile(
        name=name,
        spec=tuple(value.spec for value in values),
        questions=tuple(questions),
        values=_placed(values, questions),
        points=_points_of(data, blocks, questions),
        logs=tuple(
            (log, *_place(questions, Place(0, log.address, log.count * log.width, log.block), "log")) for log in logs
        ),
        spoken=Spoken.compile(table_of(data, "meaning")),
        rank=rank,
        confirm=bool(table_of(data, "meaning").get("confirm", False)),
        step=step,
        baud=integer(link, "baud", "link", 9600, 50, 4_000_000),
        framing=framing_of(link, "8N1"),
    )


def _block(table: Mapping[str, object], index: int, period_ms: int, max_regs: int) -> Question:
    where = f"block {table.get('name', index + 1)}"
    known(table, _KEYS["block"], where)
    start = integer(table, "start", where, 0, 0, 0xFFFF)
    return Question(
        function=integer(table, "fc", where, 3, 1, 4),
        start=start,
        count=integer(table, "count", where, 0, 1, 0x10000 - start),
        period_s=integer(table, "period_ms", where, period_ms, 20, 86_400_000) / 1000,
        block=str(table.get("name", f"block{index + 1}")),
        max_regs=integer(table, "max_regs", where, max_regs, 1, REGISTERS_MAX),
        skip_first=bool(table.get("skip_first", False)),
    )


def _merged(values: Sequence[Value], named: Sequence[Question], max_regs: int, merge_gap: int) -> list[Question]:
    """Ranges for what no [[block]], `named`, reads: neighbours in one question, holes of up to `merge_gap` read along."""
    wanted = {(value.place, value.period_s) for value in values if not value.place.block}
    for value in values:
        if value.guard is not None and not any(
            _reads(question, value.guard.place, value.period_s) for question in named
        ):
            wanted.add((value.guard.place, value.period_s))
    ranges: list[Question] = []
    for place, period_s in sorted(wanted, key=lambda one: (one[0].function, one[1], one[0].address, one[0].width)):
        end = place.address + place.width
        last = ranges[-1] if ranges else None
        if (
            last is not None
            and (last.function, last.period_s) == (place.function, period_s)
            and place.address <= last.start + last.count + merge_gap
            and end - last.start <= max_regs
        ):
            ranges[-1] = replace(last, count=max(end - last.start, last.count))
        else:
            block = f"@{place.function}:{place.address}:{period_s:g}"
            ranges.append(Question(place.function, place.address, place.width, period_s, block, max_regs))
    return ranges


def _reads(question: Question, place: Place, period_s: float) -> bool:
    """Whether `question` reads the register at `place` at least every `period_s`."""
    inside = question.start <= place.address < question.start + question.count
    return inside and question.function == place.function and question.period_s <= period_s


def _split(block: Question, step: int, *, whole: bool = False) -> list[Question]:
    """A range in questions the device takes; cut where a value of `step` registers is not torn."""
    most = block.max_regs if block.function in (3, 4) else min(BITS_MAX, block.max_regs * 16)
    most = max(most // step * step, 1)
    if whole and block.count > most:
        raise ProfileFault("log_in_pieces", f"block {block.block}", block.count)
    return [
        replace(block, start=start, count=min(most, block.start + block.count - start))
        for start in range(block.start, block.start + block.count, most)
    ]


def _place(questions: Sequence[Question], place: Place, where: str) -> tuple[int, int]:
    """(question, offset) of registers; what is torn between two questions has no place. Raise ProfileFault."""
    for index, question in enumerate(questions):
        named = question.block == place.block if place.block else question.function == place.function
        if named and question.start <= place.address and place.address + place.width <= question.start + question.count:
            return index, place.address - question.start
    raise ProfileFault("not_in_block", where, place.address)


def _placed(values: Sequence[Value], questions: Sequence[Question]) -> tuple[tuple[Placed, ...], ...]:
    by_question: list[list[Placed]] = [[] for _ in questions]
    for value in values:
        question, offset = _place(questions, value.place, f"value {value.name}")
        guard = None if value.guard is None else _place(questions, value.guard.place, f"value {value.name}.guard")
        if value.guard is not None and value.guard.off and guard is not None and guard[0] != question:
            raise ProfileFault(
                "guard_read_apart", f"value {value.name}", value.guard.place.address
            )  # off by an old word
        by_question[question].append(Placed(value, offset, guard))
    return tuple(tuple(of_question) for of_question in by_question)


def _points_of(
    data: Mapping[str, object], blocks: Sequence[Question], questions: Sequence[Question]
) -> tuple[tuple[PanelPoint, ...], ...]:
    by_question: list[list[PanelPoint]] = [[] for _ in questions]
    last_event = Spoken.compile(table_of(data, "meaning")).last_event
    ids: set[str] = set()
    for index, table in enumerate(tables_of(data, "point"), 1):
        where = f"point {table.get('id', index)}"
        block = next((block for block in blocks if block.block == table.get("from")), None)
        if block is None:
            raise ProfileFault("unknown_block", where, table.get("from", ""))
        own: set[str] = set()
        for at, point in _points(table, where, block, questions):
            if point.id in own or (last_event and point.id in ids):
                raise ProfileFault("duplicate_point", where, point.id)
            if last_event and point.rule.summary:
                raise ProfileFault("summary_of_last_event", where, point.id)
            own.add(point.id)
            by_question[at].append(point)
        ids |= own
    return tuple(tuple(points) for points in by_question)


def _points(
    table: Mapping[str, object], where: str, block: Question, questions: Sequence[Question]
) -> list[tuple[int, PanelPoint]]:
    """The points of one [[point]] table: every combination of its ranges (n, loop, ...)."""
    found = []
    rule = Rule.compile(table, where)
    for numbers in combinations(table, _KEYS["point"], where):
        names = {"start": block.start, **numbers}
        address = evaluated(table.get("address", "start + n - 1"), names, f"{where}.address")
        question, offset = _place(questions, Place(block.function, address, 1, block.block), where)
        shift = evaluated(table.get("shift", 0), names, f"{where}.shift")
        if not 0 <= shift < 16:
            raise ProfileFault("bad_number", f"{where}.shift", shift)
        found.append(
            (question, PanelPoint(filled(table.get("id", "{n}"), numbers, where), offset, numbers, shift, rule))
        )
    return found
