"""Sets of record numbers as sorted, disjoint, closed ranges: what a centre has, what is on the wire, what is asked for again."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]  # first and last, both included


class Intervals:
    """A set of whole numbers kept as few ranges. Adding and removing cost O(ranges), which stay few."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __len__(self) -> int:
        """How many ranges (not numbers)."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Intervals({list(self)})"

    def __contains__(self, n: int) -> bool:
        return self.covers(n, n)

    @property
    def through(self) -> int:
        """The last number of the run that starts at 1; 0 if 1 is missing."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def high(self) -> int:
        """The highest number; 0 if empty."""
        return self._lasts[-1] if self._lasts else 0

    def count(self) -> int:
        """How many numbers."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def copy(self) -> "Intervals":
        """An independent copy."""
        twin = Intervals()
        twin._firsts, twin._lasts = self._firsts.copy(), self._lasts.copy()
        return twin

    def covers(self, first: int, last: int) -> bool:
        """Whether every number of the range is in the set."""
        at = bisect_right(self._firsts, first) - 1
        return at >= 0 and self._lasts[at] >= last

    def add(self, first: int, last: int) -> None:
        """Put a range in; an empty one (last < first) is nothing."""
        if last < first:
            return
        start = bisect_left(self._lasts, first - 1)  # the first range that touches or follows
        end = bisect_right(self._firsts, last + 1)  # one past the last range that touches or precedes
        if start < end:
            first = min(first, self._firsts[start])
            last = max(last, self._lasts[end - 1])
        self._firsts[start:end] = [first]
        self._lasts[start:end] = [last]

    def discard(self, first: int, last: int) -> None:
        """Take a range out, as far as it is in."""
        if last < first or not self._firsts:
            return
        start = bisect_left(self._lasts, first)
        end = bisect_right(self._firsts, last)
        if start >= end:
            return
        kept: list[Range] = []
        if self._firsts[start] < first:
            kept.append((self._firsts[start], first - 1))
        if self._lasts[end - 1] > last:
            kept.append((last + 1, self._lasts[end - 1]))
        self._firsts[start:end] = [a for a, _ in kept]
        self._lasts[start:end] = [b for _, b in kept]

    def first_missing(self, first: int, last: int) -> Range | None:
        """The first range inside first..last of which nothing is in the set."""
        at = bisect_right(self._firsts, first) - 1
        if at >= 0 and self._lasts[at] >= first:
            first = self._lasts[at] + 1
        if first > last:
            return None
        after = bisect_right(self._firsts, first)
        if after < len(self._firsts):
            last = min(last, self._firsts[after] - 1)
        return first, last

    def overlap(self, first: int, last: int) -> list[Range]:
        """The parts of first..last that are in the set."""
        if not self._firsts:  # as most of a stream's sets are, most of the time
            return []
        start, end = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        return [(max(first, self._firsts[i]), min(last, self._lasts[i])) for i in range(start, end)]
