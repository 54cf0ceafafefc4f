"""The process of the cameras: hears of alarms and commands from the core, takes pictures, hands them to the journal through it.

It may be killed, or hang, at any instant: no alarm waits for it, and the core tells people that it is gone. Memory is bounded: so
many pictures wait for the core, the oldest leave first.
"""

import asyncio
import contextlib
import functools
import json
import logging
import os
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Final, NoReturn

from buffer.records import Priority
from edge_agent.cameras.camera import Camera
from edge_agent.cameras.watch import Cause, Taken, Watch
from edge_agent.clock import TimeSource
from edge_agent.commands import cameras_asked
from edge_agent.config.model import Config
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.media import parts_of
from edge_agent.model import KINDS, Kind
from edge_agent.points.state import kind_of
from edge_agent.supervise import Supervisor, notify

log = logging.getLogger("edge.cameras")

RETRY_S: Final = 1.0
ALIVE_S: Final = 5.0
REQUEST_S: Final = 15.0
WORKER_LIMIT_S: Final = 60.0
PICTURES_WAITING_MAX: Final = 8  # of `picture_kb` each
PARTS_AT_ONCE: Final = 4
SENDS_MAX: Final = 3  # of one picture
SEEN_MAX: Final = 1000
LATE_S: Final = 60.0  # an alarm, or a command, this old when we first hear of it still gets its picture


