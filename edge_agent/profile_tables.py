"""What a profile reads, as tables of cells: registers, points, topics, words. Pure; for the pages made of profiles."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from drivers.modbus_value import WIDTH, compile_values
from drivers.profile import Profile
from drivers.profile_events import tables_of
from drivers.profile_toml import combinations, evaluated
from drivers.vocabulary import EVENTS
from edge_agent.cli_words import lookup
from edge_agent.texts import text

Row = tuple[str, ...]
_RANGE_KEYS = frozenset(("missing", "true_at", "on", "off"))  # lists of a table that are no ranges of points
_LAYOUT = ("frame", "command", "code", "active")  # of [meaning]: where things stand


@dataclass(frozen=True, slots=True)
class Part:
    """One table of a page: `title` and `columns` are names of texts of the room `page`; every row is as long as `columns`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def parts(profile: Profile, lang: str) -> list[Part]:
    """Everything `profile` reads, in the order a page shows it; what has no rows is left out."""
    made = _OF_KIND[profile.kind](profile.data, lang)
    return [part for part in made if part.rows]


def event_words(event: object, lang: str) -> str:
    """An event, or the kind of event a value is, in its own code and in words."""
    code = str(event)
    words = lookup(f"decode.event_{code}", lang) or lookup(f"alarm.kind_{code}", lang)
    return f"`{code}` {words}" if words and words != code else f"`{code}`"


# -- registers ---------------------------------------------------------------------------------------------------------
def _modbus(data: Mapping[str, object], lang: str) -> Iterator[Part]:
    blocks = tables_of(data, "block")
    starts = {str(block.get("name")): _whole(block.get("start")) for block in blocks}
    functions = {str(block.get("name")): _whole(block.get("fc", 3)) for block in blocks}
    yield Part(
        "part_block",
        ("name", "fc", "address", "count", "period"),
        tuple(
            (
                f"`{block.get('name', '')}`",
                str(block.get("fc", 3)),
                _span(_whole(block.get("start")), _whole(block.get("start")) + _whole(block.get("count")) - 1),
                str(block.get("count")),
                f"{block['period_ms']} ms" if "period_ms" in block else "",
            )
            for block in blocks
        ),
    )
    yield Part(
        "part_value",
        ("name", "zh", "en", "fc", "address", "type", "scale", "unit", "event"),
        tuple(_register(table, starts, functions, lang) for table in tables_of(data, "value")),
    )
    yield Part(
        "part_point",
        ("name", "count", "address", "said", "event"),
        tuple(row for table in tables_of(data, "point") for row in _points(table, starts, lang)),
    )
    yield Part(
        "part_log",
        ("name", "said", "event"),
        tuple(
            (f"`{log.get('id', '')}`", said, event)
            for log in tables_of(data, "log")
            for said, event in _by_event(_mapping(log.get("events")), lang)
        ),
    )


def _register(table: Mapping[str, object], starts: Mapping[str, int], functions: Mapping[str, int], lang: str) -> Row:
    values = compile_values([table], starts, 1000)
    places = [value.place for value in values]
    kind, first = str(table.get("type", "u16")), places[0]
    mask = f" & 0x{_whole(table['mask']):X}" if "mask" in table else ""
    shift = f" >> {table['shift']}" if "shift" in table else ""
    order = f" {table['word_order']}" if "word_order" in table else ""
    true_at = table.get("true_at")
    true = f" = {', '.join(map(str, true_at))}" if isinstance(true_at, list) else ""
    return (
        f"`{_ranged(table, 'name')}`",
        _ranged(table, "zh"),
        _ranged(table, "en"),
        str(functions.get(first.block, first.function)),
        _span(min(place.address for place in places), max(place.address for place in places) + WIDTH[kind] - 1),
        _code(f"{kind}{order}{shift}{mask}{true}"),
        _scale(table),
        str(table.get("unit", "")),
        _told(table, lang),
    )


def _scale(table: Mapping[str, object]) -> str:
    """By what the raw value is multiplied, and what is added then."""
    offset = table.get("offset")
    return (
        f"{table.get('scale', '')} {offset:+g}".strip()
        if isinstance(offset, int | float)
        else str(table.get("scale", ""))
    )


def _points(table: Mapping[str, object], starts: Mapping[str, int], lang: str) -> Iterator[Row]:
    keys = {key for key, value in table.items() if not isinstance(value, list)}
    formula, start = table.get("address", "start + n - 1"), starts.get(str(table.get("from")), 0)
    addresses = [evaluated(formula, {"start": start, **numbers}, "") for numbers in combinations(table, keys, "")]
    where = _span(min(addresses), max(addresses))
    where += f", >> `{table['shift']}`" if "shift" in table else ""
    where += f", & 0x{_whole(table['mask']):X}" if "mask" in table else ""
    told = [*_by_event(_mapping(table.get("enum")), lang)]
    told += [
        (f"bit {said}" if lang == "en" else f"{said} 位", event)
        for said, event in _by_event(_mapping(table.get("flags")), lang)
    ]
    told += [(f"& 0xFF = {said}", event) for said, event in _by_event(_mapping(table.get("class")), lang)]
    if "enum" in table:
        told.append((text("page.else", lang), event_words(table.get("undefined", "fault"), lang)))
    for number, (said, event) in enumerate(told):
        yield (
            (f"`{_ranged(table, 'id')}`", str(len(addresses)), where, said, event)
            if not number
            else ("", "", "", said, event)
        )


