"""What a decoder says of bytes is said in words, in both languages: why they are refused, what a frame
without an event is, what its fields are called and what the codes in them mean.
"""

import ast
import functools
import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from drivers.codecs.at.decode import decode as decode_at
from drivers.codecs.registry import PROTOCOLS
from drivers.profile import load_profiles, try_capture
from edge_agent.cli_decode import names_of
from edge_agent.cli_words import lookup
from edge_agent.frame_words import frame_lines
from edge_agent.texts import LANGUAGES

ROOT = Path(__file__).parents[2]
SEED = 20260519
DAMAGES = 3  # for each decoder, of its own captures


def captures() -> Iterator[tuple[str, bytes, bool]]:
    """The protocol and the bytes of every vector on file, and whether it must be refused."""
    for path in sorted((ROOT / "tests" / "captures").glob("*.json")):
        vectors = json.loads(path.read_text("utf-8"))
        for vector in vectors if isinstance(vectors, list) else ():
            data, encoding = vector.get("hex", vector.get("data", "")), vector.get("encoding", "hex")
            wire = bytes.fromhex(data) if encoding == "hex" else data.encode(encoding)
            yield vector["protocol"], wire, bool(vector["meaning"].get("reject"))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """`data` cut short, with a byte changed or taken out, or with more behind it."""
    at = chance.randrange(len(data)) if data else 0
    return chance.choice(
        (
            data[:at],
            data[at:],
            data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :],
            data[:at] + data[at + 1 :],
            data[:at] + data,
            data + chance.randbytes(9),
        )
    )


@functools.cache
def shown() -> list[tuple[str, dict[str, object]]]:
    """What every decoder makes of its captures, of damage to them and of what is not its own."""
    chance, own = random.Random(SEED), dict[str, list[tuple[bytes, bool]]]()
    for name, data, refused in captures():
        own.setdefault(name, []).append((data, refused))
    everything = [data for vectors in own.values() for data, _ in vectors]
    frames = []
    profiles = load_profiles(())
    for name in PROTOCOLS:
        decode = PROTOCOLS[name]
        if name in profiles.names():  # parsed once, not for each input
            decode = functools.partial(try_capture, profiles.get(name))
        vectors = own.get(name, [])
        sound = [data for data, refused in vectors if not refused]
        inputs = [data for data, refused in vectors if refused] + sound[:6]
        inputs += [damaged(chance.choice(sound), chance) for _ in range(DAMAGES) if sound]
        inputs += [chance.choice(everything), b"{\r\n", chance.randbytes(40)]
        frames += [(name, frame) for wire in inputs for frame in decode(wire)]
    return frames


def reasons_given() -> dict[str, str]:
    """Code -> the decoder that gave it first."""
    given: dict[str, str] = {}
    for name, frame in shown():
        if frame.get("reject"):
            given.setdefault(str(frame["why"]), name)
    return given


def without_words(reasons: dict[str, str]) -> list[str]:
    """What `reasons` of it the catalogue cannot say, and whose they are."""
    return sorted(
        f"{source}: {why}"
        for why, source in reasons.items()
        if not all(lookup(f"decode.why_{why.partition(' ')[0]}", lang) for lang in LANGUAGES)
    )


def test_every_reason_a_decoder_gives_has_words() -> None:
    given = reasons_given()
    assert without_words(given) == []
    assert all(why.isascii() and len(why) <= 80 for why in given)
    assert len({why.partition(" ")[0] for why in given}) >= 25, "the inputs reach too few of the refusals"
    assert without_words({"made up": "x", "crc": "y", "unknown_code 7": "z"}) == ["x: made up"]


def test_every_kind_of_frame_without_an_event_has_words() -> None:
    kinds = {str(frame["kind"]) for _, frame in shown() if frame.get("kind") and not frame.get("event")}
    assert len(kinds) >= 10
    missing = [
        (kind, lang)
        for kind in sorted(kinds)
        for lang in LANGUAGES
        if not (lookup(f"decode.kind_{kind}", lang) or lookup(f"decode.what_{kind}", lang))
    ]
    assert missing == []


def written_in(tree: ast.AST) -> Iterator[str]:
    """Codes as the drivers write them down: the first argument of Refused and of refuse functions, `refused=` and "why"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            if called in ("Refused", "Rejected", "_refuse", "_refused", "refuse") and node.args:
                yield from _codes(node.args[0])
            for keyword in node.keywords:
                if keyword.arg == "refused":
                    yield from _codes(keyword.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in ("why", "reject_reason"):
                    yield from _codes(value)


def _codes(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _codes(node.body)
        yield from _codes(node.orelse)
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        yield str(node.values[0].value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def test_every_reason_written_in_the_drivers_has_words() -> None:
    found: dict[str, str] = {}
    for path in sorted((ROOT / "drivers").rglob("*.py")):
        for code in written_in(ast.parse(path.read_text("utf-8"))):
            found.setdefault(code, path.name)
    assert without_words(found) == []
    assert len(found) >= 40
    assert all(re.fullmatch(r"[a-z0-9_]+( .*)?", code) for code in found)


# -- fields and their values -------------------------------------------------------------------------------------------
A_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# What the device or its owner wrote: no code of ours, however it looks.
WRITTEN = frozenset(
    (
        *("text", "event_text", "text_raw", "raw_text", "label", "detail", "location_text", "display_text", "layout"),
        *("device", "device_text", "point_name", "account", "user_code", "user_code_ends", "node_tag", "epoch"),
        *("data", "xdata", "cipher", "bcd", "reply_hex"),
    )
)
# Fields of GB/T 26875.3 are said by edge_agent.gb_words, which tests/cli/test_decode_gb26875.py holds to its tables.
STANDARD = re.compile(r"gb26875\.3.*")


def leaves(fields: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Every field, also of fields that are tables or lists of them, with one value."""
    for key, value in fields.items():
        yield from _leaves(key, value)


