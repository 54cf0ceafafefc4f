"""`edge-centre command`: send one command to a gateway and wait for its answer (docs/contract.md, section 7)."""

import json
import os
import queue
import ssl
from collections.abc import Mapping, Sequence
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
    answers: queue.Queue[Object] = queue.Queue()
    topic = f"{ROOT}/{gateway}/rsp/{command_id}"
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    granted: queue.Queue[str] = queue.Queue()

    def on_message(client: object, userdata: object, message: paho.MQTTMessage) -> None:
        if bytes(getattr(message.properties, "CorrelationData", b"") or b"") != command_id.encode():
            return
        answer = json.loads(message.payload)
        if isinstance(answer, dict) and answer.get("v") == VERSION:
            answers.put(answer)

    def on_subscribe(client: object, userdata: object, mid: int, reasons: list[Any], properties: object) -> None:
        granted.put(", ".join(str(reason) for reason in reasons if reason.is_failure))

    client.on_message, client.on_subscribe = on_message, on_subscribe
    client.suppress_exceptions = True
    if where.tls_ca is not None:
        context = ssl.create_default_context(cafile=str(where.tls_ca))
        if where.cert is not None:
            context.load_cert_chain(str(where.cert), str(where.key) if where.key else None)
        client.tls_set_context(context)
    client.connect(where.host, where.port)
    client.loop_start()
    try:
        client.subscribe(topic, qos=1)
        if denied := _get(granted, wait_s, "SUBACK"):
            raise NoAnswer(denied)
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic, properties.CorrelationData = topic, command_id.encode()
        properties.MessageExpiryInterval = max(1, round(wait_s))  # of no use once nobody waits for it
        message: Object = {"v": VERSION, "id": command_id, "name": name, "params": dict(params)}
        payload = encode({**message, "by": by} if by else message)
        while wait_s > 0:
            client.publish(f"{ROOT}/{gateway}/cmd", payload, qos=1, properties=properties)
            try:
                return answers.get(timeout=min(wait_s, AGAIN_S))
            except queue.Empty:
                wait_s -= AGAIN_S
        raise NoAnswer(gateway)
    finally:
        client.disconnect()
        client.loop_stop()


def _get(waiting: "queue.Queue[str]", wait_s: float, what: str) -> str:
    try:
        return waiting.get(timeout=wait_s)
    except queue.Empty:
        raise NoAnswer(what) from None
