"""The running centre against a real mosquitto and made-up gateways, and its command line."""

import contextlib
import json
import queue
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.centre import cli, query, service, store_thread
from simulators.centre.far_side import FarSide, Trouble
from simulators.centre.sqlite_store import SqliteStore
from tests.brokers import Broker
from tests.centre.test_store import batch
from tests.uplink.site import running_centre, stored
from tests.waiting import PATIENCE_S, eventually

GATEWAY = "gw-1"


class FakeGateway:
    """Publishes whatever it is told and collects the acks."""

    def __init__(self, broker: Broker, name: str = GATEWAY) -> None:
        self.acks: queue.Queue[dict[str, object]] = queue.Queue()
        self.name = name
        ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_message = lambda client, userdata, message: self.acks.put(json.loads(message.payload))
        self.client.on_subscribe = lambda *args: ready.set()
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.client.subscribe(f"zg119/v1/{name}/ack", qos=1)
        assert ready.wait(PATIENCE_S)

    def publish(self, payload: bytes, stream: str = "alarm", correlation: bytes = b"") -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation:
            properties.CorrelationData = correlation
        topic = f"zg119/v1/{self.name}/{'state' if stream == 'state' else 'up/' + stream}"
        self.client.publish(topic, payload, qos=1, properties=properties)

    def ack(self) -> dict[str, object]:
        return self.acks.get(timeout=PATIENCE_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


@pytest.fixture
def gateway(broker: Broker) -> Iterator[FakeGateway]:
    fake = FakeGateway(broker)
    yield fake
    fake.close()


def test_a_batch_is_acknowledged_after_it_was_stored(tmp_path: Path, broker: Broker, gateway: FakeGateway) -> None:
    with running_centre(tmp_path / "centre", broker) as db:
        gateway.publish(batch(1, 3))
        assert gateway.ack() == {
            "v": 1,
            "acks": [{"epoch": "e1", "stream": "alarm", "through": 3, "high": 3, "missing": []}],
        }
        assert stored(db) == [1, 2, 3]
        gateway.publish(batch(2, 4))
        gateway.ack()
        with query.opened(db) as database:
            assert query.stats(database)["duplicates"] == 2


def test_malformed_huge_and_foreign_messages_are_counted_and_answered_by_their_correlation(
    tmp_path: Path, broker: Broker, gateway: FakeGateway
) -> None:
    with running_centre(tmp_path / "centre", broker) as db:
        gateway.publish(b"{", correlation=b"e1/alarm/1-9")
        rejected = str(gateway.ack()["rejected"])
        assert "'e1/alarm/1-9'" in rejected
        assert "malformed" in rejected
        gateway.publish(b"x" * 600_000, correlation=b"big")
        assert "too_big" in str(gateway.ack()["rejected"])
        gateway.publish(batch(1, 2, gateway="someone-else"), correlation=b"foreign")
        assert "topic" in str(gateway.ack()["rejected"])
        gateway.publish(b"\x00\xff", "state")
        gateway.publish(b"", "fault")
        gateway.publish(batch(1, 1))
        assert gateway.ack()["acks"]
        with query.opened(db) as database:
            eventually(lambda: query.stats(database)["rejected"] == 5)
        assert stored(db) == [1]


def test_a_gateway_that_comes_back_hears_what_is_here_and_what_is_missing(
    tmp_path: Path, broker: Broker, gateway: FakeGateway
) -> None:
    with running_centre(tmp_path / "centre", broker):
        gateway.publish(batch(1, 3))
        gateway.ack()
        gateway.publish(batch(7, 8))
        gateway.ack()
    with running_centre(tmp_path / "centre", broker):
        gateway.publish(json.dumps({"v": 1, "gateway": GATEWAY, "online": True}).encode(), "state")
        assert gateway.ack()["acks"] == [
            {"epoch": "e1", "stream": "alarm", "through": 3, "high": 8, "missing": [[4, 6]]}
        ]


def test_what_comes_while_the_centre_is_away_is_stored_when_it_is_back(
    tmp_path: Path, broker: Broker, gateway: FakeGateway
) -> None:
    with running_centre(tmp_path / "centre", broker):
        pass
    gateway.publish(batch(1, 5))
    gateway.publish(batch(1, 5, stream="telemetry"), "telemetry")
    with running_centre(tmp_path / "centre", broker) as db:
        eventually(lambda: len(stored(db)) == len(stored(db, "telemetry")) == 5)
        assert stored(db) == stored(db, "telemetry") == [1, 2, 3, 4, 5]


def said_so_far(gateway: FakeGateway) -> list[int]:
    """How far each ack goes that has come and that nobody has looked at."""
    found: list[int] = []
    with contextlib.suppress(queue.Empty):
        while True:
            found += [entry["through"] for entry in gateway.acks.get_nowait()["acks"]]  # type: ignore[attr-defined]
    return found


def test_kill_9_of_the_centre_loses_nothing_it_acknowledged_and_takes_the_rest_when_it_is_back(
    tmp_path: Path, broker: Broker, gateway: FakeGateway
) -> None:
    db = tmp_path / "centre.db"
    arguments = [sys.executable, "-m", "simulators.centre", "run", "--port", str(broker.port), "--db", str(db)]
    promised = 0
    for turn in range(5):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        assert process.stdout.readline()
        first = turn * 2000 + 1
        for n in range(first, first + 2000, 50):
            gateway.publish(batch(n, n + 49))
        entry = gateway.ack()["acks"]
        assert isinstance(entry, list)
        process.kill()
        process.wait()
        process.stdout.close()
        promised = max(promised, int(entry[0]["through"]), *said_so_far(gateway))
        have = stored(db)
        assert have[:promised] == list(range(1, promised + 1)), "an ack was a promise"
    with running_centre(tmp_path, broker):
        eventually(lambda: stored(db) == list(range(1, 10_001)))


def test_a_store_that_fails_for_a_while_acknowledges_nothing_and_loses_nothing(
    tmp_path: Path, broker: Broker, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_thread, "STORE_RETRY_S", 0.2)
    db = tmp_path / "centre.db"
    ready, troubles = threading.Event(), list[Trouble | None]()
    settings = service.Settings(host=broker.host, port=broker.port, db=db)
    centre = service.Centre(settings, ready.set, database=FarSide(troubles.append))
    assert isinstance(centre._workers[0]._store, SqliteStore)
    centre._workers[0]._store._database.execute("PRAGMA busy_timeout = 50")
    centre.start()
    try:
        assert ready.wait(PATIENCE_S)
        gateway.publish(batch(1, 3))
        gateway.ack()
        lock = sqlite3.connect(db)
        lock.execute("BEGIN IMMEDIATE")  # another process holds the database: every write of the centre fails
        for n in range(4, 40):
            gateway.publish(batch(n, n))
        eventually(lambda: troubles, "it has tried")
        with pytest.raises(queue.Empty):
            gateway.acks.get(timeout=1.5)
        lock.rollback()
        lock.close()
        eventually(lambda: stored(db) == list(range(1, 40)))
        eventually(lambda: len(troubles) == 2 and troubles[1] is None, "told when it comes and when it is over")
        while gateway.ack()["acks"][0]["through"] < 39:  # type: ignore[index]
            pass
    finally:
        centre.stop()


def edge_centre(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulators.centre", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_line_answers_in_both_languages_and_in_json(
    tmp_path: Path, broker: Broker, gateway: FakeGateway
) -> None:
    db = str(tmp_path / "centre" / "centre.db")
    with running_centre(tmp_path / "centre", broker):
        gateway.publish(json.dumps({"v": 1, "gateway": GATEWAY, "online": True, "agent": "0.1.0"}).encode(), "state")
        gateway.publish(batch(2, 3))
        gateway.ack()
        gaps = edge_centre("gaps", "--db", db, "--json")
        assert gaps.returncode == 1
        assert json.loads(gaps.stdout) == [
            {"gateway": GATEWAY, "epoch": "e1", "stream": "alarm", "first": 1, "last": 1, "why": "missing"}
        ]
        assert "补传" in edge_centre("gaps", "--db", db, "--lang", "zh").stdout
        assert "asked for again" in edge_centre("gaps", "--db", db, "--lang", "en").stdout
        events = json.loads(edge_centre("events", "--db", db, "--json").stdout)
        assert [event["n"] for event in events] == [2, 3]
        assert json.loads(edge_centre("stats", "--db", db, "--json").stdout)["missing"] == 1
        (row,) = json.loads(edge_centre("gateways", "--db", db, "--json").stdout)
        assert (row["gateway"], row["online"], row["stored"]) == (GATEWAY, True, {"alarm": 2})
    assert edge_centre("gaps", "--db", str(tmp_path / "none.db"), "--lang", "en").returncode == 2
    wrong = edge_centre("gpas", "--lang", "en")
    assert wrong.returncode == 64
    assert "edge-centre --help" in wrong.stderr


def test_run_stops_in_order_on_sigterm(tmp_path: Path, broker: Broker) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "simulators.centre",
            "run",
            "--port",
            str(broker.port),
            "--db",
            str(tmp_path / "c.db"),
            "--lang",
            "en",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert "ready" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert "stopped" in process.stdout.read()
    process.stdout.close()


@pytest.mark.parametrize("page", ["contract.md", "contract.zh.md", "city.md", "city.zh.md"])
def test_every_command_of_a_page_is_one(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    lines = [line.partition("#")[0].split() for line in text.splitlines() if line.startswith("edge-centre ")]
    lines += [line.split() for line in re.findall(r"^ExecStart=\S*/(edge-centre .*)$", text, re.MULTILINE)]
    assert len(lines) >= 2
    for words in lines:
        assert cli._parser("en").parse_args(words[1:]).command == words[1]
