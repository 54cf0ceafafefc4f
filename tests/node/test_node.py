"""The firmware on MicroPython, a real mosquitto, a whole core: what reached the node's flash reaches the journal once."""

import asyncio
import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge_agent.config.model import Mqtt, MqttDevice, Receiver, ReceiverDevice
from simulators.datagrams import DatagramRelay, Mood
from simulators.ports import free_port
from tests.brokers import Broker, Certificates
from tests.core.house import House, Site
from tests.node.bench import Node, link_to, powered
from tests.proof.checker import spread_s
from tests.proof.site import note
from tests.waiting import eventually, until

ROUNDS = int(os.environ.get("EDGE_NODE_KILLS", "4"))  # scripts/evidence asks for more
WET = 50.0  # per cent of smoke


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, persistent=True) as running:
        yield running


def site_of(port: int) -> Site:
    devices = (MqttDevice(id="n1", profile="edge-node", topic="node1", name="attic"),)
    return Site().set(mqtts=(Mqtt(id="mqtt1", port=port, devices=devices),))


async def told(site: Site, point: str = "n1/smoke", kind: str = "fire") -> list[bool]:
    """What the journal holds of a point, in order."""
    return [one["active"] for one in await site.records() if (one["point"], one["kind"]) == (point, kind)]


async def change(node: Node, smoke: bool) -> None:
    """The node sees smoke, or none any more, and has it in its flash."""
    before = await asyncio.to_thread(node.newest)
    node.inputs(smoke_percent=WET if smoke else 1)
    await until(lambda: node.newest() > before, f"in the node's flash\n{node.said()}")


async def all_confirmed(node: Node, house: House) -> None:
    """The gateway has confirmed the node's newest record, and has all of it on flash."""
    device = next(one for driver in house.core.drivers if driver.id == "mqtt1" for one in driver._devices._devices)  # type: ignore[attr-defined]
    await until(lambda: device.last[1] >= node.newest() > 0, f"delivered\n{node.said()}")
    await house.durable()


@pytest.mark.asyncio
async def test_smoke_sounds_at_the_node_and_the_gateway_and_ends_at_both(broker: Broker, tmp_path: Path) -> None:
    site = site_of(broker.port)
    async with site.running() as house:
        with powered(tmp_path / "n", port=broker.port) as node:
            await house.until(lambda: house.source("n1")["up"], "the node speaks")
            await change(node, True)
            await house.until(lambda: house.alarms() == ["n1/smoke"], "a fire")
            await until(node.sounding, "its own sounder")
            await change(node, False)
            await all_confirmed(node, house)
            await until(lambda: not node.sounding(), "its own sounder is silent")
            node.inputs(tamper=True)
            await house.until(
                lambda: [row for row in house.core.points.rows() if row["id"] == "n1/tamper" and row["active"]],
                "tamper",
            )
    assert await told(site) == [True, False]
    site.remove()


@pytest.mark.asyncio
async def test_nothing_is_lost_or_doubled_though_the_node_is_killed_and_the_link_is_cut(
    broker: Broker, tmp_path: Path
) -> None:
    chance = random.Random(119)
    site = site_of(broker.port)
    smoke, wanted = False, list[bool]()
    async with link_to(broker.port) as link, site.running() as house:
        node = Node(tmp_path / "n", port=link.port)
        node.start()
        try:
            await house.until(lambda: house.source("n1")["up"], "the node speaks")
            for _ in range(ROUNDS):
                for _ in range(chance.randint(1, 3)):
                    smoke = not smoke
                    await change(node, smoke)
                    wanted.append(smoke)
                what = chance.choice(("kill", "cut", "cut and kill", "freeze"))
                if "cut" in what:
                    link.cut()
                if what == "freeze":
                    link.freeze()
                if "kill" in what:
                    await asyncio.to_thread(node.restart)
                if what != "kill":  # something happens while nobody can be told
                    smoke = not smoke
                    await change(node, smoke)
                    wanted.append(smoke)
                link.heal()
            healed_s = time.monotonic()
            await all_confirmed(node, house)
            delay_s = spread_s([time.monotonic() - healed_s], "healed to all of it confirmed to the node")
        finally:
            await asyncio.to_thread(node.kill)
    had = await told(site)
    found = {"count": ROUNDS, "lost": max(0, len(wanted) - len(had)), "doubled": max(0, len(had) - len(wanted))}
    note("node-killed-and-cut", {**found, "delay_s": delay_s})
    assert had == wanted
    site.remove()


@pytest.mark.asyncio
async def test_nothing_is_lost_or_doubled_though_the_gateway_and_its_broker_are_gone_for_a_while(
    broker: Broker, tmp_path: Path
) -> None:
    site = site_of(broker.port)
    with powered(tmp_path / "n", port=broker.port) as node:
        async with site.running() as house:
            await house.until(lambda: house.source("n1")["up"], "the node speaks")
            await change(node, True)
            await all_confirmed(node, house)
        await change(node, False)  # the broker takes it, the core is away
        await change(node, True)
        await asyncio.to_thread(broker.kill)  # and forgets it
        await change(node, False)
        await asyncio.to_thread(broker.start)
        async with site.running() as house:
            await all_confirmed(node, house)
    assert await told(site) == [True, False, True, False]
    site.remove()


