"""Each invariant can fail: a bug of its kind, planted in the agent, is found and named."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from buffer.owner import Owner
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.annunciator import Annunciator
from edge_agent.core import Core
from edge_agent.keeper import Keeper
from edge_agent.uplink.destination import Destination
from edge_agent.uplink.outbox import Outbox
from tests.sim import story
from tests.sim.observer import Violation
from tests.sim.sim import Sim

Plant = Callable[[pytest.MonkeyPatch], None]


def takes_the_brokers_word(patch: pytest.MonkeyPatch) -> None:
    """PUBACK counts as confirmation."""

    def taken(self: Destination, flight: Any) -> None:
        before = flight.stream.done.through
        confirmed = self.outbox.settle(flight.stream, flight.batch.first, flight.batch.last)
        self._confirmed(flight.stream, confirmed, before)

    patch.setattr(Destination, "taken", taken)


def promises_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    """The journal names a record, and then does not write it."""

    def commit(self: Owner[Any], batch: Any, lost: Any, now_ns: int) -> bool:
        store = self.store
        if store is None:
            return False
        for ticket in batch:
            store.heads[ticket.priority] = n = store.heads[ticket.priority] + 1
            ticket.give(store.epoch, n)
        return True

    patch.setattr(Owner, "commit", commit)


def drops_an_alarm(patch: pytest.MonkeyPatch) -> None:
    """The keeper loses every third alarm on the way to the journal."""
    real, count = Keeper.keep, [0]

    def keep(self: Keeper, events: Any, state: Any) -> None:
        count[0] += 1
        if count[0] % 3 or not events or events[0].kind.value != "fire":
            real(self, events, state)

    patch.setattr(Keeper, "keep", keep)


def invents_a_fire(patch: pytest.MonkeyPatch) -> None:
    """What a contact says once is told twice, as two events."""
    real = Core._decide

    def decide(self: Core, events: Any, changes: Any, now_ns: int) -> None:
        twins = [
            self.new_event(e.kind, e.point, True, now_ns, source=e.source, grade=e.grade)
            for e in events
            if e.kind.value == "fire" and e.active
        ]
        real(self, [*events, *twins], changes, now_ns)

    patch.setattr(Core, "_decide", decide)


def swaps_the_order(patch: pytest.MonkeyPatch) -> None:
    """Records that wait together are written newest first."""
    real = Owner.commit

    def commit(self: Owner[Any], batch: Any, lost: Any, now_ns: int) -> bool:
        return bool(real(self, list(batch)[::-1], lost, now_ns))

    patch.setattr(Owner, "commit", commit)


def waits_for_the_journal(patch: pytest.MonkeyPatch) -> None:
    """The lines are driven once the change is durable: right, as long as the card is quick."""
    real = Core._sound

    def sound(self: Core, now_ns: int) -> None:
        self._loop.call_later(0.0, wait, self, now_ns, self.keeper._in_hand)

    def wait(self: Core, now_ns: int, before: int) -> None:
        if self.keeper._in_hand:
            self._loop.call_later(0.002, wait, self, now_ns, before)
        else:
            real(self, self.now_ns())

    patch.setattr(Core, "_sound", sound)


def shows_no_link_fault(patch: pytest.MonkeyPatch) -> None:
    """The uplink's word that a centre cannot be reached, and the overdue alarm's, go nowhere."""
    patch.setattr(Core, "uplink_state", lambda self, destination, up, reason: None)
    patch.setattr(AlarmMachine, "_judge_unsent", lambda self, now_ns: [])


def never_tries_again(patch: pytest.MonkeyPatch) -> None:
    """A batch that was not confirmed stays on the wire for ever in its books."""
    patch.setattr(Outbox, "back_all", lambda self: None)
    patch.setattr(Destination, "_too_old", lambda self, session, now_s: None)


def leaves_the_lamp(patch: pytest.MonkeyPatch) -> None:
    """A lamp that was lit is never put out."""
    real = Annunciator.apply

    def apply(self: Annunciator, annunciation: Any, now_ns: int) -> None:
        before = self._outputs["link_lamp"].pattern
        real(self, annunciation, now_ns)
        if before.base and not annunciation.link_lamp.base:
            self._outputs["link_lamp"].pattern = before
            self._drive(now_ns)

    patch.setattr(Annunciator, "apply", apply)


Act = Callable[[Sim, random.Random], Any]
cut: Act = partial(story.wan_mood, mood="cut", lasts_s=150.0)
power: Act = partial(story.power, mode="lose", after=12)


async def forgetful_broker(sim: Sim, rng: random.Random) -> None:
    """The centre is away, and the broker that keeps its messages restarts without a disk."""
    centre = sim.centres["county"]
    centre.mood = "away"
    await sim.lasting(45.0)
    sim.brokers["county"].restart(keeps_sessions=False)
    centre.mood = "honest"
    await sim.lasting(1.0)


PLANTED: list[tuple[str, Plant, tuple[Act, ...]]] = [
    ("I1", takes_the_brokers_word, (partial(forgetful_broker),)),
    ("I1", promises_before_the_commit, (power,)),
    ("I1", drops_an_alarm, ()),
    ("I2", invents_a_fire, ()),
    ("I3", swaps_the_order, (partial(story.slow_disk, worst_s=2.0),)),
    ("I4", waits_for_the_journal, (partial(story.slow_disk, worst_s=2.0),)),
    ("I5", shows_no_link_fault, (cut,)),
    ("I6", never_tries_again, (partial(story.lossy, all_of_it=True),)),
    ("I6", leaves_the_lamp, (cut,)),
]


async def many_incidents(sim: Sim, acts: tuple[Act, ...]) -> None:
    """The faults that bring the bug to light, with fires around them, until it shows."""
    await sim.rest_until(60.0)
    for _ in range(8):
        await story.incident(sim, sim.rng, acts=acts, fires=12)


def run(acts: tuple[Act, ...], seed: int = 3) -> Violation | None:
    sim = Sim(seed, kind="contacts", second="")
    return sim.run(0.5, partial(many_incidents, acts=acts)).violation


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("invariant", "plant", "acts"), PLANTED, ids=[plant.__name__ for _, plant, _ in PLANTED])
def test_a_planted_bug_is_found_and_named(
    monkeypatch: pytest.MonkeyPatch, invariant: str, plant: Plant, acts: tuple[Act, ...]
) -> None:
    plant(monkeypatch)
    found = run(acts)
    assert found is not None, plant.__doc__
    assert found.invariant == invariant, found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("acts", [acts for _, _, acts in PLANTED if acts], ids=lambda acts: str(acts[0].func.__name__))
def test_without_the_bug_the_same_runs_hold(acts: tuple[Act, ...]) -> None:
    assert run(acts) is None
