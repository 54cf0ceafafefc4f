"""The order and the sets: pure, against made-up journals and centres."""

import itertools
import random
from collections.abc import Mapping

import pytest

from buffer.records import Priority
from edge_agent.uplink.contract import Batch, Refusal, StreamAck
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.outbox import ALARM_RESERVE, DOUBT_S, FLOOR_EVERY, Outbox, Want
from edge_agent.uplink.source import Found
from edge_agent.uplink.stream import Flight

NOTHING: frozenset[Priority] = frozenset()


def outbox(heads: Mapping[Priority, int], *, connect: bool = True) -> Outbox:
    box = Outbox({})
    for priority, head in heads.items():
        box.grow("e1", priority, head)
    if connect:
        box.connected()
    return box


def send(box: Outbox, want: Want, count: int = 10) -> Flight:
    last = min(want.last, want.first + count - 1)
    found = Found([(n, b"{}") for n in range(want.first, last + 1)], whole=last == want.last)
    batch = box.compose(want, found)
    assert batch is not None
    return box.sent(batch, 100, 0.0)


def ack(
    box: Outbox, priority: Priority, through: int, high: int | None = None, *missing: tuple[int, int], at: float = 0.0
) -> list[Flight]:
    return box.acknowledge(StreamAck("e1", priority, through, high or through, missing), at)


def test_streams_go_in_order_of_worth_and_oldest_first() -> None:
    box = outbox({Priority.TELEMETRY: 5, Priority.STATUS: 5, Priority.FAULT: 5, Priority.ALARM: 5})
    order = []
    while (want := box.pick(64, 10**6, NOTHING)) is not None:
        order.append((want.stream.priority, send(box, want, 5).batch.first))
    assert order == [(Priority.ALARM, 1), (Priority.FAULT, 1), (Priority.STATUS, 1), (Priority.TELEMETRY, 1)]


def test_live_records_go_before_the_replay_of_their_stream_and_replay_is_marked() -> None:
    box = outbox({Priority.STATUS: 100})
    box.grow("e1", Priority.STATUS, 103)
    want = box.pick(64, 10**6, NOTHING)
    assert want is not None
    assert (want.first, want.last, want.replay) == (101, 103, False)
    live = send(box, want)
    assert live.batch.replay is False
    replay = box.pick(64, 10**6, NOTHING)
    assert replay is not None
    assert (replay.first, replay.last, send(box, replay).batch.replay) == (1, 100, True)


def test_a_backlog_leaves_the_alarm_slots_free_and_a_fresh_alarm_needs_no_disk() -> None:
    box = outbox({Priority.STATUS: 10_000})
    while (want := box.pick(8, 10**6, NOTHING)) is not None:
        send(box, want)
    assert box.in_flight == 7
    for n in range(1, 20):
        box.add_fresh("e1", n, b'{"id":"x"}')
        batch = box.take_fresh(8, NOTHING, 10**6)
        if batch is None:
            break
        box.sent(batch, 10, 0.0)
    assert box.in_flight == 8 + ALARM_RESERVE


def test_fresh_alarms_that_pile_up_share_a_batch() -> None:
    box = outbox({})
    for n in range(1, 51):
        box.add_fresh("e1", n, b'{"id":"x"}')
    batch = box.take_fresh(8, NOTHING, 10**6)
    assert batch is not None
    assert (batch.first, batch.last, len(batch.records)) == (1, 50, 50)


def test_telemetry_has_a_ceiling_and_a_floor() -> None:
    box = outbox({Priority.TELEMETRY: 10_000})
    while (want := box.pick(8, 10**6, NOTHING)) is not None:
        send(box, want)
    assert box.in_flight == 6, "one slot is left for faults and status, one for alarms"
    box = outbox({Priority.TELEMETRY: 10_000, Priority.FAULT: 10_000})
    picked = []
    for _ in range(FLOOR_EVERY * 10):
        want = box.pick(64, 10**6, NOTHING)
        assert want is not None
        picked.append(want.stream.priority)
    assert picked.count(Priority.TELEMETRY) == 10, "a storm of faults never starves it"


