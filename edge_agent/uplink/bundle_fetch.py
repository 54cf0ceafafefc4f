"""Fetches an update's bundle from the centre that offered it, part by part, into the updater's spool. docs/contract.md, section 7.

The gateway asks for each part, one at a time: so it sets the pace, nothing piles up, what is lost is asked for again, and after a
cut it goes on where it was. It is a messenger here: who signed the bundle is the updater's to judge (edge_agent/update).
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, Protocol

from edge_agent import __version__
from edge_agent.commands import Refusal
from edge_agent.sealed import read_sealed, seal, sync, write_whole
from edge_agent.uplink.commands import AskCore, Channel, Command
from edge_agent.uplink.path import in_thread

log = logging.getLogger("edge.update")

PART_BYTES: Final = 16 * 1024
SYNC_BYTES: Final = 256 * 1024  # so much a power cut may cost
SIZE_MAX: Final = 64 << 20
SPARE_BYTES: Final = 64 << 20  # for the journal, which may need room meanwhile
ANSWER_S: Final = 30.0
PAUSE_S: Final = 5.0
LOOK_S: Final = 30.0
MESSAGE_BYTES: Final = 300  # a part is counted with what is around it and what asks for it
JOB, PART = "fetch.json", "bundle.part"


class Door(Protocol):
    """The destination that offered a bundle."""

    def channel(self) -> Channel | None:
        """By which it can be asked now: not while an alarm waits, nor where its bytes would be somebody else's budget."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """What is being fetched. `sha256` names it."""

    dest: str
    command: str
    by: str
    sha256: str
    size: int