# -- meters, breakers, topics ------------------------------------------------------------------------------------------
def _dlt645(data: Mapping[str, object], lang: str) -> Iterator[Part]:
    yield Part(
        "part_value",
        ("name", "zh", "en", "di", "bytes", "scale", "unit", "event"),
        tuple(
            (
                *_names(table),
                f"`{table.get('di', '')}` +{table.get('offset', 0)}",
                f"{table.get('bytes', '')}" + (f", bit {table['bit']}" if "bit" in table else ""),
                f"{table.get('scale', 1)} / 10^{table.get('decimals', 0)}",
                str(table.get("unit", "")),
                _told(table, lang),
            )
            for table in tables_of(data, "value")
        ),
    )


def _ks68(data: Mapping[str, object], lang: str) -> Iterator[Part]:
    yield Part(
        "part_value",
        ("name", "zh", "en", "address", "scale", "unit", "event"),
        tuple(
            (
                *_names(table),
                f"point {table['point']}" if "point" in table else f"measure {table.get('measure')}",
                str(table.get("scale", "")),
                str(table.get("unit", "")),
                _told(table, lang),
            )
            for table in tables_of(data, "value")
        ),
    )


def _mqtt(data: Mapping[str, object], lang: str) -> Iterator[Part]:
    yield Part(
        "part_value",
        ("topic", "name", "zh", "en", "field", "scale", "unit", "event"),
        tuple(
            (
                f"`{topic.get('topic', '')}`",
                *_names(table),
                _code(str(table.get("field", ""))) + _flag(table),
                _scale(table),
                str(table.get("unit", "")),
                _told(table, lang),
            )
            for topic in tables_of(data, "topic")
            for table in tables_of(topic, "value")
        ),
    )


def _flag(table: Mapping[str, object]) -> str:
    if "bit" in table:
        return f" bit {table['bit']}"
    return f" = {json.dumps(table['on'], ensure_ascii=False)[1:-1]}" if "on" in table else ""


# -- panel ports -------------------------------------------------------------------------------------------------------
def _panel(data: Mapping[str, object], lang: str) -> Iterator[Part]:
    meaning = _mapping(data.get("meaning"))
    yield Part("part_layout", ("key", "setting"), tuple(_layout(meaning)))
    yield Part(
        "part_event",
        ("table", "said", "event"),
        tuple(
            (f"`{key}`", said, event)
            for key, table in meaning.items()
            if key not in _LAYOUT
            for said, event in _by_event(_mapping(table), lang)
        ),
    )
    types = data.get("device_types", data.get("devices"))
    yield Part(
        "part_device_types", ("key", "said"), tuple((str(key), str(word)) for key, word in _mapping(types).items())
    )


def _layout(meaning: Mapping[str, object]) -> Iterator[Row]:
    """What of [meaning] is no table of events: plain keys, the frame, its fields."""
    for key, value in meaning.items():
        if isinstance(value, dict):
            if key in _LAYOUT:
                yield from ((f"`{key}.{inner}`", _code(what)) for inner, what in value.items())
        elif key == "pattern":
            continue  # shown as they are written
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            for table in value:
                said = ", ".join(f"{inner} = {what}" for inner, what in table.items() if inner != "name")
                yield f"`{key} {table.get('name', '')}`", _code(said)
        else:
            yield f"`{key}`", _code(json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value)


def patterns(profile: Profile) -> list[str]:
    """The expressions of a panel that speaks in text."""
    meaning = _mapping(profile.data.get("meaning"))
    return [str(table.get("regex", "")) for table in tables_of(meaning, "pattern")]


# -- cells -------------------------------------------------------------------------------------------------------------
def _by_event(table: Mapping[str, object], lang: str) -> Iterator[tuple[str, str]]:
    """What is said -> event, the words of one event together."""
    found: dict[str, list[str]] = {}
    for said, meaning in table.items():
        event = meaning.get("event") if isinstance(meaning, dict) else meaning
        if isinstance(event, str) and (event in EVENTS or event in ("none", "absent", "active")):
            found.setdefault(event, []).append(_code(said))
    for event, all_said in found.items():
        yield ", ".join(all_said), text("page.nothing", lang) if event == "none" else event_words(event, lang)


def _told(table: Mapping[str, object], lang: str) -> str:
    """The event of a value, and the limits that make it one."""
    limits = _mapping(table.get("limits"))
    kind = event_words(table["kind"], lang) if table.get("kind") else ""
    said = ", ".join(f"{key} {value:g}" for key, value in limits.items() if isinstance(value, int | float))
    return f"{kind}: {said}" if kind and said else kind or said


def _names(table: Mapping[str, object]) -> tuple[str, str, str]:
    return f"`{_ranged(table, 'name')}`", _ranged(table, "zh"), _ranged(table, "en")


def _ranged(table: Mapping[str, object], key: str) -> str:
    """A name that stands for many: loop {n} with n = [1, 12] is "loop 1-12"."""
    name = str(table.get(key, ""))
    for range_key, span in table.items():
        if range_key not in _RANGE_KEYS and isinstance(span, list) and len(span) == 2:
            head, hole, tail = name.partition("{" + range_key)
            if hole:
                name = f"{head}{_span(*span)}{tail.partition('}')[2]}"
    return name


def _span(first: object, last: object) -> str:
    return str(first) if first == last else f"{first}-{last}"


def _code(value: object) -> str:
    written = str(value)
    fence = "``" if "`" in written else "`"
    return f"{fence}{written}{fence}" if written.strip() else ""


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


_OF_KIND: Mapping[str, Callable[[Mapping[str, object], str], Iterable[Part]]] = {
    "dlt645": _dlt645,
    "ks68": _ks68,
    "modbus": _modbus,
    "mqtt": _mqtt,
    "panel": _panel,
}
