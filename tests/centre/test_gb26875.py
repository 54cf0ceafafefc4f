"""The GB/T 26875.3 centre over real sockets: takes and commits before it confirms, once whatever comes twice; each fault is one."""

import argparse
import asyncio
import contextlib
import dataclasses
import re
import socket
import sqlite3
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from drivers.codecs.gb26875 import (
    ANSWERS,
    CONTROLS,
    DIALECTS,
    STANDARD,
    Command,
    Dialect,
    Frame,
    FrameReader,
    Rejected,
    decode_adu,
    device_address,
    encode_adu,
)
from drivers.codecs.gb26875 import objects as kinds
from simulators.centre import cli, gb_cli
from simulators.centre.gb26875 import Denied, GbCentre
from simulators.centre.gb_faults import FAULTS, FaultMenu
from simulators.centre.query import look
from simulators.centre.store import Database
from simulators.process import Program
from tests.postgres import Postgres
from tests.waiting import PATIENCE_S, until

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


@pytest.mark.asyncio
async def test_an_upload_is_stored_and_then_confirmed(db: Database) -> None:
    async with running(db=db) as centre, device(centre) as box:
        box.send(upload(7, 2, fire()))
        confirm = await box.hear()
        assert isinstance(confirm, Frame)
        assert (confirm.serial, confirm.command, confirm.adu) == (7, Command.CONFIRM, b"")
        assert (confirm.source, confirm.target) == (CENTRE, DEVICE)
        with look(db) as ask:  # committed before it was confirmed
            (event,) = ask.events()
            (gateway,) = ask.gateways()
        assert (event["gateway"], event["kind"], event["active"], event["stream"]) == ("gb-889", "fire", True, "alarm")
        assert event["raw"] == upload(7, 2, fire()).encode().hex()
        told = event["gb26875"]
        assert isinstance(told, dict)
        assert (told["serial"], told["source_hex"], told["description"]) == (7, DEVICE.hex().upper(), "三楼")
        assert event["received_ns"]
        assert (gateway["gateway"], gateway["online"]) == ("gb-889", True)
        (received,) = centre.received
        assert (received.source, received.serial, received.unit.objects) == (DEVICE, 7, (fire(),))
    with look(db) as ask:
        assert ask.gateways()[0]["online"] is False


def confirm_of(frame: Frame | Rejected) -> tuple[int, int, bytes, bytes]:
    assert isinstance(frame, Frame)
    return frame.serial, frame.command, frame.source, frame.target


@pytest.mark.asyncio
async def test_what_comes_twice_acts_once_and_is_confirmed_again(db: Database) -> None:
    async with running(db=db) as centre:
        async with device(centre) as box:
            box.send(upload(7, 2, fire()), upload(7, 2, fire()))
            assert [confirm_of(await box.hear())[0] for _ in range(2)] == [7, 7]
        async with device(centre) as box:  # the resend may come over another connection
            box.send(upload(7, 2, fire()))
            await box.hear()
            assert (len(centre.received), centre.counters["duplicates"]) == (1, 2)
            box.send(upload(7, 2, fire(2)))  # the same number and another unit is another upload
            await box.hear()
            box.send(upload(7, 2, fire(), source=device_address(890)))  # and so is another device
            await box.hear()
            assert len(centre.received) == 3
            box.send(upload(8, 2, fire()))  # a resend that got a new number: a new upload, yet the same event
            await box.hear()
            assert len(centre.received) == 4
    with look(db) as ask:
        found = [(event["gateway"], event["point"]) for event in ask.events()]
    assert sorted(found) == [("gb-889", "1-1/01000100"), ("gb-889", "1-1/01000200"), ("gb-890", "1-1/01000100")]


@pytest.mark.asyncio
async def test_a_number_used_again_after_the_time_of_resends_is_a_new_upload() -> None:
    async with running(resend_s=0.0) as centre, device(centre) as box:
        for _ in range(2):
            box.send(upload(7, 1, kinds.SystemStatus(1, 1, 1, NOON)))
            await box.hear()
        assert len(centre.received) == 2


@pytest.mark.asyncio
async def test_a_centre_that_starts_again_knows_what_it_stored(db: Database) -> None:
    for _ in range(2):
        async with running(db=db) as centre, device(centre) as box:
            box.send(upload(7, 2, fire()))
            await box.hear()
    with look(db) as ask:
        assert (ask.stats()["events"], ask.stats()["duplicates"]) == (1, 1)


