"""The core's Unix socket: the one way in for uplink, console and command line.

One JSON object a line, both ways (docs/architecture.md). Everything a peer can fill is bounded: clients, line length, and what
waits for a client that does not read, which is cut off and has to ask again.
"""

import asyncio
import collections
import contextlib
import functools
import grp
import itertools
import json
import logging
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.compact_json import compact_encoder

log = logging.getLogger("edge.api")

LINE_BYTES_MAX = 64 * 1024
CLIENTS_MAX = 32
REQUESTS_WAITING_MAX = 1024  # of one client
WAITING_BYTES_MAX = 4 * 1024 * 1024
ANSWER_BYTES_MAX = 64 * 1024 * 1024  # for a client: 10 000 alarms are 5 MB
_TEXT = compact_encoder()
SLICE = 32  # entries of a long answer made in one turn of the loop
GROUP = "edge-agent"

# An iterator as the result is a list that is made and sent in slices, so that a long one holds up nobody. A future as the result
# is answered when it is done; other requests are answered meanwhile.
Handler = Callable[[Mapping[str, object], "Peer"], object]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is on the other end, as the kernel says (SO_PEERCRED)."""

    pid: int
    uid: int

    @property
    def is_service(self) -> bool:
        """Whether it is root or one of the gateway's own services, and not merely somebody who may look and acknowledge."""
        return self.uid in (0, os.getuid())

    @property
    def label(self) -> str:
        """For the audit trail: the user's name, or the number."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return f"uid {self.uid}"


class ApiError(Exception):
    """A request that was refused. `code` is ASCII; the client puts it into words."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code, self.params = code, params


class LocalServer:
    """Serves `handlers` on `path`. A handler gets the request and the peer and returns what goes under "result".

    `on_watch` is called with what a client has begun to watch, after it was answered.
    """

    def __init__(
        self,
        path: Path,
        handlers: Mapping[str, Handler],
        *,
        on_watch: Callable[[frozenset[str]], None] = lambda watching: None,
    ) -> None:
        self.path, self.handlers, self.on_watch = path, handlers, on_watch
        self._server: asyncio.AbstractServer | None = None
        self.connections: dict[_Connection, None] = {}  # in the order they came
        self._turns: collections.deque[_Connection] = collections.deque()  # who has something to be answered
        self._pumping = False

    async def start(self) -> None:
        """Listen. A socket left behind by a killed core is replaced; the directory must exist. Raise OSError."""
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Connection(self), str(self.path))
        self.path.chmod(0o660)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(self.path, -1, grp.getgrnam(GROUP).gr_gid)

    def push(self, what: str, message: Mapping[str, object]) -> None:
        """Tell every client that watches `what`. Never waits."""
        line: bytes | None = None
        for connection in tuple(self.connections):
            if what in connection.watching:
                if line is None:
                    line = _encode({"push": what, **message})
                connection.send(line)

    def queue(self, connection: "_Connection") -> None:
        """Let a connection have its turn: one request, or one slice of a long answer, in each turn of the loop for all clients
        together. However many they ask, an alarm waits for one of them at most.
        """
        self._turns.append(connection)
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        connection = self._turns.popleft()
        try:
            if connection.work():
                self._turns.append(connection)
        finally:
            self._pumping = bool(self._turns)
            if self._pumping:
                asyncio.get_running_loop().call_soon(self._pump)

    def watched(self, what: str) -> bool:
        """Whether anyone would hear a push of `what`."""
        return any(what in connection.watching for connection in self.connections)

    def heard_s(self, what: str) -> float | None:
        """When a client that watches `what` last said something, on the loop's clock; None: nobody watches."""
        return max((c.heard_s for c in self.connections if what in c.watching), default=None)

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.hang_up()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()


