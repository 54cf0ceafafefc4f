"""Brings every event to the journal and tells who listens; holds alarms in memory while the medium is dead or slow.

A record is named by the journal once it is durable. An alarm the journal could not take in time gets a name in an epoch of
this process's own (`mem-...`), is pushed to the uplink with its body, and stays here until every mandatory centre has it. It
is offered to the journal again when the medium is back; the event's own `id` lets a centre know it under both names.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from buffer.journal import Ticket
from buffer.records import Priority
from edge_agent.model import Event, encode_event

log = logging.getLogger("edge.keeper")

SLOW_S = 1.0  # reliability.md 1.1 holds durable <= 250 ms; past this an alarm travels ahead of its own commit
MEMORY_ALARMS_MAX = 20_000  # about 10 MB; the oldest confirmed-by-nobody alarm is still better than a dead gateway

Push = Callable[[str, Mapping[str, object]], None]


class JournalLike(Protocol):
    """What the keeper needs of `buffer.journal.Journal`."""

    def append(
        self,
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
    ) -> Ticket:
        """See `buffer.journal.Journal.append`."""
        ...


class Keeper:
    """One for the core. All methods are called on the loop."""

    def __init__(
        self,
        journal: JournalLike,
        *,
        push: Push,
        memory_epoch: str,
        mandatory: Sequence[str],
    ) -> None:
        self._journal, self._push = journal, push
        self.memory_epoch = memory_epoch
        self._mandatory = frozenset(mandatory)
        self._loop = asyncio.get_running_loop()
        self._settled: deque[tuple[Event, bytes, Mapping[str, bytes | None], Ticket]] = (
            deque()
        )  # filled by the writer thread, emptied on the loop
        self._woken = False
        self._waiting: dict[str, tuple[Event, bytes]] = {}  # alarms the writer has in hand
        self._owed: OrderedDict[str, tuple[Event, bytes]] = (
            OrderedDict()
        )  # alarms it refused: offered again when the medium is back
        self._memory: OrderedDict[int, tuple[str, bytes]] = OrderedDict()  # n -> event id, body
        self._memory_ids: dict[str, int] = {}
        self._memory_n = 0
        self._confirmed: dict[str, int] = {}
        self._state_owed: dict[
            str, bytes | None
        ] = {}  # latched state whose commit failed: it rides with the next record

    @property
    def memory_alarms(self) -> int:
        """Alarms held in memory because the medium has not taken them."""
        return len(self._memory)

    def keep(self, event: Event, state: Mapping[str, bytes | None]) -> None:
        """Journal `event` with the state that changed with it. Never blocks, never raises."""
        body = encode_event(event)
        self._submit(event, body, state)

    def keep_state(self, state: Mapping[str, bytes | None]) -> None:
        """Latched state that changed without an event; it rides with the next record."""
        self._state_owed = {**self._state_owed, **state}

    def keep_telemetry(self, body: bytes) -> None:
        """Journal a reading. It may wait for the card; what does not fit leaves a gap record."""
        self._journal.append(Priority.TELEMETRY, body)

    def confirm(self, destination: str, through: int) -> None:
        """Destination has the memory epoch's alarms through `through`; what all mandatory ones have leaves."""
        if destination in self._mandatory:
            self._confirmed[destination] = max(through, self._confirmed.get(destination, 0))
        done = min((self._confirmed.get(name, 0) for name in self._mandatory), default=0)
        for n in [n for n in self._memory if n <= done]:
            event_id, _ = self._memory.pop(n)
            self._memory_ids.pop(event_id, None)

    def push_memory(self) -> None:
        """Tell a listener that has just come what only memory holds."""
        for n, (_, body) in self._memory.items():
            self._push_record(self.memory_epoch, Priority.ALARM, n, body)

    def retry(self) -> None:
        """The medium is back: offer it again what it refused."""
        owed, self._owed = self._owed, OrderedDict()
        for event, body in owed.values():
            self._submit(event, body, {})

    def _submit(self, event: Event, body: bytes, state: Mapping[str, bytes | None]) -> None:
        if self._state_owed:
            state = {**self._state_owed, **state}
            self._state_owed = {}
        if event.priority is Priority.ALARM:
            self._waiting[event.id] = (event, body)
            self._loop.call_later(SLOW_S, self._overdue, event.id)

        def settled(ticket: Ticket) -> None:  # in the writer thread; one wake-up of the loop for a whole commit
            self._settled.append((event, body, state, ticket))
            if not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._drain)

        self._journal.append(event.priority, body, state or None, settled)

    def _drain(self) -> None:
        self._woken = False  # before the first look: what is added from now on wakes the loop again
        while self._settled:
            event, body, state, ticket = self._settled.popleft()
            is_alarm = event.priority is Priority.ALARM
            self._waiting.pop(event.id, None)
            name = ticket.name
            if name is None:
                log.error("journal refused id=%s kind=%s code=%s", event.id, event.kind.value, ticket.error)
                self._state_owed = {**state, **self._state_owed}
                if is_alarm:
                    self._owed[event.id] = (event, body)
                    self._to_memory(event, body)
                else:
                    self._push("event", {"event": body.decode(), "name": None})
                continue
            self._push(
                "event",
                {"event": body.decode(), "name": {"epoch": name.epoch, "stream": name.priority.stream, "n": name.n}},
            )
            self._push_record(name.epoch, event.priority, name.n, body if is_alarm else None)

    def _overdue(self, event_id: str) -> None:
        if waiting := self._waiting.get(event_id):
            self._to_memory(*waiting)

    def _to_memory(self, event: Event, body: bytes) -> None:
        if event.id in self._memory_ids:
            return
        if len(self._memory) >= MEMORY_ALARMS_MAX:
            n, (event_id, _) = self._memory.popitem(last=False)
            self._memory_ids.pop(event_id, None)
            log.critical("memory full, alarm dropped n=%d id=%s", n, event_id)
        self._memory_n += 1
        self._memory[self._memory_n] = (event.id, body)
        self._memory_ids[event.id] = self._memory_n
        self._push("event", {"event": body.decode(), "name": None})
        self._push_record(self.memory_epoch, Priority.ALARM, self._memory_n, body)

    def _push_record(self, epoch: str, priority: Priority, n: int, body: bytes | None) -> None:
        message: dict[str, object] = {"epoch": epoch, "stream": priority.stream, "n": n}
        if body is not None:
            message["body"] = body.decode()
        self._push("journal", message)