@pytest.mark.asyncio
async def test_a_fire_from_a_device_without_a_clock_is_a_new_event_each_time(tmp_path: Path) -> None:
    db = tmp_path / "centre.db"
    item = dataclasses.replace(fire(), time=bytes(6))
    async with running(db=db) as centre, device(centre) as box:
        for serial in (1, 1, 2):
            box.send(upload(serial, 2, item))
            await box.hear()
    with look(db) as ask:
        assert [event["gb26875"]["serial"] for event in ask.events()] == [1, 2]  # type: ignore[index]


@pytest.mark.asyncio
async def test_every_object_is_stored_in_its_stream_with_what_it_says(tmp_path: Path) -> None:
    db = tmp_path / "centre.db"
    value = kinds.AnalogueValue(1, 1, 17, bytes(4), 5, 16000, NOON)
    frames = [
        upload(1, 2, fire(1), fire(2, 4)),
        upload(2, 3, value),
        upload(3, 21, kinds.DeviceStatus(1, NOON)),
        upload(4, 24, kinds.DeviceOperation(1 << 5, 3, NOON)),
        upload(5, 0),
        Frame(serial=6, sent=bytes(6), source=DEVICE, target=CENTRE, command=2, adu=b"\x82\x01vendor"),
    ]
    async with running(db=db) as centre, device(centre) as box:
        box.send(*frames)
        assert [confirm_of(await box.hear())[:2] for _ in frames] == [
            (serial, Command.CONFIRM) for serial in range(1, 7)
        ]
        assert [one.serial for one in centre.received] == [1, 2, 3, 4, 5, 6]
    with look(db) as ask:
        events = ask.events()
    told = [(event["stream"], event["kind"], event["active"]) for event in events]
    assert sorted(told) == [
        ("alarm", "fire", True),
        ("fault", "fault", True),
        ("status", "device_operation", False),
        ("status", "device_status", False),
        ("status", "user_type", False),
    ]
    with sqlite3.connect(db) as database:
        ((telemetry,),) = database.execute(
            "SELECT body FROM records JOIN streams USING (stream_id) WHERE stream = 'telemetry'"
        ).fetchall()
    assert '"values":{"type_5":1600.0}' in telemetry
    assert {event["at"]["wall_ns"] for event in events if "time" in event["gb26875"]} == {NOON_NS}  # type: ignore[index, operator, call-overload]


@pytest.mark.asyncio
async def test_what_cannot_be_committed_is_not_confirmed(tmp_path: Path) -> None:
    db = tmp_path / "centre.db"
    async with running(db=db) as centre, device(centre) as box:
        box.send(upload(1, 2, fire()))
        await box.hear()
        with look(db) as ask:
            before = ask.stats()["events"]
        store = centre._store
        assert store is not None
        store.close()
        box.send(upload(2, 2, fire(2)))
        await centre.until(lambda: centre.counters["store_faults"] == 1)
        assert len(centre.received) == 1
        centre._store = None  # now it keeps nothing, and confirms: the resend is no duplicate
        box.send(upload(2, 2, fire(2)))
        assert confirm_of(await box.hear())[:2] == (2, Command.CONFIRM)
        assert centre.counters["duplicates"] == 0
    with look(db) as ask:
        assert ask.stats()["events"] == before == 1


# --- checks


@pytest.mark.asyncio
async def test_check_errors_are_denied_where_the_packet_can_be_trusted_and_nothing_is_stored() -> None:
    raw = upload(7, 2, fire()).encode()
    async with running() as centre, device(centre) as box:
        box.writer.write(raw[:-3] + bytes((raw[-3] ^ 1,)) + raw[-2:])
        assert confirm_of(await box.hear()) == (7, Command.DENY, CENTRE, DEVICE)
        reserved = Frame(serial=9, sent=bytes(6), source=DEVICE, target=CENTRE, command=7)
        box.send(reserved)
        assert confirm_of(await box.hear())[:2] == (9, Command.DENY)
        box.send(
            Frame(serial=10, sent=bytes(6), source=DEVICE, target=CENTRE, command=Command.REQUEST, adu=b"\x51\x01\x00")
        )
        assert confirm_of(await box.hear())[:2] == (10, Command.DENY)
        box.writer.write(b"noise" + raw[:-1] + b"!")  # no end mark: no number to trust, so no answer
        box.send(upload(8, 2, fire()))
        assert confirm_of(await box.hear())[:2] == (8, Command.CONFIRM)
        spoiled_deny = Frame(serial=3, sent=bytes(6), source=DEVICE, target=CENTRE, command=Command.DENY).encode()
        box.writer.write(spoiled_deny[:-3] + b"\0" + b"##" + upload(11, 2, fire(3)).encode())
        assert confirm_of(await box.hear())[:2] == (11, Command.CONFIRM)  # a deny is never answered, sound or not
        assert [one.serial for one in centre.received] == [8, 11]
        assert (centre.counters["rejected_checksum"], centre.counters["rejected_end"]) == (2, 1)


