"""Hands what has changed to the journal's keeper: in order, and of very many some in each turn of the loop.

When a panel with thousands of alarms is reset, the rest waits for the next turn, so that a fire that comes meanwhile is heard
meanwhile.
"""

import asyncio
import collections
import logging
from collections.abc import Callable, Sequence
from typing import Final

from edge_agent.keeper import Keeper
from edge_agent.model import Event

log = logging.getLogger("edge.core")

KEPT_AT_ONCE: Final = 50  # changes journalled in one turn of the loop: some 5 ms on a Pi

Change = tuple[list[Event], dict[str, bytes | None]]  # events that belong together, and the latched state they changed
Receipt = Callable[[bool], None]  # whom to tell that the changes before it are durable


class InTurns:
    """One for the core. Called on its loop only."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper, self._loop = keeper, asyncio.get_running_loop()
        self._waiting: collections.deque[Change | Receipt] = collections.deque()

    def hand_in(self, changes: Sequence[Change | Receipt]) -> None:
        """Keep these after all that was handed in before them."""
        waits = bool(self._waiting)
        self._waiting.extend(changes)
        if not waits:
            self._keep_some()

    def keep_all(self) -> None:
        """There may be no next turn: keep all that waits."""
        while self._waiting:
            self._keep_some()

    def _keep_some(self) -> None:
        for _ in range(min(KEPT_AT_ONCE, len(self._waiting))):
            change = self._waiting.popleft()
            if callable(change):
                self._keeper.when_kept(change)
                continue
            events, state = change
            for event in events:
                log.info(
                    "event id=%s kind=%s point=%s active=%d grade=%d",
                    event.id,
                    event.kind.value,
                    ascii(event.point),
                    event.active,
                    event.grade,
                )
            self._keeper.keep(events, state)
        if self._waiting:
            self._loop.call_soon(self._keep_some)
