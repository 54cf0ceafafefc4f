"""What brokers do to a gateway: deny, freeze, restart, forget. The journal decides, nothing is parked."""

from pathlib import Path

import pytest

from buffer.records import Priority
from edge_agent.uplink.main import UplinkProcess
from tests.brokers import Broker
from tests.uplink.site import (
    GATEWAY,
    MemoryJournal,
    counted,
    event_body,
    running_centre,
    running_uplink,
    site_config,
    stored,
)
from tests.waiting import until

pytestmark = pytest.mark.asyncio

ALLOW = "topic readwrite #\n"
DENY_ALARM = f"topic read #\ntopic write zg119/v1/{GATEWAY}/state\ntopic write zg119/v1/{GATEWAY}/up/status\n"


def listen(uplink: UplinkProcess) -> list[tuple[bool, str, dict[str, object]]]:
    """What the core hears of the link."""
    heard: list[tuple[bool, str, dict[str, object]]] = []
    uplink.core.uplink_state = lambda dest, up, reason, **detail: heard.append((up, reason, detail))  # type: ignore[method-assign]
    return heard


async def test_a_denied_publish_is_a_fault_and_is_delivered_once_the_acl_is_mended(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path, acl=ALLOW) as broker, running_centre(tmp_path / "centre", broker) as db:
        broker.set_acl(DENY_ALARM + "topic readwrite zg119/v1/+/ack\n")
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            heard = listen(uplink)
            destination = uplink.destinations[0]
            await until(lambda: destination.counters["connections"])
            journal.append(Priority.ALARM, event_body(1))
            await until(lambda: any(reason == "denied" for _, reason, _ in heard))
            up, _, detail = next(item for item in heard if item[1] == "denied")
            assert not up
            assert detail["code"] == "0x87"
            assert detail["stream"] == "alarm"
            assert destination.outbox.alarm_pending
            assert stored(db) == []
            journal.append(Priority.STATUS, event_body(2))
            await until(lambda: stored(db, "status") == [1], "another stream is not held up")
            broker.set_acl(ALLOW)
            await until(lambda: stored(db) == [1])
            await until(lambda: not destination.outbox.alarm_pending)
            await until(lambda: heard[-1][0] is True)


