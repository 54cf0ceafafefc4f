"""`edge-centre command` against a real gateway through a real broker; and what it says when nobody answers."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulators.centre.command import read_params
from simulators.ports import free_port
from tests.brokers import Broker
from tests.commands.programs import with_centre
from tests.core.house import site
from tests.uplink.site import running_uplink
from tests.waiting import until

REPO = Path(__file__).parents[2]


def centre(*args: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(REPO), "LC_ALL": "C.UTF-8"}
    given = [sys.executable, "-m", "simulators.centre", "command", *args]
    return subprocess.run(given, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.asyncio
async def test_a_command_is_sent_answered_and_its_exit_code_says_what_became_of_it(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        async with site() as place:
            config = with_centre(place, broker.port, "duty_check")
            where = ("--port", str(broker.port), config.gateway.id)
            async with place.running() as house, running_uplink(config) as uplink:
                await until(lambda: uplink.core.present and uplink.destinations[0].counters["connections"])
                asked = ("duty_check", "minutes=5", "--id", "d-1", "--by", "王五", "--json")
                done = await asyncio.to_thread(centre, *where, *asked)
                assert done.returncode == 0, done.stderr
                assert json.loads(done.stdout)["result"] == {"minutes": 5}
                assert house.core.duty.waiting
                again = await asyncio.to_thread(centre, *where, *asked)
                assert json.loads(again.stdout)["repeat"] is True
                refused = await asyncio.to_thread(centre, *where, "silence", "--lang", "zh")
                assert (refused.returncode, "被拒绝" in refused.stdout) == (1, True)
                assert "not_authorised" not in refused.stdout, "a code where words belong"


def test_nobody_there_is_a_failure_in_words(tmp_path: Path) -> None:
    no_broker = centre("--port", str(free_port()), "gw-1", "read_state", "--wait", "1", "--lang", "zh")
    assert (no_broker.returncode, "没有答复" in no_broker.stderr) == (2, True)
    with Broker(tmp_path) as broker:
        no_gateway = centre("--port", str(broker.port), "gw-1", "read_state", "--wait", "1", "--lang", "en")
    assert (no_gateway.returncode, "No answer from gateway gw-1" in no_gateway.stderr) == (2, True)
    assert centre("gw-1", "duty_check", "minutes", "--wait", "1").returncode == 64


def test_parameters_are_json_or_else_texts() -> None:
    pairs = ["minutes=10", 'streams=["alarm"]', "alarm=a7", "alarm2="]
    assert read_params(pairs) == {"minutes": 10, "streams": ["alarm"], "alarm": "a7", "alarm2": ""}
