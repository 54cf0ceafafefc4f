"""The centre's ear for packed frames (docs/packed.md): UDP in, briefs into the store, acknowledgements of what is committed out.

It keeps nothing of its own: each frame says everything, and what we have of a stream is read from the store.
"""

import logging
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from buffer.records import Priority
from edge_agent.uplink import packed
from edge_agent.uplink.packed import Brief, BriefAck, BriefEvent, Echo, Entry, Gap, Summary
from simulators.centre.check import GATEWAY, Batch, Object, Rejected
from simulators.centre.far_side import FarSide, database_away, logged
from simulators.centre.store import Database, Store, StoreFault, open_store, standing

log = logging.getLogger("edge.centre.packed")

TURN_S: Final = 0.2
PROVE_S: Final = 2.0  # how often a store that failed is asked whether it stores again
FRAMES_A_COMMIT: Final = 200
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


@dataclass(frozen=True, slots=True)
class _Taken:
    """A BRIEF whose records are in the store's open transaction."""

    sender: Sender
    tag: bytes
    key: bytes
    sequence: int
    gateway: str
    brief: Brief


class PackedEar:
    """Frames in, answers out: no socket, no thread. `take` any number, then send what `answers` gives; both raise StoreFault.

    `keys` are those of a tag, `wall_ms` is what time the centre says it is.
    """

    def __init__(
        self,
        keys: Callable[[bytes], Sequence[tuple[str, bytes]]],
        store: Store,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._keys, self._store, self._wall_ms = keys, store, wall_ms
        self.counters: Counter[str] = Counter()
        self._taken: list[_Taken] = []
        self._begun = False  # the store may hold its lock, also for a brief that it did not take after all
        self._answers: list[tuple[Sender, bytes]] = []

    def take(self, frame: bytes, sender: Sender) -> None:
        """One datagram, whatever it is."""
        self.counters["frames"] += 1
        try:
            gateway, key, sequence, body = self._open(frame)
            if isinstance(body, Brief):
                self._begun = True
                self._store.take_batch(batch_of(gateway, body))
                self._taken.append(_Taken(sender, frame[1:5], key, sequence, gateway, body))
            elif isinstance(body, Echo) and not body.reply:
                self._answers.append((sender, packed.seal(key, frame[1:5], sequence, Echo(True, self._wall_ms()))))
        except (ValueError, Rejected) as fault:
            self.counters["refused"] += 1
            log.debug("refused bytes=%d why=%s", len(frame), fault)

    @property
    def waiting(self) -> bool:
        """Whether there is anything to commit."""
        return self._begun

    def answers(self) -> list[tuple[Sender, bytes]]:
        """Commit, and what may be said then."""
        if self._begun:
            self._store.commit()
            self._begun = False
        answers, self._answers = self._answers, []
        for one in self._taken:
            ack = ack_of(self._store, one.gateway, one.brief, self._wall_ms())
            answers.append((one.sender, packed.seal(one.key, one.tag, one.sequence, ack)))
        self._taken.clear()
        return answers

    def forget(self) -> None:
        """The store has failed: nothing is acknowledged, and the gateways send it again."""
        self._taken.clear()
        self._begun = False
        self._store.rollback()

    def _open(self, frame: bytes) -> tuple[str, bytes, int, packed.Body]:
        why = ValueError("of no gateway we have a key for")
        for gateway, key in self._keys(packed.tag_in(frame)):
            try:
                return gateway, key, *packed.unseal(key, frame)
            except ValueError as fault:
                why = fault
        raise why


class PackedListener:
    """`start` it, `stop` it. Raise OSError for a port that cannot be had, StoreFault for a store that does not open.

    `database` hears what becomes of the store.
    """

    def __init__(self, host: str, port: int, keys: Path, db: Database, database: FarSide | None = None) -> None:
        self._db, self._database = db, database or logged("database")
        self._store = open_store(db)
        self._ear = PackedEar(Keys(keys).of, self._store)
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self.counters = self._ear.counters
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="packed")

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is in hand, and leave. Once more is nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()
        self._store.close()
        self._socket.close()

    def _run(self) -> None:
        prove_s = 0.0
        while not self._stopping.is_set():
            heard = select.select([self._socket], [], [], TURN_S)[0]
            try:
                if heard:
                    self._turn()
                if self._database.has_trouble("packed") and time.monotonic() >= prove_s:
                    self._store.prove()  # who was not answered may never come again: its records go in full, by another link
                    self._database.well("packed")
            except StoreFault as fault:
                self._database.bad("packed", database_away(fault, self._db))
                self._ear.forget()
                prove_s = time.monotonic() + PROVE_S

    def _turn(self) -> None:
        for _ in range(FRAMES_A_COMMIT):
            try:
                frame, sender = self._socket.recvfrom(DATAGRAM_BYTES)
            except OSError:
                break
            self._ear.take(frame, sender)
        stores = self._ear.waiting
        answers = self._ear.answers()
        if stores:
            self._database.well("packed")
        for sender, answer in answers:
            self._send(sender, answer)

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
