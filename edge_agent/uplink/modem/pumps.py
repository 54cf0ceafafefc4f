"""The open sockets of one modem: each with a pump of its own, opened one at a time, dropped together."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final

from drivers.serial_link import LinkDown
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.port import AtTimeout
from edge_agent.uplink.modem.pump import Pace, Pump
from edge_agent.uplink.modem.sockets.base import Sockets

log = logging.getLogger("edge.modem")

MODEM_SOCKETS_MAX: Final = 16  # more than any family has
MakePair = Callable[[str], tuple[socket.socket, socket.socket]]  # of edge_agent.uplink.modem.pump.pair


class Pumps:
    """`sockets`: those of the modem since it last started. `counts`: of the whole path. `wake`: it does not answer, look at it."""

    def __init__(
        self, id: str, counts: Counter[str], pace: Pace, make_pair: MakePair, *, wake: Callable[[], None]
    ) -> None:
        self._id, self._counts, self._pace, self._make_pair, self._wake = id, counts, pace, make_pair, wake
        self.sockets: Sockets | None = None
        self._pumps: dict[int, Pump] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = asyncio.Lock()
        self._closed_early: dict[int, str] = {}  # sockets that were closed before their pump was there

    def __len__(self) -> int:
        """How many are open."""
        return len(self._pumps)

    async def open(self, sockets: Sockets, kind: str, host: str, port: int) -> socket.socket:
        """One more of `sockets`; return the uplink's end. Raise LinkError."""
        async with self._opening:
            self._closed_early.clear()
            try:
                number = await sockets.open(kind, host, port, set(self._pumps))
            except (AtTimeout, LinkDown) as fault:
                self._counts["open_failed"] += 1
                self._wake()
                raise LinkError("modem_no_answer", str(fault)) from fault
            except LinkError:
                self._counts["open_failed"] += 1
                raise
            theirs, ours = self._make_pair(kind)
            pump = self._pumps[number] = Pump(sockets, number, kind, ours=ours, counts=self._counts, pace=self._pace)
            if (reason := self._closed_early.get(number)) is not None:
                pump.gone(reason)
            self._counts["opened"] += 1
            task = asyncio.create_task(self._run(pump), name=f"{self._id}-socket-{number}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return theirs

    async def _run(self, pump: Pump) -> None:
        try:
            await pump.run()
        finally:
            lost = pump.reason not in ("closed", "")
            self._counts["closed_by_modem" if lost else "closed"] += 1
            log.info("modem=%s socket=%d closed reason=%s", self._id, pump.number, pump.reason)
            if pump.sockets is self.sockets:  # else the modem was restarted and has forgotten it
                await pump.close()
            if self._pumps.get(pump.number) is pump:
                del self._pumps[pump.number]
            if pump.reason == "modem_no_answer":
                self._wake()

    def drop(self, reason: str) -> None:
        """The modem has lost all of them."""
        for pump in list(self._pumps.values()):
            pump.abort(reason)

    def data(self, number: int) -> None:
        """Data may wait in one."""
        if (pump := self._pumps.get(number)) is not None:
            pump.data_waits()

    def closed(self, number: int, reason: str) -> None:
        """The far end closed one."""
        if (pump := self._pumps.get(number)) is not None:
            pump.gone(reason)
        elif self._opening.locked() and number < MODEM_SOCKETS_MAX:  # a far end that hangs up at once
            self._closed_early[number] = reason

    async def end(self) -> None:
        """No pump outlives the modem's worker."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
