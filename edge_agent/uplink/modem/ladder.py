"""The ladder of a wedged modem: what to try next, how long to wait for it, when to give the path up. Pure; monotonic seconds.

A trouble enters at the rung that can mend it and climbs while it lasts; reasons a reset cannot mend (no SIM, denied, blocked…)
hold the ladder and are tried again every hour. A lost echo is told by whoever tried the path, and the next rung waits until
somebody has tried it again: else a path that stands by is torn down although the rung before has mended it. Source of rungs and
waits: docs/links/modem.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# Told to a person; the modem is never reset for them.
HELD: Final = frozenset(
    {
        "modem_no_sim",
        "modem_sim_pin",
        "modem_sim_puk",
        "modem_pin_wrong",
        "modem_denied",
        "modem_no_network",
        "modem_blocked",
        "modem_apn_refused",
        "modem_emergency_only",
        "modem_unknown",
    }
)
ECHO_LOST: Final = "modem_echo_lost"  # the one trouble the modem itself does not see
# A modem that is not there has no say in whether its SIM is.
STRONGER: Final = frozenset({"modem_no_answer", "modem_no_port"})


@dataclass(frozen=True, slots=True)
class Rung:
    """One thing to try. `wait_s`: how long it is given before the next."""

    action: str  # reopen | bearer | radio | restart | power | host
    wait_s: float


RUNGS: Final = (
    Rung("reopen", 30.0),
    Rung("bearer", 60.0),
    Rung("radio", 120.0),
    Rung("restart", 180.0),
    Rung("power", 300.0),
    Rung("host", 600.0),
)
# The first rung that can mend a reason, and how long the reason may last before the first step.
ENTRY: Final[Mapping[str, tuple[str, float]]] = {
    ECHO_LOST: ("reopen", 0.0),
    "modem_pdp_lost": ("bearer", 0.0),
    "modem_no_address": ("bearer", 30.0),
    "modem_detached": ("radio", 60.0),
    "modem_sockets_leaked": ("restart", 0.0),
    "modem_sim_error": ("restart", 30.0),
    "modem_no_answer": ("power", 30.0),  # every rung below needs AT
    "modem_no_port": ("power", 60.0),  # a USB modem that fell off its bus may come back by itself
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Times that do not belong to a rung."""

    retry_held_s: float = 3600.0
    again_s: float = 1800.0  # after giving up: the power rung again this often
    patience: float = 1.0  # factor on the patience of ENTRY
    host_uptime_s: float = 6 * 3600.0  # the host is restarted only if it has been up for so long: at most once in 6 h


@dataclass(slots=True)
class Ladder:
    """State of one modem's recovery. `enabled`: rungs this site has (no power pin: no `power`; `host` only if named)."""

    rungs: tuple[Rung, ...] = RUNGS
    enabled: frozenset[str] = frozenset({"reopen", "bearer", "radio", "restart", "power"})
    waits: Waits = field(default_factory=Waits)
    steps: dict[str, int] = field(default_factory=dict)  # action -> how often it was taken
    mended: dict[str, int] = field(default_factory=dict)  # action -> how often the trouble was over after it
    given_up: bool = False
    _troubles: dict[str, float] = field(default_factory=dict)  # reason -> since when
    _next: int = 0  # index of the next rung
    _due_s: float | None = None
    _last: str = ""
    _held_due_s: float | None = None
    _unproven: bool = False  # a step was taken, and no echo was lost since

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong now, oldest first."""
        return tuple(self._troubles)

    @property
    def held(self) -> bool:
        """Whether a reason stands that no reset mends."""
        return not HELD.isdisjoint(self._troubles) and STRONGER.isdisjoint(self._troubles)

    def trouble(self, reason: str, now_s: float) -> None:
        """Something is wrong. Told again, it says only that an echo was lost again. Raises KeyError for a reason nobody knows."""
        if reason == ECHO_LOST:
            self._unproven = False
        if reason in self._troubles:
            return
        self._troubles[reason] = now_s
        if reason in HELD:
            if self._held_due_s is None:
                self._held_due_s = now_s + self.waits.retry_held_s
            return
        entry, patience_s = ENTRY[reason]
        index = next(i for i, rung in enumerate(self.rungs) if rung.action == entry)
        if self._due_s is None or index > self._next:
            self._next = max(index, self._next)
            self._due_s = now_s + patience_s * self.waits.patience

    def clear(self, reason: str) -> None:
        """A reason is gone."""
        if self._troubles.pop(reason, None) is None:
            return
        if HELD.isdisjoint(self._troubles):
            self._held_due_s = None
        if HELD.issuperset(self._troubles):
            if self._last:
                self.mended[self._last] = self.mended.get(self._last, 0) + 1
            self._next, self._due_s, self._last, self.given_up, self._unproven = 0, None, "", False, False

    def due(self, now_s: float) -> str | None:
        """The action to take now; it is taken to be done. `retry`: ask the network again. `give_up`: the path is lost for now."""
        if self.held:
            assert self._held_due_s is not None
            if now_s < self._held_due_s:
                return None
            self._held_due_s = now_s + self.waits.retry_held_s
            return self._count("retry")
        if self._due_s is None or now_s < self._due_s or self._waits_for_an_echo():
            return None
        while self._next < len(self.rungs):
            rung = self.rungs[self._next]
            self._next += 1
            if rung.action not in self.enabled or (rung.action == "host" and now_s < self.waits.host_uptime_s):
                continue
            self._due_s, self._last, self._unproven = now_s + rung.wait_s, rung.action, True
            return self._count(rung.action)
        if not self.given_up:
            self.given_up = True
            self._due_s = now_s + self.waits.again_s
            return self._count("give_up")
        # Slowly, for ever: the strongest thing short of the host.
        strongest = [rung.action for rung in self.rungs if rung.action in self.enabled - {"host"}]
        self._due_s, self._last, self._unproven = now_s + self.waits.again_s, strongest[-1] if strongest else "", True
        return self._count(self._last) if self._last else None

    def due_s(self) -> float | None:
        """When due() will next have something; None if that is not a matter of time."""
        if self.held:
            return self._held_due_s
        return None if self._waits_for_an_echo() else self._due_s

    def _waits_for_an_echo(self) -> bool:
        return self._unproven and all(reason == ECHO_LOST for reason in self._troubles if reason not in HELD)

    def _count(self, action: str) -> str:
        self.steps[action] = self.steps.get(action, 0) + 1
        return action