class CameraProcess:
    """All cameras of one site."""

    def __init__(self, config: Config, *, clock: TimeSource) -> None:
        self._clock = clock
        self._path = config.gateway.run_dir / "core.sock"
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._waiting: deque[Taken] = deque()
        self._changed = asyncio.Event()
        self._states: dict[str, dict[str, object]] = {}
        self._turns = 0
        self.supervisor = Supervisor(self._worker_failed)
        self.dropped = 0
        max_bytes = config.media.picture_kb * 1024
        self.watches = {
            camera.id: Watch(
                Camera(camera, max_bytes=max_bytes, wall_ns=lambda: clock.now().wall_ns),
                after_s=config.media.after_s,
                taken=self._take,
                state=functools.partial(self._state, camera.id),
            )
            for camera in config.cameras
        }

    async def run(self) -> NoReturn:
        """Until cancelled."""
        keep = self.supervisor.keep
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep("core", self._core_for_ever), name="core")
            self.supervisor.watch("core", lambda: self._turns, limit_s=WORKER_LIMIT_S)
            for name, watch in self.watches.items():
                tasks.create_task(keep(name, watch.run), name=f"camera:{name}")
                self.supervisor.watch(f"camera:{name}", watch.progress, limit_s=WORKER_LIMIT_S)
            tasks.create_task(self.supervisor.feed_watchdog(), name="watchdog")
            notify("READY=1")
        raise AssertionError("unreachable")

    # --- alarms and commands in -----------------------------------------------------------------------------------------

    def _hear(self, event: Mapping[str, object], *, durable: bool) -> None:
        kind = kind_of(str(event.get("kind")))
        if kind is Kind.COMMAND and durable and event.get("point") == "command/snapshot":
            self._command(event)
            return
        if kind is None or KINDS[kind].priority is not Priority.ALARM or event.get("active") is not True:
            return
        at = event.get("at")
        wall_ns = at.get("wall_ns") if isinstance(at, dict) else None
        if isinstance(wall_ns, int):
            self._alarm(str(event.get("id")), str(event.get("point")), wall_ns)

    def _command(self, event: Mapping[str, object]) -> None:
        """The core's word that a centre may see this now: the event of a `snapshot` that was not refused.

        It is told once and never asked for again, so a process that comes later pictures no old command.
        """
        fields, at = event.get("fields"), event.get("at")
        if not isinstance(fields, dict) or not isinstance(at, dict) or fields.get("status") != "done":
            return
        age_s = self._age_s(at)
        if age_s is None or age_s > LATE_S:  # we were stopped, or hung, meanwhile
            log.warning("snapshot late command=%s", ascii(fields.get("command")))
            return
        cause = Cause(
            str(event.get("id")),
            str(event.get("point")),
            int(at["wall_ns"]),
            dest=str(fields.get("dest")),
            command=str(fields.get("command")),
        )
        params = fields.get("params")
        for name in cameras_asked(list(self.watches), params if isinstance(params, dict) else {}):
            self.watches[name].command(cause)

    def _age_s(self, at: Mapping[str, object]) -> float | None:
        """How long ago that was; None: before the last start of this box."""
        now = self._clock.now()
        return (now.mono_ns - int(str(at["mono_ns"]))) / 1e9 if at.get("boot") == now.boot_id else None

    def _alarm(self, event_id: str, point: str, wall_ns: int) -> None:
        if event_id in self._seen:
            return  # told from memory, and again when the journal had it
        self._seen[event_id] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        cause = Cause(event_id, point, wall_ns)
        for watch in self.watches.values():
            if any(sees(pattern, point) for pattern in watch.camera.settings.points):
                watch.alarm(cause)

    # --- pictures out ---------------------------------------------------------------------------------------------------

    async def _take(self, taken: Taken) -> None:
        self._waiting.append(taken)
        while len(self._waiting) > PICTURES_WAITING_MAX:
            leaves = next((one for one in self._waiting if one.shot == "command"), self._waiting[0])
            self._waiting.remove(leaves)
            self.dropped += 1
            log.error("pictures dropped=%d: the core does not take them", self.dropped)
        self._changed.set()

    def _state(self, camera: str, up: bool, reason: str, off_ns: int | None, before: str) -> None:
        off_ms = None if off_ns is None else off_ns // 1_000_000
        said = {"camera": camera, "up": up, "reason": reason, "clock_off_ms": off_ms, "before": before}
        if self._states.get(camera) != said:
            self._states[camera] = said
            self._changed.set()

    async def _core_for_ever(self) -> None:
        told = False
        while True:
            self._turns += 1
            try:
                client = await LocalClient.connect(self._path)
            except OSError as fault:
                if not told:
                    log.warning("core absent errno=%s", fault.errno)
                told = True
                await asyncio.sleep(RETRY_S)
                continue
            told = False
            try:
                async with asyncio.TaskGroup() as tasks:
                    await self._ask(client, "watch", what=["event", "camera"])
                    await self._catch_up(client)
                    tasks.create_task(self._listen(client))
                    tasks.create_task(self._report(client))
            except* (OSError, TimeoutError, ApiError) as faults:
                log.warning("core lost %s", ascii(faults.exceptions[0]))
            finally:
                await client.close()
            await asyncio.sleep(RETRY_S)

    async def _catch_up(self, client: LocalClient) -> None:
        """What began a moment ago, while we were away."""
        alarms = await self._ask(client, "alarms")
        for alarm in alarms if isinstance(alarms, list) else ():
            at = alarm.get("at") if isinstance(alarm, dict) else None
            if not isinstance(at, dict) or KINDS[Kind(alarm["kind"])].priority is not Priority.ALARM:
                continue
            age_s = self._age_s(at)
            if age_s is not None and age_s < LATE_S:
                self._alarm(str(alarm["event_id"]), str(alarm["point"]), int(at["wall_ns"]))

    async def _listen(self, client: LocalClient) -> None:
        async for push in client.pushes():
            self._turns += 1
            try:
                event = json.loads(str(push.get("event")))
            except ValueError:
                continue
            if isinstance(event, dict):
                self._hear(event, durable=push.get("name") is not None)
        raise ConnectionResetError("the core closed the connection")

    async def _report(self, client: LocalClient) -> NoReturn:
        told: dict[str, dict[str, object]] = {}  # a core that restarted knows nothing
        while True:
            self._turns += 1
            self._changed.clear()
            for camera, said in list(self._states.items()):
                if told.get(camera) != said:
                    await self._ask(client, "camera_state", **said)
                    told[camera] = said
            while self._waiting:
                first = next((one for one in self._waiting if one.shot != "command"), self._waiting[0])
                await self._send(client, first)
            await self._ask(client, "alive")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_S):
                    await self._changed.wait()

    async def _send(self, client: LocalClient, taken: Taken) -> None:
        """Hand one picture over. It leaves the queue when it is kept, or is not going to be; a core that went keeps it here."""
        for _ in range(SENDS_MAX):
            try:
                await self._send_parts(client, taken)
            except ApiError as refusal:
                log.error("camera=%s picture refused code=%s", taken.camera, refusal.code)
                if refusal.code == "media_order":
                    continue
            break
        with contextlib.suppress(ValueError):  # it may have been dropped meanwhile
            self._waiting.remove(taken)

    async def _send_parts(self, client: LocalClient, taken: Taken) -> None:
        shot, causes = taken.picture, taken.causes
        about: dict[str, object] = {
            "bytes": len(shot.jpeg),
            "sha256": taken.sha256,
            "type": "image/jpeg",
            "shot": taken.shot,
            "events": [cause.event for cause in causes],
            "points": list(dict.fromkeys(cause.point for cause in causes)),
            "more": taken.more,
            "before": taken.before,
            "before_why": taken.before_why,
            "taken_wall_ns": shot.taken_wall_ns,
            "clock_off_ms": None if shot.clock_off_ns is None else shot.clock_off_ns // 1_000_000,
        }
        if taken.shot == "command":
            about["commands"] = [{"dest": cause.dest, "command": cause.command} for cause in causes]
        picture = os.urandom(8).hex()
        waiting: list[asyncio.Task[object]] = []
        try:
            for part, of, data in parts_of(shot.jpeg):
                told = {"camera": taken.camera, "picture": picture, "part": part, "of": of, "data": data}
                asked = self._ask(client, "media", **(about if part == 1 else {}), **told)
                waiting.append(asyncio.create_task(asked))
                self._turns += 1
                if len(waiting) >= PARTS_AT_ONCE or part == 1:  # the first says whether it is wanted at all
                    await waiting.pop(0)
            await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _worker_failed(self, worker: str, running: bool, what: str) -> None:
        if not running and worker in self.watches:
            self._state(worker, False, "bug", None, "")

    async def _ask(self, client: LocalClient, do: str, **params: object) -> object:
        async with asyncio.timeout(REQUEST_S):
            return await client.request(do, **params)


def sees(pattern: str, point: str) -> bool:
    """Whether a camera's pattern (an id, or a prefix and *) covers a point."""
    return point.startswith(pattern[:-1]) if pattern.endswith("*") else point == pattern
