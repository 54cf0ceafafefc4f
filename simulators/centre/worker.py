"""One store and the thread that owns it: messages in, a commit for many of them, answers and PUBACKs out.

A message is given back to the broker only after it was committed: what we had in hand when we died comes again, from the broker or
from its gateway.
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import paho.mqtt.client as paho

from simulators.centre.check import Object, Rejected, read_batch, read_state
from simulators.centre.store import Answer, Store, StoreFault

log = logging.getLogger("edge.centre")

GROUP_S: Final = 0.02  # messages of this long share a commit
STORE_RETRY_S: Final = 1.0
LEAVE_S: Final = 10.0  # a consumer that could not store for so long leaves its share to the others
LEAD_S: Final = 2.0  # how often a consumer that does not take states asks whether it should


@dataclass(frozen=True, slots=True)
class Message:
    """One publish, in hand until it is committed. `session` is the connection it came by: its `mid` means nothing to another."""

    lane: str
    topic: str
    payload: bytes
    mid: int
    correlation: str
    client: paho.Client
    session: int

    @property
    def gateway(self) -> str:
        """As the topic has it; the broker's access list vouches for that."""
        parts = self.topic.split("/")
        return parts[2] if len(parts) > 3 else ""


@dataclass(slots=True)
class Reply:
    """What one gateway is told after a commit."""

    answer: Answer = field(default_factory=Answer)
    rejected: list[Object] = field(default_factory=list)


