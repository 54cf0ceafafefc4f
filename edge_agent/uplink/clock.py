"""The uplink's clock: the kernel's, or the core's label where that knows better. What wires say of the time goes to the core."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edge_agent.boot_times import BootTimes
from edge_agent.clock import TimeSource
from edge_agent.discipline import OFFERED
from edge_agent.model import Clock, Instant
from edge_agent.uplink.commands import AskCore

OFFERS_MAX: Final = 4  # on their way to the core; a network that says the time more often than that is not listened to


@dataclass(frozen=True, slots=True)
class _Label:
    boot_id: str
    offset_ns: int
    clock: Clock


class UplinkClock:
    """A TimeSource over the kernel's. `refresh` it now and then; without a core it goes on with what it was last told."""

    def __init__(self, kernel: TimeSource, ask: AskCore) -> None:
        self._kernel, self._ask = kernel, ask
        self._label: _Label | None = None
        self._offers: set[asyncio.Task[object]] = set()
        self._boots = BootTimes()

    def now(self) -> Instant:
        """The present moment."""
        return self._labelled(self._kernel.now())

    def at(self, mono_ns: int) -> Instant:
        """The moment of an earlier monotonic reading of this boot."""
        return self._labelled(self._kernel.at(mono_ns))

    def restamp_body(self, body: bytes) -> bytes:
        """A journal body, dated by what the core knows now (edge_agent/boot_times.py)."""
        return self._boots.restamp_body(body)

    def _labelled(self, said: Instant) -> Instant:
        label = self._label
        if label is None or said.clock is Clock.SYNCED or said.boot_id != label.boot_id:
            return said
        return Instant(said.boot_id, said.mono_ns, said.mono_ns + label.offset_ns, label.clock)

    def offer(self, source: str, wall_ns: int, at_mono_ns: int, uncertainty_ns: int) -> None:
        """A wire says that it was `wall_ns` (UTC) at a monotonic moment: "nitz" from a modem. The core judges it. Never waits."""
        if source not in OFFERED:
            raise ValueError(source)
        if len(self._offers) >= OFFERS_MAX:
            return
        asked = self._ask(
            "time_offer", source=source, wall_ns=wall_ns, at_mono_ns=at_mono_ns, uncertainty_ns=uncertainty_ns
        )
        task = asyncio.ensure_future(asked)
        self._offers.add(task)
        task.add_done_callback(self._offers.discard)

    async def refresh(self) -> None:
        """Ask the core what time it is, and how to date records from before it knew."""
        said = await self._ask("time", kernel_synced=self._kernel.now().clock is Clock.SYNCED)
        if not isinstance(said, dict):
            return
        pieces, boots = said.get("boots"), BootTimes()
        boots.restore({str(k): str(v).encode() for k, v in pieces.items()} if isinstance(pieces, dict) else {})
        self._boots = boots
        self._label = _read(said)


def _read(said: Mapping[str, object]) -> _Label | None:
    offset_ns = said.get("offset_ns")
    if said.get("source") not in OFFERED or type(offset_ns) is not int:
        return None
    return _Label(str(said.get("boot")), offset_ns, Clock(str(said.get("clock"))))
