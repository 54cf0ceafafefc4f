"""Updates over the air: a whole core, a real mosquitto, the firmware on MicroPython. What is not lost, and what is not run."""

import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.model import Mqtt, MqttDevice, Receiver, ReceiverDevice
from simulators.ports import free_port
from tests.brokers import Broker
from tests.core.house import House, Site
from tests.node.bench import Node, link_to, tended
from tests.node.maker import MODEL, Maker, image, maker, program
from tests.waiting import eventually, until

KILLS = int(os.environ.get("EDGE_NODE_KILLS", "3"))  # scripts/evidence asks for more
OVER = ("starting", "done")  # nothing is left to fetch
PAD = {"detector_node/pad.bin": random.Random(1).randbytes(120_000)}
PROMPT = "set_tcp_nodelay true\n"  # as in systemd/mosquitto-edge-agent.conf
ACL = (Path(__file__).parents[2] / "systemd/mosquitto-edge-agent.acl").read_text()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, persistent=True, config=PROMPT) as running:
        yield running


def site_of(port: int) -> Site:
    devices = (MqttDevice(id="n1", profile="edge-node", topic="node1"),)
    return Site().set(mqtts=(Mqtt(id="mqtt1", port=port, devices=devices, node_updates=True),))


def node_at(directory: Path, port: int, **settings: Any) -> Node:
    return Node(directory, port=port, model=MODEL, update_key=f"{maker().modulus:x}", **settings)


async def offer(house: House, image: bytes) -> Mapping[str, Any]:
    """As `edge-agent node offer` does it."""
    nodes = house.core.nodes
    await until(nodes.directory.exists, "the core takes offers")
    (nodes.directory / "n1.offer").write_bytes(image)
    answer = await nodes.offer("n1", "cli:tester")
    assert isinstance(answer, dict)
    return answer


def row(house: House) -> Mapping[str, Any]:
    found = house.core.nodes.rows()["nodes"]
    assert isinstance(found, list)
    [only] = found
    return only


async def state(house: House, node: Node, wanted: str) -> Mapping[str, Any]:
    await until(
        lambda: row(house)["state"] == wanted, f"{wanted}, not {row(house)}\n{node.said()[-3000:]}", within_s=120
    )
    return row(house)


def slot(node: Node) -> str:
    file = node.directory / "slots.json"
    return str(json.loads(file.read_text())["slot"]) if file.exists() else ""


def size(part: Path) -> int:
    """Of what has come so far."""
    with contextlib.suppress(FileNotFoundError):
        return part.stat().st_size
    return 0


def fed(node: Node) -> int:
    """How often it has fed its watchdog, and looked for an update; 0 while that is being written."""
    file = node.directory / "watchdog"
    return int(file.read_text() or 0) if file.exists() else 0


async def smoke_is_told(house: House, node: Node) -> None:
    """Whatever runs there does its work."""
    node.inputs(smoke_percent=50)
    await until(lambda: house.alarms() == ["n1/smoke"], f"a fire\n{node.said()[-3000:]}")
    node.inputs()


async def told(site: Site) -> list[Mapping[str, Any]]:
    return [one["fields"] for one in await site.records() if one["point"] == "command/node_update"]


