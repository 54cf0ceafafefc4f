"""A card that takes no more writes, or never did: fires sound and travel from memory, one event each."""

import asyncio
import resource
import time

import pytest

from tests.proof.checker import MEMORY, compare, delays_s, read_given_up
from tests.proof.disks import remount, small_disk
from tests.proof.site import BUZZER, ProofSite, note
from tests.proof.test_full_disk import SMALL, fires_at_centre, no_store_fault, raise_fires, store_fault

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


def assert_sound(site: ProofSite, proof: str, points: set[str]) -> None:
    taken = site.at_centre()
    verdict = compare(site.witness.accepted, taken, given_up=read_given_up(site.centre_db))
    found = [
        body["point"]
        for body in {t.body["id"]: t.body for t in taken if "id" in t.body}.values()
        if body["kind"] == "fire"
    ]
    mine = [record for record in taken if record.body.get("point") in points]
    from_memory = {r.body["point"] for r in mine if r.name.epoch.startswith(MEMORY) and r.body["kind"] == "fire"}
    note(proof, {"fires": len(points), "from_memory": len(from_memory), "delay_s": delays_s(mine), **verdict.counts()})
    assert verdict.sound, verdict
    assert points <= set(found)
    assert len(found) == len(set(found)), "each fire is one event, under however many names"
    assert from_memory == points, "they came from memory"


async def test_a_card_that_fails_every_write_is_a_fault_and_fires_travel_from_memory() -> None:
    """RLIMIT_FSIZE 0: each write to a file fails with EFBIG, which SQLite takes for an I/O error of the disk."""
    async with ProofSite(more=SMALL) as site:
        await site.start()
        await raise_fires(site, 1, 5)
        await site.ask("ack")
        hard = resource.prlimit(site.core.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(site.core.pid, resource.RLIMIT_FSIZE, (0, hard))
        async with await site.board() as board:
            dead_ns = time.monotonic_ns()
            during = await raise_fires(site, 100, 10)
            await board.wait_output(BUZZER, True, after_ns=dead_ns)
        await site.until(lambda: store_fault(site), "the dead card is a fault on site")
        await site.until(lambda: during <= fires_at_centre(site), "the centre has every fire")
        resource.prlimit(site.core.pid, resource.RLIMIT_FSIZE, (hard, hard))
        await site.until(lambda: no_store_fault(site), "the card works again")
        kept = lambda: during <= {body["point"] for body in site.witness.of(kind="fire")}  # noqa: E731
        await site.until(kept, "what it refused is offered to it again")
        await site.all_delivered()
        assert_sound(site, "card-fails-writes", during)


@pytest.mark.parametrize("fresh", [False, True], ids=["used-before", "never-written"])
async def test_a_read_only_card_at_the_start_is_a_fault_and_fires_travel_from_memory(fresh: bool) -> None:
    with small_disk(24) as disk:
        async with ProofSite(data_dir=disk, more=SMALL) as site:
            if not fresh:
                await site.start()
                await raise_fires(site, 1, 5)
                await site.all_delivered()
                await asyncio.gather(site.core.kill(), site.uplink.kill())
            remount(disk, read_only=True)
            started_ns = time.monotonic_ns()
            await site.start()
            async with await site.board() as board:
                during = await raise_fires(site, 100, 10)
                await board.wait_output(BUZZER, True, after_ns=started_ns)
            await site.until(lambda: store_fault(site), "the read-only card is a fault on site")
            await site.until(lambda: during <= fires_at_centre(site), "the centre has every fire")
            remount(disk, read_only=False)
            await site.until(lambda: no_store_fault(site), "the card works again")
            kept = lambda: during <= {body["point"] for body in site.witness.of(kind="fire")}  # noqa: E731
            await site.until(kept, "what it refused is offered to it again")
            await site.all_delivered()
            assert_sound(site, f"read-only-{'fresh' if fresh else 'used'}", during)
