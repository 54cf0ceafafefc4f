"""Simulated time: one clock, one queue, and an asyncio loop for each process that lives on it.

A process that is killed is a loop that is never run again. Its machine may boot again: the loop's `time()` counts from the boot,
as CLOCK_MONOTONIC does.
"""

import asyncio
import collections
import contextlib
import contextvars
import functools
import heapq
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

SPIN_TURNS = 50_000  # callbacks in one moment: nobody has so much to do


class SimTask(asyncio.Task[Any]):
    """A task whose place in a set is its number, not its address: a run repeats."""

    _numbers = itertools.count(1)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._number = next(SimTask._numbers)
        super().__init__(*args, **kwargs)

    def __hash__(self) -> int:
        return self._number


class World:
    """The clock and everything that waits on it, in one order."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.turns = 0  # callbacks run: what a simulated second costs
        self.ready: collections.deque[asyncio.Handle] = collections.deque()
        self.timers: list[tuple[float, int, asyncio.Handle]] = []
        self.interrupts: list[Callable[[], None]] = []  # what has to happen as soon as the callback that runs is over
        self.crashes: list[str] = []
        self.stopped = False  # end the run now
        self._count = itertools.count()
        self.home = ProcessLoop(self, "world")  # for what is no process of the gateway: people, panels, the county

    def push(self, at_s: float, handle: asyncio.Handle) -> None:
        heapq.heappush(self.timers, (at_s, next(self._count), handle))

    def run(self, until_s: float) -> None:
        """Run everything that is due until then."""
        ready, timers, set_running = self.ready, self.timers, asyncio._set_running_loop
        quiet_turns = self.turns
        asyncio._set_running_loop(None)
        try:
            while True:
                while ready:
                    if self.stopped:
                        return
                    handle = ready.popleft()
                    loop: ProcessLoop = handle._loop  # type: ignore[attr-defined]
                    if handle._cancelled or loop.dead:  # type: ignore[attr-defined]
                        continue
                    if loop.busy_until_s > self.now_s:
                        self.push(loop.busy_until_s, handle)
                        continue
                    set_running(loop)
                    self.turns += 1
                    if self.turns - quiet_turns > SPIN_TURNS:
                        self.crashes.append(f"no time passes: {handle!r}")
                        return
                    handle._run()
                    while self.interrupts:
                        set_running(None)
                        self.interrupts.pop(0)()
                while timers and (timers[0][2]._cancelled or timers[0][2]._loop.dead):  # type: ignore[attr-defined]
                    heapq.heappop(timers)
                if not timers or timers[0][0] > until_s:
                    self.now_s = max(self.now_s, until_s)
                    return
                at_s, _, handle = heapq.heappop(timers)
                if at_s > self.now_s:
                    self.now_s = at_s
                    quiet_turns = self.turns
                ready.append(handle)
        finally:
            set_running(None)

    def skip(self, by_s: float, shifts: Callable[[asyncio.Handle], bool]) -> None:
        """Let time pass in which nothing happens: timers that `shifts` move along, the others keep their time."""
        start_s, self.now_s = self.now_s, self.now_s + by_s
        waiting = sorted(self.timers)
        self.timers.clear()
        for at_s, _, handle in waiting:
            if not handle._cancelled and not handle._loop.dead:  # type: ignore[attr-defined]
                self.push(max(at_s + (by_s if shifts(handle) else 0.0), start_s), handle)


class ProcessLoop(asyncio.BaseEventLoop):
    """The loop of one process. `booted_s` is the world's time at which its machine's clock was 0."""

    def __init__(self, world: World, name: str, booted_s: float = 0.0) -> None:
        super().__init__()
        self.world, self.name, self.booted_s = world, name, booted_s
        self.dead = False
        self.busy_until_s = 0.0  # it does not run before: it hangs in a system call, or is stopped
        self.machine: Any = None
        self.tasks: dict[SimTask, None] = {}
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **more: Any) -> SimTask:
        task = SimTask(coro, loop=loop, **more)
        self.tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: Any) -> None:
        self.tasks.pop(task, None)

    # -- asyncio's loop ---------------------------------------------------------------------------------------------
    def time(self) -> float:
        return self.world.now_s - self.booted_s

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.world.ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        now_s = self.world.now_s
        at_s = when + self.booted_s
        if at_s <= now_s:  # a wait too short for a float still takes time, as on a machine
            at_s = now_s + 1e-6 if when > now_s - self.booted_s else now_s
        self.world.push(at_s, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.world.now_s - self.booted_s + max(0.0, delay), callback, *args, context=context)

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        wait_s = self.machine.disk.took_s() if self.machine is not None else 0.0
        if wait_s > 0:  # said by a thread that the disk has held up so long
            return self.call_later(wait_s, callback, *args, context=context)
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
        future = self.create_future()

        def settle(result: Any, fault: BaseException | None) -> None:
            if not future.done():
                if fault is not None:
                    future.set_exception(fault)
                else:
                    future.set_result(result)

        def work() -> None:
            result, fault = None, None
            disk = self.machine.disk
            disk.begin()
            try:
                result = func(*args)
            except Exception as caught:  # noqa: BLE001 - handed to whoever awaits
                fault = caught
            finally:
                took_s = disk.end()
            self.call_later(took_s + 0.0002, settle, result, fault)

        wait_s = max(0.0001, self.machine.disk.free_at_s - self.world.now_s)
        self.call_later(wait_s, work)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            fault = context.get("exception")
            self.world.crashes.append(f"{self.name}: {context.get('message')}: {fault!r}")

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def get_debug(self) -> bool:
        return False

    # -- sockets: network.SimSocket ---------------------------------------------------------------------------------------
    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:
        fd.watch(functools.partial(callback, *args))

    def remove_reader(self, fd: Any) -> bool:
        fd.watch(None)
        return True

    async def sock_recv(self, sock: Any, nbytes: int) -> bytes:
        while True:
            try:
                return bytes(sock.recv(nbytes))
            except BlockingIOError:
                woken = self.create_future()
            sock.watch(lambda woken=woken: woken.done() or woken.set_result(None))
            try:
                await woken
            finally:
                sock.watch(None)

    async def sock_sendall(self, sock: Any, data: Any) -> None:
        sock.send(data)

    async def create_connection(self, protocol_factory: Any, *_: Any, sock: Any = None, **more: Any) -> Any:
        from tests.sim.network import SockTransport

        protocol = protocol_factory()
        transport = SockTransport(sock, protocol)
        await asyncio.sleep(0)
        return transport, protocol

    async def create_unix_server(self, factory: Any, path: Any = None, **more: Any) -> Any:
        return self.machine.sockets.listen(self, factory, str(path))

    async def create_unix_connection(self, factory: Any, path: Any = None, **more: Any) -> Any:
        return await self.machine.sockets.connect(self, factory, str(path))

    # -- the end of a process ---------------------------------------------------------------------------------------
    def kill(self) -> None:
        """As kill -9: nothing of it runs any more. What its coroutines do while they are taken apart goes nowhere."""
        self.dead = True
        tasks, self.tasks = self.tasks, {}
        caller = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coro: Any = task.get_coro()
                with contextlib.suppress(BaseException):
                    for _ in range(50):  # a `finally` that awaits has to be told again
                        coro.throw(Killed())
        finally:
            asyncio._set_running_loop(caller)


class Killed(BaseException):
    """Takes a dead process's coroutines apart; nothing of the program catches it."""


