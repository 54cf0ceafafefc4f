"""When to try again. Full jitter, so that a county of gateways does not come back as one (docs/links.md, benchmarks/herd.py)."""

import random
from typing import Final

FLOOR_S: Final = 0.5
CEILING_S: Final = 75.0
ALARM_CEILING_S: Final = 8.0
ALARM_TRIES: Final = (
    10  # 1, 2, 4, 8, 8 ... s: about a minute. After that an alarm waits like everything else, see next_s
)
SETTLED_S: Final = 60.0  # a connection that lasted this long was a good one
BOOT_S: Final = 120.0  # a machine younger than this came back with the power, and so may have all its neighbours


class Backoff:
    """Waits between attempts of one destination. Chance is injected, so a run can be repeated."""

    def __init__(self, rng: random.Random, *, ceiling_s: float = CEILING_S) -> None:
        self._rng, self._ceiling_s = rng, ceiling_s
        self._failures = self._alarm_tries = 0

    def next_s(self, *, alarm: bool = False) -> float:
        """How long to wait now, 0.5 s to the ceiling.

        `alarm`: an alarm waits. It has its own short waits for ALARM_TRIES attempts, anew with each fresh alarm. They end,
        because an alarm that has waited through a long outage of a whole county waits in every other gateway, too: what
        comes back at once then is the herd.
        """
        exponent = min(self._failures, 16)  # clamp the power: in a long outage it would overflow
        self._failures += 1
        wait_s = self._rng.uniform(FLOOR_S, FLOOR_S + min(self._ceiling_s - FLOOR_S, 2.0**exponent))
        if alarm and self._alarm_tries < ALARM_TRIES:
            ceiling_s = min(ALARM_CEILING_S, 2.0**self._alarm_tries)
            self._alarm_tries += 1
            wait_s = min(wait_s, self._rng.uniform(FLOOR_S, ceiling_s))
        return wait_s

    def fresh_alarm(self) -> None:
        """An alarm has come that nobody has tried to send yet."""
        self._alarm_tries = 0

    def spread(self) -> None:
        """The next wait is a long one: whatever happened may have happened to every gateway of the county."""
        self._failures = max(self._failures, 16)

    def lasted(self, connected_s: float) -> None:
        """A connection ended after `connected_s`. One that held long enough forgets the failures before it; but that it ended
        may be the centre's fault, so the way back begins spread.
        """
        if connected_s >= SETTLED_S:
            self._failures = self._alarm_tries = 0
            self.spread()
