"""A site as files and programs, and the centre that asks it: for tests of commands over a real broker."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from buffer.reader import JournalReader
from buffer.records import Priority
from edge_agent.commands import NAMES
from edge_agent.config.model import Config
from edge_agent.config.uplinks import Uplink
from simulators.process import Program
from tests.brokers import Broker
from tests.core.house import Site
from tests.small_site import small_site
from tests.waiting import PATIENCE_S, until


class Asker:
    """The centre's end: sends commands and keeps every answer."""

    def __init__(self, broker: Broker, gateway: str) -> None:
        self.gateway, self.answers = gateway, list[tuple[str, bytes, dict[str, Any]]]()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._client.subscribe(f"zg119/v1/{gateway}/rsp/#", qos=1)
        assert self._subscribed.wait(PATIENCE_S)

    def _on_message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        correlation = bytes(getattr(message.properties, "CorrelationData", b"") or b"")
        self.answers.append((message.topic, correlation, json.loads(message.payload)))

    def send(
        self,
        name: str,
        *,
        command: str = "c1",
        params: object = None,
        expiry_s: int | None = 60,
        retain: bool = False,
        correlation: bytes = b"k-1",
        topic: str = "",
        raw: bytes | None = None,
        **more: object,
    ) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = correlation
        if topic:
            properties.ResponseTopic = topic
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        message = {"v": 1, "id": command, "name": name, "params": params or {}, **more}
        payload = json.dumps(message).encode() if raw is None else raw
        sent = self._client.publish(
            f"zg119/v1/{self.gateway}/cmd", payload, qos=1, retain=retain, properties=properties
        )
        sent.wait_for_publish(PATIENCE_S)

    async def answer(self, command: str = "c1", count: int = 1) -> dict[str, Any]:
        """The newest of so many answers to one id."""

        def of() -> list[dict[str, Any]]:
            return [answer for _, _, answer in self.answers if answer["id"] == command]

        await until(lambda: len(of()) >= count, f"{count} answers to {command}")
        return of()[-1]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def asker(broker: Broker, gateway: str) -> Iterator[Asker]:
    made = Asker(broker, gateway)
    try:
        yield made
    finally:
        made.close()


def with_centre(place: Site, port: int, *names: str) -> Config:
    place.set(uplinks=(Uplink(id="county", host="127.0.0.1", port=port, commands=names or NAMES),))
    return place.config


def statuses(place: Site) -> list[dict[str, Any]]:
    with JournalReader.open(place.directory / "data") as reader:
        return [json.loads(record.body) for record in reader.records((Priority.STATUS,))]


def program_of(directory: Path, name: str) -> Program:
    """Core or uplink as systemd starts it; its log lies beside its directory."""
    return Program.python(name, "edge_agent", "--config", str(directory), name, log=directory.parent / f"{name}.log")


def write_site(place: Site, port: int) -> Path:
    """Its directory of configuration."""
    gateway = place.config.gateway
    text = small_site(gateway.id, data=gateway.data_dir, run=gateway.run_dir, port=port, commands=("test_buzzer",))
    directory = place.directory / "etc"
    directory.mkdir(exist_ok=True)
    (directory / "config.toml").write_text(text, encoding="utf-8")
    return directory
