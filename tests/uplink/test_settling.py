"""A session that confirms record by record (GB/T 26875.3), and centres that get less than everything."""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sized
from pathlib import Path
from typing import Any

import pytest

from buffer.records import Priority
from edge_agent.config.uplinks import Gb26875, Uplink
from edge_agent.tasks import end
from edge_agent.uplink.contract import Ack, Batch, StreamAck
from edge_agent.uplink.destination import Destination
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.link import LinkError, Receiver, Session
from edge_agent.uplink.parts import Parts
from edge_agent.uplink.settling import DECLINES_MAX
from edge_agent.uplink.source import Source
from edge_agent.uplink.stream import Flight
from tests.uplink.site import CLOCK, MemoryJournal, event_body
from tests.waiting import until

pytestmark = pytest.mark.asyncio


async def no_core(do: str, **params: object) -> object:
    return None


class PartsOf:
    """A link and session that hand what they are given to the test."""

    brief = sparing = False
    beside_bytes = 0
    withheld = frozenset[Priority]()
    max_bytes, window, waits_s = 64 * 1024, 8, math.inf

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.flights: list[Flight] = []
        self.states: list[dict[str, object] | None] = []
        self.cores: list[bool] = []  # whether each of them called the core present
        self.closed: asyncio.Future[LinkError] = asyncio.get_running_loop().create_future()

    async def open(self, receiver: Receiver) -> Session:
        self.receiver = receiver
        return self

    def encode(self, batch: Batch) -> Sized:
        return b"x"

    def send(self, flight: Flight, payload: Any) -> None:
        self.flights.append(flight)

    def send_state(self, snapshot: dict[str, object] | None, *, core: bool, alarm_waits: bool) -> bool:
        self.states.append(snapshot)
        self.cores.append(core)
        return not alarm_waits

    async def close(self) -> None:
        pass

    def ranges(self) -> list[tuple[int, int]]:
        return [(flight.batch.first, flight.batch.last) for flight in self.flights]


class Told:
    """What the core would hear."""

    def __init__(self) -> None:
        self.confirmed: dict[tuple[str, Priority], int] = {}
        self.ids: list[str] = []
        self.states: list[tuple[bool, str]] = []
        self.faults: list[str] = []
        self.looks = 0

    def unseen(self) -> None:
        self.looks += 1

    def confirm(self, destination: str, epoch: str, priority: Priority, through: int) -> None:
        self.confirmed[epoch, priority] = through

    def delivered(self, destination: str, event_ids: list[str]) -> None:
        self.ids += event_ids

    def uplink_state(self, destination: str, up: bool, reason: str, **detail: object) -> None:
        self.states.append((up, reason))

    def fault(self, destination: str, what: str, **params: object) -> None:
        self.faults.append(what)


async def _no_snapshot() -> None:
    return None


@contextlib.asynccontextmanager
async def serving(
    directory: Path,
    journal: MemoryJournal,
    uplink: Uplink,
    snapshot: Callable[[], Awaitable[dict[str, object] | None]] = _no_snapshot,
) -> AsyncIterator[tuple[Destination, PartsOf, Told, Ledger]]:
    ledger, link, told = Ledger.open(directory / "delivery.db"), PartsOf(), Told()
    source = Source(lambda: journal)
    parts = Parts(
        link=link,
        source=source,
        ledger=ledger,
        reports=told,
        clock=CLOCK,
        rng=random.Random(1),
        snapshot=snapshot,
        ask=no_core,
        restamp=lambda body: body,
        unseen=told.unseen,
    )
    destination = Destination(uplink, parts)
    task = asyncio.create_task(destination.run())
    try:
        yield destination, link, told, ledger
    finally:
        await end(task)
        source.close()
        ledger.close()


def journal_of(**counts: int) -> MemoryJournal:
    journal = MemoryJournal()
    for stream, count in counts.items():
        for n in range(1, count + 1):
            journal.append(Priority[stream.upper()], event_body(n))
    return journal


def poll(destination: Destination, journal: MemoryJournal) -> None:
    destination.join(journal.heads())
    for (epoch, priority), head in journal.heads().items():
        destination.grow(epoch, priority, head)


