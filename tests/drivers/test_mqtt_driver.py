"""The driver against a real mosquitto: sessions, wills, outages, who may say what."""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from drivers.messages import Observation
from drivers.mqtt_devices import MqttDevice
from drivers.mqtt_driver import BrokerLink, MqttDriver
from drivers.mqtt_profile import compile_profile
from drivers.profile import load_profiles
from edge_agent.answers import unlisted
from edge_agent.config.model import Mqtt
from edge_agent.config.model import MqttDevice as Configured
from simulators.mqtt_devices import EspHome, Publisher, Tasmota, Zigbee2Mqtt
from simulators.ports import free_port
from tests.brokers import Broker, Certificates
from tests.core.house import Site
from tests.drivers.told import Told, running
from tests.waiting import PATIENCE_S, eventually, until

SYSTEMD = Path(__file__).parents[2] / "systemd"


def device(id: str, profile: str, name: str, silence_s: float | None = None) -> MqttDevice:
    return MqttDevice(id, compile_profile(load_profiles([]).get(profile).data, name=profile), name, silence_s)


DEVICES = (
    device("s1", "zigbee2mqtt-smoke", "hall"),
    device("t1", "tasmota-contact", "board"),
    device("e1", "esphome-detector", "kitchen"),
    device("z1", "tasmota-zigbee-smoke", "0x7E14"),
)


@asynccontextmanager
async def listening(
    port: int, devices: Sequence[MqttDevice] = DEVICES, *, client_id: str = "gw-mqtt1", **more: Any
) -> AsyncIterator[tuple[Told, MqttDriver]]:
    driver = MqttDriver(
        id="mqtt1",
        link=BrokerLink(host="127.0.0.1", port=port, client_id=client_id, **more),
        devices=devices,
        when_kept=lambda done: done(True),
    )
    async with running(driver) as told:
        yield told, driver


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, config="queue_qos0_messages true") as running:
        yield running


@pytest.mark.asyncio
async def test_each_family_is_heard_and_its_last_will_believed(broker: Broker) -> None:
    async with listening(broker.port) as (told, driver):
        await until(lambda: told.links("mqtt1") == [(True, "answering")])
        bridge, board, kitchen = await asyncio.to_thread(
            lambda: (Zigbee2Mqtt(broker.port), Tasmota(broker.port, "board"), EspHome(broker.port, "kitchen"))
        )
        await asyncio.to_thread(bridge.report, "hall", smoke=True)
        await asyncio.to_thread(board.alarm, True)
        await asyncio.to_thread(kitchen.sensor, "gas", True)
        await asyncio.to_thread(kitchen.value, "wifi_signal", "-61")
        await asyncio.to_thread(lambda: board.zigbee(**{"0x7E14": {"ZoneStatusChange": 5, "LinkQuality": 92}}))
        await until(lambda: told.values("z1/tamper") == [True] and told.values("e1/wifi_dbm") == [-61.0])
        await until(lambda: told.values("s1/smoke") and told.values("t1/smoke") and told.values("e1/gas"))
        assert told.values("s1/smoke") == told.values("t1/smoke") == told.values("e1/gas") == [True]
        assert told.values("s1/battery_percent") == [100.0]
        for one in (board, kitchen):
            await asyncio.to_thread(one.die)
        await until(lambda: (False, "offline") in told.links("t1") and (False, "offline") in told.links("e1"))
        await asyncio.to_thread(bridge.die)
        await until(lambda: told.links("mqtt1")[-1] == (False, "bridge_offline"))
        assert told.links("s1") == [(True, "answering")], "one fault for the bridge, not one for each head"
        bridge = await asyncio.to_thread(Zigbee2Mqtt, broker.port)
        await until(lambda: told.links("mqtt1")[-1] == (True, "answering"))
        await asyncio.to_thread(bridge.raw, "hall", '{"smoke":')
        await until(driver.refused)
        await asyncio.to_thread(bridge.available, "hall", False)
        await until(lambda: told.links("s1")[-1] == (False, "offline"))
        await asyncio.to_thread(bridge.leave)