@pytest.mark.asyncio
async def test_an_offer_is_fetched_tried_kept_and_written_down(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("edge-agent:secret\nnode1:secret\n")
    (tmp_path / "passwd").chmod(0o600)
    (tmp_path / "password").write_text("secret")
    subprocess.run(["mosquitto_passwd", "-U", tmp_path / "passwd"], check=True, capture_output=True)
    file = tmp_path / "smoke-2.zgu"
    file.write_bytes(image(2, node="\nprint('second program')\n"))
    with Broker(tmp_path, acl=ACL, config=f"{PROMPT}password_file {tmp_path / 'passwd'}\n") as broker:
        site = site_of(broker.port)
        known = {"username": "edge-agent", "password_file": tmp_path / "password"}
        site.set(
            mqtts=tuple(
                Mqtt(id=one.id, port=one.port, devices=one.devices, node_updates=True, **known)
                for one in site.config.mqtts
            )
        )  # type: ignore[arg-type]
        async with site.running() as house:
            node = node_at(tmp_path / "n", broker.port, password="secret")
            async with tended(node) as ends:
                await house.until(lambda: house.source("n1")["up"], "the node speaks")
                asked = [
                    sys.executable,
                    "-m",
                    "edge_agent",
                    "node",
                    "offer",
                    file,
                    "n1",
                    "--socket",
                    site.directory / "run/core.sock",
                ]
                done = await asyncio.to_thread(
                    subprocess.run, [str(one) for one in asked], capture_output=True, text=True
                )
                assert (done.returncode, "2" in done.stdout) == (0, True), done.stdout + done.stderr
                runs = await state(house, node, "done")
                assert (runs["runs"], slot(node), ends) == (2, "a", [3])
                assert "second program" in node.said()
                await until(lambda: not list(house.core.nodes.directory.iterdir()), "the file is gone")
                await smoke_is_told(house, node)
                await house.durable()
    [offered, done_] = await told(site)
    assert (offered["status"], offered["device"], offered["version"]) == ("offered", "n1", 2)
    assert offered["who"].startswith("cli:")
    assert (done_["status"], done_["runs"]) == ("done", 2)
    site.remove()


def tampered(house: House) -> bool:
    return any(one["id"] == "n1/tamper" and one["active"] for one in house.core.points.rows())


@pytest.mark.asyncio
async def test_an_alarm_goes_first_and_a_low_battery_waits(broker: Broker, tmp_path: Path) -> None:
    site = site_of(broker.port)
    async with site.running() as house:
        node = node_at(tmp_path / "n", broker.port)
        node.inputs(battery_v=2.0)
        async with tended(node) as ends:
            await house.until(lambda: house.core.points.counts()["active"], "a low battery is told")
            await offer(house, image(2, PAD))
            await smoke_is_told(house, node)
            assert row(house)["state"] == "offered", "nothing is fetched with a low battery"
            await until(lambda: row(house)["have"] > 5000, f"with a good one it is\n{node.said()}")
            node.inputs(smoke_percent=50)
            await until(lambda: house.core.alarms.first_fire() and node.sounding(), "the alarm comes first")
            assert row(house)["state"] == "fetching"
            have = []
            for open_ in (True, False):  # what is told after the alarm shows that time has passed
                newest = node.newest()
                node.inputs(smoke_percent=50, tamper=open_)
                await until(lambda newest=newest: node.newest() > newest, "in its flash")  # type: ignore[misc]
                await house.until(lambda open_=open_: tampered(house) is open_, "told")  # type: ignore[misc]
                have.append(row(house)["have"])  # a part that was asked for before the alarm is in the first
            assert (have[1], ends) == (have[0], []), "no part is fetched while it burns"
            node.inputs()
            assert (await state(house, node, "done"))["runs"] == 2
    site.remove()


@pytest.mark.asyncio
@pytest.mark.slow
async def test_kills_and_cuts_on_the_way_cost_no_part_that_was_kept(broker: Broker, tmp_path: Path) -> None:
    chance = random.Random(119)
    site = site_of(broker.port)
    async with link_to(broker.port) as link:
        node = node_at(tmp_path / "n", link.port)
        part = node.directory / "update.part"
        async with tended(node) as ends:
            async with site.running() as house:
                await house.until(lambda: house.source("n1")["up"], "the node speaks")
                await offer(house, image(2, PAD))
                for _ in range(KILLS):
                    goal = size(part) + chance.randint(1, 2 * 120_000 // (3 * KILLS))
                    await until(lambda goal=goal: size(part) >= goal or row(house)["state"] in OVER, "it goes on")  # type: ignore[misc]
                    kept = size(part)
                    if chance.random() < 0.5:
                        await asyncio.to_thread(node.kill)
                        node.start()
                    else:
                        link.cut()
                        link.heal()
                    assert size(part) >= kept or row(house)["state"] in OVER, "what it has it keeps"
            async with site.running() as house:  # a core that was restarted offers what it offered before
                assert (await state(house, node, "done"))["runs"] == 2
                await smoke_is_told(house, node)
        assert set(ends) <= {3}
    assert (node.directory / "a/detector_node/pad.bin").read_bytes() == PAD["detector_node/pad.bin"]
    site.remove()


@pytest.mark.asyncio
async def test_what_is_not_for_a_node_is_refused_by_it_and_runs_nowhere(broker: Broker, tmp_path: Path) -> None:
    site = site_of(broker.port)
    good = image(5)
    async with site.running() as house:
        node = node_at(tmp_path / "n", broker.port)
        async with tended(node) as ends:
            for why, bad in (
                ("signature", Maker().image(program(5), version=5)),
                ("signature", good.replace(b'"version": 5', b'"version": 6')),
                ("model", maker().image(program(5), version=5, model="gas-1")),
                ("version", maker().image(program(1), version=0)),
            ):
                assert "version" in await offer(house, bad), "the gateway cannot know"
                assert (await state(house, node, "refused"))["why"] == why
                assert not (node.directory / "update.part").exists()
            assert await offer(house, good[:-1]) == {"refused": "digest"}
            assert await offer(house, b"ZGU2") == {"refused": "form"}
            await offer(house, image(5))
            await state(house, node, "done")
            await offer(house, image(4))
            refused = await state(house, node, "refused")
            assert (refused["why"], refused["runs"]) == ("version", 5), "an older one that was signed once"
            assert ends == [3]
            await smoke_is_told(house, node)
            await house.durable()
    assert [one["why"] for one in await told(site) if one["status"] == "refused"] == [
        "signature", "signature", "model", "version", "version",
    ]  # fmt: skip
    site.remove()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "broken",
    [{"node": "\nraise ValueError('broken')\n"}, {"link": "\nCONNECT_S = 0\n", "node": "\nCONFIRM_S = 1\n"}],
    ids=["crashes at once", "reaches nobody"],
)
async def test_a_program_that_fails_its_trial_gives_way_twice_and_then_for_good(
    broker: Broker, tmp_path: Path, broken: dict[str, str]
) -> None:
    site = site_of(broker.port)
    async with site.running() as house:
        node = node_at(tmp_path / "n", broker.port)
        async with tended(node) as ends:
            await offer(house, image(2, **broken))
            refused = await state(house, node, "refused")
            assert (refused["why"], refused["runs"], slot(node)) == ("failed", 1, "")
            assert len(ends) == 2 * 4, "each time to start it, and three starts"
            await smoke_is_told(house, node)
            await offer(house, image(3))
            await state(house, node, "done")
    site.remove()


@pytest.mark.asyncio
async def test_a_node_that_speaks_in_datagrams_takes_a_file_that_is_put_on_it_once_its_alarm_is_over(
    tmp_path: Path,
) -> None:
    key, port = "5a" * 32, free_port()
    (tmp_path / "node1.key").write_text(key)
    devices = (ReceiverDevice(id="n1", address="node1", key_file=tmp_path / "node1.key"),)
    listens = Receiver(
        id="nodes", protocol="node", listen="127.0.0.1", listen_port=port, allow=("127.0.0.1",), devices=devices
    )
    site = Site().set(receivers=(listens,))
    (tmp_path / "u").write_bytes(image(2))
    async with site.running() as house:
        node = node_at(tmp_path / "n", port, transport="udp", key=key)
        node.inputs(smoke_percent=50)
        async with tended(node) as ends:
            await house.until(lambda: house.alarms() == ["n1/smoke"], f"a fire\n{node.said()}")
            (tmp_path / "u").rename(node.directory / "update.zgu")
            before = fed(node)
            await until(lambda: fed(node) > before + 1, "it looked twice")
            assert ((node.directory / "update.zgu").exists(), slot(node)) == (True, "")
            node.inputs()
            await until(
                lambda: slot(node) == "a" and '"left": -1' in (node.directory / "slots.json").read_text(), "it stays"
            )
            assert ends == [3]
    site.remove()


@pytest.mark.asyncio
async def test_a_node_that_sleeps_finds_the_offer_when_it_wakes(broker: Broker, tmp_path: Path) -> None:
    site = site_of(broker.port)
    async with site.running() as house:
        node = node_at(tmp_path / "n", broker.port, sleep_s=60)
        node.start()
        assert await asyncio.to_thread(node.exit_code) == 4, "it sleeps"
        await offer(house, image(2))
        node.start()
        assert await asyncio.to_thread(node.exit_code) == 3, f"it stays awake for it\n{node.said()}"
        node.start()
        assert await asyncio.to_thread(node.exit_code) == 4
        await state(house, node, "done")
        assert slot(node) == "a"
    site.remove()


@pytest.mark.parametrize("settings", [{}, {"update_key": ""}, {"update_key": "not hex"}, {"update_key": 7}])
def test_a_node_without_a_key_that_can_be_read_takes_no_update_and_does_its_work(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    known = {"update_key": f"{maker().modulus:x}", "model": MODEL, **settings} if settings else {}
    node = Node(tmp_path / "n", port=free_port(), **known)
    (node.directory / "update.zgu").write_bytes(image(2))
    node.inputs(smoke_percent=50)
    node.start()
    try:
        eventually(node.sounding, f"it sounds\n{node.said()}")
        assert (node.ended(), slot(node), (node.directory / "update.zgu").exists()) == (None, "", True)
    finally:
        node.kill()
