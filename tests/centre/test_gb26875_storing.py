"""The GB/T 26875.3 centre over real sockets: takes and commits before it confirms, once whatever comes twice."""

import contextlib
import dataclasses
import sqlite3
from pathlib import Path

import pytest

from drivers.codecs.gb26875 import (
    Command,
    Frame,
    device_address,
)
from drivers.codecs.gb26875 import objects as kinds
from simulators.centre.query import look
from simulators.centre.store import Database
from tests.centre.gb_bench import (
    CENTRE,
    DEVICE,
    NOON,
    NOON_NS,
    confirm_of,
    device,
    fire,
    running,
    upload,
)


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
        assert before == 1
        with contextlib.closing(sqlite3.connect(db, isolation_level=None)) as other:
            other.execute("CREATE TRIGGER no BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'no'); END")
            box.send(upload(2, 2, fire(2)))
            await centre.until(lambda: centre.counters["store_faults"])
            assert len(centre.received) == 1
            box.send(upload(1, 2, fire()))
            assert confirm_of(await box.hear())[:2] == (1, Command.CONFIRM), "it is stored, and nothing else was said"
            other.execute("DROP TRIGGER no")
        assert confirm_of(await box.hear())[:2] == (2, Command.CONFIRM), "it was kept, and is stored now"
        assert centre.counters["duplicates"] == 1
    with look(db) as ask:
        assert ask.stats()["events"] == 2
