"""The GB/T 26875.3 codec takes anything: EDGE_FUZZ damaged packets (20 000; for evidence 10^7), 10 ms and 1 MB each at most."""

import json
import os
import random
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.codecs.gb_fuzz import INPUT_BYTES_MAX, INPUT_MS_MAX, SEED, decode_everything, fuzz, mutate, sound_packets

COUNT = int(os.environ.get("EDGE_FUZZ", "20000"))


@pytest.mark.timeout(0 if COUNT > 100_000 else 120)
def test_nothing_a_peer_sends_is_uncaught_slow_or_large() -> None:
    report = fuzz(COUNT, int(os.environ.get("EDGE_SEED", SEED)))
    print(json.dumps(asdict(report)))
    if directory := os.environ.get("EDGE_EVIDENCE_DIR"):
        (Path(directory) / "gb26875_fuzz.json").write_text(json.dumps(asdict(report), indent=2) + "\n", "utf-8")
    assert report.wrong == []
    assert report.inputs == COUNT
    assert report.slowest_ms <= INPUT_MS_MAX
    assert report.largest_bytes <= INPUT_BYTES_MAX
    # It got inside: sound packets with odd units, and refusals, each in numbers.
    assert min(report.frames, report.refused, report.units_with_problems) > COUNT // 20


def test_the_fuzzer_finds_a_decoder_that_raises_one_that_is_slow_and_one_that_is_large() -> None:
    def raises(raw: bytes, rng: random.Random) -> Counter[str]:
        if raw[26:28] == b"\x02\x03":
            raise IndexError("planted")
        return Counter()

    def slow(raw: bytes, rng: random.Random) -> Counter[str]:
        until = time.thread_time() + (0.012 if raw[26:28] == b"\x02\x03" else 0)
        while time.thread_time() < until:
            pass
        return Counter()

    def large(raw: bytes, rng: random.Random) -> Counter[str]:
        return Counter(list(range(100_000)) if len(raw) > 1000 else ())

    assert any("planted" in wrong for wrong in fuzz(300, target=raises).wrong)
    assert any(" ms: " in wrong for wrong in fuzz(300, target=slow).wrong)
    assert any(" bytes: " in wrong for wrong in fuzz(300, target=large).wrong)


def test_the_fuzzer_tries_the_same_inputs_for_the_same_seed() -> None:
    packets = sound_packets()
    first, second, other = ([mutate(packets, rng) for _ in range(50)] for rng in map(random.Random, (1, 1, 2)))
    assert first == second != other
    assert decode_everything(packets[0], random.Random(0))["frames"] == 1
