"""A real uplink process for kill -9: `python -m tests.uplink.uplink_program DIR PORT UNCONFIRMED_S`."""

import asyncio
import logging
import random
import sys
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.uplink.main import run_uplink
from tests.uplink.site import site_config

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    config = site_config(Path(sys.argv[1]), int(sys.argv[2]), unconfirmed_s=float(sys.argv[3]))
    asyncio.run(run_uplink(config, clock=SystemClock(), rng=random.Random()))
