"""GB/T 26875.3-2011 packets that no capture has, from its clauses, with builders of our own: none of our encoders is used."""

from typing import Any

import pytest

from drivers.codecs.gb26875 import DIALECTS, decode_adu, split_component
from drivers.codecs.registry import PROTOCOLS

AT = bytes.fromhex("023A091A090C")  # 2012-09-26 09:58:02 in plain binary
WHEN = "2012-09-26T09:58:02"
TEXT = "三号楼".encode("gb18030").ljust(31, b"\0")


def packet(adu: bytes, command: int = 2, **changed: Any) -> bytes:
    """One packet, clause 8.2: low bytes first, the sum from the serial number to the end of the unit."""
    body = changed.get("serial", 0x1234).to_bytes(2, "little") + bytes(changed.get("version", (1, 1)))
    body += changed.get("sent", AT) + changed.get("source", bytes(6)) + changed.get("target", bytes(6))
    body += len(adu).to_bytes(2, "little") + bytes((command,)) + adu
    return b"@@" + body + bytes(((sum(body) + changed.get("off", 0)) & 0xFF,)) + changed.get("end", b"##")


def shown(data: bytes, name: str = "gb26875.3") -> list[dict[str, Any]]:
    return PROTOCOLS[name](data)


def one(data: bytes, name: str = "gb26875.3") -> dict[str, Any]:
    (only,) = shown(data, name)
    return only


def objects(adu: bytes, command: int = 2, name: str = "gb26875.3") -> list[dict[str, Any]]:
    unit = one(packet(adu, command), name)["adu"]
    assert "problems" not in unit
    found: list[dict[str, Any]] = unit["objects"]
    return found


def why(data: bytes) -> list[str]:
    return [item["why"] for item in shown(data) if item.get("reject")]


ADDRESS = {
    "component_address_hex": "07000300",
    "component_address_u32_le": 0x00030007,
    "address_low_u16": 7,
    "address_high_u16": 3,
}
SYSTEM = {"system_type": 1, "system_address": 2}
TOLD = {"description_hex": TEXT.hex().upper(), "description": "三号楼"}
ADDR4 = bytes.fromhex("07000300")
# type, command, body of one object, what it says: tables and figures of clauses 8.3.1 and 8.3.2
TYPES: list[tuple[int, int, bytes, dict[str, object]]] = [
    (1, 2, b"\1\2\2\0" + AT, {**SYSTEM, "status_raw": 2, "status_bits": ["fire_alarm"], "time": WHEN}),
    (
        2,
        2,
        b"\1\2\x28" + ADDR4 + b"\5\0" + TEXT + AT,
        {
            **SYSTEM,
            "component_type": 40,
            **ADDRESS,
            "status_raw": 5,
            "status_bits": ["normal_operation", "fault"],
            **TOLD,
            "time": WHEN,
        },
    ),
    (
        3,
        5,
        b"\1\2\x1e" + ADDR4 + b"\3\x9c\xff" + AT,
        {
            **SYSTEM,
            "component_type": 30,
            **ADDRESS,
            "analog_type": 3,
            "analog_raw": -100,
            "value": -10.0,
            "unit": "degC",
            "time": WHEN,
        },
    ),
    (
        4,
        2,
        b"\1\2\x21\xff" + AT,
        {**SYSTEM, "operation_raw": 0x21, "operation_bits": ["reset", "confirm"], "operator": 255, "time": WHEN},
    ),
    (5, 5, b"\1\2\x0a\xff", {**SYSTEM, "version": "10.255"}),
    (6, 5, b"\1\2\0", {**SYSTEM, "length": 0, "text": ""}),
    (6, 5, b"\1\2\xff" + b"x" * 255, {**SYSTEM, "length": 255, "text": "x" * 255}),
    (7, 5, b"\1\2\x17" + ADDR4 + TEXT, {**SYSTEM, "component_type": 23, **ADDRESS, **TOLD}),
    (8, 5, b"\1\2" + AT, {**SYSTEM, "time": WHEN}),
    (
        21,
        2,
        b"\x7f" + AT,
        {
            "status_raw": 0x7F,
            "status_bits": [
                "normal_monitoring",
                "fire_alarm",
                "fault",
                "main_power_fault",
                "backup_power_fault",
                "channel_fault",
                "line_fault",
            ],
            "time": WHEN,
        },
    ),
    (
        24,
        2,
        b"\x20\x07" + AT,
        {"operation_raw": 0x20, "operation_bits": ["inspection_reply"], "operator": 7, "time": WHEN},
    ),
    (25, 5, b"\1\0", {"version": "1.0"}),
    (26, 5, b"\6" + "配置1".encode("gb18030") + b"!", {"length": 6, "text": "配置1!"}),
    (28, 5, AT, {"time": WHEN}),
    (61, 4, b"\1\2", SYSTEM),
    (62, 4, b"\1\2" + ADDR4, {**SYSTEM, **ADDRESS}),
    (63, 4, b"\1\2" + ADDR4, {**SYSTEM, **ADDRESS}),
    (64, 4, b"\1\2\x66" + AT, {**SYSTEM, "record_count": 102, "start_time": WHEN}),
    (65, 4, b"\1\2", SYSTEM),
    (66, 4, b"\1\2", SYSTEM),
    (67, 4, b"\1\2" + ADDR4, {**SYSTEM, **ADDRESS}),
    (68, 4, b"\1\2", SYSTEM),
    (81, 4, b"\0", {"reserved": 0}),
    (84, 4, b"\xff" + AT, {"record_count": 255, "start_time": WHEN}),
    (85, 4, b"\0", {"reserved": 0}),
    (86, 4, b"\0", {"reserved": 0}),
    (88, 4, b"\0", {"reserved": 0}),
    (89, 1, b"\0", {"reserved": 0}),
    (90, 1, AT, {"time": WHEN}),
    (91, 1, b"\xff", {"timeout_min": 255}),
]