def test_the_byte_budget_bounds_the_backlog_on_the_wire() -> None:
    box = outbox({Priority.STATUS: 10_000})
    while (want := box.pick(64, 350, NOTHING)) is not None:
        send(box, want)
    assert box.in_flight_bytes == 400


def test_unconfirmed_batches_are_due_again_when_the_connection_goes_and_marked_as_sent_before() -> None:
    box = outbox({Priority.ALARM: 30})
    for _ in range(3):
        want = box.pick(64, 10**6, NOTHING)
        assert want is not None
        send(box, want)
    ack(box, Priority.ALARM, 0, 20, (1, 10))
    box.back_all()
    assert box.in_flight == box.in_flight_bytes == 0
    box.connected()
    due = []
    while (want := box.pick(64, 10**6, NOTHING)) is not None:
        flight = send(box, want)
        due.append((flight.batch.first, flight.batch.last, flight.batch.dup))
    assert due == [(1, 10, True), (21, 30, True)]


def test_an_ack_never_confirms_what_was_not_accepted_here() -> None:
    box = outbox({Priority.ALARM: 10})
    ack(box, Priority.ALARM, 10**9)
    stream = box.get("e1", Priority.ALARM)
    assert stream is not None
    assert stream.done == Intervals([(1, 10)])
    box.grow("e1", Priority.ALARM, 12)
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    assert (want.first, want.last) == (11, 12)


def three_batches_on_the_wire() -> Outbox:
    box = outbox({Priority.ALARM: 30})
    for _ in range(3):
        want = box.pick(64, 10**6, NOTHING)
        assert want is not None
        send(box, want)
    return box


def due(box: Outbox, at: float) -> tuple[int, int] | None:
    box.send_lost_again(at, ask_again_s=2.0)
    want = box.pick(64, 10**6, NOTHING)
    return None if want is None else (want.first, want.last)


def test_a_batch_that_its_successors_overtook_is_waited_for_and_then_sent_again() -> None:
    box = three_batches_on_the_wire()
    ack(box, Priority.ALARM, 10, 30, (11, 20), at=5.0)
    assert due(box, 5.0 + DOUBT_S - 0.1) is None, "another consumer of the centre may be storing it"
    assert due(box, 5.0 + DOUBT_S) == (11, 20)


def test_a_batch_that_another_consumer_stores_a_little_later_is_not_sent_twice() -> None:
    box = three_batches_on_the_wire()
    ack(box, Priority.ALARM, 10, 30, (11, 20), at=5.0)
    ack(box, Priority.ALARM, 30, 30, at=5.5)
    assert box.pending(Priority.ALARM) == 0
    assert due(box, 60.0) is None


def test_acks_may_come_in_any_order() -> None:
    """Each consumer tells what was committed when it committed: those are ever larger sets, whatever the order of arrival."""
    told = [(0, 20, (1, 10), (11, 15)), (10, 20, (11, 15)), (20, 20), (20, 30, (21, 25)), (30, 30)]
    for order in itertools.permutations(told):
        box = three_batches_on_the_wire()
        for through, high, *missing in order:
            ack(box, Priority.ALARM, through, high, *missing, at=5.0)  # type: ignore[arg-type]
        assert box.pending(Priority.ALARM) == 0, order
        assert box.in_flight == 0, order


def test_a_confirmed_range_the_centre_still_misses_is_sent_again_and_then_ever_more_seldom() -> None:
    box = three_batches_on_the_wire()
    ack(box, Priority.ALARM, 30, at=1.0)
    sent_again = []
    for tenth in range(20, 400):
        at = tenth / 10
        ack(
            box, Priority.ALARM, 10, 30, (11, 20), at=at
        )  # restored from a backup, and never a word of what we send again
        if (found := due(box, at)) is not None:
            assert found == (11, 20)
            sent_again.append(at)
            box.sent(Batch(epoch="e1", priority=Priority.ALARM, first=11, last=20, records=[]), 1, at)
            ack(box, Priority.ALARM, 30, at=at)
    assert sent_again[0] == pytest.approx(4.0)
    assert 2 < len(sent_again) < 20


