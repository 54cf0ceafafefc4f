"""The bytes of all links of this process: counted, kept in the ledger, and told where they cost."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from buffer.records import Priority
from edge_agent.clock import TimeSource
from edge_agent.config.uplinks import Link
from edge_agent.uplink.budget import Meter
from edge_agent.uplink.ledger import Ledger
from edge_agent.uplink.path import is_metered

KEPT_EVERY_S: Final = 60.0  # what a power cut may forget of the count; the card is spared for it


class Traffic:
    """One for the process."""

    def __init__(
        self, links: Sequence[Link], ledger: Ledger, clock: TimeSource, warn: Callable[[str, int], None]
    ) -> None:
        """`warn` hears of a link that has used 80 or 100 percent of its month."""
        self._ledger, self._clock, self._warn = ledger, clock, warn
        self._loop = asyncio.get_running_loop()
        self._kept: dict[tuple[str, str, str], int] = {}
        self._kept_s = self._loop.time()
        self._metered = frozenset(link.id for link in links if is_metered(link))
        self._meters = {
            link.id: Meter(round(link.monthly_mb * 1_000_000) if is_metered(link) else 0, ledger.load_traffic(link.id))
            for link in links
        }

    def count(self, link: str, stream: str, size: int) -> None:
        """So many bytes went over a link for a stream, or for "other" things."""
        meter = self._meters[link]
        meter.count(stream, size, self._clock.now())
        if reached := meter.warning():
            self._warn(link, reached)

    def withheld(self, link: str) -> frozenset[Priority]:
        """Streams that must not go over it now."""
        return self._meters[link].withheld(self._clock.now()) if link in self._metered else frozenset()

    def used(self, link: str) -> tuple[str, Mapping[str, int]]:
        """The month, and its bytes by stream."""
        meter = self._meters[link]
        return meter.month, dict(meter.used)

    def keep(self) -> None:
        """Hand the counts to the ledger."""
        self._kept_s = self._loop.time()
        for link, meter in self._meters.items():
            for stream, count in meter.used.items():
                if self._kept.get((link, meter.month, stream)) != count:
                    self._kept[link, meter.month, stream] = count
                    self._ledger.note_traffic(link, meter.month, stream, count)

    def keep_now_and_then(self) -> None:
        """As `keep`, but not more often than the card should be troubled."""
        if self._loop.time() - self._kept_s >= KEPT_EVERY_S:
            self.keep()
