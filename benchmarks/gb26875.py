"""What GB/T 26875.3 packets cost to read and write. Prints one JSON object.

    python -m benchmarks.gb26875 [--rounds 15]

`decode`: packets out of a stream (checks, all fields) and their data units (typed objects, time tags). `text` reads the description
and splits the address too. `captures` is every sound packet on file. `floor` is what no decoder in this language can leave out: one
`struct.unpack` of a packet of known shape, and its sum. CPU time of the best round: the machine is shared.
"""

import argparse
import json
import struct
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from drivers.codecs.gb26875 import (
    Command,
    Dialect,
    Frame,
    FrameReader,
    decode_adu,
    encode_adu,
    read_text,
    split_component,
    write_description,
)
from drivers.codecs.gb26875.objects import ComponentStatus

CAPTURES = Path(__file__).parents[1] / "tests" / "captures" / "gb26875.json"
FRAMES = 2000
AT = datetime(2026, 11, 25, 12, 0, 0)
FIRE = ComponentStatus(1, 1, 42, bytes.fromhex("0A000200"), 3, write_description("门诊楼三层东侧走廊感烟"), AT)
_WHOLE = struct.Struct("<2sHBB6s6s6sHBBBBBB4sH31s6sB2s")  # one packet with one component status


def _packet() -> bytes:
    unit = encode_adu(2, [FIRE])
    return Frame(serial=1, sent=unit[-6:], source=bytes(6), target=bytes(6), command=Command.SEND, adu=unit).encode()


def _decode(stream: bytes) -> int:
    found = FrameReader().feed(stream, 0)
    for item in found:
        assert isinstance(item, Frame)
        decode_adu(item.adu, uplink=True)
    return len(found)


def _decode_text(stream: bytes) -> int:
    found = FrameReader().feed(stream, 0)
    for item in found:
        assert isinstance(item, Frame)
        for one in decode_adu(item.adu, uplink=True).objects:
            assert isinstance(one, ComponentStatus)
            assert read_text(one.description)
            split_component(one.address, "loop-point")
    return len(found)


def _floor(stream: bytes) -> int:
    size = _WHOLE.size
    for at in range(0, len(stream), size):
        fields = _WHOLE.unpack_from(stream, at)
        assert sum(stream[at + 2 : at + size - 3]) & 0xFF == fields[-2]
    return len(stream) // size


def _encode(count: int) -> int:
    dialect = Dialect()
    for serial in range(count):
        unit = encode_adu(2, [FIRE], dialect)
        Frame(serial=serial, sent=unit[-6:], source=bytes(6), target=bytes(6), command=Command.SEND, adu=unit).encode()
    return count


def _best(work: Callable[[], int], rounds: int) -> float:
    """Packets a second of CPU time, of the best round."""
    best = 0.0
    for _ in range(rounds):
        started = time.process_time()
        count = work()
        best = max(best, count / (time.process_time() - started))
    return best


def measure(rounds: int) -> dict[str, object]:
    stream = _packet() * FRAMES
    sound = [bytes.fromhex(one["hex"]) for one in json.loads(CAPTURES.read_text("utf-8")) if one["meaning"]["valid"]]
    captures = b"".join(sound) * (FRAMES // len(sound))
    works: dict[str, Callable[[], int]] = {
        "decode": lambda: _decode(stream),
        "text": lambda: _decode_text(stream),
        "captures": lambda: _decode(captures),
        "encode": lambda: _encode(FRAMES),
    }
    floor = _best(lambda: _floor(stream), rounds)
    result: dict[str, object] = {"packet_bytes": _WHOLE.size, "floor": {"frames_per_s": round(floor)}}
    for name, work in works.items():
        rate = _best(work, rounds)
        result[name] = {"frames_per_s": round(rate), "times_floor": round(floor / rate, 1)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gb26875")
    parser.add_argument("--rounds", type=int, default=15)
    print(json.dumps(measure(parser.parse_args().rounds), indent=2))


if __name__ == "__main__":
    main()