class LoopRunner:
    """buffer.runner.Runner on a simulated clock: a thread whose turns take as long as the disk does."""

    def __init__(self, loop: ProcessLoop, name: str, turn: Callable[[], int | None]) -> None:
        self._loop, self.name, self._turn = loop, name, turn
        self._handle: asyncio.TimerHandle | None = None
        self._free_at_s = 0.0
        self._in_turn = self._woken = self._ended = False

    def start(self) -> None:
        self._arm(0.0)

    def wake(self) -> None:
        if self._ended or self._loop.dead:
            return
        if self._in_turn:
            self._woken = True
        elif self._handle is not None:
            self._arm(0.0)

    def join(self, timeout_s: float) -> bool:
        """The caller waits in a thread of its own: the turns that are left are taken at once."""
        if self._handle is not None:
            self._handle.cancel()
        while not self._ended and not self._loop.dead and not self._in_turn:
            self._take()
        return self._ended

    def _arm(self, wait_s: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        now_s = self._loop.time()
        self._handle = self._loop.call_at(max(now_s + wait_s, self._free_at_s), self._run)

    def _run(self) -> None:
        self._handle = None
        sleep_ns = self._take()
        if sleep_ns is not None:
            self._arm(self._free_at_s - self._loop.time() + (0.0 if self._woken else sleep_ns / 1e9))

    def _take(self) -> int | None:
        disk = self._loop.machine.disk
        self._in_turn, self._woken = True, False
        nested = disk.begin()
        try:
            sleep_ns = self._turn()
        finally:
            took_s = disk.end(nested)
            self._in_turn = False
        self._free_at_s = self._loop.time() + took_s + 1e-6
        self._ended = sleep_ns is None
        return sleep_ns
