"""decode: every way to write bytes gives the same bytes, and whatever is no frame is said to be none."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from drivers.vocabulary import EVENTS
from edge_agent.cli_decode import INPUT_BYTES_MAX, BadInput, looks_like_hex, parse_hex
from edge_agent.cli_words import refusal_words
from edge_agent.terminal import printable
from edge_agent.texts import text

Cli = Callable[..., Result]

# GST-CRT500 fire, user code 001004. Source: github georgewzy/KS_old_gateway, doc/海湾GST5000/海湾232通讯协议.txt
FIRE = "0D DD 00 10 04 03 01 18 BB"
FIRE_BYTES = bytes.fromhex(FIRE)
BROKEN = "0D DD 00 10 04 03 01 19 BB"  # made up: the same with a wrong sum


@pytest.mark.parametrize(
    "written",
    [
        FIRE,
        FIRE.replace(" ", ""),
        FIRE.lower(),
        FIRE.replace(" ", ":"),
        FIRE.replace(" ", ", "),
        FIRE.replace(" ", "-"),
        FIRE.replace(" ", "\n"),
        " ".join(f"0x{pair}" for pair in FIRE.split()),
        "".join(f"\\x{pair}" for pair in FIRE.split()),
        "0x" + FIRE.replace(" ", ""),
    ],
)
def test_hex_may_be_written_in_any_usual_way(written: str) -> None:
    assert parse_hex(written) == FIRE_BYTES
    assert looks_like_hex(written.encode())


@given(st.binary(min_size=1, max_size=64), st.sampled_from(["", " ", ":", ", ", "\r\n", " 0x", "\\x"]), st.booleans())
def test_bytes_survive_being_written_and_read(content: bytes, between: str, upper: bool) -> None:
    written = between.join(f"{value:02x}" for value in content)
    assert parse_hex(written.upper().replace("0X", "0x").replace("\\X", "\\x") if upper else written) == content


@pytest.mark.parametrize(
    ("written", "code"),
    [("", "empty"), ("  ", "empty"), ("0D D", "odd_digits"), ("0D GG", "not_hex"), ("火警", "not_hex")],
)
def test_what_is_no_hex_says_why(written: str, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_hex(written)
    assert refused.value.code == code


@given(st.binary(max_size=200))
def test_no_content_upsets_the_look_for_hex(content: bytes) -> None:
    if looks_like_hex(content):
        assert content.isascii()


def decoded(done: Result) -> list[dict[str, object]]:
    frames = json.loads(done.stdout)
    assert isinstance(frames, list)
    return frames


def test_an_argument_a_file_of_bytes_a_file_of_hex_and_stdin_decode_alike(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bytes.bin").write_bytes(FIRE_BYTES)
    (tmp_path / "text.hex").write_text(f"# site 7, 2026-11-02\n{FIRE[:11]}  # first half\n{FIRE[11:]}\n", "utf-8")
    (tmp_path / "bom.hex").write_bytes(b"\xef\xbb\xbf" + FIRE.encode())
    ways = [
        cli("decode", "gst-crt500", FIRE, "--json"),
        cli("--json", "decode", "gst-crt500", str(tmp_path / "bytes.bin")),
        cli("decode", "--json", "gst-crt500", str(tmp_path / "text.hex")),
        cli("decode", "--json", "gst-crt500", str(tmp_path / "bom.hex")),
        cli("decode", "--json", "gst-crt500", "-", stdin=FIRE_BYTES),
        cli("decode", "--json", "gst-crt500", "-", stdin=FIRE),
        cli("decode", "--json", "gst-crt500", stdin=FIRE_BYTES),
        cli("decode", "--json", "gst-crt500", "--raw", str(tmp_path / "bytes.bin")),
    ]
    assert [way.exit_code for way in ways] == [0] * len(ways)
    frames = [decoded(way) for way in ways]
    assert all(found == frames[0] for found in frames)
    assert len(frames[0]) == 1
    assert frames[0][0]["event"] == "fire"
    assert frames[0][0]["user_code"] == "001004"


def test_raw_takes_text_that_looks_like_hex_as_bytes(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "text.hex").write_text(FIRE, "ascii")
    done = cli("decode", "--json", "--raw", "gst-crt500", str(tmp_path / "text.hex"))
    assert all(frame.get("reject") or frame.get("event") is None for frame in decoded(done))


def test_a_refused_frame_is_shown_as_refused_with_why(cli: Cli) -> None:
    done = cli("decode", "gst-crt500", BROKEN, "--json")
    frames = decoded(done)
    assert done.exit_code == 2  # none was decoded
    assert frames
    assert all(frame["reject"] is True and frame["why"] for frame in frames)


def test_one_refused_among_sound_frames_is_a_warning(cli: Cli) -> None:
    done = cli("decode", "gst-crt500", f"{FIRE} {BROKEN} {FIRE}", "--json")
    frames = decoded(done)
    assert done.exit_code == 1
    assert sum(frame.get("event") == "fire" for frame in frames) >= 1
    assert any(frame.get("reject") for frame in frames)


def test_a_person_reads_the_fixed_words_one_line_a_frame(cli: Cli) -> None:
    zh = cli("decode", "gst-crt500", FIRE, "--lang", "zh")
    en = cli("decode", "gst-crt500", FIRE, "--lang", "en")
    assert len(zh.stdout.splitlines()) == len(en.stdout.splitlines()) == 1
    assert "火警" in zh.stdout
    assert "用户编码=001004" in zh.stdout
    assert "fire" in en.stdout
    assert "[拒收]" in cli("decode", "gst-crt500", BROKEN, "--lang", "zh").stdout


def test_an_unknown_protocol_names_the_nearest_and_all(cli: Cli) -> None:
    done = cli("decode", "gst-crt50", FIRE, "--lang", "zh")
    assert done.exit_code == 64
    assert "没有协议 gst-crt50。" in done.stderr
    assert "gst-crt500" in done.stderr
    assert "lida-ld128e" in done.stderr


@pytest.mark.parametrize("given_", ["", "-"])
def test_empty_input_is_an_error_that_still_prints_a_list(cli: Cli, given_: str) -> None:
    done = cli("decode", "gst-crt500", *([given_] if given_ else []), "--json", stdin=b"")
    assert done.exit_code == 2
    assert decoded(done) == []
    assert "empty" in done.stderr


@pytest.mark.parametrize(
    ("data", "said"),
    [("zz", "neither hex nor a file"), ("0DD", "Hex comes in pairs"), ("/proc/self/mem", "Cannot read")],
)
def test_an_argument_that_is_no_bytes_is_a_usage_error_that_says_why(cli: Cli, data: str, said: str) -> None:
    done = cli("decode", "gst-crt500", data, "--json")
    assert done.exit_code == 64
    assert said in done.stderr
    assert done.stdout == ""


def test_input_without_end_is_refused_not_swallowed(environ: dict[str, str], command: list[str]) -> None:
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [*command, "decode", "gst-crt500", "-"],
            env=environ,
            stdin=endless,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 64
    assert str(INPUT_BYTES_MAX >> 20).encode() in done.stderr


def test_every_event_of_the_vocabulary_has_a_word_in_both_languages() -> None:
    for event in EVENTS:
        assert text(f"decode.event_{event}", "zh") != text(f"decode.event_{event}", "en")


def test_a_refusal_is_said_in_words_and_by_its_code(cli: Cli) -> None:
    """Each code: tests/cli/test_refusal_words.py."""
    frame = "0D " + "00 " * 40
    zh, en = (cli("--lang", lang, "decode", "fse-v3818", frame).stdout for lang in ("zh", "en"))
    assert "[拒收] " in zh
    assert "[REFUSED] " in en
    assert refusal_words("unknown_code 7F", "zh") == "没见过的代码 (unknown_code 7F)"
    assert refusal_words("what newer\x1b[2J code", "zh") == printable("what newer\x1b[2J code")
