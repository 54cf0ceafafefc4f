"""Formats whose decoders stand alone: every capture to its meaning, damage refused, nothing a peer sends gets out of hand."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs import contact_id, espa444, pn532, rdm6300, sia_dc09
from drivers.codecs.registry import PROTOCOLS

CAPTURES = Path(__file__).parents[1] / "captures"
FORMATS = (
    *("contact-id", "ctwing-json", "elec-4g-7b7b", "espa444", "huaqiang-nb", "ks-breaker-68", "pn532", "rdm6300"),
    *("sia-dc09", "wanlin-nb-ascii", "wanlin-nb-json", "zigbee-ias-zone"),
)
VECTORS: list[dict[str, Any]] = [
    vector for name in FORMATS for vector in json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))
]


def wire(vector: dict[str, Any]) -> bytes:
    data, encoding = vector["data"], vector["encoding"]
    return bytes.fromhex(data) if encoding == "hex" else data.encode(encoding)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_capture_decodes_to_its_meaning(vector: dict[str, Any]) -> None:
    shown = PROTOCOLS[vector["protocol"]](wire(vector))
    assert len(shown) == 1
    wanted = {key: value for key, value in vector["meaning"].items() if key not in ("note", "confidence")}
    assert {key: shown[0].get(key, "absent") for key in wanted} == wanted
    if vector["meaning"].get("reject"):
        assert str(shown[0]["why"]).isascii()


@settings(max_examples=60)
@given(name=st.sampled_from(FORMATS), data=st.binary(max_size=700))
def test_arbitrary_bytes_never_raise(name: str, data: bytes) -> None:
    for one in PROTOCOLS[name](data):
        assert isinstance(one["raw"], str)


@settings(max_examples=200)
@given(vector=st.sampled_from(VECTORS), at=st.integers(0, 2000), value=st.integers(0, 255), cut=st.integers(0, 2000))
def test_a_damaged_capture_never_raises(vector: dict[str, Any], at: int, value: int, cut: int) -> None:
    data = bytearray(wire(vector))
    data[at % len(data)] = value
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        for one in PROTOCOLS[vector["protocol"]](damaged):
            assert "raw" in one


# Formats with a check, and the bytes it covers.
CHECKED = {
    "ks-breaker-68": (4, -1),
    "elec-4g-7b7b": (5, -2),
    "rdm6300": (1, -1),
    "sia-dc09": (9, -1),
    "espa444": (1, None),
}
SOUND = [v for v in VECTORS if v["protocol"] in CHECKED and not v["meaning"].get("reject") and len(v["data"]) > 15]


@pytest.mark.parametrize("vector", SOUND, ids=lambda vector: vector["name"])
def test_no_single_changed_bit_passes_for_a_sound_message(vector: dict[str, Any]) -> None:
    data, (first, last) = wire(vector), CHECKED[vector["protocol"]]
    parity = 7 if vector["protocol"] == "espa444" else -1  # stripped
    tried = 0
    for at in range(len(data))[first:last]:
        for bit in range(8):
            if bit == parity:
                continue
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            tried += 1
            assert _told(PROTOCOLS[vector["protocol"]](bytes(damaged))) == [], (at, bit)
    assert tried > 50


def _told(shown: list[dict[str, object]]) -> list[dict[str, object]]:
    """What was taken for sound: not refused, not an answer or selection of one byte."""
    return [one for one in shown if not one.get("reject") and one.get("kind") not in ("ack", "nak", "end", "select")]


def test_dc09_messages_and_their_answers() -> None:
    stream = bytearray(b"noise" + sia_dc09.encode("ADM-CID", 17, "1234", "#1234|1110 01 015"))
    (message,) = sia_dc09.split(stream)
    fields = sia_dc09.parse(message)
    assert (fields["id"], fields["seq"], fields["data"], fields["crc_ok"]) == ("ADM-CID", 17, "1110 01 015", True)
    assert contact_id.parse_data(str(fields["data"])) == {"qualifier": 1, "event": "110", "group": "01", "zone": "015"}
    ack = sia_dc09.parse(sia_dc09.answer("ACK", fields))
    assert (ack["id"], ack["seq"], ack["account"], ack["crc_ok"], ack["length_ok"]) == ("ACK", 17, "1234", True, True)
    nak = sia_dc09.parse(sia_dc09.answer("NAK", fields, now=datetime(2026, 11, 25, 1, 2, 3)))
    assert nak["timestamp"] == "2026-11-25T01:02:03Z"
    assert not stream


@given(st.lists(st.sampled_from([b"\n", b"\r", b"x" * 3000, b'"NULL"']), max_size=12))
def test_a_dc09_stream_never_piles_up(pieces: list[bytes]) -> None:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        list(sia_dc09.split(buffer))
        assert len(buffer) <= sia_dc09.MESSAGE_BYTES_MAX


@pytest.mark.parametrize(
    ("code", "qualifier", "word"),
    [
        ("110", 1, "fire"),
        ("110", 3, "fire_restore"),
        ("115", 1, "fire_manual"),
        ("301", 3, "mains_ok"),
        ("999", 1, None),
    ],
)
def test_contact_id_codes_have_their_words(code: str, qualifier: int, word: str | None) -> None:
    assert contact_id.meaning(code, qualifier) == word


def test_what_is_encoded_is_decoded() -> None:
    assert rdm6300.decode(rdm6300.encode("0086F444"))[0]["tag_decimal"] == "0008844356"
    found = pn532.decode(pn532.frame(bytes.fromhex("4B 01 01 0004 08 04 01020304"), pn532.FROM_CHIP))
    assert (found[0]["uid"], found[0]["sak"]) == ("01020304", 8)
    call = espa444.decode(espa444.encode_call("550", "FIRE 3RD FLOOR"))
    assert (call[0]["display_text"], call[0]["bcc_ok"]) == ("FIRE 3RD FLOOR", True)


def test_a_line_of_espa_shows_its_polls() -> None:
    line = b"2\x05\x042\x051\x05\x06" + espa444.encode_call("1", "FIRE 1-027") + b"\x06\x04"
    kinds = [one.get("kind") or one["function"] for one in espa444.decode(line)]
    assert kinds == ["poll", "end", "select", "ack", "call_to_pager", "ack", "end"]


def test_contact_id_is_read_as_it_is_printed_and_as_a_receiver_puts_it_out() -> None:
    [spaced] = contact_id.decode(b"1234 18 1131 01 015 8\n")
    assert (spaced["account"], spaced["zone"], spaced["checksum_ok"]) == ("1234", "015", True)
    two = contact_id.decode(b"1234181131010158 1234181131010157")
    assert [one.get("why") for one in two] == [None, "checksum"]
    said = contact_id.decode(b"5011 181234E11000129\x141011           @    \x14")
    assert [(one.get("meaning"), one.get("kind")) for one in said] == [("fire", None), (None, "heartbeat")]
    assert [one["why"] for one in contact_id.decode(b"no message")] == ["no_message"]


def test_codes_of_nb_detectors_count_whatever_json_makes_of_them() -> None:
    for state in (1, "1", 1.0):
        assert PROTOCOLS["wanlin-nb-json"](json.dumps({"devId": "a", "devState": state}).encode())[0]["event"] == "fire"
        smoke = {"payload": {"serviceData": {"Alarm_Status": state}}}
        assert PROTOCOLS["ctwing-json"](json.dumps(smoke).encode())[0]["event"] == "fire"
        gas = {"payload": {"serviceData": {"gas_sensor_state": state}}}
        assert PROTOCOLS["ctwing-json"](json.dumps(gas).encode())[0]["event"] == "gas_alarm"
    assert PROTOCOLS["wanlin-nb-json"](b'{"devState": NaN}')[0]["reject"]
    report = "N311V31I888888888888888H8986000000000000000a" + "X{}T25U30S20"
    assert [PROTOCOLS["wanlin-nb-ascii"](report.format(x).encode())[0]["event"] for x in ("01", "F")] == [
        "fire",
        "fire_restore",
    ]


def test_reports_one_behind_the_other_are_all_told() -> None:
    vectors = json.loads((CAPTURES / "huaqiang-nb.json").read_text("utf-8"))
    raw = bytes.fromhex(str(PROTOCOLS["huaqiang-nb"](wire(vectors[0]))[0]["raw"]))
    assert len(PROTOCOLS["huaqiang-nb"](raw + raw)) == 2
    assert [one.get("why") for one in PROTOCOLS["huaqiang-nb"](raw + raw[:-1])] == [None, "length"]
    call = espa444.encode_call("1", "FIRE ZONE 3")
    shown = espa444.decode(call[:12] + call)
    assert [(one.get("why"), one.get("display_text")) for one in shown][1:] == [(None, "FIRE ZONE 3")]
    assert shown[0]["why"] == "truncated"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"12341811310101581234181131010158", ["1234", "1234"]),  # glued
        (b"123418113101015123418113101015", ["1234", "1234"]),  # glued, without check digits
        (b"1234 18 1131 01 015 8 1234 18 1131 01 015 8", ["1234", "1234"]),
        (b"A234181131010157", [None]),  # its sum is wrong
        (b"12A4181131010151", ["1204"]),  # a 0 printed as its tone
        (b"1234 18 1131 01", [None]),  # cut: one refusal
        (b"1234181131010158 1234 18 11", ["1234", None]),
        (b"x12341811310101581234181131010158", [None]),  # what begins inside a word is none
    ],
)
def test_messages_of_one_line_are_told_one_by_one_and_what_is_none_is_refused_once(
    line: bytes, told: list[str | None]
) -> None:
    shown = contact_id.decode(line)
    assert [None if one.get("reject") else one["account"] for one in shown] == told
