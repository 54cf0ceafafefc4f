"""What a decoder shows, held against what it should show."""

from collections.abc import Mapping
from typing import Any

from drivers.codecs.registry import PROTOCOLS


def assert_agrees(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """`found` may hold more than `wanted`; a key that must not be there is wanted as "absent"."""
    assert {key: found.get(key, "absent") for key in wanted} == wanted


def told(name: str, data: bytes, *keys: str) -> list[Any]:
    """`keys` of all that is no refusal and no noise, of each event where a frame has several; one key: its value alone."""
    found = []
    for one in PROTOCOLS[name](data):
        several = one.get("events") or [one]
        assert isinstance(several, list)
        found += [tuple(event.get(key) for key in keys) for event in several if not one.get("reject")]
    return [values[0] for values in found] if len(keys) == 1 else found


def why(name: str, data: bytes) -> list[object]:
    return [one["why"] for one in PROTOCOLS[name](data) if one.get("reject")]


def cells(text: str, characters: int, pad: bytes) -> bytes:
    """Row and cell in BCD, ASCII behind 00, filled up."""
    out = b""
    for character in text:
        if character.isascii():
            out += bytes((0, ord(character)))
            continue
        row, cell = (byte - 0xA0 for byte in character.encode("gb2312"))
        out += bytes((row // 10 * 16 + row % 10, cell // 10 * 16 + cell % 10))
    return out + pad * (characters - len(text))
