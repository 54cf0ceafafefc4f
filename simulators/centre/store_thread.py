"""A store and the thread that owns it: what shall be kept comes in, one commit for many, and after it whoever brought it is told.

What could not be stored is tried again, in its order, until it is stored or its bringer has it back. Who brings it (an MQTT
session, a loop full of stations) never waits for the database. Gateways take turns (`fair.py`): one that floods waits for itself.
"""

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from simulators.centre.fair import Room, Turns
from simulators.centre.store import Answer, Store, StoreFault

log = logging.getLogger("edge.centre")

GROUP_S: Final = 0.02  # what comes in so long shares a commit
STORE_RETRY_S: Final = 1.0
AT_ONCE: Final = "alarm"  # the lane whose last item ends a group
PASSED_MAX: Final = 8  # items that go before those of a lane; then it has a turn, so that no storm starves it
TOLD_EVERY_S: Final = 10.0  # how often it is told what was not taken
SILENT_S: Final = 10.0  # a store that has not answered for so long is told of, for it may never raise anything
HUNG_S: Final = 75.0  # and is let go of after so long: more than any statement may take (SESSION of postgres.py)
LOOK_S: Final = 1.0
STOP_S: Final = 5.0  # a store that takes longer to end what it does is let go of


class Item(Protocol):
    """What shall be kept."""

    @property
    def gateway(self) -> str:
        """Whose it is: in a lane gateways take turns."""
        ...

    @property
    def lane(self) -> str:
        """The queue it waits in, one of the thread's."""
        ...


ItemT = TypeVar("ItemT", bound=Item)


