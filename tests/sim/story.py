"""What happens to a site: incidents drawn from the seed, each some faults and some fires at once, then rest.

A fault is an async function of the catalogue: it breaks something, waits, and mends it. To add one, write it here and give it a
weight; if the site must show it, tell the observer (`trouble`), and say what the house may then speak of (`excuse`).
"""

import asyncio
import errno
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from edge_agent.model import Clock, Kind
from simulators.centre.gb_faults import FAULTS as GB_FAULTS
from tests.sim import wires
from tests.sim.disk import CAPACITY, Fault
from tests.sim.field import (
    board_breaks,
    closes,
    leak,
    opens,
    panel_garbage,
    panel_gone,
    panel_reset,
    panel_speaks,
    push,
    slave_fails,
)
from tests.sim.gb_picture import standing
from tests.sim.machine import BOOT_S, EPOCH_WALL_NS
from tests.sim.observer import Violation, source_down
from tests.sim.sim import ACK, DAY_S, REST_S, SILENCE, Sim

A_DAY = 0.7  # incidents
QUIET_WATCH_S = 15.0
AGREES_S = 45.0  # a keep-alive, with the device's status in it, every 30 s, and the frames before it
ASKED_MAX = 4  # a connection that is half open is found by the asking, and made anew


def disk_alarm(alarm: Any) -> bool:
    """The journal says that it cannot, or the uplink that its ledger cannot."""
    return (alarm.kind is Kind.STORE and alarm.active) or alarm.point.startswith("uplink/ledger")


# -- the disk and the power ------------------------------------------------------------------------------------------
async def power(sim: Sim, rng: random.Random, *, mode: str = "", after: float | None = None) -> None:
    """Cut at a moment, or in the middle of the n-th disk operation; and again while it recovers from that."""
    machine = sim.machine
    for depth in range(rng.choice((1, 1, 1, 2, 3)) if after is None else 1):
        mode = mode or rng.choice(("random", "random", "random", "lose", "keep"))
        cut = partial(machine.cut_power, mode, off_s=rng.uniform(0.2, 20.0))
        if after is not None:
            await sim.lasting(after)
            cut()
        elif depth == 0 and rng.random() < 0.4:
            await sim.lasting(rng.uniform(0.0, 5.0))
            cut()
        elif depth == 0:
            machine.stop_at_operation(rng.randint(1, 40), cut)
            await sim.lasting(12.0)
        else:  # it is starting: the operations that come are those of opening and recovering
            await sim.until(lambda: machine.powered, 60.0)
            machine.stop_at_operation(rng.randint(1, 60), cut)
            await sim.lasting(BOOT_S + 10.0)
        machine.disk.stop_at = None
        await sim.until(lambda: machine.powered, 60.0)
    await sim.until(lambda: machine.core is not None, 60.0)
    await sim.lasting(4.0)
    sim.observer.check_stored()


async def disk_fails(sim: Sim, rng: random.Random, code: int) -> None:
    """EIO, ENOSPC or EROFS from the n-th operation on, for some operations or for a while."""
    disk = sim.machine.disk
    lasts_s = rng.choice((rng.uniform(1, 20), rng.uniform(110, 160)))
    count = rng.choice((1, 2, 5, 10**9)) if lasts_s < 100 else 10**9
    disk.fault = Fault(code, disk.operations + rng.randint(1, 30), count)
    failed, name = disk.failed, f"disk {errno.errorcode[code]}"  # a disk nobody writes to fails nobody
    trouble = sim.observer.trouble(name, disk_alarm, lambda: disk.failed > failed) if lasts_s > 100 else None
    sim.observer.disk_was_full |= code == errno.ENOSPC
    await sim.lasting(lasts_s)
    disk.fault = None
    if trouble is not None:
        sim.observer.over(trouble)


