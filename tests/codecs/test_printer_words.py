"""The generic printer profile on lines of panels nobody has seen: what is meant comes out, and no fire is dropped."""

import pytest

from drivers.codecs.registry import PROTOCOLS, build_codec
from drivers.profile import load_profiles

LINES = {
    "火警 3-015": "fire",
    "２０２６－１１－２６ １０：００ 火警 ３回路２７号": "fire",
    "ＦＩＲＥ ＡＬＡＲＭ ZONE 3": "fire",
    "首次报警 手动报警按钮 二层": "fire",
    "火災警報": "fire",
    "火警：0号楼": "fire",
    "火警:001-002": "fire",
    "火警 恢复室 3-2": "fire",
    "SMOKE DETECTOR ACTIVATED L2 D15": "fire",
    "FIRE PUMP ROOM SMOKE DETECTOR ALARM": "fire",
    "FIRE ALARM  TEST LAB": "fire",
    "手动火灾报警按钮动作 03-021": "fire_manual",
    "感烟探测器报警 2-015": "unknown",
    "火警解除": "fire_restore",
    "火警已解除 3-15": "fire_restore",
    "FIRE ALARM RESTORED": "fire_restore",
    "FIRE CLEARED L1D2": "fire_restore",
    "FIRE DRILL TEST": "test",
    "消防泵故障": "fault",
    "FIRE PUMP FAULT": "fault",
    "总线短路 3回路": "fault",
    "探测器丢失 1-23": "fault",
    "火警:0 故障:1": "fault",
    "报警主机 故障 1-1": "fault",
    "故障已恢复": "fault_restore",
    "TROUBLE RESTORED": "fault_restore",
    "主电断电": "mains_fault",
    "AC POWER FAIL": "mains_fault",
    "备电欠压": "battery_fault",
    "屏蔽 1-1": "isolate",
    "DISABLEMENT ZONE 3": "isolate",
    "取消屏蔽 1-1": "isolate_restore",
    "屏蔽取消": "isolate_restore",
    "手动复位": "reset",
    "ALARM RESET": "reset",
    "ALARMS SILENCED": "silence",
    "可燃气体低限报警": "gas_alarm",
    "GAS ALARM": "gas_alarm",
    "电弧报警": "electrical_alarm",
    "声光报警器启动": "start",
    "无火警": None,
    "当前火警数 0": None,
    "NO FIRE ALARM": None,
    "FIRE ALARM CONTROL PANEL READY": None,
    "火灾报警控制器 V3.2": None,
}