class StoreThread(ABC, Generic[ItemT]):
    """`lanes` come first to last: what waits in the first goes first, but for a small share of the others. In a lane what came of
    one gateway keeps its order, and gateways take turns. `room` is for those who may refuse what comes: see `reserve`.

    What a kind of item needs is added by inheriting: `take`, `committed` and the others below are called in the thread, `stands`
    also in the one that watches it, never in both at once.
    """

    def __init__(self, store: Store, lanes: Sequence[str], room: Room | None = None) -> None:
        self.lanes = tuple(lanes)
        self._store = store
        self._owing = False  # something could not be stored, and nothing has been since
        self._waiting: dict[str, Turns[ItemT]] = {lane: Turns() for lane in lanes}
        self._passed: Counter[str] = Counter()  # of a lane where something waits: items that went before it
        self._room = room
        self._untaken = 0  # refused, and not counted in the store yet
        self._told_s = -TOLD_EVERY_S
        self._arrived = threading.Condition()
        self._stopping = False
        self._singly = 0  # items that get a commit of their own: one of them can never be stored
        self._verdict = threading.Lock()
        self._asked_s: float | None = None  # since when the store owes an answer; monotonic
        self._ended = threading.Event()
        # Daemons: a disk that hangs holds its thread for ever, and must not hold the program.
        self._thread = threading.Thread(target=self._run, name=f"centre-{lanes[0]}", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name=f"centre-{lanes[0]}-watch", daemon=True)

    def start(self) -> None:
        """Work until `stop`."""
        self._thread.start()
        self._watcher.start()

    def stop(self) -> None:
        """Commit what is in hand, unless the store is failing, and end. At most some STOP_S and a connection's attempt."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                self._store.abandon()
                self._thread.join(2 * STOP_S)
            self._ended.set()
            self._watcher.join()
        if not self._thread.is_alive():
            self._store.close()

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        with self._arrived:
            return not any(self._waiting.values())

    def add(self, item: ItemT) -> None:
        """Keep this. Any thread."""
        with self._arrived:
            self._waiting[item.lane].append(item)
            self._arrived.notify()

    def reserve(self, gateway: str, lane: str) -> bool:
        """Whether there is room for one more item of this gateway; it is then to be added. What is refused comes again, by the
        gateway's own resend; it is counted in the store and told in the log. Any thread.
        """
        assert self._room is not None
        with self._arrived:
            taken = self._room.enter(gateway, lane)
            self._untaken += not taken
            return taken

    def let_go(self, items: Iterable[ItemT]) -> None:
        """These are kept or given up: there is room for others. Any thread."""
        assert self._room is not None
        with self._arrived:
            for item in items:
                self._room.leave(item.gateway, item.lane)

    # --- what a kind of item needs ----------------------------------------------------------------------------------------------

    @abstractmethod
    def take(self, item: ItemT) -> None:
        """Take an item into the store's transaction. Raise StoreFault."""

    @abstractmethod
    def committed(self, items: Sequence[ItemT], answers: Mapping[str, Answer]) -> None:
        """These are kept, or were refused for good by `take`."""

    @abstractmethod
    def give_up(self, item: ItemT, why: str) -> None:
        """The store is well and can never keep this one."""

    @abstractmethod
    def stands(self, fault: StoreFault | None) -> None:
        """The store works, or does not and why: each time it has shown so."""

    def undone(self) -> None:
        """Nothing since the last commit was kept."""

    def is_ours(self, item: ItemT) -> bool:
        """Whether an item that could not be stored is still to be."""
        return True

    def tend(self) -> bool:
        """What else there is to ask of the store, between transactions; whether it was asked. Raise StoreFault."""
        return False

    def bug(self) -> None:
        """A bug of ours has ended the thread."""

    # --- the thread -------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self.turn(1.0):
                pass
        except Exception:  # a bug of ours: a consumer that does nothing and keeps its share is worse than none
            log.exception("worker lane=%s", self.lanes[0])
            self.bug()

    def turn(self, wait_s: float) -> bool:
        """Wait for something to keep, and keep it. False: it is over."""
        handled: list[ItemT] = []
        try:
            with self._asking():
                asked = self.tend()
            item = self._next(wait_s)
            if item is None and self._stopping and not self._untaken:
                return False
            with self._asking():
                if item is not None:
                    self._group(item, handled)
                elif (
                    self._owing
                ):  # what could not be stored went back to its bringer: only asking tells whether we could now
                    self._store.prove()
                elif self._untaken:
                    self._commit()
                    asked = True
            if handled or self._owing or asked:
                self._owing = False
                self._stands(None)
        except StoreFault as fault:  # a full or dying disk, a lost server: confirm nothing, try again
            self._undo(handled)
            if fault.data and handled:
                self._find_the_culprit(handled, str(fault))
                return True
            self._owing = self._owing or bool(handled)
            self._stands(fault)
            with self._arrived:
                self._arrived.wait_for(lambda: self._stopping, STORE_RETRY_S)
            return not self._stopping
        return True

    def _next(self, wait_s: float) -> ItemT | None:
        """The next item, of the first lane that has one, or of one that has been passed over too often."""
        with self._arrived:
            if wait_s:
                self._arrived.wait_for(lambda: self._stopping or any(self._waiting.values()), wait_s)
            lanes = [lane for lane in self.lanes if self._waiting[lane]]
            if not lanes:
                return None
            chosen = next((lane for lane in lanes if self._passed[lane] >= PASSED_MAX), lanes[0])
            self._passed = Counter({lane: self._passed[lane] + 1 for lane in lanes if lane != chosen})
            return self._waiting[chosen].take()

    def _group(self, item: ItemT | None, handled: list[ItemT]) -> None:
        """Take items until there are no more, an alarm has been taken, or GROUP_S is over; then one commit for all."""
        until_s = time.monotonic() + GROUP_S
        while item is not None:
            handled.append(item)
            self.take(item)
            alarm_done = item.lane == AT_ONCE and not self._waiting[AT_ONCE]
            self._singly = max(0, self._singly - 1)
            item = None if alarm_done or self._singly or time.monotonic() > until_s else self._next(0)
        self.committed(handled, self._commit())

    def _commit(self) -> Mapping[str, Answer]:
        with self._arrived:
            untaken = self._untaken
        self._store.count("untaken", untaken)
        answers = self._store.commit()
        with self._arrived:
            self._untaken -= untaken
        return answers

    def _undo(self, handled: list[ItemT]) -> None:
        with contextlib.suppress(StoreFault), self._asking():
            self._store.rollback()
        self.undone()
        with self._arrived:
            for item in reversed(handled):
                if self.is_ours(item):
                    self._waiting[item.lane].put_back(item)

    def _find_the_culprit(self, handled: list[ItemT], why: str) -> None:
        """Take them one by one; the one that fails by itself is given up, or it would stop us for ever."""
        if len(handled) > 1:
            self._singly = len(handled)
            return
        [item] = handled
        with self._arrived:
            self._waiting[item.lane].remove(item)
        self.give_up(item, why)

    # --- a store that says nothing ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        with self._verdict:
            self._asked_s = time.monotonic()
        try:
            yield
        finally:
            with self._verdict:
                self._asked_s = None

    def _stands(self, fault: StoreFault | None) -> None:
        with self._verdict:
            self.stands(fault)

    def _watch(self) -> None:
        """A frozen server or a dead network raises nothing, maybe for hours: somebody else must look at the clock."""
        while not self._ended.wait(LOOK_S):
            self._tell_refused()
            with self._verdict:
                silent_s = 0.0 if self._asked_s is None else time.monotonic() - self._asked_s
                if silent_s >= SILENT_S:
                    self.stands(StoreFault(f"timeout expired: no answer for {silent_s:.0f} s"))
                if silent_s >= HUNG_S:
                    self._store.abandon()

    def _tell_refused(self) -> None:
        """Who brings more than his share is told of at once, and then every TOLD_EVERY_S with all that has come meanwhile."""
        now_s = time.monotonic()
        if self._room is None or now_s < self._told_s + TOLD_EVERY_S:
            return
        with self._arrived:
            refused = self._room.take_refused()
        if refused:
            self._told_s = now_s
            [(gateway, most)] = refused.most_common(1)
            log.warning(
                "not taken lane=%s items=%d gateways=%d most=%d of=%s",
                self.lanes[0], refused.total(), len(refused), most, ascii(gateway),
            )  # fmt: skip
