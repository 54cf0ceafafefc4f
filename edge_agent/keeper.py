"""Brings every event to the journal and tells who listens; holds alarms in memory while the medium is dead or slow.

A record is named by the journal once it is durable. An alarm the journal could not take in time gets a name in an epoch of
this process's own (`mem-...`), is pushed to the uplink with its body, and stays here until every mandatory centre has it. It
is offered to the journal again when the medium is back; the event's own `id` lets a centre know it under both names.

The journal's names of alarms are in the order of what happened, over a medium that fails too (decision 0033): an alarm that
comes while others are owed waits behind them, and the first of those is tried in its stead.
"""

import asyncio
import bisect
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from buffer.journal import Ticket
from buffer.records import Name, Priority
from edge_agent.model import Event, encode_event

log = logging.getLogger("edge.keeper")

SLOW_S = 1.0  # reliability.md 1.1 holds durable <= 250 ms; past this an alarm travels ahead of its own commit
MEMORY_ALARMS_MAX = 20_000  # about 10 MB; the oldest confirmed-by-nobody alarm is still better than a dead gateway

UNSENT_KEY = "au:"  # of the piece of state (edge_agent.alarm) that says an event waits for the centre's word

Push = Callable[[str, Mapping[str, object]], None]
State = Mapping[str, bytes | None]
Piece = tuple[int, bytes | None]  # when it was handed in, its value
NEVER = frozenset({"too_long", "closed"})  # of an alarm refused for this no second try is worth it
OFFERED_AT_ONCE = 64  # of those in line: thousands in one turn would keep the loop from the next fire for seconds
REFUSED = "journal refused id=%s kind=%s code=%s"
STATE_KEYS_MAX = 4 * MEMORY_ALARMS_MAX  # remembered for those in line before the others are forgotten
_Owed = tuple[int, Event, bytes, Mapping[str, Piece]]  # its place in the line, and the state that changed with it
_Submitted = tuple[int, Event, bytes, Mapping[str, Piece], Ticket]


