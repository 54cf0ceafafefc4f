"""The waiting room on a clock of the test's own."""

from buffer.records import Priority
from buffer.waiting import BULK_GROUP_MAX, GROUP_MAX, Ticket, Waiting

MS = 1_000_000


def vital(**bounds: int) -> Waiting:
    lingers = {Priority.ALARM: 0, Priority.FAULT: 50 * MS, Priority.STATUS: 1000 * MS}
    return Waiting(lingers, records_max={Priority[k]: v for k, v in bounds.items()}, bytes_max={})


def put(room: Waiting, rank: Priority, at_ms: int, body: bytes = b"x") -> bool:
    return room.put(Ticket(rank, body), at_ms * MS)[0]


def test_an_alarm_is_due_at_once_and_goes_first_with_what_waits() -> None:
    room = vital()
    put(room, Priority.STATUS, 0)
    put(room, Priority.FAULT, 1)
    assert room.take(2 * MS) == []
    assert put(room, Priority.ALARM, 2)
    assert [ticket.priority.name for ticket in room.take(2 * MS)] == ["ALARM", "FAULT", "STATUS"]
    assert room.due_ns() is None


def test_a_fault_lingers_50_ms_and_a_status_a_second() -> None:
    room = vital()
    assert put(room, Priority.STATUS, 0)
    assert room.due_ns() == 1000 * MS
    assert put(room, Priority.FAULT, 10), "the writer has to be woken to sleep shorter"
    assert not put(room, Priority.FAULT, 20)
    assert room.take(59 * MS) == []
    assert len(room.take(60 * MS)) == 3


def test_a_full_group_does_not_linger() -> None:
    room = vital()
    woken = [put(room, Priority.STATUS, 0) for _ in range(GROUP_MAX)]
    assert woken[0] and woken[-1] and not any(woken[1:-1])
    assert len(room.take(1)) == GROUP_MAX


def test_a_storm_of_lower_rank_cannot_make_an_alarms_commit_long() -> None:
    room = vital()
    for _ in range(GROUP_MAX - 1):
        put(room, Priority.STATUS, 0)
    put(room, Priority.ALARM, 0)
    batch = room.take(0)
    assert batch[0].priority is Priority.ALARM and len(batch) <= 65
    assert room.due_ns() == 0, "the rest is due too"


def test_readings_beyond_the_bound_are_dropped_oldest_first_and_counted() -> None:
    room = Waiting(
        {Priority.TELEMETRY: 10**10, Priority.MEDIA: 10**9},
        records_max={Priority.TELEMETRY: 3},
        bytes_max={Priority.MEDIA: 10},
    )
    tickets = [Ticket(Priority.TELEMETRY, b"%d" % n) for n in range(5)]
    dropped = [ticket for one in tickets for ticket in room.put(one, 0)[1]]
    assert dropped == tickets[:2] and all(ticket.error == "dropped" for ticket in dropped)
    for _ in range(3):
        room.put(Ticket(Priority.MEDIA, b"123456"), 0)
    assert [ticket.body for ticket in room.take(0, at_once=True)] == [b"2", b"3", b"4", b"123456"]
    assert room.take_lost() == {Priority.TELEMETRY: 2, Priority.MEDIA: 2}
    assert room.take_lost() == {}


def test_alarms_have_no_bound() -> None:
    room = vital(FAULT=10, STATUS=10)
    for _ in range(GROUP_MAX * 4):
        put(room, Priority.ALARM, 0)
    taken = 0
    while batch := room.take(0):
        taken += len(batch)
    assert taken == GROUP_MAX * 4


def test_a_drain_is_taken_in_bounded_groups() -> None:
    room = Waiting({Priority.TELEMETRY: 10**10}, records_max={}, bytes_max={})
    for _ in range(BULK_GROUP_MAX + 1):
        put(room, Priority.TELEMETRY, 0)
    assert [len(room.take(0)), len(room.take(0)), len(room.take(0))] == [BULK_GROUP_MAX, 1, 0]
