"""The camera process beside a whole core: real journal, real socket, a simulated camera; and on to a centre over a real broker."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from buffer.reader import JournalReader
from buffer.records import Priority
from drivers.messages import PanelEvent
from edge_agent.cameras import service as service_module
from edge_agent.cameras import watch as watch_module
from edge_agent.cameras.service import CameraProcess, sees
from edge_agent.clock import SystemClock
from edge_agent.config.model import Camera, Media
from edge_agent.local_api import ApiError, LocalClient
from edge_agent.media import PART_BYTES, assemble, parts_of
from edge_agent.model import Kind
from simulators import camera as simulated
from tests.core.house import House, Site, site

pytestmark = pytest.mark.asyncio

KEPT = {"before_method": "http", "before_path": "/kept?start={start}"}


def with_camera(place: Site, there: simulated.Camera, *, media: Media | None = None, **more: Any) -> Site:
    secret = place.directory / "hall.cred"
    secret.write_text(f"{there.user}:{there.password}", "utf-8")
    given: dict[str, Any] = {"method": "http", "path": simulated.PICTURE, "gb28181": "36070000001320000001", **more}
    one = Camera(id="hall", name="大厅", host="127.0.0.1", port=there.port, points=("panel1/1-*",),
                 credentials_file=secret, **given)  # fmt: skip
    return place.set(cameras=(one,), media=media or Media(after_s=0.3))


@asynccontextmanager
async def watching(place: Site) -> AsyncIterator[CameraProcess]:
    process = CameraProcess(place.config, clock=SystemClock())
    task = asyncio.create_task(process.run())
    try:
        yield process
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def fire(house: House, point: str, raw: bytes = b"") -> None:
    house.core.take([PanelEvent(point, "fire", house.core.now_ns(), {}, raw)])


def media_of(place: Site) -> list[dict[str, Any]]:
    with JournalReader.open(place.directory / "data") as reader:
        return [json.loads(record.body) for record in reader.records((Priority.MEDIA,))]


def pictures(records: list[dict[str, Any]], *, may_lack: bool = False) -> list[tuple[Mapping[str, object], bytes]]:
    by_id: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_id.setdefault(record["picture"], []).append(record)
    whole = [assemble(parts) for parts in by_id.values()]
    assert may_lack or None not in whole
    return [one for one in whole if one is not None]


async def test_an_alarm_is_pictured_at_once_a_little_later_and_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "KEPT_AFTER_S", 0.1)
    async with site() as place, simulated.Camera(time.time_ns, size=100_000) as there:
        async with with_camera(place, there, **KEPT).running() as house, watching(place) as process:
            await house.until(lambda: house.source("camera/hall")["up"], "the camera answers")
            await house.until(lambda: house.source("cameras")["up"], "the process is there")
            begun_ns = time.time_ns()
            fire(house, "panel1/1-27")
            fire(house, "panel1/2-1")
            watch = process.watches["hall"]
            await house.until(lambda: watch.counts["pictures"] == 4 and not process._waiting, "four pictures are kept")
        assert watch.counts["alarms"] == 1, "the other point is out of sight"
        found = pictures(await asyncio.to_thread(media_of, place))
        [event] = [r for r in await place.records() if r["kind"] == "fire" and r["point"] == "panel1/1-27"]
        assert sorted(str(about["shot"]) for about, _ in found) == ["after", "alarm", "before", "before"]
        for about, jpeg in found:
            assert (about["events"], about["points"], about["source"]) == (
                [event["id"]],
                ["panel1/1-27"],
                "camera/hall",
            )
            assert (about["name"], about["gb28181"], about["before"]) == ("大厅", "36070000001320000001", "kept")
            assert about["bytes"] == len(jpeg)
            assert about["of"] == -(-len(jpeg) // PART_BYTES)
        taken = {str(about["shot"]): int(str(about["taken_wall_ns"])) for about, _ in found}
        assert begun_ns - 6e9 < taken["before"] < begun_ns <= taken["alarm"] < taken["after"]
        assert there.busiest == 1


async def test_a_camera_without_a_recorder_says_so_and_a_flood_of_alarms_shares_pictures() -> None:
    async with site() as place, simulated.Camera(time.time_ns) as there:
        async with with_camera(place, there).running() as house, watching(place) as process:
            await house.until(lambda: house.source("camera/hall")["up"], "the camera answers")
            for number in range(100):
                fire(house, f"panel1/1-{number}")
            watch = process.watches["hall"]
            await house.until(lambda: watch.counts["alarms"] == 100, "all were heard")
            await house.until(lambda: not watch._jobs and not process._waiting, "all is taken and kept")
            await house.until(lambda: watch.counts["pictures"] >= 2, "an alarm's and a later one")
        records = await asyncio.to_thread(media_of, place)
        found = pictures(records)
        assert 2 <= len(found) < 50, "and not two hundred"
        assert {about["before"] for about, _ in found} == {"not_kept"}
        named = [about for about, _ in found if about["shot"] == "alarm"]
        assert sum(len(list(about["events"])) + int(str(about["more"])) for about in named) == 100  # type: ignore[call-overload]


async def test_a_camera_that_is_gone_is_a_fault_no_alarm_waits_and_its_clock_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RETRY_S", "PROBE_AGAIN_S"):
        monkeypatch.setattr(watch_module, name, 0.05)
    async with site() as place:
        there = simulated.Camera(time.time_ns, clock_off_s=-300.0)
        async with there:
            with_camera(place, there, probe_s=0.2, media=Media(after_s=0.0))
            async with place.running() as house, watching(place):
                await house.until(lambda: "camera/hall/clock" in house.alarms(Kind.FAULT), "five minutes behind")
                there.clock_off_s = 0.0
                await house.until(
                    lambda: all(a.point != "camera/hall/clock" or not a.active for a in house.core.alarms.alarms()),
                    "right again",
                )
                await there.stop()
                await house.until(lambda: "camera/hall" in house.alarms(Kind.LINK), "gone")
                fire(house, "panel1/1-27")
                assert house.sounding(), "in the loop turn that told it"
                await house.durable()
            assert house.source("camera/hall")["reason"] == "refused"
        assert [r["point"] for r in await place.records() if r["kind"] == "fire"] == ["panel1/1-27"]


async def test_an_alarm_from_a_moment_before_the_process_came_is_still_pictured() -> None:
    async with site() as place, simulated.Camera(time.time_ns) as there:
        async with with_camera(place, there).running() as house:
            fire(house, "panel1/1-27")
            await house.durable()
            async with watching(place) as process:
                await house.until(
                    lambda: process.watches["hall"].counts["pictures"] == 2 and not process._waiting, "kept"
                )
        assert len(pictures(await asyncio.to_thread(media_of, place))) == 2


async def ask(place: Site, requests: list[dict[str, Any]]) -> list[str]:
    client = await LocalClient.connect(place.config.gateway.run_dir / "core.sock")
    try:
        answers = await asyncio.gather(*(client.request("media", **one) for one in requests), return_exceptions=True)
    finally:
        await client.close()
    for answer in answers:
        assert answer == {} or isinstance(answer, ApiError), answer
    return [answer.code if isinstance(answer, ApiError) else "kept" for answer in answers]


def asked(size: int, picture: str = "p1", **more: Any) -> list[dict[str, Any]]:
    about = {"bytes": size, "sha256": "0" * 64, "type": "image/jpeg", "shot": "alarm", "events": ["e1"], "points": ["x"],
             "more": 0, "before": "not_kept", "taken_wall_ns": 1, "clock_off_ms": None}  # fmt: skip
    parts = list(parts_of(bytes(size)))
    told = [{"camera": "hall", "picture": picture, "part": part, "of": of, "data": data} for part, of, data in parts]
    told[0] |= about
    return [one | more for one in told]


async def test_the_core_takes_only_so_much_in_order_and_says_why_not() -> None:
    async with site() as place, simulated.Camera(time.time_ns) as there:
        media = Media(picture_kb=100, day_mb=1)
        async with with_camera(place, there, media=media).running() as house:
            assert await ask(place, asked(50_000)) == ["kept"] * 3
            assert await ask(place, asked(101 * 1024)[:1]) == ["too_large"]
            assert await ask(place, asked(50_000)[1:]) == ["media_order"] * 2
            assert await ask(place, asked(50_000, camera="yard")[:1]) == ["no_such_camera"]
            assert await ask(place, asked(50_000, shot="selfie")[:1]) == ["bad_request"]
            assert await ask(place, asked(50_000, data="%%%")[:1]) == ["bad_request"]
            assert await ask(place, asked(50_000, data="A" * 40_000)[:1]) == ["too_large"]
            assert await ask(place, asked(50_000, of=99)[:1]) == ["too_large"]
            some = [asked(100 * 1024, f"q{n}")[0] for n in range(12)]
            assert await ask(place, some) == ["kept"] * 9 + ["media_day"] * 3
            status = house.core.media.counts
            assert (status["too_large"], status["over_day"], status["pictures"]) == (2, 3, 1)


async def test_a_core_that_restarts_in_the_middle_gets_the_picture_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "RETRY_S", 0.05)
    async with site() as place, simulated.Camera(time.time_ns, size=400_000) as there:
        with_camera(place, there, media=Media(after_s=0.0))
        process = CameraProcess(place.config, clock=SystemClock())
        task = asyncio.create_task(process.run())
        async with place.running() as house:
            await house.until(lambda: house.source("camera/hall")["up"], "the camera answers")
            fire(house, "panel1/1-27")
            await house.until(lambda: house.core.media.counts["parts"] >= 2, "part of it is here")
        async with place.running() as house:
            await house.until(lambda: not process._waiting, "the rest came")
            await house.until(lambda: house.core.media.counts["pictures"] >= 1, "whole")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        records = await asyncio.to_thread(media_of, place)
        by_id = {record["picture"] for record in records}
        whole = [one for name in by_id if (one := assemble([r for r in records if r["picture"] == name]))]
        assert len(whole) >= 1
        assert whole[0][0]["points"] == ["panel1/1-27"]


async def test_a_process_that_is_gone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.own_faults.PROCESS_ABSENT_S", 0.2)
    async with site() as place, simulated.Camera(time.time_ns) as there:
        async with with_camera(place, there).running() as house:
            await house.until(lambda: "cameras" in house.alarms(Kind.LINK), "nobody is there")
            monkeypatch.undo()
            async with watching(place):
                await house.until(lambda: house.source("cameras")["up"], "somebody is")
                await house.durable()
        told = [one for one in await place.records() if (one["kind"], one["point"]) == (Kind.LINK, "cameras")]
        assert [one["active"] for one in told] == [True, False]


async def test_a_pattern_covers_its_points() -> None:
    assert [sees("panel1/1-*", "panel1/1-27"), sees("panel1/1-2", "panel1/1-27"), sees("*", "x"), sees("a", "a")] == [
        True, False, True, True]  # fmt: skip
