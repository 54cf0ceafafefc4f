"""The way in through files: what is put into a directory is taken in as if it came now, line by line, then renamed to .done.

For reports a platform exports, and for replaying what was recorded. A file that could not be kept stays and is taken again; so is
one that was cut short by a restart: copies of a state change nothing.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from drivers.codecs.base import Refused
from drivers.messages import WhenKept
from drivers.receivers.desk import Desk, Talk, now_ns

LOOK_S: Final = 1.0
AGAIN_S: Final = 10.0
CHUNK_BYTES: Final = 4096
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
DONE: Final = ".done"


class FolderDoor:
    """A directory. What may be there is looked at off the loop: a card that hangs must not hold up an alarm."""

    def __init__(self, folder: Path, make_talk: Callable[[], Talk], desk: Desk, when_kept: WhenKept) -> None:
        self._folder, self._make_talk, self._desk, self._when_kept = folder, make_talk, desk, when_kept
        self._counts = dict.fromkeys(("files", "rx_bytes"), 0)
        self._refused: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        is_open: bool | None = None
        while True:
            try:
                files = await asyncio.to_thread(self._files)
            except OSError as fault:
                if is_open is not False:
                    self._desk.closed("no_port", f"{fault.strerror or fault}", now_ns())
                is_open = False
                await asyncio.sleep(AGAIN_S)
                continue
            if is_open is not True:
                self._desk.opened(now_ns())
            is_open = True
            for file in files:
                try:
                    await self._take(file)
                except OSError as fault:
                    self._refuse(file, f"file_unreadable {fault.strerror or fault}")
            await asyncio.sleep(LOOK_S)

    def tick(self, at_ns: int) -> None:
        """See Door."""

    def counters(self) -> dict[str, int]:
        """See Door."""
        return dict(self._counts)

    def _files(self) -> list[Path]:
        """Regular files that are not done, oldest name first. A name that begins with a dot is still being written."""
        found = []
        for entry in os.scandir(self._folder):
            if entry.name.startswith(".") or entry.name.endswith(DONE) or entry.name in self._refused:
                continue
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                    found.append(Path(entry.path))
        return sorted(found)

    async def _take(self, file: Path) -> None:
        size = (await asyncio.to_thread(file.stat)).st_size
        if size > FILE_BYTES_MAX:
            self._refuse(file, f"file_size {size}")
            return
        talk, desk = self._make_talk(), self._desk
        stream = await asyncio.to_thread(file.open, "rb")
        try:
            while data := await asyncio.to_thread(stream.read, CHUNK_BYTES):
                self._counts["rx_bytes"] += len(data)
                desk.hear(lambda data=data: talk.feed(data, now_ns()), data, _nobody, now_ns())  # type: ignore[misc]
                await asyncio.sleep(0)
        finally:
            stream.close()
        desk.hear(lambda: talk.end(now_ns()), b"", _nobody, now_ns())
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._when_kept(lambda done: None if kept.done() else kept.set_result(done))
        if await kept:
            await asyncio.to_thread(file.rename, file.with_name(file.name + DONE))
            self._counts["files"] += 1
        else:
            await asyncio.sleep(AGAIN_S)

    def _refuse(self, file: Path, why: str) -> None:
        """A file nothing can be done with is told once."""
        self._refused.add(file.name)
        self._desk.refuse(Refused(why.encode("ascii", "backslashreplace").decode(), os.fsencode(file.name), now_ns()))


def _nobody(data: bytes) -> None:
    """Files are not answered."""