@pytest.mark.asyncio
async def test_what_was_said_while_nobody_listened_is_heard_once_and_retained_is_not_new_life(broker: Broker) -> None:
    async with listening(broker.port) as (told, _):
        await until(lambda: told.links("mqtt1") == [(True, "answering")])
    bridge = await asyncio.to_thread(Zigbee2Mqtt, broker.port)
    for smoke in (True, False, True):
        await asyncio.to_thread(bridge.report, "hall", smoke=smoke)
    async with listening(broker.port) as (told, _):
        await until(lambda: len(told.values("s1/smoke")) == 3)
        assert told.values("s1/smoke") == [True, False, True]
        assert told.links("s1") == [(True, "answering")]
    await asyncio.to_thread(bridge.leave)
    retaining = await asyncio.to_thread(lambda: Zigbee2Mqtt(broker.port, retain=True))
    await asyncio.to_thread(retaining.report, "hall", smoke=True)
    async with listening(broker.port, client_id="gw-new") as (told, _):
        await until(lambda: told.values("s1/smoke"))
        assert told.values("s1/smoke") == [True]
        assert told.links("s1") == []
    await asyncio.to_thread(retaining.leave)


@pytest.mark.asyncio
async def test_a_broker_that_is_away_is_one_fault_and_tried_again_without_hurry(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        async with listening(broker.port) as (told, driver):
            await until(lambda: told.links("mqtt1") == [(True, "answering")])
            broker.kill()
            await until(lambda: told.links("mqtt1")[-1] == (False, "no_broker"))
            beats = driver.progress()
            await until(lambda: driver.progress() > beats + 3)
            assert told.links("mqtt1") == [(True, "answering"), (False, "no_broker")], "told once"
            assert driver.counters()["lost"] == 1
            broker.start()
            await until(lambda: told.links("mqtt1")[-1] == (True, "answering"))
            board = await asyncio.to_thread(Tasmota, broker.port, "board")
            await asyncio.to_thread(board.tele, True)
            await until(lambda: told.values("t1/smoke") == [True])
            await asyncio.to_thread(board.leave)


@pytest.mark.asyncio
async def test_a_broker_that_falls_dumb_is_found_by_the_keep_alive(broker: Broker, monkeypatch: Any) -> None:
    monkeypatch.setattr("drivers.mqtt_driver.KEEPALIVE_S", 1)
    async with listening(broker.port) as (told, _):
        await until(lambda: told.links("mqtt1")[-1:] == [(True, "answering")])
        with broker.frozen():
            await until(lambda: told.links("mqtt1")[-1] == (False, "no_broker"))
        await until(lambda: told.links("mqtt1")[-1] == (True, "answering"))
        links = told.links("mqtt1")  # a machine that stands still for a second loses its connection once more
        assert [link for link, _ in itertools.groupby(links)] == links, "each told once"
        assert set(links) == {(True, "answering"), (False, "no_broker")}


@pytest.mark.asyncio
async def test_a_bug_of_ours_loses_no_fire_and_is_told(broker: Broker, monkeypatch: Any) -> None:
    driver = MqttDriver(
        id="mqtt1",
        link=BrokerLink(host="127.0.0.1", port=broker.port, client_id="gw"),
        devices=DEVICES,
        when_kept=lambda done: done(True),
    )
    told = Told()
    task = asyncio.create_task(driver.run(told))
    await until(lambda: told.links("mqtt1") == [(True, "answering")])

    take = driver._devices.take

    def broken(topic: str, payload: bytes, **more: Any) -> list[Observation]:
        if b"smoke" in payload and b"true" in payload:
            raise KeyError("planted")
        return take(topic, payload, **more)  # the bridge says other things first, and a bug ends the driver

    monkeypatch.setattr(driver._devices, "take", broken)
    bridge = await asyncio.to_thread(Zigbee2Mqtt, broker.port)
    await asyncio.to_thread(bridge.report, "hall", smoke=True)
    with pytest.raises(KeyError):
        await asyncio.wait_for(task, PATIENCE_S)
    assert ("mqtt1/message", "unknown") in told.events()
    await asyncio.to_thread(bridge.leave)


# --- in the whole core ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_head_behind_the_broker_sounds_the_alarm_and_is_kept_and_known_after_a_restart(broker: Broker) -> None:
    site = Site().set(
        mqtts=(
            Mqtt(
                id="mqtt1",
                port=broker.port,
                devices=(Configured(id="s1", profile="zigbee2mqtt-smoke", topic="hall", name="hall head"),),
            ),
        )
    )
    bridge = await asyncio.to_thread(lambda: Zigbee2Mqtt(broker.port, retain=True))
    async with site.running() as house:
        await house.until(lambda: house.core._sources["mqtt1"]["up"], "the broker is there")
        await asyncio.to_thread(
            bridge.report, "hall", smoke=True, test=True
        )  # somebody walks round and tries the heads
        await house.until(lambda: house.core.points.switch("s1/test") is True, "a test")
        await asyncio.to_thread(bridge.report, "hall", smoke=False, test=False)
        await house.until(lambda: house.core.points.switch("s1/test") is False, "it is over")
        assert house.core.alarms.alarms() == []
        await asyncio.to_thread(bridge.report, "hall", smoke=True, tamper=True)
        await house.until(lambda: any(alarm.kind == "fire" for alarm in house.core.alarms.alarms()), "a fire")
        await asyncio.to_thread(bridge.report, "other", smoke=True)
        await house.until(lambda: unlisted(house.core), "the stranger is listed")
        await house.until(lambda: len(house.core.alarms.alarms()) >= 3, "fire, tamper, unknown")
    async with site.running() as house:  # the retained message comes again
        await house.until(lambda: house.core._sources["mqtt1"]["up"], "the broker is there")
        await house.until(lambda: [row for row in house.core.points.rows() if row["value"] is True], "heard")
    events = [one for one in await site.records() if one["point"].startswith(("s1/", "mqtt1/")) and one["active"]]
    told = [(one["kind"], one["point"]) for one in events]
    assert sorted(told) == [
        *(("fire", "s1/smoke"), ("tamper", "s1/tamper"), ("test", "s1/smoke"), ("test", "s1/test")),
        ("unknown", "mqtt1/other"),
    ]
    fire = next(one for one in events if one["kind"] == "fire")
    assert (fire["source"], fire["grade"]) == ("s1", 1)
    assert fire["name"].startswith("hall head")
    await asyncio.to_thread(bridge.leave)


# --- the broker as it is installed ------------------------------------------------------------------------------------------


@contextmanager
def installed(tmp_path: Path) -> Iterator[tuple[int, int, Certificates]]:
    """mosquitto with the very files a gateway has, their places and ports put where a test may have them."""
    tls = Certificates(tmp_path / "tls")
    plain, secure = free_port(), free_port()
    passwords = tmp_path / "passwd"
    passwords.write_text("".join(f"{name}:secret-{name}\n" for name in ("edge-agent", "zigbee2mqtt", "node1", "board")))
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)
    acl = tmp_path / "acl"
    shutil.copy(SYSTEMD / "mosquitto-edge-agent.acl", acl)
    text = (SYSTEMD / "mosquitto-edge-agent.conf").read_text()
    for old, new in (
        ("/etc/mosquitto/edge-agent.passwd", str(passwords)),
        ("/etc/mosquitto/edge-agent.acl", str(acl)),
        ("/etc/mosquitto/certs/broker.crt", str(tls.server_cert)),
        ("/etc/mosquitto/certs/broker.key", str(tls.server_key)),
        ("listener 1883 127.0.0.1", f"listener {plain} 127.0.0.1"),
        ("listener 8883", f"listener {secure} 127.0.0.1"),
    ):
        assert old in text
        text = text.replace(old, new)
    conf = tmp_path / "conf"
    conf.write_text(text + ("user root\n" if os.geteuid() == 0 else ""))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", conf], stdout=log, stderr=log)
    try:
        yield plain, secure, tls
    finally:
        process.kill()
        process.wait()


