"""What was latched before kill -9 sounds again after it, and is no second event."""

import time

import pytest

from tests.proof.checker import compare, spread_s
from tests.proof.site import BUZZER, ProofSite, note

pytestmark = pytest.mark.asyncio


async def test_an_unacknowledged_fire_sounds_again_after_kill_9_and_is_still_one_event() -> None:
    async with ProofSite() as site:
        await site.start()
        async with await site.board() as board:
            await site.panel.raise_event("fire", "000001")
            await board.wait_output(BUZZER, True)
            await site.until(lambda: site.witness.of(kind="fire"), "the fire is accepted")
            again_s: list[float] = []
            for turn in range(3):
                killed_ns = time.monotonic_ns()
                await site.core.kill()
                await site.core.start()
                sounds_ns = await board.wait_output(BUZZER, True, 30.0, after_ns=killed_ns)
                again_s.append((sounds_ns - killed_ns) / 1e9)
                await site.until(site.panel_heard, f"turn {turn}: the panel is heard again")
                await site.panel.raise_event("fire", "000001")  # a panel repeats what is not reset
            (fire,) = await site.alarms("fire")
            assert fire["state"] == "active" and fire["first"]
            await site.ask("ack")
            await site.until(lambda: site.witness.of(kind="acknowledge"), "the acknowledgement is durable")
            killed_ns = time.monotonic_ns()
            await site.core.kill()
            await site.core.start()
            await site.until(site.panel_heard, "the panel is heard again")
            await site.panel.raise_event("fire", "000002")  # what sounds next is a new alarm
            sounded_ns = await board.wait_output(BUZZER, True, 30.0, after_ns=killed_ns)
            await site.until(lambda: len(site.witness.of(kind="fire")) == 2, "the second fire is accepted")
            second = site.witness.of(kind="fire", point="panel1/000002")[0]
            assert sounded_ns >= second["at"]["mono_ns"], "an acknowledged fire does not sound again"
        await site.all_delivered()
        fires = site.events_at_centre(kind="fire", active=True)
        assert [body["point"] for body in fires] == ["panel1/000001", "panel1/000002"]
        verdict = compare(site.witness.accepted, site.at_centre())
        found = {
            "sounded_again": 3,
            "events_of_the_fire": 1,
            "delay_s": spread_s(again_s, "killed to the buzzer again"),
        }
        note("latched", {"kills": 4, **found, **verdict.counts()})
        assert verdict.sound, verdict