@pytest.mark.parametrize(("kind", "command", "body", "says"), TYPES, ids=[f"{t[0]}-{len(t[2])}" for t in TYPES])
def test_every_type_of_both_directions(kind: int, command: int, body: bytes, says: dict[str, object]) -> None:
    adu = bytes((kind, 1)) + body
    assert objects(adu, command) == [says]
    assert one(adu, "gb26875.3-adu")["objects"] == [says]


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        (1, 102),
        (2, 22),
        (3, 63),
        (4, 102),
        (6, 3),
        (7, 26),
        (24, 127),
        (61, 102),
        (62, 22),
        (63, 63),
        (66, 3),
        (67, 26),
    ],
)
def test_as_many_objects_as_the_standard_allows(kind: int, most: int) -> None:
    command, body = next((command, body) for number, command, body, _ in reversed(TYPES) if number == kind)
    adu = bytes((kind, most)) + body * most
    assert len(adu) <= 1024
    assert len(objects(adu, command)) == most


def test_an_empty_unit_the_longest_and_one_byte_over() -> None:
    assert one(packet(b""))["adu"] is None
    longest = one(packet(b"\x80\1" + bytes(1022)))
    assert (longest["adu_length"], len(longest["adu"]["body_hex"])) == (1024, 2044)
    assert set(why(packet(b"\x80\1" + bytes(1023)))) <= {"length", "noise"}
    assert why(packet(b"\x80\1" + bytes(1023)))[0] == "length"


# --- codes and bits


def component(kind: int, status: int, system: int = 1) -> bytes:
    return bytes((2, 1, system, 1, kind)) + ADDR4 + status.to_bytes(2, "little") + bytes(31) + AT


def test_what_the_fire_bit_of_a_component_is_depends_on_its_type_alone() -> None:
    special = {23: "fire_manual"} | dict.fromkeys((10, 11, 12, 13), "gas_alarm")
    special |= dict.fromkeys((16, 17, 18), "electrical_alarm")
    for kind in range(256):
        for status in (2, 3):  # bit 0 says nothing
            told = one(packet(component(kind, status, system=255 - kind)))
            assert told["event"] == special.get(kind, "fire"), kind
            assert (told["adu"]["objects"][0]["component_type"], told["adu"]["objects"][0]["system_type"]) == (
                kind,
                255 - kind,
            )


SYSTEM_BITS = {
    0: ("normal_operation", None),
    1: ("fire_alarm", "fire"),
    2: ("fault", "fault"),
    3: ("shielded", "isolate"),
    4: ("supervisory", "supervisory"),
    5: ("started", "start"),
    6: ("feedback", "feedback"),
    7: ("delayed", "delay"),
    8: ("main_power_fault", "mains_fault"),
    9: ("backup_power_fault", "battery_fault"),
    10: ("bus_fault", "fault"),
    11: ("manual", None),
    12: ("configuration_changed", None),
    13: ("reset", "reset"),
    14: (None, None),
    15: (None, None),
}
COMPONENT_BITS = {bit: SYSTEM_BITS[bit] for bit in range(8)} | {8: ("power_fault", "fault")}
COMPONENT_BITS |= dict.fromkeys(range(9, 16), (None, None))
DEVICE_BITS = {
    0: ("normal_monitoring", None),
    1: ("fire_alarm", "fire"),
    2: ("fault", "fault"),
    3: ("main_power_fault", "mains_fault"),
    4: ("backup_power_fault", "battery_fault"),
    5: ("channel_fault", "fault"),
    6: ("line_fault", "fault"),
    7: (None, None),
}


