"""One database file held through good days and bad: opened, made, missed, replaced by a new one, and tried again.

Synchronous and clockless, as what is built on it (`buffer.owner`).
"""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from buffer.check import quick_check
from buffer.dbfile import PAGE_BYTES, side_files
from buffer.faults import Damaged, JournalError, StoreFault, classify, describe
from buffer.recovery import EPOCH_STEP, OpenMark, bad_files, set_aside, suspicion
from buffer.reserve import Space
from buffer.salvage import Remembered, Salvages, remember
from buffer.store import BulkStore, VitalStore, gap_body

S = 1_000_000_000
RETRY_FIRST_NS, RETRY_MAX_NS = S // 2, 10 * S

Report = Callable[[StoreFault], None]
StoreT = TypeVar("StoreT", VitalStore, BulkStore)


class HeldFile(Generic[StoreT]):
    """`store` is None while the medium does not give one; `trouble` is the code of what stops writing now."""

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
        self.trouble = ""
        self._inode = self._file_bytes = 0
        self._retry_ns = 0
        self._backoff_ns = RETRY_FIRST_NS
        self._known = Remembered()  # of the last store that was open
        self._salvages = Salvages(path, kind, space, report)

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
        self._salvages.look()

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
        self._salvages.add(bad, known)
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
            self._salvages.stop()
            with contextlib.suppress(OSError):
                if not side_files(self.path)[0].exists():  # SQLite took it along: the file was closed in order
                    self._mark.clear()

    # -- trouble ---------------------------------------------------------------------------------------------------

    def _down(self, code: str, detail: str, now_ns: int) -> None:
        self._close_store()
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

    # -- seeing to it ----------------------------------------------------------------------------------------------

    def _try_again(self, now_ns: int) -> int:
        """Come back from trouble if it is time. Return ns to wait for that while there is no store, else 0."""
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
        return 0 if self.store is not None else self._backoff_ns  # what was full may be dead now

    def _look_at_file(self, now_ns: int) -> bool:
        """Whether our file is still there under its name, and as long as it was. If not, this sees to it."""
        try:
            found = self.path.stat()
            gone = found.st_ino != self._inode
            wal_gone = not side_files(self.path)[0].exists()
        except FileNotFoundError:
            gone = True
        except OSError as fault:
            self._down(classify(fault), describe(fault), now_ns)
            return False
        if gone:
            self._vanished(now_ns)
            return False
        if wal_gone:
            self._attempt(self._wal_vanished, now_ns)
        else:
            self._attempt(lambda: self._look_at_size(found.st_size), now_ns)
        return self.store is not None

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

    def close(self) -> None:
        """Close in order: the mark first, then the -wal."""
        with contextlib.suppress(OSError):
            if self.store is not None:
                self._mark.clear()
        self._close_store()
