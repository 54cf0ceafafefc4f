"""GB/T 26875.3-2011: times, addresses, texts, and the dialects that say how they lie."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.gb26875 import (
    DIALECTS,
    STANDARD,
    Dialect,
    cut,
    device_address,
    join_component,
    read_text,
    read_time,
    show_device,
    split_component,
    write_description,
    write_time,
)
from drivers.codecs.gb26875.addresses import ANYONE, DEVICE_STYLES, ComponentAddress
from drivers.codecs.gb26875.times import NO_CLOCK
from tests.codecs.gb_bench import NOON


@given(st.binary(min_size=6, max_size=6), st.booleans())
def test_any_time_tag_is_a_time_or_itself_and_writes_back_the_same(raw: bytes, bcd: bool) -> None:
    assert write_time(read_time(raw, bcd=bcd), bcd=bcd) == raw


def test_times_in_both_codings() -> None:
    assert read_time(bytes.fromhex("023A091A090C"), bcd=False) == datetime(2012, 9, 26, 9, 58, 2)
    assert read_time(bytes.fromhex("153014240826"), bcd=True) == datetime(2026, 8, 24, 14, 30, 15)
    for odd in (
        NO_CLOCK,
        ANYONE,
        bytes.fromhex("3C0000010101"),
        bytes.fromhex("0000001E0214"),
        bytes.fromhex("000000010164"),
    ):
        assert read_time(odd, bcd=False) == odd
    assert read_time(bytes.fromhex("1A0000010101"), bcd=True) == bytes.fromhex("1A0000010101")


@pytest.mark.parametrize(
    "at", [datetime(1999, 12, 31), datetime(2100, 1, 1), NOON.replace(tzinfo=timezone(timedelta(hours=8))), b"12345"]
)
def test_a_time_that_fits_no_tag_is_an_error(at: Any) -> None:
    with pytest.raises(ValueError):
        write_time(at, bcd=False)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.sampled_from(["loop-point", "point-loop"]))
def test_loop_and_point_lie_where_the_dialect_says(loop: int, point: int, style: Any) -> None:
    raw = join_component(loop, point, style)
    assert split_component(raw, style) == ComponentAddress(loop=loop, point=point)
    halves = (loop, point) if style == "loop-point" else (point, loop)
    assert raw == b"".join(half.to_bytes(2, "little") for half in halves)


def test_the_other_styles_of_a_component_address() -> None:
    raw = bytes.fromhex("0A000200")
    assert split_component(raw, "u32") == ComponentAddress(number=131082)
    assert split_component(raw, "raw") == ComponentAddress()
    assert join_component(2, 10, "u32") == raw
    with pytest.raises(ValueError, match="16 bits"):
        join_component(0x10000, 1, "loop-point")


def test_the_address_style_and_the_tail_are_those_of_the_dialect() -> None:
    raw = bytes.fromhex("0A000200")
    assert split_component(raw, DIALECTS["fubei-2018"].component_address) == ComponentAddress(loop=2, point=10)
    assert split_component(raw, STANDARD.component_address) == ComponentAddress(loop=10, point=2)
    assert (STANDARD.tail(NOON), Dialect(trailing_time=True).tail(NOON)) == (None, NOON)


@given(st.binary(min_size=6, max_size=6), st.sampled_from(DEVICE_STYLES))
def test_a_device_address_reads_and_writes_in_every_style(raw: bytes, style: Any) -> None:
    assert device_address(show_device(raw, style), style) == raw


def test_device_addresses_of_the_captures() -> None:
    assert device_address(889) == bytes.fromhex("790300000000")
    assert device_address("889", "high-first") == bytes.fromhex("000000000379")
    assert device_address("C0A801046D1D", "wire") == bytes.fromhex("C0A801046D1D")
    for wrong in (("x", "integer"), (1 << 48, "integer"), (-1, "integer"), ("0102", "wire")):
        with pytest.raises(ValueError):
            device_address(*wrong)  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_a_description_has_31_bytes_and_no_half_character(text: str) -> None:
    raw = write_description(text)
    assert len(raw) == 31
    assert "\ufffd" not in raw.rstrip(b"\0").decode("gb18030", "replace").replace(
        "\ufffd" if "\ufffd" in text else "\0", ""
    )


def test_a_description_is_cut_between_characters_of_two_and_four_bytes() -> None:
    assert write_description("火" * 16) == "火".encode("gb18030") * 15 + b"\0"
    assert write_description("a" + "火" * 16) == b"a" + "火".encode("gb18030") * 15
    assert write_description("𠮷" * 8).rstrip(b"\0") == "𠮷".encode("gb18030") * 7
    assert cut("三楼东侧烟感\n故障", 255) == "三楼东侧烟感 故障".encode("gb18030")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (bytes(31), ""),
        (b" " * 30 + b"\0", ""),
        ("常闭门".encode("gb18030").rjust(23, b"\0") + b" " * 8, "常闭门"),
        ("三楼".encode("gb18030") + b"\0" + b"\xff\xfe leftovers", "三楼"),
        (("火" * 16).encode("gb18030")[:31], "火" * 15),
        (b"\xff\xfe\xfd\0" + "三楼".encode("gb18030"), "三楼"),
        (b"\xff\xfe\xfd", ""),
        (b"F9164-T_V1.0 Nov 16 2018 15:34\0", "F9164-T_V1.0 Nov 16 2018 15:34"),
    ],
)
def test_descriptions_of_the_field_are_read(raw: bytes, text: str) -> None:
    assert read_text(raw) == text


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": "unix"},
        {"component_address": "zone"},
        {"device_address": "ip"},
        {"recovery": "none"},
        {"keepalive": "ping"},
        {"adu_max": 1025},
        {"adu_max": 40},
        {"user_version": 256},
        {"recovery_types": (134, 134, 136)},
        {"recovery_types": (21, 135, 136)},
        {"residual_current_type": 9},
        {"residual_current_step_ma": 0},
        {"keepalive_s": 0},
    ],
)
def test_a_dialect_that_is_none_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Dialect(**wrong)
