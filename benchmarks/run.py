"""Every figure the product is held to, in one command: runs each benchmark, holds it against its bound, prints one JSON object.

    python -m benchmarks.run [--only alarm,footprint] [--out FILE]

Exit 0 if every bound holds, 1 if one does not. A shared machine is noisy: each figure stands beside its floor from the same run,
and the machine's load is in the output. Takes about a quarter of an hour.
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bound:
    """One line of the table in docs/evidence.md. `path` leads to the figure in the benchmark's output."""

    what: str
    benchmark: str
    path: str
    limit: float
    at_most: bool = True

    def holds(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit


BOUNDS = (
    Bound("input to buzzer, 1 000 points, backlog draining, p99 ms", "alarm", "draining.heard_ms.p99", 10),
    Bound("input to confirmed, quiet, p99 ms", "alarm", "quiet.confirmed_ms.p99", 60),
    Bound("input to confirmed behind a draining backlog, p99 ms", "alarm", "draining.confirmed_ms.p99", 100),
    Bound("the same, records left when the last one was confirmed", "alarm", "backlog_left_after_busy", 1, False),
    Bound("durable ALARM append, share of raw sqlite", "journal", "alarm.await_each_ratio", 0.8, False),
    Bound("TELEMETRY append, share of raw sqlite", "journal", "telemetry.ratio", 0.3, False),
    Bound("TELEMETRY append, rows/s", "journal", "telemetry.rows_s", 50_000, False),
    Bound("drain, event records/s", "drain", "events.records_per_s", 20_000, False),
    Bound("drain, telemetry values/s", "drain", "telemetry.values_per_s", 150_000, False),
    Bound("fresh alarm behind 100 k, wake-up to confirmed, p99 ms", "drain", "fresh_alarm_behind_backlog.p99_ms", 100),
    Bound("the same, records left at the last one", "drain", "fresh_alarm_behind_backlog.left_at_the_end", 1, False),
    Bound(
        "alarm confirmed over GB, MQTT centre dead, 100 k backlog, p99 ms", "centres", "gb_live_mqtt_dead.p99_ms", 100
    ),
    Bound("the same, records left at the last one", "centres", "gb_live_mqtt_dead.left_at_the_end", 1, False),
    Bound(
        "alarm confirmed over MQTT, GB centre dead, 100 k backlog, p99 ms", "centres", "mqtt_live_gb_dead.p99_ms", 100
    ),
    Bound("the same, records left at the last one", "centres", "mqtt_live_gb_dead.left_at_the_end", 1, False),
    Bound("panel flood at 115 200 baud: events lost", "flood", "lost", 0),
    Bound("panel flood at 115 200 baud: bytes nobody read in time", "flood", "overrun_bytes", 0),
    Bound("alarm on another port meanwhile, input to kept, p99 ms", "flood", "kept_ms.p99", 60),
    Bound("core RSS, MB", "footprint", "memory.core_rss_mb", 32),
    Bound("core + uplink PSS, MB", "footprint", "memory.core_plus_uplink_pss_mb", 52),
    Bound("the same, points they had", "footprint", "memory.points", 1000, False),
    Bound("CPU, core + uplink, s/min", "footprint", "cpu.core_plus_uplink_s_per_min", 1.0),
    Bound("the same, polls/s that were answered", "footprint", "cpu.polls_per_s", 9.5, False),
    Bound("start to first poll, s", "footprint", "start.first_poll_s.median", 1.0),
    Bound("start to first poll, 1 000 000 pending, s", "footprint", "start.first_poll_with_pending_s", 2.0),
    Bound("alarm confirmed over NB-IoT, 5 % loss, p99 s", "nbiot", "confirmed_s.p99", 30),
    Bound("one fire event packed, bytes on the wire, headers aside", "nbiot", "event_bytes", 64),
    Bound("10 000 gateways after any outage, all back, s", "herd", "worst.back_s", 120),
    Bound("the same, peak of connects over what the broker takes", "herd", "worst.peak_factor", 2.0),
    Bound("the same check on naive policies: they fail it", "herd", "naive_all_fail", 1, False),
    Bound(
        "GB/T 26875.3 packets with their data unit, decode, /s of CPU", "gb26875", "decode.frames_per_s", 50_000, False
    ),
    Bound("GB/T 26875.3 packets, decode, times the floor", "gb26875", "decode.times_floor", 20),
    Bound("city: alarms through 4 consumers over 1, database 50 ms away", "city", "far.growth_4", 1.5, False),
    Bound("city: replay through 4 consumers, share of raw COPY", "city", "replay.ratio_to_floor", 0.08, False),
    Bound("to the card, KiB an alarm", "wear", "alarm.kib", 20),
    Bound("to the card, flushes an alarm", "wear", "alarm.flushes", 1.5),
    Bound("to the card, KiB a telemetry row", "wear", "telemetry.kib_a_row", 2),
    Bound("to the card, MB a day, 200-point site", "wear", "day.mb_a_day", 50),
    Bound("the same, points of that site", "wear", "day.points", 200, False),
    Bound(
        "nine live slaves beside a dead one, worst deviation %", "modbus", "period.one_dead_of_ten.worst_percent", 5.0
    ),
    Bound("the same, periods that were seen", "modbus", "period.one_dead_of_ten.intervals", 150, False),
    Bound(
        "64 devices, 3 dead, on 4 RTU lines: share of a bare loop, worst line", "wires", "lines.worst_ratio", 0.9, False
    ),
    Bound("5 000 points: CPU a reading, times that of 1 000", "wires", "points.linear_cpu", 1.25),
    Bound("5 000 points: RSS a point, times that of 1 000", "wires", "points.linear_rss", 1.25),
)


def figure(found: Mapping[str, object], path: str) -> float:
    """Raise KeyError with the whole path if the benchmark did not give it."""
    value: object = found
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise KeyError(path)
        value = value[key]
    return float(value) if isinstance(value, bool) else float(str(value))


def machine() -> dict[str, object]:
    return {
        "cpus": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


def held(found: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """The figures of one benchmark beside their bounds."""
    rows: list[dict[str, object]] = []
    for bound in BOUNDS:
        if bound.benchmark == name:
            value = figure(found, f"{name}.{bound.path}")
            limit = f"{'<=' if bound.at_most else '>='} {bound.limit:g}"
            rows.append({"what": bound.what, "value": value, "bound": limit, "holds": bound.holds(value)})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="benchmarks, separated by commas")
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    arguments = parser.parse_args()
    names = arguments.only.split(",") if arguments.only else list(dict.fromkeys(bound.benchmark for bound in BOUNDS))
    rows: list[dict[str, object]] = []
    found: dict[str, object] = {"machine": machine(), "bounds": rows}
    for name in names:
        print(f"benchmarks.{name} ...", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr)
            raise SystemExit(f"benchmarks.{name} failed with exit code {done.returncode}")
        found[name] = json.loads(done.stdout)
        for row in held(found, name):
            print(
                f"  {'' if row['holds'] else 'MISSED '}{row['what']}: {row['value']} {row['bound']}",
                file=sys.stderr,
                flush=True,
            )
            rows.append(row)
        if arguments.out:  # what is measured is not lost with a run that is cut short
            arguments.out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(json.dumps(found, indent=2))
    return 0 if all(row["holds"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
