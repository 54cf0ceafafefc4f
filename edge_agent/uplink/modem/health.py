"""Whether a modem's path is up, why not, and what its ladder says to that: the same for raw AT and for ModemManager."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

from edge_agent.uplink.modem.hooks import Hooks
from edge_agent.uplink.modem.ladder import HELD, Ladder

log = logging.getLogger("edge.modem")

PAUSE_MIN_S: Final = 0.05
TURN_S: Final = 600.0  # one look takes at most this long: choosing a network alone may take a modem 180 s
TICK_S: Final = 5.0


async def in_time(work: Coroutine[object, object, None], tick: Callable[[], None]) -> None:
    """Await `work`, calling `tick` while it waits for the modem: a slow one is no dead worker. Raise TimeoutError after TURN_S."""
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(TURN_S):
            while not task.done():
                await asyncio.wait({task}, timeout=TICK_S)
                tick()
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Health:
    """State of one modem. Reasons are codes of edge_agent.texts.uplink."""

    def __init__(self, link: str, hooks: Hooks, ladder: Ladder) -> None:
        self.id, self._hooks, self.ladder = link, hooks, ladder
        self.up = False
        self.reason = "modem_starting"

    def healthy(self) -> None:
        """The modem says that all is well: what its own look can clear is cleared. Only the centre's echo clears a lost echo."""
        self.clear(*(reason for reason in self.ladder.reasons if reason != "modem_echo_lost"))
        if not self.up:
            self.up, self.reason = True, "connected"
            log.info("modem=%s up", self.id)

    def down(self, reason: str) -> None:
        """The path carries nothing now."""
        if self.up or self.reason != reason:
            log.info("modem=%s down reason=%s", self.id, reason)
        self.up, self.reason = False, reason

    def trouble(self, reason: str) -> None:
        """The path carries nothing, and the ladder shall know why."""
        self.note(reason)
        self.down(reason)

    def note(self, reason: str) -> None:
        """The ladder shall know of it; the path itself may still carry something."""
        news = reason not in self.ladder.reasons
        self.ladder.trouble(reason, _now_s())
        if news and reason in HELD:
            log.error("modem=%s reason=%s: a person has to look", self.id, reason)
            self._hooks.report(reason, True, {})

    def clear(self, *reasons: str) -> None:
        """These are gone."""
        for reason in reasons:
            if reason in self.ladder.reasons:
                self.ladder.clear(reason)
                if reason in HELD:
                    self._hooks.report(reason, False, {})

    def due(self) -> str | None:
        """The step of the ladder to take now."""
        action = self.ladder.due(_now_s())
        if action == "give_up":
            self.down("modem_given_up")
        if action is not None:
            reasons = ",".join(self.ladder.reasons)
            log.warning("modem=%s step=%s for=%s", self.id, action, reasons)
            if action != "retry":  # a held reason was told when it came
                self._hooks.report("modem_step", True, {"step": action, "reasons": reasons})
        return action

    def pause_s(self, poll_s: float) -> float:
        """How long to wait before the next look."""
        due_s = self.ladder.due_s()
        return max(PAUSE_MIN_S, poll_s if due_s is None else min(poll_s, due_s - _now_s()))

    def snapshot(self) -> dict[str, object]:
        """For people."""
        troubles, given_up = list(self.ladder.reasons), self.ladder.given_up
        return {"id": self.id, "up": self.up, "reason": self.reason, "troubles": troubles, "given_up": given_up}

    def counters(self) -> dict[str, int]:
        """Every step of the ladder, and what it mended."""
        steps = {f"step_{action}": count for action, count in self.ladder.steps.items()}
        mended = {f"mended_{action}": count for action, count in self.ladder.mended.items()}
        return {**steps, **mended}


def _now_s() -> float:
    return asyncio.get_running_loop().time()
