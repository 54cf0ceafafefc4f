"""What the panel codecs promise whatever a line brings: any slicing, noise, damage, repeats, bounds."""

import itertools
import json
import random
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs.base import HELD_BYTES_MAX, Codec, Frame, Refused
from drivers.codecs.gst100_printer import encode_record as gst100_record
from drivers.codecs.gst_crt500 import encode_event as crt500_event
from drivers.codecs.gst_layer_bus import encode_event as bus_event
from drivers.codecs.gst_utd_digit import encode_event as utd_event
from drivers.codecs.jb3208_crt import encode_event as jb3208_event
from drivers.codecs.jbf_11s_old import encode_event as jbf_event
from drivers.codecs.registry import PROTOCOLS, build_codec
from drivers.codecs.siemens_ct11 import encode as ct11_block
from drivers.codecs.simplex_cpi import encode as simplex_message
from drivers.profile import load_profiles

CAPTURES = Path(__file__).parents[1] / "captures"
PROFILES = load_profiles(())
MS = 10**6
PANELS = [profile.name for profile in PROFILES.list() if profile.kind == "panel"]


def examples(name: str, event: str = "") -> list[bytes]:
    """The examples of a profile, all or those of an event."""
    tables = PROFILES.get(name).data["example"]
    assert isinstance(tables, list)
    return [bytes.fromhex(one["hex"]) for one in tables if not event or one["expect"].get("event") == event]


def captured(name: str) -> list[bytes]:
    file = CAPTURES / f"{name}.json"
    vectors = json.loads(file.read_text("utf-8")) if file.is_file() else []
    return [
        bytes.fromhex(v["data"]) if v["encoding"] == "hex" else v["data"].encode(v["encoding"])
        for v in vectors
        if not v["meaning"].get("reject") and v["meaning"].get("direction") not in ("host_to_panel", "host_to_card")
    ]


FRAMES = {name: captured(name) + examples(name) for name in PANELS}
FIRES = {name: (examples(name, "fire") or examples(name, "electrical_alarm") or FRAMES[name])[0] for name in PANELS}
FIRES |= {
    "gst-layer-bus": bus_event(0x15, "365089", 3, "5#楼"),
    "gst-crt500": crt500_event(0x0D, "001004", 3, 1),
    "jbf-11s-old": jbf_event(0x0A, 27, 164),
    "gst-utd-digit": utd_event(0x0001, 304, 19),
}
protocols = st.sampled_from(PANELS)
noises = st.one_of(st.binary(max_size=12), st.sampled_from([b"\xaa", b"\xff\xff", b"\x0d\xdd", b"\xaa\x15", b"\x01"]))


def codec(name: str) -> Codec:
    return build_codec(PROFILES.get(name))


def settle(one: Codec, pieces: list[bytes]) -> list[Frame | Refused]:
    found = [item for piece in pieces for item in one.feed(piece, 5)]
    return found + one.tick(10**12)


