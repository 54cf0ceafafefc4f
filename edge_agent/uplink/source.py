"""Where records come from: the journal, read in a thread of its own, and memory while the journal's medium is dead.

A hung disk holds up that thread only: alarms that came with their bodies never wait for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from buffer.records import Priority, Record

log = logging.getLogger("edge.source")

_T = TypeVar("_T")

MEMORY_PREFIX: Final = "mem-"  # epochs the core keeps in memory, see edge_agent.keeper
MEMORY_MAX: Final = 20_000  # records; as many as the core holds
RECORDS_MAX: Final = 2000  # a read


class Reader(Protocol):
    """What the uplink needs of `buffer.reader.JournalReader`."""

    def read(self, priority: Priority, *, epoch: str, after_n: int, limit: int, max_bytes: int) -> list[Record]:
        """Records after `after_n`, in order; one at least if there is one, whatever `max_bytes`."""
        ...

    def heads(self) -> Mapping[tuple[str, Priority], int]:
        """The highest n ever accepted, by epoch and priority."""
        ...

    def epochs(self, priority: Priority | None = None) -> Sequence[str]:
        """Oldest first; of one stream, or of all."""
        ...

    def history(
        self, limit: int, priorities: Sequence[Priority], *, before: Mapping[Priority, tuple[str, int]] | None
    ) -> list[Record]:
        """The newest events first, only older than `before` of their stream."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


class SourceError(Exception):
    """The journal cannot be read now. The text is ASCII, for the log."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a read found. `whole`: there is no more in the range. `sure`: what is missing before the end will never come."""

    records: list[tuple[int, bytes]]
    whole: bool
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Heads:
    """How far the journal goes: the highest n by epoch and priority, and the epochs, oldest first.

    `salvaged`: nothing that was set aside is still being read out.
    """

    heads: Mapping[tuple[str, Priority], int]
    epochs: tuple[str, ...]
    salvaged: bool = True


class Source:
    """One for the process; all destinations read through it."""

    def __init__(
        self,
        open_reader: Callable[[], Reader],
        salvaged: Callable[[], bool] = lambda: True,
        executor: Executor | None = None,
    ) -> None:
        """`salvaged` says whether all files that were set aside have been read out. It is called in the thread.

        `executor`: one thread, of its own unless given.
        """
        self._open_reader, self._salvaged = open_reader, salvaged
        self._reader: Reader | None = None
        self._thread = executor or ThreadPoolExecutor(1, thread_name_prefix="journal-read")
        self._memory: dict[str, dict[int, bytes]] = {}

    async def heads(self) -> Heads:
        """Raise SourceError if the journal cannot be read."""
        return await self._run(self._heads)

    async def read(self, epoch: str, priority: Priority, first: int, last: int, *, limit: int, max_bytes: int) -> Found:
        """Records first..last, as many as fit (one always does). Raise SourceError if the journal cannot be read."""
        if epoch.startswith(MEMORY_PREFIX):
            return self._read_memory(epoch, first, last, limit, max_bytes)
        return await self._run(self._read, epoch, priority, first, last, limit, max_bytes)

    async def history(
        self, limit: int, priorities: Sequence[Priority], before: Mapping[Priority, tuple[str, int]]
    ) -> list[Record]:
        """Events of the journal, newest first. Raise SourceError if the journal cannot be read."""
        return await self._run(lambda: self._ready().history(limit, priorities, before=before))

    def remember(self, epoch: str, n: int, body: bytes) -> None:
        """Keep a record that is in no journal until `forget`."""
        held = self._memory.setdefault(epoch, {})
        if len(held) < MEMORY_MAX:
            held[n] = body

    def memory_epochs(self) -> list[str]:
        """Epochs of which something is remembered."""
        return list(self._memory)

    def forget(self, epoch: str, through: int) -> None:
        """All mandatory destinations have a memory epoch's records through this."""
        held = self._memory.get(epoch, {})
        for n in [n for n in held if n <= through]:
            del held[n]
        if not held:
            self._memory.pop(epoch, None)

    def close(self) -> None:
        """Let go of the files. A read that hangs is left behind."""
        self._thread.submit(self._drop)
        self._thread.shutdown(wait=False, cancel_futures=False)

    async def _run(self, work: Callable[..., _T], *arguments: object) -> _T:
        def guarded() -> _T:
            try:
                return work(*arguments)
            except Exception as fault:  # whatever a torn file or a dying card makes the reader say
                with contextlib.suppress(Exception):
                    self._drop()  # a fresh look next time
                raise SourceError(f"{type(fault).__name__}: {fault}") from fault

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _read_memory(self, epoch: str, first: int, last: int, limit: int, max_bytes: int) -> Found:
        held = self._memory.get(epoch, {})
        records: list[tuple[int, bytes]] = []
        for n in sorted(n for n in held if first <= n <= last):
            if records and (len(records) >= limit or max_bytes < len(held[n])):
                return Found(records, whole=False)
            records.append((n, held[n]))
            max_bytes -= len(held[n])
        return Found(records, whole=True)

    # --- in the thread ----------------------------------------------------------------------------------------------------

    def _ready(self) -> Reader:
        if self._reader is None:
            self._reader = self._open_reader()
        return self._reader

    def _heads(self) -> Heads:
        salvaged = self._salvaged()  # before the look: what is read out meanwhile is in it
        reader = self._ready()
        return Heads(dict(reader.heads()), tuple(reader.epochs()), salvaged)

    def _read(  # noqa: PLR0917 - called through the executor
        self, epoch: str, priority: Priority, first: int, last: int, limit: int, max_bytes: int
    ) -> Found:
        found = self._look(epoch, priority, first, last, limit, max_bytes)
        end = found.records[-1][0] if found.records else first - 1
        if len(found.records) == end - first + 1 and (end == last or not found.whole):
            return found
        # Numbers are missing. In an old epoch they may still be read out of a file that was set aside: look again after
        # having asked whether that is over.
        sure = self._salvaged() or epoch == next(reversed(self._ready().epochs(priority)), "")
        found = self._look(epoch, priority, first, last, limit, max_bytes)
        return Found(found.records, found.whole, sure)

    def _look(  # noqa: PLR0917 - as above
        self, epoch: str, priority: Priority, first: int, last: int, limit: int, max_bytes: int
    ) -> Found:
        limit = min(limit, RECORDS_MAX, last - first + 1)
        found = self._ready().read(priority, epoch=epoch, after_n=first - 1, limit=limit, max_bytes=max_bytes)
        records = [(record.name.n, record.body) for record in found if record.name.n <= last]
        return Found(records, whole=not found or found[-1].name.n >= last)

    def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
