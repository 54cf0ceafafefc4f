"""Matrix row A1: twenty fires while the readings of a long outage are sent over a slow way: each is there within two seconds.

EDGE_BACKLOG: how many records are waiting (scripts/evidence: 100 000).
"""

import asyncio
import json
import os
from typing import Any

import pytest

from buffer.records import Priority
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.sim.observer import Violation
from tests.sim.sim import CONTACT_LINES, Sim

BACKLOG = int(os.environ.get("EDGE_BACKLOG", "5000"))
FIRES, WITHIN_S, ONE_WAY_S = 20, 2.0, 0.4
AT = {"boot": "b", "mono_ns": 1, "wall_ns": 1_800_000_000_000_000_000, "clock": "synced"}


def pending(sim: Sim) -> int:
    assert sim.machine.uplink is not None
    return int(sim.machine.uplink.destinations[0].outbox.pending(Priority.TELEMETRY))


async def story(sim: Sim, left: list[int]) -> None:
    """An outage, its backlog, and fires from the moment on at which it is over. `left`: what was pending at each."""
    await sim.rest_until(60.0)
    wans = sim.ways["county"]
    sim.observer.excuse(120.0)
    for wan in wans:
        wan.mood = "cut"
    core = sim.machine.core
    assert core is not None and core.journal is not None
    for n in range(BACKLOG):
        body: dict[str, Any] = {"at": AT, "source": "meter1", "values": {"voltage_a_v": 220 + n % 10}}
        core.journal.append(Priority.TELEMETRY, json.dumps(body).encode())
        if n % 500 == 0:
            await asyncio.sleep(0.05)
    await sim.lasting(60.0)
    for wan in wans:
        wan.mood, wan.latency_s = "ok", ONE_WAY_S
    sim.observer.excuse(600.0)  # of the link that is back, and the reports of it
    await sim.until(lambda: pending(sim) < BACKLOG, 120.0, why="the backlog is sent")
    for n in range(FIRES):
        left.append(pending(sim))
        number = (0, 2, 3)[n % 3]  # the one between them is closed at rest
        sim.observer.activated(f"contact{number}")
        sim.machine.wire(CONTACT_LINES[number], True)
        await asyncio.sleep(0.1)
        sim.machine.wire(CONTACT_LINES[number], False)
        await asyncio.sleep(0.25)  # the next one; this one settles meanwhile
        sim.observer.active.discard(f"contact{number}")
    await sim.until(lambda: pending(sim) == 0 and not sim.observer.owed, 600.0, why="all of it arrives")


@pytest.mark.timeout(900)
def test_alarms_overtake_the_readings_of_an_outage() -> None:
    sim, left = Sim(4, kind="contacts", second="none", links="none"), list[int]()
    found = sim.run(0.2, lambda one: story(one, left))
    waits_s = found.waits_s["alarms"]
    fires = sum(len(points) for points in sim.observer.arrived["county"].values())
    delay_s = spread_s(waits_s, "kept to the centre's commit, 0.4 s one way", "simulated")
    note("backlog-simulated", {"alarms": fires, "lost": FIRES - fires, "doubled": 0, "left": left, "delay_s": delay_s})
    assert not isinstance(found.violation, Violation), found.violation
    assert fires == FIRES
    assert left[-1] > 0, "the last one had nothing to overtake"
    assert max(waits_s) <= WITHIN_S, waits_s
