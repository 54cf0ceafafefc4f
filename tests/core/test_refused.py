"""What a panel said that was not understood is counted, kept and shown."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge_agent.answers import refused
from edge_agent.clock import SystemClock
from edge_agent.config.load import load
from edge_agent.core import Core
from simulators.panel import PanelSim
from tests.waiting import until


@pytest.mark.asyncio
async def test_a_damaged_frame_is_counted_and_its_bytes_are_shown() -> None:
    with tempfile.TemporaryDirectory(prefix="zg-") as name:
        directory = Path(name)
        (directory / "run").mkdir()
        panel = PanelSim("jbf-11s-old", link=directory / "panel1", paced=False)
        config = f"""
        [gateway]
        id = "ZG-TEST-0001"
        data_dir = "{directory}/data"
        run_dir = "{directory}/run"
        [[panel]]
        id = "panel1"
        profile = "jbf-11s-old"
        port = "{directory}/panel1"
        """
        (directory / "config.toml").write_text(config)
        loaded = load(directory)
        assert loaded.config is not None
        async with panel:
            core = Core(loaded.config, SystemClock())
            running = asyncio.create_task(core.run())
            damaged = bytes.fromhex("FFFFFF0A01016E0113000102051404 03120D36BE000000000000000001C8")
            await until(lambda: panel.heard)
            await panel.inject(damaged)
            await until(lambda: refused(core))
            shown = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "edge_agent", "--config", name, "status", "--refused", "--json"],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ,
            )
            kept = json.loads(shown.stdout)
            source = next(source for source in core.sources() if source["id"] == "panel1")
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
    assert kept[0]["source"] == "panel1"
    assert damaged.hex(" ") in kept[0]["raw"]
    counters = source["counters"]
    assert isinstance(counters, dict)
    assert counters["refused"] >= 1
