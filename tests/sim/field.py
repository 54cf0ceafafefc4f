"""What befalls the wires of a site, and what the site itself does: contacts, a panel, meters, buttons. Acts of the story.

Every sleep here is simulated time: how long something lasts in the story, and no wait of the test's.
"""

import asyncio
import random

from simulators.modbus_slave import Fault as SlaveFault
from tests.sim.observer import source_down
from tests.sim.sim import CONTACT_LINES, Sim

STAYS = 0.4  # of the fires of a site with a GB/T 26875.3 centre: until its picture has been looked at
STAY_MAX = 2  # of the contacts: others are needed


async def board_breaks(sim: Sim, rng: random.Random) -> None:
    lasts_s = rng.choice((rng.uniform(1, 10), rng.uniform(105, 130)))
    sim.machine.break_board("io")
    trouble = sim.observer.trouble(
        "board", lambda alarm: alarm.active and alarm.point in ("board", "contacts", "buttons")
    )
    await sim.lasting(lasts_s)
    sim.machine.break_board(None)
    sim.observer.over(trouble)
    await sim.lasting(8.0)


async def panel_gone(sim: Sim, rng: random.Random) -> None:
    """Its cable out, or it falls silent."""
    assert sim.panel is not None
    cable, lasts_s = sim.panel.cable, rng.choice((rng.uniform(1, 20), rng.uniform(140, 180)))
    silent = rng.random() < 0.5
    trouble = sim.observer.trouble("panel", source_down("panel1")) if lasts_s > 130 else None
    if silent:
        sim.panel.silent = True
    else:
        cable.unplug()
    await sim.lasting(lasts_s)
    sim.panel.silent = False
    cable.plug()
    if trouble is not None:
        sim.observer.over(trouble)
    await sim.lasting(8.0)


async def panel_garbage(sim: Sim, rng: random.Random) -> None:
    assert sim.panel is not None
    for _ in range(rng.randint(1, 30)):
        sim.panel.cable.say(rng.randbytes(rng.randint(1, 40)))
        await sim.lasting(rng.uniform(0.0, 3.0))
    await sim.lasting(65.0)


async def slave_fails(sim: Sim, rng: random.Random) -> None:
    """Dead, foreign, torn, late, refusing."""
    assert sim.slaves is not None
    unit = rng.choice((1, 2))
    faults = (
        SlaveFault(dead=True),
        SlaveFault(unit=9),
        SlaveFault(torn=2),
        SlaveFault(bad_crc=True),
        SlaveFault(latency_s=0.9),
        SlaveFault(garbage=b"\xff\x00\x55"),
        SlaveFault(trailing=b"\x00"),
        SlaveFault(gap_s=0.4),
    )
    fault = rng.choice(faults)
    sim.slaves.slaves[unit].fault = fault
    lasts_s = rng.choice((rng.uniform(1, 30), 150.0))
    shows = source_down("leak1" if unit == 1 else "arc1")
    trouble = sim.observer.trouble(f"slave {unit}", shows) if lasts_s > 100 and fault.dead else None
    await sim.lasting(lasts_s)
    sim.slaves.slaves[unit].fault = SlaveFault()
    if trouble is not None:
        sim.observer.over(trouble)
    await sim.lasting(35.0)


# -- what the site itself does -------------------------------------------------------------------------------------------
async def closes(sim: Sim, rng: random.Random, *, sure: bool = False) -> None:
    """A contact leaves its normal position, with or without bouncing, and goes back, or stays until `opens`. One that has left it
    already is left alone, unless it must be `sure`: then another one does, and goes back.
    """
    number, active = rng.randrange(len(CONTACT_LINES)), sim.observer.active
    if f"contact{number}" in active:
        if not sure:
            return
        number = next(other for other in range(len(CONTACT_LINES)) if f"contact{other}" not in active)
    line, point = CONTACT_LINES[number], f"contact{number}"
    normal = number == 1
    sim.observer.activated(point)
    for _ in range(rng.choice((0, 0, 3, 8))):
        sim.machine.wire(line, not normal)
        await asyncio.sleep(rng.uniform(0.001, 0.02))
        sim.machine.wire(line, normal)
        await asyncio.sleep(rng.uniform(0.001, 0.02))
    sim.machine.wire(line, not normal)
    sim.observer.must_sound(point, 0.05)
    if sim.gb is not None and not sure and len(sim.gb.stays) < STAY_MAX and rng.random() < STAYS:
        sim.gb.stays.append(number)
        await asyncio.sleep(0.7)  # it has settled
        return
    await asyncio.sleep(rng.uniform(0.7, 30.0))
    await opens(sim, number)


async def opens(sim: Sim, number: int) -> None:
    """It goes back."""
    line, point, normal = CONTACT_LINES[number], f"contact{number}", number == 1
    sim.machine.wire(line, normal)
    await asyncio.sleep(0.7)  # its way back has settled
    sim.observer.active.discard(point)


async def panel_speaks(sim: Sim, rng: random.Random, lines: int = 1) -> None:
    """One event, or a storm of fires, each of a detector of its own."""
    assert sim.panel is not None
    storm = rng.sample(range(100_000, 1_000_000), lines) if lines > 1 else []
    for number in storm or [1000 * rng.randint(1, 3) + rng.randint(1, 200)]:
        point = f"panel1/{number:06d}"
        event = "fire" if storm else rng.choice(("fire", "fire", "fire_manual", "fault", "feedback"))
        if point in sim.observer.active:
            continue
        if event.startswith("fire"):
            sim.observer.activated(point)
        else:
            sim.observer.excuse(0.0)
        sim.panel.event(event, f"{number:06d}")
        if event.startswith("fire") and sim.panel.cable.port is not None:
            sim.observer.must_sound(point, 0.0)
        await asyncio.sleep(0.12 if storm else rng.uniform(0.5, 5.0))
    await asyncio.sleep(2.0)


async def panel_reset(sim: Sim) -> None:
    assert sim.panel is not None
    sim.panel.event("reset")
    for point in [point for point in sim.observer.active if point.startswith("panel1/")]:
        sim.observer.active.discard(point)
    await asyncio.sleep(2.0)


async def leak(sim: Sim, rng: random.Random) -> None:
    """The residual current rises over its limit, and falls again."""
    assert sim.slaves is not None
    number = rng.randrange(4)
    register, point = 0x4A + number, f"leak1/residual_{number + 1}_ma"
    if point in sim.observer.active:
        return
    holding = sim.slaves.slaves[1].holding
    before, holding[register] = holding[register], 900
    sim.observer.activated(point)
    await sim.lasting(rng.uniform(25, 60))
    holding[register] = before
    await sim.lasting(75.0)  # it has to stay low for a minute
    sim.observer.active.discard(point)


async def push(sim: Sim, rng: random.Random | None = None, *, line: int) -> None:
    await asyncio.sleep(0.2)
    sim.machine.wire(line, True)
    await asyncio.sleep(0.1)
    sim.machine.wire(line, False)
