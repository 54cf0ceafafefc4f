"""One database file through good days and bad: opens it, writes to it, keeps it small, and survives its loss.

Synchronous and clockless: the thread in `buffer.journal`, or a simulation, calls `commit` with what waits and `step` when idle.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from buffer import retention
from buffer.check import quick_check
from buffer.dbfile import PAGE_BYTES, Confirmed, side_files
from buffer.faults import Damaged, JournalError, StoreFault, classify, describe
from buffer.records import Priority
from buffer.recovery import EPOCH_STEP, OpenMark, bad_files, done_path, set_aside, suspicion, write_done
from buffer.reserve import Space
from buffer.salvage import Remembered, Salvaged, remember, salvage
from buffer.store import BulkStore, VitalStore, gap_body
from buffer.waiting import Ticket

S = 1_000_000_000
RETRY_FIRST_NS, RETRY_MAX_NS = S // 2, 10 * S
IDLE_NS = S  # an idle writer looks round once a second: is the file still there, is there room, one scrub slice
PRUNE_NS = 60 * S  # without a new confirmation only age can let something go
SALVAGE_AGAIN_NS = 60 * S
SCRUB_ROWS = 100  # a second: a million rows in three hours, for 0.3 ms of CPU each second
SHED_TRIES = 20
HIGH, LOW = 0.90, 0.85  # of the budget: where shedding begins and ends
RESERVE_MARGIN_BYTES = 1 << 20
VACUUM_PAGES = 64
ROOM_BYTES = 256 * 1024
BUDGET_MARGIN_PAGES = 16  # what a group of rows may need beside their bodies

Report = Callable[[StoreFault], None]
StoreT = TypeVar("StoreT", VitalStore, BulkStore)


def _alarms(batch: Sequence[Ticket]) -> list[Ticket]:
    return [ticket for ticket in batch if ticket.priority is Priority.ALARM]


class Owner(Generic[StoreT]):
    """The life of one file. One thread calls it. `store` is None while the medium does not give one."""

    def __init__(
        self,
        kind: type[StoreT],
        path: Path,
        *,
        budget_bytes: int,
        mandatory: Sequence[str],
        space: Space,
        report: Report,
        new_epoch: Callable[[], str],
        boot_id: str,
        wall_ns: Callable[[], int],
    ) -> None:
        self.kind: type[StoreT] = kind
        self.path, self.budget_bytes = path, budget_bytes
        self.mandatory, self.space, self.report = tuple(mandatory), space, report
        self._new_epoch, self._boot_id, self._wall_ns, self._disk = new_epoch, boot_id, wall_ns, space.disk
        self._mark = OpenMark(path, space.disk)
        self.store: StoreT | None = None
        self.trouble = ""  # the code of what stops writing now
        self._inode = self._file_bytes = 0
        self._retry_ns = 0
        self._backoff_ns = RETRY_FIRST_NS
        self._known = Remembered()  # of the last store that was open
        self._salvages: list[tuple[Path, Remembered]] = []
        self._salvage: Generator[None, None, Salvaged] | None = None
        self._salvage_ns = 0
        self._round_ns = self._prune_ns = 0
        self._scrub: tuple[int, int] = (0, 0)  # stream index, row id
        self._vacuum_pages = 0
        self.dirty = True  # retention has something to look at
        self.checked: str | None = None  # set by the background check: "" sound, else what is wrong
        self.commits = 0

    # -- opening ---------------------------------------------------------------------------------------------------

    def open(self, now_ns: int) -> None:
        """Open, or make, or replace the file. Raise JournalError only; a medium that fails is trouble, tried again by `step`."""
        try:
            self._open()
        except JournalError:
            raise
        except (sqlite3.Error, OSError, Damaged) as fault:
            self._down(classify(fault), describe(fault), now_ns)

    def _open(self) -> None:
        self._disk.make_directory(self.path.parent)
        why = suspicion(self.path, self._mark)
        left_by = self._mark.left_by()
        if why == "missing" and not bad_files(self.path) and self._known.heads is None and not self._side_files_exist():
            why = ""  # the mark alone: the first run was cut off while it made the file
        if why:
            self._replace(Damaged(why))
        elif not self.path.exists():
            self._make(self._known)
        try:
            self.store = self.kind(self.path, budget_bytes=self.budget_bytes, disk=self._disk)
        except (Damaged, sqlite3.DatabaseError) as fault:
            if classify(fault) != "corrupt":
                raise
            self._replace(fault)
            self.store = self.kind(self.path, budget_bytes=self.budget_bytes, disk=self._disk)
        if not why and (damage := self._behind(self.store)):
            self._replace(damage)
            self.store = self.kind(self.path, budget_bytes=self.budget_bytes, disk=self._disk)
        elif left_by not in (None, self._boot_id) and not why:
            # The power went. A card may have lost what it said it had written; the names of that are not given again.
            self.store.rotate(self._new_epoch(), self._wall_ns())
        found = self.path.stat()
        self._inode, self._file_bytes = found.st_ino, found.st_size
        self._mark.set(self._boot_id)
        self._forget_marks()
        self._salvages = [
            (bad, self._salvage_known(bad)) for bad in bad_files(self.path).values() if not done_path(bad).exists()
        ]

    def _behind(self, store: StoreT) -> Damaged | None:
        """Whether what this process has written to the file before is not in it any more.

        A medium that fails can bring an old -shm back to life, and SQLite believes it: names would be given twice.
        """
        known = self._known
        epoch = max(known.epochs, key=lambda name: known.epochs[name], default="")
        if known.heads is None or epoch not in store.epochs:
            return None
        heads = store.heads if epoch == store.epoch else {stream: store.head(epoch, stream) for stream in known.heads}
        lost = " ".join(f"{s.stream} {heads[s]} of {n}" for s, n in known.heads.items() if heads[s] < n)
        return Damaged("went_back", lost) if lost else None

    def _side_files_exist(self) -> bool:
        return any(self.path.with_name(self.path.name + end).exists() for end in ("-wal", "-shm"))

    def _salvage_known(self, bad: Path) -> Remembered:
        for known_bad, known in self._salvages:
            if known_bad == bad:
                return known
        return remember(bad, self.kind)

    def _make(self, known: Remembered) -> None:
        newest = max([*known.epochs.values(), EPOCH_STEP * max(bad_files(self.path), default=0)])
        marks = {name: through for name, through in known.marks.items() if name[0] in self.mandatory}
        self.kind.make(
            self.path,
            epoch=self._new_epoch(),
            ordinal=newest + EPOCH_STEP,
            wall_ns=self._wall_ns(),
            fill=self.kind.filler(known.state, marks),
            disk=self._disk,
        )

    def _replace(self, fault: Exception) -> None:
        """Set the file aside, make a new one with a new epoch, and remember to salvage."""
        known = self._known
        self._close_store()
        bad = set_aside(self.path, self._disk)
        self._mark.clear()  # it spoke of that file; the new one has no -wal yet
        if known.heads is None:
            known = remember(bad, self.kind)
        self._make(known)
        self._known = known
        self._salvages.append((bad, known))
        self._salvage = None
        code = fault.code if isinstance(fault, Damaged) else "malformed"
        self.report(StoreFault("set_aside", self.path.name, describe(fault), {"kept_as": bad.name, "why": code}))

    def _forget_marks(self) -> None:
        """Marks of destinations that are no longer mandatory would only hold, or let go, records for nobody."""
        assert self.store is not None
        store = self.store
        for name in [name for name in store.marks if name[0] not in self.mandatory]:
            store.drop_mark(name)

    def _close_store(self) -> None:
        if self.store is not None:
            self._known = Remembered(
                self.store.epochs, self.store.heads, getattr(self.store, "state", {}), self.store.marks
            )
            with contextlib.suppress(sqlite3.Error):
                self.store.close()
            self.store = None
            with contextlib.suppress(OSError):
                if not side_files(self.path)[0].exists():  # SQLite took it along: the file was closed in order
                    self._mark.clear()

    def _down(self, code: str, detail: str, now_ns: int) -> None:
        self._close_store()
        self._salvage = None
        self._retry_ns = now_ns + self._backoff_ns
        self._backoff_ns = min(self._backoff_ns * 2, RETRY_MAX_NS)
        self._trouble(code, detail)

    def refuse(self, fault: JournalError) -> None:
        """The file is not ours to touch any more."""
        self._close_store()
        self._trouble(fault.code, str(fault))

    def _trouble(self, code: str, detail: str) -> None:
        if self.trouble != code:  # once when it goes, once when it is back
            self.trouble = code
            self.report(StoreFault(code, self.path.name, detail))

    def _well(self) -> None:
        self._backoff_ns = RETRY_FIRST_NS
        if self.trouble:
            was, self.trouble = self.trouble, ""
            self.report(StoreFault("back", self.path.name, params={"after": was}))

    def state(self) -> Mapping[str, bytes]:
        """The latched state as of the last commit."""
        store = self.store
        return self._known.state if store is None else getattr(store, "state", {})

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, batch: Sequence[Ticket], lost: Mapping[Priority, int], now_ns: int) -> bool:
        """Make `batch` durable; every ticket is settled on return. `lost`: counts for gap records. True if it was written."""
        notes = [(rank, gap_body("memory", count=count)) for rank, count in lost.items() if count] if lost else ()
        if self.space.starved and self._must_spare() and not _alarms(batch):
            self._fail(batch, "full")
            return False
        code = self._write(batch, notes, now_ns)
        if code == "full":
            code = self._make_room(batch, _alarms(batch), notes, now_ns)
        if code:
            self._fail(batch, code)
            return False
        self.commits += 1
        return True

    def _must_spare(self) -> bool:
        """Whether what room is left belongs to alarms."""
        return False

    def _write(self, batch: Sequence[Ticket], notes: Sequence[tuple[Priority, bytes]], now_ns: int) -> str:
        """Try once, and once more in a new file if this one turns out damaged. Return "" or a code."""
        for again in (True, False):
            if self.store is None:
                return self.trouble or "io"
            try:
                self.store.write(batch, notes=notes)
            except (sqlite3.Error, OSError, Damaged) as fault:
                code = classify(fault)
                if code == "corrupt" and again:
                    self.replace(fault, now_ns)
                    continue
                if code == "busy":  # somebody's tool holds the file: `step` finds out when it lets go
                    self._trouble(code, describe(fault))
                    self._retry_ns = now_ns + S // 2
                elif code != "full":
                    self._down(code, describe(fault), now_ns)
                return code
            else:
                if self.trouble:
                    self._well()
                return ""
        return "corrupt"

    def _make_room(
        self,
        batch: Sequence[Ticket],
        alarms: Sequence[Ticket],
        notes: Sequence[tuple[Priority, bytes]],
        now_ns: int,
    ) -> str:
        """The file or the disk is full. Return "" if the alarms of the batch are written; what else was not is failed."""
        code, store = "full", self.store
        size = sum(len(ticket.body) for ticket in batch)
        if store is not None and self.free() > 2 * size + ROOM_BYTES:
            at_budget = self._at_budget(store, size)
            if not at_budget and (code := self._write(batch, notes, now_ns)) != "full":
                return code  # the medium said so once: nothing need go for that
            for _ in range(SHED_TRIES if at_budget else 0):
                if not self._give_way_to(bool(alarms), size, now_ns):
                    break
                if (code := self._write(batch, notes, now_ns)) != "full":
                    return code
        if alarms:
            if self._give_up_reserve():
                code = self._write(batch, notes, now_ns)
            if code == "full" and len(alarms) < len(batch):
                code = self._write(alarms, (), now_ns)
                self._fail(batch, "full")
        if code == "full":
            self._trouble("full", f"free={self.free()}")
            self._retry_ns = now_ns + 2 * S
        return code

    def _at_budget(self, store: StoreT, size: int) -> bool:
        """Whether it is the file that may not grow, and not the disk."""
        try:
            count, free = store.pages()
        except sqlite3.Error:
            return False
        return count - free + 2 * size // PAGE_BYTES + BUDGET_MARGIN_PAGES > store.bound_pages

    def _give_way_to(self, alarms: bool, size: int, now_ns: int) -> bool:
        """One step of making room in a file at its budget. False if nothing could go, or not even that be written."""
        gave = False

        def work() -> None:
            nonlocal gave
            if alarms and (store := self.store) is not None:  # it is ours to exceed; `step` sheds, and takes it back
                store.set_budget(max(store.bound_pages, store.pages()[0]) + 2 * size // PAGE_BYTES + 256)
                gave = True
            else:
                gave = self._shed(now_ns)

        return self._attempt(work, now_ns) and gave

    def _give_up_reserve(self) -> bool:
        try:
            given = self.space.reserve.give_up()
        except OSError as fault:
            self.report(StoreFault("reserve_lost", "reserve.bin", describe(fault)))
            return False
        if given:
            self.report(StoreFault("reserve_given_up", "reserve.bin", f"free={self.free()}"))
        return given

    def free(self) -> int:
        """Bytes the disk has left, -1 if it does not say."""
        try:
            return self.space.free_bytes()
        except OSError:
            return -1

    def _fail(self, batch: Sequence[Ticket], code: str) -> None:
        for ticket in batch:
            if ticket.name is None:
                ticket.error = code

    def put_marks(self, marks: Confirmed, now_ns: int) -> None:
        """Keep what mandatory destinations have confirmed. One that cannot be kept now is told again by the uplink's ledger."""
        store = self.store
        if store is None:
            return
        good: dict[tuple[str, str, Priority], int] = {}
        for (destination, epoch, stream), through in marks.items():
            if destination in self.mandatory and stream in store.STREAMS and epoch in store.epochs:
                head = store.heads[stream] if epoch == store.epoch else store.head(epoch, stream)
                if 0 < min(through, head) > store.marks.get((destination, epoch, stream), 0):
                    good[destination, epoch, stream] = min(through, head)
        if good and self._attempt(lambda: store.put_marks(good), now_ns):
            self.dirty = True

    # -- background ------------------------------------------------------------------------------------------------

    def step(self, now_ns: int) -> int:
        """Do one short piece of background work. Return ns until the next; 0: there is more at once."""
        if self.store is None:
            if now_ns < self._retry_ns:
                return self._retry_ns - now_ns
            self.open(now_ns)
            if self.store is None:
                return self._backoff_ns
            self._well()
        if self.trouble and now_ns >= self._retry_ns:
            self._retry_ns = now_ns + 2 * S
            if self._attempt(self.store.probe, now_ns):
                self._well()
        if self.checked:
            problem, self.checked = self.checked, None
            self.replace(Damaged("malformed", problem), now_ns)
            return 0
        if now_ns >= self._round_ns:
            self._round_ns = now_ns + IDLE_NS
            self._look_round(now_ns)
        return 0 if self._slice(now_ns) else max(0, self._round_ns - now_ns)

    def _slice(self, now_ns: int) -> bool:
        store = self.store
        if store is None:
            return False
        more = False

        def work() -> None:
            nonlocal more
            if self._continue_salvage(store, now_ns):
                more = True
            elif self.dirty:
                self.dirty = more = self._prune(store)
            if self._vacuum_pages > 0:
                store.vacuum(VACUUM_PAGES)
                self._vacuum_pages -= VACUUM_PAGES
                more = True

        return self._attempt(work, now_ns) and more

    def _prune(self, store: StoreT) -> bool:
        raise NotImplementedError

    def _shed(self, now_ns: int) -> bool:
        """One slice of making room in the file; False if there is nothing that may go."""
        raise NotImplementedError

    def _attempt(self, work: Callable[[], object], now_ns: int) -> bool:
        """Run a piece of background work; on failure act on it and return False."""
        try:
            work()
        except (sqlite3.Error, OSError, Damaged) as fault:
            code = classify(fault)
            if code == "corrupt":
                self.replace(fault, now_ns)
            elif code not in ("full", "busy"):
                self._down(code, describe(fault), now_ns)
            return False
        return True

    def replace(self, fault: Exception, now_ns: int) -> None:
        """The open file is damaged: go on in a new one."""
        try:
            self._close_store()
            self._replace(fault)
            self._open()
        except (sqlite3.Error, OSError, Damaged) as second:
            self._down(classify(second), describe(second), now_ns)

    def _continue_salvage(self, store: StoreT, now_ns: int) -> bool:
        if self._salvage is None:
            if not self._salvages or now_ns < self._salvage_ns or self.space.starved:
                return False
            bad, known = self._salvages[0]
            self._salvage = salvage(store, bad, known, self._wall_ns())
        try:
            next(self._salvage)
        except StopIteration as end:
            result: Salvaged = end.value
            bad, _ = self._salvages.pop(0)
            self._salvage = None
            params = {"rows": result.rows, "unreadable_pages": result.unreadable_pages, "missing": result.missing}
            write_done(bad, params, self._disk)
            self.report(StoreFault("salvaged", bad.name, params=params))
        except (sqlite3.Error, OSError):
            self._salvage, self._salvage_ns = (
                None,
                now_ns + SALVAGE_AGAIN_NS,
            )  # from the start; what is here already stays
            raise
        return True

    def _look_round(self, now_ns: int) -> None:
        """Once a second: is our file still under its name, is it near its budget, is one more piece of it sound?"""
        try:
            found = self.path.stat()
            gone = found.st_ino != self._inode
            wal_gone = not side_files(self.path)[0].exists()
        except FileNotFoundError:
            gone = True
        except OSError as fault:
            self._down(classify(fault), describe(fault), now_ns)
            return
        if gone:
            self._vanished(now_ns)
            return
        if wal_gone:
            self._attempt(self._wal_vanished, now_ns)
        else:
            self._attempt(lambda: self._look_at_size(found.st_size), now_ns)
        if self.store is None:
            return
        if now_ns >= self._prune_ns:
            self._prune_ns = now_ns + PRUNE_NS
            self.dirty = True
        self._attempt(lambda: self._keep_budget(now_ns), now_ns)
        if self.store is not None:
            self._attempt(self._scrub_slice, now_ns)

    def _vanished(self, now_ns: int) -> None:
        """Somebody removed or replaced the file under us: what we write goes nowhere."""
        self._close_store()
        known = self._known
        try:
            if self.path.exists() or self._side_files_exist():
                self._replace(Damaged("vanished"))
                self._open()
                return
            self.report(StoreFault("vanished", self.path.name))
            self._disk.unlink(self._mark.path)
            self._open()
            self._tell_lost(known)
        except (sqlite3.Error, OSError, Damaged) as fault:
            self._down(classify(fault), describe(fault), now_ns)

    def _wal_vanished(self) -> None:
        """Somebody removed the -wal: our hand still holds it. Bring it into the file and begin another, or keep trying."""
        store = self.store
        assert store is not None
        if store.checkpoint(truncate=True):
            self.report(StoreFault("vanished", side_files(self.path)[0].name))
            self._mark.clear()
            self._close_store()
            self._open()

    def _look_at_size(self, size: int) -> None:
        """SQLite cuts the file only to the length it says; shorter than that and than before, somebody else did."""
        store = self.store
        assert store is not None
        bound, self._file_bytes = min(self._file_bytes, store.pages()[0] * PAGE_BYTES), size
        if size < bound and (problem := quick_check(self.path)):  # it may have shrunk and grown since we looked
            raise Damaged("cut_short", f"{size} bytes of {bound}: {problem}")

    def _tell_lost(self, known: Remembered) -> None:
        """Nothing is left of the last file: gap records say which names will not come."""
        epoch = max(known.epochs, key=lambda name: known.epochs[name], default="")
        if self.store is None or not epoch or known.heads is None:
            return
        notes = [
            (stream, gap_body("vanished", epoch=epoch, first=1, last=head))
            for stream, head in known.heads.items()
            if head
        ]
        self.store.write((), notes=notes)

    def _keep_budget(self, now_ns: int) -> None:
        store = self.store
        if store is None:
            return
        count, free = store.pages()
        budget = store.budget_pages
        if count - free > HIGH * budget:
            while count - free > LOW * budget and self._shed(now_ns) and self.store is store:
                count, free = store.pages()
                if self.urgent():
                    break
        if store.bound_pages > budget and count <= budget:
            store.set_budget(budget)
        if free > max(256, count // 4) and self._vacuum_pages <= 0:
            self._vacuum_pages = free - count // 8

    def _scrub_slice(self) -> None:
        store = self.store
        assert store is not None
        index, after = self._scrub
        after, bad = retention.scrub(store, store.STREAMS[index], after, SCRUB_ROWS)
        if bad is not None:
            raise Damaged("checksum", f"{store.STREAMS[index].stream} row {bad:x}")
        self._scrub = (index, after) if after else ((index + 1) % len(store.STREAMS), 0)

    def urgent(self) -> bool:
        """Whether background work should stop now; the front sets it."""
        return False

    def close(self) -> None:
        """Close in order: the mark first, then the -wal."""
        with contextlib.suppress(OSError):
            if self.store is not None:
                self._mark.clear()
        self._close_store()
