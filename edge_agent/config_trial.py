"""The core's side of a configuration a centre sent: taking it, trying it, telling what became of it. docs/decisions/0025.

Tried means: a core runs on it, every source of it could be built, and the centre that sent it confirms over an uplink that runs
on it, too, within two minutes. Until then nothing but this process holds to it: however it ends, the next start goes back.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edge_agent.commands import Answer, Status
from edge_agent.model import KINDS, Kind, Sound
from edge_agent.sent_config import TRIAL_S, Letter, Outcome, State, forget, move

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from buffer.records import Name
    from edge_agent.core import Core
    from edge_agent.last_good import Provenance

log = logging.getLogger("edge.config")

KEPT_S: Final = 10.0  # so long an outcome waits for the card before the next start has to tell it again
LEAVE_S: Final = 2.0  # from an answer to the end: it has to reach the centre first
POINT: Final = "command/apply_config"


class ConfigTrial:
    """One for the core. `restart` ends the process; systemd starts it again."""

    def __init__(self, core: Core, provenance: Provenance, restart: Callable[[], None]) -> None:
        self._core, self._provenance, self._restart = core, provenance, restart
        self._confirmed = asyncio.Event()
        self._sent = provenance.sent
        self._leaving = False
        self._file = asyncio.Lock()  # threads write it, and no two of them at once

    @property
    def check(self) -> str:
        """A name for what this core runs on."""
        return self._provenance.check

    def as_dict(self) -> dict[str, object] | None:
        """For `status`: what a centre sent, if this core runs on it."""
        sent = self._sent
        if sent is None:
            return None
        return {"dest": sent.letter.destination, "serial": sent.letter.serial, "trial": self._is_on_trial}

    def uplink_says(self, destination: str, up: bool, reason: str, check: object) -> None:
        """The centre can or cannot be reached, by an uplink that runs on the configuration called `check`."""
        sent = self._sent
        if sent is not None and (destination, up, reason, check) == (
            sent.letter.destination,
            True,
            "confirmed",
            self.check,
        ):
            self._confirmed.set()

    async def take(self, letter: Letter) -> Answer:
        """Keep what was judged sound, and leave, so that the next start runs on it."""
        desk = self._provenance.desk
        if desk is None:
            return Answer(Status.REFUSED, {}, "not_from_files")
        if self._is_on_trial or self._leaving:
            return Answer(Status.REFUSED, {}, "busy")
        if any(alarm.active and KINDS[alarm.kind].sound is Sound.FIRE for alarm in self._core.alarms.alarms()):
            return Answer(Status.REFUSED, {}, "fire")  # a restart is a second or two without ears
        self._leaving = True
        try:
            async with self._file:
                await asyncio.to_thread(desk.take, letter)
        except OSError as fault:
            self._leaving = False
            return Answer(Status.FAILED, {"detail": ascii(fault)[:100]}, "not_kept")
        log.warning("sent configuration dest=%s serial=%d: restarting on it", letter.destination, letter.serial)
        asyncio.get_running_loop().call_later(LEAVE_S, self._restart)
        return Answer(Status.DONE, {"serial": letter.serial, "trial_s": TRIAL_S})

    @property
    def _is_on_trial(self) -> bool:
        return self._sent is not None and self._sent.state is State.TRIAL

    async def run(self, whole: bool) -> None:
        """Tell what became of what was sent before; try what is new. `whole`: every source could be built."""
        lies = self._provenance.lies
        left = await self._tell(lies.owed) if lies is not None and lies.owed else ()
        sent = self._sent
        if sent is None or not self._is_on_trial:
            return
        try:
            async with asyncio.timeout(TRIAL_S if whole else 0):
                await self._confirmed.wait()
        except TimeoutError:
            log.error(
                "sent configuration dest=%s serial=%d failed its trial", sent.letter.destination, sent.letter.serial
            )
            self._restart()  # the next start finds that it was on trial, puts it aside and says so
            return
        kept = replace(sent, owed=left).owing("done", "confirmed")
        try:
            async with self._file:
                self._sent = await asyncio.to_thread(move, kept, State.KEPT)
        except OSError as fault:  # the next start goes back, and says so
            log.error("sent configuration not kept: %s", ascii(fault))
            return
        await self._tell(kept.owed)
        if self._provenance.keep is not None:
            await asyncio.to_thread(self._provenance.keep, self._core.clock.now(), True)

    async def _tell(self, owed: Sequence[Outcome]) -> tuple[Outcome, ...]:
        """Journal outcomes, and cross off those it has. What is left is returned, and told again by the next start."""
        kept = dict(zip(owed, await asyncio.gather(*map(self._journal, owed)), strict=True))
        left = tuple(one for one, is_kept in kept.items() if not is_kept)
        lies = self._provenance.lies
        if lies is None or len(left) == len(kept):
            return left
        try:
            async with self._file:
                await asyncio.to_thread(forget, lies, [one for one, is_kept in kept.items() if is_kept])
        except OSError as fault:
            log.error("sent configuration: an outcome is told again at the next start: %s", ascii(fault))
        return left

    async def _journal(self, outcome: Outcome) -> bool:
        """Whether it is durable."""
        fields = {
            "dest": outcome.destination,
            "command": outcome.command,
            "status": outcome.status,
            "code": outcome.code,
            "result": {"serial": outcome.serial},
        }
        settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def give(name: Name | None) -> None:
            if not settled.done():
                settled.set_result(name is not None)

        self._core.keeper.when_settled(self._core.tell(Kind.COMMAND, POINT, fields, {}), give)
        try:
            async with asyncio.timeout(KEPT_S):
                return await settled
        except TimeoutError:
            return False
