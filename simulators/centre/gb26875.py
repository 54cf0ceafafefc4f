"""A monitoring centre that speaks GB/T 26875.3-2011 over TCP: takes, commits, confirms; asks and commands; errs on request.

    centre = GbCentre(db=path)
    await centre.start()
    answer = await centre.send(81, DeviceQuery())          # the device that is connected answers
    centre.faults.add("no-confirm", times=2)
    await centre.until(lambda: len(centre.received) == 3)

Everything runs on one loop with its timers, so it works on a simulated clock too: hand `serve` a reader and a writer.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from drivers.codecs.gb26875 import (
    ANSWERS,
    STANDARD,
    Adu,
    Command,
    Dialect,
    Frame,
    FrameReader,
    Rejected,
    decode_adu,
    device_address,
    encode_adu,
    write_time,
)
from drivers.codecs.gb26875.addresses import ANYONE
from drivers.codecs.gb26875.objects import DeviceQuery, InformationObject
from edge_agent.tasks import end
from simulators.centre.check import VERSION
from simulators.centre.check import Rejected as Unstorable
from simulators.centre.far_side import FarSide, database_away, logged
from simulators.centre.gb_datagrams import DatagramServer, DatagramWriter
from simulators.centre.gb_faults import FaultMenu, FaultName
from simulators.centre.gb_records import EPOCH, gateway_name, records_of
from simulators.centre.store import Database, Store, StoreFault, open_store

log = logging.getLogger("edge.centre.gb26875")

WHO: Final = "gb26875"  # of those who meet the database

READ_BYTES: Final = 64 * 1024
RECEIVED_MAX: Final = 100_000  # uploads kept in memory; the database keeps all
RECENT_MAX: Final = 10_000  # uploads remembered against resends
LINKS_MAX: Final = 1000
PROVE_S: Final = 2.0  # how often a database that failed is asked whether it stores again
CHINA: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Received:
    """One upload that was taken, once however often it was sent."""

    source: bytes
    serial: int
    received_ns: int  # wall time
    frame: Frame
    unit: Adu


class Denied(Exception):
    """The device answered DENY to every transmission."""


class GbCentre:
    """`db` None keeps nothing but `received`. `address` is the centre's own. `resend_s` and `resends`: clause 6.5.4.

    `database` hears what becomes of the database.
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
    ) -> None:
        self.host, self.port, self.dialect, self.address, self.udp = host, port, dialect, address, udp
        self.resend_s, self.resends, self.wall_ns = resend_s, resends, wall_ns
        self.faults = FaultMenu() if faults is None else faults
        self.received: list[Received] = []
        self.counters: Counter[str] = Counter()  # uploads, duplicates, denied, rejected_<reason>, links, store_faults
        self._store: Store | None = None if db is None else open_store(db)
        self._db, self._database = db, database or logged("database")
        self._proving: asyncio.Task[None] | None = None
        self._links: list[_Link] = []
        self._recent: OrderedDict[tuple[bytes, int, bytes], int] = OrderedDict()  # upload -> when it came, monotonic ns
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._datagrams: DatagramServer | None = None

    async def start(self) -> None:
        """Listen; `port` is then the real one. Raise OSError."""
        if self.udp:
            loop = asyncio.get_running_loop()
            where = (self.host, self.port)
            transport, self._datagrams = await loop.create_datagram_endpoint(lambda: DatagramServer(self.serve), where)
            self.port = transport.get_extra_info("sockname")[1]
            return
        self._server = await asyncio.start_server(self.serve, self.host, self.port, limit=READ_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection and the database."""
        if self._server is not None:
            self._server.close()
        tasks = [link.task for link in self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._datagrams is not None:
            await self._datagrams.stop()
        if self._proving is not None:
            await end(self._proving)
        if self._store is not None:
            self._store.close()

    @property
    def devices(self) -> list[bytes]:
        """Addresses of the devices that are connected and have spoken."""
        return [link.source for link in self._links if link.source is not None]

    async def until(self, settled: Callable[[], bool], timeout_s: float | None = 30.0) -> None:
        """Wait until something that was received, connected or left makes `settled` true. Raise TimeoutError."""
        async with asyncio.timeout(timeout_s), self._news:
            await self._news.wait_for(settled)

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
        frame = self._frame(link, link.next_serial() if serial is None else serial, command, unit)
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
        link = _Link(self, reader, writer, task)
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
            async with self._news:
                self._news.notify_all()

    # --- for the links ------------------------------------------------------------------------------------------------------

    def now_tag(self) -> bytes:
        """The time tag of now."""
        return write_time(
            datetime.fromtimestamp(self.wall_ns() / 1e9, CHINA).replace(tzinfo=None), bcd=self.dialect.bcd
        )

    def greet(self, source: bytes) -> None:
        """A device has spoken for the first time on its link."""
        self._tell_state(source, online=True)

    def take(self, frames: list[Frame], now_ns: int) -> dict[int, FaultName | None] | None:
        """Take uploads in one commit: position -> fault for its confirm, DENY included. None: nothing could be stored."""
        outcome: dict[int, FaultName | None] = {}
        taken: list[Received] = []
        for position, frame in enumerate(frames):
            unit = decode_adu(frame.adu, self.dialect, uplink=True)
            fault = outcome[position] = self.faults.strike(unit.type)
            if fault in ("deny", "silent"):
                self.counters["denied"] += fault == "deny"
            elif self._is_new(frame, now_ns):
                taken.append(Received(frame.source, frame.serial, self.wall_ns(), frame, unit))
            else:
                self.counters["duplicates"] += 1
        if not self._keep(taken):
            for one in taken:  # it was not taken after all: the resend is no duplicate
                self._recent.pop((one.source, one.serial, one.frame.adu), None)
            return None
        self.counters["uploads"] += len(taken)
        self.received += taken
        del self.received[:-RECEIVED_MAX]
        return outcome

    async def tell(self) -> None:
        """Wake whoever waits in `until`."""
        async with self._news:
            self._news.notify_all()

    # --- inside -------------------------------------------------------------------------------------------------------------

    def _is_new(self, frame: Frame, now_ns: int) -> bool:
        """Whether an upload is no resend: same device, serial number and unit within the time resends take."""
        key = frame.source, frame.serial, frame.adu
        window_ns = round(self.resend_s * (2 + self.resends) * 1e9)
        came_ns = self._recent.pop(key, None)
        self._recent[key] = now_ns
        while len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        return came_ns is None or now_ns - came_ns > window_ns

    def _keep(self, taken: list[Received]) -> bool:
        """Commit what was taken. False if the database could not."""
        if self._store is None or not taken:
            return True
        try:
            for one in taken:
                self._store.count("messages")
                for record in records_of(one.frame, one.unit, self.dialect, one.received_ns):
                    gateway = gateway_name(one.source, self.dialect)
                    self._store.take_unnumbered(gateway, EPOCH, record.stream, [record.body])
            self._store.commit()
        except (StoreFault, Unstorable) as fault:
            self._give_up(fault)
            return False
        self._database.well(WHO)
        return True

    def _give_up(self, fault: Exception) -> None:
        """Nothing since the last commit was stored."""
        self.counters["store_faults"] += 1
        if isinstance(fault, StoreFault) and not fault.data and self._db is not None:
            self._database.bad(WHO, database_away(fault, self._db))
            if self._proving is None or self._proving.done():
                self._proving = asyncio.create_task(self._prove())
        else:  # of what was sent, not of the database
            log.error("store fault=%s", fault)
        if self._store is not None:
            with contextlib.suppress(StoreFault):  # a database that is gone has nothing to undo
                self._store.rollback()

    async def _prove(self) -> None:
        """Ask until it stores again: the device that had no confirm may be the last for hours."""
        while self._store is not None and self._database.has_trouble(WHO):
            await asyncio.sleep(PROVE_S)
            with contextlib.suppress(StoreFault):
                self._store.prove()
                self._database.well(WHO)

    def _tell_state(self, source: bytes, *, online: bool) -> None:
        if self._store is None:
            return
        gateway = gateway_name(source, self.dialect)
        state = {"v": VERSION, "gateway": gateway, "online": online, "agent": "GB/T 26875.3-2011"}
        try:
            self._store.take_state(gateway, state)
            self._store.commit()
        except StoreFault as fault:
            self._give_up(fault)
        else:
            self._database.well(WHO)

    def _link(self, device: bytes | None) -> "_Link":
        for link in reversed(self._links):
            if device is None or link.source == device:
                return link
        raise ConnectionError("no such device is connected")

    def _frame(self, link: "_Link", serial: int, command: int, unit: bytes) -> Frame:
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


class _Link:
    """One connection."""

    def __init__(
        self,
        centre: GbCentre,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter | DatagramWriter,
        task: "asyncio.Task[object]",
    ) -> None:
        self.centre, self.reader, self.writer, self.task = centre, reader, writer, task
        self.source: bytes | None = None  # the device, once it has spoken
        self._frames = FrameReader(extra_commands=centre.dialect.extra_commands)
        self._serial = -1
        self._asked: dict[int, asyncio.Future[Frame]] = {}

    def next_serial(self) -> int:
        """Of the centre's own questions; the two directions count by themselves, from 0."""
        self._serial = (self._serial + 1) & 0xFFFF
        return self._serial

    async def exchange(self, frame: Frame, timeout_s: float) -> Frame | None:
        """Send once and wait for the answer under its serial number, None if none came."""
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[frame.serial] = answer
        self.writer.write(frame.encode())
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._asked.pop(frame.serial, None)

    def end(self) -> None:
        """It is over: whoever waits for an answer hears so."""
        self.writer.transport.abort()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the device has left"))

    def reset(self) -> None:
        """End it with a TCP reset."""
        if (sock := self.writer.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def run(self) -> None:
        """Read to the end."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # reset, or ETIMEDOUT of a device that lost its power
            while data := await self.reader.read(READ_BYTES):
                await self._settle(self._frames.feed(data, round(loop.time() * 1e9)))

    async def _settle(self, items: list[Frame | Rejected]) -> None:
        uploads: list[Frame] = []
        for item in items:
            if isinstance(item, Rejected):
                self._reject(item)
                continue
            if item.source != self.source:
                self.source = item.source
                self.centre.greet(item.source)
            if item.command in (Command.CONFIRM, Command.RESPONSE, Command.DENY):
                self._hear(item)  # never answered: a deny to a deny would go round for ever
            elif item.command == Command.REQUEST:  # a device has nothing to ask a centre
                self._answer(item, Command.DENY)
            else:
                uploads.append(item)
        if uploads:
            await self._upload(uploads)
        await self.centre.tell()

    def _hear(self, answer: Frame) -> None:
        asked = self._asked.get(answer.serial)
        if asked is None or asked.done():
            self.centre.counters["unasked"] += 1
        else:
            asked.set_result(answer)

    def _reject(self, item: Rejected) -> None:
        self.centre.counters[f"rejected_{item.reason}"] += 1
        if item.frame is not None and item.frame.command not in (Command.CONFIRM, Command.DENY):
            self._answer(item.frame, Command.DENY)

    def _answer(self, frame: Frame, command: Command) -> None:
        self.writer.write(frame.answer(command, self.centre.now_tag()).encode())

    async def _upload(self, frames: list[Frame]) -> None:
        now_ns = round(asyncio.get_running_loop().time() * 1e9)
        outcome = self.centre.take(frames, now_ns)
        if outcome is None:
            return  # not stored, not confirmed: it will come again
        for position, frame in enumerate(frames):
            await self._confirm(frame, outcome[position])

    async def _confirm(self, frame: Frame, fault: FaultName | None) -> None:
        """Answer an upload, in the way the fault has it."""
        confirm = frame.answer(Command.CONFIRM, self.centre.now_tag())
        raw = confirm.encode()
        match fault:
            case None:
                self.writer.write(raw)
            case "no-confirm" | "silent":
                pass
            case "deny":
                self._answer(frame, Command.DENY)
            case "wrong-serial":
                self.writer.write(_numbered(confirm, frame.serial + 1))
            case "stale-confirm":
                self.writer.write(_numbered(confirm, frame.serial - 1) + raw)
            case "no-swap":
                self.writer.write(
                    frame.answer(Command.CONFIRM, confirm.sent).answer(Command.CONFIRM, confirm.sent).encode()
                )
            case "wrong-checksum":
                self.writer.write(raw[:-3] + bytes((raw[-3] ^ 0xFF,)) + raw[-2:])
            case "half":
                self.writer.write(raw[: len(raw) // 2])
            case "glued":
                question = encode_adu(88, [DeviceQuery()], self.centre.dialect)
                self.writer.write(
                    raw + self.centre._frame(self, self.next_serial(), Command.REQUEST, question).encode()
                )
            case "dripped":
                for value in raw:
                    self.writer.write(bytes((value,)))
                    await asyncio.sleep(self.centre.faults.drip_s)
            case "slow":
                await asyncio.sleep(self.centre.faults.slow_s)
                self.writer.write(raw)
            case "noise":
                self.writer.write(b"\x00noise##" + raw)
            case "reset":
                self.reset()
        await self.writer.drain()


def _numbered(frame: Frame, serial: int) -> bytes:
    raw = bytearray(frame.encode())
    raw[2:4] = (serial & 0xFFFF).to_bytes(2, "little")
    raw[-3] = sum(raw[2:-3]) & 0xFF
    return bytes(raw)
