"""The centre's ear for packed frames (docs/packed.md): UDP in, briefs into the store, acknowledgements of what is committed out.

What we have of a stream is read from the store, for each frame says everything. The database is met in a thread of its own: while
it is slow, frozen or gone, an ECHO is answered all the same, and briefs are kept in hand, up to WAITING_MAX and SHARE_MAX of one
gateway, and acknowledged after their commit.
"""

import logging
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from buffer.records import Priority
from edge_agent.uplink import packed
from edge_agent.uplink.packed import Brief, BriefAck, BriefEvent, Echo, Entry, Gap, Summary
from simulators.centre.check import GATEWAY, Batch, Object, Rejected
from simulators.centre.fair import Room
from simulators.centre.far_side import FarSide, database_away, logged
from simulators.centre.store import Answer, Database, Store, StoreFault, open_store, standing
from simulators.centre.store_thread import StoreThread

log = logging.getLogger("edge.centre.packed")

WHO: Final = "packed"  # of those who meet the database
TURN_S: Final = 0.2
WAITING_MAX: Final = 4000  # briefs that wait for the database; what comes on top is not taken, and comes again
# Of one gateway and stream. A storm begins with eight frames at once; each session that ends unanswered leaves a few more.
SHARE_MAX: Final = 32
KEYS_EVERY_S: Final = 5.0  # how often the directory of keys is looked at for a gateway nobody knows
DATAGRAM_BYTES: Final = 2048

Sender = Any  # where to answer: an address of a socket, or whatever the simulation answers by


class Keys:
    """One file for each gateway, GATEWAY.key, 64 hex digits. New files count within KEYS_EVERY_S."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[bytes, list[tuple[str, bytes]]] = {}
        self._read_s = -KEYS_EVERY_S

    def of(self, tag: bytes) -> list[tuple[str, bytes]]:
        """Gateways with this tag, and their keys. Two gateways may share a tag: the key tells."""
        if tag not in self._known and time.monotonic() - self._read_s >= KEYS_EVERY_S:
            self._read()
        return self._known.get(tag, [])

    def _read(self) -> None:
        self._read_s, self._known = time.monotonic(), {}
        for file in sorted(self._directory.glob("*.key")):
            try:
                key = packed.read_key(file.read_text("ascii"))
            except (OSError, ValueError) as fault:
                log.error(
                    "key file=%s %s", ascii(file.name), fault if isinstance(fault, ValueError) else fault.strerror
                )
                continue
            if GATEWAY.fullmatch(file.stem):
                self._known.setdefault(packed.tag_of(file.stem), []).append((file.stem, key))


@dataclass(eq=False, slots=True)
class Brought:
    """A BRIEF of a gateway we know: `frame` as it came, `sender` where it last came from. `kept`: the store has taken it."""

    frame: bytes
    sender: Sender
    key: bytes
    sequence: int
    gateway: str
    brief: Brief
    kept: bool = False

    @property
    def lane(self) -> str:
        """Its stream: alarms go first."""
        return self.brief.priority.stream


class PackedEar:
    """Frames in, answers out: no socket, no thread. `hear` each, `take` the briefs into a store, commit, then send their `acks`.

    `keys` are those of a tag, `wall_ms` is what time the centre says it is.
    """

    def __init__(
        self,
        keys: Callable[[bytes], Sequence[tuple[str, bytes]]],
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._keys, self._wall_ms = keys, wall_ms
        self.counters: Counter[str] = Counter()  # frames, refused

    def hear(self, frame: bytes, sender: Sender) -> Brought | bytes | None:
        """One datagram, whatever it is: a brief to keep, or an answer that waits for no store."""
        self.counters["frames"] += 1
        try:
            gateway, key, sequence, body = self._open(frame)
        except ValueError as fault:
            self.counters["refused"] += 1
            log.debug("refused bytes=%d why=%s", len(frame), fault)
            return None
        if isinstance(body, Brief):
            return Brought(frame, sender, key, sequence, gateway, body)
        if isinstance(body, Echo) and not body.reply:
            return packed.seal(key, frame[1:5], sequence, Echo(True, self._wall_ms()))
        return None

    def take(self, store: Store, brought: Brought) -> None:
        """Into the store's transaction, unless it can never be taken. Raise StoreFault."""
        try:
            store.take_batch(batch_of(brought.gateway, brought.brief))
            brought.kept = True
        except Rejected as fault:
            brought.kept = False
            log.error("unstorable gateway=%s why=%s", brought.gateway, ascii(str(fault))[:500])

    def acks(self, store: Store, kept: Sequence[Brought]) -> list[bytes]:
        """What may be said of those that are kept, after their commit. Raise StoreFault.

        The store is asked for a stream once: a gateway with thousands of briefs that sends many at a time would hold up all others.
        """
        standings: dict[tuple[str, str, Priority], BriefAck] = {}
        found: list[bytes] = []
        for one in kept:
            key = one.gateway, one.brief.epoch, one.brief.priority
            if key not in standings:
                standings[key] = ack_of(store, one.gateway, one.brief, self._wall_ms())
            found.append(packed.seal(one.key, one.frame[1:5], one.sequence, standings[key]))
        return found

    def _open(self, frame: bytes) -> tuple[str, bytes, int, packed.Body]:
        why = ValueError("of no gateway we have a key for")
        for gateway, key in self._keys(packed.tag_in(frame)):
            try:
                return gateway, key, *packed.unseal(key, frame)
            except ValueError as fault:
                why = fault
        raise why


