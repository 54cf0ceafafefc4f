"""What the codecs of single panel families make of their own frames: repeats, resets, several places, words nobody knows."""

import random

import pytest

from drivers.codecs.base import Frame, Refused
from drivers.codecs.gst100_printer import encode_record as gst100_record
from drivers.codecs.gst_crt500 import encode_event as crt500_event
from drivers.codecs.gst_layer_bus import encode_event as bus_event
from drivers.codecs.gst_utd_digit import encode_event as utd_event
from drivers.codecs.jb3208_crt import encode_event as jb3208_event
from drivers.codecs.registry import PROTOCOLS
from drivers.codecs.siemens_ct11 import encode as ct11_block
from drivers.codecs.simplex_cpi import encode as simplex_message
from tests.codecs.panels import FIRES, MS, codec, events, settle


# -- GST floor-display bus ---------------------------------------------------------------------------------------
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
