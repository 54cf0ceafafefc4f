"""`edge-centre command`: send one command to a gateway and wait for its answer (docs/contract.md, section 7)."""

import json
import os
import queue
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.centre.check import ROOT, VERSION, Object, encode

AGAIN_S: Final = 5.0  # an answer may be lost with a link: the same id asks again, and acts once


class NoAnswer(Exception):
    """The broker cannot be reached, denies the topics, or the gateway did not answer. The text is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The broker. Without `tls_ca` the connection is in the clear."""

    host: str
    port: int
    tls_ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def new_id() -> str:
    """A name for one command, never used before."""
    return f"centre-{os.urandom(8).hex()}"


def read_params(pairs: Sequence[str]) -> dict[str, object]:
    """KEY=VALUE pairs; a value that is JSON is that, anything else is a text. Raise ValueError."""
    params: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(pair)
        try:
            params[key] = json.loads(value)
        except ValueError:
            params[key] = value
    return params


def ask(
    where: Where, gateway: str, name: str, params: Mapping[str, object], *, command_id: str, by: str, wait_s: float
) -> Object:
    """The gateway's answer. Asks again with the same id until it comes. Raise NoAnswer, OSError or ssl.SSLError."""
    with Asking(where, gateway, command_id) as asking:
        return asking.ask(name, params, by=by, wait_s=wait_s)


class Asking:
    """A connection for one command. Use as a context manager; entering raises OSError or ssl.SSLError."""

    def __init__(self, where: Where, gateway: str, command_id: str) -> None:
        self._where, self._gateway, self._id = where, gateway, command_id
        self._topic = f"{ROOT}/{gateway}/rsp/{command_id}"
        self._answers: queue.Queue[Object] = queue.Queue()
        self._granted: queue.Queue[str] = queue.Queue()
        self._ears: dict[str, Callable[[paho.MQTTMessage], None]] = {self._topic: self._answered}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.on_message, self._client.on_subscribe = self._on_message, self._on_subscribe
        self._client.suppress_exceptions = True

    def __enter__(self) -> "Asking":
        where = self._where
        if where.tls_ca is not None:
            context = ssl.create_default_context(cafile=str(where.tls_ca))
            if where.cert is not None:
                context.load_cert_chain(str(where.cert), str(where.key) if where.key else None)
            self._client.tls_set_context(context)
        self._client.connect(where.host, where.port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, name: str, params: Mapping[str, object], *, by: str, wait_s: float) -> Object:
        """The answer; asked again with the same id until it comes. Raise NoAnswer."""
        self._subscribe(self._topic, wait_s)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic, properties.CorrelationData = self._topic, self._id.encode()
        properties.MessageExpiryInterval = max(1, round(wait_s))  # of no use once nobody waits for it
        message: Object = {"v": VERSION, "id": self._id, "name": name, "params": dict(params)}
        payload = encode({**message, "by": by} if by else message)
        while wait_s > 0:
            self._client.publish(f"{ROOT}/{self._gateway}/cmd", payload, qos=1, properties=properties)
            try:
                return self._answers.get(timeout=min(wait_s, AGAIN_S))
            except queue.Empty:
                wait_s -= AGAIN_S
        raise NoAnswer(self._gateway)

    def listen(self, topic: str, ear: Callable[[paho.MQTTMessage], None]) -> None:
        """Hear one topic more. Raise NoAnswer if the broker denies it."""
        self._ears[topic] = ear
        self._subscribe(topic, AGAIN_S)

    def publish(self, topic: str, payload: bytes, properties: Properties) -> None:
        """Send something that is lost with the connection."""
        self._client.publish(topic, payload, qos=1, properties=properties)

    def _subscribe(self, topic: str, wait_s: float) -> None:
        self._client.subscribe(topic, qos=1)
        try:
            denied = self._granted.get(timeout=wait_s)
        except queue.Empty:
            raise NoAnswer("SUBACK") from None
        if denied:
            raise NoAnswer(denied)

    def _on_subscribe(self, client: object, userdata: object, mid: int, reasons: list[Any], properties: object) -> None:
        self._granted.put(", ".join(str(reason) for reason in reasons if reason.is_failure))

    def _on_message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        if (ear := self._ears.get(message.topic)) is not None:
            ear(message)

    def _answered(self, message: paho.MQTTMessage) -> None:
        if bytes(getattr(message.properties, "CorrelationData", b"") or b"") != self._id.encode():
            return
        answer = json.loads(message.payload)
        if isinstance(answer, dict) and answer.get("v") == VERSION:
            self._answers.put(answer)
