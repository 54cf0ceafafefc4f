"""The uplink's clock: the kernel's, or the core's label where that knows better."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.boot_times import BootTimes
from edge_agent.clock import TimeSource
from edge_agent.discipline import OFFERED
from edge_agent.model import Clock, Instant
from edge_agent.uplink.commands import AskCore


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