@pytest.mark.asyncio
async def test_the_keepalive_of_a_dialect_is_confirmed() -> None:
    async with running(dialect=DIALECTS["dahua-1.03"]) as centre, device(centre) as box:
        box.send(Frame(serial=9, sent=bytes(6), source=DEVICE, target=CENTRE, command=7))
        assert confirm_of(await box.hear())[:2] == (9, Command.CONFIRM)
        assert len(centre.received) == 1


# --- the fault menu


HONEST = (5, Command.CONFIRM, CENTRE, DEVICE)


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_what_its_name_says_and_the_next_upload_is_served_honestly(fault: Any) -> None:
    menu = FaultMenu(slow_s=0.05, drip_s=0.001)
    menu.add(fault, times=1)
    async with running(faults=menu, wall_ns=lambda: NOON_NS) as centre, device(centre) as box:
        box.send(upload(1, 2, fire()))
        await centre.until(lambda: menu.struck[fault] == 1)
        right = (1, Command.CONFIRM, CENTRE, DEVICE)
        if fault == "reset":
            with pytest.raises(ConnectionError):
                await box.hear()
            assert len(centre.received) == 1
            return
        box.send(upload(5, 2, fire(2)))
        told: list[Any] = []
        while not told or told[-1] != HONEST:
            item = await box.hear()
            told.append(item.reason if isinstance(item, Rejected) else confirm_of(item))
        before = told[:-1]
        assert (
            before
            == {
                "no-confirm": [],
                "silent": [],
                "deny": [(1, Command.DENY, CENTRE, DEVICE)],
                "wrong-serial": [(2, Command.CONFIRM, CENTRE, DEVICE)],
                "stale-confirm": [(0, *right[1:]), right],
                "no-swap": [(1, Command.CONFIRM, DEVICE, CENTRE)],
                "wrong-checksum": ["checksum"],
                "half": ["length"],  # half of one and all of the next: what was read is no length
                "glued": [right, (0, Command.REQUEST, CENTRE, DEVICE)],
                "dripped": [right],
                "slow": [right],
                "noise": ["noise", right],
            }[fault]
        )
        assert len(centre.received) == (1 if fault in ("deny", "silent") else 2)


def test_a_fault_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such fault"):
        FaultMenu().add("explode")  # type: ignore[arg-type]


def test_faults_strike_where_and_as_often_as_they_are_told() -> None:
    menu = FaultMenu()
    menu.add("deny", times=2, types=frozenset({2}))
    assert [menu.strike(kind) for kind in (1, 2, 2, 2)] == [None, "deny", "deny", None]
    menu.add("slow", chance=0.0)
    menu.add("half")
    assert menu.strike(1) == "half"
    menu.clear()
    assert menu.strike(1) is None


# --- downlink


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


@pytest.mark.asyncio
async def test_every_command_of_the_standard_is_sent_and_its_answer_matched() -> None:
    assert set(ASKED) == set(ANSWERS) | CONTROLS
    async with running() as centre, device(centre) as box:
        box.send(upload(0, 21, kinds.DeviceStatus(1, NOON)))
        await box.hear()
        for serial, (kind, item) in enumerate(ASKED.items()):
            asking = asyncio.create_task(centre.send(kind, item))
            question = await box.hear()
            assert isinstance(question, Frame)
            wanted = Command.CONTROL if kind in CONTROLS else Command.REQUEST
            assert (question.serial, question.command, question.source, question.target) == (
                serial,
                wanted,
                CENTRE,
                DEVICE,
            )
            assert decode_adu(question.adu, uplink=False).objects == (item,)
            box.send(answer_to(question))
            answered = await asking
            assert answered.objects == (() if kind in CONTROLS else (ANSWER[ANSWERS[kind]],))


