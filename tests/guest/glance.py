"""Runs inside a guest: what lies on the disk of an update, and what the core says of itself, a line of JSON whenever it changes.

{"current": "a", "good": "a", "in_hand": ["open"], "core": {"version": "9.1.0", "slot": "a", "reached": true} or null}

In one process: an interpreted processor takes seconds to start another. Standard library only.
"""

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

ROOT, SPOOL = Path("/opt/edge-agent"), Path("/var/lib/edge-agent/update")
IN_HAND = {"open": ROOT / "update/open", "request": SPOOL / "request", "fetching": SPOOL / "fetch.json"}
STATE = ROOT / "update/state.json"
CORE = "/run/edge-agent/core.sock"


def core() -> dict[str, Any] | None:
    try:
        with socket.socket(socket.AF_UNIX) as api:
            api.settimeout(10)
            api.connect(CORE)
            api.sendall(b'{"id": 1, "do": "status"}\n')
            said = json.loads(api.makefile("rb").readline())["result"]
    except (OSError, ValueError, LookupError):
        return None
    heard = any(source["id"] == "panel1" and source["up"] for source in said["sources"])
    reached = heard and any(uplink["up"] for uplink in said["uplinks"])
    return {"version": said["version"], "slot": said["update"]["slot"], "reached": reached}


def main() -> None:
    before = ""
    while True:
        in_hand = [name for name, path in IN_HAND.items() if path.exists()]
        if STATE.exists() and not re.search(r'"phase": *"idle"', STATE.read_text()):
            in_hand.append("at work")
        links = {name: str((ROOT / name).readlink()).removeprefix("slots/") for name in ("current", "good")}
        now = json.dumps({**links, "in_hand": in_hand, "core": core()})
        if now != before:
            print(now, flush=True)
            before = now
        time.sleep(0.5)


main()