@st.composite
def streams(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(protocols)
    parts: list[bytes] = []
    for frame in draw(st.lists(st.sampled_from(FRAMES[name]), max_size=6)):
        cut = draw(st.one_of(st.none(), st.integers(0, len(frame))))
        parts += [draw(noises), frame if cut is None else frame[:cut]]
    return name, b"".join(parts) + draw(noises)


@settings(max_examples=150)
@given(stream=streams(), cuts=st.lists(st.integers(0, 400), max_size=30))
def test_any_slicing_of_the_stream_gives_the_same_result(stream: tuple[str, bytes], cuts: list[int]) -> None:
    name, data = stream
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    whole = settle(codec(name), [data])
    plain = [(type(item), item.raw, dict(item.fields)) for item in whole]
    for sliced in (pieces, [bytes((value,)) for value in data]):
        found = settle(codec(name), sliced)
        assert [(type(item), item.raw, dict(item.fields)) for item in found] == plain


@settings(max_examples=100)
@given(stream=streams())
def test_no_byte_disappears(stream: tuple[str, bytes]) -> None:
    name, data = stream
    kept = sum(len(item.raw) for item in settle(codec(name), [data]))
    filler = (
        data.count(b"\xff") if name == "jbf-11s-old" else data.count(b"\n") + data.count(b" ") + data.count(b"\x1b") * 2
    )
    blanks = sum(value < 0x20 or value == 0x7F for value in data) if name == "gst9000-printer" else 0
    assert kept >= len(data) - filler - blanks


@settings(max_examples=300)
@given(name=protocols, pieces=st.lists(st.binary(max_size=300), max_size=8))
def test_arbitrary_bytes_never_raise_and_never_pile_up(name: str, pieces: list[bytes]) -> None:
    one = codec(name)
    for number, piece in enumerate(pieces):
        for item in one.feed(piece, number * 50 * MS):
            assert isinstance(item, Frame) or item.why.isascii()
        assert one.held_bytes() <= HELD_BYTES_MAX
    one.tick(10**12)
    assert one.held_bytes() == 0
    PROTOCOLS[name](b"".join(pieces))


@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("value", [0x00, 0x01, 0x0D, 0xAA, 0xBB, 0xFB, 0xFF, 0x0A, 0x20, 0x41])
def test_a_flood_of_one_byte_is_cheap(name: str, value: int) -> None:
    one = codec(name)
    tracemalloc.start()
    began = time.process_time()
    for _ in range(8):
        one.feed(bytes((value,)) * 512, 0)
    took_s = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took_s < 1.0  # 8 inputs under tracing, on a loaded machine; quadratic work would take minutes
    assert peak < 8 * 2**20
    assert one.held_bytes() <= HELD_BYTES_MAX


@pytest.mark.parametrize("name", PANELS)
@settings(max_examples=60)
@given(noise=st.binary(min_size=1, max_size=8))
def test_a_fire_behind_noise_is_told(name: str, noise: bytes) -> None:
    if name == "lida-ld128e":  # no checksum: noise that is itself a command swallows what follows it
        noise = bytes(0x60 + value % 8 for value in noise)
    if name == "gst9000-printer":
        noise += b"\n\n"
    one = codec(name)
    events = [item.event for item in settle(one, [noise + FIRES[name]]) if isinstance(item, Frame)]
    # An electrical host has no fire, and text glued to noise is an alarm of unknown kind: loud all the same.
    assert {"fire", "electrical_alarm", "unknown"} & {*events}


@pytest.mark.parametrize("name", ["gst-layer-bus", "jbf-11s-old", "gst-crt500"])
def test_a_fire_behind_a_truncated_frame_is_told(name: str) -> None:
    fire = FIRES[name]
    for cut in range(1, len(fire)):
        found = settle(codec(name), [FRAMES[name][0][:cut], fire])
        assert [item.event for item in found if isinstance(item, Frame) and item.raw == fire] == ["fire"], cut


@pytest.mark.parametrize("name", ["gst-layer-bus", "jbf-11s-old", "gst-crt500"])
def test_no_single_changed_bit_turns_a_fault_into_a_fire(name: str) -> None:
    fault = {
        "gst-layer-bus": bus_event(0x21, "100240", 40, "5#楼西"),
        "jbf-11s-old": jbf_event(0x0B, 1, 139),
        "gst-crt500": crt500_event(0x0E, "001006", 3, 0),
    }[name]
    for bit in range(len(fault) * 8):
        changed = bytearray(fault)
        changed[bit // 8] ^= 1 << bit % 8
        events = [item.event for item in settle(codec(name), [bytes(changed)]) if isinstance(item, Frame)]
        if name == "gst-crt500" and bit // 8 < 2:
            continue  # two header bytes that agree are its only mark of the kind; the sum leaves them out
        assert "fire" not in events, bit


# -- GST floor-display bus ---------------------------------------------------------------------------------------
def events(found: list[Frame | Refused]) -> list[str]:
    return [item.event for item in found if isinstance(item, Frame) and item.event is not None]


def test_three_copies_are_one_event_and_the_same_fire_later_is_another() -> None:
    one, fire = codec("gst-layer-bus"), FIRES["gst-layer-bus"]
    assert events([item for at in (0, 100, 200) for item in one.feed(fire, at * MS)]) == ["fire"]
    assert events([item for at in (2000, 2100, 2200) for item in one.feed(fire, at * MS)]) == ["fire"]


def test_the_same_fire_right_after_a_reset_is_a_new_one() -> None:
    one, fire, reset = codec("gst-layer-bus"), FIRES["gst-layer-bus"], bytes.fromhex("AA045555555502")
    stream = [fire, fire, fire, reset, reset, reset, fire, fire, fire]
    assert events([item for at, data in enumerate(stream) for item in one.feed(data, at * 50 * MS)]) == [
        "fire",
        "reset",
        "fire",
    ]


def test_two_points_at_once_are_two_events() -> None:
    one, other = codec("gst-layer-bus"), bus_event(0x15, "365090", 3, "5#楼")
    assert len(events(one.feed((FIRES["gst-layer-bus"] + other) * 3, 0))) == 2


def test_a_copy_with_damaged_text_is_still_the_same_event() -> None:
    fire = FIRES["gst-layer-bus"]
    damaged = fire[:12] + b"\x99" + fire[13:]
    for order in ((fire, damaged, fire), (damaged, fire, fire), (damaged, damaged, fire)):
        one = codec("gst-layer-bus")
        assert events([item for at, data in enumerate(order) for item in one.feed(data, at * 100 * MS)]) == ["fire"]


def test_a_header_that_checks_is_told_although_the_line_broke_off() -> None:
    found = settle(codec("gst-layer-bus"), [FIRES["gst-layer-bus"][:15]])
    assert events(found) == ["fire"]
    assert found[0].fields["sum_ok"] is False


# -- Leader ------------------------------------------------------------------------------------------------------
def test_bytes_on_either_side_of_a_pause_make_no_message() -> None:
    one = codec("lida-ld128e")
    found = one.feed(b"\x01\x14", 0) + one.feed(b"\xd0\x7f", 200 * MS)
    assert events(found + one.tick(10**12)) == []
    assert isinstance(found[0], Refused)


def test_on_a_line_of_noise_no_noise_becomes_a_fire() -> None:
    chance, one, told = random.Random(7), codec("lida-ld128e"), 0
    for burst in range(3000):
        # Each burst starts with a byte that is no answer, as with a wrong baud rate.
        found = one.feed(b"\x60" + chance.randbytes(12), burst * 200 * MS)
        told += len(events(found))
    assert told <= 10  # before it is known to be noisy


def test_a_quiet_line_again_is_believed_again() -> None:
    one = codec("lida-ld128e")
    for burst in range(20):
        one.feed(b"\x60\x61", burst * 200 * MS)
    assert events(one.feed(b"\x01\x14\xd0", 10_000 * MS)) == ["fire"]
    assert events(one.feed(b"\x60\x01\x14\xd0", 300_000 * MS)) == ["fire"]


# -- GST CRT500 --------------------------------------------------------------------------------------------------
def test_a_frame_sent_again_by_the_panel_is_told_once() -> None:
    one, fire = codec("gst-crt500"), FIRES["gst-crt500"]
    again = b"\xfd" + fire[1:]
    assert events(one.feed(fire, 0) + one.feed(again, 500 * MS)) == ["fire"]
    assert events(one.feed(again, 60_000 * MS)) == ["fire"]  # an original we never had
    assert events(one.feed(fire, 60_100 * MS)) == ["fire"]  # not marked as sent again: a new alarm


def test_an_unknown_status_of_a_detector_is_an_unknown_alarm() -> None:
    found = settle(codec("gst-crt500"), [crt500_event(0x0D, "001004", 3, 0x77)])
    assert events(found) == ["unknown"]


# -- printer -----------------------------------------------------------------------------------------------------
def printed(text: str) -> list[Frame | Refused]:
    return settle(codec("gst9000-printer"), [text.encode("gb18030")])


def test_a_fire_is_told_with_the_line_that_completes_it() -> None:
    one = codec("gst9000-printer")
    lines = "08/12/02  17:24\n  004-004\n首次火警\n大堂\n感烟探测器\n".encode("gb18030")
    assert one.feed(lines[:-1], 0) == []
    assert events(one.feed(lines[-1:], 1)) == ["fire"]


def test_a_record_that_never_ends_is_told_after_a_pause() -> None:
    one = codec("gst9000-printer")
    assert one.feed("  004-004\n首次火警\n大".encode("gb18030"), 0) == []
    due = one.deadline_ns()
    assert due is not None
    found = one.tick(due)
    assert events(found) == ["fire"]
    assert (found[0].fields["loop"], found[0].fields["location_text"]) == (4, "大")


def test_records_without_blank_lines_do_not_swallow_each_other() -> None:
    found = printed(
        "08/12/02  17:24\n 001-001\n火警\n08/12/02  17:24\n 001-002\n故障\n 001-003\n火警后续\n厨房\n感温\n"
    )
    assert [(item.fields["point"], item.event) for item in found if isinstance(item, Frame)] == [
        (1, "fire"),
        (2, "fault"),
        (3, "fire"),
    ]


@pytest.mark.parametrize(
    "text",
    ["疑似火警\n\n", "火警??恢复中\n\n", "1号机火警\n故障\n\n", "FIRE IN HALL\n\n", "xx首警yy\n\n", "故障火警\n\n"],
)
def test_text_that_speaks_of_fire_and_does_not_parse_is_an_unknown_alarm(text: str) -> None:
    found = printed(text)
    assert events(found) == ["unknown"]
    assert found[0].raw.decode("gb18030").strip() == text.strip()


def test_a_torn_character_does_not_hide_a_fire() -> None:
    found = settle(codec("gst9000-printer"), [b"\xb0" + "火警".encode("gb18030") + b"\n\n"])
    assert events(found) in (["unknown"], ["fire"])


def test_utf8_text_that_speaks_of_fire_is_an_unknown_alarm() -> None:
    assert events(settle(codec("gst9000-printer"), ["二层 火警!\n\n".encode()])) == ["unknown"]


def test_fire_in_the_name_of_a_place_or_device_is_no_alarm() -> None:
    assert events(printed("001-001\n故障\n火警广播室\n火灾显示盘\n")) == ["fault"]


def test_undecodable_text_is_shown_with_marks_and_kept_as_hex() -> None:
    found = settle(codec("gst9000-printer"), ["001-001\n火警\n".encode("gb18030") + b"\xff\xff\nx\n"])
    assert "?" in str(found[0].fields["location_text"])
    assert "ffff" in str(found[0].fields["text_raw"])


def test_other_text_is_refused_as_sound_and_kept() -> None:
    found = printed("海湾安全技术\n操作员登录\n\n")
    assert [(type(item), item.why, item.sound) for item in found if isinstance(item, Refused)] == [
        (Refused, "unparsed", True)
    ]


@pytest.mark.parametrize(
    "raw",
    [
        *(("二层火警3号".encode("gb18030")).replace(part, whole) for part, whole in (
            (b"\xbb\xf0\xbe\xaf", b"\xf0\xbe\xaf"),
            (b"\xbb\xf0\xbe\xaf", b"\xbb\xf0\xaf"),
            (b"\xbb\xf0\xbe\xaf", b"\xbb\x00\xbe\xaf"),
            (b"\xbb\xf0\xbe\xaf", b"\x3b\xf0\xbe\xaf"),
        )),
        "火警".encode("gb18030")[:-1],
        "首次火警".encode("gb18030")[:-1],
        "首次火".encode("gb18030"),
        "火警".encode()[:-1],
        "火警".encode()[1:],
    ],
)  # fmt: skip
def test_a_fire_word_that_lost_a_byte_still_smells_of_fire(raw: bytes) -> None:
    assert events(settle(codec("gst9000-printer"), [raw + b"\n\n"])) in (["unknown"], ["fire"])


@pytest.mark.parametrize(
    "text",
    [
        "ALARM ZONE 3",
        "Smoke alarm 2F",
        "发生火灾 3层",
        "火灾报警 1-23",
        "FIRE",
        "FIRE DOOR 3: FIRE",
        "ZONE 2 FIRE ALARM",
    ],
)
def test_other_words_for_fire_are_unknown_alarms(text: str) -> None:
    assert events(printed(text + "\n\n")) == ["unknown"]
    assert events(settle(codec("gst9000-printer"), [text.encode() + b"\n\n"])) == ["unknown"]


@pytest.mark.parametrize(
    "text",
    [
        *("消防设备", "火灾显示盘", "火灾报警控制器", "海湾消防火灾报警控制器 GST9000", "火灾报警系统", "防火门关闭", "消火栓泵"),
        *("灭火救援", "交警大队", "110报警", "FIRE DOOR CLOSED NORMAL", "FIREMAN SWITCH", "Fire pump ready"),
        *("FIRE ALARM CONTROL PANEL GST9000", "ALARM SILENCED", "ALARM BELL OK", "NO ALARM", "ALARMS RESET"),
    ],
)  # fmt: skip
def test_the_names_of_things_are_no_alarm(text: str) -> None:
    found = printed(text + "\n\n")
    assert events(found) == []
    assert isinstance(found[0], Refused)  # kept and told as something nobody understood


@pytest.mark.parametrize("text", ["预警 火警", "恢复 火警", "动作火警"])
def test_a_lesser_word_in_front_does_not_hide_a_fire(text: str) -> None:
    assert events(printed(f"001-002\n{text}\n\n")) == ["unknown"]


@pytest.mark.parametrize(
    ("text", "event"),
    [
        *(("屏蔽恢复", "isolate_restore"), ("隔离撤销", "isolate_restore"), ("反馈恢复", "feedback_restore")),
        *(("故障消除", "fault_restore"), ("故障解除", "fault_restore"), ("预警恢复", "prealarm_restore")),
        *(("延时结束", "delay_restore"), ("启动撤销", "stop"), ("自检结束", "test_restore")),
    ],
)
def test_the_end_of_a_thing_is_not_told_as_its_beginning(text: str, event: str) -> None:
    assert events(printed(f"001-002\n{text}\n\n")) == [event]


@pytest.mark.parametrize("text", ["屏蔽已解除", "主电故障 已恢复", "故障(恢复)", "启动 取消"])
def test_a_word_that_is_taken_back_in_the_same_line_is_not_believed(text: str) -> None:
    assert [(type(item), item.sound) for item in printed(f"001-002\n{text}\n\n") if isinstance(item, Refused)] == [
        (Refused, True)
    ]


def test_decode_shows_every_field_of_a_printed_record_also_those_it_has_not() -> None:
    record = "08/12/02  17:25\n  \n系统复位\n\n".encode("gb18030")
    (shown,) = PROTOCOLS["gst9000-printer"](record)
    named = ("loop", "point", "location_text", "device_type_text")
    assert (shown["event"], *(shown[name] for name in named)) == ("reset", None, None, None, None)


@pytest.mark.parametrize("device", ["手动报警按钮", "手动报警按钮(2)", "隔离器", "复位按钮", "启动按钮"])
def test_the_name_of_a_device_on_a_line_of_its_own_is_no_event(device: str) -> None:
    # A place that takes two lines leaves the device alone: a fault of a call point must not become a manual alarm.
    found = printed(f"08/12/02  17:24\n  004-004\n故障\n一层大堂东\n侧走廊\n{device}\n\n")
    assert events(found) == ["fault"]
    assert isinstance(found[-1], Refused)


def test_a_call_point_said_to_be_pressed_is_a_manual_alarm() -> None:
    assert events(printed("手动报警按钮动作\n\n")) == ["fire_manual"]


@pytest.mark.parametrize(
    "text", ["W:-START 1:M9-78-0 F1*", "101500-0000000 1:M9-78-0 F1*", "001500-9912126 1:M9-78-0 F1*"]
)
@pytest.mark.parametrize("kind", [0x1E, 0x1F])
def test_a_simplex_fire_is_told_whatever_its_clock_says(text: str, kind: int) -> None:
    (found,) = codec("simplex-4100-cpi").feed(simplex_message(0x31, kind, text + "\r\n"), 0)
    assert isinstance(found, Frame)
    assert (found.event, found.fields["panel"], found.fields["loop"], found.fields["point"]) == ("fire", 1, 9, 78)
    assert found.fields["time"] is None


def test_what_a_panel_says_that_nobody_knows_is_confirmed() -> None:
    for name, message in (
        ("gst-utd-digit", utd_event(0x0203, 304, 19)),
        ("jb3208-crt", jb3208_event(119, [(1, 2, 0, 0)])),
    ):
        reader = codec(name)
        (refused,) = reader.feed(message, 0)
        assert isinstance(refused, Refused)
        assert refused.sound
        assert reader.reply(Frame(refused.fields, refused.raw, 0))


def test_a_frame_of_several_places_is_an_event_for_each_and_one_without_is_told_too() -> None:
    decode = PROTOCOLS["songjiang-3102a"]
    (frame,) = decode(bytes.fromhex("FE 01 01 03 02 03 1B 02 03 1C 04 05 06 FF"))
    events = frame["events"]
    assert isinstance(events, list)
    assert [(one["event"], one["zone"], one["loop"], one["point"]) for one in events] == [
        ("fire", 2, 3, 27),
        ("fire", 2, 3, 28),
        ("fire", 4, 5, 6),
    ]
    (short,) = decode(bytes.fromhex("FE 01 01 02 02 03 1B 02 03 FF"))  # the second is cut short
    assert (short["event"], short["point"], "events" in short) == ("fire", 27, False)
    assert [one["event"] for one in decode(bytes.fromhex("FE 01 00 00 FF FE 01 01 FF"))] == ["reset", "fire"]


def ei2000g(command: int, records: str = "", count: int = 0) -> bytes:
    """A frame of the EI-2000G; its sum is FF, as in the only ones on file."""
    body = bytes((1, 0, 0, 0, 0, 0, command)) + (bytes((count,)) + bytes.fromhex(records) if count else b"")
    return bytes((0x68, len(body), len(body), 0x68)) + body + b"\xff\x16"


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (ei2000g(0x87, "02 1B 01 01 0C 1E", 1), [("fire", 2, 27)]),
        (ei2000g(0x87, "02 1B 01 00 0C 1E", 1), [("fire_restore", 2, 27)]),
        (ei2000g(0x87, "02 1B 05 00 0C 1E", 1), [("fault_restore", 2, 27)]),
        (ei2000g(0x87, "021B04010C1E D2BB 021C17010C1E B6FE", 2), [("fault", 2, 27), ("fire", 2, 28)]),
        (
            ei2000g(0x87, "02 1B 33 01 0C 1E 02 1C 16 01 0C 1E", 2),
            [("fault", 2, 27), ("fire", 2, 28)],
        ),  # 33 nobody knows
        (ei2000g(0x87, "02 1B 01 01 0C 1E 02 1C 01 01 0C 1E 41", 2), [("fire", 2, 27), ("fault", None, None)]),
        (ei2000g(0xCD), [("reset", None, None)]),
        (ei2000g(0xCD, "02 1B 01 01 0C 1E", 1), [("reset", None, None)]),
    ],
)
def test_the_command_and_each_record_of_an_ei2000g_are_told(sent: bytes, told: list[tuple[object, ...]]) -> None:
    (frame,) = PROTOCOLS["ei-2000g"](sent)
    events = frame.get("events", [frame])
    assert isinstance(events, list)
    assert [(one["event"], one.get("loop"), one.get("point")) for one in events] == told


