"""AT lines and readings: every capture decodes to its meaning, nothing a modem sends raises, memory is bounded."""

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.codecs.at import timers
from drivers.codecs.at.decode import decode
from drivers.codecs.at.fields import Broken, Reading
from drivers.codecs.at.lines import CME, LINE_BYTES_MAX, Line, LineReader, Prompt, Refused, Token, cme_name, final_of
from drivers.codecs.at.readings import is_imei, is_registered, masked, read, read_iccid
from drivers.codecs.registry import PROTOCOLS

CAPTURES = Path(__file__).parents[1] / "captures"
FILES = ("at-registration", "at-common", "at-quectel", "at-bc95", "at-simcom")
VECTORS: list[dict[str, Any]] = [
    vector for name in FILES for vector in json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))
]
# An answer's form that a modem sent unasked: only the command in flight tells (ModemManager's tests have it both ways).
UNASKED_IN_ANSWER_FORM = "at-registration/cgreg-random-spaces"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_capture_decodes_to_its_meaning(vector: dict[str, Any]) -> None:
    data, meaning = vector["data"].encode(), {k: v for k, v in vector["meaning"].items() if k != "note"}
    if set(meaning) == {"registered"}:
        said = [read(token.text) for token in LineReader().feed(data + b"\r\n") if isinstance(token, Line)]
        assert is_registered([one for one in said if isinstance(one, Reading)]) is meaning["registered"]
        return
    shown = PROTOCOLS["at"](data)[0]
    if vector["name"] == UNASKED_IN_ANSWER_FORM:
        told = read(data.decode().strip(), asked="CSQ")
        assert isinstance(told, Reading)
        shown = {"command": told.command, **told.fields}
    assert {key: shown.get(key, "absent") for key in meaning} == meaning


def test_there_are_captures_of_all_five_kinds() -> None:
    assert {vector["protocol"] for vector in VECTORS} == set(FILES)
    assert len(VECTORS) == 40


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("+CREG: ", "bad_fields"),
        ("+CREG: 99,1", "bad_stat"),
        ("+CEREG: 2,1,XYZ,00", "bad_fields"),
        ("+CSQ: 77,99", "out_of_range"),
        ("+CSQ: many", "bad_fields"),
        ("+CESQ: 1,2,3", "bad_fields"),
        ('+CCLK: "24/13/01,00:00:00+32"', "bad_time"),
        ('+CCLK: "23/02/29,00:00:00"', "bad_time"),
        ('+CCLK: "24/02/29,00:00:00+99"', "bad_time"),
        ("+CPIN: PINEAPPLE", "unknown_lock"),
        ("+CGEV: HELLO", "unknown_event"),
        ('+QIURC: "party",1', "unknown_event"),
        ("+NSONMI:0,1.2.3.4,5,3,61", "bad_fields"),
        ("+CSONMI: 0,4,61", "bad_length"),
        ("+CGATT: 2", "bad_fields"),
        ('+QENG: "servingcell","NOCONN","LTE","FDD",460', "too_few_fields"),
        ("982314203264096", "bad_iccid"),
    ],
)
def test_a_broken_line_is_refused_with_its_reason(text: str, why: str) -> None:
    got = read(text)
    assert isinstance(got, Broken)
    assert got.why == why
    assert decode(text.encode())[0] | {"reject": True, "why": why} == decode(text.encode())[0]


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('+CREG:002,001,"18d8"', {"solicited": True, "stat": 1, "area_hex": "18d8"}),
        ("+CEREG: 5", {"solicited": False, "stat": 5, "state": "roaming"}),
        (
            '+CEREG: 4,1,"1F00","0079D903",9,,,"01000011","01000011"',
            {"stat": 1, "act": 9, "t3324_s": 18 * 60, "t3412_s": 30 * 3600},
        ),
        ("+CSQ: 99,99", {"rssi_dBm": None, "ber": None}),
        ('+QCSQ: "LTE",-60,-90,130,-10', {"rsrp_dBm": -90, "sinr_dB": 6.0}),
        ("+QTEMP: 255,31,29", {"temperature_c": 31}),
        ('+QENG: "NR5G-NSA",460,01,80,-95,11,-10', {"rat": "EN-DC", "nr_rsrp_dBm": -95, "nr_sinr": 11}),
        ('+CGPADDR: 1,"10.43.0.7"', {"address": "10.43.0.7"}),
        ('+CGPADDR: 1,"0.0.0.0"', {"address": None}),
        ('+CCLK: "26/11/25,14:02:03+32"', {"iso": "2026-11-25T14:02:03+08:00", "unset": False}),
        ('+QLTS: "2026/11/25,14:02:03+32,0"', {"iso": "2026-11-25T14:02:03+08:00"}),
        ('+CCLK: "80/01/06,00:00:00"', {"iso": "2080-01-06T00:00:00", "unset": True}),
        ('+CCLK: "04/01/01,00:00:00+00"', {"unset": True}),
        ('+CPSMS: 1,,,"01000011","01000011"', {"on": True, "t3412_s": 108000, "t3324_s": 1080}),
        ('+CEDRXP: 5,"0010","0101","0011"', {"asked_s": 20.48, "granted_s": 81.92}),
        ("+QISEND: 1000,900,100", {"sent": 1000, "acked": 900, "unacked": 100}),
        ("+NSONMI:1,10.0.0.1,5683,3,616263", {"socket": 1, "payload_hex": "616263"}),
        ("+CSONMI: 0,6,616263", {"socket": 0, "length": 3, "payload_hex": "616263"}),
        ("+CIPRXGET: 1,3", {"socket": 3}),
    ],
)
def test_forms_the_captures_do_not_have(text: str, fields: dict[str, object]) -> None:
    got = read(text)
    assert isinstance(got, Reading)
    assert {key: got.fields.get(key, "absent") for key in fields} == fields


