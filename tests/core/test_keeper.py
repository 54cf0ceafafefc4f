"""Events between the alarm machine and the journal: kept, pushed, and held in memory while the medium is dead."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from buffer.journal import Ticket
from buffer.records import Priority
from edge_agent.keeper import OFFERED_AT_ONCE, SLOW_S, Keeper
from edge_agent.model import Clock, Event, Instant, Kind
from tests.waiting import until


class ScriptedJournal:
    """Settles tickets when told to, as the writer thread would."""

    def __init__(self) -> None:
        self.tickets: list[tuple[Ticket, Callable[[Ticket], None]]] = []
        self.count = 0
        self.at_once = False  # a card so fast that the loop has not moved on

    def append(
        self,
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
        stops: int | None = None,
    ) -> Ticket:
        ticket = Ticket(priority, body, 0, state, on_durable)
        if on_durable is not None:
            self.tickets.append((ticket, on_durable))
        if self.at_once:
            self.settle()
        return ticket

    def waiting(self) -> list[str]:
        return [json.loads(ticket.body)["id"] for ticket, _ in self.tickets]

    def settle(self, error: str = "") -> None:
        tickets, self.tickets = self.tickets, []
        for ticket, on_durable in tickets:
            if error:
                ticket.error = error
            else:
                self.count += 1
                ticket.give("v-1", self.count)
            on_durable(ticket)


def event(number: int, kind: Kind = Kind.FIRE) -> Event:
    at = Instant("boot", number, number, Clock.SYNCED)
    return Event(id=f"e-{number}", kind=kind, point="p", active=True, at=at)


class Site:
    def __init__(self, mandatory: tuple[str, ...] = ("county",)) -> None:
        self.journal = ScriptedJournal()
        self.pushed: list[tuple[str, dict[str, object]]] = []
        self.keeper = Keeper(
            self.journal,
            push=lambda what, message: self.pushed.append((what, dict(message))),
            memory_epoch="mem-1",
            mandatory=mandatory,
        )

    def records(self) -> list[tuple[object, object]]:
        return [(m["epoch"], m["n"]) for what, m in self.pushed if what == "journal"]


async def turn() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_nothing_is_pushed_as_kept_before_it_is_durable() -> None:
    site = Site()
    site.keeper.keep([event(1)], {})
    await turn()
    assert site.pushed == []
    site.journal.settle()
    await turn()
    assert site.records() == [("v-1", 1)]
    (what, told), _ = site.pushed
    assert what == "event"
    assert told["name"] == {"epoch": "v-1", "stream": "alarm", "n": 1}


@pytest.mark.asyncio
async def test_only_alarms_carry_their_body_to_the_uplink() -> None:
    site = Site()
    site.keeper.keep([event(1)], {})
    site.keeper.keep([event(2, Kind.FAULT)], {})
    site.journal.settle()
    await turn()
    bodies = [m.get("body") for what, m in site.pushed if what == "journal"]
    assert isinstance(bodies[0], str)
    assert json.loads(bodies[0])["id"] == "e-1"
    assert bodies[1] is None


@pytest.mark.asyncio
async def test_an_alarm_the_journal_refuses_travels_from_memory_and_is_kept_once_the_medium_is_back() -> None:
    site = Site()
    site.keeper.keep([event(1)], {"a": b"1"})
    site.journal.settle(error="io")
    await turn()
    assert site.records() == [("mem-1", 1)]
    assert site.keeper.memory_alarms == 1
    site.keeper.retry()
    ticket, _ = site.journal.tickets[0]
    assert ticket.state == {"a": b"1"}, "the latched state is owed too"
    site.journal.settle()
    await turn()
    assert site.records() == [("mem-1", 1), ("v-1", 1)]


@pytest.mark.asyncio
async def test_an_alarm_that_comes_while_others_are_owed_gets_its_name_behind_them() -> None:
    site = Site()
    for number in (1, 2):
        site.keeper.keep([event(number)], {})
    site.journal.settle(error="readonly")
    await turn()
    site.keeper.keep([event(3)], {})
    await turn()
    assert site.records() == [("mem-1", 1), ("mem-1", 2), ("mem-1", 3)], "it travels at once"
    assert site.journal.waiting() == ["e-1"], "the first of those owed is tried in its stead"
    site.keeper.keep([event(4)], {})
    await turn()
    site.journal.settle()
    await turn()
    assert site.journal.waiting() == ["e-2", "e-3", "e-4"]
    site.keeper.keep([event(5)], {})
    assert site.journal.waiting() == ["e-2", "e-3", "e-4", "e-5"]


@pytest.mark.asyncio
async def test_what_is_refused_again_keeps_its_place_and_does_not_travel_again() -> None:
    site = Site()
    for number in (1, 2, 3):
        site.keeper.keep([event(number)], {})
    site.journal.settle(error="io")
    await turn()
    site.keeper.confirm("county", 3)
    site.keeper.retry()
    site.keeper.keep([event(4)], {})  # in hand behind them, before the refusal is known
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(5)], {})
    await turn()
    site.journal.settle(error="io")
    await turn()
    assert site.records() == [("mem-1", n) for n in (1, 2, 3, 4, 5)]
    assert site.keeper.memory_alarms == 2, "the centre has the first three"
    site.keeper.retry()
    assert site.journal.waiting() == [f"e-{n}" for n in (1, 2, 3, 4, 5)]
    site.journal.settle()
    await turn()
    assert site.records()[5:] == [("v-1", n) for n in (1, 2, 3, 4, 5)]


@pytest.mark.asyncio
async def test_an_alarm_too_long_for_the_journal_keeps_no_other_from_it() -> None:
    site = Site()
    site.keeper.keep([event(1)], {})
    site.journal.settle(error="too_long")
    await turn()
    site.keeper.keep([event(2)], {})
    assert site.journal.waiting() == ["e-2"]
    site.journal.settle()
    await turn()
    site.keeper.retry()
    assert site.journal.waiting() == [], "it is not offered again"


@pytest.mark.asyncio
async def test_an_alarm_that_is_a_bug_of_the_journals_takes_no_other_with_it() -> None:
    site = Site()

    async def settle_with_bug() -> list[str]:
        waiting = site.journal.waiting()
        site.journal.settle(error="bug" if "e-2" in waiting else "")
        await turn()
        return waiting

    site.keeper.keep([event(1), event(2), event(3)], {"a": b"3"})
    offered = [await settle_with_bug() for _ in range(4)]
    assert offered == [["e-1", "e-2", "e-3"], ["e-1"], ["e-2"], ["e-3"]], "one by one it is known whose it is"
    assert await settle_with_bug() == ["e-2"], "it is not forgotten"
    assert site.journal.waiting() == [], "nor tried over and over"
    site.keeper.keep([event(4)], {})
    assert site.journal.waiting() == ["e-4"], "nobody waits behind it"
    kept = list[bool]()
    site.keeper.when_kept(kept.append)
    await settle_with_bug()
    site.journal.settle()
    await turn()
    assert kept == [False], "e-2 was in memory only"
    assert site.records()[-2:] == [("v-1", 3), ("v-1", 4)]


@pytest.mark.asyncio
async def test_who_waits_for_an_alarm_that_is_in_line_is_told_that_it_is_not_kept_yet() -> None:
    site, told, kept = Site(), list[object](), list[bool]()
    site.keeper.keep([event(1)], {})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(2)], {})
    site.keeper.when_settled("e-2", told.append)
    site.keeper.when_kept(kept.append)
    site.journal.settle()  # the first, in its stead
    await turn()
    assert told == [None]
    site.journal.settle()
    await turn()
    assert kept == [False]


@pytest.mark.asyncio
async def test_a_long_line_is_offered_in_parts_so_that_the_loop_has_time_for_the_next_fire() -> None:
    site = Site()
    for number in range(1, 301):
        site.keeper.keep([event(number)], {"a": b"%d" % number} if number == 300 else {})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep((), {"b": b"1"})
    site.keeper.retry()
    parts, states = list[int](), list[object]()
    while tickets := site.journal.tickets:
        parts.append(len(tickets))
        states += [ticket.state for ticket, _ in tickets if ticket.state]
        if len(parts) == 1:
            site.keeper.keep([event(301)], {})
        site.journal.settle()
        await turn()
    assert max(parts) == OFFERED_AT_ONCE
    assert site.records()[-301:] == [("v-1", n) for n in range(1, 302)], "one that came meanwhile is the last"
    assert states == [{"a": b"300"}, {"b": b"1"}]


@pytest.mark.asyncio
async def test_two_alarms_of_one_turn_stand_in_line_behind_the_only_one_that_is_owed() -> None:
    site = Site()
    site.keeper.keep([event(1)], {})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(2), event(3)], {})
    assert site.journal.waiting() == ["e-1"], "the third may not pass the second"
    assert site.records() == [("mem-1", n) for n in (1, 2, 3)]
    site.journal.settle()
    await turn()
    assert site.journal.waiting() == ["e-2", "e-3"]


@pytest.mark.asyncio
async def test_one_in_line_follows_though_the_card_was_faster_than_it_could_line_up() -> None:
    site = Site()
    site.keeper.keep([event(1)], {})
    site.journal.settle(error="io")
    await turn()
    site.journal.at_once = True
    site.keeper.keep([event(2)], {})
    await until(lambda: site.journal.count == 2)
    kept = list[bool]()
    site.keeper.when_kept(kept.append)
    await until(lambda: kept)
    assert kept == [True]


@pytest.mark.asyncio
async def test_no_alarm_is_offered_again_while_others_are_in_hand_that_may_be_refused_too() -> None:
    site = Site()
    for number in (1, 2):
        site.keeper.keep([event(number)], {})
    (first, told_first), second = site.journal.tickets
    site.journal.tickets = [second]
    first.error = "io"
    told_first(first)
    await turn()
    site.keeper.retry()
    site.keeper.keep([event(3)], {})
    assert site.journal.waiting() == ["e-2"], "the first before it is the third's place too"
    site.journal.settle(error="behind")
    await turn()
    assert site.journal.waiting() == ["e-1", "e-2", "e-3"]


@pytest.mark.asyncio
async def test_what_waits_in_line_is_not_durable_with_the_alarm_that_is_tried_in_its_stead() -> None:
    site = Site()
    for number in (1, 2):
        site.keeper.keep([event(number)], {})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(3)], {"a": b"3"})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(4)], {})
    assert [(ticket.state, site.journal.waiting()) for ticket, _ in site.journal.tickets] == [(None, ["e-1"])]


@pytest.mark.asyncio
async def test_state_no_event_came_with_does_not_ride_behind_a_newer_value_in_line() -> None:
    site = Site()
    for number in (1, 2):
        site.keeper.keep([event(number)], {})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep((), {"a": b"older", "b": b"only"})
    site.keeper.keep([event(3)], {"a": b"newer"})
    site.keeper.keep([event(4)], {})
    site.journal.settle()
    await turn()
    states = {
        name: ticket.state for name, (ticket, _) in zip(site.journal.waiting(), site.journal.tickets, strict=True)
    }
    assert states == {"e-2": None, "e-3": {"a": b"newer"}, "e-4": {"b": b"only"}}


@pytest.mark.asyncio
async def test_a_card_that_comes_and_goes_writes_one_line_an_alarm(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    for number in (1, 2, 3):
        site.keeper.keep([event(number)], {})
    site.journal.settle(error="io")
    await turn()
    for _ in range(5):
        site.keeper.retry()
        site.journal.settle(error="io")
        await turn()
    site.keeper.keep([event(4)], {})
    site.journal.settle(error="io")
    await turn()
    assert [record.getMessage().split()[2] for record in caplog.records] == [f"id=e-{n}" for n in (1, 2, 3, 4)]


@pytest.mark.asyncio
async def test_an_alarm_a_centre_has_from_memory_does_not_wait_for_its_word_again_once_it_is_kept() -> None:
    site = Site()
    site.keeper.keep([event(1)], {"au:e-1": b"1"})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep((), {"au:e-1": None})
    site.keeper.keep([event(2, Kind.FAULT)], {})
    site.journal.settle()
    await turn()
    site.keeper.retry()
    ticket, _ = site.journal.tickets.pop()
    assert not ticket.state, "the newer word is durable"


@pytest.mark.asyncio
async def test_state_of_an_alarm_in_line_is_not_durable_with_one_before_it() -> None:
    site = Site()
    for number in (1, 2):
        site.keeper.keep([event(number)], {})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(3)], {"a": b"3", "au:e-3": b"3"})
    await turn()
    assert [ticket.state for ticket, _ in site.journal.tickets] == [None]
    site.journal.settle()
    await turn()
    assert [ticket.state for ticket, _ in site.journal.tickets] == [None, {"a": b"3", "au:e-3": b"3"}]


@pytest.mark.asyncio
async def test_refused_state_does_not_ride_behind_a_newer_value_that_is_in_hand() -> None:
    site = Site()
    site.keeper.keep([event(1, Kind.FAULT)], {"latched": b"yes"})
    site.keeper.keep([event(2)], {"latched": None})
    (older, told_older), _ = site.journal.tickets
    older.error = "io"
    told_older(older)
    await turn()
    site.keeper.keep([event(3, Kind.FAULT)], {})
    assert site.journal.tickets[-1][0].state is None


@pytest.mark.asyncio
async def test_an_alarm_stays_in_memory_until_every_mandatory_centre_has_it() -> None:
    site = Site(mandatory=("county", "city"))
    for number in (1, 2):
        site.keeper.keep([event(number)], {})
    site.journal.settle(error="full")
    await turn()
    site.keeper.confirm("county", 2)
    assert site.keeper.memory_alarms == 2
    site.keeper.confirm("city", 1)
    assert site.keeper.memory_alarms == 1
    site.pushed.clear()
    site.keeper.push_memory()
    assert site.records() == [("mem-1", 2)]


@pytest.mark.asyncio
async def test_who_asks_is_told_once_all_handed_in_so_far_is_durable_and_not_before() -> None:
    site, told = Site(), list[bool]()
    site.keeper.when_kept(told.append)
    await turn()
    assert told == [True], "nothing was in hand"
    site.keeper.keep([event(1), event(2, Kind.FAULT)], {})
    site.keeper.when_kept(told.append)
    site.keeper.keep([event(3)], {})
    tickets = site.journal.tickets
    site.journal.tickets = tickets[:1]
    site.journal.settle()
    await turn()
    assert told == [True], "the fault is still in hand"
    site.journal.tickets = tickets[1:2]
    site.journal.settle()
    await turn()
    assert told == [True, True], "what was handed in later is not waited for"


@pytest.mark.asyncio
async def test_who_asks_is_told_the_truth_while_the_medium_refuses() -> None:
    site, told = Site(), list[bool]()
    site.keeper.keep([event(1)], {})
    site.keeper.when_kept(told.append)
    site.journal.settle(error="io")
    await turn()
    site.keeper.when_kept(told.append)
    await turn()
    assert told == [False, False], "it is in memory only"
    site.keeper.retry()
    site.journal.settle()
    await turn()
    site.keeper.when_kept(told.append)
    await turn()
    assert told == [False, False, True]


@pytest.mark.asyncio
async def test_a_slow_medium_does_not_hold_an_alarm_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.keeper.SLOW_S", 0.01)
    assert SLOW_S == 1.0
    site = Site()
    site.keeper.keep([event(1)], {})
    await until(site.records)
    assert site.records() == [("mem-1", 1)]
    site.journal.settle()
    await turn()
    assert site.records() == [("mem-1", 1), ("v-1", 1)]


@pytest.mark.asyncio
async def test_state_of_a_refused_record_rides_with_the_next_one_and_never_hides_what_is_newer() -> None:
    site = Site()
    site.keeper.keep([event(1, Kind.FAULT)], {"a": b"old", "b": b"old"})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(2, Kind.FAULT)], {"b": b"new"})
    ticket, _ = site.journal.tickets[0]
    assert ticket.state == {"a": b"old", "b": b"new"}


@pytest.mark.asyncio
async def test_a_storm_of_commits_wakes_the_loop_and_loses_none() -> None:
    site = Site()
    for number in range(2000):
        site.keeper.keep([event(number)], {})

    def write() -> None:
        for ticket, on_durable in site.journal.tickets:
            site.journal.count += 1
            ticket.give("v-1", site.journal.count)
            on_durable(ticket)

    await asyncio.to_thread(write)
    await until(lambda: len(site.records()) == 2000)
    assert site.records() == [("v-1", n) for n in range(1, 2001)]


@pytest.mark.asyncio
@pytest.mark.parametrize("refused_first", [True, False])
async def test_refused_state_never_comes_back_over_a_newer_value_that_is_durable(refused_first: bool) -> None:
    site = Site()
    site.keeper.keep([event(1, Kind.FAULT)], {"latched": b"yes"})
    site.keeper.keep([event(2)], {"latched": None})
    (older, told_older), (newer, told_newer) = site.journal.tickets
    older.error = "io"
    newer.give("v-1", 1)
    for ticket, told in ((older, told_older), (newer, told_newer))[:: 1 if refused_first else -1]:
        told(ticket)
    await turn()
    site.journal.tickets.clear()
    site.keeper.keep([event(3, Kind.FAULT)], {})
    ticket, _ = site.journal.tickets[0]
    assert ticket.state is None


@pytest.mark.asyncio
async def test_state_is_durable_with_the_last_event_of_a_change_and_what_names_an_event_with_that_one() -> None:
    site = Site()
    site.keeper.keep([event(1), event(2)], {"a": b"1", "au:e-1": b"1", "au:e-2": b"2"})
    first, second = (ticket.state for ticket, _ in site.journal.tickets)
    assert first == {"au:e-1": b"1"}
    assert second == {"a": b"1", "au:e-2": b"2"}


@pytest.mark.asyncio
async def test_what_waits_for_a_centre_is_not_stored_without_its_event() -> None:
    site = Site()
    site.keeper.keep([event(1)], {"a": b"1", "au:e-1": b"1"})
    site.journal.settle(error="io")
    await turn()
    site.keeper.keep([event(2, Kind.FAULT)], {})
    ticket, _ = site.journal.tickets.pop()
    assert ticket.state is None, "nor what it latched: after a power cut its repetition must be told"
    site.keeper.retry()
    (again, _) = site.journal.tickets.pop()
    assert again.state == {"a": b"1", "au:e-1": b"1"}


@pytest.mark.asyncio
@pytest.mark.parametrize("handed_in", ["with a record", "alone"])
async def test_what_an_alarm_in_line_latched_does_not_come_back_over_a_newer_value(handed_in: str) -> None:
    site = Site()
    site.keeper.keep([event(1)], {"a": b"1"})
    site.journal.settle(error="io")
    await turn()
    if handed_in == "alone":
        site.keeper.keep((), {"a": None})
    site.keeper.keep([event(2, Kind.FAULT)], {} if handed_in == "alone" else {"a": None})
    assert site.journal.tickets[-1][0].state == {"a": None}
    site.journal.settle()
    await turn()
    site.keeper.retry()
    assert [ticket.state for ticket, _ in site.journal.tickets] == [None]


@pytest.mark.asyncio
async def test_an_alarm_no_centre_waits_for_leaves_memory_once_it_is_durable() -> None:
    site = Site(mandatory=())
    site.keeper.keep([event(1)], {})
    site.journal.settle(error="io")
    await turn()
    assert site.keeper.memory_alarms == 1
    site.keeper.retry()
    site.journal.settle()
    await turn()
    assert site.keeper.memory_alarms == 0


@pytest.mark.asyncio
async def test_an_alarm_with_fields_json_cannot_hold_is_kept() -> None:
    site = Site()
    odd = replace(event(1), name="\ud800", fields={"raw": b"\x01", "nan": float("nan")})
    site.keeper.keep([odd], {})
    body = json.loads(site.journal.tickets[0][0].body)
    assert (body["id"], body["kind"], body["active"]) == ("e-1", "fire", True)
    assert "nan" in body["fields"]["unencodable"]
