"""GB/T 26875.3-2011: captured packets, every type in both directions, any slicing of the stream, damage of every kind."""

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.gb26875 import (
    ANSWERS,
    CONTROLS,
    DIALECTS,
    STANDARD,
    Command,
    Dialect,
    Frame,
    FrameReader,
    Rejected,
    cut,
    decode_adu,
    device_address,
    encode_adu,
    join_component,
    read_text,
    read_time,
    room_for,
    show_device,
    split_component,
    write_description,
    write_time,
)
from drivers.codecs.gb26875 import objects as kinds
from drivers.codecs.gb26875.addresses import ANYONE, DEVICE_STYLES, ComponentAddress
from drivers.codecs.gb26875.layouts import LAYOUTS
from drivers.codecs.gb26875.reader import NOISE_BYTES_MAX, PARTIAL_S
from drivers.codecs.gb26875.tables import COMMANDS, QUANTITIES
from drivers.codecs.gb26875.times import NO_CLOCK
from drivers.codecs.registry import PROTOCOLS
from drivers.vocabulary import EVENTS
from tests.codecs.gb_objects import KIND_OF, frames, units

CAPTURES = Path(__file__).parents[1] / "captures"
VECTORS: list[dict[str, Any]] = [
    vector for path in sorted(CAPTURES.glob("gb26875*.json")) for vector in json.loads(path.read_text("utf-8"))
]
SOUND = [vector for vector in VECTORS if vector["meaning"]["valid"] and vector["protocol"] != "gb26875.3-adu"]
INVALID = [vector for vector in VECTORS if not vector["meaning"]["valid"]]
UNITS = [vector for vector in VECTORS if vector["protocol"] == "gb26875.3-adu"]
FOREVER_NS = 1 << 62
FIRE = bytes.fromhex(SOUND[0]["hex"])
NOON = datetime(2026, 11, 25, 12, 0, 0)


def read(data: bytes, **settings: Any) -> list[Frame | Rejected]:
    reader = FrameReader(**settings)
    return reader.feed(data, 0) + reader.tick(FOREVER_NS)


def frame(**changed: Any) -> Frame:
    sound: dict[str, Any] = {"serial": 7, "sent": NO_CLOCK, "source": bytes(6), "target": ANYONE, "command": 2}
    return Frame(**(sound | changed))


# --- captures


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


# --- objects


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


# --- times, addresses, texts


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


# --- packets


@given(frames)
def test_any_packet_reads_back_the_same(sent: Frame) -> None:
    raw = sent.encode()
    assert Frame.decode(raw) == sent
    assert read(raw) == [sent]
    assert len(raw) == 30 + len(sent.adu)


