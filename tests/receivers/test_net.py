"""The ways in over the network: who may come, how often, how much, and what happens to the rest."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest

from drivers.codecs.base import Refused
from drivers.messages import LinkState, Observation, PanelEvent
from drivers.receivers import net
from drivers.receivers.desk import Desk, Heard, Listed, Message, Told
from drivers.receivers.driver import ReceiverDriver
from drivers.receivers.net import (
    CALLS_BURST,
    CHUNK_BYTES,
    DATAGRAM_BYTES_MAX,
    PEERS_OF_ONE,
    Bucket,
    TcpDoor,
    UdpDoor,
    Where,
)
from tests.waiting import PATIENCE_S, until


class LineTalk:
    """A protocol of lines: each is a fire at the point it names."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes, at_ns: int) -> list[Heard]:
        *lines, self.rest = (self.rest + data).split(b"\n")
        return [
            Message(who="", raw=line, told=[Told(line.decode(), "fire")], yes=b"+" + line + b"\n") for line in lines
        ]

    def tick(self, at_ns: int) -> list[Heard]:
        return []

    def end(self, at_ns: int) -> list[Heard]:
        rest, self.rest = self.rest, b""
        return [Refused("truncated", rest, at_ns)] if rest else []


class Gate:
    """A receiver that keeps everything at once."""

    def __init__(self, kind: type[TcpDoor] | type[UdpDoor], allow: str) -> None:
        self.seen: list[Observation] = []
        self.desk = Desk("net1", [Listed(id="d", address="", silence_s=0)], lambda done: done(True))
        self.door = kind(Where(host="127.0.0.1", port=0, allow=(ip_network(allow),)), LineTalk, self.desk)
        self.driver = ReceiverDriver(self.desk, self.door)

    def fires(self) -> list[str]:
        return [one.point for one in self.seen if isinstance(one, PanelEvent) and one.event == "fire"]

    async def until(self, condition: Callable[[], object]) -> None:
        await until(condition)


