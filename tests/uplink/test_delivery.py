"""From the journal to the centre through a real mosquitto: everything arrives once, whatever breaks on the way."""

import json
import threading
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from buffer.records import Priority
from edge_agent.model import Kind
from edge_agent.uplink.core_link import CoreLink
from edge_agent.uplink.ledger import Ledger
from simulators.centre import query
from tests.brokers import Broker
from tests.uplink.site import (
    GATEWAY,
    MemoryJournal,
    counted,
    event_body,
    fill_journal,
    running_centre,
    running_uplink,
    site_config,
    stored,
    telemetry_body,
)
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio

ALLOW_ALL = "topic readwrite #\n"


async def test_every_stream_of_a_journal_on_disk_arrives_and_is_confirmed(tmp_path: Path) -> None:
    config_dir = tmp_path / "site"
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(config_dir, broker.port)
        for priority, kind in (
            (Priority.ALARM, Kind.FIRE),
            (Priority.FAULT, Kind.FAULT),
            (Priority.STATUS, Kind.RESET),
        ):
            first = int(priority) * 1000
            fill_journal(config.gateway.data_dir, priority, (event_body(first + n, kind) for n in range(1, 301)))
        fill_journal(config.gateway.data_dir, Priority.TELEMETRY, (telemetry_body(n) for n in range(1, 301)))
        async with running_uplink(config) as uplink:
            outbox = uplink.destinations[0].outbox
            streams = (Priority.ALARM, Priority.FAULT, Priority.STATUS, Priority.TELEMETRY)
            await until(lambda: outbox.streams() and all(outbox.pending(p) == 0 for p in streams))
        for priority in streams:
            assert stored(db, priority.stream) == list(range(1, 301)), priority
        assert counted(db)["events"] == 900
        assert counted(db)["duplicates"] == 0


