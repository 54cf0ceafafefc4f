"""What the drivers of a site are built with, and what each of them is to the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from drivers.messages import PointSpec, Sink, WhenKept

if TYPE_CHECKING:
    from datetime import datetime

    from drivers.serial_link import SerialLink

OpenPort = Callable[..., "SerialLink"]  # arguments as of SerialLink


class Driver(Protocol):
    """One port or bus and what is on it (docs/architecture.md)."""

    id: str

    async def run(self, sink: Sink) -> None:
        """Never returns; a vanished port is handled inside and told as LinkState."""
        ...

    def progress(self) -> int:
        """Grows while the worker lives, port or no port."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Counts since the start."""
        ...

    def specs(self) -> Sequence[PointSpec]:
        """Points known before they speak."""
        ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a receiver needs of the core: when something told is safe, UTC (None while the clock is not set), and what is active of
    a device: points and kinds.
    """

    when_kept: WhenKept
    utc: Callable[[], datetime | None]
    standing: Callable[[str], Sequence[tuple[str, str]]]
