"""Each invariant can fail: a bug of its kind, planted in the agent, is found and named."""

import contextlib
import errno
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest

from buffer.owner import Owner
from buffer.records import Priority
from edge_agent.alarm.machine import AlarmMachine
from edge_agent.annunciator import Annunciator
from edge_agent.core import Core
from edge_agent.keeper import Keeper
from edge_agent.neighbours import Neighbours
from edge_agent.uplink import packed
from edge_agent.uplink.choice import Choice
from edge_agent.uplink.destination import Destination
from edge_agent.uplink.gb26875.forms import Conditions, Form
from edge_agent.uplink.gb26875.plan import Writer
from edge_agent.uplink.gb26875.session import GbSession
from edge_agent.uplink.modem import build
from edge_agent.uplink.modem.ladder import Ladder
from edge_agent.uplink.outbox import Outbox
from edge_agent.uplink.packed_link import _PackedSession
from edge_agent.uplink.sender import Sender
from edge_agent.uplink.settling import Settling
from simulators.centre.gb_faults import FaultName
from tests.sim import story, wires
from tests.sim.field import panel_speaks
from tests.sim.observer import Violation
from tests.sim.sim import CONTACT_LINES, Sim

Plant = Callable[[pytest.MonkeyPatch], None]


def takes_the_brokers_word(patch: pytest.MonkeyPatch) -> None:
    """PUBACK counts as confirmation."""

    def taken(self: Settling, flight: Any) -> None:
        before = flight.stream.done.through
        confirmed = self._outbox.settle(flight.stream, flight.batch.first, flight.batch.last)
        self._confirm(flight.stream, confirmed, before)

    patch.setattr(Settling, "taken", taken)


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


def passes_those_refused(patch: pytest.MonkeyPatch) -> None:
    """An alarm does not wait behind those the card has refused."""
    patch.setattr(Keeper, "_line_up", Keeper._offer)


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
    patch.setattr(Neighbours, "uplink_state", lambda self, destination, up, reason: None)
    patch.setattr(AlarmMachine, "_judge_unsent", lambda self, now_ns: [])


def never_tries_again(patch: pytest.MonkeyPatch) -> None:
    """A batch that was not confirmed stays on the wire for ever in its books."""
    patch.setattr(Outbox, "back_all", lambda self: None)
    patch.setattr(Destination, "_too_old", lambda self, session, now_s: None)


def says_it_otherwise(patch: pytest.MonkeyPatch) -> None:
    """What goes again is not what went before. The centre keeps the first, so that its records do not show it."""
    real = Sender._send

    def send(self: Sender, session: Any, batch: Any) -> None:
        told = [(n, body.replace(b'"contact0"', b'"contact2"')) for n, body in batch.records]
        real(self, session, replace(batch, records=told) if batch.dup else batch)

    patch.setattr(Sender, "_send", send)


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


def takes_a_denial_for_a_confirm(patch: pytest.MonkeyPatch) -> None:
    """A frame the GB centre said no to is done with."""
    patch.setattr(GbSession, "_denied", GbSession._confirmed)


def takes_silence_for_a_confirm(patch: pytest.MonkeyPatch) -> None:
    """A frame the GB centre never answered is done with."""

    def timed_out(self: GbSession, exchange: Any) -> None:
        self._timers.pop(exchange.serial, None)
        self._exchanges.confirm(exchange.serial)
        exchange.confirmed()
        self._pump()

    patch.setattr(GbSession, "_timed_out", timed_out)


def speaks_of_another_component(patch: pytest.MonkeyPatch) -> None:
    """The number of a component is one too high."""
    real = Writer.address
    patch.setattr(Writer, "address", lambda self, place: real(self, replace(place, point=place.point + 1)))


def forgets_the_recovery(patch: pytest.MonkeyPatch) -> None:
    """What is over stays in the status of its component."""
    real = Conditions.feed

    def feed(self: Conditions, key: Any, member: Any, active: bool, stamp: Any, *, replay: bool) -> Any:
        return real(self, key, member, active, stamp, replay=replay) if active else self.now(key)

    patch.setattr(Conditions, "feed", feed)


def forgets_the_end_of_a_fault(patch: pytest.MonkeyPatch) -> None:
    """A fault that is over stays in the status of its component, which is told in time and otherwise as it should be."""
    real = Conditions.feed

    def feed(self: Conditions, key: Any, member: Any, active: bool, stamp: Any, *, replay: bool) -> Any:
        over = member[1] == "fault" and not active
        return self.now(key) if over else real(self, key, member, active, stamp, replay=replay)

    patch.setattr(Conditions, "feed", feed)