def connack(port: int, *, user: str = "", password: str = "", ca: Path | None = None) -> str:
    """What the broker answers to a greeting."""
    said: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="probe", protocol=paho.MQTTv5)
    if user:
        client.username_pw_set(user, password)
    if ca is not None:
        client.tls_set(str(ca))
    client.on_connect = lambda _c, _u, _f, reason, _p: said.append(str(reason))

    def greeted() -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            return client.connect("127.0.0.1", port) is paho.MQTT_ERR_SUCCESS
        return False

    def answered() -> bool:
        client.loop(0.1)
        return bool(said)

    eventually(greeted, "the broker listens")
    eventually(answered, "it answers the greeting")
    client.disconnect()
    return said[0]


def may_say(port: int, user: str, topics: Sequence[str]) -> list[str]:
    """Which of the topics the broker takes from this user."""
    said: dict[int, bool] = {}
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"may-{user}", protocol=paho.MQTTv5)
    client.username_pw_set(user, f"secret-{user}")
    client.on_publish = lambda _c, _u, mid, reason, _p: said.update({mid: not reason.is_failure})
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        eventually(client.is_connected, "it is greeted")
        asked = {client.publish(topic, b"x", qos=1).mid: topic for topic in topics}
        eventually(lambda: len(said) == len(asked), "each has its answer")
    finally:
        client.disconnect()
        client.loop_stop()
    return [topic for mid, topic in asked.items() if said[mid]]


