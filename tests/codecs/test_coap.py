"""CoAP requests by the rules of RFC 7252: what is a report, and what each other thing is answered with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.codecs.coap import (
    BAD_OPTION,
    BAD_REQUEST,
    CHANGED,
    CON,
    EMPTY,
    NON,
    NOT_ALLOWED,
    POST,
    TOO_LARGE,
    Request,
    encode,
    parse,
)

# RFC 7252 figure 16, a GET of /temperature with message id 7d34; and the same as a POST of "22.3 C".
GET = bytes.fromhex("40017d34bb") + b"temperature"
PUSH = bytes.fromhex("41027d3520bb") + b"temperature" + b"\xff22.3 C"


def test_the_example_of_the_standard() -> None:
    assert parse(GET) == Request(CON, 1, 0x7D34, b"", "temperature", b"", NOT_ALLOWED)
    push = parse(PUSH)
    assert push == Request(CON, POST, 0x7D35, b"\x20", "temperature", b"22.3 C")
    assert push is not None
    assert push.answer(CHANGED) == bytes.fromhex("61447d3520")


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ("", 0),
        ("b174 0164 ", 0),  # two parts of a path
        ("c0", 0),  # a content format
        ("60", 0),  # observe is elective
        ("d10e00", 0),  # block 1: the only piece
        ("d10e08", TOO_LARGE),  # block 1: more to follow
        ("d10e10", TOO_LARGE),  # block 1: piece 1
        ("90", BAD_OPTION),  # 9 is critical and unknown
        ("f0", BAD_REQUEST),
        ("0f", BAD_REQUEST),
        ("ba74", BAD_REQUEST),  # shorter than it says
        ("e1ffff00" * 3, 0),  # far numbers, even: elective
    ],
)
def test_options(options: str, refused: int) -> None:
    request = parse(bytes.fromhex("40020001" + options.replace(" ", "")) + b"\xffx")
    assert request is not None
    assert request.refused == refused


@pytest.mark.parametrize("rest", ["d1", "e101", "ba74", "dd00", "0fff"])
def test_options_that_end_too_soon_are_a_bad_request(rest: str) -> None:
    request = parse(bytes.fromhex("40020001" + rest))
    assert request is not None
    assert request.refused == BAD_REQUEST


@pytest.mark.parametrize("data", ["", "40", "80020001", "49020001", "4f02000100", "40440001", "4000000101", "41000001"])
def test_what_is_no_request_is_none(data: str) -> None:
    assert parse(bytes.fromhex(data)) is None


def test_a_ping_is_reset_and_a_request_that_wants_no_word_gets_none() -> None:
    ping = parse(bytes.fromhex("40001234"))
    assert ping is not None
    assert ping.code == EMPTY
    assert ping.answer(EMPTY) == bytes.fromhex("70001234")
    quiet = parse(bytes.fromhex("50020001ff78"))
    assert quiet is not None
    assert (quiet.type, quiet.answer(CHANGED)) == (NON, b"")
    assert parse(bytes.fromhex("40020001ff")) == Request(CON, POST, 1, b"", "", b"", BAD_REQUEST)


@given(st.binary(max_size=200))
def test_nothing_a_peer_sends_raises(data: bytes) -> None:
    request = parse(data)
    assert request is None or len(request.answer(BAD_REQUEST)) <= 12


@given(
    st.integers(0, 0xFFFF),
    st.binary(max_size=8),
    st.lists(st.text("abc-19", min_size=1, max_size=12), max_size=5),
    st.binary(max_size=300),
)
def test_what_is_written_is_read(message_id: int, token: bytes, path: list[str], payload: bytes) -> None:
    request = Request(CON, POST, message_id, token, "/".join(path), payload)
    assert parse(encode(request)) == request