async def test_a_restarted_uplink_sends_only_what_was_not_confirmed(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(tmp_path, broker.port)
        for n in range(1, 101):
            journal.append(Priority.ALARM, event_body(n))
        async with running_uplink(config, journal) as uplink:
            await until(lambda: len(stored(db)) == 100 and not uplink.destinations[0].outbox.alarm_pending)
        for n in range(101, 111):
            journal.append(Priority.ALARM, event_body(n))
        async with running_uplink(config, journal) as uplink:
            await until(lambda: len(stored(db)) == 110 and not uplink.destinations[0].outbox.alarm_pending)
            assert uplink.destinations[0].counters["records"] == 10
        assert counted(db)["duplicates"] == 0


async def test_a_lost_ledger_costs_duplicates_and_never_a_record(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(tmp_path, broker.port)
        for n in range(1, 1001):
            journal.append(Priority.STATUS, event_body(n, Kind.RESET))
        async with running_uplink(config, journal) as uplink:
            await until(lambda: uplink.destinations[0].counters["confirmed"] >= 1000)
        for file in config.gateway.data_dir.glob("delivery.db*"):
            file.unlink()
        for n in range(1001, 1101):
            journal.append(Priority.STATUS, event_body(n, Kind.RESET))
        async with running_uplink(config, journal) as uplink:
            await until(lambda: len(stored(db, "status")) == 1100)
            await until(lambda: uplink.destinations[0].outbox.pending(Priority.STATUS) == 0)
        assert stored(db, "status") == list(range(1, 1101))
        assert counted(db)["events"] == 1100


async def test_a_centre_that_lost_its_database_gets_everything_again(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 501):
        journal.append(Priority.ALARM, event_body(n))
    with Broker(tmp_path) as broker:
        config = site_config(tmp_path, broker.port)
        async with running_uplink(config, journal) as uplink:
            with running_centre(tmp_path / "first", broker) as db:
                await until(lambda: len(stored(db)) == 500 and not uplink.destinations[0].outbox.alarm_pending)
            with running_centre(tmp_path / "second", broker) as db:
                n = journal.append(Priority.ALARM, event_body(501))
                uplink._on_record("e1", Priority.ALARM, n, event_body(501))
                await until(lambda: len(stored(db)) == 501, "the missing 500 were asked for and sent")
                assert query_gaps(db) == []


async def test_records_lost_on_the_way_are_asked_for_and_sent_again(tmp_path: Path) -> None:
    """A broker that drops what it has acknowledged: the centre never subscribed while these were sent."""
    journal = MemoryJournal()
    with Broker(tmp_path) as broker:
        config = site_config(tmp_path, broker.port, ack="broker")
        for n in range(1, 51):
            journal.append(Priority.ALARM, event_body(n))
        async with running_uplink(config, journal) as uplink:  # broker mode: PUBACK is enough, and nobody listened
            await until(lambda: uplink.destinations[0].counters["confirmed"] == 50)
        with running_centre(tmp_path / "centre", broker) as db:
            for n in range(51, 61):
                journal.append(Priority.ALARM, event_body(n))
            async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
                await until(lambda: len(stored(db)) == 60)
                await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
        assert stored(db) == list(range(1, 61))


async def test_evicted_records_are_declared_gone_and_block_nothing(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 101):
        journal.append(Priority.TELEMETRY, telemetry_body(n))
    journal.evict(Priority.TELEMETRY, 1, 10)
    journal.evict(Priority.TELEMETRY, 40, 60)
    journal.evict(Priority.TELEMETRY, 100, 100)
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            await until(lambda: uplink.destinations[0].outbox.get("e1", Priority.TELEMETRY))
            await until(lambda: uplink.destinations[0].outbox.pending(Priority.TELEMETRY) == 0)
        assert stored(db, "telemetry") == [*range(11, 40), *range(61, 100)]
        assert [(row["first"], row["last"], row["why"]) for row in query_gaps(db)] == [
            (1, 10, "gone"),
            (40, 60, "gone"),
            (100, 100, "gone"),
        ]


async def test_a_refused_record_moves_aside_with_its_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    journal = MemoryJournal()
    bad = json.dumps({"id": "x-3", "kind": "fire", "point": "p", "active": "perhaps"}).encode()
    for n in range(1, 21):
        journal.append(Priority.ALARM, bad if n == 7 else event_body(n))
    faults: list[tuple[str, dict[str, object]]] = []
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(tmp_path, broker.port)
        async with running_uplink(config, journal) as uplink:
            uplink.core.fault = lambda dest, what, **params: faults.append((what, params))  # type: ignore[method-assign]
            await until(lambda: uplink.destinations[0].counters["records"] >= 20)
            await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
            assert uplink.ledger.flush()
            (aside,) = uplink.ledger.refused("county")
        assert stored(db) == [n for n in range(1, 21) if n != 7]
        assert (aside.name.n, aside.body) == (7, bad)
        assert "active" in aside.why
        assert [what for what, _ in faults] == ["record_refused"]
        async with running_uplink(config, journal) as uplink:  # and it stays aside
            await until(lambda: uplink.destinations[0].counters["connections"] == 1)
            await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
            assert uplink.destinations[0].counters["refused"] == 0


async def test_one_body_nobody_can_parse_is_found_among_many_and_put_aside(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 65):
        journal.append(Priority.STATUS, b'{"id":"broken' if n == 23 else event_body(n, Kind.RESET))
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            await until(lambda: len(stored(db, "status")) == 63)
            await until(lambda: uplink.destinations[0].outbox.pending(Priority.STATUS) == 0)
            assert uplink.destinations[0].counters["refused"] == 1
        assert [row["why"] for row in query_gaps(db)] == ["refused"]


async def test_an_alarm_under_a_memory_name_and_later_a_journal_name_is_one_event(tmp_path: Path) -> None:
    journal = MemoryJournal()
    confirmed: list[tuple[str, int]] = []
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            uplink.core.confirm = lambda d, epoch, p, through: confirmed.append((epoch, through))  # type: ignore[method-assign, assignment]
            uplink._on_record("mem-b-1", Priority.ALARM, 1, event_body(1))
            await until(lambda: ("mem-b-1", 1) in confirmed, "the medium is dead, the alarm arrives all the same")
            journal.append(Priority.ALARM, event_body(1))  # the medium is back
            await until(lambda: ("e1", 1) in confirmed)
            await until(lambda: uplink.source.memory_epochs() == [])
        assert len(stored(db)) == 2
        assert counted(db)["events"] == 1
        with query.opened(db) as database:
            assert len(query.events(database)) == 1


async def test_a_fresh_alarm_overtakes_a_backlog_of_its_own_stream(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 20_001):
        journal.append(Priority.ALARM, event_body(n))
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            destination = uplink.destinations[0]
            await until(lambda: destination.counters["confirmed"] > 500)
            n = journal.append(Priority.ALARM, event_body(20_001))
            uplink._on_record("e1", Priority.ALARM, n, event_body(20_001))
            stream = destination.outbox.get("e1", Priority.ALARM)
            assert stream is not None
            await until(lambda: 20_001 in stream.done)
            assert stream.done.through < 20_000, "it arrived before the backlog had drained"
            await until(lambda: not destination.outbox.alarm_pending)
        assert stored(db) == list(range(1, 20_002))


async def test_retained_and_foreign_messages_on_the_ack_topic_change_nothing(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker:
        poison = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        poison.connect(broker.host, broker.port)
        poison.loop_start()
        topic = f"zg119/v1/{GATEWAY}/ack"
        claim = json.dumps({"v": 1, "acks": [{"epoch": "e1", "stream": "alarm", "through": 5}]})
        poison.publish(topic, claim, qos=1, retain=True).wait_for_publish(10)
        for n in range(1, 6):
            journal.append(Priority.ALARM, event_body(n))
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            destination = uplink.destinations[0]
            await until(lambda: destination.counters["records"] == 5)
            for junk in (b"", b"{", b"[]", b'{"v":2}', b'{"v":1,"acks":[{"epoch":1}]}', b"\xff" * 5000, b"[" * 100_000):
                poison.publish(topic, junk, qos=1).wait_for_publish(10)
            poison.publish(topic, claim.replace('"through": 5', '"through": 2'), qos=1).wait_for_publish(10)
            stream = destination.outbox.get("e1", Priority.ALARM)
            assert stream is not None
            await until(
                lambda: stream.done.through == 2, "the sound ack after the junk counts, the retained one did not"
            )
        poison.disconnect()
        poison.loop_stop()


async def test_the_state_topic_tells_birth_and_last_will(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:

        def online() -> object:
            with query.opened(db) as database:
                rows = query.gateways(database)
            return rows[0]["online"] if rows else None

        async with running_uplink(site_config(tmp_path, broker.port), MemoryJournal()):
            await until(lambda: online() is True)
        await until(lambda: online() is False)
        assert stored(db) == [], "by no record: the broker said it"


async def test_an_alarm_does_not_wait_behind_a_long_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alarms = [{"id": f"a-{n}", "kind": "fire", "point": f"panel1/1-{n:03d}", "state": "active"} for n in range(200)]

    async def core(link: CoreLink, do: str, **params: object) -> object:
        return {"alarms": alarms, "points": []}.get(do)

    monkeypatch.setattr(CoreLink, "ask_patiently", core)
    journal, heard = MemoryJournal(), list[tuple[str, Any]]()
    journal.append(Priority.ALARM, event_body(1))
    with Broker(tmp_path) as broker:
        centre = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        centre.on_message = lambda client, userdata, message: heard.append(
            (message.topic.rsplit("/", 1)[1], json.loads(message.payload))
        )
        subscribed = threading.Event()
        centre.on_subscribe = lambda *_: subscribed.set()
        centre.connect(broker.host, broker.port)
        centre.loop_start()
        centre.subscribe([(f"zg119/v1/{GATEWAY}/state", 1), (f"zg119/v1/{GATEWAY}/up/alarm", 1)])
        assert subscribed.wait(PATIENCE_S)
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            uplink.destinations[0].grow("e1", Priority.ALARM, 1)
            await until(lambda: len(heard) == 2)
            assert [topic for topic, _ in heard] == ["state", "alarm"]
            assert (heard[0][1]["core"], heard[0][1]["snapshot"]) == (True, {"truncated": True})
            ack = {"v": 1, "acks": [{"epoch": "e1", "stream": "alarm", "through": 1}]}
            centre.publish(f"zg119/v1/{GATEWAY}/ack", json.dumps(ack), qos=1)
            await until(lambda: len(heard) == 3)
            assert (heard[2][0], heard[2][1]["snapshot"]["alarms"]) == ("state", alarms)
        centre.disconnect()
        centre.loop_stop()


async def test_a_restarted_ledger_knows_what_was_confirmed_out_of_order(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 11):
        journal.append(Priority.ALARM, event_body(n))
    ack = {"epoch": "e1", "stream": "alarm", "through": 2, "high": 10, "missing": [[3, 4]]}
    with Broker(tmp_path) as broker:
        centre = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        centre.connect(broker.host, broker.port)
        centre.loop_start()
        config = site_config(tmp_path, broker.port)
        async with running_uplink(config, journal) as uplink:
            await until(lambda: uplink.destinations[0].counters["records"] >= 10)
            centre.publish(f"zg119/v1/{GATEWAY}/ack", json.dumps({"v": 1, "acks": [ack]}), qos=1)
            await until(lambda: uplink.destinations[0].outbox.pending(Priority.ALARM) == 2)
        ledger = Ledger.open(config.gateway.data_dir / "delivery.db")
        assert list(ledger.load("county")["e1", Priority.ALARM]) == [(1, 2), (5, 10)]
        ledger.close()
        async with running_uplink(config, journal) as uplink:
            await until(lambda: uplink.destinations[0].counters["records"])
            [stream] = uplink.destinations[0].outbox.streams()
            assert [(flight.batch.first, flight.batch.last) for flight in stream.flights] == [(3, 4)]
            assert stream.due(live=True) is stream.due(live=False) is None, "and nothing else is due"
        centre.disconnect()
        centre.loop_stop()


def query_gaps(db: Path) -> list[query.Row]:
    with query.opened(db) as database:
        return query.gaps(database)