def test_timers_of_power_saving() -> None:
    assert [timers.t3412_s(f"{unit:03b}00001") for unit in range(8)] == [600, 3600, 36000, 2, 30, 60, 1152000, None]
    assert [timers.t3324_s(bits) for bits in ("00000101", "00100101", "01000101", "11100000")] == [10, 300, 1800, None]
    assert (timers.edrx_s("1111"), timers.edrx_s("0000")) == (10485.76, None)
    with pytest.raises(ValueError, match="8 bits"):
        timers.t3412_s("0101")


def test_every_error_has_one_name_by_number_and_by_words() -> None:
    for number, (name, words) in CME.items():
        by_number, by_words = final_of(f"+CME ERROR: {number}"), final_of(f"+CME ERROR: {words}")
        assert by_number is not None
        assert by_number == by_words
        assert cme_name(by_number.code) == name
    assert final_of("+CMS ERROR: 38") is not None
    assert final_of("+CSQ: 1,2") is None


def test_numbers_of_sim_and_modem_are_read_and_masked() -> None:
    assert read_iccid("98681000070516024599"[:20]) == "89860100705061205499"[:20]  # nibbles swapped
    assert read_iccid("898602F1234567890123") == "898602F1234567890123"
    assert read_iccid("12345678901234567890") is None
    assert is_imei("490154203237518")
    assert not is_imei("490154203237519")
    assert (
        masked("+CGSN: 490154203237518 ok 89860100705061205499 x 1234567890")
        == "+CGSN: ***7518 ok ***5499 x 1234567890"
    )


# --- lines --------------------------------------------------------------------------------------------------------------------

STREAM = (
    b'AT+CSQ\r\r\n+CSQ: 28,99\r\n+QIURC: "recv",0\r\n\r\nOK\r\n> \r\nSEND OK\r\n+QIRD: 5\r\na\r\n>b\r\n\r\nOK\r\n'
    b'\xff\xfe\r\n+CIPRXGET: 2,0,3,0\r\nxyz\r\nOK\r\n+QIURC: "recv",1,4\r\n\r\n\r\n\r\n+CME ERROR: 10\r\n+QIRD: 0\r\n'
)


def tokens(pieces: list[bytes]) -> list[Token]:
    reader = LineReader()
    return [token for piece in pieces for token in reader.feed(piece)]


def test_raw_bytes_prompts_and_lines_come_apart() -> None:
    assert tokens([STREAM]) == [
        Line("AT+CSQ"),
        Line("+CSQ: 28,99"),
        Line('+QIURC: "recv",0'),
        Line("OK"),
        Prompt(),
        Line("SEND OK"),
        Line("+QIRD: 5", b"a\r\n>b"),
        Line("OK"),
        Refused("not_ascii", b"\xff\xfe"),
        Line("+CIPRXGET: 2,0,3,0", b"xyz"),
        Line("OK"),
        Line('+QIURC: "recv",1,4', b"\r\n\r\n"),
        Line("+CME ERROR: 10"),
        Line("+QIRD: 0"),
    ]


@settings(max_examples=150, derandomize=True)
@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_slicing_of_the_stream_gives_the_same_tokens(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert tokens([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == tokens([STREAM])


def test_garbage_is_bounded_refused_and_never_raises() -> None:
    chance = random.Random(12)
    words = [
        b"+CEREG: ",
        b"+QIRD: 1500\r\n",
        b">",
        b'"',
        b",",
        b"\r\n",
        b"OK",
        b"+CME ERROR: ",
        b"\x00",
        b"9" * 40,
        b"+NSONMI:",
    ]
    for _ in range(400):
        reader = LineReader()
        for _ in range(30):
            piece = chance.randbytes(chance.randrange(60)) if chance.random() < 0.5 else chance.choice(words)
            for token in reader.feed(piece):
                if isinstance(token, Line):
                    read(token.text, chance.choice(("", "CPIN?", "CCID", "NSORF=0,9")))
                    final_of(token.text)
            assert reader.held_bytes() <= LINE_BYTES_MAX
        decode(chance.randbytes(300))
    long = LineReader()
    assert [type(t) for t in long.feed(b"x" * 100_000 + b"\r\nOK\r\n")] == [Refused, Line]
    assert long.held_bytes() == 0


@settings(max_examples=300, derandomize=True)
@given(
    st.text(st.sampled_from('+:,"-0123456789ABCFNSRTUVX abc.'), max_size=40),
    st.sampled_from(
        ["+CREG:", "+QENG:", "+CCLK:", "+QIURC:", "+CPSI:", "+CGEV:", "+NSONMI:", "+COPS:", "+CEDRXP:", ""]
    ),
)
def test_no_line_raises(rest: str, prefix: str) -> None:
    assert isinstance(read(prefix + rest), Reading | Broken | None)
