"""GB/T 26875.3-2011: captured packets and units decode to their meaning and are written back; none with a wrong bit is sound."""

from typing import Any

import pytest

from drivers.codecs.gb26875 import (
    DIALECTS,
    Frame,
    Rejected,
    decode_adu,
    encode_adu,
)
from drivers.codecs.registry import PROTOCOLS
from tests.codecs.gb_bench import INVALID, SOUND, UNITS, read


def test_all_four_files_are_here() -> None:
    assert (len(SOUND), len(INVALID), len(UNITS)) == (19, 1, 13)


@pytest.mark.parametrize("vector", [*SOUND, *UNITS], ids=lambda vector: vector["name"])
def test_a_capture_decodes_to_its_meaning(vector: dict[str, Any]) -> None:
    meaning = vector["meaning"]
    (shown,) = PROTOCOLS[vector["protocol"]](bytes.fromhex(vector["hex"]))
    assert not shown.get("reject")
    objects = (meaning["fields"].get("adu") or meaning["fields"]).get("objects", [])
    found: Any = (shown.get("adu") or shown).get("objects", [])  # type: ignore[union-attr]
    assert [
        {key: mine.get(key, "absent") for key in asked} for asked, mine in zip(objects, found, strict=True)
    ] == objects
    plain = {key: value for key, value in meaning["fields"].items() if key not in ("adu", "objects")}
    if "frame_time_bcd" in meaning:
        plain["frame_time_bcd"] = meaning["frame_time_bcd"]
    assert {key: shown.get(key, "absent") for key in plain} == plain
    assert (shown.get("adu", "absent") is None) == (meaning["fields"].get("adu", "absent") is None)


@pytest.mark.parametrize("vector", SOUND, ids=lambda vector: vector["name"])
def test_a_captured_packet_is_written_back_byte_for_byte_in_every_dialect(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (found,) = read(raw)
    assert found == Frame.decode(raw)
    assert found.encode() == raw
    for dialect in DIALECTS.values():
        unit = decode_adu(found.adu, dialect)
        assert encode_adu(unit.type, unit.objects, dialect, as_received=True) == found.adu


@pytest.mark.parametrize("vector", UNITS, ids=lambda vector: vector["name"])
def test_a_captured_unit_is_written_back_byte_for_byte(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    unit = decode_adu(raw)
    assert unit.problems == ()
    assert encode_adu(unit.type, unit.objects) == raw


@pytest.mark.parametrize("vector", INVALID, ids=lambda vector: vector["name"])
def test_an_invalid_capture_is_refused(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    (rejected,) = read(raw)
    assert isinstance(rejected, Rejected)
    with pytest.raises(ValueError, match=rejected.reason):
        Frame.decode(raw)
    (shown,) = PROTOCOLS[vector["protocol"]](raw)
    assert (shown["reject"], shown["why"], shown["event"]) == (True, rejected.reason, None)


@pytest.mark.parametrize("vector", SOUND, ids=lambda vector: vector["name"])
def test_a_capture_with_any_bit_of_what_is_summed_or_marked_wrong_is_no_sound_packet(vector: dict[str, Any]) -> None:
    raw = bytes.fromhex(vector["hex"])
    for bit in range(8 * len(raw)):
        spoiled = bytearray(raw)
        spoiled[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError):
            Frame.decode(bytes(spoiled))
        assert not any(isinstance(item, Frame) for item in read(bytes(spoiled)))
