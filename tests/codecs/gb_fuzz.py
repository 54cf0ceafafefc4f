"""A mutating fuzzer for the GB/T 26875.3 codec: sound packets of every type, damaged in every way, and what must hold of each.

python -m tests.codecs.gb_fuzz COUNT [SEED]        prints what it saw as JSON; exit 1 if anything was wrong
"""

import contextlib
import json
import random
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from drivers.codecs.gb26875 import DIALECTS, Dialect, Frame, FrameReader, decode_adu, encode_adu
from drivers.codecs.gb26875.dialect import ADU_BYTES_MAX
from drivers.codecs.gb26875.layouts import LAYOUTS
from drivers.codecs.gb26875.meaning import ANY
from drivers.codecs.registry import PROTOCOLS

CAPTURES = Path(__file__).parents[1] / "captures"
SEED = 20261125
INPUT_MS_MAX = 10.0
AGAIN_MS = 2.0  # an input that took longer is judged by its best of five: a collection of garbage is not its fault
INPUT_BYTES_MAX = 1_000_000  # allocated while one input is decoded
HELD_BYTES_MAX = 30 + ADU_BYTES_MAX + 256
MEASURED_EVERY = 1000  # memory is measured on every so manieth input, and on each that is bigger than any before
SHOWN_EVERY = 64  # and what `decode` shows is tried

Target = Callable[[bytes, random.Random], Counter[str]]


@dataclass
class Report:
    """What was seen. `wrong` has the inputs in hex, and is empty if all is well."""

    inputs: int = 0
    seed: int = SEED
    frames: int = 0
    refused: int = 0
    units_with_problems: int = 0
    slowest_ms: float = 0.0
    largest_bytes: int = 0
    wrong: list[str] = field(default_factory=list)


def sound_packets() -> list[bytes]:
    """The captures, and packets of every type with one and two objects, and in smaller number with the most it takes."""
    packets = []
    for path in sorted(CAPTURES.glob("gb26875*.json")):
        for vector in json.loads(path.read_text("utf-8")):
            raw = bytes.fromhex(vector["hex"])
            packets.append(_packet(raw) if vector["protocol"].endswith("-adu") else raw)
    full = []
    for kind, (layout, *_) in LAYOUTS.items():
        size = layout.size + layout.counted
        packets += [_packet(bytes((kind, count)) + bytes(count * size)) for count in (1, 2)]
        full.append(_packet(bytes((kind, layout.count_max)) + bytes(layout.count_max * size)))
    return packets * 6 + full


def _packet(unit: bytes) -> bytes:
    return Frame(
        serial=1, sent=bytes(6), source=bytes(6), target=bytes(6), command=2, adu=unit[:ADU_BYTES_MAX]
    ).encode()


def mutate(packets: list[bytes], rng: random.Random) -> bytes:
    """One input: one to three packets, damaged a few times, now and then with length and checksum made right again."""
    raw = bytearray(b"".join(rng.choice(packets) for _ in range(rng.choice((1, 1, 1, 2, 3)))))
    for _ in range(rng.choice((0, 1, 1, 2, 4, 8))):
        _MUTATIONS[rng.randrange(len(_MUTATIONS))](raw, rng)
    if rng.random() < 0.6:
        _mend(raw)
    return bytes(raw)


