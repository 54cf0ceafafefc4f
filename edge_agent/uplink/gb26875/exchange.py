"""Exchanges that this side began (clause 6.5): which goes next, which answer is whose, when to send again. No I/O.

Each transmission takes its turn by worth: a resend gives way to an alarm that waits, and a fire waits for no more than the one
exchange that is open.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

SERIALS: Final = 1 << 16

Done = Callable[[], None]
Key = tuple[int, bytes, int, bytes]  # of a question: serial number, who asks, command, data unit


class Serials:
    """Serial numbers of one link, over all its connections: from 0, one more for each new frame."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, used: "dict[int, Exchange]") -> int:
        """The next number that no open exchange has."""
        while self._next in used:
            self._next = (self._next + 1) % SERIALS
        number = self._next
        self._next = (number + 1) % SERIALS
        return number


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One frame until it is confirmed. `rank`: the lower goes first."""

    rank: float
    command: int
    make: Callable[[], bytes]  # the data unit, when it goes out for the first time
    confirmed: Done
    denied: Done  # after the last resend
    transmissions: int  # how often it may be sent in all
    state: bool = False  # shows the present: a newer one takes its place
    keepalive: bool = False
    adu: bytes | None = None
    serial: int | None = None
    sent: int = 0
    order: int = 0


class Exchanges:
    """All exchanges of one connection; at most `window` are waited for at once."""

    def __init__(self, serials: Serials, window: int) -> None:
        self._serials, self._window = serials, window
        self._queue: list[tuple[float, int, Exchange]] = []
        self._order = itertools.count()
        self._begun: dict[int, Exchange] = {}  # by serial, until settled, also while a resend gives way
        self._waiting: set[int] = set()  # serials whose timer runs

    def __len__(self) -> int:
        return len(self._queue) + len(self._waiting)

    def add(self, exchange: Exchange) -> None:
        """Queue one behind what is worth as much."""
        exchange.order = next(self._order)
        heapq.heappush(self._queue, (exchange.rank, exchange.order, exchange))

    def drop_state(self) -> None:
        """What would show an older present need not go any more."""
        self._queue = [entry for entry in self._queue if not (entry[2].state and entry[2].serial is None)]
        heapq.heapify(self._queue)

    def next(self) -> Exchange | None:
        """The exchange to transmit now, if there is room for one."""
        if len(self._waiting) >= self._window or not self._queue:
            return None
        exchange = heapq.heappop(self._queue)[2]
        if exchange.serial is None:
            exchange.serial = self._serials.take(self._begun)
            self._begun[exchange.serial] = exchange
        exchange.sent += 1
        self._waiting.add(exchange.serial)
        return exchange

    def command_of(self, serial: int) -> int | None:
        """The command of an open exchange."""
        exchange = self._begun.get(serial)
        return None if exchange is None else exchange.command

    def confirm(self, serial: int) -> Exchange | None:
        """The centre confirmed it: over. None for a number that is not open: late, wrong or foreign."""
        exchange = self._begun.pop(serial, None)
        if exchange is None:
            return None
        if serial in self._waiting:
            self._waiting.discard(serial)
        else:  # confirmed while its resend gave way
            self._queue = [entry for entry in self._queue if entry[2] is not exchange]
            heapq.heapify(self._queue)
        return exchange

    def deny(self, serial: int) -> tuple[Exchange | None, bool]:
        """The centre denied it: it goes again, or (True) that was the last time."""
        exchange = self._begun.get(serial)
        if exchange is None or serial not in self._waiting:
            return None, False
        return exchange, not self._again(exchange)

    def timed_out(self, exchange: Exchange) -> bool:
        """No answer came in time. False: that was the last time."""
        return self._again(exchange)

    def _again(self, exchange: Exchange) -> bool:
        assert exchange.serial is not None, "it was sent"
        self._waiting.discard(exchange.serial)
        if exchange.sent >= exchange.transmissions:
            del self._begun[exchange.serial]
            return False
        heapq.heappush(self._queue, (exchange.rank, exchange.order, exchange))
        return True


@dataclass(slots=True)
class Question:
    """What the centre asks. `id` names it, however often it is asked, also over the next connection."""

    id: str
    at_s: float
    answer: bytes = b""  # what it is answered whenever it comes again; b"": it is worked on anew
    busy: bool = False  # it is being worked on: that answer will be this one's


@dataclass(slots=True)
class Seen:
    """The orders of the centre: the same again is answered again and carried out once."""

    kept: dict[Key, Question] = field(default_factory=dict)

    KEEP_S = 90.0  # a centre's four transmissions take 40 s
    KEPT_MAX = 64

    def find(self, key: Key, now_s: float, name: Callable[[], str]) -> Question:
        """The question, named by `name` where it is new."""
        for old in list(self._old(now_s)):
            del self.kept[old]
        question = self.kept.get(key)
        if question is None:
            question = self.kept[key] = Question(name(), now_s)
            while len(self.kept) > self.KEPT_MAX:
                del self.kept[next(iter(self.kept))]
        return question

    def _old(self, now_s: float) -> Iterator[Key]:
        return (key for key, question in self.kept.items() if now_s - question.at_s > self.KEEP_S)