@given(
    st.lists(
        st.one_of(frames.map(Frame.encode), st.binary(max_size=40), st.just(b"@@"), st.just(FIRE[:40])), max_size=5
    ),
    st.lists(st.integers(0, 4000), max_size=12),
)
def test_any_slicing_of_the_stream_gives_the_same_packets_and_refusals(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    reader, found, at = FrameReader(), list[Frame | Rejected](), 0
    for end in [*sorted({cut_ % (len(stream) + 1) for cut_ in cuts}), len(stream)]:
        found += reader.feed(stream[at:end], 0)
        at = end
        assert reader.held_bytes() < 1054 + NOISE_BYTES_MAX
    assert found + reader.tick(FOREVER_NS) == read(stream)
    assert reader.deadline_ns() is None


@given(st.lists(frames, min_size=1, max_size=4), st.binary(max_size=30).filter(lambda noise: b"@" not in noise))
def test_packets_glued_together_behind_noise_are_all_found(sent: list[Frame], noise: bytes) -> None:
    found = read(noise + b"".join(one.encode() for one in sent))
    assert [item for item in found if isinstance(item, Frame)] == sent
    assert [item.raw for item in found if isinstance(item, Rejected)] == ([noise] if noise else [])


def test_byte_by_byte_comes_to_the_same() -> None:
    reader, found = FrameReader(), list[Frame | Rejected]()
    for value in FIRE * 2:
        found += reader.feed(bytes((value,)), 0)
    assert found == [Frame.decode(FIRE)] * 2
    assert reader.held_bytes() == 0


def test_start_and_end_marks_inside_a_packet_split_nothing() -> None:
    inner = frame(adu=b"\x80\x01" + b"@@##" * 20 + b"#")
    assert read(inner.encode() * 2) == [inner, inner]


@pytest.mark.parametrize(
    ("spoil", "reason", "answerable"),
    [
        (lambda raw: raw[:-3] + bytes((raw[-3] ^ 1,)) + raw[-2:], "checksum", True),
        (lambda raw: raw[:-1] + b"!", "end", False),
        (lambda raw: raw[:24] + b"\x01\x04" + raw[26:], "length", False),
        (lambda raw: raw[:-1], "partial", False),
        (lambda raw: raw[:28], "partial", False),
        (lambda raw: b"!" + raw[1:], "noise", False),
    ],
)
def test_each_check_error_is_named_and_a_sound_packet_behind_it_is_found(
    spoil: Any, reason: str, answerable: bool
) -> None:
    spoiled = spoil(FIRE)
    alone = read(spoiled)
    assert [getattr(item, "reason", None) for item in alone[:1]] == [reason]
    assert not any(isinstance(item, Frame) for item in alone)
    behind = read(spoiled + FIRE)
    assert [item for item in behind if isinstance(item, Frame)] == [Frame.decode(FIRE)]
    (first,) = [item for item in alone if isinstance(item, Rejected)][:1]
    assert (first.frame is not None) == answerable
    if first.frame is not None:
        assert first.frame.answer(Command.DENY, NO_CLOCK).serial == Frame.decode(FIRE).serial


def test_a_reserved_command_is_a_check_error_unless_the_dialect_uses_it() -> None:
    for command in set(range(256)) - COMMANDS:
        sent = frame(command=command)
        assert read(sent.encode()) == [Rejected("command", sent.encode(), sent)]
        with pytest.raises(ValueError, match="command"):
            Frame.decode(sent.encode())
    keepalive = frame(command=7)
    assert read(keepalive.encode(), extra_commands=DIALECTS["dahua-1.03"].extra_commands) == [keepalive]


def test_a_sound_packet_inside_a_damaged_one_is_found() -> None:
    inner = frame(serial=9, adu=b"\x51\x01\x00")
    outer = frame(adu=b"\x80\x01" + inner.encode()).encode()
    assert [item for item in read(outer) if isinstance(item, Frame)] == [Frame.decode(outer)]
    damaged = outer[:-3] + bytes((outer[-3] ^ 0xFF,)) + outer[-2:]
    found = read(damaged)
    assert isinstance(found[0], Rejected)
    assert found[1:] == [inner]


def test_a_half_packet_is_dropped_after_ten_seconds_and_the_next_one_is_sound() -> None:
    reader = FrameReader()
    assert reader.feed(FIRE[:40], 0) == []
    assert reader.deadline_ns() == round(PARTIAL_S * 1e9) == 10_000_000_000
    assert reader.tick(9_999_999_999) == []
    assert reader.feed(FIRE[40:50], 9_999_999_999) == []  # a drop of bytes does not buy it more time
    assert reader.tick(10_000_000_000) == [Rejected("partial", FIRE[:50])]
    assert reader.deadline_ns() is None
    assert reader.feed(FIRE, 10_000_000_001) == [Frame.decode(FIRE)]


def test_a_whole_packet_caught_behind_a_half_one_comes_out_when_that_one_is_given_up() -> None:
    half = frame(adu=bytes(500)).encode()[:100]
    reader = FrameReader()
    assert reader.feed(half, 0) == []
    assert reader.feed(FIRE + FIRE[:20], 4_000_000_000) == []
    given_up = reader.tick(10_000_000_000)
    assert given_up == [Rejected("partial", half + FIRE + FIRE[:20]), Frame.decode(FIRE)]
    assert reader.deadline_ns() == 14_000_000_000  # the second half one came later and keeps its own time
    assert reader.feed(FIRE[20:], 13_000_000_000) == [Frame.decode(FIRE)]


def test_noise_is_told_in_pieces_and_never_kept_for_ever() -> None:
    reader = FrameReader()
    found = reader.feed(b"!" * 600, 0)
    assert [len(item.raw) for item in found if isinstance(item, Rejected)] == [256, 256]
    assert reader.deadline_ns() == 10_000_000_000
    assert reader.tick(10_000_000_000) == [Rejected("noise", b"!" * 88)]
    assert reader.held_bytes() == 0


def test_a_line_of_start_marks_is_refused_in_pieces_not_byte_by_byte() -> None:
    assert len(read(b"@" * 2700)) <= 2700 // 27 + 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"serial": 65536},
        {"serial": -1},
        {"command": 256},
        {"version": 256},
        {"sent": b""},
        {"source": bytes(5)},
        {"target": bytes(7)},
        {"adu": bytes(1025)},
    ],
)
def test_a_packet_that_does_not_fit_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        frame(**wrong).encode()


def test_an_answer_repeats_the_serial_number_and_swaps_the_addresses() -> None:
    sent = Frame.decode(FIRE)
    confirm = sent.answer(Command.CONFIRM, write_time(NOON, bcd=False))
    assert (confirm.serial, confirm.command, confirm.adu) == (sent.serial, 3, b"")
    assert (confirm.source, confirm.target) == (sent.target, sent.source)


# --- what decode shows


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
