"""A core to talk to: the real local API server, in a thread of its own, with answers a test sets."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
from edge_agent.cli import root
from edge_agent.local_api import LocalServer
from edge_agent.model import Clock, Event, Instant, Kind, encode_event
from tests.waiting import PATIENCE_S, eventually

REPO = Path(__file__).parents[2]


class StandInCore:
    """Serves `answers` (request name -> handler) on `path`, and remembers what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], object]] = {}
        self._loop = asyncio.new_event_loop()
        self._server = LocalServer(
            path,
            {
                do: self._handler(do)
                for do in (
                    *("status", "refused", "points", "alarms", "ack", "silence", "duty", "duty_answer"),
                    *("linkage", "linkage_order", "node_updates", "node_offer", "node_withdraw"),
                )
            },
        )
        self._thread = threading.Thread(target=self._loop.run_forever)

    def _handler(self, do: str) -> Callable[..., object]:
        def answer(request: Any, peer: Any) -> object:
            self.asked.append(dict(request))
            return self.answers[do](dict(request))

        return answer

    def start(self) -> None:
        self._thread.start()
        self.open_socket()

    def push(self, what: str, message: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._server.push, what, message)

    def watched(self, what: str) -> bool:
        return self._server.watched(what)

    def open_socket(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(PATIENCE_S)

    def close_socket(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(PATIENCE_S)

    def stop(self) -> None:
        self.close_socket()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


@pytest.fixture
def core(tmp_path: Path) -> Iterator[StandInCore]:
    standin = StandInCore(tmp_path / "core.sock")
    standin.start()
    yield standin
    standin.stop()


@pytest.fixture
def cli() -> Callable[..., Result]:
    """Run one command line in this process, as a script would see it."""

    def invoke(*args: str, stdin: bytes | str | None = None, env: dict[str, str] | None = None) -> Result:
        environ: dict[str, str | None] = {"LC_ALL": "C.UTF-8", "TERM": "xterm", **(env or {})}
        return CliRunner(env=environ).invoke(root, list(args), input=stdin)

    return invoke


@pytest.fixture
def environ() -> dict[str, str]:
    """A subprocess's environment that finds this source tree and nothing of the tester's own terminal."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPO), "TERM": "xterm", "LC_ALL": "C.UTF-8"}


@pytest.fixture
def command() -> list[str]:
    """How a subprocess is started as `edge-agent`; `environ` lets it find the code from any directory."""
    return [sys.executable, "-m", "edge_agent"]


BOOT, NOON_NS = "b00fb00fb00f", 1_795_492_800_000_000_000  # 2026-11-24 12:00:00 China time


def event_body(
    number: int, kind: Kind = Kind.FIRE, *, wall_ns: int = 0, clock: Clock = Clock.SYNCED, **more: Any
) -> bytes:
    """The journal body of one event."""
    at = Instant(BOOT, number * 1_000_000, wall_ns or NOON_NS + number * 1_000_000_000, clock)
    given = {
        "point": f"panel1/1-{number:03d}",
        "active": True,
        "grade": 1,
        "source": "panel1",
        "name": f"{number} 号点",
        **more,
    }
    return encode_event(Event(id=f"{BOOT}-{kind.value}-{number}", kind=kind, at=at, **given))


@pytest.fixture
def kept() -> Callable[..., None]:
    """Keep events in a directory by the real journal, closed in order: alarms, then faults, then whatever `bodies` says."""

    def keep(
        directory: Path, *, alarms: int = 0, faults: int = 0, bodies: Iterable[tuple[Priority, bytes]] = ()
    ) -> None:
        journal = Journal.open(directory, JournalSettings(reserve_bytes=0, background_check=False), report=print)
        for number in range(1, alarms + 1):
            journal.append(Priority.ALARM, event_body(number))
        for number in range(1, faults + 1):
            journal.append(Priority.FAULT, event_body(1000 + number, Kind.FAULT))
        for priority, body in bodies:
            journal.append(priority, body)
        assert journal.flush(30)
        journal.close()

    return keep


@pytest.fixture
def body() -> Callable[..., bytes]:
    return event_body


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until a condition holds; fail after a minute."""
    return eventually
