"""Work that goes on apart from everybody else: one function, called again and again.

The journal's and the ledger's writers live in threads of their own. The simulation runs the same turns as timers of its clock.
"""

import threading
from collections.abc import Callable
from typing import Protocol

Turn = Callable[[], int | None]  # one piece of work; ns until the next if nobody wakes it, None: it was the last


class Runner(Protocol):
    """Takes turns until one says that it was the last."""

    def start(self) -> None:
        """Begin. The first turn comes at once."""
        ...

    def wake(self) -> None:
        """Do not sleep any longer. Any thread may call it."""
        ...

    def join(self, timeout_s: float) -> bool:
        """Wait until the last turn is over; False if it is not in time (a disk that hangs)."""
        ...


StartRunner = Callable[[str, Turn], Runner]  # the name is for people


class Wake:
    """Wakes one sleeping thread. A plain lock: a Condition costs several times as much per alarm."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the sleeper, or let its next sleep end at once."""
        try:
            self._lock.release()
        except RuntimeError:  # it is awake already
            return

    def sleep(self, timeout_s: float) -> None:
        """Sleep until `set` or the timeout."""
        self._lock.acquire(timeout=timeout_s)


class ThreadRunner:
    """A daemon thread: a disk that hangs in the kernel keeps nobody from ending."""

    def __init__(self, name: str, turn: Turn) -> None:
        self._turn, self._wake = turn, Wake()
        self.wake = self._wake.set
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (sleep_ns := self._turn()) is not None:
            if sleep_ns > 0:
                self._wake.sleep(sleep_ns / 1e9)
