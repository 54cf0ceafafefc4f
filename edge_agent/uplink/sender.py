"""Puts on the wire of one centre what may go now: alarms at hand first, then whatever one read of the journal at a time brings."""

import asyncio
import logging
import math
import random
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Final

from buffer.records import Priority
from edge_agent.config.uplinks import Uplink
from edge_agent.model import event_id
from edge_agent.uplink.budget import Burst
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.link import Session
from edge_agent.uplink.outbox import Outbox, Want
from edge_agent.uplink.pace import Pace
from edge_agent.uplink.source import RECORDS_MAX, Found, Source, SourceError

log = logging.getLogger("edge.uplink")

ASK_AGAIN_S: Final = 2.0  # a range the centre keeps asking for is sent again this often at first, then ever more seldom
SPARING_BURST: Final = (20, 2.0)  # messages of alarms at once on a link that costs, then one in so many seconds
BRIEF_BURST: Final = (8, 5.0)  # the same of packed frames
BRIEF_READ_BYTES: Final = 512 * 1024  # of records that one packed frame may count
SPARE_SLOTS: Final = 8  # with the window and its reserve 20: what mosquitto takes before it has answered one
SPARE_EVERY_S: Final = 1.0
SPREAD_S: Final = 20.0  # after an outage replay of the lower streams starts within this, at random
UNREADABLE_S: Final = 1.0  # a stream the journal could not give is left alone for so long


class Sender:
    """One for a destination. `begin` with each session, `fill` whenever something may have changed, `stop` when it has ended.

    `wake` is called when another `fill` may find more; `too_large` gets a batch of one that no message of the session can carry.
    """

    def __init__(
        self,
        settings: Uplink,
        outbox: Outbox,
        source: Source,
        *,
        rng: random.Random,
        restamp: Callable[[bytes], bytes],
        counters: MutableMapping[str, int],
        wake: Callable[[], None],
        too_large: Callable[[Batch], None],
    ) -> None:
        self._id, self._settings, self._outbox, self._source = settings.id, settings, outbox, source
        self._rng, self._restamp, self._counters = rng, restamp, counters
        self._wake, self._too_large = wake, too_large
        self._session: Session | None = None
        self._reading: asyncio.Task[None] | None = None
        self._bug: Exception | None = None
        self._burst = Burst(*SPARING_BURST)
        self._spread_until_s = 0.0
        self._alarm_sent_s = -math.inf
        self.pace = Pace(ceiling_bytes=0, batch_bytes=0)
        self.blocked: dict[Priority, float] = {}  # until when; streams whose topic the broker denies

    def begin(self, session: Session, outage_s: float) -> None:
        """A session is open, after `outage_s` without one."""
        self._session = session
        batch_bytes = min(self._settings.batch_bytes, session.max_bytes)
        self.pace = Pace(ceiling_bytes=session.window * batch_bytes, batch_bytes=batch_bytes)
        self.blocked.clear()
        self._burst = Burst(*(BRIEF_BURST if session.brief else SPARING_BURST))
        spread_s = self._rng.uniform(0.0, min(SPREAD_S, outage_s / 10))
        self._spread_until_s = asyncio.get_running_loop().time() + spread_s

    async def stop(self) -> None:
        """The session is over: nothing more is read for it."""
        self._session = None
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})

    def fill(self, session: Session) -> None:
        """Put on the wire what may go. Raise what a read before this one tripped over: a bug."""
        if self._bug is not None:
            bug, self._bug = self._bug, None
            raise bug
        now_s = asyncio.get_running_loop().time()
        self._outbox.send_lost_again(now_s, ask_again_s=ASK_AGAIN_S)
        blocked = frozenset(p for p, until_s in self.blocked.items() if until_s > now_s) | session.withheld
        max_bytes = BRIEF_READ_BYTES if session.brief else min(self._settings.batch_bytes, session.max_bytes)
        while True:
            if session.sparing and not self._burst.ready(now_s):
                blocked |= {Priority.ALARM}  # a storm: what comes until the next turn shares a message
            if (batch := self._outbox.take_fresh(self._slots(session, now_s), blocked, max_bytes)) is None:
                break
            self._send(session, batch)
        if self._reading is not None:
            return
        if now_s < self._spread_until_s:
            blocked |= {Priority.STATUS, Priority.TELEMETRY, Priority.MEDIA}
        want = self._outbox.pick(session.window, self.pace.budget_bytes, blocked)
        if want is not None:
            self._reading = asyncio.create_task(self._read(session, want), name=f"read:{self._id}")

    def _slots(self, session: Session, now_s: float) -> int:
        """The window for a fresh alarm. When it is full the confirms may be what the link loses, and not the alarms: while they
        are waited for, a message of alarms a second goes all the same.
        """
        if now_s - self._alarm_sent_s < SPARE_EVERY_S or math.isinf(session.waits_s):
            return session.window
        return session.window + SPARE_SLOTS

    async def _read(self, session: Session, want: Want) -> None:
        stream = want.stream
        limit = min(RECORDS_MAX, stream.limit or RECORDS_MAX)
        max_bytes = BRIEF_READ_BYTES if session.brief else min(self.pace.batch_bytes, session.max_bytes)
        try:
            found = await self._source.read(
                stream.epoch, stream.priority, want.first, want.last, limit=limit, max_bytes=max_bytes
            )
            if self._session is session and not session.closed.done():
                self._send_read(session, want, found)
        except SourceError as fault:
            log.error("dest=%s journal fault=%s", self._id, ascii(str(fault)))
            self.blocked[stream.priority] = asyncio.get_running_loop().time() + UNREADABLE_S
        except Exception as bug:  # noqa: BLE001 - raised again by the worker, which its supervisor restarts
            self._bug = bug
        self._reading = None
        self._wake()

    def _send_read(self, session: Session, want: Want, found: Found) -> None:
        batch = self._outbox.compose(want, found)
        if batch is not None:
            self._send(session, batch)

    def _send(self, session: Session, batch: Batch) -> None:
        now_s = asyncio.get_running_loop().time()
        batch = replace(batch, records=[(n, self._restamp(body)) for n, body in batch.records])
        payload = session.encode(batch)
        while len(payload) > session.max_bytes:  # the broker would hang up on it, every time
            if len(batch.records) + len(batch.gaps) == 1:
                self._too_large(batch)
                return
            batch = batch.half()
            payload = session.encode(batch)
        ids = tuple(i for _, body in batch.records if (i := event_id(body))) if batch.priority is Priority.ALARM else ()
        if batch.priority is Priority.ALARM:
            self._burst.take()
            self._alarm_sent_s = now_s
        flight = self._outbox.sent(batch, len(payload), now_s, ids)
        self._counters["batches"] += 1
        self._counters["records"] += len(batch.records)
        self._counters["bytes"] += len(payload)
        self._counters["again"] += len(batch.records) if batch.dup else 0
        session.send(flight, payload)
