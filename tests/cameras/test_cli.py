"""What a technician runs, and the process itself: killed with -9 and started again, it pictures the next alarm."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drivers.messages import PanelEvent
from simulators import camera as simulated
from tests.cameras.test_service import media_of, pictures
from tests.core.house import Site, site
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]


def configured(place: Site, there: simulated.Camera, password: str | None = None) -> Path:
    """A configuration directory with the camera, for programs of their own."""
    directory = place.directory / "etc"
    directory.mkdir(exist_ok=True)
    secret = directory / "hall.cred"
    secret.write_text(f"{there.user}:{there.password if password is None else password}", "utf-8")
    gateway = place.config.gateway
    (directory / "config.toml").write_text(
        f"""
[gateway]
id = "{gateway.id}"
data_dir = "{gateway.data_dir}"
run_dir = "{gateway.run_dir}"
[board]
gpio = "fake"
fake_socket = "{gateway.run_dir}/gpio.sock"
outputs = {{ buzzer = 17 }}
[[contact]]
id = "pump-room"
line = 12
[media]
after_s = 0.0
[[camera]]
id = "hall"
host = "127.0.0.1"
port = {there.port}
method = "http"
path = "{simulated.PICTURE}"
before_method = "http"
before_path = "/kept?start={{start}}"
credentials_file = "hall.cred"
points = ["panel1/*"]
""",
        "utf-8",
    )
    return directory


def pictured(place: Site, point: str) -> bool:
    """Whether the journal has a picture of this alarm, and what the camera kept from before, whole."""
    shots = {
        str(about["shot"]) for about, _ in pictures(media_of(place), may_lack=True) if point in str(about["points"])
    }
    return shots == {"alarm", "before"}


async def edge_agent(*words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "edge_agent", "--lang", "en", *words]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False)
    return done.returncode, done.stdout, done.stderr


async def test_a_camera_is_tried_from_the_command_line_and_its_password_is_shown_nowhere() -> None:
    async with site() as place, simulated.Camera(time.time_ns) as there:
        directory, out = configured(place, there), place.directory / "hall.jpg"
        code, said, _ = await edge_agent(
            "--config", str(directory), "camera", "test", "hall", "--out", str(out), "--before"
        )
        assert (code, "a picture" in said, "from 5.0 s ago" in said) == (0, True, True), said
        assert out.read_bytes().startswith(b"\xff\xd8")
        there.clock_off_s = 3600.0
        code, said, _ = await edge_agent("--config", str(directory), "camera", "test", "--json")
        [row] = json.loads(said)
        assert (code, row["ok"], round(row["clock_off_s"], -1)) == (1, True, 3600.0)
        configured(place, there, password="wrong-secret")
        code, said, more = await edge_agent("--config", str(directory), "camera", "test", "hall")
        assert (code, "wrong user or password" in said) == (2, True), said
        assert "wrong-secret" not in said + more
        code, said, more = await edge_agent("--config", str(directory), "camera", "test", "yard")
        assert (code, "There are: hall" in more) == (64, True)


async def test_without_a_camera_the_process_stays_off() -> None:
    async with site() as place, simulated.Camera(time.time_ns) as there:
        directory = configured(place, there)
        text = (directory / "config.toml").read_text("utf-8")
        (directory / "config.toml").write_text(text[: text.index("[[camera]]")], "utf-8")
        code, _, more = await edge_agent("cameras", "--config", str(directory))
        assert (code, "No [[camera]]" in more) == (78, True)


async def test_the_process_is_killed_and_the_next_one_pictures_the_next_alarm() -> None:
    async with site() as place, simulated.Camera(time.time_ns) as there:
        directory = configured(place, there)
        from edge_agent.config.load import load

        config = load(directory).config
        assert config is not None
        async with place.set(cameras=config.cameras, media=config.media).running() as house:
            for number in (1, 2):
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "edge_agent", "cameras", "--config", str(directory)), cwd=ROOT,
                    stderr=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
                try:
                    served = len(there.served)
                    await house.until(lambda before=served: len(there.served) > before, "it has tried the camera")
                    house.core.take([PanelEvent(f"panel1/1-{number}", "fire", house.core.now_ns(), {}, b"")])
                    await house.until(lambda point=f"panel1/1-{number}": pictured(place, point), "pictured")
                finally:
                    os.kill(process.pid, signal.SIGKILL if number == 1 else signal.SIGTERM)
                    async with asyncio.timeout(PATIENCE_S):
                        code = await process.wait()
                assert code == (-signal.SIGKILL if number == 1 else 0)
