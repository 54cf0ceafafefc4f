"""The two owners: what vital.db and bulk.db do differently when room is short."""

import contextlib

from buffer import retention
from buffer.dbfile import PAGE_BYTES
from buffer.faults import StoreFault, describe
from buffer.held import S
from buffer.owner import RESERVE_MARGIN_BYTES, SHED_TRIES, VACUUM_PAGES, Owner
from buffer.records import Priority
from buffer.reserve import Reserve
from buffer.rows import BULK
from buffer.store import BulkStore, VitalStore


class VitalOwner(Owner[VitalStore]):
    """vital.db, and the reserve that goes with it."""

    LOST_IF_REFUSED = frozenset({Priority.FAULT, Priority.STATUS})
    history = retention.History(10_000, 365 * 86_400 * S)
    _reserve_ns = 0

    def _prune(self, store: VitalStore) -> bool:
        return retention.prune_vital(store, self.mandatory, self.history, self._wall_ns())

    def _shed(self, now_ns: int) -> bool:
        return self.store is not None and retention.shed_vital(self.store, self.mandatory)

    def _look_round(self, now_ns: int) -> None:
        super()._look_round(now_ns)
        if self.space.starved and now_ns >= self._reserve_ns:
            self._reserve_ns = now_ns + 2 * S
            self.take_reserve()

    def _must_spare(self) -> bool:
        return self.store is not None and self.free() < self.space.reserve.size // 2

    def take_reserve(self, *, first: bool = False) -> None:
        """Hold the reserve's blocks if the disk has them to spare."""
        reserve = self.space.reserve
        try:
            if not first and self.space.free_bytes() < reserve.size + RESERVE_MARGIN_BYTES:
                return
            reserve.take()
        except OSError as fault:
            if first:
                self.report(StoreFault("reserve_missing", "reserve.bin", describe(fault)))
            return
        if reserve.present and not first:
            self.report(StoreFault("reserve_restored", "reserve.bin"))


class BulkOwner(Owner[BulkStore]):
    """bulk.db: gives way to vital.db.

    On a full disk even deleting needs room, to bring the -wal into the file: `spare.bin` holds that much.
    """

    LOST_IF_REFUSED = frozenset(BULK)
    _spare: Reserve | None = None

    def _prune(self, store: BulkStore) -> bool:
        return retention.prune_bulk(store, self.mandatory)

    def _shed(self, now_ns: int) -> bool:
        return self.store is not None and retention.shed_bulk(self.store, self.mandatory)

    def take_spare(self) -> None:
        """Hold the room that giving way needs, if the disk has it to spare."""
        size = (BulkStore.WAL_PAGES + 200) * PAGE_BYTES if self.space.reserve.size else 0
        spare = self._spare = self._spare or Reserve(
            self.space.directory / "spare.bin", min(size, self.space.reserve.size), self.space.disk
        )
        with contextlib.suppress(OSError):
            if not spare.present and self.space.free_bytes() > 2 * spare.size + RESERVE_MARGIN_BYTES:
                spare.take()

    def _look_round(self, now_ns: int) -> None:
        super()._look_round(now_ns)
        if not self.space.starved:
            self.take_spare()
        elif self.store is not None:
            self._attempt(lambda: self._give_way(now_ns), now_ns)

    def _give_way(self, now_ns: int) -> None:
        """The disk is full: give room back to it until the reserve can be held again."""
        store, space = self.store, self.space
        if store is None or space.free_bytes() > 2 * space.reserve.size + RESERVE_MARGIN_BYTES:
            return
        if self._spare is not None:
            self._spare.give_up()
        # In small steps, the -wal recycled and never cut: its blocks are what there is to write to.
        store.checkpoint()
        for _ in range(SHED_TRIES):
            if not self._shed(now_ns):
                break
            store.vacuum(VACUUM_PAGES)
            store.checkpoint()