# The words of every panel whose wire is described somewhere, by what they mean: on a printer nobody has seen they mean the same.
PHRASES = {
    "fire": "火警 首次火警 首火警 火警后续 感烟火警 水流火警 SMK_ACT HEAT_ACT DUCT_ACT WFLW_ACT ALRM_ACT HUMO_ACT FIRE_ALARM FIRE "
    "ALARM ISOL_ALARM ALARM_ACTIVE FIRE_ACTIVE ALARMA",
    "fire_manual": "手动火警 手动报警 PULL_ACT PULL_STATION",
    "fire_restore": "火警恢复 火警撤销 手动火警恢复 警情消除 SMK_RST SMK_RESTORE SMK_RESTORED PULL_RST "
    "ALARM_SELF_CLEARED ALARM_SELF_CLR RESET_ALARM CLEARED_FIRE_ALARM FIRE_ALARM_CLEARED",
    "prealarm": "预警 火警预警 PREALARM PALM_ACT",
    "prealarm_restore": "预警恢复 PREALARM_SELF_CLEARED CLEARED_PREALARM PALM_RST",
    "supervisory": "监管 SUPERVISORY SUPV_ACT COSU_ACT COMO_ACT LIFE_CRITICAL_ALARM MEDICAL_EMERGENCY CRITICAL_PROCESS",
    "supervisory_restore": "监管恢复 监管撤销 CLEARED_SUPERVISORY SUPV_RST CLEARED_MEDICAL_EMERGENCY",
    "feedback": "反馈 回答 动作 联动回答 防火门关闭 排烟阀关闭 MON_ACT",
    "feedback_restore": "反馈撤销 回答撤销 回答消除 MON_RST",
    "start": "启动 联动启动",
    "stop": "停动 停止 启动撤销",
    "link_request": "联动请求",
    "delay": "延时",
    "delay_restore": "延时结束",
    "fault": "故障 通讯故障 总线故障 TROUBLE FAULT TRBL_ACT AVERIA COMMS_FAIL NO_REPLY RING_BROKEN FAULT_(F12) FAULT_ACTIVE",
    "fault_restore": "故障恢复 恢复 通讯故障恢复 TRBL_RST RESET_FAULT FAULT_SELF_CLR CLEARED_TROUBLE",
    "isolate": "屏蔽 隔离 关闭 DISABLED DSBL_ACT ISOL",
    "isolate_restore": "屏蔽解除 释放 屏蔽撤销 屏蔽恢复 隔离解除 DE-ISOLATE DSBL_RST CLEARED_DISABLED ENABLED",
    "mains_fault": "主电故障 主电_故障 MAINS_FAIL AC_FAIL",
    "mains_ok": "主电恢复 主电故障恢复 主电_恢复 MAINS_FAIL_SELF_CLR",
    "battery_fault": "备电故障 BATTERY_LOW CHARGER_LOW",
    "battery_ok": "备电恢复 备电故障恢复 BATTERY_LOW_SELF_CLEARED",
    "reset": "复位 总复位 系统复位 清除 SYSTEM_RESET SYSTEM_NORMAL REARME",
    "silence": "消音 SIGNAL_SILENCE",
    "acknowledge": "ACKD_ALARM ACKD_FAULT ACKNOWLEDGE CONFIRMAR",
    "test": "自检 TEST_ACT",
    "test_restore": "自检结束 TEST_RST",
    "dirty": "报脏",
    "leak": "泄漏",
    "burglar": "盗警 SECURITY_ALARM SECURITY_ALARM_(LIFE)",
    "tamper_restore": "CLEARED_SECURITY_ALARM",
    "register": "注册",
    "power_on": "开机",
    "power_off": "关机",
    "gas_alarm": "可燃气体报警 燃气泄漏",
    "electrical_alarm": "剩余电流报警 漏电报警 过载报警",
}


GENERIC = build_codec(load_profiles(()).get("generic-printer"))


@pytest.mark.parametrize("event", PHRASES)
def test_a_panels_own_words_mean_the_same_from_a_panel_nobody_has_seen(event: str) -> None:
    for phrase in PHRASES[event].split():
        line = phrase.replace("_", " ")
        for text in (
            line,
            f"{line}  2-015",
            f"2026-11-26 10:20:30  {line}  N01L02D015",
            f"** {line} **  002-015 三号楼",
        ):
            found = GENERIC.feed((text + "\r\n\r\n").encode("gb18030"), 0)
            assert [one.fields.get("event") for one in found] == [event], text


