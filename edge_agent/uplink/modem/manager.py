"""A modem that ModemManager has, as a path: its network interface. Found by device, because a modem that was pulled and put
back has another index; watched by polling, because a signal may be lost with the bus. The same reasons and ladder as raw AT.
"""

import asyncio
import contextlib
import logging
import re
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NoReturn

from drivers.codecs.at.readings import masked
from edge_agent.config.uplinks import Link
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.modem.bus import ROOT, Bus, BusFault
from edge_agent.uplink.modem.health import Health, in_time
from edge_agent.uplink.modem.hooks import Hooks
from edge_agent.uplink.modem.ladder import Ladder
from edge_agent.uplink.modem.pin import PinMemory, read_pin
from edge_agent.uplink.path import RoutedPath, is_metered

log = logging.getLogger("edge.modem")

MODEM: Final = "org.freedesktop.ModemManager1.Modem"
FAILED, LOCKED, DISABLED, REGISTERED, CONNECTED = -1, 2, 3, 8, 11  # MMModemState
SIM_MISSING: Final = 2  # MMModemStateFailedReason; 3 is a SIM error
PIN, PUKS = 2, (4, 5)  # MMModemLock: SIM PIN; SIM PUK, SIM PUK2
DENIED: Final = 3  # MMModem3gppRegistrationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often and how long, in seconds. `connect_s`: NetworkManager gets so long to connect before we do it."""

    poll_s: float = 5.0
    connect_s: float = 30.0
    searching_s: float = 600.0
    clock_s: float = 6 * 3600.0
    boot_s: float = 20.0


