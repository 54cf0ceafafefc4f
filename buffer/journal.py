"""The journal's front: takes records from the loop without ever blocking it, and has a thread for each file write them.

Two threads, not one: a bulk.db that hangs in the kernel, or is full, or is being thinned, is nothing an alarm waits for. They
share the disk's queue and Python's lock, and nothing else.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from buffer.check import quick_check
from buffer.disk import Disk
from buffer.faults import JournalError, StoreFault, describe
from buffer.owners import BulkOwner, VitalOwner
from buffer.records import Priority
from buffer.reserve import Space
from buffer.retention import History
from buffer.rows import BULK
from buffer.runner import Runner, StartRunner, ThreadRunner, Turn
from buffer.store import BulkStore, VitalStore
from buffer.waiting import Ticket, Waiting

__all__ = ["Journal", "JournalError", "JournalSettings", "StoreFault", "Ticket"]

BODY_BYTES_MAX = 256 * 1024
MEDIA_BYTES_MAX = 8 * 1024 * 1024
CHECK_AFTER_S = 10.0  # the background check lets a starting gateway take its first polls
MARKS_LINGER_NS = 2_000_000_000
BULK_MARKS_LINGER_NS = 3_600_000_000_000  # what readings need no longer be kept for; each commit wears the card
STORM_NS = 250_000_000
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """How much is kept, how long a record may wait for company, how much may wait in memory."""

    vital_bytes: int = 256 * MIB
    bulk_bytes: int = 512 * MIB
    reserve_bytes: int = 4 * MIB  # 0: none
    history_events: int = 10_000  # of each of ALARM, FAULT, STATUS, however well delivered
    history_alarm_days: int = 365
    fault_linger_s: float = 0.05
    status_linger_s: float = 1.0
    telemetry_linger_s: float = 10.0
    waiting_events_max: int = 20_000  # of each of FAULT and STATUS; alarms have no bound
    waiting_telemetry_max: int = 50_000
    waiting_telemetry_bytes: int = 8 * MIB
    waiting_media_bytes: int = 16 * MIB
    mandatory: Sequence[str] = field(default=())  # destinations without whose word nothing leaves
    background_check: bool = True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "unknown"


class Journal:
    """The one writer of a directory. `open` it; any thread may call the methods."""

    def __init__(
        self,
        directory: Path,
        settings: JournalSettings,
        report: Callable[[StoreFault], None],
        *,
        on_batch: Callable[[Sequence[Ticket]], None] | None,
        mono_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        boot_id: str,
        new_epoch: Callable[[], str],
        disk: Disk,
        runner: StartRunner,
    ) -> None:
        self.directory, self.settings = directory, settings
        self._mono_ns, self._wall_ns, self._disk = mono_ns, wall_ns, disk
        self._lock_fd = -1
        self._lock()
        space = Space(directory, settings.reserve_bytes, disk)

        def common(prefix: str) -> Mapping[str, object]:
            return {
                "mandatory": settings.mandatory,
                "space": space,
                "report": report,
                "new_epoch": lambda: f"{prefix}-{new_epoch()}",
                "boot_id": boot_id,
                "wall_ns": wall_ns,
            }

        self.vital = VitalOwner(VitalStore, directory / "vital.db", budget_bytes=settings.vital_bytes, **common("v"))  # type: ignore[arg-type]
        self.bulk = BulkOwner(BulkStore, directory / "bulk.db", budget_bytes=settings.bulk_bytes, **common("b"))  # type: ignore[arg-type]
        self.vital.history = History(settings.history_events, settings.history_alarm_days * 86_400 * 10**9)
        now_ns = mono_ns()
        try:
            self.vital.open(now_ns)
            self.bulk.open(now_ns)
        except JournalError:
            self.vital.close()
            self._unlock()
            raise
        if space.reserve.size:
            self.vital.take_reserve(first=True)
            self.bulk.take_spare()
        lingers = {
            Priority.ALARM: 0.0,
            Priority.FAULT: settings.fault_linger_s,
            Priority.STATUS: settings.status_linger_s,
            Priority.TELEMETRY: settings.telemetry_linger_s,
            Priority.MEDIA: settings.status_linger_s,
        }
        lingers_ns = {rank: int(seconds * 1e9) for rank, seconds in lingers.items()}
        few = {Priority.FAULT: settings.waiting_events_max, Priority.STATUS: settings.waiting_events_max}
        many = {Priority.TELEMETRY: settings.waiting_telemetry_max}
        sizes = {Priority.TELEMETRY: settings.waiting_telemetry_bytes, Priority.MEDIA: settings.waiting_media_bytes}
        vital_waiting = Waiting({r: ns for r, ns in lingers_ns.items() if r not in BULK}, records_max=few, bytes_max={})
        bulk_waiting = Waiting({r: ns for r, ns in lingers_ns.items() if r in BULK}, records_max=many, bytes_max=sizes)
        self._vital_writer = _Writer(self.vital, vital_waiting, on_batch, mono_ns, partial(runner, "journal-vital"))
        self._bulk_writer = _Writer(self.bulk, bulk_waiting, on_batch, mono_ns, partial(runner, "journal-bulk"))
        self._writers = (
            self._vital_writer,
            self._vital_writer,
            self._vital_writer,
            self._bulk_writer,
            self._bulk_writer,
        )
        self._closed = False
        self._check_begun = False
        for writer in (self._vital_writer, self._bulk_writer):
            writer.runner.start()
        self._checker = runner("journal-check", self._check)
        if settings.background_check:
            self._checker.start()

    @classmethod
    def open(
        cls,
        directory: Path,
        settings: JournalSettings,
        report: Callable[[StoreFault], None],
        *,
        on_batch: Callable[[Sequence[Ticket]], None] | None = None,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        boot_id: str | None = None,
        new_epoch: Callable[[], str] = lambda: os.urandom(6).hex(),
        disk: Disk | None = None,
        runner: StartRunner = ThreadRunner,
    ) -> "Journal":
        """Open the journal of a directory, whatever state it is in, without a scan.

        `report` and `on_batch` are called in a writer's thread (`report` in this one until `open` returns) and must not
        block; `on_batch` gets all tickets one commit settled. Raise JournalError: `locked` (another process writes here),
        `newer_schema`, `pragma_refused`.
        """
        return cls(
            directory,
            settings,
            report,
            on_batch=on_batch,
            mono_ns=mono_ns,
            wall_ns=wall_ns,
            boot_id=_boot_id() if boot_id is None else boot_id,
            new_epoch=new_epoch,
            disk=disk or Disk(),
            runner=runner,
        )

    def append(
        self,
        priority: Priority,
        body: bytes,
        state: Mapping[str, bytes | None] | None = None,
        on_durable: Callable[[Ticket], None] | None = None,
        stops: int | None = None,
    ) -> Ticket:
        """Take a record. Never blocks, never raises on what goes wrong with the store: see `Ticket.error`.

        `state`: latched values that change with it (None takes one back), in the same transaction; not with TELEMETRY or MEDIA.
        `on_durable` is called once with the settled ticket, in the writer's thread, or in this one if the ticket fails at once.
        `stops` keeps alarms in line: when some are refused the line stops, and those handed in before their caller knew of it
        are refused too (`behind`), or they would get the lower names. The caller hands in what was refused first, with the
        `stops` those tickets carry; at first 0. None stands in no line.
        """
        ticket = Ticket(priority, body, self._wall_ns(), state, on_durable)
        ticket.stops = stops
        writer = self._writers[priority]
        if self._closed or len(body) > (MEDIA_BYTES_MAX if priority is Priority.MEDIA else BODY_BYTES_MAX):
            ticket.error = "closed" if self._closed else "too_long"
            if on_durable is not None:
                on_durable(ticket)
            return ticket
        wake, dropped = writer.waiting.put(ticket, self._mono_ns())
        if wake:
            writer.runner.wake()
        if dropped:
            writer.tell(dropped)
        return ticket

    def state(self) -> dict[str, bytes]:
        """The latched state as of the last commit; of the last good one while vital.db is gone."""
        return dict(self.vital.state())

    def confirm(self, destination: str, epoch: str, priority: Priority, through: int) -> None:
        """A mandatory destination has a stream up to n = `through`. May be told again.

        Durable within seconds, of readings within the hour.
        """
        writer = self._writers[priority]
        with writer.marks_lock:
            name = (destination, epoch, priority)
            writer.marks[name] = max(through, writer.marks.get(name, 0))

    def progress(self) -> int:
        """Grows while the writer of vital.db lives, with nothing to write too: feeds the watchdog."""
        return self._vital_writer.turns

    def stats(self) -> dict[str, object]:
        """For people: per file what it holds, its trouble, what waits. Reads no file but their sizes."""
        return {
            "vital": self._vital_writer.stats(),
            "bulk": self._bulk_writer.stats(),
            "reserve": self.vital.space.reserve.present or not self.vital.space.reserve.size,
        }

    def flush(self, timeout_s: float) -> bool:
        """Commit what waits, now. False if it was not all settled in time. Not for the loop: it blocks."""
        until = time.monotonic() + timeout_s
        events = [writer.flush() for writer in (self._vital_writer, self._bulk_writer)]
        return all(event.wait(max(0.0, until - time.monotonic())) for event in events)

    def close(self, timeout_s: float = 5.0) -> None:
        """Commit what waits, close the files in order, let the directory go. A writer that hangs is left behind."""
        if self._closed:
            return
        self._closed = True
        self._checker.wake()
        until = time.monotonic() + timeout_s
        for writer in (self._vital_writer, self._bulk_writer):
            writer.stop()
        for writer in (self._vital_writer, self._bulk_writer):
            writer.runner.join(max(0.0, until - time.monotonic()))
        self._unlock()

    def _lock(self) -> None:
        with contextlib.suppress(OSError):
            self._disk.make_directory(self.directory)
        try:
            self._lock_fd = self._disk.lock(self.directory / "journal.lock")
        except BlockingIOError:
            raise JournalError("locked", str(self.directory)) from None
        except OSError:
            return  # the medium is in trouble: the files will say which

    def _unlock(self) -> None:
        if self._lock_fd >= 0:
            self._disk.unlock(self._lock_fd)
            self._lock_fd = -1

    def _check(self) -> int | None:
        """Once, a while after the start: SQLite's own check of both files, on connections of its own."""
        if self._closed:
            return None
        if not self._check_begun:
            self._check_begun = True
            return int(CHECK_AFTER_S * 1e9)
        for owner in (self.vital, self.bulk):
            problem = quick_check(owner.path, lambda: self._closed)
            if problem:
                owner.checked = problem
        return None


