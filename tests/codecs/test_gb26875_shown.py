"""GB/T 26875.3-2011: what `edge-agent decode` shows of packets and units, and which event they are."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.gb26875 import (
    DIALECTS,
    STANDARD,
    Dialect,
    Frame,
    encode_adu,
)
from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.registry import PROTOCOLS
from drivers.vocabulary import EVENTS
from tests.codecs.gb_bench import NOON, frame
from tests.codecs.gb_objects import frames, units


@given(
    st.one_of(st.binary(max_size=200), frames.map(Frame.encode)),
    st.sampled_from(["gb26875.3", "gb26875.3-dialect", "gb26875.3-adu"]),
)
def test_any_bytes_are_shown_and_every_event_is_a_word_of_the_house(data: bytes, protocol: str) -> None:
    shown = PROTOCOLS[protocol](data)
    assert shown or not data
    json.dumps(shown)
    assert all(one["event"] is None or one["event"] in EVENTS for one in shown)


@given(units())
def test_every_unit_of_every_type_is_shown(sent: tuple[Dialect, int, list[Any]]) -> None:
    dialect, kind, items = sent
    raw = frame(adu=encode_adu(kind, items, dialect)).encode()
    (shown,) = PROTOCOLS["gb26875.3-dialect"](raw)
    json.dumps(shown)
    assert shown["adu"]["type"] == kind  # type: ignore[index]


def _event(kind: int, *items: Any, dialect: Dialect = STANDARD, protocol: str = "gb26875.3") -> object:
    return PROTOCOLS[protocol](frame(adu=encode_adu(kind, items, dialect)).encode())[0]["event"]


def test_the_gravest_thing_a_packet_tells_is_its_event() -> None:
    def part(kind: int, status: int) -> kinds.ComponentStatus:
        return kinds.ComponentStatus(1, 1, kind, bytes(4), status, bytes(31), NOON)

    assert _event(2, part(40, 2)) == _event(2, part(40, 3)) == "fire"  # bit 0 says nothing
    assert _event(2, part(40, 0)) is _event(2, part(40, 1)) is None
    assert _event(2, part(40, 4), part(40, 2)) == "fire"
    assert [_event(2, part(kind, 2)) for kind in (23, 11, 17, 74)] == [
        "fire_manual",
        "gas_alarm",
        "electrical_alarm",
        "fire",
    ]
    bits = ["fault", "isolate", "supervisory", "start", "feedback", "delay", "fault"]
    assert [_event(2, part(40, 1 << bit)) for bit in range(2, 9)] == bits
    system = [_event(1, kinds.SystemStatus(1, 1, 1 << bit, NOON)) for bit in range(8, 14)]
    assert system == ["mains_fault", "battery_fault", "fault", None, None, "reset"]
    device = [_event(21, kinds.DeviceStatus(1 << bit, NOON)) for bit in range(7)]
    assert device == [None, "fire", "fault", "mains_fault", "battery_fault", "fault", "fault"]
    facility = [_event(4, kinds.FacilityOperation(1, 1, 1 << bit, 1, NOON)) for bit in range(7)]
    assert facility == ["reset", "silence", "fire_manual", "fire_cancel", "test", "acknowledge", "test"]
    assert _event(24, kinds.DeviceOperation(1 << 5, 1, NOON)) is None
    jk = DIALECTS["jk-gh2013g"]
    over = [_event(135, part(kind, 2), dialect=jk, protocol="gb26875.3-dialect") for kind in (40, 11, 17)]
    assert over == ["fire_restore", "gas_restore", "electrical_restore"]


def test_a_unit_that_does_not_add_up_is_refused_by_name() -> None:
    decode = PROTOCOLS["gb26875.3-adu"]
    for unit, why in ((b"\x16", "short"), (b"\x09\x01\x00", "reserved_type"), (b"\x01\x01\x00", "size")):
        (shown,) = decode(unit)
        assert (shown["reject"], shown["why"]) == (True, why)
    (user,) = decode(b"\x80\x01\x00")
    assert (user.get("reject"), user["body_hex"]) == (None, "00")
