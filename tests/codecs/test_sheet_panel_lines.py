"""Panels of which a line of a driver or a list of words is all there is: every code and word, marks as places, glued frames."""

import functools
from typing import Any

import pytest

from drivers.profile import Profile, load_profiles, try_capture


@functools.cache
def profile(name: str) -> Profile:
    return load_profiles([]).get(name)


def told(name: str, data: bytes, *keys: str) -> list[Any]:
    """`keys` of every event; one key: its value alone."""
    found = []
    for one in try_capture(profile(name), data):
        several = one.get("events") or [one]
        assert isinstance(several, list)
        found += [
            tuple(event.get(key) for key in keys) for event in several if event.get("event") and not one.get("reject")
        ]
    return [values[0] for values in found] if len(keys) == 1 else found


def why(name: str, data: bytes) -> list[object]:
    return [one["why"] for one in try_capture(profile(name), data) if one.get("reject")]


# --- EI-2000G: 68 L L 68, panel LE16 at 4, command at 10, count at 11, then records (loop, point, state, active, h, m, text) ----


def ei(command: int, panel: int, records: list[bytes], check: int = 0xFF) -> bytes:
    body = panel.to_bytes(2, "little") + bytes(4) + bytes((command,))
    body += bytes((len(records),)) + b"".join(records) if records else b""
    return bytes((0x68, len(body), len(body), 0x68)) + body + bytes((check, 0x16))


FIRES, FAULTS = (0x01, 0x0E, 0x16, 0x17), (0x04, 0x05, 0x07, 0x08, 0x18, 0x19)


@pytest.mark.parametrize("state", FIRES + FAULTS)
def test_ei_every_state_begins_and_ends_whatever_its_checksum(state: int) -> None:
    event = "fire" if state in FIRES else "fault"
    for active, word in ((1, event), (0xFF, event), (0, f"{event}_restore")):
        for check in (0xFF, 0x16, 0x68, 0x00):
            record = bytes((0x68, 0x16, state, active, 12, 30)) + "一号楼".encode("gb18030")
            shown = told("ei-2000g", ei(0x87, 0x1668, [record], check), "event", "panel", "loop", "point")
            assert shown == [(word, 0x1668, 0x68, 0x16)], (active, check)


def test_ei_several_records_with_and_without_text_a_reset_and_what_is_in_no_table() -> None:
    for text in (b"", b"\x16\x68", bytes(20)):
        records = [bytes((loop, loop + 1, state, 1, 1, 2)) + text for loop, state in enumerate((0x04, 0x17, 0x99), 1)]
        shown = told("ei-2000g", ei(0x87, 1, records) + ei(0xCD, 2, []), "event", "loop", "panel")
        assert shown == [("fault", 1, 1), ("fire", 2, 1), ("fault", 3, 1), ("reset", None, 2)]
    assert why("ei-2000g", ei(0x86, 1, [])) == ["unknown_code 86"]


# --- one line of a driver -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "event"), [(0x01, "fire"), (0x06, "fault"), (0x07, "fault"), (0x02, "reset")])
@pytest.mark.parametrize("place", [(0, 0, 0), (0xAA, 0x55, 0xAA), (255, 255, 255)])
def test_nite_codes_with_marks_as_places(code: int, event: str, place: tuple[int, int, int]) -> None:
    frame = bytes((0xAA, 0x55, 0, 0, 0, 5, code, *place, 0))
    wanted = (event, *place)
    assert told("nite-ft8000", b"\xaa" + frame * 2, "event", "zone", "loop", "point") == [wanted] * 2


@pytest.mark.parametrize(("code", "event"), [(0x01, "fire"), (0x04, "fault"), (0x83, "reset")])
@pytest.mark.parametrize("place", [(1, 2, 27), (0x23, 0x23, 0x23), (255, 0, 255)])
def test_lantian_codes_with_marks_as_places(code: int, event: str, place: tuple[int, int, int]) -> None:
    frame = bytearray(23)
    frame[0] = frame[22] = 0x23
    frame[12], (frame[14], frame[16], frame[18]) = code, place
    wanted = (event, *place)
    assert told("lantian-5li", bytes(frame) * 2, "event", "panel", "loop", "point") == [wanted] * 2


@pytest.mark.parametrize(("letter", "event"), [(b"P", "fire"), (b"R", "fault"), (b"o", "reset")])
def test_shidao_letters_short_and_long(letter: bytes, event: str) -> None:
    for rest in (b"", b"01", b"0" * 50):
        assert told("shidao-sd2100", (b"\x8201001" + letter + rest + b"\x83") * 2, "event") == [event] * 2


def test_tanda_places_at_both_ends_and_the_rest_refused() -> None:
    for panel, loop, point in ((0, 0, 0), (9, 99, 999)):
        text = f"@1{'0' * 8}{panel}000{loop:02d}{point:03d}{'0' * 12}#"
        assert len(text) == 32
        assert (
            told("tanda-tx3607", text.encode() * 2, "event", "panel", "loop", "point")
            == [("fire", panel, loop, point)] * 2
        )
    assert why("tanda-tx3607", text.replace("@1", "@7").encode()) == ["unknown_code 37"]


# --- the words of western printers ----------------------------------------------------------------------------------------------

