"""The one hand on one database file: writes to it, keeps it small, and does the rest a slice at a time.

Synchronous and clockless: the thread in `buffer.journal`, or a simulation, calls `commit` with what waits and `step` when idle.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from buffer import retention
from buffer.dbfile import PAGE_BYTES, Confirmed
from buffer.faults import Damaged, StoreFault, classify, describe
from buffer.held import HeldFile, S, StoreT
from buffer.records import Priority
from buffer.store import gap_body
from buffer.waiting import Ticket

IDLE_NS = S  # an idle writer looks round once a second: is the file still there, is there room, one scrub slice
PRUNE_NS = 60 * S  # without a new confirmation only age can let something go
SCRUB_ROWS = 100  # a second: a million rows in three hours, for 0.3 ms of CPU each second
SHED_TRIES = 20
HIGH, LOW = 0.90, 0.85  # of the budget: where shedding begins and ends
RESERVE_MARGIN_BYTES = 1 << 20
VACUUM_PAGES = 64
ROOM_BYTES = 256 * 1024
BUDGET_MARGIN_PAGES = 16  # what a group of rows may need beside their bodies


def _alarms(batch: Sequence[Ticket]) -> list[Ticket]:
    return [ticket for ticket in batch if ticket.priority is Priority.ALARM]


class Owner(HeldFile[StoreT]):
    """`commit` is for what waits; `step` for all that can wait for it. One thread calls both."""

    # Whose refusal is a loss that a gap record tells; a refused alarm is owed, and offered again
    LOST_IF_REFUSED: frozenset[Priority]

    commits = 0
    dirty = True  # retention has something to look at
    checked: str | None = None  # set by the background check: "" sound, else what is wrong
    _round_ns = _prune_ns = 0
    _scrub = (0, 0)  # stream index, row id
    _untold: Mapping[Priority, int] = MappingProxyType({})  # lost before they had a name
    _vacuum_pages = 0

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, batch: Sequence[Ticket], lost: Mapping[Priority, int], now_ns: int) -> bool:
        """Make `batch` durable; every ticket is settled on return. True if it was written.

        `lost`: counts for gap records. They are kept, with what is refused here, until a commit has told of them.
        """
        for rank, count in lost.items():
            self._lose(rank, count)
        notes: Sequence[tuple[Priority, bytes]] = ()
        if self.space.starved and self._must_spare():
            alarms = _alarms(batch)
            self._fail([ticket for ticket in batch if ticket.priority is not Priority.ALARM], "full")
            if not alarms:
                return False
            batch = alarms
        elif self._untold:
            notes = [(rank, gap_body("memory", count=count)) for rank, count in self._untold.items()]
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
                if notes:
                    self._untold = {}
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
                if not ticket.error and ticket.priority in self.LOST_IF_REFUSED:
                    self._lose(ticket.priority, 1)
                ticket.error = code

    def _lose(self, rank: Priority, count: int) -> None:
        self._untold = {**self._untold, rank: self._untold.get(rank, 0) + count}

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
        if wait_ns := self._try_again(now_ns):
            return wait_ns
        if self.checked:
            problem, self.checked = self.checked, None
            self.replace(Damaged("malformed", problem), now_ns)
            return 0
        if now_ns >= self._round_ns:
            self._round_ns = now_ns + IDLE_NS
            self._look_round(now_ns)
        return 0 if self._slice(now_ns) else max(0, self._round_ns - now_ns)

    def _look_round(self, now_ns: int) -> None:
        """Once a second: is our file still under its name, is it near its budget, is one more piece of it sound?"""
        if not self._look_at_file(now_ns):
            return
        if now_ns >= self._prune_ns:
            self._prune_ns = now_ns + PRUNE_NS
            self.dirty = True
        self._attempt(lambda: self._keep_budget(now_ns), now_ns)
        if self.store is not None:
            self._attempt(self._scrub_slice, now_ns)

    def _slice(self, now_ns: int) -> bool:
        store = self.store
        if store is None:
            return False
        more = False

        def work() -> None:
            nonlocal more
            if self._salvages.slice(store, now_ns, self._wall_ns):
                more = True
            elif self.dirty:
                self.dirty = more = self._prune(store)
            if self._vacuum_pages > 0:
                store.vacuum(VACUUM_PAGES)
                self._vacuum_pages -= VACUUM_PAGES
                more = True

        return self._attempt(work, now_ns) and more

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

    def _prune(self, store: StoreT) -> bool:
        raise NotImplementedError

    def _shed(self, now_ns: int) -> bool:
        """One slice of making room in the file; False if there is nothing that may go."""
        raise NotImplementedError

    def urgent(self) -> bool:
        """Whether background work should stop now; the front sets it."""
        return False
