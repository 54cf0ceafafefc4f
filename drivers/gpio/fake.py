"""A board that is not there, as strict as one that is. With a socket, another process plays the wiring (`simulators/board.py`).

The socket speaks JSON lines. In: `{"set": {"12": 1}}`, the logical level of inputs: 1 is "contact closed", 0 is "open".
Out: on connect `{"state": {"inputs": {...}, "outputs": {...}}, "mono_ns": ...}`, then `{"line": 17, "level": 1, "mono_ns": ...}`
for every change of an output, `{"error": "code", ...}` for a line that was not understood.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from drivers.gpio.port import GpioError, Lines, log

LINES = 54
MAX_CLIENTS = 8
MAX_QUEUED_BYTES = 256 * 1024  # of one client that does not read; past that it is dropped
MAX_LINE_BYTES = 16 * 1024


class FakeGpio(Lines):
    """54 lines. Untouched contacts are open. `<socket>.levels`, written by the simulated wiring, gives the levels at power-up."""

    def __init__(self, fake_socket: Path | None = None, *, mono_ns: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__()
        self._mono_ns = mono_ns
        self._server = _Server(fake_socket, self) if fake_socket else None
        self._wired: dict[int, bool] = {}  # what the wiring does, requested or not: it outlives close()
        self._broken: str | None = None

    def break_down(self, code: str | None) -> None:
        """Make every later operation fail with GpioError(code), as a chip that went away does; None mends it."""
        self._broken = code

    def wire(self, levels: Mapping[int, bool]) -> None:
        """Set what the outside does to input lines. Raise GpioError("bad_line") and change nothing if a line cannot exist."""
        for line in levels:
            self._check_range(line)
        changed = {line: level for line, level in levels.items() if self._wired.get(line, False) != level}
        self._wired.update(changed)
        if self._is_open and not self._broken:
            now_ns = self._mono_ns()
            for line, level in changed.items():
                if line in self._inputs:
                    self._tell(line, level, now_ns)

    def levels(self) -> dict[str, dict[str, int]]:
        """Present levels, `{"inputs": {"12": 0}, "outputs": {"17": 1}}`. Closed lines drive nothing: no outputs."""
        outputs = self._outputs if self._is_open else {}
        return {
            "inputs": {str(line): int(self._wired.get(line, False)) for line in self._inputs},
            "outputs": {str(line): int(level) for line, level in outputs.items()},
        }

    def _check_range(self, line: int) -> None:
        if not 0 <= line < LINES:
            raise GpioError("bad_line", line=line, count=LINES)

    def _check_chip(self) -> None:
        if self._broken:
            raise GpioError(self._broken, device="fake")

    def _request(self) -> None:
        self._check_chip()
        for line in (*self._inputs, *self._outputs):
            self._check_range(line)
        if self._server is not None:
            self._wired.update(self._server.start())

    def _release(self) -> None:
        if self._server is not None:
            self._server.stop()

    def _set(self, line: int, level: bool) -> None:
        self._check_chip()
        if self._server is not None:
            self._server.tell({"line": line, "level": int(level), "mono_ns": self._mono_ns()})

    def _get(self, line: int) -> bool:
        self._check_chip()
        return self._wired.get(line, False)


class _Server:
    """The Unix socket. A level is sent in the loop turn that changed it; a slow client is queued for, then dropped."""

    def __init__(self, path: Path, board: FakeGpio) -> None:
        self._path, self._board = path, board
        self._listener: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients: set[_Client] = set()

    def start(self) -> dict[int, bool]:
        """Listen; return the levels the wiring left behind. Raise GpioError("busy") if another process is this board."""
        self._loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)  # a Unix socket answers at once or is dead
            with contextlib.suppress(OSError):
                probe.connect(str(self._path))
                raise GpioError("busy", line="all", holder=str(self._path))
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._path.unlink(missing_ok=True)
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            listener.listen(MAX_CLIENTS)
        except OSError as fault:
            listener.close()
            raise GpioError("io", line="all", reason=f"{self._path}: {fault.strerror}") from fault
        self._listener = listener
        self._loop.add_reader(listener, self._accept, listener)
        return _stored_levels(self._path)

    def stop(self) -> None:
        """Close everything. Never raises."""
        for client in list(self._clients):
            self.drop(client)
        if self._listener is not None and self._loop is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def tell(self, message: Mapping[str, object]) -> None:
        """Send to every client."""
        if self._clients:
            data = _line(message)
            for client in list(self._clients):
                client.send(data)

    def apply(self, client: "_Client", line: bytes) -> None:
        """Do what one line of a client says."""
        try:
            wanted = json.loads(line)["set"]
            levels = {int(number): {0: False, 1: True}[level] for number, level in wanted.items()}
            self._board.wire(levels)
        except GpioError as fault:
            client.send(_line({"error": fault.code, **fault.params}))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            client.send(_line({"error": "not_understood", "expected": '{"set": {"LINE": 0 or 1}}'}))

    def drop(self, client: "_Client") -> None:
        """Forget one client."""
        self._clients.discard(client)
        client.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:  # it went away again, or no descriptor is left: it will try again
            return
        peer.setblocking(False)
        if len(self._clients) >= MAX_CLIENTS or self._loop is None:
            peer.close()
            return
        client = _Client(peer, self._loop, self)
        self._clients.add(client)
        client.send(_line({"state": self._board.levels(), "mono_ns": time.monotonic_ns()}))


class _Client:
    def __init__(self, peer: socket.socket, loop: asyncio.AbstractEventLoop, server: _Server) -> None:
        self._peer, self._loop, self._server = peer, loop, server
        self._unsent, self._unread = bytearray(), bytearray()
        loop.add_reader(peer, self._on_readable)

    def send(self, data: bytes) -> None:
        if self._peer.fileno() < 0:
            return
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > MAX_QUEUED_BYTES:
                log.warning("fake board: a client does not read, dropped")
                self._server.drop(self)
            return
        try:
            sent = self._peer.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._server.drop(self)
            return
        if sent < len(data):
            self._unsent += data[sent:]
            self._loop.add_writer(self._peer, self._on_writable)

    def close(self) -> None:
        if self._peer.fileno() >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._peer)
                self._loop.remove_writer(self._peer)
            self._peer.close()

    def _on_writable(self) -> None:
        try:
            del self._unsent[: self._peer.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError:
            self._server.drop(self)
            return
        if not self._unsent:
            self._loop.remove_writer(self._peer)

    def _on_readable(self) -> None:
        try:
            data = self._peer.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._unread += data
        *lines, rest = self._unread.split(b"\n")
        self._unread = rest
        for line in lines:
            self._server.apply(self, bytes(line))
        if not data or len(self._unread) > MAX_LINE_BYTES:
            self._server.drop(self)


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def levels_file(path: Path) -> Path:
    """Where the simulated wiring keeps its levels: a contact stays as it is while the board is off."""
    return path.with_name(path.name + ".levels")


def _stored_levels(path: Path) -> dict[int, bool]:
    try:
        stored = json.loads(levels_file(path).read_text("ascii"))
        return {int(line): bool(level) for line, level in stored.items() if 0 <= int(line) < LINES}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
