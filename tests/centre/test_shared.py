"""Consumers behind one shared subscription of a real mosquitto: what the broker does with the dead, and what we do about it."""

import json
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.centre import check, store_thread, worker
from simulators.centre.query import look
from simulators.centre.service import Centre, Settings
from simulators.centre.store import StoreFault, open_store
from tests.brokers import Broker
from tests.centre.stored import bodies
from tests.centre.test_service import GATEWAY, FakeGateway
from tests.centre.test_store import batch
from tests.city.house import Consumer
from tests.postgres import Postgres
from tests.waiting import PATIENCE_S, eventually

TOPIC = "zg119/v1/gw-1/up/alarm"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, config="log_type information\nlog_type unsubscribe") as running:  # what we wait for
        yield running


@pytest.fixture
def gateway(broker: Broker) -> Iterator[FakeGateway]:
    fake = FakeGateway(broker)
    yield fake
    fake.close()


@contextmanager
def centre(broker: Broker, url: str) -> Iterator[Centre]:
    """A consumer in threads of this process."""
    ready = threading.Event()
    made = Centre(Settings(host=broker.host, port=broker.port, db=url), ready.set)
    made.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield made
    finally:
        made.stop()


def gone(broker: Broker, client: str) -> None:
    """Wait until the broker has seen the end of a connection of this client."""
    ended = re.compile(rf"Client {client}\S* (\[\S+\] )?(closed its connection|disconnected)")
    eventually(lambda: ended.search(broker.log.read_text(errors="replace")), f"{client} is gone")


class Member:
    """A bare member of a group that never gives a message back."""

    def __init__(self, broker: Broker, name: str, expiry_s: int) -> None:
        self.got: list[bytes] = []
        ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5, manual_ack=True)
        self.ended = threading.Event()
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *args: ready.set()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = expiry_s
        self.client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        self.client.loop_start()
        self.client.subscribe([(f"$share/g/{TOPIC}", 1), (f"end/{name}", 1)])
        assert ready.wait(PATIENCE_S)

    def _on_message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        if message.topic == TOPIC:
            self.got.append(message.payload)
        else:
            self.ended.set()

    def die(self) -> None:
        """The socket closes without a DISCONNECT, as the kernel does for a process that was killed."""
        sock: Any = self.client.socket()
        self.client.loop_stop()
        sock.close()