class BundleFetch:
    """One for the process. `run` it; `begin` and `part` are called on the loop."""

    def __init__(
        self, directory: Path, ask: AskCore, door_of: Callable[[str], Door], count: Callable[[str, int], None]
    ) -> None:
        """`directory`: the spool; there is none where no updater is installed. `count` hears of bytes that came."""
        self._directory, self._ask, self._door_of, self._count = directory, ask, door_of, count
        self._job: Job | None = None
        self._have = 0
        self._files = asyncio.Lock()  # a part that is kept and an offer that is taken wait for each other
        self._restored = asyncio.Event()
        self._wake = asyncio.Event()
        self._wanted: tuple[bytes, int, asyncio.Future[bytes]] | None = None  # its name, its length, who waits for it
        self.turns = 0

    async def begin(self, dest: str, command: Command) -> dict[str, object]:
        """Take an offer: {have, size}. Raise Refusal: no_updater, busy, malformed, too_large, no_room."""
        sha256, size = str(command.params["sha256"]), int(str(command.params["size"]))
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise Refusal("malformed", detail="sha256")
        if size > SIZE_MAX:
            raise Refusal("too_large", most=SIZE_MAX)
        await self._restored.wait()
        job = Job(dest, command.id, command.by, sha256, size)
        async with self._files:
            if self._job is not None and self._job.dest != dest:
                raise Refusal("busy")
            await in_thread(partial(self._take, job))
        self._wake.set()
        return {"have": self._have, "size": size}

    def part(self, name: bytes, data: bytes) -> None:
        """What a centre sent. One nobody asked for is dropped."""
        wanted = self._wanted
        if wanted is None or wanted[0] != name or wanted[1] != len(data) or wanted[2].done():
            log.info("part dropped bytes=%d", len(data))
            return
        wanted[2].set_result(data)

    async def run(self) -> NoReturn:
        """Fetch what is offered, until cancelled."""
        await in_thread(self._restore)
        self._restored.set()
        while True:
            self.turns += 1
            if (job := self._job) is None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
                self._wake.clear()
            elif (channel := self._door_of(job.dest).channel()) is None or not await self._came(job, channel):
                await asyncio.sleep(PAUSE_S)

    async def _came(self, job: Job, channel: Channel) -> bool:
        try:
            return await self._one(job, channel)
        except OSError as fault:  # a full card: it may have room later
            log.error("bundle %s", ascii(fault)[:200])
            return False

    async def _one(self, job: Job, channel: Channel) -> bool:
        """Ask for the next part and keep it; whether it came."""
        offset, loop = self._have, asyncio.get_running_loop()
        if offset < job.size:
            length = min(PART_BYTES, job.size - offset)
            self._wanted = (part_name(job.sha256, offset), length, loop.create_future())
            try:
                if not channel.want(job.sha256, offset, length):
                    return False
                async with asyncio.timeout(ANSWER_S):
                    data = await self._wanted[2]
            except TimeoutError:
                return False
            finally:
                self._wanted = None
            self._count(job.dest, length + MESSAGE_BYTES)
            async with self._files:
                if job is not self._job:
                    return True  # another offer took its place meanwhile
                await in_thread(partial(self._keep, offset, data))
                self._have = offset + length
        if self._have == job.size:
            await self._finish(job, channel)
        return True

    async def _finish(self, job: Job, channel: Channel) -> None:
        async with self._files:
            if job is not self._job:
                return
            sound = await in_thread(partial(self._hand_over, job))
            self._job, self._have = None, 0
        if sound:
            log.info("bundle fetched bytes=%d", job.size)
            channel.want(job.sha256, job.size, 0)  # nothing more: the centre need not wait
        else:
            log.error("bundle damaged bytes=%d", job.size)
            fields = {"status": "refused", "code": "damaged", "version": "", "before": __version__}
            fields |= {"dest": job.dest, "command": job.command}
            await self._ask("update_told", fields=fields)

    # --- files, in a thread ---------------------------------------------------------------------------------------------

    def _take(self, job: Job) -> None:
        if not self._directory.is_dir():
            raise Refusal("no_updater")
        if self._job is None or self._job.sha256 != job.sha256:
            if shutil.disk_usage(self._directory).free < job.size + SPARE_BYTES:
                raise Refusal("no_room")
            (self._directory / PART).unlink(missing_ok=True)
            self._have = 0
        write_whole(self._directory / JOB, seal(asdict(job)), 0o640)
        self._job = job

    def _restore(self) -> None:
        """Go on after a restart. What was written after the last sync may be anything, and is fetched again."""
        said = read_sealed(self._directory / JOB)
        try:
            self._job = Job(**said) if said is not None else None
            size = (self._directory / PART).stat().st_size if self._job is not None else 0
        except (TypeError, OSError):
            size = 0
        self._have = max(0, size - 1) // SYNC_BYTES * SYNC_BYTES

    def _keep(self, offset: int, data: bytes) -> None:
        fd = os.open(self._directory / PART, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            os.ftruncate(fd, offset)
            os.pwrite(fd, data, offset)
            if (offset + len(data)) % SYNC_BYTES == 0:
                os.fsync(fd)
        finally:
            os.close(fd)

    def _hand_over(self, job: Job) -> bool:
        """Give it to the updater if it is what was offered; away with it if not. May be tried again after any of its steps."""
        from edge_agent.update.state import BUNDLE, Request, put_request

        part = self._directory / PART
        if not part.exists():  # it has its last name already: a full card took no request
            part = self._directory / BUNDLE
        sync(part)
        with part.open("rb") as file:
            sound = hashlib.file_digest(file, "sha256").hexdigest() == job.sha256
        if sound:
            part.replace(self._directory / BUNDLE)
            request = Request(id=f"{job.dest}/{job.command}", who=job.by, dest=job.dest, command=job.command)
            put_request(self._directory, request)
        else:
            part.unlink(missing_ok=True)
        (self._directory / JOB).unlink(missing_ok=True)
        sync(self._directory)
        return sound


def part_name(sha256: str, offset: int) -> bytes:
    """The Correlation Data of one part."""
    return f"{sha256}/{offset}".encode("ascii")
