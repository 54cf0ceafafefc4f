"""A disk that somebody else has filled to the last byte: fires sound, are kept in the reserve or in memory, and arrive."""

import asyncio
import time

import pytest

from tests.proof.checker import compare, delays_s, read_given_up
from tests.proof.disks import fill, small_disk
from tests.proof.site import BUZZER, ProofSite, note

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

SMALL = "[journal]\nvital_mb = 16\nbulk_mb = 16\nreserve_mb = 1"
FIRES = 60


async def raise_fires(site: ProofSite, first: int, count: int) -> set[str]:
    """Say fires of new points; return the points once the core has told of every one, kept or not."""
    points: set[str] = set()
    for n in range(first, first + count):
        await site.panel.raise_event("fire", f"{n:06d}")
        points.add(f"panel1/{n:06d}")
        if len(points) % 40 == 0:  # a pty holds a few kilobytes
            await site.until(lambda: points <= told(site), "the core has told of every fire so far")
    await site.until(lambda: points <= told(site), "the core has told of every fire")
    return points


def told(site: ProofSite) -> set[str]:
    return {body["point"] for body in [*site.witness.of(kind="fire"), *site.witness.unnamed]}


def fires_at_centre(site: ProofSite) -> set[str]:
    return {body["point"] for body in site.events_at_centre(kind="fire", active=True)}


async def store_fault(site: ProofSite) -> bool:
    return any(alarm["state"] != "returned" for alarm in await site.alarms("store"))


async def no_store_fault(site: ProofSite) -> bool:
    return bool(await site.status()) and not await store_fault(site)


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed-while-full"])
async def test_a_full_disk_silences_no_fire_and_loses_none(killed: bool) -> None:
    with small_disk(24) as disk:
        async with ProofSite(data_dir=disk, more=SMALL) as site:
            await site.start()
            before = await raise_fires(site, 1, 20)
            await site.all_delivered()
            site.link.cut()
            foreign = fill(disk)
            async with await site.board() as board:
                await site.ask("ack")
                await board.wait_output(BUZZER, False)
                heard_ns = time.monotonic_ns()
                during = await raise_fires(site, 100, FIRES)
                await board.wait_output(BUZZER, True, after_ns=heard_ns)
                kept = len({body["point"] for body in site.witness.of(kind="fire")} & during)
                await site.until(lambda: store_fault(site), "the full disk is a fault on site")
                if killed:
                    await asyncio.gather(site.core.kill(), site.uplink.kill())
                    killed_ns = time.monotonic_ns()
                    await site.start_core()
                    await site.uplink.start()
                    await board.wait_output(BUZZER, True, after_ns=killed_ns)
                    during |= await raise_fires(site, 500, 20)
                site.link.heal()
                # with the disk still full
                await site.until(lambda: during <= fires_at_centre(site), "the centre has every fire", pause_s=0.2)
                given_back_s = time.monotonic()
                foreign.unlink()
                await site.until(lambda: no_store_fault(site), "the fault is over")
                recovered_s = time.monotonic() - given_back_s
                after = await raise_fires(site, 900, 10)
            await site.all_delivered()
            taken = site.at_centre()
            verdict = compare(site.witness.accepted, taken, given_up=read_given_up(site.centre_db))
            note(
                f"full-disk-{'killed' if killed else 'running'}",
                {
                    "fires_while_full": len(during),
                    "kept_in_the_reserve": kept,
                    "delay_s": delays_s(t for t in taken if t.body.get("point") in during),
                    "recovered_s": round(recovered_s, 1),
                    **verdict.counts(),
                },
            )
            assert verdict.sound, verdict
            assert before | during | after <= fires_at_centre(site)
            assert kept == FIRES, "the reserve is for them"
