"""When to try again. Full jitter, so that a county of gateways does not come back as one (reliability.md, herd)."""

import random
from typing import Final

FLOOR_S: Final = 0.5
CEILING_S: Final = 60.0
ALARM_CEILING_S: Final = 8.0  # an unconfirmed alarm has its own budget: 1, 2, 4, 8 s
SETTLED_S: Final = 60.0  # a connection that lasted this long was a good one: start again from the floor


class Backoff:
    """Waits between attempts of one destination. Chance is injected, so a run can be repeated."""

    def __init__(self, rng: random.Random, *, ceiling_s: float = CEILING_S) -> None:
        self._rng, self._ceiling_s = rng, ceiling_s
        self._failures = 0

    def next_s(self, *, alarm: bool = False) -> float:
        """How long to wait now, 0.5 s to the ceiling. `alarm`: an alarm waits, so never longer than 1, 2, 4, 8 s."""
        exponent = min(self._failures, 16)  # clamp the power: in a long outage it would overflow
        self._failures += 1
        wait_s = self._rng.uniform(FLOOR_S, FLOOR_S + min(self._ceiling_s - FLOOR_S, 2.0**exponent))
        if alarm:
            wait_s = min(wait_s, self._rng.uniform(FLOOR_S, min(ALARM_CEILING_S, 2.0**exponent)))
        return wait_s

    def lasted(self, connected_s: float) -> None:
        """A connection ended after `connected_s`. Only one that held long enough forgets the failures before it."""
        if connected_s >= SETTLED_S:
            self._failures = 0
