"""Legal frames of GST that no capture has: every code of the tables, ends of ranges, marks inside bodies, frames glued.

Written from the descriptions of the protocols, with builders of their own: none of the codecs' encoders is used, so that one slip
in both would not hide.
"""

import pytest

from tests.codecs.agrees import cells, told, why

# --- GST floor-display bus ------------------------------------------------------------------------------------------------------


def bus(kind: int, code: str, device: int, text: str = "") -> bytes:
    body = bytes((0xAA, kind)) + bytes.fromhex(code) + bytes((device,))
    body += bytes((sum(body) & 0xFF, 0, 1)) + cells(text, 7, b"\0 ")
    return body + bytes((sum(body) & 0xFF,))


def test_gst_bus_codes_from_end_to_end_and_text_of_the_first_and_last_character() -> None:
    shown = ("event", "user_code", "device_type", "location_text")
    assert told("gst-layer-bus", bus(0x15, "000000", 0), *shown) == [("fire", "000000", 0, "")]
    assert told("gst-layer-bus", bus(0x15, "999999", 255, "啊齄ABC"), *shown) == [("fire", "999999", 255, "啊齄ABC")]
    stream = bus(0x15, "010101", 69) * 3 + bus(0x21, "010101", 3) * 3 + bytes.fromhex("AA045555555502AA040000")
    assert [event for event in told("gst-layer-bus", stream, "event") if event] == ["fire", "fault", "reset"]
    assert told("gst-layer-bus", bus(0x22, "123456", 11) + bytes.fromhex("AA011256000000"), "event") == [
        "feedback",
        None,
    ]


# --- GST CRT500 -----------------------------------------------------------------------------------------------------------------


def crt(head: str, code: str, device: int, status: int, *more: int) -> bytes:
    payload = bytes.fromhex(code) + bytes((device, status))
    check = sum(payload) & 0xFF
    return bytes.fromhex(head) + payload + bytes(more) + bytes((0xB5 if check == 0xBB else check, 0xBB))


@pytest.mark.parametrize(
    ("status", "detector", "supervised", "acting"),
    [
        (0x01, "fire", "supervisory", "feedback"),
        (0x00, "fire_restore", "supervisory_restore", "stop"),
        (0x02, "start", "start", "start"),
        (0x03, "stop", "stop", "stop"),
        (0x04, "test", "test", "test"),
        (0x05, "fault", "fault", "fault"),
        (0x10, "fault_restore", "fault_restore", "fault_restore"),
        (0x20, "fault_restore", "fault_restore", "fault_restore"),
        (0x30, "fault_restore", "fault_restore", "fault_restore"),
        (0x40, "test_restore", "test_restore", "test_restore"),
        (0x50, "fault_restore", "fault_restore", "fault_restore"),
    ],
)
def test_crt500_statuses_by_what_the_device_is(status: int, detector: str, supervised: str, acting: str) -> None:
    for head in ("0DDD", "FDDD"):
        for devices, event in (
            ((0x03, 0x11), detector),
            ((0x29, 0x30, 0x32, 0x48, 0x69), supervised),
            ((0x12, 0x99), acting),
        ):
            for device in devices:
                assert told("gst-crt500", crt(head, "001004", device, status), "event") == [event], (head, device)


def test_crt500_faults_of_every_status_a_sum_of_bb_and_marks_in_the_body() -> None:
    faults = {0: "fault", 1: "isolate", 0x10: "isolate_restore", 0x20: "fault", 0x30: "fault", 0x40: "fault"}
    faults |= {3: "delay", 4: "delay_restore", 5: "test", 6: "test_restore"}
    for status, event in faults.items():
        assert told("gst-crt500", crt("0EEE", "999999", 0x03, status), "event") == [event], hex(status)
    assert crt("0DDD", "001094", 0x16, 0x01)[-2] == 0xB5
    assert told("gst-crt500", crt("0DDD", "001094", 0x16, 0x01), "event", "sum_ok") == [("feedback", True)]
    glued = (
        crt("0DDD", "BB0F1F", 0x03, 1) + crt("0EEE", "AAAAAA", 0x03, 0) + bytes.fromhex("FAAABB0AAABBFAABBBCBCB8080BB")
    )
    assert told("gst-crt500", glued, "event") == ["fire", "fault", "reset", "reset", "silence", None]
    assert told("gst-crt500", crt("F999", "001004", 0x03, 1, 0xFF), "event", "residual_mA") == [
        ("electrical_alarm", 255)
    ]


