"""A real PostgreSQL for a test: a cluster of its own on a Unix socket, with fsync on, and ways to break it.

    with Postgres() as server: server.url ...

As root it runs as the user `postgres` that Debian's package made: PostgreSQL refuses to be root.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psycopg

from tests.waiting import PATIENCE_S

USER = "postgres" if os.geteuid() == 0 else None
CONFIG = """
listen_addresses = ''
unix_socket_directories = '{socket}'
max_connections = 60
shared_buffers = 64MB
max_wal_size = {max_wal}MB
min_wal_size = {min_wal}MB
log_min_messages = error
restart_after_crash = on
"""


def program(name: str) -> str:
    """The newest one of Debian's, which are not on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(found[-1]) if found else name


class Postgres:
    """One server. `place` is where its files go, else a new directory; the socket is always in /tmp, for paths may be long."""

    def __init__(self, place: Path | None = None, *, wal_mb: int = 256) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="zg-pg-"))
        self.data = (place or self.home) / "data"
        self.log = self.home / "log"
        self.url = f"postgresql://postgres@/postgres?host={self.home}"
        self._config = CONFIG.format(socket=self.home, max_wal=wal_mb, min_wal=min(wal_mb, 80))
        self._wal_segment_mb = 16 if wal_mb >= 64 else 1
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Postgres":
        if USER:
            for place in {self.home, self.data.parent}:
                shutil.chown(place, USER, USER)
                place.chmod(0o755)
        self._run(
            "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
            f"--wal-segsize={self._wal_segment_mb}",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(self._config)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> None:
        """Start it, recover if it was killed, and wait until it answers."""
        deadline_s = time.monotonic() + 3 * PATIENCE_S
        while time.monotonic() < deadline_s:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [program("postgres"), "-D", str(self.data)], stdout=log, stderr=log, user=USER, cwd=self.home
                )
            while self._process.poll() is None and time.monotonic() < deadline_s:
                try:
                    psycopg.connect(self.url, connect_timeout=5).close()
                except psycopg.Error:
                    time.sleep(0.02)
                else:
                    return
            time.sleep(0.1)  # the last children of the one we killed are still leaving
        raise AssertionError(f"PostgreSQL does not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        """kill -9 of the server and of every process of it, as a power cut leaves it (but for what the kernel has)."""
        process, self._process = self._process, None
        if process is None:
            return
        children: list[str] = []
        with contextlib.suppress(OSError):  # it may have ended by itself
            os.kill(process.pid, signal.SIGSTOP)  # it shall start no more children
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP inside the block, the server and every process of it: connections stay open and nothing answers."""
        pid = self.pid  # the block may kill it
        os.kill(pid, signal.SIGSTOP)  # first: it shall start no more children
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        try:
            for child in children:
                os.kill(child, signal.SIGSTOP)
            yield
        finally:
            for stopped in (*children, pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(stopped, signal.SIGCONT)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it takes connections."""
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.Error:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [program(name), *arguments], user=USER, cwd=self.home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
