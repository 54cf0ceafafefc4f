"""Detectors behind the site's own MQTT broker: message -> observations, in the loop turn in which its last byte came.

paho does the protocol, the loop does the rest: no thread. The broker is on this machine (what is not, comes to it over TLS with
credentials of its own: docs/drivers/mqtt.md), so the core needs no TLS. A broker that is away is a fault of this driver and is
tried again every 0.25 to 4 s. The session is kept, so what devices say with QoS 1 while we are away is not lost.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.codecs.base import Refused
from drivers.codecs.node_update import NodeUpdate
from drivers.codecs.text import Smell
from drivers.heart import Heart
from drivers.messages import LinkState, Observation, PanelEvent, PointSpec, Sink, WhenKept
from drivers.mqtt_client import LoopClient, topic_of
from drivers.mqtt_devices import Confirm, MqttDevice, MqttDevices
from drivers.mqtt_profile import PAYLOAD_BYTES_MAX, MqttProfile
from drivers.mqtt_strangers import BYTES_SHOWN, Unlisted
from drivers.node_updates import ANYONE, WAITING_MAX, Ended, NodeUpdates, Say

CONNECT_S: Final = 5.0
REOPEN_FIRST_S: Final = 0.25
REOPEN_MAX_S: Final = 4.0
LASTED_S: Final = 10.0  # a connection that lasted so long was a good one
KEEPALIVE_S: Final = 15
SESSION_EXPIRY_S: Final = 3 * 86_400  # how long the broker keeps for us what came with QoS 1
PACKET_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 4096
PASSWORD_BYTES_MAX: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLink:
    """The broker. `client_id` names our session there; the password is read anew for each connection."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password_file: Path | None = None