def test_holes_that_may_still_be_salvaged_are_neither_sent_nor_declared_until_that_is_over() -> None:
    box = outbox({Priority.ALARM: 20})
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    found = Found([(n, b"{}") for n in (*range(1, 6), *range(11, 16))], whole=True, sure=False)
    batches: list[Batch] = []
    while want is not None and (batch := box.compose(want, found)) is not None:
        batches.append(batch)
        box.sent(batch, 10, 0.0)
        want = box.pick(8, 10**6, NOTHING)
    assert [(b.first, b.last, list(b.gaps)) for b in batches] == [(1, 5, []), (11, 15, [])]
    ack(box, Priority.ALARM, 5, 15, (6, 10))
    assert box.pick(8, 10**6, NOTHING) is None
    box.salvaged()
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    assert (want.first, want.last) == (6, 10)
    batch = box.compose(want, Found([(8, b"{}")], whole=True))
    assert batch is not None
    assert ([n for n, _ in batch.records], list(batch.gaps)) == ([8], [(6, 7, "gone"), (9, 10, "gone")])


def test_a_refused_record_is_declared_and_the_stream_goes_through() -> None:
    box = outbox({Priority.ALARM: 10})
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    send(box, want)
    ack(box, Priority.ALARM, 4, 10, (5, 5))
    assert box.refuse(Refusal("e1", Priority.ALARM, 5, "bad"))
    assert not box.refuse(Refusal("e1", Priority.ALARM, 5, "bad"))
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    batch = box.compose(want, Found([(5, b"{}")], whole=True))
    assert batch is not None
    assert (list(batch.records), list(batch.gaps)) == ([], [(5, 5, "refused")])
    box.sent(batch, 10, 0.0)
    ack(box, Priority.ALARM, 10)
    assert not box.alarm_pending
    assert box.in_flight == 0


@pytest.mark.parametrize("seed", range(30))
def test_everything_is_confirmed_in_the_end_through_any_mix_of_losses(seed: int) -> None:
    """A wire that loses batches and acks, a centre that refuses and forgets, connections that drop: random, repeatable."""
    rng = random.Random(seed)
    box = Outbox({})
    head = {Priority.ALARM: 0, Priority.STATUS: 0}
    have = {priority: Intervals() for priority in head}
    refused_by_centre = {priority: set(rng.sample(range(1, 200), 5)) for priority in head}
    now_s = 0.0
    for turn in range(4000):
        now_s += 0.1
        quiet = turn > 3000  # towards the end the faults stop, and all must arrive
        priority = rng.choice(list(head))
        if head[priority] < 200 and rng.random() < 0.3:
            head[priority] += 1
            if priority is Priority.ALARM and rng.random() < 0.5:
                box.add_fresh("e1", head[priority], b'{"id":"x"}')
            else:
                box.grow("e1", priority, head[priority])
        if (turn % 50 == 0) if quiet else (rng.random() < 0.02):
            box.back_all()
            box.connected()
        if head[priority] < 150 and rng.random() < 0.01:
            have[priority] = Intervals()  # the centre lost its database: it learns so from the next record
        box.send_lost_again(now_s, ask_again_s=0.2)
        batch = box.take_fresh(4, NOTHING, 1000)
        if batch is None and (want := box.pick(4, 500, NOTHING)) is not None:
            last = min(want.last, want.first + rng.randrange(8))
            batch = box.compose(want, Found([(n, b"{}") for n in range(want.first, last + 1)], whole=last == want.last))
        if batch is None:
            continue
        box.sent(batch, rng.randrange(50, 200), now_s)
        if not quiet and rng.random() < 0.1:
            continue  # lost on the wire
        stored = have[batch.priority]
        bad = [n for n, _ in batch.records if n in refused_by_centre[batch.priority]]
        for n, _ in batch.records:
            if n not in bad:
                stored.add(n, n)
        for first, last, _ in batch.gaps:
            stored.add(first, last)
        if not quiet and rng.random() < 0.1:
            continue  # the ack is lost
        missing = []
        expected = stored.through + 1
        for first, last in stored:
            if first > expected:
                missing.append((expected, first - 1))
            expected = last + 1
        box.acknowledge(
            StreamAck("e1", batch.priority, stored.through, max(stored.high, stored.through), tuple(missing)),
            now_s,
        )
        for n in bad:
            box.refuse(Refusal("e1", batch.priority, n, "bad"))
    assert head == {Priority.ALARM: 200, Priority.STATUS: 200}
    for priority, stored in have.items():
        assert stored == Intervals([(1, 200)]), f"seed {seed} {priority}"
        assert box.pending(priority) == 0, f"seed {seed} {priority}"
    box.back_all()
    assert box.in_flight == box.in_flight_bytes == 0


