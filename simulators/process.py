"""The real programs as child processes: started as a site starts them, killed as a site kills them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class Program:
    """One child process whose output goes to a file. Kill it with any signal and start it again."""

    def __init__(
        self, name: str, arguments: Sequence[str], log: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.arguments, self.log = name, tuple(arguments), log
        self._environ = {**os.environ, **(environ or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._told_to_end = False
        self.starts = 0

    @classmethod
    def python(cls, name: str, module: str, *arguments: str, log: Path) -> "Program":
        """A module of this project, run by the interpreter that runs us."""
        return cls(name, (sys.executable, "-m", module, *arguments), log)

    @property
    def pid(self) -> int:
        """Of the running process. Raise ProcessLookupError when it does not run."""
        if self._process is None or self._process.returncode is not None:
            raise ProcessLookupError(self.name)
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def ended(self) -> bool:
        """Whether it has ended and nobody here asked it to."""
        return self._process is not None and self._process.returncode is not None and not self._told_to_end

    async def start(self) -> None:
        """Start it; its output is appended to the log."""
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environ,
                start_new_session=True,  # a Ctrl-C in our terminal is ours to act on
            )
        self._told_to_end = False
        self.starts += 1

    def send(self, number: signal.Signals) -> None:
        """Send a signal: SIGSTOP freezes, SIGCONT thaws."""
        os.kill(self.pid, number)

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it with a signal and return its exit code; one that has ended already keeps its code."""
        process = self._process
        if process is None:
            raise ProcessLookupError(self.name)
        self._told_to_end = True
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        return await process.wait()

    async def stop(self, patience_s: float = 10.0) -> int:
        """Ask it to end (SIGTERM), insist after `patience_s`."""
        if self._process is None:
            return 0
        self._told_to_end = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    return await self._process.wait()
        return await self.kill()

    def tail(self, lines: int = 20) -> str:
        """The end of its log, for a report."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])
        return ""
