"""What run() of a driver comes to: its tasks side by side, a beat twice a second by which the watchdog knows that it lives, and
an end with the bug that a callback tripped over, which nothing else would hear of.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

BEAT_S: Final = 0.5


class Heart:
    """One for a driver. `beats` grows twice a second while `run` and its tasks live."""

    def __init__(self) -> None:
        self.beats = 0
        self._bug: asyncio.Future[None] | None = None

    async def run(self, tasks: Iterable[asyncio.Task[None]], on_beat: Callable[[], None] = lambda: None) -> None:
        """Until cancelled. Raise what a task raises, what `on_beat` raises, or what `stop` is given; the tasks end with it."""
        self._bug = asyncio.get_running_loop().create_future()
        all_of_it: set[asyncio.Future[None]] = {self._bug, *tasks}
        try:
            while True:
                done, _ = await asyncio.wait(all_of_it, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                self.beats += 1
                on_beat()
        finally:
            for task in all_of_it:
                task.cancel()
            await asyncio.gather(*all_of_it, return_exceptions=True)

    def stop(self, bug: Exception) -> None:
        """Hand a bug to `run`, whose supervisor reports it and starts it again."""
        if self._bug is not None and not self._bug.done():
            self._bug.set_exception(bug)
