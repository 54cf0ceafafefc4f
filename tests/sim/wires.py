"""What befalls the wires to the centres: networks, paths, brokers, centres and modems. Acts of story.py's catalogue."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from simulators.centre.gb_faults import FAULTS
from tests.sim.field import closes
from tests.sim.network import Wan
from tests.sim.observer import I5_S, source_down
from tests.sim.sim import MODEM_PORT, Sim

NARROW_S = 200.0  # NB-IoT is known to be lost after 180 s, and shown a moment later
MOVED_S = 120.0  # a session that falls silent has moved by then: 20 s unconfirmed, 10 s to try again, a few of NB-IoT
TOLD_S = 60.0  # and an alarm has been told over NB-IoT, with its losses
SHOWN_AFTER_S = 10.0


def shown(sim: Sim, way: str) -> tuple[Callable[[Any], bool], float]:
    """What the site must show while a way is lost, and how soon."""
    if sim.links == "none":
        return source_down(f"uplink/{way}"), I5_S
    return source_down(f"link/{way}"), NARROW_S if way == "nb" else I5_S


def some_way(sim: Sim, rng: random.Random) -> str:
    """One that should carry something."""
    return rng.choice([way for way in sim.ways if way != "market"])


# -- networks ----------------------------------------------------------------------------------------------------------
async def wan_mood(sim: Sim, rng: random.Random, mood: str, lasts_s: float | None = None, way: str = "") -> None:
    """cut, one way, refused, gone."""
    way = way or some_way(sim, rng)
    lasts_s = lasts_s or rng.choice((rng.uniform(1, 20), rng.uniform(20, 90), rng.uniform(130, 240)))
    shows, within_s = shown(sim, way)
    if lasts_s > I5_S and within_s > I5_S:
        lasts_s += within_s - I5_S
    with _lost(sim.ways[way], mood):
        await _seen(sim, f"{way} {mood}", lasts_s, shows, within_s)


@contextlib.contextmanager
def _lost(wans: Sequence[Wan], mood: str) -> Iterator[None]:
    for wan in wans:
        wan.mood = mood
    yield
    for wan in wans:
        wan.mood = "ok"


async def _seen(sim: Sim, name: str, lasts_s: float, shows: Callable[[Any], bool], within_s: float) -> None:
    """It lasts; if that is long enough, the site must show it."""
    long = lasts_s > within_s + SHOWN_AFTER_S
    trouble = sim.observer.trouble(name, shows, within_s=within_s) if long else None
    await sim.lasting(lasts_s)
    if trouble is not None:
        sim.observer.over(trouble)


async def wan_once(sim: Sim, rng: random.Random, what: str) -> None:
    """half_open, reset: what stands falls."""
    for _ in range(rng.randint(1, 3)):
        for wan in sim.ways[some_way(sim, rng)]:
            getattr(wan, what)()
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


# -- several paths -----------------------------------------------------------------------------------------------------
async def all_cut(sim: Sim, rng: random.Random) -> None:
    """No way at all."""
    wans = [wan for way in sim.ways.values() for wan in way]
    lasts_s = rng.choice((rng.uniform(5, 60), rng.uniform(150, 240)))
    with _lost(wans, "cut"):
        await _seen(sim, "all ways cut", lasts_s, source_down("uplink/county"), I5_S)


async def narrow_poor(sim: Sim, rng: random.Random) -> None:
    """The wide path is lost, and the narrow one is as NB-IoT is on a bad day."""
    [narrow] = sim.ways["nb"]
    before, narrow.loss, narrow.latency_s = (
        (narrow.loss, narrow.latency_s),
        rng.choice((0.1, 0.3)),
        rng.uniform(1.0, 4.0),
    )
    await wan_mood(sim, rng, "cut", rng.uniform(60, 180), way="eth")
    narrow.loss, narrow.latency_s = before


async def fail_over(sim: Sim, rng: random.Random) -> None:
    """The wide path is lost for minutes. Left alone, the session moves and a fire is told in brief; `rest` asks for the return."""
    observer, alone = sim.observer, sim.company == {"fail over"}
    mood = rng.choice(("cut", "gone", "down_lost"))
    losing = asyncio.get_running_loop().create_task(
        wan_mood(sim, rng, mood, rng.uniform(MOVED_S + TOLD_S + 20.0, 300.0), way="eth")
    )
    if alone:
        lost_s = sim.world.now_s
        await sim.until(lambda: sim.path == "nb", MOVED_S, why="the session did not move to the path that works")
        observer.waits_s["moves"].append(sim.world.now_s - lost_s)
        observer.counts["moves"] += 1
        before = set(observer.accepted)

        def told() -> bool:
            fresh = [name for name in observer.accepted if name not in before and name[1] == "alarm"]
            return bool(fresh) and all(name in observer.briefs or name not in observer.owed for name in fresh)

        fire = asyncio.get_running_loop().create_task(closes(sim, random.Random(rng.getrandbits(64)), sure=True))
        await sim.until(told, TOLD_S, why="an alarm was not told over the path that works")
        await fire
    await losing


# -- a modem -----------------------------------------------------------------------------------------------------------
async def modem_sim_card(sim: Sim, rng: random.Random) -> None:
    """Its SIM is out, locked, or broken."""
    await _modem_is(sim, rng, "sim", rng.choice(("absent", "pin", "puk", "failure")), "ready")


async def modem_network(sim: Sim, rng: random.Random) -> None:
    """The network does not want it, or is not there."""
    await _modem_is(sim, rng, "network", rng.choice(("denied", "searching", "blocked", "emergency")), "home")


async def _modem_is(sim: Sim, rng: random.Random, what: str, bad: str, good: str) -> None:
    modem = sim.modem
    assert modem is not None
    lasts_s = rng.choice((rng.uniform(10, 60), NARROW_S + rng.uniform(30, 100)))
    setattr(modem, what, bad)
    if bad == "blocked":  # the network throws it out, and does not take it again
        modem.attached = False
        modem.drop_context()
    await _seen(sim, f"modem {bad}", lasts_s, *shown(sim, "nb"))
    setattr(modem, what, good)


async def modem_wedged(sim: Sim, rng: random.Random, mood: str) -> None:
    """hung: it answers nothing. deaf: it says that all is well and carries nothing. Only its power pin brings it back."""
    modem = sim.modem
    assert modem is not None
    setattr(modem, mood, True)
    cuts, waited_s = modem.power_cuts, 0.0
    while modem.power_cuts == cuts and waited_s < LADDER_S:
        await sim.lasting(10.0)
        waited_s += 10.0
    if modem.power_cuts == cuts:
        sim.wrong("I6", f"a modem that is {mood} was not cut off from its power within {LADDER_S:.0f} s")
    await sim.lasting(30.0)


async def modem_talks(sim: Sim, rng: random.Random) -> None:
    """Noise on its line, announcements inside answers, none at all, or answers that take seconds."""
    modem = sim.modem
    assert modem is not None
    modem.garbage, modem.storm = rng.choice((0.0, 0.2, 0.5)), rng.random() < 0.5
    modem.mute, modem.slow_s = rng.random() < 0.3, rng.choice((0.0, 0.0, 2.0))
    await sim.lasting(rng.uniform(20, 120))
    modem.garbage, modem.storm, modem.mute, modem.slow_s = 0.0, False, False, 0.0


async def modem_stumbles(sim: Sim, rng: random.Random) -> None:
    """It restarts by itself, loses its bearer, loses count of its sockets, or its cable is out for a moment."""
    modem = sim.modem
    assert modem is not None
    for _ in range(rng.randint(1, 3)):
        what = rng.randrange(4)
        if what == 0:
            modem.restart_soon()
        elif what == 1:
            modem.drop_context()
        elif what == 2:
            modem.leaked |= set(range(7))
        else:
            cable = sim.machine.cables[MODEM_PORT]
            cable.unplug()
            await sim.lasting(rng.uniform(1, 30))
            cable.plug()
        await sim.lasting(rng.uniform(5, 60))


LADDER_S = 1200.0  # reopen, bearer, radio, restart, power, with their waits, from the first echo that was lost


# -- a GB/T 26875.3 centre ---------------------------------------------------------------------------------------------
async def gb_errs(sim: Sim, rng: random.Random) -> None:
    """Something of its fault menu, always or now and then."""
    gb = sim.gb
    assert gb is not None
    for name in rng.sample(FAULTS, rng.choice((1, 1, 2, 3))):
        gb.menu.add(name, chance=rng.choice((0.3, 0.6, 1.0)))
    await sim.lasting(rng.uniform(20, 150))
    gb.menu.clear()


async def gb_asks(sim: Sim, rng: random.Random) -> None:
    """It reads the state of the device, its systems and components."""
    gb = sim.gb
    assert gb is not None
    for _ in range(rng.randint(1, 3)):
        answered = await gb.ask(rng.choice((61, 62, 81)))
        sim.observer.counts["GB answers" if answered else "GB questions lost"] += 1
        await sim.lasting(rng.uniform(0.1, 20))