class ManagedModem:
    """One modem of ModemManager; a `Path` (edge_agent.uplink.path). Run it for ever."""

    def __init__(
        self,
        link: Link,
        *,
        hooks: Hooks,
        ladder: Ladder,
        pin: PinMemory,
        bus: str = "SYSTEM",
        pace: Pace | None = None,
    ) -> None:
        assert link.modem is not None
        self.id, self.kind = link.id, link.kind
        self.metered, self.packed = is_metered(link), link.kind == "nbiot"
        self.settings, self.hooks, self.ladder = link.modem, hooks, ladder
        self.interface = ""
        self.health = Health(link.id, hooks, ladder)
        self.counts: Counter[str] = Counter()
        self._pin, self._address, self._pace = pin, bus, pace or Pace()
        self._routes = RoutedPath(link)
        self._path = ""  # the modem's object now
        self._seen: dict[str, Any] = {}
        self._wake = asyncio.Event()
        self._loops = 0
        self._since_s: float | None = None  # registered and not connected, or searching, since
        self._clock_due_s = 0.0

    # -- the path ------------------------------------------------------------------------------------------------
    async def tcp(self, host: str, port: int) -> socket.socket:
        """A stream that leaves by the modem's interface. Raise LinkError, OSError."""
        return await self._routed().tcp(host, port)

    async def udp(self, host: str, port: int) -> socket.socket:
        """Datagrams that leave by the modem's interface. Raise LinkError, OSError."""
        return await self._routed().udp(host, port)

    def echo_ok(self) -> None:
        """The centre answered over this path."""
        self.health.clear("modem_echo_lost")

    def echo_lost(self) -> None:
        """It did not, although it should have: the ladder begins to climb."""
        self._routes.echo_lost()
        if self.health.up:
            self.health.note("modem_echo_lost")
            self._wake.set()

    def progress(self) -> int:
        """Grows while the worker lives."""
        return self._loops

    def snapshot(self) -> dict[str, object]:
        """For people; numbers of SIM and modem are masked."""
        seen = self._seen
        return {
            **self.health.snapshot(),
            "interface": self.interface,
            "model": str(seen.get("Model", "")),
            "imei": masked(str(seen.get("EquipmentIdentifier", ""))),
            "signal": {"percent": seen["SignalQuality"][0]} if seen.get("SignalQuality") else {},
            "counters": {**self.counts, **self.health.counters()},
        }

    def _routed(self) -> RoutedPath:
        if not self.health.up:
            raise LinkError(self.health.reason)
        self._routes.interface = self.interface
        return self._routes

    # -- work ----------------------------------------------------------------------------------------------------
    async def run(self) -> NoReturn:
        """Keep it up until cancelled; a bus or a ModemManager that is not there is waited for."""
        while True:
            try:
                async with Bus(self._address) as bus:
                    while True:
                        await in_time(self._turn(bus), self._tick)
                        await self._pause()
            except (BusFault, TimeoutError) as fault:
                log.info("modem=%s bus %s", self.id, ascii(fault))
                self.health.down("modem_no_manager")
            await self._pause()

    async def _pause(self) -> None:
        self._loops += 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.health.pause_s(self._pace.poll_s)):
                await self._wake.wait()
        self._wake.clear()

    def _tick(self) -> None:
        self._loops += 1

    async def _turn(self, bus: Bus) -> None:
        objects = await bus.objects()
        path = find(objects, self.settings.device)
        if path != self._path:
            log.info("modem=%s object=%s", self.id, path or "none")
            self.counts["found_anew"] += bool(path)
            self._path, self._since_s, self.interface = path, None, ""
        if not path:
            self.health.trouble("modem_no_port")
        try:
            if (action := self.health.due()) is not None:
                await self._act(bus, action)
            if path:
                self.health.clear("modem_no_port")
                await self._judge(bus, objects[path])
        except BusFault as fault:
            if fault.name in ("no_bus", "bus_lost"):
                raise
            # The object may have gone this moment, or the modem be slow: the next look tells.
            self.counts["refused"] += 1
            log.info("modem=%s %s", self.id, fault)

    async def _judge(self, bus: Bus, kinds: Mapping[str, Mapping[str, Any]]) -> None:
        modem = self._seen = dict(kinds.get("Modem", {}))
        state = int(modem.get("State", 0))
        if state == FAILED:
            reason = modem.get("StateFailedReason")
            self.health.trouble("modem_no_sim" if reason == SIM_MISSING else "modem_sim_error")
            return
        if state == LOCKED:
            await self._unlock(bus, modem)
            return
        self.health.clear("modem_no_sim", "modem_sim_error", "modem_sim_pin", "modem_sim_puk", "modem_pin_wrong")
        if state == DISABLED:
            await bus.call(self._path, MODEM, "Enable", "b", True, timeout_s=60)
        if state < REGISTERED:
            self._search(kinds.get("Modem.Modem3gpp", {}))
            return
        self.health.clear("modem_denied", "modem_no_network")
        if state < CONNECTED:
            await self._connect_in_time(bus)
            return
        await self._connected(bus, modem)

    async def _unlock(self, bus: Bus, modem: Mapping[str, Any]) -> None:
        if modem.get("UnlockRequired") in PUKS:
            self.health.trouble("modem_sim_puk")
            return
        pin = read_pin(self.settings.pin_file)
        if modem.get("UnlockRequired") != PIN or not pin:
            self.health.trouble("modem_sim_pin")
        elif not self._pin.may_try(pin):
            self.health.trouble("modem_pin_wrong")
        else:
            try:
                sim = str(modem.get("Sim", "/"))
                await bus.call(sim, "org.freedesktop.ModemManager1.Sim", "SendPin", "s", pin, timeout_s=30)
                self._pin.accepted()
            except BusFault as fault:
                log.warning("modem=%s PIN not taken %s", self.id, fault.name)
                self.health.trouble("modem_pin_wrong")

    def _search(self, modem_3gpp: Mapping[str, Any]) -> None:
        now_s = asyncio.get_running_loop().time()
        self._since_s = self._since_s if self._since_s is not None else now_s
        if modem_3gpp.get("RegistrationState") == DENIED:
            self.health.trouble("modem_denied")
        elif now_s - self._since_s >= self._pace.searching_s:
            self.health.trouble("modem_no_network")
        else:
            self.health.down("modem_searching")

    async def _connect_in_time(self, bus: Bus) -> None:
        """NetworkManager connects by itself where it has a profile; where it has not, we do."""
        now_s = asyncio.get_running_loop().time()
        if self.health.up or self._since_s is None:
            self._since_s = now_s
        self.health.down("modem_connecting")
        if now_s - self._since_s >= self._pace.connect_s:
            await self._connect(bus)

    async def _connect(self, bus: Bus) -> None:
        self.counts["connects"] += 1
        wanted = {"apn": ("s", self.settings.apn)} if self.settings.apn else {}
        try:
            await bus.call(self._path, f"{MODEM}.Simple", "Connect", "a{sv}", wanted, timeout_s=120)
        except BusFault as fault:
            log.warning("modem=%s connect %s", self.id, fault)
            self.health.trouble("modem_no_address")

    async def _connected(self, bus: Bus, modem: Mapping[str, Any]) -> None:
        for path in modem.get("Bearers", ()):
            bearer = await bus.properties(path, "org.freedesktop.ModemManager1.Bearer")
            if bearer.get("Connected") and bearer.get("Interface"):
                self.interface = str(bearer["Interface"])
                self._since_s = None
                self.health.healthy()
                await self._ask_time(bus)
                return
        self.health.trouble("modem_no_address")

    async def _ask_time(self, bus: Bus) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._clock_due_s:
            return
        self._clock_due_s = now_s + self._pace.clock_s
        with contextlib.suppress(BusFault):  # not every modem or network tells it
            told = await bus.ask(self._path, f"{MODEM}.Time", "GetNetworkTime")
            if (utc_ns := network_utc_ns(str(told))) is not None:
                await self.hooks.offer_time(utc_ns)

    # -- the ladder ----------------------------------------------------------------------------------------------
    async def _act(self, bus: Bus, action: str) -> None:
        if action == "power":
            self.interface = ""
            self.health.down("modem_power_cycling")
            if await self.hooks.power():
                await asyncio.sleep(self._pace.boot_s)
            else:
                self.counts["power_refused"] += 1
        elif action == "host":
            await self.hooks.reboot_host()
        elif action == "bearer" and self._path:
            await bus.call(self._path, f"{MODEM}.Simple", "Disconnect", "o", "/", timeout_s=60)
            await self._connect(bus)
        elif action == "radio" and self._path:
            await bus.call(self._path, MODEM, "Enable", "b", False, timeout_s=60)
            await bus.call(self._path, MODEM, "Enable", "b", True, timeout_s=60)
        elif action == "restart" and self._path:
            await bus.call(self._path, MODEM, "Reset", timeout_s=60)
        # reopen: the uplink does that by itself; retry: ModemManager keeps asking the network


def find(objects: Mapping[str, Mapping[str, Mapping[str, Any]]], device: str) -> str:
    """The object path of a modem by DeviceIdentifier, physical device or IMEI; "any": the only one. "" if there is none."""
    modems = {path: kinds["Modem"] for path, kinds in objects.items() if "Modem" in kinds and path.startswith(ROOT)}
    if device == "any":
        return next(iter(modems)) if len(modems) == 1 else ""
    for path, modem in modems.items():
        if device in (modem.get("DeviceIdentifier"), modem.get("Device"), modem.get("EquipmentIdentifier")):
            return path
    return ""


def network_utc_ns(told: str) -> int | None:
    """UTC in ns of ModemManager's ISO 8601 with its offset ("2026-11-25T14:02:03+08"); None without a zone or before 2024."""
    try:
        when = datetime.fromisoformat(re.sub(r"([+-]\d\d)$", r"\1:00", told))
    except ValueError:
        return None
    if when.tzinfo is None or when.year < 2024:
        return None
    return int(when.timestamp()) * 10**9
