"""The node's flash: whole records or none, whatever write a cut falls into."""

import io
import random
from pathlib import Path
from typing import Any

import pytest

from drivers.detector_node import ring as module
from drivers.detector_node.ring import BODY_BYTES_MAX, SLOT_BYTES, Ring


def body(n: int) -> bytes:
    return b"record %d" % n


def test_records_come_out_in_order_until_they_are_confirmed(tmp_path: Path) -> None:
    ring = Ring(str(tmp_path / "r"), 8)
    assert [ring.append(body(n)) for n in (1, 2, 3)] == [1, 2, 3]
    assert ring.oldest() == (1, body(1))
    ring.ack(1)
    assert (ring.oldest(), ring.waiting()) == ((2, body(2)), 2)
    again = Ring(str(tmp_path / "r"))
    assert (again.epoch, again.newest, again.acked, again.oldest()) == (ring.epoch, 3, 1, (2, body(2)))
    again.ack(3)
    assert again.oldest() is None
    assert Ring(str(tmp_path / "r")).append(body(4)) == 4, "a number never comes back"


def test_a_full_ring_overwrites_its_oldest_and_counts_it_also_over_a_restart(tmp_path: Path) -> None:
    ring = Ring(str(tmp_path / "r"), 4)
    for n in range(1, 8):
        ring.append(body(n))
    assert (ring.lost, ring.waiting(), ring.oldest()) == (3, 4, (4, body(4)))
    again = Ring(str(tmp_path / "r"))
    assert (again.lost, again.waiting(), again.oldest()) == (3, 4, (4, body(4)))
    again.ack(7)
    assert Ring(str(tmp_path / "r")).lost == 3
    assert (tmp_path / "r").stat().st_size == 40 + 4 * SLOT_BYTES, "it never grows"


def test_a_file_of_somebody_else_or_a_damaged_head_is_a_new_epoch(tmp_path: Path) -> None:
    path = tmp_path / "r"
    first = Ring(str(path), 4)
    first.append(body(1))
    raw = bytearray(path.read_bytes())
    raw[5] ^= 1
    path.write_bytes(raw)
    second = Ring(str(path), 4)
    assert second.epoch != first.epoch
    assert (second.newest, second.waiting()) == (0, 0)


def test_a_slot_that_went_bad_is_lost_and_counted_and_holds_up_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r"
    ring = Ring(str(path), 8)
    for n in (1, 2, 3):
        ring.append(body(n))
    raw = bytearray(path.read_bytes())
    raw[40 + 1 * SLOT_BYTES + 9] ^= 1  # of record 1
    path.write_bytes(raw)
    assert ring.oldest() == (2, body(2))
    assert ring.lost == 1
    assert Ring(str(path)).oldest() == (2, body(2))


def test_a_record_that_is_too_long_is_refused(tmp_path: Path) -> None:
    ring = Ring(str(tmp_path / "r"), 4)
    ring.append(b"x" * BODY_BYTES_MAX)
    with pytest.raises(ValueError, match="too long"):
        ring.append(b"x" * (BODY_BYTES_MAX + 1))


class PowerCut(Exception):
    pass


class CutFile(io.FileIO):
    """A file whose writes stop after so many bytes in all, in the middle of one."""

    left = 0

    def write(self, data: Any) -> int:
        room = min(CutFile.left, len(data))
        super().write(bytes(data)[:room])
        CutFile.left -= room
        if room < len(data):
            raise PowerCut
        return room


def cut_open(path: str, mode: str = "r") -> Any:
    return CutFile(path, mode.replace("b", ""))


def story(ring: Ring, kept: list[int], confirmed: list[int]) -> None:
    """Twelve records through a ring of five, some of them confirmed."""
    for n in range(1, 13):
        assert ring.append(body(n)) == n
        kept.append(n)
        if n % 3 == 0:
            ring.ack(n - 1)
            confirmed.append(n - 1)


def test_a_cut_at_any_byte_loses_no_record_that_was_kept_and_makes_none_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open", cut_open, raising=False)
    CutFile.left = 10**9
    story(Ring(str(tmp_path / "whole"), 5), [], [])
    total = 10**9 - CutFile.left
    assert total > 1000
    cuts = 0
    for after in range(total):
        path = tmp_path / f"cut{after}"
        kept: list[int] = []
        confirmed: list[int] = []
        CutFile.left = after
        try:
            story(Ring(str(path), 5), kept, confirmed)
        except PowerCut:
            cuts += 1
        CutFile.left = 10**9
        ring = Ring(str(path), 5)
        newest, acked = max(kept, default=0), max(confirmed, default=0)
        assert ring.newest in (newest, newest + 1), after
        assert acked <= ring.acked <= newest, after
        held = []
        while (found := ring.oldest()) is not None:
            assert found[1] == body(found[0]), after
            held.append(found[0])
            ring.ack(found[0])
        wanted = [n for n in kept if n > max(acked, ring.newest - 5)]
        # a slot being overwritten when the power went held a record that was to be overwritten
        assert [n for n in wanted if n not in held] in ([], [newest - 4]), (after, wanted, held)
        assert ring.append(body(99)) > newest, after
        path.unlink()
    assert cuts == total


def test_any_order_of_appends_confirms_and_restarts_agrees_with_a_list(tmp_path: Path) -> None:
    chance = random.Random(7)
    path = str(tmp_path / "r")
    ring, waiting, n = Ring(path, 6), list[int](), 0
    for _ in range(2000):
        what = chance.random()
        if what < 0.5:
            n += 1
            assert ring.append(body(n)) == n
            waiting = [*waiting, n][-6:]
        elif what < 0.8 and waiting:
            through = chance.choice(waiting)
            ring.ack(through)
            waiting = [one for one in waiting if one > through]
        else:
            ring = Ring(path)
        found = ring.oldest()
        assert found == ((waiting[0], body(waiting[0])) if waiting else None)
        assert ring.waiting() == len(waiting)
