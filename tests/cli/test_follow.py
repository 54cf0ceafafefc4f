"""events --follow: nothing twice, nothing missed, also when the core goes away and comes back."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import pytest

from buffer.records import Priority
from edge_agent.model import Kind


class Follower:
    """`edge-agent events --follow --json` in a process of its own, its lines as they come."""

    def __init__(self, args: list[str], environ: dict[str, str]) -> None:
        # A shell's background job ignores the signal that we send in the end, and hands that on to us and to our children.
        asked = ("env", "--default-signal=INT", *args)
        self.child = subprocess.Popen(asked, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._lines: Queue[bytes] = Queue()
        self._thread = Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._lines.put(line)

    def next_id(self) -> str:
        record = json.loads(self._lines.get(timeout=60))
        return str(record["body"]["id"])

    def end(self) -> tuple[int, bytes]:
        self.child.send_signal(signal.SIGINT)
        assert self.child.stderr is not None
        said = self.child.stderr.read()
        code = self.child.wait(60)
        self._thread.join(60)
        assert self._lines.empty()
        self.child.stderr.close()
        self.child.stdout.close()  # type: ignore[union-attr]
        return code, said


@pytest.fixture
def follow(core: Any, tmp_path: Path, environ: dict[str, str], command: list[str]) -> Iterator[Callable[..., Follower]]:
    started: list[Follower] = []

    def start(*args: str) -> Follower:
        where = ["--dir", str(tmp_path / "data"), "--socket", str(core.path)]
        started.append(Follower([*command, "events", "--follow", *where, *args], environ))
        return started[-1]

    yield start
    for follower in started:
        follower.child.kill()
        follower.child.wait()


def pushed(body: bytes, n: int | None) -> dict[str, Any]:
    name = {"epoch": "v-1", "stream": "alarm", "n": n} if n is not None else None
    return {"event": body.decode(), "name": name}


def id_of(body: bytes) -> str:
    return str(json.loads(body)["id"])


def test_history_comes_first_then_what_happens_and_nothing_twice(
    *, core: Any, follow: Callable[..., Follower], tmp_path: Path, kept: Any, body: Any, until: Any
) -> None:
    kept(tmp_path / "data", alarms=3)
    follower = follow("--json", "--limit", "2")
    assert [follower.next_id(), follower.next_id()] == [id_of(body(2)), id_of(body(3))]
    until(lambda: core.watched("event"))
    core.push("event", pushed(body(3), 3))  # already shown
    core.push("event", pushed(body(4), None))  # held in memory
    core.push("event", pushed(body(4), 4))  # and then in the journal
    core.push("event", pushed(body(5, Kind.FAULT), 5))
    assert [follower.next_id(), follower.next_id()] == [id_of(body(4)), id_of(body(5, Kind.FAULT))]
    code, said = follower.end()
    assert code == 130
    assert b"Traceback" not in said


def test_only_the_stream_asked_for_is_followed(
    *, core: Any, follow: Callable[..., Follower], tmp_path: Path, kept: Any, body: Any, until: Any
) -> None:
    kept(tmp_path / "data", faults=1)
    follower = follow("--json", "--stream", "alarm")
    until(lambda: core.watched("event"))
    core.push("event", {"event": body(1, Kind.FAULT).decode(), "name": None})
    core.push("event", pushed(body(2), 2))
    assert follower.next_id() == id_of(body(2))
    follower.end()


def test_what_happened_while_the_core_was_away_is_caught_up(
    *, core: Any, follow: Callable[..., Follower], tmp_path: Path, kept: Any, body: Any, until: Any
) -> None:
    kept(tmp_path / "data", alarms=1)
    follower = follow("--json", "--lang", "en")
    assert follower.next_id() == id_of(body(1))
    until(lambda: core.watched("event"))
    core.close_socket()
    until(lambda: not core.watched("event"))
    kept(tmp_path / "data", bodies=[(Priority.ALARM, body(2)), (Priority.ALARM, body(3))])
    core.open_socket()
    assert [follower.next_id(), follower.next_id()] == [id_of(body(2)), id_of(body(3))]
    _, said = follower.end()
    assert b"went away" in said
    assert said.count(b"went away") == 1


def test_following_where_no_core_runs_shows_history_and_says_so(
    core: Any, follow: Callable[..., Follower], tmp_path: Path, kept: Any, body: Any
) -> None:
    kept(tmp_path / "data", alarms=1)
    core.close_socket()
    follower = follow("--json")
    assert follower.next_id() == id_of(body(1))
    assert follower.child.wait(60) == 2
