"""Ending a task that is somebody's own: waited for, and never at the price of the caller's own cancellation."""

import asyncio
from typing import Any


async def end(*tasks: asyncio.Task[Any], forgive: tuple[type[Exception], ...] = ()) -> None:
    """Cancel tasks and wait until they have ended. Raise what one of them failed with, unless it is of `forgive`.

    Awaiting the task with its CancelledError suppressed would do the same, and swallow the cancellation of whoever awaits here
    when both fall together: a program told to stop in that moment would run on for ever.
    """
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (fault := task.exception()) is not None and not isinstance(fault, forgive):
            raise fault
