"""The running centre: MQTT lanes in, store threads behind them, acknowledgements out.

Alarms have a lane (an MQTT session) of their own, so that no backlog of other streams stands before them in the broker or here.
On a file one thread does all. On a server (PostgreSQL) any number of these programs are consumers of one shared subscription, each
with a thread and a connection for alarms and another for the rest; the one that leads takes the states.
"""

import logging
import secrets
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.centre.check import ROOT, VERSION, Object, encode
from simulators.centre.far_side import FarSide, Trouble, broker_away, database_away, logged
from simulators.centre.store import Database, StoreFault, is_server, open_store
from simulators.centre.worker import Reply, Worker

log = logging.getLogger("edge.centre")

RECEIVE_MAXIMUM: Final = 64  # messages the broker may have handed us uncommitted, for each lane
PACKET_BYTES_MAX: Final = 1024 * 1024
SESSION_EXPIRY_S: Final = 7 * 24 * 3600  # the broker keeps what comes while we are away
KEEPALIVE_S: Final = 30
SHARED_KEEPALIVE_S: Final = 5  # a consumer that froze keeps its share until the broker notices: 1.5 times this
ACKS_QUEUED_MAX: Final = 10_000  # while the broker is away; the acks after it say more
ACK_EXPIRY_S: Final = 300  # an old ack is of no use: the next one says more
ANSWER_S: Final = 5.0  # a broker that has not let us in by then is told of; TCP and TLS have as long in paho
DRAIN_S: Final = 5.0  # a consumer that leaves in order works off what the broker has handed it, for so long at most
QUIET_S: Final = 0.3
TAKEN_OVER: Final = 0x8E  # MQTT 5: another one came with our client id
LANES: Final = {
    "alarm": (f"{ROOT}/+/up/alarm",),
    "state": (f"{ROOT}/+/state",),
    "bulk": (f"{ROOT}/+/up/fault", f"{ROOT}/+/up/status", f"{ROOT}/+/up/telemetry", f"{ROOT}/+/up/media"),
}
OWN_THREADS: Final = (("alarm",), ("state", "bulk"))  # on a server


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the broker is and where to keep things. Without `tls_ca` the connection is in the clear.

    Consumers of one `group` share the messages; only those of one server may.
    """

    host: str
    port: int
    db: Database
    client_id: str = "edge-centre"
    group: str = "centre"
    tls_ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class Centre:
    """`start` it, `stop` it. Any thread may do so. Raise StoreFault, or ImportError, for a store that does not open.

    `broker` and `database` hear what becomes of the two far sides.
    """

    def __init__(
        self,
        settings: Settings,
        on_ready: Callable[[], None] = lambda: None,
        on_bug: Callable[[], None] = lambda: None,
        *,
        broker: FarSide | None = None,
        database: FarSide | None = None,
    ) -> None:
        self.settings = settings
        self._broker, self._database = broker or logged("broker"), database or logged("database")
        self._on_ready = on_ready
        self._shared = is_server(settings.db)
        self._name = settings.client_id
        if self._shared:  # a name of its own: two that were started alike must not throw each other out
            self._name += f"-{secrets.token_hex(4)}"
        self._workers = [
            Worker(
                open_store(settings.db),
                lanes,
                reply=self._answer,
                works=self._works,
                stands=self._stands,
                leads=self._leads,
                bug=on_bug,
            )
            for lanes in (OWN_THREADS if self._shared else (tuple(LANES),))
        ]
        self._worker = {lane: worker for worker in self._workers for lane in worker.lanes}
        self._clients: dict[str, paho.Client] = {}
        self._asked: dict[str, set[str]] = {lane: set() for lane in LANES}  # topics subscribed to in this connection
        self._leading: bool | None = None  # not known yet
        self._leaving = self._ready = self._stopping = False
        self._idle_workers: set[Worker] = set()  # their stores fail: the others of the group shall have their share
        self._lock = threading.Lock()
        self._subscribed: set[str] = set()
        self._connected: set[str] = set()
        self._knocking: dict[str, threading.Timer] = {}  # connected and not let in yet: when that is told
        self._heard_s = 0.0
        self._ack_properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # made once: they are half its price
        self._ack_properties.MessageExpiryInterval = ACK_EXPIRY_S

    def start(self) -> None:
        """Connect (retried for ever) and work. Raise OSError or ssl.SSLError for certificate files that cannot be read."""
        sys.setswitchinterval(0.0005)  # reading the wire must not wait 5 ms for a batch that is being parsed
        self._clients = {lane: self._client(lane) for lane in LANES}
        for worker in self._workers:
            worker.start()
        for client in self._clients.values():
            client.loop_start()

    def stop(self) -> None:
        """Commit what is in hand and leave. The others of the group, or else the broker, keep what comes meanwhile."""
        if self._shared:
            with self._lock:
                self._leaving = True
            self._choose()
            self._drain()
        self._stopping = True
        for lane, client in self._clients.items():
            client.disconnect()
            client.loop_stop()
            self._answered(lane)
        for worker in self._workers:
            worker.stop()

    def _drain(self) -> None:
        self._heard_s = time.monotonic()
        until_s = self._heard_s + DRAIN_S
        while (now_s := time.monotonic()) < until_s:
            if now_s > self._heard_s + QUIET_S and all(worker.idle for worker in self._workers):
                return
            time.sleep(0.02)

    # --- the wire -----------------------------------------------------------------------------------------------------------

    def _client(self, lane: str) -> paho.Client:
        settings = self.settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._name}-{lane}",
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
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.suppress_exceptions = True
        client.max_inflight_messages_set(0)
        client.max_queued_messages_set(ACKS_QUEUED_MAX)
        client.reconnect_delay_set(1, 5 if self._shared else 30)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        # A dead member's session must not outlive it: brokers go on giving it its share, and nobody else would see that.
        properties.SessionExpiryInterval = 0 if self._shared else SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        client.connect_async(
            settings.host,
            settings.port,
            keepalive=SHARED_KEEPALIVE_S if self._shared else KEEPALIVE_S,
            clean_start=self._shared,
            properties=properties,
        )
        return client

    def _topics(self, lane: str) -> set[str]:
        """What a lane is subscribed to now. Under the lock."""
        if lane == "state":
            return set(LANES[lane]) if self._leading and not self._leaving else set()
        if self._shared and (self._leaving or self._worker[lane] in self._idle_workers):
            return set()
        return {f"$share/{self.settings.group}/{topic}" if self._shared else topic for topic in LANES[lane]}

    def _choose(self) -> None:
        """Subscribe and unsubscribe until each lane has the topics it should."""
        with self._lock:
            for lane, client in self._clients.items():
                if not client.is_connected():
                    continue  # on_connect does it
                wanted, have = self._topics(lane), self._asked[lane]
                if new := wanted - have:
                    client.subscribe([(topic, 1) for topic in sorted(new)])
                if gone := have - wanted:
                    client.unsubscribe(sorted(gone))
                self._asked[lane] = wanted

    def _on_socket_open(self, client: paho.Client, lane: str, sock: object) -> None:
        """One that takes the connection and says nothing paho gives up at the end of the keep-alive: people hear sooner."""
        timer = threading.Timer(ANSWER_S, self._unanswered, (lane,))
        timer.daemon = True
        with self._lock:
            self._knocking[lane] = timer
        timer.start()

    def _answered(self, lane: str) -> None:
        with self._lock:
            timer = self._knocking.pop(lane, None)
        if timer is not None:
            timer.cancel()

    def _unanswered(self, lane: str) -> None:
        with self._lock:  # so that it is not told of one that has just let us in
            if self._knocking.get(lane) is threading.current_thread() and not self._stopping:
                self._broker.bad(lane, Trouble("away", "broker_no_mqtt"))

    def _on_connect(self, client: paho.Client, lane: str, flags: object, reason: Any, properties: object) -> None:
        self._answered(lane)
        if reason.is_failure:
            self._broker.bad(lane, Trouble("refused", "broker_refused", str(reason)))
            return
        self._broker.well(lane)
        self._connected.add(lane)
        with self._lock:
            self._asked[lane] = set()
        self._choose()

    def _on_connect_fail(self, client: paho.Client, lane: str) -> None:
        """In paho's `except OSError`: that is the only place where it says why."""
        self._broker.bad(lane, broker_away(sys.exception()))

    def _on_subscribe(self, client: paho.Client, lane: str, mid: int, reasons: list[Any], properties: object) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._broker.bad(lane, Trouble("denied", "broker_denied", str(reason)))
        self._subscribed.add(lane)
        self._look_whether_ready()

    def _look_whether_ready(self) -> None:
        with self._lock:
            needed = {"alarm", "bulk"} | ({"state"} if self._leading else set())
            if self._ready or self._leading is None or not self._subscribed >= needed:
                return
            self._ready = True
        self._on_ready()

    def _on_disconnect(self, client: paho.Client, lane: str, flags: object, reason: Any, properties: object) -> None:
        self._answered(lane)
        if not self._stopping and not self._broker.has_trouble(lane):
            connected = lane in self._connected
            why = (
                "broker_taken_over" if reason.value == TAKEN_OVER else "broker_lost" if connected else "broker_no_mqtt"
            )
            self._broker.bad(lane, Trouble("away", why, str(reason)))
        self._connected.discard(lane)
        self._worker[lane].drop(lane)

    def _on_message(self, client: paho.Client, lane: str, message: paho.MQTTMessage) -> None:
        self._heard_s = time.monotonic()
        self._worker[lane].put(lane, client, message)

    # --- told by the workers --------------------------------------------------------------------------------------------------

    def _works(self, worker: Worker, works: bool) -> None:
        with self._lock:
            (self._idle_workers.discard if works else self._idle_workers.add)(worker)
        self._choose()

    def _stands(self, worker: Worker, fault: StoreFault | None) -> None:
        who = worker.lanes[0]
        if fault is None:
            self._database.well(who)
        else:
            self._database.bad(who, database_away(fault, self.settings.db))

    def _leads(self, leading: bool) -> None:
        log.debug("leading=%s", leading)
        with self._lock:
            self._leading = leading
            if leading:
                self._asked["state"] = set()  # a new term subscribes anew, and so gets the retained states
        self._choose()
        self._look_whether_ready()

    def _answer(self, gateway: str, reply: Reply) -> None:
        said: Object = {"v": VERSION, "acks": reply.answer.acks}
        if reply.answer.refused:
            said["refused"] = reply.answer.refused
        if reply.rejected:
            said["rejected"] = reply.rejected
        if len(said) == 2 and not reply.answer.acks:
            return
        self._clients["alarm"].publish(f"{ROOT}/{gateway}/ack", encode(said), qos=1, properties=self._ack_properties)