async def disk_full(sim: Sim, rng: random.Random) -> None:
    """Others fill it: all of it, or all but a little."""
    disk = sim.machine.disk
    sim.observer.disk_was_full = True
    disk.foreign = CAPACITY - disk.used() - rng.choice((0, 4096, 100_000, 2_000_000))
    await sim.lasting(rng.uniform(10, 120))
    disk.foreign = 0


async def slow_disk(sim: Sim, rng: random.Random, worst_s: float | None = None) -> None:
    """Syncs that stall."""
    disk, worst_s = sim.machine.disk, worst_s or rng.choice((0.3, 2.0, 2.0))
    chance = random.Random(rng.getrandbits(64))
    disk.sync_s = lambda: chance.choice((0.005, 0.02, worst_s))
    await sim.lasting(rng.uniform(20, 90))
    disk.sync_s = sim.normal_sync


# -- processes and clocks ----------------------------------------------------------------------------------------------
async def kill(sim: Sim, rng: random.Random, who: str) -> None:
    machine = sim.machine
    for _ in range(rng.randint(1, 3)):
        what = machine.kill_core if who == "core" else machine.kill_uplink
        if rng.random() < 0.5:
            machine.stop_at_operation(rng.randint(1, 20), what)
        else:
            what()
        await sim.lasting(rng.uniform(0.1, 8.0))
        machine.disk.stop_at = None
    await sim.until(lambda: machine.core is not None, 30.0)
    await sim.lasting(3.0)
    sim.observer.check_stored()


async def uplink_gone(sim: Sim, rng: random.Random) -> None:
    """Stopped by hand and forgotten for minutes, or frozen."""
    machine, lasts_s = sim.machine, rng.uniform(120, 200)

    def holds() -> bool:
        loop = machine.uplink_loop
        return loop is None or loop.busy_until_s > sim.world.now_s

    trouble = sim.observer.trouble("uplink gone", source_down("uplink"), holds)
    if rng.random() < 0.5 and machine.uplink_loop is not None:
        machine.uplink_loop.busy_until_s = sim.world.now_s + lasts_s
    else:
        machine.kill_uplink(for_s=lasts_s)
    await sim.lasting(lasts_s)
    sim.observer.over(trouble)


async def clock_step(sim: Sim, rng: random.Random) -> None:
    """The wall clock jumps: days, hours, to 1970; or nobody tells it the time any more."""
    machine, before_ns, before = sim.machine, sim.machine.wall_offset_ns, sim.machine.clock
    what = rng.choice(("step", "step", "1970", "holdover"))
    if what == "step":
        machine.wall_offset_ns += round(rng.choice((-3 * DAY_S, -3600.0, -0.5, 0.5, 3600.0, 2 * DAY_S)) * 1e9)
    elif what == "1970":
        machine.wall_offset_ns, machine.clock = -round(sim.world.now_s * 1e9) + 10**9, Clock.UNSET
    else:
        machine.clock = Clock.HOLDOVER
    await sim.lasting(rng.uniform(5, 60))
    machine.wall_offset_ns, machine.clock = (EPOCH_WALL_NS, Clock.SYNCED) if what == "1970" else (before_ns, before)


