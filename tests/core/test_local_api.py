"""The core's Unix socket."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from edge_agent.local_api import CLIENTS_MAX, LINE_BYTES_MAX, WAITING_BYTES_MAX, ApiError, LocalClient, LocalServer
from tests.waiting import until


def refuse(request: object, peer: object) -> object:
    raise ApiError("no_such_alarm", alarm="7")


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[LocalServer]:
    server = LocalServer(
        tmp_path / "core.sock",
        {"echo": lambda request, peer: request.get("what"), "who": lambda request, peer: peer.pid, "refuse": refuse},
    )
    await server.start()
    yield server
    await server.close()


@pytest.mark.asyncio
async def test_a_request_is_answered_and_a_refusal_says_why(server: LocalServer) -> None:
    client = await LocalClient.connect(server.path)
    assert await client.request("echo", what="火警") == "火警"
    assert await client.request("echo", what="half a pair: \ud800") == "half a pair: \ud800"
    with pytest.raises(ApiError) as refused:
        await client.request("refuse")
    assert (refused.value.code, refused.value.params) == ("no_such_alarm", {"alarm": "7"})
    with pytest.raises(ApiError, match="unknown_request"):
        await client.request("reset_panel")
    await client.close()


@pytest.mark.asyncio
async def test_the_kernel_says_who_asks(server: LocalServer) -> None:
    client = await LocalClient.connect(server.path)
    assert await client.request("who") == os.getpid()
    await client.close()


@pytest.mark.asyncio
async def test_a_watcher_hears_only_what_it_watches(server: LocalServer) -> None:
    client = await LocalClient.connect(server.path)
    await client.request("watch", what=["journal"])
    server.push("event", {"n": 1})
    server.push("journal", {"n": 2})
    assert await anext(client.pushes()) == {"push": "journal", "n": 2}
    assert server.watched("journal")
    assert not server.watched("event")
    await client.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[]", b"{}", b'{"do": {}}', b"null", b"[" * 60_000, b'{"id":1,"do":"watch","what":3}']
)
async def test_nonsense_is_answered_and_the_next_request_still_works(server: LocalServer, line: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(line + b"\n" + b'{"id": 2, "do": "echo", "what": 5}\n')
    first, second = json.loads(await reader.readline()), json.loads(await reader.readline())
    assert first["ok"] is False
    assert second == {"id": 2, "ok": True, "result": 5}
    writer.close()


@pytest.mark.asyncio
async def test_a_line_without_end_is_cut_off(server: LocalServer) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(b"x" * (LINE_BYTES_MAX + 2))
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert not server.connections
    writer.close()


@pytest.mark.asyncio
async def test_a_watcher_that_does_not_read_is_cut_off_and_the_core_goes_on(server: LocalServer) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(b'{"id": 1, "do": "watch", "what": ["event"]}\n')
    await reader.readline()
    for _ in range(2 * WAITING_BYTES_MAX // 10_000):
        server.push("event", {"filler": "x" * 10_000})
    await until(lambda: not server.connections)
    assert not server.watched("event")
    writer.close()


@pytest.mark.asyncio
async def test_more_clients_than_fit_are_turned_away(server: LocalServer) -> None:
    clients = [await LocalClient.connect(server.path) for _ in range(CLIENTS_MAX)]
    for client in clients:
        await client.request("echo", what=1)
    late = await LocalClient.connect(server.path)
    with pytest.raises(ConnectionError):
        await late.request("echo", what=1)
    for client in [*clients, late]:
        await client.close()


@pytest.mark.asyncio
async def test_a_client_learns_that_the_core_has_gone(server: LocalServer) -> None:
    client = await LocalClient.connect(server.path)
    await client.request("watch", what=["event"])
    await server.close()
    assert [push async for push in client.pushes()] == []
    with pytest.raises(ConnectionError):
        await client.request("echo", what=1)
    await client.close()


@pytest.mark.asyncio
async def test_a_socket_left_by_a_killed_core_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "core.sock"
    path.write_bytes(b"")
    server = LocalServer(path, {"echo": lambda request, peer: 1})
    await server.start()
    client = await LocalClient.connect(path)
    assert await client.request("echo") == 1
    await client.close()
    await server.close()


@pytest.mark.asyncio
async def test_the_server_knows_when_a_watcher_last_said_something(server: LocalServer) -> None:
    loop = asyncio.get_running_loop()
    assert server.heard_s("journal") is None
    client = await LocalClient.connect(server.path)
    await client.request("watch", what=["journal"])
    first_s = server.heard_s("journal")
    assert first_s is not None
    spoke_s = loop.time()
    await client.request("watch", what=["journal"])
    again_s = server.heard_s("journal")
    assert again_s is not None
    assert again_s >= spoke_s > first_s
    await client.close()