COUNTY = Uplink(id="county", host="127.0.0.1", port=1, protocol="gb26875", gb26875=Gb26875(source="1"))
CITY = Uplink(id="city", host="127.0.0.1", port=1)


async def test_what_is_settled_is_delivered_though_the_rest_of_its_batch_is_not(tmp_path: Path) -> None:
    journal = journal_of(alarm=10)
    async with serving(tmp_path, journal, COUNTY) as (destination, link, told, ledger):
        poll(destination, journal)
        await until(lambda: link.flights)
        flight = link.flights[0]
        assert (flight.batch.first, flight.batch.last) == (1, 10)
        destination.settling.settled(flight, 1, 4)
        destination.settling.settled(flight, 7, 8)
        assert told.confirmed == {("e1", Priority.ALARM): 4}
        assert told.ids == [f"{CLOCK.boot_id}-{n}" for n in (1, 2, 3, 4, 7, 8)]
        destination.settling.finished(flight)
        await until(lambda: len(link.flights) == 3)
        assert link.ranges()[1:] == [(5, 6), (9, 10)]
        assert ledger.flush()
    again = Ledger.open(tmp_path / "delivery.db")
    assert again.load("county") == {("e1", Priority.ALARM): Intervals([(1, 4), (7, 8)])}
    again.close()


async def test_a_core_that_is_slow_to_say_what_is_so_holds_no_alarm_back_and_is_not_called_absent(
    tmp_path: Path,
) -> None:
    asked, said = 0, asyncio.Event()

    async def snapshot() -> dict[str, object]:
        nonlocal asked
        asked += 1
        if asked > 1:  # after the storm
            await said.wait()
        return {"asked": asked}

    journal = journal_of(alarm=1)
    async with serving(tmp_path, journal, CITY, snapshot) as (destination, link, _, _):
        poll(destination, journal)
        await until(lambda: link.flights)
        assert link.states == [{"asked": 1}], "in short, for the alarm"
        destination.settling.settled(link.flights[0], 1, 1)
        destination.settling.finished(link.flights[0])
        await until(lambda: asked == 2)
        destination.alarm("e1", 2, event_body(2))
        await until(lambda: len(link.flights) == 2)
        assert link.states == [{"asked": 1}]
        destination.settling.settled(link.flights[1], 2, 2)
        destination.settling.finished(link.flights[1])
        said.set()
        await until(lambda: len(link.states) == 2)
        assert link.states[1] == {"asked": 2}


async def test_a_core_that_is_slow_when_a_centre_connects_is_not_called_absent_and_holds_up_no_record(
    tmp_path: Path,
) -> None:
    said = asyncio.Event()

    async def snapshot() -> dict[str, object]:
        await said.wait()
        return {"alarms": []}

    journal = journal_of(alarm=1, fault=1)
    async with serving(tmp_path, journal, CITY, snapshot) as (destination, link, _, _):
        poll(destination, journal)
        await until(lambda: len(link.flights) == 2, "the alarm and the fault")
        for flight in link.flights:
            destination.settling.settled(flight, 1, 1)
            destination.settling.finished(flight)
        assert (link.states, link.cores) == ([None], [True])
        said.set()
        await until(lambda: len(link.states) == 2)
        assert (link.states[1], link.cores) == ({"alarms": []}, [True, True])


async def test_a_state_that_is_doubted_while_the_core_is_asked_for_it_is_shown_once_more(tmp_path: Path) -> None:
    """The answer may be of before what gave rise to the doubt."""
    asked, said = 0, asyncio.Event()
    said.set()

    async def snapshot() -> dict[str, object]:
        nonlocal asked
        asked += 1
        mine = asked
        await said.wait()
        return {"asked": mine}

    async with serving(tmp_path, journal_of(), CITY, snapshot) as (_, link, _, _):
        await until(lambda: link.states == [{"asked": 1}])
        said.clear()
        assert link.receiver is not None
        link.receiver.unsure()
        await until(lambda: asked == 2)
        link.receiver.unsure()
        said.set()
        await until(lambda: link.states == [{"asked": n} for n in (1, 2, 3)])


