"""kill -9 at random moments, again and again, in one directory: what was acknowledged is there, under the name it was told."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buffer.reader import JournalReader
from buffer.records import Priority

WRITER = """
import sys, os, itertools, random
from pathlib import Path
from buffer.journal import Journal, JournalSettings
from buffer.records import Priority
directory, run, rate = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
settings = JournalSettings(telemetry_linger_s=0.02, reserve_bytes=65536, mandatory=("c",))
journal = Journal.open(directory, settings, print, boot_id="boot")
chance = random.Random(run)
def durable(ticket):
    name = ticket.name
    os.write(1, b"%s %d %d %s\\n" % (name.epoch.encode(), name.priority, name.n, ticket.body.split()[0]))
import time
print("ready", flush=True)
for i in itertools.count():
    rank = chance.choice([Priority.ALARM, Priority.ALARM, Priority.FAULT, Priority.STATUS, Priority.TELEMETRY, Priority.MEDIA])
    body = b"%s-%d " % (run.encode(), i) + b"." * chance.randrange(30, 3000)
    state = {"last": b"%d" % i} if rank is Priority.ALARM else None
    journal.append(rank, body, state, durable)
    if i % 100 == 99 and journal.vital.store:
        journal.confirm("c", journal.vital.store.epoch, Priority.STATUS, 10)
    if rate:
        time.sleep(rate)
    elif i % 200 == 199:
        journal.flush(60)
"""


@pytest.mark.parametrize("rate", [0.0, 0.002])
def test_no_acknowledged_record_is_lost_and_no_name_is_given_twice(tmp_path: Path, rate: float) -> None:
    chance = random.Random(int(rate * 1000))
    acked: dict[tuple[str, int, int], str] = {}
    for run in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "j"), f"r{run}", str(rate)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        said = [
            writer.stdout.readline() for _ in range(40 * (run % 2))
        ]  # on a slow card too there is something to lose
        time.sleep(chance.uniform(0.0, 0.4))  # the moment is what is random here
        writer.send_signal(signal.SIGKILL)
        for line in [*said, *writer.communicate(timeout=60)[0].splitlines(keepends=True)]:
            if not line.endswith("\n"):
                continue
            epoch, rank, n, body = line.split()
            assert (epoch, int(rank), int(n)) not in acked, "a name was given twice"
            acked[epoch, int(rank), int(n)] = body
    assert len(acked) > 100
    with JournalReader.open(tmp_path / "j") as reader:
        result = reader.verify()
        assert result.ok, result
        assert not result.missing, "names are contiguous"
        kept = {(r.name.epoch, int(r.name.priority), r.name.n): r.body.split()[0].decode() for r in reader.records()}
        assert len(reader.epochs(Priority.ALARM)) == 1, "a killed process is no power cut"
    assert {name: kept.get(name) for name in acked} == acked


def test_latched_state_is_that_of_the_last_record_that_is_there(tmp_path: Path) -> None:
    from buffer.journal import Journal, JournalSettings

    for run in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "j"), f"s{run}", "0.0005"],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
            while writer.stdout.readline().split()[1:2] != [b"0"]:
                pass
            writer.kill()
            writer.stdout.read()
        journal = Journal.open(tmp_path / "j", JournalSettings(reserve_bytes=0), lambda fault: None, boot_id="boot")
        state = journal.state()
        journal.close()
        with JournalReader.open(tmp_path / "j") as reader:
            last = reader.history(1, [Priority.ALARM])[0]
        assert last.body.startswith(f"s{run}-".encode())
        assert state["last"] == last.body.split()[0].split(b"-")[1], json.dumps([str(state), str(last)])
