"""A small site for uplink tests: a journal in memory or on disk, a centre, and an uplink in this process."""

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from buffer.journal import Journal, JournalSettings, StoreFault
from buffer.records import Name, Priority, Record
from edge_agent.clock import SystemClock
from edge_agent.config.model import Config, Gateway
from edge_agent.config.uplinks import Uplink
from edge_agent.model import Event, Instant, Kind, encode_event
from edge_agent.tasks import end
from edge_agent.uplink.main import UplinkProcess, open_journal
from edge_agent.uplink.source import Reader
from simulators.centre import query
from simulators.centre.service import Centre, Settings
from tests.brokers import Broker
from tests.waiting import PATIENCE_S

GATEWAY = "gw-test-1"
CLOCK = SystemClock()


def event_body(n: int, kind: Kind = Kind.FIRE) -> bytes:
    """The journal body of a made-up event."""
    at = Instant(CLOCK.boot_id, n * 1000, 1_800_000_000_000_000_000 + n, CLOCK.now().clock)
    return encode_event(
        Event(
            id=f"{CLOCK.boot_id}-{n}",
            kind=kind,
            point=f"panel1/1-{n % 250:03d}",
            active=True,
            at=at,
            source="panel1",
            name="一层走道",
        )
    )


def telemetry_body(n: int, values: int = 20) -> bytes:
    """The journal body of a made-up reading."""
    at = {"boot": CLOCK.boot_id, "mono_ns": n, "wall_ns": n, "clock": "synced"}
    return json.dumps(
        {"at": at, "source": "meter1", "values": {f"v{i}": round(220 + i / 7, 2) for i in range(values)}}
    ).encode()


class MemoryJournal:
    """The journal as the uplink reads it, without a disk. Thread safe."""

    def __init__(self, epoch: str = "e1") -> None:
        self.epoch = epoch
        self._lock = threading.Lock()
        self._bodies: dict[tuple[str, Priority], dict[int, bytes]] = {}
        self._heads: dict[tuple[str, Priority], int] = {}
        self._epochs: list[str] = []
        self.reads = 0

    def append(self, priority: Priority, body: bytes) -> int:
        with self._lock:
            key = self.epoch, priority
            n = self._heads[key] = self._heads.get(key, 0) + 1
            self._bodies.setdefault(key, {})[n] = body
            if self.epoch not in self._epochs:
                self._epochs.append(self.epoch)
            return n

    def evict(self, priority: Priority, first: int, last: int) -> None:
        with self._lock:
            for n in range(first, last + 1):
                self._bodies[self.epoch, priority].pop(n, None)

    def read(self, priority: Priority, *, epoch: str, after_n: int, limit: int, max_bytes: int) -> list[Record]:
        with self._lock:
            self.reads += 1
            bodies = self._bodies.get((epoch, priority), {})
            found: list[Record] = []
            for n in range(after_n + 1, self._heads.get((epoch, priority), 0) + 1):
                if n not in bodies:
                    continue
                if found and (len(found) >= limit or max_bytes < len(bodies[n])):
                    break
                max_bytes -= len(bodies[n])
                found.append(Record(Name(epoch, priority, n), bodies[n]))
                if len(found) >= limit:
                    break
            return found

    def heads(self) -> Mapping[tuple[str, Priority], int]:
        with self._lock:
            return dict(self._heads)

    def epochs(self, priority: Priority | None = None) -> Sequence[str]:
        with self._lock:
            return list(self._epochs)

    def close(self) -> None:
        pass


def fill_journal(directory: Path, priority: Priority, bodies: Iterable[bytes]) -> None:
    """Put records into a journal on disk, durably, and close it."""
    directory.mkdir(parents=True, exist_ok=True)
    faults: list[StoreFault] = []
    journal = Journal.open(directory, JournalSettings(background_check=False), faults.append)
    try:
        for count, body in enumerate(bodies, 1):
            journal.append(priority, body)
            if count % 10_000 == 0:
                assert journal.flush(60)
        assert journal.flush(60)
    finally:
        journal.close()
    assert not faults, faults


def site_config(directory: Path, port: int, **uplink: object) -> Config:
    """One gateway with one uplink "county"."""
    (directory / "run").mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {"id": "county", "host": "127.0.0.1", "port": port, **uplink}
    return Config(
        gateway=Gateway(id=GATEWAY, data_dir=directory / "data", run_dir=directory / "run"),
        uplinks=(Uplink(**settings),),  # type: ignore[arg-type]
    )


@contextlib.asynccontextmanager
async def running_uplink(
    config: Config, reader: Reader | None = None, *, seed: int = 1
) -> AsyncIterator[UplinkProcess]:
    """The uplink in this loop, reading `reader` or else the journal on disk."""
    process = UplinkProcess(
        config,
        clock=CLOCK,
        rng=random.Random(seed),
        open_reader=open_journal if reader is None else lambda directory: reader,
    )
    task = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        await end(task)


def ring(uplink: UplinkProcess, journal: MemoryJournal, count: int = 1, kind: Kind = Kind.FIRE) -> None:
    """`count` more alarms, told as the core tells them."""
    head = journal.heads().get((journal.epoch, Priority.ALARM), 0)
    for n in range(head + 1, head + count + 1):
        body = event_body(n, kind)
        uplink._on_record(journal.epoch, Priority.ALARM, journal.append(Priority.ALARM, body), body)


@contextlib.contextmanager
def running_centre(directory: Path, broker: Broker, **settings: object) -> Iterator[Path]:
    """The reference centre in threads of this process; the path of its database."""
    directory.mkdir(parents=True, exist_ok=True)
    ready = threading.Event()
    chosen: dict[str, object] = {"host": broker.host, "port": broker.port, "db": directory / "centre.db", **settings}
    centre = Centre(Settings(**chosen), ready.set)  # type: ignore[arg-type]
    centre.start()
    try:
        assert ready.wait(PATIENCE_S), "the centre could not subscribe"
        yield directory / "centre.db"
    finally:
        centre.stop()


def stored(db: Path, stream: str = "alarm") -> list[int]:
    """The numbers the centre has of a stream, all epochs."""
    with query.opened(db) as database:
        rows = database.execute(
            "SELECT n FROM records JOIN streams USING (stream_id) WHERE stream = ? ORDER BY epoch, n", (stream,)
        ).fetchall()
    return [n for (n,) in rows]


def counted(db: Path) -> Mapping[str, object]:
    """The centre's counters."""
    with query.opened(db) as database:
        return query.stats(database)
