"""What one camera is asked for: at once on an alarm, a little later, what it kept from before; what a centre wants to see; and
whether it still answers.

Alarms that come while a picture is due share it: a panel that reports a hundred points makes no hundred requests. So do commands.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from edge_agent.cameras.camera import Camera, Shot
from edge_agent.cameras.faults import CameraFault

log = logging.getLogger("edge.cameras")

EVENTS_MAX: Final = 32  # alarms named with one picture; the others are counted
KEPT_AFTER_S: Final = 3.0  # a recorder needs a moment to write what it is asked for
RETRY_S: Final = 1.0
PROBE_AGAIN_S: Final = 5.0
TRIES: Final = 3
JOBS_MAX: Final = 16  # with so many waiting nothing is asked for again
MAY_COME: Final = (
    "no_moment",
    "no_recording",
    "status",
    "no_stream",
    "timeout",
    "cut_off",
)  # a recorder writes a piece at a time
BEFORE_SHOTS: Final = 2


@dataclass(frozen=True, slots=True)
class Cause:
    """An alarm, or a centre's command: the event, its point, and when it was."""

    event: str
    point: str
    wall_ns: int
    dest: str = ""  # whose command
    command: str = ""  # its id


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture and what it is of. `shot`: alarm, after, before, command. `more`: causes beyond those named."""

    camera: str
    shot: str
    causes: tuple[Cause, ...]
    more: int
    picture: Shot
    before: str  # kept | not_kept: whether the camera has pictures from before the alarm
    before_why: str  # a code, where it should have and had none when last asked
    sha256: str


@dataclass(slots=True)
class _Job:
    due_s: float
    shot: str
    causes: list[Cause] = field(default_factory=list)
    more: int = 0
    tries: int = 0
    done: int = 0  # of its moments, where it has several

    def add(self, cause: Cause) -> None:
        if len(self.causes) < EVENTS_MAX:
            self.causes.append(cause)
        else:
            self.more += 1


class Watch:
    """One camera. `taken` gets each picture, `state(up, code, clock_off_ns, before)` whether it answers, after each try; `before`
    is why it cannot be played back, "" while it can.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        after_s: float,
        taken: Callable[[Taken], Awaitable[None]],
        state: Callable[[bool, str, int | None, str], None],
    ) -> None:
        self.camera = camera
        self._after_s, self._taken, self._state = after_s, taken, state
        self._jobs: list[_Job] = []
        self._wake = asyncio.Event()
        self._turns = self._misses = 0
        self._clock_off_ns: int | None = None
        self._before_why = ""
        self.counts = dict.fromkeys(("alarms", "commands", "pictures", "failed"), 0)

    def alarm(self, cause: Cause) -> None:
        """An alarm of a point this camera sees. Never waits."""
        now_s = asyncio.get_running_loop().time()
        self.counts["alarms"] += 1
        self._plan("alarm", now_s, cause)
        if self._after_s:
            self._plan("after", now_s + self._after_s, cause)
        if self.camera.keeps:
            self._plan("before", now_s + KEPT_AFTER_S, cause)
        self._wake.set()

    def command(self, cause: Cause) -> None:
        """A centre wants a picture now. Never waits; alarms' own pictures go first."""
        self.counts["commands"] += 1
        self._plan("command", asyncio.get_running_loop().time(), cause)
        self._wake.set()

    def progress(self) -> int:
        """Grows while `run` lives."""
        return self._turns

    async def run(self) -> None:
        """Take what is due, ask whether the camera is there, until cancelled."""
        loop = asyncio.get_running_loop()
        probe_s = loop.time()
        while True:
            self._turns += 1
            self._wake.clear()
            now_s = loop.time()
            job = self._next(now_s)
            if job is not None and job.due_s <= now_s:
                self._jobs.remove(job)
                await self._do(job)
                probe_s = loop.time() + self.camera.settings.probe_s
            elif probe_s <= now_s:
                await self._probe()
                soon = 0 < self._misses < TRIES
                probe_s = loop.time() + (PROBE_AGAIN_S if soon else self.camera.settings.probe_s)
            else:
                due_s = min(probe_s, job.due_s if job is not None else probe_s, now_s + 10.0)
                try:
                    async with asyncio.timeout_at(due_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    def _next(self, now_s: float) -> _Job | None:
        """The first that is due, or will be. A command's waits for an alarm's, also between the tries of that."""
        alarms = [job for job in self._jobs if job.shot != "command"]
        held = any(job.shot == "alarm" or job.due_s <= now_s for job in alarms)
        return min(alarms if held else self._jobs, key=lambda job: job.due_s, default=None)

    def _plan(self, shot: str, due_s: float, cause: Cause) -> None:
        for job in self._jobs:
            if job.shot == shot and not job.tries:
                job.add(cause)
                return
        job = _Job(due_s, shot)
        job.add(cause)
        self._jobs.append(job)

    async def _probe(self) -> None:
        try:
            shot = await self.camera.snapshot(anew=True)
        except CameraFault as fault:
            self._failed(fault)
            return
        try:
            await self.camera.look_for_recording()
        except CameraFault as fault:
            self._kept_nothing(fault)
        else:
            self._before_why = ""
        self._answered(shot)

    async def _do(self, job: _Job) -> None:
        if job.shot == "before":
            await self._before(job)
            return
        job.tries += 1
        try:
            shot = await self.camera.snapshot()
        except CameraFault as fault:
            self._failed(fault)
            if job.tries < TRIES:
                job.due_s = asyncio.get_running_loop().time() + RETRY_S * job.tries
                self._jobs.append(job)
            else:
                self.counts["failed"] += 1
            return
        self._answered(shot)
        await self._keep(job, shot)

    async def _before(self, job: _Job) -> None:
        """What the camera kept: some moments from before the first alarm up to it, one a turn, so that a new alarm goes between."""
        settings, first_ns = self.camera.settings, job.causes[0].wall_ns
        early_ns = round(settings.before_s * 1e9 * (BEFORE_SHOTS - job.done) / BEFORE_SHOTS)
        job.tries += 1
        now_s = asyncio.get_running_loop().time
        try:
            shot = await self.camera.before(first_ns - early_ns, first_ns, self._clock_off_ns)
        except CameraFault as fault:
            self._kept_nothing(fault)
            if fault.code in MAY_COME and job.tries < TRIES and len(self._jobs) < JOBS_MAX:
                job.due_s = now_s() + KEPT_AFTER_S * 2**job.tries
                self._jobs.append(job)
            else:
                self.counts["failed"] += 1
            return
        self._before_why = ""
        await self._keep(job, shot)
        job.done += 1
        if job.done < BEFORE_SHOTS:
            job.due_s, job.tries = now_s(), 1
            self._jobs.append(job)

    def _kept_nothing(self, fault: CameraFault) -> None:
        log.warning("camera=%s before fault=%s %s", self.camera.id, fault.code, fault.detail)
        self._before_why = fault.code

    async def _keep(self, job: _Job, shot: Shot) -> None:
        self.counts["pictures"] += 1
        before = "kept" if self.camera.keeps and not self._before_why else "not_kept"
        sha256 = hashlib.sha256(shot.jpeg).hexdigest()
        causes, why = tuple(job.causes), self._before_why
        await self._taken(Taken(self.camera.id, job.shot, causes, job.more, shot, before, why, sha256))

    def _answered(self, shot: Shot) -> None:
        self._misses, self._clock_off_ns = 0, shot.clock_off_ns
        told = self._before_why if self.camera.settings.before_method == "onvif" else ""  # what a probe looks at, too
        self._state(True, "answering", shot.clock_off_ns, told)

    def _failed(self, fault: CameraFault) -> None:
        """One miss is no news: a camera that is busy, or restarting."""
        log.warning("camera=%s fault=%s %s", self.camera.id, fault.code, fault.detail)
        self._misses += 1
        if self._misses >= TRIES:
            self._state(False, fault.code, None, "")
