"""Workers are restarted, and only their progress feeds the watchdog."""

import asyncio
import socket
from pathlib import Path

import pytest

from edge_agent import supervise
from edge_agent.supervise import Supervisor
from edge_agent.tasks import end
from tests.waiting import PATIENCE_S, until


def quiet(worker: str, running: bool, reason: str) -> None:
    raise AssertionError((worker, running, reason))


@pytest.mark.asyncio
async def test_a_worker_that_dies_is_a_fault_until_it_has_run_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "STEADY_S", 0.05)
    told: list[tuple[str, bool, str]] = []
    starts = 0
    again = asyncio.Event()

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts == 1:
            raise ValueError("坏字节")
        again.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(lambda *what: told.append(what))
    task = asyncio.create_task(supervisor.keep("bus", work))
    async with asyncio.timeout(PATIENCE_S):
        await again.wait()
        assert [(worker, running) for worker, running, _ in told] == [("bus", False)]
        await until(lambda: len(told) == 2)
    task.cancel()
    assert [(worker, running) for worker, running, _ in told] == [("bus", False), ("bus", True)]
    assert told[0][2].isascii()


@pytest.mark.asyncio
async def test_a_worker_that_dies_at_every_start_is_one_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, bool, str]] = []
    starts = asyncio.Semaphore(0)

    async def work() -> None:
        starts.release()
        raise ValueError("again")

    task = asyncio.create_task(Supervisor(lambda *what: told.append(what)).keep("bus", work))
    async with asyncio.timeout(PATIENCE_S):
        await starts.acquire()
        await starts.acquire()
        await starts.acquire()
    task.cancel()
    assert [running for _, running, _ in told] == [False]


@pytest.mark.asyncio
async def test_a_future_that_was_cancelled_inside_a_worker_does_not_end_it_for_good() -> None:
    told: list[tuple[str, bool, str]] = []
    starts = asyncio.Semaphore(0)

    async def work() -> None:
        starts.release()
        inner: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner

    task = asyncio.create_task(Supervisor(lambda *what: told.append(what)).keep("bus", work))
    async with asyncio.timeout(PATIENCE_S):
        await starts.acquire()
        await starts.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == [("bus", False, "cancelled")]


@pytest.mark.asyncio
async def test_neither_a_report_nor_a_progress_that_raises_ends_the_watch() -> None:
    starts = asyncio.Semaphore(0)

    async def work() -> None:
        starts.release()

    def broken(*what: object) -> int:
        raise ValueError("a bug")

    supervisor = Supervisor(broken)
    supervisor.watch("odd", broken, limit_s=60)
    assert supervisor.stuck() == ["odd"]
    task = asyncio.create_task(supervisor.keep("bus", work))
    async with asyncio.timeout(PATIENCE_S):
        await starts.acquire()
        await starts.acquire()
    assert not task.done()
    task.cancel()


@pytest.mark.asyncio
async def test_a_worker_that_stands_still_is_named() -> None:
    supervisor = Supervisor(quiet)
    turns = iter(range(1000))
    supervisor.watch("lively", lambda: next(turns), limit_s=0.0)
    supervisor.watch("stuck", lambda: 7, limit_s=0.5)
    assert supervisor.stuck() == []
    await until(lambda: supervisor.stuck() == ["stuck"])


@pytest.mark.asyncio
async def test_the_watchdog_is_fed_only_while_every_worker_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(str(path))
    systemd.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    moving = True
    count = 0

    def progress() -> int:
        nonlocal count
        count += moving
        return count

    supervisor = Supervisor(quiet)
    supervisor.watch("bus", progress, limit_s=0.03)
    feeding = asyncio.create_task(supervisor.feed_watchdog())
    loop = asyncio.get_running_loop()

    async def heard() -> str:
        return (await loop.sock_recv(systemd, 200)).decode()

    async with asyncio.timeout(PATIENCE_S):
        assert await heard() == "WATCHDOG=1"
        moving = False
        while (message := await heard()) == "WATCHDOG=1":
            pass
        assert message == "STATUS=stuck: bus"
        moving = True
        while await heard() != "WATCHDOG=1":
            pass
    await end(feeding)
    systemd.close()
