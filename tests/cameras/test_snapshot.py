"""The command `snapshot`: asked over a real broker, pictured by a simulated camera, received by the reference centre."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cameras import watch as watch_module
from edge_agent.cameras.camera import Shot
from edge_agent.cameras.faults import CameraFault
from edge_agent.cameras.service import LATE_S, CameraProcess
from edge_agent.cameras.watch import Cause, Taken, Watch
from edge_agent.clock import SystemClock
from edge_agent.commands import CAMERAS_MAX, cameras_asked
from edge_agent.config.load import load
from edge_agent.config.model import Camera, Media
from edge_agent.config.uplinks import Uplink
from edge_agent.model import Kind
from simulators import camera as simulated
from simulators.centre import query
from tests.brokers import Broker
from tests.cameras.test_service import ask as bring
from tests.cameras.test_service import asked, fire, media_of, pictures, watching, with_camera
from tests.commands.programs import asker
from tests.commands.test_centre import centre
from tests.commands.test_core import ask, talking
from tests.core.house import House, Site, site
from tests.uplink.site import running_centre, running_uplink
from tests.waiting import until

STREAMS = ("alarm", "fault", "status", "telemetry", "media")


def with_county(place: Site, port: int = 1883) -> Site:
    county = Uplink(id="county", host="127.0.0.1", port=port, commands=("read_state", "snapshot"), streams=STREAMS)
    city = Uplink(id="city", host="127.0.0.1", port=port, mandatory=False)
    return place.set(uplinks=(county, city) if port == 1883 else (county,))


async def camera_up(house: House) -> None:
    await house.until(lambda: house.source("camera/hall")["up"] and house.source("cameras")["up"], "the camera answers")


def at_centre(there: Path) -> list[Mapping[str, Any]]:
    with query.opened(there) as database:
        bodies = database.execute(
            "SELECT r.body FROM records r JOIN streams s USING (stream_id) WHERE s.stream = 'media' ORDER BY r.n"
        ).fetchall()
    return [json.loads(body) for (body,) in bodies]


@pytest.mark.asyncio
async def test_a_centre_asks_by_the_broker_and_gets_one_picture_that_names_its_command(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as there:
        async with site() as place, simulated.Camera(time.time_ns) as seen:
            config = with_county(with_camera(place, seen), broker.port).config
            where = ("--port", str(broker.port), config.gateway.id)
            command = ("snapshot", "camera=hall", "--id", "s-1", "--json")
            async with place.running() as house, watching(place), running_uplink(config) as uplink:
                await until(lambda: uplink.core.present and uplink.destinations[0].counters["connections"])
                await camera_up(house)
                done = await asyncio.to_thread(centre, *where, *command)
                assert done.returncode == 0, done.stderr
                assert json.loads(done.stdout)["result"] == {"cameras": 1, "cameras_total": 1}
                with asker(broker, config.gateway.id) as county:
                    county.send("snapshot", command="s-1", params={"camera": "hall"})
                    assert (await county.answer("s-1"))["repeat"] is True
                    county.send("snapshot", command="s-2", params={"camera": "yard"})
                    assert (await county.answer("s-2"))["code"] == "no_such_camera"
                await until(
                    lambda: [p for p in at_centre(there) if p["part"] == p["of"]], "the picture is at the centre"
                )
            [(about, jpeg)] = pictures([dict(part) for part in at_centre(there)])
            [audit] = [r for r in await place.records() if r["kind"] == "command" and r["fields"]["command"] == "s-1"]
            assert (about["shot"], about["commands"]) == ("command", [{"dest": "county", "command": "s-1"}])
            assert (about["source"], about["events"], about["points"]) == (
                "camera/hall",
                [audit["id"]],
                ["command/snapshot"],
            )
            assert about["bytes"] == len(jpeg)
            assert audit["fields"]["params"] == {"camera": "hall"}


@pytest.mark.asyncio
async def test_what_cannot_be_pictured_is_refused_with_its_reason_and_written_down() -> None:
    async with site() as place:
        async with with_county(place).running() as house, talking(house) as client:
            assert (await ask(client, "snapshot", "s-0"))["code"] == "no_cameras"
        async with simulated.Camera(time.time_ns) as seen:
            with_camera(place, seen, media=Media(day_mb=1))
            async with place.running() as house, talking(house) as client:
                hall = {"params": {"camera": "hall"}}
                assert (await ask(client, "snapshot", "s-1", **hall))["code"] == "cameras_absent"
                async with watching(place):
                    await camera_up(house)
                    assert (await ask(client, "snapshot", "s-2", dest="city", **hall))["code"] == "not_authorised"
                    assert (await ask(client, "snapshot", "s-3", params={"camera": "yard"}))["code"] == "no_such_camera"
                    assert (await ask(client, "snapshot", "s-4", params={"camera": 7}))["code"] == "malformed"
                    half = await bring(
                        place, [asked(100_000, f"p{n}", shot="command", commands=[])[0] for n in range(7)]
                    )
                    assert half == ["kept"] * 5 + ["media_day"] * 2
                    assert await bring(place, asked(100_000, "fire")[:1]) == ["kept"], "what is left is for alarms"
                    assert (await ask(client, "snapshot", "s-5", **hall))["code"] == "media_day"
        codes = {
            r["fields"]["command"]: r["fields"].get("code") for r in await place.records() if r["kind"] == "command"
        }
        assert [codes[f"s-{n}"] for n in range(6)] == [
            "no_cameras", "cameras_absent", "not_authorised", "no_such_camera", "malformed", "media_day"]  # fmt: skip


@pytest.mark.asyncio
async def test_an_old_command_is_not_pictured_anew_and_a_camera_that_fails_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "RETRY_S", 0.02)
    async with site() as place, simulated.Camera(time.time_ns) as seen:
        with_county(with_camera(place, seen, media=Media(after_s=0.0)))
        async with place.running() as house, talking(house) as client:
            async with watching(place):
                await camera_up(house)
                assert (await ask(client, "snapshot", "s-1"))["status"] == "done"
                await house.until(lambda: house.core.media.counts["pictures"] == 1, "it is pictured")
            async with watching(place) as process:
                await house.until(lambda: house.core.server.watched("camera"), "a new process")
                assert (await ask(client, "snapshot", "s-1"))["repeat"] is True
                fire(house, "panel1/1-27")
                await house.until(lambda: house.core.media.counts["pictures"] == 2, "that of the fire")
                assert process.watches["hall"].counts["commands"] == 0
                await seen.stop()
                assert (await ask(client, "snapshot", "s-2"))["status"] == "done"
                await house.until(lambda: "camera/hall" in house.alarms(Kind.LINK), "gone")
            assert house.source("camera/hall")["reason"] == "refused"
        found = pictures(await asyncio.to_thread(media_of, place))
        assert [about["shot"] for about, _ in found] == ["command", "alarm"]


def heard(process: CameraProcess, *, durable: bool = True, age_s: float = 0.0, **more: object) -> int:
    """Of how many commands the cameras know after that event."""
    now = SystemClock().now()
    at = {"boot": now.boot_id, "mono_ns": now.mono_ns - round(age_s * 1e9), "wall_ns": now.wall_ns}
    fields = {"dest": "county", "command": "s-1", "params": {}, "status": "done", **more}
    event = {"id": "e1", "kind": "command", "point": "command/snapshot", "active": True, "at": at, "fields": fields}
    process._hear(event, durable=durable)
    return sum(watch.counts["commands"] for watch in process.watches.values())


@pytest.mark.asyncio
async def test_only_a_fresh_command_that_is_written_down_and_done_is_pictured_by_so_many_cameras(
    tmp_path: Path,
) -> None:
    async with site() as place:
        cameras = tuple(Camera(id=f"c{n}", host="127.0.0.1", points=("x",)) for n in range(CAMERAS_MAX + 2))
        process = CameraProcess(place.set(cameras=cameras).config, clock=SystemClock())
        assert heard(process, durable=False) == 0
        assert heard(process, age_s=LATE_S + 1) == 0
        assert heard(process, status="refused") == 0
        assert heard(process, params={"camera": "c9"}) == 1
        assert heard(process) == 1 + CAMERAS_MAX
    assert cameras_asked(["a"], {"camera": "b"}) == []


class Busy:
    """A camera that is asked in turns the test makes, and fails as often as it is told."""

    def __init__(self, failures: int) -> None:
        self.id, self.keeps, self.settings = "hall", False, Camera(id="hall", host="x", points=("x",))
        self.failures = failures

    async def snapshot(self, *, anew: bool = False) -> Shot:
        if not anew and self.failures:
            self.failures -= 1
            raise CameraFault("timeout")
        return Shot(b"\xff\xd8", 1, None)

    async def look_for_recording(self) -> None:
        pass


@pytest.mark.asyncio
async def test_a_picture_of_a_command_waits_for_an_alarms_also_between_its_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch_module, "RETRY_S", 0.02)
    taken: list[Taken] = []

    async def take(one: Taken) -> None:
        taken.append(one)

    watch = Watch(Busy(failures=2), after_s=0.0, taken=take, state=lambda *_: None)  # type: ignore[arg-type]
    for number in range(3):
        watch.command(Cause(f"e{number}", "command/snapshot", 1, dest="county", command=f"s-{number}"))
    watch.alarm(Cause("fire", "x", 1))
    task = asyncio.create_task(watch.run())
    await until(lambda: len(taken) == 2, "both")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [one.shot for one in taken] == ["alarm", "command"]
    assert [cause.command for cause in taken[1].causes] == ["s-0", "s-1", "s-2"], "they share it"


@pytest.mark.asyncio
async def test_pictures_of_commands_make_way_for_those_of_alarms_while_the_core_takes_none() -> None:
    async with site() as place:
        process = CameraProcess(place.config, clock=SystemClock())
        for number, shot in enumerate(("alarm", "command", "alarm", "command", *["alarm"] * 6)):
            await process._take(Taken("hall", shot, (), 0, Shot(b"", number, None), "", "", ""))
        left = [(one.shot, one.picture.taken_wall_ns) for one in process._waiting]
        assert left == [("alarm", number) for number in (0, 2, 4, 5, 6, 7, 8, 9)]
        assert process.dropped == 2


def test_a_centre_that_may_ask_and_gets_no_pictures_is_warned_of(tmp_path: Path) -> None:
    head = '[gateway]\nid = "ZG-360700-0123"\n[board]\ngpio = "gpiod"\noutputs = { buzzer = 2 }\n[[contact]]\nid = "x"\nline = 1\n'
    may = '[[uplink]]\nid = "c"\nhost = "127.0.0.1"\ncommands = ["snapshot"]\n'
    for streams, warned in (("", True), ('streams = ["alarm", "media"]\n', False)):
        (tmp_path / "config.toml").write_text(head + may + streams, "utf-8")
        assert ("snapshot_no_media" in {finding.code for finding in load(tmp_path).findings}) is warned
