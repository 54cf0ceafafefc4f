"""Which path a destination uses: a state machine on monotonic time, told what answered and what did not. Pure.

A path is judged by the centre's own answers over it. It is down after so many misses in a row; one that was lost is used
again in preference to a worse one only after it has answered for `hold_s`, so that a loose plug moves nothing to and fro.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

RETRY_S: Final = 2.0  # after a miss the next probe comes this soon
JITTER: Final = 0.1  # of the time between probes, so that a county's gateways do not probe as one
HOLD_SPREAD: Final = 2 / 3  # of hold_s, at most, more: what came back for one gateway came back for a county
RETURN_PROBES: Final = 3  # within hold_s, of a path better than the one in use


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the configuration says of one path."""

    id: str
    probe_s: float = 60.0
    misses: int = 3
    hold_s: float = 60.0


@dataclass(slots=True)
class PathState:
    """What is known of one path."""

    rule: Rule
    up: bool | None = None  # None: nothing is known yet
    missed: int = 0  # in a row
    fallen: bool = False  # it was lost, and has not held for hold_s since
    good_since_s: float | None = None
    holds_s: float = 0.0  # hold_s and its spread, since then
    probe_at_s: float = 0.0
    probes: int = 0
    lost: int = 0

    def trusted(self, now_s: float) -> bool:
        """Whether it may take over from a worse path, or carry a new session before one."""
        if self.fallen and self.good_since_s is not None and now_s - self.good_since_s >= self.holds_s:
            self.fallen = False
        return self.up is not False and not self.fallen and not self.missed


@dataclass(slots=True)
class Choice:
    """The paths of one destination, best first."""

    rules: Sequence[Rule]
    rng: random.Random
    current: str | None = None  # the path that carries a session
    switches: int = 0
    states: dict[str, PathState] = field(init=False)
    _turn: int = 0
    _last: str | None = None
    _changed: list[tuple[str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.states = {rule.id: PathState(rule) for rule in self.rules}

    # --- what happened ----------------------------------------------------------------------------------------------------------

    def answered(self, path: str, now_s: float) -> None:
        """The centre answered over it."""
        state = self.states[path]
        state.missed = 0
        if state.good_since_s is None:
            state.good_since_s = now_s
            state.holds_s = state.rule.hold_s * self.rng.uniform(1.0, 1.0 + HOLD_SPREAD)
        if state.up is not True:
            state.up = True
            self._changed.append((path, True))
        self._schedule(state, now_s)

    def missed(self, path: str, now_s: float) -> None:
        """The centre did not answer over it."""
        state = self.states[path]
        state.missed += 1
        state.lost += 1
        state.good_since_s, state.fallen = None, True
        if state.missed >= state.rule.misses and state.up is not False:
            state.up = False
            self._changed.append((path, False))
        self._schedule(state, now_s)

    def opened(self, path: str, now_s: float) -> None:
        """A session runs over it."""
        if self._last not in (None, path):
            self.switches += 1
        self.current = self._last = path
        self.answered(path, now_s)
        for state in self.states.values():
            self._schedule(state, now_s)

    def ended(self, path: str, now_s: float, *, silent: bool) -> None:
        """Its session is over. `silent`: the path is to blame, for nothing came any more; else the far end closed it."""
        if self.current == path:
            self.current = None
        if silent:
            self.missed(path, now_s)

    def take_changes(self) -> list[tuple[str, bool]]:
        """Paths that went down or came up since the last call."""
        changed, self._changed = self._changed, []
        return changed

    # --- what to do -------------------------------------------------------------------------------------------------------------

    def candidates(self, now_s: float) -> list[str]:
        """Paths to try for a new session, in order. With every path down one of them, each in its turn: a county that lost its
        centre must not knock over all of them at once.
        """
        up = [state for state in self.states.values() if state.up is not False]
        if up:
            return [state.rule.id for state in sorted(up, key=lambda state: not state.trusted(now_s))]
        self._turn += 1
        return [self.rules[self._turn % len(self.rules)].id]

    def elsewhere(self, path: str, now_s: float) -> bool:
        """Whether another path is trusted."""
        return any(state.trusted(now_s) for name, state in self.states.items() if name != path)

    def better(self, now_s: float) -> str | None:
        """The path the session should move to, if any."""
        if self.current is None:
            return None
        for rule in self.rules:
            if rule.id == self.current:
                return None
            state = self.states[rule.id]
            if state.up and state.good_since_s is not None and state.trusted(now_s):
                return rule.id
        return None

    def due(self, now_s: float, *, between: bool = False) -> list[str]:
        """Paths to probe now. None without a session: attempts to open one tell as much. `between` two sessions, while nothing is
        attempted, those in doubt.
        """
        if self.current is None and not between:
            return []
        found = [
            name
            for name, state in self.states.items()
            if name != self.current
            and state.probe_at_s <= now_s
            and (self.current is not None or 0 < state.missed < state.rule.misses)
        ]
        for name in found:
            state = self.states[name]
            state.probes += 1
            state.probe_at_s = now_s + 3600.0  # until it is answered or missed
        return found

    def _schedule(self, state: PathState, now_s: float) -> None:
        wait_s = state.rule.probe_s
        if 0 < state.missed < state.rule.misses:
            wait_s = RETRY_S
        elif self.current is not None and self._rank(state.rule.id) < self._rank(self.current):
            wait_s = min(wait_s, max(RETRY_S, state.rule.hold_s / RETURN_PROBES))
        state.probe_at_s = now_s + wait_s * self.rng.uniform(1 - JITTER, 1)

    def _rank(self, path: str) -> int:
        return next(i for i, rule in enumerate(self.rules) if rule.id == path)