@pytest.mark.asyncio
async def test_a_question_is_sent_again_under_its_number_until_it_is_answered() -> None:
    async with running(resend_s=0.05, resends=3) as centre, device(centre) as box:
        box.send(upload(0, 0))
        await box.hear()
        asking = asyncio.create_task(centre.send(81, kinds.DeviceQuery()))
        first, second = await box.hear(), await box.hear()
        assert isinstance(first, Frame)
        assert isinstance(second, Frame)
        assert (first.serial, first.adu) == (second.serial, second.adu)
        box.send(answer_to(second))
        assert (await asking).type == 21
        with pytest.raises(TimeoutError):
            await centre.send(81, kinds.DeviceQuery())


@pytest.mark.asyncio
async def test_denials_answers_to_something_else_and_late_answers() -> None:
    async with running(resends=1) as centre, device(centre) as box:
        box.send(upload(0, 0))
        await box.hear()
        asking = asyncio.create_task(centre.send(85, kinds.DeviceQuery()))
        box.send(answer_to(await box.hear(), command=Command.DENY))
        box.send(answer_to(await box.hear(), command=Command.DENY))
        with pytest.raises(Denied):
            await asking
        asking = asyncio.create_task(centre.send(85, kinds.DeviceQuery()))
        question = await box.hear()
        assert isinstance(question, Frame)
        box.send(question.answer(Command.RESPONSE, bytes(6), encode_adu(28, [kinds.DeviceTime(NOON)])))
        box.send(answer_to(await box.hear()))
        assert (await asking).objects == (kinds.DeviceVersion(1, 1),)
        box.send(answer_to(question))
        box.send(upload(1, 0))
        await box.hear()
        assert centre.counters["unasked"] == 1


@pytest.mark.asyncio
async def test_an_answer_of_the_wrong_kind_is_none_and_a_device_that_leaves_ends_the_question() -> None:
    async with running(resends=1) as centre, device(centre) as box:
        box.send(upload(0, 0))
        await box.hear()
        asking = asyncio.create_task(centre.send(91, kinds.DutyInspection(10)))
        box.send(answer_to(await box.hear(), command=Command.RESPONSE))
        box.send(answer_to(await box.hear()))
        await asking
        asking = asyncio.create_task(centre.send(81, kinds.DeviceQuery()))
        box.send(answer_to(await box.hear(), command=Command.CONFIRM))
        box.send(answer_to(await box.hear()))
        assert (await asking).type == 21
        asking = asyncio.create_task(centre.send(81, kinds.DeviceQuery()))
        await box.hear()
        box.writer.transport.abort()
        with pytest.raises(ConnectionError):
            await asking


@pytest.mark.asyncio
async def test_a_command_can_be_repeated_and_any_bytes_be_sent_and_the_connection_reset() -> None:
    async with running() as centre:
        with pytest.raises(ConnectionError):
            await centre.send(81, kinds.DeviceQuery())
        async with device(centre) as box:
            box.send(upload(0, 0))
            await box.hear()
            assert centre.devices == [DEVICE]
            for _ in range(2):
                asking = asyncio.create_task(centre.send(89, kinds.DeviceQuery(), serial=4, device=DEVICE))
                question = await box.hear()
                assert isinstance(question, Frame)
                assert question.serial == 4
                box.send(answer_to(question))
                await asking
            centre.write(b"!!!" + upload(9, 0).encode())
            assert [type(await box.hear()) for _ in range(2)] == [Rejected, Frame]
            with pytest.raises(ConnectionError):
                centre.write(b"", device_address(1))
            centre.reset()
            with pytest.raises(ConnectionError):
                await box.hear()
        await centre.until(lambda: not centre.devices)


# --- the command


