"""Packed frames: what a county's engineers will read on the wire, byte for byte, and nothing that raises."""

import hashlib
import hmac
import json
import random
from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.model import KINDS, Kind
from edge_agent.uplink import packed
from edge_agent.uplink.brief import brief_of, condense
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.packed import (
    FRAME_BYTES_MAX,
    Brief,
    BriefAck,
    BriefEvent,
    Echo,
    Entry,
    Gap,
    Group,
    Opaque,
    Summary,
    seal,
    tag_of,
    unseal,
)
from edge_agent.uplink.packed_words import KIND_CODES
from tests.uplink.site import event_body

VECTORS = json.loads((Path(__file__).parents[1] / "captures" / "packed.json").read_text())
KEY = bytes(range(32))
TAG = tag_of("ZG-360700-0123")


def event(n: int, **changed: object) -> BriefEvent:
    said: dict[str, object] = {
        "n": n,
        "kind": "fire",
        "active": True,
        "grade": 1,
        "wall_s": 1_795_476_811,
        "clock": "synced",
        "event_id": f"5e0c8ef01234-4d6a1f-{n:x}",
        "point": f"panel1/1-{n % 250:03d}",
    }
    return BriefEvent(**{**said, **changed})  # type: ignore[arg-type]


def brief(*entries: Entry, epoch: str = "v-3f2a91c07d4e") -> Brief:
    first = entries[0].n if isinstance(entries[0], BriefEvent) else entries[0].first
    return Brief(epoch=epoch, priority=Priority.ALARM, first=first, entries=entries)


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["what"])
def test_every_golden_frame_is_what_the_page_says_both_ways(vector: dict[str, object]) -> None:
    key, frame = bytes.fromhex(VECTORS["key"]), bytes.fromhex(str(vector["hex"]))
    sequence, body = unseal(key, frame)
    assert (sequence, repr(body)) == (vector["sequence"], vector["body"])
    assert seal(key, tag_of(VECTORS["gateway"]), sequence, body) == frame
    assert packed.tag_in(frame) == tag_of(VECTORS["gateway"])


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["what"])
def test_every_frame_that_is_none_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=vector["why"]):
        unseal(bytes.fromhex(VECTORS["key"]), bytes.fromhex(vector["hex"]))


