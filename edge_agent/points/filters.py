"""What must hold before a raw state counts: votes over polls, a limit with hysteresis, a delay each way. Pure; times in ns."""

from collections.abc import Sequence

Settled = tuple[bool, int]  # the new level and the moment it had lasted long enough


class Debounce:
    """A level that counts only after it held still: `on_ns` to become True, `off_ns` to become False."""

    __slots__ = ("_suspended", "deadline_ns", "level", "off_ns", "on_ns")

    def __init__(self, *, on_ns: int = 0, off_ns: int = 0, level: bool = False) -> None:
        self.on_ns, self.off_ns, self.level = on_ns, off_ns, level
        self.deadline_ns: int | None = None  # when the caller must call tick() next
        self._suspended = False

    def feed(self, raw: bool, at_ns: int) -> Sequence[Settled]:
        """Take a level seen at `at_ns`; return what has settled by then, oldest first.

        A candidate that had time to settle before `at_ns` settles even if `raw` has left it: a late caller loses nothing.
        After `suspend()` it must still be there.
        """
        if raw == self.level and self.deadline_ns is None:
            return ()
        settled: list[Settled] = []
        if self._suspended:
            self._suspended = False
            if raw == self.level:
                self.deadline_ns = None
                return ()
            if self.deadline_ns is not None:
                self.deadline_ns = max(self.deadline_ns, at_ns)  # it counts from now, not from the gap
        settled += self.tick(at_ns)
        if raw == self.level:
            self.deadline_ns = None  # it bounced back: forget the candidate
        elif self.deadline_ns is None:
            delay_ns = self.on_ns if raw else self.off_ns
            if delay_ns <= 0:
                self.level = raw
                settled.append((raw, at_ns))
            else:
                self.deadline_ns = at_ns + delay_ns
        return settled

    def tick(self, now_ns: int) -> Sequence[Settled]:
        """Return the candidate if it has settled by `now_ns`."""
        if self.deadline_ns is None or now_ns < self.deadline_ns or self._suspended:
            return ()
        self.level, at_ns, self.deadline_ns = not self.level, self.deadline_ns, None
        return ((self.level, at_ns),)

    def suspend(self) -> None:
        """The point cannot be read: nothing settles on missing values. The candidate waits for the next one to confirm it."""
        self._suspended = self.deadline_ns is not None


class NofM:
    """`n` of the last `m` polls must agree. Missing polls do not vote; where both sides have `n`, True wins."""

    __slots__ = ("_bits", "_seen", "level", "m", "n")

    def __init__(self, n: int, m: int, *, level: bool = False) -> None:
        if not 1 <= n <= m:
            raise ValueError(f"{n} of {m}")
        self.n, self.m, self.level = n, m, level
        self._bits = self._seen = 0

    def feed(self, raw: bool) -> bool:
        """Count one poll; return the level the votes give."""
        self._bits = (self._bits << 1 | raw) & ((1 << self.m) - 1)
        self._seen = min(self._seen + 1, self.m)
        ayes = self._bits.bit_count()
        if ayes >= self.n:
            self.level = True
        elif self._seen - ayes >= self.n:
            self.level = False
        return self.level


def beyond(value: float, *, high: float | None, low: float | None, hysteresis: float, was: bool) -> bool:
    """Whether `value` is at or past a limit, or, if it `was`, has not yet come back from it by more than `hysteresis`."""
    back = hysteresis if was else 0.0
    return (high is not None and (value >= high or (was and value > high - back))) or (
        low is not None and (value <= low or (was and value < low + back))
    )
