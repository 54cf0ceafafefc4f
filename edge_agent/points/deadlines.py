"""When something must be looked at again: the earliest of many moments, cheap to move."""

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """One moment (monotonic ns) for each key."""

    __slots__ = ("_at", "_count", "_heap")

    def __init__(self) -> None:
        self._at: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []  # also holds moments that were moved; `_at` is the truth
        self._count = 0  # equal moments come in the order they were set

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: K, at_ns: int | None) -> None:
        """Move a key's moment; None takes it away."""
        if at_ns is None:
            self._at.pop(key, None)
        elif self._at.get(key) != at_ns:
            self._at[key] = at_ns
            self._count += 1
            heapq.heappush(self._heap, (at_ns, self._count, key))
        if len(self._heap) > 2 * len(self._at) + 64:  # a chattering contact moves its moment 2 000 times a second
            self._heap = [entry for entry in self._heap if self._at.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def next_ns(self) -> int | None:
        """The earliest moment."""
        while self._heap:
            at_ns, _, key = self._heap[0]
            if self._at.get(key) == at_ns:
                return at_ns
            heapq.heappop(self._heap)
        return None

    def take_due(self, now_ns: int, at_most: int | None = None) -> list[K]:
        """The keys whose moment has come, earliest first; each is forgotten. `at_most` leaves the others for the next call."""
        due: list[K] = []
        while len(due) != at_most and (at_ns := self.next_ns()) is not None and at_ns <= now_ns:
            key = heapq.heappop(self._heap)[2]
            if self._at.pop(key, None) is not None:
                due.append(key)
        return due
