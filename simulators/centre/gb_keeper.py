"""The GB/T 26875.3 side's store, in a thread of its own: the loop that serves the stations never waits for the database."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simulators.centre.check import Rejected
from simulators.centre.fair import Room
from simulators.centre.store import Answer, Store, StoreFault
from simulators.centre.store_thread import StoreThread

log = logging.getLogger("edge.centre.gb26875")

LANE: Final = "gb26875"  # of uploads
STATES: Final = "gb26875-state"  # who is there; as many as somebody makes up addresses, so they have a lane behind
# Uploads and states that wait for the database; what comes on top is not taken, and comes again
WAITING_MAX: Final = 4000
SHARE_MAX: Final = 64  # uploads of one device, however many connections it has


@dataclass(eq=False, slots=True)
class Job:
    """`take` brings something of `gateway` into the store's transaction, in the thread, as often as it must. `done` hears on the
    loop, once: True after the commit, False if it can never be stored.
    """

    gateway: str
    take: Callable[[Store], None]
    done: Callable[[bool], None]
    kept: bool = True
    lane: str = LANE


class Keeper(StoreThread[Job]):
    """`start` it on the loop that shall hear, `stop` it off that loop.

    `heard` hears, in threads, what becomes of the database; `on_bug`, on the loop, that a bug of ours has ended the thread.
    """

    def __init__(self, store: Store, heard: Callable[[StoreFault | None], None], on_bug: Callable[[], None]) -> None:
        super().__init__(store, (LANE, STATES), Room(LANE, most=WAITING_MAX, share=SHARE_MAX))
        self._heard, self._on_bug = heard, on_bug
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Work until `stop`."""
        self._loop = asyncio.get_running_loop()
        super().start()

    def take(self, item: Job) -> None:
        """See StoreThread."""
        item.kept = True
        try:
            item.take(self._store)
        except Rejected as why:
            item.kept = False
            log.error("unstorable why=%s", ascii(str(why))[:500])

    def committed(self, items: Sequence[Job], answers: Mapping[str, Answer]) -> None:
        """See StoreThread."""
        self.let_go(items)
        self.on_loop(lambda: _tell(items))

    def give_up(self, item: Job, why: str) -> None:
        """See StoreThread."""
        item.kept = False
        log.error("unstorable why=%s", ascii(why)[:500])
        self.let_go([item])
        self.on_loop(lambda: _tell([item]))

    def stands(self, fault: StoreFault | None) -> None:
        """See StoreThread."""
        self._heard(fault)

    def bug(self) -> None:
        """See StoreThread."""
        self.on_loop(self._on_bug)

    def on_loop(self, call: Callable[[], None]) -> None:
        """Call this on the loop, soon, unless the loop is over. Any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call)


def _tell(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job.done(job.kept)
