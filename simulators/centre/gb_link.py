"""One connection of the GB/T 26875.3 side, or one far end of datagrams: packets in, confirms, denials and questions out.

What comes is read whatever the database does. A confirm waits for its commit, in its order, and nothing else waits for it; only a
device that has OWED_MAX uploads unconfirmed and sends more is not read until one of them is settled.
"""

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

from drivers.codecs.gb26875 import Command, Frame, FrameReader, Rejected, encode_adu
from drivers.codecs.gb26875.objects import DeviceQuery
from edge_agent.tasks import end
from simulators.centre.gb_datagrams import DatagramWriter
from simulators.centre.gb_faults import FaultName

if TYPE_CHECKING:
    from simulators.centre.gb26875 import GbCentre

READ_BYTES: Final = 64 * 1024
OWED_MAX: Final = 64  # uploads of a connection that are neither confirmed nor dropped


class Link:
    """`run` it in `task`."""

    def __init__(
        self,
        centre: "GbCentre",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter | DatagramWriter,
        task: "asyncio.Task[object]",
    ) -> None:
        self.centre, self.reader, self.writer, self.task = centre, reader, writer, task
        self.source: bytes | None = None  # the device, once it has spoken
        self._frames = FrameReader(extra_commands=centre.dialect.extra_commands)
        self._serial = -1
        self._asked: dict[int, asyncio.Future[Frame]] = {}
        self._owed = 0
        self._room = asyncio.Event()
        self._confirms: asyncio.Queue[tuple[Frame, FaultName | None]] = asyncio.Queue()  # at most _owed

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

    def owe(self) -> None:
        """An upload of this connection was taken in: `confirm` or `settle` ends that."""
        self._owed += 1

    def confirm(self, frame: Frame, fault: FaultName | None) -> None:
        """It is stored."""
        self._confirms.put_nowait((frame, fault))

    def settle(self) -> None:
        """It is confirmed, or never will be."""
        self._owed -= 1
        self._room.set()

    async def run(self) -> None:
        """Read to the end."""
        confirming = asyncio.create_task(self._confirm_all())
        try:
            with contextlib.suppress(OSError):  # reset, or ETIMEDOUT of a device that lost its power
                while data := await self.reader.read(READ_BYTES):
                    now_ns = round(asyncio.get_running_loop().time() * 1e9)
                    for item in self._frames.feed(data, now_ns):
                        await self._take(item)
                    self.centre.tell()
                    await self.writer.drain()
        finally:
            await end(confirming)

    async def _take(self, item: Frame | Rejected) -> None:
        if isinstance(item, Rejected):
            self._reject(item)
            return
        if item.source != self.source:
            self.source = item.source
            self.centre.greet(item.source)
        if item.command in (Command.CONFIRM, Command.RESPONSE, Command.DENY):
            self._hear(item)  # never answered: a deny to a deny would go round for ever
        elif item.command == Command.REQUEST:  # a device has nothing to ask a centre
            self.deny(item)
        else:
            await self._wait_for_room()
            self.centre.take(self, item)

    async def _wait_for_room(self) -> None:
        """Raise TimeoutError if there is none for as long as a device waits for a confirm: it has lost its patience too."""
        if self._owed < OWED_MAX:
            return
        self.centre.counters["crowded"] += 1
        self.centre.tell()
        async with asyncio.timeout(self.centre.resend_s):
            while self._owed >= OWED_MAX:
                self._room.clear()
                await self._room.wait()

    def _hear(self, answer: Frame) -> None:
        asked = self._asked.get(answer.serial)
        if asked is None or asked.done():
            self.centre.counters["unasked"] += 1
        else:
            asked.set_result(answer)

    def _reject(self, item: Rejected) -> None:
        self.centre.counters[f"rejected_{item.reason}"] += 1
        if item.frame is not None and item.frame.command not in (Command.CONFIRM, Command.DENY):
            self.deny(item.frame)

    def deny(self, frame: Frame) -> None:
        """Answer DENY."""
        self.writer.write(frame.answer(Command.DENY, self.centre.now_tag()).encode())

    async def _confirm_all(self) -> None:
        with contextlib.suppress(OSError):  # it is gone, which its reader sees
            while True:
                await self._confirm(*await self._confirms.get())
                self.settle()

    async def _confirm(self, frame: Frame, fault: FaultName | None) -> None:
        """Answer an upload, in the way the fault has it."""
        confirm = frame.answer(Command.CONFIRM, self.centre.now_tag())
        raw = confirm.encode()
        match fault:
            case None:
                self.writer.write(raw)
            case "no-confirm" | "silent" | "deny":
                pass
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
                asked = self.centre.frame_to(self, self.next_serial(), Command.REQUEST, question)
                self.writer.write(raw + asked.encode())
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
