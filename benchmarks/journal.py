"""What durability costs: the journal beside raw sqlite3 on the same disk in the same run. Prints one JSON object.

    python -m benchmarks.journal [alarm telemetry read open recovery] [--dir DIR]

alarm: `await_each` appends one alarm and waits until it is durable before the next (one commit each; the hop to the writer's
thread and back is inside); `window_2`, `window_8` keep so many on their way, as a loop does that gets them from several inputs:
what waits shares a commit. The floor is one INSERT a commit, WAL, synchronous=FULL, in one thread; `floor_hop` is the same INSERT
in another thread, two plain locks and nothing else: what the hop alone costs on this machine. Floors and journal take turns, and
a ratio is the median of the turns'. The product does not wait for one alarm before it takes the next: its figure is `window_2`.
telemetry: append until durable; the floor commits 500 rows at once. read: by the uplink's reader, checksums verified.
open: 1 000 000 pending rows. recovery: a header destroyed in a file of 100 000 events until the first alarm is durable again.
"""

import argparse
import json
import os
import resource
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from buffer.disk import Disk
from buffer.journal import Journal, JournalSettings
from buffer.reader import JournalReader
from buffer.records import Priority
from buffer.store import BulkStore, VitalStore
from buffer.waiting import Ticket

EVENT = (
    b'{"id":"5f0c-1a2b-%06d","kind":"fire","point":"panel1/1-027","active":true,"at":{"boot":"0b5f0c9e","mono_ns":123456789012,'
    b'"wall_ns":1795479922032912817,"clock":"synced"},"grade":1,"source":"panel1","fields":{"loop":1,"point":27}}'
)
READING = b'{"point":"meter%d/voltage_a_v","value":%d.%d,"at":{"mono_ns":%d}}'
TURNS = 5
QUIET = {"background_check": False}


def raw(path: Path, bodies: list[bytes], group: int) -> float:
    """Rows a second of sqlite3 alone."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body BLOB)")
    start = time.perf_counter()
    if group == 1:
        for body in bodies:
            db.execute("INSERT INTO t (body) VALUES (?)", (body,))
    else:
        for first in range(0, len(bodies), group):
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO t (body) VALUES (?)", ((body,) for body in bodies[first : first + group]))
            db.execute("COMMIT")
    rate = len(bodies) / (time.perf_counter() - start)
    db.close()
    return rate


def raw_hop(path: Path, bodies: list[bytes]) -> float:
    """Rows a second of sqlite3 alone, each asked for and answered across threads."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body BLOB)")
    asked, answered = threading.Lock(), threading.Lock()
    asked.acquire()
    answered.acquire()

    def answer() -> None:
        for body in bodies:
            asked.acquire()
            db.execute("INSERT INTO t (body) VALUES (?)", (body,))
            answered.release()

    thread = threading.Thread(target=answer)
    thread.start()
    start = time.perf_counter()
    for _ in bodies:
        asked.release()
        answered.acquire()
    rate = len(bodies) / (time.perf_counter() - start)
    thread.join()
    db.close()
    return rate


def windowed(journal: Journal, bodies: list[bytes], window: int) -> float:
    """Alarms a second with at most `window` not yet durable."""
    free = threading.Semaphore(window)
    start = time.perf_counter()
    for body in bodies:
        free.acquire()
        journal.append(Priority.ALARM, body, None, lambda ticket: free.release())
    for _ in range(window):
        free.acquire()
    return len(bodies) / (time.perf_counter() - start)


def each(journal: Journal, bodies: list[bytes]) -> tuple[float, list[float]]:
    """Alarms a second one at a time, and how long each took in seconds."""
    durable = threading.Lock()
    durable.acquire()
    took = []
    start = last = time.perf_counter()
    for body in bodies:
        journal.append(Priority.ALARM, body, None, lambda ticket: durable.release())
        durable.acquire()
        now = time.perf_counter()
        took.append(now - last)
        last = now
    return len(bodies) / (last - start), took