class JournalLike(Protocol):
    """What the keeper needs of `buffer.journal.Journal`."""

    def append(
        self,
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
        stops: int | None = None,
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
        self._settled: deque[_Submitted] = deque()  # filled by the writer thread, emptied on the loop
        self._woken = False
        self._waiting: dict[str, tuple[Event, bytes]] = {}  # alarms the writer has in hand
        self._owed: list[_Owed] = []  # alarms it refused, and those behind them, by their place in the line
        self._stops = 0  # of the line, as far as we have been told
        self._takes = False  # the journal takes alarms, and those in line have not been offered since
        self._singly = False  # a bug of the journal's refused them: one by one it is known whose alarm it is
        self._alone = ""  # event id of the last that was offered so
        self._suspects: deque[_Owed] = deque()  # those a bug refused by themselves: in nobody's way, and not forgotten
        self._memory: OrderedDict[int, tuple[str, bytes]] = OrderedDict()  # n -> event id, body
        self._memory_ids: dict[str, int] = {}  # event id -> n, until the journal has it: none travels twice
        self._memory_n = 0
        self._confirmed: dict[str, int] = {}
        self._order = 0  # of what was handed in: which of two values of one piece of state is the newer
        # state that is not durable (its record will not be, or no event came with it): it rides with the next record
        self._state_owed: dict[str, Piece] = {}
        self._in_hand: dict[int, None] = {}  # orders of records the journal has not settled, oldest first
        self._refusals = 0
        # who waits until all up to an order is settled, and how many refusals there were by then
        self._receipts: deque[tuple[int, int, Callable[[bool], None]]] = deque()
        self._told: dict[str, Callable[[Name | None], None]] = {}  # event id -> who waits for it to be settled
        self._newest: dict[str, int] = {}  # piece of state -> order of its newest value, while any are in hand or owed

    @property
    def memory_alarms(self) -> int:
        """Alarms held in memory because the medium has not taken them."""
        return len(self._memory)

    def keep(self, events: Sequence[Event], state: State) -> None:
        """Journal events of one change with the state that changed with them. Never blocks, never raises.

        The state is durable with the last of them, never before it: what is latched without its event would keep a panel's
        repetition from being told. A piece whose key ends with an event's id is that event's alone.
        """
        rest = dict(state)
        for event in events[:-1]:
            key = UNSENT_KEY + event.id
            self._submit(event, encode_event(event), {key: rest.pop(key)} if key in rest else {})
        if events:
            self._submit(events[-1], encode_event(events[-1]), rest)
        elif rest:
            self._order += 1
            pieces = {key: (self._order, value) for key, value in rest.items()}
            self._note_newest(pieces)
            self._state_owed.update(pieces)

    def when_settled(self, event_id: str, call: Callable[[Name | None], None]) -> None:
        """Have `call` called once the event just handed in is durable, with its name, or is not going to be (None)."""
        if event_id in self._memory_ids:  # in line
            self._loop.call_soon(call, None)
        else:
            self._told[event_id] = call

    def when_kept(self, call: Callable[[bool], None]) -> None:
        """Have `call` called, in a later turn, once all that was handed in so far is settled: True if it is all durable.

        False: something was refused meanwhile, or an alarm is held in memory only. A peer that is not confirmed then says it
        again.
        """
        self._receipts.append((self._order, -1 if self._owed or self._suspects else self._refusals, call))
        self._answer_receipts()

    def _answer_receipts(self) -> None:
        oldest = next(iter(self._in_hand), None)
        while self._receipts and (oldest is None or oldest > self._receipts[0][0]):
            _, refusals, call = self._receipts.popleft()
            self._loop.call_soon(call, refusals == self._refusals)

    def keep_telemetry(self, body: bytes) -> None:
        """Journal a reading. It may wait for the card; what does not fit leaves a gap record."""
        self._journal.append(Priority.TELEMETRY, body)

    def confirm(self, destination: str, through: int) -> None:
        """Destination has the memory epoch's alarms through `through`; what all mandatory ones have leaves."""
        if destination in self._mandatory:
            self._confirmed[destination] = max(through, self._confirmed.get(destination, 0))
        done = min((self._confirmed.get(name, 0) for name in self._mandatory), default=0)
        for n in [n for n in self._memory if n <= done]:
            del self._memory[n]

    def push_memory(self) -> None:
        """Tell a listener that has just come what only memory holds."""
        for n, (_, body) in self._memory.items():
            self._push_record(self.memory_epoch, Priority.ALARM, n, body)

    def retry(self) -> None:
        """The medium is back: offer it again what it refused, in the order of what happened."""
        self._takes = True
        self._go_on()

    def _go_on(self) -> None:
        """Offer those in line. Not while alarms are in hand: refused too, they would find their places taken."""
        if self._waiting:
            return
        self._singly = self._singly and bool(self._owed)
        if self._singly:
            self._alone = self._owed[0][1].id
            self._offer_owed(self._owed.pop(0))
        elif self._takes and self._owed:
            self._takes = False
            some, self._owed = self._owed[:OFFERED_AT_ONCE], self._owed[OFFERED_AT_ONCE:]
            for one in some:
                self._offer_owed(one, last=one is some[-1] and not self._owed)
        elif self._takes and self._suspects:
            self._takes = False
            self._alone = self._suspects[0][1].id
            self._offer_owed(self._suspects.popleft())

    def _offer_owed(self, owed: _Owed, *, last: bool = False) -> None:
        """What is owed of state rides with the last of them, for those before it may not have latched it."""
        riding: dict[str, Piece] = {}
        if not last:
            riding, self._state_owed = self._state_owed, {}
        self._offer(*owed)
        self._state_owed |= riding

    def _submit(self, event: Event, body: bytes, state: State) -> None:
        self._order += 1
        pieces = {key: (self._order, value) for key, value in state.items()}
        if self._owed and event.priority is Priority.ALARM:
            self._line_up(self._order, event, body, pieces)
        else:
            self._offer(self._order, event, body, pieces)

    def _line_up(self, order: int, event: Event, body: bytes, state: Mapping[str, Piece]) -> None:
        """An alarm behind those that are owed: it travels, and the first of them is tried in its stead."""
        tried = not self._waiting  # at each alarm: only one of them makes room on a full disk
        self._note_newest(state)
        self._to_memory(event, body, "behind")
        self._wait_in_line((order, event, body, state))
        if tried:
            self._alone = self._owed[0][1].id
            self._offer_owed(self._owed.pop(0))

    def _wait_in_line(self, owed: _Owed) -> None:
        bisect.insort(self._owed, owed, key=_place)
        if len(self._owed) > MEMORY_ALARMS_MAX:
            self._give_up(self._owed.pop(0))

    def _give_up(self, owed: _Owed) -> None:
        _, event, _, state = owed
        self._memory_ids.pop(event.id, None)
        self._owe_state(event, state)

    def _note_newest(self, state: Mapping[str, Piece]) -> None:
        self._newest.update((key, order) for key, (order, _) in state.items())

    def _still_newest(self, state: Mapping[str, Piece]) -> dict[str, Piece]:
        """Without the pieces of which a newer value is durable, in hand or in line."""
        return {key: piece for key, piece in state.items() if piece[0] >= self._newest.get(key, 0)}

    def _owe_state(self, event: Event, state: Mapping[str, Piece]) -> None:
        """What changed with an event that will not be durable; not what is that event's alone."""
        self._state_owed.update(self._still_newest(state))
        self._state_owed.pop(UNSENT_KEY + event.id, None)

    def _offer(self, order: int, event: Event, body: bytes, state: Mapping[str, Piece]) -> None:
        state = self._still_newest(state)
        if self._state_owed:
            state = {**self._still_newest(self._state_owed), **state}
            self._state_owed = {}
        self._note_newest(state)
        stops = None
        if event.priority is Priority.ALARM:
            stops = self._stops
            self._waiting[event.id] = (event, body)
            self._loop.call_later(SLOW_S, self._overdue, event.id)

        def settled(ticket: Ticket) -> None:  # in the writer thread; one wake-up of the loop for a whole commit
            self._settled.append((order, event, body, state, ticket))
            if not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._drain)

        self._in_hand[order] = None
        pieces = {key: value for key, (_, value) in state.items()}
        self._journal.append(event.priority, body, pieces or None, settled, stops)

    def _drain(self) -> None:
        self._woken = False  # before the first look: what is added from now on wakes the loop again
        while self._settled:
            submitted = self._settled.popleft()
            try:
                self._settle(*submitted)
            except Exception:  # those behind it must be told too
                log.exception("settled id=%s", submitted[1].id)
        self._go_on()
        if not self._in_hand and (not (self._owed or self._suspects) or len(self._newest) > STATE_KEYS_MAX):
            in_line = {key for *_, state in (*self._owed, *self._suspects) for key in state}.union(self._state_owed)
            self._newest = {key: order for key, order in self._newest.items() if key in in_line}
        self._answer_receipts()

    def _settle(self, order: int, event: Event, body: bytes, state: Mapping[str, Piece], ticket: Ticket) -> None:
        self._waiting.pop(event.id, None)
        self._in_hand.pop(order, None)
        if (call := self._told.pop(event.id, None)) is not None:
            self._loop.call_soon(call, ticket.name)
        name = ticket.name
        if name is None:
            if ticket.stops is not None:
                self._stops = max(self._stops, ticket.stops)
            self._refused(order, event, body, state, ticket.error or "")
            return
        if (n := self._memory_ids.pop(event.id, None)) is not None and not self._mandatory:
            self._memory.pop(n, None)  # no centre will ever ask for it
        self._push(
            "event",
            {"event": body.decode(), "name": {"epoch": name.epoch, "stream": name.priority.stream, "n": name.n}},
        )
        self._push_record(name.epoch, event.priority, name.n, body if event.priority is Priority.ALARM else None)
        if event.priority is Priority.ALARM:
            self._takes = True

    def _refused(self, order: int, event: Event, body: bytes, state: Mapping[str, Piece], code: str) -> None:
        self._refusals += 1
        if event.priority is not Priority.ALARM:
            log.error(REFUSED, event.id, event.kind.value, code)
            self._owe_state(event, state)
            self._push("event", {"event": body.decode(), "name": None})
            return
        self._to_memory(event, body, code)
        owed = (order, event, body, state)
        if code in NEVER:
            self._give_up(owed)
            return
        self._singly = code == "bug" or (self._singly and code == "behind")
        self._takes = self._takes and code == "behind"
        if code == "bug" and event.id == self._alone:
            self._suspects.append(owed)
            if len(self._suspects) > MEMORY_ALARMS_MAX:
                self._give_up(self._suspects.popleft())
        else:
            self._wait_in_line(owed)

    def _overdue(self, event_id: str) -> None:
        if waiting := self._waiting.get(event_id):
            self._to_memory(*waiting, "slow")

    def _to_memory(self, event: Event, body: bytes, code: str) -> None:
        if event.id in self._memory_ids:
            return
        log.error(REFUSED, event.id, event.kind.value, code)  # once: a card that comes and goes refuses thousands again
        if len(self._memory) >= MEMORY_ALARMS_MAX:
            n, (event_id, _) = self._memory.popitem(last=False)
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


def _place(owed: _Owed) -> int:
    return owed[0]
