"""The line of alarms the journal refused (docs/decisions/0033-alarms-in-line.md): in order, once, and nobody blocks it.

The same at random, over a real journal: `test_keeper_at_random.py`.
"""

import pytest

from edge_agent.keeper import OFFERED_AT_ONCE
from edge_agent.model import Kind
from tests.core.scripted_journal import Site, event, turn
from tests.waiting import until


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