@pytest.mark.parametrize(
    ("profile", "text", "events"),
    [
        *(
            ("edwards-est3x-printer", f"{word} {end} :: 12:30:05 10/23/2025 P01C01D001\nLOBBY\n", ["fire_restore"])
            for word in ("SMK", "HEAT", "DUCT", "PULL", "WFLW", "ALRM", "FIRE ALARM")
            for end in ("RST", "RESTORE", "RESTORED")
        ),
        ("edwards-io1000", "SMK RESTORE|12:30A 010126 LOBBY\r\n", ["fire_restore"]),
        ("edwards-io1000", "CONFIRMAR|12:30A 010126 B\r\nNORMAL|12:30P 010126 B\r\n", ["acknowledge", "reset"]),
        (
            "siemens-fc18r-printer",
            "2011-06-21 10:10:22\n恢复室\n04.007.000cddd8\n+998 手动火警恢复\n"
            "2011-06-21 10:10:22\n火警办公室\n99.999.ABCDEF012\n+999 感烟火警\n",
            ["fire_restore", "fire"],
        ),
        ("gst9000-printer", "08/12/02  17:24\n  004-004\n手动火警恢复\n裙楼\n手动按钮\n\n", ["fire_restore"]),
        ("gst9000-printer", "08/12/02  17:24\n  255-255\n关闭\n裙楼\U00020000㐀\n感烟\n\n", ["isolate"]),
        (
            "notifier-afp2800-printer",
            ":FAULT (F12) Z000 L2D159 X 12/08 01:23;:ALARM              Z999 VP3           12/08 01:23;"
            ":ALARM SELF CLEARED Z999 VP3 Y 12/08 01:24;",
            ["fault", "fire", "fire_restore"],
        ),
    ],
)
def test_what_a_column_takes_back_raises_nothing_anew(profile: str, text: str, events: list[str]) -> None:
    assert [one["event"] for one in PROTOCOLS[profile](text.encode("gb18030"))] == events


def test_a_pattern_keeps_its_fields_where_the_word_stands_behind_what_it_is_about() -> None:
    text = "2011-06-21 10:10:22\n西走道\n99.999.ABCDEF012\n+999 感烟火警\n"
    [shown] = PROTOCOLS["siemens-fc18r-printer"](text.encode("gb18030"))
    assert (shown["event"], shown["point_id"], shown["location_text"]) == ("fire", "99-999-ABCDEF012", "西走道")


def told(text: str, encoding: str = "gb18030") -> list[tuple[object, ...]]:
    frames = PROTOCOLS["generic-printer"](text.encode(encoding))
    assert b"".join(bytes.fromhex(str(frame["raw"])) for frame in frames) == text.encode(encoding)  # every line is kept
    found = []
    for frame in frames:
        several = frame.get("events", [frame])
        assert isinstance(several, list)
        found += [(one["event"], one.get("loop"), one.get("point")) for one in several]
    return found


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_lines_of_unknown_panels(line: str, encoding: str) -> None:
    assert [event for event, _, _ in told(line + "\r\n\r\n", encoding)] == [LINES[line]]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("火警 1-001\r\n火警 1-002\r\n故障 1-003\r\n", [("fire", 1, 1), ("fire", 1, 2), ("fault", 1, 3)]),
        ("1-001\r\n火警\r\n1-002\r\n火警\r\n", [("fire", 1, 1), ("fire", 1, 2)]),
        ("火警解除 1-2\r\n火警 1-3\r\n", [("fire_restore", 1, 2), ("fire", 1, 3)]),
        ("故障 1-1\r\n感烟探测器报警 1-2\r\n", [("fault", 1, 1), ("unknown", 1, 2)]),
        ("首次火警\r\n1-27\r\n手动报警\r\n", [("fire", 1, 27)]),
        ("启动\r\n1-027\r\n声光报警\r\n", [("start", 1, 27)]),
        ("11-26 10:00 火警 1-27\r\n", [("fire", 1, 27)]),
        ("TROUBLE IN ZONE 4\r\nZONE 5 DISABLED\r\n", [("fault", None, None), ("isolate", None, None)]),
        ("故障 三楼\r\n复位\r\n", [("fault", None, None), ("reset", None, None)]),
        ("首次火警\r\n1-27\r\n请按复位\r\n", [("fire", 1, 27)]),  # a footer must not end it
        ("火警 三楼\r\n系统复位\r\n", [("fire", None, None)]),
    ],
)
def test_lines_without_a_blank_between(text: str, events: list[tuple[object, ...]]) -> None:
    assert told(text) == events


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-----\nSMK ACT :: 12:30:05 10/23/2025 P01C01D001\nLOBBY - EAST\n**\n", [("fire", "P01C01D001")]),
        ("TRBL ACT :: 12:30:05 10/23/2025 P01C01D002\nFIRE PUMP ROOM\n**\n", [("fault", "P01C01D002")]),
        ("ALARM RST :: 12:30P 102325 P01C01D001\nLOBBY\n", [("fire_restore", "P01C01D001")]),
        (
            "-PULL ACT - P01C01D003\nEXIT\n-----\n-PULL RST - P01C01D003\n**\n",
            [("fire_manual", "P01C01D003"), ("fire_restore", "P01C01D003")],
        ),
        ("-DSBL ACT - P02\n-TEST ACT - P03\n-----\n**\n", [("isolate", "P02"), ("test", "P03")]),
    ],
)
def test_a_report_of_an_est3x_is_one_event_and_its_rules_are_none(text: str, told: list[tuple[object, ...]]) -> None:
    shown = PROTOCOLS["edwards-est3x-printer"](text.encode("ascii"))
    assert [(one["event"], one.get("address")) for one in shown if one["event"] is not None] == told
    assert not any(one.get("reject") for one in shown)


