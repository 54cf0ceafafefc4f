"""A [[link]] with a modem made a path: which driver, and what it may ask of the core."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from edge_agent.config.uplinks import Link
from edge_agent.uplink.modem.hooks import Hooks
from edge_agent.uplink.modem.ladder import Ladder
from edge_agent.uplink.modem.pin import PinMemory
from edge_agent.uplink.path import Path as NetworkPath

log = logging.getLogger("edge.modem")

NITZ_UNCERTAIN_NS: Final = 2 * 10**9  # whole seconds, and the way through a busy port
REBOOT_FILE: Final = "reboot-host"  # systemd/edge-agent-reboot.path waits for it

Ask = Callable[
    ..., Awaitable[object]
]  # edge_agent.uplink.core_link.CoreLink.ask: None if the core refuses or is absent
Report = Callable[[str, str, bool, Mapping[str, object]], None]  # link, reason, whether it stands, what else


class ModemPath(NetworkPath, Protocol):
    """A path that has to be run and watched."""

    async def run(self) -> None:
        """Keep it up until cancelled."""
        ...

    def progress(self) -> int:
        """Grows while the worker lives."""
        ...

    def snapshot(self) -> dict[str, object]:
        """For people."""
        ...


def modem_path(
    link: Link,
    *,
    data_dir: Path,
    ask: Ask,
    report: Report,
    wall_ns: Callable[[], int | None] = lambda: None,
    driver: Callable[..., ModemPath] | None = None,
) -> ModemPath:
    """The path of a link that has `modem`. `wall_ns`: what we believe the time is; None while unset.

    `driver` makes the one of an AT port; None: edge_agent.uplink.modem.driver.Modem.
    """
    assert link.modem is not None
    hooks = Hooks(
        power=lambda: cycle_power(ask, link.id),
        reboot_host=lambda: ask_for_reboot(data_dir / REBOOT_FILE),
        offer_time=lambda utc_ns: _offer(ask, utc_ns),
        report=lambda reason, active, fields: report(link.id, reason, active, fields),
        wall_ns=wall_ns,
    )
    pin = PinMemory(data_dir / f"sim-pin-{link.id}")
    if link.modem.device:
        from edge_agent.uplink.modem.manager import ManagedModem  # its D-Bus library only where it is used

        return ManagedModem(link, hooks=hooks, ladder=ladder_of(link), pin=pin)
    if driver is None:
        from edge_agent.uplink.modem.driver import Modem  # a site without a modem loads none of this

        driver = Modem
    return driver(link, hooks=hooks, ladder=ladder_of(link), pin=pin)


def ladder_of(link: Link) -> Ladder:
    """The rungs this site has."""
    assert link.modem is not None
    rungs = {"reopen", "bearer", "radio", "restart"}
    rungs |= {"power"} if link.modem.power_pin else set()
    rungs |= {"host"} if link.modem.reboot_host else set()
    return Ladder(enabled=frozenset(rungs))


async def cycle_power(ask: Ask, link: str) -> bool:
    """Ask the core for a pulse of the power pin and wait until it is over; False if it refused or is not there."""
    answer = await ask("modem_power", link=link)
    if not isinstance(answer, dict):
        return False
    pulse_s = answer.get("pulse_s")
    await asyncio.sleep(pulse_s if isinstance(pulse_s, int | float) else 0.0)
    return True


async def ask_for_reboot(file: Path) -> bool:
    """Leave the wish where the privileged unit finds it; this process may not restart the machine."""
    try:
        await asyncio.to_thread(file.touch)
    except OSError as fault:
        log.error("reboot not asked for errno=%s", fault.errno)
        return False
    log.critical("asked for a restart of the gateway")
    return True


async def _offer(ask: Ask, utc_ns: int) -> object:
    at_ns = round(asyncio.get_running_loop().time() * 1e9)
    return await ask("time_offer", source="nitz", wall_ns=utc_ns, at_mono_ns=at_ns, uncertainty_ns=NITZ_UNCERTAIN_NS)
