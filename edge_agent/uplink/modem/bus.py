"""ModemManager's objects on D-Bus, as plain Python values. The D-Bus library is loaded with this file and nowhere else (0012)."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.asyncio import DBusRouter, open_dbus_connection

NAME: Final = "org.freedesktop.ModemManager1"
ROOT: Final = "/org/freedesktop/ModemManager1"
CALL_S: Final = 10.0


class BusFault(Exception):
    """The bus, or who was called on it, refused. `name`: ASCII, the D-Bus error name or what became of the connection."""

    def __init__(self, name: str, detail: str = "") -> None:
        super().__init__(f"{name}: {detail}" if detail else name)
        self.name = name


class Bus:
    """A connection to the bus at `address` ("SYSTEM", or unix:path=…). An async context manager; entering raises BusFault."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: Any = None
        self._router: Any = None

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(CALL_S):
                self._connection = await open_dbus_connection(self._address)
        except (OSError, EOFError, TimeoutError, ValueError, RuntimeError) as fault:
            raise BusFault("no_bus", str(fault)) from fault
        self._router = DBusRouter(self._connection)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._router.__aexit__(None, None, None)
        except (OSError, EOFError, asyncio.InvalidStateError):
            pass  # the last: the library tells every call that the connection is gone, also one cancelled in this very turn
        finally:
            self._connection.writer.close()

    async def call(
        self, path: str, interface: str, method: str, signature: str = "", *body: object, timeout_s: float = CALL_S
    ) -> tuple[Any, ...]:
        """Call a method of ModemManager; return what it gives. Raise BusFault."""
        where = DBusAddress(path, bus_name=NAME, interface=interface)
        message = new_method_call(where, method, signature or None, body)
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._router.send_and_get_reply(message)
        except TimeoutError:
            raise BusFault("no_answer", method) from None
        except Exception as fault:  # the library's own kinds: a closed connection, a message it cannot read
            task = asyncio.current_task()
            if (
                task is not None and task.cancelling()
            ):  # when both fall together the library forgets that we were cancelled
                raise asyncio.CancelledError from fault
            raise BusFault("bus_lost", ascii(fault)[:200]) from fault
        if reply.header.message_type is MessageType.error:
            name = next((str(value) for key, value in reply.header.fields.items() if key.name == "error_name"), "error")
            raise BusFault(name, ascii(reply.body)[:200])
        return tuple(reply.body)

    async def ask(self, path: str, interface: str, method: str, signature: str = "", *body: object) -> Any:
        """Call a method that gives one value. Raise BusFault."""
        answer = await self.call(path, interface, method, signature, *body)
        if len(answer) != 1:
            raise BusFault("bad_answer", method)
        return answer[0]

    async def objects(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Every object: path -> interface without its common prefix -> property -> value."""
        found = await self.ask(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        return {path: {_short(name): plain(values) for name, values in kinds.items()} for path, kinds in found.items()}

    async def properties(self, path: str, interface: str) -> dict[str, Any]:
        """All properties of one interface."""
        return plain(await self.ask(path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface))


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Properties without the types D-Bus wraps variants in."""
    return {str(key): _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):  # a variant: (signature, value)
        value = value[1]
    return plain(value) if isinstance(value, dict) else value


def _short(interface: str) -> str:
    return interface.removeprefix(f"{NAME}.")