def publish(broker: Broker, payloads: list[bytes], topic: str = TOPIC) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    for payload in payloads:
        client.publish(topic, payload, qos=1).wait_for_publish(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


@pytest.mark.parametrize(("expiry_s", "share"), [(3600, 5), (0, 10)])
def test_mosquitto_deals_a_dead_member_its_share_for_as_long_as_its_session_lives(
    broker: Broker, expiry_s: int, share: int
) -> None:
    """Why our members' sessions end with their connections."""
    dead, alive = Member(broker, "dead", expiry_s), Member(broker, "alive", expiry_s)
    publish(broker, [b"before"] * 4)
    eventually(lambda: len(dead.got) == len(alive.got) == 2)
    dead.die()
    gone(broker, "dead")
    publish(broker, [b"after-%d" % n for n in range(10)])
    publish(broker, [b""], "end/alive")  # what comes before it is all that comes
    assert alive.ended.wait(PATIENCE_S)
    # the two that the dead one had in hand are given to nobody: only the gateway has them still
    assert alive.got.count(b"before") == 2
    assert len(alive.got) == 2 + share
    alive.client.loop_stop()


def test_consumers_share_the_messages_and_each_acknowledges_what_all_have_committed(
    broker: Broker, gateway: FakeGateway, city: str
) -> None:
    with centre(broker, city), centre(broker, city):
        for n in range(1, 41):
            gateway.publish(batch(n, n))
        eventually(lambda: sorted(bodies(city)) == list(range(1, 41)))
        through = 0
        while through < 40:
            through = max(through, int(gateway.ack()["acks"][0]["through"]))  # type: ignore[index]
    with psycopg.connect(city) as connection:
        counts = connection.execute("SELECT slot, value FROM counters WHERE name = 'messages'").fetchall()
    assert sum(value for _, value in counts) == 40
    assert len(counts) == 2, "both had their share"


def test_a_consumer_killed_with_messages_in_hand_costs_a_moment_and_its_share_goes_to_the_others(
    tmp_path: Path, broker: Broker, gateway: FakeGateway, city: str
) -> None:
    victim = Consumer(1, broker, city, tmp_path)
    victim.start()
    with centre(broker, city), psycopg.connect(city, autocommit=True) as admin:
        gateway.publish(batch(1, 1))
        gateway.ack()
        victim.send(signal.SIGSTOP)  # it takes its share and does nothing with it
        for n in range(2, 12):
            gateway.publish(batch(n, n))
        eventually(lambda: len(bodies(city)) == 6)
        victim.kill()
        eventually(lambda: _members(admin) == 2)
        gone(broker, r"consumer-1\S*-alarm")
        for n in range(12, 22):
            gateway.publish(batch(n, n))
        eventually(lambda: len(bodies(city)) == 16, "the living one has all of the new ones")
        have = bodies(city)
        lost = [n for n in range(2, 12) if n not in have]
        for n in lost:  # what the real gateway does: the acks say that it misses them
            gateway.publish(batch(n, n))
        eventually(lambda: sorted(bodies(city)) == list(range(1, 22)))
    assert len(lost) == 5


def _members(admin: psycopg.Connection) -> int:
    row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'edge-centre'").fetchone()
    assert row is not None
    return int(row[0])


def test_one_that_leaves_in_order_takes_nothing_with_it(broker: Broker, gateway: FakeGateway, city: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(centre(broker, city))
        with centre(broker, city):
            for n in range(1, 201):
                gateway.publish(batch(n, n))
        for n in range(201, 221):
            gateway.publish(batch(n, n))
        eventually(lambda: len(bodies(city)) == 220)
    assert sorted(bodies(city)) == list(range(1, 221))


def test_alarms_do_not_wait_for_a_bulk_that_stands_still(broker: Broker, gateway: FakeGateway, city: str) -> None:
    with centre(broker, city), psycopg.connect(city) as other:
        gateway.publish(batch(1, 1, stream="status"), "status")
        gateway.publish(batch(1, 1))
        gateway.ack()
        gateway.ack()
        other.execute("SELECT 1 FROM streams WHERE stream = 'status' FOR UPDATE")  # somebody holds the bulk's stream
        for n in range(2, 30):
            gateway.publish(batch(n, n, stream="status"), "status")
        for n in range(2, 12):
            gateway.publish(batch(n, n))
            entry = gateway.ack()["acks"][0]  # type: ignore[index]
            assert (entry["stream"], entry["through"]) == ("alarm", n)
        other.rollback()
        eventually(lambda: _count(city, "status") == 29)


def _count(url: str, stream: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM records JOIN streams USING (stream_id) WHERE stream = %s", (stream,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def state(online: bool, **more: object) -> bytes:
    return json.dumps({"v": 1, "gateway": GATEWAY, "online": online, **more}).encode()


def test_one_consumer_takes_the_states_in_order_and_another_takes_over_with_what_the_broker_retains(
    tmp_path: Path, broker: Broker, gateway: FakeGateway, city: str
) -> None:
    leader, other = (Consumer(number, broker, city, tmp_path) for number in (1, 2))
    leader.start()
    other.start()

    def online() -> list[object]:
        with look(city) as asked:
            return [row["online"] for row in asked.gateways()]

    def retain(payload: bytes) -> None:
        gateway.client.publish(f"zg119/v1/{GATEWAY}/state", payload, qos=1, retain=True).wait_for_publish(PATIENCE_S)

    try:
        for turn in range(30):  # a will and a birth, close together
            retain(state(False))
            retain(state(True, turn=turn))
        eventually(lambda: online() == [True])
        leader.kill()
        retain(state(False))  # nobody takes this one: the broker keeps it
        eventually(lambda: online() == [False])
        with look(city) as asked:
            assert asked.stats()["gateways"] == 1
    finally:
        leader.kill()
        other.kill()


def test_a_consumer_whose_store_fails_for_long_leaves_its_share_to_the_others(
    broker: Broker, gateway: FakeGateway, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEAVE_S", 0.0)
    monkeypatch.setattr(store_thread, "STORE_RETRY_S", 0.2)
    with Postgres() as broken, centre(broker, city), centre(broker, broken.url):
        broken.kill()
        gateway.publish(batch(1, 1))
        gateway.publish(batch(2, 2))
        eventually(lambda: len(bodies(city)) == 1)
        left = re.compile(r"-alarm \$share/centre/\S+/up/alarm$", re.MULTILINE)
        eventually(lambda: left.search(broker.log.read_text()), "it has found out, and unsubscribed")
        for n in range(3, 13):
            gateway.publish(batch(n, n))
        eventually(lambda: len(bodies(city)) == 11, "all of the new ones went to the one that works")
        broken.start()
        eventually(lambda: len(bodies(broken.url)) == 1, "what it had in hand is stored when its store is back")
        assert sorted([*bodies(city), *bodies(broken.url)]) == list(range(1, 13)), "each is in one of them"


def test_a_consumer_whose_server_says_nothing_leaves_its_share_too_until_it_stores(
    server: Postgres, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LEAVE_S", 0.0)
    monkeypatch.setattr(store_thread, "LOOK_S", 0.05)
    monkeypatch.setattr(store_thread, "SILENT_S", 0.3)
    works: list[bool] = []
    faults: list[StoreFault | None] = []
    replies: list[worker.Reply] = []
    alarms = worker.Worker(
        open_store(city),
        ("alarm",),
        reply=lambda gateway, reply: replies.append(reply),
        works=lambda who, does: works.append(does),
        stands=lambda who, fault: faults.append(fault),
        leads=lambda leading: None,
        bug=lambda: None,
    )
    alarms.start()
    try:
        with server.frozen():
            message = paho.MQTTMessage(topic=b"zg119/v1/gw-1/up/alarm")
            message.payload = batch(1, 3)
            alarms.put("alarm", paho.Client(CallbackAPIVersion.VERSION2), message)
            eventually(lambda: works[-1:] == [False] and faults, "it leaves, and then it says why")
            assert "timeout expired" in str(faults[-1])
            assert replies == []
        eventually(lambda: works[-1:] == [True])
        assert replies[0].answer.acks[0]["through"] == 3
        assert sorted(bodies(city)) == [1, 2, 3]
    finally:
        alarms.stop()


def test_a_message_that_can_never_be_stored_is_answered_and_stops_nothing(
    broker: Broker, gateway: FakeGateway, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole in our own checks, planted: a NUL reaches PostgreSQL, which takes none."""
    real = check.read_batch

    def leaky(gateway: str, stream: str, payload: bytes) -> check.Batch:
        found = real(gateway, stream, payload)
        return check.Batch(found.gateway, "\0", *_rest(found)) if b"poison" in payload else found

    monkeypatch.setattr(worker, "read_batch", leaky)
    with centre(broker, city):
        for n in range(1, 10):
            gateway.publish(batch(n, n, poison=1) if n == 5 else batch(n, n), correlation=b"b%d" % n)
        eventually(lambda: sorted(bodies(city)) == [1, 2, 3, 4, 6, 7, 8, 9])
        gateway.publish(batch(5, 5))
        rejected: list[object] = []
        through = 0
        while through < 9:  # of all that came before it, it has said what it had to
            said: Any = gateway.ack()
            rejected += said.get("rejected", [])
            through = max([through, *(entry["through"] for entry in said["acks"])])
        assert [entry["batch"] for entry in rejected] == ["b5"]  # type: ignore[index]


def _rest(found: check.Batch) -> tuple[Any, ...]:
    return found.stream, found.records, found.gaps, found.refused


def test_the_access_list_of_the_contract_is_enough_for_a_shared_subscription(tmp_path: Path, city: str) -> None:
    acl = (
        "topic read zg119/v1/+/up/+\ntopic read zg119/v1/+/state\ntopic write zg119/v1/+/ack\n"
        "topic write zg119/v1/gw-1/up/#\ntopic read zg119/v1/gw-1/ack\n"
    )
    with Broker(tmp_path, acl=acl) as broker, centre(broker, city):
        fake = FakeGateway(broker)
        fake.publish(batch(1, 3))
        assert fake.ack()["acks"]
        fake.close()
