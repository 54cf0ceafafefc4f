"""A database in another building: a relay that hands every byte on later, in both directions and in order."""

import asyncio
import contextlib
import tempfile
import threading
from pathlib import Path

SOCKET = ".s.PGSQL.5432"  # what libpq looks for in the directory that a URL names as `host`


class Distance:
    """The server whose Unix socket is in `near`, `one_way_s` away at `url`. Runs in a thread of its own."""

    def __init__(self, near: Path, one_way_s: float) -> None:
        self._near, self._one_way_s = near / SOCKET, one_way_s
        self._place = tempfile.TemporaryDirectory(prefix="zg-far-")
        self.url = f"postgresql://postgres@/postgres?host={self._place.name}"
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._done = asyncio.Event()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._runner.run, args=(self._serve(),))

    def __enter__(self) -> "Distance":
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()
        self._runner.close()
        self._place.cleanup()

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(self._accept, Path(self._place.name) / SOCKET)
        self._listening.set()
        await self._done.wait()
        server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(self._near)
        with contextlib.suppress(OSError, asyncio.CancelledError):  # whoever is killed resets it; our end cancels it
            await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Each piece waits by itself: a long answer is as late as a short one, and not later."""
        while data := await source.read(1 << 16):
            self._loop.call_later(self._one_way_s, sink.write, data)
        self._loop.call_later(self._one_way_s, sink.close)
