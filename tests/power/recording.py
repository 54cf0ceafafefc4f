"""Starts a recorder for a test, and ends everything it mounted whatever becomes of the test."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.power.oplog import Op, load
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")


def cannot() -> str:
    """Why this machine cannot record; "" if it can."""
    if os.geteuid() != 0:
        return "needs root to mount"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs /dev/fuse"
    return ""


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A short directory in memory. Skips the test where nothing can be recorded."""
    if why := cannot():
        pytest.skip(why)
    place = Path(tempfile.mkdtemp(prefix="zg-power-", dir=MEMORY))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Recording:
    """A recorded file system at `mount`. Use as a context manager."""

    def __init__(self, place: Path, name: str = "disk") -> None:
        self.backing, self.mount, self._log = place / f"{name}.real", place / name, place / f"{name}.log"
        self.ops: list[Op] = []  # so far; `fetch` adds what is new
        self._process: subprocess.Popen[str] | None = None
        self._mark = -1

    def __enter__(self) -> Self:
        self.backing.mkdir(exist_ok=True)
        self.mount.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "tests.power.recorder", str(self.backing), str(self.mount), str(self._log)]
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        deadline_s = time.monotonic() + PATIENCE_S
        while not os.path.ismount(self.mount):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError("the recorder does not mount")
            time.sleep(0.005)
        self._mark = os.open(self.mount / ".mark", os.O_WRONLY)
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process is not None and process.stdin is not None
        if self._mark >= 0:
            os.close(self._mark)
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # somebody still has a file open there
            process.kill()

    def mark(self, note: bytes) -> None:
        """Write down that something was promised. The note must not be empty: nobody would hear of it."""
        assert note
        os.pwrite(self._mark, note, 0)

    def fail(self, *ops: str, error: str = "", stall_s: float = 0.0, after: int = 1, times: int = 0) -> None:
        """Let operations (write, fsync, truncate, create, unlink, rename, read) fail or stall from now on."""
        self._tell(do="trouble", ops=list(ops), error=error, stall_s=stall_s, after=after, times=times)

    def heal(self) -> int:
        """End what goes wrong. Return how often it did."""
        hits = self.hits()
        self._tell(do="trouble")
        return hits

    def hits(self) -> int:
        """How often something was made to go wrong."""
        return int(self._tell(do="hits")["hits"])

    def fetch(self) -> list[Op]:
        """Everything up to now."""
        self._tell(do="log")
        self.ops += load(self._log)
        return self.ops

    def forget(self) -> None:
        """What follows is what counts."""
        self.fetch()
        self.ops = []

    def _tell(self, **command: object) -> dict[str, Any]:
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer
