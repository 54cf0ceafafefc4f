"""DC-09, Contact ID and ESPA 4.4.4 messages that no capture has, from their standards, with builders of our own."""

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from drivers.codecs.aes import AesCbc
from drivers.codecs.registry import PROTOCOLS
from drivers.codecs.sia_dc09 import parse, unlock
from drivers.receivers.dc09 import Dc09Talk
from drivers.receivers.desk import Message, Say

NOON = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


def crc(data: bytes) -> int:
    """CRC-16/ARC, bit by bit."""
    value = 0
    for bit in (byte >> place & 1 for byte in data for place in range(8)):
        value = value >> 1 ^ (0xA001 if (value ^ bit) & 1 else 0)
    return value


def message(span: str, *, encoding: str = "utf-8", crc_off: int = 0, length_off: int = 0) -> bytes:
    raw = span.encode(encoding)
    return b"\n%04X%04X%b\r" % (crc(raw) ^ crc_off, len(raw) + length_off, raw)


def one(span: str, **wrong: Any) -> dict[str, Any]:
    (only,) = PROTOCOLS["sia-dc09"](message(span, **wrong))
    return only


@pytest.mark.parametrize(
    ("span", "says"),
    [
        ('"NULL"0000L0#123[]', {"id": "NULL", "seq": 0, "line": "0", "account": "123", "data": ""}),
        ('"NULL"9999R0L0#1234[]', {"seq": 9999, "receiver": "0"}),
        (
            '"SIA-DCS"0001R123456LABCDEF#0123456789ABCDEF[#0123456789ABCDEF|NFA1]',
            {"receiver": "123456", "line": "ABCDEF", "account": "0123456789ABCDEF", "data": "NFA1"},
        ),
        ('"SIA-DCS"0001Rf3L7a#12ab[#12ab|NFA1]', {"receiver": "f3", "line": "7a", "account": "12ab", "data": "NFA1"}),
        ('"SIA-DCS"0001L0#1234[|NFA1]', {"data": "NFA1"}),
        ('"SIA-DCS"0001L01234[1234|NFA1]', {"account": "1234", "data": "NFA1"}),
        ('"SIA-DCS"0001L0#1234[#1234|NFA1^三楼^]', {"data": "NFA1^三楼^"}),
        ('"XNM"0001L0#1234[][X1][Y2]', {"data": "", "xdata": ["X1", "Y2"]}),
        (
            '"ADM-CID"0001L0#1234[#1234|1110 01 001][X113W45.5][Y23N45.5]_23:59:59,12-31-2099',
            {"data": "1110 01 001", "xdata": ["X113W45.5", "Y23N45.5"], "timestamp": "2099-12-31T23:59:59Z"},
        ),
        ('"ADM-CID"0001L0#1234[#1234|1110 01 001]_00:00:00,02-29-2024', {"timestamp": "2024-02-29T00:00:00Z"}),
        ('"ADM-CID"0001L0#1234[#1234|1110 01 001]_00:00:00,02-30-2024', {"timestamp": None, "data": "1110 01 001"}),
        ('"ADM-CID"0001L0#1234[#1234|1110 01 001]_24:00:00,00-00-0000', {"timestamp": None}),
        ('"HENG-BO"0001L0#1234[#1234|1701 00 000]', {"id": "HENG-BO", "data": "1701 00 000"}),
        ('"ACK"0001R1L2#1234[]', {"id": "ACK", "seq": 1, "receiver": "1", "line": "2", "account": "1234"}),
        ('"NAK"0000R0L0#0[]_12:00:00,11-26-2026', {"id": "NAK", "timestamp": "2026-11-26T12:00:00Z"}),
        ('"DUH"0001L0#1234[]', {"id": "DUH"}),
        ('"*SIA-DCS"0001L0#1234[00FFAB', {"id": "SIA-DCS", "encrypted": True, "cipher": "00FFAB"}),
    ],
)
def test_the_fields_of_a_message(span: str, says: dict[str, object]) -> None:
    read = one(span)
    assert {key: read.get(key, "absent") for key in says} == says
    assert (read["crc_ok"], read["length_ok"], read.get("reject")) == (True, True, None)


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_text_in_either_coding_counts_its_bytes(encoding: str) -> None:
    assert one('"SIA-DCS"0001L0#1234[#1234|NFA1^消防泵房^]', encoding=encoding)["data"] == "NFA1^消防泵房^"