NFS = "{}     LOBBY SMOKE     Z001   {}   12:30P 102325 Thu\r\n"


@pytest.mark.parametrize("point", ["N01L02D017", "02D017"])
@pytest.mark.parametrize(
    ("word", "event"),
    [
        ("FIRE ALARM", "fire"),
        ("ALARM", "fire"),
        ("TROUBLE", "fault"),
        ("FAULT", "fault"),
        ("SUPERVISORY", "supervisory"),
        ("PREALARM", "prealarm"),
        ("DISABLED", "isolate"),
        ("CLEARED TROUBLE", "fault_restore"),
    ],
)
def test_nfs_words_with_both_forms_of_a_point(word: str, event: str, point: str) -> None:
    for ends in ("\r\n", "\n"):
        line = NFS.format(word, point).replace("\r\n", ends).encode()
        assert told("notifier-nfs-printer", line, "event", "loop", "point") == [(event, 2, 17)]


@pytest.mark.parametrize(
    ("word", "event", "over"),
    [
        ("FIRE ALARM", "fire", "fire_restore"),
        ("SECURITY ALARM (LIFE)", "burglar", "tamper_restore"),
        ("SECURITY ALARM", "burglar", "tamper_restore"),
        ("LIFE CRITICAL ALARM", "supervisory", "supervisory_restore"),
        ("MEDICAL EMERGENCY", "supervisory", "supervisory_restore"),
        ("CRITICAL PROCESS", "supervisory", "supervisory_restore"),
        ("SUPERVISORY", "supervisory", "supervisory_restore"),
        ("TROUBLE", "fault", "fault_restore"),
        ("FAULT", "fault", "fault_restore"),
        ("DISABLED", "isolate", "isolate_restore"),
        ("PREALARM", "prealarm", "prealarm_restore"),
        ("ACTIVE", "feedback", "active_restore"),
        ("ON", "start", ""),
        ("OFF", "stop", ""),
        ("SYSTEM NORMAL", "reset", ""),
        ("SYSTEM RESET", "reset", ""),
    ],
)
def test_nca_words_and_their_ends(word: str, event: str, over: str) -> None:
    for form in ("{}: LOBBY EAST  N01L02D017\r\n", "{}   LOBBY EAST   N01L02D017   12:30P 102325 Thu\n"):
        line = form.format(word).encode()
        assert told("notifier-nca-printer", line, "event") == [event], line
        if over:
            line = form.format(f"CLEARED {word}").encode()
            assert told("notifier-nca-printer", line, "event") == [over], line


IO1000 = {
    **dict.fromkeys(("SMK", "HEAT", "DUCT", "WFLW", "ALRM"), ("fire", "fire_restore")),
    "PULL": ("fire_manual", "fire_restore"),
    **dict.fromkeys(("SUPV", "COSU", "COMO"), ("supervisory", "supervisory_restore")),
    "MON": ("feedback", "feedback_restore"),
    "PALM": ("prealarm", "prealarm_restore"),
    "TRBL": ("fault", "fault_restore"),
    "DSBL": ("isolate", "isolate_restore"),
    "TEST": ("test", "test_restore"),
}


@pytest.mark.parametrize(("word", "events"), IO1000.items())
def test_edwards_words_in_both_layouts(word: str, events: tuple[str, str]) -> None:
    for end, event in zip(("ACT", "RST"), events, strict=True):
        for between in ("|", "   ", " " * 8, " " * 25):
            line = f"{word} {end}{between}12:00A 022924 ROOM 1\r\n".encode()
            assert told("edwards-io1000", line, "event", "time") == [(event, "2024-02-29 00:00")], line
        for form in ("{} :: 12:30:05 10/23/2025 P01C01D001\r\nLOBBY\r\n**\r\n", "-{} - P01C01D001\r\nLOBBY\r\n"):
            line = form.format(f"{word} {end}").encode()
            assert told("edwards-est3x-printer", line, "event", "address") == [(event, "P01C01D001")], line


FC18R = {
    "手动火警": "fire",
    "火警": "fire",
    "故障": "fault",
    "通讯故障": "fault",
    "故障恢复": "fault_restore",
    "反馈": "feedback",
    "反馈撤销": "feedback_restore",
    "启动": "start",
}


@pytest.mark.parametrize(("word", "event"), FC18R.items())
def test_fc18r_words_behind_the_days_counter(word: str, event: str) -> None:
    for number in ("001", "999"):
        text = f"2017-08-10 10:20:30\r\n一层大厅\r\n01.002.\r\n00A1B2C3\r\n+{number} {word}\r\n".replace(".\r\n", ".")
        assert told("siemens-fc18r-printer", text.encode("gb18030"), "event") == [event]


def test_simplex_printer_a_message_behind_its_time_with_cr_and_with_crlf() -> None:
    for end in (b"\r", b"\r\n"):
        head = b"12:05:09 pm  SUN 01-JAN-17" + end
        for words, event in ((b"FIRE ALARM", "fire"), (b"TROUBLE", "fault"), (b"SUPERVISORY", "supervisory")):
            data = head + b"1:M9-78-0   SMOKE DETECTOR   " + words + b"   ABNORMAL" + end + head
            assert told("simplex-printer", data, "event")[0] == event, (end, words)