class _Writer:
    """The thread of one file."""

    def __init__(
        self,
        owner: VitalOwner | BulkOwner,
        waiting: Waiting,
        on_batch: Callable[[Sequence[Ticket]], None] | None,
        mono_ns: Callable[[], int],
        start: Callable[[Turn], Runner],
    ) -> None:
        self.owner, self.waiting, self._on_batch, self._mono_ns = owner, waiting, on_batch, mono_ns
        self.turns = 0
        self.marks_lock = threading.Lock()
        self.marks: dict[tuple[str, str, Priority], int] = {}
        self._marks_ns = self._step_ns = self._storm_ns = 0
        self._flushes: list[threading.Event] = []
        self._stops = 0  # how often alarms were refused
        self._stopping = self._ended = False
        owner.urgent = waiting.alarm_waits  # type: ignore[method-assign]
        self.runner = start(self._work)

    def flush(self) -> threading.Event:
        """Ask for all that waits to be committed; the event is set once it is."""
        event = threading.Event()
        if self._ended:
            event.set()
        else:
            self._flushes.append(event)
            self.runner.wake()
        return event

    def stop(self) -> None:
        self._stopping = True
        self.runner.wake()

    def tell(self, tickets: Sequence[Ticket]) -> None:
        """Call back for settled tickets. A callback that raises is a bug of its owner; the writer lives on."""
        for ticket in tickets:
            if ticket.on_durable is not None:
                try:
                    ticket.on_durable(ticket)
                except Exception as bug:  # noqa: BLE001 - a caller's bug must not end the thread that keeps alarms
                    self._report_bug(bug)
        if self._on_batch is not None and tickets:
            try:
                self._on_batch(tickets)
            except Exception as bug:  # noqa: BLE001 - as above
                self._report_bug(bug)

    def _report_bug(self, bug: Exception) -> None:
        with contextlib.suppress(Exception):
            self.owner.report(StoreFault("bug", self.owner.path.name, describe(bug)))

    def stats(self) -> dict[str, object]:
        owner, store = self.owner, self.owner.store
        sizes: dict[str, object] = {}
        for key, path in (("bytes", owner.path), ("wal_bytes", owner.path.with_name(owner.path.name + "-wal"))):
            try:
                sizes[key] = path.stat().st_size
            except OSError:
                sizes[key] = 0
        return {
            "trouble": owner.trouble,
            "epoch": store.epoch if store is not None else None,
            "heads": {stream.stream: n for stream, n in store.heads.items()} if store is not None else {},
            "waiting": len(self.waiting),
            "commits": owner.commits,
            "budget_bytes": owner.budget_bytes,
            **sizes,
        }

    def _work(self) -> int | None:
        """One turn; ns until the next, None after the last."""
        if self._stopping:
            self._end()
            return None
        self.turns += 1
        try:
            return self._turn()
        except JournalError as fault:  # the file was replaced by a newer program's: hands off
            self.owner.refuse(fault)
        except Exception as bug:  # noqa: BLE001 - alarms outlive any bug of the journal's own
            self._report_bug(bug)
        return 10**9

    def _end(self) -> None:
        with contextlib.suppress(Exception):
            while self._commit(at_once=True):
                pass
            self._take_marks(at_once=True)
        left = self.waiting.take(0, at_once=True)
        while left:
            for ticket in left:
                ticket.error = "closed"
            self.tell(left)
            left = self.waiting.take(0, at_once=True)
        self.owner.close()
        self._ended = True
        self._flushed()

    def _turn(self) -> int:
        """Commit what is due, or do one slice of other work. Return ns to sleep."""
        committed = self._commit(at_once=bool(self._flushes))
        now_ns = self._mono_ns()
        if committed and now_ns < self._storm_ns and not self._flushes:
            # Sleep at once: whoever was just told is waiting for Python's lock. Under a storm other work gets a turn now and then.
            return max(0, min(self._step_ns, self._due_ns(now_ns)) - now_ns)
        if self._flushes and not committed:
            self._take_marks(at_once=True)
            self._flushed()
        self._take_marks()
        now_ns = self._mono_ns()
        self._step_ns = now_ns + self.owner.step(now_ns)
        self._storm_ns = now_ns + STORM_NS
        if self._flushes:
            return 0  # there may be more than one commit holds
        return max(0, min(self._step_ns, self._due_ns(now_ns)) - self._mono_ns())

    def _due_ns(self, now_ns: int) -> int:
        due_ns = self.waiting.due_ns()
        return now_ns + 10**9 if due_ns is None or self._held() else due_ns

    def _flushed(self) -> None:
        flushes, self._flushes = self._flushes, []
        for event in flushes:
            event.set()

    def _held(self) -> bool:
        """Readings wait in memory, within their bound, for a medium that is gone or full to the alarms' reserve."""
        owner = self.owner
        return isinstance(owner, BulkOwner) and (owner.store is None or owner.space.starved or bool(owner.trouble))

    def _commit(self, *, at_once: bool) -> bool:
        if self._held():
            return False
        now_ns = self._mono_ns()
        batch = self.waiting.take(now_ns, at_once=at_once)
        if not batch:
            return False
        if self._stops and (behind := [t for t in batch if t.stops is not None and t.stops < self._stops]):
            self._refuse_behind(behind)
            batch = [ticket for ticket in batch if not ticket.settled]
            if not batch:
                return True
        try:
            written = self.owner.commit(batch, self.waiting.take_lost(), now_ns)
        except Exception:
            for ticket in batch:
                if not ticket.settled:
                    ticket.error = "bug"
            self._stop_line(batch)
            self.tell(batch)
            raise
        if not written:
            self._stop_line(batch)
        self.tell(batch)
        return True

    def _stop_line(self, batch: Sequence[Ticket]) -> None:
        """This batch was refused: no alarm behind its alarms may pass them."""
        if alarms := [ticket for ticket in batch if ticket.priority is Priority.ALARM and ticket.name is None]:
            self._stops += 1
            for ticket in alarms:
                ticket.stops = self._stops

    def _refuse_behind(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            ticket.stops, ticket.error = self._stops, "behind"
        self.tell(tickets)

    def _take_marks(self, *, at_once: bool = False) -> None:
        if not self.marks or (not at_once and self._mono_ns() < self._marks_ns):
            return
        bulk = isinstance(self.owner, BulkOwner)
        self._marks_ns = self._mono_ns() + (BULK_MARKS_LINGER_NS if bulk else MARKS_LINGER_NS)
        with self.marks_lock:
            marks, self.marks = self.marks, {}
        self.owner.put_marks(marks, self._mono_ns())
