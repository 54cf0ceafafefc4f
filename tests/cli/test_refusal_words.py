"""What a decoder says of bytes is said in words, in both languages: why they are refused, what a frame without an event is."""

import ast
import functools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from drivers.codecs.registry import PROTOCOLS
from drivers.profile import load_profiles, try_capture
from edge_agent.cli_words import lookup
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
