"""One line's fields, and what comes of them: a Reading, or a Broken that says why not. For the parsers beside this file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What one line says. `command`: what it answers or announces; `urc`: unasked."""

    command: str
    fields: Mapping[str, object]
    urc: bool = False

    def number(self, key: str) -> float | None:
        """A field as a number; None if it is absent."""
        value = self.fields.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, key: str) -> str:
        """A field as text; "" if it is absent."""
        value = self.fields.get(key)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line with a known prefix that makes no sense. `why` is ASCII."""

    command: str
    why: str


def split(rest: str) -> list[str]:
    """The fields behind a prefix: blanks off, quotes off, a comma in quotes kept."""
    return [bare(field) for field in raw_fields(rest)]


def raw_fields(rest: str) -> list[str]:
    """The fields behind a prefix with their quotes; a comma in quotes is kept."""
    fields, current, quoted = [], "", False
    for char in rest:
        if char == '"':
            quoted = not quoted
        if char == "," and not quoted:
            fields.append(current.strip())
            current = ""
        else:
            current += char
    return [*fields, current.strip()]


def bare(field: str) -> str:
    """A field without its quotes."""
    return field.strip('"').strip()


def is_small(field: str, limit: int) -> bool:
    """Whether a field is a bare decimal below `limit`."""
    return field.isdigit() and len(field) <= 3 and int(field) < limit


def whole_at(fields: Sequence[str], index: int) -> int | None:
    """A field as a whole number; None if it is absent or empty. Raises ValueError."""
    return int(fields[index]) if index < len(fields) and fields[index] else None


def text_at(fields: Sequence[str], index: int) -> str | None:
    """A field; None if it is absent or empty."""
    return fields[index] if index < len(fields) and fields[index] else None


def one_of(value: str, choices: tuple[str, ...]) -> str:
    """`value`, if it is a choice. Raises ValueError."""
    if value not in choices:
        raise ValueError(value)
    return value


def dash(field: str) -> int | None:
    """A number; None for the dash Quectel writes for "absent". Raises ValueError."""
    return None if field in ("-", "") else int(field)


def hex_or_none(field: str) -> str | None:
    """Hex digits as told; None for a dash. Raises ValueError."""
    if field in ("-", ""):
        return None
    int(field, 16)
    return field


def payload(length: str, digits: str) -> str:
    """Hex digits, if they are as many bytes as told. Raises ValueError."""
    if len(digits) != 2 * int(length):
        raise ValueError("length")
    bytes.fromhex(digits)
    return digits