# -- the whole -------------------------------------------------------------------------------------------------------------
Act = Callable[[Sim, random.Random], Awaitable[None]]
CATALOGUE: dict[str, tuple[int, Act]] = {
    "cut": (3, partial(wires.wan_mood, mood="cut")),
    "up lost": (2, partial(wires.wan_mood, mood="up_lost")),
    "down lost": (2, partial(wires.wan_mood, mood="down_lost")),
    "refused": (1, partial(wires.wan_mood, mood="refused")),
    "half open": (2, partial(wires.wan_once, what="half_open")),
    "reset": (2, partial(wires.wan_once, what="reset")),
    "lossy": (3, wires.lossy),
    "broker": (3, wires.broker_restart),
    "centre away": (2, partial(wires.centre_mood, mood="away")),
    "centre mute": (2, partial(wires.centre_mood, mood="mute")),
    "power": (8, power),
    "EIO": (3, partial(disk_fails, code=errno.EIO)),
    "ENOSPC": (2, partial(disk_fails, code=errno.ENOSPC)),
    "EROFS": (2, partial(disk_fails, code=errno.EROFS)),
    "full": (2, disk_full),
    "slow": (4, slow_disk),
    "kill core": (3, partial(kill, who="core")),
    "kill uplink": (3, partial(kill, who="uplink")),
    "uplink gone": (1, uplink_gone),
    "clock": (3, clock_step),
    "board": (1, board_breaks),
}
PATHS: dict[str, tuple[int, Act]] = {
    "fail over": (8, wires.fail_over),
    "path gone": (3, partial(wires.wan_mood, mood="gone")),
    "NB-IoT poor": (4, wires.narrow_poor),
    "all ways cut": (2, wires.all_cut),
}
OF_SITE: dict[str, dict[str, tuple[int, Act]]] = {  # by kind of site, links and second centre
    "panel": {
        "panel gone": (3, panel_gone),
        "panel garbage": (2, panel_garbage),
        "storm of 50": (3, partial(panel_speaks, lines=50)),
        "storm of 1000": (2, partial(panel_speaks, lines=1000)),
    },
    "meters": {"slave": (5, slave_fails)},
    "paths": PATHS,
    "modem": PATHS
    | {
        "modem SIM": (4, wires.modem_sim_card),
        "modem network": (4, wires.modem_network),
        "modem hung": (4, partial(wires.modem_wedged, mood="hung")),
        "modem deaf": (3, partial(wires.modem_wedged, mood="deaf")),
        "modem talk": (4, wires.modem_talks),
        "modem stumbles": (4, wires.modem_stumbles),
    },
    "gb": {"GB centre errs": (12, wires.gb_errs), "GB centre asks": (3, wires.gb_asks)},
}
FAULTS = {*CATALOGUE, *(name for acts in OF_SITE.values() for name in acts), *(f"GB {name}" for name in GB_FAULTS)}
ENOUGH = 200 * 7  # days in which each of them must have come
MOODS = ("cut", "up lost", "down lost", "refused", *PATHS)  # of one network, which has one at a time
WEDGED = (
    "modem SIM",
    "modem network",
    "modem hung",
    "modem deaf",
    "fail over",
)  # each waits for what the others keep away
PANEL = ("panel gone", "panel garbage", "storm of 50", "storm of 1000")  # a panel that speaks is not gone
STOP = ("power", "kill core", "kill uplink")  # two of them at once would take each other's operation


async def story(sim: Sim) -> None:
    """The life of a site: incidents at random times, for ever."""
    rng = sim.rng
    await sim.rest_until(60.0)
    at_s = 60.0
    while True:
        at_s = max(sim.world.now_s, at_s) + rng.expovariate(A_DAY / DAY_S)
        await sim.rest_until(at_s)
        if sim.world.now_s >= sim.end_s:
            return
        await incident(sim, rng)


async def incident(sim: Sim, rng: random.Random, *, acts: Sequence[Act] | None = None, fires: int = 0) -> None:
    """Up to three faults (or those given), some fires around them, then everything is mended and must come to rest."""
    sim.incidents += 1
    for act in acts or ():
        sim.spawn(delayed(0.0, act, sim, random.Random(rng.getrandbits(64))))
    if acts is None:
        draw_faults(sim, rng)
    for _ in range(fires or rng.randint(1, 5)):
        sim.spawn(delayed(rng.uniform(0.0, 40.0), stimulus(sim, rng), sim, random.Random(rng.getrandbits(64))))
    await sim.all_over()
    await rest(sim)


