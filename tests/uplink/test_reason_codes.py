"""What a broker may answer by MQTT 5, code by code: each is told, the alarm stays owed, and it arrives once the broker takes it.

mosquitto says few of these by itself. A port before it answers in its place, packet by packet.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from buffer.records import Priority
from edge_agent.tasks import end
from tests.brokers import Broker
from tests.uplink.site import MemoryJournal, counted, event_body, running_centre, running_uplink, site_config, stored
from tests.uplink.test_faults import listen
from tests.waiting import until

pytestmark = pytest.mark.asyncio

CONNECT, PUBLISH, PUBACK, SUBSCRIBE = 1, 3, 4, 8
PACKET_TOO_LARGE: Final = 0x95
# MQTT 5, 2.4: unspecified, implementation, not authorised, topic invalid, id in use, quota, payload format
PUBACKS: Final = (0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
# not authorised, unavailable, busy, banned, quota, use another server, server moved, connection rate
CONNACKS: Final = (0x87, 0x88, 0x89, 0x8A, 0x97, 0x9C, 0x9D, 0x9F)
# busy, shutting down, receive maximum, packet too large, message rate, quota, administrative, another server, moved
DISCONNECTS: Final = (0x89, 0x8B, 0x93, 0x95, 0x96, 0x97, 0x98, 0x9C, 0x9D)


@dataclass
class Front:
    """A port before the broker. What is set is answered in the broker's place; `packets` has the size of each PUBLISH of alarms."""

    broker_port: int
    connack: int = 0
    suback: int = 0
    puback: int = 0
    disconnect: int = 0  # instead of a PUBACK
    swallow: bool = False  # the broker has the alarm; its PUBACK is lost with the connection
    bytes_max: int = 1 << 28  # not announced
    answers: list[int] = field(default_factory=list)
    packets: list[int] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self.broker_port)
        back = asyncio.create_task(self._down(from_broker, writer))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await packet(reader)
                answer, last = self._answer(head[0] >> 4, body, len(head) + len(body))
                if answer:
                    self.answers.append(answer[-1] or answer[-2])
                    writer.write(answer)
                    await writer.drain()
                else:
                    to_broker.write(head + body)
                if last:
                    break
        to_broker.close()
        await end(back)
        writer.close()

    def _answer(self, kind: int, body: bytes, size: int) -> tuple[bytes, bool]:
        """What is said in the broker's place, if anything, and whether nothing follows."""
        if size > self.bytes_max:
            return bytes([0xE0, 2, PACKET_TOO_LARGE, 0]), True
        if kind == CONNECT and self.connack:
            return bytes([0x20, 3, 0, self.connack, 0]), True
        if kind == SUBSCRIBE and self.suback and b"/ack" in body:
            return bytes([0x90, 4, *body[:2], 0, self.suback]), False
        topic = body[2 : 2 + int.from_bytes(body[:2], "big")]
        if kind == PUBLISH and topic.endswith(b"/up/alarm"):
            self.packets.append(size)
            if self.puback:
                return bytes([0x40, 3, *body[2 + len(topic) : 4 + len(topic)], self.puback]), False
            if self.disconnect:
                return bytes([0xE0, 2, self.disconnect, 0]), True
        return b"", False

    async def _down(self, from_broker: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head, body = await packet(from_broker)
                if self.swallow and head[0] >> 4 == PUBACK and self.packets:
                    self.answers.append(0)
                    writer.transport.abort()
                    return
                writer.write(head + body)


async def packet(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One MQTT packet: its head and the rest. Raise IncompleteReadError."""
    head, length = await reader.readexactly(1), 0
    for shift in (0, 7, 14, 21):
        head += await reader.readexactly(1)
        length |= (head[-1] & 0x7F) << shift
        if head[-1] < 0x80:
            break
    return head, await reader.readexactly(length)


@asynccontextmanager
async def front(broker: Broker) -> AsyncIterator[Front]:
    made = Front(broker.port)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@asynccontextmanager
async def site(tmp_path: Path) -> AsyncIterator[tuple[Front, MemoryJournal, Path]]:
    with Broker(tmp_path) as broker, running_centre(tmp_path / "centre", broker) as db:
        async with front(broker) as before:
            yield before, MemoryJournal(), db


@pytest.mark.slow
async def test_every_code_of_a_denied_alarm_is_a_fault_and_the_alarm_stays_owed_until_it_is_taken(
    tmp_path: Path,
) -> None:
    async with (
        site(tmp_path) as (broker, journal, db),
        running_uplink(site_config(tmp_path, broker.port), journal) as uplink,
    ):
        heard, destination = listen(uplink), uplink.destinations[0]
        await until(lambda: destination.counters["connections"])
        for n, code in enumerate(PUBACKS, 1):
            broker.puback, said = code, f"0x{code:02x}"
            broker.answers.clear()
            journal.append(Priority.ALARM, event_body(n))
            await until(
                lambda said=said: any(more.get("code") == said for _, reason, more in heard if reason == "denied")
            )  # type: ignore[misc]
            await until(lambda: len(broker.answers) >= 2, f"{said}: it is sent again")
            assert destination.outbox.alarm_pending
            assert len(stored(db)) == n - 1, said
            broker.puback = 0
            await until(lambda n=n: stored(db) == list(range(1, n + 1)))  # type: ignore[misc]
            await until(lambda: not destination.outbox.alarm_pending)
        assert destination.counters["refused"] == 0, "no code puts an alarm aside"


@pytest.mark.parametrize("kind", ["connack", "disconnect"])
async def test_every_code_of_a_broker_that_will_not_have_us_is_told_and_nothing_is_lost(
    kind: str, tmp_path: Path
) -> None:
    codes, reason = (CONNACKS, "connack") if kind == "connack" else (DISCONNECTS, "disconnected")
    async with site(tmp_path) as (broker, journal, db):
        for n, code in enumerate(codes, 1):
            setattr(broker, kind, code)
            journal.append(Priority.ALARM, event_body(n))
            async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
                heard, destination = listen(uplink), uplink.destinations[0]
                said = f"0x{code:02x}"
                await until(told(heard, reason, said))
                # The journal may be read only after the first refusal: what there is to deliver is looked for beside connecting.
                await until(lambda owed=destination.outbox: owed.alarm_pending, said)  # type: ignore[misc]
                assert len(stored(db)) == n - 1, said
                setattr(broker, kind, 0)
                await until(lambda n=n: stored(db) == list(range(1, n + 1)))  # type: ignore[misc]
                await until(lambda owed=destination.outbox: not owed.alarm_pending)  # type: ignore[misc]
                assert destination.counters["refused"] == 0


def told(heard: list[tuple[bool, str, dict[str, object]]], reason: str, code: str) -> Callable[[], bool]:
    return lambda: any(why == reason and code in str(more["detail"]) for up, why, more in heard if not up)


async def test_a_denied_subscription_to_the_acks_is_told_and_no_puback_counts_as_delivered(tmp_path: Path) -> None:
    async with site(tmp_path) as (broker, journal, db):
        broker.suback = 0x87
        journal.append(Priority.ALARM, event_body(1))
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            heard, destination = listen(uplink), uplink.destinations[0]
            await until(lambda: any(reason == "ack_topic_denied" for _, reason, _ in heard))
            await until(lambda: destination.outbox.alarm_pending)
            broker.suback = 0
            await until(lambda: stored(db) == [1] and not destination.outbox.alarm_pending)


async def test_an_alarm_whose_puback_was_lost_goes_again_and_is_one_event_at_the_centre(tmp_path: Path) -> None:
    async with site(tmp_path) as (broker, journal, db):
        broker.swallow = True
        journal.append(Priority.ALARM, event_body(1))
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            destination = uplink.destinations[0]
            await until(lambda: len(broker.answers) >= 2, "lost twice")
            broker.swallow = False
            await until(lambda: not destination.outbox.alarm_pending)
            assert stored(db) == [1]
            assert counted(db)["events"] == 1


async def test_a_broker_that_hangs_up_on_packets_it_never_said_were_too_large_gets_smaller_ones(tmp_path: Path) -> None:
    async with site(tmp_path) as (broker, journal, db):
        broker.bytes_max = 6000
        for n in range(1, 201):
            journal.append(Priority.ALARM, event_body(n))
        async with running_uplink(site_config(tmp_path, broker.port), journal) as uplink:
            destination = uplink.destinations[0]
            await until(lambda: len(stored(db)) == 200)
            await until(lambda: not destination.outbox.alarm_pending)
            assert PACKET_TOO_LARGE in broker.answers
            assert max(broker.packets) <= 6000
            assert destination.counters["refused"] == 0