# --- GST user transmission device -----------------------------------------------------------------------------------------------


def utd(code: int, address: str = "00000030419", user: str = "51008", time: str = "A17111741") -> bytes:
    digits = (
        [int(digit, 16) for digit in user] + [code >> 8, code & 0xFF] + [int(digit, 16) for digit in address + time]
    )
    return b"\x0d\x0b\x0c" + bytes(digits) + bytes((sum(digits) & 0x0F,))


def test_utd_events_with_their_place_the_manual_fire_too() -> None:
    events = {1: "fire", 0: "fire_cancel", 4: "fault", 7: "prealarm", 0xD: "supervisory", 9: "fire_manual"}
    for code, event in events.items():
        assert told("gst-utd-digit", utd(code, "0B000098742"), "event", "zone", "point") == [(event, 987, 42)]
    assert told("gst-utd-digit", utd(9, "0B000098742"), "device_type") == [11]
    assert why("gst-utd-digit", utd(0x0203)) == ["unknown_event 0203"]
    assert told("gst-utd-digit", utd(4, "99999999999", "99999", "C31235959"), "month", "day", "time") == [
        (12, 31, "23:59:59")
    ]


@pytest.mark.parametrize("digits", ["51008", "99999", "00000"])
def test_utd_link_tests_whether_their_sum_is_cut_to_a_digit_or_not(digits: str) -> None:
    body = bytes(int(digit) for digit in digits)
    for check in {sum(body), sum(body) & 0x0F}:
        assert told("gst-utd-digit", b"\x0a\x0a" + body + bytes((check,)), "kind") == ["link_test"]


# --- GST100 micro-printer -------------------------------------------------------------------------------------------------------


def gst100(word: int, address: str, device: int, stars: int = 15) -> bytes:
    head = b"*" * stars + b"\r11\x8d26\x8e   10:20\r\n"
    return head + bytes((word,)) + b"\r" + (address or "-----").encode() + b"\r\n\x20" + bytes((device,)) + b"\r"


def test_gst100_words_devices_and_what_a_panels_faults_are_of() -> None:
    words = {
        0x12: "prealarm",
        0x13: "supervisory",
        0x14: "action",
        0x15: "delay",
        0x17: "isolate",
        0x19: "isolate_restore",
    }
    words |= {
        0x1A: "register",
        0x1B: "power_on",
        0x1C: "power_off",
        0x1D: "reset",
        0x80: "dirty",
        0x81: "leak",
        0x82: "burglar",
    }
    for word, event in words.items():
        assert told("gst100-microprinter", gst100(word, "1-027", 0x23), "event") == [event], hex(word)
    assert told("gst100-microprinter", gst100(0x11, "1-027", 0x23, 13) + gst100(0x18, "1-027", 0x23, 28), "event") == [
        "fire",
        "fire_restore",
    ]
    assert told("gst100-microprinter", gst100(0x11, "12-242", 0x27), "event", "loop", "point", "manual") == [
        ("fire", 12, 242, True)
    ]
    assert told("gst100-microprinter", gst100(0x1F, "", 0x2E), "event", "kind") == [(None, "title")]
    faults = gst100(0x16, "", 0x2F) + gst100(0x16, "", 0x30) + gst100(0x18, "", 0x30) + gst100(0x16, "", 0x2C)
    assert told("gst100-microprinter", faults, "event", "point_id") == [
        ("fault", "device-2F"),
        ("fault", "device-30"),
        ("fault_restore", "device-30"),
        ("mains_fault", None),
    ]