async def test_a_frozen_broker_is_noticed_by_the_age_of_the_unconfirmed(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with running_uplink(site_config(tmp_path, broker.port, unconfirmed_s=1.0), journal) as uplink:
            heard = listen(uplink)
            await until(lambda: uplink.destinations[0].counters["connections"])
            with broker.frozen():
                journal.append(Priority.ALARM, event_body(1))
                await until(lambda: any(reason == "half_open" for _, reason, _ in heard))
                assert uplink.destinations[0].outbox.alarm_pending, "it is pending again, not lost"
            await until(lambda: stored(db) == [1])
            await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
            await until(lambda: heard[-1][0] is True)
        assert counted(db)["events"] == 1


async def test_a_centre_that_is_away_is_told_from_a_broken_link_and_costs_the_broker_little(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 3001):
        journal.append(Priority.STATUS, event_body(n))
    with Broker(tmp_path) as broker:
        async with running_uplink(site_config(tmp_path, broker.port, unconfirmed_s=0.5), journal) as uplink:
            heard = listen(uplink)
            destination = uplink.destinations[0]
            await until(lambda: [reason for _, reason, _ in heard].count("centre_silent") >= 1)
            await until(lambda: destination.counters["connections"] >= 3)
            each = destination.counters["bytes"] / destination.counters["connections"]
            assert each < 64 * 1024, "a silent centre is asked with little, not with the whole window"
            with running_centre(tmp_path / "centre", broker) as db:
                await until(lambda: len(stored(db, "status")) == 3000, within_s=90)
                await until(lambda: heard[-1][0] is True)


async def test_a_broker_that_restarts_without_memory_loses_nothing_of_ours(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with running_uplink(site_config(tmp_path, broker.port, unconfirmed_s=3.0), journal) as uplink:
            for turn in range(3):
                for n in range(turn * 2000 + 1, turn * 2000 + 2001):
                    journal.append(Priority.ALARM, event_body(n))
                connections = uplink.destinations[0].counters["connections"]
                await until(lambda: len(stored(db)) > turn * 2000 + 50)  # noqa: B023
                broker.restart()
                await until(lambda: uplink.destinations[0].counters["connections"] > connections)  # noqa: B023
            await until(lambda: len(stored(db)) == 6000)
            await until(lambda: not uplink.destinations[0].outbox.alarm_pending)
        assert stored(db) == list(range(1, 6001))
        assert counted(db)["events"] == 6000


async def test_receive_maximum_and_packet_size_of_the_broker_are_obeyed(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 1001):
        journal.append(Priority.ALARM, event_body(n))
    big = event_body(1001)[:-1] + b',"fields":{"x":"' + b"x" * 9000 + b'"}}'
    journal.append(Priority.ALARM, big)
    limits = "max_inflight_messages 1\nmax_packet_size 8192\n"
    with Broker(tmp_path, config=limits) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            destination = uplink.destinations[0]
            await until(lambda: len(stored(db)) == 1000)
            await until(lambda: not destination.outbox.alarm_pending)
            assert destination.counters["connections"] == 1, "the broker never had to hang up"
            assert destination.counters["refused"] == 1, "what can never pass is put aside, not tried for ever"


async def test_many_small_records_never_outgrow_the_packets_of_the_broker(tmp_path: Path) -> None:
    journal = MemoryJournal()
    for n in range(1, 2001):
        journal.append(Priority.TELEMETRY, b'{"at":%d,"source":"m","values":{}}' % n)
    journal.evict(Priority.TELEMETRY, 100, 101)
    for n in range(300, 800, 2):  # thinned: as many gaps as records
        journal.evict(Priority.TELEMETRY, n, n)
    with Broker(tmp_path, config="max_packet_size 2048\n") as broker:
        async with running_uplink(site_config(tmp_path, broker.port, ack="broker"), journal) as uplink:
            destination = uplink.destinations[0]
            await until(lambda: destination.outbox.get("e1", Priority.TELEMETRY))
            await until(lambda: destination.outbox.pending(Priority.TELEMETRY) == 0)
            assert destination.counters["connections"] == 1
            assert destination.counters["records"] == 2000 - 2 - 250


async def test_two_gateways_of_one_name_do_not_lose_what_they_hold(tmp_path: Path) -> None:
    """A copied identity: each throws the other off. Both keep what is unconfirmed."""
    first, second = MemoryJournal("one"), MemoryJournal("two")
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with (
            running_uplink(site_config(tmp_path / "a", broker.port), first, seed=1) as one,
            running_uplink(site_config(tmp_path / "b", broker.port), second, seed=2) as two,
        ):
            heard = listen(one), listen(two)
            await until(lambda: all(any(not up for up, _, _ in h) for h in heard))
            first.append(Priority.ALARM, event_body(1))
            second.append(Priority.ALARM, event_body(2))
            await until(lambda: len(stored(db)) == 2)
        assert counted(db)["events"] == 2


async def test_a_bug_in_one_destination_is_told_and_the_others_deliver(tmp_path: Path) -> None:
    journal = MemoryJournal()
    journal.append(Priority.ALARM, event_body(1))
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        config = site_config(tmp_path, broker.port)
        import dataclasses

        twin = dataclasses.replace(config.uplinks[0], id="province", port=1)  # nobody listens there
        config = dataclasses.replace(config, uplinks=(twin, config.uplinks[0]))
        async with running_uplink(config, journal) as uplink:
            states: list[tuple[str, bool]] = []
            uplink.core.uplink_state = lambda dest, up, reason, **more: states.append((dest, up))  # type: ignore[method-assign]

            async def broken(receiver: object) -> object:
                raise ZeroDivisionError("planted")

            faults: list[str] = []
            uplink.core.fault = lambda dest, what, **params: faults.append(f"{dest} {what}")  # type: ignore[method-assign]
            uplink.destinations[0]._parts.link.open = broken  # type: ignore[method-assign, assignment]
            await until(lambda: stored(db) == [1])
            await until(lambda: "province worker" in faults)
            assert uplink.destinations[0].outbox.alarm_pending
            await until(lambda: not uplink.destinations[1].outbox.alarm_pending)
            await until(lambda: ("county", True) in states, "the one that works is told as up")
            assert ("province", True) not in states
