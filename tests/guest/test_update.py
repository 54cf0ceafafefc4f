"""The gateway's own update under a real systemd, with the power cut at every stage of it; and new versions that are no good.

EDGE_GUESTS=1 runs them; EDGE_GUEST_BOOTS sets how many cuts and boots, EDGE_SEED the moments, EDGE_PLANTED=1 asks for the planted
bug. docs/guests.md.
"""

import os
from pathlib import Path

import pytest

from tests.guest.gateway import status
from tests.guest.updates import ROUNDS, STAGES, updated
from tests.proof.site import note

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.slow,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(os.geteuid() != 0, reason="making a guest's root needs root"),
    pytest.mark.skipif(
        not os.environ.get("EDGE_GUESTS"), reason="minutes of CPU without KVM: EDGE_GUESTS=1 (docs/guests.md)"
    ),
]

BOOTS = int(os.environ.get("EDGE_GUEST_BOOTS", "4"))
SEED = int(os.environ.get("EDGE_SEED", "20261126"))
UNIT = "/run/systemd/system/edge-agent-update.service.d/short.conf"
SHORT = """[Service]
ExecStart=
ExecStart=/opt/edge-agent/good/bin/python -P -m edge_agent.update --trial-s 90
"""


def test_every_stage_is_among_the_rounds() -> None:
    assert {stage for _, stage in ROUNDS} == set(STAGES) and len(ROUNDS) == 20


async def test_a_cut_at_any_stage_boots_the_old_or_the_new_program_which_does_its_work(tmp_path: Path) -> None:
    async with updated(tmp_path, SEED) as site:
        verdict, found = await site.rounds(BOOTS)
    note("guest-update-cuts", {"seed": SEED, **found})
    assert verdict.sound, verdict
    assert found["names_given_twice"] == found["neither"] == 0


async def test_a_new_version_that_is_no_good_is_gone_back_from(tmp_path: Path) -> None:
    """One that ends as soon as it is started; one whose centre is out of reach, by itself and by a power cut."""
    async with updated(tmp_path, SEED) as site:
        guest, broker = site.site.guest, site.site.broker
        before = site.versions["a"]

        await site.give("install", broken=True)
        await site.ended("step=ended", "status=gone_back", "code=crashed")
        assert await site.check({before}) == before

        await guest.put(UNIT, SHORT)
        await guest.run("systemctl", "daemon-reload")
        await site.give("install", new=True)
        await site.ended("step=switched")
        broker.freeze()
        await site.ended("step=ended", "status=gone_back", "code=not_confirmed")
        code = await site.fire()
        broker.thaw()
        await site.arrived(code)
        assert await site.check({before}) == before

        await site.give("install")
        await site.ended("step=switched")
        broker.freeze()
        await site.ended("step=restarted")
        code = await site.fire()  # heard by the program on trial
        await site.cut()
        broker.thaw()
        await site.boot()
        assert await site.check({before}) == before
        await site.ended("step=ended", "status=gone_back", "code=cut")
        await site.arrived(code)
        verdict, found = await site.verdict()
        last = (await status(guest))["update"]["last"]
    note("guest-update-bad", {key: found[key] for key in ("fires", "accepted", *verdict.counts())} | {"last": last})
    assert verdict.sound, verdict


@pytest.mark.skipif(not os.environ.get("EDGE_PLANTED"), reason="EDGE_PLANTED=1")
async def test_a_planted_trial_that_never_goes_back_is_found(tmp_path: Path) -> None:
    """A guard that does nothing at a boot, and an updater that takes a trial it finds for one that had ended well."""
    async with updated(tmp_path, SEED) as site:
        guest = site.site.guest
        await guest.put(
            "/etc/systemd/system/edge-agent-update-guard.service.d/idle.conf",
            "[Service]\nExecStart=\nExecStart=/bin/true\n",
        )
        file = "/opt/edge-agent/slots/a/lib/python3.*/site-packages/edge_agent/update/updater.py"
        await guest.shell(
            f"sed -i 's/Phase.TRYING and good == state.slot/Phase.TRYING/' {file}; sync; systemctl daemon-reload"
        )
        with pytest.raises(AssertionError, match=r"^runs 9\.1\.0, may be"):
            await site.round("install", STAGES["trial"])
    note("guest-update-planted", {"found": True})
