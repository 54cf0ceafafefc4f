"""Events between the alarm machine and the journal: kept, pushed, and held in memory while the medium is dead.

Those that wait in line: `test_keeper_line.py`.
"""

import asyncio
import json
from dataclasses import replace

import pytest

from edge_agent.keeper import SLOW_S
from edge_agent.model import Kind
from tests.core.scripted_journal import Site, event, turn
from tests.waiting import until


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