def alarm(directory: Path) -> dict[str, object]:
    bodies = [EVENT % i for i in range(2000)]
    journal = Journal.open(directory / "alarm", JournalSettings(**QUIET), print)
    windowed(journal, bodies, 8)
    rates: dict[str, list[float]] = {"floor": [], "floor_hop": [], "await_each": [], "window_2": [], "window_8": []}
    took: list[float] = []
    for turn in range(TURNS):
        rates["floor"].append(raw(directory / f"floor{turn}.db", bodies, 1))
        rates["floor_hop"].append(raw_hop(directory / f"hop{turn}.db", bodies))
        rate, times = each(journal, bodies)
        rates["await_each"].append(rate)
        took += times
        rates["window_2"].append(windowed(journal, bodies, 2))
        rates["window_8"].append(windowed(journal, bodies, 8))
    journal.close()
    took.sort()
    ratios = {
        f"{name}_ratio": round(statistics.median(a / b for a, b in zip(rates[name], rates["floor"], strict=True)), 3)
        for name in rates
        if name != "floor"
    }
    shown = {f"{name}_rows_s": round(statistics.median(values)) for name, values in rates.items()}
    quantiles = {
        "durable_ms_p50": round(took[len(took) // 2] * 1e3, 3),
        "durable_ms_p99": round(took[-len(took) // 100] * 1e3, 3),
    }
    return {**shown, **ratios, **quantiles, "body_bytes": len(bodies[0]), "wanted_ratio": 0.8}


def telemetry(directory: Path) -> dict[str, object]:
    bodies = [READING % (i % 40, 220 + i % 9, i % 10, i * 1_000_003) for i in range(100_000)]
    settings = JournalSettings(waiting_telemetry_max=len(bodies), waiting_telemetry_bytes=64 << 20, **QUIET)
    journal = Journal.open(directory / "telemetry", settings, print)
    floor, rate, append = [], [], []
    for turn in range(TURNS):
        floor.append(raw(directory / f"floor-t{turn}.db", bodies, 500))
        start = time.perf_counter()
        tickets = [journal.append(Priority.TELEMETRY, body) for body in bodies]
        append.append((time.perf_counter() - start) / len(bodies))
        assert journal.flush(60)
        rate.append(len(bodies) / (time.perf_counter() - start))
        assert all(ticket.name for ticket in tickets)
    journal.close()
    size = (directory / "telemetry" / "bulk.db").stat().st_size
    return {
        "floor_rows_s": round(statistics.median(floor)),
        "rows_s": round(statistics.median(rate)),
        "ratio": round(statistics.median(a / b for a, b in zip(rate, floor, strict=True)), 3),
        "append_us": round(statistics.median(append) * 1e6, 2),
        "bytes_a_row": round(size / len(bodies) / TURNS, 1),
        "body_bytes": len(bodies[0]),
        "wanted_ratio": 0.3,
        "wanted_rows_s": 50_000,
    }


def read(directory: Path) -> dict[str, object]:
    count = 100_000
    vital, bulk = _filled(directory / "read", count)
    vital.close()
    bulk.close()
    result: dict[str, object] = {"wanted_event_rows_s": 60_000, "wanted_telemetry_rows_s": 150_000}
    with JournalReader.open(directory / "read") as reader:
        for name, stream in (("event", Priority.ALARM), ("telemetry", Priority.TELEMETRY)):
            start, seen, after = time.perf_counter(), 0, 0
            epoch = reader.epochs(stream)[0]
            while found := reader.read(stream, epoch, after, 500, 256 * 1024):
                seen, after = seen + len(found), found[-1].name.n
            assert seen == count
            result[f"{name}_rows_s"] = round(seen / (time.perf_counter() - start))
        start = time.perf_counter()
        assert reader.verify().ok
        result["verify_s"] = round(time.perf_counter() - start, 2)
    return result


def _filled(directory: Path, count: int) -> tuple[VitalStore, BulkStore]:
    directory.mkdir()
    VitalStore.make(directory / "vital.db", epoch="v-1", ordinal=1000, wall_ns=0, disk=Disk())
    BulkStore.make(directory / "bulk.db", epoch="b-1", ordinal=1000, wall_ns=0, disk=Disk())
    vital = VitalStore(directory / "vital.db", budget_bytes=2 << 30, disk=Disk())
    bulk = BulkStore(directory / "bulk.db", budget_bytes=2 << 30, disk=Disk())
    for start in range(0, count, 5000):
        some = range(start, min(start + 5000, count))
        vital.write([Ticket(Priority.ALARM, EVENT % i, i) for i in some])
        bulk.write([Ticket(Priority.TELEMETRY, READING % (i % 40, 230, 1, i), i) for i in some])
    return vital, bulk


def opening(directory: Path) -> dict[str, object]:
    """1 000 000 pending events and as many readings."""
    vital, bulk = _filled(directory / "open", 1_000_000)
    vital.close()
    bulk.close()
    before = _rss_kb()
    start = time.perf_counter()
    journal = Journal.open(directory / "open", JournalSettings(vital_bytes=2 << 30, mandatory=("c",)), print)
    opened = time.perf_counter() - start
    durable = threading.Event()
    journal.append(Priority.ALARM, EVENT % 1, None, lambda ticket: durable.set())
    assert durable.wait(10)
    alarmed = time.perf_counter() - start
    time.sleep(1.0)
    grown = _rss_kb() - before
    journal.close()
    return {
        "open_ms": round(opened * 1e3, 1),
        "first_alarm_durable_ms": round(alarmed * 1e3, 1),
        "rss_grown_kb": grown,
        "vital_mb": round((directory / "open" / "vital.db").stat().st_size / 1e6),
        "wanted_open_ms": 1000,
    }


def recovery(directory: Path) -> dict[str, object]:
    """A destroyed header under 100 000 events."""
    count = 100_000
    for store in _filled(directory / "recovery", count):
        store.close()
    with (directory / "recovery" / "vital.db").open("r+b") as file:
        file.write(b"\xff" * 100)
    salvaged = threading.Event()
    start = time.perf_counter()
    journal = Journal.open(
        directory / "recovery",
        JournalSettings(**QUIET),
        lambda fault: salvaged.set() if fault.code == "salvaged" else None,
    )
    worst = 0.0
    first = 0.0
    while not salvaged.is_set():
        _, took = each(journal, [EVENT % 0])
        first = first or time.perf_counter() - start
        worst = max(worst, *took)
        salvaged.wait(0.02)
    whole = time.perf_counter() - start
    journal.flush(10)
    journal.close()
    with JournalReader.open(directory / "recovery") as reader:
        kept = sum(1 for record in reader.records([Priority.ALARM]) if record.name.epoch == "v-1")
    assert kept == count
    return {
        "first_alarm_durable_ms": round(first * 1e3, 1),
        "alarm_durable_while_salvaging_ms_max": round(worst * 1e3, 1),
        "salvage_s": round(whole, 2),
        "records": kept,
        "wanted_first_ms": 1000,
    }


def _rss_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


FIGURES: dict[str, Callable[[Path], dict[str, object]]] = {
    "alarm": alarm,
    "telemetry": telemetry,
    "read": read,
    "open": opening,
    "recovery": recovery,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    parser.add_argument("--dir", type=Path, help="on the disk to be measured; default the current directory's")
    options = parser.parse_args()
    if unknown := set(options.figures) - set(FIGURES):
        parser.error(f"unknown: {sorted(unknown)}; there are {', '.join(FIGURES)}")
    sys.setswitchinterval(0.0005)  # as the core does
    result: dict[str, object] = {"sqlite": sqlite3.sqlite_version, "python": sys.version.split()[0]}
    with tempfile.TemporaryDirectory(dir=options.dir or Path.cwd(), prefix=".bench-journal-") as directory:
        for name in options.figures or FIGURES:
            result[name] = FIGURES[name](Path(directory))
    result["max_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
