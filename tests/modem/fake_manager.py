"""A ModemManager on a private dbus-daemon: real D-Bus, objects as the test sets them, every call remembered."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, MessageType, new_error, new_method_call, new_method_return
from jeepney.io.asyncio import DBusConnection, DBusRouter, open_dbus_connection

from edge_agent.uplink.modem.bus import NAME
from tests.waiting import PATIENCE_S

MODEM = f"{NAME}.Modem"
READY = {"State": ("i", 8), "StateFailedReason": ("u", 0), "UnlockRequired": ("u", 1), "Bearers": ("ao", [])}


class FakeManager:
    """`modems`: index -> properties of its Modem interface. `on_call`: what a method does, by name; may raise Refusal."""

    def __init__(self, connection: DBusConnection) -> None:
        self.modems: dict[int, dict[str, tuple[str, Any]]] = {}
        self.registration = 1
        self.bearers: dict[str, dict[str, tuple[str, Any]]] = {}
        self.calls: list[tuple[str, str, tuple[Any, ...]]] = []  # path, method, body
        self.on_call: dict[str, Callable[[tuple[Any, ...]], tuple[str, tuple[Any, ...]] | None]] = {}
        self._connection = connection

    def add(self, index: int, *, device: str = "ec20", **properties: tuple[str, Any]) -> None:
        """Plug a modem in."""
        known = {
            "DeviceIdentifier": ("s", device),
            "Device": ("s", f"/sys/devices/usb/{device}"),
            "EquipmentIdentifier": ("s", "866971030000018"),
            "Model": ("s", "EC20F"),
            "SignalQuality": ("(ub)", (67, True)),
            "Sim": ("o", "/org/freedesktop/ModemManager1/SIM/0"),
        }
        self.modems[index] = {**READY, **known, **properties}

    def connect(self, index: int, interface: str = "wwan0") -> None:
        """The modem has a bearer on an interface."""
        path = f"/org/freedesktop/ModemManager1/Bearer/{index}"
        self.bearers[path] = {"Connected": ("b", True), "Interface": ("s", interface)}
        self.modems[index] |= {"State": ("i", 11), "Bearers": ("ao", [path])}

    def methods(self) -> list[str]:
        return [method for _, method, _ in self.calls]

    async def serve(self) -> None:
        while True:
            message = await self._connection.receive()
            if message.header.message_type is not MessageType.method_call:
                continue
            fields = {key.name: value for key, value in message.header.fields.items()}
            path, method = fields["path"], fields["member"]
            if method not in ("GetManagedObjects", "GetAll"):
                self.calls.append((path, method, tuple(message.body)))
            try:
                signature, body = self._answer(path, method, tuple(message.body))
                reply = new_method_return(message, signature or None, body)
            except Refusal as refusal:
                reply = new_error(message, f"{NAME}.Error.{refusal}", "s", (str(refusal),))
            await self._connection.send(reply)

    def _answer(self, path: str, method: str, body: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        if method == "GetManagedObjects":
            return "a{oa{sa{sv}}}", (self._objects(),)
        if method == "GetAll":
            if path not in self.bearers:
                raise Refusal("NotFound")
            return "a{sv}", (self.bearers[path],)
        if (act := self.on_call.get(method)) is not None:
            return act(body) or ("", ())
        if method == "GetNetworkTime":
            raise Refusal("Core.Unsupported")
        return "", ()

    def _objects(self) -> dict[str, dict[str, dict[str, tuple[str, Any]]]]:
        registration = {"RegistrationState": ("u", self.registration)}
        return {
            f"/org/freedesktop/ModemManager1/Modem/{index}": {MODEM: modem, f"{MODEM}.Modem3gpp": registration}
            for index, modem in self.modems.items()
        }


class Refusal(Exception):
    """The last part of a D-Bus error name."""


@contextlib.asynccontextmanager
async def private_bus(directory: Path) -> AsyncIterator[str]:
    """A dbus-daemon of the test's own; yields its address."""
    tool = shutil.which("dbus-daemon")
    assert tool, "dbus-daemon is missing: apt-get install dbus"
    address = f"unix:path={directory / 'bus'}"
    daemon = await asyncio.create_subprocess_exec(
        tool, "--session", "--nofork", "--print-address=1", f"--address={address}", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert daemon.stdout is not None
        await asyncio.wait_for(daemon.stdout.readline(), PATIENCE_S)
        yield address
    finally:
        daemon.terminate()
        await daemon.wait()


@contextlib.asynccontextmanager
async def fake_manager(address: str) -> AsyncIterator[FakeManager]:
    """ModemManager on the bus until the block ends."""
    connection = await open_dbus_connection(address)
    async with DBusRouter(connection) as router:
        bus = DBusAddress("/org/freedesktop/DBus", bus_name="org.freedesktop.DBus", interface="org.freedesktop.DBus")
        await router.send_and_get_reply(new_method_call(bus, "RequestName", "su", (NAME, 4)))
    manager = FakeManager(connection)
    serving = asyncio.create_task(manager.serve())
    try:
        yield manager
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await connection.close()
