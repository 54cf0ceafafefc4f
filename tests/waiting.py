"""Waiting in tests: for a condition, bounded so that only a hang gets there; and a loop that a stalled machine does not hurry."""

import asyncio
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

PATIENCE_S: Final = 60.0  # of every wait for a condition; two busy cores make seconds of what takes milliseconds
TURN_S: Final = 0.002  # what one turn of a steady loop may take by its own clock
HELD_MAX: Final = 50  # turns for which what has arrived may hold a timer back


def eventually(condition: Callable[[], object], what: str = "", within_s: float = PATIENCE_S) -> None:
    """Wait until `condition()` holds. Raise AssertionError after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while True:
        asked_s = time.monotonic()
        if condition():
            return
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what or condition}"
        time.sleep(_pause_s(asked_s))


async def until(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], what: str = "", within_s: float = PATIENCE_S
) -> None:
    """Await a condition, itself awaited if need be. Raise AssertionError after `within_s`."""
    deadline_s = time.monotonic() + within_s  # not the loop's: that one may be steady, or stuck
    while True:
        asked_s = time.monotonic()
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what or condition}"
        await asyncio.sleep(_pause_s(asked_s))


def _pause_s(asked_s: float) -> float:
    """Twice what the question itself took: asking a database must not be what keeps the machine busy."""
    return min(max(2 * (time.monotonic() - asked_s), 0.005), 0.25)


class _SteadySelector(selectors.DefaultSelector):
    """Keeps the clock of a SteadyLoop."""

    def __init__(self) -> None:
        super().__init__()
        self._base_s = self._since_s = time.monotonic()
        self._held = 0

    def now_s(self) -> float:
        return self._base_s + min(time.monotonic() - self._since_s, TURN_S)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        base_s, began_s = self.now_s(), time.monotonic()
        found = super().select(timeout)
        self._since_s = time.monotonic()
        waited_s = self._since_s - began_s
        if timeout is not None:
            if found and waited_s >= timeout > 0 and self._held < HELD_MAX:
                waited_s, self._held = timeout - TURN_S, self._held + 1
            else:
                waited_s, self._held = min(waited_s, timeout + TURN_S), 0
        self._base_s = base_s + max(0.0, waited_s)
        return found


class SteadyLoop(asyncio.SelectorEventLoop):
    """For both ends of a wire in one loop: its clock counts waiting, not the pauses of a machine that has other guests.

    A turn takes at most TURN_S of it, and no timer becomes due in a turn that also brings bytes: a bus that asks and a slave that
    answers on one loop, late together, are not late to each other. Not for what reads another clock beside the loop's.
    """

    def __init__(self) -> None:
        self._steady = _SteadySelector()
        super().__init__(self._steady)

    def time(self) -> float:
        """Seconds; never ahead of time.monotonic()."""
        return self._steady.now_s()


def steady(main: Coroutine[Any, Any, None]) -> None:
    """asyncio.run() on a SteadyLoop."""
    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        runner.run(main)