def forgets_what_stands_when_it_reconnects(patch: pytest.MonkeyPatch) -> None:
    """Behind a new connection the centre is shown that all is quiet. Each record has been told, and nothing burns there."""
    real = Conditions.snapshot
    patch.setattr(Conditions, "snapshot", lambda self, members, **how: real(self, (), **how))


def leaves_a_system_burning(patch: pytest.MonkeyPatch) -> None:
    """A system that was shown burning is told nothing when the last fire of its components is over: a fault this eye found."""
    real = Writer._remember
    patch.setattr(Writer, "_remember", lambda self, one: real(self, one) if one.form is Form.COMPONENT else None)


def sends_another_reading(patch: pytest.MonkeyPatch) -> None:
    """A value is not what the journal has."""
    real = Sender._send

    def send(self: Sender, session: Any, batch: Any) -> None:
        told = [(n, body.replace(b'_ma":', b'_ma":1')) for n, body in batch.records]
        real(self, session, replace(batch, records=told) if batch.priority is Priority.TELEMETRY else batch)

    patch.setattr(Sender, "_send", send)


def declares_readings_gone(patch: pytest.MonkeyPatch) -> None:
    """Readings that are in the journal are told to be gone from it."""
    real = Outbox.compose

    def compose(self: Outbox, want: Any, found: Any) -> Any:
        gone = want.stream.priority is Priority.TELEMETRY
        return real(self, want, replace(found, records=[], whole=True, sure=True) if gone else found)

    patch.setattr(Outbox, "compose", compose)


def takes_a_brief_for_the_record(patch: pytest.MonkeyPatch) -> None:
    """What was told over packed frames is not sent in full any more."""
    real = Outbox.__init__

    def init(self: Outbox, *args: Any, **more: Any) -> None:
        real(self, *args, **more | {"brief_is_all": True})

    patch.setattr(Outbox, "__init__", init)


def stays_on_a_dead_path(patch: pytest.MonkeyPatch) -> None:
    """The best path is the only one that is tried."""
    patch.setattr(Choice, "candidates", lambda self, now_s: [self.rules[0].id])


def never_returns(patch: pytest.MonkeyPatch) -> None:
    """A path that was lost is never used again while another one works."""
    patch.setattr(Choice, "better", lambda self, now_s: None)


def hears_nothing_of_a_closed_socket(patch: pytest.MonkeyPatch) -> None:
    """A socket that the modem has closed is read for ever: the fault this simulation was first to find."""
    real = _PackedSession._readable

    def readable(self: _PackedSession) -> None:
        if self._sock.type != socket.SOCK_SEQPACKET:
            real(self)
            return
        with contextlib.suppress(BlockingIOError):
            while frame := self._sock.recv(2048):
                self._take(*packed.unseal(self._settings.key, frame))

    patch.setattr(_PackedSession, "_readable", readable)


def has_no_power_rung(patch: pytest.MonkeyPatch) -> None:
    """The ladder of a wedged modem ends before its power pin."""
    patch.setattr(build, "ladder_of", lambda link: Ladder(enabled=frozenset({"reopen", "bearer", "radio", "restart"})))


def drops_of_a_storm(patch: pytest.MonkeyPatch) -> None:
    """Of many alarms in a row one goes missing."""
    real, count = Keeper.keep, [0]

    def keep(self: Keeper, events: Any, state: Any) -> None:
        count[0] += bool(events) and events[0].kind.value == "fire" and events[0].source == "panel1"
        if count[0] % 100 != 99:
            real(self, events, state)

    patch.setattr(Keeper, "keep", keep)


Act = Callable[[Sim, random.Random], Any]
full: Act = partial(story.disk_fails, code=errno.ENOSPC)
lossy: Act = partial(wires.lossy, all_of_it=True)
cut: Act = partial(wires.wan_mood, mood="cut", lasts_s=150.0)
power: Act = partial(story.power, mode="lose", after=12)
slow: Act = partial(story.slow_disk, worst_s=2.0)


async def forgetful_broker(sim: Sim, rng: random.Random) -> None:
    """The centre is away, and the broker that keeps its messages restarts without a disk."""
    centre = sim.centres["county"]
    centre.mood = "away"
    await sim.lasting(45.0)
    sim.brokers["county"].restart(keeps_sessions=False)
    centre.mood = "honest"
    await sim.lasting(1.0)


async def gb_menu(sim: Sim, rng: random.Random, name: FaultName) -> None:
    """One entry of the GB centre's fault menu, every second time."""
    assert sim.gb is not None
    sim.gb.menu.add(name, chance=0.5)
    await sim.lasting(60.0)
    sim.gb.menu.clear()


