"""Printed records: how they end, torn characters, and what text that speaks of fire means whoever printed it."""

import pytest

from drivers.codecs.base import Frame, Refused
from drivers.codecs.registry import PROTOCOLS
from tests.codecs.panels import codec, events, settle


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
        *(("屏蔽已解除", "isolate_restore"), ("主电故障 已恢复", "mains_ok"), ("启动 取消", "stop")),
    ],
)
def test_the_end_of_a_thing_is_not_told_as_its_beginning(text: str, event: str) -> None:
    assert events(printed(f"001-002\n{text}\n\n")) == [event]


def test_a_word_that_is_taken_back_in_brackets_is_not_believed() -> None:
    (item,) = printed("001-002\n故障(恢复)\n\n")
    assert isinstance(item, Refused) and item.sound


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