async def test_a_core_that_is_not_there_is_called_absent_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, journal_of(alarm=1), CITY) as (_, link, _, _):
        await until(lambda: link.states)
        assert (link.states, link.cores) == ([None], [False])


async def test_a_record_declined_again_and_again_is_put_aside_and_never_holds_up_the_rest(tmp_path: Path) -> None:
    journal = journal_of(alarm=3)
    async with serving(tmp_path, journal, COUNTY) as (destination, link, told, ledger):
        poll(destination, journal)
        seen = 0
        while not told.faults:  # the centre takes all but number 2
            await until(lambda: len(link.flights) > seen)  # noqa: B023 - awaited here
            flight = link.flights[seen]
            seen += 1
            for n, _ in flight.batch.records:
                if n == 2:
                    destination.settling.declined(flight, n, "denied")
                else:
                    destination.settling.settled(flight, n, n)
            destination.settling.finished(flight)
        assert told.faults == ["record_refused"]
        assert sum((2 in [n for n, _ in flight.batch.records]) for flight in link.flights) == DECLINES_MAX
        await until(lambda: link.flights[-1].batch.gaps == [(2, 2, "refused")])
        destination.settling.settled(link.flights[-1], 2, 2)
        assert told.confirmed == {("e1", Priority.ALARM): 3}
        assert ledger.flush()
        assert [(r.name.n, r.why) for r in ledger.refused("county")] == [(2, "denied")]


async def test_a_centre_that_declines_everything_is_down_and_loses_nothing(tmp_path: Path) -> None:
    journal = journal_of(alarm=2)
    async with serving(tmp_path, journal, COUNTY) as (destination, link, told, _):
        poll(destination, journal)
        declined = {1: 0, 2: 0}
        seen = 0
        while min(declined.values()) <= DECLINES_MAX:
            await until(lambda: len(link.flights) > seen)  # noqa: B023 - awaited here
            flight = link.flights[seen]
            seen += 1
            for n, _ in flight.batch.records:
                declined[n] += 1
                destination.settling.declined(flight, n, "denied")
            destination.settling.finished(flight)
        assert told.states[-1] == (False, "centre_denies")
        assert told.faults == []
        assert destination.outbox.pending(Priority.ALARM) == 2


async def test_streams_a_centre_does_not_get_are_never_sent_and_hold_no_retention(tmp_path: Path) -> None:
    journal = journal_of(alarm=2, status=7, telemetry=9)
    uplink = Uplink(id="city", host="127.0.0.1", port=1, streams=("alarm",))
    async with serving(tmp_path, journal, uplink) as (destination, link, told, _):
        poll(destination, journal)
        await until(lambda: link.flights)
        assert told.confirmed == {("e1", Priority.STATUS): 7, ("e1", Priority.TELEMETRY): 9}
        destination.alarm("mem-x", 1, event_body(3))
        await until(lambda: len(link.flights) == 2)
        assert {flight.batch.priority for flight in link.flights} == {Priority.ALARM}


async def test_the_first_ledger_owes_everybody_everything(tmp_path: Path) -> None:
    journal = journal_of(alarm=5)
    async with serving(tmp_path, journal, COUNTY) as (destination, link, _, _):
        poll(destination, journal)
        await until(lambda: link.flights)
        assert link.ranges() == [(1, 5)]


async def test_a_gb_centre_new_to_the_ledger_begins_now_and_an_alarm_of_this_moment_is_not_history(
    tmp_path: Path,
) -> None:
    journal = journal_of(alarm=5, fault=4)
    async with serving(tmp_path, journal, CITY) as (_, _, _, ledger):
        assert ledger.flush()
    async with serving(tmp_path, journal, COUNTY) as (destination, link, told, ledger):
        journal.append(Priority.ALARM, event_body(6))
        destination.alarm("e1", 6, event_body(6))  # the core's wake-up comes before the first look at the journal
        await until(lambda: link.flights)
        poll(destination, journal)
        assert told.confirmed == {("e1", Priority.ALARM): 5, ("e1", Priority.FAULT): 4}
        journal.append(Priority.FAULT, event_body(7))
        poll(destination, journal)
        await until(lambda: len(link.flights) == 2)
        assert link.ranges() == [(6, 6), (5, 5)]
        assert ledger.flush()
    async with serving(tmp_path, journal, COUNTY) as (destination, link, _, _):  # it is known now: nothing is passed by
        poll(destination, journal)
        await until(lambda: len(link.flights) == 2)
        assert link.ranges() == [(6, 6), (5, 5)]


