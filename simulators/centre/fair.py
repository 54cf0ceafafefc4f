"""A fair share of the way to a store for each gateway, so that one that floods delays and crowds out nobody but itself.

No thread and no clock: whoever uses these holds a lock of his own.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar

# Gateways whose refusals are counted by name between two words on them; the rest is counted under one
NAMED_MAX: Final = 100
OTHERS: Final = "(others)"


class OfGateway(Protocol):
    """What waits."""

    @property
    def gateway(self) -> str:
        """Whose it is."""
        ...


ItemT = TypeVar("ItemT", bound=OfGateway)


class Turns(Generic[ItemT]):
    """A queue in which gateways take turns, one item each; what one gateway brought keeps its order."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[ItemT]] = OrderedDict()  # none is empty; the first has its turn

    def __bool__(self) -> bool:
        return bool(self._queues)

    def __iter__(self) -> Iterator[ItemT]:
        for queue in self._queues.values():
            yield from queue

    def append(self, item: ItemT) -> None:
        """It came last."""
        self._queues.setdefault(item.gateway, deque()).append(item)

    def put_back(self, item: ItemT) -> None:
        """It was taken, and goes first again."""
        self._queues.setdefault(item.gateway, deque()).appendleft(item)
        self._queues.move_to_end(item.gateway, last=False)

    def take(self) -> ItemT:
        """The next one. Raise StopIteration if there is none."""
        gateway, queue = next(iter(self._queues.items()))
        item = queue.popleft()
        if queue:
            self._queues.move_to_end(gateway)
        else:
            del self._queues[gateway]
        return item

    def remove(self, item: ItemT) -> None:
        """It shall not wait any more. Nothing if it does not."""
        queue = self._queues.get(item.gateway, ())
        if item in queue:
            self._queues[item.gateway].remove(item)
            if not self._queues[item.gateway]:
                del self._queues[item.gateway]

    def clear(self) -> None:
        """Nothing waits any more."""
        self._queues.clear()


class Room:
    """How much may be in hand: `share` of a gateway in a lane, and `most` of all, half of it in the lanes behind the `first`."""

    def __init__(self, first: str, *, most: int, share: int) -> None:
        self._first, self._most, self._share = first, most, share
        self._held: Counter[tuple[str, str]] = Counter()  # by gateway and lane
        self._all = self._behind = 0  # of them those in the lanes behind the first
        self._refused: Counter[str] = Counter()  # by gateway, since the last word on it

    def enter(self, gateway: str, lane: str) -> bool:
        """Whether there is room for one more of this; it is held until it leaves. If not, that is counted."""
        full = self._all >= self._most or (lane != self._first and self._behind >= self._most // 2)
        if full or self._held[gateway, lane] >= self._share:
            named = gateway in self._refused or len(self._refused) < NAMED_MAX
            self._refused[gateway if named else OTHERS] += 1
            return False
        self._held[gateway, lane] += 1
        self._all += 1
        self._behind += lane != self._first
        return True

    def leave(self, gateway: str, lane: str) -> None:
        """One that was let in is done with."""
        self._all -= 1
        self._behind -= lane != self._first
        self._held[gateway, lane] -= 1
        if not self._held[gateway, lane]:
            del self._held[gateway, lane]

    def take_refused(self) -> Counter[str]:
        """How many each gateway brought in vain since this was last asked."""
        refused, self._refused = self._refused, Counter()
        return refused
