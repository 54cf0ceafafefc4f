"""One centre and its own fate: connect, send in order of worth, wait for the centre's word, and try again for ever."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from buffer.records import Name, Priority
from edge_agent.clock import TimeSource
from edge_agent.commands import Refusal as CommandRefusal
from edge_agent.config.uplinks import Uplink
from edge_agent.model import event_id
from edge_agent.tasks import end
from edge_agent.uplink import history
from edge_agent.uplink.backoff import BOOT_S, Backoff
from edge_agent.uplink.bundle_fetch import BundleFetch
from edge_agent.uplink.commands import AskCore, Channel, Command, CommandDesk
from edge_agent.uplink.contract import STREAMS, Ack, Batch, Refusal
from edge_agent.uplink.intervals import Intervals
from edge_agent.uplink.ledger import Ledger, Refused
from edge_agent.uplink.link import Link, LinkError, Session
from edge_agent.uplink.outbox import Outbox
from edge_agent.uplink.sender import Sender
from edge_agent.uplink.source import MEMORY_PREFIX, Source
from edge_agent.uplink.standing import Reports, Standing
from edge_agent.uplink.stream import Flight, Stream

log = logging.getLogger("edge.uplink")

TICK_S: Final = 1.0
SNAPSHOT_S: Final = 0.5  # the core's snapshot is worth this wait, an alarm is not worth more
TOO_LARGE: Final = "larger than the broker's packets"
DECLINES_MAX: Final = 3  # the centre said no to a record so often, while it took others: it is put aside
DECLINED_MAX: Final = 64  # so many waiting: it is the centre, not the records
DECLINED_PAUSE_S: Final = 8.0  # as an alarm that waits for a connection


@dataclass(slots=True)
class _Decline:
    """A record the centre said no to."""

    settled_before: int  # records settled when it first did
    count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a destination is wired to."""

    link: Link
    source: Source
    ledger: Ledger
    reports: Reports
    clock: TimeSource
    rng: random.Random
    snapshot: Callable[[], Awaitable[dict[str, object] | None]]
    ask: AskCore
    restamp: Callable[[bytes], bytes]  # a record from before the clock was right, dated by what is known now
    brief_is_all: bool = False  # no path of it carries records in full
    unseen: Callable[[], None] = lambda: None  # the centre has alarms no batch of ours carried: whose lamp is that?
    judge_config: Callable[[Mapping[str, object]], Awaitable[dict[str, object]]] | None = None  # None: none is taken
    fetch: BundleFetch | None = None  # of updates; None: no centre may send one


