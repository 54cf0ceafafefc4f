"""Datagrams of our own detector node: one record, its whole state at one moment, sealed with the node's key. Pure.

The frame is that of docs/packed.md with types of its own: version and type, tag of the node, epoch, number, body, 8 bytes of
HMAC-SHA256. The node's side is drivers/detector_node/record.py; tests/captures/edge-node.json holds both to the same bytes.
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FLAGS: Final = (
    *("smoke", "gas", "pressure_low", "pressure_high", "tilt", "tamper", "test", "muted", "fault", "dirty"),
    "battery_low",
)
VALUES: Final = (
    *("smoke_percent", "gas_lel_percent", "pressure_kpa", "tilt_deg", "contamination_percent", "battery_v"),
    "temperature_c",
)
WHYS: Final = ("boot", "change", "heartbeat")
FRAME_BYTES_MAX: Final = 64
MARK_BYTES: Final = 8
AGE_UNKNOWN: Final = 0xFFFFFFFF
_VERSION: Final = 2
_RECORD, _ACK = 1, 2
_HEAD: Final = struct.Struct(">B4s4sI")  # version and type, node tag, epoch, number
_FIXED: Final = struct.Struct(">IHHBB")  # age, lost, flags, why, which values follow


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """What a node said. `n` counts within `epoch`; `age_s` None: its clock began anew since; `lost` records it had to overwrite."""

    tag: bytes
    epoch: bytes
    n: int
    age_s: int | None
    lost: int
    why: str
    flags: Mapping[str, bool]
    values: Mapping[str, float]


def tag_of(node: str) -> bytes:
    """The four bytes a node is known by. Two may share them: the key decides."""
    return hashlib.sha256(node.encode()).digest()[:4]


def read(frame: bytes, key: bytes | None) -> NodeRecord:
    """A record; None reads without looking at the mark. Raise ValueError, saying why in ASCII."""
    if not _HEAD.size + _FIXED.size + MARK_BYTES <= len(frame) <= FRAME_BYTES_MAX:
        raise ValueError("length")
    if key is not None and not hmac.compare_digest(_mark(key, frame[:-MARK_BYTES]), frame[-MARK_BYTES:]):
        raise ValueError("foreign_key")
    kind, tag, epoch, n = _HEAD.unpack_from(frame)
    if kind != _VERSION << 4 | _RECORD:
        raise ValueError("version")
    age_s, lost, flags, why, which = _FIXED.unpack_from(frame, _HEAD.size)
    names = [name for bit, name in enumerate(VALUES) if which >> bit & 1]
    body = frame[_HEAD.size + _FIXED.size : -MARK_BYTES]
    if which >> len(VALUES) or why >= len(WHYS) or len(body) != 4 * len(names) or n == 0:
        raise ValueError("fields")
    numbers = struct.unpack(f">{len(names)}i", body)
    return NodeRecord(
        tag=tag,
        epoch=epoch,
        n=n,
        age_s=None if age_s == AGE_UNKNOWN else age_s,
        lost=lost,
        why=WHYS[why],
        flags={name: bool(flags >> bit & 1) for bit, name in enumerate(FLAGS)},
        values={name: number / 1000 for name, number in zip(names, numbers, strict=True)},
    )


def ack(record: NodeRecord, key: bytes) -> bytes:
    """The datagram that says: this record is kept."""
    frame = _HEAD.pack(_VERSION << 4 | _ACK, record.tag, record.epoch, record.n)
    return frame + _mark(key, frame)


def decode(data: bytes) -> list[dict[str, object]]:
    """One datagram as `edge-agent decode` shows it; its mark is not looked at, for nobody has the key there."""
    try:
        record = read(data, None)
    except ValueError as fault:
        return [{"reject": True, "why": str(fault), "event": None, "raw": data.hex()}]
    event = "fire" if record.flags["smoke"] else "gas_alarm" if record.flags["gas"] else None
    shown: dict[str, object] = {"node_tag": record.tag.hex(), "epoch": record.epoch.hex(), "n": record.n}
    shown |= {"age_s": record.age_s, "lost": record.lost, "why": record.why, **record.flags, **record.values}
    return [{**shown, "event": event, "raw": data.hex()}]


def _mark(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")[:MARK_BYTES]
