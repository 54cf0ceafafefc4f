"""Modbus profiles held against captured exchanges: what an answer says through a profile, and whether its examples hold.

An RTU answer names no register, so meaning needs the question before it: a capture, and an example, is an exchange, the bytes
of the question and of the answer one after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from drivers.codecs.modbus import decode_frames
from drivers.modbus_map import ModbusProfile, Placed, compile_profile
from drivers.modbus_panel import gravest_first
from drivers.profile import ALARM_KINDS, Profile, ProfileError, ProfileFinding
from drivers.profile_examples import bytes_of, check_examples, compiled, differing, expected_of, not_readable, raised
from drivers.vocabulary import EVENTS

# What a switch that is on is called, by the kind it is of.
_EVENT_OF: Final = {meaning.kind: event for event, meaning in reversed(list(EVENTS.items())) if meaning.active}


def try_capture(profile: Profile, data: bytes) -> list[dict[str, object]]:
    """One object a frame; an answer whose question stands before it also `says` what the profile reads out of it: values by
    their names (or the reason why there is none), those points of a panel that are not normal by their ids; `event` is the gravest.
    Raise ProfileError (bad_table).
    """
    return _read(compiled(profile, compile_profile), decode_frames(data))


def check(profile: Profile) -> list[ProfileFinding]:
    """What is wrong with the tables of a Modbus profile, then with its examples."""
    try:
        made = compiled(profile, compile_profile)
    except ProfileError as fault:
        return [ProfileFinding(fault.code, fault.params)]
    return [*_check_words(profile, made), *check_examples(profile.data, partial(_check_example, made))]


def _check_words(profile: Profile, made: ModbusProfile) -> list[ProfileFinding]:
    points = [point for of_question in made.points for point in of_question]
    words = {word for rule in {id(point.rule): point.rule for point in points}.values() for word in rule.words()}
    if points and not any(word in EVENTS and EVENTS[word].kind in ALARM_KINDS | {"unknown"} for word in words):
        return [ProfileFinding("no_fire", {})]
    return []


def _check_example(profile: ModbusProfile, key: str, number: int, table: object) -> list[ProfileFinding]:
    data = bytes_of(table)
    if data is None:
        return not_readable(key, number)
    shown = _read(profile, decode_frames(data))
    said: dict[str, object] = {}
    for one in shown:
        said |= one.get("says", {})  # type: ignore[call-overload]  # _read put a dict there
    if key == "counter_example":
        return raised(number, next(iter(said), None))
    expected = expected_of(table)
    if not expected:
        return not_readable(key, number)
    if any(one.get("reject") for one in shown) or not said:
        why = next((one["why"] for one in shown if one.get("reject")), "no_value")
        return [ProfileFinding("example_refused", {"number": number, "why": why})]
    return differing(number, expected, said, absent="")  # a point that is normal


# -- reading -----------------------------------------------------------------------------------------------------------
def _read(profile: ModbusProfile, frames: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    shown: list[dict[str, object]] = []
    kinds = {spec.id: spec.kind for spec in profile.spec}
    held: dict[tuple[int, int], int] = {}  # (function, address) -> word, of all answers so far
    asked: Mapping[str, object] = {}
    for frame in frames:
        if frame.get("direction") == "request":
            asked = frame
            shown.append(frame)
            continue
        fresh = _registers(asked, frame)
        held |= fresh
        asked = {}
        said = dict(_values(profile, held, fresh)) | dict(_points(profile, fresh)) | dict(_logged(profile, fresh))
        events = [word for facts in said.values() if isinstance(facts, str) for word in facts.split() if word in EVENTS]
        events += [
            _EVENT_OF[kinds[name]] for name, value in said.items() if value is True and kinds.get(name) in _EVENT_OF
        ]
        shown.append(frame | ({"event": gravest_first(events)[0]} if events else {}) | ({"says": said} if said else {}))
    return shown


def _registers(asked: Mapping[str, object], frame: Mapping[str, object]) -> dict[tuple[int, int], int]:
    """What an answer holds, by function and address; nothing unless it answers the question before it."""
    values, start, count, function = frame.get("values"), asked.get("start"), asked.get("count"), frame.get("function")
    if frame.get("reject") or asked.get("unit") != frame.get("unit") or asked.get("function") != function:
        return {}
    if not (
        isinstance(values, list) and isinstance(start, int) and isinstance(count, int) and isinstance(function, int)
    ):
        return {}
    if len(values) != (count if function in (3, 4) else (count + 7) // 8 * 8):
        return {}
    return {(function, start + n): word for n, word in enumerate(values[:count])}


def _values(
    profile: ModbusProfile, held: Mapping[tuple[int, int], int], fresh: Mapping[tuple[int, int], int]
) -> Iterator[tuple[str, object]]:
    for index, of_question in enumerate(profile.values):
        for placed in of_question:
            function, first = profile.questions[index].function, profile.questions[index].start + placed.offset
            where = [(function, first + n) for n in range(placed.value.place.width)]
            if all(one in fresh for one in where):
                found = placed.value.read([fresh[one] for one in where], 0, _beside(profile, placed, held))
                yield placed.value.name, found if isinstance(found, bool | str) else float(f"{found:.7g}")


def _beside(profile: ModbusProfile, placed: Placed, held: Mapping[tuple[int, int], int]) -> int | None:
    if placed.guard is None:
        return None
    question = profile.questions[placed.guard[0]]
    return held.get((question.function, question.start + placed.guard[1]))


def _points(profile: ModbusProfile, fresh: Mapping[tuple[int, int], int]) -> Iterator[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for question, points in zip(profile.questions, profile.points, strict=True):
        for point in points:
            word = fresh.get((question.function, question.start + point.offset))
            if word is not None:
                found.setdefault(point.id, []).extend(point.facts(word))
    for point_id, facts in found.items():
        if facts:
            yield point_id, " ".join(gravest_first(set(facts)))


def _logged(profile: ModbusProfile, fresh: Mapping[tuple[int, int], int]) -> Iterator[tuple[str, str]]:
    for log, index, offset in profile.logs:
        question = profile.questions[index]
        words = [fresh.get((question.function, question.start + offset + n)) for n in range(log.count * log.width)]
        if None not in words:
            entries = [log.read(raw, gap=False) for raw in log.split([word or 0 for word in words], 0)]
            if told := " ".join(entry.event for entry in entries if entry is not None):
                yield "log", told