@pytest.mark.parametrize(
    ("head", "tail", "size", "bits"),
    [
        (b"\1\1\1\1", AT, 2, SYSTEM_BITS),
        (b"\2\1\1\1\x28" + ADDR4, bytes(31) + AT, 2, COMPONENT_BITS),
        (b"\x15\1", AT, 1, DEVICE_BITS),
    ],
    ids=["system", "component", "device"],
)
def test_each_status_bit(head: bytes, tail: bytes, size: int, bits: dict[int, tuple[str | None, str | None]]) -> None:
    for bit, (name, event) in bits.items():
        told = one(packet(head + (1 << bit).to_bytes(size, "little") + tail))
        (item,) = told["adu"]["objects"]
        assert (item["status_raw"], told["event"]) == (1 << bit, event), bit
        assert (item["status_bits"], item.get("reserved_bits", [])) == (([name], []) if name else ([], [bit]))


@pytest.mark.parametrize(
    ("head", "sixth"),
    [(b"\4\1\1\1", ("confirm", "acknowledge")), (b"\x18\1", ("inspection_reply", None))],
    ids=["facility", "device"],
)
def test_each_operation_flag(head: bytes, sixth: tuple[str, str | None]) -> None:
    flags = [
        ("reset", "reset"),
        ("mute", "silence"),
        ("manual_alarm", "fire_manual"),
        ("alarm_cleared", "fire_cancel"),
        ("self_test", "test"),
        sixth,
        ("test", "test"),
    ]
    for bit, (name, event) in enumerate(flags):
        told = one(packet(head + bytes((1 << bit, 0)) + AT))
        assert (told["adu"]["objects"][0]["operation_bits"], told["event"]) == ([name], event)
    last = one(packet(head + b"\x80\0" + AT))["adu"]["objects"][0]
    assert (last["operation_bits"], last["reserved_bits"]) == ([], [7])


@pytest.mark.parametrize(
    ("kind", "unit", "lowest", "highest", "per_step"),
    [  # table 6
        (1, "items", 0, 32000, 1),
        (2, "m", 0, 32000, 0.01),
        (3, "degC", -2730, 32000, 0.1),
        (4, "MPa", 0, 32000, 0.1),
        (5, "kPa", 0, 32000, 0.1),
        (6, "%LEL", 0, 1000, 0.1),
        (7, "s", 0, 32000, 1),
        (8, "V", 0, 32000, 0.1),
        (9, "A", 0, 32000, 0.1),
        (10, "L/s", 0, 32000, 0.1),
        (11, "m3/min", 0, 32000, 0.1),
        (12, "m/s", 0, 20, 1),
    ],
)
def test_analogue_values_to_their_ends(kind: int, unit: str, lowest: int, highest: int, per_step: float) -> None:
    def adu(raw: int) -> bytes:
        return b"\3\1\1\1\x1e" + ADDR4 + bytes((kind,)) + raw.to_bytes(2, "little", signed=True) + AT

    for raw in (lowest, lowest + 1, 7, highest):
        (item,) = objects(adu(raw))
        assert (item["analog_raw"], item["unit"], item["value"]) == (raw, unit, pytest.approx(raw * per_step))
    for raw in (lowest - 1, highest + 1, -32768, 32767):  # no value, and never a clamped one
        unit_told = one(packet(adu(raw)))["adu"]
        assert (unit_told["problems"], unit_told["objects"][0]["value"]) == (["range"], None)


@pytest.mark.parametrize("kind", [0, 13, 127, 128, 255])
def test_analogue_types_nobody_defined_keep_their_raw_value(kind: int) -> None:
    (item,) = objects(b"\3\1\1\1\x1e" + ADDR4 + bytes((kind,)) + b"\xff\xff" + AT)
    assert (item["analog_type"], item["analog_raw"], "value" in item) == (kind, -1, False)


