"""Damaged files: the core starts within seconds, the file is set aside, fires sound, are kept under a new epoch and arrive."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proof.checker import compare, delays_s, read_given_up, suspect
from tests.proof.site import BUZZER, ProofSite, note
from tests.proof.test_full_disk import fires_at_centre, raise_fires

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

PAGE = 4096
OLD, RECENT, NEW = 800, 60, 10  # fires in the file itself, in its -wal, after the damage


def header(path: Path) -> None:
    _write(path, 0, b"\xff" * 100)


def middle(path: Path) -> None:
    """Four pages that the -wal does not have anew: else the next checkpoint would heal them."""
    count, anew = path.stat().st_size // PAGE, pages_in_wal(path.with_name(path.name + "-wal"))
    runs = [first for first in range(1, count - 3) if not anew & set(range(first, first + 4))]
    _write(path, min(runs, key=lambda first: abs(first - count // 2)) * PAGE, b"\xff" * PAGE * 4)


def pages_in_wal(wal: Path) -> set[int]:
    """Counted from 0. A frame of the -wal is 24 bytes of header, which begins with its page counted from 1, and the page."""
    content = wal.read_bytes()
    return {int.from_bytes(content[at : at + 4], "big") - 1 for at in range(32, len(content), 24 + PAGE)}


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // PAGE // 4 * PAGE + 1000)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def wal_missing(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


def removed(path: Path) -> None:
    path.unlink()


def _write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


NOTICED = (truncated, emptied, wal_missing, removed)  # a page that the -wal has anew hurts nobody, and heals with it
DAMAGE = [header, middle, truncated, emptied, wal_missing, removed]


async def filled(site: ProofSite) -> set[str]:
    """Fires that no centre has heard of: the older in the file, the recent in its -wal. Both programs are killed."""
    await site.start()
    site.link.cut()
    points = await raise_fires(site, 1, OLD)
    await site.core.stop()  # in order: everything is in the file
    await site.start_core()
    await site.until(lambda: uplink_there(site), "the uplink hears the new core")
    points |= await raise_fires(site, 1000, RECENT)
    await site.until(lambda: points <= {body["point"] for body in site.witness.of(kind="fire")}, "all are accepted")
    return points


async def uplink_there(site: ProofSite) -> bool:
    return any(source["id"] == "uplink" and source["up"] for source in (await site.status()).get("sources", ()))


async def quiet(site: ProofSite) -> None:
    """Until nothing has come for three seconds: what was salvaged may come after the word about what was lost."""
    loop = asyncio.get_running_loop()
    count, since_s = -1, loop.time()

    def still() -> bool:
        nonlocal count, since_s
        if (now := site.count_at_centre()) != count:
            count, since_s = now, loop.time()
        return loop.time() - since_s > 3.0

    await site.until(still, "the centre hears nothing more", pause_s=0.2)


async def finish(site: ProofSite, proof: str, old: set[str], new: set[str], **measured_s: float) -> dict[str, int]:
    """Heal the link, wait until everything that will come has come, and judge."""
    site.link.heal()
    await site.until(lambda: new <= fires_at_centre(site), "the centre has every fire since the damage", pause_s=0.2)
    accepted = site.witness.accepted

    def settled() -> bool:
        """Every accepted name has come, or the centre was told that it will not."""
        missing = accepted.keys() - site.names_at_centre()
        return not missing - read_given_up(site.centre_db) - suspect(site.at_centre(), missing)

    await site.until(settled, "every accepted record is at the centre or declared lost", 60.0, pause_s=0.25)
    await quiet(site)
    taken = site.at_centre()
    given_up = read_given_up(site.centre_db) | suspect(taken, accepted)
    verdict = compare(accepted, taken, given_up=given_up)
    told = site.events_at_centre(kind="store")
    lost_fires = old - fires_at_centre(site)
    note(
        proof,
        {
            "old_fires": len(old),
            "old_fires_at_centre": len(old) - len(lost_fires),
            "new_fires": len(new),
            "new_fires_at_centre": len(new & fires_at_centre(site)),
            "delay_s": delays_s(record for record in taken if record.body.get("point") in new),
            "declared_lost": len(given_up - site.names_at_centre()),
            "told_the_centre": sorted({str(body["fields"].get("code")) for body in told}),
            **{key: round(value, 2) for key, value in measured_s.items()},
            **verdict.counts(),
        },
    )
    assert set(verdict.lost) <= given_up, "what is not there was declared lost"
    wrong = {key for key, count in verdict.counts().items() if count}
    assert wrong <= {"lost"}, verdict
    return {"lost_fires": len(lost_fires), "told": len(told)}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
async def test_vital_damaged_while_the_core_is_down(damage: Callable[[Path], None]) -> None:
    async with ProofSite() as site:
        old = await filled(site)
        epochs = {name.epoch for name in site.witness.accepted}
        await asyncio.gather(site.core.kill(), site.uplink.kill())
        damage(site.data_dir / "vital.db")
        began_s, began_ns = time.monotonic(), time.monotonic_ns()
        await site.start_core()
        started_s = time.monotonic() - began_s
        await site.uplink.start()
        async with await site.board() as board:
            new = await raise_fires(site, 5000, NEW)
            await board.wait_output(BUZZER, True, after_ns=began_ns)
        kept = {name.epoch for name, body in site.witness.accepted.items() if body["point"] in new}
        # pages in the middle are seen when somebody reads them, ten seconds after the start at the latest
        assert kept and (damage is middle or not kept & epochs), "a new epoch"
        await site.until(lambda: list(site.data_dir.glob("vital.db.bad-*")), "nothing is thrown away")
        result = await finish(site, f"vital-{damage.__name__}-at-rest", old, new, started_s=started_s)
        assert result["told"] > 0, "the centre hears of it"
        if damage is not emptied and damage is not removed:
            assert result["lost_fires"] < len(old), "what can be read arrives"


@pytest.mark.parametrize("damage", [header, middle, truncated, emptied, wal_missing, removed], ids=lambda d: d.__name__)
async def test_vital_damaged_under_the_running_core(damage: Callable[[Path], None]) -> None:
    async with ProofSite() as site:
        old = await filled(site)
        damage(site.data_dir / "vital.db")
        began_s, began_ns = time.monotonic(), time.monotonic_ns()
        async with await site.board() as board:
            new = await raise_fires(site, 5000, NEW)
            await board.wait_output(BUZZER, True, after_ns=began_ns)
        site.link.heal()
        await site.until(lambda: new <= fires_at_centre(site), "fires arrive whatever the file is worth", pause_s=0.2)
        delivered_s = time.monotonic() - began_s
        if damage in NOTICED:
            await site.until(lambda: _told_store(site), "the damage is a fault on site", 60.0)
        await asyncio.gather(site.core.kill(), site.uplink.kill())  # what a restart finds is what counts
        await site.start_core()
        await site.uplink.start()
        new |= await raise_fires(site, 6000, NEW)
        await finish(site, f"vital-{damage.__name__}-running", old, new, delivered_s=delivered_s)


async def _told_store(site: ProofSite) -> bool:
    return bool(site.witness.of(kind="store"))


@pytest.mark.parametrize("damage", [header, truncated, emptied], ids=lambda damage: damage.__name__)
async def test_bulk_damaged_costs_no_fire(damage: Callable[[Path], None]) -> None:
    async with ProofSite() as site:
        old = await filled(site)
        await asyncio.gather(site.core.kill(), site.uplink.kill())
        damage(site.data_dir / "bulk.db")
        began_s = time.monotonic()
        await site.start_core()
        started_s = time.monotonic() - began_s
        await site.uplink.start()
        new = await raise_fires(site, 5000, NEW)
        result = await finish(site, f"bulk-{damage.__name__}-at-rest", old, new, started_s=started_s)
        assert result["lost_fires"] == 0
        assert result["told"] > 0, "the centre hears of it"
