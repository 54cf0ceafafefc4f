"""decode gb26875.3: every capture in both languages, in the words of the standard; the examples of its page run."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from drivers.codecs.gb26875 import Frame, encode_adu
from drivers.codecs.gb26875.tables import (
    COMPONENT_TYPES,
    DEVICE_BITS,
    DEVICE_FLAGS,
    FACILITY_FLAGS,
    QUANTITIES,
    SYSTEM_BITS,
    SYSTEM_TYPES,
    TYPE_NAMES,
)
from edge_agent.gb_words import head_line, unit_lines
from edge_agent.texts import text
from simulators.centre.cli import _parser

Cli = Callable[..., Result]
ROOT = Path(__file__).parents[2]
VECTORS: dict[str, dict[str, Any]] = {
    vector["name"]: vector
    for path in sorted((ROOT / "tests/captures").glob("gb26875*.json"))
    for vector in json.loads(path.read_text("utf-8"))
}


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("name", VECTORS)
def test_every_capture_is_told_in_words(cli: Cli, name: str, lang: str) -> None:
    vector = VECTORS[name]
    done = cli("decode", vector["protocol"], vector["hex"], "--lang", lang)
    assert done.exit_code == (0 if vector["meaning"]["valid"] else 2)
    fields = vector["meaning"].get("fields") or {}
    unit = fields.get("adu") or fields
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + len(unit.get("objects", [1])) * ("type" in unit or not fields)
    if "type" in unit:
        kind = text(f"gb.type_{TYPE_NAMES[unit['type']]}", lang)
        assert kind in lines[1]


def test_a_fire_is_told_as_a_duty_officer_needs_it(cli: Cli) -> None:
    fire = VECTORS["sf-component-decode"]
    zh = cli("decode", fire["protocol"], fire["hex"], "--lang", "zh").stdout
    assert "火警" in zh.splitlines()[0]
    assert "系统=火灾报警系统(1), 系统地址=3" in zh
    assert "部件地址=D9000600 (低16位 217, 高16位 6)" in zh
    assert "说明=Ａ区１层呷哺走廊" in zh
    assert "时间=2020-08-01 19:18:48" in zh
    value = VECTORS["nb-pressure-analog-device"]
    en = cli("decode", value["protocol"], value["hex"], "--lang", "en").stdout
    assert "pressure (5)=0.0 kPa" in en
    assert "user-defined (128), raw value=-91" in en
    dahua = VECTORS["dahua103-fire-bcd-time"]
    assert "2026-08-24 14:30:15 (按 BCD 读)" in cli("decode", dahua["protocol"], dahua["hex"], "--lang", "zh").stdout


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_code_of_every_table_has_its_words(lang: str) -> None:
    for table, names in (("system", SYSTEM_TYPES), ("component", COMPONENT_TYPES), ("type", TYPE_NAMES)):
        assert all(text(f"gb.{table}_{name}", lang) for name in names.values())
    assert all(text(f"gb.quantity_{quantity.name}", lang) for quantity in QUANTITIES.values())
    assert all(
        text(f"gb.bit_{bit}", lang)
        for bit in (*SYSTEM_BITS, *DEVICE_BITS, *DEVICE_FLAGS, *FACILITY_FLAGS, "power_fault")
    )


def test_what_has_no_words_keeps_its_number() -> None:
    unit = {"type": 9, "object_count": 1, "objects": [], "body_hex": "05", "problems": ["reserved_type"]}
    assert list(unit_lines(unit, "en")) == ["reserved (9), 1 objects  a reserved type  body=05"]
    assert "user-defined (200)" in head_line(
        {"command": 200, "command_name": "user_defined", "time": "2026-01-01T00:00:00"}, "en"
    )


def test_a_refused_packet_says_why_in_words_and_code(cli: Cli) -> None:
    sound = bytes.fromhex(VECTORS["al-fire-smoke-detector"]["hex"])
    reserved = Frame(serial=1, sent=bytes(6), source=bytes(6), target=bytes(6), command=7).encode()
    damaged = {
        "结束符不对 (end)": sound[:-1] + b"!",
        "长度不对 (length)": sound[:24] + b"\x01\x04" + sound[26:],
        "数据包不完整 (partial)": sound[:-5],
        "校验和错误 (checksum)": sound[:30] + b"\xff" + sound[31:],
        "命令字节是预留的 (command)": reserved,
        "不是帧的字节 (noise)": b"hello",
    }
    for said, raw in damaged.items():
        done = cli("decode", "gb26875.3", raw.hex(), "--lang", "zh")
        assert done.exit_code == 2
        assert f"[拒收] {said}" in done.stdout.splitlines()[0]
    odd = cli("decode", "gb26875.3-adu", "0102030405", "--lang", "en")
    assert (odd.exit_code, "do not add up (size)" in odd.stdout) == (2, True)


def test_json_has_the_names_of_the_captures(cli: Cli) -> None:
    vector = VECTORS["al-device-main-power-fault"]
    (shown,) = json.loads(cli("decode", "gb26875.3", vector["hex"], "--json").stdout)
    assert shown["event"] == "mains_fault"
    assert {key: shown[key] for key in vector["meaning"]["fields"]} == vector["meaning"]["fields"]


def test_a_description_that_would_move_the_cursor_does_not(cli: Cli) -> None:
    from drivers.codecs.gb26875.objects import DeviceConfiguration

    unit = encode_adu(26, [DeviceConfiguration(b"a\x1b[2Jb\r\nc")])
    assert "\x1b" not in cli("decode", "gb26875.3-adu", unit.hex(), "--lang", "en").stdout


@pytest.mark.parametrize("page", ["gb26875.md", "gb26875.zh.md"])
def test_the_examples_of_the_page_run(cli: Cli, page: str) -> None:
    written = (ROOT / "docs/drivers" / page).read_text("utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", written, re.DOTALL | re.MULTILINE)
    for line in block.splitlines():
        words = shlex.split(line)
        assert words[0] == "edge-agent"
        assert cli(*words[1:]).exit_code == 0
    (centre,) = re.findall(r"^edge-centre (gb26875.*)$", written, re.MULTILINE)
    options = _parser("en").parse_args(shlex.split(centre))
    assert (options.port, [kind for kind, _ in options.ask], options.fault) == (5201, [81, 91], [("no-confirm", 2)])
