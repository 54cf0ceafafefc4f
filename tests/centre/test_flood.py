"""One gateway floods the centre, ten are quiet: nothing of theirs is refused, and their confirms come while the flood goes on."""

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from buffer.records import Priority
from drivers.codecs.gb26875 import Command, Frame, device_address
from simulators.centre import gb_keeper, packed, store_thread
from simulators.centre.fair import Room, Turns
from simulators.centre.gb26875 import GbCentre
from simulators.centre.packed import Brought, PackedEar, PackedListener
from simulators.centre.query import look
from simulators.centre.store import Store
from tests.centre.gb_bench import CENTRE, confirm_of, device, fire, running, upload
from tests.centre.gb_bench import Device as Station
from tests.centre.test_packed import Device, brief_of, listening
from tests.waiting import eventually, until

LOUD = "gz-loud"
QUIET = [f"gz-quiet-{n}" for n in range(10)]
BURST = 50  # datagrams: a socket of the kernel holds some 250

Decided = list[tuple[str, str, bool]]  # gateway, lane, whether it was taken


@contextlib.contextmanager
def locked(db: Path) -> Iterator[None]:
    """The database answers nobody."""
    with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> Decided:
    """For whom there was room, in the order they asked."""
    found: Decided = []
    real = Room.enter

    def noted(room: Room, gateway: str, lane: str) -> bool:
        taken = real(room, gateway, lane)
        found.append((gateway, lane, taken))
        return taken

    monkeypatch.setattr(Room, "enter", noted)
    return found


def names(decided: Decided) -> set[tuple[str, str]]:
    return {(gateway, lane) for gateway, lane, _ in decided}


def refused_of(decided: Decided, lane: str, quiet: set[str]) -> list[str]:
    return [gateway for gateway, name, taken in decided if name == lane and gateway in quiet and not taken]


