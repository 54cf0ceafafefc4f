"""Fills a journal as a busy site would, and marks on the recorder every record the moment the journal calls it durable.

    python -m tests.power.writer DIRECTORY MARK RUN RECORDS CLOSE|DIE [PLANTED BUG]

Every alarm changes the latched state with it: `last` is its own body's first word. A planted bug is what a proof should find.
"""

import os
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from buffer.dbfile import DbFile
from buffer.disk import Disk
from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
from buffer.store import VitalStore
from buffer.waiting import Ticket

RANKS = (Priority.ALARM,) * 5 + (
    Priority.FAULT,
    Priority.STATUS,
    Priority.TELEMETRY,
    Priority.TELEMETRY,
    Priority.MEDIA,
)
CONFIRMED, THROUGH = Priority.STATUS, 3  # the stream of which a centre has some, and how many
SETTINGS = JournalSettings(
    reserve_bytes=64 * 1024, telemetry_linger_s=0.02, status_linger_s=0.02, mandatory=("c",), background_check=False
)


def _normal() -> None:
    """synchronous = NORMAL: a commit is no longer synced."""
    asserted = DbFile._pragmas

    def pragmas(self: DbFile) -> None:
        asserted(self)
        self.db.execute("PRAGMA synchronous = NORMAL").close()

    DbFile._pragmas = pragmas  # type: ignore[method-assign]


def _no_file_sync() -> None:
    """A new file is renamed into place and was never synced."""
    made = DbFile.make.__func__  # type: ignore[attr-defined]

    def make(cls: type[DbFile], path: Path, **more: object) -> None:
        with tempfile.TemporaryDirectory() as elsewhere:
            made(cls, Path(elsewhere) / path.name, **more)
            new = path.with_name(path.name + ".new")
            new.write_bytes((Path(elsewhere) / path.name).read_bytes())
        new.rename(path)
        Disk().sync_directory(path.parent)

    DbFile.make = classmethod(make)  # type: ignore[assignment]


def _early_word() -> None:
    """The journal calls a record durable before it has committed it."""
    write = VitalStore.write

    def early(self: VitalStore, tickets: list[Ticket], **more: object) -> None:  # type: ignore[override]
        heads = dict(self.heads)
        for ticket in tickets:
            heads[ticket.priority] += 1
            told(ticket.priority, self.epoch, heads[ticket.priority], ticket.body)
        write(self, tickets, **more)  # type: ignore[arg-type]

    VitalStore.write = early  # type: ignore[method-assign,assignment]


PLANTS: dict[str, Callable[[], None]] = {
    "normal": _normal,
    "no-file-sync": _no_file_sync,
    "early-word": _early_word,
}
MARK = -1


def told(priority: Priority, epoch: str, n: int, body: bytes) -> None:
    os.pwrite(MARK, b"%s %d %d %s" % (epoch.encode(), priority, n, body), 0)


def main() -> None:
    global MARK
    directory, mark, run, records, end, *plant = sys.argv[1:]
    MARK = os.open(mark, os.O_WRONLY)
    for name in plant:
        PLANTS[name]()
    journal = Journal.open(Path(directory), SETTINGS, lambda fault: print(fault, flush=True), boot_id="before")
    chance = random.Random(run)
    room = threading.Semaphore(4)

    def durable(ticket: Ticket) -> None:
        if (name := ticket.name) is not None:
            told(name.priority, name.epoch, name.n, ticket.body)
        room.release()

    for i in range(int(records)):
        rank = chance.choice(RANKS)
        word = b"%s-%d" % (run.encode(), i)
        body = word + b" " + b"." * chance.choice((150, 250, 400, 400, 5000 if rank is Priority.MEDIA else 300))
        room.acquire()
        journal.append(rank, body, {"last": word} if rank is Priority.ALARM else None, durable)
        if i % 50 == 49 and (store := journal.vital.store) is not None:
            journal.confirm("c", store.epoch, CONFIRMED, THROUGH)
    journal.flush(20)
    if end == "DIE":
        os.kill(os.getpid(), signal.SIGKILL)
    journal.close()


if __name__ == "__main__":
    main()
