"""The other end: a broker with sessions, and a centre that checks and stores with the real code.

The gateway's messages are the contract's own bytes (edge_agent.uplink.contract both ways); what MQTT adds is modelled: QoS 1 in
order within a connection, PUBACK, sessions that keep acks for who is away, keep-alive. The way there is network.py.
"""

import asyncio
import heapq
import itertools
import json
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from buffer.records import Priority
from edge_agent import __version__
from edge_agent.clock import TimeSource
from edge_agent.config.uplinks import Uplink
from edge_agent.model import encode_instant
from edge_agent.uplink import contract
from edge_agent.uplink.contract import Batch
from edge_agent.uplink.link import LinkError, Receiver
from edge_agent.uplink.packed import Brief
from edge_agent.uplink.path import Dial
from edge_agent.uplink.stream import Flight
from simulators.centre.check import VERSION, Rejected, encode, read_batch, read_state
from simulators.centre.packed import Brought, PackedEar
from simulators.centre.store import open_store
from tests.sim.loop import ProcessLoop, World
from tests.sim.network import SimSocket

MAX_BYTES = 60_000
GROUP_S = 0.02
ACK_EXPIRY_S = 300.0
KEEPALIVE_S = 30.0
CONNECT_S = 10.0
BYTES_A_SECOND = 250_000