@pytest.mark.asyncio
async def test_over_tls_with_a_password_and_not_to_a_broker_of_another_ca(tmp_path: Path) -> None:
    tls, other = Certificates(tmp_path / "tls"), Certificates(tmp_path / "other")
    for one in (tls, other):
        certificate = x509.load_pem_x509_certificate(one.ca_file.read_bytes())
        (one.directory / "ca.der").write_bytes(certificate.public_bytes(Encoding.DER))
    passwords, plain = tmp_path / "passwd", free_port()
    passwords.write_text("node1:secret\n")
    passwords.chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)
    secure = free_port()
    config = (
        f"listener {secure} 127.0.0.1\ncertfile {tls.server_cert}\nkeyfile {tls.server_key}\n"
        f"allow_anonymous false\npassword_file {passwords}\n"
    )
    del plain
    with Broker(tmp_path, config=config) as broker:
        text = (
            (broker.directory / "conf").read_text().replace("per_listener_settings false", "per_listener_settings true")
        )
        text = text.replace("allow_anonymous true\n", "", 1).replace(
            f"listener {broker.port} 127.0.0.1\n", f"listener {broker.port} 127.0.0.1\nallow_anonymous true\n"
        )
        broker.kill()
        (tmp_path / "conf").write_text(text)
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(tmp_path / "conf")], stdout=log, stderr=log)
        try:
            site = site_of(broker.port)
            async with site.running() as house:
                await house.until(lambda: house.source("mqtt1")["up"], "the broker is there")
                with powered(tmp_path / "n", port=secure, password="wrong", ca=str(tls.directory / "ca.der")) as node:
                    await until(lambda: "refused" in node.said(), f"a wrong password\n{node.said()}")
                    node.kill()
                    node.configure(password="secret", ca=str(other.directory / "ca.der"))
                    node.start()
                    await until(lambda: node.said().count("link:") >= 2, f"another CA\n{node.said()}")
                    node.kill()
                    tried = node.said().count("link:")
                    node.configure(
                        host="127.1", ca=str(tls.directory / "ca.der")
                    )  # this machine, by a name that is not its
                    node.start()
                    await until(lambda: node.said().count("link:") > tried, f"another name\n{node.said()}")
                    assert "ertificate" in node.said().rpartition("link:")[2]
                    assert house.source("n1")["up"] is None
                    node.kill()
                    node.configure(host="127.0.0.1")
                    node.start()
                    await house.until(lambda: house.source("n1")["up"], f"the node speaks\n{node.said()}")
            site.remove()
        finally:
            process.kill()
            process.wait()


@pytest.mark.asyncio
async def test_in_datagrams_over_a_bad_path_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    key, port = "5a" * 32, free_port()
    (tmp_path / "node1.key").write_text(key)
    receiver = Receiver(
        id="nodes", protocol="node", listen="127.0.0.1", listen_port=port, allow=("127.0.0.1",),
        devices=(ReceiverDevice(id="n1", address="node1", key_file=tmp_path / "node1.key"),),
    )  # fmt: skip
    site = Site().set(receivers=(receiver,))
    relay = DatagramRelay(port, random.Random(7), Mood(loss=0.2, double=0.2, delay_s=0.02, jitter_s=0.02))
    await relay.start()
    wanted = []
    try:
        async with site.running() as house:
            with powered(tmp_path / "n", transport="udp", port=relay.port, key=key) as node:
                await house.until(lambda: house.source("n1")["up"], f"the node speaks\n{node.said()}")
                for smoke in (True, False, True):
                    await change(node, smoke)
                    wanted.append(smoke)
                await asyncio.to_thread(node.restart)  # in the fire: it is no news
                desk = next(driver._desk for driver in house.core.drivers if driver.id == "nodes")  # type: ignore[attr-defined]
                await house.until(lambda: house.alarms() == ["n1/smoke"], "the last one")
                await until(lambda: desk.counts["confirmed"] >= len(wanted) + 2, f"confirmed\n{node.said()}")
                await house.durable()
                assert desk.counts["refused"] == 0
    finally:
        relay.close()
    assert await told(site) == wanted
    assert max(relay.sizes) <= 64
    site.remove()


def test_a_gateway_that_is_away_costs_a_sleeping_node_neither_its_battery_nor_its_flash(tmp_path: Path) -> None:
    node = Node(tmp_path / "n", port=free_port(), sleep_s=60, awake_s=0.5, slots=8)
    try:
        for _ in range(4):
            node.start()
            assert node.exit_code() == 4, node.said()
            assert node.newest() == 1, "nothing new to tell"
        node.inputs(tamper=True)
        for _ in range(2):
            node.start()
            assert node.exit_code() == 4
            assert node.newest() == 2, "what is new is kept, once"
        node.inputs(smoke_percent=WET, tamper=True)
        node.start()
        eventually(node.sounding, f"it wakes in smoke\n{node.said()}")
        eventually(lambda: node.newest() == 3, "and keeps it")
        node.inputs(tamper=True)
        assert node.exit_code() == 4, "and stays awake until it is over"
        assert node.newest() == 4
        assert node.ended() == 4
    finally:
        node.kill()


@pytest.mark.asyncio
async def test_a_node_that_sleeps_has_told_everything_first_and_wakes_to_tell_more(
    broker: Broker, tmp_path: Path
) -> None:
    site = site_of(broker.port)
    async with site.running() as house:
        with powered(tmp_path / "n", port=broker.port, sleep_s=60) as node:
            assert await asyncio.to_thread(node.exit_code) == 4
            await all_confirmed(node, house)
            node.inputs(smoke_percent=WET)
            node.start()
            await house.until(lambda: house.alarms() == ["n1/smoke"], "a fire")
            await all_confirmed(node, house)
            assert node._process is not None
            assert node._process.poll() is None, "it does not sleep in an alarm"
            node.inputs()
            assert await asyncio.to_thread(node.exit_code) == 4
    assert await told(site) == [True, False]
    site.remove()