async def test_an_mqtt_centre_new_to_the_ledger_gets_history_marked_as_replay(tmp_path: Path) -> None:
    journal = journal_of(alarm=5)
    async with serving(tmp_path, journal, COUNTY) as (_, _, _, ledger):
        assert ledger.flush()
    async with serving(tmp_path, journal, CITY) as (destination, link, _, _):
        poll(destination, journal)
        await until(lambda: link.flights)
        destination.alarm("e1", journal.append(Priority.ALARM, event_body(6)), event_body(6))
        await until(lambda: len(link.flights) == 2)
        assert link.ranges() == [(1, 5), (6, 6)]
        assert [flight.batch.replay for flight in link.flights] == [True, False], "what happens now is no replay"


async def test_a_centre_with_another_address_keeps_its_ledger(tmp_path: Path) -> None:
    journal = journal_of(alarm=5)
    async with serving(tmp_path, journal, COUNTY) as (destination, link, _, ledger):
        poll(destination, journal)
        await until(lambda: link.flights)
        destination.settling.settled(link.flights[0], 1, 3)
        assert ledger.flush()
    moved = Uplink(id="county", host="10.9.8.7", port=9, protocol="gb26875", gb26875=Gb26875(source="7"))
    async with serving(tmp_path, journal, moved) as (destination, link, _, _):
        poll(destination, journal)
        await until(lambda: link.flights)
        assert link.ranges() == [(4, 5)]


async def test_what_a_person_has_to_see_reaches_the_core(tmp_path: Path) -> None:
    async with serving(tmp_path, journal_of(alarm=1), COUNTY) as (destination, _, told, _):
        destination.settling.noticed("gb_out_of_range", point="meter1/leak_ma")
        assert told.faults == ["gb_out_of_range"]


async def test_a_centre_that_has_alarms_no_batch_of_ours_carried_makes_the_lamps_be_looked_up(tmp_path: Path) -> None:
    """Found by tests/sim: the ledger's last word went with the power, the centre's ack to our `state` came before the batch, and
    the fire lamp flashed for ever beside "the centre does not confirm".
    """
    journal = journal_of(alarm=3)
    async with serving(tmp_path, journal, CITY) as (destination, link, told, _):
        poll(destination, journal)
        await until(lambda: link.flights)
        destination.settling.answered(Ack((StreamAck("e1", Priority.ALARM, 3, 3, ()),), (), ()))
        assert told.ids == [f"{CLOCK.boot_id}-{n}" for n in (1, 2, 3)]
        assert told.looks == 0, "what a batch of ours carried needs no look"
        for n in (4, 5):
            journal.append(Priority.ALARM, event_body(n))
        destination.outbox.grow("e1", Priority.ALARM, 5)  # known, and not yet sent
        destination.settling.answered(Ack((StreamAck("e1", Priority.ALARM, 5, 5, ()),), (), ()))
        assert told.looks == 1


async def test_after_a_loss_in_silence_others_go_first_until_an_alarm_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, opened = journal_of(), list[Receiver]()

    async def again(receiver: Receiver) -> Session:
        opened.append(receiver)
        return PartsOf()

    async with serving(tmp_path, journal, CITY) as (destination, link, _, _):
        await until(lambda: link.states, "a session")
        monkeypatch.setattr(link, "open", again)
        link.closed.set_result(LinkError("half_open", again=True, spread_s=1e9))
        await until(lambda: destination._session is None, "it is over")
        turns = destination.progress()
        await until(lambda: destination.progress() > turns + 1, "the worker lives meanwhile")
        assert opened == []
        destination.alarm(journal.epoch, journal.append(Priority.ALARM, event_body(1)), event_body(1))
        await until(lambda: opened, "at once")
