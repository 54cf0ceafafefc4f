"""The updater, as edge-agent-update.service starts it from the slot that is known to be good:

/opt/edge-agent/good/bin/python -P -m edge_agent.update
"""

import argparse
import asyncio
import fcntl
import logging
import sys
from dataclasses import fields
from pathlib import Path

from edge_agent.clock import SystemClock
from edge_agent.last_good import gateway_of
from edge_agent.terminal import DEFAULT_CONFIG_DIR, FAILURES, OK, WARNINGS
from edge_agent.update.judge import KEYS_DIR
from edge_agent.update.services import Core, Systemd
from edge_agent.update.slots import ROOT, LayoutError, Slots
from edge_agent.update.state import DIRECTORY, LOCK, SPOOL, Desk
from edge_agent.update.updater import Place, Times, Updater


def main() -> int:
    """0; 1 if another one is at work; 2 if the slots are not what they should be, or cannot be written."""
    parser = argparse.ArgumentParser(prog="edge_agent.update")
    parser.add_argument("--root", type=Path, default=ROOT)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG_DIR)
    parser.add_argument("--keys", type=Path, default=KEYS_DIR)
    for one in fields(Times):
        parser.add_argument(f"--{one.name.replace('_', '-')}", type=float, default=one.default)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s", stream=sys.stderr)
    gateway = gateway_of(given.config)
    desk = Desk(given.root, gateway.data_dir / SPOOL)
    place = Place(slots=Slots(given.root), desk=desk, keys_dir=given.keys, config_dir=given.config)
    times = Times(**{one.name: getattr(given, one.name) for one in fields(Times)})
    try:
        desk.directory.mkdir(exist_ok=True)
        with (given.root / DIRECTORY / LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return WARNINGS
            core = Core(gateway.run_dir / "core.sock")
            asyncio.run(Updater(place, core, Systemd(), SystemClock().now().boot_id, times).run())
    except (LayoutError, OSError) as fault:
        logging.getLogger("edge.update").critical("step=failed %s", ascii(fault))
        return FAILURES
    return OK


if __name__ == "__main__":
    sys.exit(main())
