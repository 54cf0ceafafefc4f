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
from simulators.modbus_slave import Fault as SlaveFault
from tests.sim.disk import CAPACITY, Fault
from tests.sim.machine import BOOT_S, EPOCH_WALL_NS
from tests.sim.observer import Violation
from tests.sim.sim import ACK, CONTACT_LINES, DAY_S, REST_S, SILENCE, Sim

A_DAY = 1.0  # incidents
QUIET_WATCH_S = 15.0


def source_down(source: str) -> Callable[[Any], bool]:
    parent = source.partition("/")[0]  # with the uplink itself gone nobody can say which centre is not reached
    return lambda alarm: alarm.active and alarm.kind is Kind.LINK and alarm.point in (source, parent, "delivery")


def disk_alarm(alarm: Any) -> bool:
    """The journal says that it cannot, or the uplink that its ledger cannot."""
    return (alarm.kind is Kind.STORE and alarm.active) or alarm.point.startswith("uplink/ledger")


# -- the network -----------------------------------------------------------------------------------------------------
async def wan_mood(sim: Sim, rng: random.Random, mood: str, lasts_s: float | None = None) -> None:
    """cut, one way, refused."""
    wan = sim.wans["county"]
    lasts_s = lasts_s or rng.choice((rng.uniform(1, 20), rng.uniform(20, 90), rng.uniform(130, 240)))
    wan.mood = mood
    trouble = sim.observer.trouble(f"county {mood}", source_down("uplink/county")) if lasts_s > 120 else None
    await sim.lasting(lasts_s)
    wan.mood = "ok"
    if trouble is not None:
        sim.observer.over(trouble)


async def wan_once(sim: Sim, rng: random.Random, what: str) -> None:
    """half_open, reset: what stands falls."""
    for _ in range(rng.randint(1, 3)):
        getattr(sim.wans["county"], what)()
        await sim.lasting(rng.uniform(0.0, 30.0))


async def lossy(sim: Sim, rng: random.Random, *, all_of_it: bool = False) -> None:
    """Lost confirms, lost PUBACKs, duplicates."""
    broker = sim.brokers["county"]
    broker.lose_ack, broker.twice = rng.choice((0.3, 0.7, 1.0)), rng.choice((0.0, 0.5, 1.0))
    if all_of_it:
        broker.lose_ack = 1.0
    broker.lose_puback = rng.choice((0.0, 0.5, 1.0))
    await sim.lasting(rng.uniform(20, 90))
    broker.lose_ack = broker.twice = broker.lose_puback = 0.0


async def broker_restart(sim: Sim, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 3)):
        sim.brokers["county"].restart(keeps_sessions=rng.random() < 0.5)
        await sim.lasting(rng.uniform(0.5, 20))


async def centre_mood(sim: Sim, rng: random.Random, mood: str) -> None:
    """away: the broker keeps what comes; mute: stored, and no word of it."""
    centre = sim.centres["county"]
    centre.mood = mood
    await sim.lasting(rng.uniform(10, 90))
    centre.mood = "honest"
    centre.work()


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


# -- the field ---------------------------------------------------------------------------------------------------------
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
async def closes(sim: Sim, rng: random.Random) -> None:
    """A contact leaves its normal position, with or without bouncing, and goes back."""
    number = rng.randrange(len(CONTACT_LINES))
    line, point = CONTACT_LINES[number], f"contact{number}"
    if point in sim.observer.active:
        return
    normal = number == 1
    sim.observer.activated(point)
    for _ in range(rng.choice((0, 0, 3, 8))):
        sim.machine.wire(line, not normal)
        await asyncio.sleep(rng.uniform(0.001, 0.02))
        sim.machine.wire(line, normal)
        await asyncio.sleep(rng.uniform(0.001, 0.02))
    sim.machine.wire(line, not normal)
    sim.observer.must_sound(point, 0.05)
    await asyncio.sleep(rng.uniform(0.7, 30.0))
    sim.machine.wire(line, normal)
    await asyncio.sleep(0.7)  # its way back has settled
    sim.observer.active.discard(point)


async def panel_speaks(sim: Sim, rng: random.Random, lines: int = 1) -> None:
    assert sim.panel is not None
    for _ in range(lines):
        address = (
            f"{rng.randint(1, 3):03d}{rng.randint(1, 200):03d}" if lines == 1 else f"{rng.randint(100000, 999999)}"
        )
        point = f"panel1/{address}"
        event = rng.choice(("fire", "fire", "fire_manual", "fault", "feedback")) if lines == 1 else "fire"
        if event.startswith("fire"):
            sim.observer.activated(point)
        else:
            sim.observer.excuse(0.0)
        sim.panel.event(event, address)
        if event.startswith("fire") and sim.panel.cable.port is not None and lines == 1:
            sim.observer.must_sound(point, 0.0)
        await asyncio.sleep(rng.uniform(0.5, 5.0) if lines == 1 else 0.12)
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


