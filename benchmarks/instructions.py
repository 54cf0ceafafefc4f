"""What an event costs in AArch64 instructions, kernel included: counted, not timed.

    python -m benchmarks.instructions [--keep]     two runs; exit 1 if they differ, or are over the floor or what is kept in
                                                   instructions.json
                                                   --keep: write down what was counted, after a change that is meant to cost

Three figures. `way`: one alarm all its way, from the panel's bytes to the message for the centre (`one_alarm.py`). `gst-layer-bus`
and `gb26875`: the four steps of matrix row R4 alone, decode, JSON, durable insert, encode (`four_steps.py`). The row's floor is for
those.

Both programs run in a guest under qemu's `-icount shift=0,sleep=off`: one nanosecond of its clock is one instruction, and a sleep
takes none. Its journal is on an ext4 on a RAM disk, which commits as on a card. The figures are the same on every
machine; they change with the guest's Debian (Python, SQLite, kernel) as they do with this project. Needs what tests/guest needs,
half a minute of a processor for the boot, and a minute for each run.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.guest.board import PLACE, RAM_DISK, board_image
from tests.guest.machine import Machine

KEPT: Final = Path(__file__).with_suffix(".json")
FLOOR: Final = 400_000  # what the fault matrix asks of the four steps (R4)
APART, MORE = 0.01, 0.05  # two runs may differ by so much, and a change may cost so much, of a figure
ALARMS: Final = 100
EVENTS: Final = 60
WAY: Final = "way"
PANEL: Final = "gst-layer-bus"
FRESH_DISK: Final = (
    f"cd /; umount /mnt 2>/dev/null || mkdir -p /mnt; cat /{RAM_DISK} > /dev/ram0; mount -t ext4 /dev/ram0 /mnt"
)

Figures = Mapping[str, float]


async def count(directory: Path, *plants: Figures) -> list[dict[str, Any]]:
    """What both programs counted, a run for each of `plants`: instructions of a loop in the way of the alarm, and of the steps."""
    more = ("-icount", "shift=0,sleep=off")
    image = await asyncio.to_thread(board_image)
    async with Machine(
        image, directory, init="/opt/guest/init", accel="tcg", append="nokaslr norandmaps", more=more
    ) as guest:
        await guest.up()

        async def said(program: str) -> dict[str, Any]:
            await guest.shell(FRESH_DISK)
            run = f"cd /{PLACE}; PYTHONHASHSEED=0 python3 -m benchmarks.{program}"
            found: dict[str, Any] = json.loads((await guest.shell(run)).splitlines()[-1])
            return found

        return [
            {
                WAY: await said(f"one_alarm /mnt/gateway --alarms {ALARMS} --planted {round(planted[WAY])}"),
                **await said(f"four_steps /mnt/gateway --events {EVENTS} --planted {round(planted[PANEL])}"),
            }
            for planted in plants
        ]


def figures(run: Mapping[str, Any]) -> dict[str, float]:
    """Instructions of one run: the program's own, its system calls, and the kernel's thread that commits its file system."""
    return {
        name: float(part["process_ns"] + part["jbd2_ns"] if name == WAY else part["event_ns"])
        for name, part in run.items()
    }


def verdict(runs: Sequence[Figures], before: Figures) -> list[str]:
    """What is wrong with these figures beside the floor and those that are kept; nothing if they are as they should be."""
    wrong = []
    for name, base in before.items():
        found = [run[name] for run in runs]
        if max(found) - min(found) > APART * min(found):
            wrong.append(f"{name}: two runs differ: {found}")
        if name != WAY and max(found) > FLOOR:
            wrong.append(f"{name}: {max(found):.0f} instructions, over the {FLOOR} that are asked for")
        if max(found) > base * (1 + MORE):
            wrong.append(
                f"{name}: {max(found):.0f} instructions, {max(found) / base - 1:.1%} more than the {base:.0f} kept"
            )
    return wrong


def kept() -> dict[str, float]:
    """The stored figures."""
    found: dict[str, float] = json.loads(KEPT.read_text())["instructions"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = asyncio.run(count(Path(directory), *2 * [dict.fromkeys((WAY, PANEL), 0.0)]))
    runs = [figures(run) for run in found]
    if arguments.keep:
        lowest = {name: round(min(run[name] for run in runs)) for name in runs[0]}
        KEPT.write_text(json.dumps({"instructions": lowest, **found[0]}, indent=1) + "\n")
    wrong = verdict(runs, kept())
    print(json.dumps({"instructions": runs, "kept": kept(), "floor": FLOOR, "wrong": wrong, "first": found[0]}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