class PackedKeeper(StoreThread[Brought]):
    """The store of the ear, in a thread of its own. `send` sends an acknowledgement, `heard` hears what becomes of the database."""

    def __init__(
        self,
        store: Store,
        ear: PackedEar,
        send: Callable[[Sender, bytes], None],
        heard: Callable[[StoreFault | None], None],
        on_bug: Callable[[], None],
    ) -> None:
        super().__init__(store, ("alarm", "fault"), Room("alarm", most=WAITING_MAX, share=SHARE_MAX))
        self._ear, self._send, self._heard, self._on_bug = ear, send, heard, on_bug
        self._in_hand: dict[bytes, Brought] = {}
        self.counters: Counter[str] = Counter()  # resent (while it waits), overflow (not taken), unstorable

    def bring(self, brought: Brought) -> None:
        """Keep this, once however often it comes while it waits. Any thread."""
        with self._arrived:
            waiting = self._in_hand.get(brought.frame)
            if waiting is not None:
                self.counters["resent"] += 1
                waiting.sender = brought.sender  # the network may have given it another address
            elif self.reserve(brought.gateway, brought.lane):
                self._in_hand[brought.frame] = brought
                self.add(brought)
            else:
                self.counters["overflow"] += 1

    def take(self, item: Brought) -> None:
        """See StoreThread."""
        self._ear.take(self._store, item)

    def committed(self, items: Sequence[Brought], answers: Mapping[str, Answer]) -> None:
        """See StoreThread. All acknowledgements are made before one is sent: where one cannot be, all are tried again."""
        kept = [item for item in items if item.kept]
        acks = self._ear.acks(self._store, kept)
        self._done_with(items)
        for item, ack in zip(kept, acks, strict=True):
            self._send(item.sender, ack)

    def give_up(self, item: Brought, why: str) -> None:
        """See StoreThread. It is not answered: who never hears sends it in full, by another link."""
        item.kept = False
        log.error("unstorable gateway=%s why=%s", item.gateway, ascii(why)[:500])
        self._done_with([item])

    def stands(self, fault: StoreFault | None) -> None:
        """See StoreThread."""
        self._heard(fault)

    def bug(self) -> None:
        """See StoreThread."""
        self._on_bug()

    def _done_with(self, items: Sequence[Brought]) -> None:
        with self._arrived:
            self.let_go(items)
            for item in items:
                del self._in_hand[item.frame]
                self.counters["unstorable"] += not item.kept