class Connection:
    """One MQTT connection; the gateway's end is a `SimSession`."""

    def __init__(self, wire: SimSocket, session: "SimSession") -> None:
        assert wire.wan is not None
        self.wan, self.wire, self.session, self.broker = wire.wan, wire, session, session.broker
        self.swallowed = self.over = False
        self.latency_s = self.wan.latency_s
        self.wan.connections.append(self)

    @property
    def doubtful(self) -> bool:
        """It is dead, or its last ping was lost, and the keep-alive has yet to find out."""
        return self.swallowed or self.session.pinged

    def up(self, work: Callable[..., None], *args: Any) -> None:
        """The gateway says something."""
        if not self.over and not self.swallowed and self.wan.passes(up=True):
            self.wan.under_way += 1
            self.wan.world.home.call_later(self.latency_s, self._arrive, work, args)

    def _arrive(self, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.wan.under_way -= 1
        if not self.over and not self.swallowed:
            work(self, *args)

    def down(self, work: Callable[..., None], *args: Any) -> None:
        """The broker says something."""
        if not self.over and not self.swallowed and self.wan.passes(up=False):
            self.wan.under_way += 1
            self.wan.world.home.call_later(self.latency_s, self._hear, work, args)

    def _hear(self, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.wan.under_way -= 1
        if not self.over and not self.swallowed and not self.session.loop.dead:
            self.session.loop.call_soon(work, *args)

    def end(self, *, told: bool = True, why: str = "lost") -> None:
        if not self.over:
            self.over = True
            self.wan.connections.remove(self)
            self.wire.close()
            if told and not self.session.loop.dead:
                self.session.loop.call_later(self.latency_s, self.session.lost, why)


class Broker:
    """Between one gateway and one centre. `drops`: chance that it loses an ack, that it brings a batch twice."""

    def __init__(self, world: World, rng: random.Random, centre: "Centre") -> None:
        self.world, self.rng, self.centre = world, rng, centre
        centre.broker = self
        self.connection: Connection | None = None
        self.kept: deque[tuple[float, bytes]] = deque()  # acks for a gateway that is away
        self.lose_ack = self.twice = self.lose_puback = 0.0
        self.published = 0

    def connect(self, connection: Connection) -> None:
        if (old := self.connection) is not None:
            old.end(told=old.wan.passes(up=False) and not old.swallowed, why="taken_over")
        self.connection = connection
        connection.down(connection.session.granted)
        kept, self.kept = self.kept, deque()
        for expires_s, payload in kept:
            if expires_s > self.world.now_s:
                connection.down(connection.session.acked, payload)

    def ping(self, connection: Connection) -> None:
        connection.down(connection.session.pong)

    def disconnect(self, connection: Connection) -> None:
        connection.end(told=False)
        if self.connection is connection:
            self.connection = None

    def publish(self, connection: Connection, topic: str, payload: bytes, name: str, flight: Flight | None) -> None:
        if connection is not self.connection:
            return
        self.published += flight is not None
        for _ in range(1 + (self.rng.random() < self.twice)):
            self.world.home.call_later(0.005, self.centre.take, topic, payload, name)
        if flight is not None and self.rng.random() >= self.lose_puback:
            connection.down(connection.session.puback, flight)

    def answer(self, payload: bytes) -> None:
        if self.rng.random() < self.lose_ack:
            return
        connection = self.connection
        if connection is not None and not connection.over:
            connection.down(connection.session.acked, payload)
        else:
            self.kept.append((self.world.now_s + ACK_EXPIRY_S, payload))

    def restart(self, *, keeps_sessions: bool) -> None:
        """All connections end; without a disk, what it held for others is gone too."""
        if self.connection is not None:
            self.connection.end()
            self.connection = None
        if not keeps_sessions:
            self.kept.clear()
            self.centre.inbox.clear()


class Centre:
    """The real check and the real store. Moods: honest; away (the broker keeps what comes); mute (stores, says nothing); liar
    (says it has what it throws away, and more); refuses (takes no alarm it has not seen twice).
    """

    def __init__(self, world: World, rng: random.Random, name: str, gateway: str) -> None:
        self.world, self.rng, self.name, self.gateway = world, rng, name, gateway
        self.broker: Broker
        self.mood = "honest"
        self.inbox: deque[tuple[str, bytes, str]] = deque()
        self.on_record: Callable[[str, str, int, dict[str, Any]], None] = lambda epoch, stream, n, body: None
        self.on_gap: Callable[[str, str, int, int, str], None] = lambda epoch, stream, first, last, why: None
        self.store = open_store(Path(":memory:"))
        self._rejected: list[dict[str, object]] = []
        self._fresh: list[Any] = []
        self._commit_timer: asyncio.TimerHandle | None = None

    def take(self, topic: str, payload: bytes, name: str) -> None:
        self.inbox.append((topic, payload, name))
        if self.mood != "away":
            self.work()

    def work(self) -> None:
        """Everything the broker has."""
        alarm = False
        while self.inbox:
            topic, payload, name = self.inbox.popleft()
            stream = topic.rpartition("/")[2]
            if self.mood == "liar":
                self._lie(payload)
                continue
            self.store.count("messages")
            try:
                if stream == "state":
                    self.store.take_state(self.gateway, read_state(self.gateway, payload))
                else:
                    batch = read_batch(self.gateway, stream, payload)
                    self.store.take_batch(batch)
                    self._fresh.append(batch)
                    alarm |= stream == "alarm"
            except Rejected as fault:
                self._rejected.append({"batch": name, "why": str(fault)})
        if alarm:
            self.commit()
        elif self._commit_timer is None:
            self._commit_timer = self.world.home.call_later(GROUP_S, self.commit)

    def commit(self) -> None:
        if self._commit_timer is not None:
            self._commit_timer.cancel()
            self._commit_timer = None
        answers = self.store.commit()
        fresh, self._fresh = self._fresh, []
        for batch in fresh:
            for n, body in batch.records:
                self.on_record(batch.epoch, batch.stream, n, body)
            for first, last, why in batch.gaps:
                self.on_gap(batch.epoch, batch.stream, first, last, why)
        answer = answers.get(self.gateway)
        said: dict[str, object] = {"v": VERSION, "acks": answer.acks if answer is not None else []}
        if answer is not None and answer.refused:
            said["refused"] = answer.refused
        if self._rejected:
            said["rejected"], self._rejected = self._rejected, []
        if self.mood != "mute" and (len(said) > 2 or said["acks"]):
            self.broker.answer(encode(said).encode())

    def _lie(self, payload: bytes) -> None:
        message = json.loads(payload)
        if "epoch" not in message:
            return
        entry = {"epoch": message["epoch"], "stream": message["stream"]}
        lies: list[Any] = [
            {"v": 1, "acks": [entry | {"through": message["last"] + self.rng.randint(0, 1000)}]},
            {"v": 1, "acks": [entry | {"through": 0, "missing": [[1, message["last"]]]}]},
            {"v": 1, "acks": [{"epoch": "nobody", "stream": "alarm", "through": 7}]},
            {"v": 1, "acks": [], "refused": [entry | {"n": message["first"], "why": "\x00 不要"}]},
            {"v": 1, "acks": [entry | {"through": -4, "missing": [[9, 2]]}]},
            {"v": 2, "acks": "yes"},
        ]
        self.broker.answer(json.dumps(self.rng.choice(lies)).encode())


class PackedCounty:
    """The same centre's ear for packed frames, over the same store."""

    def __init__(self, centre: Centre, key: bytes) -> None:
        self.centre = centre
        self.on_brief: Callable[[Brief], None] = lambda brief: None
        keys = [(centre.gateway, key)]
        self._ear = PackedEar(lambda tag: keys, lambda: round(centre.world.now_s * 1000))

    def hear(self, frame: bytes, answer: Callable[[bytes], None]) -> None:
        """A datagram has come."""
        if self.centre.mood == "away":
            return
        self.centre.commit()  # what came over MQTT a moment ago is answered there
        heard = self._ear.hear(frame, answer)
        said = heard if isinstance(heard, bytes) else None
        if isinstance(heard, Brought):
            store = self.centre.store
            self._ear.take(store, heard)
            store.commit()
            [said] = self._ear.acks(store, [heard]) if heard.kept else [None]
            self.on_brief(heard.brief)
        if said is not None and self.centre.mood != "mute":
            answer(said)


class SimLink:
    """edge_agent.uplink.link.Link to one broker, over whatever path `dial` belongs to."""

    def __init__(
        self, broker: Broker, loop: ProcessLoop, uplink: Uplink, *, gateway: str, clock: TimeSource, dial: Dial
    ) -> None:
        self.broker, self.loop, self.uplink, self._dial = broker, loop, uplink, dial
        self.gateway, self.clock = gateway, clock

    def over(self, dial: Dial) -> "SimLink":
        return SimLink(self.broker, self.loop, self.uplink, gateway=self.gateway, clock=self.clock, dial=dial)

    async def open(self, receiver: Receiver) -> "SimSession":
        session: SimSession | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                wire: Any = await self._dial(self.uplink.host, self.uplink.port)
                session = SimSession(self, receiver, wire)
                await session.open()
        except TimeoutError:
            if session is not None:
                session.abandon()
            raise LinkError("connect_timeout") from None
        except BaseException as fault:
            if session is not None:
                session.abandon()
            if isinstance(fault, OSError):
                raise LinkError("refused" if isinstance(fault, ConnectionRefusedError) else "no_route") from fault
            raise
        return session


class SimSession:
    """edge_agent.uplink.link.Session: what `edge_agent.uplink.mqtt` is over paho."""

    brief = sparing = False
    beside_bytes = 0
    withheld = frozenset[Priority]()
    max_bytes = MAX_BYTES

    def __init__(self, link: SimLink, receiver: Receiver, wire: SimSocket) -> None:
        self._link, self._receiver, self.loop, self.broker = link, receiver, link.loop, link.broker
        self.window, self.waits_s = link.uplink.window, link.uplink.unconfirmed_s
        self.closed: asyncio.Future[LinkError] = self.loop.create_future()
        self._granted: asyncio.Future[None] = self.loop.create_future()
        self._queue: list[tuple[int, int, str, bytes, str, Flight | None]] = []
        self._count = itertools.count()
        self._busy = False
        self.pinged = False
        self._ping: asyncio.TimerHandle | None = None
        self._connection = Connection(wire, self)

    async def open(self) -> None:
        self._connection.up(self.broker.connect)
        await self._granted
        self._ping = self.loop.call_later(KEEPALIVE_S, self._keep_alive)

    def abandon(self) -> None:
        self._connection.end(told=False)

    def granted(self) -> None:
        if not self._granted.done():
            self._granted.set_result(None)

    def pong(self) -> None:
        self.pinged = False

    def _keep_alive(self) -> None:
        if self.closed.done():
            return
        if self.pinged:
            self.lost("half_open")
            return
        self.pinged = True
        self._connection.up(self.broker.ping)
        self._ping = self.loop.call_later(KEEPALIVE_S, self._keep_alive)

    def lost(self, why: str) -> None:
        self._connection.end(told=False)
        if not self.closed.done():
            self.closed.set_result(LinkError(why))
        if not self._granted.done():
            self._granted.set_exception(LinkError(why))

    def end(self, why: LinkError) -> None:
        """The destination has found it dead."""
        self._connection.end(told=False)
        if not self.closed.done():
            self.closed.set_result(why)

    def encode(self, batch: Batch) -> bytes:
        return contract.encode_batch(self._link.gateway, batch, self._link.clock.now())

    def send(self, flight: Flight, payload: bytes) -> None:
        topic = contract.topic_up(self._link.gateway, flight.batch.priority)
        self._enqueue(int(flight.batch.priority), topic, payload, contract.correlation(flight.batch), flight)

    def send_state(self, snapshot: dict[str, object] | None, *, core: bool, alarm_waits: bool) -> bool:
        message: dict[str, object] = {
            "v": contract.VERSION,
            "gateway": self._link.gateway,
            "online": True,
            "agent": __version__,
            "sent": encode_instant(self._link.clock.now()),
            "core": core,
        }
        if core:
            message["snapshot"] = snapshot if snapshot is not None else {"truncated": True}
        payload = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        self._enqueue(-1, contract.topic_state(self._link.gateway), payload, "", None)
        return True

    def _enqueue(self, rank: int, topic: str, payload: bytes, name: str, flight: Flight | None) -> None:
        heapq.heappush(self._queue, (rank, next(self._count), topic, payload, name, flight))
        if not self._busy:
            self._pump()

    def _pump(self) -> None:
        self._busy = bool(self._queue) and not self.closed.done()
        if self._busy:
            _, _, topic, payload, name, flight = heapq.heappop(self._queue)
            self._connection.up(self.broker.publish, topic, payload, name, flight)
            self.loop.call_later(len(payload) / BYTES_A_SECOND, self._pump)

    def puback(self, flight: Flight) -> None:
        if not self.closed.done():
            self._receiver.taken(flight)

    def acked(self, payload: bytes) -> None:
        if self.closed.done():
            return
        try:
            ack = contract.decode_ack(payload)
        except ValueError:
            return  # as the real session: logged, and nothing else
        self._receiver.answered(ack)

    async def close(self) -> None:
        if self._ping is not None:
            self._ping.cancel()
        self._connection.up(self.broker.disconnect)
        self._connection.end(told=False)
        if not self.closed.done():
            self.closed.set_result(LinkError("closed"))
