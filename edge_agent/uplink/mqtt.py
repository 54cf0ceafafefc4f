"""MQTT 5 by paho, on the asyncio loop. Every connection is a new client: what paho remembers dies with it, our ledger is the truth.

Heeded: PUBACK reasons (VERSION2), Receive Maximum and Maximum Packet Size (paho obeys neither), and that `connect()` blocks.
"""

import asyncio
import contextlib
import heapq
import importlib.util
import itertools
import json
import logging
import socket
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from buffer.records import Priority
from drivers.mqtt_client import LoopClient, topic_of
from edge_agent import __version__
from edge_agent.clock import TimeSource
from edge_agent.model import encode_instant
from edge_agent.uplink import contract
from edge_agent.uplink.command_contract import topic_cmd, topic_part
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.link import LinkError, Receiver, Session
from edge_agent.uplink.mqtt_commands import MqttCommands
from edge_agent.uplink.path import Dial, in_thread
from edge_agent.uplink.stream import Flight
from edge_agent.uplink.tls import explain, explain_alert, is_this_machine
from edge_agent.uplink.trust import Meeting, Trust

log = logging.getLogger("edge.mqtt")

CONNECT_S: Final = 10.0  # the TLS handshake; reaching the far end is the path's
OPEN_S: Final = 40.0  # all of it, name resolution and CONNACK included
SESSION_EXPIRY_S: Final = 24 * 3600  # how long the broker keeps acks for us
RECEIVE_MAXIMUM: Final = 32
PACKET_BYTES_MAX: Final = contract.ACK_BYTES_MAX + 4096  # what we accept
UNSENT_BYTES: Final = 16 * 1024  # what the kernel may hold unsent: an alarm waits behind no more
STATE_BYTES: Final = 4096  # a snapshot that may go before an alarm: three packets
STATE_RANK: Final = -1  # the snapshot goes first
ANSWER_RANK: Final = Priority.FAULT  # an answer waits behind alarms
AROUND_BYTES: Final = 250  # TCP, TLS and MQTT around a message that is no batch, and the word that it was taken
WILL_DISCONNECT: Final = 0x04
KEEP_ALIVE_TIMEOUT: Final = 0x8D
PACKET_TOO_LARGE: Final = 0x95
BATCH_BYTES_MIN: Final = 4096  # a broker that takes no batch of this size is not made for us


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttSettings:
    """Where and how to connect. Without `trust` only this machine itself may be the broker."""

    gateway: str
    host: str
    port: int
    keepalive_s: int
    expiry_s: int  # a batch the centre has not seen by then is dropped by the broker; we send it again
    trust: Trust | None = None  # None: no TLS
    centre_acks: bool = True
    window: int = 8
    unconfirmed_s: float = 20.0
    cbor: bool = False
    commands: bool = True  # whether this centre may ask anything of us
    updates: bool = False  # and whether an update is among it


class MqttLink:
    """`edge_agent.uplink.link.Link` over MQTT 5."""

    def __init__(self, settings: MqttSettings, clock: TimeSource, dial: Dial) -> None:
        """`dial` gives a connected socket (edge_agent.uplink.path)."""
        self._settings, self._clock, self._dial = settings, clock, dial
        self._limit = _Limit()

    def over(self, dial: Dial) -> "MqttLink":
        """The same link by another way."""
        other = MqttLink(self._settings, self._clock, dial)
        other._limit = self._limit
        return other

    async def open(self, receiver: Receiver) -> Session:
        """Connect, subscribe to `ack`, and return once both are granted. Raise LinkError."""
        trust = self._settings.trust
        if trust is None:
            return await self._open(receiver, None)
        return await trust.open(partial(self._open, receiver), receiver)

    async def _open(self, receiver: Receiver, meeting: Meeting | None) -> Session:
        session = _MqttSession(self._settings, self._clock, receiver, self._dial, meeting=meeting, limit=self._limit)
        try:
            async with asyncio.timeout(OPEN_S):
                await session.connect()
        except TimeoutError:
            await session.close()
            raise LinkError("connect_timeout") from None
        except BaseException:  # cancelled too: nobody else knows of the session yet
            await session.close()
            raise
        return session


