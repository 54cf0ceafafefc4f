"""What must hold of every input at every door: nothing uncaught, 10 ms of this thread's time and 1 MB while it lasts."""

import random
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.codecs.gb_fuzz import AGAIN_MS
from tests.fuzz.doors import Door, Take, thread_ms

REPEATS = (
    5  # a slow input is judged by its best run: a collection of garbage, or a neighbour on this core, is not its fault
)
MEASURED_EVERY = 8  # tracing makes everything slow: every so manieth input, and each that is longer than any before
WRONG_MAX = 20


@dataclass
class Judge:
    """One door's inputs so far. `wrong` says what was, with the input in hex."""

    door: Door
    inputs: int = 0
    slowest_ms: float = 0.0
    largest_bytes: int = 0
    wrong: list[str] = field(default_factory=list)
    longest: int = -1

    def warm(self) -> None:
        """What is imported, compiled and cached when first used is not the cost of an input."""
        for seed in (b"", *self.door.seeds):
            self._caught(seed)
        self.wrong.clear()

    def try_one(self, data: bytes) -> None:
        if len(self.wrong) >= WRONG_MAX:
            return
        took_ms = self._caught(data)
        if took_ms > AGAIN_MS:
            took_ms = min(took_ms, *(self._caught(data) for _ in range(REPEATS - 1)))
        self.slowest_ms = max(self.slowest_ms, took_ms)
        if took_ms > self.door.ms:
            self.wrong.append(f"{took_ms:.1f} ms: {data.hex()}")
        if self.inputs % MEASURED_EVERY == 0 or len(data) > self.longest:
            self.longest = max(self.longest, len(data))
            most = peak_bytes(self.door.take, data)
            self.largest_bytes = max(self.largest_bytes, most)
            if most > self.door.most_bytes:
                self.wrong.append(f"{most} bytes: {data.hex()}")
        self.inputs += 1

    def _caught(self, data: bytes) -> float:
        try:
            return thread_ms(self.door.take, data)
        except Exception as fault:  # noqa: BLE001 - that nothing is raised is what is judged
            self.wrong.append(f"{type(fault).__name__}: {fault}: {data.hex()}")
            return 0.0

    def report(self) -> dict[str, object]:
        return {
            "inputs": self.inputs,
            "slowest_ms": round(self.slowest_ms, 2),
            "largest_bytes": self.largest_bytes,
            "wrong": len(self.wrong),
        }


def peak_bytes(take: Take, data: bytes) -> int:
    """The most that was allocated at once while `data` was worked on; 0 if it was not (told already)."""
    tracemalloc.start()
    try:
        take(data)
        return tracemalloc.get_traced_memory()[1]
    except Exception:  # noqa: BLE001 - told already
        return 0
    finally:
        tracemalloc.stop()


_ODD = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xaa",
    b"\x68",
    b"@@",
    b"##",
    b"\r\n",
    b'"',
    b"[" * 200,
    b"{",
    b"9" * 40,
    b"\\ud800",
)
INPUT_MAX = 8192


def inputs(door: Door) -> st.SearchStrategy[bytes]:
    """Bytes from nowhere, and sound inputs of the door that are damaged: of a seed, for to draw each of the damages is slow."""
    damaged = st.integers(0, 1 << 64).map(lambda seed: damage(door.seeds, random.Random(seed)))
    return st.one_of(st.binary(max_size=300), damaged, damaged, damaged) if door.seeds else st.binary(max_size=300)


def damage(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """One to three of `seeds`, one behind the other, damaged in up to eight places."""
    raw = bytearray(b"".join(rng.choice(seeds) for _ in range(rng.choice((1, 1, 2, 3)))))
    for _ in range(rng.randrange(9)):
        at, how = rng.randrange(len(raw) + 1), rng.randrange(5)
        if how == 0:
            raw[at : at + 1] = rng.randbytes(1)
        elif how == 1 and at < len(raw):
            raw[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            del raw[at : at + rng.randrange(1, 40)]
        elif how == 3:
            raw[at:at] = rng.choice((rng.choice(_ODD), rng.randbytes(rng.randrange(20))))
        else:
            raw[at:at] = raw[: rng.randrange(200)]
    return bytes(raw[:INPUT_MAX])
