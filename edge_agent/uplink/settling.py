"""What one centre says of what it was sent, and what follows: ledger, lamps, what is due again, what is put aside."""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Final

from buffer.records import Name, Priority
from edge_agent.config.uplinks import Uplink
from edge_agent.model import event_id
from edge_agent.uplink.backoff import Backoff
from edge_agent.uplink.commands import CommandDesk
from edge_agent.uplink.contract import Ack, Batch, Refusal
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.ledger import Refused
from edge_agent.uplink.outbox import Outbox
from edge_agent.uplink.parts import Parts
from edge_agent.uplink.sender import Sender
from edge_agent.uplink.source import MEMORY_PREFIX
from edge_agent.uplink.standing import Standing
from edge_agent.uplink.stream import Flight, Stream

log = logging.getLogger("edge.uplink")

TOO_LARGE: Final = "larger than the broker's packets"
DECLINES_MAX: Final = 3  # the centre said no to a record so often, while it took others: it is put aside
DECLINED_MAX: Final = 64  # so many waiting: it is the centre, not the records
DECLINED_PAUSE_S: Final = 8.0  # as an alarm that waits for a connection


@dataclass(slots=True)
class _Decline:
    """A record the centre said no to."""

    settled_before: int  # records settled when it first did
    count: int = 0