def test_every_wrong_sum_and_length_is_refused() -> None:
    span = '"ADM-CID"0001L0#1234[#1234|1110 01 001]'
    for bit in range(16):
        assert one(span, crc_off=1 << bit)["why"] == "crc"
    for off in (-2, -1, 1, 2, 240):
        assert one(span, length_off=off)["why"] == "length"
    lower = message(span)
    (read,) = PROTOCOLS["sia-dc09"](lower[:9].lower() + lower[9:])
    assert read["crc_ok"]
    good = message(span)
    found = PROTOCOLS["sia-dc09"](b"\xff\0" + good + b"noise" + good[:20] + good * 2 + b"\r\n\r")
    assert [item["data"] for item in found if not item.get("reject")] == ["1110 01 001"] * 3


@pytest.mark.parametrize("size", [16, 24, 32])
def test_an_encrypted_message_opens_with_every_length_of_padding(size: int) -> None:
    key = bytes(range(size))
    for length in range(20):
        clear = f"|#1234|1110 01 001][Iroom {'9' * length}]_12:00:00,11-26-2026"
        clear = "K" * (-len(clear) % 16) + clear
        cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
        raw = message(f'"*ADM-CID"0042L0#1234[{cipher.update(clear.encode()).hex().upper()}')
        read = unlock(parse(raw), AesCbc(key))
        assert (read["data"], read["xdata"], read["timestamp"]) == (
            "1110 01 001",
            [f"Iroom {'9' * length}"],
            "2026-11-26T12:00:00Z",
        )
        assert unlock(parse(raw), AesCbc(key[::-1]))["reject_reason"] == "decrypt"


# --- what is told, and what goes back


def heard(span: str, **wrong: Any) -> tuple[list[tuple[str, str]], str]:
    """Point and event of all that is told by an account without key, and the id of the answer."""
    talk = Dc09Talk({"1234": None}, lambda: NOON, random.Random(1))
    told: list[tuple[str, str]] = []
    said = b""
    for item in talk.feed(message(span, **wrong), 0):
        if isinstance(item, Message):
            told += [(one.where, one.event) for one in item.told if not one.is_state]
            said = said or item.yes
        elif isinstance(item, Say):
            said = item.data
    return told, str(parse(said)["id"]) if said else ""


@pytest.mark.parametrize(
    ("codes", "begun", "ended"),
    [
        ("110 111 112 113 114 116 117", "fire", "fire_restore"),
        ("115", "fire_manual", "fire_restore"),
        ("118", "prealarm", "prealarm_restore"),
        ("151 162", "gas_alarm", "gas_restore"),
        ("154 200 201 202 203 204 206", "supervisory", "supervisory_restore"),
        ("205", "start", "stop"),
        ("301", "mains_fault", "mains_ok"),
        ("302 309 311 384", "battery_fault", "battery_ok"),
        ("308 321 330 333 350 373 380 393", "fault", "fault_restore"),
        ("383", "burglar", "tamper_restore"),
        ("570 571", "isolate", "isolate_restore"),
        ("601 602 607", "test", "test_restore"),
        ("701 799", "status", "status"),  # private to one maker
    ],
)
def test_contact_id_codes_begun_still_there_and_over(codes: str, begun: str, ended: str) -> None:
    for code in codes.split():
        for qualifier, event in ((1, begun), (6, begun), (3, ended)):
            for identity in ("ADM-CID", "HENG-BO"):
                span = f'"{identity}"0001L0#1234[#1234|{qualifier}{code} 99 999]'
                assert heard(span) == ([("99-999", event)], "ACK"), span


@pytest.mark.parametrize(
    ("span", "events", "answer"),
    [
        ('"ADM-CID"0001L0#1234[#1234|1110 01 001]_12:00:20,11-26-2026', ["fire"], "ACK"),
        ('"ADM-CID"0001L0#1234[#1234|1110 01 001]_11:59:20,11-26-2026', ["fire"], "ACK"),
        ('"ADM-CID"0001L0#1234[#1234|1110 01 001]_12:00:21,11-26-2026', ["fire"], "NAK"),
        ('"ADM-CID"0001L0#1234[#1234|1110 01 001]_11:59:19,11-26-2026', ["fire"], "NAK"),
        ('"NULL"0001L0#1234[]', [], "ACK"),
        ('"ADM-CID"0001L0#1234[#1234|nonsense]', ["fault"], "DUH"),
        ('"SIA-DCS"0001L0#1234[#1234|nonsense]', ["fault"], "DUH"),
        ('"XYZ-ABC"0001L0#1234[#1234|1110 01 001]', ["fault"], "DUH"),
        ('"*ADM-CID"0001L0#1234[00112233445566778899AABBCCDDEEFF', [], "DUH"),
        ('"SIA-DCS"0001L0#1234[#1234|NFA1', ["unknown"], ""),  # no end of the data: not believed, not lost
    ],
)
def test_answers_and_what_a_stamp_or_a_form_does(span: str, events: list[str], answer: str) -> None:
    told, said = heard(span)
    assert ([event for _, event in told], said) == (events, answer)


