"""A noisy line, frame after frame, through every panel codec: nothing raises, nothing piles up, and the next sound frame is told.

A frame of noise is one that no panel sent: random bytes, a sound frame with bits flipped, cut, doubled, with parity bits or echoed
into itself. After every hundred of them the line pauses and the panel says a fire, once the right frame and once more: the
reader must be back with the first or the second. `EDGE_NOISE` is the number of noise frames over all codecs.
"""

import os
import random
import time

import pytest

from drivers.codecs.base import HELD_BYTES_MAX, Codec, Frame
from tests.codecs.panels import FIRES, FRAMES, PANELS, codec
from tests.proof.site import note

FRAMES_OF_NOISE = int(os.environ.get("EDGE_NOISE", "10000"))
SEED = int(os.environ.get("EDGE_SEED", "20261126"))
ROUND = 100
S = 10**9


def noise(name: str, chance: random.Random) -> bytes:
    """What noise on the line makes of a frame, or of nothing."""
    frame = bytearray(chance.choice(FRAMES[name])) or bytearray(b"\0")
    match chance.randrange(7):
        case 0:
            return chance.randbytes(chance.randrange(1, 64))
        case 1:
            for _ in range(chance.randrange(1, 9)):
                frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
        case 2:
            del frame[chance.randrange(len(frame)) :]
        case 3:
            del frame[: chance.randrange(len(frame))]
        case 4:
            at = chance.randrange(len(frame))
            frame[at:at] = frame[: chance.randrange(len(frame) + 1)]
        case 5:
            frame = bytearray(value | 0x80 if value.bit_count() % 2 else value for value in frame)
        case _:
            frame[chance.randrange(len(frame))] = chance.randrange(256)
    return bytes(frame)


def tells(one: Codec, name: str, now_ns: int) -> bool:
    """Whether the panel's fire is heard, said once or twice over a pause."""
    for turn in range(2):
        at_ns = now_ns + turn * 2 * S
        found = [*one.feed(FIRES[name], at_ns), *one.tick(at_ns + S)]
        if any(isinstance(item, Frame) and item.event in {"fire", "electrical_alarm", "unknown"} for item in found):
            return True
    return False


def hear(name: str, count: int, chance: random.Random) -> dict[str, int]:
    """`count` frames of noise, in any slices, with a fire after every hundred. What came of them."""
    one, now_ns = codec(name), 0
    made = {"frames": 0, "refused": 0, "events": 0, "rounds": 0, "deaf": 0}
    for number in range(count):
        data = noise(name, chance)
        cut = chance.randrange(len(data) + 1)
        for piece in (data[:cut], data[cut:]):
            now_ns += chance.randrange(S)
            for item in one.feed(piece, now_ns):
                made["events" if isinstance(item, Frame) else "refused"] += 1
            assert one.held_bytes() <= HELD_BYTES_MAX
        made["frames"] += 1
        if number % ROUND == ROUND - 1:
            now_ns += 300 * S  # a reader without checksums does not believe a line that was noise a moment ago
            one.tick(now_ns)
            assert one.held_bytes() == 0
            made["rounds"] += 1
            made["deaf"] += not tells(one, name, now_ns)
            now_ns += 300 * S
    return made


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PANELS)
def test_noise_raises_nothing_piles_up_nowhere_and_hides_no_fire_that_follows(name: str) -> None:
    began_s = time.process_time()
    made = hear(name, max(ROUND, -(-FRAMES_OF_NOISE // len(PANELS))), random.Random(f"{SEED} {name}"))
    note(f"noise-{name}", {**made, "seed": SEED, "cpu_s": round(time.process_time() - began_s, 1)})
    assert made["deaf"] == 0
    assert made["refused"] > made["frames"] / 10, "this was no noise"


@pytest.mark.parametrize("name", ["gst-layer-bus", "gst-crt500"])
def test_a_reader_that_does_not_find_back_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Codec, "_apply", lambda self, step, out, now_ns: self._buf.clear())
    assert hear(name, ROUND, random.Random(SEED))["deaf"] == 1
