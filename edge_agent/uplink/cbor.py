"""Batches in CBOR (RFC 8949) instead of JSON: the same objects with short keys and raw bytes. docs/contract.md has the table. Pure.

`cbor2` is imported only where a centre asks for it.
"""

import json
import math
from collections.abc import Mapping
from typing import Final

from edge_agent.model import Instant, encode_instant
from edge_agent.uplink.contract import Batch, head_of

# Keys of a batch, of its records, and of `sent` and `at`. What stands in `fields`, `values` and `gap` keeps its names.
KEYS: Final[Mapping[str, int]] = {
    name: number
    for number, name in enumerate(
        (
            *("v", "gateway", "epoch", "stream", "first", "last", "sent", "replay", "dup", "gaps", "records"),
            *("n", "id", "kind", "point", "active", "at", "grade", "source", "name", "fields", "raw"),
            *("boot", "mono_ns", "wall_ns", "clock", "values", "gap"),
        )
    )
}
_NAMES: Final = {number: name for name, number in KEYS.items()}
_DEPTH_MAX: Final = 16


def encode_batch(gateway: str, batch: Batch, sent: Instant) -> bytes:
    """One message of `up/{stream}`. Raise ImportError without cbor2."""
    import cbor2

    named, marked = head_of(gateway, batch)
    message = {**named, "sent": encode_instant(sent), **marked}
    records = [_record(n, body) for n, body in batch.records]
    return bytes(cbor2.dumps({**_short(message), KEYS["records"]: records}))


def _record(n: int, body: bytes) -> dict[object, object]:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        return {KEYS["n"]: n, KEYS["raw"]: body}  # the centre gets the bytes and will say what it thinks
    short = _short(record) | {KEYS["n"]: n}
    raw = record.get("raw")
    if isinstance(raw, str) and len(raw) % 2 == 0:
        try:
            short[KEYS["raw"]] = bytes.fromhex(raw)
        except ValueError:
            short[KEYS["raw"]] = raw
    return short


def _short(message: Mapping[str, object]) -> dict[object, object]:
    """Known names as numbers, also one level down in `sent` and `at`."""
    return {
        KEYS.get(name, name): _short(value) if name in ("sent", "at") and isinstance(value, dict) else value
        for name, value in message.items()
    }


def is_cbor(payload: bytes) -> bool:
    """Whether a message is a CBOR map; JSON begins with a brace or a blank."""
    return payload[:1] >= b"\xa0" and payload[:1] <= b"\xbf"


def decode(payload: bytes) -> dict[str, object]:
    """The object JSON would have given. Raise ValueError, saying why, ImportError without cbor2."""
    import cbor2

    try:
        message = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, RecursionError, OverflowError, MemoryError) as fault:
        raise ValueError(f"not CBOR: {str(fault)[:100]}") from None
    plain = _plain(message, 0, named=True)
    if not isinstance(plain, dict):
        raise ValueError("not an object")
    return plain


def _plain(value: object, depth: int, *, named: bool) -> object:
    """What JSON can hold; `named`: numbers as keys are our names."""
    if depth > _DEPTH_MAX:
        raise ValueError("nested too deep")
    if isinstance(value, dict):
        plain: dict[str, object] = {}
        for key, inner in value.items():
            name = _NAMES.get(key) if named and type(key) is int else key
            if not isinstance(name, str):
                raise ValueError("a key is neither a text nor one of ours")
            plain[name] = _plain(inner, depth + 1, named=name in ("records", "sent", "at"))
        return plain
    if isinstance(value, list):
        return [_plain(inner, depth + 1, named=named) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"{type(value).__name__} has no place in a batch")