@asynccontextmanager
async def gate(kind: type[TcpDoor] | type[UdpDoor] = TcpDoor, allow: str = "127.0.0.0/8") -> AsyncIterator[Gate]:
    made = Gate(kind, allow)
    task = asyncio.create_task(made.driver.run(made.seen.extend))
    try:
        await made.until(lambda: any(isinstance(one, LinkState) and one.up for one in made.seen))
        yield made
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_a_connection_may_bring_its_bytes_in_any_slices() -> None:
    async with gate() as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.door.port)
        for piece in (b"a", b"b\nc", b"d\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            assert [await reader.readline(), await reader.readline()] == [b"+ab\n", b"+cd\n"]
        writer.write(b"half")
        writer.close()
        await here.until(here.desk.refused)
        assert here.fires() == ["d/ab", "d/cd"]
        assert [one.raw for one in here.desk.refused()] == [b"half"]


@pytest.mark.asyncio
async def test_a_peer_that_has_ended_its_half_still_gets_its_answer_and_is_then_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(net, "LISTENS_S", PATIENCE_S)
    async with gate() as here:
        waiting: list[Callable[[bool], None]] = []
        here.desk._when_kept = waiting.append
        reader, writer = await asyncio.open_connection("127.0.0.1", here.door.port)
        writer.write(b"a1\nhalf a li")
        writer.write_eof()
        await here.until(lambda: waiting and here.desk.counts["refused"])
        for done in waiting:
            done(True)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"+a1\n"
        monkeypatch.setattr(net, "LISTENS_S", 0.0)
        await here.until(lambda: here.door.counters()["open"] == 0)
        assert [one.why for one in here.desk.refused()] == ["truncated"], "once"
        writer.close()


@pytest.mark.asyncio
async def test_the_newest_connections_of_an_address_stay() -> None:
    async with gate() as here:
        lines = [await asyncio.open_connection("127.0.0.1", here.door.port) for _ in range(PEERS_OF_ONE + 2)]
        for reader, _ in lines[:2]:
            async with asyncio.timeout(PATIENCE_S):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
        reader, writer = lines[-1]
        writer.write(b"x\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.readline() == b"+x\n"
        for _, writer in lines:
            writer.close()


@pytest.mark.asyncio
async def test_a_turn_of_the_loop_takes_no_more_than_a_chunk_of_one_peer() -> None:
    async with gate() as here:
        _, writer = await asyncio.open_connection("127.0.0.1", here.door.port)
        await here.until(lambda: here.door.peers)
        [peer] = here.door.peers
        assert len(peer.get_buffer(1 << 20)) == CHUNK_BYTES
        writer.close()
        await here.until(lambda: not here.door.peers)
        peer.buffer_updated(5)
        assert here.fires() == [], "what comes behind the end is nothing"


@pytest.mark.asyncio
async def test_a_peer_that_calls_without_end_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.receivers.net.CALLS_PER_S", 1e-6)  # however slow this machine is
    async with gate() as here:
        for _ in range(int(CALLS_BURST)):
            _, writer = await asyncio.open_connection("127.0.0.1", here.door.port)
            writer.close()
        assert here.desk.counts["crowded"] == 0
        reader, writer = await asyncio.open_connection("127.0.0.1", here.door.port)
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        assert here.desk.counts["crowded"] == 1
        writer.close()


@pytest.mark.asyncio
async def test_a_flood_waits_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.receivers.net.BYTES_BURST", 1.0)  # a stalled machine fills no larger bucket meanwhile
    monkeypatch.setattr("drivers.receivers.net.BYTES_PER_S", 8 * CHUNK_BYTES)
    async with gate() as here:
        _, writer = await asyncio.open_connection("127.0.0.1", here.door.port)
        count = 20
        writer.write(b"".join(b"%02d" % n + b"y" * 998 + b"\n" for n in range(count)))
        await here.until(lambda: here.door.counters()["paused"])
        await here.until(lambda: len(here.fires()) == count)
        assert [point[:4] for point in here.fires()] == [f"d/{n:02d}" for n in range(count)]
        assert not here.desk.refused()
        writer.close()


class Answers(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[bytes] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.append(data)


@pytest.mark.asyncio
async def test_datagrams_are_answered_each_by_itself_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.receivers.net.BYTES_PER_S", 1e-6)
    async with gate(UdpDoor) as here:
        where = ("127.0.0.1", here.door.port)
        transport, answers = await asyncio.get_running_loop().create_datagram_endpoint(Answers, remote_addr=where)
        transport.sendto(b"one\nha")
        transport.sendto(b"lf\n")
        await here.until(lambda: len(answers.got) == 2)
        assert answers.got == [b"+one\n", b"+lf\n"]
        transport.sendto(b"z" * (DATAGRAM_BYTES_MAX + 1))
        await here.until(lambda: here.desk.counts["refused"] == 2)
        assert [one.why for one in here.desk.refused()] == ["truncated", "too_long"]
        await here.until(lambda: transport.sendto(b"w" * 1000) or here.desk.counts["crowded"])
        transport.close()


@pytest.mark.asyncio
async def test_a_datagram_from_elsewhere_is_dropped_and_told_once() -> None:
    async with gate(UdpDoor, allow="192.0.2.0/24") as here:
        where = ("127.0.0.1", here.door.port)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Answers, remote_addr=where)
        for _ in range(3):
            transport.sendto(b"fire\n")
        await here.until(lambda: here.desk.counts["peer"] == 3)
        told = [one for one in here.seen if isinstance(one, PanelEvent)]
        assert [(one.point, one.event, one.fields["address"]) for one in told] == [("net1/peer", "fault", "127.0.0.1")]
        transport.close()


@pytest.mark.asyncio
async def test_an_address_that_is_not_there_yet_is_waited_for_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.receivers.net.REOPEN_S", 0.01)
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    seen: list[Observation] = []
    desk = Desk("net1", [], lambda done: done(True))
    driver = ReceiverDriver(desk, TcpDoor(Where(host="127.0.0.1", port=port, allow=()), LineTalk, desk))
    task = asyncio.create_task(driver.run(seen.extend))
    await until(lambda: seen)
    taken.close()
    await taken.wait_closed()
    await until(lambda: len(seen) >= 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    links = [(one.up, one.reason) for one in seen if isinstance(one, LinkState)]
    assert links == [(False, "no_port"), (True, "opened")]


def test_a_bucket_gives_what_it_has_and_says_how_long_to_wait() -> None:
    bucket = Bucket(100, 10, 0.0)
    assert bucket.take(100, 0.0) == 0
    assert bucket.take(50, 0.0) == 5.0
    assert bucket.take(0, 5.0) == 0
    assert Bucket(100, 10, 0.0).take(100, 1000.0) == 0


def test_only_listed_addresses_may_speak_and_a_mapped_one_is_itself() -> None:
    where = Where(host="::", port=1, allow=(ip_network("192.168.1.64/28"), ip_network("fe80::/10")))
    assert where.allows("192.168.1.70")
    assert where.allows("::ffff:192.168.1.70")
    assert where.allows("fe80::1%eth0")
    assert not where.allows("192.168.1.80")
    assert not where.allows("nonsense")
