"""Commands over MQTT 5: each message of `cmd` is answered on its Response Topic with its Correlation Data."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.clock import TimeSource
from edge_agent.commands import Answer, Refusal, Status
from edge_agent.uplink.command_contract import (
    CORRELATION_BYTES_MAX,
    RESPONSE_EXPIRY_S,
    decode_command,
    encode_answer,
    encode_want,
    response_topic,
    topic_rsp,
    topic_want,
)
from edge_agent.uplink.commands import CommandDesk

log = logging.getLogger("edge.mqtt")

WANT_EXPIRY_S: Final = 30  # as long as the part is waited for
WAITING_MAX: Final = 64  # messages in hand; the desk refuses long before, so these are only the refusals being told

Send = Callable[[str, bytes, Properties], bool]  # topic, payload, properties; False: larger than the broker's packets


class MqttCommands:
    """Of one session: what is asked and not yet answered when it ends is not answered; the centre asks again."""

    def __init__(self, gateway: str, clock: TimeSource, desk: CommandDesk, send: Send) -> None:
        self._gateway, self._clock, self._desk, self._send = gateway, clock, desk, send
        self._tasks: set[asyncio.Task[None]] = set()
        self._hears_parts = False

    def take(self, message: paho.MQTTMessage) -> None:
        """A message of the topic `cmd`."""
        if len(self._tasks) >= WAITING_MAX:
            log.warning("command dropped, %d in hand", len(self._tasks))
            return
        task = asyncio.get_running_loop().create_task(self._answer(message), name="mqtt-command")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def parts_granted(self) -> None:
        """The broker lets us hear parts of updates: they may be asked for."""
        self._hears_parts = True
        self._desk.channel = self

    def want(self, sha256: str, offset: int, length: int) -> bool:
        """`edge_agent.uplink.commands.Channel`."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = WANT_EXPIRY_S
        return self._send(topic_want(self._gateway), encode_want(self._gateway, sha256, offset, length), properties)

    def take_part(self, message: paho.MQTTMessage) -> None:
        """A message of the topic `part`."""
        if not message.retain:
            name: Any = getattr(message.properties, "CorrelationData", b"")
            self._desk.update_part(bytes(name or b""), bytes(message.payload))

    def close(self) -> None:
        """Leave what is in hand."""
        # A session that is already there in its place keeps its own.
        if self._hears_parts and self._desk.channel is self:
            self._desk.channel = None
        for task in self._tasks:
            task.cancel()

    async def _answer(self, message: paho.MQTTMessage) -> None:
        given: Any = message.properties
        correlation = bytes(getattr(given, "CorrelationData", b"") or b"")
        topic, command_id, name = topic_rsp(self._gateway), "", ""
        try:
            topic = response_topic(self._gateway, str(getattr(given, "ResponseTopic", "") or ""))
            if len(correlation) > CORRELATION_BYTES_MAX:
                correlation = b""
                raise Refusal("malformed", detail=f"correlation data of more than {CORRELATION_BYTES_MAX} bytes")
            expiry_s = getattr(given, "MessageExpiryInterval", None)
            command = decode_command(bytes(message.payload), retained=bool(message.retain), expiry_s=expiry_s)
            command_id, name = command.id, command.name
            answer = await self._desk.run(command)
        except Refusal as refusal:
            detail = {key: str(value) for key, value in refusal.detail.items()}
            command_id, name = detail.get("command_id", command_id), detail.get("name", name)
            answer = await self._refuse(refusal.code, command_id, name, detail.get("detail", ""))
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if correlation:
            properties.CorrelationData = correlation
        properties.MessageExpiryInterval = RESPONSE_EXPIRY_S
        for said in (answer, Answer(Status.FAILED, {}, "answer_too_large")):
            payload = encode_answer(self._gateway, command_id, name, said, self._clock.now())
            if self._send(topic, payload, properties):
                return

    async def _refuse(self, code: str, command_id: str, name: str, detail: str) -> Answer:
        return await self._desk.refuse(code, command_id=command_id, name=name, detail=detail)
