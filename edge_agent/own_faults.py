"""What is wrong with the house itself: its store, its board, its workers, the processes beside it. Each is a fault that
everything else runs beside.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from buffer.journal import StoreFault
from drivers.gpio import GpioError
from drivers.messages import LinkState
from edge_agent.model import Kind

if TYPE_CHECKING:
    from edge_agent.core import Core

log = logging.getLogger("edge.core")

PROCESS_ABSENT_S = 30.0
JOURNAL_HUNG_S = 20.0

# What the store says once, and what it says when a trouble is over. All other codes last until then.
STORE_ONCE: Final = frozenset({"set_aside", "vanished", "bug", "bad_record", "salvaged"})
STORE_OVER: Final = frozenset({"back", "reserve_restored"})


class OwnFaults:
    """The faults of one core. Made first of all its parts: they may have something to tell from their first line on."""

    def __init__(self, core: Core) -> None:
        self._core, self._loop = core, asyncio.get_running_loop()
        self.board_fault: GpioError | None = None
        self._board_told = False
        self._journal_moved_s = self._loop.time()
        self._journal_turns = -1
        self._journal_hung = False
        self._seen_s: dict[str, float] = {}  # of the processes beside us

    # --- told by the parts ----------------------------------------------------------------------------------------------

    def store_soon(self, fault: StoreFault) -> None:
        """From a writer's thread."""
        self._loop.call_soon_threadsafe(self.store, fault)

    def store(self, fault: StoreFault) -> None:
        """The journal says that a file is in trouble, or no longer."""
        level = logging.WARNING if fault.code in STORE_OVER else logging.ERROR
        log.log(level, "store code=%s file=%s %s", fault.code, fault.file, fault.detail)
        point, fields = f"journal/{fault.file}", {"code": fault.code, **fault.params}
        if fault.code in STORE_ONCE:
            self._core.once(Kind.STORE, f"{point}/{fault.code}", fields)
        else:
            self._core.own_event(Kind.STORE, point, fault.code not in STORE_OVER, fields)
        if fault.code in ("back", "set_aside"):
            self._core.keeper.retry()

    def worker(self, name: str, running: bool, reason: str) -> None:
        """A worker ended, or lives again."""
        self._core.own_event(Kind.WORKER, f"worker/{name}", not running, {"reason": reason})

    def board(self, fault: GpioError | None) -> None:
        """A line that could not be driven; None when the board works again."""
        if fault is not None and self._board_told:
            return  # the first reason says more than that the lines it left are not open
        self.board_fault, self._board_told = fault, fault is not None
        self._core.own_event(Kind.FAULT, "board", fault is not None, _of_line(fault))

    def output(self, name: str, fault: GpioError | None) -> None:
        """The same of a linkage's output; told in a turn of its own."""
        self._loop.call_soon(self._core.own_event, Kind.FAULT, f"linkage/{name}", fault is not None, _of_line(fault))

    # --- looked for once a second ---------------------------------------------------------------------------------------

    def look(self) -> None:
        """Whether uplink and cameras are there, and whether the journal moves."""
        if self._core.config.uplinks:
            self._look_at_process("uplink", "journal")
        if self._core.config.cameras:
            self._look_at_process("cameras", "camera")
        self._look_at_journal()

    def _look_at_process(self, source: str, topic: str) -> None:
        """It watches `topic` and says something every few seconds: a process that is frozen keeps its socket open."""
        core = self._core
        heard_s, now_s = core.server.heard_s(topic), self._loop.time()
        seen_s = self._seen_s.setdefault(source, now_s)
        if heard_s is not None:
            seen_s = self._seen_s[source] = max(seen_s, heard_s)
        present = now_s - seen_s < PROCESS_ABSENT_S
        if present and heard_s is None:
            return  # it may be restarting
        if present != core.is_up(source):
            reason = "connected" if present else "no_process" if heard_s is None else "no_answer"
            core.take([LinkState(source, present, core.now_ns(), reason)])

    def _look_at_journal(self) -> None:
        """A card that swallows writes is a fault, and no reason to let the watchdog end us: a restart would not mend it, and
        alarms go on from memory.
        """
        turns, now_s = self._core.journal.progress(), self._loop.time()
        if turns != self._journal_turns:
            self._journal_turns, self._journal_moved_s = turns, now_s
        hung = now_s - self._journal_moved_s > JOURNAL_HUNG_S
        if hung != self._journal_hung:
            self._journal_hung = hung
            self._core.own_event(Kind.STORE, "journal/writer", hung, {"code": "hung" if hung else "back"})


def _of_line(fault: GpioError | None) -> dict[str, object]:
    if fault is None:
        return {"reason": "restored"}
    return {**fault.params, "reason": f"gpio_{fault.code}", "detail": fault.params.get("reason", "")}