def test_a_command_of_an_ei2000g_that_nobody_knows_is_refused_and_no_fire() -> None:
    (frame,) = PROTOCOLS["ei-2000g"](ei2000g(0x88, "02 1B 01 01 0C 1E", 1))
    assert (frame.get("reject"), frame["why"]) == (True, "unknown_code 88")


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([(0x16, "", 0x2C), (0x18, "", 0x2C)], ["mains_fault", "mains_ok"]),
        ([(0x16, "", 0x2D), (0x18, "", 0x2D)], ["battery_fault", "battery_ok"]),
        ([(0x11, "1-027", 0x23), (0x18, "1-027", 0x23)], ["fire", "fire_restore"]),
        ([(0x11, "1-027", 0x23), (0x18, "1-028", 0x23)], ["fire", "fault_restore"]),  # of another place
        ([(0x16, "1-027", 0x23), (0x18, "1-027", 0x23)], ["fault", "fault_restore"]),
        (  # which of the two is over nobody says: the fire is ended last
            [(0x16, "1-027", 0x23), (0x11, "1-027", 0x23), (0x18, "1-027", 0x23), (0x18, "1-027", 0x23)],
            ["fault", "fire", "fault_restore", "fire_restore"],
        ),
        ([(0x11, "1-027", 0x23), (0x1D, "", 0x2E), (0x18, "1-027", 0x23)], ["fire", "reset", "fault_restore"]),
    ],
)
def test_a_gst100_says_faults_of_its_supply_and_ends_what_began(
    records: list[tuple[int, str, int]], told: list[str]
) -> None:
    one = codec("gst100-microprinter")
    assert events(settle(one, [gst100_record(*record) for record in records])) == told


def test_sabotage_of_a_ct11_is_told_and_ends() -> None:
    one = codec("siemens-ct11")
    assert events(settle(one, [ct11_block("W1110832Q0C00"), ct11_block("W1110832N0C3C")])) == [
        "burglar",
        "tamper_restore",
    ]
