"""What a core does once, when it starts: it takes back what was latched, says that it runs, on which configuration, and what it
cannot watch, and keeps that configuration as the last good one.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from buffer.journal import StoreFault
from drivers.messages import LinkState
from edge_agent import __version__
from edge_agent.model import Kind
from edge_agent.sent_config import State
from edge_agent.sources import sources_of

if TYPE_CHECKING:
    from edge_agent.core import Core

log = logging.getLogger("edge.core")

GONE_NAMED: Final = 50  # sources an edited configuration no longer names


def restore(core: Core) -> None:
    """Take back what was latched. Whatever cannot be read must not keep the gateway from watching."""
    try:
        state = core.journal.state()
        for take_back in (
            core.clock.restore,
            core.points.restore,
            lambda kept: core.alarms.restore(kept, core.clock.now()),
            lambda kept: core.duty.restore(kept, core.clock.now()),
            lambda kept: core.linkage.linkage.restore(kept) if core.linkage is not None else None,
            lambda kept: core.patrols.restore(kept, core.clock.now()),
            core.commander.book.restore,
        ):
            try:
                take_back(state)
            except Exception as bug:  # one part's old state must not cost the others theirs
                log.exception("restore")
                core.faults.store(StoreFault("bug", "vital.db", ascii(bug)[:200]))
    except Exception as bug:  # without its old state it still hears what comes now
        log.exception("state")
        core.faults.store(StoreFault("bug", "vital.db", ascii(bug)[:200]))


def tell_start(core: Core) -> None:
    """Say that it runs, and all that is wrong from the start."""
    core.own_event(Kind.BOOT, "gateway", True, {"version": __version__, "alarms": len(core.alarms.alarms())})
    _tell_config(core)
    now_ns = core.now_ns()
    core.points.start(now_ns)
    core.take([LinkState(name, False, now_ns, "profile", ascii(why)[:200]) for name, why in core.unbuilt.items()])
    for point, fault in core.unsound.items():
        core.own_event(Kind.FAULT, point, True, {"reason": "unusable", "detail": ascii(fault)[:200]})
    if core.faults.board_fault is not None:
        core.faults.board(core.faults.board_fault)


def _tell_config(core: Core) -> None:
    """A configuration that is not the one in the files, or that no longer watches what the last one did: never in silence."""
    if (why := core.provenance.stands_in) is not None:
        log.critical("config last good stands in: %s", ascii(why))
        core.own_event(Kind.FAULT, "config", True, {"reason": "last_good", **why})
    before = core.provenance.before
    if before is not None and (gone := sorted(sources_of(before).keys() - sources_of(core.config).keys())):
        fields = {"reason": "no_longer_watched", "sources": gone[:GONE_NAMED], "count": len(gone)}
        core.once(Kind.FAULT, "config/sources", fields)


async def keep_config(core: Core) -> None:
    """What this core could start with is the last good configuration from now on, or is tried first. On a thread: a card may
    stall for seconds.
    """
    try:
        await core.trial.run(not core.unbuilt)
    except Exception:  # as below
        log.exception("config: trial")
    keep, sent = core.provenance.keep, core.provenance.sent
    if keep is None or (sent is not None and sent.state is State.TRIAL):
        return
    try:
        await asyncio.to_thread(keep, core.clock.now(), not core.unbuilt)
    except Exception:  # a full card, or a bug: the group of all workers must not end for a copy of a file
        log.exception("config: the last good one is not kept")
