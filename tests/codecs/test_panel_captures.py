"""Every capture of the panel protocols decodes to what is on file for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs.registry import PROTOCOLS
from drivers.profile import load_profiles

CAPTURES = Path(__file__).parents[1] / "captures"
PANELS = [profile.name for profile in load_profiles(()).list() if profile.kind == "panel"]
VECTORS: list[dict[str, Any]] = [
    vector
    for name in PANELS
    if (CAPTURES / f"{name}.json").is_file()
    for vector in json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))
]


def wire(vector: dict[str, Any]) -> bytes:
    """The bytes of a capture."""
    data, encoding = vector["data"], vector["encoding"]
    return bytes.fromhex(data) if encoding == "hex" else data.encode(encoding)


def test_every_panel_protocol_that_was_captured_is_looked_at() -> None:
    assert len({vector["protocol"] for vector in VECTORS}) >= 17


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_capture_decodes_to_its_meaning(vector: dict[str, Any]) -> None:
    shown = PROTOCOLS[vector["protocol"]](wire(vector))
    wanted = {key: value for key, value in vector["meaning"].items() if key != "note"}
    assert {key: shown[0].get(key, "absent") for key in wanted} == wanted
    assert len(shown) == vector["meaning"].get("frames", 1)
    if vector["meaning"].get("reject"):
        assert shown[0]["why"]
        assert str(shown[0]["why"]).isascii()


HOST_BYTES = [
    ("gst-crt500", "01 00 0F 1F"),
    ("gst-crt500", "01 00 01 0F F0 F0 BB 1F"),
    ("lida-ld128e", "20 20 7F"),
    ("jbf-11s-old", "FF FF FF 09 00 00 01 6E 01 0A 00 83"),
    ("jbf-11s-old", "FF FF FF 0A 00 00 01 6E 01 0A 00 83 FF FF FF 13 01 01 6E 01 01 00 00 85"),
]


@pytest.mark.parametrize(("protocol", "line"), HOST_BYTES)
def test_polls_on_the_line_are_known_and_raise_nothing(protocol: str, line: str) -> None:
    shown = PROTOCOLS[protocol](bytes.fromhex(line))
    assert all(one["event"] is None and not one.get("reject") for one in shown)
    assert shown[0]["direction"] == "host_to_panel"


def test_copies_of_a_frame_are_marked_and_raise_nothing() -> None:
    fire = bytes.fromhex("AA1536508903D1000100350023340554480031003618" + "67B6")
    shown = PROTOCOLS["gst-layer-bus"](fire * 3)
    assert [one["event"] for one in shown] == ["fire", None, None]
    assert [one.get("repeat") for one in shown] == [None, True, True]
    assert (shown[0]["frames"], shown[0]["distinct_events"]) == (3, 1)
