# ruff: noqa: S608 - table names are constants of this package
"""What leaves a file, when, and in which order. Every function does one short slice of work and says whether it did any.

A record leaves once every mandatory destination has it and local history does not want it. Under pressure: MEDIA, then
TELEMETRY oldest first, thinned to 1/2, 1/4, 1/8 before it is dropped; in vital.db what is confirmed, then unconfirmed STATUS,
then FAULT. An unconfirmed ALARM never. Whatever leaves unconfirmed leaves a gap record in its stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from buffer import rows
from buffer.faults import Damaged
from buffer.records import Priority
from buffer.store import BulkStore, VitalStore, gap_body, is_gap, merged_gaps

SLICE_ROWS = 100  # 1-2 ms here, 20 ms on a Zero: what an alarm may wait behind
SLICE_BLOCKS = 8
# Confirmed blocks leave by the hour, and the pages that keep the account of it are written once a commit. Only readings wait for
# that: bulk.db has a thread of its own. 360 is an hour of one each ten seconds; their leaving takes 65 pages of -wal at most,
# whatever their size (spare.bin holds 400), and 20 ms here.
PRUNE_BLOCKS = 360
LEVELS = 3  # telemetry is thinned to one in 8, then dropped
CLOCK_UNSET_NS = 1_577_836_800 * 10**9  # 2020-01-01: an older stamp is from a clock that was not set, and tells no age


@dataclass(frozen=True, slots=True)
class History:
    """What the site itself wants to look back on."""

    events: int
    alarm_ns: int


def _delete(store: VitalStore | BulkStore, stream: Priority, ids: Sequence[int]) -> bool:
    if ids:
        store.write((), delete=(stream, ids))
    return bool(ids)


def _oldest(
    store: VitalStore | BulkStore, stream: Priority, epoch: str, through: int, limit: int
) -> list[tuple[int, int]]:
    """Row id and time of an epoch's oldest rows that end by n = `through`; never the open epoch's newest."""
    low, _ = store.bounds(epoch)
    if epoch == store.epoch:
        through = min(through, store.heads[stream] - 1)  # the newest row says which names are taken
    last = "id + span - 1" if stream is Priority.TELEMETRY else "id"
    return store.db.execute(
        f"SELECT id, at_ns FROM {stream.stream} WHERE id BETWEEN ? AND ? AND {last} <= ? ORDER BY id LIMIT ?",
        (low + 1, low + through, low + through, limit),
    ).fetchall()


def prune_vital(store: VitalStore, mandatory: Sequence[str], history: History, now_wall_ns: int) -> bool:
    """Let go of what is confirmed and older than history wants."""
    for stream in store.STREAMS:
        newer = 0  # records of newer epochs than the one looked at
        for epoch in reversed(store.epochs):
            head = store.heads[stream] if epoch == store.epoch else store.head(epoch, stream)
            confirmed = store.confirmed(mandatory, epoch, stream)
            spare = head - max(0, history.events - newer)
            newer += head
            through = min(spare, head if confirmed is None else confirmed)
            if through <= 0:
                continue
            oldest = _oldest(store, stream, epoch, through, SLICE_ROWS)
            if stream is Priority.ALARM:
                oldest = [row for row in oldest if CLOCK_UNSET_NS < row[1] < now_wall_ns - history.alarm_ns]
            if _delete(store, stream, [row[0] for row in oldest]):
                return True
    return _drop_empty_epoch(store)


def prune_bulk(store: BulkStore, mandatory: Sequence[str]) -> bool:
    """Let go of what is confirmed. With no mandatory destination only the budget decides."""
    for stream in store.STREAMS:
        for epoch in store.epochs:
            confirmed = store.confirmed(mandatory, epoch, stream)
            limit = PRUNE_BLOCKS if stream is Priority.TELEMETRY else SLICE_BLOCKS
            if confirmed and _delete(
                store, stream, [row[0] for row in _oldest(store, stream, epoch, confirmed, limit)]
            ):
                return True
    return _drop_empty_epoch(store)


def _drop_empty_epoch(store: VitalStore | BulkStore) -> bool:
    for epoch in store.epochs:
        if epoch != store.epoch and not any(store.head(epoch, stream) for stream in store.STREAMS):
            store.drop_epoch(epoch)
            return True
    return False


def shed_vital(store: VitalStore, mandatory: Sequence[str]) -> bool:
    """Make room in vital.db: confirmed records though history wants them, then unconfirmed STATUS, then FAULT."""
    for stream in reversed(store.STREAMS):
        for epoch in store.epochs:
            confirmed = store.confirmed(mandatory, epoch, stream)
            if confirmed is None:  # nobody waits for anything: the oldest may go
                confirmed = rows.N_MASK - 1
            if _delete(store, stream, [row[0] for row in _oldest(store, stream, epoch, confirmed, SLICE_ROWS)]):
                return True
    return _evict(store, Priority.STATUS, mandatory) or _evict(store, Priority.FAULT, mandatory)


def shed_bulk(store: BulkStore, mandatory: Sequence[str]) -> bool:
    """Make room in bulk.db: confirmed, then MEDIA, then TELEMETRY thinned oldest first, then dropped oldest first."""
    return (
        prune_bulk(store, mandatory)
        or _evict(store, Priority.MEDIA, mandatory)
        or _thin(store, mandatory)
        or _evict(store, Priority.TELEMETRY, mandatory)
    )


def _evict(store: VitalStore | BulkStore, stream: Priority, mandatory: Sequence[str]) -> bool:
    """Drop the oldest unconfirmed rows of a stream and say so in it."""
    for epoch in store.epochs:
        oldest = _oldest(store, stream, epoch, rows.N_MASK - 1, SLICE_BLOCKS if stream in rows.BULK else SLICE_ROWS)
        if len(oldest) < 2:  # one would only make room for its own gap record
            continue
        ids = [row[0] for row in oldest]
        last, count, bodies = ids[-1], 0, list[bytes]()
        for number in ids:
            if stream is Priority.TELEMETRY:
                last, row_bodies = _unpacked(store, number)
            else:
                last = number
                (body,) = store.db.execute(f"SELECT body FROM {stream.stream} WHERE id = ?", (number,)).fetchone()
                row_bodies = [body]
            count += len(row_bodies)
            bodies += [body for body in row_bodies if is_gap(body)]
        # from the last confirmed on: so it says again what gap records among the dropped have said of this epoch
        first = (store.confirmed(mandatory, epoch, stream) or 0) + 1
        gap = gap_body("budget", epoch=epoch, first=first, last=last & rows.N_MASK, count=count)
        notes = [gap, *merged_gaps(bodies, epoch)]
        store.write((), notes=[(stream, note) for note in notes], delete=(stream, ids))
        return True
    return False


def _unpacked(store: VitalStore | BulkStore, number: int) -> tuple[int, list[bytes]]:
    """Last row id a block covers, and its bodies (none if it is damaged: it is leaving anyway)."""
    span, count, level, coding, packed = store.db.execute(
        "SELECT span, count, level, coding, body FROM telemetry WHERE id = ?", (number,)
    ).fetchone()
    try:
        return number + span - 1, rows.unpack(count, level, coding, packed)[1]
    except Damaged:
        return number + span - 1, []


def _thin(store: BulkStore, mandatory: Sequence[str]) -> bool:
    """Thin the oldest blocks that are due: all but the newest quarter to 1/2, the older half to 1/4, the oldest quarter to 1/8."""
    (first,) = store.db.execute("SELECT min(id) FROM telemetry").fetchone()
    last = store.base + store.heads[Priority.TELEMETRY]
    if first is None:
        return False
    start = max(first, store.base)  # epochs before this one count as oldest
    for level in range(1, LEVELS + 1):
        edge = start + (last - start) * (LEVELS + 1 - level) // (LEVELS + 1)
        todo = store.db.execute(
            "SELECT id, epoch, at_ns, span, count, level, coding, body FROM telemetry WHERE id > ? AND id + span <= ? AND id < ?"
            " AND level < ? ORDER BY id LIMIT ?",
            (store.thinned.get(level, 0), edge, edge, level, SLICE_BLOCKS),
        ).fetchall()
        epoch = todo[0][1] if todo else ""
        todo = [row for row in todo if row[1] == epoch]
        if len(todo) > 1:
            store.thin(todo, level, (store.confirmed(mandatory, epoch, Priority.TELEMETRY) or 0) + 1)
            return True
    return False


def scrub(store: VitalStore | BulkStore, stream: Priority, after: int, limit: int) -> tuple[int, int | None]:
    """Check the checksums of `limit` rows after row id `after`. Return (id of the last one, 0 at the end; a bad one or None)."""
    bad = None
    after_next = 0
    names = {ordinal: name for name, ordinal in store.epochs.items()}
    if stream is Priority.TELEMETRY:
        found = store.db.execute(
            "SELECT * FROM telemetry WHERE id > ? ORDER BY id LIMIT ?", (after, max(1, limit // 50))
        ).fetchall()
        for number, epoch, at_ns, crc, span, count, level, coding, body in found:
            n = number & rows.N_MASK
            good = rows.is_good_block(rows.seed(str(epoch), stream), n, crc, (at_ns, span, count, level, coding), body)
            if not good or names.get(number >> rows.N_BITS) != epoch:
                bad = number
    else:
        found = store.db.execute(
            f"SELECT * FROM {stream.stream} WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        ).fetchall()
        for number, epoch, at_ns, crc, body in found:
            good = rows.is_good(rows.seed(str(epoch), stream), number & rows.N_MASK, at_ns, crc, body)
            if not good or names.get(number >> rows.N_BITS) != epoch:
                bad = number
    if found:
        after_next = found[-1][0]
        if after_next <= after:
            bad = after_next  # a ring of pages
    return after_next, bad