@dataclass(slots=True)
class _Limit:
    """Most bytes of a batch, as learnt from a broker that hangs up on larger packets and had not said so."""

    batch_bytes: int = contract.BATCH_BYTES_MAX

    def was_too_large(self, sent_bytes: int) -> None:
        """The largest that was on the wire had so many: half of it from now on."""
        self.batch_bytes = max(BATCH_BYTES_MIN, min(self.batch_bytes, sent_bytes // 2))
        log.warning("packet too large: batches of at most %d bytes from now on", self.batch_bytes)


class _LastError(logging.Handler):
    """Keeps the last thing paho said was wrong: the only place it leaves the text of a TLS alert."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


@dataclass(frozen=True, slots=True)
class _Packet:
    topic: str
    payload: bytes
    properties: Properties | None
    retain: bool
    flight: Flight | None = None  # None: the state message, or an answer


class _MqttSession:
    brief = sparing = False
    withheld = frozenset[Priority]()

    def __init__(
        self,
        settings: MqttSettings,
        clock: TimeSource,
        receiver: Receiver,
        dial: Dial,
        *,
        meeting: Meeting | None,
        limit: _Limit,
    ) -> None:
        self._settings, self._clock, self._receiver, self._dial = settings, clock, receiver, dial
        self._meeting, self._limit = meeting, limit
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[LinkError] = self._loop.create_future()
        self.max_bytes = self.beside_bytes = 0
        self.window, self.waits_s = settings.window, settings.unconfirmed_s
        self._encode_batch = contract.encode_batch
        if settings.cbor:
            self._use_cbor()
        self._retain = True
        self._granted: asyncio.Future[None] = self._loop.create_future()
        self._queue: list[tuple[int, int, _Packet]] = []
        self._count = itertools.count()
        self._on_wire: dict[int, _Packet] = {}  # by packet id, until PUBACK
        self._topic_cmd, self._cmd_mid = topic_cmd(settings.gateway), 0
        self._topic_part, self._part_mid = topic_part(settings.gateway), 0
        self._commands = MqttCommands(settings.gateway, clock, receiver.desk, self._send_answer)
        self._receive_maximum = 65535
        self._attached = False  # until then a thread may have the client
        self._abandoned = False
        self._connected = False
        self._last_error = _LastError()
        self._client = LoopClient(settings.gateway, self._last_error)
        self._client.connect_timeout = CONNECT_S  # of the TLS handshake
        self._client.max_inflight_messages_set(0)  # we count ourselves, by the broker's Receive Maximum
        self._client.suppress_exceptions = True  # a bug in a callback must not leave paho half way through a packet
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        self._client.on_disconnect = self._on_disconnect

    def _use_cbor(self) -> None:
        if importlib.util.find_spec("cbor2") is None:  # alarms go on in JSON, which every centre reads
            self._receiver.noticed("no_cbor2")
            return
        from edge_agent.uplink import cbor

        self._encode_batch = cbor.encode_batch

    # --- opening --------------------------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        wire: socket.socket | None = None
        try:
            await in_thread(self._read_certificates)
            wire = await self._dial(self._settings.host, self._settings.port)
            await in_thread(partial(self._connect_blocking, wire))
        except Exception as fault:  # sockets, TLS, files, names: each has its words
            self._client._sock_close()
            if wire is not None:
                wire.close()
            raise explain(fault) from fault
        self._attached = self._client.attach(self._readable, self._writable, self._pump)
        if not self._attached:
            raise self._why_lost()
        waiting: set[asyncio.Future[Any]] = {self._granted, self.closed}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self.closed.done():
            raise self.closed.result()
        self._granted.result()

    def _read_certificates(self) -> None:
        if self._meeting is not None:
            self._client.tls_set_context(self._meeting.context())
        elif not is_this_machine(self._settings.host):
            raise LinkError("tls_required")

    def _connect_blocking(self, wire: socket.socket) -> None:
        """TLS and CONNECT over a connected socket, which is the client's from now on."""
        settings = self._settings
        wire.settimeout(CONNECT_S)
        with contextlib.suppress(OSError):  # one end of a modem driver's pair of sockets has no such option
            wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, "TCP_NOTSENT_LOWAT", 25), UNSENT_BYTES)
        self._client.wire = wire
        will = {"v": contract.VERSION, "gateway": settings.gateway, "online": False}
        self._client.will_set(contract.topic_state(settings.gateway), json.dumps(will), qos=1, retain=True)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        self._client.connect(
            settings.host, settings.port, settings.keepalive_s, clean_start=False, properties=properties
        )
        if self._abandoned:
            self._client._sock_close()  # nobody waits for this connection any more

    def _on_connect(
        self, client: paho.Client, userdata: object, flags: Any, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self.end(LinkError("connack", f"0x{reason.value:02x} {reason}"))
            return
        limits: Any = properties
        self._receive_maximum = int(getattr(limits, "ReceiveMaximum", 65535))
        packet_bytes = int(getattr(limits, "MaximumPacketSize", 268_435_455))
        self.max_bytes = min(packet_bytes, self._limit.batch_bytes) - contract.packet_overhead(self._settings.gateway)
        self._retain = bool(getattr(limits, "RetainAvailable", 1))
        if getattr(limits, "MaximumQoS", 1) < 1:
            self.end(LinkError("no_qos1"))
            return
        if self.max_bytes < 1024:
            self.end(LinkError("packets_too_small", str(packet_bytes)))
            return
        self._connected = True
        log.info("connected host=%s session_present=%s", self._settings.host, flags.session_present)
        if self._settings.centre_acks:
            client.subscribe(contract.topic_ack(self._settings.gateway), qos=1)
        else:
            self._granted.set_result(None)
        if self._settings.commands:
            self._cmd_mid = client.subscribe(self._topic_cmd, qos=1)[1] or 0
        if self._settings.updates:  # QoS 0: a part that is lost is asked for again
            self._part_mid = client.subscribe(self._topic_part, qos=0)[1] or 0

    def _on_subscribe(
        self, client: paho.Client, userdata: object, mid: int, reasons: list[ReasonCode], properties: object
    ) -> None:
        denied = ", ".join(f"0x{reason.value:02x} {reason}" for reason in reasons if reason.is_failure)
        if mid in (self._cmd_mid, self._part_mid):
            if denied:
                self._receiver.commands_denied(denied)
            elif mid == self._part_mid:
                self._commands.parts_granted()
        elif denied:
            self.end(LinkError("ack_topic_denied", denied))
        elif not self._granted.done():
            self._granted.set_result(None)

    # --- sending --------------------------------------------------------------------------------------------------------------

    def encode(self, batch: Batch) -> bytes:
        return self._encode_batch(self._settings.gateway, batch, self._clock.now())

    def send(self, flight: Flight, payload: bytes) -> None:
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.CorrelationData = contract.correlation(flight.batch).encode()
        properties.MessageExpiryInterval = self._settings.expiry_s
        if self._encode_batch is not contract.encode_batch:
            properties.ContentType = "application/cbor"
        topic = contract.topic_up(self._settings.gateway, flight.batch.priority)
        self._enqueue(flight.batch.priority, _Packet(topic, payload, properties, False, flight))

    def send_state(self, snapshot: dict[str, object] | None, *, core: bool, alarm_waits: bool) -> bool:
        message: dict[str, object] = {
            "v": contract.VERSION,
            "gateway": self._settings.gateway,
            "online": True,
            "agent": __version__,
            "sent": encode_instant(self._clock.now()),
            "core": core,
        }
        if core:
            message["snapshot"] = snapshot if snapshot is not None else {"truncated": True}
        payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        in_the_way = alarm_waits and len(payload) > STATE_BYTES
        if in_the_way or len(payload) > self.max_bytes:
            message["snapshot"] = {"truncated": True}
            payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        topic = contract.topic_state(self._settings.gateway)
        self._enqueue(STATE_RANK, _Packet(topic, payload, None, self._retain))
        return not in_the_way

    def _send_answer(self, topic: str, payload: bytes, properties: Properties) -> bool:
        if len(payload) > self.max_bytes:
            return False
        self._enqueue(ANSWER_RANK, _Packet(topic, payload, properties, False))
        return True

    def _enqueue(self, rank: int, packet: "_Packet") -> None:
        if packet.flight is None:
            self.beside_bytes += len(packet.payload) + AROUND_BYTES
        heapq.heappush(self._queue, (rank, next(self._count), packet))
        self._pump()

    def _pump(self) -> None:
        """Hand paho one packet at a time: what it holds can no longer be overtaken."""
        while self._queue and not self.closed.done() and not self._client.want_write():
            if len(self._on_wire) >= self._receive_maximum:
                return
            _, _, packet = heapq.heappop(self._queue)
            info = self._client.publish(
                packet.topic, packet.payload, qos=1, retain=packet.retain, properties=packet.properties
            )
            if info.rc != paho.MQTT_ERR_SUCCESS:
                self.end(LinkError("lost", f"publish {info.rc}"))
                return
            self._on_wire[info.mid] = packet
            self._client.loop_write()

    def _on_publish(
        self, client: paho.Client, userdata: object, mid: int, reason: ReasonCode, properties: object
    ) -> None:
        if mid not in self._on_wire:
            return
        packet = self._on_wire.pop(mid)
        flight = packet.flight
        if reason.is_failure:
            if packet.topic == contract.topic_state(self._settings.gateway):
                self._receiver.state_denied(reason.value, str(reason))
            elif flight is None:
                self._receiver.commands_denied(f"0x{reason.value:02x} {reason}")
            else:
                self._receiver.denied(flight, reason.value, str(reason))
        elif flight is not None:  # 0x10, no matching subscribers, is a success of the broker's
            self._receiver.taken(flight)
        self._loop.call_soon(self._pump)

    # --- receiving ------------------------------------------------------------------------------------------------------------

    def _on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        if (topic := topic_of(message)) is None:
            return
        if topic == self._topic_cmd:
            self.beside_bytes += len(message.payload) + AROUND_BYTES
            self._commands.take(message)
            return
        if topic == self._topic_part:
            self._commands.take_part(message)
            return
        if message.retain or topic != contract.topic_ack(self._settings.gateway):
            log.warning(
                "ignored topic=%s retained=%s bytes=%d", ascii(topic)[:80], message.retain, len(message.payload)
            )
            return
        try:
            ack = contract.decode_ack(bytes(message.payload))
        except (ValueError, RecursionError) as fault:
            log.warning("ack refused fault=%s", str(fault)[:200])
            return
        self._receiver.answered(ack)

    # --- the socket on the loop -------------------------------------------------------------------------------------------------

    def _readable(self) -> None:
        if not self._client.read(PACKET_BYTES_MAX):
            self.end(LinkError("lost", "packet too large"))

    def _writable(self) -> None:
        self._client.loop_write()
        self._pump()

    def _on_disconnect(
        self, client: paho.Client, userdata: object, flags: Any, reason: ReasonCode, properties: object
    ) -> None:
        if reason.value == KEEP_ALIVE_TIMEOUT and not flags.is_disconnect_packet_from_server:
            self.end(LinkError("half_open", "no answer to a ping"))
            return
        if flags.is_disconnect_packet_from_server:
            taken_over = reason.value == 0x8E
            if reason.value == PACKET_TOO_LARGE and self._on_wire:
                self._limit.was_too_large(max(len(packet.payload) for packet in self._on_wire.values()))
            self.end(LinkError("taken_over" if taken_over else "disconnected", f"0x{reason.value:02x} {reason}"))
            return
        self.end(self._why_lost())

    def _why_lost(self) -> LinkError:
        said = self._last_error.text
        if self._connected or self._meeting is None:
            return LinkError("lost", said or "closed by the far end")
        # TLS was agreed and then dropped before CONNACK: with TLS 1.3 a verdict on our certificate looks like this
        return LinkError(
            explain_alert(said) if "alert" in said.lower() else "client_cert_rejected", said or "closed before CONNACK"
        )

    # --- the end --------------------------------------------------------------------------------------------------------------

    def end(self, why: LinkError) -> None:
        """It is over."""
        if not self.closed.done():
            self.closed.set_result(why)

    async def close(self) -> None:
        """Say goodbye (the broker then sends our will: we are offline) without waiting for a broken wire."""
        self._abandoned = True
        self._commands.close()
        client = self._client
        if self._attached and client.socket() is not None:
            if self._connected and not self.closed.done():
                client.disconnect(ReasonCode(PacketTypes.DISCONNECT, identifier=WILL_DISCONNECT))
                client.loop_write()
            client._sock_close()
        self.end(LinkError("closed"))
        if not self._granted.done():
            self._granted.cancel()
        client.forget()