def without_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant the old way: one room for all, whoever comes first."""
    real = Room.__init__

    def old(room: Room, first: str, *, most: int, share: int) -> None:
        real(room, first, most=most, share=most)
        room._first = "any"
        room._most = most

    def enter(room: Room, gateway: str, lane: str) -> bool:
        if room._all >= room._most:
            room._refused[gateway] += 1
            return False
        room._all += 1
        room._held[gateway, lane] += 1
        return True

    monkeypatch.setattr(Room, "__init__", old)
    monkeypatch.setattr(Room, "enter", enter)


# --- packed frames


class Flood(threading.Thread):
    """Frames of one gateway, no two alike, as fast as they are heard: what the kernel's own queue drops is not the centre's."""

    def __init__(self, ear: PackedListener) -> None:
        super().__init__()
        self._ear = ear
        self.sent = 0
        self.over = threading.Event()

    def run(self) -> None:
        with Device(self._ear.port) as device:
            while not self.over.is_set():
                before = self._ear.counters["frames"]
                device.say(*(brief_of(self.sent + n, gateway=LOUD) for n in range(1, BURST + 1)))
                self.sent += BURST
                until_s = time.monotonic() + 1.0  # for what it lost after all
                while self._ear.counters["frames"] < before + BURST and time.monotonic() < until_s:
                    time.sleep(0.001)


@contextlib.contextmanager
def flooding(ear: PackedListener) -> Iterator[Flood]:
    flood = Flood(ear)
    flood.start()
    try:
        yield flood
    finally:
        flood.over.set()
        flood.join()


def test_of_packed_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, decided: Decided
) -> None:
    monkeypatch.setattr(packed, "WAITING_MAX", 200)
    monkeypatch.setattr(store_thread, "LOOK_S", 0.05)
    monkeypatch.setattr(store_thread, "TOLD_EVERY_S", 0.1)
    caplog.set_level(logging.WARNING, "edge.centre")
    db, quiet = tmp_path / "c.db", set(QUIET)
    with contextlib.ExitStack() as stack:
        ear = stack.enter_context(listening(tmp_path, db, gateways=[LOUD, *QUIET]))
        devices = [stack.enter_context(Device(ear.port)) for _ in QUIET]
        flood = stack.enter_context(flooding(ear))
        with locked(db):
            eventually(lambda: ear.keeper.counters["overflow"] > 300, "it has got all it can get")
            for one, gateway in zip(devices, QUIET, strict=True):
                one.say(*(brief_of(1, priority=rank, gateway=gateway) for rank in (Priority.FAULT, Priority.ALARM)))
            eventually(lambda: sum(gateway in quiet for gateway, *_ in decided) == 20, "they were heard")
            assert [*refused_of(decided, "alarm", quiet), *refused_of(decided, "fault", quiet)] == []
            assert len(ear.keeper._in_hand) <= packed.SHARE_MAX + 20
        before = flood.sent
        for one in devices:
            assert [one.hear_ack() for _ in range(2)] == [(1, 1)] * 2
        eventually(lambda: flood.sent > before, "it goes on all the while")
        eventually(lambda: f"of='{LOUD}'" in caplog.text, "it is told")
    with look(db) as ask:
        assert {str(row["gateway"]) for row in ask.events(limit=10_000)} == {LOUD, *QUIET}
        assert 0 < ask.stats()["untaken"] <= ear.keeper.counters["overflow"]
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("not taken")]
    assert told
    assert all("gateways=1 " in line and line.endswith(f"of='{LOUD}'") for line in told)


def test_the_witness_of_that_test_sees_a_room_without_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    without_shares(monkeypatch)
    with pytest.raises(AssertionError, match="gz-quiet"):
        test_of_packed_frames(tmp_path, monkeypatch, caplog, request.getfixturevalue("decided"))


def test_what_a_flood_has_in_hand_goes_behind_the_first_of_everybody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = PackedEar.take, list[tuple[str, int]]()

    def noted(ear: PackedEar, store: Store, brought: Brought) -> None:
        taken.append((brought.gateway, brought.sequence))
        real(ear, store, brought)

    monkeypatch.setattr(PackedEar, "take", noted)
    db = tmp_path / "c.db"
    with listening(tmp_path, db, gateways=[LOUD, *QUIET]) as ear, Device(ear.port) as device:
        with locked(db):
            device.say(*(brief_of(n, gateway=LOUD) for n in range(1, 21)))
            eventually(lambda: len(ear.keeper._in_hand) == 20)
            device.say(*(brief_of(1, gateway=gateway) for gateway in QUIET))
            eventually(lambda: len(ear.keeper._in_hand) == 30)
        eventually(lambda: not ear.keeper._in_hand)
    last = max(taken.index((gateway, 1)) for gateway in QUIET)
    before = {number for gateway, number in taken[:last] if gateway == LOUD}
    assert before <= {1, 2}, "the one that was in the transaction, and its turn"


def test_the_witness_of_that_test_sees_first_come_first_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns, "append", lambda turns, item: turns._queues.setdefault("", deque()).append(item))
    with pytest.raises(AssertionError, match="its turn"):
        test_what_a_flood_has_in_hand_goes_behind_the_first_of_everybody_else(tmp_path, monkeypatch)


# --- GB/T 26875.3


@pytest.mark.asyncio
async def test_of_uploads_and_of_made_up_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decided: Decided
) -> None:
    """A device with several connections, one of which says it is another with each packet."""
    monkeypatch.setattr(gb_keeper, "WAITING_MAX", 200)
    monkeypatch.setattr(gb_keeper, "SHARE_MAX", 16)
    db, numbers = tmp_path / "c.db", range(1, 11)
    loud = device_address(889)
    async with contextlib.AsyncExitStack() as stack:
        centre = await stack.enter_async_context(running(db=db))
        boxes = [await stack.enter_async_context(device(centre)) for _ in numbers]
        floods = [await stack.enter_async_context(device(centre)) for _ in range(3)]
        liar = await stack.enter_async_context(device(centre))
        with locked(db):
            for at, box in enumerate(floods):
                box.send(*(upload(at * 100 + n, 2, fire(n), source=loud) for n in range(1, 101)))
            liar.send(*(made_up(n) for n in range(1, 301)))
            await centre.until(
                lambda: centre.counters["overflow"] > 0 and ("gb-10300", gb_keeper.STATES) in names(decided)
            )
            for number, box in zip(numbers, boxes, strict=True):
                box.send(upload(1, 2, fire(1), source=device_address(number)))
            quiet = {f"gb-{number}" for number in numbers}
            await centre.until(lambda: {(name, gb_keeper.LANE) for name in quiet} <= names(decided))
            assert refused_of(decided, gb_keeper.LANE, quiet) == []
            assert len(centre._waiting) <= 16 + len(quiet)
            assert len(centre._states) <= 100
        going_on = asyncio.create_task(flood_on(centre, loud, floods[1]))
        try:
            for box in boxes:
                assert confirm_of(await box.hear())[:2] == (1, Command.CONFIRM)
        finally:
            going_on.cancel()
            await asyncio.wait([going_on])
    with look(db) as ask:
        assert ask.stats()["untaken"] == sum(not taken for *_, taken in decided)


@pytest.mark.asyncio
async def test_the_witness_of_that_test_sees_one_room_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    without_shares(monkeypatch)
    with pytest.raises(AssertionError, match="gb-"):
        await test_of_uploads_and_of_made_up_addresses(tmp_path, monkeypatch, request.getfixturevalue("decided"))


def made_up(n: int) -> Frame:
    """Says that somebody is there, and wants no answer."""
    return Frame(
        serial=n, user_version=1, sent=bytes(6), source=device_address(10_000 + n), target=CENTRE,
        command=Command.CONFIRM, adu=b"",
    )  # fmt: skip


async def flood_on(centre: GbCentre, source: bytes, box: Station) -> None:
    """Uploads without end, some at a time, each lot once the centre has heard of the last."""
    for first in range(1000, 60_000, 20):
        heard = centre.counters["uploads"] + centre.counters["overflow"]
        box.send(*(upload(serial, 2, fire(serial % 200 + 1), source=source) for serial in range(first, first + 20)))
        await until(lambda heard=heard: centre.counters["uploads"] + centre.counters["overflow"] > heard)  # type: ignore[misc]