def _leaves(key: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from leaves({str(name): one for name, one in value.items()})
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(key, one)
    else:
        yield key, value


def raw_in(line: str) -> list[str]:
    """Codes a Chinese reader would meet as such: `key=` or `=value` in the letters of the codecs."""
    told = line.partition("原始字节=")[0]
    keys = re.findall(r"(?:\s\s|\{|, )([A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+|[a-z]{2,})=", told)
    return [*keys, *re.findall(r"=([a-z][a-z0-9]*(?:_[a-z0-9]+)*)(?=[\s,}\]]|$)", told)]


def of_the_captures() -> Iterator[tuple[str, dict[str, object]]]:
    """Every frame of every capture: the decoder's name and what it makes of it."""
    profiles = load_profiles(())
    for name, data, _ in captures():
        if name.startswith("at-"):
            yield from (("at", frame) for frame in decode_at(data))
        elif name in profiles.names():
            yield from ((name, frame) for frame in try_capture(profiles.get(name), data))
        elif name in PROTOCOLS:
            yield from ((name, frame) for frame in PROTOCOLS[name](data))


def test_no_field_of_a_frame_and_no_code_in_it_is_shown_raw_to_a_chinese_reader() -> None:
    profiles, raw, seen = load_profiles(()), dict[str, str](), 0
    names = {name: names_of(profiles.get(name), "zh") for name in profiles.names()}
    for name, frame in [*of_the_captures(), *shown()]:
        if not STANDARD.fullmatch(name):
            told = {key: value for key, value in frame.items() if key not in WRITTEN}
            for line in frame_lines(1, told, "zh", names.get(name, {})):
                raw |= dict.fromkeys(raw_in(line), name)
            seen += len(list(leaves(frame)))
    assert raw == {}
    assert seen > 5000
    assert raw_in("   1  火警  sum_ok=是  方向=host_to_panel  类型={kind=poll}  shift=7") == [
        "sum_ok",
        "kind",
        "shift",
        "host_to_panel",
        "poll",
    ]


def fields_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(field, code) as a codec writes them: `"field": code` and `["field"] = code`, code also from a table of the module."""
    tables = {  # of the module: no frames
        node.targets[0].id if isinstance(node, ast.Assign) else node.target.id: node.value
        for node in getattr(tree, "body", ())
        if (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name))
        or (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None)
    }

    def codes(node: ast.expr) -> Iterator[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from (*codes(node.body), *codes(node.orelse))
        elif isinstance(node, ast.BoolOp):
            for value in node.values:
                yield from codes(value)
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            yield from table(node.value.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            yield from table(getattr(node.func.value, "id", ""))

    def table(name: str) -> Iterator[str]:
        held = tables.get(name)
        values = held.values if isinstance(held, ast.Dict) else held.elts if isinstance(held, ast.Tuple) else []
        for value in values:
            first = value.elts[0] if isinstance(value, ast.Tuple) and value.elts else value
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value

    named = {id(held) for held in tables.values()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and id(node) not in named:
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield from ((key.value, code) for code in codes(value))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            place = node.targets[0].slice
            if isinstance(place, ast.Constant) and isinstance(place.value, str):
                yield from ((place.value, code) for code in codes(node.value))


def codes_without_words(found: Iterable[tuple[str, str]]) -> list[str]:
    """Those that `edge-agent decode` would show as they are."""
    return sorted(
        {
            f"{field}={code}"
            for field, code in found
            if lookup(f"field.{field}", "zh") and A_CODE.fullmatch(code) and field not in WRITTEN
            if f"={code}" in frame_lines(1, {field: code, "raw": ""}, "zh", {})[0]
        }
    )


def test_every_code_a_codec_can_put_in_a_field_has_words() -> None:
    found = [
        pair
        for path in sorted((ROOT / "drivers" / "codecs").rglob("*.py"))
        for pair in fields_in(ast.parse(path.read_text("utf-8")))
    ]
    assert codes_without_words(found) == []
    assert len({pair for pair in found if lookup(f"value.{pair[0]}_{pair[1]}", "zh")}) > 60
    planted = ast.parse('T = {1: "host_to_moon"}\nfields["direction"] = T.get(x, "y")\ng({"state": "odd" if a else b})')
    assert codes_without_words(fields_in(planted)) == ["direction=host_to_moon", "state=odd"]


def test_every_group_and_field_a_shipped_profile_names_has_words() -> None:
    named: dict[str, str] = {}
    for profile in load_profiles(()).list():
        meaning = profile.data.get("meaning")
        tables = meaning if isinstance(meaning, dict) else {}
        for pattern in tables.get("pattern", ()):
            named |= dict.fromkeys(re.findall(r"\(\?P<(\w+)>", str(pattern.get("regex"))), profile.name)
            named |= dict.fromkeys(pattern.get("fixed", {}), profile.name)
        for field in tables.get("field", ()):
            named |= {str(field.get("name")): profile.name}
    made_into_a_time = {"year", "hour", "minute", "second", "half"}
    asked = named.keys() - made_into_a_time
    missing = [f"{named[name]}: {name}" for name in sorted(asked) if not lookup(f"field.{name}", "zh")]
    assert missing == []
    assert len(named) > 10
