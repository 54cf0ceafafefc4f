"""What comes by MQTT on its way into a store: messages in, answers and PUBACKs out after the commit.

A message is given back to the broker only after it was committed: what we had in hand when we died comes again, from the broker or
from its gateway.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import paho.mqtt.client as paho

from simulators.centre.check import Object, Rejected, read_batch, read_state
from simulators.centre.store import Answer, Store, StoreFault
from simulators.centre.store_thread import StoreThread

log = logging.getLogger("edge.centre")

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


class Worker(StoreThread[Message]):
    """The callbacks are called in the thread; `works` and `stands` also in the one that watches it."""

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
        super().__init__(store, lanes)
        self._reply, self._works, self._leads, self._bug = reply, works, leads, bug
        self._tell = stands
        self._sessions = dict.fromkeys(lanes, 0)
        self._failing_since_s: float | None = None
        self._left = False
        self._term = -1  # not known yet
        self._ask_lead_s = 0.0
        self._rejected: dict[str, list[Object]] = {}

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
            self.add(Message(lane, topic, bytes(message.payload), mid, correlation, client, session))

    def drop(self, lane: str) -> None:
        """The connection of a lane is gone, and what waits is the broker's again. Any thread."""
        with self._arrived:
            self._waiting[lane].clear()
            self._sessions[lane] += 1

    # --- in the thread ----------------------------------------------------------------------------------------------------------

    def take(self, item: Message) -> None:
        """See StoreThread. What breaks the contract is rejected, and that is committed too."""
        gateway, last = item.gateway, item.topic.rpartition("/")[2]
        self._store.count("messages")
        try:
            if last == "state":
                self._store.take_state(gateway, read_state(gateway, item.payload))
            else:
                self._store.take_batch(read_batch(gateway, last, item.payload))
        except Rejected as fault:
            self._store.count("rejected")
            log.warning(
                "rejected topic=%s bytes=%d why=%s", ascii(item.topic)[:100], len(item.payload), ascii(str(fault))
            )
            if item.correlation:
                self._rejected.setdefault(gateway, []).append({"batch": item.correlation, "why": str(fault)})

    def committed(self, items: Sequence[Message], answers: Mapping[str, Answer]) -> None:
        """See StoreThread."""
        for gateway in answers.keys() | self._rejected.keys():
            self._reply(gateway, Reply(answers.get(gateway, Answer()), self._rejected.get(gateway, [])))
        self._rejected.clear()
        self._give_back(items)

    def undone(self) -> None:
        """See StoreThread."""
        self._rejected.clear()

    def is_ours(self, item: Message) -> bool:
        """See StoreThread. They are still the broker's: bounded by what gateways send before an ack.

        None is refused for want of room: with `ack = "broker"` a gateway would never send it again.
        """
        return item.session == self._sessions[item.lane]

    def give_up(self, item: Message, why: str) -> None:
        """Answer it and give it back."""
        log.error("rejected topic=%s why=%s", ascii(item.topic)[:100], ascii(why)[:500])
        if item.correlation:
            self._reply(item.gateway, Reply(rejected=[{"batch": item.correlation, "why": "the store cannot take it"}]))
        self._give_back([item])

    def stands(self, fault: StoreFault | None) -> None:
        """After LEAVE_S of faults the others of the group shall have our share, until the store works again."""
        now_s = time.monotonic()
        if fault is None:
            self._failing_since_s = None
        else:
            self._failing_since_s = self._failing_since_s or now_s
            self._ask_lead_s = 0.0  # it may have gone with the connection
        left = self._failing_since_s is not None and now_s >= self._failing_since_s + LEAVE_S
        if left != self._left:
            self._left = left
            self._works(self, not left)
        self._tell(self, fault)

    def tend(self) -> bool:
        """Ask for the lead, if this one would take states."""
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

    def bug(self) -> None:
        """See StoreThread."""
        self._bug()

    def _give_back(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.mid and message.session == self._sessions[message.lane]:
                message.client.ack(message.mid, 1)
