"""config.toml is damaged while the box is off: both programs start on the last good one, a fire arrives, everybody is told."""

from collections.abc import Callable

import pytest

from edge_agent.last_good import FILE
from simulators.process import Program
from tests.proof.checker import compare, delays_s, read_given_up
from tests.proof.site import ProofSite, note
from tests.proof.test_full_disk import raise_fires

pytestmark = [pytest.mark.asyncio, pytest.mark.slow, pytest.mark.timeout(300)]


def zero(content: bytes) -> bytes:
    return bytes(len(content))


def without_the_contact(content: bytes) -> bytes:
    """A sound file: what a save that the power cut short can leave."""
    return content.partition(b"[[contact]]")[0]


@pytest.mark.parametrize("damage", [zero, without_the_contact])
async def test_both_programs_start_on_the_last_good_configuration(damage: Callable[[bytes], bytes]) -> None:
    async with ProofSite() as site:
        for name in ("core", "uplink"):  # systemd says where its state is; a file of zeros does not
            program: Program = getattr(site, name)
            environ = {"STATE_DIRECTORY": str(site.data_dir)}
            setattr(site, name, Program(name, program.arguments, program.log, environ))
        await site.start()
        fires = await raise_fires(site, 1, 3)
        await site.until((site.data_dir / FILE).exists, "the configuration is kept")
        await site.all_delivered()
        await site.core.kill()
        await site.uplink.kill()
        file = site.directory / "config.toml"
        sound = file.read_bytes()
        file.write_bytes(damage(sound))
        await site.start()
        fires |= await raise_fires(site, 100, 3)
        await site.until(
            lambda: told(site, active=True), "the centre knows that the configuration is not the one in the file"
        )
        status = await site.status()
        assert status["config"]["file"] == str(file)
        assert {source["id"] for source in status["sources"]} >= {"panel1", "contacts", "uplink/county"}
        await site.all_delivered()
        await site.core.kill()
        file.write_bytes(sound)
        await site.start_core()
        await site.until(lambda: told(site, active=False), "the centre knows that it is mended")
        assert (await site.status())["config"] is None
        await site.all_delivered()
        taken = site.at_centre()
        verdict = compare(site.witness.accepted, taken, given_up=read_given_up(site.centre_db))
        mine = [record for record in taken if record.body.get("point") in fires]
        note(f"config-{damage.__name__}", {"fires": len(fires), "delay_s": delays_s(mine), **verdict.counts()})
        assert verdict.sound, verdict


def told(site: ProofSite, *, active: bool) -> bool:
    return bool(site.events_at_centre(point="config", kind="fault", active=active))
