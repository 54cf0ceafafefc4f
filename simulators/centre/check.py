"""Reads what a gateway sent and says what is wrong with it. Pure; docs/contract.md has the words.

A message that cannot be read is rejected whole; a single record that breaks the rules is refused by its number, and the rest
of its batch is kept.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from edge_agent.uplink import cbor

VERSION: Final = 1
ROOT: Final = "zg119/v1"
STREAMS: Final = ("alarm", "fault", "status", "telemetry", "media")
BATCH_BYTES_MAX: Final = 512 * 1024
RECORDS_MAX: Final = 10_000
N_MAX: Final = 2**53
GATEWAY: Final = re.compile("[A-Za-z0-9-]{1,64}")
CLOCKS: Final = ("synced", "holdover", "unset")

Object = dict[str, object]


class Rejected(ValueError):
    """A whole message that cannot be taken. The text says why, for the gateway's engineer."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A readable batch. `records` are (n, record without n); `refused` are (n, why)."""

    gateway: str
    epoch: str
    stream: str
    records: list[tuple[int, Object]]
    gaps: list[tuple[int, int, str]]
    refused: list[tuple[int, str]]
    brief: bool = False  # from a narrow path: not the full records, those are still to come


def read_batch(gateway: str, stream: str, payload: bytes) -> Batch:
    """Take a message of topic zg119/v1/{gateway}/up/{stream} apart. Raise Rejected."""
    if len(payload) > BATCH_BYTES_MAX:
        raise Rejected(f"too_big: {len(payload)} bytes, at most {BATCH_BYTES_MAX}")
    if not GATEWAY.fullmatch(gateway):
        raise Rejected("the topic names no gateway")
    message = _object(payload)
    if message.get("v") != VERSION:
        raise Rejected(f"v is {message.get('v')!r}, not {VERSION}")
    if message.get("gateway") != gateway or message.get("stream") != stream:
        raise Rejected("gateway or stream is not that of the topic")  # the broker's ACL vouches for the topic only
    epoch = message.get("epoch")
    if not isinstance(epoch, str) or not 0 < len(epoch) <= 64 or not (epoch.isascii() and epoch.isprintable()):
        raise Rejected("epoch is not a short ASCII text")
    items = message.get("records", [])
    if not isinstance(items, list) or len(items) > RECORDS_MAX:
        raise Rejected(f"records is not a list of at most {RECORDS_MAX}")
    batch = Batch(gateway, epoch, stream, [], _gaps(message.get("gaps", [])), [])
    fault_of = {"telemetry": _telemetry_fault, "media": _media_fault}.get(stream, _event_fault)
    previous = 0
    for item in items:
        n = item.pop("n", None) if isinstance(item, dict) else None
        if type(n) is not int or not previous < n <= N_MAX:
            raise Rejected(f"a record after n={previous} has no n above it")
        previous = n
        fault = None if isinstance(item.get("gap"), dict) else fault_of(item)  # the journal's own word on what it lost
        if fault is None:
            batch.records.append((n, item))
        else:
            batch.refused.append((n, fault))
    return batch


def read_state(gateway: str, payload: bytes) -> Object:
    """Take a message of topic zg119/v1/{gateway}/state apart. Raise Rejected."""
    if not GATEWAY.fullmatch(gateway):
        raise Rejected("the topic names no gateway")
    message = _object(payload)
    if message.get("v") != VERSION or message.get("gateway") != gateway or not isinstance(message.get("online"), bool):
        raise Rejected("not a state message of this gateway")
    if (fault := why_not_storable(message)) is not None:
        raise Rejected(fault)
    return message


def _object(payload: bytes) -> Object:
    try:
        message = cbor.decode(payload) if cbor.is_cbor(payload) else json.loads(payload)
    except (ValueError, RecursionError) as fault:
        raise Rejected(f"malformed: {str(fault)[:100]}") from None
    except ImportError:
        raise Rejected("CBOR is not understood here: cbor2 is not installed") from None
    if not isinstance(message, dict):
        raise Rejected("malformed: not an object")
    return message


def _gaps(items: object) -> list[tuple[int, int, str]]:
    if not isinstance(items, list) or len(items) > RECORDS_MAX:
        raise Rejected("gaps is not a list")
    gaps = []
    for item in items:
        if not isinstance(item, list) or len(item) != 3 or type(item[0]) is not int or type(item[1]) is not int:
            raise Rejected("a gap is not [first, last, why]")
        first, last, why = item
        if not 1 <= first <= last <= N_MAX:
            raise Rejected("a gap is not in order")
        gaps.append((first, last, why[:100] if isinstance(why, str) and why.isascii() and why.isprintable() else "?"))
    return gaps


def _instant_fault(at: object) -> str | None:
    if not isinstance(at, dict):
        return "at is not an object"
    if type(at.get("wall_ns")) is not int or type(at.get("mono_ns")) is not int or not isinstance(at.get("boot"), str):
        return "at lacks boot, mono_ns or wall_ns"
    if at.get("clock") not in CLOCKS:
        return f"at.clock is none of {', '.join(CLOCKS)}"
    return None


def _event_fault(record: Mapping[str, object]) -> str | None:
    for key in ("id", "kind", "point"):
        value = record.get(key)
        if not isinstance(value, str) or not 0 < len(value) <= 200:
            return f"{key} is not a text of 1 to 200"
    if not str(record["id"]).isprintable():  # it is a key: no database need cope with NUL in one
        return "id is not printable"
    if not isinstance(record.get("active"), bool):
        return "active is not true or false"
    return _instant_fault(record.get("at"))


def _telemetry_fault(record: Mapping[str, object]) -> str | None:
    if not isinstance(record.get("values"), dict):
        return "values is not an object"
    if not isinstance(record.get("source"), str):
        return "source is not a text"
    return _instant_fault(record.get("at"))


def _media_fault(record: Mapping[str, object]) -> str | None:
    picture, part, of, data = (record.get(key) for key in ("picture", "part", "of", "data"))
    if not isinstance(picture, str) or not 0 < len(picture) <= 200 or not picture.isprintable():
        return "picture is not a text of 1 to 200"
    if type(part) is not int or type(of) is not int or not 1 <= part <= of <= N_MAX:
        return "part is not one of `of`"
    if not isinstance(data, str) or not isinstance(record.get("source"), str):
        return "data or source is not a text"
    return _instant_fault(record.get("at"))


encode: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def why_not_storable(message: Object) -> str | None:
    """Why no database takes it: JSON can spell half a surrogate pair and 1e999, other encodings can carry bytes."""
    try:
        encode(message).encode()
    except (TypeError, ValueError, RecursionError) as fault:
        return f"cannot be stored: {ascii(str(fault))[:100]}"
    return None
