"""A bundle comes part by part, at the asking of the gateway; what is lost is asked for again, what is another is not kept."""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import random
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.commands import Refusal
from edge_agent.tasks import end
from edge_agent.update import state
from edge_agent.update.state import BUNDLE, REQUEST
from edge_agent.uplink import bundle_fetch
from edge_agent.uplink.bundle_fetch import JOB, PART, PART_BYTES, SYNC_BYTES, BundleFetch, part_name
from edge_agent.uplink.commands import Command
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio
DATA = random.Random(7).randbytes(5 * SYNC_BYTES + 1234)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Centre:
    """A destination, and the centre behind it."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data, self.fetch = data, None
        self.others: dict[str, bytes] = {}
        self.wants: list[tuple[int, int]] = []
        self.open = True
        self.told: list[dict[str, Any]] = []
        self.bytes = 0
        self.spoil: Callable[[int, bytes], bytes | None] = lambda offset, part: part  # None: lost

    def channel(self) -> "Centre | None":
        return self if self.open else None

    def want(self, sha256: str, offset: int, length: int) -> bool:
        assert (sha256 == SHA256 or sha256 in self.others) and length <= PART_BYTES
        self.wants.append((offset, length))
        part = self.spoil(offset, self.others.get(sha256, self.data)[offset : offset + length])
        if part is not None and length:
            asyncio.get_running_loop().call_soon(self.fetch.part, part_name(sha256, offset), part)  # type: ignore[attr-defined]
        return True

    async def ask(self, do: str, **params: Any) -> object:
        assert do == "update_told"
        self.told.append(params["fields"])
        return {}

    def count(self, dest: str, size: int) -> None:
        self.bytes += size


@contextlib.asynccontextmanager
async def fetching(spool: Path, centre: Centre) -> AsyncIterator[BundleFetch]:
    fetch = centre.fetch = BundleFetch(spool, centre.ask, lambda name: centre, centre.count)  # type: ignore[assignment]
    task = asyncio.create_task(fetch.run())
    try:
        yield fetch
    finally:
        await end(task)


def offer(sha256: str = SHA256, size: int = len(DATA), name: str = "u-1") -> Command:
    return Command(id=name, name="update", params={"sha256": sha256, "size": size}, by="王五")


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bundle_fetch, "PAUSE_S", 0.02)
    (directory := tmp_path / "update").mkdir()
    return directory


async def test_a_fetch_goes_on_after_a_cut_from_what_is_surely_on_the_card(spool: Path) -> None:
    centre = Centre()
    centre.spoil = lambda offset, part: part if offset < 3 * SYNC_BYTES + 2 * PART_BYTES else None
    async with fetching(spool, centre) as fetch:
        assert await fetch.begin("county", offer()) == {"have": 0, "size": len(DATA)}
        await until(lambda: centre.wants and centre.wants[-1][0] == 3 * SYNC_BYTES + 2 * PART_BYTES, "so far it came")
    with (spool / PART).open("r+b") as file:  # the cut: what was not synced is something else
        file.seek(3 * SYNC_BYTES)
        file.write(os.urandom(2 * PART_BYTES))
    centre.wants.clear()
    centre.spoil = lambda offset, part: part
    async with fetching(spool, centre):
        await until((spool / REQUEST).exists, "it is handed over")
        await until(lambda: centre.wants[-1] == (len(DATA), 0), "and the centre hears that it is all there")
    assert centre.wants[0] == (3 * SYNC_BYTES, PART_BYTES), "nothing before it is paid for again"
    assert (spool / BUNDLE).read_bytes() == DATA and centre.bytes >= len(DATA)
    asked = json.loads((spool / REQUEST).read_text())
    assert {key: asked[key] for key in ("id", "do", "dest", "command", "who")} == {
        "id": "county/u-1", "do": "install", "dest": "county", "command": "u-1", "who": "王五"
    }  # fmt: skip
    assert not (spool / JOB).exists() and not (spool / PART).exists()


async def test_a_bundle_that_is_not_what_was_offered_is_told_and_not_kept(spool: Path) -> None:
    centre = Centre(DATA[:-1] + b"?")
    async with fetching(spool, centre) as fetch:
        await fetch.begin("county", offer())
        await until(lambda: centre.told, "it is told")
        assert (centre.told[0]["status"], centre.told[0]["code"]) == ("refused", "damaged")
        assert not list(spool.iterdir())
        centre.data = DATA
        await fetch.begin("county", offer(name="u-2"))
        await until((spool / REQUEST).exists, "the next one is fetched anew")


async def test_an_offer_that_comes_while_a_damaged_one_is_told_of_is_fetched(spool: Path) -> None:
    centre, told = Centre(DATA[:-1] + b"?"), asyncio.Event()

    async def slow(do: str, **params: Any) -> object:
        await told.wait()
        return await Centre.ask(centre, do, **params)

    centre.ask = slow  # type: ignore[method-assign]
    async with fetching(spool, centre) as fetch:
        await fetch.begin("county", offer())
        await until(lambda: fetch._job is None, "it is found damaged")
        centre.data = DATA
        assert (await fetch.begin("county", offer(name="u-2")))["have"] == 0
        told.set()
        await until((spool / REQUEST).exists, "the next one is not forgotten")
    assert [one["command"] for one in centre.told] == ["u-1"]


async def test_an_offer_that_comes_while_a_part_is_kept_begins_anew(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two bundles of one length nothing is mixed, whichever thread is slow."""
    other = random.Random(8).randbytes(len(DATA))
    centre, busy, go_on = Centre(), threading.Event(), threading.Event()
    real = BundleFetch._keep

    def slow(self: BundleFetch, offset: int, data: bytes) -> None:
        if offset == 2 * PART_BYTES and not go_on.is_set():
            busy.set()
            assert go_on.wait(PATIENCE_S)
        real(self, offset, data)

    monkeypatch.setattr(BundleFetch, "_keep", slow)
    centre.others[sha256 := hashlib.sha256(other).hexdigest()] = other
    async with fetching(spool, centre) as fetch:
        await fetch.begin("county", offer(sha256))
        await until(busy.is_set, "a part is being kept")
        taking = asyncio.create_task(fetch.begin("county", offer(name="u-2")))
        await asyncio.sleep(0.05)  # gives an offer that does not wait its chance
        go_on.set()
        assert await taking == {"have": 0, "size": len(DATA)}
        await until((spool / REQUEST).exists, "it is handed over")
    assert not centre.told
    assert (spool / BUNDLE).read_bytes() == DATA
    assert json.loads((spool / REQUEST).read_text())["command"] == "u-2"