class Settling:
    """`edge_agent.uplink.link.Receiver` of one destination's sessions. `wake` is called when more may be sent now, `show_anew` when
    the centre is owed the present state.
    """

    def __init__(
        self,
        settings: Uplink,
        parts: Parts,
        outbox: Outbox,
        sender: Sender,
        standing: Standing,
        *,
        desk: CommandDesk,
        counters: MutableMapping[str, int],
        wake: Callable[[], None],
        show_anew: Callable[[], None],
    ) -> None:
        self._id, self._settings, self._parts = settings.id, settings, parts
        self._outbox, self._sender, self._standing = outbox, sender, standing
        self.desk, self._counters, self._wake, self._show_anew = desk, counters, wake, show_anew
        self._declines: dict[Name, _Decline] = {}
        self._settled = 0  # records, in the life of this process
        self.denied_streams: dict[Priority, Backoff] = {}  # the broker takes none of them now
        self._state_denied = False  # people have heard of it, in this connection
        self.taken_s = 0.0  # when the broker last took a batch

    def begin(self) -> None:
        """A session is open."""
        self.denied_streams.clear()
        self._state_denied = False
        self.taken_s = asyncio.get_running_loop().time()

    def taken(self, flight: Flight) -> None:
        """PUBACK."""
        self.taken_s = asyncio.get_running_loop().time()
        self.denied_streams.pop(flight.batch.priority, None)  # mended; the next confirm says that the link is up
        if self._settings.ack == "broker":
            before = flight.stream.done.through
            confirmed = self._outbox.settle(flight.stream, flight.batch.first, flight.batch.last)
            self._confirm(flight.stream, confirmed, before)

    def denied(self, flight: Flight, code: int, detail: str) -> None:
        """Nothing is parked: the batch is due again, later, and people hear of it."""
        priority = flight.batch.priority
        self._counters["denied"] += 1
        self._outbox.back(flight)
        backoff = self.denied_streams.setdefault(priority, Backoff(self._parts.rng))
        self._sender.blocked[priority] = asyncio.get_running_loop().time() + backoff.next_s(
            alarm=priority is Priority.ALARM
        )
        self._standing.say(False, "denied", code=f"0x{code:02x}", stream=priority.stream, detail=_ascii(detail))
        self._wake()

    def state_denied(self, code: int, detail: str) -> None:
        """The batches may still be welcome. People hear of it once a connection, whatever the state is made of."""
        if self._state_denied:
            return
        self._state_denied = True
        self._parts.reports.fault(self._id, "state_denied", puback=f"0x{code:02x}", detail=_ascii(detail))

    def commands_denied(self, detail: str) -> None:
        """Records still flow: a fault on site, no reason to drop the link."""
        self._parts.reports.fault(self._id, "commands_denied", detail=_ascii(detail))

    def answered(self, ack: Ack) -> None:
        """The centre's word."""
        now_s = asyncio.get_running_loop().time()
        bodies = {r: self._body_on_wire(r) for r in ack.refused}
        for stream_ack in ack.acks:
            stream = self._outbox.get(stream_ack.epoch, stream_ack.priority)
            if stream is None:
                continue
            before = stream.done.through
            known = stream.done.copy() if stream.priority is Priority.ALARM else None
            confirmed = self._outbox.acknowledge(stream_ack, now_s)
            self._confirm(stream, confirmed, before)
            if known is not None and _unseen(known, stream, confirmed):
                self._parts.unseen()  # as after a power cut that took the ledger's last word
        for refusal, body in bodies.items():
            stream = self._outbox.get(refusal.epoch, refusal.priority)
            if stream is not None:
                self._put_aside(stream, refusal.n, refusal.why, body)
        for name, why in ack.rejected:
            flight = self._outbox.flight_of(name)
            if flight is None:
                continue
            body = flight.batch.records[0][1] if flight.batch.records else b""
            culprit = self._outbox.reject(flight)
            if culprit is not None:
                self._put_aside(flight.stream, culprit, why, body)
            elif not flight.batch.records:  # not even a declared gap is understood: no use to hurry
                self._sender.blocked[flight.batch.priority] = now_s + self._settings.unconfirmed_s
        self._wake()

    def _confirm(self, stream: Stream, flights: list[Flight], through_before: int) -> None:
        now_s = asyncio.get_running_loop().time()
        for flight in flights:
            self._sender.pace.confirmed(now_s - flight.sent_s, now_s)
            self._counters["confirmed"] += len(flight.batch.records)
        ids = [event_id for flight in flights for event_id in flight.event_ids]
        if ids:
            self._parts.reports.delivered(self._id, ids)
        self.note(stream, through_before)
        if not self.denied_streams:
            self._standing.say(True, "confirmed")
        self._wake()

    def note(self, stream: Stream, through_before: int) -> None:
        """Remember what is confirmed of a stream, and tell the core how far that goes."""
        if not stream.epoch.startswith(MEMORY_PREFIX):
            self._parts.ledger.note(self._id, stream.epoch, stream.priority, stream.done)
            if stream.brief:
                self._parts.ledger.note_told(self._id, stream.epoch, stream.priority, stream.told)
        if stream.done.through > through_before:
            self._parts.reports.confirm(self._id, stream.epoch, stream.priority, stream.done.through)

    def settled(self, flight: Flight, first: int, last: int) -> None:
        """The centre has these records of a batch; the rest of it may still be on its way."""
        stream, before = flight.stream, flight.stream.done.through
        records = [(n, body) for n, body in flight.batch.records if first <= n <= last]
        self._settled += len(records)
        for n, _ in records:
            self._declines.pop(Name(stream.epoch, stream.priority, n), None)
        flight.event_ids = ()  # told here, record by record
        if flight.batch.priority is Priority.ALARM:
            ids = [i for _, body in records if (i := event_id(body))]
            if ids:
                self._parts.reports.delivered(self._id, ids)
        self._counters["confirmed"] += len(records)
        self._outbox.settle(stream, first, last)
        self.note(stream, before)
        if records:
            self._standing.say(True, "confirmed")
        self._wake()

    def declined(self, flight: Flight, n: int, why: str) -> None:
        """A record the centre says no to again and again while it takes others is put aside. Until then it waits, alone."""
        stream = flight.stream
        name = Name(stream.epoch, stream.priority, n)
        self._counters["denied"] += 1
        decline = self._declines.setdefault(name, _Decline(self._settled))
        decline.count += 1
        if decline.count >= DECLINES_MAX and self._settled > decline.settled_before:
            del self._declines[name]
            body = next((body for m, body in flight.batch.records if m == n), b"")
            self._put_aside(stream, n, why, body)
            return
        if self._settled == decline.settled_before:
            self._standing.say(False, "centre_denies", stream=stream.priority.stream)
        loop = asyncio.get_running_loop()
        self._outbox.park(stream, n)
        wait_s = Backoff(self._parts.rng).next_s(alarm=True) * 2.0 ** min(decline.count - 1, 4)
        loop.call_later(wait_s, self._unpark, stream, n)
        if len(self._declines) > DECLINED_MAX:
            self._sender.blocked[stream.priority] = loop.time() + DECLINED_PAUSE_S

    def _unpark(self, stream: Stream, n: int) -> None:
        self._outbox.unpark(stream, n)
        self._wake()

    def finished(self, flight: Flight) -> None:
        """What the centre did not take is due again."""
        self._outbox.back(flight)
        self._wake()

    def alive(self) -> None:
        """The centre answers, and has not said no to every record."""
        self._standing.alive()

    def unsure(self) -> None:
        """It is shown the present anew, as soon as no alarm waits."""
        self._show_anew()
        self._wake()

    def noticed(self, what: str, **params: object) -> None:
        """For people."""
        self._parts.reports.fault(self._id, what, **params)

    def too_large(self, batch: Batch) -> None:
        """No message of the session can carry this batch of one."""
        stream = self._outbox.get(batch.epoch, batch.priority)
        if stream is not None and batch.records:
            self._put_aside(stream, batch.first, TOO_LARGE, batch.records[0][1])

    def _body_on_wire(self, refusal: Refusal) -> bytes:
        stream = self._outbox.get(refusal.epoch, refusal.priority)
        flights = stream.flights if stream is not None else []
        return next((body for f in flights for n, body in f.batch.records if n == refusal.n), b"")

    def _put_aside(self, stream: Stream, n: int, why: str, body: bytes) -> None:
        if not self._outbox.refuse(Refusal(stream.epoch, stream.priority, n, why)):
            return
        self._counters["refused"] += 1
        name = Name(stream.epoch, stream.priority, n)
        log.error(
            "dest=%s refused epoch=%s stream=%s n=%d why=%s", self._id, name.epoch, name.priority.stream, n, ascii(why)
        )
        self._parts.ledger.refuse(Refused(self._id, name, why, body, self._parts.clock.now().wall_ns))
        self._parts.reports.fault(
            self._id, "record_refused", epoch=name.epoch, stream=name.priority.stream, n=n, why=_ascii(why)
        )


def _unseen(known: Intervals, stream: Stream, confirmed: list[Flight]) -> bool:
    """Whether more than `known` is done of a stream that no batch of this connection carried."""
    fresh = stream.done.copy()
    for first, last in (*known, *((f.batch.first, f.batch.last) for f in (*confirmed, *stream.flights))):
        fresh.discard(first, last)
    return len(fresh) > 0


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:200]
