"""A monitoring centre that speaks GB/T 26875.3-2011 over TCP: takes, commits, confirms; asks and commands; errs on request.

    centre = GbCentre(db=path)
    await centre.start()
    answer = await centre.send(81, DeviceQuery())          # the device that is connected answers
    centre.faults.add("no-confirm", times=2)
    await centre.until(lambda: len(centre.received) == 3)

The stations are served on one loop with its timers, so it works on a simulated clock too: hand `serve` a reader and a writer.
The database is met in a thread of its own (`gb_keeper.py`): while it is slow, frozen or gone, whatever needs no commit goes on,
and what waits for one is kept, up to a bound for all and a share for each device, and confirmed after it.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Final

from drivers.codecs.gb26875 import (
    ANSWERS,
    STANDARD,
    Adu,
    Command,
    Dialect,
    Frame,
    decode_adu,
    device_address,
    encode_adu,
    write_time,
)
from drivers.codecs.gb26875.addresses import ANYONE
from drivers.codecs.gb26875.objects import InformationObject
from simulators.centre.check import VERSION
from simulators.centre.far_side import FarSide, database_away, logged
from simulators.centre.gb_datagrams import DatagramServer, DatagramWriter
from simulators.centre.gb_faults import FaultMenu, FaultName
from simulators.centre.gb_keeper import LANE, STATES, Job, Keeper
from simulators.centre.gb_link import READ_BYTES, Link
from simulators.centre.gb_records import EPOCH, Record, gateway_name, records_of
from simulators.centre.store import Database, Store, StoreFault, open_store

log = logging.getLogger("edge.centre.gb26875")

WHO: Final = "gb26875"  # of those who meet the database

RECEIVED_MAX: Final = 100_000  # uploads kept in memory; the database keeps all
RECENT_MAX: Final = 10_000  # uploads remembered against resends
LINKS_MAX: Final = 1000
REST_S: Final = 2.0  # how long the last states and uploads have to be stored at the end
ASKERS_MAX: Final = 16  # transmissions of one upload that are each confirmed, the latest
CHINA: Final = timezone(timedelta(hours=8))


_Key = tuple[bytes, int, bytes]  # of an upload: source, serial number, unit


@dataclass(frozen=True, slots=True)
class Received:
    """One upload that was taken, once however often it was sent."""

    source: bytes
    serial: int
    received_ns: int  # wall time
    frame: Frame
    unit: Adu


@dataclass(eq=False, slots=True)
class _Upload:
    """One that waits for its commit, and each time it was sent."""

    received: Received
    askers: list[tuple[Link, Frame, FaultName | None]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _State:
    """What the database is to know of a device; `stored` is what was last taken into a transaction."""

    online: bool
    stored: bool | None = None


class Denied(Exception):
    """The device answered DENY to every transmission."""


class GbCentre:
    """`db` None keeps nothing but `received`. `address` is the centre's own. `resend_s` and `resends`: clause 6.5.4.

    `database` hears what becomes of the database, `on_bug` that nothing is stored any more. `keep` makes what owns it.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        db: Database | None = None,
        dialect: Dialect = STANDARD,
        address: bytes = device_address(88888),
        resend_s: float = 10.0,
        resends: int = 3,
        faults: FaultMenu | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        udp: bool = False,
        database: FarSide | None = None,
        on_bug: Callable[[], None] = lambda: None,
        keep: Callable[[Store, Callable[[StoreFault | None], None], Callable[[], None]], Keeper] = Keeper,
    ) -> None:
        self.host, self.port, self.dialect, self.address, self.udp = host, port, dialect, address, udp
        self.resend_s, self.resends, self.wall_ns = resend_s, resends, wall_ns
        self.faults = FaultMenu() if faults is None else faults
        self.received: list[Received] = []
        # uploads, duplicates, denied, rejected_<reason>, links; store_faults (tries), unstorable, overflow and crowded (not taken)
        self.counters: Counter[str] = Counter()
        self._db, self._database = db, database or logged("database")
        self._keeper = None if db is None else keep(open_store(db), self._hear_of_store, on_bug)
        self._links: list[Link] = []
        self._waiting: dict[_Key, _Upload] = {}
        self._recent: OrderedDict[_Key, int] = OrderedDict()  # stored upload -> when it came last, monotonic ns
        self._states: dict[bytes, _State] = {}  # that wait
        self._news = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._datagrams: DatagramServer | None = None

    async def start(self) -> None:
        """Listen; `port` is then the real one. Raise OSError."""
        if self.udp:
            loop = asyncio.get_running_loop()
            where = (self.host, self.port)
            transport, self._datagrams = await loop.create_datagram_endpoint(lambda: DatagramServer(self.serve), where)
            self.port = transport.get_extra_info("sockname")[1]
        else:
            self._server = await asyncio.start_server(self.serve, self.host, self.port, limit=READ_BYTES)
            self.port = self._server.sockets[0].getsockname()[1]
        if self._keeper is not None:
            self._keeper.start()

    async def stop(self) -> None:
        """Close every connection, store what waits unless the database is away, and close it."""
        if self._server is not None:
            self._server.close()
        tasks = [link.task for link in self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._datagrams is not None:
            await self._datagrams.stop()
        if self._keeper is not None:
            with contextlib.suppress(TimeoutError):
                await self.until(self._is_at_rest, REST_S)
            await asyncio.to_thread(self._keeper.stop)

    @property
    def devices(self) -> list[bytes]:
        """Addresses of the devices that are connected and have spoken."""
        return [link.source for link in self._links if link.source is not None]

    async def until(self, settled: Callable[[], bool], timeout_s: float | None = 30.0) -> None:
        """Wait until something that was received, connected or left makes `settled` true. Raise TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not settled():
                await self._news.wait()

    async def send(
        self,
        kind: int,
        *objects: InformationObject,
        device: bytes | None = None,
        serial: int | None = None,
        command: int | None = None,
    ) -> Adu:
        """Ask (61-88) or command (89-91) a device, by default the one that came last; return the unit it answers with.

        Resends under the same serial number; `serial` repeats an earlier one. Raise ConnectionError without such a device or when
        it leaves, Denied, TimeoutError.
        """
        link = self._link(device)
        unit = encode_adu(kind, objects, self.dialect)
        if command is None:
            command = Command.REQUEST if kind in ANSWERS else Command.CONTROL
        frame = self.frame_to(link, link.next_serial() if serial is None else serial, command, unit)
        wanted = (Command.RESPONSE, bytes((ANSWERS[kind],))) if kind in ANSWERS else (Command.CONFIRM, b"")
        denied = False
        for _ in range(1 + self.resends):
            answer = await link.exchange(frame, self.resend_s)
            if answer is not None and answer.command == wanted[0] and answer.adu.startswith(wanted[1]):
                return decode_adu(answer.adu, self.dialect, uplink=True)
            denied = denied or (answer is not None and answer.command == Command.DENY)
        raise Denied(kind) if denied else TimeoutError(f"type {kind} was not answered")

    def write(self, raw: bytes, device: bytes | None = None) -> None:
        """Send a device any bytes. Raise ConnectionError without such a device."""
        self._link(device).writer.write(raw)

    def reset(self, device: bytes | None = None) -> None:
        """Reset a device's connection. Raise ConnectionError without such a device."""
        self._link(device).reset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | DatagramWriter) -> None:
        """Serve one connection, or one far end of datagrams, to its end."""
        if len(self._links) >= LINKS_MAX:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        link = Link(self, reader, writer, task)
        self._links.append(link)
        self.counters["links"] += 1
        try:
            await link.run()
        except asyncio.CancelledError:  # by stop(); asyncio 3.11 logs a traceback for a handler that ends cancelled
            log.debug("link cut")
        finally:
            self._links.remove(link)
            link.end()
            if link.source is not None and link.source not in self.devices:
                self._tell_state(link.source, online=False)
            self.tell()

    # --- for the links ------------------------------------------------------------------------------------------------------

    def now_tag(self) -> bytes:
        """The time tag of now."""
        return write_time(
            datetime.fromtimestamp(self.wall_ns() / 1e9, CHINA).replace(tzinfo=None), bcd=self.dialect.bcd
        )

    def greet(self, source: bytes) -> None:
        """A device has spoken for the first time on its link."""
        self._tell_state(source, online=True)

    def take(self, link: Link, frame: Frame) -> None:
        """Take an upload: it is confirmed once it is stored, or denied, or neither."""
        unit = decode_adu(frame.adu, self.dialect, uplink=True)
        fault = self.faults.strike(unit.type)
        if fault == "deny":
            self.counters["denied"] += 1
            link.deny(frame)
        if fault in ("deny", "silent"):
            return
        key = frame.source, frame.serial, frame.adu
        if self._was_stored(key):
            self.counters["duplicates"] += 1
            link.owe()
            link.confirm(frame, fault)
        elif (upload := self._waiting.get(key)) is not None:
            self.counters["duplicates"] += 1
            self._ask(upload, link, frame, fault)
        elif self._has_room(gateway := gateway_name(frame.source, self.dialect), LANE):
            received = Received(frame.source, frame.serial, self.wall_ns(), frame, unit)
            records = tuple(records_of(frame, unit, self.dialect, received.received_ns))
            upload = self._waiting[key] = _Upload(received)
            self._ask(upload, link, frame, fault)
            self._keep(
                Job(gateway, lambda store: _store(store, gateway, records), lambda kept: self._done(key, upload, kept))
            )
        else:
            self.counters["overflow"] += 1

    def tell(self) -> None:
        """Wake whoever waits in `until`."""
        self._news.set()
        self._news = asyncio.Event()

    def frame_to(self, link: Link, serial: int, command: int, unit: bytes) -> Frame:
        """A packet of the centre's own to the device of a link."""
        return Frame(
            serial=serial,
            version=self.dialect.version,
            user_version=self.dialect.user_version,
            sent=self.now_tag(),
            source=self.address,
            target=link.source or ANYONE,
            command=command,
            adu=unit,
        )

    # --- inside -------------------------------------------------------------------------------------------------------------

    def _was_stored(self, key: _Key) -> bool:
        """Whether an upload is a resend of one that is stored: same device, serial number and unit within the time resends take."""
        stored_ns = self._recent.get(key)
        if stored_ns is None:
            return False
        now_ns = _now_ns()
        resent = now_ns - stored_ns <= round(self.resend_s * (2 + self.resends) * 1e9)
        if resent:
            self._remember(key, now_ns)
        return resent

    def _remember(self, key: _Key, now_ns: int) -> None:
        self._recent.pop(key, None)
        self._recent[key] = now_ns
        while len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def _ask(self, upload: _Upload, link: Link, frame: Frame, fault: FaultName | None) -> None:
        """This transmission shall be confirmed when the upload is stored. Until then the same again is a resend, however late."""
        link.owe()
        upload.askers.append((link, frame, fault))
        for gone, *_ in upload.askers[:-ASKERS_MAX]:
            gone.settle()
        del upload.askers[:-ASKERS_MAX]

    def _has_room(self, gateway: str, lane: str) -> bool:
        return self._keeper is None or self._keeper.reserve(gateway, lane)

    def _keep(self, job: Job) -> None:
        """There is room for it."""
        if self._keeper is None:
            job.done(True)
        else:
            self._keeper.add(job)

    def _done(self, key: _Key, upload: _Upload, kept: bool) -> None:
        """It is committed, or never will be."""
        del self._waiting[key]
        if kept:
            self._remember(key, _now_ns())
            self.counters["uploads"] += 1
            self.received.append(upload.received)
            del self.received[:-RECEIVED_MAX]
        else:
            self.counters["unstorable"] += 1
        for link, frame, fault in upload.askers:
            if kept:
                link.confirm(frame, fault)
            else:
                link.settle()
        self.tell()

    def _hear_of_store(self, fault: StoreFault | None) -> None:
        """In the threads of the keeper."""
        if fault is None:
            self._database.well(WHO)
        elif self._db is not None:
            self._database.bad(WHO, database_away(fault, self._db))
            if self._keeper is not None:
                self._keeper.on_loop(self._count_fault)

    def _count_fault(self) -> None:
        self.counters["store_faults"] += 1
        self.tell()

    def _tell_state(self, source: bytes, *, online: bool) -> None:
        """Store what a device is. While it waits, only the latest counts: one that comes and goes all day waits once."""
        if self._keeper is None:
            return
        waiting = self._states.get(source)
        if waiting is not None:
            waiting.online = online
        else:
            self._keep_state(source, _State(online))

    def _keep_state(self, source: bytes, state: _State) -> None:
        gateway = gateway_name(source, self.dialect)
        if not self._has_room(gateway, STATES):
            self.counters["overflow"] += 1
            return
        self._states[source] = state
        take, done = partial(self._store_state, gateway=gateway, state=state), partial(self._state_done, source, state)
        self._keep(Job(gateway, take, done, lane=STATES))

    @staticmethod
    def _store_state(store: Store, gateway: str, state: _State) -> None:
        """In the thread of the store."""
        state.stored = state.online
        told = {"v": VERSION, "gateway": gateway, "online": state.stored, "agent": "GB/T 26875.3-2011"}
        store.take_state(gateway, told)

    def _state_done(self, source: bytes, state: _State, _kept: bool) -> None:
        del self._states[source]
        if state.online != state.stored:  # it has changed since the store took it
            self._keep_state(source, _State(state.online))
        self.tell()

    def _is_at_rest(self) -> bool:
        return not (self._waiting or self._states) or self._database.has_trouble(WHO)

    def _link(self, device: bytes | None) -> Link:
        for link in reversed(self._links):
            if device is None or link.source == device:
                return link
        raise ConnectionError("no such device is connected")


def _store(store: Store, gateway: str, records: Iterable[Record]) -> None:
    """In the thread of the store."""
    store.count("messages")
    for record in records:
        store.take_unnumbered(gateway, EPOCH, record.stream, [record.body])


def _now_ns() -> int:
    return round(asyncio.get_running_loop().time() * 1e9)
