"""How a city's centre grows with its consumers: real mosquitto, real PostgreSQL (fsync on), 1, 2 and 4 consumer processes.

    python -m benchmarks.city [--records 40000] [--alarms 6000]

`replay`: batches of 100 event records from 64 gateways, until the last one is committed. `alarms`: one alarm a message, where
one consumer with its broker and its database keeps much of two cores busy.
All of it waits at the broker when they begin. `far`: the same where a consumer mostly waits,
as if its database stood across the country: 50 ms there and back (a relay) and a flush of 10 ms (PostgreSQL's commit_delay, the
data in memory), so that neither the cores nor a busy neighbour's disk decide. The floor, in the same run: the same rows by COPY
over one connection, a commit for each hundred. `cores` tells what the limit was: how many all of it kept busy, of those there are.
Prints one JSON object.
"""

import argparse
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.harness import cpu_s
from buffer.records import Priority
from edge_agent.clock import SystemClock
from edge_agent.uplink.contract import Batch, encode_batch
from tests.city.fleet import body, name
from tests.city.house import City
from tests.postgres import Postgres

GATEWAYS = 64
BATCH = 100
FLUSH_US = 10_000
ONE_WAY_S = 0.025
CONSUMERS = (1, 2, 4)


def messages(priority: Priority, records: int, batch: int) -> Iterator[tuple[str, bytes]]:
    """Topic and payload, gateway after gateway in turn."""
    clock = SystemClock()
    for first in range(1, records // GATEWAYS + 1, batch):
        for gateway in map(name, range(GATEWAYS)):
            numbers = range(first, first + batch)
            made = Batch(
                epoch="bench",
                priority=priority,
                first=first,
                last=numbers[-1],
                records=[(n, body(gateway, priority, n)) for n in numbers],
            )
            yield f"zg119/v1/{gateway}/up/{priority.stream}", encode_batch(gateway, made, clock.now())


def stored(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT coalesce(sum(value), 0)::bigint FROM counters WHERE name = 'records'").fetchone()
    return int(row[0]) if row else 0


def wait_for(connection: psycopg.Connection, records: int) -> None:
    deadline_s = time.perf_counter() + 300
    while stored(connection) < records:
        if time.perf_counter() > deadline_s:
            raise SystemExit(f"{stored(connection)} of {records} after 300 s")
        time.sleep(0.005)


def children_cpu_s(pid: int) -> float:
    """Of a server's processes."""
    return sum(cpu_s(int(child)) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def drain(
    directory: Path, consumers: int, sent: list[tuple[str, bytes]], records: int, *, far: bool
) -> dict[str, object]:
    memory = Path(tempfile.mkdtemp(prefix="zg-city-", dir="/dev/shm")) if far else None
    with (
        City(directory, consumers, data=memory, one_way_s=ONE_WAY_S if far else None) as city,
        psycopg.connect(city.server.url, autocommit=True) as connection,
    ):
        if far:
            connection.execute(f"ALTER SYSTEM SET commit_delay = {FLUSH_US}".encode())
            connection.execute("ALTER SYSTEM SET commit_siblings = 0")
            connection.execute("SELECT pg_reload_conf()")
            time.sleep(0.5)
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        client.max_inflight_messages_set(0)
        client.connect("127.0.0.1", city.broker.port)
        client.loop_start()
        for topic, payload in sent[:GATEWAYS]:  # each stream's first batch makes its row: that is once in its life
            client.publish(topic, payload, qos=1)
        made = records * GATEWAYS // len(sent)
        wait_for(connection, made)
        for consumer in city.consumers:  # the sender is no part of it: all waits at the broker before they begin
            consumer.send(signal.SIGSTOP)
        handed = [client.publish(topic, payload, qos=1) for topic, payload in sent[GATEWAYS:]]
        for one in handed:
            one.wait_for_publish()
        pids = [consumer.process.pid for consumer in city.consumers if consumer.process is not None]
        before = [*map(cpu_s, pids), cpu_s(city.broker.pid), children_cpu_s(city.server.pid)]
        started_s = time.perf_counter()
        for consumer in city.consumers:
            consumer.send(signal.SIGCONT)
        wait_for(connection, records)
        took_s = time.perf_counter() - started_s
        after = [*map(cpu_s, pids), cpu_s(city.broker.pid), children_cpu_s(city.server.pid)]
        client.disconnect()
        client.loop_stop()
    if memory is not None:
        shutil.rmtree(memory, ignore_errors=True)
    cpu = [round(now - was, 2) for was, now in zip(before, after, strict=True)]
    return {
        "records_per_s": round((records - made) / took_s),
        "seconds": round(took_s, 2),
        "cpu_s": {"consumers": cpu[:-2], "broker": cpu[-2], "postgres": cpu[-1]},
        "cores": round(sum(cpu) / took_s, 2),
    }


def floor(records: int) -> int:
    """Records a second by COPY, a commit for each BATCH, into a table with the same key."""
    rows = [
        [(gateway, n, 0, False, body(name(gateway), Priority.STATUS, n).decode()) for n in range(first, first + BATCH)]
        for first in range(1, records // GATEWAYS + 1, BATCH)
        for gateway in range(GATEWAYS)
    ]
    with Postgres() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE raw"
            " (stream_id bigint, n bigint, received_ns bigint, brief boolean, body text, PRIMARY KEY (stream_id, n))"
        )
        started_s = time.perf_counter()
        for batch in rows:
            with connection.transaction(), connection.cursor().copy("COPY raw FROM STDIN") as copy:
                for row in batch:
                    copy.write_row(row)
        return round(len(rows) * BATCH / (time.perf_counter() - started_s))


def flushes_per_s() -> int:
    """One row and one commit at a time over one connection: what the disk allows a single alarm at a time."""
    with Postgres() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE raw (n bigint)")
        started_s, count = time.perf_counter(), 0
        while time.perf_counter() < started_s + 2:
            connection.execute("INSERT INTO raw VALUES (1)")
            count += 1
        return round(count / (time.perf_counter() - started_s))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=64_000)
    parser.add_argument("--alarms", type=int, default=6_400)
    options = parser.parse_args()
    records = options.records // (GATEWAYS * BATCH) * GATEWAYS * BATCH
    alarms = options.alarms // GATEWAYS * GATEWAYS
    shapes = {
        "replay": (list(messages(Priority.STATUS, records, BATCH)), records),
        "alarms": (list(messages(Priority.ALARM, alarms, 1)), alarms),
        "far": (list(messages(Priority.ALARM, alarms, 1)), alarms),
    }
    found: dict[str, object] = {"cpus": os.cpu_count(), "load_1min": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory(prefix="city-") as directory:
        found["floor_copy_records_per_s"] = copied = floor(records)
        found["floor_commits_per_s"] = flushes_per_s()
        for shape, (sent, count) in shapes.items():
            results: dict[str, object] = {}
            rates: dict[int, int] = {}
            for consumers in CONSUMERS:
                place = Path(directory) / f"{shape}-{consumers}"
                place.mkdir()
                result = drain(place, consumers, sent, count, far=shape == "far")
                rates[consumers] = int(str(result["records_per_s"]))
                results[f"consumers_{consumers}"] = result
            results["growth_2"] = round(rates[2] / rates[1], 2)
            results["growth_4"] = round(rates[4] / rates[1], 2)
            if shape == "replay":
                results["ratio_to_floor"] = round(rates[4] / copied, 3)
            found[shape] = results
    found["load_1min_end"] = os.getloadavg()[0]
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
