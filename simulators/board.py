"""The wiring of a simulated board: closes contacts, presses buttons, and watches buzzer and lamps of a running core.

Speaks to the fake GPIO back end (`drivers/gpio/fake.py`). A level of an input is 1 for "contact closed" or "button pressed".
"""

import asyncio
import collections
import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

from drivers.gpio.fake import levels_file
from edge_agent.tasks import end

RECONNECT_S = 0.02
HISTORY = 10_000


class Board:
    """Connected to one core's fake board, across restarts of that core: a real contact keeps its level too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inputs: dict[int, bool] = {}  # what this wiring does
        self.outputs: dict[int, bool] = {}  # as last told; empty while the core is down
        self.history: collections.deque[tuple[int, bool, int]] = collections.deque(
            maxlen=HISTORY
        )  # line, level, mono_ns
        self.errors: collections.deque[dict[str, object]] = collections.deque(maxlen=100)
        self.connections = 0
        self._writer: asyncio.StreamWriter | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, path: Path | str, timeout_s: float = 60.0) -> "Board":
        """Wait until the core's board is there, then stay connected until `close()`. Raise TimeoutError."""
        board = cls(Path(path))
        board.start()
        try:
            await board.wait_connected(timeout_s)
        except TimeoutError:
            await board.close()
            raise
        return board

    def start(self) -> None:
        """Stay connected until `close()`, whenever there is a core."""
        levels_file(self.path).unlink(missing_ok=True)  # a new site: what an earlier run wired is gone
        self._task = asyncio.create_task(self._stay_connected(), name="board")

    @property
    def connected(self) -> bool:
        """Whether the core is there."""
        return self._writer is not None

    def set(self, line: int, level: bool | int) -> int:
        """Set one input; return the monotonic ns at which it was sent. While the core is down the level is there when it starts."""
        return self.set_many({line: level})

    def set_many(self, levels: Mapping[int, bool | int]) -> int:
        """Set several inputs in one loop turn of the core."""
        self.inputs.update({line: bool(level) for line, level in levels.items()})
        self._store()
        sent_ns = time.monotonic_ns()
        if self._writer is not None:
            self._writer.write(_set_line({line: bool(level) for line, level in levels.items()}))
        return sent_ns

    async def press(self, line: int, held_s: float = 0.2) -> None:
        """Press a button and let it go."""
        self.set(line, 1)
        await asyncio.sleep(held_s)
        self.set(line, 0)

    async def wait_connected(self, timeout_s: float = 60.0, *, connection: int = 1) -> None:
        """Wait for the state message of the `connection`-th connection. Raise TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self.connections < connection or self._writer is None:
                await self._wait_news()

    async def wait_output(
        self, line: int, level: bool | int, timeout_s: float = 60.0, *, after_ns: int | None = None
    ) -> int:
        """Wait until an output has this level; return the monotonic ns of the change. Raise TimeoutError.

        With `after_ns` only a change at or after that moment counts (the core's clock, which is this machine's).
        Without it an output that has the level already counts, with the moment it was told.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                if (found_ns := self._find(line, bool(level), after_ns)) is not None:
                    return found_ns
                await self._wait_news()

    def _find(self, line: int, level: bool, after_ns: int | None) -> int | None:
        if after_ns is not None:
            found_ns = None
            for n, was, at_ns in reversed(self.history):
                if at_ns < after_ns:
                    break
                if n == line and was == level:
                    found_ns = at_ns
            return found_ns
        if self.outputs.get(line) != level:
            return None
        return next(at for n, _, at in reversed(self.history) if n == line)

    async def close(self) -> None:
        """Let go of the core. Its inputs keep their levels until it ends."""
        if self._task is not None:
            await end(self._task)
            self._task = None

    async def __aenter__(self) -> "Board":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _wait_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._talk(*await asyncio.open_unix_connection(self.path))
            self._writer = None
            self.outputs.clear()
            self._news.set()
            await asyncio.sleep(RECONNECT_S)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self._take(json.loads(line), writer)
                self._news.set()
        finally:
            writer.close()

    def _take(self, message: dict[str, object], writer: asyncio.StreamWriter) -> None:
        state = message.get("state")
        if isinstance(state, dict):
            at_ns = int(str(message["mono_ns"]))
            for line, level in state["outputs"].items():
                self._note(int(line), bool(level), at_ns)
            if self.inputs:
                writer.write(_set_line(self.inputs))
            self._writer = writer
            self.connections += 1
        elif "line" in message:
            self._note(int(str(message["line"])), bool(message["level"]), int(str(message["mono_ns"])))
        else:
            self.errors.append(message)

    def _note(self, line: int, level: bool, at_ns: int) -> None:
        self.outputs[line] = level
        self.history.append((line, level, at_ns))

    def _store(self) -> None:
        """Replaced as a whole, so that a core that starts this moment never reads half of it."""
        target = levels_file(self.path)
        scratch = target.with_name(target.name + ".new")
        scratch.write_text(json.dumps({str(line): int(level) for line, level in self.inputs.items()}), "ascii")
        scratch.replace(target)


def _set_line(levels: dict[int, bool]) -> bytes:
    return json.dumps({"set": {str(line): int(level) for line, level in levels.items()}}).encode() + b"\n"
