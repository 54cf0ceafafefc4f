"""A box whose wall clock says 1970 and that meets a broker with TLS: why it cannot, in a process of its own.

python -m tests.uplink.in_1970 PORT CA CERT KEY [CRL]
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from edge_agent.clock import SystemClock
from edge_agent.uplink.link import LinkError
from edge_agent.uplink.mqtt import MqttLink, MqttSettings
from edge_agent.uplink.path import RoutedPath
from edge_agent.uplink.trust import Trust
from tests.time.test_faked import REPO, faketime


async def told_in_1970(port: int, *files: Path) -> list[str]:
    """Years since 1970 by that clock, what people are told, and the reason."""
    faked = {"LD_PRELOAD": str(faketime()), "FAKETIME": "@1970-01-02 00:00:00", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.uplink.in_1970", str(port), *files),
        env={**os.environ, **faked, "PYTHONPATH": str(REPO), "TZ": "UTC"},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await program.communicate()
    return said.decode().split()


def main(port: str, *files: str) -> None:
    settings = MqttSettings(
        gateway="g", host="127.0.0.1", port=int(port), keepalive_s=30, expiry_s=40, trust=Trust(*map(Path, files))
    )
    link = MqttLink(settings, SystemClock(), RoutedPath().tcp)
    print(int(time.time()) // 31_536_000)
    try:
        asyncio.run(link.open(SimpleNamespace(desk=None, noticed=print)))  # type: ignore[arg-type]
    except LinkError as fault:
        print(fault.reason)


if __name__ == "__main__":
    main(*sys.argv[1:])
