"""What reaches the card: KiB and flushes at the block layer, under the real ext4, beside raw SQLite. Prints one JSON object.

    python -m benchmarks.wear [alarm telemetry day] [--seconds 120] [--mount noatime,lazytime,commit=300]

The image of a loop device lies on a recorder (tests/power), which counts what ext4 writes and flushes.

alarm: one a commit, the floor is raw sqlite3 with WAL and synchronous=FULL as SQLite ships it. telemetry: readings of twenty
meters in the batches that ten seconds make. day: core, uplink, broker and centre run with a 200-point site for `--seconds` of real
time, all of delivery.db and of ext4's own writing included, scaled to a day, and named by file; what is written once an hour is
in it from `--seconds 3900` on (EDGE_WEAR_S does the same). Needs root, /dev/fuse and loop devices.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.journal import EVENT
from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
from simulators.modbus_slave import SlaveLine, slave_like
from tests.power.block import PAGE_BYTES, make_image, mounted, run
from tests.power.recording import MEMORY, Recording, cannot
from tests.proof.site import ProofSite

IMAGE_BYTES = 64 << 20
DAY_S = 86_400
METERS = 10  # about twenty points each
ROW = (
    b'{"at":{"boot":"0b5f0c9e","mono_ns":%d,"wall_ns":1795479922032912817,"clock":"synced"},"source":"meter%d",'
    b'"values":{"voltage_a_v":%d.%d,"voltage_b_v":231.1,"voltage_c_v":229.4,"current_a_a":3.%d,"current_b_a":2.9,"power_kw":1.84}}'
)
MOUNT = "noatime,lazytime,commit=300"  # docs/power.md


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks."""

    seconds: float
    mount: str


class Card:
    """A fresh ext4 on a recorded card; `count` tells what a piece of work put on it."""

    def __init__(self, recording: Recording, image: Path, directory: Path) -> None:
        self._recording, self._image, self.directory = recording, image, directory

    def start(self) -> None:
        """Count from here, with nothing waiting."""
        os.sync()
        self._recording.forget()

    def count(self) -> tuple[int, int]:
        """Bytes and flushes since `start`, with what still waits in memory."""
        os.sync()
        ops = self._recording.fetch()
        return sum(len(op.data) for op in ops if op.kind == "write"), sum(op.kind == "sync" for op in ops)

    def by_file(self) -> dict[str, int]:
        """The bytes of the last `count` by the file whose blocks they are now; "ext4 journal", and "ext4" for all its other own."""
        names = {path.name: f"/{path.name}" for path in sorted(self.directory.iterdir()) if path.is_file()}
        owner: dict[int, str] = {}
        for name, what in {**names, "ext4 journal": "<8>"}.items():
            blocks = run("debugfs", "-R", f"blocks {what}", str(self._image))
            owner |= dict.fromkeys(map(int, blocks.split()), name)
        found = Counter[str]()
        for op in self._recording.ops:
            for at in range(0, len(op.data) if op.kind == "write" else 0, PAGE_BYTES):
                found[owner.get((op.offset + at) // PAGE_BYTES, "ext4")] += min(PAGE_BYTES, len(op.data) - at)
        return dict(found.most_common())


@contextlib.contextmanager
def card(options: str) -> Iterator[Card]:
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="zg-wear-") as name:
        place = Path(name)
        with Recording(place) as recording:
            image = recording.mount / "card.img"
            make_image(image, IMAGE_BYTES)
            with mounted(image, place / "card", options) as directory:
                yield Card(recording, image, directory)


def raw(directory: Path, count: int) -> None:
    db = sqlite3.connect(directory / "raw.db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body BLOB)")
    for i in range(count):
        db.execute("INSERT INTO t (body) VALUES (?)", (EVENT % i,))
    db.close()


def alarm(options: Options) -> dict[str, object]:
    count = 1000
    with card(options.mount) as floor:
        floor.start()
        raw(floor.directory, count)
        floor_bytes, floor_flushes = floor.count()
    with card(options.mount) as used:
        journal = Journal.open(used.directory, JournalSettings(background_check=False), print)
        _alarms(journal, 500)  # the -wal has its length
        used.start()
        _alarms(journal, count)
        written, flushes = used.count()
        journal.close()
    return {
        "floor_kib": round(floor_bytes / count / 1024, 1),
        "floor_flushes": round(floor_flushes / count, 2),
        "kib": round(written / count / 1024, 1),
        "flushes": round(flushes / count, 2),
    }


def _alarms(journal: Journal, count: int) -> None:
    for i in range(count):
        journal.append(Priority.ALARM, EVENT % i)
        assert journal.flush(10)


def telemetry(options: Options) -> dict[str, object]:
    batches, meters = 200, 20
    with card(options.mount) as used:
        journal = Journal.open(used.directory, JournalSettings(background_check=False), print)
        used.start()
        for batch in range(batches):
            for meter in range(meters):
                journal.append(
                    Priority.TELEMETRY, ROW % (batch * 10**10 + meter, meter, 228 + batch % 5, meter % 10, batch % 10)
                )
            assert journal.flush(10)
        written, flushes = used.count()
        journal.close()
    rows = batches * meters
    return {
        "kib_a_row": round(written / rows / 1024, 2),
        "flushes_a_row": round(flushes / rows, 3),
        "rows_a_commit": meters,
    }


def day(options: Options) -> dict[str, object]:
    return asyncio.run(_day(options))


async def _day(options: Options) -> dict[str, object]:
    seconds = options.seconds
    with card(options.mount) as used:
        _fill(used.directory)
        line = SlaveLine(
            [slave_like(unit, "eastron-sdm630") for unit in range(1, METERS + 1)],
            baud=None,
            link=used.directory.parent / "rtu1",
        )
        port = line.plug()
        devices = "".join(
            f'[[bus.device]]\nid = "meter{unit}"\nprofile = "eastron-sdm630"\naddress = {unit}\nperiod_s = 10.0\n'
            for unit in range(1, METERS + 1)
        )
        try:
            async with ProofSite(
                data_dir=used.directory, more=f'[[bus]]\nid = "rtu1"\nport = "{port}"\n{devices}'
            ) as site:
                await site.start()
                points = len(await site.ask("points") or ())
                await asyncio.sleep(20)  # the boot is told, what was filled in is delivered
                used.start()
                await asyncio.sleep(seconds)
                written, flushes = used.count()
                by_file = used.by_file()
        finally:
            line.unplug()
    return {
        "points": points,
        "seconds": seconds,
        "mb_a_day": round(written * DAY_S / seconds / 1e6, 1),
        "mb_a_day_by_file": {name: round(count * DAY_S / seconds / 1e6, 2) for name, count in by_file.items()},
        "flushes_a_day": round(flushes * DAY_S / seconds),
        "mount": options.mount,
    }


def _fill(directory: Path) -> None:
    """A gateway that has run for hours: its -wal files have their length. Killed, because closing in order would remove them."""
    words = [sys.executable, "-m", "tests.power.writer", str(directory), os.devnull, "fill", "900", "DIE"]
    subprocess.run(words, check=False, capture_output=True, timeout=100)


FIGURES: dict[str, Callable[[Options], dict[str, object]]] = {"alarm": alarm, "telemetry": telemetry, "day": day}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("EDGE_WEAR_S", "120")))
    parser.add_argument("--mount", default=MOUNT, help="options of the file system")
    words = parser.parse_args()
    options = Options(words.seconds, words.mount)
    if why := cannot():
        print(f"benchmarks.wear {why}", file=sys.stderr)
        return 1
    print(json.dumps({name: FIGURES[name](options) for name in words.figures or FIGURES}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
