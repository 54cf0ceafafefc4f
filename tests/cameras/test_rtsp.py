"""RTSP by a real ffmpeg: against somebody else's server, and against our own camera with password, recording and bad moods."""

import asyncio
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cameras import camera as camera_module
from edge_agent.cameras import rtsp
from edge_agent.cameras.camera import Camera
from edge_agent.cameras.digest import Credentials
from edge_agent.cameras.faults import CameraFault
from edge_agent.config.model import Camera as Settings
from simulators.ports import free_port
from simulators.rtsp_camera import KEPT, LIVE, MOODS, RtspCamera, units_of
from tests.brokers import listens
from tests.waiting import PATIENCE_S, eventually

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SMALL, LARGE = (160, 120), (320, 240)


@pytest.fixture(autouse=True)
def ffmpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_FFMPEG", FFMPEG)
    monkeypatch.setattr(camera_module, "RTSP_S", PATIENCE_S)


def clip(size: tuple[int, int]) -> bytes:
    """A second of H.264 with a key frame in each five pictures."""
    command = [FFMPEG, "-v", "error", "-f", "lavfi", "-i", f"testsrc=size={size[0]}x{size[1]}:rate=5", "-t", "1", "-c:v", "libx264",
               "-preset", "ultrafast", "-g", "5", "-pix_fmt", "yuv420p", "-threads", "1", "-f", "h264", "pipe:1"]  # fmt: skip
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def clips() -> dict[tuple[int, int], bytes]:
    return {size: clip(size) for size in (SMALL, LARGE)}


def size_of(jpeg: bytes) -> tuple[int, int]:
    """Width and height, by the frame header."""
    at = 2
    while jpeg[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")


def camera(port: int, tmp_path: Path, password: str = "pass:wörd'<&", **more: Any) -> Camera:
    (tmp_path / "login.cred").write_text(f"viewer:{password}", "utf-8")
    given: dict[str, Any] = {"path": LIVE, "before_path": KEPT + "?start={start}", "before_port": port, **more}
    settings = Settings(id="yard", host="127.0.0.1", port=port, method="rtsp", points=("*",),
                        credentials_file=tmp_path / "login.cred", **given)  # fmt: skip
    return Camera(settings, max_bytes=512 * 1024, wall_ns=time.time_ns)


async def code_of(work: Any) -> str:
    with pytest.raises(CameraFault) as caught:
        await work
    assert "wörd" not in str(caught.value)
    return caught.value.code


def children() -> list[str]:
    """Command lines of our living child processes."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            try:
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return [line for line in found if "ffmpeg" in line]


@contextmanager
def somebody_elses_server(pictures: list[list[bytes]]) -> Iterator[int]:
    """rtsp-rs: it takes RTP over UDP only, and no password."""
    library = pytest.importorskip("rtsp")
    port = free_port()
    server = library.Server(f"127.0.0.1:{port}")
    server.start()
    eventually(lambda: listens(os.getpid(), port), "it listens")
    stop = threading.Event()

    def feed() -> None:
        number = 0
        while not stop.wait(0.05):
            server.send_frame(b"".join(b"\0\0\0\1" + unit for unit in pictures[number % len(pictures)]), 18_000)
            number += 1

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield port
    finally:
        stop.set()
        feeder.join()
        server.stop()


@pytest.mark.asyncio
async def test_a_frame_comes_from_somebody_elses_rtsp_server(
    clips: dict[tuple[int, int], bytes], tmp_path: Path
) -> None:
    with somebody_elses_server(units_of(clips[LARGE])) as port:
        shot = await camera(port, tmp_path, path="/stream").snapshot()
    assert size_of(shot.jpeg) == LARGE
    assert shot.clock_off_ns is None


@pytest.mark.asyncio
async def test_a_password_goes_to_the_camera_and_to_no_command_line_and_the_recording_is_had_by_its_start(
    clips: dict[tuple[int, int], bytes], tmp_path: Path
) -> None:
    async with RtspCamera(clips[LARGE], clips[SMALL]) as there:
        one = camera(there.port, tmp_path)
        taking = asyncio.create_task(one.snapshot())
        seen: set[str] = set()
        while not taking.done():
            seen.update(children())
            await asyncio.sleep(0.02)
        assert size_of((await taking).jpeg) == LARGE
        assert seen
        assert not any("viewer" in line or "rtsp://" in line or "rd'" in line for line in seen)
        kept = await one.before(1_795_651_200 * 10**9, 1_795_651_205 * 10**9, None)
        assert size_of(kept.jpeg) == SMALL
        assert ("DESCRIBE", f"rtsp://127.0.0.1:{there.port}/kept?start=20261126T000000Z") in there.asked
        assert there.refused == 2, "each time asked once, answered once"


@pytest.mark.asyncio
async def test_what_goes_wrong_has_a_code(clips: dict[tuple[int, int], bytes], tmp_path: Path) -> None:
    async with RtspCamera(clips[LARGE]) as there:
        assert await code_of(camera(there.port, tmp_path, password="wrong").snapshot()) == "auth"
        assert await code_of(camera(there.port, tmp_path, path="/nowhere").snapshot()) == "no_stream"
        one = camera(there.port, tmp_path)
        one._max_bytes = 1000
        assert await code_of(one.snapshot()) == "too_large"
    assert await code_of(camera(there.port, tmp_path).snapshot()) == "refused"
    async with RtspCamera(clips[LARGE], moods=frozenset({"garbage"})) as there:
        assert await code_of(camera(there.port, tmp_path).snapshot()) == "no_frame"


@pytest.mark.asyncio
async def test_a_camera_that_never_gives_a_frame_is_left_in_time_and_its_ffmpeg_is_gone(
    clips: dict[tuple[int, int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_module, "RTSP_S", 1.0)
    assert "silent" in MOODS
    async with RtspCamera(clips[LARGE], moods=frozenset({"silent"})) as there:
        assert await code_of(camera(there.port, tmp_path).snapshot()) == "timeout"
        assert children() == []
        taking = asyncio.create_task(camera(there.port, tmp_path).snapshot())
        async with asyncio.timeout(PATIENCE_S):
            while not children():
                await asyncio.sleep(0.01)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert children() == [], "cancelled, it leaves nothing behind"


@pytest.mark.asyncio
async def test_without_ffmpeg_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGE_FFMPEG")
    monkeypatch.setenv("PATH", "")
    assert await code_of(camera(9, tmp_path).snapshot()) == "no_ffmpeg"


def test_the_address_quotes_what_a_password_may_hold() -> None:
    said = rtsp.address("10.0.0.1", 554, "/x?a=1", Credentials("a@b", "p:/'?#ü"))
    assert said == "rtsp://a%40b:p%3A%2F%27%3F%23%C3%BC@10.0.0.1:554/x?a=1"
    assert rtsp.address("fe80::1", 8554, "/", None) == "rtsp://[fe80::1]:8554/"
    assert not re.search(r"rtsp://", " ".join(rtsp.command("ffmpeg", ["-f", "concat"])))
    assert os.environ["EDGE_FFMPEG"]