def draw_faults(sim: Sim, rng: random.Random) -> None:
    """None (fires alone) to three, never two that stop a process, or that hide from each other what they wait for."""
    catalogue = dict(CATALOGUE)
    for trait in (sim.kind, sim.links, sim.second):
        catalogue |= OF_SITE.get(trait, {})
    if sim.second == "gb":
        catalogue.pop("storm of 1000", None)  # seven seconds of work, and its centre takes one frame at a time anyhow
    how_many = rng.choice((0, 1, 1, 2, 2, 2, 3, 3))
    names = [rng.choices(list(catalogue), [weight for weight, _ in catalogue.values()])[0] for _ in range(how_many)]
    for alike in (MOODS, STOP, WEDGED, PANEL):
        if sum(name in alike for name in names) > 1:
            names = [name for name in names if name not in alike] + [next(name for name in names if name in alike)]
    names = list(dict.fromkeys(names))
    if "fail over" in names and rng.random() < 0.5:
        names = ["fail over"]
    sim.company = set(names)
    sim.observer.note(f"incident {sim.incidents}: {', '.join(names)}")
    for name in names:
        sim.faults[name] = sim.faults.get(name, 0) + 1
        sim.spawn(delayed(rng.uniform(0.0, 10.0), catalogue[name][1], sim, random.Random(rng.getrandbits(64))))


def stimulus(sim: Sim, rng: random.Random) -> Act:
    if sim.kind == "panel" and rng.random() < 0.6:
        return panel_speaks
    if sim.kind == "meters" and rng.random() < 0.3:
        return leak
    roll = rng.random()
    if roll < 0.1:
        return partial(push, line=ACK)
    return partial(push, line=SILENCE) if roll < 0.15 else closes


async def delayed(wait_s: float, act: Act, sim: Sim, rng: random.Random) -> None:
    await asyncio.sleep(wait_s)
    await act(sim, rng)


async def gb_agrees(sim: Sim) -> None:
    """I1 and I6 of a centre that is told states: with every fault over and all of it told, its picture is true, also of what
    stands. What it asks for is answered so, too.
    """
    gb, machine = sim.gb, sim.machine
    if gb is None:
        return

    def wrong() -> tuple[str, str]:
        return gb.wrong(machine.core) if machine.core is not None else ("I6", "no core")

    await sim.until(sim.at_rest, REST_S, quiet=True)
    if sim.at_rest():  # else `rest` says what is owed
        for asked in (0, 61, 62, 81):
            for _ in range(ASKED_MAX):
                answered = await gb.ask(asked) if asked else True
                if answered and not wrong()[0]:
                    break
                await sim.until(lambda: sim.at_rest() and not wrong()[0], AGREES_S, quiet=True)
                if answered and sim.at_rest():
                    invariant, what = wrong()
                    if invariant:
                        sim.wrong(invariant, f"{what} ({asked or 'told'})")
                    break
            else:
                sim.wrong("I6", f"the GB centre has no answer to {asked}, or no rest")
        sim.observer.counts["GB pictures"] += 1
        sim.observer.counts["GB stands"] += len(list(standing(machine.core))) if machine.core is not None else 0
    while gb.stays:
        await opens(sim, gb.stays.pop())


async def rest(sim: Sim) -> None:
    """I6: with every fault over, nothing is owed, nothing is on the wire, the lamps say what is true."""
    observer, world = sim.observer, sim.world
    await gb_agrees(sim)
    if sim.panel is not None:
        await panel_reset(sim)
    await sim.until(sim.at_rest, REST_S, quiet=True)
    if sim.believes_rest():
        observer.check_arrived()
    if not sim.at_rest():
        raise Violation("I6", world.now_s, f"not at rest {REST_S:.0f} s after the last fault: {sim.restless()}")
    for _ in range(6):
        await push(sim, line=ACK)
        before = observer.counts["again"]
        await asyncio.sleep(QUIET_WATCH_S)
        talk = observer.counts["again"] - before
        if not talk and not observer.wrong_lamps():
            break
    else:
        raise Violation(
            "I6",
            world.now_s,
            f"still {talk} records sent again in {QUIET_WATCH_S:.0f} s, lamps {observer.wrong_lamps()}",
        )
    observer.note("at rest")