def test_only_the_gateway_offers_updates_and_a_node_asks_only_for_itself(tmp_path: Path) -> None:
    topics = [
        f"zg119/node/{node}/{what}" for node in ("node1", "node2") for what in ("up", "want", "ack", "offer", "part")
    ]
    with installed(tmp_path) as (plain, _, _):
        assert connack(plain) == "Not authorized", "it listens"
        assert may_say(plain, "node1", topics) == ["zg119/node/node1/up", "zg119/node/node1/want"]
        assert may_say(plain, "edge-agent", topics) == [topic for topic in topics if topic[-2:] not in ("up", "nt")]


@pytest.mark.asyncio
async def test_the_installed_broker_knows_everybody_and_lets_none_speak_for_another(tmp_path: Path) -> None:
    with installed(tmp_path) as (plain, secure, tls):
        assert await asyncio.to_thread(connack, plain) == "Not authorized"
        assert await asyncio.to_thread(lambda: connack(secure, ca=tls.ca_file)) == "Not authorized"
        wrong = lambda: connack(secure, user="node1", password="secret-board", ca=tls.ca_file)  # noqa: E731 - for a thread
        assert await asyncio.to_thread(wrong) == "Not authorized"
        node = lambda: connack(secure, user="node1", password="secret-node1", ca=tls.ca_file)  # noqa: E731 - as above
        assert await asyncio.to_thread(node) == "Success"
        password = tmp_path / "password"
        password.write_text("secret-edge-agent\n")
        async with listening(plain, username="edge-agent", password_file=password) as (told, _):
            await until(lambda: told.links("mqtt1") == [(True, "answering")])
            thief = await asyncio.to_thread(lambda: Publisher(plain, "x", username="board", password="secret-board"))
            await asyncio.to_thread(thief.say, "zigbee2mqtt/hall", {"smoke": True})
            await asyncio.to_thread(thief.say, "tele/other/SENSOR", {"Switch1": "ON"})
            await asyncio.to_thread(thief.say, "tele/board/SENSOR", json.dumps({"Switch1": "ON"}))
            await until(lambda: told.values("t1/smoke") == [True])
            assert told.values("s1/smoke") == []
            await asyncio.to_thread(thief.leave)
        password.write_text("wrong\n")
        async with listening(plain, username="edge-agent", password_file=password) as (told, _):
            await until(lambda: told.links("mqtt1") == [(False, "no_broker")])
