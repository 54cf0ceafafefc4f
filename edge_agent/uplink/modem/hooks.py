"""What a modem's driver asks of the house."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


async def _no() -> bool:
    return False


async def _no_offer(utc_ns: int) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """`power`: cycle its supply and come back when that is over, False if it cannot be done now. `offer_time`: UTC in ns, now.
    `report`: a reason of edge_agent.texts.uplink and whether it stands. `wall_ns`: what we believe the time is, None while unset.
    """

    power: Callable[[], Awaitable[bool]] = _no
    reboot_host: Callable[[], Awaitable[bool]] = _no
    offer_time: Callable[[int], Awaitable[object]] = _no_offer
    report: Callable[[str, bool, Mapping[str, object]], None] = lambda reason, active, fields: None
    wall_ns: Callable[[], int | None] = lambda: None
