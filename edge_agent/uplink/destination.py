"""One centre and its own fate: connect, send in order of worth, wait for the centre's word, and try again for ever."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final, NoReturn

from buffer.records import Priority
from edge_agent.commands import Refusal
from edge_agent.config.uplinks import Uplink
from edge_agent.tasks import end
from edge_agent.uplink import history, noticing
from edge_agent.uplink.backoff import BOOT_S, Backoff
from edge_agent.uplink.commands import Channel, Command, CommandDesk
from edge_agent.uplink.contract import STREAMS
from edge_agent.uplink.link import LinkError, Session
from edge_agent.uplink.outbox import Outbox
from edge_agent.uplink.parts import Parts
from edge_agent.uplink.sender import Sender
from edge_agent.uplink.settling import Settling
from edge_agent.uplink.source import MEMORY_PREFIX
from edge_agent.uplink.standing import Standing

TICK_S: Final = 1.0
SNAPSHOT_S: Final = 0.5  # the core's snapshot is worth this wait, an alarm is not worth more; a later one follows


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
        # A new MQTT centre gets what the journal holds, marked as replay; GB/T 26875.3 has no such mark. So with a stream it did
        # not get before.
        self._joining: frozenset[Priority] = frozenset()
        if settings.gb26875 is not None and not settings.gb26875.history:
            self._joining = self._takes
            if not parts.ledger.is_new(self.id):
                self._joining &= parts.ledger.left_out(self.id)
        if not self._joining:
            parts.ledger.meet(self.id, self._takes)
        self.desk = CommandDesk(self.id, parts.ask, self)
        self._wake = asyncio.Event()
        self._alarm = asyncio.Event()
        self._session: Session | None = None
        self._lost_s: float | None = None
        self._state_owed = False  # said in short, because an alarm waited, or not true any more
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
            too_large=lambda batch: self.settling.too_large(batch),  # noqa: PLW0108 - made below, of this sender
        )
        self.settling = Settling(
            settings,
            parts,
            self.outbox,
            self._sender,
            self.standing,
            desk=self.desk,
            counters=self.counters,
            wake=self._wake.set,
            show_anew=self._owe_state,
        )

    def _owe_state(self) -> None:
        self._state_owed = True

    # --- told from outside ------------------------------------------------------------------------------------------------

    def join(self, heads: Mapping[tuple[str, Priority], int]) -> None:
        """The first look at the journal: of what is new here, and comes without history, the centre has all that is in it."""
        if not self._joining:
            return
        joining, self._joining = self._joining, frozenset()
        for (epoch, priority), head in heads.items():
            if priority in joining and self.outbox.get(epoch, priority) is None:
                self._pass_by(epoch, priority, head)
        self._parts.ledger.meet(self.id, self._takes)

    def _pass_by(self, epoch: str, priority: Priority, through: int) -> None:
        """This destination is not owed what the journal has of a stream up to here."""
        if self.outbox.grow(epoch, priority, through) and (stream := self.outbox.get(epoch, priority)) is not None:
            before = stream.done.through
            self.outbox.settle(stream, 1, through)
            self.settling.note(stream, before)

    def grow(self, epoch: str, priority: Priority, head: int) -> None:
        """The journal has records up to `head`."""
        if priority not in self._takes:
            if not epoch.startswith(MEMORY_PREFIX):  # nothing is kept for a destination that does not want it
                self._parts.reports.confirm(self.id, epoch, priority, head)
            return
        if priority in self._joining and self.outbox.get(epoch, priority) is None:
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
            self._state_owed = False  # before the core is asked: its answer may be too old for who asks meanwhile
            snapshot = await self._parts.snapshot()
            if self._session is not None:  # a long one is owed until no alarm waits
                self._state_owed |= not self._session.send_state(
                    snapshot, core=snapshot is not None, alarm_waits=self._alarm_waits()
                )

    async def judge_config(self, params: Mapping[str, object]) -> dict[str, object]:
        """Whether a signed configuration may be taken. Raise Refusal."""
        if self._parts.judge_config is None:
            raise Refusal("no_config_key")
        return await self._parts.judge_config(params)

    async def fetch_update(self, command: Command) -> dict[str, object]:
        """Take an offer of a bundle. Raise Refusal."""
        if self._parts.fetch is None:
            raise Refusal("no_updater")
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
            again, spread_s = False, 0.0
            try:
                opening = asyncio.create_task(self._parts.link.open(self.settling), name=f"open:{self.id}")
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
                again, spread_s = why.again, why.spread_s
                if not again:  # else another path takes over: the link that failed is told as such
                    self.standing.down(why)
            finally:
                if opening is not None and not opening.done():
                    opening.cancel()
            if not again:
                await self._wait(backoff)
            elif spread_s:
                await self._stand_aside(self._parts.rng.uniform(0.0, spread_s))

    async def _stand_aside(self, wait_s: float) -> None:
        """Let others go first, until an alarm waits."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + wait_s
        while not self.outbox.alarm_pending and (left_s := until_s - loop.time()) > 0:
            self._turns += 1
            self._alarm.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, TICK_S)):
                    await self._alarm.wait()

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
        self.settling.begin()
        self.outbox.connected(brief=session.brief)
        self._sender.begin(session, loop.time() - self._lost_s if self._lost_s is not None else 0.0)
        self.standing.connected()
        waker = session.closed
        waker.add_done_callback(lambda _: self._wake.set())
        birth = asyncio.create_task(self.say_state(), name=f"state:{self.id}")
        saying: asyncio.Task[None] | None = birth
        try:
            await asyncio.wait({birth}, timeout=SNAPSHOT_S)
            if not birth.done():  # a core that is slow is none that is gone: the rest when it answers
                session.send_state(None, core=True, alarm_waits=self._alarm_waits())
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

    def _alarm_waits(self) -> bool:
        """Whether one would wait behind something long; those that the broker denies wait for other things."""
        return self.outbox.alarm_pending and Priority.ALARM not in self.settling.denied_streams

    def _too_old(self, session: Session, now_s: float) -> LinkError | None:
        oldest_s = self.outbox.oldest_s()
        if oldest_s is None or now_s - oldest_s <= session.waits_s:
            return None
        # did the broker at least take what the centre did not confirm?
        reason = "centre_silent" if self.settling.taken_s >= oldest_s else "half_open"
        return LinkError(
            reason, f"unconfirmed for {now_s - oldest_s:.0f} s", spread_s=noticing.elsewhere_s(session.waits_s)
        )
