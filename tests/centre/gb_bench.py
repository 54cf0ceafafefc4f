"""What the tests of the GB/T 26875.3 centre share: one that runs, devices that say what they are told, uploads and answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

from drivers.codecs.gb26875 import (
    ANSWERS,
    CONTROLS,
    STANDARD,
    Command,
    Dialect,
    Frame,
    FrameReader,
    Rejected,
    device_address,
    encode_adu,
)
from drivers.codecs.gb26875 import objects as kinds
from simulators.centre.gb26875 import GbCentre
from tests.waiting import PATIENCE_S

NOON = datetime(2026, 11, 25, 12, 0, 0)
NOON_NS = round(NOON.replace(tzinfo=timezone(timedelta(hours=8))).timestamp()) * 10**9
DEVICE = device_address(889)
CENTRE = device_address(88888)


def fire(point: int = 1, status: int = 3) -> kinds.ComponentStatus:
    return kinds.ComponentStatus(
        1, 1, 40, bytes((1, 0, point, 0)), status, "三楼".encode("gb18030").ljust(31, b"\0"), NOON
    )


def upload(serial: int, kind: int, *items: Any, source: bytes = DEVICE, dialect: Dialect = STANDARD) -> Frame:
    unit = encode_adu(kind, items, dialect) if items else b""
    return Frame(
        serial=serial, user_version=1, sent=bytes(6), source=source, target=CENTRE, command=Command.SEND, adu=unit
    )


class Device:
    """One end of a real connection, with nothing of a real device's manners."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader()
        self._heard: list[Frame | Rejected] = []
        self.pieces: list[bytes] = []

    def send(self, *frames: Frame) -> None:
        self.writer.write(b"".join(frame.encode() for frame in frames))

    async def hear(self, timeout_s: float = PATIENCE_S) -> Frame | Rejected:
        """The next packet or refusal. Raise TimeoutError, or ConnectionError at the end of the connection."""
        async with asyncio.timeout(timeout_s):
            while not self._heard:
                data = await self.reader.read(4096)
                if not data:
                    raise ConnectionError
                self.pieces.append(data)
                self._heard = self._frames.feed(data, 0)
            return self._heard.pop(0)


@contextlib.asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[GbCentre]:
    centre = GbCentre(**({"resend_s": PATIENCE_S} | settings))
    await centre.start()
    try:
        yield centre
    finally:
        await centre.stop()


@contextlib.asynccontextmanager
async def device(centre: GbCentre) -> AsyncIterator[Device]:
    reader, writer = await asyncio.open_connection(centre.host, centre.port)
    try:
        yield Device(reader, writer)
    finally:
        writer.transport.abort()


def confirm_of(frame: Frame | Rejected) -> tuple[int, int, bytes, bytes]:
    assert isinstance(frame, Frame)
    return frame.serial, frame.command, frame.source, frame.target


ASKED: dict[int, Any] = {
    **dict.fromkeys((61, 65, 66, 68), kinds.SystemQuery(1, 1)),
    **dict.fromkeys((62, 63, 67), kinds.ComponentQuery(1, 1, bytes(4))),
    64: kinds.FacilityRecordQuery(1, 1, 10, NOON),
    **dict.fromkeys((81, 85, 86, 88, 89), kinds.DeviceQuery()),
    84: kinds.DeviceRecordQuery(10, NOON),
    90: kinds.ClockSetting(NOON),
    91: kinds.DutyInspection(10),
}
ANSWER: dict[int, Any] = {
    1: kinds.SystemStatus(1, 1, 1, NOON),
    2: fire(),
    3: kinds.AnalogueValue(1, 1, 17, bytes(4), 5, 16000, NOON),
    4: kinds.FacilityOperation(1, 1, 1, 1, NOON),
    5: kinds.FacilityVersion(1, 1, 1, 2),
    6: kinds.SystemConfiguration(1, 1, b"text"),
    7: kinds.ComponentConfiguration(1, 1, 40, bytes(4), bytes(31)),
    8: kinds.FacilityTime(1, 1, NOON),
    21: kinds.DeviceStatus(1, NOON),
    24: kinds.DeviceOperation(1, 1, NOON),
    25: kinds.DeviceVersion(1, 1),
    26: kinds.DeviceConfiguration(b"text"),
    28: kinds.DeviceTime(NOON),
}


def answer_to(frame: Frame | Rejected, *, command: int | None = None) -> Frame:
    assert isinstance(frame, Frame)
    kind = frame.adu[0]
    if command is not None:
        return frame.answer(command, bytes(6))
    if kind in CONTROLS:
        return frame.answer(Command.CONFIRM, bytes(6))
    return frame.answer(Command.RESPONSE, bytes(6), encode_adu(ANSWERS[kind], [ANSWER[ANSWERS[kind]]]))