async def push(sim: Sim, line: int) -> None:
    await asyncio.sleep(0.2)
    sim.machine.wire(line, True)
    await asyncio.sleep(0.1)
    sim.machine.wire(line, False)


# -- the whole -------------------------------------------------------------------------------------------------------------
Act = Callable[[Sim, random.Random], Awaitable[None]]
CATALOGUE: dict[str, tuple[int, Act]] = {
    "cut": (3, lambda sim, rng: wan_mood(sim, rng, "cut")),
    "up lost": (2, lambda sim, rng: wan_mood(sim, rng, "up_lost")),
    "down lost": (2, lambda sim, rng: wan_mood(sim, rng, "down_lost")),
    "refused": (1, lambda sim, rng: wan_mood(sim, rng, "refused")),
    "half open": (2, lambda sim, rng: wan_once(sim, rng, "half_open")),
    "reset": (2, lambda sim, rng: wan_once(sim, rng, "reset")),
    "lossy": (3, lossy),
    "broker": (3, broker_restart),
    "centre away": (2, lambda sim, rng: centre_mood(sim, rng, "away")),
    "centre mute": (2, lambda sim, rng: centre_mood(sim, rng, "mute")),
    "power": (8, power),
    "EIO": (3, lambda sim, rng: disk_fails(sim, rng, errno.EIO)),
    "ENOSPC": (2, lambda sim, rng: disk_fails(sim, rng, errno.ENOSPC)),
    "EROFS": (2, lambda sim, rng: disk_fails(sim, rng, errno.EROFS)),
    "full": (2, disk_full),
    "slow": (4, slow_disk),
    "kill core": (3, lambda sim, rng: kill(sim, rng, "core")),
    "kill uplink": (3, lambda sim, rng: kill(sim, rng, "uplink")),
    "uplink gone": (1, uplink_gone),
    "clock": (3, clock_step),
    "board": (1, board_breaks),
}
OF_SITE: dict[str, dict[str, tuple[int, Act]]] = {
    "contacts": {},
    "panel": {"panel gone": (3, panel_gone), "panel garbage": (2, panel_garbage)},
    "meters": {"slave": (5, slave_fails)},
}
MOODS = ("cut", "up lost", "down lost", "refused")  # of one network, which has one at a time
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
    """None (fires alone) to three, never two that stop a process."""
    catalogue = CATALOGUE | OF_SITE[sim.kind]
    how_many = rng.choice((0, 1, 1, 2, 2, 3))
    names = [rng.choices(list(catalogue), [weight for weight, _ in catalogue.values()])[0] for _ in range(how_many)]
    for alike in (MOODS, STOP):
        if sum(name in alike for name in names) > 1:
            names = [name for name in names if name not in alike] + [next(name for name in names if name in alike)]
    names = list(dict.fromkeys(names))
    sim.observer.note(f"incident {sim.incidents}: {', '.join(names)}")
    for name in names:
        sim.faults[name] = sim.faults.get(name, 0) + 1
        sim.spawn(delayed(rng.uniform(0.0, 10.0), catalogue[name][1], sim, random.Random(rng.getrandbits(64))))


def stimulus(sim: Sim, rng: random.Random) -> Act:
    if sim.kind == "panel" and rng.random() < 0.6:
        lines = 1000 if rng.random() < 0.004 else 50 if rng.random() < 0.05 else 1
        return lambda sim, rng: panel_speaks(sim, rng, lines)
    if sim.kind == "meters" and rng.random() < 0.3:
        return leak
    roll = rng.random()
    if roll < 0.1:
        return lambda sim, rng: push(sim, ACK)
    return (lambda sim, rng: push(sim, SILENCE)) if roll < 0.15 else closes


async def delayed(wait_s: float, act: Act, sim: Sim, rng: random.Random) -> None:
    await asyncio.sleep(wait_s)
    await act(sim, rng)


async def rest(sim: Sim) -> None:
    """I6: with every fault over, nothing is owed, nothing is on the wire, the lamps say what is true."""
    observer, world = sim.observer, sim.world
    if sim.panel is not None:
        await panel_reset(sim)
    await sim.until(sim.at_rest, REST_S, quiet=True)
    if sim.believes_rest():
        observer.check_arrived()
    if not sim.at_rest():
        raise Violation("I6", world.now_s, f"not at rest {REST_S:.0f} s after the last fault: {sim.restless()}")
    for _ in range(6):
        await push(sim, ACK)
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
