"""What the node says: one record is its whole state at one moment, in bytes for flash and datagrams, in JSON for MQTT.

The gateway's side of both forms is drivers/codecs/node_frame.py; the vectors of tests/captures/edge-node.json hold them together.
"""

import hashlib
import hmac
import json
import struct

# Bits of the flags, the lowest first. New ones go to the end.
FLAGS = (
    "smoke",
    "gas",
    "pressure_low",
    "pressure_high",
    "tilt",
    "tamper",
    "test",
    "muted",
    "fault",
    "dirty",
    "battery_low",
)
# Numbers, in thousandths on the wire.
VALUES = (
    "smoke_percent",
    "gas_lel_percent",
    "pressure_kpa",
    "tilt_deg",
    "contamination_percent",
    "battery_v",
    "temperature_c",
)
WHYS = ("boot", "change", "heartbeat")
VERSION = 2
RECORD, ACK = 1, 2
MARK_BYTES = 8
_FIXED = ">IHHBB"  # made (seconds of the node's own clock), lost, flags, why, which values follow
_HEAD = ">B4s4sI"  # version and type, node tag, epoch, n


def pack(made_s: int, lost: int, why: str, state: dict) -> bytes:
    """The body of a record, at most 40 bytes. Values that are None or missing are not in it."""
    flags = 0
    for bit, name in enumerate(FLAGS):
        if state.get(name):
            flags |= 1 << bit
    which, values = 0, b""
    for bit, name in enumerate(VALUES):
        value = state.get(name)
        if value is not None:
            which |= 1 << bit
            values += struct.pack(">i", int(round(value * 1000)))
    return struct.pack(_FIXED, made_s & 0xFFFFFFFF, min(lost, 0xFFFF), flags, WHYS.index(why), which) + values


def unpack(body: bytes) -> dict:
    """The inverse of pack: flags and values by name, with `made_s`, `lost` and `why`."""
    made_s, lost, flags, why, which = struct.unpack(_FIXED, body[:10])
    found = {"made_s": made_s, "lost": lost, "why": WHYS[why]}
    for bit, name in enumerate(FLAGS):
        found[name] = bool(flags >> bit & 1)
    at = 10
    for bit, name in enumerate(VALUES):
        if which >> bit & 1:
            found[name] = struct.unpack(">i", body[at : at + 4])[0] / 1000
            at += 4
    return found


def to_json(epoch: bytes, n: int, body: bytes, now_s: int) -> bytes:
    """The MQTT payload of a record. `age_s` says how long it has waited: the node does not know what time it is."""
    said = unpack(body)
    said["v"], said["e"], said["n"] = 1, epoch.hex(), n
    made_s = said.pop("made_s")
    if now_s >= made_s:  # else the node's clock began anew since (-1: it did): nobody knows
        said["age_s"] = now_s - made_s
    return json.dumps(said).encode()


def aged(body: bytes, now_s: int) -> bytes:
    """A body for a datagram: the seconds it has waited in place of when it was made; all ones where nobody knows."""
    made_s = struct.unpack(">I", body[:4])[0]
    age_s = now_s - made_s if now_s >= made_s else 0xFFFFFFFF
    return struct.pack(">I", age_s) + body[4:]


def tag(node: str) -> bytes:
    """What the node is called in a datagram: four bytes."""
    return hashlib.sha256(node.encode()).digest()[:4]


def seal(key: bytes, kind: int, node: str, epoch: bytes, n: int, body: bytes = b"") -> bytes:
    """A datagram that only a holder of the node's key can have made."""
    frame = struct.pack(_HEAD, VERSION << 4 | kind, tag(node), epoch, n) + body
    return frame + mark(key, frame)


def read_ack(key: bytes, node: str, epoch: bytes, frame: bytes) -> int:
    """The number a gateway's datagram confirms; -1 if it is none of this node's."""
    if len(frame) != 13 + MARK_BYTES or mark(key, frame[:-MARK_BYTES]) != frame[-MARK_BYTES:]:
        return -1
    kind, whose, theirs, n = struct.unpack(_HEAD, frame[:13])
    return n if kind == VERSION << 4 | ACK and whose == tag(node) and theirs == epoch else -1


def mark(key: bytes, data: bytes) -> bytes:
    """The first bytes of HMAC-SHA256."""
    return hmac.new(key, data, hashlib.sha256).digest()[:MARK_BYTES]