def test_a_fire_with_a_wrong_sum_is_an_alarm_of_kind_unknown() -> None:
    assert heard('"ADM-CID"0001L0#1234[#1234|1110 01 001]', crc_off=1) == ([("01-001", "unknown")], "")


# --- Contact ID by itself


def contact(digits: str) -> str:
    """With its check digit: a 0 counts ten, all make a multiple of 15."""
    total = sum(int(digit, 16) or 10 for digit in digits)
    return digits + {0: "F", 10: "0"}.get(-total % 15, f"{-total % 15:X}")


def test_contact_id_check_digits_of_every_value() -> None:
    seen = set()
    for zone in range(1000):
        line = contact(f"{zone % 7 + 1}B0F18111001{zone:03d}")
        (read,) = PROTOCOLS["contact-id"](line.encode())
        assert (read["zone"], read["checksum_ok"], read["meaning"]) == (f"{zone:03d}", True, "fire")
        seen.add(read["checksum"])
        wrong = line[:-1] + ("1" if line[-1] != "1" else "2")
        assert PROTOCOLS["contact-id"](wrong.encode())[0]["why"] == "checksum"
    assert seen == set("0123456789BCDEF")
    (other,) = PROTOCOLS["contact-id"](contact("123498111001001").encode())
    assert other["message_type"] == "98"


# --- ESPA 4.4.4


def block(header: str, records: list[tuple[str, bytes]], off: int = 0) -> bytes:
    body = header.encode() + b"\2" + b"\x1e".join(number.encode() + b"\x1f" + text for number, text in records) + b"\3"
    check = 0
    for byte in body:
        check ^= byte
    return b"\1" + body + bytes((check ^ off,))


def with_parity(data: bytes, odd: int) -> bytes:
    return bytes(byte | ((byte.bit_count() + odd) & 1) << 7 for byte in data)


NAMES = [
    "call_address",
    "display_text",
    "beep_coding",
    "call_type",
    "transmissions",
    "priority",
    "call_status",
    "system_status",
]


@pytest.mark.parametrize(
    ("header", "function"),
    [("1", "call_to_pager"), ("2", "status_information"), ("3", "status_request"), ("4", "call_to_subscriber")],
)
def test_espa_headers_and_every_record(header: str, function: str) -> None:
    plain = block(header, [(str(number), f"T{number}".encode()) for number in range(1, 9)])
    for raw in (plain, with_parity(plain, 0), with_parity(plain, 1)):
        (read,) = PROTOCOLS["espa444"](raw)
        assert (read["function"], read["bcc_ok"]) == (function, True)
        assert [read[name] for name in NAMES] == [f"T{number}" for number in range(1, 9)]


def test_espa_check_characters_of_every_value() -> None:
    seen = set()
    for value in range(32, 127):
        for call in ("1", "A"):
            raw = block("1", [("1", call.encode()), ("2", b"FIRE" + bytes((value,))), ("9", b"")])
            (read,) = PROTOCOLS["espa444"](raw)
            assert (read["bcc"], read.get("reject")) == (f"{raw[-1]:02X}", None)
            seen.add(raw[-1])
    assert {1, 3, 4, 5, 6, 0x15} & seen  # marks too
    for bit in range(7):
        assert PROTOCOLS["espa444"](block("1", [("2", b"FIRE")], off=1 << bit))[0]["why"] == "bcc"


def test_an_espa_line_as_it_runs() -> None:
    call = block("1", [("1", b"99"), ("2", "一层火警".encode("gb18030")), ("4", b"3"), ("6", b"1")])
    line = b"\x042\x05\x06" + b"1\x052\x05\x06" + call + b"\x06\x04" + b"1\x052\x05\x15\x04" + call[:9] + call + b"\xff"
    found = PROTOCOLS["espa444"](line)
    kinds = [one.get("kind") or one.get("why") or one["function"] for one in found]
    assert kinds == [
        *("end", "poll", "ack", "select", "ack", "call_to_pager", "ack", "end"),
        *("select", "nak", "end", "truncated", "call_to_pager", "noise"),
    ]
    assert [one["display_text"] for one in found if "display_text" in one and not one.get("reject")] == ["一层火警"] * 2
