"""What a decoder shows, held against what it should show."""

from collections.abc import Mapping
from typing import Any


def assert_agrees(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """`found` may hold more than `wanted`; a key that must not be there is wanted as "absent"."""
    assert {key: found.get(key, "absent") for key in wanted} == wanted