def test_the_page_alone_is_enough_to_read_a_frame() -> None:
    """As a county's engineer would: hashlib, hmac and docs/packed.md, nothing of ours."""
    key = bytes.fromhex(VECTORS["key"])
    frame = bytes.fromhex(next(vector["hex"] for vector in VECTORS["frames"] if vector["what"] == "one fire"))
    assert frame[0] == 0x11
    assert frame[1:5] == hashlib.sha256(VECTORS["gateway"].encode()).digest()[:4]
    assert hmac.new(key, frame[:-8], hashlib.sha256).digest()[:8] == frame[-8:]
    rest = list(frame[9:-8])

    def number() -> int:
        value = shift = 0
        while (byte := rest.pop(0)) & 0x80:
            value, shift = value + ((byte & 0x7F) << shift), shift + 7
        return value + (byte << shift)

    def take(count: int) -> bytes:
        return bytes(rest.pop(0) for _ in range(count))

    def text() -> str:
        length, coding = divmod(number(), 4)
        if coding == 0:
            return take(length).decode()
        if coding == 2:
            return f"{take(1).decode()}-{take(length).hex()}"
        said = ""
        while len(said) < length:
            count = min(3, length - len(said))
            value = int.from_bytes(take(1 if count == 1 else 2), "big")
            letters = [value // 40**place % 40 for place in range(count)][::-1]
            said += "".join("abcdefghijklmnopqrstuvwxyz0123456789-_./"[letter] for letter in letters)
        return said

    assert take(1) == b"\0", "an alarm, neither replayed nor sent before"
    assert (text(), number()) == ("v-3f2a91c07d4e", 1234)
    kind, flags, wall_s = take(1)[0], take(1)[0], int.from_bytes(take(4), "big")
    assert (kind, flags & 1, flags >> 1 & 3, flags >> 3 & 3, flags >> 5 & 3, flags >> 7) == (16, 1, 1, 0, 1, 0)
    event_id = f"{take(6).hex()}-{number():x}-{number():x}"
    assert (wall_s, event_id, text(), rest) == (1_795_476_811, "5e0c8ef01234-4d6a1f-4d2", "panel1/1-234", [])

    frame = bytes.fromhex(next(v["hex"] for v in VECTORS["frames"] if v["what"] == "ack, two ranges missing"))
    rest = list(frame[9:-8])
    assert (frame[0], take(1)[0], text()) == (0x12, 1, "v-3f2a91c07d4e")
    through = number()
    high, count = through + number(), number()
    missing, before = [], through
    for _ in range(count):
        first = before + number()
        before = first + number()
        missing.append((first, before))
    assert (through, high, missing, rest) == (10, 40, [(11, 12), (30, 30)], [])


def test_one_fire_event_is_at_most_64_bytes_its_authentication_included() -> None:
    for point in ("pump-room", "panel1/1-027", "building3-panel/12-034"):
        frame = seal(KEY, TAG, 2**32 - 1, brief(event(123_456, point=point)))
        assert len(frame) <= 64, (point, len(frame))


def test_texts_of_any_shape_come_back() -> None:
    for text in (
        "",
        "a",
        "ab",
        "abc",
        "v-00",
        "v-0",
        "V-3f",
        "一层走道/1-027",
        "x" * 200,
        "a/b.c_d-e",
        "mem-5e0c8ef01234-1a2b",
    ):
        found = unseal(KEY, seal(KEY, TAG, 1, brief(event(1, point=text, event_id=text))))[1]
        assert isinstance(found, Brief)
        (one,) = found.entries
        assert isinstance(one, BriefEvent)
        assert (one.point, one.event_id) == (text, text)


def test_any_mix_of_entries_comes_back() -> None:
    came_back = 0
    for seed in range(300):
        rng = random.Random(seed)
        n, entries = rng.choice([1, 127, 128, 2**40]), list[Entry]()
        first = n
        for _ in range(rng.randrange(1, 6)):
            span, wall_s = rng.choice([1, 2, 900]), rng.randrange(2**32)
            kind = rng.choice([*KIND_CODES, "something new"])
            made: Entry = rng.choice(
                [
                    event(n, kind=kind, grade=rng.randrange(4), wall_s=wall_s, clock=rng.choice(packed.CLOCKS)),
                    event(n, active=False, event_id=rng.choice(["", "odd id", "5e0c8ef01234-0-0"]), point="panel1/é"),
                    Gap(n, n + span - 1, rng.choice(packed.WHYS)),
                    Opaque(n, n + span - 1),
                    Summary(
                        n,
                        n + span - 1,
                        wall_s,
                        "synced",
                        (Group(kind, True, "panel1", span), Group("link", False, "", 3)),
                    ),
                ]
            )
            entries.append(made)
            n = (made.n if isinstance(made, BriefEvent) else made.last) + 1
        body = Brief(
            epoch=rng.choice(["v-3f2a91c07d4e", "mem-5e0c8ef01234-1a2b", "Epoch 1"]),
            priority=rng.choice([Priority.ALARM, Priority.FAULT]),
            first=first,
            entries=tuple(entries),
            replay=rng.random() < 0.5,
            dup=rng.random() < 0.5,
        )
        frame = seal(KEY, TAG, seed, body)
        if len(frame) <= FRAME_BYTES_MAX:
            assert unseal(KEY, frame) == (seed, body)
            came_back += 1
    assert came_back > 250, "most of them fit into a frame"


def test_acks_and_echoes_come_back() -> None:
    for body in (
        BriefAck(epoch="v-3f2a91c07d4e", priority=Priority.FAULT, through=17, high=17),
        BriefAck(
            epoch="e",
            priority=Priority.ALARM,
            through=2,
            high=400,
            missing=((3, 9), (300, 300)),
            wall_ms=1_795_476_811_999,
        ),
        Echo(),
        Echo(True, 1_795_476_811_000),
    ):
        assert unseal(KEY, seal(KEY, TAG, 7, body)) == (7, body)


def test_a_frame_is_good_for_one_key_and_one_content_only() -> None:
    frame = seal(KEY, TAG, 7, brief(event(5)))
    with pytest.raises(ValueError, match="key"):
        unseal(bytes(32), frame)
    for at in range(len(frame)):
        for bit in range(8):
            broken = bytearray(frame)
            broken[at] ^= 1 << bit
            with pytest.raises(ValueError, match=r"."):
                unseal(KEY, bytes(broken))


def test_nothing_that_a_holder_of_the_key_may_send_raises_anything_but_value_error() -> None:
    rng = random.Random(20261125)
    frames = [bytes.fromhex(vector["hex"]) for vector in VECTORS["frames"]]
    accepted = 0
    for _ in range(20_000):
        body = bytearray(rng.choice(frames)[: -packed.MAC_BYTES])
        for _ in range(rng.randrange(1, 5)):
            act, at = rng.randrange(3), rng.randrange(1, len(body))
            if act == 0:
                body[at] = rng.randrange(256)
            elif act == 1:
                del body[at : at + rng.randrange(1, 9)]
            else:
                body[at:at] = rng.randbytes(rng.randrange(1, 9))
            if len(body) < packed.HEAD_BYTES:
                break
        signed = bytes(body) + hmac.digest(KEY, bytes(body), "sha256")[: packed.MAC_BYTES]
        try:
            unseal(KEY, signed)
        except ValueError:
            continue
        accepted += 1
    assert accepted > 100, "the mutations never reach the parser's depths"
    for _ in range(5_000):
        raw = rng.randbytes(rng.randrange(0, 600))
        with pytest.raises(ValueError, match=r"."):
            unseal(KEY, raw)


# --- from records to briefs ---------------------------------------------------------------------------------------------------


def batch(count: int, first: int = 1, kind: Kind = Kind.FIRE) -> Batch:
    records = [(n, event_body(n, kind)) for n in range(first, first + count)]
    return Batch(
        epoch="v-3f2a91c07d4e", priority=KINDS[kind].priority, first=first, last=first + count - 1, records=records
    )


def test_a_record_becomes_what_a_duty_person_needs_and_what_is_no_event_is_said_to_be_none() -> None:
    told = brief_of(7, event_body(7))
    assert isinstance(told, BriefEvent)
    assert (told.kind, told.active, told.point, told.event_id[-2:]) == ("fire", True, "panel1/1-007", "-7")
    assert brief_of(8, b'{"gap":{"from":1}}') == Opaque(8, 8)
    assert brief_of(9, b"\xff\x00") == Opaque(9, 9)
    assert brief_of(9, b'{"kind":"fire","point":"p","active":true,"at":7}') == Opaque(9, 9)


def test_a_storm_of_a_thousand_lines_fits_one_frame_the_first_told_singly_the_rest_counted() -> None:
    said = condense(batch(1000), 32)
    frame = seal(KEY, TAG, 1, said)
    assert len(frame) <= FRAME_BYTES_MAX
    singly = [entry.n for entry in said.entries[:-1] if isinstance(entry, BriefEvent)]
    assert singly == list(range(1, len(singly) + 1))
    assert len(singly) >= 20
    (counted,) = said.entries[-1:]
    assert isinstance(counted, Summary)
    assert (counted.first, counted.last) == (len(singly) + 1, 1000)
    assert counted.groups == (Group("fire", True, "panel1", 1000 - len(singly)),)
    assert said.last == 1000


def test_few_events_are_told_singly_whatever_came_before() -> None:
    assert all(isinstance(entry, BriefEvent) for entry in condense(batch(4), 0).entries)


def test_a_summary_of_many_kinds_and_sources_loses_no_count() -> None:
    kinds = [kind for kind in Kind if KINDS[kind].priority is Priority.FAULT]
    records = [
        (n, event_body(n, kinds[n % len(kinds)]).replace(b'"panel1"', b'"panel%d"' % (n % 5))) for n in range(1, 501)
    ]
    made = Batch(epoch="e1", priority=Priority.FAULT, first=1, last=510, records=records, gaps=[(501, 510, "gone")])
    said = condense(made, 10)
    assert len(seal(KEY, TAG, 1, said)) <= FRAME_BYTES_MAX
    counted = said.entries[-1]
    assert isinstance(counted, Summary)
    assert sum(group.count for group in counted.groups) == 500 - sum(isinstance(e, BriefEvent) for e in said.entries)
    assert said.last == 510