async def gb_lost(sim: Sim, rng: random.Random) -> None:
    """The connection to the GB centre falls while a contact is closed, and is made anew."""
    assert sim.gb is not None
    sim.gb.stays.append(2)
    sim.observer.activated("contact2")
    sim.machine.wire(CONTACT_LINES[2], True)
    await sim.lasting(5.0)
    await sim.until(sim.at_rest, 60.0, why="the fire is told")
    sim.ways["gb"][0].reset()
    await sim.lasting(5.0)


async def panel_fault(sim: Sim, rng: random.Random) -> None:
    """A detector of the panel is faulty; the panel is reset afterwards."""
    assert sim.panel is not None
    sim.panel.event("fault", "001001")
    await sim.lasting(2.0)


async def readings(sim: Sim, rng: random.Random) -> None:
    """The meters are read, and their first readings kept."""
    await sim.lasting(40.0)


async def fail_over(sim: Sim, rng: random.Random) -> None:
    """The wide path is lost, and nothing else."""
    sim.company = {"fail over"}
    await wires.fail_over(sim, rng)


@dataclass(frozen=True)
class Planted:
    """A bug, the faults that bring it to light, the site it is planted in, and the invariant that must be named."""

    invariant: str
    plant: Plant
    acts: tuple[Act, ...] = ()
    site: dict[str, str] = field(default_factory=dict)
    incidents: int = 8
    fires: int = 12


GB = {"second": "gb"}
METERS = {"kind": "meters"}
PATHS, MODEM = {"links": "paths"}, {"links": "modem"}
PLANTED = [
    Planted("I1", takes_the_brokers_word, (forgetful_broker,)),
    Planted("I1", promises_before_the_commit, (power,)),
    Planted("I1", drops_an_alarm),
    Planted("I2", invents_a_fire),
    Planted("I3", swaps_the_order, (slow,)),
    Planted("I3", passes_those_refused, (full,), {"kind": "panel"}),
    Planted("I4", waits_for_the_journal, (slow,)),
    Planted("I5", shows_no_link_fault, (cut,)),
    Planted("I6", never_tries_again, (lossy,)),
    Planted("I1", says_it_otherwise, (lossy,)),
    Planted("I6", leaves_the_lamp, (cut,)),
    Planted("I1", takes_a_denial_for_a_confirm, (partial(gb_menu, name="deny"),), GB, 2),
    Planted("I1", takes_silence_for_a_confirm, (partial(gb_menu, name="silent"),), GB, 2),
    Planted("I2", speaks_of_another_component, (), GB, 1),
    Planted("I6", forgets_the_recovery, (), GB, 1),
    Planted("I6", forgets_the_end_of_a_fault, (panel_fault,), GB | {"kind": "panel"}, 1, 1),
    Planted("I1", forgets_what_stands_when_it_reconnects, (gb_lost,), GB, 1, 1),
    Planted("I6", leaves_a_system_burning, (gb_lost,), GB, 1, 1),
    Planted("I1", sends_another_reading, (readings,), METERS, 1, 1),
    Planted("I1", declares_readings_gone, (readings,), METERS, 1, 1),
    Planted("I1", takes_a_brief_for_the_record, (fail_over,), PATHS, 1),
    Planted("I6", stays_on_a_dead_path, (fail_over,), PATHS, 1),
    Planted("I6", never_returns, (fail_over,), PATHS, 1),
    Planted("I6", has_no_power_rung, (partial(wires.modem_wedged, mood="hung"),), MODEM, 1, 2),
    Planted("crash", hears_nothing_of_a_closed_socket, (fail_over, wires.modem_stumbles), MODEM, 1),
    Planted("I1", drops_of_a_storm, (partial(panel_speaks, lines=150),), {"kind": "panel"}, 1, 1),
]
HOLD = {(one.acts, *one.site.items()): one for one in PLANTED if one.acts}.values()  # each of these runs once


async def many_incidents(sim: Sim, one: Planted) -> None:
    """The faults that bring the bug to light, with fires around them, until it shows."""
    await sim.rest_until(60.0)
    for _ in range(one.incidents):
        await story.incident(sim, sim.rng, acts=one.acts, fires=one.fires)


def run(one: Planted, seed: int = 3) -> Violation | None:
    sim = Sim(seed, **{"kind": "contacts", "second": "none", "links": "none"} | one.site)  # type: ignore[arg-type]
    return sim.run(0.5, partial(many_incidents, one=one)).violation


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", PLANTED, ids=lambda one: one.plant.__name__)
def test_a_planted_bug_is_found_and_named(monkeypatch: pytest.MonkeyPatch, one: Planted) -> None:
    one.plant(monkeypatch)
    found = run(one)
    assert found is not None, one.plant.__doc__
    assert found.invariant == one.invariant, found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("one", HOLD, ids=lambda one: one.plant.__name__)
def test_without_the_bug_the_same_runs_hold(one: Planted) -> None:
    assert run(one) is None