def test_a_range_asked_for_by_command_goes_out_again_whatever_was_confirmed_and_acks_that_know_it_do_not_stop_it() -> (
    None
):
    outbox = Outbox({})
    outbox.grow("e", Priority.ALARM, 10)
    outbox.acknowledge(StreamAck("e", Priority.ALARM, 10, 10, ()), 0.0)
    assert outbox.pick(8, 1 << 20, frozenset()) is None
    assert outbox.resend("e", Priority.ALARM, 4, 99) == 7
    assert outbox.resend("e", Priority.ALARM, 4, 6) == 0, "it is due already"
    assert outbox.resend("nowhere", Priority.ALARM, 1, 2) == 0
    outbox.acknowledge(StreamAck("e", Priority.ALARM, 10, 10, ()), 1.0)
    want = outbox.pick(8, 1 << 20, frozenset())
    assert want is not None
    assert (want.first, want.last) == (4, 10)
    batch = outbox.compose(want, Found([(n, b"{}") for n in range(4, 8)], whole=False))
    assert batch is not None
    outbox.sent(batch, 10, 2.0)
    outbox.back_all()  # the link is lost before the centre's word
    again = outbox.pick(8, 1 << 20, frozenset())
    assert again is not None
    assert (again.first, again.last) == (4, 10)
    batch = outbox.compose(again, Found([(n, b"{}") for n in range(4, 11)], whole=True))
    assert batch is not None
    outbox.sent(batch, 10, 3.0)
    assert len(outbox.acknowledge(StreamAck("e", Priority.ALARM, 10, 10, ()), 4.0)) == 1
    assert outbox.pick(8, 1 << 20, frozenset()) is None, "once"


# --- told in brief ------------------------------------------------------------------------------------------------------------


def test_what_was_told_in_brief_is_due_in_full_over_a_wide_session_and_not_again_over_a_narrow_one() -> None:
    box = outbox({Priority.ALARM: 10}, connect=False)
    box.connected(brief=True)
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    send(box, want)
    assert len(ack(box, Priority.ALARM, 10)) == 1
    assert not box.alarm_pending
    assert box.pending(Priority.ALARM) == 10
    assert box.pick(8, 10**6, NOTHING) is None
    box.back_all()
    box.connected(brief=False)
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    assert (want.first, want.last) == (1, 10)
    send(box, want)
    ack(box, Priority.ALARM, 10)
    assert box.pending(Priority.ALARM) == 0
    box.connected(brief=True)
    assert box.pick(8, 10**6, NOTHING) is None


def test_where_no_path_carries_it_in_full_told_is_done() -> None:
    box = Outbox({}, brief_is_all=True)
    box.grow("e1", Priority.ALARM, 3)
    box.connected(brief=True)
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    send(box, want)
    ack(box, Priority.ALARM, 3)
    assert box.pending(Priority.ALARM) == 0


def test_told_is_remembered_and_a_centre_that_forgot_is_told_again_but_not_what_it_had_in_full() -> None:
    box = Outbox({("e1", Priority.ALARM): Intervals([(1, 5)])}, told={("e1", Priority.ALARM): Intervals([(6, 8)])})
    box.grow("e1", Priority.ALARM, 9)
    box.connected(brief=True)
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    assert (want.first, want.last) == (9, 9)
    send(box, want)
    ack(box, Priority.ALARM, 0, 9, (1, 8), at=100.0)
    box.send_lost_again(103.0, ask_again_s=2.0)
    want = box.pick(8, 10**6, NOTHING)
    assert want is not None
    assert (want.first, want.last) == (6, 8), "1 to 5 went in full, and are asked for again where they can go in full"
