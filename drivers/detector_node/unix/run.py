"""The node on a computer: inputs from a file, outputs into files. `micropython unix/run.py DIRECTORY`, with MICROPYPATH set.

DIRECTORY has node.json, inputs.json (replaced whole by whoever plays the sensors), and gets ring.bin, sounder, watchdog and log.
The exit code is the reset: 3 after `reset`, 4 after `sleep`.
"""

import json
import sys
import time

if hasattr(time, "ticks_ms"):
    _ms = time.ticks_ms
else:  # CPython

    def _ms() -> int:
        return int(time.monotonic() * 1000)


class FileBoard:
    """As board.Board."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._inputs: dict = {}
        self._fed, self._level = 0, -1

    def now_ms(self) -> int:
        """See board."""
        return _ms()

    def now_s(self) -> int:
        """See board."""
        return int(time.time())

    def clock_kept(self) -> bool:
        """See board."""
        return True

    def read(self) -> dict:
        """See board."""
        try:
            with open(self._root + "/inputs.json") as file:
                self._inputs = json.load(file)
        except (OSError, ValueError):
            pass  # it is being replaced
        return dict(self._inputs)

    def sound(self, on: bool) -> None:
        """See board."""
        if on != self._level:
            self._level = on
            self._write("sounder", "1" if on else "0")

    def feed_watchdog(self) -> None:
        """See board."""
        self._fed += 1
        self._write("watchdog", str(self._fed))

    def sleep(self, seconds: int) -> None:
        """See board."""
        self._write("slept", str(seconds))
        sys.exit(4)

    def join(self) -> None:
        """See board."""

    def reset(self) -> None:
        """See board."""
        sys.exit(3)

    def log(self, words: str) -> None:
        """See board."""
        with open(self._root + "/log", "a") as file:
            file.write(words + "\n")

    def _write(self, name: str, words: str) -> None:
        with open(self._root + "/" + name, "w") as file:
            file.write(words)


if __name__ == "__main__":
    from detector_node import main

    root = sys.argv[1]
    main.start(root, FileBoard(root))