def test_user_types_are_kept_raw_and_reserved_ones_said_to_be() -> None:
    known = {kind for kind, *_ in TYPES}
    for kind in range(256):
        if kind not in known:
            unit = one(packet(bytes((kind, 3, 1, 2, 3))))["adu"]
            assert (unit["type"], unit["object_count"], unit["body_hex"]) == (kind, 3, "010203")
            assert unit.get("problems", []) == ([] if 128 <= kind <= 254 else ["reserved_type"]), kind


def test_every_command() -> None:
    names = {1: "control", 2: "send_data", 3: "confirm", 4: "request", 5: "response", 6: "deny"}
    for command in range(256):
        told = one(packet(b"", command))
        if command in names or command >= 128:
            assert (told["command_name"], told.get("reject")) == (names.get(command, "user_defined"), None)
        else:
            assert (told["command_name"], told["why"]) == ("reserved", "command")
        assert one(packet(b"", command), "gb26875.3-dialect").get("reject") is None


# --- heads, times, addresses, text


@pytest.mark.parametrize("version", [(1, 1), (1, 0), (1, 0x5D), (0x10, 0), (2, 0xFF), (0, 1), (255, 255)])
def test_any_version_is_taken(version: tuple[int, int]) -> None:
    told = one(packet(component(40, 2), version=version))
    assert (told["version_major"], told["version_user"], told["event"]) == (*version, "fire")


@pytest.mark.parametrize("serial", [0, 1, 0x4040, 0x2323, 65535])
def test_serial_numbers_and_addresses_are_low_byte_first(serial: int) -> None:
    told = one(packet(b"", serial=serial, source=bytes.fromhex("790300000000"), target=b"\xff" * 6))
    assert (told["serial"], told["source"], told["source_hex"]) == (serial, 889, "790300000000")
    assert told["destination"] == 2**48 - 1


@pytest.mark.parametrize(
    ("tag", "binary", "bcd"),
    [
        ("000000010100", "2000-01-01T00:00:00", "2000-01-01T00:00:00"),
        ("3B3B171F0C63", "2099-12-31T23:59:59", None),
        ("00001C1D0218", None, None),  # 28 o'clock
        ("0000001D0218", "2024-02-29T00:00:00", None),
        ("0000001D0219", None, None),  # no leap year
        ("3C000001011A", None, None),  # second 60
        ("595923311299", None, "2099-12-31T23:59:59"),
        ("153014240826", None, "2026-08-24T14:30:15"),
        ("000000290224", None, "2024-02-29T00:00:00"),
        ("000000000000", None, None),
        ("FFFFFFFFFFFF", None, None),
        ("000000010165", None, "2065-01-01T00:00:00"),  # year 101
    ],
)
def test_times_in_both_codings(tag: str, binary: str | None, bcd: str | None) -> None:
    raw = bytes.fromhex(tag)
    plain = one(packet(b"\x1c\1" + raw, 5, sent=raw))
    assert (plain["time"], plain["adu"]["objects"][0]["time"]) == (binary, binary)
    assert ("problems" in plain["adu"]) == (binary is None)
    if binary is None and bcd is None:
        assert plain["adu"]["objects"][0]["time_hex"] == tag
    either = one(packet(b"\x1c\1" + raw, 5, sent=raw), "gb26875.3-dialect")
    assert (either["time"], either.get("frame_time_bcd")) == (binary, bcd)
    (item,) = decode_adu(b"\x1c\1" + raw, DIALECTS["dahua-1.03"]).objects
    time = getattr(item, "time")  # noqa: B009 - a union of classes
    assert (raw if bcd is None else bcd) == (time if isinstance(time, bytes) else time.isoformat())


