"""AArch64 instructions of one alarm, from the panel's bytes to the message for the centre, kernel included: counted, not timed.

    python -m benchmarks.instructions [--keep]     two runs; exit 1 if they differ, or are over what is kept in instructions.json
                                                   --keep: write down what was counted, after a change that is meant to cost

`one_alarm.py` runs in a guest under qemu's `-icount shift=0,sleep=off`: one nanosecond of its clock is one instruction, and a sleep
takes none. Its journal is on an ext4 on a RAM disk, which commits as on a card. The figure is the same on every
machine; it changes with the guest's Debian (Python, SQLite, kernel) as it does with this project. Needs what tests/guest needs, and
half a minute of a processor for the boot, as much for each run.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.guest.board import PLACE, RAM_DISK, board_image
from tests.guest.machine import Machine

KEPT: Final = Path(__file__).with_suffix(".json")
FLOOR: Final = 400_000  # what the fault matrix asks for (R4)
APART, MORE = 0.01, 0.05  # two runs may differ by so much, and a change may cost so much, of the figure
ALARMS: Final = 100


async def count(directory: Path, *plants: int) -> list[dict[str, Any]]:
    """What `one_alarm.py` counted, a run for each of `plants`: instructions of a loop that is planted in the way of the alarm."""
    more = ("-icount", "shift=0,sleep=off")
    image = await asyncio.to_thread(board_image)
    async with Machine(
        image, directory, init="/opt/guest/init", accel="tcg", append="nokaslr norandmaps", more=more
    ) as guest:
        await guest.up()
        found = []
        for planted in plants:
            await guest.shell(
                f"umount /mnt 2>/dev/null || mkdir -p /mnt; cat /{RAM_DISK} > /dev/ram0; mount -t ext4 /dev/ram0 /mnt"
            )
            run = f"python3 -m benchmarks.one_alarm /mnt/gateway --alarms {ALARMS} --planted {planted}"
            said = await guest.shell(f"cd /{PLACE}; PYTHONHASHSEED=0 {run}")
            found.append(json.loads(said.splitlines()[-1]))
        return found


def total(run: dict[str, Any]) -> float:
    """Instructions an alarm: the program's own, its system calls, and the kernel's thread that commits its file system."""
    return float(run["process_ns"] + run["jbd2_ns"])


def verdict(runs: list[float], kept: float) -> list[str]:
    """What is wrong with these figures beside the one that is kept; nothing if they are as they should be."""
    wrong = []
    if max(runs) - min(runs) > APART * min(runs):
        wrong.append(f"two runs differ: {runs}")
    if max(runs) > kept * (1 + MORE):
        wrong.append(
            f"{max(runs):.0f} instructions an alarm, {max(runs) / kept - 1:.1%} more than the {kept:.0f} that are kept"
        )
    return wrong


def kept() -> float:
    """The stored figure."""
    return float(json.loads(KEPT.read_text())["instructions"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(count(Path(directory), 0, 0))
    runs = [total(run) for run in found]
    if arguments.keep:
        KEPT.write_text(json.dumps({"instructions": round(min(runs)), **found[0]}, indent=1) + "\n")
    wrong = verdict(runs, kept())
    print(json.dumps({"instructions": runs, "kept": kept(), "floor": FLOOR, "wrong": wrong, "first": found[0]}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
