"""Runs inside a guest: carries the core's local API to the test over a virtio port of its own, byte by byte.

bridge.py SOCKET. It waits for the core, and ends with it: whoever starts another core starts another bridge.
"""

import os
import select
import socket
import sys
import time
from pathlib import Path

PORT = "edge.core"


def main() -> None:
    (name,) = [n for n in Path("/sys/class/virtio-ports").glob("*/name") if n.read_text().strip() == PORT]
    port = os.open(f"/dev/{name.parent.name}", os.O_RDWR)
    core = socket.socket(socket.AF_UNIX)
    while core.connect_ex(sys.argv[1]):
        time.sleep(0.2)
    ends = {port: core.fileno(), core.fileno(): port}
    while True:
        for end in select.select(list(ends), [], [])[0]:
            data = os.read(end, 65536)
            if not data:
                return
            while data:
                data = data[os.write(ends[end], data) :]


main()
