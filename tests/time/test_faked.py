"""The programs as they are, under a faked wall clock: 1970, a step of a year, and 2039. Monotonic time is the real one."""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.local_api import LocalClient
from simulators.process import Program
from tests.commands.programs import with_centre, write_site
from tests.core.house import Site, site
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio

REPO = Path(__file__).parents[2]
S = 1_000_000_000


def faketime() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    assert found, "libfaketime is missing: apt-get install faketime"
    return found[0]


@asynccontextmanager
async def core_at(place: Site, directory: Path, when: str) -> AsyncIterator[tuple[LocalClient, Path]]:
    """A core that believes it is `when`; writing another time into the file steps its clock."""
    stamp = place.directory / "now"
    stamp.write_text(when)
    faked = {"LD_PRELOAD": str(faketime()), "FAKETIME_TIMESTAMP_FILE": str(stamp), "FAKETIME_NO_CACHE": "1",
             "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"}  # fmt: skip
    words = (sys.executable, "-m", "edge_agent", "--config", str(directory), "run")
    program = Program("run", words, place.directory / "run.log", faked)
    path = place.config.gateway.run_dir / "core.sock"
    try:
        await program.start()
        clients: list[LocalClient] = []

        async def connected() -> bool:
            with contextlib.suppress(OSError):  # the path is there a moment before anybody listens
                clients.append(await LocalClient.connect(path))
            return bool(clients)

        await until(connected, "the core listens")
        try:
            yield clients[0], stamp
        finally:
            await clients[0].close()
    finally:
        await program.stop(PATIENCE_S)


async def status(client: LocalClient) -> Mapping[str, Any]:
    answer = await client.request("status")
    assert isinstance(answer, dict)
    return answer


async def lived(client: LocalClient, uptime_s: float) -> bool:
    return bool((await status(client))["uptime_s"] >= uptime_s)


async def shown(directory: Path, *more: str) -> bytes:
    """What `edge-agent events` says."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "edge_agent", "--config", str(directory), "events", *more,
        env={**os.environ, "PYTHONPATH": str(REPO), "LC_ALL": "C.UTF-8"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await program.communicate()
    assert program.returncode == 0
    return out


async def test_a_box_that_starts_in_1970_is_set_by_its_centre_and_goes_through_2038() -> None:
    async with site() as place:
        with_centre(place, 1, "set_clock")
        directory = write_site(place, 1)
        config = directory / "config.toml"
        config.write_text(config.read_text("utf-8").replace('"read_state", "test_buzzer"', '"set_clock"'), "utf-8")
        async with core_at(place, directory, "@1970-01-02 00:00:00") as (client, stamp):
            assert (await status(client))["clock"] == "unset"
            ask = {"dest": "county", "command": "t1", "name": "set_clock", "params": {"wall_ns": time.time_ns()}}
            answer = await client.request("command", expires_wall_ns=None, by="", **ask)
            assert isinstance(answer, dict)
            assert (answer["status"], answer["result"]["how"]) == ("done", "stepped")
            stamp.write_text("@1971-06-01 00:00:00")
            older_s = (await status(client))["uptime_s"] + 1.5  # it looks at the stepped clock once a second
            await until(lambda: lived(client, older_s), "the house has looked")
            now = await status(client)
            assert (now["clock"], abs(now["wall_ns"] - time.time_ns()) < 10 * S) == ("synced", True)
            assert 0 < now["uptime_s"] < 3600, "monotonic time is the real one"
        found = json.loads(await shown(directory, "--stream", "status", "--json"))
        first = found[-1]["body"]
        assert (first["kind"], first["at"]["clock"], first["at"]["restamped"]) == ("boot", "synced", True)
        assert abs(first["at"]["wall_ns"] - time.time_ns()) < 120 * S
        walls = [record["body"]["at"]["wall_ns"] for record in found]
        assert walls == sorted(walls, reverse=True), "newest first is newest first"
        assert [r["body"]["fields"]["source"] for r in found if r["body"]["kind"] == "clock"] == ["centre"]

        async with core_at(place, directory, "@2039-03-01 00:00:00") as (client, _):
            # within one boot of the kernel, so the time the centre told is known again and beats a clock nobody vouched for
            now = await status(client)
            assert (now["clock"], abs(now["wall_ns"] - time.time_ns()) < 60 * S) == ("synced", True)

    async with site() as place:
        with_centre(place, 1, "set_clock")
        directory = write_site(place, 1)
        async with core_at(place, directory, "@2039-03-01 00:00:00") as (client, _):
            assert (await status(client))["clock"] == "holdover"
        text = (await shown(directory, "--stream", "status", "--lang", "en")).decode()
        assert "2039-03-01 08:00" in text, "in China"
        assert "start-up" in text