@pytest.mark.parametrize(
    ("profile", "line", "event"),
    [
        ("notifier-nfs-printer", "TROUBL IN SYSTEM     OPEN CIRCUIT     12:30P 102325 Thu", "fault"),
        ("notifier-nfs-printer", "TROUBL SMOKE(PHOTO)   LOBBY   N01L01D001   12:30P 102325 Thu", "fault"),
        ("notifier-nfs-printer", "CLR TB SMOKE(PHOTO)   LOBBY   N01L01D001   12:31P 102325 Thu", "fault_restore"),
        ("notifier-nfs-printer", "ACTIVE MONITOR   DOOR   N01L01M001   12:31P 102325 Thu", "feedback"),
        ("notifier-nfs-printer", "ACTIVE SUPERVISORY   VALVE   N01L01M002   12:31P 102325 Thu", "supervisory"),
        ("notifier-nfs-printer", "ALARM ACTIVE   LOBBY   N01L01D001   12:31P 102325 Thu", "fire"),
        ("notifier-nca-printer", "ACTIVE: DOOR HOLDER  N01L02M017", "feedback"),
        ("notifier-nca-printer", "CLEARED ACTIVE: DOOR HOLDER  N01L02M017", "active_restore"),
        ("notifier-nca-printer", "ON: HORN  N01L02M018", "start"),
        ("notifier-nca-printer", "OFF: HORN  N01L02M018", "stop"),
        ("notifier-nca-printer", "FIRE ALARM: LOBBY ON SECOND FLOOR  N01L02D017", "fire"),
        ("notifier-nca-printer", "CLEARED SECURITY ALARM: DOOR  N01L02M019", "tamper_restore"),
        ("notifier-nca-printer", "CLEARED FIRE ALARM: LOBBY  N01L02D017", "fire_restore"),
        ("notifier-afp2800-printer", ":SELF CLEARED       Z001 1.1.Z1 LOBBY   12/08 01:23;", "active_restore"),
        ("notifier-afp2800-printer", ":ALARM SELF CLEARED Z001 1.1.Z1 LOBBY   12/08 01:23;", "fire_restore"),
        ("notifier-afp2800-printer", ":FAULT SELF CLEARED Z001 1.1.Z1 LOBBY   12/08 01:23;", "fault_restore"),
        ("notifier-afp2800-printer", ":NO REPLY SELF CLR  Z001 L2D159 LOBBY   12/08 01:23;", "fault_restore"),
    ],
)
def test_every_word_of_a_notifier_printer_is_read(profile: str, line: str, event: str) -> None:
    shown = PROTOCOLS[profile](f"{line}\n".encode("ascii"))
    assert [one["event"] for one in shown if one["event"] is not None] == [event]
