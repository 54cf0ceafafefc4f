"""GB/T 26875.3-2011: data units of every type in both directions: written, read back, counted, bounded, kept raw where unknown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.gb26875 import (
    ANSWERS,
    CONTROLS,
    DIALECTS,
    STANDARD,
    Dialect,
    decode_adu,
    encode_adu,
    room_for,
    write_time,
)
from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.layouts import LAYOUTS
from drivers.codecs.gb26875.tables import QUANTITIES
from tests.codecs.gb_bench import NOON
from tests.codecs.gb_objects import KIND_OF, units


def test_the_generator_knows_every_type_of_the_standard() -> None:
    assert (
        set(KIND_OF)
        == set(LAYOUTS)
        == {*range(1, 9), 21, 24, 25, 26, 28, *range(61, 69), 81, 84, 85, 86, *range(88, 92)}
    )
    assert {61, 62, 63, 64, 65, 66, 67, 68, 81, 84, 85, 86, 88} == set(ANSWERS)
    assert set(ANSWERS) | CONTROLS == {kind for kind in LAYOUTS if kind > 60}


@given(units())
def test_what_is_written_reads_back_the_same_in_every_dialect(sent: tuple[Dialect, int, list[Any]]) -> None:
    dialect, kind, items = sent
    raw = encode_adu(kind, items, dialect)
    unit = decode_adu(raw, dialect)
    if not (
        kind == 6 and len(items) > 1 and items[0].trailing is not None
    ):  # counted texts with tails may read two ways
        assert (unit.type, unit.objects) == (kind, tuple(items))
        assert set(unit.problems) <= {"time", "trailing_time"}
    assert encode_adu(unit.type, unit.objects, dialect, as_received=True) == raw


@given(st.binary(max_size=1024), st.sampled_from(list(DIALECTS.values())))
def test_any_unit_reads_to_something_that_writes_back_the_same_bytes(raw: bytes, dialect: Dialect) -> None:
    unit = decode_adu(raw, dialect, uplink=True)
    assert unit.raw == raw
    assert encode_adu(unit.type, unit.objects, dialect, as_received=True) == raw


@given(
    st.sampled_from([*LAYOUTS, 134, 135, 136]),
    st.integers(0, 255),
    st.binary(max_size=200),
    st.sampled_from(list(DIALECTS.values())),
)
def test_any_body_of_a_known_type_writes_back_the_same_bytes(
    kind: int, count: int, body: bytes, dialect: Dialect
) -> None:
    raw = bytes((kind, count)) + body
    unit = decode_adu(raw, dialect)
    assert encode_adu(unit.type, unit.objects, dialect, as_received=True) == raw


@pytest.mark.parametrize(
    ("kind", "count_max", "size"),
    [
        (1, 102, 10),
        (2, 22, 46),
        (3, 63, 16),
        (4, 102, 10),
        (7, 26, 38),
        (24, 127, 8),
        (61, 102, 2),
        (62, 22, 6),
        (63, 63, 6),
    ],
)
def test_a_unit_takes_what_the_standard_allows_and_not_one_more(kind: int, count_max: int, size: int) -> None:
    dialect = Dialect(adu_max=1024)
    unit = decode_adu(bytes((kind, count_max)) + bytes(count_max * size), dialect)
    assert (len(unit.objects), "count" in unit.problems) == (count_max, False)
    assert len(encode_adu(kind, unit.objects, dialect)) == 2 + count_max * size <= 1024
    assert room_for(kind, dialect) == count_max
    over = decode_adu(bytes((kind, count_max + 1)) + bytes((count_max + 1) * size), dialect)
    assert "count" in over.problems
    with pytest.raises(ValueError, match="1 to"):
        encode_adu(kind, over.objects, dialect)


def test_a_unit_over_the_limit_of_the_centre_is_not_made() -> None:
    many = [kinds.SystemStatus(1, 1, 1, NOON)] * 52
    assert room_for(1) == 51
    assert len(encode_adu(1, many[:51])) == 512
    with pytest.raises(ValueError, match="512"):
        encode_adu(1, many)
    assert (room_for(2), room_for(2, Dialect(description=False)), room_for(26)) == (11, 34, 1)


@pytest.mark.parametrize("kind", [5, 6, 7, 8, 21, 25, 26, 28])
def test_a_time_behind_an_object_that_has_none_is_tolerated_and_told(kind: int) -> None:
    size = LAYOUTS[kind][0].size + LAYOUTS[kind][0].counted
    tag = write_time(NOON, bcd=False)
    plain = bytes((kind, 1)) + (tag.rjust(size, b"\0") if kind in (8, 21, 28) else bytes(size))
    unit = decode_adu(plain + tag)
    assert unit.problems == ("trailing_time",)
    (item,) = unit.objects
    assert getattr(item, "trailing") == NOON  # noqa: B009 - a union of classes
    assert encode_adu(kind, unit.objects) == plain + tag
    assert decode_adu(plain + tag[1:]).problems == ("size",)
    assert decode_adu(plain).problems == ()


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 24, 61, 64, 81, 84, 90, 91])
def test_a_time_behind_any_other_object_does_not_add_up(kind: int) -> None:
    unit = decode_adu(bytes((kind, 1)) + bytes(LAYOUTS[kind][0].size + 6))
    assert unit.problems == ("size",)
    assert unit.objects == (kinds.Opaque(1, bytes(LAYOUTS[kind][0].size + 6)),)


def test_component_status_without_its_description_is_read_by_its_size_and_sent_where_the_dialect_says_so() -> None:
    item = kinds.ComponentStatus(1, 1, 40, bytes(4), 2, b"", NOON)
    fubei = DIALECTS["fubei-2018"]
    raw = encode_adu(2, [item], fubei)
    assert len(raw) == 2 + 15
    assert decode_adu(raw).objects == decode_adu(raw, fubei).objects == (item,)
    with pytest.raises(ValueError, match="description"):
        encode_adu(2, [item])
    whole = kinds.ComponentStatus(1, 1, 40, bytes(4), 2, bytes(31), NOON)
    with pytest.raises(ValueError, match="description"):
        encode_adu(2, [item, whole], fubei)


def test_recovery_by_user_type_is_read_where_the_dialect_has_it_and_raw_where_not() -> None:
    item = kinds.SystemStatus(1, 1, 2, NOON)
    jk = DIALECTS["jk-gh2013g"]
    raw = encode_adu(134, [item], jk)
    assert decode_adu(raw, jk).objects == (item,)
    unit = decode_adu(raw)
    assert (unit.objects, unit.problems) == ((kinds.Opaque(1, raw[2:]),), ())
    assert encode_adu(134, unit.objects) == raw
    with pytest.raises(ValueError, match="Opaque"):
        encode_adu(134, [item])


@pytest.mark.parametrize("kind", [9, 20, 22, 23, 27, 29, 60, 69, 80, 82, 83, 87, 92, 127, 0, 255])
def test_a_reserved_type_is_kept_raw_and_told(kind: int) -> None:
    unit = decode_adu(bytes((kind, 1, 5)))
    assert (unit.objects, unit.problems) == ((kinds.Opaque(1, b"\x05"),), ("reserved_type",))


def test_units_of_no_and_of_one_byte() -> None:
    assert (decode_adu(b"").objects, decode_adu(b"").problems) == ((), ())
    assert encode_adu(-1, ()) == b""
    unit = decode_adu(b"\x16")  # the handshake of one peer
    assert (unit.type, unit.objects, unit.problems) == (22, (kinds.Opaque(None, b""),), ("short",))


def test_a_type_of_the_other_side_is_told() -> None:
    question = encode_adu(61, [kinds.SystemQuery(1, 1)])
    assert [decode_adu(question, uplink=up).problems for up in (None, False, True)] == [(), (), ("direction",)]
    status = encode_adu(21, [kinds.DeviceStatus(1, NOON)])
    assert [decode_adu(status, uplink=up).problems for up in (None, False, True)] == [(), ("direction",), ()]


@pytest.mark.parametrize(
    ("kind", "low", "high"), [(kind, one.raw_min, one.raw_max) for kind, one in QUANTITIES.items()]
)
def test_a_value_out_of_range_is_an_error_never_clamped(kind: int, low: int, high: int) -> None:
    def value(raw: int) -> kinds.AnalogueValue:
        return kinds.AnalogueValue(1, 1, 30, bytes(4), kind, raw, NOON)

    for raw in (low, high):
        assert decode_adu(encode_adu(3, [value(raw)])).problems == ()
    for raw in (low - 1, high + 1):
        with pytest.raises(ValueError, match="outside"):
            encode_adu(3, [value(raw)])
        received = encode_adu(3, [value(raw)], as_received=True)
        assert decode_adu(received).problems == ("range",)
    quantity = QUANTITIES[kind]
    assert quantity.raw_of(high / quantity.divide) == high
    for wrong in (high / quantity.divide + 1, low / quantity.divide - 1, float("nan"), float("inf")):
        with pytest.raises(ValueError):
            quantity.raw_of(wrong)


def test_table_six_in_its_units() -> None:
    tried = {3: (80.0, 800), 5: (1600.0, 16000), 2: (3.25, 325), 9: (0.3, 3), 12: (20, 20), 6: (100, 1000)}
    assert {kind: (value, QUANTITIES[kind].raw_of(value)) for kind, (value, _) in tried.items()} == tried
    assert all(QUANTITIES[kind].value_of(raw) == value for kind, (value, raw) in tried.items())


def test_residual_current_needs_a_type_agreed_with_the_centre() -> None:
    agreed = Dialect(residual_current_type=0x9A, residual_current_step_ma=5)
    quantity = agreed.quantity(0x9A)
    assert quantity is not None
    assert (quantity.raw_of(300), quantity.value_of(60), quantity.unit) == (60, 300.0, "mA")
    assert STANDARD.quantity(0x9A) is None


@pytest.mark.parametrize(
    "item",
    [
        kinds.ComponentStatus(1, 1, 40, bytes(3), 2, bytes(31), NOON),
        kinds.ComponentStatus(1, 1, 40, bytes(4), 2, bytes(30), NOON),
        kinds.ComponentStatus(1, 1, 40, bytes(4), 0x10000, bytes(31), NOON),
        kinds.ComponentStatus(256, 1, 40, bytes(4), 2, bytes(31), NOON),
        kinds.ComponentStatus(1, 1, 40, bytes(4), 2, bytes(31), bytes(5)),
        kinds.SystemStatus(1, 1, 2, NOON),
        kinds.Opaque(1, bytes(46)),
    ],
)
def test_an_object_that_does_not_fit_its_type_is_an_error(item: Any) -> None:
    with pytest.raises(ValueError):
        encode_adu(2, [item])


def test_texts_over_their_length_byte_are_an_error() -> None:
    assert len(encode_adu(26, [kinds.DeviceConfiguration(bytes(255))])) == 258
    with pytest.raises(ValueError, match="255"):
        encode_adu(26, [kinds.DeviceConfiguration(bytes(256))])
