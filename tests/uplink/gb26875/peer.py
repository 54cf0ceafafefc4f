"""A peer of a GB/T 26875.3 session that does only what it is told, what is to be sent to it, and when all of that is confirmed."""

import asyncio
import socket
from collections.abc import Callable

from buffer.records import Priority
from drivers.codecs.gb26875 import Command, Frame, FrameReader
from edge_agent.model import Kind
from edge_agent.uplink.main import UplinkProcess
from tests.uplink.gb26875.site import body
from tests.uplink.site import MemoryJournal
from tests.waiting import PATIENCE_S


def journal_of(count: int, kind: Kind = Kind.FIRE, priority: Priority = Priority.ALARM) -> MemoryJournal:
    journal = MemoryJournal()
    for n in range(1, count + 1):
        journal.append(priority, body(n, kind))
    return journal


def done(process: UplinkProcess, priority: Priority = Priority.ALARM) -> Callable[[], bool]:
    """Whether the first centre has confirmed all there is."""
    outbox = process.destinations[0].outbox

    def all_done() -> bool:
        stream = outbox.get("e1", priority)
        return stream is not None and stream.head > 0 and stream.done.through == stream.head

    return all_done


class Peer:
    """One end of a connection, frame by frame."""

    def __init__(self) -> None:
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader(extra_commands=frozenset({7}))
        self._writer = writer
        try:
            while data := await reader.read(65536):
                for item in frames.feed(data, 0):
                    assert isinstance(item, Frame)
                    self._frames.put_nowait(item)
        except ConnectionError:
            pass
        finally:
            self._frames.put_nowait(None)
            writer.transport.abort()

    async def frame(self) -> Frame:
        async with asyncio.timeout(PATIENCE_S):
            found = await self._frames.get()
        assert found is not None, "the connection ended"
        return found

    async def frames(self, kind: int, count: int) -> list[Frame]:
        """So many frames of a type of data unit; all others are confirmed on the way."""
        found: list[Frame] = []
        while len(found) < count:
            frame = await self.frame()
            if frame.adu[0] == kind:
                found.append(frame)
            else:
                self.answer(frame)
        return found

    async def gone(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self._frames.get() is not None:
                pass

    def empty(self) -> bool:
        return self._frames.empty()

    def hang_up(self) -> None:
        assert self._writer is not None
        self._writer.transport.abort()

    def answer(self, frame: Frame, command: int = Command.CONFIRM) -> None:
        self.write(frame.answer(command, frame.sent).encode())

    def write(self, raw: bytes) -> None:
        assert self._writer is not None
        self._writer.write(raw)


class scripted:
    """A peer and its port."""

    async def __aenter__(self) -> tuple[Peer, int]:
        peer = Peer()
        self._server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, family=socket.AF_INET)
        return peer, self._server.sockets[0].getsockname()[1]

    async def __aexit__(self, *why: object) -> None:
        self._server.close()