def test_a_component_address_in_each_coding() -> None:
    raw = bytes.fromhex("0102FFFF")
    read = {style: split_component(raw, style) for style in ("u32", "loop-point", "point-loop", "raw")}  # type: ignore[arg-type]
    assert read["u32"].number == 0xFFFF0201
    assert (read["loop-point"].loop, read["loop-point"].point) == (0x0201, 0xFFFF)
    assert (read["point-loop"].point, read["point-loop"].loop) == (0x0201, 0xFFFF)
    assert (read["raw"].number, read["raw"].loop) == (None, None)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (bytes(31), ""),
        (b" " * 31, ""),
        ("一层大厅".encode("gb18030").ljust(31), "一层大厅"),
        (b"A1".ljust(30) + b"\0", "A1"),
        (bytes(3) + "走廊".encode("gb18030").ljust(28, b"\0"), "走廊"),
        ("走廊".encode("gb18030") + b"\0" + b"left over from before".ljust(26, b"\xff"), "走廊"),
        (b"x" + "东".encode("gb18030") * 15, "x" + "东" * 15),
        ("东".encode("gb18030") * 15 + b"\xb6", "东" * 15),  # cut in the middle of a character
        ("\U00020000㐀".encode("gb18030").ljust(31, b"\0"), "\U00020000㐀"),  # four bytes each
        (b"\x80\xff" * 15 + b"\x81", ""),
        (b"@@##" + b"\0" * 27, "@@##"),
    ],
)
def test_descriptions_as_devices_fill_them(raw: bytes, text: str) -> None:
    (item,) = objects(b"\2\1\1\1\x28" + ADDR4 + b"\2\0" + raw + AT)
    assert (item["description"], item["description_hex"]) == (text, raw.hex().upper())


# --- framing


def test_any_sum_and_marks_in_any_place() -> None:
    sums = set()
    for last in range(256):
        told = one(packet(b"\x80\1@@##@@" + bytes((last,)), sent=b"@@##@@", source=b"##@@##", target=b"@#@#@#"))
        assert told["adu"]["body_hex"] == f"404023234040{last:02X}"
        sums.add(told["checksum"])
    assert sums == set(range(256))  # 23 and 40 too
    assert one(packet(b"\xfe\1" + b"\xff" * 1022))["checksum"] == sum(packet(b"\xfe\1" + b"\xff" * 1022)[2:-3]) % 256


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (packet(component(40, 2), off=1), "checksum"),
        (packet(component(40, 2), off=255), "checksum"),
        (packet(component(40, 2), end=b"#$"), "end"),
        (packet(component(40, 2), end=b"@@"), "end"),
        (packet(component(40, 2), 0), "command"),
        (packet(component(40, 2), 127), "command"),
        (packet(component(40, 2))[:-1], "partial"),
        (packet(component(40, 2))[:27], "partial"),
        (packet(component(40, 2))[:2], "partial"),
        (b"@!" + packet(component(40, 2))[2:], "noise"),
    ],
)
def test_what_fails_a_check_is_refused_and_what_stands_around_it_is_read(bad: bytes, reason: str) -> None:
    good, other = packet(component(40, 2), serial=1), packet(component(23, 3), serial=2)
    assert why(bad)[0] == reason
    assert not [item for item in shown(bad) if not item.get("reject")]
    found = [item for item in shown(good + bad + other) if not item.get("reject")]
    assert [(item["serial"], item["event"]) for item in found] == [(1, "fire"), (2, "fire_manual")]


def test_packets_glued_and_with_noise_between() -> None:
    noise = b"\0\xff@\r\n##"
    stream = noise + packet(b"\x15\1\1" + AT, serial=1) * 2 + noise + packet(b"", 3, serial=2) + noise
    found = shown(stream)
    assert [item["serial"] for item in found if not item.get("reject")] == [1, 1, 2]
    assert {item["why"] for item in found if item.get("reject")} == {"noise"}


@pytest.mark.parametrize("kind", [5, 7, 8, 21, 25, 28])
def test_a_time_behind_an_object_whose_figure_has_none_is_taken(kind: int) -> None:
    body, says = next((body, says) for number, _, body, says in TYPES if number == kind)
    unit = one(packet(bytes((kind, 2)) + (body + AT) * 2, 5))["adu"]
    assert unit["objects"] == [{**says, "trailing_time": WHEN}] * 2
    assert "trailing_time" in unit["problems"]


def test_recovery_as_a_user_type_and_objects_without_description() -> None:
    for kind, body, event in (
        (0x86, b"\1\1\2\0" + AT, "fire_restore"),
        (0x87, b"\1\1\x17" + ADDR4 + b"\6\0" + bytes(31) + AT, "fire_restore"),
        (0x87, b"\1\1\x11" + ADDR4 + b"\2\0" + AT, "electrical_restore"),
        (0x88, b"\x18" + AT, "mains_ok"),
    ):
        raw = packet(bytes((kind, 1)) + body)
        assert one(raw, "gb26875.3-dialect")["event"] == event
        assert (one(raw)["event"], one(raw)["adu"]["objects"]) == (None, [])  # the standard knows no such type
    short = b"\1\1\x28" + ADDR4 + b"\2\0" + AT
    assert [item["status_bits"] for item in objects(b"\2\3" + short * 3)] == [["fire_alarm"]] * 3
