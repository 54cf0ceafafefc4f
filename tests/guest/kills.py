"""Runs inside a guest: kills a service's process and says when systemd had it running again. Standard library only.

python kills.py UNIT SIGNAL COUNT WITHIN_S

A line of JSON for each: {"died_s", "started_s", "ready_s"}, seconds after the signal.
"""

import json
import os
import subprocess
import sys
import time

SHOWN = ("MainPID", "ActiveState", "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic", "NRestarts")


def shown(unit: str) -> dict[str, str]:
    command = ["systemctl", "show", unit, "-p", ",".join(SHOWN)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in said.splitlines())


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def main() -> None:
    unit, number, count, within_s = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    for _ in range(count):
        before = shown(unit)
        assert before["ActiveState"] == "active", before
        pid = int(before["MainPID"])
        at_s = time.monotonic()
        os.kill(pid, number)
        while alive(pid):  # a hang is killed by the watchdog
            assert time.monotonic() < at_s + within_s, f"{unit} still lives"
            time.sleep(0.02)
        died_s = time.monotonic()
        while True:
            now = shown(unit)
            if now["ActiveState"] == "active" and now["MainPID"] not in ("0", str(pid)):
                break
            assert time.monotonic() < at_s + within_s, f"{unit} is not back: {now}"
            time.sleep(0.2)
        assert int(now["NRestarts"]) == int(before["NRestarts"]) + 1, (before, now)
        found = {"died_s": died_s - at_s}
        found["started_s"] = int(now["ExecMainStartTimestampMonotonic"]) / 1e6 - at_s
        found["ready_s"] = int(now["ActiveEnterTimestampMonotonic"]) / 1e6 - at_s
        print(json.dumps({key: round(value, 3) for key, value in found.items()}), flush=True)


main()