@pytest.mark.asyncio
async def test_the_command_serves_shows_asks_and_errs_as_told(tmp_path: Path) -> None:
    options = ["--port=0", f"--db={tmp_path / 'centre.db'}", "--fault=deny=1", "--ask=81", "--ask=62:1,1,0A000200"]
    program = Program.python(
        "centre", "simulators.centre", "gb26875", "--lang", "en", *options, log=tmp_path / "centre.log"
    )
    await program.start()

    async def printed(pattern: str) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while (found := re.search(pattern, program.log.read_text("utf-8"))) is None:
                assert program.running, program.tail()
                await asyncio.sleep(0.02)
        return found[found.lastindex or 0]

    try:
        port = int(await printed(r"ready: 127\.0\.0\.1:(\d+)"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        box = Device(reader, writer)
        box.send(upload(3, 2, fire()))
        told: list[Frame] = []
        while len(told) < 2:  # the deny, and the first question
            item = await box.hear()
            assert isinstance(item, Frame)
            told.append(item)
        assert {(one.serial, one.command) for one in told} == {(3, Command.DENY), (0, Command.REQUEST)}
        box.send(next(one for one in told if one.command == Command.REQUEST).answer(Command.DENY, bytes(6)))
        box.send(upload(3, 2, fire()))
        while Command.CONFIRM not in {one.command for one in told}:
            item = await box.hear()
            assert isinstance(item, Frame)
            told.append(item)
            if item.command == Command.REQUEST:
                box.send(answer_to(item) if item.adu[0] == 62 else item.answer(Command.DENY, bytes(6)))
        await printed("send data .*serial=3 from=889")
        await printed("smoke detector .* description=三楼")
        while (item := await box.hear()) and not (isinstance(item, Frame) and item.adu[:1] == b"\x3e"):
            assert isinstance(item, Frame)
            box.send(item.answer(Command.DENY, bytes(6)))  # 81 is sent again as often as the standard has it
        assert decode_adu(item.adu).objects == (kinds.ComponentQuery(1, 1, bytes.fromhex("0A000200")),)
        box.send(answer_to(item))
        await printed("889 denied type 81")
        await printed("889 answered type 62:\n  facility component status")
        writer.transport.abort()
    finally:
        assert await program.stop() == 0


@pytest.mark.asyncio
async def test_the_command_tells_of_a_database_that_goes_and_comes_back(
    tmp_path: Path, server: Postgres, city: str
) -> None:
    options = ["--port=0", f"--db={city}", "--lang=zh"]
    program = Program.python("centre", "simulators.centre", "gb26875", *options, log=tmp_path / "centre.log")
    away, back = f"数据库 {city} 存不进记录: ", f"数据库 {city} 已恢复。"

    def told() -> list[str]:
        return [line for line in program.log.read_text("utf-8").splitlines() if line.startswith("数据库")]

    await program.start()
    try:
        ready = re.compile(r"已就绪: 127\.0\.0\.1:(\d+)")
        await until(lambda: ready.search(program.log.read_text("utf-8")))
        found = ready.search(program.log.read_text("utf-8"))
        assert found is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", int(found[1]))
        box = Device(reader, writer)
        box.send(upload(1, 2, fire()))
        assert confirm_of(await box.hear())[:2] == (1, Command.CONFIRM)
        await asyncio.to_thread(server.kill)
        box.send(upload(2, 2, fire(2)))
        await until(told, program.tail())
        await asyncio.to_thread(server.start)
        await until(lambda: len(told()) > 1, "though the device says nothing more")
        assert [line[: len(begin)] for line, begin in zip(told(), (away, back), strict=True)] == [away, back]
        box.send(upload(2, 2, fire(2)))
        assert confirm_of(await box.hear())[:2] == (2, Command.CONFIRM), "it was not confirmed before it was stored"
        writer.transport.abort()
    finally:
        assert await program.stop() == 0
        if not server.alive:
            await asyncio.to_thread(server.start)


@pytest.mark.parametrize(("lang", "words"), [("zh", "已被占用"), ("en", "in use")])
def test_a_port_that_another_program_has_is_said_in_the_readers_language(
    lang: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            cli.main(["gb26875", f"--port={port}", "--db=:memory:", "--lang", lang])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in said
    assert words in said
    assert "Errno" not in said


@pytest.mark.parametrize(
    ("written", "kind", "made"),
    [
        ("81", 81, kinds.DeviceQuery()),
        ("61:1,2", 61, kinds.SystemQuery(1, 2)),
        ("64:1,1,10,2026-11-25T12:00:00", 64, kinds.FacilityRecordQuery(1, 1, 10, NOON)),
        ("90:2026-11-25T12:00:00", 90, kinds.ClockSetting(NOON)),
        ("91:10", 91, kinds.DutyInspection(10)),
    ],
)
def test_a_question_on_the_command_line_is_the_object_it_names(written: str, kind: int, made: Any) -> None:
    assert gb_cli.question(written) == (kind, (made,))


@pytest.mark.parametrize("written", ["", "1", "99", "62:1,1", "62:1,1,0A", "91:soon", "90"])
def test_a_question_that_is_none_is_refused(written: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        gb_cli.question(written)
