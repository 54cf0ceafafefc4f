"""UDP at the GB/T 26875.3 side of the reference centre: the datagrams of one far end are served like one connection."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from edge_agent.tasks import end

FAR_ENDS_MAX: Final = 1000
DATAGRAM_BYTES_MAX: Final = 1500

HELD_BYTES_MAX: Final = (
    64 * 1024
)  # of one far end, unread; what comes on top is lost, like any datagram, and sent again

Serve = Callable[[asyncio.StreamReader, "DatagramWriter"], Awaitable[None]]


class DatagramWriter:
    """What a link writes to. It is its own transport: there is nothing below it to close."""

    def __init__(
        self, transport: asyncio.DatagramTransport, far_end: tuple[object, ...], reader: asyncio.StreamReader
    ) -> None:
        self._transport, self._far_end, self._reader = transport, far_end, reader

    @property
    def transport(self) -> "DatagramWriter":
        """For `abort`."""
        return self

    def write(self, data: bytes) -> None:
        """Send one datagram."""
        self._transport.sendto(data, self._far_end)

    async def drain(self) -> None:
        """Nothing is held back."""

    def get_extra_info(self, name: str) -> None:
        """There is no socket of this far end's own."""

    def abort(self) -> None:
        """Serve this far end no longer; its next datagram begins anew."""
        if not self._reader.at_eof():
            self._reader.feed_eof()


class _DatagramReader(asyncio.StreamReader):
    """What a link reads from. A datagram cannot be held back at its sender, so it knows how much it holds."""

    held = 0

    def feed(self, data: bytes) -> None:
        if self.held + len(data) <= HELD_BYTES_MAX:
            self.held += len(data)
            self.feed_data(data)

    async def read(self, n: int = -1) -> bytes:
        data = await super().read(n)
        self.held -= len(data)
        return data


class DatagramServer(asyncio.DatagramProtocol):
    """Gives `serve` a reader and a writer for each far end that sends."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._transport: asyncio.DatagramTransport | None = None
        self._readers: dict[object, _DatagramReader] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Listening."""
        self._transport = cast(asyncio.DatagramTransport, transport)  # 3.11 does not call it one

    def datagram_received(self, data: bytes, addr: tuple[object, ...]) -> None:
        """Feed the link of this far end."""
        reader = self._readers.get(addr)
        if reader is None:
            if len(self._readers) >= FAR_ENDS_MAX or self._transport is None:
                return
            reader = self._readers[addr] = _DatagramReader()
            task = asyncio.create_task(self._run(addr, reader, DatagramWriter(self._transport, addr, reader)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(data) <= DATAGRAM_BYTES_MAX:
            reader.feed(data)

    async def _run(self, addr: tuple[object, ...], reader: asyncio.StreamReader, writer: DatagramWriter) -> None:
        try:
            await self._serve(reader, writer)
        finally:
            del self._readers[addr]

    async def stop(self) -> None:
        """Serve nobody any more."""
        await end(*self._tasks)
        if self._transport is not None:
            self._transport.close()
