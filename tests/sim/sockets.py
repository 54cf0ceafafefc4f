"""Unix sockets between the processes of one simulated machine: asyncio transports whose bytes arrive a moment later."""

import asyncio
import os
import struct
from typing import Any

from tests.sim.loop import ProcessLoop

HOP_S = 0.0001


class _Socket:
    """What the core asks of a socket: whose it is."""

    def getsockopt(self, *_: int) -> bytes:
        return struct.pack("3i", 1, os.getuid(), os.getgid())


class Wire(asyncio.Transport):
    """A transport that never holds anything back: what is written is on its way."""

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Pipe(Wire):
    """One end. `peer` is the other."""

    def __init__(self, loop: ProcessLoop, protocol: Any) -> None:
        super().__init__({"socket": _Socket()})
        self.loop, self.protocol = loop, protocol
        self.peer: Pipe
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed and not self.loop.dead:
            self.peer.loop.call_later(HOP_S, self.peer.take, bytes(data))

    def take(self, data: bytes) -> None:
        if not self.closed:
            self.protocol.data_received(data)

    def hang_up(self, fault: Exception | None = None) -> None:
        """The other end has gone."""
        if not self.closed:
            self.closed = True
            self.protocol.connection_lost(fault)

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if self.closed or self.loop.dead:
            return
        self.closed = True
        self.loop.call_soon(self.protocol.connection_lost, None)
        self.peer.loop.call_later(HOP_S, self.peer.hang_up)

    def is_closing(self) -> bool:
        return self.closed


class _Server(asyncio.AbstractServer):
    def __init__(self, sockets: "Sockets", path: str) -> None:
        self._sockets, self._path = sockets, path

    def close(self) -> None:
        self._sockets.listeners.pop(self._path, None)


class Sockets:
    """All Unix sockets of a machine."""

    def __init__(self) -> None:
        self.listeners: dict[str, tuple[ProcessLoop, Any]] = {}
        self.pipes: list[Pipe] = []

    def listen(self, loop: ProcessLoop, factory: Any, path: str) -> _Server:
        with open(path, "w"):  # the core sets its mode
            pass
        self.listeners[path] = loop, factory
        return _Server(self, path)

    async def connect(self, loop: ProcessLoop, factory: Any, path: str) -> tuple[Pipe, Any]:
        found = self.listeners.get(path)
        if found is None:
            raise ConnectionRefusedError(path) if os.path.exists(path) else FileNotFoundError(path)
        far_loop, far_factory = found
        near, far = Pipe(loop, factory()), Pipe(far_loop, far_factory())
        near.peer, far.peer = far, near
        self.pipes = [pipe for pipe in self.pipes if not pipe.closed]
        self.pipes += [near, far]
        near.protocol.connection_made(near)
        far_loop.call_soon(far.protocol.connection_made, far)
        return near, near.protocol

    def drop(self, loop: ProcessLoop) -> None:
        """A process is gone: its ends hang up."""
        for path in [path for path, (owner, _) in self.listeners.items() if owner is loop]:
            del self.listeners[path]
        for pipe in [pipe for pipe in self.pipes if pipe.loop is loop]:
            pipe.closed = True
            pipe.peer.loop.call_later(HOP_S, pipe.peer.hang_up)
