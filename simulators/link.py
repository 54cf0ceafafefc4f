"""A network link that can be cut, frozen and healed: a TCP relay between the uplink and the broker."""

import asyncio
import contextlib


class Link:
    """Relays 127.0.0.1:`port` to `target_port` while it is up.

    `cut()` refuses and resets connections, as a pulled cable seen from a router nearby; `freeze()` accepts and swallows, as a
    half-open path through a dead carrier.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.up = True
        self.connections = 0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.AbstractServer | None = None
        self._relays: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Drop what is connected and refuse what comes."""
        self.up = False
        for relay in self._relays:
            relay.cancel()

    def freeze(self) -> None:
        """Keep connections open and let nothing through."""
        self._flowing.clear()

    def heal(self) -> None:
        """Let traffic through again; frozen connections are dropped, as a carrier forgets them."""
        if not self._flowing.is_set():
            for relay in self._relays:
                relay.cancel()
        self._flowing.set()
        self.up = True

    async def close(self) -> None:
        """Stop listening and drop what is connected."""
        if self._server is not None:
            self._server.close()
        self.cut()
        await asyncio.gather(*self._relays, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        try:
            if self.up:
                self.connections += 1
                await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._relays.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        try:
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pump(reader, far_writer))
                directions.create_task(self._pump(far_reader, writer))
        except* OSError:
            pass
        finally:
            far_writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            await self._flowing.wait()
            sink.write(data)
            await sink.drain()
        with contextlib.suppress(OSError):
            sink.write_eof()