async def test_of_two_centres_that_offer_at_once_one_is_taken_and_the_other_told_so(spool: Path) -> None:
    centre = Centre()
    centre.open = False
    async with fetching(spool, centre) as fetch:
        offers = (fetch.begin("county", offer()), fetch.begin("city", offer(name="c-1")))
        first, second = await asyncio.gather(*offers, return_exceptions=True)
        assert first == {"have": 0, "size": len(DATA)}
        assert isinstance(second, Refusal) and second.code == "busy"
        assert fetch._job is not None and fetch._job.dest == "county"


async def test_a_card_that_takes_no_request_gets_it_later(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = state.put_request, list[str]()

    def full(directory: Path, request: state.Request) -> None:
        tries.append(request.id)
        if len(tries) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(directory, request)

    monkeypatch.setattr(state, "put_request", full)
    centre = Centre()
    async with fetching(spool, centre) as fetch:
        await fetch.begin("county", offer())
        await until((spool / REQUEST).exists, "it is handed over")
        await until(lambda: centre.wants[-1] == (len(DATA), 0), "and the centre hears that it is all there")
    assert tries == ["county/u-1"] * 3
    assert (spool / BUNDLE).read_bytes() == DATA
    assert len(centre.wants) == -(-len(DATA) // PART_BYTES) + 1, "no part is paid for again"
    assert not centre.told


async def test_parts_nobody_asked_for_are_dropped_and_lost_ones_asked_for_again(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_fetch, "ANSWER_S", 0.05)
    centre, lost = Centre(), set[int]()

    def once(offset: int, part: bytes) -> bytes | None:
        centre.fetch.part(part_name(SHA256, offset + PART_BYTES), part)  # type: ignore[attr-defined]
        centre.fetch.part(part_name("0" * 64, offset), part)  # type: ignore[attr-defined]
        centre.fetch.part(part_name(SHA256, offset), part + b"more")  # type: ignore[attr-defined]
        if offset % (8 * PART_BYTES) or offset in lost:
            return part
        lost.add(offset)
        return None

    centre.spoil = once
    async with fetching(spool, centre) as fetch:
        await fetch.begin("county", offer())
        await until((spool / REQUEST).exists, "all of it is there")
    assert (spool / BUNDLE).read_bytes() == DATA
    assert len(centre.wants) >= len(DATA) // PART_BYTES + len(lost) > len(DATA) // PART_BYTES


async def test_nothing_is_asked_for_while_an_alarm_waits_or_the_link_may_not_carry_it(spool: Path) -> None:
    centre = Centre()
    centre.open = False
    async with fetching(spool, centre) as fetch:
        await fetch.begin("county", offer())
        turns = fetch.turns
        await until(lambda: fetch.turns > turns + 3, "it looks now and then")
        assert not centre.wants
        centre.open = True
        await until((spool / REQUEST).exists, "then it goes on")


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("malformed", offer(sha256="x" * 64)),
        ("too_large", offer(size=(64 << 20) + 1)),
        ("no_updater", offer()),
        ("busy", offer()),
    ],
)
async def test_an_offer_that_cannot_be_taken_is_refused(
    tmp_path: Path, spool: Path, code: str, command: Command
) -> None:
    centre = Centre()
    centre.open = False
    async with fetching(tmp_path / "nowhere" if code == "no_updater" else spool, centre) as fetch:
        if code == "busy":
            await fetch.begin("city", offer())
        with pytest.raises(Refusal) as refused:
            await fetch.begin("county", command)
    assert refused.value.code == code