class Destination:
    """One worker. `run` until cancelled; the other methods are called on the loop."""

    def __init__(self, settings: Uplink, parts: Parts) -> None:
        self.id, self._settings, self._parts = settings.id, settings, parts
        self._takes = frozenset(priority for priority in STREAMS if settings.takes(priority.stream))
        if parts.brief_is_all:
            self._takes &= {Priority.ALARM, Priority.FAULT}  # nothing waits here for a path that does not exist
        self.outbox = Outbox(
            parts.ledger.load(self.id),
            [(r.name.epoch, r.name.priority, r.name.n) for r in parts.ledger.refused(self.id)],
            takes=self._takes,
            told=parts.ledger.load_told(self.id),
            brief_is_all=parts.brief_is_all,
        )
        # A new MQTT centre gets what the journal holds, marked as replay; GB/T 26875.3 has no such mark.
        self._joining = settings.gb26875 is not None and not settings.gb26875.history and parts.ledger.is_new(self.id)
        if not self._joining:
            parts.ledger.meet(self.id)
        self._declines: dict[Name, _Decline] = {}
        self._settled = 0  # records, in the life of this process
        self.desk = CommandDesk(self.id, parts.ask, self)
        self._wake = asyncio.Event()
        self._alarm = asyncio.Event()
        self._session: Session | None = None
        self._denied: dict[Priority, Backoff] = {}
        self._lost_s: float | None = None
        self._puback_s = 0.0  # when the broker last took a batch
        self._state_owed = False  # said in short, because an alarm waited
        self.standing = Standing(self.id, parts.reports)
        self._turns = 0
        self.counters = {
            "connections": 0,
            "batches": 0,
            "records": 0,
            "bytes": 0,
            "confirmed": 0,
            "again": 0,
            "refused": 0,
            "denied": 0,
        }
        self._sender = Sender(
            settings,
            self.outbox,
            parts.source,
            rng=parts.rng,
            restamp=parts.restamp,
            counters=self.counters,
            wake=self._wake.set,
            too_large=self._too_large,
        )

    # --- told from outside ------------------------------------------------------------------------------------------------

    def join(self, heads: Mapping[tuple[str, Priority], int]) -> None:
        """The first look at the journal: a centre that is new here, and wants no history, has all that is in it."""
        if not self._joining:
            return
        self._joining = False
        for (epoch, priority), head in heads.items():
            if self.outbox.get(epoch, priority) is None:
                self._pass_by(epoch, priority, head)
        self._parts.ledger.meet(self.id)

    def _pass_by(self, epoch: str, priority: Priority, through: int) -> None:
        """This destination is not owed what the journal has of a stream up to here."""
        if self.outbox.grow(epoch, priority, through) and (stream := self.outbox.get(epoch, priority)) is not None:
            before = stream.done.through
            self.outbox.settle(stream, 1, through)
            self._note(stream, before)

    def grow(self, epoch: str, priority: Priority, head: int) -> None:
        """The journal has records up to `head`."""
        if priority not in self._takes:
            if not epoch.startswith(MEMORY_PREFIX):  # nothing is kept for a destination that does not want it
                self._parts.reports.confirm(self.id, epoch, priority, head)
            return
        if self._joining and self.outbox.get(epoch, priority) is None:
            self._pass_by(epoch, priority, head - 1)
        if self.outbox.grow(epoch, priority, head):
            self._wake.set()
            if priority is Priority.ALARM:
                self._alarm.set()

    def alarm(self, epoch: str, n: int, body: bytes) -> None:
        """An alarm came with its body."""
        self.grow(epoch, Priority.ALARM, n)
        if Priority.ALARM in self._takes:
            self.outbox.add_fresh(epoch, n, body)
            self._wake.set()
            self._alarm.set()

    def salvaged(self) -> None:
        """Nothing more will be read out of files that were set aside."""
        self.outbox.salvaged()
        self._wake.set()

    def progress(self) -> int:
        """Grows while the worker lives, connected or not."""
        return self._turns

    def say_pending(self) -> None:
        """Tell the core how much waits, if that has changed."""
        self.standing.waits({p.stream: self.outbox.pending(p) for p in STREAMS if p in self._takes})

    async def say_state(self) -> None:
        """Publish the state message again, if connected."""
        if self._session is not None:
            snapshot = await self._parts.snapshot()
            if self._session is not None:
                self._send_state(self._session, snapshot)

    async def judge_config(self, params: Mapping[str, object]) -> dict[str, object]:
        """Whether a signed configuration may be taken. Raise Refusal."""
        if self._parts.judge_config is None:
            raise CommandRefusal("no_config_key")
        return await self._parts.judge_config(params)

    async def fetch_update(self, command: Command) -> dict[str, object]:
        """Take an offer of a bundle. Raise Refusal."""
        if self._parts.fetch is None:
            raise CommandRefusal("no_updater")
        return await self._parts.fetch.begin(self.id, command)

    def update_part(self, name: bytes, data: bytes) -> None:
        """A part of it came."""
        if self._parts.fetch is not None:
            self._parts.fetch.part(name, data)

    def channel(self) -> Channel | None:
        """`edge_agent.uplink.bundle_fetch.Door`: an update is worth what a state is, and waits for every alarm."""
        session = self._session
        if session is None or session.brief or Priority.STATUS in session.withheld or self.outbox.alarm_pending:
            return None
        return self.desk.channel

    def resend(self, epoch: str, priority: Priority, first: int, last: int) -> int:
        """Send a range again, as a centre asks by command; return how many numbers of it are due by that."""
        due = self.outbox.resend(epoch, priority, first, last)
        self._wake.set()
        return due

    async def history(self, query: Mapping[str, object]) -> dict[str, object]:
        """Records of the journal, newest first, as a centre asks by command."""
        return await history.find(self._parts.source, query, self._parts.restamp)

    # --- the worker -----------------------------------------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Deliver until cancelled. Any exception but cancellation is a bug."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._parts.rng)
        opening: asyncio.Task[Session] | None = None
        if loop.time() < BOOT_S:  # the loop's clock is the machine's: it has just been switched on
            backoff.spread()
            await self._wait(backoff)
        while True:
            self._turns += 1
            started_s = loop.time()
            again = False
            try:
                opening = asyncio.create_task(self._parts.link.open(self), name=f"open:{self.id}")
                while not opening.done():  # a name that hangs is not a worker that hangs
                    self._turns += 1
                    await asyncio.wait({opening}, timeout=TICK_S)
                session = opening.result()
            except LinkError as fault:
                self.standing.down(fault)
            else:
                started_s = loop.time()
                try:
                    why = await self._serve(session)
                finally:
                    self._session = None
                    await self._sender.stop()
                    self.outbox.back_all()
                    await session.close()
                self._lost_s = loop.time()
                backoff.lasted(loop.time() - started_s)
                again = why.again
                if not again:  # else another path takes over: the link that failed is told as such
                    self.standing.down(why)
            finally:
                if opening is not None and not opening.done():
                    opening.cancel()
            if not again:
                await self._wait(backoff)

    async def _wait(self, backoff: Backoff) -> None:
        """Full jitter; an alarm that waits, or arrives while we wait, has its own shorter budget."""
        loop = asyncio.get_running_loop()
        alarm = self.outbox.alarm_pending
        until_s = loop.time() + backoff.next_s(alarm=alarm)
        self._alarm.clear()
        while (left_s := until_s - loop.time()) > 0:
            self._turns += 1
            try:
                async with asyncio.timeout(min(left_s, TICK_S)):
                    await self._alarm.wait()
            except TimeoutError:
                continue
            self._alarm.clear()
            backoff.fresh_alarm()
            if not alarm:
                alarm = True
                until_s = min(until_s, loop.time() + backoff.next_s(alarm=True))

    async def _serve(self, session: Session) -> LinkError:
        """Work one connection until it ends; return why."""
        loop = asyncio.get_running_loop()
        self._session = session
        self.counters["connections"] += 1
        self._denied.clear()
        self._puback_s = loop.time()
        self.outbox.connected(brief=session.brief)
        self._sender.begin(session, loop.time() - self._lost_s if self._lost_s is not None else 0.0)
        self.standing.connected()
        self._send_state(session, await self._snapshot())
        waker = session.closed
        waker.add_done_callback(lambda _: self._wake.set())
        saying: asyncio.Task[None] | None = None
        try:
            while not session.closed.done():
                self._turns += 1
                self._wake.clear()
                self._sender.fill(session)
                if (fault := self._too_old(session, loop.time())) is not None:
                    session.end(fault)
                    break
                if saying is not None and saying.done():
                    saying.result()  # raises its bug
                    saying = None
                if self._state_owed and not self._alarm_waits() and saying is None:
                    # after a storm the core may take its time over it: neither an alarm nor this loop waits for that
                    saying = asyncio.create_task(self.say_state(), name=f"state:{self.id}")
                try:
                    async with asyncio.timeout(TICK_S):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            if saying is not None:
                await end(saying)
        return await session.closed

    async def _snapshot(self) -> dict[str, object] | None:
        """What the core knows now, if it says so at once."""
        try:
            async with asyncio.timeout(SNAPSHOT_S):
                return await self._parts.snapshot()
        except TimeoutError:
            return None

    def _send_state(self, session: Session, snapshot: dict[str, object] | None) -> None:
        """A long one is owed until no alarm waits."""
        self._state_owed = not session.send_state(snapshot, alarm_waits=self._alarm_waits())

    def _alarm_waits(self) -> bool:
        """Whether one would wait behind something long; those that the broker denies wait for other things."""
        return self.outbox.alarm_pending and Priority.ALARM not in self._denied

    def _too_old(self, session: Session, now_s: float) -> LinkError | None:
        oldest_s = self.outbox.oldest_s()
        if oldest_s is None or now_s - oldest_s <= session.waits_s:
            return None
        # did the broker at least take what the centre did not confirm?
        reason = "centre_silent" if self._puback_s >= oldest_s else "half_open"
        return LinkError(reason, f"unconfirmed for {now_s - oldest_s:.0f} s")

    def _too_large(self, batch: Batch) -> None:
        stream = self.outbox.get(batch.epoch, batch.priority)
        if stream is not None and batch.records:
            self._put_aside(stream, batch.first, TOO_LARGE, batch.records[0][1])

    # --- told by the session (link.Receiver) ------------------------------------------------------------------------------------

    def taken(self, flight: Flight) -> None:
        """PUBACK."""
        self._puback_s = asyncio.get_running_loop().time()
        self._denied.pop(flight.batch.priority, None)  # mended; the next confirm says that the link is up
        if self._settings.ack == "broker":
            before = flight.stream.done.through
            confirmed = self.outbox.settle(flight.stream, flight.batch.first, flight.batch.last)
            self._confirmed(flight.stream, confirmed, before)

    def denied(self, flight: Flight, code: int, detail: str) -> None:
        """Nothing is parked: the batch is due again, later, and people hear of it."""
        priority = flight.batch.priority
        self.counters["denied"] += 1
        self.outbox.back(flight)
        backoff = self._denied.setdefault(priority, Backoff(self._parts.rng))
        self._sender.blocked[priority] = asyncio.get_running_loop().time() + backoff.next_s(
            alarm=priority is Priority.ALARM
        )
        self.standing.say(False, "denied", code=f"0x{code:02x}", stream=priority.stream, detail=_ascii(detail))
        self._wake.set()

    def state_denied(self, code: int, detail: str) -> None:
        """The batches may still be welcome."""
        self._parts.reports.fault(self.id, "state_denied", puback=f"0x{code:02x}", detail=_ascii(detail))

    def commands_denied(self, detail: str) -> None:
        """Records still flow: a fault on site, no reason to drop the link."""
        self._parts.reports.fault(self.id, "commands_denied", detail=_ascii(detail))

    def answered(self, ack: Ack) -> None:
        """The centre's word."""
        now_s = asyncio.get_running_loop().time()
        bodies = {r: self._body_on_wire(r) for r in ack.refused}
        for stream_ack in ack.acks:
            stream = self.outbox.get(stream_ack.epoch, stream_ack.priority)
            if stream is None:
                continue
            before = stream.done.through
            known = stream.done.copy() if stream.priority is Priority.ALARM else None
            confirmed = self.outbox.acknowledge(stream_ack, now_s)
            self._confirmed(stream, confirmed, before)
            if known is not None and _unseen(known, stream, confirmed):
                self._parts.unseen()  # as after a power cut that took the ledger's last word
        for refusal, body in bodies.items():
            stream = self.outbox.get(refusal.epoch, refusal.priority)
            if stream is not None:
                self._put_aside(stream, refusal.n, refusal.why, body)
        for name, why in ack.rejected:
            flight = self.outbox.flight_of(name)
            if flight is None:
                continue
            body = flight.batch.records[0][1] if flight.batch.records else b""
            culprit = self.outbox.reject(flight)
            if culprit is not None:
                self._put_aside(flight.stream, culprit, why, body)
            elif not flight.batch.records:  # not even a declared gap is understood: no use to hurry
                self._sender.blocked[flight.batch.priority] = now_s + self._settings.unconfirmed_s
        self._wake.set()

    def _confirmed(self, stream: Stream, flights: list[Flight], through_before: int) -> None:
        now_s = asyncio.get_running_loop().time()
        for flight in flights:
            self._sender.pace.confirmed(now_s - flight.sent_s, now_s)
            self.counters["confirmed"] += len(flight.batch.records)
        ids = [event_id for flight in flights for event_id in flight.event_ids]
        if ids:
            self._parts.reports.delivered(self.id, ids)
        self._note(stream, through_before)
        if not self._denied:
            self.standing.say(True, "confirmed")
        self._wake.set()

    def _note(self, stream: Stream, through_before: int) -> None:
        """Remember what is confirmed of a stream, and tell the core how far that goes."""
        if not stream.epoch.startswith(MEMORY_PREFIX):
            self._parts.ledger.note(self.id, stream.epoch, stream.priority, stream.done)
            if stream.brief:
                self._parts.ledger.note_told(self.id, stream.epoch, stream.priority, stream.told)
        if stream.done.through > through_before:
            self._parts.reports.confirm(self.id, stream.epoch, stream.priority, stream.done.through)

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
                self._parts.reports.delivered(self.id, ids)
        self.counters["confirmed"] += len(records)
        self.outbox.settle(stream, first, last)
        self._note(stream, before)
        if records:
            self.standing.say(True, "confirmed")
        self._wake.set()

    def declined(self, flight: Flight, n: int, why: str) -> None:
        """A record the centre says no to again and again while it takes others is put aside. Until then it waits, alone."""
        stream = flight.stream
        name = Name(stream.epoch, stream.priority, n)
        self.counters["denied"] += 1
        decline = self._declines.setdefault(name, _Decline(self._settled))
        decline.count += 1
        if decline.count >= DECLINES_MAX and self._settled > decline.settled_before:
            del self._declines[name]
            body = next((body for m, body in flight.batch.records if m == n), b"")
            self._put_aside(stream, n, why, body)
            return
        if self._settled == decline.settled_before:
            self.standing.say(False, "centre_denies", stream=stream.priority.stream)
        loop = asyncio.get_running_loop()
        self.outbox.park(stream, n)
        wait_s = Backoff(self._parts.rng).next_s(alarm=True) * 2.0 ** min(decline.count - 1, 4)
        loop.call_later(wait_s, self._unpark, stream, n)
        if len(self._declines) > DECLINED_MAX:
            self._sender.blocked[stream.priority] = loop.time() + DECLINED_PAUSE_S

    def _unpark(self, stream: Stream, n: int) -> None:
        self.outbox.unpark(stream, n)
        self._wake.set()

    def finished(self, flight: Flight) -> None:
        """What the centre did not take is due again."""
        self.outbox.back(flight)
        self._wake.set()

    def alive(self) -> None:
        """The centre answers, and has not said no to every record."""
        self.standing.alive()

    async def ask(self, do: str, **params: object) -> object:
        """For what a centre wants to read."""
        return await self._parts.ask(do, **params)

    def noticed(self, what: str, **params: object) -> None:
        """For people."""
        self._parts.reports.fault(self.id, what, **params)

    def _body_on_wire(self, refusal: Refusal) -> bytes:
        stream = self.outbox.get(refusal.epoch, refusal.priority)
        flights = stream.flights if stream is not None else []
        return next((body for f in flights for n, body in f.batch.records if n == refusal.n), b"")

    def _put_aside(self, stream: Stream, n: int, why: str, body: bytes) -> None:
        if not self.outbox.refuse(Refusal(stream.epoch, stream.priority, n, why)):
            return
        self.counters["refused"] += 1
        name = Name(stream.epoch, stream.priority, n)
        log.error(
            "dest=%s refused epoch=%s stream=%s n=%d why=%s", self.id, name.epoch, name.priority.stream, n, ascii(why)
        )
        self._parts.ledger.refuse(Refused(self.id, name, why, body, self._parts.clock.now().wall_ns))
        self._parts.reports.fault(
            self.id, "record_refused", epoch=name.epoch, stream=name.priority.stream, n=n, why=_ascii(why)
        )


def _unseen(known: Intervals, stream: Stream, confirmed: list[Flight]) -> bool:
    """Whether more than `known` is done of a stream that no batch of this connection carried."""
    fresh = stream.done.copy()
    for first, last in (*known, *((f.batch.first, f.batch.last) for f in (*confirmed, *stream.flights))):
        fresh.discard(first, last)
    return len(fresh) > 0


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:200]
