"""A decoded frame for a person: what it says in the fixed words, then its fields by their names, with their values in words."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from edge_agent.cli_words import lookup, reason_word, refusal_words
from edge_agent.terminal import printable
from edge_agent.texts import text

Names = Mapping[str, tuple[str, str]]  # what a profile calls its values: id -> (words, unit)

# Fields in the order a duty officer asks for them; what the protocol adds comes behind.
_ORDER: Final = (
    "panel",
    "loop",
    "zone",
    "point",
    "unit",
    "user_code",
    "device_type_text",
    "device_type",
    "location_text",
    "date",
    "time",
)
_SAID_BY_THE_HEAD: Final = frozenset({"event", "kind", "reject", "repeat", "meaning", "why"})
# Fields whose codes are words of the vocabulary, or reasons.
_CODED: Final = frozenset({"event", "refused_event", "attribute", "state", "reason"})
_CODE: Final = re.compile(r"[a-z][a-z0-9_]*")
# An event nobody has a word for, by its number.
_OWN_CODE: Final = re.compile(r"(?:(?:status|state|code)_)?([0-9A-Fa-f]+)")


def frame_lines(number: int, frame: Mapping[str, object], lang: str, names: Names) -> list[str]:
    """One frame for a person: its number, what it says in the fixed words, then its fields, the bytes last.

    A packet of GB/T 26875.3 holds many objects, and takes a line for each. `names` are those of the profile that read it.
    """
    if "adu" not in frame and "object_count" not in frame:
        return [_line(number, frame, lang, names)]
    from edge_agent.gb_words import head_line, unit_lines

    said = [head_line(frame, lang)] if "serial" in frame else []
    first = "  ".join(
        [f"{number:>4}  {printable(_head(frame, lang))}", *said, f"{text('field.raw', lang)}={frame['raw']}"]
    )
    return [
        first,
        *(f"      {printable(line)}" for line in unit_lines(frame.get("adu") if "adu" in frame else frame, lang)),
    ]


def _line(number: int, frame: Mapping[str, object], lang: str, names: Names) -> str:
    keys = [*(key for key in _ORDER if key in frame), *(key for key in frame if key not in (*_ORDER, "raw")), "raw"]
    fields = [
        _field(key, frame[key], lang, names)
        for key in keys
        if key not in _SAID_BY_THE_HEAD and frame.get(key) not in (None, "")
    ]
    if frame.get("why") and not frame.get("reject"):
        fields.insert(0, _field("record_why", frame["why"], lang, names))
    if frame.get("meaning"):
        fields.insert(0, _field("code", frame["event"], lang, names))
    return f"{number:>4}  " + "  ".join([printable(_head(frame, lang)), *fields])


def _head(frame: Mapping[str, object], lang: str) -> str:
    kind = frame.get("kind")
    if frame.get("reject"):
        return text("decode.frame_refused", lang, why=refusal_words(str(frame.get("why") or ""), lang))
    if event := frame.get("meaning") or frame.get("event"):
        return _event(str(event), lang)
    if frame.get("repeat"):
        return text("decode.frame_repeat", lang)
    if kind:
        what = lookup(f"decode.what_{kind}", lang) or str(kind)
        return lookup(f"decode.kind_{kind}", lang) or text("decode.frame_no_event", lang, kind=what)
    return text("decode.frame_plain", lang)


def _event(event: str, lang: str) -> str:
    """A word of the vocabulary, or the kind of event of a value; a detector's own number where nobody has a word for it."""
    if known := lookup(f"decode.event_{event}", lang) or lookup(f"alarm.kind_{event}", lang):
        return known
    own = _OWN_CODE.fullmatch(event)
    return text("decode.event_untold", lang, code=own[1]) if own else event


def _field(key: str, value: object, lang: str, names: Names) -> str:
    words, unit = names.get(key, ("", ""))
    if not words:
        name = "unit_of_value" if key == "unit" and isinstance(value, str) else key
        words = lookup(f"field.{name}", lang) or printable(key)
    shown = _shown(key, value, lang, names)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{words}={shown} {unit}" if unit and is_number else f"{words}={shown}"


def _shown(key: str, value: object, lang: str, names: Names) -> str:
    if isinstance(value, bool):
        return text("decode.yes" if value else "decode.no", lang)
    if isinstance(value, bytes):
        return value.hex(" ").upper()
    if isinstance(value, Mapping):
        told = {name: _codes(item, lang) for name, item in value.items()} if key == "says" else value
        shown = {str(name): item for name, item in told.items() if item is not None and name != "kind"}
        inner = [_field(name, item, lang, names) for name, item in shown.items()]
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join("-" if item is None else _shown(key, item, lang, names) for item in value) + "]"
    return printable(_word(key, str(value), lang, names))


def _word(key: str, value: str, lang: str, names: Names) -> str:
    """A value that is a code of the codec or the profile, in words; anything else as the device wrote it."""
    if known := lookup(f"value.{key}_{value}", lang):
        return known
    if key == "reject_reason":
        return lookup(f"decode.why_{value}", lang) or value
    return str(_codes(value, lang)) if key in _CODED or key in names else value


def _codes(value: object, lang: str) -> object:
    """Words of the vocabulary with blanks between, or the reason why there is no value, in words; a number as it is."""
    if not isinstance(value, str) or not all(_CODE.fullmatch(code) for code in value.split(" ")):
        return value
    return " ".join(lookup(f"decode.event_{code}", lang) or reason_word(code, lang) for code in value.split(" "))