class _Connection(asyncio.Protocol):
    def __init__(self, server: LocalServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._peer = Peer(0, -1)
        self._rest = b""
        self._lines: collections.deque[bytes] = collections.deque()
        self._slices: Iterator[bytes] | None = None  # of the answer that is being made
        self._parts: list[bytes] = []
        self.watching: frozenset[str] = frozenset()
        self.heard_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        peer = _peer_of(transport.get_extra_info("socket"))
        if len(self._server.connections) >= CLIENTS_MAX or not _may_enter(peer):
            transport.abort()
            return
        self._transport, self._peer = transport, peer
        transport.set_write_buffer_limits(high=WAITING_BYTES_MAX)
        self._server.connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.pop(self, None)
        self._transport = None
        self._lines.clear()
        self._slices = None

    def data_received(self, data: bytes) -> None:
        self.heard_s = asyncio.get_running_loop().time()
        *lines, self._rest = (self._rest + data).split(b"\n")
        idle = not self._lines and self._slices is None
        self._lines.extend(line for line in lines if line)
        if (
            len(self._lines) > REQUESTS_WAITING_MAX
            or len(self._rest) > LINE_BYTES_MAX
            or any(len(line) > LINE_BYTES_MAX for line in lines)
        ):
            self._lines.clear()
            self.hang_up()
        elif idle and self._lines:
            self._server.queue(self)

    def work(self) -> bool:
        """Answer one request, or make one slice of its answer; return whether there is more to do."""
        if self._slices is None and self._lines:
            self._slices = self._answer(self._lines.popleft())
        if self._slices is not None:
            part = next(self._slices, None)
            if part is not None:
                self._parts.append(part)
            else:
                self._slices = None
                if self._parts:  # else the answer comes later
                    self.send(b"".join(self._parts))
                self._parts = []
        return self._slices is not None or bool(self._lines)

    def _answer(self, line: bytes) -> Iterator[bytes]:
        number: object = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ApiError("not_an_object")
            number = request.get("id")
            do = request.get("do")
            if do == "watch":
                self.watching = frozenset(str(what) for what in request.get("what", ()))
                asyncio.get_running_loop().call_soon(self._server.on_watch, self.watching)
                yield _encode({"id": number, "ok": True})
                return
            handler = self._server.handlers.get(str(do))
            if handler is None:
                raise ApiError("unknown_request", do=str(do)[:40], known=sorted(self._server.handlers))
            result = handler(request, self._peer)
            if isinstance(result, asyncio.Future):
                result.add_done_callback(functools.partial(self._answer_later, number))
                return
            if not isinstance(result, Iterator):
                yield _encode({"id": number, "ok": True, "result": result})
                return
            begun = _encode({"id": number, "ok": True, "result": []})[:-3]  # but for "]}" and the line's end
            while piece := list(itertools.islice(result, SLICE)):
                yield begun + _encode(piece)[1:-2]
                begun = b","
            yield (begun if begun != b"," else b"") + b"]}\n"
        except ApiError as refusal:
            self._parts = []
            yield _encode({"id": number, "ok": False, "error": refusal.code, "params": refusal.params})
        except (
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
        ) as fault:  # what a malformed request can cause in a handler
            self._parts = []
            yield _encode({"id": number, "ok": False, "error": "bad_request", "params": {"detail": ascii(fault)[:200]}})
        except Exception as bug:  # a handler's bug is the answer to its request: the connection and the core go on
            log.exception("request")
            self._parts = []
            yield _encode({"id": number, "ok": False, "error": "bug", "params": {"detail": ascii(bug)[:200]}})

    def _answer_later(self, number: object, result: "asyncio.Future[object]") -> None:
        self.send(_encode({"id": number, "ok": True, "result": result.result()}))

    def send(self, line: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size() > WAITING_BYTES_MAX:
            self.hang_up()  # it does not read; it will come back and start from a snapshot
            return
        transport.write(line)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class LocalClient(asyncio.Protocol):
    """A client of the core. Every method raises ConnectionError once the core has gone; connect anew then."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None  # None: not yet, or no more
        self._begun: list[bytes] = []  # of a line whose end has not come
        self._begun_bytes = 0
        self._answers: dict[int, asyncio.Future[object]] = {}
        self._pushes: asyncio.Queue[dict[str, object] | None] = asyncio.Queue()
        self._count = 0

    @classmethod
    async def connect(cls, path: Path) -> "LocalClient":
        """Raise OSError (FileNotFoundError, ConnectionRefusedError, PermissionError) when no core listens on `path`."""
        _, client = await asyncio.get_running_loop().create_unix_connection(cls, str(path))
        return client

    async def request(self, do: str, **params: object) -> object:
        """Send one request and return its result. Raise ApiError if the core refuses it, ConnectionError if it went away."""
        if self._transport is None:
            raise ConnectionResetError("the core closed the connection")
        self._count += 1
        number = self._count
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._transport.write(_encode({"id": number, "do": do, **params}))
            return await answer
        finally:
            self._answers.pop(number, None)

    async def pushes(self) -> AsyncIterator[dict[str, object]]:
        """What the core pushes, in order, until it goes away (then the iteration ends)."""
        while (push := await self._pushes.get()) is not None:
            yield push

    async def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()
            self._end()
        await asyncio.sleep(0)  # the transport lets go of its socket in the next turn

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join((*self._begun, whole[0]))
            self._begun, self._begun_bytes = [], 0
        self._begun.append(rest)
        self._begun_bytes += len(rest)
        try:
            for line in whole:
                self._take(json.loads(line.decode()))  # of bytes it would look for their encoding
        except ValueError:  # no core of ours: this connection is over
            self._begun_bytes = ANSWER_BYTES_MAX + 1
        if self._begun_bytes > ANSWER_BYTES_MAX and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self._end()

    def _take(self, message: dict[str, Any]) -> None:
        if "push" in message:
            self._pushes.put_nowait(message)
            return
        answer = self._answers.pop(message.get("id", 0), None)
        if answer is None or answer.done():
            return
        if message["ok"]:
            answer.set_result(message.get("result"))
        else:
            answer.set_exception(ApiError(message["error"], **message.get("params", {})))

    def _end(self) -> None:
        self._transport = None
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(ConnectionResetError("the core closed the connection"))
        self._pushes.put_nowait(None)


def _encode(message: object) -> bytes:
    # half a pair of surrogates, out of a device's JSON, goes as JSON writes it: \ud800
    return _TEXT(message).encode("utf-8", "backslashreplace") + b"\n"


def _peer_of(connection: socket.socket) -> Peer:
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(pid, uid)


def _may_enter(peer: Peer) -> bool:
    if peer.is_service:
        return True
    try:
        user = pwd.getpwuid(peer.uid)
        return grp.getgrnam(GROUP).gr_gid in os.getgrouplist(user.pw_name, user.pw_gid)
    except KeyError:
        return False
