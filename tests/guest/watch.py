"""Runs inside a guest: stands beside the core and prints every event it tells of, across its restarts. Standard library only."""

import json
import socket
import time

PATH = "/run/edge-agent/core.sock"


def main() -> None:
    while True:
        with socket.socket(socket.AF_UNIX) as core:
            try:
                core.connect(PATH)
                core.sendall(json.dumps({"id": 1, "do": "watch", "what": ["event"]}).encode() + b"\n")
                for line in core.makefile("rb"):
                    print(line.decode("utf-8"), end="", flush=True)
            except OSError:
                time.sleep(0.05)


main()