class MqttDriver:
    """All devices behind one broker. `updates`: what is offered to our own nodes, None where that is not enabled."""

    def __init__(
        self,
        *,
        id: str,
        link: BrokerLink,
        devices: Sequence[MqttDevice],
        watched: Sequence[MqttProfile] = (),
        when_kept: WhenKept,
        updates: NodeUpdates | None = None,
    ) -> None:
        self.id = id
        self.updates = updates
        self.on_update: Callable[[Ended], None] = lambda ended: None
        self._parts: deque[paho.MQTTMessageInfo] = deque()  # given to the broker, not yet taken
        self._when_kept = when_kept
        self._client: LoopClient | None = None
        self._link = link
        self._devices = MqttDevices(id, devices, watched, 0)
        self._smell = Smell()
        self._sink: Sink | None = None
        self._closed: asyncio.Future[str] | None = None
        self._reason = "starting"  # "" while everything is there
        self._connected = False
        self._heart = Heart()
        self._opened = self._lost = 0

    # -- the seam ----------------------------------------------------------------------------------------------------

    async def run(self, sink: Sink) -> None:
        """Listen until cancelled. A broker that goes away is handled inside; any other exception is a bug."""
        self._sink, self._reason = sink, "starting"
        self._devices.connected(self._now_ns())
        broker = asyncio.create_task(self._keep_connected(), name=f"{self.id}: broker")
        try:
            await self._heart.run([broker], self._tick)
        finally:
            self._sink = None

    def _tick(self) -> None:
        self._tell(self._devices.tick(self._now_ns(), broker_up=self._connected))

    def progress(self) -> int:
        """Grows twice a second while run() lives, broker or no broker."""
        return self._heart.beats

    def counters(self) -> dict[str, int]:
        """Connections made and lost, messages; `device.kind` of each device."""
        return {"opened": self._opened, "lost": self._lost, **self._devices.counters()}

    def specs(self) -> Sequence[PointSpec]:
        """The points all devices have before they speak."""
        return self._devices.specs()

    def refused(self) -> Sequence[Refused]:
        """The last messages nobody could read, oldest first."""
        return self._devices.refused()

    def unlisted(self) -> Sequence[Unlisted]:
        """Devices that speak on this broker and are in no configuration."""
        return self._devices.unlisted()

    def offer(self, device: str, update: NodeUpdate) -> None:
        """Offer an update to one of our nodes."""
        if self.updates is not None:
            self._say(self.updates.offer(device, update))

    def withdraw(self, device: str) -> None:
        """Take back what was offered to one of our nodes."""
        if self.updates is not None:
            self._say(self.updates.withdraw(device))

    # -- the connection ----------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        wait_s = REOPEN_FIRST_S
        while True:
            opened_s = loop.time()
            try:
                why = await self._connection(loop)
            except OSError as fault:  # TimeoutError and gaierror are among its kinds
                why = _words(fault)
            self._connected = False
            self._state("no_broker", f"{self._link.host}:{self._link.port}: {why}")
            wait_s = REOPEN_FIRST_S if loop.time() - opened_s > LASTED_S else min(2 * wait_s, REOPEN_MAX_S)
            await asyncio.sleep(wait_s)

    async def _connection(self, loop: asyncio.AbstractEventLoop) -> str:
        """One connection from its opening to its end; return why it ended. Raise OSError if it could not be opened."""
        password = self._password()
        self._closed = loop.create_future()
        host = "127.0.0.1" if self._link.host == "localhost" else self._link.host  # resolving would take a thread
        wire = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        client: LoopClient | None = None
        try:
            wire.setblocking(False)
            async with asyncio.timeout(CONNECT_S):
                await loop.sock_connect(wire, (host, self._link.port))
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = self._client = self._make_client(wire, password)
            self._greet(client)
            if not client.attach(partial(self._readable, client), client.loop_write):
                return "closed by the broker"
            return await self._closed
        finally:
            self._client = None
            if client is not None:
                self._close(client)
            wire.close()

    @staticmethod
    def _close(client: LoopClient) -> None:
        """Say goodbye, without waiting for a broken wire."""
        if client.socket() is not None:
            client.disconnect()
        client._sock_close()
        client.forget()

    def _password(self) -> str | None:
        if self._link.password_file is None:
            return None
        with self._link.password_file.open("rb") as file:  # a few bytes of a local file, once a connection
            return file.read(PASSWORD_BYTES_MAX).decode("utf-8", "replace").strip()

    def _make_client(self, wire: socket.socket, password: str | None) -> LoopClient:
        client = LoopClient(self._link.client_id, logging.NullHandler())
        client.wire = wire
        if self._link.username:
            client.username_pw_set(self._link.username, password)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _greet(self, client: LoopClient) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        client.connect(self._link.host, self._link.port, KEEPALIVE_S, clean_start=False, properties=properties)

    def _readable(self, client: LoopClient) -> None:
        if not client.read(PACKET_BYTES_MAX):
            self._end("packet too large")

    def _end(self, why: str) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(why)

    # -- what the broker says ----------------------------------------------------------------------------------------

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        if reason.is_failure:
            self._end(f"refused 0x{reason.value:02x} {reason}")
            return
        self._devices.connected(self._now_ns())
        options = SubscribeOptions(qos=1)
        also = [ANYONE] if self.updates is not None else []
        client.subscribe([(one, options) for one in (*self._devices.filters(), *also)])

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: object
    ) -> None:
        if denied := [f"0x{reason.value:02x} {reason}" for reason in reasons if reason.is_failure]:
            self._end(f"subscription denied {denied[0]}")
            return
        self._opened += 1
        self._connected = True
        self._settle()
        self._parts.clear()
        for said in self.updates.standing() if self.updates is not None else ():
            self._say(said)

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: object, reason: ReasonCode, properties: object
    ) -> None:
        self._end(f"0x{reason.value:02x} {reason}")

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        """A bug in here ends run() instead of vanishing in paho, and loses nothing but the one message it tripped over."""
        now_ns, payload = self._now_ns(), bytes(message.payload)
        try:
            if (topic := topic_of(message)) is None:
                return
            if self.updates is not None and self.updates.is_word(topic):
                self._hear_word(self.updates, topic, payload)
                return
            self._tell(self._devices.take(topic, payload, retained=message.retain, now_ns=now_ns))
            for confirm in self._devices.take_confirms():
                self._when_kept(partial(self._confirm, confirm))
            self._settle()
        except Exception as bug:  # noqa: BLE001 - see Heart.stop
            self._heart.stop(bug)
            said = "unknown" if self._smell.of(payload) or b":true" in payload.replace(b" ", b"") else "fault"
            fields = {"reason": "bug"}
            self._tell([PanelEvent(f"{self.id}/message", said, now_ns, fields, payload[:BYTES_SHOWN])])

    def _confirm(self, confirm: Confirm, kept: bool) -> None:
        """A record of one of our nodes is on flash, or will not be: then the node keeps it and says it again."""
        if not kept:
            self._devices.forget(confirm)
        elif self._client is not None and self._connected:  # else it is said again, and is a copy then
            self._client.publish(confirm.topic, confirm.payload, qos=1)

    def _hear_word(self, updates: NodeUpdates, topic: str, payload: bytes) -> None:
        """A node wants a part of what it is offered, or is done with it."""
        while self._parts and self._parts[0].is_published():
            self._parts.popleft()
        try:
            answer = updates.hear(topic, payload)
        except ValueError:
            self._devices.counts["refused"] += 1
            return
        if isinstance(answer, Ended):
            self._say(updates.retained(answer.device))
            self.on_update(answer)
        elif answer is not None and len(self._parts) < WAITING_MAX and (sent := self._say(answer)) is not None:
            self._parts.append(sent)

    def _say(self, said: Say) -> paho.MQTTMessageInfo | None:
        """Say something to a node; nothing while the broker is away: what stands is said at each connection."""
        if self._client is None or not self._connected:
            return None
        return self._client.publish(said.topic, said.payload, qos=1, retain=said.retain)

    def _settle(self) -> None:
        """Up when the broker is, and every bridge behind it."""
        if lost := self._devices.bridge_lost():
            self._state("bridge_offline", ascii(lost)[1:-1])
        else:
            self._state("", "")

    def _state(self, reason: str, detail: str) -> None:
        if reason == self._reason:
            return
        self._lost += reason == "no_broker" and self._reason in ("", "bridge_offline")
        self._reason = reason
        self._tell([LinkState(self.id, not reason, self._now_ns(), reason or "answering", detail)])

    def _tell(self, seen: Sequence[Observation]) -> None:
        if seen and self._sink is not None:
            self._sink(seen)

    @staticmethod
    def _now_ns() -> int:
        return round(asyncio.get_running_loop().time() * 1e9)


def _words(fault: OSError) -> str:
    return "no answer" if isinstance(fault, TimeoutError) else ascii(fault.strerror or fault)
