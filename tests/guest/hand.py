"""Runs inside a guest: does what the test asks over a virtio port. One JSON object a line, both ways; standard library only.

    < {"id": 3, "run": ["sh", "-c", "id"], "stdin": base64, "timeout_s": 60}    > {"id": 3, "code": 0, "out": base64, "err": base64}
    < {"id": 4, "follow": ["journalctl", "-f"]}      > {"id": 4, "line": base64} for each line, > {"id": 4, "code": 0} at its end

Files go both ways as the input and output of `sh` and `cat`. The first line is {"hello": boot id}.
"""

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PORT = "edge.hand"
OUTPUT_MAX = 16 * 1024 * 1024
NETWORK = """
busybox ip link set lo up
busybox ip link set eth0 up && busybox ip addr add 10.0.2.15/24 dev eth0
"""


def plain(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Hand:
    """The port, to which any thread may write a line."""

    def __init__(self, path: Path) -> None:
        self._port = path.open("r+b", buffering=0)
        self._lock = threading.Lock()

    def say(self, message: dict[str, object]) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            while data:
                data = data[self._port.write(data) or 0 :]

    def asked(self) -> Iterator[dict[str, Any]]:
        held = b""
        while more := self._port.read(65536):  # nothing: the test has gone
            *whole, held = (held + more).split(b"\n")
            yield from (json.loads(line) for line in whole)

    def run(self, asked: dict[str, Any]) -> None:
        given, within_s = base64.b64decode(asked["stdin"]), asked["timeout_s"]
        try:
            done = subprocess.run(asked["run"], input=given, capture_output=True, timeout=within_s, check=False)
            code, out, err = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            code, out, err = -1, late.stdout or b"", b"timeout"
        except OSError as fault:
            code, out, err = 127, b"", str(fault).encode()
        self.say({"id": asked["id"], "code": code, "out": plain(out[:OUTPUT_MAX]), "err": plain(err[-65536:])})

    def follow(self, asked: dict[str, Any]) -> None:
        with subprocess.Popen(asked["follow"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                self.say({"id": asked["id"], "line": plain(line)})
        self.say({"id": asked["id"], "code": process.returncode})


def main() -> None:
    subprocess.run(["/bin/busybox", "sh", "-c", NETWORK], stderr=subprocess.DEVNULL, check=False)
    names = Path("/sys/class/virtio-ports").glob("*/name")
    (port,) = [name.parent.name for name in names if name.read_text().strip() == PORT]
    hand = Hand(Path("/dev") / port)
    hand.say({"hello": Path("/proc/sys/kernel/random/boot_id").read_text().strip()})
    for asked in hand.asked():
        threading.Thread(target=hand.run if "run" in asked else hand.follow, args=(asked,), daemon=True).start()


main()
