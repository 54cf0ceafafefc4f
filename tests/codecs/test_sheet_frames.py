"""Legal frames of all makers but GST that no capture has: every code, ends of ranges, marks inside bodies, frames glued.

Written from the descriptions of the protocols, with builders of their own: none of the codecs' encoders is used, so that one slip
in both would not hide.
"""

import binascii

import pytest

from tests.codecs.agrees import cells, told, why

# --- Leader, Jade Bird ----------------------------------------------------------------------------------------------------------


def test_ld128e_commands_with_idle_and_poll_bytes_as_places() -> None:
    codes = {1: "fire", 2: "fault", 5: "fault_restore", 9: "feedback", 0x0B: "feedback_restore", 0x30: "silence"}
    codes |= {0x40: "link_request", 0x44: "start", 0x50: "reset"}
    for code, event in codes.items():
        for loop, point in ((0, 0), (0x7F, 0x20), (0xFB, 0xFF)):
            assert told("lida-ld128e", bytes((code, loop, point)), "event", "loop", "point") == [(event, loop, point)]
    for code, event in ((0x12, "mains"), (0x13, "battery"), (0x07, "mains"), (0x08, "battery")):
        assert told("lida-ld128e", bytes((code, 0, 9)), "event") == [f"{event}_ok"]
        assert told("lida-ld128e", bytes((code, 0x40, 9)), "event") == [f"{event}_fault"]


def jbf(code: int, status: int, *place: int, lead: int = 3, flag: int = 0) -> bytes:
    body = bytes((code, 1, 1, 0x6E, flag, 0x13, status, *place, 20, 26, 11, 26, 23, 59, 0xFF)) + bytes(8)
    return b"\xff" * lead + body + sum(body).to_bytes(2, "big")


def test_jbf_11s_codes_statuses_and_ff_in_every_place() -> None:
    for code, event in ((0x0A, "fire"), (0x80, "fire"), (0x0B, "fault"), (0x0C, "feedback")):
        for status, suffix in ((0, ""), (1, "_restore"), (2, ""), (0x85, "")):
            for lead, flag in ((2, 0), (3, 1)):
                frame = jbf(code, status, 0xFF, 0xFF, 0xFF, lead=lead, flag=flag)
                assert told("jbf-11s-old", frame, "event", "panel", "loop", "point") == [
                    (event + suffix, 255, 255, 255)
                ]
    other_poll = bytes.fromhex("FFFFFF0A0000016E010A0083")
    glued = (
        other_poll + jbf(0x0A, 0, 0, 0x6E, 1) + bytes.fromhex("FFFFFF13 01016E01 01000085 FFFFFF0D 01016E01 0100007F")
    )
    assert [event for event in told("jbf-11s-old", glued, "event") if event] == ["fire", "reset"]


def k193(code: int, *place: int, total: int | None = None, over: int = 11, more: bytes = b"") -> bytes:
    data = bytes((code, *place)).ljust(5, b"\0") + bytes((26, 11, 26, 10, 20, 30))
    data += bytes((sum(data[:over]) & 0xFF if total is None else total,)) + more
    return b"\x82" + bytes(0x30 + nibble for byte in data for nibble in (byte >> 4, byte & 15)) + b"\x83"


def test_jbf_193k_codes_with_either_sum() -> None:
    codes = {
        0xEF: "fault",
        1: "reset",
        0x0B: "silence",
        0x80: "fire",
        0x0A: "fire",
        0x81: "fault",
        0x82: "fault_restore",
    }
    codes |= {0x87: "fault", 0x88: "fault_restore", 0x83: "start", 0x84: "stop", 0x90: "start", 0x91: "stop"}
    codes |= {0x85: "feedback", 0x86: "feedback_restore", 0x98: "isolate", 0x97: "isolate_restore"}
    codes |= {0x8C: "supervisory", 0x8D: "supervisory_restore", 0x51: "start", 0x52: "stop", 0x53: "feedback"}
    codes |= {0x54: "feedback_restore", 0x55: "start", 0x56: "stop", 0x57: "delay", 0x58: "fault", 0x59: "fault"}
    codes |= {0x5A: "fault_restore", 0xFA: "start", 0x8B: "unknown"}
    for code, event in codes.items():
        for over in (11, 5):
            frame = k193(code, 255, 254, 253, over=over)
            assert told("jbf-193k", frame, "event", "panel", "loop", "point") == [(event, 255, 254, 253)], hex(code)


