"""The running centre: two MQTT lanes in, one store thread, acknowledgements out.

Alarms have a lane (an MQTT session) of their own, so that no backlog of other streams stands before them in the broker or here.
A message is given back to the broker (PUBACK) only after it was committed: what we had in hand when we died comes again.
"""

import logging
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.centre.check import ROOT, VERSION, Object, Rejected, encode, read_batch, read_state
from simulators.centre.store import Answer, Database, StoreFault, open_store

log = logging.getLogger("edge.centre")

GROUP_S: Final = 0.02  # messages of this long share a commit
RECEIVE_MAXIMUM: Final = 64  # messages the broker may have handed us uncommitted, for each lane
PACKET_BYTES_MAX: Final = 1024 * 1024
SESSION_EXPIRY_S: Final = 7 * 24 * 3600  # the broker keeps what comes while we are away
ACK_EXPIRY_S: Final = 300  # an old ack is of no use: the next one says more
STORE_RETRY_S: Final = 5.0
LANES: Final = {
    "alarm": (f"{ROOT}/+/up/alarm", f"{ROOT}/+/state"),
    "bulk": (f"{ROOT}/+/up/fault", f"{ROOT}/+/up/status", f"{ROOT}/+/up/telemetry"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the broker is and where to keep things. Without `tls_ca` the connection is in the clear."""

    host: str
    port: int
    db: Database
    client_id: str = "edge-centre"
    tls_ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    lane: str
    topic: str
    payload: bytes
    mid: int
    correlation: str
    client: paho.Client


class Centre:
    """`start` it, `stop` it. Any thread may do so."""

    def __init__(self, settings: Settings, on_ready: Callable[[], None] = lambda: None) -> None:
        self.settings = settings
        self._on_ready = on_ready
        self._store = open_store(settings.db)
        self._waiting: dict[str, deque[_Message]] = {lane: deque() for lane in LANES}
        self._arrived = threading.Condition()
        self._stopping = False
        self._subscribed: set[str] = set()
        self._rejected: dict[str, list[Object]] = {}
        self._clients: dict[str, paho.Client] = {}
        self._thread = threading.Thread(target=self._work, name="centre-store")

    def start(self) -> None:
        """Connect (retried for ever) and work. Raise OSError or ssl.SSLError for certificate files that cannot be read."""
        sys.setswitchinterval(0.0005)  # reading the wire must not wait 5 ms for a batch that is being parsed
        self._clients = {lane: self._client(lane) for lane in LANES}
        self._thread.start()
        for client in self._clients.values():
            client.loop_start()

    def stop(self) -> None:
        """Commit what is in hand and leave. The broker keeps what comes meanwhile."""
        for client in self._clients.values():
            client.disconnect()
            client.loop_stop()
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        self._thread.join()
        self._store.close()

    # --- the wire -----------------------------------------------------------------------------------------------------------

    def _client(self, lane: str) -> paho.Client:
        settings = self.settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{settings.client_id}-{lane}",
            protocol=paho.MQTTv5,
            manual_ack=True,
            userdata=lane,
        )
        if settings.tls_ca is not None:
            context = ssl.create_default_context(cafile=str(settings.tls_ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if settings.cert is not None:
                context.load_cert_chain(str(settings.cert), str(settings.key) if settings.key else None)
            client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.suppress_exceptions = True
        client.max_inflight_messages_set(0)
        client.reconnect_delay_set(1, 30)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        client.connect_async(settings.host, settings.port, keepalive=30, clean_start=False, properties=properties)
        return client

    def _on_connect(self, client: paho.Client, lane: str, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            log.error("lane=%s refused reason=%s", lane, reason)
            return
        log.info("lane=%s connected", lane)
        client.subscribe([(topic, 1) for topic in LANES[lane]])

    def _on_subscribe(self, client: paho.Client, lane: str, mid: int, reasons: list[Any], properties: object) -> None:
        for topic, reason in zip(LANES[lane], reasons, strict=False):
            if reason.is_failure:
                log.error("lane=%s may not subscribe topic=%s reason=%s", lane, topic, reason)
        self._subscribed.add(lane)
        if len(self._subscribed) == len(LANES):
            self._on_ready()

    def _on_disconnect(self, client: paho.Client, lane: str, flags: object, reason: Any, properties: object) -> None:
        log.warning("lane=%s disconnected reason=%s", lane, reason)
        with self._arrived:
            self._waiting[lane].clear()  # the broker will bring them again: they were not given back to it

    def _on_message(self, client: paho.Client, lane: str, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        data = getattr(message.properties, "CorrelationData", b"") or b""
        correlation = data[:200].decode("ascii", "replace")
        with self._arrived:
            self._waiting[lane].append(
                _Message(lane, topic, bytes(message.payload), message.mid if message.qos else 0, correlation, client)
            )
            self._arrived.notify()

    # --- the store thread ---------------------------------------------------------------------------------------------------

    def _take(self, timeout_s: float) -> _Message | None:
        """The next message, alarms first."""
        with self._arrived:
            if timeout_s:
                self._arrived.wait_for(lambda: self._stopping or any(self._waiting.values()), timeout_s)
            for waiting in self._waiting.values():
                if waiting:
                    return waiting.popleft()
        return None

    def _work(self) -> None:
        while True:
            message = self._take(1.0)
            if message is None:
                if self._stopping:
                    return
                continue
            handled: list[_Message] = []
            try:
                self._group(message, handled)
            except StoreFault as fault:  # full or dying disk, a lock that is held: acknowledge nothing, try again
                log.error("store fault=%s", fault)
                self._store.rollback()
                self._rejected.clear()
                with self._arrived:  # they are still the broker's: bounded by our Receive Maximum
                    for unkept in reversed(handled):
                        self._waiting[unkept.lane].appendleft(unkept)
                    self._arrived.wait_for(lambda: self._stopping, STORE_RETRY_S)
                if self._stopping:
                    return

    def _group(self, message: _Message | None, handled: list[_Message]) -> None:
        """Handle messages until there are no more, an alarm has been handled, or GROUP_S is over; then one commit for all."""
        until_s = time.monotonic() + GROUP_S
        while message is not None:
            handled.append(message)
            self._handle(message)
            alarm_done = message.lane == "alarm" and not self._waiting["alarm"]
            message = None if alarm_done or time.monotonic() > until_s else self._take(0)
        answers = self._store.commit()
        for gateway in answers.keys() | self._rejected.keys():
            self._answer(gateway, answers.get(gateway, Answer()))
        self._rejected.clear()
        for message in handled:
            if message.mid:
                message.client.ack(message.mid, 1)

    def _handle(self, message: _Message) -> None:
        parts = message.topic.split("/")
        gateway = parts[2] if len(parts) > 3 else ""
        self._store.count("messages")
        try:
            if parts[-1] == "state":
                self._store.take_state(gateway, read_state(gateway, message.payload))
            else:
                self._store.take_batch(read_batch(gateway, parts[-1], message.payload))
        except Rejected as fault:
            self._store.count("rejected")
            log.warning(
                "rejected topic=%s bytes=%d why=%s", ascii(message.topic)[:100], len(message.payload), ascii(str(fault))
            )
            if message.correlation:
                self._rejected.setdefault(gateway, []).append({"batch": message.correlation, "why": str(fault)})

    def _answer(self, gateway: str, answer: Answer) -> None:
        said: Object = {"v": VERSION, "acks": answer.acks}
        if answer.refused:
            said["refused"] = answer.refused
        if rejected := self._rejected.get(gateway):
            said["rejected"] = rejected
        if len(said) == 2 and not answer.acks:
            return
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = ACK_EXPIRY_S
        self._clients["alarm"].publish(f"{ROOT}/{gateway}/ack", encode(said), qos=1, properties=properties)