class Worker:
    """`lanes` come first to last: what waits in the first always goes first. The callbacks are called in the worker's thread."""

    def __init__(
        self,
        store: Store,
        lanes: Sequence[str],
        *,
        reply: Callable[[str, Reply], None],
        works: Callable[["Worker", bool], None],
        stands: Callable[["Worker", StoreFault | None], None],
        leads: Callable[[bool], None],
        bug: Callable[[], None],
    ) -> None:
        self.lanes = tuple(lanes)
        self._store = store
        self._reply, self._works, self._leads, self._bug = reply, works, leads, bug
        self._stands = stands
        self._owing = False  # messages could not be stored, and none has been since
        self._waiting: dict[str, deque[Message]] = {lane: deque() for lane in lanes}
        self._sessions = dict.fromkeys(lanes, 0)
        self._arrived = threading.Condition()
        self._stopping = False
        self._failing_since_s: float | None = None
        self._left = False
        self._term = -1  # not known yet
        self._ask_lead_s = 0.0
        self._singly = 0  # messages that get a commit of their own: one of them can never be stored
        self._rejected: dict[str, list[Object]] = {}
        self._thread = threading.Thread(target=self._run, name=f"centre-{lanes[0]}")

    def start(self) -> None:
        """Work until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Commit what is in hand, unless the store is failing, and end."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        self._thread.join()
        self._store.close()

    def put(self, lane: str, client: paho.Client, message: paho.MQTTMessage) -> None:
        """A message came. Any thread."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        correlation = (getattr(message.properties, "CorrelationData", b"") or b"")[:200].decode("ascii", "replace")
        mid = message.mid if message.qos else 0
        with self._arrived:
            session = self._sessions[lane]
            self._waiting[lane].append(Message(lane, topic, bytes(message.payload), mid, correlation, client, session))
            self._arrived.notify()

    def drop(self, lane: str) -> None:
        """The connection of a lane is gone, and what waits is the broker's again. Any thread."""
        with self._arrived:
            self._waiting[lane].clear()
            self._sessions[lane] += 1

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        with self._arrived:
            return not any(self._waiting.values())

    # --- the thread -------------------------------------------------------------------------------------------------------------

    def _take(self, timeout_s: float) -> Message | None:
        """The next message, of the first lane that has one."""
        with self._arrived:
            if timeout_s:
                self._arrived.wait_for(lambda: self._stopping or any(self._waiting.values()), timeout_s)
            for waiting in self._waiting.values():
                if waiting:
                    return waiting.popleft()
        return None

    def _run(self) -> None:
        try:
            self._work()
        except Exception:  # a bug of ours: a consumer that does nothing and keeps its share is worse than none
            log.exception("worker lane=%s", self.lanes[0])
            self._bug()

    def _work(self) -> None:
        while True:
            handled: list[Message] = []
            try:
                asked = self._look_for_the_lead()
                message = self._take(1.0)
                if message is None and self._stopping:
                    return
                if message is not None:
                    self._group(message, handled)
                elif (
                    self._owing
                ):  # they went back to the broker with its connection: only asking tells whether we could now
                    self._store.prove()
                self._say(failing=False)
                if handled or self._owing or asked:
                    self._owing = False
                    self._stands(self, None)
            except StoreFault as fault:  # a full or dying disk, a lost server: acknowledge nothing, try again
                self._undo(handled)
                if fault.data and handled:
                    self._find_the_culprit(handled, str(fault))
                    continue
                self._say(failing=True)
                self._owing = self._owing or bool(handled)
                self._stands(self, fault)
                self._ask_lead_s = 0.0  # it may have gone with the connection
                with self._arrived:
                    self._arrived.wait_for(lambda: self._stopping, STORE_RETRY_S)
                if self._stopping:
                    return

    def _undo(self, handled: list[Message]) -> None:
        with contextlib.suppress(StoreFault):
            self._store.rollback()
        self._rejected.clear()
        with self._arrived:  # they are still the broker's: bounded by what gateways send before an ack
            for message in reversed(handled):
                if message.session == self._sessions[message.lane]:
                    self._waiting[message.lane].appendleft(message)

    def _find_the_culprit(self, handled: list[Message], why: str) -> None:
        """Take them one by one; the one that fails by itself is answered and given back, or it would stop us for ever."""
        if len(handled) > 1:
            self._singly = len(handled)
            return
        [message] = handled
        with self._arrived, contextlib.suppress(ValueError):
            self._waiting[message.lane].remove(message)
        log.error("rejected topic=%s why=%s", ascii(message.topic)[:100], ascii(why)[:500])
        if message.correlation:
            self._reply(
                message.gateway, Reply(rejected=[{"batch": message.correlation, "why": "the store cannot take it"}])
            )
        self._give_back([message])

    def _say(self, *, failing: bool) -> None:
        """After LEAVE_S the others of the group shall have our share, until the store works again."""
        now_s = time.monotonic()
        self._failing_since_s = (self._failing_since_s or now_s) if failing else None
        left = self._failing_since_s is not None and now_s >= self._failing_since_s + LEAVE_S
        if left != self._left:
            self._left = left
            self._works(self, not left)

    def _look_for_the_lead(self) -> bool:
        """Whether the store was asked, and so answered."""
        if "state" not in self.lanes or time.monotonic() < self._ask_lead_s:
            return False
        self._ask_lead_s = time.monotonic() + LEAD_S
        term = self._store.lead()
        if term != self._term:
            self._term = term
            with self._arrived:  # whoever leads has the broker's retained states, which are newer
                waiting = list(self._waiting["state"])
                self._waiting["state"].clear()
            self._give_back(waiting)
            self._leads(bool(term))
        return True

    def _give_back(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.mid and message.session == self._sessions[message.lane]:
                message.client.ack(message.mid, 1)

    def _group(self, message: Message | None, handled: list[Message]) -> None:
        """Handle messages until there are no more, an alarm has been handled, or GROUP_S is over; then one commit for all."""
        until_s = time.monotonic() + GROUP_S
        while message is not None:
            handled.append(message)
            self._handle(message)
            alarm_done = message.lane == "alarm" and not self._waiting["alarm"]
            self._singly = max(0, self._singly - 1)
            message = None if alarm_done or self._singly or time.monotonic() > until_s else self._take(0)
        answers = self._store.commit()
        for gateway in answers.keys() | self._rejected.keys():
            self._reply(gateway, Reply(answers.get(gateway, Answer()), self._rejected.get(gateway, [])))
        self._rejected.clear()
        self._give_back(handled)

    def _handle(self, message: Message) -> None:
        gateway, last = message.gateway, message.topic.rpartition("/")[2]
        self._store.count("messages")
        try:
            if last == "state":
                self._store.take_state(gateway, read_state(gateway, message.payload))
            else:
                self._store.take_batch(read_batch(gateway, last, message.payload))
        except Rejected as fault:
            self._store.count("rejected")
            log.warning(
                "rejected topic=%s bytes=%d why=%s", ascii(message.topic)[:100], len(message.payload), ascii(str(fault))
            )
            if message.correlation:
                self._rejected.setdefault(gateway, []).append({"batch": message.correlation, "why": str(fault)})