def _flip(raw: bytearray, rng: random.Random) -> None:
    if raw:
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def _set(raw: bytearray, rng: random.Random) -> None:
    if raw:
        raw[rng.randrange(len(raw))] = rng.choice((0, 1, 0x23, 0x40, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _cut(raw: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(raw) + 1)
    del raw[at : at + rng.choice((1, 2, 6, 46, 200))]


def _insert(raw: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(raw) + 1)
    raw[at:at] = rng.choice((b"@", b"@@", b"##", b"\0" * 6, rng.randbytes(rng.randrange(1, 40)), b"@" * 60))


def _double(raw: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(raw) + 1)
    raw[at:at] = raw[: rng.randrange(1, 200)]


def _head(raw: bytearray, rng: random.Random) -> None:
    if len(raw) > 29:  # type, number of objects and first bytes of the unit: where most decoders break
        raw[rng.choice((24, 25, 26, 27, 28, 29))] = rng.randrange(256)


_MUTATIONS = (_flip, _set, _set, _cut, _insert, _double, _head, _head)


def _mend(raw: bytearray) -> None:
    """Make the first packet sound again, so that what is wrong in its unit is reached."""
    length = len(raw) - 30
    if 0 <= length <= ADU_BYTES_MAX:
        raw[:2], raw[-2:] = b"@@", b"##"
        raw[24:26] = length.to_bytes(2, "little")
        raw[-3] = sum(raw[2:-3]) & 0xFF


def decode_everything(raw: bytes, rng: random.Random) -> Counter[str]:
    """All of the codec on one input, sliced anyhow. Raise AssertionError where it breaks its word."""
    seen: Counter[str] = Counter()
    reader, at, found = FrameReader(), 0, []
    cuts = sorted(rng.randrange(len(raw) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
    for end in [*cuts, len(raw)]:
        found += reader.feed(raw[at:end], 0)
        at = end
        assert reader.held_bytes() < HELD_BYTES_MAX, "holds too much"
    found += reader.tick(1 << 62)
    assert reader.held_bytes() == 0, "keeps bytes for ever"
    for item in found:
        if isinstance(item, Frame):
            assert Frame.decode(item.encode()) == item, "a packet is not written back"
            _unit(item.adu, rng.choice(_DIALECTS), seen)
            seen["frames"] += 1
        else:
            seen["refused"] += 1
    if rng.randrange(SHOWN_EVERY) == 0:
        for protocol in ("gb26875.3", "gb26875.3-dialect", "gb26875.3-adu"):
            json.dumps(PROTOCOLS[protocol](raw))
    return seen


_DIALECTS: tuple[Dialect, ...] = (
    *DIALECTS.values(),
    ANY,
    Dialect(time="bcd", recovery="user-type", trailing_time=True),
)


def _unit(adu: bytes, dialect: Dialect, seen: Counter[str]) -> None:
    unit = decode_adu(adu, dialect, uplink=True)
    assert encode_adu(unit.type, unit.objects, dialect, as_received=True) == adu, "a unit is not written back"
    seen["units_with_problems"] += bool(unit.problems)


def fuzz(count: int, seed: int = SEED, target: Target = decode_everything) -> Report:
    """Try `count` inputs; stop at the hundredth that is wrong."""
    packets, rng, report = sound_packets(), random.Random(seed), Report(seed=seed)
    biggest = 0
    with contextlib.suppress(Exception):
        target(packets[0], random.Random(0))  # what is imported when first used is not the cost of an input
    for number in range(count):
        raw = mutate(packets, rng)
        state = rng.getstate() if number % MEASURED_EVERY == 0 or len(raw) > biggest else None
        started_ns = time.thread_time_ns()
        try:
            seen = target(raw, rng)
        except Exception as fault:  # noqa: BLE001 - that nothing is raised is what is tested
            report.wrong.append(f"{type(fault).__name__}: {fault}: {raw.hex()}")
            seen = Counter()
        took_ms = (time.thread_time_ns() - started_ns) / 1e6
        if took_ms > AGAIN_MS:
            took_ms = min(took_ms, *(_timed_ms(target, raw, seed) for _ in range(4)))
            if took_ms > INPUT_MS_MAX:
                report.wrong.append(f"{took_ms:.1f} ms: {raw.hex()}")
        report.slowest_ms = max(report.slowest_ms, took_ms)
        if state is not None:
            biggest = max(biggest, len(raw))
            allocated = _allocated(target, raw, state)
            report.largest_bytes = max(report.largest_bytes, allocated)
            if allocated > INPUT_BYTES_MAX:
                report.wrong.append(f"{allocated} bytes: {raw.hex()}")
        report.inputs += 1
        report.frames += seen["frames"]
        report.refused += seen["refused"]
        report.units_with_problems += seen["units_with_problems"]
        if len(report.wrong) >= 100:
            break
    return report


def _timed_ms(target: Target, raw: bytes, seed: int) -> float:
    started_ns = time.thread_time_ns()
    target(raw, random.Random(seed))
    return (time.thread_time_ns() - started_ns) / 1e6


def _allocated(target: Target, raw: bytes, state: tuple[object, ...]) -> int:
    rng = random.Random()
    rng.setstate(state)  # type: ignore[arg-type]  # its type is the random module's own business
    tracemalloc.start()
    try:
        target(raw, rng)
        return tracemalloc.get_traced_memory()[1]
    except Exception:  # noqa: BLE001 - told already
        return 0
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    seen_ = fuzz(int(sys.argv[1]), *(int(seed) for seed in sys.argv[2:3]))
    print(json.dumps(asdict(seen_), indent=2))
    sys.exit(bool(seen_.wrong))