@pytest.mark.parametrize("code", [0x80, 0x0A, 0x8B, 0xFC])
def test_jbf_193k_no_sum_hides_an_alarm(code: int) -> None:
    assert told("jbf-193k", k193(code, 1, 2, 3, 0x12, total=0x55), "untrusted") == [True]
    assert told("jbf-193k", k193(0x81, 1, 2, 3, total=0x55), "event") == []


def test_jbf_193k_supplies_say_in_the_loops_place_whether_the_fault_is_over() -> None:
    stream = k193(0x70, 1, 0x80, 3) + k193(0x70, 1, 0x90, 3) + k193(0x71, 1, 0x80) + k193(0x71, 1, 0x90)
    stream += k193(0x72, 1, 0x80) + k193(0x72, 1, 0x90)
    assert told("jbf-193k", stream, "event", "point_id", "loop") == [
        ("fault", "1-board-3", None),
        ("fault_restore", "1-board-3", None),
        ("mains_fault", "1-board-0", None),
        ("mains_ok", "1-board-0", None),
        ("battery_fault", "1-board-0", None),
        ("battery_ok", "1-board-0", None),
    ]


def test_jbf_193k_doors_and_electrical_states_short_and_long() -> None:
    doors = {1: "fault", 2: "fault_restore", 4: "start", 8: "feedback", 0xA: "isolate"}
    for state, event in doors.items():
        assert told("jbf-193k", k193(0xFB, 1, 2, 3, state << 4 | 5), "event", "door_kind") == [(event, 5)]
    states = {
        1: "electrical_alarm",
        2: "fault",
        3: "electrical_restore",
        4: "start",
        7: "start",
        8: "isolate",
        9: "isolate_restore",
    }
    for state, event in states.items():
        assert told("jbf-193k", k193(0xFC, 1, 2, 3, state << 4 | 2), "event") == [event]
        long = k193(0xFC, 1, 2, 3, 0xFF, more=bytes((state << 4 | 2, 8, 0x2C, 0x01, 0x99)))
        assert told("jbf-193k", long, "event", "channel", "residual_ma") == [(event, 8, 30.0)]
    cold = k193(0xFC, 1, 2, 3, 0xFF, more=bytes((0x13, 1, 0x91, 0x80, 0)))
    assert told("jbf-193k", cold, "temperature_c") == [-14.5]
    current = k193(0xFC, 1, 2, 3, 0xFF, more=bytes((0x15, 1, 0xFF, 0xFF)))
    assert told("jbf-193k", current, "current_a") == [655.35]


# --- Songjiang ------------------------------------------------------------------------------------------------------------------


