"""Records on their way to the writer: tickets, and the bounded room where they wait for company.

`Waiting` has no thread of its own and asks no clock, so that a simulation can drive it.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from buffer.records import Name, Priority

GROUP_MAX = 500  # records in one commit of vital.db
ALARM_COMPANY_MAX = 64  # records of lower rank that may ride in an alarm's commit
BULK_GROUP_MAX = 4000


class Ticket:
    """One appended record. `name` is set once it is durable, `error` (ASCII code) once it is certain that it will not be.

    Codes: full, io, readonly, cantopen, busy, memory, corrupt, behind (an alarm before it was refused), dropped (no room in
    memory), too_long, closed, bug.
    """

    __slots__ = ("_epoch", "_n", "at_ns", "body", "error", "on_durable", "order", "priority", "state", "stops")

    def __init__(
        self,
        priority: Priority,
        body: bytes,
        at_ns: int = 0,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: "Callable[[Ticket], None] | None" = None,
    ) -> None:
        self.priority, self.body, self.at_ns, self.state, self.on_durable = priority, body, at_ns, state, on_durable
        self.stops: int | None = None  # see Journal.append; of a refused alarm: as of its refusal
        self.error: str | None = None
        self.order = 0  # of arrival: which of two changes of one latched value is the newer
        self._epoch = ""
        self._n = 0

    @property
    def name(self) -> Name | None:
        """Its name for ever, or None while it has none."""
        n = self._n
        return Name(self._epoch, self.priority, n) if n else None

    @property
    def settled(self) -> bool:
        """Whether it is known what became of it."""
        return self._n > 0 or self.error is not None

    def give(self, epoch: str, n: int) -> None:
        """The record is durable under this name."""
        self._epoch = epoch
        self._n = n  # last: another thread that sees n sees the epoch too


class Waiting:
    """The records one file has yet to take, by rank. `put` may be called from any thread."""

    def __init__(
        self,
        lingers_ns: Mapping[Priority, int],
        *,
        records_max: Mapping[Priority, int],
        bytes_max: Mapping[Priority, int],
    ) -> None:
        """`lingers_ns`: how long each rank may wait for company; 0 not at all. A rank without a bound is never dropped."""
        self._lock = threading.Lock()
        self._lingers = dict(lingers_ns)
        self._ranks = tuple(sorted(lingers_ns))
        self._queues: dict[Priority, deque[Ticket]] = {rank: deque() for rank in self._ranks}
        self._bytes = dict.fromkeys(self._ranks, 0)
        self._records_max, self._bytes_max = records_max, bytes_max
        self._due_ns: int | None = None
        self._order = 0
        self._many = BULK_GROUP_MAX if Priority.TELEMETRY in lingers_ns else GROUP_MAX
        self.lost: dict[Priority, int] = {}  # dropped and not yet told in a gap record

    def put(self, ticket: Ticket, now_ns: int) -> tuple[bool, Sequence[Ticket]]:
        """Take one in. Return (the writer should be woken, tickets that were dropped for want of room)."""
        rank = ticket.priority
        dropped: list[Ticket] | tuple[()] = ()
        with self._lock:
            queue = self._queues[rank]
            self._order += 1
            ticket.order = self._order
            queue.append(ticket)
            size = self._bytes[rank] + len(ticket.body)
            self._bytes[rank] = size
            count = len(queue)
            if count > self._records_max.get(rank, count) or size > self._bytes_max.get(rank, size):
                dropped = self._drop(rank)
            due = now_ns + self._lingers[rank]
            if self._due_ns is None or due < self._due_ns:
                self._due_ns = due
                return True, dropped
            return count == self._many, dropped

    def _drop(self, rank: Priority) -> list[Ticket]:
        queue, dropped = self._queues[rank], []
        while len(queue) > 1 and (
            len(queue) > self._records_max.get(rank, len(queue))
            or self._bytes[rank] > self._bytes_max.get(rank, self._bytes[rank])
        ):
            ticket = queue.popleft()
            self._bytes[rank] -= len(ticket.body)
            ticket.error = "dropped"
            dropped.append(ticket)
        self.lost[rank] = self.lost.get(rank, 0) + len(dropped)
        return dropped

    def due_ns(self) -> int | None:
        """When `take` will give something, if nothing more comes; None: nothing waits."""
        return self._due_ns

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def alarm_waits(self) -> bool:
        """Whether an alarm is waiting: background work stops for it."""
        return bool(self._queues.get(Priority.ALARM))

    def take(self, now_ns: int, *, at_once: bool = False) -> list[Ticket]:
        """What should be committed together now, alarms first; empty if everything may wait longer."""
        with self._lock:
            if self._due_ns is None:
                return []
            alarms = self._queues.get(Priority.ALARM)
            if (
                not at_once
                and now_ns < self._due_ns
                and all(len(queue) < self._many for queue in self._queues.values())
            ):
                return []
            room = len(alarms) + ALARM_COMPANY_MAX if alarms else self._many
            room = min(room, self._many)
            batch: list[Ticket] = []
            left = False
            for rank in self._ranks:
                queue = self._queues[rank]
                if not queue:
                    continue
                if len(queue) <= room - len(batch):
                    batch.extend(queue)
                    queue.clear()
                    self._bytes[rank] = 0
                else:
                    for _ in range(room - len(batch)):
                        ticket = queue.popleft()
                        self._bytes[rank] -= len(ticket.body)
                        batch.append(ticket)
                    left = True
            self._due_ns = now_ns if left else None
            return batch

    def take_lost(self) -> dict[Priority, int]:
        """Counts of what was dropped since the last call."""
        if not self.lost:
            return {}
        with self._lock:
            lost, self.lost = self.lost, {}
            return lost
