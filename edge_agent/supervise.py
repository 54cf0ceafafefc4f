"""Every worker has an owner: it is restarted when it dies, and its progress alone feeds the watchdog."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import NoReturn

log = logging.getLogger("edge.supervise")

STEADY_S = 10.0  # a worker that has run for so long works again; one that dies at every start is one fault, not many

Report = Callable[[str, bool, str], None]  # worker, running again, what happened (ASCII)


def notify(message: str) -> None:
    """Tell systemd (sd_notify). Does nothing where nobody asked for it; a full socket is not worth a fault."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)
            channel.sendto(message.encode(), address)
    except OSError as fault:  # also when no descriptor is left
        log.warning("notify errno=%s", fault.errno)


class Supervisor:
    """Keeps workers alive and knows which of them stand still."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._workers: dict[str, _Progress] = {}

    def watch(self, name: str, progress: Callable[[], int], *, limit_s: float) -> None:
        """Expect `progress()` to change at least every `limit_s`. Raise ValueError if the name is taken."""
        if name in self._workers:
            raise ValueError(name)
        self._workers[name] = _Progress(progress, limit_s)

    def stuck(self) -> list[str]:
        """Names of workers whose progress stood still past their limit."""
        now_s = asyncio.get_running_loop().time()
        return [name for name, worker in self._workers.items() if worker.stands_still(now_s)]

    async def keep(self, name: str, work: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run `work` for ever. A bug ends it, becomes a fault, and it starts again: after 1 s at first, 32 s at last.

        The fault is over once it has run for `STEADY_S`.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        attempt, faulty = 0, False
        recovered: asyncio.TimerHandle | None = None

        def steady() -> None:
            nonlocal faulty
            faulty = False
            self._tell(name, True, "restarted")

        while True:
            started_s = loop.time()
            try:
                if faulty:
                    recovered = loop.call_later(STEADY_S, steady)
                await work()
                reason = "ended"
            except asyncio.CancelledError:
                if task.cancelling():
                    raise
                reason = "cancelled"  # by a future of its own that was: nobody asked us to stop
            except Exception as bug:  # alarms outlive any worker's bug: it is told, and the worker starts again
                reason = f"{type(bug).__name__}: {bug}"
                log.exception("worker=%s", name)
            finally:
                if recovered is not None:
                    recovered.cancel()
            if not faulty:
                faulty = True
                self._tell(name, False, reason.encode("ascii", "backslashreplace").decode()[:200])
            attempt = 0 if loop.time() - started_s > 60 else attempt + 1
            await asyncio.sleep(2.0 ** min(max(attempt - 1, 0), 5))

    def _tell(self, name: str, running: bool, reason: str) -> None:
        try:
            self._report(name, running, reason)
        except Exception:  # the worker must live on, told or not
            log.exception("report worker=%s", name)

    async def feed_watchdog(self, environ: "os._Environ[str]" = os.environ) -> NoReturn:
        """Ping systemd's watchdog at a third of its limit, while no worker stands still. Without a watchdog, only log."""
        limit_us = int(environ.get("WATCHDOG_USEC") or 0)
        period_s = min(limit_us / 3_000_000, 10.0) if limit_us else 10.0
        silent: list[str] = []
        while True:
            stuck = self.stuck()
            if not stuck:
                notify("WATCHDOG=1")
            if stuck != silent:
                log.log(logging.ERROR if stuck else logging.INFO, "stuck=%s", ",".join(stuck) or "none")
                notify(f"STATUS=stuck: {', '.join(stuck)}" if stuck else "STATUS=running")
                silent = stuck
            await asyncio.sleep(period_s)


class _Progress:
    __slots__ = ("_count", "_limit_s", "_moved_s", "_read")

    def __init__(self, read: Callable[[], int], limit_s: float) -> None:
        self._read, self._limit_s = read, limit_s
        self._count: int | None = None
        self._moved_s = 0.0

    def stands_still(self, now_s: float) -> bool:
        try:
            count = self._read()
        except Exception:  # a worker that cannot even say how far it is stands still
            log.exception("progress")
            return True
        if count != self._count:
            self._count, self._moved_s = count, now_s
        return now_s - self._moved_s > self._limit_s


class LagMeter:
    """How late the loop is: the worst seen since it was last asked. A blocking call anywhere on the loop shows here."""

    PERIOD_S = 1.0

    def __init__(self) -> None:
        self._worst_s = 0.0

    async def run(self) -> NoReturn:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + self.PERIOD_S
            await asyncio.sleep(self.PERIOD_S)
            self._worst_s = max(self._worst_s, loop.time() - due_s)

    def take_worst_s(self) -> float:
        """Return the worst delay and forget it."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return worst_s