def modbus_crc(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def jb3208(panel: int, code: int, body: bytes) -> bytes:
    inner = bytes((panel, code)) + len(body).to_bytes(2, "little") + body
    return b"\xfe" + inner + modbus_crc(inner) + b"\xff"


def record(
    *place: int, zone: int = 4, kind: int = 0, status: int = 1, when: str = "2611261020", text: str = ""
) -> bytes:
    head = bytes(place) + zone.to_bytes(2, "little") + bytes((kind, status)) + bytes.fromhex(when)
    return head + cells(text, 10, b"\xff\xff")


def records(*several: bytes) -> bytes:
    return len(several).to_bytes(2, "little") + b"".join(several)


def test_jb3208_codes_records_supplies_and_marks_in_every_place() -> None:
    codes = {110: "fire", 111: "fault", 112: "start", 113: "feedback", 114: "supervisory", 115: "isolate"}
    for code, event in codes.items():
        frame = jb3208(0xFE, code, records(record(0xFE, 72, 0xFF, zone=0xFEFF, text="一号楼FE")))
        assert told("jb3208-crt", frame, "event", "panel", "loop", "point", "zone", "location_text") == [
            (event, 254, 72, 255, 0xFEFF, "一号楼FE")
        ]
    supplies = records(record(1, 74, 0, status=8), record(1, 76, 0, status=8), record(1, 78, 5, status=78))
    assert told("jb3208-crt", jb3208(1, 111, supplies), "event") == ["mains_fault", "battery_fault", "fault"]
    assert told("jb3208-crt", jb3208(1, 110, records(record(1, 2, 3, kind=5))), "manual") == [True]
    assert told("jb3208-crt", jb3208(1, 110, records(record(1, 2, 3, when="FF" * 5))), "event", "time") == [
        ("fire", None)
    ]
    many = [record(1, 2, point) for point in range(1, 60)]
    glued = jb3208(1, 110, records(*many)) + jb3208(1, 100, b"\x64") + jb3208(1, 0, b"")
    assert told("jb3208-crt", glued, "event") == ["fire"] * 59 + [None, "reset"]


@pytest.mark.parametrize(("body", "points"), [(b"\2\0", 1), (b"\1\0", 1), (b"", 0)])
def test_jb3208_a_wrong_count_hides_no_fire(body: bytes, points: int) -> None:
    body += record(1, 2, 3) + b"\0\0" if points else b""
    assert told("jb3208-crt", jb3208(1, 110, body), "event") == ["fire"]
    assert why("jb3208-crt", jb3208(1, 111, body)) == ["count"]


@pytest.mark.parametrize("place", [(2, 3, 27), (1, 0xFE, 1), (1, 1, 0xFE), (0xFF, 0xFE, 0xFF)])
def test_songjiang_3102a_takes_any_place_for_its_count_says_how_long_it_is(place: tuple[int, ...]) -> None:
    one, two = bytes((0xFE, 1, 1, 1, *place, 0xFF)), bytes((0xFE, 1, 2, 2, *place, *place, 0xFF))
    stream = b"\xfe\x64\xff" + one + two + b"\xfe\x64\xff\xfe\x01\x00\x00\xff"
    assert told("songjiang-3102a", stream, "event", "zone", "loop", "point") == [
        (None, None, None, None),
        ("fire", *place),
        ("fault", *place),
        ("fault", *place),
        (None, None, None, None),
        ("reset", None, None, None),
    ]
    assert why("songjiang-3102a", stream) == []


# --- Fuan, Aorina, Fosaier ------------------------------------------------------------------------------------------------------


def fuan(data: bytes, address: int = 0) -> bytes:
    body = bytes((address, len(data))) + data
    return b"\xf0" + body + binascii.crc_hqx(body, 0).to_bytes(2, "big")


def fs5101w(
    state: int, *, attribute: int = 0xC2, info: int = 1, loop: int = 0xF0, point: int = 255, text: str | None = None
) -> bytes:
    data = bytes((0xA5, attribute, info, state, 0, 1, 26, 11, 26, 10, 20, 30, loop, point, 1, 2, 0x71, 0xFF, 0xFF, 7))
    return fuan(data + (b"" if text is None else cells(text, 10, b"\0\0")))


def test_fuan_states_decide_and_the_attribute_does_not() -> None:
    states = {5: "fire", 0x41: "prealarm", 6: "feedback", 7: "feedback", 0: "fault_restore", 0x40: "fault_restore"}
    states |= dict.fromkeys((1, 2, 3, 8, 9, 0x0B, 0x12, 0x13, 0x14, 0x42, *range(0x30, 0x40)), "fault")
    states |= {0x0A: "fault_restore", 0x15: "fault_restore", 0x21: "power_on", 0x22: "reset", 0x24: "acknowledge"}
    states |= {
        0x25: "acknowledge",
        0x28: "isolate",
        0x29: "isolate_restore",
        0x2C: "start",
        0x2D: "stop",
        0x2F: "delay",
    }
    for state, event in states.items():
        for attribute in (0xC1, 0xC2, 0xC5):
            found = told("fuan-fs5101w", fs5101w(state, attribute=attribute), "event", "loop", "point", "number")
            assert found == [(event, 0xF0, 255, 0xFFFF)], hex(state)
    assert told("fuan-fs5101w", fs5101w(5, text="一号楼"), "location_text") == ["一号楼"]
    assert told("fuan-fs5101w", fuan(b"\xa2", 0xF0) + fuan(b"\xa1", 0xF0), "event", "kind") == [
        (None, "poll"),
        ("reset", "reset"),
    ]


def test_fuan_a_fire_of_another_state_or_length_is_one_and_faults_of_the_panel_are_told_apart() -> None:
    assert told("fuan-fs5101w", fs5101w(0x99, attribute=0xC3), "event") == ["fire"]
    assert told("fuan-fs5101w", fuan(bytes.fromhex("A5C30105")), "event") == ["unknown"]
    supplies = b"".join(
        fs5101w(state, info=info, loop=0, point=0) for info in (4, 5, 0x0B, 0x0A) for state in (9, 0x0A)
    )
    assert told("fuan-fs5101w", supplies, "event", "point_id") == [
        ("mains_fault", "1-mains"),
        ("mains_ok", "1-mains"),
        ("battery_fault", "1-battery"),
        ("battery_ok", "1-battery"),
        ("fault", "1-charger"),
        ("fault_restore", "1-charger"),
        ("fault", "1-net"),
        ("fault_restore", "1-net"),
    ]


def aorina(tag: str, digits: str, shift: int) -> bytes:
    body = b"@" + tag.encode() + bytes((0x30 + shift,)) + bytes(0x30 + int(digit) + shift - 9 for digit in digits)
    crc = binascii.crc_hqx(body, 0xFFFF) ^ 0xFFFF
    return body + b"%03d%03d#" % (crc >> 8, crc & 0xFF)


@pytest.mark.parametrize("shift", range(10))
def test_aorina_tags_in_every_shift(shift: int) -> None:
    tags = {"HJ1": "fire", "GZ1": "fault", "GZ2": "fault_restore", "QD1": "start", "TZ1": "stop", "FK1": "feedback"}
    tags |= {
        "FK2": "feedback_restore",
        "PB1": "isolate",
        "PB2": "isolate_restore",
        "ZD1": "mains_ok",
        "ZD2": "mains_fault",
    }
    tags |= {"BD1": "battery_ok", "BD2": "battery_fault", "SD1": "manual_mode", "XY1": "silence", "FW1": "reset"}
    stream = b"".join(aorina(tag, "99255001" + "9912312359", shift) + aorina("XJ1", "99", shift) for tag in tags)
    found = told("aorina-oxx20", stream, "event", "panel", "loop", "point")
    assert found[::2] == [(event, 99, 255, 1) for event in tags.values()]
    assert set(found[1::2]) == {(None, 99, None, None)}


def fosaier(command: int, loop: int, point: int, *data: int) -> bytes:
    return b"\x66\xf0" + bytes((0, command, loop, point, *data)) + b"\xfd"


def test_fosaier_commands_values_and_marks_in_every_place() -> None:
    commands = {1: "electrical_alarm", 2: "feedback_restore", 3: "fault", 4: "fault_restore", 5: "start", 6: "stop"}
    commands |= {0x0B: "isolate", 0x0C: "isolate_restore", 0x68: "supervisory", 0x69: "feedback"}
    commands |= {0x70: "electrical_alarm", 0x71: "electrical_alarm"}
    for command, event in commands.items():
        frame = fosaier(command, 0xFF, 0xFD, 0xC0 | 10, 0xC0 | 59, 0x40 | 3)
        assert told("fse-v3818", frame, "event", "loop", "channel", "point", "time") == [
            (event, 31, 7, 253, "10:59:03")
        ]
    stream = (
        fosaier(0x10, 0x66, 0xF0, 0xFF, 0xFF, 0) + fosaier(0x17, 0xE1, 5, 0x01, 0x2C, 0) + fosaier(0x17, 1, 5, 0, 80, 1)
    )
    assert told("fse-v3818", stream, "value", "unit", "event") == [
        (65535, "mA", None),
        (300, "mA", None),
        (80, "degC", None),
    ]
    stream = (
        fosaier(0x12, 1, 0, 0, 0, 0)
        + fosaier(0x12, 0, 0, 0, 0, 0)
        + fosaier(0x13, 1, 0, 0, 0, 0)
        + fosaier(0x20, 0, 0, 0, 0, 0)
    )
    assert told("fse-v3818", stream + fosaier(0x99, 0, 0, 0, 0, 0), "event") == [
        "mains_fault",
        "mains_ok",
        "battery_fault",
        "reset",
        None,
    ]


# --- Siemens, Simplex -----------------------------------------------------------------------------------------------------------


def ct11(body: str) -> bytes:
    text, check = f"T1\x02{body}\x03".encode(), 0
    for byte in text:
        check ^= byte
    return b"\x05\x01" + text + bytes((check,)) + b"\x04"


@pytest.mark.parametrize(
    ("bodies", "events"),
    [
        (("W1110001Q0101", "W1110001U0102", "W1110001N0185"), ["fire", "fire", "fire_restore"]),
        (("W111FFFFQ0500", "W111FFFFQ0600", "W111FFFFN0685"), ["fire", "fire", "fire_restore"]),
        (("W1110001Q0E01", "W1110001N0E85"), ["isolate", "isolate_restore"]),
        (("W1110001Q0C01", "W1110001N0C85"), ["burglar", "tamper_restore"]),
        (("W1110001Q6746", "W1110001N673C"), ["fault", "fault_restore"]),
        (("W1110002Q645D", "W1110002N643C"), ["isolate", "isolate_restore"]),
        (("Z1100000Q3C3D", "Z1100000N3C3C"), ["mains_fault", "mains_ok"]),
        (("P1110001Q0101", "P1110001Q674F", "W1110001Q674F", "W1110001Q624F", "Z1100000N3900"), [None] * 5),
    ],
)
def test_ct11_sectors_categories_and_codes(bodies: tuple[str, ...], events: list[str | None]) -> None:
    from drivers.codecs.base import Frame
    from drivers.codecs.registry import build_codec
    from drivers.profile import load_profiles

    codec = build_codec(load_profiles(()).get("siemens-ct11"))
    stream = b"".join(map(ct11, bodies))
    for data in (stream, bytes(byte | 0x80 if byte.bit_count() % 2 else byte for byte in stream)):
        found = codec.feed(data, 0)
        assert [item.fields["event"] for item in found if isinstance(item, Frame)] == events


def cpi(text: str, sequence: int = 0x30, kind: int = 0x1E) -> bytes:
    body = bytes((sequence, kind)) + text.encode("latin-1")
    check = ~sum(body) & 0xFFF
    return b"\x1c" + body + b"\x17" + bytes(((check >> 6) + 0x40, (check & 63) + 0x40))


@pytest.mark.parametrize(
    ("text", "event", "point", "time"),
    [
        ("102030-5261126 1:M9-78-0 F1* \r\n", "fire", "1:M9-78-0", "2026-11-26 10:20:30"),
        ("102030-5261126  1:M9-78-0  F0- \r\n", "fire_restore", "1:M9-78-0", "2026-11-26 10:20:30"),
        ("000012-?ABC 255:M255-255-255 F1*", "fire", "255:M255-255-255", None),
        ("102030-8991399 P33 P1*\r\n", "supervisory", "P33", None),
        ("235959-7311299 3-0-0 T1* \r\n", "fault", "3-0-0", "2099-12-31 23:59:59"),
        ("235959-1010100 3-0-0 S0- \r\n", "supervisory_restore", "3-0-0", "2000-01-01 23:59:59"),
        ("102030-5261126 P1 U1* \r\n", "feedback", "P1", "2026-11-26 10:20:30"),
        ("102030-5261126 P1 C0* \r\n", "stop", "P1", "2026-11-26 10:20:30"),
        ("W: WARM START\r\n", "power_on", None, None),
        ("FIRE ALARM IN ZONE 3\r\n", "unknown", None, None),
    ],
)
@pytest.mark.parametrize("sequence", [0x30, 0x17, 0x1C])
def test_simplex_points_of_every_letter_clocks_that_are_none_and_marks_as_sequence(
    text: str, event: str, point: str | None, time: str | None, sequence: int
) -> None:
    assert told("simplex-4100-cpi", cpi(text, sequence), "event", "point_name", "time") == [(event, point, time)]