class PackedListener:
    """`start` it, `stop` it. Raise OSError for a port that cannot be had, StoreFault for a store that does not open.

    `database` hears what becomes of the store, `on_bug` that a bug of ours has ended a thread.
    """

    def __init__(
        self,
        host: str,
        port: int,
        keys: Path,
        db: Database,
        *,
        database: FarSide | None = None,
        on_bug: Callable[[], None] = lambda: None,
    ) -> None:
        self._db, self._database, self._on_bug = db, database or logged("database"), on_bug
        store = open_store(db)
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._ear = PackedEar(Keys(keys).of)
        self.counters = self._ear.counters
        self.keeper = PackedKeeper(store, self._ear, self._send, self._hear_of_store, on_bug)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="packed")

    def start(self) -> None:
        """Listen."""
        self.keeper.start()
        self._thread.start()

    def stop(self) -> None:
        """Acknowledge what is in hand unless the store is failing, and leave. Once more is nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()
        self.keeper.stop()
        self._socket.close()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if select.select([self._socket], [], [], TURN_S)[0]:
                    self._turn()
        except Exception:  # a bug of ours: a centre that is deaf to alarms is worse than none
            log.exception("ear")
            self._on_bug()

    def _turn(self) -> None:
        try:
            frame, sender = self._socket.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        heard = self._ear.hear(frame, sender)
        if isinstance(heard, Brought):
            self.keeper.bring(heard)
        elif heard is not None:
            self._send(sender, heard)

    def _hear_of_store(self, fault: StoreFault | None) -> None:
        """In the threads of the keeper."""
        if fault is None:
            self._database.well(WHO)
        else:
            self._database.bad(WHO, database_away(fault, self._db))

    def _send(self, to: Sender, frame: bytes) -> None:
        try:
            self._socket.sendto(frame, to)
        except OSError as fault:  # a full buffer is a lost datagram like any other
            log.warning("not sent errno=%s", fault.errno)


def batch_of(gateway: str, brief: Brief) -> Batch:
    """What a store takes of a BRIEF."""
    records = [(_first(entry), record) for entry in brief.entries if (record := _record(entry)) is not None]
    gaps = [(entry.first, entry.last, entry.why) for entry in brief.entries if isinstance(entry, Gap)]
    return Batch(gateway, brief.epoch, brief.priority.stream, records, gaps, [], brief=True)


def ack_of(store: Store, gateway: str, brief: Brief, wall_ms: int) -> BriefAck:
    """What is committed of the stream a BRIEF speaks of, in brief or in full."""
    known = store.known(gateway, brief.epoch, brief.priority.stream)
    all_of_it = standing(known)
    through, high, missing = all_of_it["through"], all_of_it["high"], all_of_it["missing"]
    assert isinstance(through, int)
    assert isinstance(high, int)
    assert isinstance(missing, list)
    if len(missing) > packed.MISSING_MAX:
        high = missing[packed.MISSING_MAX][0] - 1
    shown = tuple((first, last) for first, last in missing[: packed.MISSING_MAX])
    return BriefAck(
        epoch=brief.epoch,
        priority=Priority(brief.priority),
        through=through,
        high=high,
        missing=shown,
        wall_ms=wall_ms,
    )


def _first(entry: Entry) -> int:
    return entry.n if isinstance(entry, BriefEvent) else entry.first


def _record(entry: Entry) -> Object | None:
    if isinstance(entry, Gap):
        return None
    if isinstance(entry, BriefEvent):
        record: Object = {"id": entry.event_id} if entry.event_id else {}
        record |= {"kind": entry.kind, "point": entry.point, "active": entry.active}
        if entry.grade:
            record["grade"] = entry.grade
        boot = entry.event_id.partition("-")[0]
        return record | {"at": {"boot": boot, "mono_ns": 0, "wall_ns": entry.wall_s * 10**9, "clock": entry.clock}}
    span: Object = {"first": entry.first, "last": entry.last}
    if not isinstance(entry, Summary):
        return {"kind": "journal", "point": "", "covers": span}
    groups = [{"kind": g.kind, "active": g.active, "source": g.source, "count": g.count} for g in entry.groups]
    most = max(entry.groups, key=lambda group: group.count, default=packed.Group("other", True, "", 0))
    return {
        "kind": most.kind,
        "point": f"{most.source}/*",
        "active": most.active,
        "at": {"boot": "", "mono_ns": 0, "wall_ns": entry.wall_s * 10**9, "clock": entry.clock},
        "covers": span,
        "groups": groups,
    }
