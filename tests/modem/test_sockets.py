"""The driver against the simulated modem on a real pty: it comes up, and its sockets are real ones, in every family."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from edge_agent.uplink.link import LinkError
from tests.modem.bench import FAMILIES, Bench, bench, datagram, echo_back, receive, tcp_server, udp_echo
from tests.waiting import PATIENCE_S, until

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_modem_is_known_and_comes_up(family: str, tmp_path: Path) -> None:
    async with bench(tmp_path, family) as on:
        await on.up()
        await until(lambda: on.modem.seen.operator == "46000", "operator")
        shown = on.modem.snapshot()
        assert (shown["family"], shown["registration"], shown["reason"]) == (family, "home", "connected")
        assert shown["rat"] == ("nb-iot" if on.modem.packed else "lte")
        assert {"rssi_dBm", "rsrp_dBm", "rsrp"} & set(on.modem.seen.signal)
        assert str(shown["iccid"]).startswith("***")
        assert str(shown["imei"]).startswith("***")
        if on.modem.packed:
            assert {"AT+CPSMS=0", "AT+CEDRXS=0"} <= set(on.sim.heard)


@pytest.mark.parametrize("family", FAMILIES)
async def test_datagrams_keep_their_borders_and_are_counted(family: str, tmp_path: Path) -> None:
    async with bench(tmp_path, family) as on, udp_echo() as (port, echo):
        await on.up()
        sock = await on.modem.udp("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        sent = [bytes([n]) * (1 + 100 * n) for n in range(5)] + [bytes(range(256)) * 2]
        for data in sent:
            await loop.sock_sendall(sock, data)
            assert await datagram(sock) == data
        assert echo.got == sent
        total = sum(map(len, sent))
        assert (on.modem.counts["up_bytes"], on.modem.counts["down_bytes"]) == (total, total)
        sock.close()
        await until(lambda: on.modem.counters()["sockets"] == 0, "closed")


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_stream_arrives_whole_both_ways_and_ends_when_either_end_closes(family: str, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(20_000)
    async with bench(tmp_path, family) as on, tcp_server(echo_back) as port:
        await on.up()
        sock = await on.modem.tcp("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        sending = asyncio.create_task(loop.sock_sendall(sock, data))
        assert await receive(sock, len(data)) == data
        await sending
        sock.close()
        await until(lambda: on.modem.counters()["sockets"] == 0, "closed")
        assert on.modem.counts["closed"] == 1

    async def one_word(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        await writer.drain()

    async with bench(tmp_path, family) as on, tcp_server(one_word) as port:
        await on.up()
        sock = await on.modem.tcp("127.0.0.1", port)
        assert await receive(sock, 3) == b"bye"
        assert await datagram(sock) == b""
        await until(lambda: on.modem.counts["closed_by_modem"] == 1, "the far end closed")
        sock.close()


async def test_a_far_end_that_hangs_up_before_we_look_is_seen(tmp_path: Path) -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with bench(tmp_path, "sim7600") as on, tcp_server(slam) as port:
        await on.up()
        for _ in range(10):
            sock = await on.modem.tcp("127.0.0.1", port)
            assert await datagram(sock) == b""
            sock.close()
        await until(lambda: on.modem.counters()["sockets"] == 0, "all gone")


@pytest.mark.parametrize("family", FAMILIES)
async def test_two_sockets_at_once_do_not_mix(family: str, tmp_path: Path) -> None:
    async with bench(tmp_path, family) as on, tcp_server(echo_back) as stream_port, udp_echo() as (port, _):
        await on.up()
        stream, first, second = await asyncio.gather(
            on.modem.tcp("127.0.0.1", stream_port), on.modem.udp("127.0.0.1", port), on.modem.udp("127.0.0.1", port)
        )
        loop = asyncio.get_running_loop()

        async def talk(sock: object, word: bytes) -> None:
            for n in range(10):
                data = word * (n + 1)
                await loop.sock_sendall(sock, data)  # type: ignore[arg-type]
                got = await (receive(sock, len(data)) if sock is stream else datagram(sock))  # type: ignore[arg-type]
                assert got == data

        await asyncio.gather(talk(stream, b"s"), talk(first, b"ab"), talk(second, b"xyz"))
        for sock in (stream, first, second):
            sock.close()


@pytest.mark.parametrize("family", FAMILIES)
async def test_nobody_there_is_an_error_that_says_so(family: str, tmp_path: Path) -> None:
    async with bench(tmp_path, family) as on:
        with pytest.raises(LinkError, match="modem_"):
            await on.modem.tcp("127.0.0.1", 1)  # not up yet
        await on.up()
        with pytest.raises(LinkError) as refused:
            await on.modem.tcp("127.0.0.1", 1)
        assert refused.value.reason in ("refused", "no_route")
        assert on.modem.counts["open_failed"] == 1
        assert on.modem.health.up


@pytest.mark.parametrize(("family", "count"), [("bc95", 1000), ("quectel", 200), ("sim7020", 200)])
async def test_a_thousand_datagrams_through_loss_are_each_lost_or_right(
    family: str, count: int, tmp_path: Path
) -> None:
    async with bench(tmp_path, family) as on, udp_echo() as (port, echo):
        await on.up()
        on.sim.loss = 0.05
        sock = await on.modem.udp("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        back: Counter[bytes] = Counter()

        async def listen() -> None:
            while data := await loop.sock_recv(sock, 65536):
                back[data] += 1

        listening = asyncio.create_task(listen())
        sent = [b"%04d" % n + bytes([n & 255]) * (n % 300) for n in range(count)]
        for data in sent:
            await loop.sock_sendall(sock, data)
        await until(lambda: on.modem.counts["up_bytes"] == sum(map(len, sent)), "all handed over")
        await until(lambda: len(back) > 0.7 * count, "most came back")
        assert set(echo.got) <= set(sent)
        assert set(back) <= set(sent)
        assert max(back.values()) == 1
        assert 0.8 * count < len(echo.got) < count
        assert len(back) < len(echo.got)
        listening.cancel()
        sock.close()


async def test_a_reader_that_stops_holds_the_far_end_back_and_loses_nothing(tmp_path: Path) -> None:
    total = 400_000
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.transport.set_write_buffer_limits(high=4096)
        for n in range(total // 1000):
            writer.write(bytes([n & 255]) * 1000)
            await writer.drain()
            sent += 1000
        await reader.read()

    async with bench(tmp_path, "quectel") as on, tcp_server(pour) as port:
        await on.up()
        sock = await on.modem.tcp("127.0.0.1", port)
        await until(lambda: on.modem.counts["down_bytes"] > 10_000, "some came")
        before = -1
        while before != on.modem.counts["down_bytes"]:
            before = on.modem.counts["down_bytes"]
            await asyncio.sleep(0.3)  # until nothing more comes: a stalled machine only makes it stop earlier
        assert before < 80_000  # what the pair and one chunk hold, not what there is
        got = await receive(sock, total)
        assert got == b"".join(bytes([n & 255]) * 1000 for n in range(total // 1000))
        sock.close()


async def test_a_stream_that_is_swallowed_is_found_by_what_was_acknowledged(tmp_path: Path) -> None:
    async with bench(tmp_path, "quectel") as on, tcp_server(echo_back) as port:
        await on.up()
        sock = await on.modem.tcp("127.0.0.1", port)
        on.sim.deaf = True  # "connected", SEND OK, and no traffic
        loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionError):
            while True:  # the socketpair fills up and waits, until the driver closes it
                await asyncio.wait_for(loop.sock_sendall(sock, bytes(1000)), PATIENCE_S)
        sock.close()
        assert on.modem.counts["closed_by_modem"] == 1


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_dropped_context_closes_every_socket_and_comes_back(family: str, tmp_path: Path) -> None:
    async with bench(tmp_path, family) as on, udp_echo() as (port, _):
        await on.up()
        socks = [await on.modem.udp("127.0.0.1", port) for _ in range(2)]
        on.sim.drop_context()
        for sock in socks:
            assert await datagram(sock) == b""
            sock.close()
        await until(lambda: on.modem.counters()["sockets"] == 0, "sockets gone")
        await until(lambda: on.modem.health.up and on.modem.ladder.reasons == (), "up again")
        await _works(on, port)


async def _works(on: Bench, port: int) -> None:
    sock = await on.modem.udp("127.0.0.1", port)
    await asyncio.get_running_loop().sock_sendall(sock, b"still here")
    assert await datagram(sock) == b"still here"
    sock.close()


async def test_leaked_numbers_are_closed_and_if_that_does_not_help_the_modem_is_restarted(tmp_path: Path) -> None:
    async with bench(tmp_path, "bc95") as on, udp_echo() as (port, _):
        await on.up()
        on.sim.leaked = set(range(7))
        await _works(on, port)
        on.sim.leaked, on.sim.leak_held = set(range(7)), True
        with pytest.raises(LinkError, match="modem_sockets_leaked"):
            await on.modem.udp("127.0.0.1", port)
        await until(lambda: "AT+NRB" in on.sim.heard, "restart")
        await until(lambda: on.modem.health.up and not on.sim.leaked, "up again")
        await _works(on, port)
