"""How many bytes of backlog may be on the wire at once, so that an alarm never waits behind a full pipe. Pure.

A long queue at a slow link or a busy centre shows as confirms that take longer than the quickest one did; the budget
gives way to that, and grows while there is none.
"""

from typing import Final

START_BYTES: Final = 16 * 1024  # until the centre has answered once: a silent centre costs its broker no more than this
FLOOR_BYTES: Final = 8 * 1024
BATCH_FLOOR_BYTES: Final = 4 * 1024
SHORT_QUEUE_S: Final = 0.06
LONG_QUEUE_S: Final = 0.15


class Pace:
    """One for each connection."""

    def __init__(self, *, ceiling_bytes: int, batch_bytes: int) -> None:
        self._ceiling = max(ceiling_bytes, FLOOR_BYTES)
        self._batch_ceiling = batch_bytes
        self.budget_bytes = min(START_BYTES, self._ceiling)
        self._base_s: float | None = None
        self._hold_until_s = 0.0

    @property
    def batch_bytes(self) -> int:
        """How big one batch of backlog may be: a quarter of what may be on the wire."""
        return min(self._batch_ceiling, max(BATCH_FLOOR_BYTES, self.budget_bytes // 4))

    def confirmed(self, took_s: float, now_s: float) -> None:
        """A batch was confirmed `took_s` after it was sent."""
        base_s = self._base_s
        # an old best does not hold for ever: the path may have changed to a slower one
        self._base_s = base_s = took_s if base_s is None else min(took_s, base_s + max(0.0005, base_s * 0.002))
        queue_s = took_s - base_s
        if queue_s < SHORT_QUEUE_S:
            self.budget_bytes = min(self._ceiling, self.budget_bytes + self.budget_bytes // 4)
        elif queue_s > LONG_QUEUE_S and now_s >= self._hold_until_s:
            self.budget_bytes = max(FLOOR_BYTES, self.budget_bytes * 7 // 10)
            self._hold_until_s = now_s + took_s  # what is on the wire already was sent under the old budget
